"""How operations read a symbol: what it stands for, as maps of (batch, channels, ...), and torch's arguments."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from neurocompile.frontend.tracing.symbolic import Refusal, Symbol, Value, fresh, sizes
from neurocompile.ir.nodes import (
    Array,
    Flatten,
    Node,
    Pair,
    Reshape,
    Shape,
)

if TYPE_CHECKING:
    from neurocompile.frontend.tracing.tracer import Tracer

Operation = Callable[..., Any]


def any_port(x: Any) -> Value:
    """What a symbol stands for, whatever its port: for operations that only move it."""
    if not isinstance(x, Symbol) or x.value is None:
        raise Refusal("mixes in a tensor that does not come from the input")
    return x.value


def constant(other: Any) -> Array:
    return np.asarray(other.detach().cpu() if isinstance(other, Tensor) else other, np.float64)


def axis_of(dim: Any, rank: int) -> int:
    if not isinstance(dim, int) or not -rank <= dim < rank:
        raise Refusal(f"takes axis {dim!r} of a tensor with {rank} axes")
    return dim % rank


def pair(value: Any) -> Pair:
    items = tuple(value) if isinstance(value, Sequence) else (value, value)
    if len(items) == 1:
        items = (items[0], items[0])
    if len(items) != 2 or not all(isinstance(item, int) for item in items):
        raise Refusal(f"takes {value!r} where two whole numbers belong")
    return int(items[0]), int(items[1])


def single(value: Any) -> int:
    (item,) = value if isinstance(value, Sequence) else (value,)
    return int(item)


def maps(tracer: Tracer, x: Any, rank: int) -> tuple[Symbol, Value]:
    """``x`` as (batch, features of this rank): batch may be N, or N and T merged."""
    value = tracer.value(x)
    axes, lengths = value.axes, sizes(x)
    if len(axes) != rank + 1:
        raise Refusal(
            f"reads a tensor of {len(axes)} axes {lengths}, {rank + 1} belong there; check --input-shape, or merge "
            "batch and time before it"
        )
    if not axes[0] or any(isinstance(label, int) for label in axes[0]):
        raise Refusal("reads a tensor whose first axis is not the batch")
    if axes[1:] == fresh(rank):
        return x, value
    kept = tuple(axis for axis in axes[1:] if axis)
    if kept != fresh(len(kept)) or len(kept) != len(tracer.recorder.shapes[value.node]):
        raise Refusal("reads a tensor whose axes are in another order than (batch, channels, ...); permute them back")
    return moved(tracer, value, (axes[0], *fresh(rank)), lengths, lengths[1:])


def moved(tracer: Tracer, value: Value, axes: Any, lengths: Sequence[int], shape: Shape) -> tuple[Symbol, Value]:
    """The same values with features of another shape."""
    if value.port != "out":
        raise Refusal(f"reshapes the {value.port} of {value.node}; reshape its spikes")
    node: Node = Flatten() if len(shape) == 1 else Reshape(shape=shape)
    name = tracer.name("flatten" if len(shape) == 1 else "reshape")
    made = replace(value, node=tracer.recorder.emit(name, node, (value.node,)), axes=axes)
    return tracer.symbol(tuple(lengths), made), made
