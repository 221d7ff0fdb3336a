"""Tiny networks whose every time is worked out here, in ns unless said otherwise.

Each case runs through the engine and through the slow simulator, so that the one judges the derivations and both are
judged by them. A population of phase p works on its step s in chip step s + p; the first layer has phase 1. Input has
no way to go on a chip without a host: it waits at its core from time 0 on.
"""

from __future__ import annotations

from typing import Any

import pytest

from neurocompile.hardware import Profile
from neurocompile.ir.graph import Graph
from neurocompile.ir.nodes import Array, Recurrent
from tests.backends.cycle.cycle_cases import (
    Net,
    Run,
    at,
    chain,
    chip,
    dense,
    links,
    noc,
    of_core,
    placed,
    single,
    spent,
    spikes,
)

# ------------------------------------------------------------------------------------------------------ one core


def one_core(profile: Profile) -> tuple[Graph, Any, Profile, dict[str, Array]]:
    """2 inputs -> 3 neurons, two steps: input 0 fires at the first, and so does neuron 1. Chip step 0 has the input,
    1 and 2 are the layer's own two."""
    graph = chain(2, 3, timesteps=2)
    return graph, placed(graph, profile, l1=0), profile, spikes(graph, code={(0, 0): [0]}, l1={(0, 0): [1]})


ONE_CORE = {"neuron_update_active": 5, "neuron_update_inactive": 3, "spike_out": 7, "axon_in": 2, "synaptic_op": 1}


def test_one_core_without_overlap(run: Run) -> None:
    result = run(*one_core(chip(**ONE_CORE)))
    # step 0: 3 inactive updates 0-9, then the message: 2 + 3 synapses x 1 = 5, 9-14
    # step 1: the event makes 3 updates active, 15, and one fires, 7: 0-22; no input
    # step 2: 3 inactive updates 0-9
    assert result.step_time.tolist() == [14, 22, 9]
    assert result.fast_step_time.tolist() == [14, 22, 9]
    assert [at(result, step, 0) for step in range(3)] == [(9, 9, 14), (22, 0, 0), (9, 0, 0)]
    assert spent(result, 0) == (9 + 22 + 9, 5, 0, 0)
    assert of_core(result, 0, "messages_out", "messages_in", "queue_peak", "queue_wait") == (0, 1, 0, 0)
    assert result.visits.tolist() == [[3, 6, 0]]
    # the sample enters in step 0 and is done after step 0 + 2 - 1 + 1 = 2
    assert result.sample_latency.tolist() == [45]
    assert result.samples_per_unit == 1 / 45
    assert (result.total, result.fast_total, result.depth, result.engines) == (45, 45, 1, 1)


def test_one_core_with_overlap(run: Run) -> None:
    result = run(*one_core(chip(**ONE_CORE, core={"overlap": True})))
    # step 0: updates 0-9 beside the message 0-5
    assert result.step_time.tolist() == [9, 22, 9]
    assert at(result, 0, 0) == (9, 0, 5)
    assert spent(result, 0) == (40, 5, 0, 2 * 40 - 45)
    assert result.engines == 2


# --------------------------------------------------------------------------------------------------- the network


def test_two_cores_and_one_link(run: Run) -> None:
    graph = chain(1, 2, 1)
    profile = chip((1, 2, 1), neuron_update_stateless=4, spike_out=1, axon_out=2, axon_in=3, synaptic_op=5,
                   noc=noc(6), core={"overlap": True})  # fmt: skip
    fired = spikes(graph, code={(0, 0): [0]}, l1={(0, 0): [0, 1]}, l2={(0, 0): [0]})
    result = run(graph, placed(graph, profile, l1=0, l2=1), profile, fired)
    # step 0: core 0 updates 0-8 and handles the input, 3 + 2 x 5 = 13, 0-13; core 1 updates 0-4
    # step 1: core 0: update 4, spike 5, axon 7: into the link, out at 13; from 7 on 4 + 1 + 2 again: 14, out at 20;
    #         core 1 handles 3 + 5 = 8: 13-21, and the second, which waits from 20 on, 21-29
    # step 2: core 0 updates 0-8; core 1 updates and fires, 0-5
    assert result.step_time.tolist() == [13, 29, 8]
    assert result.fast_step_time.tolist() == [13, 16, 8]
    assert [at(result, step, 0) for step in range(3)] == [(8, 0, 13), (14, 0, 0), (8, 0, 0)]
    assert [at(result, step, 1) for step in range(3)] == [(4, 0, 0), (4, 13, 29), (5, 0, 0)]
    assert spent(result, 0) == (8 + 14 + 8, 13, 0, 2 * 50 - 43)
    assert spent(result, 1) == (4 + 4 + 5, 16, 0, 2 * 50 - 29)
    assert of_core(result, 0, "messages_out", "messages_in") == (2, 1)
    assert of_core(result, 1, "messages_out", "messages_in", "queue_peak", "queue_wait") == (0, 2, 1, 1)
    assert links(result) == {(0, 1): (2, 0, 0, 1)}  # never busy, since nobody says for how long
    assert result.visits.tolist() == [[0, 0, 6], [0, 0, 3]]
    assert result.sample_latency.tolist() == [50]


