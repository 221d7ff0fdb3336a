"""More tiny networks whose every time is worked out, as in test_cycle_by_hand: steps, updates, messages and units."""

from __future__ import annotations

from typing import Any

import numpy as np

from neurocompile.hardware import Profile
from neurocompile.ir.graph import Graph
from neurocompile.ir.nodes import Array, DirectEncoder, HybridEncoder, Linear, Recurrent
from tests.backends.cycle.cycle_cases import (
    Net,
    Run,
    at,
    chain,
    chip,
    cost,
    dense,
    level,
    links,
    neuron,
    noc,
    of_core,
    placed,
    quantity,
    readout,
    single,
    spent,
    spikes,
)

# --------------------------------------------------------------------------------------------- steps and samples


def test_barrier_of_the_mapped_tiles(run: Run) -> None:
    graph = chain(1, 1, 1)
    points = [{"tiles": n, "time_ns": quantity(time, "ns")} for n, time in ((1, 10), (3, 40))]
    profile = chip((1, 3, 1), neuron_update_stateless=1, noc=noc(2), barrier={"points": points})
    result = run(graph, placed(graph, profile, l1=0, l2=2), profile, spikes(graph, l1={(0, 0): [0]}))
    # two tiles of three are in use: half way from 10 to 40. Step 1: sent at 1, two hops, there at 5
    assert result.barrier == 25
    assert result.step_time.tolist() == [26, 30, 26]
    assert result.fast_step_time.tolist() == [26, 26, 26]
    assert at(result, 1, 2) == (1, 5, 5)  # without the barrier, which comes after
    assert result.timeline.start.tolist() == [0, 26, 56]
    assert spent(result, 0) == (3, 0, 0, 82 - 3)


def test_ticks_and_overruns(run: Run) -> None:
    graph = chain(1, 2)
    fired = spikes(graph, samples=2, code={(0, 0): [0]})
    profile = chip(neuron_update_stateless=4, axon_in=5, tick_ns=quantity(12, "ns"))
    result = run(graph, placed(graph, profile, l1=0), profile, fired)
    # step 0 works 8 + 5 = 13, which is more than a tick; the others 8
    assert result.step_time.tolist() == [13, 12, 12]
    assert result.fast_step_time.tolist() == [13, 12, 12]
    assert result.overruns == 1
    assert spent(result, 0) == (24, 5, 0, 37 - 29)
    exact = chip(neuron_update_stateless=4, axon_in=5, tick_ns=quantity(13, "ns"))
    result = run(graph, placed(graph, exact, l1=0), exact, fired)
    assert result.overruns == 0
    points = [{"tiles": 1, "time_ns": quantity(5, "ns")}]
    barrier = chip(neuron_update_stateless=4, axon_in=5, tick_ns=quantity(12, "ns"), barrier={"points": points})
    result = run(graph, placed(graph, barrier, l1=0), barrier, fired)
    assert result.step_time.tolist() == [18, 13, 13]  # the barrier is a part of the step
    assert result.overruns == 3


def test_pipelined_samples_of_one_step(run: Run) -> None:
    graph = chain(1, 1, 1)
    profile = chip((1, 2, 1), neuron_update_stateless=2, axon_out=1, axon_in=3, noc=noc(4), core={"overlap": True})
    fired = spikes(graph, samples=3, code={(0, 0): [0], (2, 0): [0]}, l1={(0, 0): [0], (1, 0): [0]})
    result = run(graph, placed(graph, profile, l1=0, l2=1), profile, fired)
    # step 0: input of sample 0, 0-3
    # step 1: l1 of sample 0 sends at 3, there at 7, handled 7-10
    # step 2: input of sample 2, 0-3, beside l1 of sample 1, as before, and l2 of sample 0
    # step 3: l1 of sample 2, silent, and l2 of sample 1; step 4: l2 of sample 2
    assert result.step_time.tolist() == [3, 10, 10, 2, 2]
    assert result.sample_end.tolist() == [23, 25, 27]  # after steps 2, 3 and 4
    assert result.sample_latency.tolist() == [23 - 0, 25 - 3, 27 - 13]
    assert result.samples_per_unit == 2 / 4
    assert (result.samples, result.timesteps, result.depth) == (3, 1, 2)


