"""Small graphs by hand, and what "the same" means."""

from __future__ import annotations

from typing import Any

import numpy as np

from neurocompile.ir.graph import Graph
from neurocompile.ir.interpret import interpret
from neurocompile.ir.nodes import Array, BatchNorm, DirectEncoder, Input, Neuron, Node, Shape

Triple = tuple[str, Node, tuple[str, ...]]


def net(
    *nodes: Triple, shape: Shape = (2,), steps: int = 3, outputs: tuple[str, ...] = ("out",), **choices: Any
) -> Graph:
    """input -> "direct" -> ``nodes``; the traced graph, unless ``stage`` says otherwise."""
    sources: list[Triple] = [("input", Input(shape=shape), ()), ("direct", DirectEncoder(), ("input",))]
    return Graph("net", choices.get("stage", "traced"), steps, [*sources, *nodes], outputs)


def lif(threshold: Any = 1.0, **choices: Any) -> Neuron:
    return Neuron(threshold=np.asarray(threshold), **choices)


def norm(gamma: list[float], beta: list[float], mean: list[float], deviation: list[float]) -> BatchNorm:
    """A batch norm of these standard deviations, of which a quarter is epsilon's."""
    return BatchNorm(
        gamma=np.array(gamma),
        beta=np.array(beta),
        mean=np.array(mean),
        variance=np.array(deviation) ** 2 - 0.25,
        epsilon=0.25,
    )


def quarters(*shape: int, seed: int = 0) -> Array:
    """Small dyadic numbers, which no sum rounds."""
    return np.random.default_rng(seed).integers(-8, 9, shape) / 4


def samples_of(graph: Graph, count: int = 8, seed: int = 1) -> Array:
    (name,) = graph.of_kind(Input)
    return quarters(count, graph.timesteps, *graph.shape(name), seed=seed)


def assert_same(before: Graph, after: Graph, samples: Array, *, more: bool = False) -> None:
    """Every spike at every step, and every output, bit for bit; ``more``: a pass may have made populations."""
    old, new = interpret(before, samples), interpret(after, samples)
    assert old.events.keys() == new.events.keys() or (more and old.events.keys() < new.events.keys())
    assert old.outputs.keys() == new.outputs.keys()
    for name, events in old.events.items():
        assert np.array_equal(events, new.events[name]), f"events of {name}"
    for name, result in old.outputs.items():
        assert np.array_equal(result, new.outputs[name]), f"output {name}"
