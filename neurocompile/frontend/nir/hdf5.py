"""A NIR file as plain data: nested dictionaries of text and arrays, as the file's groups and datasets are nested.

A file may come from anywhere. Only its own datasets are read: links that lead elsewhere, within the file or out of it,
are refused, and so are arrays larger than what the file has bytes for.
"""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from neurocompile.errors import InputError

if TYPE_CHECKING:
    import h5py

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
#: deflate, the densest filter that NIR files use, makes at most so many bytes of one
_MOST_PER_BYTE = 1032
#: what the header of a dataset may hold besides
_SLACK_BYTES = 65536
_DEEPEST = 64
_LONGEST_TEXT = 1 << 28


def is_nir(path: Path) -> bool:
    """Whether the file is NIR, by its content. InputError where it is HDF5 and h5py, which could look, is missing."""
    try:
        with path.open("rb") as file:
            if file.read(len(_SIGNATURE)) != _SIGNATURE:
                return False
    except OSError:
        return False
    _h5py(path)
    with contextlib.suppress(InputError), _opened(path) as file:
        return "version" in file and "node" in file and "type" in file["node"]
    return False


def read_plain(path: Path) -> dict[str, Any]:
    """The root node of a NIR file. InputError where it is none, or not to be trusted."""
    with _opened(path) as file:
        if "node" not in file or "version" not in file:
            raise InputError(f"{path} is HDF5 but not NIR: it has no groups 'node' and 'version'; give a NIR file")
        node = _read(file, "node", path, set(), 0)
    if not isinstance(node, dict):
        raise InputError(f"{path}: /node must be a group; the file is damaged, write it again")
    return node


def _h5py(path: Path) -> Any:
    try:
        import h5py
    except ImportError:
        raise InputError(
            f"{path} is HDF5, which needs h5py to be read; pip install h5py (pip install nir brings it)"
        ) from None
    return h5py


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[h5py.File]:
    h5py = _h5py(path)
    with path.open("rb"):  # the system's own words for a file that is missing or may not be read
        pass
    try:
        with h5py.File(path, "r") as file:
            yield file
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, AttributeError, MemoryError) as error:
        told = " ".join(str(error).split())
        raise InputError(f"{path} is no readable HDF5 file ({told:.120}); write it again") from error


def _read(parent: h5py.Group, key: str, path: Path, seen: set[int], depth: int) -> Any:
    """What ``key`` of ``parent`` holds: groups as dictionaries."""
    found = _own(parent, key, path, seen)
    if not isinstance(found, _h5py(path).Group):
        return _values(found, f"{path}: {parent.name}/{key}", path)
    if depth > _DEEPEST:
        raise InputError(f"{path}: {found.name:.80}… is nested deeper than {_DEEPEST} groups; flatten the network")
    return {name: _read(found, name, path, seen, depth + 1) for name in found}


def _own(parent: h5py.Group, key: str, path: Path, seen: set[int]) -> Any:
    """What ``key`` of ``parent`` names, which must be there itself, once."""
    h5py = _h5py(path)
    if not isinstance(parent.get(key, getlink=True), h5py.HardLink):
        raise InputError(f"{path}: {parent.name}/{key} is a link to elsewhere; write the file without links")
    found = parent[key]
    address = int(h5py.h5o.get_info(found.id).addr)
    if address in seen:
        raise InputError(f"{path}: {parent.name}/{key} stands in the file twice; write the file without links")
    seen.add(address)
    return found


def _values(dataset: Any, where: str, path: Path) -> Any:
    """Text as str, everything else as arrays or NumPy's scalars."""
    h5py = _h5py(path)
    if not isinstance(dataset, h5py.Dataset) or dataset.shape is None:
        raise InputError(f"{where} must be an array; the file is damaged, write it again")
    if dataset.is_virtual or dataset.external:
        raise InputError(f"{where} keeps its values in other files; write them into this one")
    held = path.stat().st_size if dataset.id.get_create_plist().get_layout() == h5py.h5d.COMPACT else 0
    limit = max(held, dataset.id.get_storage_size()) * _MOST_PER_BYTE + _SLACK_BYTES
    if dataset.nbytes > limit:
        raise InputError(
            f"{where} claims {dataset.nbytes:,} bytes, but the file has what makes {limit:,} at most; write it again"
        )
    text = h5py.check_string_dtype(dataset.dtype)
    if text is None:
        if dataset.dtype.kind not in "biuf":
            raise InputError(f"{where} has dtype {dataset.dtype}; it must be numbers or text, write it again")
        return dataset[()]
    if dataset.size > _LONGEST_TEXT // 16:
        raise InputError(f"{where} holds {dataset.size:,} texts; write fewer")
    if text.length is None and not texts_are_whole(dataset, path):
        raise InputError(f"{where} holds text that is damaged; write it again")
    values = dataset.asstr()[()]
    return values if isinstance(values, str) else np.asarray(values, dtype=object)


def texts_are_whole(dataset: Any, path: Path) -> bool:
    """Whether every text of ``dataset`` is where it says. HDF5's own library runs without end where it is not.

    A text is a reference (length, address of a heap, number in it); a heap is a row of objects, each with a header
    (number, uses, nothing, size) and padded to 8 bytes; that of number 0 is the free space at its end. (HDF5 File
    Format Specification, III.E: Global Heap.)
    """
    start = dataset.id.get_offset()
    if start is None or dataset.file.id.get_create_plist().get_sizes() != (8, 8):
        return False  # nobody writes names in chunks, or with addresses of another size
    heaps: dict[int, dict[int, int]] = {}
    with path.open("rb") as file:
        file.seek(start)
        table = file.read(16 * dataset.size)
        if len(table) < 16 * dataset.size:
            return False
        for length, address, number in struct.iter_unpack("<IQI", table):
            if length and address not in heaps:
                heaps[address] = _heap(file, address, path.stat().st_size)
            if length and heaps[address].get(number, 0) < length:
                return False
    return True


def _heap(file: BinaryIO, address: int, end: int) -> dict[int, int]:
    """The sizes of a heap's objects by number; none where it is damaged."""
    if address + 16 > end:
        return {}
    file.seek(address)
    signature, version, size = struct.unpack("<4sB3xQ", file.read(16))
    if signature != b"GCOL" or version != 1 or not 16 <= size <= end - address:
        return {}
    sizes: dict[int, int] = {}
    heap, place = file.read(size - 16), 0
    while place + 16 <= len(heap):
        number, held = struct.unpack_from("<H6xQ", heap, place)
        if number == 0:
            return sizes if place + held == len(heap) else {}
        sizes[number] = held
        place += 16 + (held + 7) // 8 * 8
    return sizes if place <= len(heap) else {}
