"""Populations: a soma with the projections that feed it. Mapping, retiming, backends and costs speak of these.

From the "spiking" stage on, every projection is one chain with the grammar

    encoder or spiking soma -> [Recurrent | Delay] -> Reshape? -> SumPool2d* -> Flatten? -> Conv2d | Linear | Scale
        -> Flatten? -> PadChannels? -> soma

where a Reshape may stand for any Flatten, but none between pools and a Conv2d,
and a soma with several projections reads them through a single ``Add``. A projection with a ``Recurrent`` may come from
any population, the soma's own and later ones too.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from neurocompile.errors import GraphError
from neurocompile.ir.graph import Graph
from neurocompile.ir.interpret import linear
from neurocompile.ir.nodes import (
    ENCODERS,
    MOVES,
    SPIKING,
    WEIGHTED,
    Add,
    Array,
    Conv2d,
    Delay,
    Linear,
    Node,
    PadChannels,
    Recurrent,
    Scale,
    Shape,
    Soma,
    per_channel,
)


@dataclass(frozen=True)
class Projection:
    """The synapses between two populations. ``source`` is an encoder or a spiking soma; ``names`` are the chain's
    nodes in order of flow."""

    source: str
    source_shape: Shape
    names: tuple[str, ...]
    nodes: tuple[Node, ...]

    @property
    def past(self) -> Recurrent | None:
        """The node that makes it carry spikes of earlier steps of the same presentation."""
        return next((node for node in self.nodes if isinstance(node, Recurrent)), None)

    @property
    def recurrent(self) -> bool:
        """Whether it carries spikes of earlier steps, so that it may lead back."""
        return self.past is not None

    @property
    def steps(self) -> int:
        """The time steps that a spike takes at least: before retiming those in the network, then those on the chip."""
        if self.past is not None:
            return self.past.steps + self.past.wait
        return sum(node.steps for node in self.nodes if isinstance(node, Delay))

    @property
    def most_steps(self) -> int:
        """The time steps that a spike takes at most: neurons of one source may have different delays."""
        return self.steps + (self.past.longest - self.past.steps if self.past else 0)

    def arriving(self, sent: Array) -> Array:
        """Of what the source has ``sent`` in presentations (N, T, *source_shape), what arrives at which step."""
        if self.past is None:
            return sent
        arrived, timesteps = np.zeros_like(sent), sent.shape[1]
        delays = np.broadcast_to(per_channel(self.past.delays, self.source_shape), self.source_shape)
        for delay in np.unique(delays[delays < timesteps]):
            neurons = (slice(None), slice(None), delays == delay)
            arrived[:, delay:][neurons] = sent[:, : timesteps - delay][neurons]
        return arrived

    @property
    def operators(self) -> tuple[Node, ...]:
        """The chain without its delays: a linear map from the source's shape to the soma's."""
        return tuple(node for node in self.nodes if not isinstance(node, (Delay, Recurrent)))

    @property
    def weighted(self) -> Conv2d | Linear | Scale:
        """The one operator of the chain that has weights."""
        (node,) = (node for node in self.nodes if isinstance(node, WEIGHTED))
        return node

    @cached_property
    def nonzero(self) -> int:
        """How many of its weights are not zero."""
        return int(np.count_nonzero(self.weighted.weight))

    @property
    def rows(self) -> slice:
        """The channels of the soma that the weights feed: all, unless they feed the place of one part among others."""
        last = self.nodes[-1]
        return slice(last.before, -last.after or None) if isinstance(last, PadChannels) else slice(None)

    @property
    def mixes_channels(self) -> bool:
        """Whether the weights' channels are others than the soma's, since a Flatten or Reshape stands between them."""
        shape, channels, mixed = self.source_shape, 0, False
        for node in self.operators:
            shape = node.output_shape(shape)
            if node is self.weighted:
                channels = shape[0]
            elif isinstance(node, MOVES):
                mixed = channels > 0 and shape[0] != channels
        return mixed

    @property
    def name(self) -> str:
        """The weighted node's name."""
        (name,) = (name for name, node in zip(self.names, self.nodes, strict=True) if isinstance(node, WEIGHTED))
        return name

    def apply(self, events: Array) -> Array:
        """The linear map on a batch (N, *source_shape), without delay."""
        for node in self.operators:
            events = linear(node, events)
        return events


@dataclass(frozen=True)
class Population:
    name: str
    soma: Soma
    shape: Shape
    projections: tuple[Projection, ...]

    @property
    def neurons(self) -> int:
        return math.prod(self.shape)


def populations(graph: Graph) -> tuple[Population, ...]:
    """The populations of a graph of stage "spiking", "integer" or "mapped", in topological order."""
    return tuple(
        Population(name, node, graph.shape(name), _projections(graph, name))
        for name, node in graph.items()
        if isinstance(node, Soma)
    )


def _projections(graph: Graph, soma: str) -> tuple[Projection, ...]:
    (feeding,) = graph.inputs(soma)
    ends = graph.inputs(feeding) if isinstance(graph.node(feeding), Add) else (feeding,)
    return tuple(_chain(graph, soma, end) for end in ends)


def _chain(graph: Graph, soma: str, end: str) -> Projection:
    names: list[str] = []
    name = end
    while not isinstance(graph.node(name), (*ENCODERS, *SPIKING)):
        names.insert(0, name)
        sources = graph.inputs(name)
        if len(sources) != 1:
            raise GraphError(f"{soma}: {name} is a {graph.node(name).kind} inside a projection; run split_projections")
        (name,) = sources
    return Projection(name, graph.shape(name), tuple(names), tuple(graph.node(each) for each in names))
