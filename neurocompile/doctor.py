"""Look at the surroundings: Python, the packages that parts of the compiler need, the shipped data."""

from __future__ import annotations

import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from neurocompile.backends.functional import FunctionalBackend
from neurocompile.backends.functional.backend import fastest_kernels
from neurocompile.backends.lava import LavaBackend
from neurocompile.backends.lava.compat import VERSION as LAVA_VERSION
from neurocompile.errors import NeurocompileError
from neurocompile.hardware.profile import load_profile
from neurocompile.hardware.target import load_target
from neurocompile.resources import list_profiles, list_targets

#: package -> what it is for, and how to get it
_PACKAGES = {
    "torch": ("reading checkpoints and training", "pip install 'neurocompile[torch]'"),
    "numba": ("the functional engine", "pip install 'neurocompile[torch]'"),
    "numpy": ("everything", "pip install numpy"),
    "networkx": ("graphs", "pip install networkx"),
    "safetensors": ("programs on disk", "pip install safetensors"),
    "h5py": ("files of NIR and lava-dl", "pip install 'neurocompile[formats]'"),
    "nir": ("writing NIR files", "pip install 'neurocompile[formats]'"),
    "lava-nc": ("the Lava simulator", f"pip install --no-deps --ignore-requires-python lava-nc=={LAVA_VERSION}"),
    "scipy": ("the Lava simulator", "pip install 'neurocompile[lava]'"),
    "asteval": ("the Lava simulator", "pip install 'neurocompile[lava]'"),
}


def examine() -> dict[str, Any]:
    """``checks``: a list of {name, ok, found, remedy}; ``healthy``: whether all of them are."""
    checks = [_python(), *(_package(name) for name in _PACKAGES), _functional(), _lava(), *_data()]
    return {"healthy": all(check["ok"] for check in checks), "checks": checks}


def _check(name: str, ok: bool, found: str, remedy: str = "") -> dict[str, Any]:
    return {"name": name, "ok": ok, "found": found, "remedy": "" if ok else remedy}


def _python() -> dict[str, Any]:
    return _check("python", sys.version_info >= (3, 11), platform.python_version(), "use Python 3.11 or newer")


def _package(name: str) -> dict[str, Any]:
    purpose, remedy = _PACKAGES[name]
    try:
        return _check(name, True, version(name))
    except PackageNotFoundError:
        return _check(name, False, f"not installed; needed for {purpose}", remedy)


def _functional() -> dict[str, Any]:
    reason = FunctionalBackend().unavailable()
    return _check(
        "functional backend", reason is None, reason or f"ready; {fastest_kernels()}", "install what is missing above"
    )


def _lava() -> dict[str, Any]:
    reason = LavaBackend().unavailable()
    return _check("lava backend", reason is None, reason or "ready", "install what is missing above")


def _data() -> list[dict[str, Any]]:
    checks = []
    kinds: tuple[tuple[str, Any, Any], ...] = (
        ("profile", list_profiles, load_profile),
        ("target", list_targets, load_target),
    )
    for kind, names, load in kinds:
        for name in names():
            try:
                load(name)
                checks.append(_check(f"{kind} {name}", True, "well formed"))
            except NeurocompileError as error:
                checks.append(_check(f"{kind} {name}", False, str(error), "mend the file, or reinstall neurocompile"))
    return checks
