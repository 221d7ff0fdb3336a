"""The nodes of a graph. Each is a frozen value whose docstring states its equation, shapes and units.

Shapes leave out the batch and time axes: an image is ``(channels, height, width)``, a vector ``(features,)``; axis 0 is
the channel. A parameter of a channel-wise kind is a scalar ``()``, one value per channel ``(channels,)``, or one per
neuron (the full shape). Arrays are read-only. What a graph computes is defined by ``ir/interpret.py`` alone.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, get_args

import numpy as np
import numpy.typing as npt

from neurocompile.errors import GraphError

Array = npt.NDArray[Any]
Shape = tuple[int, ...]
Pair = tuple[int, int]

Compare = Literal["above", "at_or_above"]
Order = Literal["integrate_first", "fire_first"]
Reset = Literal["subtract", "set", "none"]
Spikes = Literal["binary", "signed", "graded"]
Overflow = Literal["wrap", "clip"]

_CHOICES: dict[str, tuple[str, ...]] = {
    "compare": get_args(Compare),
    "order": get_args(Order),
    "reset": get_args(Reset),
    "spikes": get_args(Spikes),
}


def _freeze(value: Array, what: str) -> Array:
    """``value`` as a read-only array that nobody else can write to; refuses what no graph may hold."""
    array = np.asarray(value)
    if array.dtype.kind not in "biuf":
        raise GraphError(f"{what}: dtype {array.dtype} is not a number; give a real or integer array")
    if not array.size:
        raise GraphError(f"{what}: shape {array.shape} holds no values; every size must be at least 1")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        bad = int(array.size - np.isfinite(array).sum())
        raise GraphError(f"{what}: {bad} of {array.size} values are NaN or infinite; retrain or repair the checkpoint")
    if array.flags.writeable or array.base is not None:
        array = array.copy()
        array.setflags(write=False)
    return array


@dataclass(frozen=True, eq=False, kw_only=True)
class Node:
    """What all nodes share: validation of their fields, and the number of inputs that they take."""

    #: how many inputs: a number, or None for "one or more"
    arity: ClassVar[int | None] = 1

    def __post_init__(self) -> None:
        for each in dataclasses.fields(self):
            value = getattr(self, each.name)
            # NumPy turns arrays without axes into its scalars; a field that holds an array always holds one
            if each.type in ("Array", "Array | None") and value is not None:
                object.__setattr__(self, each.name, _freeze(value, f"{self.kind}.{each.name}"))
            choices = _CHOICES.get(each.name)
            if choices and value not in choices:
                raise GraphError(f"{self.kind}.{each.name} is {value!r}; choose one of {', '.join(choices)}")

    @property
    def kind(self) -> str:
        return type(self).__name__

    def arrays(self) -> Iterator[tuple[str, Array]]:
        for each in dataclasses.fields(self):
            value = getattr(self, each.name)
            if isinstance(value, np.ndarray):
                yield each.name, value

    def output_shape(self, *inputs: Shape) -> Shape:
        """The shape that the node gives for input shapes; GraphError where they do not fit."""
        return inputs[0]


def per_channel(parameter: Array, shape: Shape) -> Array:
    """``parameter`` with axes of length one appended, so that it broadcasts against ``(..., *shape)``."""
    if parameter.ndim == 0 or parameter.shape == shape:
        return parameter
    return parameter.reshape(parameter.shape + (1,) * (len(shape) - 1))


def magnitude(integers: Array) -> int:
    """The largest |value|; Python's integers hold that of the most negative int64, which int64 does not."""
    return max(-int(integers.min()), int(integers.max()))


def _check_parameter(node: Node, name: str, parameter: Array, shape: Shape) -> None:
    if parameter.ndim == 0 or parameter.shape in ((shape[0],), shape):
        return
    raise GraphError(
        f"{node.kind}.{name} has shape {parameter.shape}; for inputs of shape {shape} it must be a scalar, "
        f"({shape[0]},) or {shape}"
    )


def _check_pairs(node: Node, least: int, *names: str) -> None:
    for name in names:
        pair = getattr(node, name)
        if len(pair) != 2 or min(pair) < least:
            raise GraphError(f"{node.kind}.{name} is {pair}; it must be two integers of at least {least}")


def _check_shape(node: Node, shape: Shape) -> None:
    if not shape or any(size < 1 for size in shape):
        raise GraphError(f"{node.kind}.shape is {shape}; every size must be at least 1")


