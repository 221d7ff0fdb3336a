"""NIR 1.0 (https://neuroir.org) -> a traced graph: HDF5 files, and graphs of the ``nir`` package in memory."""

from neurocompile.frontend.nir.conventions import CONVENTIONS, Conventions
from neurocompile.frontend.nir.hdf5 import is_nir
from neurocompile.frontend.nir.reader import read_nir

__all__ = ["CONVENTIONS", "Conventions", "is_nir", "read_nir"]
