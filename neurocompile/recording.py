"""What is kept of a run that may be longer than memory: a digest of its arrays, and all its events where asked for."""

from __future__ import annotations

import hashlib
import math
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from typing import IO, Any

import numpy as np

from neurocompile.ir.bounds import sent_range
from neurocompile.ir.graph import Graph
from neurocompile.ir.nodes import Array, Shape

_NARROWEST: tuple[type[np.integer[Any]], ...] = (
    np.uint8, np.int8, np.uint16, np.int16, np.uint32, np.int32, np.int64
)  # fmt: skip
_DEFLATE_LEVEL = 1  # on spikes 8 times as fast as zlib's own choice, for files half as large again

Span = tuple[int, int]
_BINARY: Span = (0, 1)
_SIGNED: Span = (-1, 1)


class ArrayHash:
    """A digest of named integer arrays (N, ...) that come in batches: the same however they are cut, and whatever their
    dtypes are.

    Per array, three streams are hashed: which values are not 0 and which are neither 0 nor 1 (a bit each, the rows
    padded to bytes), and the latter as int64. A spike so takes two bits; to hash 64 takes as long as a fast engine
    takes to compute them. Channels come last within a row, as such engines have them.
    """

    def __init__(self) -> None:
        self._streams: dict[str, tuple[Any, Any, Any]] = {}

    def update(self, arrays: Mapping[str, Array]) -> None:
        for name, array in arrays.items():
            if name not in self._streams:
                self._streams[name] = (hashlib.sha256(), hashlib.sha256(), hashlib.sha256())
            some, more, values = self._streams[name]
            rows = _rows(array)
            others = (rows < 0) | (rows > 1)
            some.update(np.packbits(rows != 0, axis=1))
            more.update(np.packbits(others, axis=1))
            values.update(rows[others].astype(np.int64))

    def hexdigest(self) -> str:
        """sha256 over the names, in their order, and their streams' digests."""
        digest = hashlib.sha256()
        for name in sorted(self._streams):
            digest.update(name.encode())
            for stream in self._streams[name]:
                digest.update(stream.digest())
        return digest.hexdigest()


def _rows(array: Array) -> Array:
    """(N, T, C, H, W) -> (N, T*H*W*C); any other (N, ...) as it is, flat."""
    return (np.moveaxis(array, 2, -1) if array.ndim == 5 else array).reshape(len(array), -1)


def hash_arrays(arrays: Mapping[str, Array]) -> str:
    """The ``ArrayHash`` of whole arrays."""
    digest = ArrayHash()
    digest.update(arrays)
    return digest.hexdigest()


class Recording(Mapping[str, Array]):
    """All events of a run, packed: a bit per neuron and step for binary spikes, two for signed ones, the narrowest
    integer for graded ones and analog input.

    A mapping from every encoder and spiking soma of ``graph`` to what it sent, (N, T, *shape) in the narrowest dtype
    for its range: uint8 for binary spikes, int8 for signed ones. Asking for one unpacks it, whole.
    """

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._batches: dict[str, list[tuple[int, tuple[Array, ...]]]] = {}

    def add(self, events: Mapping[str, Array]) -> None:
        """Append a batch: the events of the same senders every time."""
        for name, values in events.items():
            packed = _pack(values, sent_range(self._graph, name))
            self._batches.setdefault(name, []).append((len(values), packed))

    @property
    def nbytes(self) -> int:
        """What all of it takes, packed."""
        return sum(part.nbytes for batches in self._batches.values() for _, parts in batches for part in parts)

    def shape(self, name: str) -> Shape:
        samples = sum(count for count, _ in self._batches[name])
        return (samples, self._graph.timesteps, *self._graph.shape(name))

    def dtype(self, name: str) -> np.dtype[Any]:
        return _narrowest(sent_range(self._graph, name))

    def batches(self, name: str) -> Iterator[Array]:
        """What ``name`` sent, batch by batch: only one is unpacked at a time."""
        span, (_, *row) = sent_range(self._graph, name), self.shape(name)
        return (_unpack(packed, (count, *row), span) for count, packed in self._batches[name])

    def __getitem__(self, name: str) -> Array:
        return np.concatenate(list(self.batches(name)))

    def __iter__(self) -> Iterator[str]:
        return iter(self._batches)

    def __len__(self) -> int:
        return len(self._batches)


def _narrowest(span: Span) -> np.dtype[Any]:
    low, high = span
    return next(np.dtype(kind) for kind in _NARROWEST if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max)


def _pack(values: Array, span: Span) -> tuple[Array, ...]:
    """Values (N, ...) as planes of bits, a row per sample, or as a narrow copy."""
    rows = values.reshape(len(values), -1)
    if span == _BINARY:
        return (np.packbits(rows != 0, axis=1),)
    if span == _SIGNED:
        return np.packbits(rows > 0, axis=1), np.packbits(rows < 0, axis=1)
    return (values.astype(_narrowest(span)),)


def _unpack(packed: tuple[Array, ...], shape: Shape, span: Span) -> Array:
    if span not in (_BINARY, _SIGNED):
        return packed[0]
    dtype, size = _narrowest(span), math.prod(shape[1:])
    up, *down = (np.unpackbits(plane, axis=1, count=size).view(dtype).reshape(shape) for plane in packed)
    return up - down[0] if down else up


def write_npz(file: IO[bytes], outputs: Mapping[str, Array], events: Recording) -> None:
    """A .npz archive for ``numpy.load``: ``outputs/NAME`` (N, *shape) and ``events/NAME`` (N, T, *shape), in the dtypes
    that they have here. Only one batch of events is unpacked at a time."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=_DEFLATE_LEVEL) as archive:
        for name, array in outputs.items():
            _write_member(archive, f"outputs/{name}", array.shape, array.dtype, (array,))
        for name in events:
            _write_member(archive, f"events/{name}", events.shape(name), events.dtype(name), events.batches(name))


def _write_member(
    archive: zipfile.ZipFile, name: str, shape: Shape, dtype: np.dtype[Any], batches: Iterable[Array]
) -> None:
    descr = np.lib.format.dtype_to_descr(dtype)
    with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
        np.lib.format.write_array_header_1_0(member, {"descr": descr, "fortran_order": False, "shape": shape})
        for batch in batches:
            member.write(np.ascontiguousarray(batch).data)
