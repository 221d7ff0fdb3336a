"""Inputs and labels from files: ``.npy``, ``.npz`` (one array) and ``.pt`` (one tensor). Never a pickle."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from neurocompile.errors import InputError
from neurocompile.ir.nodes import Array

_KINDS = ".npy, .npz (one array) or .pt (one tensor)"


def load_samples(path: Path, limit: int | None = None) -> Array:
    """The first ``limit`` samples of a file, (N, ...). InputError where it is not an array of numbers."""
    array = _load(path)
    if array.dtype.kind not in "biuf":
        raise InputError(f"{path}: its dtype is {array.dtype}; give real or integer numbers")
    if array.ndim < 2:
        raise InputError(
            f"{path}: its shape is {array.shape}; give a batch (N, features) or (N, channels, height, width)"
        )
    if not len(array):
        raise InputError(f"{path}: it has no samples (shape {array.shape}); give at least one")
    return np.asarray(array[:limit])


def load_labels(path: Path, count: int) -> Array:
    """The labels of the first ``count`` samples: int64 (count,)."""
    labels = _load(path)
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise InputError(
            f"{path}: labels have shape {labels.shape} and dtype {labels.dtype}; give integers of shape (N,)"
        )
    if len(labels) < count:
        raise InputError(
            f"{path}: {len(labels)} labels for {count} samples; give a label for each, or a smaller --limit"
        )
    return np.asarray(labels[:count], np.int64)


def _load(path: Path) -> Any:
    if not path.is_file():
        raise InputError(f"{path}: no such file; give {_KINDS}")
    loaders = {".npy": _load_npy, ".npz": _load_npz, ".pt": _load_pt}
    if path.suffix not in loaders:
        raise InputError(f"{path}: files ending in {path.suffix or 'nothing'!r} are not read; give {_KINDS}")
    return loaders[path.suffix](path)


def _load_npy(path: Path) -> Any:
    try:
        # a memory map: a header that claims more than the file holds is refused, and --limit reads only its part
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise InputError(
            f"{path}: not a readable .npy array ({_first_line(error)}); save it again with np.save"
        ) from error


def _load_npz(path: Path) -> Any:
    try:
        with np.load(path, allow_pickle=False) as archive:
            if len(archive.files) != 1:
                raise InputError(
                    f"{path}: holds {len(archive.files)} arrays ({', '.join(archive.files)}); save one alone"
                )
            return archive[archive.files[0]]
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: not a readable .npz file ({_first_line(error)}); save it with np.savez") from error


def _load_pt(path: Path) -> Any:
    import pickle

    import torch

    try:
        tensor = torch.load(path, weights_only=True, map_location="cpu")
    except (RuntimeError, ValueError, EOFError, OSError, pickle.UnpicklingError) as error:
        raise InputError(f"{path}: not a readable tensor file ({_first_line(error)}); save one tensor") from error
    if not isinstance(tensor, torch.Tensor) or tensor.is_complex() or tensor.is_sparse:
        raise InputError(f"{path}: holds a {type(tensor).__name__}, not one dense real tensor; save the tensor alone")
    plain = tensor.float() if tensor.dtype in (torch.bfloat16, torch.float16) else tensor
    return plain.detach().numpy()


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:120]
