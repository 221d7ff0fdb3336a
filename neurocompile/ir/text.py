"""The stable text form of a graph: for goldens, for ``neurocompile inspect``, and for the graph's hash.

One line per node; arrays stand as ``dtype[shape]{min..max}#digest``, those of one value as ``dtype[shape](value)``.
"""

from __future__ import annotations

import dataclasses
import hashlib

import numpy as np

from neurocompile.ir.graph import Graph
from neurocompile.ir.nodes import Array, FixedPoint, Node


def to_text(graph: Graph) -> str:
    lines = [f"graph {graph.name} stage={graph.stage} timesteps={graph.timesteps}"]
    for name, node in graph.items():
        inputs = [f"%{source}" for source in graph.inputs(name)]
        shape = "x".join(map(str, graph.shape(name)))
        lines.append(f"  %{name} : {shape} = {node.kind}({', '.join([*inputs, *_fields(node)])})")
    lines.append(f"  return {', '.join(f'%{name}' for name in graph.outputs)}")
    return "\n".join(lines) + "\n"


def _fields(node: Node) -> list[str]:
    """Fields that differ from their default, as ``name=value``."""
    texts = []
    for field in dataclasses.fields(node):
        value = getattr(node, field.name)
        default = field.default_factory() if field.default_factory is not dataclasses.MISSING else field.default
        if isinstance(value, np.ndarray):
            if isinstance(default, np.ndarray) and np.array_equal(value, default):
                continue
            texts.append(f"{field.name}={_array(value)}")
        elif value is not None and (default is dataclasses.MISSING or value != default):
            texts.append(f"{field.name}={_value(value)}")
    return texts


def _value(value: object) -> str:
    if isinstance(value, FixedPoint):
        parts = (f"{field.name}={getattr(value, field.name)}" for field in dataclasses.fields(value))
        return f"<{' '.join(parts)}>"
    if isinstance(value, tuple):
        return "x".join(map(str, value))
    return str(value)  # a float in full: the graph's hash is of this text


def _array(array: Array) -> str:
    number = "{:.9g}".format if array.dtype.kind == "f" else str
    if array.size == 1:
        return f"{array.dtype}[{'x'.join(map(str, array.shape))}]({number(array.item())})"
    digest = hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()[:8]
    low, high = number(array.min().item()), number(array.max().item())
    return f"{array.dtype}[{'x'.join(map(str, array.shape))}]{{{low}..{high}}}#{digest}"
