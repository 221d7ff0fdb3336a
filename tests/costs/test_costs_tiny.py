"""Every counter, energy and time of the tiny network on the toy chip, worked out by hand.

Per step, with input (3, 0) for the first sample and darkness for the second (T = 2)::

    step 0: hidden input (3, 0, 3), membranes (3, 0, 3): nobody passes 5
    step 1: hidden input (3, 0, 3), membranes (6, 0, 6): neurons 0 and 2 fire, and the readouts get an event each

The chip carries no values, so 3 = 0b11 arrives as two messages per step: 4 in all from input neuron 0. The hidden layer
lies on core 0 = tile 0, the readouts on core 1 = tile 1, one hop east. The second sample does nothing but inactive
updates, so all that events cause is halved in the mean of the two.
"""

from __future__ import annotations

import pytest
from costs_cases import activity, chip, cost, mapped, tiny

from neurocompile.costs.counters import Counters, Traffic
from neurocompile.costs.estimate import Costs, estimate
from neurocompile.errors import CapacityError, GraphError
from neurocompile.hardware import Profile
from neurocompile.mapping import map_graph


def costs_on(profile: Profile, timesteps: int = 2) -> Costs:
    graph = mapped(tiny(timesteps))
    return estimate(graph, map_graph(graph, profile), activity(graph), profile)


def test_counters() -> None:
    hidden, readout = costs_on(chip()).layers
    assert hidden.counters == Counters(
        synaptic_ops=4 * 3 / 2,  # 4 messages, 3 synapses each
        updates_active=3 * 2 / 2,  # the first sample: an event is in everyone's receptive field at both steps
        updates_inactive=3 * 2 / 2,  # the second
        spikes=2 / 2,
        messages_out=2 / 2,
        messages_in=4 / 2,
        messages_entered=4 / 2,
        traffic=(
            # 18 bits of state take two words of 16; 3 neurons, 2 steps, in every sample
            Traffic("state", "states", 3 * 2 * 2, 3 * 2 * 2),
            # a list of 3 entries of 4 bits and a header of 4 is one word
            Traffic("synapses", "weights", 4 / 2),
        ),
    )
    assert readout.counters == Counters(
        synaptic_ops=2 * 2 / 2,
        updates_active=2 / 2,  # both readouts, at the second step of the first sample
        updates_inactive=(2 + 4) / 2,
        messages_in=2 / 2,
        hops_east_west=2 / 2,
        traffic=(Traffic("state", "states", 2 * 2 * 2, 2 * 2 * 2), Traffic("synapses", "weights", 2 / 2)),
    )


def test_energy() -> None:
    costs = costs_on(chip())
    hidden, readout = costs.layers
    assert hidden.energy_pj.parts == {
        "synapse": 6 * 1 + 2 * 0.5,
        "soma": 3 * 10 + 3 * 4 + 1 * 7,
        "noc": 0.0,
        "memory:states": 12 * 0.5 + 12 * 0.75,
        "memory:weights": 2 * 0.25,
        "host": 0.0,
        "static": 0.0,
    }
    assert hidden.energy_pj.total == 71.5
    assert readout.energy_pj.parts == {
        "synapse": 2 * 1 + 1 * 0.5,
        "soma": 1 * 10 + 3 * 4,
        "noc": 1 * 2,
        "memory:states": 8 * 0.5 + 8 * 0.75,
        "memory:weights": 1 * 0.25,
        "host": 0.0,
        "static": 0.0,
    }
    assert readout.energy_pj.total == 36.75
    assert costs.energy_pj.parts["static"] == 1.0 * 2 * 42  # 1 mW for two steps of 42 ns
    assert costs.total_pj == costs.known_energy_pj == 71.5 + 36.75 + 84
    assert costs.complete
    assert costs.missing == ()


def test_time() -> None:
    # core 0, both steps together: 6 ops x 2 ns, 2 messages x 1, 3 x 5, 3 x 3 and 1 spike x 6 are 44 ns; core 1 has 19
    costs = costs_on(chip())
    assert costs.step_ns == 20 + 44 / 2
    assert costs.latency_steps == 2 + 2  # the readout's phase and T
    assert costs.latency_ns == 4 * 42
    assert costs.throughput_per_s == pytest.approx(1e9 / (2 * 42))


