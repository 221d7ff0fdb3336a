"""Inputs and labels from files: ``.npy``, ``.npz`` (one array), ``.pt`` (one tensor), or a folder of ``.npy``. Never a
pickle.

Data sets may be larger than memory: a ``.npy`` file is mapped, not read, and a slice reads its own part alone. A folder
of ``.npy`` files is one data set, its files one after the other in the natural order of their names (``x2.npy`` before
``x10.npy``). Hidden files in it are ignored; any other file is refused, so that no samples are left out unnoticed.
"""

from __future__ import annotations

import re
import threading
import warnings
from bisect import bisect_right
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from neurocompile.errors import InputError
from neurocompile.ir.nodes import Array, Shape

#: of a folder, at a time
_OPEN_FILES = 4

_KINDS = ".npy, .npz (one array), .pt (one tensor) or a folder of .npy files"


class DataSet:
    """The first ``limit`` rows of all arrays of a file or a folder, as ``Samples``: read when they are sliced.

    Few files are open at a time, and those beyond the limit never. ``check(path, array)`` refuses arrays of
    the wrong sort. InputError where a file cannot be read, where the files of a folder do not match, and where a slice
    has a value that is NaN or infinite, with its file and its sample.
    """

    def __init__(self, path: Path, check: Callable[[Path, Array], None], limit: int | None = None) -> None:
        self._files = _files_of(path)
        self._lock = threading.Lock()
        self._open: dict[Path, Array] = {}
        self._ends = [0]  # of every file, behind that of none
        shapes, dtypes = [], []
        for file in self._files:
            array = self._array(file)
            check(file, array)
            self._ends.append(self._ends[-1] + len(array))
            shapes.append(array.shape[1:])
            dtypes.append(array.dtype)
            self._check_alike(file, shapes, dtypes)
            if limit is not None and self._ends[-1] >= limit:
                break
        count = self._ends[-1] if limit is None else min(limit, self._ends[-1])
        self.shape: Shape = (count, *shapes[0])
        self.dtype: np.dtype[Any] = np.result_type(*dtypes)

    def _check_alike(self, file: Path, shapes: list[Shape], dtypes: list[np.dtype[Any]]) -> None:
        first = self._files[0].name
        if shapes[-1] != shapes[0]:
            raise InputError(
                f"{file}: its samples have shape {shapes[-1]}, those of {first} {shapes[0]}; "
                "give files whose samples have one shape"
            )
        # whole numbers beside fractions are most likely pixels up to 255 beside pixels up to 1
        if (dtypes[-1].kind == "f") != (dtypes[0].kind == "f"):
            raise InputError(
                f"{file}: its dtype is {dtypes[-1]}, that of {first} {dtypes[0]}; "
                "give all files whole numbers or all of them floating-point numbers"
            )

    def _array(self, file: Path) -> Array:
        with self._lock:  # engines slice from several threads
            if file not in self._open:
                while len(self._open) >= _OPEN_FILES:
                    del self._open[next(iter(self._open))]
                self._open[file] = _load(file)
            return self._open[file]

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, span: slice, /) -> Array:
        start, stop, step = span.indices(len(self))
        if step != 1:
            raise IndexError(f"a slice of step {step}; a data set gives neighbours alone")
        parts: list[Array] = []
        while start < stop:
            index = bisect_right(self._ends, start) - 1
            end = min(stop, self._ends[index + 1])
            parts.append(self._part(index, start - self._ends[index], end - self._ends[index]))
            start = end
        if not parts:
            return np.empty((0, *self.shape[1:]), self.dtype)
        whole = parts[0] if len(parts) == 1 else np.concatenate(parts)
        return whole.astype(self.dtype, copy=False)

    def __array__(self, dtype: np.dtype[Any] | None = None, copy: bool | None = None) -> Array:
        """All of it in memory, for whoever needs that."""
        return np.array(self[:], dtype, copy=copy)

    def _part(self, index: int, start: int, stop: int) -> Array:
        file = self._files[index]
        array = self._array(file)
        if array.shape != (self._ends[index + 1] - self._ends[index], *self.shape[1:]):
            raise InputError(f"{file}: its shape has become {array.shape}; let no one write to it, and run again")
        part: Array = np.asarray(array[start:stop])
        if part.dtype.kind == "f":
            finite = np.isfinite(part)
            if not finite.all():
                bad = (~finite).reshape(len(part), -1).sum(axis=1)
                worst = int(np.flatnonzero(bad)[0])
                raise InputError(
                    f"{file}: sample {start + worst} (the first is 0) has {bad[worst]} NaN or infinite values; "
                    "repair the data"
                )
        return part


def load_samples(path: Path, limit: int | None = None) -> DataSet:
    """The first ``limit`` samples of a file or a folder, (N, ...). InputError where it is not an array of numbers."""
    return DataSet(path, _check_samples, limit)


def load_labels(path: Path, count: int) -> Array:
    """The labels of the first ``count`` samples: integers (count,)."""
    labels = DataSet(path, _check_labels, count)
    if len(labels) < count:
        raise InputError(
            f"{path}: {len(labels)} labels for {count} samples; give a label for each, or a smaller --limit"
        )
    return labels[:]


def _check_samples(path: Path, array: Array) -> None:
    if array.dtype.kind not in "biuf":
        raise InputError(f"{path}: its dtype is {array.dtype}; give real or integer numbers")
    if array.ndim < 2:
        raise InputError(
            f"{path}: its shape is {array.shape}; give a batch (N, features) or (N, channels, height, width)"
        )
    if not len(array):
        raise InputError(f"{path}: it has no samples (shape {array.shape}); give at least one")


def _check_labels(path: Path, array: Array) -> None:
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise InputError(
            f"{path}: labels have shape {array.shape} and dtype {array.dtype}; give integers of shape (N,)"
        )


def _files_of(path: Path) -> list[Path]:
    """The file itself, or the files of a folder in their order."""
    if not path.is_dir():
        return [path]
    files = [file for file in path.iterdir() if not file.name.startswith(".")]
    for file in sorted(files):
        if file.suffix != ".npy" or file.is_dir():
            raise InputError(f"{path}: {file.name!r} in it is no .npy file; a folder of samples holds .npy files alone")
    if not files:
        raise InputError(f"{path}: is an empty folder; give {_KINDS}")
    return sorted(files, key=_natural_order)


def _natural_order(file: Path) -> tuple[list[str | int], str]:
    """By the text and the numbers that alternate in a name; by the name itself where those are equal."""
    pieces = re.split("([0-9]+)", file.name)
    return [int(piece) if index % 2 else piece for index, piece in enumerate(pieces)], file.name


def _load(path: Path) -> Array:
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
