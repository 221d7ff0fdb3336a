"""Interval analysis of integer graphs: how large sums and states can become, whatever the input.

Ranges hold for every input, so a width that contains them can never overflow. They are not tight: neurons of one
source are taken as independent.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from neurocompile.ir.fixedpoint import decay
from neurocompile.ir.graph import Graph
from neurocompile.ir.interpret import linear
from neurocompile.ir.nodes import (
    ANALOG,
    WEIGHTED,
    Array,
    Conv2d,
    Linear,
    Neuron,
    PoissonEncoder,
    Readout,
    Scale,
    Threshold,
    per_channel,
)
from neurocompile.ir.populations import Population, Projection, populations

_FAR = float(1 << 60)  # where ends are cut off, so that int64 holds them
_ROWS = 512  # of weights that are looked at together
_SAFE_BITS = 50  # of sums that float64, whose integers have 53, computes exactly with room to spare


@dataclass(frozen=True)
class Interval:
    """The smallest and the largest value, per neuron: two int64 arrays of one shape."""

    low: Array
    high: Array

    def __add__(self, other: Interval) -> Interval:
        # both are within +-_FAR or a small multiple of it, which int64 holds
        return Interval(np.maximum(self.low + other.low, -int(_FAR)), np.minimum(self.high + other.high, int(_FAR)))

    def __or__(self, other: Interval) -> Interval:
        return Interval(np.minimum(self.low, other.low), np.maximum(self.high, other.high))

    @property
    def bits(self) -> int:
        """The signed width, in bits, that holds every value (symmetric: the most negative code is left unused)."""
        return int(max(-int(self.low.min()), int(self.high.max()), 1)).bit_length() + 1


def sent_range(graph: Graph, source: str) -> tuple[int, int]:
    """The smallest and largest value that an encoder or a spiking soma sends, zero included."""
    node = graph.node(source)
    if isinstance(node, ANALOG):
        return min(node.low, 0), max(node.high, 0)
    match node:
        case PoissonEncoder():
            return -1, 1
        case Neuron() | Threshold() if node.spikes == "graded":
            return 0, node.max_payload
        case Neuron() | Threshold():
            return (-1, 1) if node.spikes == "signed" else (0, 1)
    raise AssertionError(f"{source} is a {node.kind}, which sends nothing")


def projection_range(graph: Graph, projection: Projection) -> Interval:
    """The range of what a projection gives its soma in one step, of the soma's shape.

    All partial sums of a neuron lie in its range too, in whatever order they are taken. Ends beyond 2**53 are told as
    such, not exactly: no width here goes so far.
    """
    # float64 holds these integers exactly and is many times faster than int64, for which NumPy has no BLAS
    low, high = (
        np.full((1, *projection.source_shape), value, np.float64) for value in sent_range(graph, projection.source)
    )
    for node in projection.operators:
        if isinstance(node, WEIGHTED):
            low, high = _weighted_ends(node, low, high)
        else:
            low, high = linear(node, low), linear(node, high)
    low, high = (np.clip(end[0], -_FAR, _FAR).astype(np.int64) for end in (low, high))
    return Interval(low, high)


def _weighted_ends(node: Conv2d | Linear | Scale, low: Array, high: Array) -> tuple[Array, Array]:
    """The ends of what weights make of [low, high]: (1, *shape) float64 each."""
    weight = node.weight
    if isinstance(node, Linear) and len(weight) > _ROWS:
        # by parts, so that large weights are not held in float64 all at once
        parts = [replace(node, weight=weight[start : start + _ROWS]) for start in range(0, len(weight), _ROWS)]
        lows, highs = zip(*(_weighted_ends(part, low, high) for part in parts), strict=True)
        return np.concatenate(lows, axis=1), np.concatenate(highs, axis=1)
    above, below = np.maximum(weight, 0), np.minimum(weight, 0)
    if isinstance(node, Conv2d):
        # all channels of a source have one range, so one channel with the sum of their weights stands for them
        above, below = (each.sum(axis=1, keepdims=True, dtype=np.float64) for each in (above, below))
        node, low, high = replace(node, groups=1), low[:, :1], high[:, :1]
    excite, inhibit = (replace(node, weight=each.astype(np.float64)) for each in (above, below))
    return linear(excite, low) + linear(inhibit, high), linear(excite, high) + linear(inhibit, low)


def exact_in_float64(graph: Graph) -> bool:
    """Whether float64 computes an integer graph exactly: all sums, scaled to states, stay far below 2**53.

    States and their decays do so by ``FixedPoint``'s own limits.
    """
    return all(
        input_range(graph, population).bits + (population.soma.fixed.fraction_bits if population.soma.fixed else 0)
        <= _SAFE_BITS
        for population in populations(graph)
    )


def input_range(graph: Graph, population: Population) -> Interval:
    """The range of the sum over all projections of a population in one step."""
    first, *others = (projection_range(graph, projection) for projection in population.projections)
    return sum(others, start=first)


def state_range(population: Population, inputs: Interval, timesteps: int) -> tuple[Interval, Interval]:
    """The ranges of synaptic current and membrane over a presentation, in the soma's fixed-point unit."""
    soma, shape = population.soma, population.shape
    zero = Interval(np.zeros(shape, np.int64), np.zeros(shape, np.int64))
    if isinstance(soma, Threshold):
        return zero, zero
    assert isinstance(soma, (Neuron, Readout))
    assert soma.fixed is not None
    bits, shift = soma.fixed.decay_bits, soma.fixed.fraction_bits
    leak, current_leak, bias = (
        per_channel(parameter, shape).astype(np.int64) for parameter in (soma.leak, soma.current_leak, soma.bias)
    )

    def decayed(state: Interval, factor: Array) -> Interval:
        return Interval(decay(state.low, factor, bits), decay(state.high, factor, bits))

    arriving = Interval((inputs.low << shift) + bias, (inputs.high << shift) + bias)
    current, membrane, all_currents, all_membranes = zero, zero, zero, zero
    for _ in range(timesteps):
        current = decayed(current, current_leak) + arriving
        if isinstance(soma, Readout):
            membrane = decayed(membrane, leak) + current
        elif soma.leaky_reset:
            left = _after_reset(soma, membrane, shape)
            all_membranes = all_membranes | left  # what a reset leaves is stored too
            if soma.order == "integrate_first":
                left = _raised(soma, left, shape)
            membrane = decayed(left, leak) + current
        elif soma.reset == "set":
            membrane = decayed(_silent(soma, _raised(soma, membrane, shape), shape), leak) + current
            membrane = membrane | _reset_values(soma, shape)
        else:
            membrane = _less_owed(soma, _raised(soma, membrane, shape), leak, bits, shape) + current
        all_currents, all_membranes = all_currents | current, all_membranes | membrane
        if isinstance(soma, Neuron) and soma.order == "fire_first":
            membrane = _raised(soma, membrane, shape)
    return all_currents, all_membranes


