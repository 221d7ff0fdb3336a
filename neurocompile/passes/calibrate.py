"""Calibration: what sample inputs say about scales and thresholds.

The float network and the integer network as far as it is chosen run side by side on the samples, soma by soma in order
of flow. A soma is measured with the spikes that its integer sources really send, and against the spikes that it sends
in the float network, so that it makes up for some of the errors before it. Connections that lead back come from somas
that are not chosen yet; they bring the spikes of the float network.

Scales: of a few sizes per channel, the one with which the sums vary least around what the float weights would give; a
constant difference is left to the threshold.

Thresholds: the channel's whole threshold is moved to where ``max(missed, extra)`` is least, of spikes that the float
network has and the integer one has not, and the other way round. Plain agreement would count ``missed + extra``: as
most neurons are silent most of the time it is best where a noisy channel falls silent, and the layers behind starve.
"""

from __future__ import annotations

import math
from collections import ChainMap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from neurocompile.ir.graph import Graph
from neurocompile.ir.interpret import SomaState, check_samples, encode, interpret
from neurocompile.ir.nodes import ENCODERS, Array, Neuron, Node, Readout, Soma, Threshold, per_channel
from neurocompile.ir.populations import Population, Projection, populations

#: (projection, events (M, *source_shape)) -> sums (M, *shape) as floats, as ``Projection.apply``; those of integer
#: weights exactly
Product = Callable[[Projection, Array], Array]
#: source -> what it sends at every step, (N, T, *source_shape)
Events = Mapping[str, Array]

#: more samples than this add little to what a channel's scale and threshold are chosen by
MOST_SAMPLES = 64
#: values of one soma over all samples and steps; so many of float64 are 128 MiB, and a few such arrays live at once
_MOST_VALUES = 1 << 24
#: values that a product may spread out at once: each neuron's inputs, side by side
_MOST_SPREAD = 1 << 24
#: values of one soma that a threshold is searched with, again and again: some ten thousand of a channel are plenty
_MOST_SEARCHED = 1 << 22
#: how far a threshold is moved at first and then, in root mean squares of the error of the channel's sums
_COARSE, _FINE = (-3.0, -2.0, -1.0, 1.0, 2.0, 3.0), (0.5, 0.25, 0.125, 0.0625)


class Calibration:
    """The two networks side by side. ``layer`` gives what is to be matched, ``send`` what was chosen."""

    def __init__(self, graph: Graph, encoded: Graph, samples: Array, product: Product) -> None:
        """``graph``: the float network; ``encoded``: the same with integer codes of analog input."""
        samples = samples[: sample_count(graph)]
        values = check_samples(graph, samples)
        self._product = product
        self._float = {name: encode(graph, name, values) for name in graph.of_kind(*ENCODERS)}
        self._integer = {name: encode(encoded, name, values) for name in graph.of_kind(*ENCODERS)}
        self._last_reader: dict[str, str] = {}
        back: dict[str, str] = {}  # the last that reads a soma before that is chosen
        seen = set(self._float)
        for population in populations(graph):
            for source in {projection.source for projection in population.projections}:
                (self._last_reader if source in seen else back)[source] = population.name
            seen.add(population.name)
        self._back: dict[str, Array] = {}
        self._last_back = back
        if back:
            sent = interpret(graph, samples).events
            self._back = {name: _compact(sent[name], graph.node(name)) for name in back}

    def layer(self, population: Population) -> Layer:
        # what is chosen already stands before what the float network sends in its place
        sums = _sums(population.projections, ChainMap(self._float, self._back), self._product)
        events = ChainMap(self._integer, self._back)
        return Layer(population, sums, _run(population.soma, sums), events, self._product)

    def send(self, layer: Layer, quantized: Population) -> None:
        """Let the somas behind see what this one sends; what nobody reads any more is dropped."""
        name = quantized.name
        if name in self._last_reader:
            self._float[name] = _compact(layer.target, quantized.soma)
            self._integer[name] = _compact(layer.response(quantized), quantized.soma)
        for source in {projection.source for projection in quantized.projections}:
            if self._last_reader.get(source) == name:
                del self._float[source], self._integer[source]
            if self._last_back.get(source) == name:
                del self._back[source]


