"""Biases that the host sends: what they add to the counters of the tiny network, by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from costs_cases import SAMPLES, activity, chip, cost, mapped, quantity, tiny

from neurocompile.costs.activity import Activity
from neurocompile.costs.counters import Count, Counters, count
from neurocompile.costs.estimate import estimate
from neurocompile.costs.per_sample import SampleCounter
from neurocompile.hardware import Profile
from neurocompile.ir.graph import Graph
from neurocompile.ir.interpret import interpret
from neurocompile.mapping import map_graph

SENT = {"core": {"biases": "sent"}, "host": {"tile": 0, "message": None}}


def biased(timesteps: int = 2) -> Graph:
    """Neurons 0 and 2 have biases; readouts have none. Without state, neuron 2 fires where nothing comes."""
    graph = tiny(timesteps)
    bias = np.array([1, 0, -1]) if timesteps > 1 else np.array([1, 0, 3])
    draft = graph.edit()
    draft.replace("hidden", replace(graph.node("hidden"), bias=bias))
    return mapped(draft.finish())


def counted(graph: Graph, profile: Profile) -> Count:
    return count(graph, map_graph(graph, profile), activity(graph), profile)


def added(**changes: Any) -> dict[str, float]:
    """What being sent adds to the counters of both steps, where the hidden neurons lie on one core of tile 0."""
    graph = biased()
    sent = counted(graph, chip(**(SENT | changes)))
    held = counted(
        graph, chip(**(SENT | changes | {"core": SENT["core"] | changes.get("core", {}) | {"biases": "held"}}))
    )
    first, second = (Counters.of(each.total.flat) for each in (sent, held))
    assert sent.inputs == held.inputs + 2  # once at each of the two steps
    names = {*first.flat, *second.flat}
    found = {name: first.flat.get(name, 0) - second.flat.get(name, 0) for name in names}
    return {name: number for name, number in sorted(found.items()) if number}


def test_a_message_to_the_core_at_each_step_with_a_synapse_for_each_neuron() -> None:
    assert added() == {"messages_entered": 2, "messages_in": 2, "synaptic_ops": 4, "within_tile": 2}


def test_the_way_from_the_host() -> None:
    assert added(host={"tile": 1, "message": None}) == {
        "hops_east_west": 2, "messages_entered": 2, "messages_in": 2, "synaptic_ops": 4,
    }  # fmt: skip
    assert added(host=None) == {"messages_entered": 2, "messages_in": 2, "synaptic_ops": 4}


def test_in_the_bank_that_holds_most_of_the_synapses() -> None:
    bank = {"name": "all", "source": "any", "target": "any", "zeros": "stored", "source_visit": cost(1, 1),
            "message": cost(1, 1), "synaptic_op": cost(1, 1)}  # fmt: skip
    assert added(banks=[bank]) == {
        "bank_messages:all": 2, "bank_ops:all": 4, "messages_entered": 2, "messages_in": 2, "synaptic_ops": 4,
        "within_tile": 2,
    }  # fmt: skip


def test_rows_are_read_whole() -> None:
    rows = added(core={"biases": "sent", "fetch": "row"})
    assert rows["synaptic_ops"] == 2 * 8  # of as many slots as the core has


def test_each_core_gets_one() -> None:
    """Neurons 0 and 1 on a core, neuron 2 on the next, and no bias where neuron 1 is alone."""
    graph = biased()
    wide = {"topology__tile_columns": quantity(8, "tiles")}
    for most, cores in ((2, 2), (1, 2)):
        profiles = (
            chip(**SENT, **wide, limits__neurons=quantity(most, "neurons")),
            chip(**wide, host=SENT["host"], limits__neurons=quantity(most, "neurons")),
        )
        sent, held = (counted(graph, profile).total for profile in profiles)
        assert sent.messages_entered - held.messages_entered == 2 * cores
        assert sent.synaptic_ops - held.synaptic_ops == 4


def test_without_state_only_neurons_that_would_fire_at_every_step() -> None:
    """Neuron 0 has a bias of 1 and a threshold of 2, which become a threshold of 1."""
    graph = biased(timesteps=1)
    profiles = chip(**SENT), chip(host=SENT["host"])
    sent, held = (counted(graph, profile) for profile in profiles)
    assert (sent.total.messages_in - held.total.messages_in, sent.total.synaptic_ops - held.total.synaptic_ops) == (
        1,
        1,
    )
    assert sent.inputs == held.inputs + 1


def test_firings_are_those_of_inputs_and_biases_too() -> None:
    """The first sample sends 3, two bits, at each of two steps, the second none: two in the mean, beside two biases."""
    graph, profile = biased(), chip(**SENT)
    costs = estimate(graph, map_graph(graph, profile), activity(graph), profile)
    assert costs.inputs == 2 + 2
    assert costs.firings == costs.counters.spikes + 4
    whole = chip(**SENT, numerics__payload_bits=quantity(8, "bits"))  # a value is one spike
    assert counted(graph, whole).inputs == 1 + 2


def test_samples_alone_add_up() -> None:
    graph, profile = biased(), chip(**SENT)
    mapping = map_graph(graph, profile)
    counter = SampleCounter(graph, mapping, profile)
    Activity.of(graph, interpret(graph, SAMPLES), "some", counter.begin(len(SAMPLES)))
    each = counter.result().counters
    total = counted(graph, profile).total.flat
    assert {name: values.mean() for name, values in each.items()} == pytest.approx(
        {name: total.get(name, 0) for name in each}
    )
