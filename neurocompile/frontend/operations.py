"""What torch's functions become when a network is followed: one small function each, with torch's own signature.

Names are those of ``tracer.function_name``: ``add`` stands for ``torch.add``, ``Tensor.add`` and ``+``. Operations that
only move batch and time change the axes of a symbol; those that compute emit a node.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from neurocompile.frontend.symbolic import (
    Refusal,
    Symbol,
    Value,
    batch_labels,
    fresh,
    in_order,
    regroup,
    sizes,
)
from neurocompile.ir.nodes import (
    Add,
    Array,
    AvgPool2d,
    BatchNorm,
    Concat,
    Conv2d,
    ConvTranspose2d,
    Flatten,
    Linear,
    MaxPool2d,
    Node,
    Pair,
    Relu,
    Reshape,
    Scale,
    Shape,
    SumPool2d,
)
from neurocompile.snn.tracing import INSTEAD

if TYPE_CHECKING:
    from neurocompile.frontend.tracer import Tracer

Operation = Callable[..., Any]


def instead(name: str, default: str | None = "a layer of the README's table of networks in") -> str | None:
    """What to use in place of torch's layer or function ``name``."""
    if name in _COMPARISONS:
        return "a layer of neurons, such as neurocompile.snn.LIF, which compares its membrane"
    if name in _RANDOM:
        return "neurocompile.snn.PoissonEncoder, whose draws every engine repeats"
    return INSTEAD.get(name, default)


_COMPARISONS = frozenset(["gt", "ge", "lt", "le", "eq", "ne", "greater", "less", "heaviside", "where", "sign"])
_RANDOM = frozenset(["rand_like", "randn_like", "bernoulli", "bernoulli_", "poisson", "uniform_", "normal_"])

#: what looks at the values of a tensor
CONTROL = frozenset(
    [
        *("bool", "int", "float", "complex", "index", "item", "tolist", "numpy", "array", "contains", "equal"),
        *("allclose", "nonzero"),
    ]
)


# ------------------------------------------------------------------------------------------------------- questions


def _natively(function: Callable[..., Any]) -> Operation:
    def call(*args: Any, **kwargs: Any) -> Any:
        with torch._C.DisableTorchFunctionSubclass():
            return function(*args, **kwargs)

    return call


#: what may be asked of a symbol without looking at values: it answers as a tensor on the CPU would
METADATA: dict[str, Operation] = {
    "get shape": _natively(lambda x: x.shape),
    "get ndim": _natively(lambda x: x.ndim),
    "get dtype": _natively(lambda x: x.dtype),
    "get layout": _natively(lambda x: x.layout),
    "get itemsize": _natively(lambda x: x.itemsize),
    "get device": lambda _: torch.device("cpu"),
    "get requires_grad": lambda _: False,
    "set requires_grad": lambda *_: None,
    "get grad": lambda _: None,
    "get grad_fn": lambda _: None,
    "get is_leaf": lambda _: True,
    "get is_cuda": lambda _: False,
    "get is_meta": lambda _: False,
    "get is_sparse": lambda _: False,
    "get is_quantized": lambda _: False,
    "get is_nested": lambda _: False,
    "is_contiguous": lambda *_, **__: True,
    "is_floating_point": lambda _: True,
    "is_complex": lambda _: False,
    "get_device": lambda _: -1,
    "size": _natively(lambda x, *args, **kwargs: x.size(*args, **kwargs)),
    "dim": _natively(lambda x: x.dim()),
    "ndimension": _natively(lambda x: x.dim()),
    "numel": _natively(lambda x: x.numel()),
    "nelement": _natively(lambda x: x.numel()),
    "len": _natively(len),
    "element_size": _natively(lambda x: x.element_size()),
    "hash": lambda x: id(x),
    "repr": lambda x: f"<tensor of shape {tuple(sizes(x))}>",
    "format": lambda x, _: f"<tensor of shape {tuple(sizes(x))}>",
}


# ------------------------------------------------------------------------------------------------- reading symbols


def _any(x: Any) -> Value:
    """What a symbol stands for, whatever its port: for operations that only move it."""
    if not isinstance(x, Symbol) or x.value is None:
        raise Refusal("mixes in a tensor that does not come from the input")
    return x.value


def _constant(other: Any) -> Array:
    return np.asarray(other.detach().cpu() if isinstance(other, Tensor) else other, np.float64)


def _axis(dim: Any, rank: int) -> int:
    if not isinstance(dim, int) or not -rank <= dim < rank:
        raise Refusal(f"takes axis {dim!r} of a tensor with {rank} axes")
    return dim % rank


def _pair(value: Any) -> Pair:
    items = tuple(value) if isinstance(value, Sequence) else (value, value)
    if len(items) == 1:
        items = (items[0], items[0])
    if len(items) != 2 or not all(isinstance(item, int) for item in items):
        raise Refusal(f"takes {value!r} where two whole numbers belong")
    return int(items[0]), int(items[1])


def _single(value: Any) -> int:
    (item,) = value if isinstance(value, Sequence) else (value,)
    return int(item)


