"""The cycle engine and the costs against SANA-FE, an independent simulator, on the files that we export for it.

Both have the prices of ``loihi1-sanafe``. Counts must be equal, energy and the time of ``fast`` (its *simple* model) up
to rounding; its *detailed* model estimates the network by counts on a path, and ours follows every message.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from neurocompile.backends.cycle import simulate
from neurocompile.backends.cycle.result import CycleRun, Timing
from neurocompile.costs.activity import Activity
from neurocompile.costs.estimate import estimate
from neurocompile.costs.timed import Timed
from neurocompile.hardware import Profile, profile_to_dict
from neurocompile.ir.interpret import Trace
from neurocompile.ir.nodes import Array, Conv2d, Linear, Neuron, PoissonEncoder
from neurocompile.program import Program
from tests.backends import sanafe_oracle as oracle
from tests.backends.sanafe_networks import GENERATED, Case, Drawing, realistic

#: relative, for sums of floats in another order
_ROUNDING = 1e-9


#: links that let messages wait for less than this, on average, are not congested: what an axon's handling takes
_LITTLE_NS = 16


def timed(program: Program, events: dict[str, Array], timing: Timing) -> CycleRun:
    awake, leftover = oracle.awake_of(program, events)
    return simulate(
        program.mapped, program.mapping, program.profile, events, timing=timing, awake=awake, leftover=leftover
    )


def check(program: Program, sample: Array) -> None:
    """Counts, energy and time; ``detailed`` where links are not congested."""
    theirs = oracle.simulate(program, sample, "simple", messages=False).totals
    events = oracle.events_of(program, sample)
    run = timed(program, events, "exact")
    activity = Activity.of(program.mapped, Trace({}, events))
    steps = Timed(run.samples, len(run.step_time), run.visits, run.total, run.sample_latency, None)
    costs = estimate(program.mapped, program.mapping, activity, program.profile, steps)
    assert costs.total_pj is not None
    counters = costs.counters
    assert min(counters.spikes, counters.messages_out, counters.hops_east_west) > 0
    assert theirs == oracle.Totals(
        fired=int(costs.firings),
        packets=int(counters.messages_in),
        synaptic_events=int(counters.synaptic_ops),
        hops=int(counters.hops_east_west + counters.hops_north_south),
        energy_j=pytest.approx(costs.total_pj * 1e-12, rel=_ROUNDING),
        time_s=pytest.approx(run.fast_total * 1e-9, rel=_ROUNDING),
    )
    assert int(run.cores.messages_in.sum()) == theirs.packets
    assert int(run.links.messages.sum()) == theirs.hops
    assert timed(program, events, "fast").total == run.fast_total
    if run.links.wait.sum() <= _LITTLE_NS * theirs.packets:
        detailed = oracle.simulate(program, sample, "detailed", messages=False)
        assert run.total * 1e-9 == pytest.approx(detailed.totals.time_s, rel=0.15)


@pytest.mark.parametrize(("make", "seed"), GENERATED, ids=[f"{make.__name__}-{seed}" for make, seed in GENERATED])
def test_generated_networks(make: Callable[[int], Case], seed: int) -> None:
    check(*make(seed))


@pytest.mark.slow
def test_a_convolutional_network_of_a_realistic_size() -> None:
    check(*realistic())


def timed_by_handling(program: Program, handling_ns: float, *, places: int) -> Program:
    """On a chip where only a hop along a row (10 ns) and handling a message take time. ``places``: of buffers."""
    data = profile_to_dict(program.profile)
    free = [data["events"][name] for name in ("neuron_update_active", "neuron_update_inactive", "synaptic_op")]
    free += [data["events"][name] for name in ("spike_out", "axon_out")] + [
        bank["synaptic_op"] for bank in data["banks"]
    ]
    for times, value in ((free, 0), ([data["events"]["axon_in"]], handling_ns), ([data["noc"]["hop_east_west"]], 10),
                         (data["barrier"]["points"], 0)):  # fmt: skip
        for each in times:
            each["time_ns"]["value"] = value
    data["noc"]["buffer_messages"]["value"] = places
    return replace(program, profile=Profile.from_mapping(data))


def shared_link() -> Case:
    """Six neurons, one for each input, of which three feed core A and three core B. Tiles in a row: theirs with the
    host, A's, B's; a hop takes 10 ns, handling a message 1000 ns and all else no time; one message finds place behind
    each link and before each core."""
    draw = Drawing(0, (2, 1, 3), PoissonEncoder())
    draw.add(Conv2d(weight=np.ones((2, 1, 1, 1)), groups=2))
    draw.add(Neuron(threshold=np.array(0.5)))
    draw.add(Conv2d(weight=np.ones((2, 1, 1, 3)), groups=2))
    program = draw.program(1, draw.add(Neuron(threshold=np.array(0.5))), spread=False)
    program = timed_by_handling(program, 1000, places=1)
    senders, targets = program.mapping.slices
    a, b = (replace(targets, box=((n, n + 1), *targets.box[1:]), core=4 * (n + 1), tile=n + 1) for n in (0, 1))
    mapping = replace(program.mapping, slices=(senders, a, b))
    return replace(program, mapping=mapping), np.ones((2, 1, 3))


def test_a_congested_link_worked_by_hand() -> None:
    """In step 0 the six neurons' core handles six inputs, 6000 ns. In step 1 its messages a1, a2, a3 for A and then b1,
    b2, b3 for B are there at 0. Times in ns.

    a1 takes the first link at 0, is out at 10, and A handles it from 10 to 1010. Its place is free at 10: a2 takes the
    link, is out at 20, and waits in A's only place. a3 takes the link at 20, is out at 30 and finds A's place taken,
    so that it stays behind the link, where one message finds place: b1 cannot pass it. At 1010 A begins with a2, a3
    goes into A's place, b1 takes the first link: out at 1020, second link, out at 1030, and B handles it from 1030 to
    2030. b2 follows by 10 and b3 by 20, and they are at B in time. B is done at 1030 + 3 * 1000 = 4030, A at 3010.

    Without a network ("fast", SANA-FE's *simple*) both would be done after 3000. SANA-FE's *detailed* model lets a
    path hold (hops + 1) * buffers = 3 messages on the way to B, beside what is on the way to A, and slows them by the
    mean time that messages on a path take to be handled: b1 reaches B at 667, while a3 still fills the only place on
    its way, and the step ends at 3667. On a chip whose buffers are first in, first out that cannot be, however fast
    it is: the case supports our order of events, and 4030.
    """
    program, sample = shared_link()
    run = timed(program, oracle.events_of(program, sample), "exact")
    assert run.step_time.tolist() == [6000.0, 4030.0, 0.0]
    assert run.timeline.receiving_end[1].tolist() == [0.0, 3010.0, 4030.0]
    assert run.fast_step_time.tolist() == [6000.0, 3000.0, 0.0]
    simple = oracle.simulate(program, sample, "simple", messages=False)
    assert simple.totals.time_s == pytest.approx(9000e-9)
    detailed = oracle.simulate(program, sample, "detailed", messages=True)
    assert detailed.totals.time_s == pytest.approx(9667e-9, rel=1e-3)
    b1 = next(each for each in detailed.messages[1] if each["src_neuron_offset"] == 3)
    assert b1["received_timestamp"] == pytest.approx(667e-9, rel=1e-3)


def one_to_four() -> Case:
    """A core of eight neurons, which all feed four neurons on as many cores; handling a message takes 100 ns."""
    draw = Drawing(0, (8,), PoissonEncoder())
    draw.add(Linear(weight=np.eye(8)))
    draw.add(Neuron(threshold=np.array(0.5)))
    draw.add(Linear(weight=np.ones((4, 8))))
    program = draw.program(1, draw.add(Neuron(threshold=np.array(0.5))), spread=False)
    senders, targets = program.mapping.slices
    parts = (replace(targets, box=((n, n + 1),), core=n + 4, tile=1) for n in range(4))
    mapping = replace(program.mapping, slices=(senders, *parts))
    return replace(timed_by_handling(program, 100, places=16), mapping=mapping), np.ones(8)


def test_a_core_that_feeds_four_worked_by_hand() -> None:
    """In step 0 the first core handles eight inputs, 800 ns. In step 1 its eight neurons fire at 0, and all 32 messages
    cross one link, on which they take 10 ns and none keeps another out: they are at their cores at 10, eight at each,
    for which there is place. The cores work at once and are done at 10 + 8 * 100 = 810.

    SANA-FE's *detailed* model lets messages on a path wait for each other, wherever they end: a third of the mean time
    of handling for each that is there, which makes 32 messages take 1137. Nothing on the way is full or busy, so that
    four cores have no reason to do one after another what each can begin at 10: the case supports 810.
    """
    program, sample = one_to_four()
    run = timed(program, oracle.events_of(program, sample), "exact")
    assert run.step_time.tolist() == [800.0, 810.0, 0.0]
    assert run.timeline.receiving_end[1].tolist() == [0.0, 810.0, 810.0, 810.0, 810.0]
    assert oracle.simulate(program, sample, "simple", messages=False).totals.time_s == pytest.approx(1600e-9)
    detailed = oracle.simulate(program, sample, "detailed", messages=False).totals.time_s
    assert detailed == pytest.approx(1937e-9, rel=1e-2)