def test_pipelined_samples_of_two_steps(run: Run) -> None:
    net = Net(1, timesteps=2).add("l1", ("code", dense(1, 1)))
    graph = net.add("l2", ("l1", dense(1, 1)), soma=readout()).graph
    profile = chip((1, 2, 1), neuron_update_active=5, neuron_update_inactive=2, axon_in=3, noc=noc(4),
                   core={"overlap": True})  # fmt: skip
    fired = spikes(graph, samples=2, code={(0, 0): [0], (1, 1): [0]}, l1={(0, 0): [0]})
    result = run(graph, placed(graph, profile, l1=0, l2=1), profile, fired)
    # step 0: input 0-3, everyone idle
    # step 1: l1's (0, 0) is active and sends at 5, there at 9, handled 9-12
    # step 2: l1's (0, 1) is inactive, l2's (0, 0) active: 5
    # step 3: input 0-3; l1's (1, 0) and l2's (0, 1) are inactive
    # step 4: l1's (1, 1) is active: 5
    # step 5: l1 is idle, l2's (1, 1) inactive
    assert result.step_time.tolist() == [3, 12, 5, 3, 5, 2]
    assert result.sample_end.tolist() == [23, 30]  # after steps 3 and 5
    assert result.sample_latency.tolist() == [23, 30 - 15]
    assert result.samples_per_unit == 1 / 7
    assert result.visits.tolist() == [[2, 4, 0], [1, 5, 0]]


# ------------------------------------------------------------------------------------------------------- updates


def test_stateless_against_stateful(run: Run) -> None:
    # a membrane of 18 bits takes three bytes: read 1, write 2 each: 9 besides the update
    profile = chip(neuron_update_active=6, neuron_update_inactive=1, memory=[level("state", read=1, write=2)])
    graph = chain(1, 3, timesteps=2)
    result = run(graph, placed(graph, profile, l1=0), profile, spikes(graph))
    assert result.step_time.tolist() == [30, 30, 30]
    assert result.visits.tolist() == [[0, 9, 0]]
    graph = chain(1, 3)
    result = run(graph, placed(graph, profile, l1=0), profile, spikes(graph))
    assert result.step_time.tolist() == [18, 18]  # as an active update, but without words
    assert result.visits.tolist() == [[0, 0, 6]]
    profile = chip(neuron_update_active=6, neuron_update_inactive=1, neuron_update_stateless=2)
    result = run(graph, placed(graph, profile, l1=0), profile, spikes(graph))
    assert result.step_time.tolist() == [6, 6]


def four_neurons(core: dict[str, Any]) -> tuple[Graph, Any, Profile, dict[str, Array]]:
    """One to one: neuron 0 gets an event at its first step, 1 fires then, 2 has a bias, 3 nothing. A readout behind
    makes one more step, in which they are idle again."""
    biased = neuron(bias=np.array([0, 0, 1, 0]))
    net = Net(4, timesteps=2).add("l1", ("code", single(4)), soma=biased)
    graph = net.add("out", ("l1", dense(1, 4)), soma=readout()).graph
    profile = chip((1, 2, 1), neuron_update_active=10, neuron_update_inactive=1, core=core)
    fired = spikes(graph, code={(0, 0): [0]}, l1={(0, 0): [1]})
    return graph, placed(graph, profile, l1=0, out=1), profile, fired


def test_active_and_inactive_updates(run: Run) -> None:
    result = run(*four_neurons({}))
    # step 0: idle, and the bias does not count; 1: neurons 0, 1 and 2; 2: 2; 3: idle
    assert result.step_time.tolist() == [4, 31, 13, 4]
    assert result.visits.tolist() == [[4, 12, 0], [1, 3, 0]]