def _maps(tracer: Tracer, x: Any, rank: int) -> tuple[Symbol, Value]:
    """``x`` as (batch, features of this rank): batch may be N, or N and T merged."""
    value = tracer.value(x)
    axes, lengths = value.axes, sizes(x)
    if len(axes) != rank + 1:
        raise Refusal(
            f"reads a tensor of {len(axes)} axes {lengths}, {rank + 1} belong there; merge batch and time before it, "
            "or go through time step by step"
        )
    if not axes[0] or any(isinstance(label, int) for label in axes[0]):
        raise Refusal("reads a tensor whose first axis is not the batch")
    if axes[1:] == fresh(rank):
        return x, value
    kept = tuple(axis for axis in axes[1:] if axis)
    if kept != fresh(len(kept)) or len(kept) != len(tracer.recorder.shapes[value.node]):
        raise Refusal("reads a tensor whose axes are in another order than (batch, channels, ...); permute them back")
    return _moved(tracer, value, (axes[0], *fresh(rank)), lengths, lengths[1:])


def _moved(tracer: Tracer, value: Value, axes: Any, lengths: Sequence[int], shape: Shape) -> tuple[Symbol, Value]:
    """The same values with features of another shape."""
    if value.port != "out":
        raise Refusal(f"reshapes the {value.port} of {value.node}; reshape its spikes")
    node: Node = Flatten() if len(shape) == 1 else Reshape(shape=shape)
    name = tracer.name("flatten" if len(shape) == 1 else "reshape")
    made = replace(value, node=tracer.recorder.emit(name, node, (value.node,)), axes=axes)
    return tracer.symbol(tuple(lengths), made), made


# ----------------------------------------------------------------------------------------------------- moving axes


def _reshape(tracer: Tracer, x: Symbol, *shape: Any) -> Symbol:
    target = shape[0] if len(shape) == 1 and isinstance(shape[0], Sequence) else shape
    return _to_shape(tracer, x, [int(size) for size in target])