def _check_number(node: Node, name: str, value: float) -> None:
    if not 0 < value < math.inf:
        raise GraphError(f"{node.kind}.{name} is {value}; it must be a positive number")


def _check_weights(node: Conv2d | Linear, axes: str) -> None:
    """``weight`` has the axes that ``axes`` names, ``bias`` one value per output."""
    if node.weight.ndim != axes.count(",") + 1:
        raise GraphError(f"{node.kind}.weight has shape {node.weight.shape}; it must be ({axes})")
    if node.bias is not None and node.bias.shape != node.weight.shape[:1]:
        raise GraphError(f"{node.kind}.bias has shape {node.bias.shape}; it must be ({node.weight.shape[0]},)")


def _check_weight_bits(node: Conv2d | Linear | Scale) -> None:
    if node.weight_bits is not None and not 1 <= node.weight_bits <= 32:
        raise GraphError(f"{node.kind}.weight_bits is {node.weight_bits}; it must be from 1 to 32")
    if not 0 <= node.weight_exponent <= 15:
        raise GraphError(f"{node.kind}.weight_exponent is {node.weight_exponent}; it must be from 0 to 15")


def _spatial(node: Node, shape: Shape) -> Shape:
    if len(shape) != 3:
        raise GraphError(f"{node.kind} needs inputs (channels, height, width), got {shape}; check --input-shape")
    return shape


def _window(node: Node, size: int, kernel: int, stride: int, padding: int, dilation: int = 1) -> int:
    steps = (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
    if steps < 1:
        raise GraphError(f"{node.kind}: a window of {kernel} (dilation {dilation}) does not fit {size} + 2*{padding}")
    return steps


# ---------------------------------------------------------------------------------------------------------- sources


@dataclass(frozen=True, eq=False, kw_only=True)
class Input(Node):
    """Where samples enter: shape ``shape``, one per presentation or one per time step."""

    arity: ClassVar[int | None] = 0
    shape: Shape

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_shape(self, self.shape)

    def output_shape(self, *inputs: Shape) -> Shape:  # noqa: ARG002 - a source has none
        return self.shape


@dataclass(frozen=True, eq=False, kw_only=True)
class DirectEncoder(Node):
    """Direct encoding: the analog value itself at every time step.

    Float: ``y = x``; ``limit`` is the largest ``|x|`` that is expected.
    Integer (``scale`` given): ``y = clip(round_half_even(x * scale), low, high)``.
    """

    limit: float = 1.0
    scale: float | None = None
    low: int = 0
    high: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_number(self, "limit", self.limit)
        if self.scale is not None:
            _check_number(self, "scale", self.scale)
        if self.low > self.high:
            raise GraphError(f"DirectEncoder: low {self.low} is above high {self.high}; swap them")


@dataclass(frozen=True, eq=False, kw_only=True)
class PoissonEncoder(Node):
    """Signed Poisson spikes: ``y = sign(x)`` where ``uniform24(seed, sample, step, neuron) < |x| * gain * 2**24``.

    The draw is counter-based (``neurocompile.random``), so every engine draws the same whatever its order or batch.
    """

    gain: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_number(self, "gain", self.gain)


# ------------------------------------------------------------------------------------------------- linear operators


@dataclass(frozen=True, eq=False, kw_only=True)
class Conv2d(Node):
    """Cross-correlation, as torch's: ``y[o] = bias[o] + sum_i weight[o, i] * x[i]``, zero padding.

    ``weight``: (out_channels, in_channels / groups, kernel_height, kernel_width); ``bias``: (out_channels,).
    At the integer stage ``weight_bits`` is declared, and the sum is multiplied by ``2**weight_exponent``: the weights
    of one projection may count for more than those of another that meets it in a soma. So in ``Linear`` and ``Scale``.
    """

    weight: Array
    bias: Array | None = None
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)
    groups: int = 1
    weight_bits: int | None = None
    weight_exponent: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_weights(self, "out_channels, in_channels / groups, kernel_height, kernel_width")
        _check_weight_bits(self)
        _check_pairs(self, 1, "stride", "dilation")
        _check_pairs(self, 0, "padding")
        if self.groups < 1:
            raise GraphError(f"Conv2d.groups is {self.groups}; it must be at least 1")

    def output_shape(self, *inputs: Shape) -> Shape:
        channels, height, width = _spatial(self, inputs[0])
        out, per_group, kernel_h, kernel_w = self.weight.shape
        if out % self.groups:
            raise GraphError(f"Conv2d: {out} output channels cannot be divided into {self.groups} groups")
        if per_group * self.groups != channels:
            raise GraphError(
                f"Conv2d: weight {self.weight.shape} with groups={self.groups} takes {per_group * self.groups} "
                f"channels, got {channels}; check --input-shape, or the layer before"
            )
        return (
            out,
            _window(self, height, kernel_h, self.stride[0], self.padding[0], self.dilation[0]),
            _window(self, width, kernel_w, self.stride[1], self.padding[1], self.dilation[1]),
        )


