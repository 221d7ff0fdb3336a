"""neurocompile: from trained PyTorch spiking networks to neuromorphic chips.

The names below are imported when they are first used: ``import neurocompile`` imports neither torch nor Lava.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from neurocompile.driver import compile, run
    from neurocompile.errors import NeurocompileError
    from neurocompile.passes.convert import Conversion
    from neurocompile.program import Options, Program
    from neurocompile.verification import verify_program

_HOMES = {
    "Conversion": "neurocompile.passes.convert",
    "NeurocompileError": "neurocompile.errors",
    "Options": "neurocompile.program",
    "Program": "neurocompile.program",
    "compile": "neurocompile.driver",
    "run": "neurocompile.driver",
    "verify_program": "neurocompile.verification",
}

__all__ = ["Conversion", "NeurocompileError", "Options", "Program", "compile", "run", "verify_program"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'neurocompile' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
