"""Surrogate gradients: what training takes for the derivative of a spike, which has none.

A surrogate is a function of one of three quantities, which it names in its attribute ``measures``:

- "relative" (also where the attribute is missing): ``z = u/v - k``, the distance of the membrane u from the firing
  level ``k·v`` in units of the threshold v (k = 1 for binary spikes). It stands for ∂s/∂z; autograd goes on from z to
  u and to v, and that yields Eq. 14 of Chowdhury et al. (IIR-SNN, 2021) for the threshold.
- "membrane": ``u - k·v``, the same distance in the units of the membrane. It stands for ∂s/∂u.
- "time": Δt, the time steps since the neuron's last spike: 0 at the step of a spike, infinite before the first spike of
  a presentation. It stands for ∂s/∂u.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol

import torch
from torch import Tensor

from neurocompile.errors import InputError

Measures = Literal["relative", "membrane", "time"]


class Surrogate(Protocol):
    """Anything with a ``slope``: the value that stands for the derivative of the spikes, elementwise, of the shape of
    what it is given, which is what ``measures`` names."""

    def slope(self, z: Tensor, /) -> Tensor: ...


def measures(surrogate: Surrogate) -> Measures:
    """What the slope of ``surrogate`` is a function of."""
    chosen: Measures = getattr(surrogate, "measures", "relative")
    return chosen


@dataclass(frozen=True)
class LinearSurrogate:
    """A triangle: ``∂s/∂z = γ·max(0, 1 - |z|)`` (IIR-SNN, Eq. 12, with γ = 0.3)."""

    measures: ClassVar[Measures] = "relative"
    gamma: float = 0.3

    def slope(self, z: Tensor) -> Tensor:
        return self.gamma * (1 - z.abs()).clamp(min=0)


@dataclass(frozen=True)
class ArctanSurrogate:
    """The derivative of an arc tangent: ``∂s/∂z = (α/2) / (1 + (π·α·z/2)²)`` (Fang et al., ICCV 2021)."""

    measures: ClassVar[Measures] = "relative"
    alpha: float = 2.0

    def slope(self, z: Tensor) -> Tensor:
        return (self.alpha / 2) / (1 + (math.pi / 2 * self.alpha * z) ** 2)


@dataclass(frozen=True)
class MembraneLinearSurrogate:
    """A triangle as wide for every threshold: ``∂s/∂u = α·max(0, 1 - |u - v|)`` (Rathi et al. 2020, Eq. 13)."""

    measures: ClassVar[Measures] = "membrane"
    alpha: float = 0.3

    def slope(self, distance: Tensor) -> Tensor:
        return self.alpha * (1 - distance.abs()).clamp(min=0)


@dataclass(frozen=True)
class ExponentialSurrogate:
    """``∂s/∂u = α·exp(-β·|u - v|)`` (Rathi et al. 2020, Eq. 14)."""

    measures: ClassVar[Measures] = "membrane"
    alpha: float = 0.3
    beta: float = 0.01

    def slope(self, distance: Tensor) -> Tensor:
        return self.alpha * torch.exp(-self.beta * distance.abs())


@dataclass(frozen=True)
class StdbSurrogate:
    """Spike timing dependent backpropagation: ``∂s/∂u = α·exp(-β·Δt)`` (Rathi et al. 2020, Eqs. 11 and 12).

    Δt is 0 at the step of a spike, so the gradient is largest there (Fig. 1), and it is 0 until a neuron has fired. The
    code which that paper points to counts otherwise, from the spike before the present step's; the paper is followed.
    As it says, α and β should be the smaller, the more time steps there are.

    Raises:
        InputError: beta is not above 0.
    """

    measures: ClassVar[Measures] = "time"
    alpha: float = 0.3
    beta: float = 0.01

    def __post_init__(self) -> None:
        if not 0 < self.beta < math.inf:
            raise InputError(f"StdbSurrogate: beta is {self.beta!r}, limit above 0; the papers take 0.01")

    def slope(self, steps: Tensor) -> Tensor:
        return self.alpha * torch.exp(-self.beta * steps)


class _Spike(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, _distance: Tensor, spikes: Tensor, measured: Tensor, surrogate: Surrogate) -> Tensor:
        ctx.save_for_backward(measured)
        ctx.surrogate = surrogate
        return spikes.view_as(spikes)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor, None, None, None]:
        (measured,) = ctx.saved_tensors
        return gradients[0] * ctx.surrogate.slope(measured), None, None, None


def with_surrogate(spikes: Tensor, distance: Tensor, measured: Tensor, surrogate: Surrogate) -> Tensor:
    """``spikes`` unchanged, with the gradient ``surrogate.slope(measured)`` with respect to ``distance``."""
    result: Tensor = _Spike.apply(distance, spikes, measured, surrogate)  # type: ignore[no-untyped-call]
    return result
