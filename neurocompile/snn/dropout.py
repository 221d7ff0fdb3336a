"""Dropout whose mask does not change within a presentation."""

from __future__ import annotations

import torch
from torch import Tensor

from neurocompile.errors import InputError
from neurocompile.snn.state import Stateful


class TimeConstantDropout(Stateful):
    """Dropout with one mask for all time steps of a presentation (IIR-SNN, A.2.2; Rathi et al. 2020).

    In train mode: ``y[t] = x[t]·m/(1-p)``, m drawn at the first step with P(m = 0) = p and kept until
    ``reset_state``. In eval mode ``y = x``. A mask redrawn at each step would average out over time.

    Raises:
        InputError: p is not in [0, 1), or the input changed its shape within a presentation.
    """

    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        if not 0 <= p < 1:
            raise InputError(f"TimeConstantDropout: p is {p!r}, limit 0 to below 1; give a probability")
        self.p = float(p)

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.p == 0:
            return x
        if self.state is None:
            self.state = (torch.rand_like(x) >= self.p).to(x.dtype) / (1 - self.p)
        if self.state.shape != x.shape:
            raise InputError(
                f"TimeConstantDropout: input of shape {tuple(x.shape)} in a presentation begun with "
                f"{tuple(self.state.shape)}; call reset_state(model) before a new batch"
            )
        masked: Tensor = x * self.state
        return masked

    def extra_repr(self) -> str:
        return f"p={self.p}"
