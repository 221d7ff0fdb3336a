"""What stands between sources and somas: weights, pools, sums, moves and delays."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from neurocompile.errors import GraphError
from neurocompile.ir.nodes.base import (
    Array,
    Node,
    Pair,
    Shape,
    check_pairs,
    check_parameter,
    check_shape,
    spatial,
    window,
)


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


@dataclass(frozen=True, eq=False, kw_only=True)
class Conv2d(Node):
    """Cross-correlation, as torch's: ``y[o] = bias[o] + sum_i weight[o, i] * x[i]``, zero padding.

    ``weight``: (out_channels, in_channels / groups, kernel_height, kernel_width); ``bias``: (out_channels,). The values
    of x lie ``upsample`` apart, with zeros between them; the lower and right ends are padded by ``end_padding`` more.
    At the integer stage ``weight_bits`` is declared, and the sum is multiplied by ``2**weight_exponent``: the weights
    of one projection may count for more than those of another that meets it in a soma. So in ``Linear`` and ``Scale``.
    """

    weight: Array
    bias: Array | None = None
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)
    groups: int = 1
    upsample: Pair = (1, 1)
    end_padding: Pair = (0, 0)
    weight_bits: int | None = None
    weight_exponent: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_weights(self, "out_channels, in_channels / groups, kernel_height, kernel_width")
        _check_weight_bits(self)
        check_pairs(self, 1, "stride", "dilation", "upsample")
        check_pairs(self, 0, "padding", "end_padding")
        if self.groups < 1:
            raise GraphError(f"Conv2d.groups is {self.groups}; it must be at least 1")

    @property
    def spreads(self) -> bool:
        """Whether windows see more than the input and its padding on all sides."""
        return self.upsample != (1, 1) or any(self.end_padding)

    def spread(self, shape: Shape) -> Shape:
        """The shape of the input once its values lie ``upsample`` apart, with the zeros at its end."""
        sizes = zip(shape[1:], self.upsample, self.end_padding, strict=True)
        return (shape[0], *((size - 1) * apart + 1 + extra for size, apart, extra in sizes))

    def output_shape(self, *inputs: Shape) -> Shape:
        channels, height, width = self.spread(spatial(self, inputs[0]))
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
            window(self, height, kernel_h, self.stride[0], self.padding[0], self.dilation[0]),
            window(self, width, kernel_w, self.stride[1], self.padding[1], self.dilation[1]),
        )


@dataclass(frozen=True, eq=False, kw_only=True)
class ConvTranspose2d(Node):
    """Transposed convolution, as torch's: the gradient of ``Conv2d`` with regard to its input.

    ``y[o, r*stride + k*dilation - padding] += weight[i, o, k] * x[i, r]`` over all r and k, plus ``bias[o]``.
    ``weight``: (in_channels, out_channels / groups, kernel_height, kernel_width); ``bias``: (out_channels,). The
    output is longer by ``output_padding`` at its end.
    """

    weight: Array
    bias: Array | None = None
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    output_padding: Pair = (0, 0)
    dilation: Pair = (1, 1)
    groups: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.weight.ndim != 4:
            raise GraphError(
                f"ConvTranspose2d.weight has shape {self.weight.shape}; it must be "
                "(in_channels, out_channels / groups, kernel_height, kernel_width)"
            )
        if self.groups < 1:
            raise GraphError(f"ConvTranspose2d.groups is {self.groups}; it must be at least 1")
        channels = self.weight.shape[1] * self.groups
        if self.bias is not None and self.bias.shape != (channels,):
            raise GraphError(f"ConvTranspose2d.bias has shape {self.bias.shape}; it must be ({channels},)")
        check_pairs(self, 1, "stride", "dilation")
        check_pairs(self, 0, "padding", "output_padding")
        for extra, *others in zip(self.output_padding, self.stride, self.dilation, strict=True):
            if extra >= max(others):
                raise GraphError(
                    f"ConvTranspose2d.output_padding is {self.output_padding}; it must be below stride or dilation"
                )

    def output_shape(self, *inputs: Shape) -> Shape:
        channels, *sizes = spatial(self, inputs[0])
        if self.weight.shape[0] != channels or channels % self.groups:
            raise GraphError(
                f"ConvTranspose2d: weight {self.weight.shape} with groups={self.groups} takes {self.weight.shape[0]} "
                f"channels, got {channels}; check --input-shape, or the layer before"
            )
        ends = [
            (size - 1) * stride - 2 * pad + dilation * (kernel - 1) + extra + 1
            for size, stride, pad, dilation, kernel, extra in zip(
                sizes, self.stride, self.padding, self.dilation, self.weight.shape[2:], self.output_padding, strict=True
            )
        ]
        if min(ends) < 1:
            raise GraphError(f"ConvTranspose2d: padding {self.padding} leaves nothing of its output {tuple(ends)}")
        return (self.weight.shape[1] * self.groups, *ends)


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
    """``y = weight * x + bias``, element by element: one-to-one synapses. Both: scalar, (channels,) or full shape."""

    weight: Array
    bias: Array | None = None
    weight_bits: int | None = None
    weight_exponent: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_weight_bits(self)

    def output_shape(self, *inputs: Shape) -> Shape:
        for name, array in self.arrays():
            check_parameter(self, name, array, inputs[0])
        return inputs[0]


@dataclass(frozen=True, eq=False, kw_only=True)
class _Pool2d(Node):
    kernel: Pair
    stride: Pair
    padding: Pair = (0, 0)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_pairs(self, 1, "kernel", "stride")
        check_pairs(self, 0, "padding")
        if any(2 * pad > size for pad, size in zip(self.padding, self.kernel, strict=True)):
            raise GraphError(f"{self.kind}: padding {self.padding} is more than half of the kernel {self.kernel}")

    def output_shape(self, *inputs: Shape) -> Shape:
        channels, height, width = spatial(self, inputs[0])
        return (
            channels,
            window(self, height, self.kernel[0], self.stride[0], self.padding[0], self._spacing()[0]),
            window(self, width, self.kernel[1], self.stride[1], self.padding[1], self._spacing()[1]),
        )

    def _spacing(self) -> Pair:
        """How far apart the values of a window lie."""
        return (1, 1)


@dataclass(frozen=True, eq=False, kw_only=True)
class AvgPool2d(_Pool2d):
    """Mean over each window; padded zeros count (torch's ``count_include_pad=True``)."""


@dataclass(frozen=True, eq=False, kw_only=True)
class SumPool2d(_Pool2d):
    """Sum over each window, with zero padding."""


@dataclass(frozen=True, eq=False, kw_only=True)
class MaxPool2d(_Pool2d):
    """The largest value of each window; what is padded never wins. On binary spikes an OR."""

    dilation: Pair = (1, 1)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_pairs(self, 1, "dilation")

    def output_shape(self, *inputs: Shape) -> Shape:
        for size, dilation, padding in zip(spatial(self, inputs[0])[1:], self.dilation, self.padding, strict=True):
            if padding and dilation > size:
                raise GraphError(
                    f"MaxPool2d: dilation {self.dilation} goes beyond inputs {inputs[0]}, so that a window may lie "
                    f"in the padding {self.padding} alone; use a smaller dilation or no padding"
                )
        return super().output_shape(*inputs)

    def _spacing(self) -> Pair:
        return self.dilation


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
class Reshape(Node):
    """The same values, row-major, in another ``shape``."""

    shape: Shape

    def __post_init__(self) -> None:
        super().__post_init__()
        check_shape(self, self.shape)

    def output_shape(self, *inputs: Shape) -> Shape:
        if math.prod(inputs[0]) != math.prod(self.shape):
            raise GraphError(f"Reshape: {inputs[0]} has {math.prod(inputs[0])} values, {self.shape} another number")
        return self.shape


@dataclass(frozen=True, eq=False, kw_only=True)
class Add(Node):
    """The sum of its inputs, which must have one shape."""

    arity: ClassVar[int | None] = None

    def output_shape(self, *inputs: Shape) -> Shape:
        if len(set(inputs)) != 1:
            raise GraphError(f"Add: its inputs have shapes {', '.join(map(str, inputs))}; they must be the same")
        return inputs[0]


@dataclass(frozen=True, eq=False, kw_only=True)
class Concat(Node):
    """Its inputs one after the other along the channels (axis 0); their other axes must be the same."""

    arity: ClassVar[int | None] = None

    def output_shape(self, *inputs: Shape) -> Shape:
        if len({shape[1:] for shape in inputs}) != 1:
            raise GraphError(f"Concat: its inputs have shapes {', '.join(map(str, inputs))}; only channels may differ")
        return (sum(shape[0] for shape in inputs), *inputs[0][1:])


@dataclass(frozen=True, eq=False, kw_only=True)
class PadChannels(Node):
    """Its input, with ``before`` channels (axis 0) of zeros before it and ``after`` behind it: the place of a part
    within a Concat. Made by the split_projections pass."""

    before: int
    after: int

    def __post_init__(self) -> None:
        super().__post_init__()
        if min(self.before, self.after) < 0:
            raise GraphError(f"PadChannels: before {self.before} and after {self.after} must be at least 0")

    def output_shape(self, *inputs: Shape) -> Shape:
        return (self.before + inputs[0][0] + self.after, *inputs[0][1:])


@dataclass(frozen=True, eq=False, kw_only=True)
class Relu(Node):
    """``y = max(0, x)``: an artificial neuron, which the conversion to spikes replaces."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Identity(Node):
    """``y = x``."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Dropout(Node):
    """``y = x``: dropout acts in training only."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Delay(Node):
    """``y[t] = x[t - steps]``, zero before, in chip time, which knows nothing of samples; made by the retime pass."""

    steps: int

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.steps < 1:
            raise GraphError(f"Delay.steps is {self.steps}; it must be at least 1")


#: a delay of more steps is a mistake; what holds the past would be as long
_MOST_STEPS = 1 << 20


def _check_delays(node: Node, name: str, steps: Array) -> None:
    if steps.dtype.kind not in "iu" or steps.min() < 0 or steps.max() > _MOST_STEPS:
        raise GraphError(f"{node.kind}.{name} must be whole numbers from 0 to {_MOST_STEPS:,}")


@dataclass(frozen=True, eq=False, kw_only=True)
class AxonDelay(Node):
    """``y[n, t] = x[n, t - steps[n]]`` of the same presentation, zero before. ``steps``: whole numbers of at least 0, a
    scalar, one per channel or one per neuron. The ``lower_delays`` pass turns it into a ``Recurrent``."""

    steps: Array

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_delays(self, "steps", self.steps)

    @property
    def delays(self) -> Array:
        """int64, of the shape of ``steps``."""
        return self.steps.astype(np.int64)

    def output_shape(self, *inputs: Shape) -> Shape:
        check_parameter(self, "steps", self.steps, inputs[0])
        return inputs[0]


@dataclass(frozen=True, eq=False, kw_only=True)
class Recurrent(Node):
    """The past: ``y[n, t] = x[n, t - steps - axon_steps[n]]`` of the same presentation, zero before its first step.

    Through it the spikes of a soma come back to it, or to one before it; it delays what goes forward just as well, and
    reads an encoder then too. ``shape`` is that of x, which cannot be inferred within a loop. ``steps`` is what all
    neurons of x share, and so the least delay; 0 is legal where some wait longer. ``axon_steps``: None, or how much
    longer each neuron's spikes take, with a least of 0: one per channel or one per neuron.

    In chip time samples follow each other without a gap, so the last spikes of a sample are still on their way when the
    next begins. They must not be seen: at step t of a sample, a soma ignores the spikes of all that are late by more
    than t steps. ``wait``, made by the retime pass: how many steps later than its source the soma works on a sample.
    Below zero it works earlier, so that spikes take fewer steps on the chip than in the network, but at least one.
    """

    shape: Shape
    steps: int = 1
    axon_steps: Array | None = None
    wait: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_shape(self, self.shape)
        least = 1 if self.axon_steps is None else 0
        if not least <= self.steps <= _MOST_STEPS:
            raise GraphError(f"Recurrent.steps is {self.steps}; it must be from {least} to {_MOST_STEPS:,}")
        if self.axon_steps is not None:
            _check_delays(self, "axon_steps", self.axon_steps)
            if self.axon_steps.min() > 0 or self.axon_steps.max() == 0:
                raise GraphError("Recurrent.axon_steps must be 0 for some neurons and more for others")

    @property
    def delays(self) -> Array:
        """int64: the delay in the network's time, a scalar, one per channel or one per neuron."""
        extra = np.zeros((), np.int64) if self.axon_steps is None else self.axon_steps.astype(np.int64)
        result: Array = extra + np.int64(self.steps)
        return result

    @property
    def longest(self) -> int:
        """The longest delay of ``delays``."""
        return int(self.delays.max())

    def output_shape(self, *inputs: Shape) -> Shape:
        """Its own; with an input, that must be the same."""
        if inputs and inputs[0] != self.shape:
            raise GraphError(f"Recurrent.shape is {self.shape}, but it reads {inputs[0]}; they must be the same")
        if self.axon_steps is not None:
            check_parameter(self, "axon_steps", self.axon_steps, self.shape)
        return self.shape
