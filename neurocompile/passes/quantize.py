"""Float graph to integer graph.

A comparison is unchanged when both sides are multiplied by one number, so every channel c of a soma has its own scale
S[c], shared by all projections that meet there: weights become ``round(w * S / s)`` where s is the scale of what
the source sends (1 for spikes); thresholds, biases and reset values ``round(v * S * 2**fraction_bits)``. Outputs that
compete in an argmax share one scale. A stateless comparison loses nothing more: with integer sums, ``sum > v`` is
``sum > floor(v)``.

What the largest code stands for is the quantizer's choice (``passes/scales.py``); S is then as fine as the interval
analysis allows. Where projections of different size meet, it follows the smaller weights and those of the larger carry
an exponent. Where sums or states would not fit their width it is coarser, and the layer's ``weight_bits`` say so.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from neurocompile.errors import CapacityError, InputError
from neurocompile.ir.bounds import Interval, input_range, state_range
from neurocompile.ir.graph import Draft, Graph
from neurocompile.ir.interpret import check_samples, laid_out
from neurocompile.ir.nodes import (
    ANALOG,
    Analog,
    Array,
    FixedPoint,
    HybridEncoder,
    Neuron,
    Overflow,
    Readout,
    Scale,
    Soma,
    Threshold,
    per_channel,
)
from neurocompile.ir.populations import Population, Projection, populations
from neurocompile.passes.calibrate import Calibration, Layer, Product
from neurocompile.passes.scales import (
    PERCENTILE,
    Magnitudes,
    Quantizer,
    Scales,
    check_choices,
    exponents_of,
    largest_weight,
)


@dataclass(frozen=True)
class Numerics:
    """The widths that a chip offers, in bits, sign included. ``fraction_bits`` is the most that states carry below
    the weight's unit; where ``fraction_bits_fixed`` it is exactly that. Thresholds are multiples of
    ``2**threshold_step_bits`` in state units; biases a magnitude of ``bias_bits`` times a power of two, ``bias_max`` at
    most (None: any)."""

    weight_bits: int = 8
    weight_exponent_max: int = 7
    payload_bits: int = 8
    state_bits: int = 24
    fraction_bits: int = 6
    fraction_bits_fixed: bool = False
    decay_bits: int = 12
    threshold_bits: int = 24
    threshold_step_bits: int = 0
    bias_bits: int | None = None
    bias_max: int | None = None
    accumulator_bits: int = 24
    current_overflow: Overflow = "wrap"
    membrane_overflow: Overflow = "clip"

    def __post_init__(self) -> None:
        for name, low, high in (
            ("weight_bits", 1, 8),
            ("weight_exponent_max", 0, 15),
            ("payload_bits", 1, 16),
            ("state_bits", 8, 40),
            ("threshold_bits", 8, 40),
            ("fraction_bits", 0, 13),
            ("threshold_step_bits", 0, 16),
            ("decay_bits", 1, 16),
            ("accumulator_bits", 8, 40),
        ):
            if not low <= getattr(self, name) <= high:
                raise InputError(f"{name} is {getattr(self, name)}; choose from {low} to {high}")


#: calibration samples that are encoded at once, of which all steps lie in memory
_PART = 64
#: a layer whose sums do not fit gets narrower weights down to this width; what then does not fit is refused
_LEAST_BITS = 4


@dataclass(frozen=True)
class Quantize:
    """``calibration``: samples (N, *shape) or (N, T, *shape) whose range sets the scale of analog input.

    ``quantizer`` chooses what the largest code of a channel stands for: "max" its largest weight; "percentile" that
    ``percentile`` of its |weights|; "mse" the weight for which the rounded ones have the least squared error;
    "calibrated" what keeps the sums that the calibration samples cause, and then the thresholds that keep their spikes.
    ``scales``: one per "channel", or one per soma ("tensor"). ``product`` stands in for ``Projection.apply`` where
    calibration computes sums.

    CapacityError where the interval analysis cannot prove that every sum and state fits its width. InputError where a
    choice is none, or the quantizer is "calibrated" and there are no samples.
    """

    name: ClassVar[str] = "quantize"
    numerics: Numerics = Numerics()
    calibration: Array | None = None
    quantizer: Quantizer = "max"
    scales: Scales = "channel"
    percentile: float = PERCENTILE
    product: Product = Projection.apply

    def __post_init__(self) -> None:
        check_choices(self.quantizer, self.scales, self.percentile)
        if self.quantizer == "calibrated" and self.calibration is None:
            raise InputError(
                "the quantizer 'calibrated' needs typical samples and there are none; give some (build --calibration "
                "FILE.npy), or choose max, percentile or mse"
            )

    def run(self, graph: Graph) -> Graph:
        draft = graph.edit()
        source_scale = {name: self._encode(graph, draft, name) for name in graph.of_kind(*ANALOG)}
        encoded = draft.finish()
        calibration = None
        if self.quantizer == "calibrated" and self.calibration is not None:
            calibration = Calibration(graph, encoded, self.calibration, self.product)
        for population in populations(encoded):
            quantized, _ = self._quantize_population(encoded, population, source_scale)
            if calibration:
                layer = calibration.layer(population)
                quantized = self._calibrate(encoded, layer, quantized, source_scale)
                calibration.send(layer, quantized)
            for projection in quantized.projections:
                draft.replace(projection.name, projection.weighted)
            draft.replace(population.name, quantized.soma)
        return draft.finish("integer")

    def _encode(self, graph: Graph, draft: Draft, name: str) -> float:
        """Choose the integer code of analog input; returns its scale. Where spikes of one come beside the values, it is
        a power of two: a spike is then coded exactly, and its code is a single set bit."""
        node = graph.node(name)
        assert isinstance(node, ANALOG)
        low, high = self._reach(graph, node)
        signed, bits = low < 0, self.numerics.payload_bits
        largest = max(1, (1 << (bits - signed)) - 1)
        scale = largest / max(high, -low)
        if isinstance(node, HybridEncoder) and node.timesteps > 1:
            if scale < 1:
                raise CapacityError(
                    f"{name}: its values reach {max(high, -low):g} beside spikes of 1, and {bits}-bit codes that have "
                    f"both reach {largest}; scale the samples down and train again, or choose a target with "
                    "more payload_bits"
                )
            scale = 2.0 ** (math.frexp(scale)[1] - 1)
            largest = round(max(high, -low) * scale)
        draft.replace(name, replace(node, scale=scale, low=-largest if signed else 0, high=largest))
        return scale

    def _reach(self, graph: Graph, node: Analog) -> tuple[float, float]:
        """The smallest and the largest value that an encoder sends: for the samples, if there are any but zeros."""
        if self.calibration is None:
            return node.expected
        values = check_samples(graph, self.calibration)
        parts = (values[start : start + _PART] for start in range(0, len(values), _PART))
        ends = [
            (float(sent.min()), float(sent.max())) for sent in (laid_out(node, each, graph.timesteps) for each in parts)
        ]
        return (min(low for low, _ in ends), max(high for _, high in ends)) if np.any(ends) else node.expected

    def _quantize_population(
        self, graph: Graph, population: Population, source_scale: dict[str, float], clip: Array | None = None
    ) -> tuple[Population, Array]:
        """The population in integers, and its scale: the finest for which nothing can overflow. ``clip`` (rows,): the
        shares of the largest weights that the largest codes stand for (None: the quantizer chooses)."""
        bits = self.numerics.weight_bits
        weights = Magnitudes.of(population, source_scale, self.scales)
        analog = np.array([projection.source in source_scale for projection in population.projections])
        # a chip without graded spikes takes analog input bit by bit and needs the exponents for that
        most = self.numerics.weight_exponent_max if bits > 1 else 0
        finest = np.where(analog, 0, exponents_of(weights.sizes(binary=bits == 1), most))
        # above 0: the largest exponent; 0: the largest weight has the largest code; below: it has a smaller one
        steps = range(int(finest.max()), min(_LEAST_BITS, bits) - bits - 1, -1)
        for step in steps:
            exponents, step_bits = np.minimum(finest, max(step, 0)), bits + min(step, 0)
            weighted, scale = self._weigh(population, weights, exponents, step_bits, clip)
            try:
                return replace(weighted, soma=self._quantize_soma(graph, weighted, scale, step_bits)), scale
            except CapacityError:
                if step == steps[-1]:
                    raise
        raise AssertionError("no scale was tried")

    def _weigh(
        self, population: Population, weights: Magnitudes, exponents: Array, bits: int, clip: Array | None
    ) -> tuple[Population, Array]:
        """The population with integer weights of ``bits``, and its scale: () or (channels,)."""
        percentile = self.percentile if self.quantizer == "percentile" else 100.0
        sizes = weights.sizes(binary=self.numerics.weight_bits == 1, percentile=percentile)
        if clip is None and self.quantizer == "mse" and bits > 1:
            clip = weights.least_error_clip(exponents, bits)
        sizes = sizes / 2.0 ** exponents[:, None] * (1.0 if clip is None else clip)
        scale = self._scale(population, sizes[:, 0] if weights.shared else sizes, bits)
        projections = tuple(
            _with_weights(each, scale / unit, bits, int(exponent))
            for each, unit, exponent in zip(population.projections, weights.units, exponents, strict=True)
        )
        return replace(population, projections=projections), scale

    def _calibrate(self, graph: Graph, layer: Layer, plain: Population, source_scale: dict[str, float]) -> Population:
        """The population with the scale and the thresholds that suit the samples; ``plain`` where that is no better."""
        population = layer.population
        if isinstance(population.soma, Threshold) and all(
            np.ptp(each.weighted.weight) == 0 for each in population.projections
        ):
            return plain  # it counts spikes, as a max pool does: nothing is rounded, so there is nothing to make up for
        weights = Magnitudes.of(population, source_scale, self.scales)
        bits = plain.projections[0].weighted.weight_bits
        assert bits is not None
        clip = None
        if bits > 1:
            exponents = np.array([projection.weighted.weight_exponent for projection in plain.projections])
            clips = weights.candidate_clips(exponents, bits)
            trials = (self._weigh(population, weights, exponents, bits, each) for each in clips)
            errors = np.stack([layer.scatter(trial.projections, scale, weights.units) for trial, scale in trials])
            clip = np.take_along_axis(clips, errors.argmin(axis=0)[None], axis=0)[0]
        scaled, scale = self._quantize_population(graph, population, source_scale, clip)
        tuned = self._tuned(graph, layer, scaled, scale)
        return min((plain, tuned), key=layer.error)

    def _tuned(self, graph: Graph, layer: Layer, quantized: Population, scale: Array) -> Population:
        """The population with the thresholds that suit the samples, where its states still fit then.

        A channel that has a threshold of its own gets another. Where all share one, but not their bias, the bias takes
        up what is constant in the error of each channel's sums.
        """
        soma, numerics = quantized.soma, self.numerics
        if isinstance(soma, Readout):
            return quantized
        assert isinstance(soma, (Neuron, Threshold))
        assert soma.fixed is not None
        inputs = input_range(graph, quantized)
        unit = 1 << soma.fixed.fraction_bits
        channels = bool(scale.ndim or soma.threshold.ndim)
        if isinstance(soma, Neuron) and soma.bias.ndim and not channels:
            excess = np.rint(layer.sum_excess(quantized, scale) * unit).astype(np.int64)
            bias = soma.bias - (excess if soma.bias.ndim == 1 else per_channel(excess, quantized.shape))
            soma = replace(soma, bias=_storable(bias, numerics.bias_bits))
        low, high, step = self._threshold_range(soma, inputs)

        def moved(shift: Array) -> Soma:
            change = shift if channels else shift[0]
            level = (
                soma.threshold + (change if soma.threshold.ndim <= 1 else per_channel(change, quantized.shape)) * unit
            )
            threshold = np.clip(np.rint(level / step) * step, low, high)
            return replace(soma, threshold=threshold.astype(np.int64))

        tuned = replace(quantized, soma=layer.threshold(quantized, scale, moved, channels=channels))
        states = state_range(tuned, inputs, graph.timesteps)
        fits = all(state.bits <= numerics.state_bits for state in states) and self._holds_bias(tuned.soma)
        return tuned if fits else quantized

    def _threshold_range(self, soma: Neuron | Threshold, inputs: Interval) -> tuple[int, int, int]:
        """The least and the greatest threshold that calibration may choose, and the step between two."""
        room = (1 << (min(self.numerics.threshold_bits, self.numerics.state_bits) - 1)) - 1
        high = max(room, int(np.abs(soma.threshold).max()))  # no further than the chip's width, or than it is already
        if isinstance(soma, Threshold) and soma.spikes == "binary":
            return max(int(inputs.low.min()) - 1, -high), min(int(inputs.high.max()) + 1, high), 1
        step = 1 << self.numerics.threshold_step_bits if isinstance(soma, Neuron) else 1
        return step, high // step * step, step

    def _holds_bias(self, soma: Soma) -> bool:
        most = self.numerics.bias_max
        return most is None or not isinstance(soma, (Neuron, Readout)) or int(np.abs(soma.bias).max()) <= most

    def _scale(self, population: Population, sizes: Array, bits: int) -> Array:
        """S, () or (channels,): the largest of ``sizes`` (exponents taken off) has the largest code of ``bits``."""
        soma, numerics = population.soma, self.numerics
        size: Array = sizes.max(axis=0)
        reach = max(float(np.abs(array).max()) for name, array in soma.arrays() if name in _IN_WEIGHT_UNITS)
        # a channel without weights still compares its bias with its threshold: a scale that shows both
        scale = largest_weight(bits) / np.where(size == 0, max(reach, 1e-9) / 256, np.maximum(size, 1e-30))
        if reach and not isinstance(soma, Threshold):
            # a state has no room for more than its width; leave two bits above the threshold
            room = (1 << (min(numerics.threshold_bits, numerics.state_bits) - 3)) - 1
            step = 1 << numerics.fraction_bits if numerics.fraction_bits_fixed else 1
            scale = np.minimum(scale, room / step / reach)
        return np.asarray(scale, np.float64)

    def _quantize_soma(self, graph: Graph, population: Population, scale: Array, bits: int) -> Soma:
        """The integer soma, with the most fraction bits for which no state can overflow."""
        soma, numerics, name = population.soma, self.numerics, population.name
        inputs = input_range(graph, population)
        if inputs.bits > numerics.accumulator_bits:
            raise CapacityError(
                f"{name}: its synaptic sum needs {inputs.bits} bits with {bits}-bit weights, the accumulator has "
                f"{numerics.accumulator_bits}; {_fewer(bits, inputs.bits - numerics.accumulator_bits)}, or choose a "
                "target with a wider accumulator"
            )
        if isinstance(soma, Threshold):
            return _integer_threshold(soma, population.shape, scale, inputs, self._fixed(0))
        assert isinstance(soma, (Neuron, Readout))
        finest = numerics.fraction_bits
        if isinstance(soma, Readout) and _nothing_decays(soma) and not numerics.fraction_bits_fixed:
            finest = 0
        room = min(numerics.threshold_bits, numerics.state_bits)
        coarsest = finest if numerics.fraction_bits_fixed else 0
        needed = 0
        for fraction_bits in range(finest, coarsest - 1, -1):
            candidate = self._integer_soma(soma, population.shape, scale, self._fixed(fraction_bits))
            states = state_range(replace(population, soma=candidate), inputs, graph.timesteps)
            needed = max(state.bits for state in states)
            fits = needed <= numerics.state_bits and _threshold_bits(candidate) <= room
            if fits and self._holds_bias(candidate):
                return candidate
        if numerics.bias_max is not None and needed <= numerics.state_bits:
            raise CapacityError(
                f"{name}: its bias needs {np.abs(candidate.bias).max():,} with {bits}-bit weights, the chip holds "
                f"{numerics.bias_max:,}; {_fewer(bits, 1)}, or train without bias"
            )
        raise CapacityError(
            f"{name}: its state may need {needed} bits over {graph.timesteps} time steps with {bits}-bit weights, "
            f"the chip has {numerics.state_bits}; {_fewer(bits, needed - numerics.state_bits)}, "
            "or choose a target with wider states"
        )

    def _fixed(self, fraction_bits: int) -> FixedPoint:
        numerics = self.numerics
        return FixedPoint(
            state_bits=numerics.state_bits,
            fraction_bits=fraction_bits,
            decay_bits=numerics.decay_bits,
            accumulator_bits=numerics.accumulator_bits,
            current_overflow=numerics.current_overflow,
            membrane_overflow=numerics.membrane_overflow,
        )

    def _integer_soma(
        self, soma: Neuron | Readout, shape: tuple[int, ...], scale: Array, fixed: FixedPoint
    ) -> Neuron | Readout:
        unit = scale * (1 << fixed.fraction_bits)

        def code(parameter: Array, step: int = 1) -> Array:
            return (np.rint(_times(parameter, unit, shape) / step) * step).astype(np.int64)

        fields: dict[str, Any] = {
            "leak": np.rint(soma.leak * float(fixed.one)).astype(np.int64),
            "current_leak": np.rint(soma.current_leak * float(fixed.one)).astype(np.int64),
            "bias": _storable(code(soma.bias), self.numerics.bias_bits),
            "fixed": fixed,
        }
        if isinstance(soma, Readout):
            return replace(soma, **fields, unit=float(1 / unit))
        step = 1 << self.numerics.threshold_step_bits
        threshold = np.maximum(code(soma.threshold, step), step)
        if soma.membrane_min is not None:
            # no state is ever lower than its width allows, so that a minimum below that says no more
            least = 1 - (1 << (fixed.state_bits - 1))
            with np.errstate(over="ignore"):
                lowest = np.maximum(_times(soma.membrane_min, unit, shape), least)
            fields["membrane_min"] = np.rint(lowest).astype(np.int64)
        return replace(soma, **fields, threshold=threshold, reset_value=code(soma.reset_value))


def _fewer(bits: int, excess: int) -> str:
    """The remedy where ``bits`` give ``excess`` bits too many: each bit less of the weights is one less of the sums."""
    fewer = bits - max(excess, 1)
    return f"build with --bits {fewer} or fewer" if fewer >= 1 else "use fewer time steps or a smaller fan-in"


def _with_weights(projection: Projection, scale: Array, bits: int, exponent: int) -> Projection:
    """The projection with integer weights; ``scale`` is () or one per channel of the soma."""
    old, largest = projection.weighted, largest_weight(bits)
    scale = scale[projection.rows] if scale.ndim else scale
    weight: Array = old.weight.astype(np.float64)
    if isinstance(old, Scale) and scale.ndim and weight.ndim == 0:
        weight = np.broadcast_to(weight, scale.shape)
    codes = np.asarray(weight * (scale.reshape(scale.shape + (1,) * (weight.ndim - 1)) if scale.ndim else scale))
    # in place: large layers are the peak of a build's memory
    if bits == 1:
        np.sign(codes, out=codes)
    else:
        codes /= 1 << exponent
        np.clip(np.rint(codes, out=codes), -largest, largest, out=codes)
    new = replace(old, weight=codes.astype(np.int8), weight_bits=bits, weight_exponent=exponent)
    return replace(projection, nodes=tuple(new if node is old else node for node in projection.nodes))


_IN_WEIGHT_UNITS = ("threshold", "bias", "reset_value")


def _nothing_decays(soma: Neuron | Readout) -> bool:
    return bool((soma.leak == 1).all() and (soma.current_leak == 0).all())


def _storable(bias: Array, bits: int | None) -> Array:
    """``bias`` rounded to a magnitude of ``bits`` times a power of two, as the chip stores it."""
    if bits is None:
        return bias
    step = np.left_shift(1, np.maximum(np.frexp(np.abs(bias).astype(np.float64))[1] - bits, 0))
    stored: Array = (np.rint(bias / step) * step).astype(np.int64)
    return stored


def _threshold_bits(soma: Neuron | Readout) -> int:
    return int(soma.threshold.max()).bit_length() + 1 if isinstance(soma, Neuron) else 0


def _times(parameter: Array, scale: Array, shape: tuple[int, ...]) -> Array:
    """``parameter * scale``, kept as small as the two say."""
    if not parameter.any():
        return np.zeros(())
    if parameter.ndim <= 1 and scale.ndim <= 1:
        small: Array = parameter.astype(np.float64) * scale
        return small
    full: Array = parameter.astype(np.float64) * per_channel(scale, shape)
    return full


def _integer_threshold(
    soma: Threshold, shape: tuple[int, ...], scale: Array, inputs: Interval, fixed: FixedPoint
) -> Threshold:
    if soma.spikes != "binary":
        return replace(
            soma,
            threshold=np.maximum(np.rint(_times(soma.threshold, scale, shape)), 1).astype(np.int64),
            bias=np.rint(_times(soma.bias, scale, shape)).astype(np.int64),
            fixed=fixed,
        )
    threshold, bias = soma.threshold.astype(np.float64), soma.bias.astype(np.float64)
    if max(threshold.ndim, bias.ndim) > 1:
        threshold, bias = per_channel(threshold, shape), per_channel(bias, shape)
    exact = _times(np.asarray(threshold - bias), scale, shape)
    # sum > v is sum > floor(v); sum >= v is sum >= ceil(v); a flipped comparison has them the other way round
    down: Array = np.logical_xor(soma.compare == "above", soma.flip)
    if exact.ndim > 1:
        down = per_channel(down, shape)
    code = np.where(down, np.floor(exact), np.ceil(exact))
    # beyond what the sum can reach, every threshold says the same
    low, high = int(inputs.low.min()) - 1, int(inputs.high.max()) + 1
    return replace(soma, threshold=np.clip(code, low, high).astype(np.int64), bias=np.zeros((), np.int64), fixed=fixed)
