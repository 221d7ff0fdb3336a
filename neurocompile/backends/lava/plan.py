"""Which Lava processes a mapped graph becomes. A plan is a plain value: it can be printed and tested without Lava.

Every port carries one flat int32 vector, so stock processes and ours fit together without reshaping.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from neurocompile.backends.lava import stock
from neurocompile.errors import CapacityError, GraphError
from neurocompile.ir.bounds import Interval, projection_range, sent_range
from neurocompile.ir.graph import Graph
from neurocompile.ir.nodes import ENCODERS, Readout, SumPool2d
from neurocompile.ir.populations import Population, Projection, populations

#: Source, Projection, Population, Readout and Recorder are ours (``processes/``), the others Lava's
Kind = Literal["Source", "Projection", "Dense", "Population", "LIFReset", "Readout", "Recorder"]

_SWITCHED_OFF = "stock processes are switched off"
_PORT_BITS = 32  # what a port carries, sign included
_FLOAT32_BITS = 25  # whose integers float32 holds exactly, sign included


@dataclass(frozen=True)
class Block:
    """One Lava process. ``node`` is the graph's node that it stands for, ``reads`` the blocks whose output it
    receives (summed), ``settings`` what it is built with, ``note`` why it is what it is."""

    name: str
    kind: Kind
    node: str
    reads: tuple[str, ...]
    settings: Mapping[str, Any] = field(repr=False)
    note: str = ""


@dataclass(frozen=True)
class Plan:
    """The processes of a network, in order of flow."""

    blocks: tuple[Block, ...]

    def __str__(self) -> str:
        rows = [(block.name, block.kind, ", ".join(block.reads), block.note) for block in self.blocks]
        widths = [max(len(row[column]) for row in rows) for column in range(3)]
        lines = []
        for row in rows:
            cells = [cell.ljust(width) for cell, width in zip(row[:3], widths, strict=True)]
            lines.append("  ".join([*cells, row[3]]).rstrip())
        return "\n".join(lines)


def plan(graph: Graph, *, use_stock: bool = True) -> Plan:
    """The processes of a mapped graph. ``use_stock`` = False: ours throughout, to compare with.

    CapacityError where a sum does not fit the ports' 32 bits.
    """
    if graph.stage != "mapped":
        raise GraphError(f"graph {graph.name!r} is at stage {graph.stage!r}; Lava runs mapped graphs, retime it first")
    blocks = {
        name: Block(name, "Source", name, (), {"size": math.prod(graph.shape(name))})
        for name in graph.of_kind(*ENCODERS)
    }
    for population in populations(graph):
        ranges = [projection_range(graph, projection) for projection in population.projections]
        inputs = sum(ranges[1:], start=ranges[0])
        if inputs.bits > _PORT_BITS:
            raise CapacityError(
                f"{population.name}: its input needs {inputs.bits} bits, but Lava's ports carry {_PORT_BITS}; "
                "lower --bits or split the layer"
            )
        for projection, sums in zip(population.projections, ranges, strict=True):
            block = _projection(graph, projection, population.soma.phase, sums, use_stock)
            blocks[block.name] = block  # somas that read one chain share its block
        for block in _soma(graph, population, inputs, use_stock):
            blocks[block.name] = block
    return Plan(tuple(blocks.values()))


def _projection(graph: Graph, projection: Projection, phase: int, sums: Interval, use_stock: bool) -> Block:
    """``phase``: of the soma, which is the same for all that read the chain."""
    name = projection.names[-1]  # two chains never end in one node
    sent = sent_range(graph, projection.source)
    settings = stock.dense(projection, *sent, sums) if use_stock else _SWITCHED_OFF
    if isinstance(settings, dict):
        return Block(name, "Dense", name, (projection.source,), settings)
    pooled = max(-sent[0], sent[1])
    for node in projection.operators:
        if isinstance(node, SumPool2d):
            pooled *= math.prod(node.kernel)
    exact = max(sums.bits, pooled.bit_length() + 1) <= _FLOAT32_BITS
    number = np.float32 if exact else np.float64
    own = {
        "projection": projection,
        "size": sums.low.size,
        "number": number,
        "phase": phase,
        "timesteps": graph.timesteps,
    }
    delay = " to ".join(map(str, dict.fromkeys((projection.steps, projection.most_steps))))
    note = f"{number.__name__}, delay {delay}; not Dense: {settings}"
    return Block(name, "Projection", name, (projection.source,), own, note)


def _soma(graph: Graph, population: Population, inputs: Interval, use_stock: bool) -> list[Block]:
    soma, name = population.soma, population.name
    reads = tuple(projection.names[-1] for projection in population.projections)
    own = {
        "soma": soma,
        "shape": population.shape,
        "size": population.neurons,
        "phase": soma.phase,
        "timesteps": graph.timesteps,
    }
    if isinstance(soma, Readout):
        return [Block(name, "Readout", name, reads, own)]
    settings = stock.lif(population, inputs, graph.timesteps) if use_stock else _SWITCHED_OFF
    if isinstance(settings, str):
        return [Block(name, "Population", name, reads, own, f"not LIFReset: {settings}")]
    recorder = {"size": population.neurons, "phase": soma.phase}
    return [
        Block(name, "LIFReset", name, reads, {"shape": (population.neurons,), **settings}),
        Block(f"{name} spikes", "Recorder", name, (name,), recorder, "a LIFReset keeps no record"),
    ]