def _raised(soma: Neuron, membrane: Interval, shape: tuple[int, ...]) -> Interval:
    """Where the membrane is once it is no lower than ``membrane_min``."""
    if soma.membrane_min is None:
        return membrane
    lowest = per_channel(soma.membrane_min, shape).astype(np.int64)
    return Interval(np.maximum(membrane.low, lowest), np.maximum(membrane.high, lowest))


def _silent(soma: Neuron, membrane: Interval, shape: tuple[int, ...]) -> Interval:
    """Where the membrane can be if it is not reset."""
    if soma.reset == "none" or soma.single_spike:
        # a neuron that has fired its only spike is not reset again
        return membrane
    threshold = per_channel(soma.threshold, shape).astype(np.int64)
    low = np.maximum(membrane.low, -threshold) if soma.spikes == "signed" else membrane.low
    return Interval(low, np.minimum(membrane.high, threshold))


def _reset_values(soma: Neuron, shape: tuple[int, ...]) -> Interval:
    """What a membrane can be set to."""
    value = per_channel(soma.reset_value, shape).astype(np.int64) + np.zeros(shape, np.int64)
    return Interval(value, value) | Interval(-value, -value) if soma.spikes == "signed" else Interval(value, value)


def _after_reset(soma: Neuron, membrane: Interval, shape: tuple[int, ...]) -> Interval:
    """Where the membrane can be once it may have fired."""
    silent = _silent(soma, membrane, shape)
    if soma.reset == "none":
        return silent
    if soma.reset == "set":
        return silent | _reset_values(soma, shape)
    threshold = per_channel(soma.threshold, shape).astype(np.int64)
    zero = np.zeros(shape, np.int64)
    most = soma.max_payload if soma.spikes == "graded" else 1
    low = np.minimum(membrane.low + threshold, zero) if soma.spikes == "signed" else zero
    return silent | Interval(low, np.maximum(membrane.high - most * threshold, zero))


def _less_owed(soma: Neuron, membrane: Interval, leak: Array, bits: int, shape: tuple[int, ...]) -> Interval:
    """``leak*u - threshold*s``: what is left when the subtraction of the last step's spike does not leak."""
    threshold = per_channel(soma.threshold, shape).astype(np.int64)
    most = np.clip(membrane.high // threshold, 1, soma.max_payload if soma.spikes == "graded" else 1)
    whole = Interval(decay(membrane.low, leak, bits), decay(membrane.high, leak, bits))
    silent_high = whole.high if soma.single_spike else decay(np.minimum(membrane.high, threshold), leak, bits)
    # having just passed k thresholds, the membrane is at least leak*k*threshold - k*threshold
    fired = Interval(
        most * (decay(threshold, leak, bits) - threshold - 1),
        np.maximum(whole.high - most * threshold, decay(threshold, leak, bits)),
    )
    low, high = np.minimum(whole.low, fired.low), np.maximum(silent_high, fired.high)
    if soma.spikes == "signed":
        low, high = np.minimum(low, -fired.high), np.maximum(high, -fired.low)
        if soma.membrane_min is not None:
            high = np.maximum(high, threshold)  # it fired below -threshold and was raised, to zero at most
    return Interval(low, high)