def test_states_other_than_zero_make_updates_active(run: Run) -> None:
    awake = {"l1": np.zeros((1, 2, 4), np.bool_), "out": np.zeros((1, 2, 1), np.bool_)}
    awake["l1"][0, 1, [0, 3]] = True
    leftover = {"l1": np.array([[False, True, False, False]])}
    result = run(*four_neurons({"active": "state"}), awake=awake, leftover=leftover)
    # step 2: 0 and 3 are awake, 2 has its bias; step 3: l1 is done, and something is left in 1
    assert result.step_time.tolist() == [4, 31, 31, 13]
    assert result.visits.tolist() == [[3 + 3 + 1, 9, 0], [1, 3, 0]]


def test_only_active_updates_are_visited(run: Run) -> None:
    result = run(*four_neurons({"visits": "active"}))
    assert result.step_time.tolist() == [0, 30, 10, 0]
    assert result.visits.tolist() == [[4, 12, 0], [1, 3, 0]]  # they count, and take no time


def test_empty_slots_are_visited(run: Run) -> None:
    profile = chip(neuron_update_active=10, neuron_update_inactive=1, neuron_update_readout=4, core={"visits": "slots"})
    graph = Net(1, timesteps=2).add("out", ("code", dense(3, 1)), soma=readout()).graph
    result = run(graph, placed(graph, profile, out=0), profile, spikes(graph, code={(0, 0): [0]}))
    # three readouts, whose updates cost 4 whether active or not, and five of eight slots empty
    assert result.step_time.tolist() == [17, 17, 17]
    assert result.visits.tolist() == [[3, 6, 0]]


# ------------------------------------------------------------------------------------------------------- messages


def test_words_of_memory_with_times_of_their_own(run: Run) -> None:
    # a list of three synapses of 4 bits and a header of 4 is a word of 16 bits, two bytes of the level: 2 x 2
    graph = chain(1, 3, timesteps=2)
    memory = [level("synapses", read=2, write=None), level("state", read=1, write=None)]
    profile = chip(neuron_update_inactive=1, neuron_update_active=1, axon_in=1, synaptic_op=1, memory=memory)
    fired = spikes(graph, code={(0, 0): [0]})
    result = run(graph, placed(graph, profile, l1=0), profile, fired)
    # updates take 1 and three bytes to read, 12 in all; the message 1 + 4 + 3
    assert result.step_time.tolist() == [12 + 8, 12, 12]
    within = [level("synapses", read=2, write=None, included=True), level("state", read=1, write=None, included=True)]
    profile = chip(neuron_update_inactive=1, neuron_update_active=1, axon_in=1, synaptic_op=1, memory=within)
    result = run(graph, placed(graph, profile, l1=0), profile, fired)
    assert result.step_time.tolist() == [3 + 4, 3, 3]  # events include them


def test_host_in_a_tile_against_none(run: Run) -> None:
    # two inputs, both to core 0 in the host's tile and to core 1 in the next
    graph = chain(2, 2)
    times = {"neuron_update_stateless": 1, "axon_in": 3, "noc": noc(5, within=1, link=2), "core": {"overlap": True}}
    fired = spikes(graph, code={(0, 0): [0, 1]})
    profile = chip((1, 2, 1), **times, host={"tile": 0, "message": None})
    result = run(graph, placed(graph, profile, l1=[(0, 1), (1, 1)]), profile, fired)
    # at 0: input 0 to core 0, there at 1; input 0 to core 1, into the link, out at 5; input 1 to core 0, there at 1;
    # input 1 to core 1 waits for the link until 2, out at 7. Core 0 handles 1-4 and 4-7, core 1 5-8 and 8-11
    assert result.step_time.tolist() == [11, 1]
    assert result.fast_step_time.tolist() == [6, 1]
    assert at(result, 0, 0) == (1, 1, 7)
    assert at(result, 0, 1) == (1, 5, 11)
    assert of_core(result, 0, "messages_out", "messages_in", "queue_peak", "queue_wait") == (0, 2, 2, 3)
    assert of_core(result, 1, "messages_out", "messages_in", "queue_peak", "queue_wait") == (0, 2, 1, 1)
    assert links(result) == {(0, 1): (2, 4, 2, 2)}
    profile = chip((1, 2, 1), **times)
    result = run(graph, placed(graph, profile, l1=[(0, 1), (1, 1)]), profile, fired)
    assert result.step_time.tolist() == [6, 1]  # 0-3 and 3-6 on either core
    assert of_core(result, 0, "messages_in", "queue_peak", "queue_wait") == (2, 0, 0)
    assert links(result) == {}