def sample_count(graph: Graph) -> int:
    """How many samples are used: ``MOST_SAMPLES``, fewer where a large soma would take too much memory."""
    largest = max(population.neurons for population in populations(graph))
    return max(1, min(MOST_SAMPLES, _MOST_VALUES // (largest * graph.timesteps)))


@dataclass(frozen=True)
class Layer:
    """A soma of the float network. ``sums``: its input at every step, (N, T, *shape); ``target``: what it sends, or
    its membrane where it is a readout; ``events``: what its integer sources send."""

    population: Population
    sums: Array
    target: Array
    events: Events
    product: Product
    #: integer sums by the weights that gave them; these are kept too, so that their id stays theirs
    _known: dict[int, tuple[tuple[Projection, ...], Array]] = field(default_factory=dict)

    def response(self, quantized: Population) -> Array:
        """What the integer soma sends, as ``target``; the membrane of a readout in the float network's unit."""
        sent = _run(quantized.soma, self._integer_sums(quantized))
        return sent * quantized.soma.unit if isinstance(quantized.soma, Readout) else sent

    def error(self, quantized: Population) -> float:
        """The share of spikes that differ; for a readout the mean square by which its last membrane does."""
        found = self.response(quantized)
        if isinstance(quantized.soma, Readout):
            return float(np.square(found[:, -1] - self.target[:, -1]).mean())
        return float((found != self.target).mean())

    def scatter(self, projections: Sequence[Projection], scale: Array, units: Array) -> Array:
        """How much integer weights change the sums, per channel, or (1,) where all share ``scale``: the variance, in
        the float network's unit; for a readout, which has no threshold to take up a constant, the mean square.

        ``units``: per projection, by how much the source's integer codes exceed its float values.
        """
        differences = [
            _difference(old, new, scale, unit)
            for old, new, unit in zip(self.population.projections, projections, units, strict=True)
        ]
        # it is a statistic to choose by, for which half the precision does
        sums = _sums(differences, self.events, self.product, np.float32)
        change = _by_row(sums, channels=scale.ndim > 0)
        error: Array = np.square(change).mean(axis=1)
        if not isinstance(self.population.soma, Readout):
            error = error - np.square(change.mean(axis=1))
        return error

    def threshold(self, quantized: Population, scale: Array, moved: Callable[[Array], Soma], *, channels: bool) -> Soma:
        """The soma with its thresholds where the spikes are most like the target.

        ``moved(shift)`` gives the soma with ``shift``, (channels,) or else (1,), in units of the sums, added to them.
        """
        few = slice(max(1, _MOST_SEARCHED // (self.population.neurons * self.sums.shape[1])))
        sums, target = self._integer_sums(quantized)[few], self.target[few]
        unit = np.sqrt(np.square(self._sum_error(sums, scale, channels=channels)).mean(axis=1))

        def cost(shift: Array) -> Array:
            found = _run(moved(shift), sums)
            difference = _by_row(np.abs(found) - np.abs(target), channels=channels)
            extra, missed = np.maximum(difference, 0).sum(axis=1), np.maximum(-difference, 0).sum(axis=1)
            most: Array = np.maximum(extra, missed)
            return most

        best = np.zeros(len(unit))
        least = cost(best)
        for steps in (_COARSE, *((-step, step) for step in _FINE)):
            start = best
            for step in steps:
                shift = start + step * unit
                found = cost(shift)
                best, least = np.where(found < least, shift, best), np.minimum(found, least)
        return moved(best)

    def sum_excess(self, quantized: Population, scale: Array) -> Array:
        """(channels,): by how much the integer sums exceed the float ones at an average step, in their own unit."""
        mean: Array = self._sum_error(self._integer_sums(quantized), scale, channels=True).mean(axis=1)
        return mean

    def _sum_error(self, sums: Array, scale: Array, *, channels: bool) -> Array:
        expected = self.sums[: len(sums)] * per_channel(scale, self.population.shape)
        return _by_row(sums - expected, channels=channels)

    def _integer_sums(self, quantized: Population) -> Array:
        key = id(quantized.projections)
        if key not in self._known:
            sums = np.rint(_sums(quantized.projections, self.events, self.product))
            self._known[key] = (quantized.projections, sums)
        return self._known[key][1]


def _sums(
    projections: Sequence[Projection], events: Events, product: Product, number: type[np.floating[Any]] = np.float64
) -> Array:
    """The sum over projections at every step, (N, T, *shape)."""
    total: Array | None = None
    for projection in projections:
        sent = projection.arriving(events[projection.source])
        flat = sent.reshape(-1, *sent.shape[2:])
        most = max(1, _MOST_SPREAD // _spread(projection))
        parts = [product(projection, flat[start : start + most].astype(number)) for start in range(0, len(flat), most)]
        sums = np.concatenate(parts)
        total = sums if total is None else total + sums
    assert total is not None
    return total.reshape(*sent.shape[:2], *total.shape[1:])


def _spread(projection: Projection) -> int:
    """How many values a matrix product needs side by side for one sample of a projection."""
    weight = projection.weighted.weight
    size = math.prod(projection.source_shape)
    # of a convolution, each input is in as many windows as the kernel has places
    return size * math.prod(weight.shape[2:]) if weight.ndim == 4 else size


def _by_row(values: Array, *, channels: bool) -> Array:
    """(N, T, channels, ...) -> (channels, ...), or (1, ...) with all channels in one row."""
    rows: Array = np.moveaxis(values, 2, 0)
    return rows.reshape(len(rows) if channels else 1, -1)


def _run(soma: Soma, sums: Array) -> Array:
    """What ``soma`` gives at every step for its input ``sums`` (N, T, *shape)."""
    count, steps, *shape = sums.shape
    state = SomaState(soma, tuple(shape), count, np.dtype(np.float64))
    return np.stack([state.step(sums[:, t]) for t in range(steps)], axis=1)


def _difference(old: Projection, new: Projection, scale: Array, unit: float) -> Projection:
    """The projection whose weights are what integer weights make of the float ones, less these."""
    weight = old.weighted.weight.astype(np.float64)
    scale = scale[old.rows] if scale.ndim else scale
    codes = new.weighted.weight * float(1 << new.weighted.weight_exponent)
    column = scale.reshape(scale.shape + (1,) * (codes.ndim - 1)) if scale.ndim else scale
    node = replace(old.weighted, weight=codes / column - weight / unit)
    return replace(old, nodes=tuple(node if each is old.weighted else each for each in old.nodes))


def _compact(events: Array, soma: Node) -> Array:
    """Spikes in few bytes."""
    graded = isinstance(soma, (Neuron, Threshold)) and soma.spikes == "graded"
    return events.astype(np.int32 if graded else np.int8)
