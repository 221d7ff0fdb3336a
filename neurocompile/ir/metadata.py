"""A whole graph as the metadata of another tool's file, beside what that file says of the network in its own terms.

Exporters write it and importers read it, so that nothing is lost on the way out and back. The file's own terms come
first: a fingerprint of them stands in the metadata, and where another tool has changed them since, the metadata are
refused, because nobody knows any more which of the two is meant.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from neurocompile.errors import GraphError, InputError
from neurocompile.ir.graph import Graph
from neurocompile.ir.nodes import Array
from neurocompile.ir.saved import from_plain, to_plain
from neurocompile.ir.verify import verify

KEY = "neurocompile"
VERSION = 1


def to_metadata(graph: Graph, stated: Iterable[str], fingerprint: str) -> dict[str, Any]:
    """``graph`` as nested dictionaries of text, numbers and arrays: ``arrays`` by node and field, but for those
    ``node/field`` that are ``stated`` by the file itself, under the same node and field."""
    structure, arrays = to_plain(graph)
    kept: dict[str, dict[str, Any]] = {}
    for key in sorted(arrays.keys() - set(stated)):
        node, _, field = key.rpartition("/")
        # an array without axes is a NumPy scalar here: such files hold numbers, or arrays with axes
        kept.setdefault(node, {})[field] = arrays[key][()]
    return {
        "version": VERSION,
        "fingerprint": fingerprint,
        "hash": graph.hash,
        "structure": json.dumps(structure, sort_keys=True),
        "arrays": kept,
    }


def from_metadata(metadata: object, stated: Mapping[str, Array], fingerprint: str) -> Graph:
    """The graph again, verified. ``stated``: the file's own arrays, as ``node/field``; ``fingerprint``: of the file as
    it is now. InputError where the metadata are not what ``to_metadata`` wrote: they may come from anywhere."""
    if not isinstance(metadata, Mapping):
        raise InputError(f"metadata {KEY!r} is a {type(metadata).__name__}; export the network again")
    if metadata.get("version") != VERSION:
        raise InputError(
            f"metadata {KEY!r} has version {metadata.get('version')!s:.40}, this neurocompile reads {VERSION}; use the "
            "neurocompile that wrote the file, or export the network again"
        )
    if metadata.get("fingerprint") != fingerprint:
        raise InputError(
            f"the network was changed after neurocompile wrote it, so its metadata {KEY!r} no longer describe it; "
            "export it again, or remove these metadata to import it without them"
        )
    structure = metadata.get("structure")
    try:
        plain = json.loads(structure) if isinstance(structure, str) else None
    except (ValueError, RecursionError):
        plain = None
    if not isinstance(plain, dict):
        raise InputError(f"metadata {KEY!r} hold no structure in JSON; export the network again")
    graph = from_plain(plain, {**stated, **_arrays(metadata.get("arrays", {}))})
    if graph.hash != metadata.get("hash"):
        raise InputError(f"metadata {KEY!r} are not what their hash says; export the network again")
    try:
        verify(graph)
    except GraphError as error:
        raise InputError(f"metadata {KEY!r}: {error}") from None
    return graph


def _arrays(kept: object) -> dict[str, Array]:
    arrays = {}
    for node, fields in kept.items() if isinstance(kept, Mapping) else ():
        for field, value in fields.items() if isinstance(fields, Mapping) else ():
            if isinstance(value, (np.ndarray, np.generic)):
                arrays[f"{node}/{field}"] = np.asarray(value)
    return arrays


def fingerprint(plain: object) -> str:
    """sha256 of nested plain data, however a file may turn its tuples, lists and numbers into arrays. What is None or
    named ``metadata`` does not count, and neither does the order of keys."""
    digest = hashlib.sha256()
    _feed(digest, plain)
    return digest.hexdigest()


def _feed(digest: Any, value: object) -> None:
    if isinstance(value, Mapping):
        for key in sorted(value):
            if key != "metadata" and value[key] is not None:
                digest.update(f"{len(key)}:{key}{{".encode())
                _feed(digest, value[key])
                digest.update(b"}")
        return
    if isinstance(value, str):
        digest.update(f"text {value}".encode())
        return
    array = np.asarray(value)
    if array.dtype.kind in "SUO":
        digest.update("".join(f"{len(each)}:{each}" for each in map(str, array.ravel())).encode())
        return
    digest.update(f"{array.dtype}{array.shape}".encode())
    digest.update(array.tobytes())
