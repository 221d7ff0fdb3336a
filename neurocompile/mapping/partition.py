"""Cutting populations into pieces that each fit a core.

A population is halved until every piece keeps every limit of a kind of core, along the axis that lowers the worst
ratio of need to limit most. Populations are cut from the last to the first: then the pieces that a neuron's spikes
reach are known when its own population is cut. Where recurrent projections lead back, this is done again until no
piece changes.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from neurocompile.hardware.profile import Profile
from neurocompile.ir.graph import Graph
from neurocompile.ir.nodes import Array, Neuron, Threshold, per_channel
from neurocompile.ir.populations import Population, Projection, populations
from neurocompile.mapping import stored, synapses
from neurocompile.mapping.limits import core_kinds, cut_refusal
from neurocompile.mapping.synapses import Box, box_index, box_size, full_box


@dataclass(frozen=True)
class Piece:
    """A box of a population, and what it takes of a core."""

    population: str
    box: Box
    needs: dict[str, int]


def partition(graph: Graph, profile: Profile) -> tuple[Piece, ...]:
    """Pieces in topological order, each of which some core can hold; CapacityError where one neuron is too much.

    Nothing is cut smaller because the cores that can hold it are few.

    A neuron that fires sends one message to each piece where it has synapses, whatever the number of projections: that
    is one out-axon here and one in-axon there, or one per bit plane. What leaves the chip counts no out-axon.
    """
    everyone = populations(graph)
    recurrent = any(projection.recurrent for population in everyone for projection in population.projections)
    boxes = {population.name: [full_box(population.shape)] for population in everyone}
    while True:
        before = dict(boxes)
        pieces: list[Piece] = []
        for population in reversed(everyone):
            planes = {
                each.source: synapses.bit_planes(graph.node(each.source), profile) for each in population.projections
            }
            cut = _Cut(population, planes, _out_axons(population, everyone, boxes, profile), profile)
            own = [piece for box in boxes[population.name] for piece in cut.pieces(box)]
            boxes[population.name] = [piece.box for piece in own]
            pieces = [*own, *pieces]
        if boxes == before or not recurrent:
            return tuple(pieces)


def _out_axons(
    source: Population, everyone: tuple[Population, ...], boxes: dict[str, list[Box]], profile: Profile
) -> Array:
    """int64 over the population: how many boxes each neuron's spikes reach."""
    axons: Array = np.zeros(source.shape, np.int64)
    for target in everyone:
        if projections := _from(source.name, target):
            for box in boxes[target.name]:
                axons += stored.reached(projections, box, profile)
    return axons


def _from(source: str, target: Population) -> list[Projection]:
    return [projection for projection in target.projections if projection.source == source]


class _Cut:
    """One population being cut. ``planes``: bit planes of each source; ``out_axons``: of each neuron."""

    def __init__(self, population: Population, planes: dict[str, int], out_axons: Array, profile: Profile) -> None:
        self.population, self.planes, self.out_axons, self.profile = population, planes, out_axons, profile
        self.kinds = core_kinds(profile)
        self.needs = functools.cache(self._needs)

    def pieces(self, box: Box) -> Iterator[Piece]:
        """``box`` in pieces that fit."""
        if self._pressure(box) <= 1:
            yield Piece(self.population.name, box, self.needs(box))
            return
        ways = [_halves(box, axis) for axis, (start, stop) in enumerate(box) if stop - start > 1]
        if not ways:
            raise cut_refusal(self.population.name, self.needs(box), self.profile)
        for half in min(ways, key=lambda way: max(map(self._pressure, way))):  # of equals the first: channels
            yield from self.pieces(half)

    def _pressure(self, box: Box) -> float:
        """The worst ratio of need to limit, on the kind of core that fits best."""
        needs = self.needs(box)
        return min(kind.pressure(needs) for kind in self.kinds)

    def _needs(self, box: Box) -> dict[str, int]:
        axons = words = longest = 0
        inflow: Array = np.zeros([stop - start for start, stop in box], np.int64)
        for source, planes in self.planes.items():
            projections = _from(source, self.population)
            axons += planes * stored.axons_in(projections, box, self.profile)
            for projection in projections:
                for size, count in stored.lists(projection, box, self.profile).items():
                    list_words = stored.list_words(projection, size, self.profile)
                    words += planes * count * list_words
                    longest = max(longest, list_words)
                inflow += planes * stored.fan_in(projection, box, self.profile)
        return {
            "neurons": box_size(box),
            "axons_in": axons,
            "axons_out": int(self.out_axons[box_index(box)].sum()),
            "synaptic_memory_words": words,
            "words_per_axon": longest,
            "fan_in": int(inflow.max()),
            "thresholds": self._thresholds(box),
        }

    def _thresholds(self, box: Box) -> int:
        """Distinct thresholds in the box."""
        soma = self.population.soma
        if not isinstance(soma, Neuron | Threshold):
            return 0
        values = per_channel(soma.threshold, self.population.shape)
        if values.ndim == 0:
            return 1
        spans = (slice(*span) if extent > 1 else slice(None) for span, extent in zip(box, values.shape, strict=True))
        return len(np.unique(values[tuple(spans)]))


def _halves(box: Box, axis: int) -> tuple[Box, Box]:
    start, stop = box[axis]
    middle = (start + stop) // 2
    return (*box[:axis], (start, middle), *box[axis + 1 :]), (*box[:axis], (middle, stop), *box[axis + 1 :])
