"""The saved form of a graph: a plain JSON structure, and named arrays (for safetensors). No pickle."""

from __future__ import annotations

import dataclasses
import sys
import types
import typing
from collections.abc import Mapping
from typing import Any, get_args, get_origin

import numpy as np

from neurocompile.errors import GraphError, InputError
from neurocompile.ir.graph import STAGES, Graph
from neurocompile.ir.nodes import KINDS, Array, FixedPoint, Node


def to_plain(graph: Graph) -> tuple[dict[str, Any], dict[str, Array]]:
    """(structure, arrays): arrays are named ``node/field``."""
    arrays: dict[str, Array] = {}
    nodes = []
    for name, node in graph.items():
        fields: dict[str, Any] = {}
        for field in dataclasses.fields(node):
            value = getattr(node, field.name)
            if isinstance(value, np.ndarray):
                arrays[f"{name}/{field.name}"] = np.ascontiguousarray(value).reshape(value.shape)
                fields[field.name] = {"array": f"{name}/{field.name}"}
            elif isinstance(value, FixedPoint):
                fields[field.name] = dataclasses.asdict(value)
            else:
                fields[field.name] = list(value) if isinstance(value, tuple) else value
        nodes.append({"name": name, "kind": node.kind, "inputs": list(graph.inputs(name)), "fields": fields})
    structure = {
        "name": graph.name,
        "stage": graph.stage,
        "timesteps": graph.timesteps,
        "outputs": list(graph.outputs),
        "nodes": nodes,
    }
    return structure, arrays


def from_plain(structure: Mapping[str, Any], arrays: Mapping[str, Array]) -> Graph:
    """The graph again. InputError where the structure is not what ``to_plain`` writes: it may come from anywhere."""
    name = _take(structure, "name", str, "graph")
    stage = _take(structure, "stage", str, "graph")
    if stage not in STAGES:
        raise InputError(f"graph.stage is {stage!r}; it must be one of {', '.join(STAGES)}")
    nodes = []
    for index, entry in enumerate(_take(structure, "nodes", list, "graph")):
        where = f"graph.nodes[{index}]"
        node_name = _take(entry, "name", str, where)
        if not node_name.isprintable():
            raise InputError(f"{where}: name {node_name!r:.60} is not printable text; build the file again")
        nodes.append((node_name, _node(entry, arrays, where), _names(_take(entry, "inputs", list, where), where)))
    outputs = _names(_take(structure, "outputs", list, "graph"), "graph.outputs")
    timesteps = _take(structure, "timesteps", int, "graph")
    try:
        return Graph(name, stage, timesteps, nodes, outputs)
    except GraphError as error:
        raise InputError(f"{error}; the file is damaged, build it again") from None


def _take(entry: object, key: str, kind: type, where: str) -> Any:
    if not isinstance(entry, Mapping) or key not in entry:
        raise InputError(f"{where}: key {key!r} is missing; the file is damaged, build it again")
    value = entry[key]
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise InputError(f"{where}.{key} is {value!r:.60}; it must be {kind.__name__}, build the file again")
    return value


def _names(values: list[Any], where: str) -> tuple[str, ...]:
    if not all(isinstance(value, str) for value in values):
        raise InputError(f"{where}: names must be strings; the file is damaged, build it again")
    return tuple(values)


def _node(entry: Mapping[str, Any], arrays: Mapping[str, Array], where: str) -> Node:
    kind = KINDS.get(_take(entry, "kind", str, where))
    if kind is None:
        raise InputError(f"{where}: kind {entry['kind']!r} is unknown to this version of neurocompile; upgrade it")
    given = _take(entry, "fields", dict, where)
    hints = typing.get_type_hints(kind)
    known = {field.name for field in dataclasses.fields(kind)}
    if unknown := set(given) - known:
        raise InputError(f"{where}: {kind.__name__} has no field {sorted(unknown)[0]!r}; upgrade neurocompile")
    fields = {name: _value(value, hints[name], arrays, f"{where}.{name}") for name, value in given.items()}
    try:
        return kind(**fields)
    except (TypeError, GraphError) as error:
        raise InputError(f"{where}: {error}") from None


def _value(value: Any, hint: Any, arrays: Mapping[str, Array], where: str) -> Any:
    """``value`` as a field of type ``hint``."""
    if isinstance(hint, types.UnionType):
        options = get_args(hint)
        if value is None and type(None) in options:
            return None
        (hint,) = (option for option in options if option is not type(None))
    wrong = InputError(f"{where} is {value!r:.60}; the file is damaged, build it again")
    if hint == Array:
        key = value.get("array") if isinstance(value, dict) else None
        if not isinstance(key, str) or key not in arrays:
            raise wrong
        return arrays[key]
    if hint is FixedPoint:
        known = typing.get_type_hints(FixedPoint)
        if not isinstance(value, dict) or set(value) != set(known):
            raise wrong
        fields = {name: _value(value[name], known[name], arrays, f"{where}.{name}") for name in known}
        try:
            return FixedPoint(**fields)
        except GraphError as error:
            raise InputError(f"{where}: {error}") from None
    if get_origin(hint) is tuple:
        if not isinstance(value, list) or not all(type(item) is int for item in value):
            raise wrong
        return tuple(value)
    if get_origin(hint) is typing.Literal:
        if value not in get_args(hint):
            raise wrong
        return value
    if hint is float and type(value) in (int, float) and abs(value) <= sys.float_info.max:
        return float(value)
    if type(value) is not hint:
        raise wrong
    return value
