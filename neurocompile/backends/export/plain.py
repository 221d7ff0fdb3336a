"""A program as one JSON file, for tools in other languages. ``docs/export.md`` describes it.

Nothing is referred to outside of the file. The same program gives the same bytes.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from neurocompile.backends.export.base import Exportable
from neurocompile.errors import InputError
from neurocompile.hardware.profile import profile_to_dict
from neurocompile.ir.graph import Graph
from neurocompile.ir.nodes import Array, Soma
from neurocompile.ir.populations import populations
from neurocompile.ir.saved import from_plain, to_plain
from neurocompile.mapping.synapses import axons_in, fan_in

FORMAT = "neurocompile.export"
VERSION = 1


def write_json(program: Exportable, path: Path) -> list[str]:
    """Write ``program`` to ``path``; there is nothing to note."""
    with path.open("w", encoding="utf-8") as file:
        json.dump(to_document(program), file, indent=1, allow_nan=False)
        file.write("\n")
    return []


def to_document(program: Exportable) -> dict[str, Any]:
    """What the file holds."""
    store = _Store()
    graphs = {
        label: store.graph(graph)
        for label, graph in (("trained", program.trained), ("integer", program.integer), ("mapped", program.mapped))
    }
    return {
        "format": FORMAT,
        "version": VERSION,
        "name": program.name,
        "timesteps": program.integer.timesteps,
        "phase_steps": program.phase_steps,
        "phases": {name: node.phase for name, node in program.mapped.items() if isinstance(node, Soma)},
        "hashes": {"trained": program.trained.hash, "integer": program.integer.hash, "mapped": program.mapped.hash},
        "graphs": graphs,
        "mapping": program.mapping.to_plain(),
        "axons": list(_axons(program)),
        "profile": profile_to_dict(program.profile),
        "arrays": store.arrays,
    }


def graph_of(document: dict[str, Any], label: str) -> Graph:
    """The graph called ``label`` of a file's content; InputError where that is not what ``to_document`` gives."""
    if document.get("format") != FORMAT or document.get("version") != VERSION:
        raise InputError(f"not {FORMAT} of version {VERSION}; export the program again")
    try:
        arrays = {name: _decoded(entry) for name, entry in document["arrays"].items()}
        structure = document["graphs"][label]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"the arrays or graph {label!r} are damaged ({error}); export the program again") from error
    return from_plain(structure, arrays)


class _Store:
    """Arrays under short names, equal ones once: the three graphs share most of theirs."""

    def __init__(self) -> None:
        self.arrays: dict[str, dict[str, Any]] = {}
        self._names: dict[tuple[str, tuple[int, ...], bytes], str] = {}

    def graph(self, graph: Graph) -> dict[str, Any]:
        structure, arrays = to_plain(graph)
        for node in structure["nodes"]:
            for value in node["fields"].values():
                if isinstance(value, dict) and "array" in value:
                    value["array"] = self._add(arrays[value["array"]])
        return structure

    def _add(self, array: Array) -> str:
        # little-endian whatever the machine, row-major
        data = array.astype(array.dtype.newbyteorder("<")).tobytes()
        name = self._names.setdefault((array.dtype.name, array.shape, data), f"a{len(self._names)}")
        if name not in self.arrays:
            text = base64.b64encode(data).decode("ascii")
            self.arrays[name] = {"dtype": array.dtype.name, "shape": list(array.shape), "base64": text}
        return name


def _decoded(entry: dict[str, Any]) -> Array:
    dtype = np.dtype(entry["dtype"])
    data = base64.b64decode(entry["base64"], validate=True)
    values = np.frombuffer(data, dtype.newbyteorder("<")).reshape(entry["shape"])
    return values.astype(dtype)


def _axons(program: Exportable) -> Iterator[dict[str, Any]]:
    """For each core slice, in the order of the mapping, the projections that reach it."""
    projections = {population.name: population.projections for population in populations(program.mapped)}
    for index, each in enumerate(program.mapping.slices):
        for projection in projections[each.population]:
            yield {
                "slice": index,
                "projection": projection.name,
                "source": projection.source,
                "steps": projection.steps,
                "most_steps": projection.most_steps,
                "axons_in": axons_in([projection], each.box),
                "synapses": int(fan_in(projection, each.box).sum()),
            }
