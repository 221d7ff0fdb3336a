"""How a picture enters the network: as it is, or as random spikes."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from neurocompile.errors import InputError
from neurocompile.random import uniform24
from neurocompile.snn.state import Stateful


class DirectEncoder(nn.Module):
    """Direct encoding: the same analog value at every time step, ``s[t] = x``.

    Args:
        limit: the largest ``|x|`` to expect. Nothing is clipped here; the compiler scales the input's integers by it
            when it has no calibration data.

    Raises:
        InputError: limit is not above 0.
    """

    def __init__(self, limit: float = 1.0) -> None:
        super().__init__()
        if not 0 < limit < float("inf"):
            raise InputError(f"DirectEncoder: limit is {limit!r}; give the largest |x| to expect, above 0")
        self.limit = float(limit)

    def forward(self, x: Tensor) -> Tensor:
        return x

    def extra_repr(self) -> str:
        return f"limit={self.limit}"


class PoissonEncoder(Stateful):
    """Rate coding with sign: ``s[t] = sign(x)·[r < |x|·gain·2²⁴]``, r uniform in 0 .. 2²⁴-1 and fresh at each step.

    In eval mode r is ``uniform24(seed, first_sample + position in the batch, t, neuron)``, which every engine of the
    compiler repeats; the product is taken in float64 there. In train mode r comes from torch's own generator.

    Args:
        gain: spike probability per unit of |x|, above 0. Probabilities above 1 saturate.
        seed: any integer.

    Attributes:
        first_sample: number of the batch's first sample; set it when a data set is run in several batches.

    Shapes: x (N, ...) to spikes (N, ...) in {-1, 0, 1}; neurons count in C order.

    Raises:
        InputError: gain is not above 0.
    """

    def __init__(self, gain: float = 1.0, seed: int = 0) -> None:
        super().__init__()
        if not 0 < gain < float("inf"):
            raise InputError(f"PoissonEncoder: gain is {gain!r}; give the spike probability per unit of |x|, above 0")
        self.gain = float(gain)
        self.seed = seed
        self.first_sample = 0

    def forward(self, x: Tensor) -> Tensor:
        step: int = self.state or 0
        self.state = step + 1
        if self.training:
            return x.sign() * (torch.rand_like(x) < x.abs() * self.gain)
        samples = self.first_sample + np.arange(len(x))
        numbers = torch.from_numpy(uniform24(self.seed, samples, step, x[0].numel() if len(x) else 0))
        drawn = numbers.to(x.device).reshape(x.shape) < x.double().abs() * self.gain * 2**24
        return x.sign() * drawn

    def extra_repr(self) -> str:
        return f"gain={self.gain}, seed={self.seed}"
