"""Compiled programs in the formats of other tools. Each writer is loaded when it is asked for, with what it needs."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neurocompile.backends.export.base import Exportable
from neurocompile.errors import InputError

#: writes a program to a file that is not there yet; returns notes for the user, a sentence each
Writer = Callable[[Exportable, Path], list[str]]


@dataclass(frozen=True)
class Format:
    """``suffix`` of its files; ``module`` and ``function`` that write them."""

    suffix: str
    module: str
    function: str

    def writer(self) -> Writer:
        """The function; InputError where a package that it needs is missing."""
        try:
            module: Any = importlib.import_module(self.module)
        except ModuleNotFoundError as error:
            package = str(error.name).partition(".")[0]
            remedy = "upgrade neurocompile" if package == "neurocompile" else f"pip install {package}"
            raise InputError(f"this format is written with {error.name}, which is missing; {remedy}") from error
        writer: Writer = getattr(module, self.function)
        return writer


FORMATS: dict[str, Format] = {
    "nir": Format(".nir", "neurocompile.backends.export.nir", "write_nir"),
    "netx": Format(".net", "neurocompile.backends.export.netx", "write_netx"),
    "sanafe": Format(".yaml", "neurocompile.backends.export.sanafe", "write_sanafe"),
    "json": Format(".json", "neurocompile.backends.export.plain", "write_json"),
}


def find_format(name: str) -> Format:
    """The format called ``name``; InputError where there is none."""
    if name not in FORMATS:
        raise InputError(f"--format is {name!r}; choose one of {', '.join(FORMATS)}")
    return FORMATS[name]