def test_whole_network() -> None:
    costs = costs_on(chip())
    assert costs.entered == 2
    assert costs.counters.messages_in == costs.entered + costs.counters.messages_out
    assert costs.state_memory_words == 5 * 2
    assert not costs.stateless
    assert costs.weakest_basis == "simulated"


def test_parts_and_layers_sum_to_the_total() -> None:
    costs = costs_on(chip())
    parts = [part or 0.0 for part in costs.energy_pj.parts.values()]
    assert sum(parts) == pytest.approx(costs.total_pj)
    layers = [layer.energy_pj.total or 0.0 for layer in costs.layers]
    assert sum(layers) + (costs.energy_pj.parts["static"] or 0.0) == pytest.approx(costs.total_pj)


def test_chip_that_carries_values() -> None:
    payload = chip(numerics__payload_bits={"value": 8, "unit": "bits", "basis": "architectural", "source": "made up"})
    hidden, readout = costs_on(payload).layers
    assert hidden.counters.messages_in == 2 / 2  # one per event
    assert hidden.counters.graded_synaptic_ops == 2 * 3 / 2
    assert hidden.counters.synaptic_ops == 0
    assert readout.counters.graded_synaptic_ops == 0
    # the chip makes no difference between the two kinds of op
    assert hidden.energy_pj.parts["synapse"] == 3 * 1 + 1 * 0.5
    dear = payload.model_copy(update={"events": chip(events__graded_synaptic_op=cost(100, 9)).events})  # now it does
    assert costs_on(dear).layers[0].energy_pj.parts["synapse"] == 3 * 100 + 1 * 0.5


def test_stateless_has_no_state_traffic() -> None:
    costs = costs_on(chip(), timesteps=1)
    assert costs.stateless
    assert costs.state_memory_words == 0
    assert costs.counters.accesses("state") == 0
    assert costs.counters.updates_stateless == 5
    assert costs.counters.updates_active == costs.counters.updates_inactive == 0
    assert "memory:states" not in costs.energy_pj.parts
    # an update without state costs what an active one does where the chip says nothing of it
    assert costs.layers[0].energy_pj.parts["soma"] == 3 * 10 + 2 / 2 * 7
    own = costs_on(chip(events__neuron_update_stateless=cost(1, 1)), timesteps=1)
    assert own.layers[0].energy_pj.parts["soma"] == 3 * 1 + 1 * 7


@pytest.mark.parametrize(
    ("changes", "key", "part"),
    [
        ({"events__synaptic_op": cost(None, 2)}, "events.synaptic_op.energy_pj", "synapse"),
        ({"events__spike_out": cost(None, 6)}, "events.spike_out.energy_pj", "soma"),
        ({"noc__hop_east_west": cost(None, 1)}, "noc.hop_east_west.energy_pj", "noc"),
        ({"memory__1__write": cost(None, None)}, "memory.states.write.energy_pj", "memory:states"),
        ({"memory__1__word_bits": None}, "memory.states.word_bits", "memory:states"),
        ({"static_power_mw": None}, "static_power_mw", "static"),
    ],
)
def test_unknown_energy_makes_the_total_incomplete(changes: dict[str, object], key: str, part: str) -> None:
    whole, costs = costs_on(chip()), costs_on(chip(**changes))
    assert costs.missing == (key,)
    assert not costs.complete
    assert costs.total_pj is None
    assert costs.energy_pj.parts[part] is None
    others = {name: value for name, value in costs.energy_pj.parts.items() if name != part}
    assert all(value is not None for value in others.values())
    assert 0 < costs.known_energy_pj < (whole.total_pj or 0)
    assert costs.latency_ns == whole.latency_ns


def test_unknown_time_leaves_latency_and_static_energy_open() -> None:
    costs = costs_on(chip(events__synaptic_op=cost(1, None)))
    assert costs.missing == ("events.synaptic_op.time_ns",)
    assert costs.step_ns is None
    assert costs.latency_ns is None
    assert costs.throughput_per_s is None
    assert costs.energy_pj.parts["static"] is None
    assert costs.known_energy_pj == 108.25


def test_no_static_power_needs_no_time() -> None:
    dark = {"value": 0, "unit": "mW", "basis": "assumed", "source": "made up"}
    costs = costs_on(chip(events__synaptic_op=cost(1, None), static_power_mw=dark))
    assert costs.total_pj == 108.25
    assert costs.latency_ns is None


