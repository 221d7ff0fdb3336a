"""Random numbers that depend on what they are for and on nothing else.

An encoder that draws spikes must draw the same ones in PyTorch, in the interpreter and on every engine, whatever the
order in which they visit samples, steps and neurons and however they batch them. So a number is not the next of a
stream: it is a function of its four coordinates.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neurocompile.errors import InputError

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)  # 2^64 / golden ratio, the increment of splitmix64
_WORD = 1 << 64


def uniform24(seed: int, sample: ArrayLike, step: int, neurons: int) -> NDArray[np.int64]:
    """Uniform integers in [0, 2²⁴) for every neuron of each given sample at one time step.

    With ``mix`` the finaliser of splitmix64 (Steele, Lea, Flood, *Fast splittable pseudorandom number generators*,
    OOPSLA 2014) and ``next(h, k) = mix(h + (k + 1)·0x9E3779B97F4A7C15 mod 2⁶⁴)``, which is the k-th output of the
    splitmix64 stream started at h::

        number = next(next(next(next(0, seed), sample), step), neuron) >> 40

    24 bits, because an integer below 2²⁴ is exact in float32 too.

    Args:
        seed: any integer; taken modulo 2⁶⁴.
        sample: indices of the samples, integers >= 0, of any shape.
        step: time step within the presentation, >= 0, counted from 0.
        neurons: how many neurons, numbered from 0 in C order of their population.

    Returns:
        int64 array of shape ``(*sample.shape, neurons)``.

    Raises:
        InputError: a coordinate is negative or not an integer.
    """
    samples = np.asarray(sample)
    if samples.size and (samples.dtype.kind not in "iu" or samples.min() < 0):
        raise InputError(f"sample: {sample!r} is not a set of sample numbers; give integers of 0 or more")
    if step < 0 or neurons < 0:
        raise InputError(f"step {step}, neurons {neurons}: both are counts; give integers of 0 or more")
    # Arrays throughout, never scalars: NumPy wraps arrays silently, as intended, but warns on scalars.
    state = _next(np.zeros(1, np.uint64), np.array([seed % _WORD], np.uint64))
    state = _next(state, samples.astype(np.uint64).reshape(-1))
    state = _next(state, np.array([step], np.uint64))
    numbers = _next(state[:, None], np.arange(neurons, dtype=np.uint64)[None, :]) >> np.uint64(40)
    return numbers.astype(np.int64).reshape(*samples.shape, neurons)


def _next(state: NDArray[np.uint64], key: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Output number ``key`` of the splitmix64 stream that starts at ``state``, elementwise."""
    z = state + (key + np.uint64(1)) * _GOLDEN
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: NDArray[np.uint64] = z ^ (z >> np.uint64(31))
    return mixed
