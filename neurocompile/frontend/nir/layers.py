"""NIR's nodes as the graph's: one small function per type, from its fields and the shape of its input."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from neurocompile.errors import GraphError
from neurocompile.frontend.nir.flatten import Part
from neurocompile.frontend.nir.neurons import Step, compact, fitted, soma
from neurocompile.ir.nodes import (
    Array,
    AvgPool2d,
    AxonDelay,
    Conv2d,
    Flatten,
    Linear,
    Node,
    Pair,
    Reshape,
    Scale,
    Shape,
    SumPool2d,
)

#: those that send spikes, and those whose membrane is a result
FIRING = ("IF", "LIF", "CubaLIF", "Threshold")
INTEGRATING = ("I", "LI", "CubaLI")

#: nodes in order of flow, each as (what to append to the name, node)
Nodes = list[tuple[str, Node]]

#: so far may a delay be from a whole number of steps, in steps
_DELAY_TOLERANCE = 1e-3
_LARGEST_SIZE = 1 << 31


@dataclass(frozen=True)
class Fields:
    """The fields of one node, checked as they are taken: a file may hold anything."""

    values: Mapping[str, Any]
    shape: Shape
    step: Step

    def array(self, name: str, *, finite: bool = True) -> Array:
        value = self.values.get(name)
        if value is None:
            raise GraphError(f"it has no {name}; write it again")
        if hasattr(value, "detach"):
            value = value.detach().cpu()
        try:
            array = np.asarray(value)
        except (ValueError, TypeError, RuntimeError):
            array = np.asarray("")
        if array.dtype.kind not in "biuf" or not array.size:
            raise GraphError(f"{name} is {str(value)!r:.40}; it must be numbers")
        if array.dtype.kind == "f" and (np.isnan(array).any() or (finite and np.isinf(array).any())):
            raise GraphError(f"{name} has values that are NaN or infinite; retrain or repair the network")
        return array

    def parameter(self, name: str) -> Array:
        """A neuron's parameter, in floating point, so that it broadcasts against the input's shape."""
        if name == "v_reset" and self.values.get(name) is None:
            return np.zeros(())
        if name == "w_in" and self.values.get(name) is None:
            return np.ones(())
        array = self.array(name, finite=not name.startswith("tau") and name not in ("r", "w_in"))
        array = array if array.dtype in (np.float32, np.float64) else array.astype(np.float64)
        return fitted(array, self.shape, name)

    def integers(self, name: str, count: int, default: int | None = None) -> tuple[int, ...]:
        """``count`` whole numbers; a single one stands for all of them."""
        if self.values.get(name) is None and default is not None:
            return (default,) * count
        array = self.array(name)
        whole = array.astype(np.int64) if array.dtype.kind != "f" or (np.abs(array) < _LARGEST_SIZE).all() else array
        if array.size not in (1, count) or (whole != array).any() or (np.abs(whole) >= _LARGEST_SIZE).any():
            raise GraphError(f"{name} is {array.tolist()!r:.60}; it must be {count} whole number(s)")
        numbers = tuple(int(each) for each in whole.ravel())
        return numbers * count if len(numbers) == 1 else numbers

    def pair(self, name: str, default: int | None = None) -> Pair:
        first, second = self.integers(name, 2, default)
        return first, second


def make(part: Part, shape: Shape, step: Step) -> Nodes:
    """The nodes that ``part`` is, for an input of ``shape``. GraphError where there are none, with the reason."""
    return MAKERS[part.kind](part.kind, Fields(part.fields, shape, step))


def _bias(fields: Fields, channels: int) -> Array | None:
    """None where it adds nothing: exporters write zeros for layers that have no bias."""
    if fields.values.get("bias") is None:
        return None
    bias = fields.array("bias")
    if not bias.any():
        return None
    return np.broadcast_to(bias, (channels,)).copy() if bias.size == 1 else bias


def _linear(kind: str, fields: Fields) -> Nodes:
    weight = fields.array("weight")
    if weight.ndim != 2:
        raise GraphError(f"weight has shape {weight.shape}; it must be one matrix (out_features, in_features)")
    bias = _bias(fields, len(weight)) if kind == "Affine" else None
    node: Nodes = [("", Linear(weight=weight, bias=bias))]
    if len(fields.shape) > 1 and math.prod(fields.shape) == weight.shape[1]:
        return [(".flatten", Flatten()), *node]
    return node


def _scale(_: str, fields: Fields) -> Nodes:
    scale = fields.array("scale")
    return [("", Scale(weight=compact(fitted(scale, fields.shape, "scale"), fields.shape)))]


def _convolution(fields: Fields, weight: Array, **given: Any) -> Conv2d:
    """``weight`` and the settings ``given`` have two axes of space."""
    (groups,) = fields.integers("groups", 1, 1)
    node = Conv2d(weight=weight, bias=_bias(fields, len(weight)), groups=groups, **given)
    padding = fields.values.get("padding")
    if not (isinstance(padding, str) and padding == "same"):
        return node
    if node.stride != (1, 1):
        raise GraphError(f"padding 'same' with stride {node.stride} is not defined; give the padding in numbers")
    totals = [step * (size - 1) for step, size in zip(node.dilation, weight.shape[2:], strict=True)]
    if any(total % 2 for total in totals):
        raise GraphError(f"padding 'same' is one-sided for kernel {weight.shape[2:]}; use an odd kernel")
    return replace(node, padding=(totals[0] // 2, totals[1] // 2))


def _padding(fields: Fields, count: int) -> tuple[int, ...]:
    padding = fields.values.get("padding")
    if not isinstance(padding, str):
        return fields.integers("padding", count, 0)
    if padding not in ("same", "valid"):
        raise GraphError(f"padding is {padding!r:.40}; it must be 'same', 'valid' or numbers")
    return (0,) * count


def _stated(fields: Fields, stated: str, count: int) -> None:
    """GraphError where the node states another shape of its input than it gets."""
    if fields.values.get(stated) is not None:
        wanted, got = fields.integers(stated, count), fields.shape[-count:]
        if wanted != got:
            raise GraphError(f"{stated} is {wanted}, but what it reads is {fields.shape}; check the input's shape")


def _conv2d(_: str, fields: Fields) -> Nodes:
    weight = fields.array("weight")
    if weight.ndim != 4:
        raise GraphError(f"weight has shape {weight.shape}; it must be (C_out, C_in, height, width)")
    _stated(fields, "input_shape", 2)
    stride, dilation = fields.pair("stride", 1), fields.pair("dilation", 1)
    node = _convolution(fields, weight, stride=stride, dilation=dilation, padding=_padding(fields, 2))
    return [("", node)]


def _conv1d(_: str, fields: Fields) -> Nodes:
    """A convolution of images of height one, between two reshapes."""
    weight = fields.array("weight")
    if weight.ndim != 3:
        raise GraphError(f"weight has shape {weight.shape}; it must be (C_out, C_in, length)")
    if len(fields.shape) != 2:
        raise GraphError(f"it reads {fields.shape}; it needs (channels, length)")
    _stated(fields, "input_shape", 1)
    node = _convolution(
        fields,
        weight[:, :, None],
        stride=(1, *fields.integers("stride", 1, 1)),
        dilation=(1, *fields.integers("dilation", 1, 1)),
        padding=(0, *_padding(fields, 1)),
    )
    image = (fields.shape[0], 1, fields.shape[1])
    channels, _height, length = node.output_shape(image)
    return [(".image", Reshape(shape=image)), ("", node), (".signal", Reshape(shape=(channels, length)))]


def _pool(kind: str, fields: Fields) -> Nodes:
    kernel = fields.pair("kernel_size")
    stride = kernel if fields.values.get("stride") is None else fields.pair("stride")
    pool = AvgPool2d if kind == "AvgPool2d" else SumPool2d
    return [("", pool(kernel=kernel, stride=stride, padding=fields.pair("padding", 0)))]


def _flatten(_: str, fields: Fields) -> Nodes:
    """Axes from start_dim to end_dim become one; they count without the batch."""
    shape = fields.shape
    (start,), (end,) = fields.integers("start_dim", 1, 1), fields.integers("end_dim", 1, -1)
    if len(shape) == 1:
        return []
    first, last = (dim + len(shape) if dim < 0 else dim for dim in (start, end))
    if not 0 <= first <= last < len(shape):
        raise GraphError(f"start_dim {start} and end_dim {end} do not fit its input {shape}")
    flat = (*shape[:first], math.prod(shape[first : last + 1]), *shape[last + 1 :])
    if flat == shape:
        return []
    return [("", Flatten() if len(flat) == 1 else Reshape(shape=flat))]


def _delay(_: str, fields: Fields) -> Nodes:
    """Seconds as whole time steps."""
    steps = fields.parameter("delay").astype(np.float64) / fields.step.dt
    whole = np.rint(steps)
    if (steps < 0).any() or steps.max() >= _LARGEST_SIZE:
        raise GraphError(f"delays go from {steps.min():g} to {steps.max():g} steps; they must be 0 or more")
    if (np.abs(steps - whole) > _DELAY_TOLERANCE).any():
        worst = steps.ravel()[np.abs(steps - whole).argmax()]
        raise GraphError(
            f"a delay is {worst:g} time steps of {fields.step.dt:g} s; delays must be whole steps: round it, or give "
            "a --dt that divides it"
        )
    if not whole.any():
        return []
    return [("", AxonDelay(steps=compact(whole.astype(np.int64), fields.shape)))]


def _soma(kind: str, fields: Fields) -> Nodes:
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        return soma(kind, fields.parameter, fields.shape, fields.step)


MAKERS: dict[str, Callable[[str, Fields], Nodes]] = {
    "Affine": _linear,
    "Linear": _linear,
    "Scale": _scale,
    "Conv1d": _conv1d,
    "Conv2d": _conv2d,
    "AvgPool2d": _pool,
    "SumPool2d": _pool,
    "Flatten": _flatten,
    "Delay": _delay,
    **dict.fromkeys((*FIRING, *INTEGRATING), _soma),
}
