"""What layers compute: weights, norms, pools. Each function has the signature of torch's."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from neurocompile.frontend.tracing.axes import to_shape
from neurocompile.frontend.tracing.reading import maps, moved, pair, single
from neurocompile.frontend.tracing.symbolic import Refusal, Symbol, Value, fresh, in_order, sizes
from neurocompile.ir.nodes import (
    Array,
    AvgPool2d,
    BatchNorm,
    Conv2d,
    ConvTranspose2d,
    Linear,
    MaxPool2d,
    Node,
    Pair,
    Relu,
    Shape,
)

if TYPE_CHECKING:
    from neurocompile.frontend.tracing.tracer import Tracer

Operation = Callable[..., Any]


def linear(tracer: Tracer, input: Symbol, weight: Tensor, bias: Tensor | None = None) -> Symbol:
    value = tracer.value(input)
    shape = tracer.recorder.shapes[value.node]
    if len(shape) != 1 or not in_order(value.axes, 1):
        raise Refusal(f"applies weights along the last axis of {sizes(input)} alone; put a Flatten before it")
    added = None if bias is None else for_sum(tracer, tracer.array(bias), value)
    return tracer.apply("linear", Linear(weight=tracer.array(weight), bias=added), input, value)


def for_sum(tracer: Tracer, bias: Array, value: Value) -> Array:
    """What is added once to a sum over time steps is added in parts at every step."""
    if not isinstance(value.when, tuple):
        return bias
    if value.when != tuple(range(tracer.timesteps)):
        raise Refusal("reads a sum over some of the time steps; sum over all")
    parts = value.factor * tracer.timesteps
    return bias if parts == 1 else bias / parts


def matmul(tracer: Tracer, input: Any, other: Any) -> Symbol:
    if not isinstance(input, Symbol) or not isinstance(other, Tensor) or isinstance(other, Symbol) or other.ndim != 2:
        raise Refusal("multiplies matrices other than (batch, features) @ (features, outputs)")
    return linear(tracer, input, other.t())


def addmm(tracer: Tracer, input: Any, mat1: Any, mat2: Any) -> Symbol:
    return linear(tracer, mat1, mat2.t(), input)


def conv2d(
    tracer: Tracer, input: Symbol, weight: Tensor, bias: Tensor | None = None, stride: Any = 1, padding: Any = 0,
    dilation: Any = 1, groups: int = 1,
) -> Symbol:  # fmt: skip
    x, value = maps(tracer, input, 3)
    pads, dilated = padding, pair(dilation)
    if padding == "valid":
        pads = 0
    elif padding == "same":
        totals = [step * (size - 1) for step, size in zip(dilated, weight.shape[2:], strict=True)]
        if any(total % 2 for total in totals):
            raise Refusal(f"padding='same' is one-sided for kernel {tuple(weight.shape[2:])}; use an odd kernel")
        pads = [total // 2 for total in totals]
    node = Conv2d(
        weight=tracer.array(weight),
        bias=None if bias is None else for_sum(tracer, tracer.array(bias), value),
        stride=pair(stride), padding=pair(pads), dilation=dilated, groups=groups,
    )  # fmt: skip
    return tracer.apply("conv2d", node, x, value)


def conv_transpose2d(
    tracer: Tracer, input: Symbol, weight: Tensor, bias: Tensor | None = None, stride: Any = 1, padding: Any = 0,
    output_padding: Any = 0, groups: int = 1, dilation: Any = 1,
) -> Symbol:  # fmt: skip
    x, value = maps(tracer, input, 3)
    node = ConvTranspose2d(
        weight=tracer.array(weight),
        bias=None if bias is None else for_sum(tracer, tracer.array(bias), value),
        stride=pair(stride), padding=pair(padding), output_padding=pair(output_padding), dilation=pair(dilation),
        groups=groups,
    )  # fmt: skip
    return tracer.apply("conv_transpose2d", node, x, value)


def on_rows(operation: Operation, *windows: str, weighted: bool = False) -> Operation:
    """A 1-d operation as the 2-d one on maps of one row; ``windows`` are the arguments that count columns."""

    def call(tracer: Tracer, input: Symbol, *args: Any, **kwargs: Any) -> Symbol:
        x, value = maps(tracer, input, 2)
        names = list(inspect.signature(operation).parameters)[2:]
        given = dict(zip(names, args, strict=False)) | kwargs
        for name in windows:
            if name in given and given[name] not in (None, "same", "valid", []):
                still = 0 if "padding" in name else 1
                given[name] = (still, single(given[name]))
        if weighted:
            given["weight"] = taller(tracer, given["weight"])
        channels, length = tracer.recorder.shapes[value.node]
        batch = sizes(x)[0]
        with tracer.named(f"{tracer.name('conv1d')}.rows"):
            tall, _ = moved(
                tracer, value, (value.axes[0], *fresh(3)), (batch, channels, 1, length), (channels, 1, length)
            )
        made = operation(tracer, tall, **given)
        out = sizes(made)
        with tracer.named(f"{tracer.name('conv1d')}.columns"):
            return to_shape(tracer, made, [out[0], out[1], out[3]])

    return call


def taller(tracer: Tracer, weight: Tensor) -> Tensor:
    """A kernel (out, in, width) as (out, in, 1, width); the same tensor for the same parameter."""
    return tracer.kept("taller", weight, lambda: weight.detach().unsqueeze(2))


def batch_norm(
    tracer: Tracer, input: Symbol, running_mean: Tensor | None, running_var: Tensor | None,
    weight: Tensor | None = None, bias: Tensor | None = None, training: bool = False,
    momentum: Any = 0.1, eps: float = 1e-5, *_: Any,  # noqa: ARG001 - of no use in eval mode
) -> Symbol:  # fmt: skip
    if training or running_mean is None or running_var is None:
        raise Refusal("keeps no running statistics; train it with track_running_stats=True")
    x, value = maps(tracer, input, len(sizes(input)) - 1)
    if isinstance(value.when, tuple):
        raise Refusal("normalises a sum over time steps; put it before the sum")
    channels = len(running_mean)
    node = BatchNorm(
        gamma=np.ones(channels, np.float32) if weight is None else tracer.array(weight),
        beta=np.zeros(channels, np.float32) if bias is None else tracer.array(bias),
        mean=tracer.array(running_mean), variance=tracer.array(running_var), epsilon=float(eps),
    )  # fmt: skip
    return tracer.apply("batch_norm", node, x, value)


def whole_windows(what: str, shape: Shape, kernel: Pair, stride: Pair, padding: Pair) -> None:
    """Refuse ceil_mode where it would make windows that reach over the border."""
    for size, pad, window, step in zip(shape[1:], padding, kernel, stride, strict=True):
        if (size + 2 * pad - window) % step:
            raise Refusal(f"{what}: ceil_mode=True has smaller windows at the border of {shape}; set it to False")


def avg_pool2d(
    tracer: Tracer, input: Symbol, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
    count_include_pad: bool = True, divisor_override: Any = None,
) -> Symbol:  # fmt: skip
    x, value = maps(tracer, input, 3)
    kernel, pads = pair(kernel_size), pair(padding)
    steps = kernel if stride is None or stride == [] else pair(stride)
    if divisor_override not in (None, kernel[0] * kernel[1]):
        raise Refusal(f"divisor_override={divisor_override} is not the window's size; remove it")
    if any(pads) and not count_include_pad:
        raise Refusal("count_include_pad=False divides by less at the border; use True or padding=0")
    if ceil_mode:
        whole_windows("AvgPool2d", tracer.recorder.shapes[value.node], kernel, steps, pads)
    return tracer.apply("avg_pool2d", AvgPool2d(kernel=kernel, stride=steps, padding=pads), x, value)


def max_pool2d(
    tracer: Tracer, input: Symbol, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
    ceil_mode: bool = False, return_indices: bool = False,
) -> Symbol:  # fmt: skip
    if return_indices:
        raise Refusal("returns the places of its maxima; set return_indices=False")
    x, value = maps(tracer, input, 3)
    kernel, pads = pair(kernel_size), pair(padding)
    steps = kernel if stride is None or stride == [] else pair(stride)
    if ceil_mode:
        whole_windows("MaxPool2d", tracer.recorder.shapes[value.node], kernel, steps, pads)
    node = MaxPool2d(kernel=kernel, stride=steps, padding=pads, dilation=pair(dilation))
    return tracer.apply("max_pool2d", not_summed(value, node), x, value)


def not_summed(value: Value, node: Node) -> Node:
    if isinstance(value.when, tuple):
        raise Refusal("reads a sum over time steps; put it before the sum")
    return node


def adaptive(kind: type[AvgPool2d] | type[MaxPool2d], operation: str) -> Operation:
    def call(tracer: Tracer, input: Symbol, output_size: Any, return_indices: bool = False) -> Symbol:
        if return_indices:
            raise Refusal("returns the places of its maxima; set return_indices=False")
        x, value = maps(tracer, input, 3)
        rows = tracer.recorder.shapes[value.node][1:]
        wanted = list(output_size) if isinstance(output_size, Sequence) else [output_size] * 2
        targets = [size if target is None else target for target, size in zip(wanted, rows, strict=True)]
        if kind is AvgPool2d and all(target % size == 0 for size, target in zip(rows, targets, strict=True)):
            return repeated(tracer, operation, x, value, (targets[0] // rows[0], targets[1] // rows[1]))
        if any(target < 1 or size % target for size, target in zip(rows, targets, strict=True)):
            raise Refusal(f"{rows} is no multiple of {tuple(targets)}; choose a size that divides it")
        kernel = (rows[0] // targets[0], rows[1] // targets[1])
        return tracer.apply(operation, kind(kernel=kernel, stride=kernel), x, value)

    return call


def repeated(tracer: Tracer, operation: str, x: Symbol, value: Value, times: Pair) -> Symbol:
    """Every value of a map as often as ``times`` says, in rows and in columns: a transposed convolution of ones."""
    if times == (1, 1):
        return x
    channels = tracer.recorder.shapes[value.node][0]
    node = ConvTranspose2d(weight=np.ones((channels, 1, *times)), stride=times, groups=channels)
    return tracer.apply(operation, node, x, value)


def interpolate(
    tracer: Tracer, input: Symbol, size: Any = None, scale_factor: Any = None, mode: str = "nearest", *_: Any, **__: Any
) -> Symbol:
    x, value = maps(tracer, input, 3)
    rows = tracer.recorder.shapes[value.node][1:]
    if size is not None:
        factors = [target / length for target, length in zip(pair(size), rows, strict=True)]
    else:
        factors = list(scale_factor) if isinstance(scale_factor, Sequence) else [scale_factor] * 2
    if mode != "nearest" or any(factor != int(factor) or factor < 1 for factor in factors):
        raise Refusal(
            f"resizes {rows} by {factors} with mode {mode!r}; only 'nearest' by whole numbers can be compiled"
        )
    return repeated(tracer, "interpolate", x, value, (int(factors[0]), int(factors[1])))


def relu(tracer: Tracer, input: Symbol, inplace: bool = False) -> Symbol:  # noqa: ARG001 - the result is new
    value = tracer.value(input)
    return tracer.apply("relu", not_summed(value, Relu()), input, value)


def clamp(tracer: Tracer, input: Symbol, min: Any = None, max: Any = None) -> Symbol:
    if max is not None or min != 0:
        raise Refusal(f"clamps to {min} .. {max}; only clamp(min=0), which is a ReLU, can be followed")
    return relu(tracer, input)


def dropout(tracer: Tracer, input: Symbol, p: float = 0.5, training: bool = True, inplace: bool = False) -> Symbol:  # noqa: ARG001
    if training:
        raise Refusal("drops even in eval mode; pass training=self.training")
    return input


def pad(tracer: Tracer, input: Symbol, pad: Sequence[int], mode: str = "constant", value: Any = None) -> Symbol:
    """More channels, of zeros: a convolution of one position that leaves them empty."""
    pads = [int(each) for each in pad]
    if not any(pads):
        return input
    x, what = maps(tracer, input, 3)
    if mode != "constant" or value not in (None, 0, 0.0) or any(pads[:4]) or len(pads) != 6 or min(pads) < 0:
        raise Refusal(f"pads {pads} with mode {mode!r}; use the convolution's own padding with padding_mode='zeros'")
    channels = tracer.recorder.shapes[what.node][0]
    weight = np.zeros((channels + pads[4] + pads[5], channels, 1, 1))
    weight[pads[4] + np.arange(channels), np.arange(channels)] = 1
    return tracer.apply("pad", Conv2d(weight=weight), x, what)
