"""Inputs and labels from files: ``.npy``, ``.npz`` (one array) and ``.pt`` (one tensor). Never a pickle."""

from __future__ import annotations

import warnings
from pathlib import Path

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
    """The labels of the first ``count`` samples: integers (count,)."""
    labels = _load(path)
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise InputError(
            f"{path}: labels have shape {labels.shape} and dtype {labels.dtype}; give integers of shape (N,)"
        )
    if len(labels) < count:
        raise InputError(
            f"{path}: {len(labels)} labels for {count} samples; give a label for each, or a smaller --limit"
        )
    return np.asarray(labels[:count])


def _load(path: Path) -> Array:
    if path.is_dir():
        raise InputError(f"{path}: is a folder; give {_KINDS}")
    if not path.is_file():
        raise InputError(f"{path}: no such file; give {_KINDS}")
    loaders = {".npy": _load_npy, ".npz": _load_npz, ".pt": _load_pt}
    if path.suffix not in loaders:
        raise InputError(f"{path}: is no file of arrays by its name; give {_KINDS}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about old kinds of files and tensors: they are read, or refused below
            return loaders[path.suffix](path)
    except InputError:
        raise
    except Exception as error:  # NumPy and torch raise a dozen types for files that are damaged or are something else
        raise InputError(
            f"{path}: not a readable {path.suffix} file ({_reason(error)}); save one array of numbers"
        ) from error


def _load_npy(path: Path) -> Array:
    # a memory map: a header that claims more than the file holds is refused, and --limit reads only its part
    array: Array = np.load(path, mmap_mode="r", allow_pickle=False)
    return array


def _load_npz(path: Path) -> Array:
    with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
        if len(archive.files) != 1:
            raise InputError(f"{path}: holds {len(archive.files)} arrays ({', '.join(archive.files)}); save one alone")
        array = archive[archive.files[0]]
        if not isinstance(array, np.ndarray):
            raise InputError(f"{path}: {archive.files[0]} in it is no array; save one with np.savez")
        return array


def _load_pt(path: Path) -> Array:
    try:
        import torch
    except ModuleNotFoundError as error:
        raise InputError(f"{path}: reading .pt files needs torch; pip install 'neurocompile[torch]'") from error

    tensor = torch.load(path, weights_only=True, map_location="cpu")
    if not isinstance(tensor, torch.Tensor):
        raise InputError(f"{path}: holds a {type(tensor).__name__}, not a tensor; save the tensor alone")
    if tensor.layout != torch.strided or tensor.is_quantized or tensor.is_complex() or tensor.is_meta:
        kind = f"{tensor.dtype}, {tensor.layout}, on {tensor.device}"
        raise InputError(f"{path}: its tensor is {kind}; save it dense, real and from the CPU")
    if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        raise InputError(
            f"{path}: its tensor claims {tensor.numel():,} values and holds fewer; save tensor.contiguous()"
        )
    # NumPy has no narrower floating-point numbers than float16
    plain = tensor.float() if tensor.is_floating_point() and tensor.itemsize < 4 else tensor
    array: Array = plain.detach().numpy()
    return array


def _reason(error: Exception) -> str:
    text = str(error)
    if any(word in text for word in ("allow_pickle", "Python objects", "Weights only")):
        return "it holds pickled Python objects, which are never opened"
    return (text.splitlines() or [type(error).__name__])[0][:120]
