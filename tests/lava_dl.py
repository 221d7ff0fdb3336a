"""lava-dl for tests: its modules, and the trained networks and true spikes that are in its wheel's own tests.

Its wheel asks for Python 3.10 and for torchvision, OpenCV and matplotlib, of which the parts that are used here need
nothing. Where lava-dl or its wheel is missing, tests skip.
"""

from __future__ import annotations

import importlib
import io
import os
import sys
import types
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neurocompile.backends.lava import compat

WHEEL = Path(__file__).parents[1] / "build" / "wheels" / "lava_dl-0.6.0-py3-none-any.whl"
_NETX = "tests/lava/lib/dl/netx/"
_UNUSED = ("torchvision", "torchvision.transforms", "cv2", "matplotlib", "matplotlib.pyplot", "PIL", "PIL.Image")


class _Nothing(types.ModuleType):
    """A module in which every name is another such module."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Nothing(name)


def import_lava_dl(name: str) -> Any:
    """``lava.lib.dl.<name>``; skips the test where it is not installed."""
    pytest.importorskip("h5py", reason="h5py is not installed; run: pip install 'neurocompile[netx]'")
    if reason := compat.unavailable():
        pytest.skip(reason)
    for unused in _UNUSED:
        try:
            importlib.import_module(unused)
        except ImportError:
            sys.modules[unused] = _Nothing(unused)
    compat.enable()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip(
            f"lava.lib.dl.{name}",
            reason="lava-dl is not installed; run: pip install --no-deps --ignore-requires-python lava-dl==0.6.0",
            exc_type=ImportError,
        )


class Wheel:
    """Files of the wheel's netx tests, by their paths there."""

    def __init__(self) -> None:
        path = Path(os.environ.get("LAVA_DL_WHEEL", WHEEL))
        if not path.is_file():
            pytest.skip(f"{path} is not there; run: pip download --no-deps lava-dl==0.6.0 -d build/wheels")
        self._zip = zipfile.ZipFile(path)

    def network(self, name: str, folder: Path) -> Path:
        """A ``.net`` file, put into ``folder``."""
        path = folder / Path(name).name
        path.write_bytes(self._zip.read(_NETX + name))
        return path

    def array(self, name: str) -> np.ndarray[Any, Any]:
        return np.load(io.BytesIO(self._zip.read(_NETX + name)))


@pytest.fixture(scope="session")
def wheel() -> Wheel:
    return Wheel()
