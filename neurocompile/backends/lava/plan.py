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
from neurocompile.ir.bounds import projection_range, sent_range
from neurocompile.ir.graph import Graph
from neurocompile.ir.nodes import ENCODERS, Readout, Soma, SumPool2d
from neurocompile.ir.populations import Population, Projection, populations

#: Source, Projection, Population, Readout and Recorder are ours (``processes/``), the others Lava's
Kind = Literal["Source", "Projection", "Dense", "Population", "LIFReset", "Readout", "Recorder"]

_STOCK = ("Dense", "LIFReset")
_PORT = 1 << 31  # what a port's values stay below
_FLOAT32 = 1 << 24  # up to here float32 holds every integer


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
    """``lead``: the steps that the last population waits for the first sample."""

    blocks: tuple[Block, ...]
    lead: int

    def __str__(self) -> str:
        rows = [(block.name, block.kind, ", ".join(block.reads), block.note) for block in self.blocks]
        widths = [max(len(row[column]) for row in rows) for column in range(3)]
        lines = ["  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[3]]) for row in rows]
        return "\n".join(line.rstrip() for line in lines)


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
        peak = 0
        for projection in population.projections:
            block, reach = _projection(graph, projection, use_stock)
            blocks[block.name] = block
            peak += reach
        if peak >= _PORT:
            raise CapacityError(
                f"{population.name}: its input may reach {peak}, but Lava's ports carry 32 bits; use fewer weight bits"
            )
        for block in _soma(graph, population, peak, use_stock):
            blocks[block.name] = block
    return Plan(tuple(blocks.values()), max(population.soma.phase for population in populations(graph)))


def _projection(graph: Graph, projection: Projection, use_stock: bool) -> tuple[Block, int]:
    """The block, and the largest magnitude that it sends. Somas that read one chain share its block."""
    name = projection.names[-1]  # two chains never end in one node
    low, high = projection_range(graph, projection)
    peak = max(-int(low.min()), int(high.max()))
    sent = sent_range(graph, projection.source)
    settings = stock.dense(projection, *sent, peak) if use_stock else "stock processes are switched off"
    if isinstance(settings, dict):
        return Block(name, "Dense", name, (projection.source,), settings), peak
    inside = max(-sent[0], sent[1])
    for node in projection.operators:
        if isinstance(node, SumPool2d):
            inside *= math.prod(node.kernel)
    number = np.float32 if max(peak, inside) < _FLOAT32 else np.float64
    own = {"projection": projection, "size": low.size, "number": number}
    note = f"{number.__name__}, delay {projection.steps}; not Dense: {settings}"
    return Block(name, "Projection", name, (projection.source,), own, note), peak


def _soma(graph: Graph, population: Population, peak: int, use_stock: bool) -> list[Block]:
    soma, name = population.soma, population.name
    reads = tuple(projection.names[-1] for projection in population.projections)
    when = {"size": population.neurons, "phase": soma.phase, "timesteps": graph.timesteps}
    own = {"soma": soma, "shape": population.shape, **when}
    if isinstance(soma, Readout):
        return [Block(name, "Readout", name, reads, own)]
    settings: stock.Settings | str = "stock processes are switched off"
    if use_stock:
        settings = stock.lif(soma, population.shape, peak, graph.timesteps)
    if isinstance(settings, str):
        return [Block(name, "Population", name, reads, own, f"not LIFReset: {settings}")]
    return [
        Block(name, "LIFReset", name, reads, {"shape": (population.neurons,), **settings}),
        Block(f"{name}.spikes", "Recorder", name, (name,), when, "a LIFReset keeps no record"),
    ]


def is_stock(block: Block) -> bool:
    """Whether Lava ships the block's process."""
    return block.kind in _STOCK