def test_two_hops_with_a_turn(run: Run) -> None:
    # tiles 0 1 / 2 3: from 0 to 3 by 1, and back from 3 to 0 by 2, since rows come first
    graph = chain(1, 1, 1, 1)
    profile = chip((2, 2, 1), neuron_update_stateless=1, axon_in=2, noc=noc(3, south=7, link=2),
                   core={"overlap": True})  # fmt: skip
    fired = spikes(graph, code={(0, 0): [0]}, l1={(0, 0): [0]}, l2={(0, 0): [0]})
    result = run(graph, placed(graph, profile, l1=0, l2=3, l3=0), profile, fired)
    # step 0: core 0 updates l1 and l3, 0-2, and handles the input, 0-2
    # step 1: l1 sends at 1: out of the first link at 4, of the second at 11; core 3 handles 11-13
    # step 2: l2 sends at 1: the same in the other direction; core 0 handles 11-13
    assert result.step_time.tolist() == [2, 13, 13, 2]
    assert links(result) == dict.fromkeys(((0, 1), (1, 3), (2, 0), (3, 2)), (1, 2, 0, 1))
    assert at(result, 1, 3) == (1, 11, 13)
    assert at(result, 2, 0) == (2, 11, 13)
    assert spent(result, 0) == (4 * 2, 2 + 2, 0, 2 * 30 - 12)


def test_within_a_tile_and_to_itself(run: Run) -> None:
    # l1 on core 0 sends to itself, a step late, and to l2 on core 1 of the same tile
    net = Net(1, timesteps=2)
    net.add("l1", ("code", dense(1, 1)), ("l1", Recurrent(shape=(1,), steps=1), dense(1, 1)))
    graph = net.add("l2", ("l1", dense(1, 1))).graph
    profile = chip((1, 1, 2), neuron_update_active=5, neuron_update_inactive=2, axon_out=3, axon_in=1, synaptic_op=1,
                   noc=noc(within=4), core={"overlap": True})  # fmt: skip
    fired = spikes(graph, code={(0, 0): [0]}, l1={(0, 0): [0]})
    result = run(graph, placed(graph, profile, l1=0, l2=1), profile, fired)
    # step 0: all idle, 2; the input is handled 0-2
    # step 1: l1 active 0-5; axon to core 0 at 8, there at 12, handled 12-14; axon to core 1 at 11, there at 15, 15-17
    # step 2: l1's own spike makes its second step active, and l2's first: 5
    # step 3: l1 is done and idle, l2's second step is inactive: 2
    assert result.step_time.tolist() == [2, 17, 5, 2]
    assert at(result, 1, 0) == (11, 12, 14)
    assert at(result, 1, 1) == (2, 15, 17)
    assert spent(result, 0) == (2 + 11 + 5 + 2, 2 + 2, 0, 2 * 26 - 24)
    assert of_core(result, 0, "messages_out", "messages_in", "queue_peak", "queue_wait") == (2, 2, 1, 0)
    assert result.visits.tolist() == [[2, 2, 0], [1, 3, 0]]
    assert links(result) == {}


