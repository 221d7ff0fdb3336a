"""Small NIR networks, as the plain data that files hold; no package ``nir`` is needed."""

from __future__ import annotations

import itertools
from types import SimpleNamespace
from typing import Any

import numpy as np

from neurocompile.frontend.nir import read_nir
from neurocompile.ir.graph import Graph

#: seconds, a power of two
DT = 2.0**-10


def node(kind: str, **fields: Any) -> dict[str, Any]:
    return {"type": kind, **{name: np.asarray(v) if isinstance(v, (list, float)) else v for name, v in fields.items()}}


def full(value: float, count: int) -> np.ndarray[Any, Any]:
    return np.full(count, value)


def source(*shape: int) -> dict[str, Any]:
    return node("Input", shape=np.array(shape))


def sink() -> dict[str, Any]:
    return node("Output", shape=None)


def network(nodes: dict[str, Any], edges: list[tuple[str, str]], **metadata: Any) -> Any:
    """What ``read_nir`` takes for a graph in memory; its metadata state ``dt`` unless told otherwise."""
    return SimpleNamespace(to_dict=lambda: graph(nodes, edges) | {"metadata": {"dt": DT} | metadata})


def graph(nodes: dict[str, Any], edges: list[tuple[str, str]]) -> dict[str, Any]:
    return {"type": "NIRGraph", "nodes": nodes, "edges": edges}


def chain(*parts: dict[str, Any], shape: tuple[int, ...]) -> Any:
    """input -> 0 -> 1 -> … -> output."""
    names = ["input", *map(str, range(len(parts))), "output"]
    nodes = dict(zip(names, (source(*shape), *parts, sink()), strict=True))
    return network(nodes, list(itertools.pairwise(names)))


def read(given: Any, timesteps: int = 6, **options: Any) -> Graph:
    return read_nir(given, timesteps=timesteps, **options)[0]


def notes(given: Any, timesteps: int = 6, **options: Any) -> str:
    return "\n".join(read_nir(given, timesteps=timesteps, **options)[1])


def lif(count: int, **fields: Any) -> dict[str, Any]:
    plain = {"tau": 2 * DT, "r": 2.0, "v_leak": 0.0, "v_threshold": 1.0, "v_reset": 0.0}
    return node("LIF", **{name: full(value, count) for name, value in plain.items()} | fields)