@dataclass(frozen=True, eq=False, kw_only=True)
class Linear(Node):
    """``y = weight @ x + bias``; ``weight``: (out_features, in_features), ``bias``: (out_features,)."""

    weight: Array
    bias: Array | None = None
    weight_bits: int | None = None
    weight_exponent: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_weights(self, "out_features, in_features")
        _check_weight_bits(self)

    def output_shape(self, *inputs: Shape) -> Shape:
        if inputs[0] != (self.weight.shape[1],):
            raise GraphError(
                f"Linear: weight {self.weight.shape} takes inputs ({self.weight.shape[1]},), got {inputs[0]}; "
                "put a Flatten before it or check --input-shape"
            )
        return (int(self.weight.shape[0]),)


@dataclass(frozen=True, eq=False, kw_only=True)
class Scale(Node):
    """``y = weight * x``, element by element: one-to-one synapses. ``weight``: scalar, (channels,) or full shape."""

    weight: Array
    weight_bits: int | None = None
    weight_exponent: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_weight_bits(self)

    def output_shape(self, *inputs: Shape) -> Shape:
        _check_parameter(self, "weight", self.weight, inputs[0])
        return inputs[0]


@dataclass(frozen=True, eq=False, kw_only=True)
class _Pool2d(Node):
    kernel: Pair
    stride: Pair
    padding: Pair = (0, 0)

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_pairs(self, 1, "kernel", "stride")
        _check_pairs(self, 0, "padding")
        if any(2 * pad > size for pad, size in zip(self.padding, self.kernel, strict=True)):
            raise GraphError(f"{self.kind}: padding {self.padding} is more than half of the kernel {self.kernel}")

    def output_shape(self, *inputs: Shape) -> Shape:
        channels, height, width = _spatial(self, inputs[0])
        return (
            channels,
            _window(self, height, self.kernel[0], self.stride[0], self.padding[0]),
            _window(self, width, self.kernel[1], self.stride[1], self.padding[1]),
        )


@dataclass(frozen=True, eq=False, kw_only=True)
class AvgPool2d(_Pool2d):
    """Mean over each window; padded zeros count (torch's ``count_include_pad=True``)."""


@dataclass(frozen=True, eq=False, kw_only=True)
class SumPool2d(_Pool2d):
    """Sum over each window, with zero padding."""


@dataclass(frozen=True, eq=False, kw_only=True)
class BatchNorm(Node):
    """``y = gamma * (x - mean) / sqrt(variance + epsilon) + beta``, each parameter (channels,)."""

    gamma: Array
    beta: Array
    mean: Array
    variance: Array
    epsilon: float

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (self.variance + self.epsilon > 0).all() or self.epsilon == math.inf:
            raise GraphError("BatchNorm: variance + epsilon must be positive in every channel; check the checkpoint")

    @property
    def factor(self) -> Array:
        """What the input is multiplied by, float64 (channels,)."""
        result: Array = self.gamma.astype(np.float64) / np.sqrt(self.variance.astype(np.float64) + self.epsilon)
        return result

    @property
    def shift(self) -> Array:
        """What is added then: ``y = factor * x + shift``, float64 (channels,)."""
        result: Array = self.beta.astype(np.float64) - self.factor * self.mean.astype(np.float64)
        return result

    def output_shape(self, *inputs: Shape) -> Shape:
        for name, array in self.arrays():
            if array.shape != (inputs[0][0],):
                raise GraphError(f"BatchNorm.{name} has shape {array.shape}, needs ({inputs[0][0]},)")
        return inputs[0]


@dataclass(frozen=True, eq=False, kw_only=True)
class Flatten(Node):
    """All axes into one, row-major: (channels, height, width) -> (features,)."""

    def output_shape(self, *inputs: Shape) -> Shape:
        return (math.prod(inputs[0]),)


