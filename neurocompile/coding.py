"""How a picture is laid out in time: two codes, each written once for NumPy and for PyTorch.

An encoder must send the same in PyTorch, in the interpreter and on every engine, bit for bit. So these functions use
nothing but what arrays and tensors of float64 both compute element by element, in an order that is fixed: no matrix
product, whose sums each library orders as it likes.
"""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    Values = TypeVar("Values", NDArray[np.float64], Tensor)


def spike_times(x: Values, timesteps: int, low: float, high: float) -> Values:
    """The time step, 2 .. ``timesteps`` counted from 1, at which each value fires: the larger, the earlier.

    Eq. 4 of Datta, Kundu & Beerel, *Training energy-efficient deep spiking neural networks with single-spike hybrid
    input encoding* (2021): ``T_i = round(T + (2 - T)/(high - low) · (x - low))``, here with the share
    ``(x - low)/(high - low)`` taken first, which is within 0 and 1, so that no rounding leads out of the range. Halves
    go to the even step. Values beyond ``low`` and ``high`` fire as these do.

    x: float64 of any shape; T at least 2, low below high.
    """
    share = (x.clip(low, high) - low) / (high - low)
    return (share * (2 - timesteps) + timesteps).round()


def frequencies(block: int) -> tuple[tuple[int, int], ...]:
    """The (vertical, horizontal) frequencies of a block of ``block`` x ``block`` pixels, from low to high: by their
    sum, and along each diagonal to and fro (zigzag)."""
    pairs = ((row, column) for row in range(block) for column in range(block))
    return tuple(sorted(pairs, key=lambda pair: (sum(pair), pair[0] if sum(pair) % 2 else pair[1])))


@functools.cache
def cosines(block: int, frequency: int) -> tuple[float, ...]:
    """Basis function ``frequency`` of the orthonormal DCT-II: ``c · cos(π(2i + 1)·frequency/(2·block))`` at i = 0 ..
    block - 1, where c² is 2/block, or 1/block for frequency 0."""
    size = math.sqrt((2 if frequency else 1) / block)
    return tuple(size * math.cos(math.pi * (2 * i + 1) * frequency / (2 * block)) for i in range(block))


def frequency_part(x: Values, block: int, step: int) -> Values:
    """What one frequency contributes to pictures: of every block, the coefficient of the frequency number ``step``
    (modulo their number) times its basis function. Those of ``block**2`` steps in a row add up to x.

    x: float64 (..., height, width), both multiples of ``block``; the result has the same shape.
    """
    places = frequencies(block)
    down, across = (cosines(block, each) for each in places[step % len(places)])
    height, width = x.shape[-2:]
    blocks: Any = x.reshape(*x.shape[:-2], height // block, block, width // block, block)
    coefficient = sum(blocks[..., i, :, j] * (down[i] * across[j]) for i in range(block) for j in range(block))
    part: Any = blocks * 0
    for i in range(block):
        for j in range(block):
            part[..., i, :, j] = coefficient * (down[i] * across[j])
    whole: Values = part.reshape(x.shape)
    return whole