def test_nobody_needs_a_number_that_counts_nothing() -> None:
    costs = costs_on(chip(noc__hop_north_south=cost(None, None), events__graded_synaptic_op=cost(None, None)))
    assert costs.complete


def test_an_event_that_the_chip_does_not_have_costs_nothing() -> None:
    costs = costs_on(chip(events__spike_out=None, events__axon_in=None))
    assert costs.complete
    assert costs.layers[0].energy_pj.parts["soma"] == 3 * 10 + 3 * 4
    assert costs.layers[0].energy_pj.parts["synapse"] == 6


def test_a_memory_within_the_events_is_counted_and_not_charged() -> None:
    costs = costs_on(chip(memory__1__energy_in_events=True))
    assert "memory:states" not in costs.energy_pj.parts
    assert costs.counters.accesses("state") == 40
    assert costs.total_pj == 71.5 + 36.75 + 84 - 25


def test_a_memory_within_the_events_needs_no_prices() -> None:
    costs = costs_on(
        chip(memory__1__energy_in_events=True, memory__1__read=cost(None, None), memory__1__word_bits=None)
    )
    assert costs.complete
    assert costs.counters.accesses("state") == 20  # a word for each membrane where its width is unknown


def test_weakest_basis_is_of_what_was_used() -> None:
    assert costs_on(chip(events__spike_out=cost(7, 6, "assumed"))).weakest_basis == "assumed"
    assert costs_on(chip(noc__hop_north_south=cost(3, 1, "assumed"))).weakest_basis == "simulated"


def test_barrier_beyond_what_is_known() -> None:
    points = [{"tiles": 1, "time_ns": {"value": 10, "unit": "ns", "basis": "measured", "source": "made up"}}]
    costs = costs_on(chip(barrier__points=points))
    assert costs.missing == ("barrier.points",)
    assert costs.latency_ns is None


def test_contents_move_to_the_next_level_when_the_first_is_full() -> None:
    toy = chip()
    small = toy.memory[1].model_copy(
        update={"name": "tiny", "size_words": toy.memory[1].size_words.model_copy(update={"value": 5})}
    )
    levels = (toy.memory[0], small, toy.memory[1])
    costs = costs_on(toy.model_copy(update={"memory": levels}))
    assert [traffic.level for layer in costs.layers for traffic in layer.counters.traffic] == [
        "states",  # 3 neurons take 6 words
        "weights",
        "tiny",  # 2 take 4
        "weights",
    ]
    with pytest.raises(CapacityError, match=r"hidden: 6 words of state on core 0 fit no memory of toy"):
        costs_on(toy.model_copy(update={"memory": levels[:2]}))


def test_a_level_per_chip_is_filled_slice_by_slice() -> None:
    toy = chip()
    shared = toy.memory[1].model_copy(
        update={"name": "shared", "per": "chip", "size_words": toy.memory[1].size_words.model_copy(update={"value": 9})}
    )
    costs = costs_on(toy.model_copy(update={"memory": (toy.memory[0], shared, toy.memory[1])}))
    hidden, readout = costs.layers
    # 6 words of hidden fit, the 4 of readout no longer do; each core has its own memory of weights
    assert [each.level for each in hidden.counters.traffic] == ["shared", "weights"]
    assert [each.level for each in readout.counters.traffic] == ["states", "weights"]
    weights, chips, states = costs.levels
    assert [(each.level.name, each.words, each.fullest) for each in costs.levels] == [
        ("weights", 4 + 3, 4),  # a list of a word for each source neuron, that of an input once for each of its bits
        ("shared", 6, 6),
        ("states", 4, 4),
    ]
    assert (chips.share, chips.reads, chips.writes, chips.energy_pj) == (6 / 9, 12, 12, 12 * 0.5 + 12 * 0.75)
    assert (states.reads, states.energy_pj) == (8, 8 * 0.5 + 8 * 0.75)
    assert (weights.reads, weights.writes, weights.energy_pj, weights.time_ns) == (2 + 1, 0, 3 * 0.25, None)


def test_only_mapped_graphs_have_costs() -> None:
    graph = tiny()
    with pytest.raises(GraphError, match="stage 'integer'"):
        estimate(graph, map_graph(graph, chip()), activity(graph), chip())