def test_two_cores_want_one_link(run: Run) -> None:
    # l1 lies on cores 0 (two neurons) and 1 of one tile; l2 on core 2 of the next
    graph = chain(1, 3, 1)
    profile = chip((1, 2, 2), neuron_update_stateless=1, axon_in=2, noc=noc(5, link=4), core={"overlap": True})
    fired = spikes(graph, code={(0, 0): [0]}, l1={(0, 0): [0, 1, 2]})
    result = run(graph, placed(graph, profile, l1=[(0, 2), (1, 1)], l2=2), profile, fired)
    # step 0: inputs 0-2, core 0 updates 0-2
    # step 1: at 1 neurons 0 and 2 are ready; 0 has the lower number and enters, out at 6. At 2 neuron 1 is ready.
    #         At 5 the link is free: neuron 2 has waited longer, though its number is higher: out at 10.
    #         At 9 neuron 1 enters, out at 14. Core 2 handles 6-8, 10-12, 14-16.
    assert result.step_time.tolist() == [2, 16, 2]
    assert result.fast_step_time.tolist() == [2, 6, 2]
    assert (at(result, 1, 0)[0], at(result, 1, 1)[0], at(result, 1, 2)) == (9, 5, (1, 6, 16))
    assert spent(result, 0) == (6, 2, 7, 2 * 20 - 15)
    assert spent(result, 1) == (3, 2, 4, 2 * 20 - 9)
    assert links(result) == {(0, 1): (3, 12, 4 + 7, 2)}  # one is out at 6, the next has been in since 5
    assert of_core(result, 2, "queue_peak", "queue_wait") == (1, 0)


def test_one_that_waits_goes_before_one_that_comes(run: Run) -> None:
    # as above, but the link is free again just when neuron 1 is ready
    graph = chain(1, 3, 1)
    profile = chip((1, 2, 2), neuron_update_stateless=1, axon_in=2, noc=noc(5, link=1), core={"overlap": True})
    fired = spikes(graph, l1={(0, 0): [0, 1, 2]})
    result = run(graph, placed(graph, profile, l1=[(0, 2), (1, 1)], l2=2), profile, fired)
    # step 1: 0 enters at 1; at 2 neuron 2, which waits since 1, before 1 with its lower number, which enters at 3
    assert (at(result, 1, 0)[0], at(result, 1, 1)[0]) == (3, 2)
    assert spent(result, 0)[2] == spent(result, 1)[2] == 1
    # out at 6, 7 and 8, handled 6-8, 8-10, 10-12; at 8 the third comes before the second is taken out of the queue
    assert result.step_time.tolist() == [2, 12, 2]
    assert of_core(result, 2, "queue_peak", "queue_wait") == (2, 0 + 1 + 2)


def test_two_messages_arrive_at_once(run: Run) -> None:
    # a on the left and b on the right of l2; a reaches both of its neurons, b's neuron 0 one of them
    net = Net(1).add("a", ("code", dense(1, 1))).add("b", ("code", dense(2, 1)))
    graph = net.add("l2", ("a", dense(2, 1)), ("b", single(2))).graph
    profile = chip((1, 3, 1), neuron_update_stateless=1, axon_in=4, synaptic_op=1, noc=noc(5), core={"overlap": True})
    fired = spikes(graph, code={(0, 0): [0]}, a={(0, 0): [0]}, b={(0, 0): [0]})
    result = run(graph, placed(graph, profile, a=0, b=2, l2=1), profile, fired)
    # step 0: a handles 4 + 1, b 4 + 2
    # step 1: both send at 1 and arrive at 6; a's has the lower number: 4 + 2, 6-12; b's waits: 4 + 1, 12-17
    assert result.step_time.tolist() == [6, 17, 2]
    assert of_core(result, 1, "queue_peak", "queue_wait") == (2, 6)
    assert at(result, 1, 1) == (2, 6, 17)
    assert links(result) == {(0, 1): (1, 0, 0, 1), (2, 1): (1, 0, 0, 1)}