def test_a_host_that_takes_time_for_each_message(run: Run) -> None:
    graph = chain(2, 1)
    profile = chip((1, 2, 1), neuron_update_stateless=1, axon_in=3, noc=noc(5, link=2), core={"overlap": True},
                   host={"tile": 0, "message": cost(4)})  # fmt: skip
    fired = spikes(graph, code={(0, 0): [0, 1]})
    result = run(graph, placed(graph, profile, l1=1), profile, fired)
    # they enter the link at 4 and 8, are out at 9 and 13: handled 9-12 and 13-16; from 8 to 9 both have their places
    assert result.step_time.tolist() == [16, 1]
    assert links(result) == {(0, 1): (2, 4, 0, 2)}


def test_values_are_sent_bit_by_bit_where_spikes_carry_none(run: Run) -> None:
    times = {"neuron_update_stateless": 0, "axon_in": 2, "synaptic_op": 1, "graded_synaptic_op": 5}
    graph = Net(3, encoder=DirectEncoder(scale=1.0, low=0, high=3)).add("l1", ("code", dense(2, 3))).graph
    fired = spikes(graph, code={(0, 0): {0: 3, 1: 2}})
    profile = chip(**times)
    result = run(graph, placed(graph, profile, l1=0), profile, fired)
    assert result.step_time.tolist() == [3 * 4, 0]  # two messages and one, of 2 + 2 x 1
    assert result.cores.messages_in.tolist() == [3]
    profile = chip(**times, numerics__payload_bits=quantity(8, "bits"))
    result = run(graph, placed(graph, profile, l1=0), profile, fired)
    assert result.step_time.tolist() == [2 * 12, 0]  # a message each, of 2 + 2 x 5
    graph = Net(3, encoder=DirectEncoder(scale=1.0, low=-4, high=3)).add("l1", ("code", dense(2, 3))).graph
    fired = spikes(graph, code={(0, 0): {0: -1, 1: 1, 2: -4}})
    profile = chip(**times)
    result = run(graph, placed(graph, profile, l1=0), profile, fired)
    assert result.step_time.tolist() == [5 * 4, 0]  # two's complement of three bits: 111, 001 and 100


def test_hybrid_input_takes_its_time_as_values_and_then_as_spikes(run: Run) -> None:
    times = {"neuron_update_active": 0, "neuron_update_inactive": 0, "axon_in": 2, "synaptic_op": 1,
             "graded_synaptic_op": 5}  # fmt: skip
    encoder = HybridEncoder(timesteps=3, scale=4.0, low=0, high=7)
    graph = Net(3, timesteps=3, encoder=encoder).add("l1", ("code", dense(2, 3))).graph
    fired = spikes(graph, 2, code={(0, 0): {0: 3, 1: 4}, (0, 1): {1: 4}, (0, 2): {0: 4, 2: 4}, (1, 0): {2: 7}})
    graded = chip(**times, numerics__payload_bits=quantity(8, "bits"))
    result = run(graph, placed(graph, graded, l1=0), graded, fired)
    # a value takes 2 + 2 x 5, a spike 2 + 2 x 1; the second sample begins where the first ends
    assert result.step_time.tolist() == [2 * 12, 4, 2 * 4, 12, 0, 0, 0]
    assert result.cores.messages_in.tolist() == [6]
    binary = chip(**times)
    result = run(graph, placed(graph, binary, l1=0), binary, fired)
    assert result.step_time.tolist() == [3 * 4, 4, 2 * 4, 3 * 4, 0, 0, 0]  # a message for each set bit: 3 is two, 4 one


