"""How far integer weights and thresholds are from the float ones, layer by layer, in the float network's units."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from neurocompile.ir.bounds import Interval, input_range
from neurocompile.ir.graph import Graph
from neurocompile.ir.nodes import ANALOG, Array, Neuron, Readout, Soma, Threshold, per_channel
from neurocompile.ir.populations import Population, populations
from neurocompile.passes.scales import Scales, largest_weight, rows_of, shares_scale


@dataclass(frozen=True)
class QuantizationError:
    """One soma with the weights that feed it.

    ``scales``: what has a scale of its own, each "channel" or the whole layer ("tensor"). ``clipped_share``: of the
    weights other than zero, those beyond the largest code. ``weight_error``: root mean square of the weights' errors,
    relative to that of the weights. ``threshold_error_max``, ``threshold_error_mean``: |error| of the thresholds,
    relative to their root mean square; None where a soma has none, or only zeros.
    """

    name: str
    weight_bits: int
    scales: Scales
    clipped_share: float
    weight_error: float
    threshold_error_max: float | None
    threshold_error_mean: float | None


def quantization_errors(spiking: Graph, integer: Graph, scales: Scales = "channel") -> list[QuantizationError]:
    """The error of each layer, in order of flow. ``integer`` is what ``Quantize`` with ``scales`` made of ``spiking``.

    The scale of a channel is not in the graph; it is the one that fits its weights best (least squares) of those that
    round to its codes. Thresholds that calibration has moved count as errors; for a stateless comparison of whole sums,
    an error of less than one sum is none.
    """
    return [
        _error(integer, old, new, scales) for old, new in zip(populations(spiking), populations(integer), strict=True)
    ]


def _error(integer: Graph, old: Population, new: Population, scales: Scales) -> QuantizationError:
    shared = shares_scale(old, scales)
    rows = 1 if shared else old.shape[0]
    bits = new.projections[0].weighted.weight_bits
    assert bits is not None
    weights, codes, steps = [], [], []
    for before, after in zip(old.projections, new.projections, strict=True):
        source = integer.node(after.source)
        unit = source.scale if isinstance(source, ANALOG) and source.scale else 1.0
        code = after.weighted.weight.astype(np.float64)
        weight = np.broadcast_to(before.weighted.weight.astype(np.float64), code.shape)
        codes.append(rows_of(after, code, rows))
        weights.append(rows_of(after, weight, rows))
        steps.append(np.full(weights[-1].shape, unit * (1 << after.weighted.weight_exponent)))
    weight, code, step = (np.concatenate(each, axis=1) for each in (weights, codes, steps))
    scale = _fitted_scale(weight / step, code, bits)[:, None]
    error = code * step / scale - weight
    present, size = weight != 0, np.square(weight).sum()
    clipped = np.abs(weight) * scale / step > largest_weight(bits) + 0.5
    thresholds = _threshold_errors(old, new, scale[0, 0] if shared else scale[:, 0], input_range(integer, new))
    return QuantizationError(
        name=old.name,
        weight_bits=bits,
        scales="tensor" if shared else "channel",
        clipped_share=float(clipped.sum() / max(present.sum(), 1)) if bits > 1 else 0.0,
        weight_error=float(np.sqrt(np.square(error).sum() / size)) if size else 0.0,
        threshold_error_max=None if thresholds is None else float(thresholds.max()),
        threshold_error_mean=None if thresholds is None else float(thresholds.mean()),
    )


def _fitted_scale(weight: Array, code: Array, bits: int) -> Array:
    """(rows,): the factor by which ``weight`` (rows, synapses) became ``code``."""
    product = (weight * code).sum(axis=1)
    fitted: Array = np.divide(np.square(code).sum(axis=1), product, out=np.ones(len(weight)), where=product > 0)
    if bits == 1:
        return fitted
    size, magnitude = np.abs(weight), np.abs(code)
    with np.errstate(divide="ignore"):
        low = np.where(magnitude > 0, (magnitude - 0.5) / size, 0.0).max(axis=1)
        high = np.where(magnitude < largest_weight(bits), (magnitude + 0.5) / size, np.inf).min(axis=1)
    within: Array = np.clip(fitted, low, np.maximum(low, high))
    return within


def _threshold_errors(old: Population, new: Population, scale: Array, inputs: Interval) -> Array | None:
    """|error| of each threshold, relative to their root mean square."""
    if isinstance(old.soma, Readout):
        return None
    shape = old.shape
    assert new.soma.fixed is not None
    exact, found = _level(old.soma, shape), _level(new.soma, shape)
    unit = per_channel(scale * (1 << new.soma.fixed.fraction_bits), shape)
    if isinstance(old.soma, Threshold):
        # beyond what the sum can reach, every threshold says the same
        low, high = int(inputs.low.min()) - 1, int(inputs.high.max()) + 1
        exact = np.clip(exact * unit, low, high) / unit
    size = float(np.sqrt(np.square(exact).mean()))
    errors: Array = np.abs(found / unit - exact)
    return errors / size if size else None


def _level(soma: Soma, shape: tuple[int, ...]) -> Array:
    """What the membrane is compared with; a stateless neuron's bias is a part of it."""
    assert isinstance(soma, (Neuron, Threshold))
    threshold: Array = per_channel(soma.threshold, shape).astype(np.float64)
    if isinstance(soma, Threshold):
        threshold = threshold - per_channel(soma.bias, shape)
    return threshold
