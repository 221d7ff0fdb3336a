"""Sums, factors, and sums over time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from neurocompile.frontend.tracing.axes import to_shape
from neurocompile.frontend.tracing.reading import any_port, axis_of, constant, moved
from neurocompile.frontend.tracing.symbolic import Refusal, Symbol, Value, fresh, in_order, sizes
from neurocompile.ir.nodes import (
    Add,
    Array,
    AvgPool2d,
    BatchNorm,
    Scale,
    Shape,
    SumPool2d,
)

if TYPE_CHECKING:
    from neurocompile.frontend.tracing.tracer import Tracer

Operation = Callable[..., Any]


def add(tracer: Tracer, input: Any, other: Any, *, alpha: Any = 1) -> Any:
    if alpha != 1:
        other = mul(tracer, other, alpha) if isinstance(other, Symbol) else other * alpha
    if not (isinstance(input, Symbol) and isinstance(other, Symbol)):
        one, added = (input, other) if isinstance(input, Symbol) else (other, input)
        return affine(tracer, one, np.ones(()), constant(added))
    total = collected(tracer, input, other)
    if total is not None:
        return total
    values = [tracer.value(input), tracer.value(other)]
    zeros = [tracer.recorder.is_zero(value.node) for value in values]
    if any(zeros):
        return other if zeros[0] else input
    when, nodes = tracer.in_time(values)
    if values[0].factor != values[1].factor:
        raise Refusal("adds sums over time that are scaled in two ways")
    one_axes, other_axes = values[0].axes, values[1].axes
    axes = tuple(a or b for a, b in zip(one_axes, other_axes, strict=False))
    if len(one_axes) != len(other_axes) or any(a and b and a != b for a, b in zip(one_axes, other_axes, strict=True)):
        raise Refusal(f"adds tensors of shapes {sizes(input)} and {sizes(other)}, whose axes do not correspond")
    made = tracer.recorder.emit(tracer.name("add"), Add(), tuple(nodes))
    lengths = tuple(max(pair) for pair in zip(sizes(input), sizes(other), strict=True))
    return tracer.symbol(lengths, Value(made, when, axes, factor=values[0].factor))


def collected(tracer: Tracer, input: Symbol, other: Symbol) -> Symbol | None:
    """``total + out`` where both are of one node at different steps: its sum over these."""
    one, two = any_port(input), any_port(other)
    steps = [value.when if isinstance(value.when, tuple) else (value.when,) for value in (one, two)]
    numbers = [step for part in steps for step in part if isinstance(step, int)]
    alike = replace(one, node=two.node, when=0) == replace(two, when=0) and tracer.recorder.same(one.node, two.node)
    if not alike or len(numbers) != sum(map(len, steps)) or len(set(numbers)) != len(numbers):
        return None
    _not_after(two)
    return tracer.symbol(sizes(other), replace(two, when=tuple(sorted(numbers))))


def sub(tracer: Tracer, input: Any, other: Any, *, alpha: Any = 1) -> Any:
    return add(tracer, input, mul(tracer, other, -1) if isinstance(other, Symbol) else -other, alpha=alpha)


def mul(tracer: Tracer, input: Any, other: Any) -> Any:
    if isinstance(input, Symbol) and isinstance(other, Symbol):
        raise Refusal("multiplies two tensors that both depend on the input; a chip has no synapse that does")
    one, factor = (input, other) if isinstance(input, Symbol) else (other, input)
    return affine(tracer, one, constant(factor), np.zeros(()))


def div(tracer: Tracer, input: Any, other: Any, *, rounding_mode: Any = None) -> Any:
    if isinstance(other, Symbol) or rounding_mode is not None:
        raise Refusal("divides by a tensor that depends on the input, or rounds; only fixed factors can be weights")
    return mul(tracer, input, 1.0 / constant(other))


def neg(tracer: Tracer, input: Symbol) -> Any:
    return mul(tracer, input, -1.0)


def affine(tracer: Tracer, x: Symbol, gain: Array, shift: Array) -> Symbol:
    """``gain * x + shift`` with constants that broadcast."""
    value = any_port(x)
    if gain.size == 1 and gain.item() == 1 and not shift.any():
        return x
    if not np.isfinite(gain).all() or not np.isfinite(shift).all():
        raise Refusal("computes with a constant that is NaN or infinite")
    if isinstance(value.when, tuple) or value.port != "out":
        if gain.size != 1 or shift.any() or gain.item() <= 0:
            raise Refusal("changes a result by more than a positive factor; return it as it is")
        return tracer.symbol(sizes(x), replace(value, factor=value.factor * float(gain.item())))
    value = tracer.value(x)
    shape = tracer.recorder.shapes[value.node]
    if not in_order(value.axes, len(shape)):
        raise Refusal("computes on a tensor whose axes were put into another order; permute them back first")
    weight = parameter(gain, shape, len(value.axes))
    if not shift.any():
        return tracer.apply("mul", Scale(weight=weight), x, value)
    added = parameter(shift, shape, len(value.axes))
    if max(added.ndim, weight.ndim) > 1:
        raise Refusal("adds a constant of its own to every neuron; add one per channel")
    channels = shape[:1]
    node = BatchNorm(
        gamma=np.broadcast_to(weight, channels), beta=np.broadcast_to(added, channels),
        mean=np.zeros(channels), variance=np.ones(channels), epsilon=0.0,
    )  # fmt: skip
    return tracer.apply("affine", node, x, value)


def parameter(constant: Array, shape: Shape, rank: int) -> Array:
    """A constant that broadcasts against (batch axes, *shape) as a scalar, (channels,) or the full shape."""
    if constant.size == 1:
        return constant.reshape(())
    padded = (1,) * (rank - constant.ndim) + constant.shape
    if any(size != 1 for size in padded[: rank - len(shape)]):
        raise Refusal("computes with a constant that differs between samples or time steps")
    own = constant.reshape(padded[rank - len(shape) :])
    if all(size == 1 for size in own.shape[1:]) and own.shape[0] == shape[0]:
        return own.reshape(-1)
    return np.broadcast_to(own, shape)


def over_time(tracer: Tracer, x: Symbol, dim: Any, keepdim: bool, mean: bool) -> Symbol | None:
    """A sum or mean over the time axis, or None where that is not what is asked for."""
    value = any_port(x)
    dims = tuple(dim) if isinstance(dim, Sequence) else (dim,)
    if dim is None or len(dims) != 1 or value.axes[axis_of(dims[0], len(value.axes))] != ("T",):
        return None
    axis = axis_of(dims[0], len(value.axes))
    _not_after(value)
    factor = value.factor / tracer.timesteps if mean else value.factor
    steps = tuple(range(tracer.timesteps))
    between, one = ((),) if keepdim else (), (1,) if keepdim else ()
    axes = (*value.axes[:axis], *between, *value.axes[axis + 1 :])
    lengths = (*sizes(x)[:axis], *one, *sizes(x)[axis + 1 :])
    return tracer.symbol(lengths, replace(value, when=steps, axes=axes, factor=factor))


def _not_after(value: Value) -> None:
    """Refuse to sum steps of what has been left out: the sum of softmaxes is not the softmax of the sum."""
    if value.after:
        raise Refusal(f"sums over time what {value.after} gives at every step; sum first, and leave {value.after} out")


def reduce(mean: bool) -> Operation:
    def reduce(tracer: Tracer, input: Symbol, dim: Any = None, keepdim: bool = False, **_: Any) -> Symbol:
        summed = over_time(tracer, input, dim, keepdim, mean)
        if summed is not None:
            return summed
        value, lengths = tracer.value(input), sizes(input)
        dims = [] if dim is None else list(dim) if isinstance(dim, Sequence) else [dim]
        places = sorted(axis_of(each, len(lengths)) for each in dims)
        shape = tracer.recorder.shapes[value.node]
        spatial = [value.axes[place] for place in places]
        if not in_order(value.axes, len(shape)) or spatial != [(k,) for k in range(1, len(shape))] or not spatial:
            raise Refusal("reduces over other axes than time, or the rows and columns of maps together")
        batch = value.axes[: len(value.axes) - len(shape)]
        rows = (1, shape[1]) if len(shape) == 2 else (shape[1], shape[2])
        if len(shape) == 2:
            tall = (shape[0], 1, shape[1])
            input, value = moved(tracer, value, (*batch, *fresh(3)), (*lengths[: len(batch)], *tall), tall)
        pool = AvgPool2d(kernel=rows, stride=rows) if mean else SumPool2d(kernel=rows, stride=rows)
        pooled = tracer.apply("mean" if mean else "sum", pool, input, value)
        kept = [1] * len(places) if keepdim else []
        return to_shape(tracer, pooled, [*lengths[: len(batch)], shape[0], *kept])

    return reduce


class Largest(NamedTuple):
    """What ``max`` along an axis returns."""

    values: Symbol
    indices: Symbol


def largest(tracer: Tracer, input: Symbol, dim: Any = None, *_: Any, **__: Any) -> Largest:
    """The largest output of a sample, at the end of a network: the outputs tell it as well."""
    value = any_port(input)
    labels = value.axes[axis_of(dim, len(value.axes))] if isinstance(dim, int) else ()
    if "T" in labels:
        raise Refusal("takes the largest over the time steps, which no chip keeps; return their sum, or the last step")
    if labels != (len(tracer.recorder.shapes[value.node]) - 1,):
        raise Refusal("takes the largest over other axes than the outputs; only nn.MaxPool2d can be followed")
    left = tracer.symbol(sizes(input), replace(value, after="max"))
    return Largest(left, left)


def left_out(name: str) -> Operation:
    """An operation at the end of a network that does not change which output is the largest: along the outputs, or one
    by one, and of a whole result."""

    def call(tracer: Tracer, input: Symbol, dim: Any = None, *_: Any, **__: Any) -> Symbol:
        value = any_port(input)
        outputs = len(tracer.recorder.shapes[value.node]) - 1
        if isinstance(dim, int) and value.axes[axis_of(dim, len(value.axes))] != (outputs,):
            raise Refusal("is taken along another axis than the outputs; take it along these, or leave it out")
        return tracer.symbol(sizes(input), replace(value, after=name))

    return call