def test_one_message_to_each_core_whatever_it_feeds_there(run: Run) -> None:
    # l1 reaches x twice, one of them a step late, and y, which lies on the same core
    net = Net(1, timesteps=2).add("l1", ("code", dense(1, 1)))
    net.add("x", ("l1", dense(2, 1)), ("l1", Recurrent(shape=(1,), steps=1), dense(2, 1)))
    graph = net.add("y", ("l1", dense(3, 1))).graph
    bank = {"name": "all", "source": "any", "target": "any", "zeros": "stored", "source_visit": None,
            "message": cost(10), "synaptic_op": cost(1)}  # fmt: skip
    profile = chip((1, 2, 1), neuron_update_active=1, neuron_update_inactive=1, axon_in=5, noc=noc(2), banks=[bank])
    fired = spikes(graph, l1={(0, 0): [0]})
    result = run(graph, placed(graph, profile, l1=0, x=1, y=1), profile, fired)
    # step 1: sent at 1, there at 3; core 1 is through with its updates at 5: 5 + 3 x 10 + 7 x 1 = 42, 5-47
    assert result.step_time.tolist() == [5, 47, 5, 5]
    assert result.cores.messages_out.tolist() == [1, 0]
    # x's step 0 is active by the one, its step 1 by the other
    assert result.visits.tolist() == [[1, 3, 0], [4, 4, 0], [3, 9, 0]]


def test_delays_are_kept_where_they_end(run: Run) -> None:
    # input is two steps late, so that the layer has phase 0; what would arrive after the sample is handled all the same
    net = Net(1, timesteps=3)
    graph = net.add("l1", ("code", Recurrent(shape=(1,), steps=2), dense(1, 1))).graph
    profile = chip(neuron_update_active=10, neuron_update_inactive=1, axon_in=3, core={"overlap": True})
    fired = spikes(graph, samples=2, code={(0, 0): [0], (0, 1): [0]})
    result = run(graph, placed(graph, profile, l1=0), profile, fired)
    # steps 0 and 1: the messages, 0-3; step 2: the first acts; step 3 is the next sample's, in which nothing acts
    assert result.step_time.tolist() == [3, 3, 10, 1, 1, 1]
    assert result.cores.messages_in.tolist() == [2]
    assert result.depth == 0
    assert result.sample_latency.tolist() == [16, 3]


def test_a_row_is_fetched_whole(run: Run) -> None:
    graph = chain(1, 3)
    profile = chip(neuron_update_stateless=1, axon_in=2, synaptic_op=3, core={"fetch": "row"})
    fired = spikes(graph, code={(0, 0): [0]})
    result = run(graph, placed(graph, profile, l1=0), profile, fired)
    assert result.step_time.tolist() == [3 + 2 + 8 * 3, 3]  # eight slots, of which three are there
    # into two populations of a core it is one row still
    graph = Net(1).add("x", ("code", dense(3, 1))).add("y", ("code", dense(2, 1))).graph
    result = run(graph, placed(graph, profile, x=0, y=0), profile, fired | spikes(graph, code={(0, 0): [0]}))
    assert result.step_time.tolist() == [5 + 2 + 8 * 3, 5]


