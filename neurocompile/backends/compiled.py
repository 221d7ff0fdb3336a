"""Loops as machine code."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any, TypeVar

import numba

Loop = TypeVar("Loop", bound=Callable[..., Any])


def compiled(function: Loop) -> Loop:
    """``function`` compiled, which is kept on disk for the next process where there is a place for it."""
    for cache in (True, False):
        with contextlib.suppress(RuntimeError):  # which numba raises where no folder can be written
            machine_code: Loop = numba.njit(function, nogil=True, cache=cache, error_model="numpy")
            return machine_code
    raise AssertionError("unreachable")
