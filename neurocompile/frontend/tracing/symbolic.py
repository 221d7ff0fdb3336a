"""Symbolic tensors: what a tensor of the user's ``forward`` stands for in the graph, axis by axis.

A symbol has a shape, so that ordinary Python code can look at it, and no values. It says which node's output it is, for
which time steps, and what each of its axes holds: batch, time, feature axes of the node, or several of them merged.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

#: time, batch, or the number of an axis of the node's shape
Label = Literal["T", "N"] | int
#: per axis of a tensor the labels whose product it is, row-major; an axis of length one may have none
Axes = tuple[tuple[Label, ...], ...]
#: one time step, all of them alike, all of them along axis "T", or the sum over these steps
When = int | Literal["every", "along"] | tuple[int, ...]


class Refusal(Exception):  # noqa: N818 - not an error: a reason to be listed
    """Why one operation cannot be compiled; collected, so that all are told at once."""


class WrongLayoutError(Refusal):
    """The input's axes are not those that a layer takes; with others it may work."""


class Listed(Exception):  # noqa: N818
    """An operation on what has been refused already."""


@dataclass(frozen=True)
class Value:
    """What a symbol stands for: ``factor`` times what ``node`` gives at ``when``.

    ``port`` tells a soma's spikes ("out") from its "membrane" and its "current". ``after`` names an operation that does
    not change which output is the largest, such as softmax, and that has been left out.
    """

    node: str
    when: When
    axes: Axes
    port: Literal["out", "membrane", "current"] = "out"
    factor: float = 1.0
    after: str | None = None


class Symbol(torch.Tensor):
    """A tensor without values. ``value`` is None where an operation was refused: that is on the list already."""

    value: Value | None
    dispatch: Callable[[Any, tuple[Any, ...], dict[str, Any]], Any]

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        symbol = next(item for item in leaves((args, kwargs)) if isinstance(item, Symbol))
        return symbol.dispatch(func, args, kwargs or {})


def symbol(shape: Sequence[int], value: Value | None, like: Callable[..., Any] | Symbol) -> Symbol:
    """A new symbol, whose operations go to the same place as those of ``like``, or to the function ``like``."""
    with torch._C.DisableTorchFunctionSubclass():
        made = torch.Tensor._make_subclass(Symbol, torch.empty(tuple(shape), device="meta"))
    made.value = value
    made.dispatch = like.dispatch if isinstance(like, Symbol) else like
    return made


def sizes(tensor: Tensor) -> tuple[int, ...]:
    """The shape as plain integers, without asking torch's dispatcher."""
    with torch._C.DisableTorchFunctionSubclass():
        return tuple(tensor.shape)


def leaves(structure: Any) -> list[Any]:
    """Everything in nested lists, tuples and dicts, in order."""
    if isinstance(structure, dict):
        structure = list(structure.values())
    if isinstance(structure, list | tuple):
        return [leaf for item in structure for leaf in leaves(item)]
    return [structure]


def features(axes: Axes) -> list[Label]:
    """The feature labels, in the order in which they lie in memory."""
    return [label for axis in axes for label in axis if isinstance(label, int)]


def batch_labels(axes: Axes) -> list[Label]:
    """The labels that are no features, in order."""
    return [label for axis in axes for label in axis if not isinstance(label, int)]


def in_order(axes: Axes, rank: int) -> bool:
    """Whether the feature axes stand last, in the node's order, each by itself."""
    return len(axes) >= rank and axes[len(axes) - rank :] == tuple((k,) for k in range(rank))


def fresh(rank: int) -> Axes:
    """The axes of the features of a node, each by itself."""
    return tuple((k,) for k in range(rank))


def regroup(
    axes: Axes, target: Sequence[int], shape: tuple[int, ...], length_of: dict[Label, int]
) -> tuple[Axes, tuple[int, ...]]:
    """Reshape to ``target``: the axes of the result, and the features' new shape (which its labels count).

    ``shape``: of the node; ``length_of``: T's and N's. Values keep their order in memory, so labels are dealt out from
    left to right: features are one block that may be cut anywhere, batch and time may be merged and parted again.
    Refusal for whatever would mix samples or time steps.
    """
    refusal = Refusal(f"reshapes to {tuple(target)}, which mixes samples or time steps; reshape features only")
    # where lengths are one, only their place tells axes apart: those in front stay where nothing is parted
    kept = 0
    while len(target) <= len(axes) and kept < len(target) and axes[kept] and not features((axes[kept],)):
        if math.prod(length_of[label] for label in axes[kept]) != target[kept]:
            break
        kept += 1
    units = _units(axes[kept:], math.prod(shape), len(shape), length_of)
    result: list[tuple[Label, ...]] = [*axes[:kept]]
    found: list[int] = []
    inside = 0  # what is left of the block of features, 0 outside it
    for size in target[kept:]:
        if not inside and units and units[0][0] is None:
            inside = units[0][1]
        if inside:
            if size < 1 or inside % size:
                raise refusal
            result.append((len(found),))
            found.append(size)
            inside //= size
            if inside == 1 and len(units) > 1:
                units.pop(0)
                inside = 0
            continue
        taken: list[Label] = []
        product = 1
        while units and units[0][0] is not None and (product < size or (not taken and size == units[0][1] == 1)):
            label, length = units.pop(0)
            assert label is not None
            taken.append(label)
            product *= length
        if product != size:
            raise refusal
        result.append(tuple(taken))
    if inside == 1:
        units.pop(0)
    if units:
        raise refusal
    return tuple(result), tuple(found)


def _units(axes: Axes, block: int, rank: int, length_of: dict[Label, int]) -> list[tuple[Label | None, int]]:
    """Labels and lengths in the order of memory; all features together are the one unit None."""
    if features(axes) != list(range(rank)):
        raise Refusal("reshapes features that were put into another order; reshape first")
    units: list[tuple[Label | None, int]] = []
    for label in (label for labels in axes for label in labels):
        if not isinstance(label, int):
            units.append((label, length_of[label]))
        elif label == 0:
            units.append((None, block))
        elif units[-1][0] is not None:
            raise Refusal("reshapes features that lie on both sides of batch or time; permute first")
    return units