def test_banks_have_prices_of_their_own(run: Run) -> None:
    eye = Linear(weight=np.eye(2, dtype=np.int64), weight_bits=4)
    net = Net(2, timesteps=2)
    net.add("l1", ("code", eye), ("l1", Recurrent(shape=(2,), steps=1), eye))
    graph = net.add("out", ("l1", dense(1, 2)), soma=readout()).graph
    banks = [
        {"name": "in", "source": "input", "target": "any", "zeros": "skipped", "source_visit": cost(1),
         "message": cost(2), "synaptic_op": cost(3)},
        {"name": "back", "source": "itself", "target": "neurons", "zeros": "stored", "source_visit": cost(10),
         "message": cost(20), "synaptic_op": cost(30)},
        {"name": "out", "source": "others", "target": "readouts", "zeros": "stored", "source_visit": None,
         "message": None, "synaptic_op": cost(5)},
    ]  # fmt: skip
    profile = chip(neuron_update_active=4, neuron_update_inactive=2, neuron_update_readout=7, axon_in=1,
                   synaptic_op=1000, banks=banks)  # fmt: skip
    fired = spikes(graph, code={(0, 0): [0]}, l1={(0, 0): [0]})
    result = run(graph, placed(graph, profile, l1=0, out=0), profile, fired)
    # every step begins with 2 x 1 + 2 x 10 for the sources: 22
    # step 0: idle updates 2 x 2 + 7, 22-33; the input 1 + 2 + 3, since a weight of zero is skipped: 33-39
    # step 1: input reaches both, by a weight of zero too: 2 x 4 + 7, 22-37; neuron 0's one message to its own core is
    #         1 + 20 + 2 x 30 and 5: 37-123
    # step 2: it comes back and makes both active, 22-37; step 3: as step 0, without input
    assert result.step_time.tolist() == [39, 123, 37, 33]
    assert [at(result, step, 0) for step in range(4)] == [(33, 0, 39), (37, 0, 123), (37, 0, 22), (33, 0, 22)]
    assert spent(result, 0) == (11 + 15 + 15 + 11, 4 * 22 + 6 + 86, 0, 0)
    overlapping = profile.model_copy(update={"core": chip(core={"overlap": True}).core})
    result = run(graph, placed(graph, overlapping, l1=0, out=0), overlapping, fired)
    # the message of step 1 is there at 4 and handled when the sources have been visited: 22-108
    assert result.step_time.tolist() == [28, 108, 22, 22]
    assert of_core(result, 0, "queue_peak", "queue_wait") == (1, 18)


# ---------------------------------------------------------------------------------------------------------- units


def test_a_clocked_chip_counts_in_cycles(run: Run) -> None:
    graph = chain(1, 3)
    fired = spikes(graph, code={(0, 0): [0]})
    cycles = {"unit": "cycles", "neuron_update_stateless": 2.5, "axon_in": 1, "synaptic_op": 0.125}
    for clock, unit_ns in ((None, None), ({"frequency_mhz": None}, None), ({"frequency_mhz": quantity(50, "MHz")}, 20)):
        profile = chip(**cycles, clock=clock)
        result = run(graph, placed(graph, profile, l1=0), profile, fired)
        assert (result.unit, result.unit_ns) == ("cycles", unit_ns)
        assert result.step_time.tolist() == [7.5 + 1.375, 7.5]
    # a time in ns anywhere, and all are
    profile = chip(**cycles, clock=clock, tick_ns=quantity(160, "ns"))
    result = run(graph, placed(graph, profile, l1=0), profile, fired)
    assert (result.unit, result.unit_ns) == ("ns", 1)
    assert result.step_time.tolist() == [8.875 * 20, 160]


def test_times_are_rounded_to_ticks_one_by_one(run: Run) -> None:
    # a third of a nanosecond is 333,333 femtoseconds, and three of them not quite one
    graph = chain(1, 3)
    profile = chip(unit="cycles", neuron_update_stateless=1, clock={"frequency_mhz": quantity(3000, "MHz")},
                   tick_ns=quantity(0, "ns"))  # fmt: skip
    result = run(graph, placed(graph, profile, l1=0), profile, spikes(graph))
    assert result.step_time.tolist() == [0.999999, 0.999999]