def _to_shape(tracer: Tracer, x: Symbol, target: list[int]) -> Symbol:
    value = _any(x)
    total = math.prod(sizes(x))
    if -1 in target:
        known = -math.prod(target)
        if known < 1 or total % known:
            raise Refusal(f"reshapes {sizes(x)} to {tuple(target)}, which does not fit")
        target = [total // known if size == -1 else size for size in target]
    if math.prod(target) != total:
        raise Refusal(f"reshapes {sizes(x)} to {tuple(target)}, which does not fit")
    old = tracer.recorder.shapes[value.node]
    axes, shape = regroup(value.axes, target, old, tracer.lengths)
    if shape == old:
        return tracer.symbol(tuple(target), replace(value, axes=axes))
    return _moved(tracer, value, axes, target, shape)[0]


def _flatten(tracer: Tracer, input: Symbol, start_dim: int = 0, end_dim: int = -1) -> Symbol:
    lengths = list(sizes(input))
    start, end = _axis(start_dim, len(lengths)), _axis(end_dim, len(lengths))
    merged = math.prod(lengths[start : end + 1])
    return _to_shape(tracer, input, [*lengths[:start], merged, *lengths[end + 1 :]])


def _unflatten(tracer: Tracer, input: Symbol, dim: int, sizes_: Any = None, **kwargs: Any) -> Symbol:
    lengths = list(sizes(input))
    axis = _axis(dim, len(lengths))
    parts = list(kwargs.get("unflattened_size", kwargs.get("sizes", sizes_)))
    if -1 in parts:
        rest = -math.prod(parts)
        parts = [lengths[axis] // rest if size == -1 else size for size in parts]
    return _to_shape(tracer, input, [*lengths[:axis], *parts, *lengths[axis + 1 :]])


def _permute(tracer: Tracer, input: Symbol, *dims: Any) -> Symbol:
    order = dims[0] if len(dims) == 1 and isinstance(dims[0], Sequence) else dims
    value, lengths = _any(input), sizes(input)
    places = [_axis(dim, len(lengths)) for dim in order]
    return tracer.symbol(tuple(lengths[k] for k in places), replace(value, axes=tuple(value.axes[k] for k in places)))


def _transpose(tracer: Tracer, input: Symbol, dim0: int, dim1: int) -> Symbol:
    order = list(range(len(sizes(input))))
    one, other = _axis(dim0, len(order)), _axis(dim1, len(order))
    order[one], order[other] = order[other], order[one]
    return _permute(tracer, input, order)


def _movedim(tracer: Tracer, input: Symbol, source: int, destination: int) -> Symbol:
    rank = len(sizes(input))
    order = list(range(rank))
    axis = order.pop(_axis(source, rank))
    order.insert(_axis(destination, rank), axis)
    return _permute(tracer, input, order)


def _unsqueeze(tracer: Tracer, input: Symbol, dim: int) -> Symbol:
    value, lengths = _any(input), sizes(input)
    at = _axis(dim, len(lengths) + 1)
    axes = (*value.axes[:at], (), *value.axes[at:])
    return tracer.symbol((*lengths[:at], 1, *lengths[at:]), replace(value, axes=axes))


def _squeeze(tracer: Tracer, input: Symbol, dim: Any = None) -> Symbol:
    lengths = sizes(input)
    wanted = range(len(lengths)) if dim is None else dim if isinstance(dim, Sequence) else (dim,)
    for axis in sorted((_axis(each, len(lengths)) for each in wanted), reverse=True):
        if sizes(input)[axis] == 1:
            input = _without(tracer, input, axis)
    return input


def _without(tracer: Tracer, input: Symbol, axis: int) -> Symbol:
    """Drop an axis of length one."""
    value, lengths = _any(input), sizes(input)
    labels, rest = value.axes[axis], (*lengths[:axis], *lengths[axis + 1 :])
    axes = (*value.axes[:axis], *value.axes[axis + 1 :])
    if not labels:
        return tracer.symbol(rest, replace(value, axes=axes))
    if labels == ("T",):
        return tracer.symbol(rest, replace(value, axes=axes, when=0))
    if "N" in labels or "T" in labels:
        raise Refusal("squeezes the batch axis away; name the axis to squeeze")
    return _to_shape(tracer, input, list(rest))


def _expand(tracer: Tracer, input: Symbol, *shape: Any) -> Symbol:
    target = list(shape[0] if len(shape) == 1 and isinstance(shape[0], Sequence) else shape)
    lengths = sizes(input)
    lead = len(target) - len(lengths)
    if lead < 0:
        raise Refusal(f"expands {lengths} to {tuple(target)}")
    counts = target[:lead] + [
        1 if size in (-1, length) else size for size, length in zip(target[lead:], lengths, strict=True)
    ]
    return _repeat(tracer, input, counts)


def _repeat(tracer: Tracer, input: Symbol, *repeats: Any) -> Symbol:
    """The same input at all time steps: the one repetition that has a meaning."""
    counts = list(repeats[0] if len(repeats) == 1 and isinstance(repeats[0], Sequence) else repeats)
    while len(sizes(input)) < len(counts):
        input = _unsqueeze(tracer, input, 0)
    value, lengths = _any(input), list(sizes(input))
    axes = list(value.axes)
    for axis, count in enumerate(counts):
        if count == 1:
            continue
        if count != tracer.timesteps or axes[axis] or value.when != "every":
            raise Refusal(
                f"repeats a tensor {count} times; only the whole input can be, for {tracer.timesteps} time steps"
            )
        axes[axis], lengths[axis] = ("T",), count
        value = replace(value, when="along")
    return tracer.symbol(tuple(lengths), replace(value, axes=tuple(axes)))


def _unbind(tracer: Tracer, input: Symbol, dim: int = 0) -> tuple[Symbol, ...]:
    axis = _axis(dim, len(sizes(input)))
    return tuple(_select(tracer, input, axis, index) for index in range(sizes(input)[axis]))


def _select(tracer: Tracer, input: Symbol, dim: int, index: int) -> Symbol:
    value, lengths = _any(input), sizes(input)
    axis = _axis(dim, len(lengths))
    labels = value.axes[axis]
    if not -lengths[axis] <= index < lengths[axis]:
        raise IndexError(f"index {index} is out of range for an axis of length {lengths[axis]}")
    rest = (*lengths[:axis], *lengths[axis + 1 :])
    axes = (*value.axes[:axis], *value.axes[axis + 1 :])
    if labels == ("T",):
        return tracer.symbol(rest, replace(value, axes=axes, when=index % lengths[axis]))
    if not labels:
        return tracer.symbol(rest, replace(value, axes=axes))
    what = "one sample of the batch" if "N" in labels else "single neurons or channels"
    raise Refusal(f"picks {what}; let layers do what is to be done with all of them")


def _getitem(tracer: Tracer, input: Any, index: Any) -> Any:
    items = list(index) if isinstance(index, tuple) else [index]
    if not isinstance(input, Symbol):
        raise Refusal("picks by an index that depends on the input")
    rank = len(sizes(input))
    if Ellipsis in [item for item in items if not isinstance(item, Tensor)]:
        at = next(place for place, item in enumerate(items) if item is Ellipsis)
        used = sum(item is not None and item is not Ellipsis for item in items)
        items[at : at + 1] = [slice(None)] * (rank - used)
    axis = 0
    for item in items:
        if item is None:
            input = _unsqueeze(tracer, input, axis)
            axis += 1
        elif isinstance(item, int) and not isinstance(item, bool):
            input = _select(tracer, input, axis, item)
        elif isinstance(item, slice):
            input = _sliced(tracer, input, axis, item)
            axis += 1
        else:
            raise Refusal(f"picks by a {type(item).__name__}; only whole numbers and slices can be followed")
    return input


def _sliced(tracer: Tracer, input: Symbol, axis: int, part: slice) -> Symbol:
    """A whole axis, or every k-th row or column of maps: a pool of single values with stride k."""
    value, lengths = _any(input), list(sizes(input))
    start, stop, step = part.indices(lengths[axis])
    if (start, stop, step) == (0, lengths[axis], 1):
        return input
    shape = tracer.recorder.shapes[value.node]
    label = value.axes[axis]
    if (start, stop) != (0, lengths[axis]) or len(shape) != 3 or label not in ((1,), (2,)) or value.port != "out":
        what = "time steps" if "T" in label else "samples" if "N" in label else "channels or neurons"
        raise Refusal(f"takes a part of the {what}; only every k-th row or column of maps can be taken")
    stride = (step, 1) if label == (1,) else (1, step)
    made = tracer.recorder.emit(tracer.name("stride"), SumPool2d(kernel=(1, 1), stride=stride), (value.node,))
    lengths[axis] = -(-lengths[axis] // step)
    return tracer.symbol(tuple(lengths), replace(value, node=made))


def _setitem(tracer: Tracer, input: Any, index: Any, value: Any) -> None:
    items = index if isinstance(index, tuple) else (index,)
    whole = all(item is Ellipsis or item == slice(None) for item in items[1:])
    if isinstance(input, Symbol) or not isinstance(value, Symbol) or not isinstance(items[0], int) or not whole:
        raise Refusal("writes into a part of a tensor; collect the time steps in a list and torch.stack it")
    tracer.write(input, items[0] % len(input), value)


def _stack(tracer: Tracer, tensors: Any, dim: int = 0) -> Symbol:
    """The steps of one node, in order: its whole sequence."""
    items = list(tensors)
    values = [_any(item) for item in items]
    last = values[-1]
    alike = all(
        tracer.recorder.same(value.node, last.node) and replace(value, node=last.node, when=0) == replace(last, when=0)
        for value in values
    )
    whens = [value.when for value in values]
    if not alike or (whens != list(range(tracer.timesteps)) and whens != ["every"] * tracer.timesteps):
        raise Refusal(
            f"stacks {len(items)} tensors that are not the {tracer.timesteps} time steps of one layer, in order; "
            "collect what one layer gives at every step"
        )
    lengths = sizes(items[-1])
    at = _axis(dim, len(lengths) + 1)
    axes = (*last.axes[:at], ("T",), *last.axes[at:])
    return tracer.symbol(
        (*lengths[:at], tracer.timesteps, *lengths[at:]),
        replace(last, when="along", axes=axes),
    )


def _cat(tracer: Tracer, tensors: Any, dim: int = 0) -> Symbol:
    items = list(tensors)
    axis = _axis(dim, len(sizes(items[0])))
    if all(isinstance(item, Symbol) and not _any(item).axes[axis] for item in items) and len(items) > 1:
        return _stack(tracer, [_without(tracer, item, axis) for item in items], axis)
    if len(items) == 1:
        return items[0]  # type: ignore[no-any-return]
    values = [tracer.value(item) for item in items]
    when, nodes = tracer.in_time(values)
    if values[0].axes[axis] != (0,) or len({value.axes for value in values}) != 1:
        raise Refusal(f"concatenates along axis {dim}; only channels can be, the axis after the batch")
    made = tracer.recorder.emit(tracer.name("cat"), Concat(), tuple(nodes))
    lengths = list(sizes(items[0]))
    lengths[axis] = sum(sizes(item)[axis] for item in items)
    return tracer.symbol(tuple(lengths), Value(made, when, values[0].axes))


# ------------------------------------------------------------------------------------------------------ arithmetic


def _add(tracer: Tracer, input: Any, other: Any, *, alpha: Any = 1) -> Any:
    if alpha != 1:
        other = _mul(tracer, other, alpha) if isinstance(other, Symbol) else other * alpha
    if not (isinstance(input, Symbol) and isinstance(other, Symbol)):
        one, constant = (input, other) if isinstance(input, Symbol) else (other, input)
        return _affine(tracer, one, np.ones(()), _constant(constant))
    collected = _collected(tracer, input, other)
    if collected is not None:
        return collected
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


def _collected(tracer: Tracer, input: Symbol, other: Symbol) -> Symbol | None:
    """``total + out`` where both are of one node at different steps: its sum over these."""
    one, two = _any(input), _any(other)
    steps = [value.when if isinstance(value.when, tuple) else (value.when,) for value in (one, two)]
    numbers = [step for part in steps for step in part if isinstance(step, int)]
    alike = replace(one, node=two.node, when=0) == replace(two, when=0) and tracer.recorder.same(one.node, two.node)
    if not alike or len(numbers) != sum(map(len, steps)) or len(set(numbers)) != len(numbers):
        return None
    return tracer.symbol(sizes(other), replace(two, when=tuple(sorted(numbers))))


def _sub(tracer: Tracer, input: Any, other: Any, *, alpha: Any = 1) -> Any:
    return _add(tracer, input, _mul(tracer, other, -1) if isinstance(other, Symbol) else -other, alpha=alpha)


def _mul(tracer: Tracer, input: Any, other: Any) -> Any:
    if isinstance(input, Symbol) and isinstance(other, Symbol):
        raise Refusal("multiplies two tensors that both depend on the input; a chip has no synapse that does")
    one, constant = (input, other) if isinstance(input, Symbol) else (other, input)
    return _affine(tracer, one, _constant(constant), np.zeros(()))


def _div(tracer: Tracer, input: Any, other: Any, *, rounding_mode: Any = None) -> Any:
    if isinstance(other, Symbol) or rounding_mode is not None:
        raise Refusal("divides by a tensor that depends on the input, or rounds; only fixed factors can be weights")
    return _mul(tracer, input, 1.0 / _constant(other))


def _neg(tracer: Tracer, input: Symbol) -> Any:
    return _mul(tracer, input, -1.0)


def _affine(tracer: Tracer, x: Symbol, gain: Array, shift: Array) -> Symbol:
    """``gain * x + shift`` with constants that broadcast."""
    value = _any(x)
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
    weight = _parameter(gain, shape, len(value.axes))
    if not shift.any():
        return tracer.apply("mul", Scale(weight=weight), x, value)
    added = _parameter(shift, shape, len(value.axes))
    if max(added.ndim, weight.ndim) > 1:
        raise Refusal("adds a constant of its own to every neuron; add one per channel")
    channels = shape[:1]
    node = BatchNorm(
        gamma=np.broadcast_to(weight, channels), beta=np.broadcast_to(added, channels),
        mean=np.zeros(channels), variance=np.ones(channels), epsilon=0.0,
    )  # fmt: skip
    return tracer.apply("affine", node, x, value)


def _parameter(constant: Array, shape: Shape, rank: int) -> Array:
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


def _over_time(tracer: Tracer, x: Symbol, dim: Any, keepdim: bool, mean: bool) -> Symbol | None:
    """A sum or mean over the time axis, or None where that is not what is asked for."""
    value = _any(x)
    dims = tuple(dim) if isinstance(dim, Sequence) else (dim,)
    if dim is None or len(dims) != 1 or value.axes[_axis(dims[0], len(value.axes))] != ("T",):
        return None
    axis = _axis(dims[0], len(value.axes))
    factor = value.factor / tracer.timesteps if mean else value.factor
    steps = tuple(range(tracer.timesteps))
    between, one = ((),) if keepdim else (), (1,) if keepdim else ()
    axes = (*value.axes[:axis], *between, *value.axes[axis + 1 :])
    lengths = (*sizes(x)[:axis], *one, *sizes(x)[axis + 1 :])
    return tracer.symbol(lengths, replace(value, when=steps, axes=axes, factor=factor))


def _reduce(mean: bool) -> Operation:
    def reduce(tracer: Tracer, input: Symbol, dim: Any = None, keepdim: bool = False, **_: Any) -> Symbol:
        summed = _over_time(tracer, input, dim, keepdim, mean)
        if summed is not None:
            return summed
        value, lengths = tracer.value(input), sizes(input)
        dims = [] if dim is None else list(dim) if isinstance(dim, Sequence) else [dim]
        places = sorted(_axis(each, len(lengths)) for each in dims)
        shape = tracer.recorder.shapes[value.node]
        spatial = [value.axes[place] for place in places]
        if not in_order(value.axes, len(shape)) or spatial != [(k,) for k in range(1, len(shape))] or not spatial:
            raise Refusal("reduces over other axes than time, or the rows and columns of maps together")
        batch = value.axes[: len(value.axes) - len(shape)]
        rows = (1, shape[1]) if len(shape) == 2 else (shape[1], shape[2])
        if len(shape) == 2:
            tall = (shape[0], 1, shape[1])
            input, value = _moved(tracer, value, (*batch, *fresh(3)), (*lengths[: len(batch)], *tall), tall)
        pool = AvgPool2d(kernel=rows, stride=rows) if mean else SumPool2d(kernel=rows, stride=rows)
        pooled = tracer.apply("mean" if mean else "sum", pool, input, value)
        kept = [1] * len(places) if keepdim else []
        return _to_shape(tracer, pooled, [*lengths[: len(batch)], shape[0], *kept])

    return reduce


def _left_out(name: str) -> Operation:
    """An operation at the end of a network that does not change which output is the largest."""

    def call(tracer: Tracer, input: Symbol, *_: Any, **__: Any) -> Symbol:
        return tracer.symbol(sizes(input), replace(_any(input), after=name))

    return call


# ---------------------------------------------------------------------------------------------------------- layers


def _linear(tracer: Tracer, input: Symbol, weight: Tensor, bias: Tensor | None = None) -> Symbol:
    value = tracer.value(input)
    shape = tracer.recorder.shapes[value.node]
    if len(shape) != 1 or not in_order(value.axes, 1):
        raise Refusal(f"applies weights along the last axis of {sizes(input)} alone; flatten features before it")
    added = None if bias is None else _for_sum(tracer, tracer.array(bias), value)
    return tracer.apply("linear", Linear(weight=tracer.array(weight), bias=added), input, value)


def _for_sum(tracer: Tracer, bias: Array, value: Value) -> Array:
    """What is added once to a sum over time steps is added in parts at every step."""
    if not isinstance(value.when, tuple):
        return bias
    if value.when != tuple(range(tracer.timesteps)):
        raise Refusal("reads a sum over some of the time steps; sum over all")
    parts = value.factor * tracer.timesteps
    return bias if parts == 1 else bias / parts


def _matmul(tracer: Tracer, input: Any, other: Any) -> Symbol:
    if not isinstance(input, Symbol) or not isinstance(other, Tensor) or isinstance(other, Symbol) or other.ndim != 2:
        raise Refusal("multiplies matrices other than (batch, features) @ (features, outputs)")
    return _linear(tracer, input, other.t())


def _addmm(tracer: Tracer, input: Any, mat1: Any, mat2: Any) -> Symbol:
    return _linear(tracer, mat1, mat2.t(), input)


def _conv2d(
    tracer: Tracer, input: Symbol, weight: Tensor, bias: Tensor | None = None, stride: Any = 1, padding: Any = 0,
    dilation: Any = 1, groups: int = 1,
) -> Symbol:  # fmt: skip
    x, value = _maps(tracer, input, 3)
    pads, dilated = padding, _pair(dilation)
    if padding == "valid":
        pads = 0
    elif padding == "same":
        totals = [step * (size - 1) for step, size in zip(dilated, weight.shape[2:], strict=True)]
        if any(total % 2 for total in totals):
            raise Refusal(f"padding='same' is one-sided for kernel {tuple(weight.shape[2:])}; use an odd kernel")
        pads = [total // 2 for total in totals]
    node = Conv2d(
        weight=tracer.array(weight),
        bias=None if bias is None else _for_sum(tracer, tracer.array(bias), value),
        stride=_pair(stride), padding=_pair(pads), dilation=dilated, groups=groups,
    )  # fmt: skip
    return tracer.apply("conv2d", node, x, value)


def _conv_transpose2d(
    tracer: Tracer, input: Symbol, weight: Tensor, bias: Tensor | None = None, stride: Any = 1, padding: Any = 0,
    output_padding: Any = 0, groups: int = 1, dilation: Any = 1,
) -> Symbol:  # fmt: skip
    x, value = _maps(tracer, input, 3)
    node = ConvTranspose2d(
        weight=tracer.array(weight),
        bias=None if bias is None else _for_sum(tracer, tracer.array(bias), value),
        stride=_pair(stride), padding=_pair(padding), output_padding=_pair(output_padding), dilation=_pair(dilation),
        groups=groups,
    )  # fmt: skip
    return tracer.apply("conv_transpose2d", node, x, value)


def _on_rows(operation: Operation, *windows: str, weighted: bool = False) -> Operation:
    """A 1-d operation as the 2-d one on maps of one row; ``windows`` are the arguments that count columns."""

    def call(tracer: Tracer, input: Symbol, *args: Any, **kwargs: Any) -> Symbol:
        x, value = _maps(tracer, input, 2)
        names = list(inspect.signature(operation).parameters)[2:]
        given = dict(zip(names, args, strict=False)) | kwargs
        for name in windows:
            if name in given and given[name] not in (None, "same", "valid", []):
                still = 0 if "padding" in name else 1
                given[name] = (still, _single(given[name]))
        if weighted:
            given["weight"] = _taller(tracer, given["weight"])
        channels, length = tracer.recorder.shapes[value.node]
        batch = sizes(x)[0]
        with tracer.named(f"{tracer.name('conv1d')}.rows"):
            tall, _ = _moved(
                tracer, value, (value.axes[0], *fresh(3)), (batch, channels, 1, length), (channels, 1, length)
            )
        made = operation(tracer, tall, **given)
        out = sizes(made)
        with tracer.named(f"{tracer.name('conv1d')}.columns"):
            return _to_shape(tracer, made, [out[0], out[1], out[3]])

    return call


def _taller(tracer: Tracer, weight: Tensor) -> Tensor:
    """A kernel (out, in, width) as (out, in, 1, width); the same tensor for the same parameter."""
    return tracer.kept("taller", weight, lambda: weight.detach().unsqueeze(2))


def _batch_norm(
    tracer: Tracer, input: Symbol, running_mean: Tensor | None, running_var: Tensor | None,
    weight: Tensor | None = None, bias: Tensor | None = None, training: bool = False,
    momentum: Any = 0.1, eps: float = 1e-5, *_: Any,  # noqa: ARG001 - of no use in eval mode
) -> Symbol:  # fmt: skip
    if training or running_mean is None or running_var is None:
        raise Refusal("keeps no running statistics; train it with track_running_stats=True")
    x, value = _maps(tracer, input, len(sizes(input)) - 1)
    if isinstance(value.when, tuple):
        raise Refusal("normalises a sum over time steps; put it before the sum")
    channels = len(running_mean)
    node = BatchNorm(
        gamma=np.ones(channels, np.float32) if weight is None else tracer.array(weight),
        beta=np.zeros(channels, np.float32) if bias is None else tracer.array(bias),
        mean=tracer.array(running_mean), variance=tracer.array(running_var), epsilon=float(eps),
    )  # fmt: skip
    return tracer.apply("batch_norm", node, x, value)


def _whole_windows(what: str, shape: Shape, kernel: Pair, stride: Pair, padding: Pair) -> None:
    """Refuse ceil_mode where it would make windows that reach over the border."""
    for size, pad, window, step in zip(shape[1:], padding, kernel, stride, strict=True):
        if (size + 2 * pad - window) % step:
            raise Refusal(f"{what}: ceil_mode=True has smaller windows at the border of {shape}; set it to False")


def _avg_pool2d(
    tracer: Tracer, input: Symbol, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
    count_include_pad: bool = True, divisor_override: Any = None,
) -> Symbol:  # fmt: skip
    x, value = _maps(tracer, input, 3)
    kernel, pads = _pair(kernel_size), _pair(padding)
    steps = kernel if stride is None or stride == [] else _pair(stride)
    if divisor_override not in (None, kernel[0] * kernel[1]):
        raise Refusal(f"divisor_override={divisor_override} is not the window's size; remove it")
    if any(pads) and not count_include_pad:
        raise Refusal("count_include_pad=False divides by less at the border; use True or padding=0")
    if ceil_mode:
        _whole_windows("AvgPool2d", tracer.recorder.shapes[value.node], kernel, steps, pads)
    return tracer.apply("avg_pool2d", AvgPool2d(kernel=kernel, stride=steps, padding=pads), x, value)


def _max_pool2d(
    tracer: Tracer, input: Symbol, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
    ceil_mode: bool = False, return_indices: bool = False,
) -> Symbol:  # fmt: skip
    if return_indices:
        raise Refusal("returns the places of its maxima; set return_indices=False")
    x, value = _maps(tracer, input, 3)
    kernel, pads = _pair(kernel_size), _pair(padding)
    steps = kernel if stride is None or stride == [] else _pair(stride)
    if ceil_mode:
        _whole_windows("MaxPool2d", tracer.recorder.shapes[value.node], kernel, steps, pads)
    node = MaxPool2d(kernel=kernel, stride=steps, padding=pads, dilation=_pair(dilation))
    return tracer.apply("max_pool2d", _not_summed(value, node), x, value)


def _not_summed(value: Value, node: Node) -> Node:
    if isinstance(value.when, tuple):
        raise Refusal("reads a sum over time steps; put it before the sum")
    return node


def _adaptive(kind: type[AvgPool2d] | type[MaxPool2d], operation: str) -> Operation:
    def call(tracer: Tracer, input: Symbol, output_size: Any, return_indices: bool = False) -> Symbol:
        if return_indices:
            raise Refusal("returns the places of its maxima; set return_indices=False")
        x, value = _maps(tracer, input, 3)
        rows = tracer.recorder.shapes[value.node][1:]
        wanted = list(output_size) if isinstance(output_size, Sequence) else [output_size] * 2
        targets = [size if target is None else target for target, size in zip(wanted, rows, strict=True)]
        if any(target < 1 or size % target for size, target in zip(rows, targets, strict=True)):
            raise Refusal(f"{rows} is no multiple of {tuple(targets)}; choose a size that divides it")
        kernel = (rows[0] // targets[0], rows[1] // targets[1])
        return tracer.apply(operation, kind(kernel=kernel, stride=kernel), x, value)

    return call


def _relu(tracer: Tracer, input: Symbol, inplace: bool = False) -> Symbol:  # noqa: ARG001 - the result is new
    value = tracer.value(input)
    return tracer.apply("relu", _not_summed(value, Relu()), input, value)


def _clamp(tracer: Tracer, input: Symbol, min: Any = None, max: Any = None) -> Symbol:
    if max is not None or min != 0:
        raise Refusal(f"clamps to {min} .. {max}; only clamp(min=0), which is a ReLU, can be followed")
    return _relu(tracer, input)


def _dropout(tracer: Tracer, input: Symbol, p: float = 0.5, training: bool = True, inplace: bool = False) -> Symbol:  # noqa: ARG001
    if training:
        raise Refusal("drops even in eval mode; pass training=self.training")
    return input


def _pad(tracer: Tracer, input: Symbol, pad: Sequence[int], mode: str = "constant", value: Any = None) -> Symbol:
    """More channels, of zeros: a convolution of one position that leaves them empty."""
    x, what = _maps(tracer, input, 3)
    pads = [int(each) for each in pad]
    if mode != "constant" or value not in (None, 0, 0.0) or any(pads[:4]) or len(pads) != 6 or min(pads) < 0:
        raise Refusal(f"pads {pads} with mode {mode!r}; use the padding of the convolution, with zeros")
    channels = tracer.recorder.shapes[what.node][0]
    weight = np.zeros((channels + pads[4] + pads[5], channels, 1, 1))
    weight[pads[4] + np.arange(channels), np.arange(channels)] = 1
    return tracer.apply("pad", Conv2d(weight=weight), x, what)


def _zeros(tracer: Tracer, input: Symbol, *shape: Any, **kwargs: Any) -> Tensor:  # noqa: ARG001
    target = shape[0] if len(shape) == 1 and isinstance(shape[0], Sequence) else shape
    return torch.zeros(*(target or sizes(input)), dtype=kwargs.get("dtype"))


def _filled(tracer: Tracer, input: Symbol, *args: Any, **kwargs: Any) -> Tensor:  # noqa: ARG001
    *shape, number = [*args, *([kwargs["fill_value"]] if "fill_value" in kwargs else [])]
    target = shape[0] if shape else sizes(input)
    return torch.full(tuple(target), number)


def _same(tracer: Tracer, input: Symbol, *_: Any, **__: Any) -> Symbol:  # noqa: ARG001
    return input


def _cast(tracer: Tracer, input: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ARG001
    for item in (*args, *kwargs.values()):
        if isinstance(item, torch.dtype) and not item.is_floating_point:
            raise Refusal(f"turns into {item}; keep floating-point numbers")
    return input


def _in_place(operation: Operation) -> Operation:
    """``x += y``: everybody who holds x sees the result."""

    def call(tracer: Tracer, input: Any, *args: Any, **kwargs: Any) -> Any:
        result = operation(tracer, input, *args, **kwargs)
        if not isinstance(input, Symbol):
            return result
        if sizes(result) != sizes(input):
            raise Refusal("changes in place the shape of a tensor; write a = a + b")
        input.value = result.value
        return input

    return call


def _swapped(operation: Operation) -> Operation:
    return lambda tracer, input, other: operation(tracer, other, input)


def _rdiv(tracer: Tracer, input: Any, other: Any) -> Any:  # noqa: ARG001
    raise Refusal("divides by a tensor that depends on the input; only fixed factors can be weights")


def _all(operation: Operation, names: str) -> dict[str, Operation]:
    return dict.fromkeys(names.split(), operation)


_WINDOW = ("kernel_size", "stride", "padding", "dilation", "output_padding")

OPERATIONS: dict[str, Operation] = {
    **_all(_reshape, "view reshape _unsafe_view"),
    "view_as": lambda tracer, x, other: _to_shape(tracer, x, list(sizes(other))),
    "reshape_as": lambda tracer, x, other: _to_shape(tracer, x, list(sizes(other))),
    "flatten": _flatten,
    "unflatten": _unflatten,
    "permute": _permute,
    **_all(_transpose, "transpose swapaxes swapdims"),
    **_all(_movedim, "movedim moveaxis"),
    "unsqueeze": _unsqueeze,
    "squeeze": _squeeze,
    "expand": _expand,
    "expand_as": lambda tracer, x, other: _expand(tracer, x, sizes(other)),
    **_all(_repeat, "repeat tile"),
    "unbind": _unbind,
    "select": _select,
    "getitem": _getitem,
    "setitem": _setitem,
    "stack": _stack,
    **_all(_cat, "cat concat concatenate"),
    **_all(_add, "add radd"),
    "sub": _sub,
    "subtract": _sub,
    "rsub": _swapped(_sub),
    **_all(_mul, "mul rmul multiply"),
    **_all(_div, "div truediv true_divide divide"),
    **_all(_rdiv, "rdiv rtruediv reciprocal"),
    **_all(_neg, "neg negative"),
    **_all(_in_place(_add), "add_ iadd"),
    **_all(_in_place(_sub), "sub_ isub"),
    **_all(_in_place(_mul), "mul_ imul"),
    **_all(_in_place(_div), "div_ idiv itruediv"),
    "sum": _reduce(mean=False),
    "mean": _reduce(mean=True),
    **{name: _left_out(name) for name in ("softmax", "log_softmax", "argmax", "sigmoid")},
    "linear": _linear,
    **_all(_matmul, "matmul mm"),
    "addmm": _addmm,
    "conv2d": _conv2d,
    "conv1d": _on_rows(_conv2d, "stride", "padding", "dilation", weighted=True),
    "conv_transpose2d": _conv_transpose2d,
    "conv_transpose1d": _on_rows(_conv_transpose2d, "stride", "padding", "output_padding", "dilation", weighted=True),
    "batch_norm": _batch_norm,
    "avg_pool2d": _avg_pool2d,
    "avg_pool1d": _on_rows(_avg_pool2d, *_WINDOW),
    "max_pool2d": _max_pool2d,
    "max_pool1d": _on_rows(_max_pool2d, *_WINDOW),
    "adaptive_avg_pool2d": _adaptive(AvgPool2d, "adaptive_avg_pool2d"),
    "adaptive_max_pool2d": _adaptive(MaxPool2d, "adaptive_max_pool2d"),
    "relu": _relu,
    "relu_": _in_place(_relu),
    **_all(_clamp, "clamp clamp_min clip"),
    **_all(_dropout, "dropout dropout1d dropout2d dropout3d feature_dropout alpha_dropout feature_alpha_dropout"),
    "pad": _pad,
    **_all(_zeros, "zeros_like new_zeros empty_like new_empty"),
    **_all(_filled, "full_like new_full"),
    **_all(_same, "detach detach_ clone contiguous cpu cuda requires_grad_ alias identity float double half bfloat16"),
    "get data": _same,
    **_all(_cast, "to type type_as"),
}


def axes_of_time(value: Value) -> list[int]:
    """The axes of a tensor that hold time."""
    return [axis for axis, labels in enumerate(value.axes) if "T" in batch_labels((labels,))]