@dataclass(frozen=True, eq=False, kw_only=True)
class Add(Node):
    """The sum of its inputs, which must have one shape."""

    arity: ClassVar[int | None] = None

    def output_shape(self, *inputs: Shape) -> Shape:
        if len(set(inputs)) != 1:
            raise GraphError(f"Add: its inputs have shapes {', '.join(map(str, inputs))}; they must be the same")
        return inputs[0]


@dataclass(frozen=True, eq=False, kw_only=True)
class Identity(Node):
    """``y = x``."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Dropout(Node):
    """``y = x``: dropout acts in training only."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Delay(Node):
    """``y[t] = x[t - steps]``, zero before; made by the retime pass."""

    steps: int

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.steps < 1:
            raise GraphError(f"Delay.steps is {self.steps}; it must be at least 1")


@dataclass(frozen=True, eq=False, kw_only=True)
class Recurrent(Node):
    """``y[t] = x[t - 1]`` of the same presentation, zero at its first step: what the spikes of a soma bring back to it,
    or to one before it. ``shape`` is that of x, which cannot be inferred within a loop.

    In chip time samples follow each other without a gap, so the spikes of a sample's last step are still on their way
    when the next sample begins. They must not be seen: a soma ignores what comes through recurrent synapses at the step
    at which it clears its state.
    """

    shape: Shape

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_shape(self, self.shape)

    def output_shape(self, *inputs: Shape) -> Shape:
        """Its own; with an input, that must be the same."""
        if inputs and inputs[0] != self.shape:
            raise GraphError(f"Recurrent.shape is {self.shape}, but it reads {inputs[0]}; they must be the same")
        return self.shape


# ------------------------------------------------------------------------------------------------------------ somas


@dataclass(frozen=True)
class FixedPoint:
    """The integer arithmetic of one soma.

    States (membrane, current, threshold, bias, reset value) carry ``fraction_bits`` below the weight's unit: an input
    of one is ``1 << fraction_bits``. Leaks are fractions of ``2**decay_bits``; a decay truncates towards zero, as
    Loihi's does. States have ``state_bits`` (sign included) and wrap or clip where they would not fit; the sum of
    synaptic inputs has ``accumulator_bits`` and is proved never to overflow.
    """

    state_bits: int = 24
    fraction_bits: int = 0
    decay_bits: int = 12
    accumulator_bits: int = 24
    current_overflow: Overflow = "wrap"
    membrane_overflow: Overflow = "clip"

    def __post_init__(self) -> None:
        for name, low, high in (
            ("state_bits", 2, 53),
            ("fraction_bits", 0, 16),
            ("decay_bits", 1, 16),
            ("accumulator_bits", 2, 53),
        ):
            if not low <= getattr(self, name) <= high:
                raise GraphError(f"FixedPoint.{name} is {getattr(self, name)}; it must be from {low} to {high}")
        # float64, which may run an integer graph, holds every integer of 53 bits
        for name, other in (("state_bits", "decay_bits"), ("accumulator_bits", "fraction_bits")):
            width = getattr(self, name) + getattr(self, other)
            if width > 53:
                raise GraphError(f"FixedPoint: {name} + {other} is {width}; their product must fit 53 bits")
        for name in ("current_overflow", "membrane_overflow"):
            if getattr(self, name) not in ("wrap", "clip"):
                raise GraphError(f"FixedPoint.{name} is {getattr(self, name)!r}; choose one of wrap, clip")

    @property
    def one(self) -> int:
        """A leak of one: nothing decays."""
        return 1 << self.decay_bits


@dataclass(frozen=True, eq=False, kw_only=True)
class Soma(Node):
    """What turns synaptic input into spikes or results: ``Neuron``, ``Threshold`` and ``Readout``.

    ``phase`` is the time step at which the soma sees the first step of a sample: 0 until the retime pass sets it.
    """

    phase: int = 0
    fixed: FixedPoint | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.phase < 0:
            raise GraphError(f"{self.kind}.phase is {self.phase}; it must be at least 0")

    def output_shape(self, *inputs: Shape) -> Shape:
        for name, array in self.arrays():
            _check_parameter(self, name, array, inputs[0])
        return inputs[0]


def _check_leaks(node: Neuron | Readout) -> None:
    one = node.fixed.one if node.fixed else 1
    for name in ("leak", "current_leak"):
        leak = getattr(node, name)
        if leak.min() < 0 or leak.max() > one:
            raise GraphError(f"{node.kind}.{name} ranges from {leak.min()} to {leak.max()}; it must lie in [0, {one}]")