def test_back_pressure_with_buffers_of_one(run: Run) -> None:
    # three neurons of core 0 each send to x on core 1 and to y on core 2, behind it
    net = Net(1).add("l1", ("code", dense(3, 1)))
    graph = net.add("x", ("l1", dense(1, 3))).add("y", ("l1", dense(1, 3))).graph
    profile = chip((1, 3, 1), neuron_update_stateless=1, axon_in=10, noc=noc(2, link=1, buffers=1),
                   core={"overlap": True})  # fmt: skip
    fired = spikes(graph, code={(0, 0): [0]}, l1={(0, 0): [0, 1, 2]})
    result = run(graph, placed(graph, profile, l1=0, x=1, y=2), profile, fired)
    # step 1: messages 0, 2, 4 go to x, 1, 3, 5 to y; 01 and 12 are the links
    #  t = 1: 0 enters 01; 1 is ready at once, but the place behind the link is taken
    #      3: 0 comes out, into x's queue, and is handled 3-13; 1 enters 01
    #      4: 2 is ready
    #      5: 1 comes out and enters 12; 2 enters 01; 3 is ready
    #      7: 1 comes out, is handled 7-17; 2 comes out, into x's queue; 3 enters 01
    #      8: 4 is ready
    #      9: 3 comes out and enters 12; 4 enters 01; 5 is ready
    #     11: 3 comes out, into y's queue; 4 comes out, but x's queue is full: it blocks 5, whose way is free
    #     13: 2 is handled 13-23: 4 into the queue at the same instant; 5 enters 01
    #     15: 5 comes out and enters 12
    #     17: 3 is handled 17-27: 5, which comes out at 17, has its place
    #     23: 4 is handled 23-33; at 27 5, 27-37
    assert result.step_time.tolist() == [10, 37, 3]
    assert result.fast_step_time.tolist() == [10, 30, 3]
    assert at(result, 1, 0)[0] == 13
    assert at(result, 1, 1) == (1, 3, 33)
    assert at(result, 1, 2) == (1, 7, 37)
    assert spent(result, 0) == (3 * 3, 10, 2 + 1 + 2 + 1 + 4, 2 * 50 - 29)
    assert links(result) == {(0, 1): (6, 6, 2 + 1 + 2 + 1 + 4, 1), (1, 2): (3, 3, 0, 1)}
    assert of_core(result, 1, "messages_in", "queue_peak", "queue_wait") == (3, 1, 6 + 10)
    assert of_core(result, 2, "messages_in", "queue_peak", "queue_wait") == (3, 1, 6 + 10)


def test_the_head_of_a_buffer_blocks_those_behind_it(run: Run) -> None:
    # on core 0, a's four neurons send to x on core 1, then b's to y on core 2; buffers of two
    net = Net(1).add("a", ("code", dense(4, 1))).add("b", ("code", dense(1, 1)))
    graph = net.add("x", ("a", dense(1, 4))).add("y", ("b", dense(1, 1))).graph
    profile = chip((1, 3, 1), neuron_update_stateless=1, axon_in=10, noc=noc(2, link=1, buffers=2),
                   core={"overlap": True})  # fmt: skip
    fired = spikes(graph, a={(0, 0): [0, 1, 2, 3]}, b={(0, 0): [0]})
    result = run(graph, placed(graph, profile, a=0, b=0, x=1, y=2), profile, fired)
    # step 1: 0 to 3 enter the link at 1, 2, 3, 4, the last message at 5: none waits
    #  0 out at 3, handled 3-13; 1 out at 4 and 2 at 5 fill the queue; 3 out at 6 finds it full; the last is out at 7
    #  13: 1 is handled 13-23; 3 into the queue; now the last is the head: it enters the next link, out at 15, 15-25
    #  2 is handled 23-33, 3 33-43
    assert result.step_time.tolist() == [5, 43, 5]
    assert spent(result, 0) == (15, 0, 0, 2 * 53 - 15)
    assert at(result, 1, 1) == (1, 3, 43)
    assert at(result, 1, 2) == (1, 15, 25)
    assert links(result) == {(0, 1): (5, 5, 0, 2), (1, 2): (1, 1, 0, 1)}  # able to go since 13 only
    assert of_core(result, 1, "queue_peak", "queue_wait") == (2, 9 + 18 + 20)


def test_a_message_within_a_tile_takes_its_place_when_it_is_handed_over(run: Run) -> None:
    # three neurons of core 0 send to core 1 of the same tile, whose queue holds one
    graph = chain(1, 3, 1)
    profile = chip((1, 1, 2), neuron_update_stateless=1, axon_in=10, noc=noc(within=4, buffers=1),
                   core={"overlap": True})  # fmt: skip
    fired = spikes(graph, l1={(0, 0): [0, 1, 2]})
    result = run(graph, placed(graph, profile, l1=0, l2=1), profile, fired)
    # step 1: 0 is handed over at 1 and there at 5, handled 5-15. Its place was taken from 1 on, so 1, ready at 2, goes
    # at 5, is there at 9 and handled 15-25; 2, ready at 6, goes at 15, is there at 19 and handled 25-35
    assert result.step_time.tolist() == [3, 35, 3]
    assert spent(result, 0) == (9, 0, 3 + 9, 2 * 41 - 21)
    assert of_core(result, 1, "queue_peak", "queue_wait") == (1, 0 + 6 + 6)
    assert at(result, 1, 0)[0] == 15


# ------------------------------------------------------------------------------------------- one engine for both


