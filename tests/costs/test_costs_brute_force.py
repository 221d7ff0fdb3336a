"""Counters against explicit synapse matrices: pooling, groups, strides, a skip, a recurrent layer and many cores."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from costs_cases import FIXED, activity, chip, mapped
from costs_followed import matrix

from neurocompile.costs.activity import Activity
from neurocompile.costs.counters import count
from neurocompile.hardware import Profile
from neurocompile.ir.graph import Graph
from neurocompile.ir.interpret import interpret
from neurocompile.ir.nodes import (
    Add,
    Conv2d,
    DirectEncoder,
    Flatten,
    Input,
    Linear,
    Neuron,
    Readout,
    Recurrent,
    Scale,
    SumPool2d,
)
from neurocompile.ir.populations import Population, populations
from neurocompile.ir.verify import verify
from neurocompile.mapping import map_graph, synapses
from neurocompile.mapping.mapping import CoreSlice

Array = np.ndarray[Any, Any]


def network(seed: int, timesteps: int = 3) -> Graph:
    rng = np.random.default_rng(seed)

    def weights(*shape: int) -> Array:
        return rng.integers(-3, 4, shape)

    def neuron(threshold: int) -> Neuron:
        zero, one = np.array(0), np.array(FIXED.one)
        return Neuron(threshold=np.array(threshold), leak=one // 2, current_leak=zero, bias=zero, reset_value=zero,
                      fixed=FIXED)  # fmt: skip

    zero, one = np.array(0), np.array(FIXED.one)
    graph = Graph(
        "net",
        "integer",
        timesteps,
        [
            ("input", Input(shape=(2, 6, 6)), ()),
            ("encoder", DirectEncoder(scale=1.0, low=-2, high=3), ("input",)),
            ("conv1", Conv2d(weight=weights(4, 1, 3, 3), padding=(1, 1), groups=2, weight_bits=4), ("encoder",)),
            ("one", neuron(4), ("conv1",)),
            ("pool", SumPool2d(kernel=(2, 2), stride=(2, 2)), ("one",)),
            ("conv2", Conv2d(weight=weights(4, 4, 3, 3), padding=(1, 1), weight_bits=4), ("pool",)),
            ("shortcut.pool", SumPool2d(kernel=(2, 2), stride=(2, 2)), ("one",)),
            ("shortcut", Scale(weight=weights(4), weight_bits=4), ("shortcut.pool",)),
            ("before", Recurrent(shape=(4, 3, 3)), ("two",)),
            ("back", Conv2d(weight=weights(4, 1, 3, 3), padding=(1, 1), groups=4, weight_bits=4), ("before",)),
            ("add", Add(), ("conv2", "shortcut", "back")),
            ("two", neuron(6), ("add",)),
            ("flat", Flatten(), ("two",)),
            ("fc", Linear(weight=weights(5, 36), weight_bits=4), ("flat",)),
            ("out", Readout(leak=one, current_leak=zero, bias=zero, fixed=FIXED), ("fc",)),
        ],
        ("out",),
    )
    verify(graph)
    return graph


def big(neurons: int, payload_bits: int) -> Profile:
    toy = chip(numerics__payload_bits={"value": payload_bits, "unit": "bits", "basis": "architectural", "source": "-"})
    limits = toy.limits.model_copy(update={"neurons": toy.limits.neurons.model_copy(update={"value": neurons})})
    rows = toy.topology.tile_rows.model_copy(update={"value": 64})
    roomy = tuple(level.model_copy(update={"size_words": None}) for level in toy.memory)
    topology = toy.topology.model_copy(update={"tile_rows": rows})
    return toy.model_copy(update={"limits": limits, "topology": topology, "memory": roomy})


@pytest.mark.parametrize("payload_bits", [0, 8])
@pytest.mark.parametrize("neurons", [7, 36, 1000])
def test_counters_match_the_synapse_matrix(neurons: int, payload_bits: int) -> None:
    graph = mapped(network(neurons))
    profile = big(neurons, payload_bits)
    mapping = map_graph(graph, profile)
    samples = np.random.default_rng(1).uniform(-2, 3, (4, 2, 6, 6))
    seen = activity(graph, samples)
    counted = count(graph, mapping, seen, profile)
    assert (mapping.cores > 10) == (neurons == 7)
    arriving: dict[tuple[int, str], Array] = {}  # by core and source: the source's neurons that have synapses there
    for population in populations(graph):
        plain = graded = 0
        for projection in population.projections:
            in_bits = projection.source == "encoder" and payload_bits == 0
            sent = (seen.bits if in_bits else seen.events)[projection.source].ravel()
            synapse = matrix(projection)
            if projection.source == "encoder" and not in_bits:
                graded += int((synapse @ sent).sum())
            else:
                plain += int((synapse @ sent).sum())
            for each in mapping.of(population.name):
                before = arriving.get((each.core, projection.source), np.zeros(sent.shape, np.bool_))
                arriving[each.core, projection.source] = before | joined(population, each, synapse)
        counters = counted.of(population.name)
        assert counters.synaptic_ops * 4 == pytest.approx(plain)
        assert counters.graded_synaptic_ops * 4 == pytest.approx(graded)
    for core, counters in counted.by_core().items():
        messages = sum(
            int((seen.bits if source == "encoder" and payload_bits == 0 else seen.events)[source].ravel()[there].sum())
            for (at, source), there in arriving.items()
            if at == core
        )
        assert counters.messages_in * 4 == pytest.approx(messages)
    total = counted.total
    assert total.messages_in == pytest.approx(total.messages_out + counted.entered)
    assert total.spikes * 4 == sum(int(array.sum()) for name, array in seen.events.items() if name != "encoder")
    updates = total.updates_active + total.updates_inactive + total.updates_stateless
    assert updates == pytest.approx(3 * sum(population.neurons for population in populations(graph)))


def joined(population: Population, each: CoreSlice, synapse: Array) -> Array:
    """Sources with a synapse into the slice."""
    targets = np.zeros(population.shape, np.bool_)
    targets[tuple(slice(*span) for span in each.box)] = True
    return synapse[targets.ravel()].any(axis=0)


def test_hops_are_as_if_each_message_was_followed() -> None:
    graph, profile = mapped(network(0)), big(7, 0)
    mapping = map_graph(graph, profile)
    samples = np.random.default_rng(2).uniform(-2, 3, (3, 2, 6, 6))
    seen = activity(graph, samples)
    tile_of: dict[tuple[str, int], int] = {}
    for each in mapping.slices:
        shape = graph.shape(each.population)
        numbers = np.arange(np.prod(shape)).reshape(shape)
        box = tuple(slice(*span) for span in each.box)
        tile_of.update({(each.population, int(number)): each.tile for number in numbers[box].ravel()})
    east_west = north_south = within = 0
    for each in mapping.slices:  # a core of its own for each
        (population,) = (known for known in populations(graph) if known.name == each.population)
        for source in {projection.source for projection in population.projections} - {"encoder"}:
            reach = sum(
                synapses.fan_out(projection, each.box).ravel()
                for projection in population.projections
                if projection.source == source
            )
            for number, events in enumerate(seen.events[source].ravel()):
                if reach[number] and events:
                    (row, column), (to_row, to_column) = (
                        divmod(tile, 2) for tile in (tile_of[source, number], each.tile)
                    )
                    east_west += int(events) * abs(column - to_column)
                    north_south += int(events) * abs(row - to_row)
                    within += int(events) * ((row, column) == (to_row, to_column))
    total = count(graph, mapping, seen, profile).total
    assert (total.hops_east_west * 3, total.hops_north_south * 3, total.within_tile * 3) == pytest.approx(
        (east_west, north_south, within)
    )


@pytest.mark.parametrize("batch", [1, 1 << 22])
def test_active_updates_match_the_synapse_matrix(batch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("neurocompile.costs.activity._BATCH_NEURONS", batch)
    graph = network(5)
    rng = np.random.default_rng(3)
    samples = rng.integers(-2, 4, (4, 2, 6, 6)) * (rng.random((4, 2, 6, 6)) < 0.1)
    trace = interpret(graph, samples)
    seen = Activity.of(graph, trace)
    for population in populations(graph):
        active = np.zeros((4, 3, population.neurons), np.bool_)
        if population.name in trace.events:
            active |= trace.events[population.name].reshape(active.shape) != 0
        for projection in population.projections:
            sent = (trace.events[projection.source] != 0).reshape(4, 3, -1)
            if projection.past:
                sent = np.stack([np.zeros_like(sent[:, 0]), sent[:, 0], sent[:, 1]], axis=1)
            active |= sent @ (matrix(projection).T > 0)
        assert seen.active[population.name].ravel().tolist() == active.sum(axis=(0, 1)).tolist()


def test_one_core_without_bounds_has_messages_and_no_network() -> None:
    graph = mapped(network(6))
    profile = big(1000, 8).model_copy(update={"topology": None, "noc": None})
    mapping = map_graph(graph, profile)
    seen = activity(graph, np.random.default_rng(5).uniform(-2, 3, (2, 2, 6, 6)))
    total = count(graph, mapping, seen, profile).total
    assert total.messages_in > 0
    assert total.hops_east_west == total.hops_north_south == total.within_tile == 0
