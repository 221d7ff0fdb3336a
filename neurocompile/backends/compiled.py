"""Loops as machine code."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any, TypeVar

import numba

Loop = TypeVar("Loop", bound=Callable[..., Any])


def compiled(function: Loop, **more: Any) -> Loop:
    """``function`` compiled, which is kept on disk for the next process where there is a place for it; ``more`` are
    options of numba."""
    for cache in (True, False):
        with contextlib.suppress(RuntimeError):  # which numba raises where no folder can be written
            machine_code: Loop = numba.njit(function, nogil=True, cache=cache, error_model="numpy", **more)
            return machine_code
    raise AssertionError("unreachable")


def inlined(function: Loop) -> Loop:
    """``function`` as a part of every loop that calls it; it must make no array.

    So it need not count who uses the arrays that it is given. In the network of the cycle engine that, with what a call
    takes, was six sevenths of the time.
    """
    return compiled(function, forceinline=True, _nrt=False, no_cpython_wrapper=True, no_cfunc_wrapper=True)
