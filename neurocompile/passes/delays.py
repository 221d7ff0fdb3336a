"""Delays of axons stand where spikes are sent: every ``AxonDelay`` becomes the ``Recurrent`` of its source.

An ``AxonDelay`` may stand anywhere among the linear nodes between two somas. It goes back through them to the encoder
or soma that sends, as far as that is exact: through what moves or scales single values always, through what mixes them
if all that are mixed have one delay, and never through a bias, which would begin late. A node whose values are read
both with and without a delay, or with several, is there once for each.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from neurocompile.errors import GraphError
from neurocompile.ir.graph import Graph
from neurocompile.ir.nodes import (
    ENCODERS,
    Add,
    Array,
    AvgPool2d,
    AxonDelay,
    BatchNorm,
    Concat,
    Conv2d,
    ConvTranspose2d,
    Dropout,
    Flatten,
    Identity,
    Input,
    Linear,
    MaxPool2d,
    Node,
    Recurrent,
    Reshape,
    Scale,
    Shape,
    Soma,
    SumPool2d,
    per_channel,
)
from neurocompile.passes.projections import uniform

#: a checkpoint is not trusted, and delays of sums of delays can be as many as one likes
_MOST_DELAYS = 1024
_POOLS = (AvgPool2d, SumPool2d, MaxPool2d)


@dataclass(frozen=True)
class _Demand:
    """A node is read ``delays`` steps later (int64 of its full shape), on behalf of the AxonDelay ``origin``."""

    delays: Array
    origin: str

    @property
    def key(self) -> bytes:
        return self.delays.tobytes()


@dataclass(frozen=True)
class LowerDelays:
    """GraphError, with the nodes and the remedy, where a delay cannot be moved to what sends."""

    name: ClassVar[str] = "lower_delays"

    def run(self, graph: Graph) -> Graph:
        if not graph.of_kind(AxonDelay):
            return graph
        demands = _demands(graph)
        nodes: dict[str, tuple[Node, tuple[str, ...]]] = {}
        made: dict[tuple[str, bytes], str] = {}

        def add(name: str, node: Node, inputs: tuple[str, ...]) -> str:
            unique, count = name, 2
            while unique in nodes or (unique != name and unique in graph):
                unique, count = f"{name}.{count}", count + 1
            nodes[unique] = (node, inputs)
            return unique

        for name, node in graph.items():
            for demand in demands[name]:
                if not _sends(node):
                    inputs = (
                        made[source, each.key]
                        for source, each in zip(graph.inputs(name), _pushed(graph, name, demand), strict=True)
                    )
                    end = next(inputs) if isinstance(node, AxonDelay) else add(name, node, tuple(inputs))
                elif demand.delays.any():
                    source = graph.inputs(name)[0] if isinstance(node, Recurrent) else name
                    end = add(demand.origin, _past(graph.shape(name), demand.delays, node), (source,))
                else:
                    # of a soma, which may be read before its own input is there: see below
                    end = add(name, node, graph.inputs(name))
                made[name, demand.key] = end
        for name, node in graph.items():
            if isinstance(node, Soma):
                (source,) = graph.inputs(name)
                nodes[name] = (node, (made[source, _nothing(graph.shape(source)).key],))
        triples = ((name, node, inputs) for name, (node, inputs) in nodes.items())
        return Graph(graph.name, graph.stage, graph.timesteps, triples, graph.outputs)


def _sends(node: Node) -> bool:
    """Whether delays need go no further back than to ``node``."""
    return isinstance(node, (Input, *ENCODERS, Soma, Recurrent))


def _nothing(shape: Shape) -> _Demand:
    return _Demand(np.zeros(shape, np.int64), "")


def _demands(graph: Graph) -> dict[str, list[_Demand]]:
    """Per node, with which delays it is read, none at all first."""
    demands: dict[str, dict[bytes, _Demand]] = {name: {} for name in graph}
    for name, node in reversed(list(graph.items())):
        if _sends(node) and not isinstance(node, Recurrent):
            demands[name] = {(own := _nothing(graph.shape(name))).key: own} | demands[name]
        if len(demands[name]) > _MOST_DELAYS:
            raise GraphError(
                f"{name}: it is read with {len(demands[name]):,} different delays, limit {_MOST_DELAYS:,}; put neurons "
                "between the delays"
            )
        if isinstance(node, Soma):
            (source,) = graph.inputs(name)
            undelayed = _nothing(graph.shape(source))
            demands[source] = {undelayed.key: undelayed} | demands[source]
        elif not _sends(node):
            for demand in demands[name].values():
                for source, pushed in zip(graph.inputs(name), _pushed(graph, name, demand), strict=True):
                    demands[source].setdefault(pushed.key, pushed)
    return {name: list(each.values()) for name, each in demands.items()}


def _past(shape: Shape, delays: Array, node: Node) -> Recurrent:
    """What sends ``delays`` later than ``node``, which may be late itself."""
    if isinstance(node, Recurrent):
        delays = delays + per_channel(node.delays, shape)
    least = int(delays.min())
    extra = uniform(delays - least)
    return Recurrent(shape=shape, steps=least, axon_steps=extra if extra.any() else None)


def _pushed(graph: Graph, name: str, demand: _Demand) -> list[_Demand]:
    """The delays of what a node reads, so that it gives the same as if its own values were delayed."""
    node, delays = graph.node(name), demand.delays
    shapes = [graph.shape(source) for source in graph.inputs(name)]
    origin = demand.origin
    parts: list[Array]
    match node:
        case AxonDelay():
            parts, origin = [delays + per_channel(node.delays, shapes[0])], origin or name
        case Identity() | Dropout() | Scale() | Flatten() | Reshape():
            parts = [delays.reshape(shapes[0])]
        case Add():
            parts = [delays] * len(shapes)
        case Concat():
            parts = np.split(delays, np.cumsum([shape[0] for shape in shapes])[:-1])
        case _ if not delays.any():
            parts = [np.zeros(shape, np.int64) for shape in shapes]
        case _:
            parts = [_through(node, f"{origin}: it delays what {name} ({node.kind}) gives", delays, shapes[0])]
    return [_Demand(np.ascontiguousarray(part), origin) for part in parts]


def _through(node: Node, where: str, delays: Array, shape: Shape) -> Array:
    """The delays before a node that mixes values, or adds something to them."""
    shift = node.shift if isinstance(node, BatchNorm) else getattr(node, "bias", None)
    if shift is not None and shift.any():
        raise GraphError(f"{where}, whose bias would begin late; delay what it reads, or let the neuron have the bias")
    if isinstance(node, BatchNorm):
        return delays
    if isinstance(node, _POOLS):
        groups = shape[0]
    elif isinstance(node, (Conv2d, ConvTranspose2d)):
        groups = node.groups
    elif isinstance(node, Linear):
        groups = 1
    else:
        raise GraphError(f"{where}, through which no delay can go back; delay what it reads")
    rows = delays.reshape(groups, -1)
    if (rows != rows[:, :1]).any():
        raise GraphError(
            f"{where}, from {int(delays.min())} to {int(delays.max())} steps, though the same inputs feed values of "
            "different delay; delay what it reads, or give all of them one delay"
        )
    before: Array = np.repeat(rows[:, 0], int(np.prod(shape)) // groups).reshape(shape)
    return before
