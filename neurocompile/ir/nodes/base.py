"""What all nodes share: validation of their fields, parameters that broadcast, and checks of shapes."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from dataclasses import dataclass
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


def check_parameter(node: Node, name: str, parameter: Array, shape: Shape) -> None:
    if parameter.ndim == 0 or parameter.shape in ((shape[0],), shape):
        return
    raise GraphError(
        f"{node.kind}.{name} has shape {parameter.shape}; for inputs of shape {shape} it must be a scalar, "
        f"({shape[0]},) or {shape}"
    )


def check_pairs(node: Node, least: int, *names: str) -> None:
    for name in names:
        pair = getattr(node, name)
        if len(pair) != 2 or min(pair) < least:
            raise GraphError(f"{node.kind}.{name} is {pair}; it must be two integers of at least {least}")


def check_shape(node: Node, shape: Shape) -> None:
    if not shape or any(size < 1 for size in shape):
        raise GraphError(f"{node.kind}.shape is {shape}; every size must be at least 1")


def check_number(node: Node, name: str, value: float) -> None:
    if not 0 < value < math.inf:
        raise GraphError(f"{node.kind}.{name} is {value}; it must be a positive number")


def spatial(node: Node, shape: Shape) -> Shape:
    if len(shape) != 3:
        raise GraphError(f"{node.kind} needs inputs (channels, height, width), got {shape}; check --input-shape")
    return shape


def window(node: Node, size: int, kernel: int, stride: int, padding: int, dilation: int = 1) -> int:
    steps = (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
    if steps < 1:
        raise GraphError(f"{node.kind}: a window of {kernel} (dilation {dilation}) does not fit {size} + 2*{padding}")
    return steps
