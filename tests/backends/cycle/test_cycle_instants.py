"""What happens at one instant happens in rounds (docs/decisions/0011, "One instant"), worked out here one by one.

Ends come first in a round, then messages go and cores begin to handle, which may free places, until nothing can. What
then takes no time ends in the next round.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from neurocompile.backends.cycle import simulate
from neurocompile.backends.cycle.result import CycleRun
from neurocompile.ir.nodes import DirectEncoder, Recurrent
from tests.backends.cycle import slow
from tests.backends.cycle.cycle_cases import Net, chip, dense, noc, placed, spikes

Run = Callable[..., CycleRun]
BACK = Recurrent(shape=(1,))


@pytest.fixture(params=["engine", "slow"])
def run(request: pytest.FixtureRequest) -> Run:
    return {"engine": simulate, "slow": slow.simulate}[request.param]


def of_core(run: CycleRun, core: int, *names: str) -> tuple[float, ...]:
    return tuple(getattr(run.cores, name)[run.cores.core.tolist().index(core)] for name in names)


def test_a_sending_side_goes_on_in_the_round_after_a_handling(run: Run) -> None:
    net = Net(2)
    net.nodes["more"] = (DirectEncoder(scale=1.0, low=0, high=1), ("input",))
    net.add("a", ("code", dense(2, 2)), ("a", Recurrent(shape=(2,)), dense(2, 2)))
    net.add("b", ("a", dense(1, 2)), ("more", dense(1, 2)))
    host = {"tile": 0, "message": None}
    graph, profile = net.graph, chip((1, 1, 2), neuron_update_stateless=6, noc=noc(0, buffers=1), host=host)
    fired = spikes(graph, samples=2, code={(1, 0): [0]}, more={(1, 0): [0, 1]}, a={(0, 0): [0]})
    result = run(graph, placed(graph, profile, a=0, b=1), profile, fired)
    # chip step 1, everything but updates in no time, a queue has one place. At 0 the host fills both queues, with one
    # message for core 0 and one for core 1, where its third waits; both cores send first.
    # 6: core 0 has made a message for itself and waits; core 1 is done.
    #    round 1: core 0 handles the host's message, core 1 too; the host's third and core 0's own take their places
    #    round 2: both have handled; core 0 goes on, core 1 handles the third
    #    round 3: core 0 has made its message for core 1, which takes it at once; so core 0 never waits, and works on
    # 12: core 0 has updated its second neuron, and handles what it sent to itself at 6
    line, step = result.timeline, 1 - result.timeline.first_step
    assert [each[step].tolist() for each in (line.sending_end, line.receiving_start, line.receiving_end)] == [
        [12, 6], [6, 6], [12, 6],
    ]  # fmt: skip
    assert of_core(result, 0, "queue_wait", "stalled", "queue_peak") == (6 + 6, 0, 1)
    assert result.step_time.tolist() == [12, 12, 12, 12]


def test_without_a_network_a_message_is_there_in_the_round_in_which_it_is_handed_over(run: Run) -> None:
    graph = Net(1).add("a", ("code", dense(2, 1))).add("b", ("a", dense(1, 2))).graph
    profile = chip((1, 1, 2), core={"overlap": True})
    result = run(graph, placed(graph, profile, a=0, b=1), profile, spikes(graph, a={(0, 0): [0, 1]}))
    # all in no time: core 1 begins with the first message before the second is made
    assert of_core(result, 1, "messages_in", "queue_peak", "queue_wait") == (2, 1, 0)


def test_a_way_that_takes_no_time_ends_in_the_next_round(run: Run) -> None:
    net = Net(1).add("f", ("code", dense(1, 1)), ("f", BACK, dense(1, 1)))
    net.add("h", ("code", dense(1, 1)))
    net.add("g", ("h", dense(1, 1)), ("g", BACK, dense(1, 1)))
    net.add("out", ("f", dense(3, 1)), ("g", dense(3, 1))).add("more", ("g", dense(2, 1)))
    graph, profile = net.graph, chip((1, 3, 2), synaptic_op=1, noc=noc(0), core={"overlap": True})
    fired = spikes(graph, samples=2, f={(1, 0): [0]}, h={(1, 0): [0]}, g={(0, 0): [0]})
    result = run(graph, placed(graph, profile, f=0, h=1, g=2, out=4, more=4), profile, fired)
    # f and h sit in tile 0, g in tile 1, out and more in tile 2. In chip step 2 all three fire; only ops take time:
    # 0, round 1: h's message to g enters the link to tile 1; f and g send to themselves
    #    round 2: f's message to out is made and enters that link, h's comes out of it; g's for tile 2 is made and
    #             enters the next one
    #    round 3: f's comes out, too late to go before g's: g's is in the queue and is handled, 3 + 2 ops, 0-5
    #    round 4: f's is in the queue, and waits until 5: 3 ops, 5-8
    assert of_core(result, 4, "receiving", "queue_wait", "messages_in") == (8, 5, 2)
