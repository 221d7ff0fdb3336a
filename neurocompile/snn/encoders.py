"""How a picture enters the network: as it is, as random spikes, or laid out in time."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn

from neurocompile import coding
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


class HybridEncoder(Stateful):
    """Hybrid coding: the analog value at the first time step, then one spike, the earlier the larger the value.

    Eqs. 4-5 of Datta, Kundu & Beerel, *Training energy-efficient deep spiking neural networks with single-spike hybrid
    input encoding* (2021), with t counted from 1::

        s[1] = x
        s[t] = 1 where t = T_i, else 0       T_i = round(T + (2 - T)/(high - low) · (x - low))

    T_i is computed in float64, halves go to the even step, and x beyond ``low`` and ``high`` fires as these do; at the
    first step x is not clipped. With one time step nothing but that step is left. No gradient comes back through the
    spikes.

    Args:
        timesteps: T, the number of steps of a presentation, which must have that many.
        low, high: the range of the picture's values; low below high.

    Shapes: x (N, ...), the same at every step, to (N, ...).

    Raises:
        InputError: timesteps is not a whole number from 1, low and high are no range; in ``forward``: more steps than
            ``timesteps`` without a reset.
    """

    def __init__(self, timesteps: int, low: float = 0.0, high: float = 1.0) -> None:
        super().__init__()
        if type(timesteps) is not int or timesteps < 1:
            raise InputError(f"HybridEncoder: timesteps is {timesteps!r}; give a whole number of steps, 1 or more")
        if not (low < high and math.isfinite(high - low)):
            raise InputError(
                f"HybridEncoder: low {low!r} and high {high!r} are no range; give the smallest and the largest value "
                "of the pictures"
            )
        self.timesteps, self.low, self.high = timesteps, float(low), float(high)

    def forward(self, x: Tensor) -> Tensor:
        step = 1 + (self.state or 0)
        if step > self.timesteps:
            raise InputError(
                f"HybridEncoder: step {step} of a presentation, limit {self.timesteps}; reset the network for the next "
                f"one, or make it with HybridEncoder(timesteps={step}) or more"
            )
        self.state = step
        if step == 1:
            return x
        return (coding.spike_times(x.detach().double(), self.timesteps, self.low, self.high) == step).to(x.dtype)

    def extra_repr(self) -> str:
        return f"timesteps={self.timesteps}, low={self.low}, high={self.high}"


class DctEncoder(Stateful):
    """Frequencies one after the other: at each time step, what one frequency contributes to the picture.

    Garg, Chowdhury & Roy, *DCT-SNN: using DCT to distribute spatial information over time for learning low-latency
    spiking neural networks* (2021). Each block of ``block`` x ``block`` pixels goes through the orthonormal
    two-dimensional DCT-II; step t, counted from 0, brings the coefficient of frequency number ``t mod block²`` times
    its basis function, the low frequencies first (zigzag). ``block²`` steps add up to the picture; fewer leave out the
    high frequencies. What is sent is analog: put neurons with signed spikes behind it, ``IF(spikes="signed")``, to
    send spikes into the network as the paper does.

    Args:
        block: pixels along a side of a block; it must divide the picture's height and width.
        limit: the largest ``|x|`` to expect, as of :class:`DirectEncoder`.

    Shapes: x (N, channels, height, width), the same at every step, to the same.

    Raises:
        InputError: block is not a whole number from 1, limit is not above 0; in ``forward``: x has no whole blocks.
    """

    def __init__(self, block: int = 4, limit: float = 1.0) -> None:
        super().__init__()
        if type(block) is not int or block < 1:
            raise InputError(f"DctEncoder: block is {block!r}; give the pixels along its side, 1 or more")
        if not 0 < limit < float("inf"):
            raise InputError(f"DctEncoder: limit is {limit!r}; give the largest |x| to expect, above 0")
        self.block, self.limit = block, float(limit)

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim != 4 or any(side % self.block for side in x.shape[2:]):
            raise InputError(
                f"DctEncoder: pictures of shape {tuple(x.shape[1:])} are no whole blocks of {self.block} x "
                f"{self.block}; give (N, channels, height, width), padded or cropped"
            )
        step: int = self.state or 0
        self.state = step + 1
        return coding.frequency_part(x.double(), self.block, step).to(x.dtype)

    def extra_repr(self) -> str:
        return f"block={self.block}, limit={self.limit}"


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
