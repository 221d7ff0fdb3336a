"""Small integer graphs, built by hand, each as a pair: in logical time and in chip time."""

from __future__ import annotations

import dataclasses
from typing import Any, TypeVar

import numpy as np

from neurocompile.ir.graph import Graph
from neurocompile.ir.nodes import (
    Add,
    Conv2d,
    Delay,
    DirectEncoder,
    FixedPoint,
    Flatten,
    Input,
    Linear,
    Neuron,
    Node,
    Readout,
    Soma,
    SumPool2d,
)
from neurocompile.ir.verify import verify

S = TypeVar("S", bound=Soma)

#: fields of somas that are plain numbers, not arrays
PLAIN = ("phase", "max_payload", "single_spike", "leaky_reset", "unit")


class Builder:
    """Collects nodes in logical time. ``pair`` gives that graph and its twin in chip time: the delays and phases that
    the retime pass would make, but worked out here on their own."""

    def __init__(self, name: str, shape: tuple[int, ...], timesteps: int) -> None:
        self.name, self.timesteps = name, timesteps
        self.nodes: dict[str, tuple[Node, tuple[str, ...]]] = {"input": (Input(shape=shape), ())}
        self.depth: dict[str, int] = {}
        self.outputs: list[str] = []

    def encoder(self, name: str, node: Node) -> str:
        self.nodes[name] = (node, ("input",))
        self.depth[name] = 0
        return name

    def soma(self, name: str, node: Soma, *projections: tuple[str, Node | list[Node]], output: bool = False) -> str:
        """A soma fed by projections (source, operators)."""
        ends = []
        for number, (source, operators) in enumerate(projections):
            end = source
            for place, operator in enumerate(operators if isinstance(operators, list) else [operators]):
                self.nodes[f"{name}/{number}.{place}"] = (operator, (end,))
                end = f"{name}/{number}.{place}"
            ends.append(end)
        if len(ends) > 1:
            self.nodes[f"{name}/add"] = (Add(), tuple(ends))
            ends = [f"{name}/add"]
        self.nodes[name] = (node, tuple(ends))
        self.depth[name] = 1 + max(self.depth[source] for source, _ in projections)
        if output:
            self.outputs.append(name)
        return name

    def pair(self) -> tuple[Graph, Graph]:
        logical = [(name, node, inputs) for name, (node, inputs) in self.nodes.items()]
        mapped: list[tuple[str, Node, tuple[str, ...]]] = []
        for name, (node, inputs) in self.nodes.items():
            if isinstance(node, Soma):
                mapped.append((name, dataclasses.replace(node, phase=self.depth[name]), inputs))
            elif name.endswith(".0"):
                steps = self.depth[name.partition("/")[0]] - self.depth[inputs[0]]
                mapped += [(f"{name}:delay", Delay(steps=steps), inputs), (name, node, (f"{name}:delay",))]
            else:
                mapped.append((name, node, inputs))
        graphs = (
            Graph(self.name, "integer", self.timesteps, logical, tuple(self.outputs)),
            Graph(self.name, "mapped", self.timesteps, mapped, tuple(self.outputs)),
        )
        for graph in graphs:
            verify(graph)
        return graphs


def whole(kind: type[S], **fields: Any) -> S:
    """A soma whose parameters are integers, the defaults too: leaks of one where none is given."""
    fixed = fields.setdefault("fixed", FixedPoint())
    for field in dataclasses.fields(kind):
        if field.type == "Array" and field.name not in ("threshold", "flip"):
            fields.setdefault(field.name, fixed.one if field.name == "leak" else 0)
    return kind(**{key: np.asarray(value) if isinstance(value, (int, list)) and key not in PLAIN else value
                   for key, value in fields.items()})  # fmt: skip


def weights(rng: np.random.Generator, *shape: int, bits: int = 8) -> np.ndarray:
    """Uniform whole weights of ``bits`` bits."""
    limit = (1 << (bits - 1)) - 1
    return rng.integers(-limit, limit + 1, shape).astype(np.int32)


def vgg(timesteps: int) -> tuple[Graph, Graph]:
    """Of the size of a network for 8 x 8 digits: four convolutions, two linear layers, 2,700 neurons."""
    rng = np.random.default_rng(0)
    build = Builder("vgg", (1, 8, 8), timesteps)
    previous = build.encoder("pixels", DirectEncoder(scale=16.0, low=0, high=16))
    fixed = FixedPoint(fraction_bits=6)
    channels = 1
    for index, (out, pool, threshold) in enumerate(((16, 0, 900), (16, 2, 300), (32, 0, 200), (32, 2, 200))):
        conv = Conv2d(weight=weights(rng, out, channels, 3, 3), padding=(1, 1), weight_bits=8)
        operators = [SumPool2d(kernel=(2, 2), stride=(2, 2)), conv] if pool else [conv]
        neuron = whole(Neuron, threshold=64 * threshold, fixed=fixed)
        previous = build.soma(f"conv{index}", neuron, (previous, operators))
        channels = out
    hidden = whole(Neuron, threshold=64 * 200, fixed=fixed, reset="set")
    flat = [Flatten(), Linear(weight=weights(rng, 128, 32 * 2 * 2), weight_bits=8)]
    previous = build.soma("hidden", hidden, (previous, flat))
    last = Linear(weight=weights(rng, 10, 128), weight_bits=8)
    build.soma("logits", whole(Readout, fixed=fixed), (previous, last), output=True)
    return build.pair()
