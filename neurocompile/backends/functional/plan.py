"""The plan of a graph: each population with the arithmetic that is proved exact for it, and the memory it takes."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from neurocompile.backends.functional.products import Operator, Product, make_product, narrowest, settings
from neurocompile.backends.functional.somas import SomaRunner, fused_limit, make_runner, sent_dtype
from neurocompile.ir.bounds import Interval, projection_range, sent_range
from neurocompile.ir.graph import Graph
from neurocompile.ir.nodes import ENCODERS, PadChannels, Readout, Threshold
from neurocompile.ir.populations import Population, populations
from neurocompile.ir.verify import verify

# synaptic sums that are made before the soma takes them: few enough to stay in a core's own cache, many enough that a
# multiplication of matrices is at its speed
_PART_BYTES = 2 << 20
# a sample of so many times this is run in parts of its presentation
_MOST_PARTS = 16
# of a sample while it is encoded: float64 as given and scaled, the draw of a Poisson encoder, int64
_ENCODING_BYTES = 32
_STATE_BYTES = 32


@dataclass(frozen=True)
class Layer:
    """A population made ready. ``fused``: the product's kernel itself compares, and gives the spikes.
    ``sum_dtype`` holds the sum of all products, ``dtype`` what the soma sends, or a readout's membrane."""

    population: Population
    products: tuple[Product, ...]
    sum_dtype: np.dtype[Any]
    runner: SomaRunner
    fused: Operator | None
    dtype: np.dtype[Any]

    @property
    def name(self) -> str:
        return self.population.name

    @property
    def sends(self) -> bool:
        return not isinstance(self.population.soma, Readout)

    @property
    def stateless(self) -> bool:
        return isinstance(self.population.soma, Threshold)

    @property
    def sources(self) -> set[str]:
        return {product.projection.source for product in self.products}

    def parts(self, timesteps: int) -> tuple[int, int]:
        """How many samples, and how many of their steps, go from products to soma together."""
        sums = self.population.neurons * self.sum_dtype.itemsize
        most = _MOST_PARTS * _PART_BYTES // self.frame_bytes
        return max(1, min(_PART_BYTES // (sums * timesteps), most // timesteps)), max(1, min(timesteps, most))

    @property
    def frame_bytes(self) -> int:
        """What one step of one sample takes between products and soma: the sums, and the most that one is made of."""
        sums = self.population.neurons * self.sum_dtype.itemsize * (len(self.products) + 1)
        return sums + max(product.frame_bytes for product in self.products)


@dataclass(frozen=True)
class Plan:
    """``groups``: the layers in order, each on its own, but those of a loop together.
    ``dtypes``: what encoders and somas send, in the narrowest integers. ``settings``: torch's, on which this rests."""

    graph: Graph
    groups: tuple[tuple[Layer, ...], ...]
    dtypes: dict[str, np.dtype[Any]]
    settings: tuple[Any, ...]

    @classmethod
    def of(cls, graph: Graph) -> Plan:
        """GraphError where the graph is not what its stage says; the stage is "integer" or "mapped"."""
        verify(graph)
        layers = tuple(_layer(graph, population) for population in populations(graph))
        dtypes = {name: narrowest(*sent_range(graph, name)) for name in graph.of_kind(*ENCODERS)}
        sent = {layer.name: layer.dtype for layer in layers if layer.sends}
        return cls(graph, _groups(layers), dtypes | sent, settings())

    @property
    def layers(self) -> tuple[Layer, ...]:
        return tuple(layer for group in self.groups for layer in group)

    @property
    def has_loops(self) -> bool:
        """Whether somas are stepped outside of torch's kernels, by loops that have one core; readouts are small."""
        return any(layer.fused is None and layer.sends for layer in self.layers)

    @functools.cached_property
    def finished(self) -> list[set[str]]:
        """For each group, the senders that nobody reads after it."""
        sources = [set().union(*(layer.sources for layer in group)) for group in self.groups]
        return [self.dtypes.keys() - set().union(*sources[index + 1 :]) for index in range(len(sources))]

    def weight_bytes(self) -> int:
        """Of the weights as the kernels have them."""
        return sum(
            product.projection.weighted.weight.size * product.itemsize * (2 if layer.fused else 1)
            for layer in self.layers
            for product in layer.products
        )

    def sample_bytes(self, *, events: bool) -> int:
        """What one sample of a batch takes at most, with or without keeping all events."""
        steps = self.graph.timesteps
        size = {name: math.prod(self.graph.shape(name)) * steps * dtype.itemsize for name, dtype in self.dtypes.items()}
        alive = set(self.graph.of_kind(*ENCODERS))
        most = sum(math.prod(self.graph.shape(name)) for name in alive) * steps * _ENCODING_BYTES
        for index, group in enumerate(self.groups):
            # sums of a pool, and the spikes of the step before, stand beside what they are made of
            prepared = max(
                sum(size[source] for source in layer.sources) * max(product.spread for product in layer.products)
                for layer in group
            )
            alive |= {layer.name for layer in group} & size.keys()
            most = max(most, sum(size[name] for name in alive) + prepared)
            if not events:
                alive -= self.finished[index]
        return most

    def part_bytes(self, batch: int) -> int:
        """What the part of a batch that is between products and soma takes at most."""
        most = 0
        for group in self.groups:
            needed = 0
            for layer in group:
                samples, steps = (batch, 1) if loops(group) else layer.parts(self.graph.timesteps)
                whole = steps == self.graph.timesteps
                state_bytes = 0 if whole else layer.population.neurons * _STATE_BYTES
                needed += min(samples, batch) * (steps * layer.frame_bytes + state_bytes)
            most = max(most, needed)
        return most

    def explain(self) -> list[dict[str, Any]]:
        """A row for each projection: which kernel, and why it is exact."""
        return [
            {
                "layer": product.projection.name,
                "soma": layer.name,
                "kernel": product.weighted.arithmetic,
                "why": product.why,
                "state": "compared in the kernel" if layer.fused else _state(layer),
            }
            for layer in self.layers
            for product in layer.products
        ]


def loops(group: tuple[Layer, ...]) -> bool:
    """Whether what a group sends comes back to it, so that it must be computed step by step."""
    names = {layer.name for layer in group}
    return any(layer.sources & names for layer in group)


def _groups(layers: tuple[Layer, ...]) -> tuple[tuple[Layer, ...], ...]:
    """Everything between the ends of a connection that leads back, or to itself, is one group."""
    place = {layer.name: index for index, layer in enumerate(layers)}
    group_of = list(range(len(layers)))
    for index, layer in enumerate(layers):
        last = max((place[source] for source in layer.sources if source in place), default=-1)
        for between in range(index + 1, last + 1):
            group_of[between] = group_of[index]
    return tuple(
        tuple(layer for layer, its in zip(layers, group_of, strict=True) if its == each)
        for each in dict.fromkeys(group_of)
    )


def _state(layer: Layer) -> str:
    return f"{'none' if layer.stateless else 'membrane'}, {layer.runner.arithmetic}"


def _layer(graph: Graph, population: Population) -> Layer:
    ranges = [projection_range(graph, projection) for projection in population.projections]
    total = sum(ranges[1:], start=ranges[0])
    products = tuple(
        make_product(graph, projection, sums) for projection, sums in zip(population.projections, ranges, strict=True)
    )
    soma = population.soma
    dtype = np.dtype(np.int64) if isinstance(soma, Readout) else sent_dtype(soma)
    runner = make_runner(population, total, graph.timesteps)
    return Layer(population, products, _sum_dtype(products, total), runner, _fused(population, products), dtype)


def _sum_dtype(products: tuple[Product, ...], total: Interval) -> np.dtype[Any]:
    kinds = {product.weighted.arithmetic for product in products}
    if "int64" in kinds or total.bits > 54:
        return np.dtype(np.int64)
    return np.dtype(np.float64 if "float64" in kinds or total.bits > 25 else np.float32)


def _fused(population: Population, products: tuple[Product, ...]) -> Operator | None:
    """The kernel that compares as well, where there is one product, of bytes, and one threshold per channel of it."""
    product, soma = products[0], population.soma
    operators = product.projection.operators
    if len(products) > 1 or not isinstance(soma, Threshold) or isinstance(operators[-1], PadChannels):
        return None
    limit = fused_limit(soma, product.projection.weighted.weight_exponent, product.most)
    if limit is None or (product.projection.mixes_channels and any(part.size > 1 for part in limit)):
        return None
    return product.firing(*limit)
