"""The integer arithmetic of somas. Each function takes int64 or float64 arrays of integers and gives the same values.

Float64 holds every integer below 2**53, so both give one result; tests prove it. Engines use these functions too.
"""

from __future__ import annotations

import numpy as np

from neurocompile.ir.nodes import Array, Overflow


def decay(state: Array, leak: Array, bits: int) -> Array:
    """``state * leak / 2**bits``, truncated towards zero (as Loihi's and Lava's LIF do)."""
    if state.dtype.kind == "f":
        truncated: Array = np.trunc(state * leak / (1 << bits))
        return truncated
    magnitude: Array = (np.abs(state) * leak) >> bits
    return np.where(state < 0, -magnitude, magnitude)


def fit(state: Array, bits: int, overflow: Overflow) -> Array:
    """``state`` in ``bits`` signed bits. Wrapping is two's complement; clipping is to +-(2**(bits-1) - 1)."""
    half = 1 << (bits - 1)
    if overflow == "clip":
        clipped: Array = np.clip(state, -(half - 1), half - 1)
        return clipped
    wrapped: Array = np.mod(state + half, 2 * half) - half
    return wrapped


def fire(
    u: Array,
    threshold: Array,
    *,
    compare: str,
    spikes: str = "binary",
    max_payload: int = 255,
    flip: Array | None = None,
) -> Array:
    """The spikes of membranes ``u``, in their dtype; see ``Neuron`` and ``Threshold`` for the rules."""
    if spikes == "graded":
        # k thresholds are passed: u >= k*v for k <= floor(u/v); u > k*v for k <= ceil(u/v) - 1
        count = np.floor_divide(u, threshold) if compare == "at_or_above" else -np.floor_divide(-u, threshold) - 1
        graded: Array = np.clip(count, 0, max_payload)
        return graded
    passes = np.greater if compare == "above" else np.greater_equal
    up = passes(u, threshold)
    if flip is not None and flip.any():
        up = np.where(flip, passes(threshold, u), up)
    if spikes == "signed":
        both: Array = up.astype(u.dtype) - passes(-u, threshold).astype(u.dtype)
        return both
    binary: Array = up.astype(u.dtype)
    return binary