def _one() -> Array:
    return np.array(1.0)


def _zero() -> Array:
    return np.array(0.0)


def _false() -> Array:
    return np.array(False)


@dataclass(frozen=True, eq=False, kw_only=True)
class Neuron(Soma):
    """A leaky integrate-and-fire neuron, with every choice spelled out.

    One time step with input x, all state zero at the start of a sample::

        i = current_leak*i + x + bias
        order "integrate_first":                    order "fire_first" (fires on what the last step left):
            u = leak*u - owed + i                       s = fire(u)
            s = fire(u)                                 u = leak*reset(u, s) + i     if leaky_reset
            if leaky_reset: u = reset(u, s)             u = leak*u - threshold*s + i otherwise
            else:           owed = threshold*s

    fire, by ``spikes``: "binary" 1 where u passes the threshold; "signed" also -1 where -u passes it; "graded" the
    number of k >= 1 for which u passes k*threshold, at most ``max_payload``. To pass is ``>`` or ``>=`` (``compare``).
    With ``single_spike`` a neuron that has fired in a presentation fires no more. reset: "subtract" u - threshold*s;
    "set" sign(s)*reset_value where s is not 0; "none" u. ``leaky_reset`` = False (the leak does not act on what was
    subtracted: Eq. 2 of IIR-SNN, snnTorch) goes with "subtract" only.
    """

    threshold: Array
    leak: Array = field(default_factory=_one)
    current_leak: Array = field(default_factory=_zero)
    bias: Array = field(default_factory=_zero)
    reset_value: Array = field(default_factory=_zero)
    order: Order = "integrate_first"
    compare: Compare = "above"
    reset: Reset = "subtract"
    leaky_reset: bool = True
    spikes: Spikes = "binary"
    max_payload: int = 255
    single_spike: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (self.threshold > 0).all():
            raise GraphError(f"Neuron.threshold has a value {self.threshold.min()}; thresholds must be positive")
        if not self.leaky_reset and self.reset != "subtract":
            raise GraphError(f"Neuron: leaky_reset=False means an un-leaked subtraction, but reset is {self.reset!r}")
        if self.max_payload < 1:
            raise GraphError(f"Neuron.max_payload is {self.max_payload}; it must be at least 1")
        _check_leaks(self)


@dataclass(frozen=True, eq=False, kw_only=True)
class Threshold(Soma):
    """A neuron without state, for networks of one time step: ``s = fire(x + bias)`` as ``Neuron``'s fire.

    ``flip`` (bool, per channel): the comparison points the other way, ``<`` for ``>`` and ``<=`` for ``>=``; a batch
    norm of negative scale does this. Only for binary spikes. The threshold may have any sign.
    """

    threshold: Array
    bias: Array = field(default_factory=_zero)
    flip: Array = field(default_factory=_false)
    compare: Compare = "above"
    spikes: Spikes = "binary"
    max_payload: int = 255

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.spikes != "binary" and (self.flip.any() or not (self.threshold > 0).all()):
            raise GraphError(f"Threshold: {self.spikes} spikes need positive thresholds and no flipped comparison")


@dataclass(frozen=True, eq=False, kw_only=True)
class Readout(Soma):
    """Integrates and never fires; its result is its membrane after the last step.

    ``i = current_leak*i + x + bias``; ``u = leak*u + i``. ``unit`` (integer stage) is what an output of one stands
    for in the float network's units, so that ``result * unit`` is close to the float result.
    """

    leak: Array = field(default_factory=_one)
    current_leak: Array = field(default_factory=_zero)
    bias: Array = field(default_factory=_zero)
    unit: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_number(self, "unit", self.unit)
        _check_leaks(self)


SPIKING = (Neuron, Threshold)
ENCODERS = (DirectEncoder, PoissonEncoder)
WEIGHTED = (Conv2d, Linear, Scale)

#: every kind that a file may name
KINDS: dict[str, type[Node]] = {
    cls.__name__: cls
    for cls in (
        Input, DirectEncoder, PoissonEncoder, Conv2d, Linear, Scale, AvgPool2d, SumPool2d, BatchNorm, Flatten, Add,
        Identity, Dropout, Delay, Recurrent, Neuron, Threshold, Readout,
    )
}  # fmt: skip
