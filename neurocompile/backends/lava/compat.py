"""Makes lava-nc 0.10.0, whose wheel asks for Python 3.10, importable on newer ones. Nothing else in it needs 3.10."""

from __future__ import annotations

import dataclasses
import functools
import importlib
import importlib.metadata
import importlib.util
import sys

VERSION = "0.10.0"
_INSTALL = f"pip install 'neurocompile[lava]' && pip install --no-deps --ignore-requires-python lava-nc=={VERSION}"


def unavailable() -> str | None:
    """Why Lava cannot run here, with the remedy; None where it can. Imports nothing of Lava."""
    if sys.platform == "win32":
        return "Lava starts its processes by fork, which Windows does not have; use Linux, macOS or WSL"
    try:
        installed = importlib.metadata.version("lava-nc")
    except importlib.metadata.PackageNotFoundError:
        return f"lava-nc is not installed; run: {_INSTALL}"
    if installed != VERSION:
        return f"lava-nc {installed} is installed, but this backend was proved on {VERSION}; run: {_INSTALL}"
    for needed in ("asteval", "scipy"):
        if importlib.util.find_spec(needed) is None:
            return f"lava-nc needs {needed}, which is not installed; run: {_INSTALL}"
    return None


def enable() -> None:
    """Import the one module of Lava that Python 3.11 refuses: its dataclasses have unhashable dataclasses as defaults.

    Making that module's dataclasses hashable is enough. What it imports in turn is imported first, untouched.
    """
    for needed in (
        "lava.magma.compiler.mappable_interface",
        "lava.magma.compiler.subcompilers.address",
        "lava.magma.core.process.ports.connection_config",
        "lava.magma.core.process.variable",
    ):
        importlib.import_module(needed)
    plain = dataclasses.dataclass
    dataclasses.dataclass = functools.partial(plain, unsafe_hash=True)
    try:
        importlib.import_module("lava.magma.compiler.var_model")
    finally:
        dataclasses.dataclass = plain
