"""NIR's plain data as one flat network: its nodes by name, and what each of them reads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from neurocompile.errors import InputError

#: a node of a subgraph that only passes on what it reads
THROUGH = "Through"


@dataclass(frozen=True)
class Part:
    """One node: its type in NIR, and its fields as arrays, numbers and text."""

    kind: str
    fields: Mapping[str, Any]


@dataclass
class Network:
    """``parts`` by name, those of a subgraph as ``sub.node``. ``edges``: (source, target), each once."""

    parts: dict[str, Part] = field(default_factory=dict)
    edges: list[tuple[str, str]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def sources(self) -> dict[str, tuple[str, ...]]:
        """What every part reads, in order of names; what is read twice stands twice. Subgraphs' ends are no parts
        here: their readers read what they read."""
        direct: dict[str, list[str]] = {name: [] for name in self.parts}
        for source, target in sorted(set(self.edges)):
            direct[target].append(source)
        return {
            name: tuple(sorted(self._behind(name, direct, ())))
            for name, part in self.parts.items()
            if part.kind != THROUGH
        }

    def _behind(self, name: str, direct: Mapping[str, list[str]], above: tuple[str, ...]) -> Iterator[str]:
        for source in direct[name]:
            if source in above:
                raise InputError(f"{source}: this end of a subgraph reads itself; put a node between")
            if self.parts[source].kind == THROUGH:
                yield from self._behind(source, direct, (*above, source))
            else:
                yield source


def flatten(plain: Mapping[str, Any]) -> Network:
    """The network of a root node. InputError where the data are not those of a NIR graph."""
    if plain.get("type") != "NIRGraph":
        raise InputError(f"the root of a NIR file must be a NIRGraph, it is {plain.get('type')!r:.40}; wrap it in one")
    network = Network()
    _collect(plain, "", network)
    return network


def _collect(graph: Mapping[str, Any], prefix: str, network: Network) -> None:
    nodes = graph.get("nodes")
    if not isinstance(nodes, Mapping):
        raise InputError(f"{prefix or 'the root'}: a NIRGraph must have nodes; the file is damaged, write it again")
    inner = {}
    for name in sorted(nodes):
        node, path = nodes[name], f"{prefix}{name}"
        if not isinstance(node, Mapping) or not isinstance(node.get("type"), str):
            raise InputError(f"{path:.80}: a node must have a type; the file is damaged, write it again")
        if not path.isprintable() or not path:
            raise InputError(f"node {path!r:.80}: its name is not printable text; rename it")
        if path in network.parts:
            raise InputError(f"two nodes are named {path!r} once subgraphs are flattened; rename one")
        if node["type"] == "NIRGraph":
            _collect(node, f"{path}.", network)
            inner[name] = node["nodes"]
            continue
        kind = THROUGH if prefix and node["type"] in ("Input", "Output") else node["type"]
        network.parts[path] = Part(kind, {key: value for key, value in node.items() if key not in ("type", "metadata")})
    for source, target in edges_of(graph, prefix):
        ends = []
        for name, kind in ((source, "Output"), (target, "Input")):
            if name not in nodes:
                raise InputError(f"edge {source} -> {target}: {prefix}{name} is not a node; add it or remove the edge")
            if name in inner:
                doors = [each for each in sorted(inner[name]) if inner[name][each].get("type") == kind]
                if len(doors) != 1:
                    network.problems.append(
                        f"{prefix}{name} (NIRGraph): it has {len(doors)} nodes of type {kind}, and an edge cannot say "
                        "which; give it one, or put its nodes into the graph around it"
                    )
                    break
                name = f"{name}.{doors[0]}"
            ends.append(f"{prefix}{name}")
        else:
            network.edges.append((ends[0], ends[1]))


def edges_of(graph: Mapping[str, Any], where: str = "") -> list[tuple[str, str]]:
    """The edges of a NIRGraph as pairs of names, in order of names."""
    edges = graph.get("edges")
    table = np.asarray([] if edges is None else edges, dtype=object)
    if not table.size:
        return []
    if table.ndim != 2 or table.shape[1] != 2 or not all(isinstance(each, str) for each in table.ravel()):
        raise InputError(f"{where or 'the root'}: edges must be pairs of names; the file is damaged, write it again")
    return sorted((source, target) for source, target in table.tolist())