def test_a_core_without_overlap_receives_when_it_has_sent(run: Run) -> None:
    # two samples: in step 2 l1 works on the second while l2 works on the first
    graph = chain(1, 1, 4)
    times = {"neuron_update_stateless": 2, "axon_in": 3, "noc": noc(3)}
    fired = spikes(graph, samples=2, l1={(1, 0): [0]})
    serial = chip((1, 2, 1), **times)
    result = run(graph, placed(graph, serial, l1=0, l2=1), serial, fired)
    # step 2: core 0 sends at 2; core 1 has it at 5 and is busy with its four updates until 8: 8-11
    assert result.step_time.tolist() == [8, 8, 11, 8]
    assert at(result, 2, 1) == (8, 8, 11)
    assert of_core(result, 1, "queue_peak", "queue_wait") == (1, 3)
    overlapping = chip((1, 2, 1), **times, core={"overlap": True})
    result = run(graph, placed(graph, overlapping, l1=0, l2=1), overlapping, fired)
    assert result.step_time.tolist() == [8, 8, 8, 8]  # 5-8
    assert at(result, 2, 1) == (8, 5, 8)
    assert of_core(result, 1, "queue_peak", "queue_wait") == (1, 0)


@pytest.mark.parametrize("axon_in", [7, 15])
def test_a_stalled_core_without_overlap_handles_what_is_there(run: Run, axon_in: int) -> None:
    # in step 1 the second sample's two inputs wait at core 0, while neurons 0 and 1 of l1 send and 2 does not
    graph = chain(2, 3, 1)
    profile = chip((1, 2, 1), neuron_update_stateless=1, axon_in=axon_in, noc=noc(1, link=20))
    fired = spikes(graph, samples=2, code={(1, 0): [0, 1]}, l1={(0, 0): [0, 1]})
    result = run(graph, placed(graph, profile, l1=0, l2=1), profile, fired)
    # the first enters the link at 1, is out at 2; the second is ready at 2, and the link is free at 21
    if axon_in == 7:
        # core 0 handles 2-9 and 9-16, then has nothing to do until 21; the last update is 21-22
        # core 1 handles 2-9, then what is out at 22, 22-29
        assert result.step_time.tolist() == [3, 29, 3, 3]
        assert at(result, 1, 0) == (22, 2, 16)
        assert spent(result, 0) == (12, 14, 5, 38 - 31)
    else:
        # core 0 handles 2-17 and 17-32; the network takes the second message at 21 all the same, and the last update
        # comes at 32-33. Core 1 handles 2-17 and 22-37
        assert result.step_time.tolist() == [3, 37, 3, 3]
        assert at(result, 1, 0) == (33, 2, 32)
        assert spent(result, 0) == (12, 30, 0, 46 - 42)
    assert links(result) == {(0, 1): (2, 40, 19, 1)}


def test_two_cores_without_overlap_make_room_for_each_other(run: Run) -> None:
    # in chip step 2 the three neurons of a and of b fire at each other, with buffers of one
    net = Net(1, timesteps=2)
    net.add("a", ("code", dense(3, 1)), ("b", Recurrent(shape=(3,), steps=2), dense(3, 3)))
    graph = net.add("b", ("a", dense(3, 3))).graph
    profile = chip((1, 2, 1), neuron_update_active=1, neuron_update_inactive=1, axon_in=4, noc=noc(1, buffers=1))
    fired = spikes(graph, a={(0, 1): [0, 1, 2]}, b={(0, 0): [0, 1, 2]})
    result = run(graph, placed(graph, profile, a=0, b=1), profile, fired)
    # step 2, both alike: t = 1: 0 enters the link
    #  2: 0 comes out, into the queue; 1 enters the link
    #  3: 1 comes out, but the queue is full, and so 2 cannot go: the core handles 0, 3-7; at the same instant 1 has its
    #     place and 2 enters the link
    #  4: 2 comes out and waits for a place
    #  7: the sending side is done; 1 is handled 7-11, 2 has its place and is handled 11-15
    assert result.step_time.tolist() == [3, 3, 15, 3]
    for core in (0, 1):
        assert spent(result, core) == (12, 12, 0, 0)
        assert at(result, 2, core) == (7, 3, 15)
        assert of_core(result, core, "queue_peak", "queue_wait") == (1, 1 + 4 + 4)
    assert links(result) == {(0, 1): (3, 0, 0, 1), (1, 0): (3, 0, 0, 1)}
