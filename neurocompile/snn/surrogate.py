"""Surrogate gradients: what training takes for the derivative of a spike, which has none.

A surrogate is a function of ``z = u/v - k``, the distance of the membrane from the firing level ``k·v`` in units of
the threshold (k = 1 for binary spikes). It stands for ∂s/∂z; autograd goes on from z to u and to v, and that yields
Eq. 14 of Chowdhury et al. (IIR-SNN, 2021) for the threshold.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import pi
from typing import Any, Protocol

import torch
from torch import Tensor


class Surrogate(Protocol):
    """Anything with a ``slope``: the value that stands for ∂s/∂z at z, elementwise, of the shape of z."""

    def slope(self, z: Tensor) -> Tensor: ...


@dataclass(frozen=True)
class LinearSurrogate:
    """A triangle: ``∂s/∂z = γ·max(0, 1 - |z|)`` (IIR-SNN, Eq. 12, with γ = 0.3)."""

    gamma: float = 0.3

    def slope(self, z: Tensor) -> Tensor:
        return self.gamma * (1 - z.abs()).clamp(min=0)


@dataclass(frozen=True)
class ArctanSurrogate:
    """The derivative of an arc tangent: ``∂s/∂z = (α/2) / (1 + (π·α·z/2)²)`` (Fang et al., ICCV 2021)."""

    alpha: float = 2.0

    def slope(self, z: Tensor) -> Tensor:
        return (self.alpha / 2) / (1 + (pi / 2 * self.alpha * z) ** 2)


class _Spike(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, z: Tensor, spikes: Tensor, surrogate: Surrogate) -> Tensor:
        ctx.save_for_backward(z)
        ctx.surrogate = surrogate
        return spikes.view_as(spikes)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor, None, None]:
        (z,) = ctx.saved_tensors
        return gradients[0] * ctx.surrogate.slope(z), None, None


def with_surrogate(spikes: Tensor, z: Tensor, surrogate: Surrogate) -> Tensor:
    """``spikes`` unchanged, with the gradient ``surrogate.slope(z)`` with respect to ``z``."""
    result: Tensor = _Spike.apply(z, spikes, surrogate)  # type: ignore[no-untyped-call]
    return result
