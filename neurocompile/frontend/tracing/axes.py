"""Operations that move, merge, part and pick axes: batch and time by bookkeeping, features by a node."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from torch import Tensor
from torch.nn import functional

from neurocompile.frontend.tracing.reading import any_port, axis_of, moved
from neurocompile.frontend.tracing.symbolic import Refusal, Symbol, Value, batch_labels, features, regroup, sizes
from neurocompile.ir.nodes import (
    Concat,
    SumPool2d,
)

if TYPE_CHECKING:
    from neurocompile.frontend.tracing.tracer import Tracer

Operation = Callable[..., Any]


def reshape(tracer: Tracer, x: Symbol, *shape: Any) -> Symbol:
    target = shape[0] if len(shape) == 1 and isinstance(shape[0], Sequence) else shape
    return to_shape(tracer, x, [int(size) for size in target])


def to_shape(tracer: Tracer, x: Symbol, target: list[int]) -> Symbol:
    value = any_port(x)
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
    return moved(tracer, value, axes, target, shape)[0]


def flatten(tracer: Tracer, input: Symbol, start_dim: int = 0, end_dim: int = -1) -> Symbol:
    lengths = list(sizes(input))
    start, end = axis_of(start_dim, len(lengths)), axis_of(end_dim, len(lengths))
    shape = [*lengths[:start], math.prod(lengths[start : end + 1]), *lengths[end + 1 :]]
    value = any_port(input)
    joined = value.axes[start : end + 1]
    if not features(joined):  # said outright, for where lengths are one they do not tell which axes are meant
        axes = (*value.axes[:start], tuple(batch_labels(joined)), *value.axes[end + 1 :])
        return tracer.symbol(tuple(shape), replace(value, axes=axes))
    return to_shape(tracer, input, shape)


def unflatten(tracer: Tracer, input: Symbol, dim: int, sizes_: Any = None, **kwargs: Any) -> Symbol:
    lengths = list(sizes(input))
    axis = axis_of(dim, len(lengths))
    parts = list(kwargs.get("unflattened_size", kwargs.get("sizes", sizes_)))
    if -1 in parts:
        rest = -math.prod(parts)
        parts = [lengths[axis] // rest if size == -1 else size for size in parts]
    return to_shape(tracer, input, [*lengths[:axis], *parts, *lengths[axis + 1 :]])


def permute(tracer: Tracer, input: Symbol, *dims: Any) -> Symbol:
    order = dims[0] if len(dims) == 1 and isinstance(dims[0], Sequence) else dims
    value, lengths = any_port(input), sizes(input)
    places = [axis_of(dim, len(lengths)) for dim in order]
    return tracer.symbol(tuple(lengths[k] for k in places), replace(value, axes=tuple(value.axes[k] for k in places)))


def transpose(tracer: Tracer, input: Symbol, dim0: int, dim1: int) -> Symbol:
    order = list(range(len(sizes(input))))
    one, other = axis_of(dim0, len(order)), axis_of(dim1, len(order))
    order[one], order[other] = order[other], order[one]
    return permute(tracer, input, order)


def movedim(tracer: Tracer, input: Symbol, source: int, destination: int) -> Symbol:
    rank = len(sizes(input))
    order = list(range(rank))
    axis = order.pop(axis_of(source, rank))
    order.insert(axis_of(destination, rank), axis)
    return permute(tracer, input, order)


def unsqueeze(tracer: Tracer, input: Symbol, dim: int) -> Symbol:
    value, lengths = any_port(input), sizes(input)
    at = axis_of(dim, len(lengths) + 1)
    axes = (*value.axes[:at], (), *value.axes[at:])
    return tracer.symbol((*lengths[:at], 1, *lengths[at:]), replace(value, axes=axes))


def squeeze(tracer: Tracer, input: Symbol, dim: Any = None) -> Symbol:
    lengths = sizes(input)
    wanted = range(len(lengths)) if dim is None else dim if isinstance(dim, Sequence) else (dim,)
    for axis in sorted((axis_of(each, len(lengths)) for each in wanted), reverse=True):
        if sizes(input)[axis] == 1:
            input = without(tracer, input, axis)
    return input


def without(tracer: Tracer, input: Symbol, axis: int) -> Symbol:
    """Drop an axis of length one."""
    value, lengths = any_port(input), sizes(input)
    labels, rest = value.axes[axis], (*lengths[:axis], *lengths[axis + 1 :])
    axes = (*value.axes[:axis], *value.axes[axis + 1 :])
    if not labels:
        return tracer.symbol(rest, replace(value, axes=axes))
    if labels == ("T",):
        return tracer.symbol(rest, replace(value, axes=axes, when=0))
    if "N" in labels or "T" in labels:
        raise Refusal("squeezes the batch axis away; name the axis to squeeze")
    return to_shape(tracer, input, list(rest))


def expand(tracer: Tracer, input: Symbol, *shape: Any) -> Symbol:
    target = list(shape[0] if len(shape) == 1 and isinstance(shape[0], Sequence) else shape)
    lengths = sizes(input)
    lead = len(target) - len(lengths)
    if lead < 0:
        raise Refusal(f"expands {lengths} to {tuple(target)}")
    counts = target[:lead] + [
        1 if size in (-1, length) else size for size, length in zip(target[lead:], lengths, strict=True)
    ]
    return repeat(tracer, input, counts)


def repeat(tracer: Tracer, input: Symbol, *repeats: Any) -> Symbol:
    """The same input at all time steps: the one repetition that has a meaning."""
    counts = list(repeats[0] if len(repeats) == 1 and isinstance(repeats[0], Sequence) else repeats)
    while len(sizes(input)) < len(counts):
        input = unsqueeze(tracer, input, 0)
    value, lengths = any_port(input), list(sizes(input))
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


def unbind(tracer: Tracer, input: Symbol, dim: int = 0) -> tuple[Symbol, ...]:
    axis = axis_of(dim, len(sizes(input)))
    return tuple(select(tracer, input, axis, index) for index in range(sizes(input)[axis]))


def chunk(tracer: Tracer, input: Symbol, chunks: int, dim: int = 0) -> tuple[Symbol, ...]:
    axis = axis_of(dim, len(sizes(input)))
    return split(tracer, input, -(-sizes(input)[axis] // chunks), dim)


def split(tracer: Tracer, input: Symbol, split_size: Any, dim: int = 0) -> tuple[Symbol, ...]:
    axis = axis_of(dim, len(sizes(input)))
    length = sizes(input)[axis]
    if isinstance(split_size, Sequence):
        counts = list(split_size)
    else:
        counts = [min(split_size, length - start) for start in range(0, length, split_size)]
    starts = [sum(counts[:place]) for place in range(len(counts))]
    return tuple(
        sliced(tracer, input, axis, slice(start, start + count)) for start, count in zip(starts, counts, strict=True)
    )


def select(tracer: Tracer, input: Symbol, dim: int, index: int) -> Symbol:
    value, lengths = any_port(input), sizes(input)
    axis = axis_of(dim, len(lengths))
    labels = value.axes[axis]
    if not -lengths[axis] <= index < lengths[axis]:
        raise IndexError(f"index {index} is out of range for an axis of length {lengths[axis]}")
    rest = (*lengths[:axis], *lengths[axis + 1 :])
    axes = (*value.axes[:axis], *value.axes[axis + 1 :])
    if labels == ("T",):
        return tracer.symbol(rest, replace(value, axes=axes, when=index % lengths[axis]))
    if not labels:
        return tracer.symbol(rest, replace(value, axes=axes))
    if "N" in labels:
        raise Refusal("picks one sample of the batch; let layers do what is to be done with all of them")
    hint = (
        "; or, if this axis is time, give the input shape of one time step" if lengths[axis] == tracer.timesteps else ""
    )
    raise Refusal(f"picks single neurons or channels; let layers do what is to be done with all of them{hint}")


def getitem(tracer: Tracer, input: Any, index: Any) -> Any:
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
            input = unsqueeze(tracer, input, axis)
            axis += 1
        elif isinstance(item, int) and not isinstance(item, bool):
            input = select(tracer, input, axis, item)
        elif isinstance(item, slice):
            input = sliced(tracer, input, axis, item)
            axis += 1
        else:
            raise Refusal(f"picks by a {type(item).__name__}; only whole numbers and slices can be followed")
    return input


def sliced(tracer: Tracer, input: Symbol, axis: int, part: slice) -> Symbol:
    """A whole axis, or every k-th row or column of maps: a pool of single values with stride k."""
    value, lengths = any_port(input), list(sizes(input))
    start, stop, step = part.indices(lengths[axis])
    if (start, stop, step) == (0, lengths[axis], 1):
        return input
    shape = tracer.recorder.shapes[value.node]
    label = value.axes[axis]
    if label == ("T",) and step == 1 and stop == start + 1:
        return unsqueeze(tracer, select(tracer, input, axis, start), axis)
    if (start, stop) != (0, lengths[axis]) or len(shape) != 3 or label not in ((1,), (2,)) or value.port != "out":
        what = "time steps" if "T" in label else "samples" if "N" in label else "channels or neurons"
        raise Refusal(f"takes a part of the {what}; only every k-th row or column of maps can be taken")
    stride = (step, 1) if label == (1,) else (1, step)
    made = tracer.recorder.emit(tracer.name("stride"), SumPool2d(kernel=(1, 1), stride=stride), (value.node,))
    lengths[axis] = -(-lengths[axis] // step)
    return tracer.symbol(tuple(lengths), replace(value, node=made))


def setitem(tracer: Tracer, input: Any, index: Any, value: Any) -> None:
    items = list(index) if isinstance(index, tuple) else [index]
    refusal = Refusal("writes into a part of a tensor; collect the time steps in a list and torch.stack it")
    if isinstance(input, Symbol) or not isinstance(value, Symbol) or any(isinstance(item, Tensor) for item in items):
        raise refusal
    if Ellipsis in items:
        at = items.index(Ellipsis)
        items[at : at + 1] = [slice(None)] * (input.ndim - len(items) + 1)
    numbered = [axis for axis, item in enumerate(items) if isinstance(item, int)]
    if len(numbered) != 1 or any(item != slice(None) for axis, item in enumerate(items) if axis not in numbered):
        raise refusal
    (axis,) = numbered
    lengths = sizes(input)
    if sizes(value) != (*lengths[:axis], *lengths[axis + 1 :]) or not -lengths[axis] <= items[axis] < lengths[axis]:
        raise refusal
    tracer.write(input, axis, items[axis] % lengths[axis], value)


def stack(tracer: Tracer, tensors: Any, dim: int = 0) -> Symbol:
    """The steps of one node, in order: its whole sequence."""
    items = list(tensors)
    values = [any_port(item) for item in items]
    last = values[-1]
    alike = all(
        tracer.recorder.same(value.node, last.node) and replace(value, node=last.node, when=0) == replace(last, when=0)
        for value in values
    )
    whens = [value.when for value in values]
    if alike and len(items) != tracer.timesteps and whens == list(range(len(items))) and len(items) > 1:
        raise Refusal(
            f"stacks {len(items)} time steps, timesteps is {tracer.timesteps}; build with {len(items)}, or change the "
            "network's"
        )
    if not alike or (whens != list(range(tracer.timesteps)) and whens != ["every"] * tracer.timesteps):
        raise Refusal(
            f"stacks {len(items)} tensors that are not the {tracer.timesteps} time steps of one layer, in order; "
            "collect what one layer gives at every step"
        )
    lengths = sizes(items[-1])
    at = axis_of(dim, len(lengths) + 1)
    axes = (*last.axes[:at], ("T",), *last.axes[at:])
    return tracer.symbol(
        (*lengths[:at], tracer.timesteps, *lengths[at:]),
        replace(last, when="along", axes=axes),
    )


def with_zeros(items: list[Any]) -> Symbol | None:
    """Maps between channels of zeros, such as a shortcut to more channels joins them: a padding."""
    (at, *others) = [place for place, item in enumerate(items) if isinstance(item, Symbol)]
    zeros = [item for place, item in enumerate(items) if place != at]
    maps = sizes(items[at])
    fitting = all(item.ndim == 4 and (len(item), *item.shape[2:]) == (maps[0], *maps[2:]) for item in zeros)
    if others or len(maps) != 4 or not fitting or any(bool(item.any()) for item in zeros):
        return None
    before, behind = (sum(item.shape[1] for item in part) for part in (items[:at], items[at + 1 :]))
    padded: Symbol = functional.pad(items[at], (0, 0, 0, 0, before, behind))  # type: ignore[assignment]
    return padded


def cat(tracer: Tracer, tensors: Any, dim: int = 0) -> Symbol:
    items = list(tensors)
    axis = axis_of(dim, len(sizes(items[0])))
    if all(isinstance(item, Symbol) and not any_port(item).axes[axis] for item in items) and len(items) > 1:
        return stack(tracer, [without(tracer, item, axis) for item in items], axis)
    if len(items) == 1:
        return items[0]  # type: ignore[no-any-return]
    if axis == 1 and (padded := with_zeros(items)) is not None:
        return padded
    values = [tracer.value(item) for item in items]
    when, nodes = tracer.in_time(values)
    if values[0].axes[axis] != (0,) or len({value.axes for value in values}) != 1:
        raise Refusal(f"concatenates along axis {dim}; only channels can be, the axis after the batch")
    made = tracer.recorder.emit(tracer.name("cat"), Concat(), tuple(nodes))
    lengths = list(sizes(items[0]))
    lengths[axis] = sum(sizes(item)[axis] for item in items)
    return tracer.symbol(tuple(lengths), Value(made, when, values[0].axes))
