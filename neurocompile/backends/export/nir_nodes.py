"""One node of a graph as a node of NIR, as far as NIR can say it.

What an integer graph holds in fixed point is told in the unit of its weights: a threshold of ``t`` with f fraction bits
is ``t / 2**f``, and a leak is a fraction of one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from neurocompile.errors import GraphError
from neurocompile.ir.nodes import (
    Array,
    AvgPool2d,
    AxonDelay,
    BatchNorm,
    Conv2d,
    DirectEncoder,
    Flatten,
    Input,
    Linear,
    Neuron,
    Node,
    Readout,
    Reshape,
    Scale,
    Shape,
    Soma,
    SumPool2d,
    Threshold,
    per_channel,
)

#: NIR has no membrane that never leaks beside a current that does: so many steps stand for a time constant without end
_ENDLESS_STEPS = 2.0**40
#: a batch norm of a vector becomes a diagonal matrix, and so does its place in a Concat
_LARGEST_DIAGONAL = 4096


@dataclass(frozen=True)
class Said:
    """``node`` of NIR; ``before``: another one, which its input must go through first; ``unsaid``: what NIR has no
    words for."""

    node: Any
    before: Any = None
    unsaid: tuple[str, ...] = ()


@dataclass(frozen=True)
class Speaker:
    """Makes NIR nodes of the package ``nir``, for time steps of ``dt`` seconds."""

    nir: Any
    dt: float

    def say(self, node: Node, before: Shape, after: Shape, bias: Array | None) -> Said:
        """``node`` with inputs of shape ``before`` and outputs of ``after``, and a constant ``bias`` (out_channels,)
        that its weights add for the soma behind. GraphError where NIR has nothing of the kind."""
        nir = self.nir
        match node:
            case Input():
                return Said(nir.Input(input_type=np.array(after)))
            case DirectEncoder():
                assert node.scale is not None
                return Said(nir.Scale(scale=np.full(after, node.scale)), unsaid=("its input is rounded and clipped",))
            case Linear():
                weight, total = _shifted(node), _bias(node, bias)
                return Said(nir.Linear(weight=weight) if total is None else nir.Affine(weight=weight, bias=total))
            case Conv2d():
                return Said(self._convolution(node, before, bias))
            case Scale():
                return Said(nir.Scale(scale=_full(_shifted(node), after)))
            case BatchNorm():
                return Said(self._norm(node, after))
            case AvgPool2d() | SumPool2d():
                pool = nir.AvgPool2d if isinstance(node, AvgPool2d) else nir.SumPool2d
                sizes = (np.array(pair) for pair in (node.kernel, node.stride, node.padding))
                return Said(pool(*sizes))
            case AxonDelay():
                return Said(nir.Delay(delay=_full(node.steps, after) * self.dt))
            case Soma():
                return self._soma(node, after)
        if isinstance(node, (Flatten, Reshape)):
            for start in range(len(after)):
                end = start + len(before) - len(after)
                if end >= start and (*before[:start], math.prod(before[start : end + 1]), *before[end + 1 :]) == after:
                    return Said(nir.Flatten(input_type=np.array(before), start_dim=start, end_dim=end))
            raise GraphError(f"NIR has no node for a Reshape of {before} to {after}, only for joining axes (Flatten)")
        if node.kind == "PadChannels":
            return Said(self.placed(before, getattr(node, "before", 0), after))
        raise GraphError(f"NIR has no node for a {node.kind}")

    def placed(self, part: Shape, start: int, whole: Shape) -> Any:
        """What puts a ``part`` of a Concat in its place, from channel ``start`` on, between zeros."""
        weight = np.zeros((whole[0], part[0]))
        weight[start : start + part[0]] = np.eye(part[0])
        if len(part) == 3:
            return self._convolution(Conv2d(weight=weight[:, :, None, None]), part, None)
        if len(part) == 2:
            return self.convolution_of_signals(Conv2d(weight=weight[:, :, None, None]), part[1], None)
        if whole[0] > _LARGEST_DIAGONAL:
            raise GraphError(f"NIR has no Concat, and a matrix in its place is too large for {whole}")
        return self.nir.Linear(weight=weight)

    def _convolution(self, node: Conv2d, before: Shape, bias: Array | None) -> Any:
        total = _bias(node, bias)
        return self.nir.Conv2d(
            input_shape=before[1:],
            weight=_shifted(node),
            stride=node.stride,
            padding=node.padding,
            dilation=node.dilation,
            groups=node.groups,
            bias=np.zeros(len(node.weight)) if total is None else total,
        )

    def convolution_of_signals(self, node: Conv2d, length: int, bias: Array | None) -> Any:
        """The convolution of (channels, length) that ``node`` is for images of height one."""
        total = _bias(node, bias)
        return self.nir.Conv1d(
            input_shape=length,
            weight=np.ascontiguousarray(_shifted(node)[:, :, 0]),
            stride=node.stride[1],
            padding=node.padding[1],
            dilation=node.dilation[1],
            groups=node.groups,
            bias=np.zeros(len(node.weight)) if total is None else total,
        )

    def _norm(self, node: BatchNorm, shape: Shape) -> Any:
        """A diagonal matrix, or for images a convolution of each channel with itself."""
        if len(shape) == 3:
            weight = node.factor[:, None, None, None]
            own = Conv2d(weight=weight, bias=node.shift, groups=shape[0])
            return self._convolution(own, shape, None)
        if len(shape) > 1 or shape[0] > _LARGEST_DIAGONAL:
            raise GraphError(
                f"NIR has no batch norm, and a matrix in its place is too large for {shape}; export the integer graph, "
                "where it is fused"
            )
        return self.nir.Affine(weight=np.diag(node.factor), bias=node.shift)

    def _soma(self, node: Soma, shape: Shape) -> Said:
        one = 1 << node.fixed.fraction_bits if node.fixed else 1

        def told(parameter: Array) -> Array:
            return _full(parameter.astype(np.float64) / one, shape)

        if isinstance(node, Threshold):
            threshold = told(node.threshold) - told(node.bias)
            unsaid = _unsaid(node)
            if not node.flip.any():
                return Said(self.nir.Threshold(threshold=threshold), unsaid=unsaid)
            # x < v is -x > -v
            sign = np.where(_full(node.flip, shape), -1.0, 1.0)
            return Said(self.nir.Threshold(threshold=sign * threshold), self.nir.Scale(scale=sign), unsaid)
        assert isinstance(node, (Neuron, Readout))
        whole = node.fixed.one if node.fixed else 1
        leak, current_leak = (_full(each / whole, shape) for each in (node.leak, node.current_leak))
        fires: dict[str, Array] = {}
        if isinstance(node, Neuron):
            fires = {"v_threshold": told(node.threshold), "v_reset": told(node.reset_value)}
        return Said(self._equations(leak, current_leak, fires), unsaid=_unsaid(node))

    def _equations(self, leak: Array, current_leak: Array, fires: dict[str, Array]) -> Any:
        """The differential equations whose forward Euler step has these leaks, and gains of one."""
        nir, zero = self.nir, np.zeros(leak.shape)
        steps, current_steps = (self._steps(each) for each in (leak, current_leak))
        if current_leak.any():
            taus = {"tau_mem": steps * self.dt, "tau_syn": current_steps * self.dt}
            return (nir.CubaLIF if fires else nir.CubaLI)(r=steps, w_in=current_steps, v_leak=zero, **taus, **fires)
        if (leak == 1).all():
            return (nir.IF if fires else nir.I)(r=np.full(leak.shape, 1 / self.dt), **fires)
        return (nir.LIF if fires else nir.LI)(tau=steps * self.dt, r=steps, v_leak=zero, **fires)

    def _steps(self, leak: Array) -> Array:
        """The time constant in steps: 1 - 1/steps is the leak."""
        lost = 1 - leak
        return np.where(lost == 0, _ENDLESS_STEPS, 1 / np.where(lost == 0, 1, lost))


def _unsaid(node: Soma) -> tuple[str, ...]:
    """What this soma does that NIR's does not."""
    words = []
    if isinstance(node, Neuron):
        if node.reset == "subtract":
            words.append("resets by subtraction")
        if not node.leaky_reset:
            words.append("resets in the next step")
        if getattr(node, "membrane_min", None) is not None:
            words.append("has a lowest membrane")
        if node.reset == "none":
            words.append("is not reset")
        if node.reset == "set" and node.reset_value.any():
            words.append("starts at 0, not at v_reset")
        if node.order == "fire_first":
            words.append("fires on what the step before left")
        if node.single_spike:
            words.append("fires once in a presentation")
    if isinstance(node, (Neuron, Threshold)):
        if node.compare == "at_or_above":
            words.append("fires at the threshold, not only above")
        if node.spikes != "binary":
            words.append(f"sends {node.spikes} spikes")
    if node.fixed is not None:
        words.append("computes in fixed point")
    return tuple(words)


def _full(parameter: Array, shape: Shape) -> Array:
    return np.ascontiguousarray(np.broadcast_to(per_channel(parameter, shape), shape))


def _shifted(node: Conv2d | Linear | Scale) -> Array:
    """The weights, in the unit that the projection's exponent gives them: the very array where that is one."""
    if not node.weight_exponent:
        return node.weight
    shifted: Array = node.weight.astype(np.int64) << node.weight_exponent
    return shifted


def _bias(node: Conv2d | Linear, added: Array | None) -> Array | None:
    if added is None:
        return node.bias
    return added if node.bias is None else node.bias + added
