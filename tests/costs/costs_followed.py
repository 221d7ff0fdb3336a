"""Every message of every step followed on its own, as docs/decisions/0011 tells it: slow, obvious, only for tests."""

from __future__ import annotations

import dataclasses
from collections import Counter, defaultdict
from typing import Any

import numpy as np

from neurocompile.hardware import Profile
from neurocompile.ir.graph import Graph
from neurocompile.ir.interpret import Trace
from neurocompile.ir.nodes import ENCODERS, Readout
from neurocompile.ir.populations import Population, Projection, populations
from neurocompile.mapping import synapses
from neurocompile.mapping.mapping import CoreSlice, Mapping

Array = np.ndarray[Any, Any]
Counts = dict[int, Counter[str]]


def matrix(projection: Projection, *, zeros: bool = True) -> Array:
    """(targets, sources): how many synapses join the two, from the projection's answer to one spike at a time; of those
    whose weight is not zero, if ``zeros`` do not count."""
    node = projection.weighted
    ones = dataclasses.replace(node, weight=np.ones_like(node.weight) if zeros else (node.weight != 0).astype(np.int64))
    plain = dataclasses.replace(projection, nodes=tuple(ones if each is node else each for each in projection.nodes))
    size = int(np.prod(projection.source_shape))
    spikes = np.eye(size, dtype=np.int64).reshape(size, *projection.source_shape)
    return plain.apply(spikes).reshape(size, -1).T


def neurons_of(each: CoreSlice, shape: tuple[int, ...]) -> Array:
    """The numbers of a slice's neurons."""
    numbers = np.arange(np.prod(shape)).reshape(shape)
    return numbers[synapses.box_index(each.box)].ravel()


@dataclasses.dataclass(frozen=True)
class _Joint:
    """A projection into a slice: per source neuron its synapses there, those that cost an operation, and its bank."""

    each: CoreSlice
    projection: Projection
    joined: Array
    priced: Array
    bank: str


def followed(graph: Graph, mapping: Mapping, profile: Profile, trace: Trace, *, spiking_bits: bool) -> Counts:
    """Per core the counts of a whole trace. ``spiking_bits``: what encoders send goes bit by bit."""
    known = {each.name: each for each in populations(graph)}
    columns = profile.topology.tile_columns.count if profile.topology else 1
    home = {}
    for each in mapping.slices:
        for neuron in neurons_of(each, known[each.population].shape):
            home[each.population, int(neuron)] = each
    counts: Counts = defaultdict(Counter)
    for sender in (*graph.of_kind(*ENCODERS), *(name for name in known if not isinstance(known[name].soma, Readout))):
        encoded = sender not in known
        joints = [_joint(each, projection, known[each.population], profile, encoded)
                  for each in mapping.slices for projection in known[each.population].projections
                  if projection.source == sender]  # fmt: skip
        sent = trace.events[sender]
        for sample in sent:
            for step in sample:
                for neuron, value in enumerate(step.ravel()):
                    _visits(counts, joints, neuron)
                    if not value:
                        continue
                    home_slice = None if encoded else home[sender, neuron]
                    if home_slice is not None:
                        counts[home_slice.core]["spikes"] += 1
                    copies = int(abs(int(value)) if value > 0 else int(value) & 7).bit_count() if spiking_bits else 1
                    copies = copies if encoded else 1
                    graded = encoded and not spiking_bits
                    for _ in range(copies):
                        _message(counts, joints, neuron, home_slice, profile, columns, graded)
    return counts


def _joint(each: CoreSlice, projection: Projection, population: Population, profile: Profile, encoded: bool) -> _Joint:
    rows = neurons_of(each, population.shape)
    source = "input" if encoded else "itself" if projection.source == population.name else "others"
    target = "readouts" if isinstance(population.soma, Readout) else "neurons"
    bank = next((b for b in profile.banks if b.source in (source, "any") and b.target in (target, "any")), None)
    skips = bank is not None and bank.zeros == "skipped"
    return _Joint(
        each,
        projection,
        matrix(projection)[rows].sum(axis=0),
        matrix(projection, zeros=not skips)[rows].sum(axis=0),
        bank.name if bank else "",
    )


def _visits(counts: Counts, joints: list[_Joint], neuron: int) -> None:
    for joint in joints:
        if joint.joined[neuron] and joint.bank:
            counts[joint.each.core][f"bank_visits:{joint.bank}"] += 1


def _message(
    counts: Counts,
    joints: list[_Joint],
    neuron: int,
    sent_from: CoreSlice | None,
    profile: Profile,
    columns: int,
    graded: bool,
) -> None:
    """One message of a neuron to each core where it has synapses. Slices are in the mapping's order."""
    reached: set[int] = set()
    for joint in joints:
        if not joint.joined[neuron]:
            continue
        core = joint.each.core
        here = counts[core]
        operations = int(joint.priced[neuron])
        if profile.core.fetch == "row":
            assert profile.limits.neurons is not None
            operations = 0 if core in reached else profile.limits.neurons.count
        here["graded_synaptic_ops" if graded else "synaptic_ops"] += operations
        if joint.bank:
            here[f"bank_messages:{joint.bank}"] += 1
            here[f"{'bank_graded_ops' if graded else 'bank_ops'}:{joint.bank}"] += operations
        if core in reached:
            continue
        reached.add(core)
        here["messages_in"] += 1
        if sent_from is None:
            here["messages_entered"] += 1
        else:
            counts[sent_from.core]["messages_out"] += 1
        if profile.noc is None or (sent_from is None and profile.host is None):
            continue
        start = sent_from.tile if sent_from is not None else profile.host.tile  # type: ignore[union-attr]
        (row, column), (to_row, to_column) = divmod(start, columns), divmod(joint.each.tile, columns)
        here["hops_east_west"] += abs(column - to_column)
        here["hops_north_south"] += abs(row - to_row)
        here["within_tile"] += start == joint.each.tile
