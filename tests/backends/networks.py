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
    Recurrent,
    Soma,
    SumPool2d,
)
from neurocompile.ir.verify import verify

S = TypeVar("S", bound=Soma)


class Builder:
    """Collects nodes in logical time. ``pair`` gives that graph and its twin in chip time: the delays and phases that
    the retime pass would make, worked out here on their own."""

    def __init__(self, name: str, shape: tuple[int, ...], timesteps: int) -> None:
        self.name, self.timesteps = name, timesteps
        self.nodes: dict[str, tuple[Node, tuple[str, ...]]] = {"input": (Input(shape=shape), ())}
        self.depth: dict[str, int] = {}  # of encoders and somas
        self.chains: dict[str, str] = {}  # a chain's first node by its last
        self.outputs: list[str] = []

    def encoder(self, name: str, node: Node) -> str:
        self.nodes[name] = (node, ("input",))
        self.depth[name] = 0
        return name

    def chain(self, source: str, *operators: Node) -> str:
        """A projection, to be given to one or more somas of one depth. One that begins with a ``Recurrent`` may come
        from a soma that is yet to be made."""
        names = [f"{source}>{len(self.chains)}.{place}" for place in range(len(operators))]
        for name, operator, before in zip(names, operators, [source, *names], strict=False):
            self.nodes[name] = (operator, (before,))
        self.chains[names[-1]] = names[0]
        return names[-1]

    def soma(self, name: str, node: Soma, *chains: str, output: bool = False) -> str:
        heads = [self.nodes[self.chains[chain]] for chain in chains]
        ahead = (self.depth[inputs[0]] for head, inputs in heads if not isinstance(head, Recurrent))
        self.depth[name] = 1 + max(ahead, default=0)
        if len(chains) > 1:
            self.nodes[f"{name} sum"] = (Add(), chains)
            chains = (f"{name} sum",)
        self.nodes[name] = (node, chains)
        if output:
            self.outputs.append(name)
        return name

    def pair(self) -> tuple[Graph, Graph]:
        arrival = {}  # when each chain delivers
        for name, depth in self.depth.items():
            ends = self.nodes[name][1]
            arrival |= dict.fromkeys(self.nodes[ends[0]][1] if ends[0].endswith(" sum") else ends, depth)
        first = {self.chains[end]: depth for end, depth in arrival.items() if end in self.chains}
        mapped: list[tuple[str, Node, tuple[str, ...]]] = []
        for name, (node, inputs) in self.nodes.items():
            if name in first and isinstance(node, Recurrent):
                wait = first[name] - self.depth[inputs[0]]
                mapped.append((name, dataclasses.replace(node, wait=wait), inputs))
            elif name in first:
                delay = Delay(steps=first[name] - self.depth[inputs[0]])
                mapped += [(f"{name} delay", delay, inputs), (name, node, (f"{name} delay",))]
            elif isinstance(node, Soma):
                mapped.append((name, dataclasses.replace(node, phase=self.depth[name]), inputs))
            else:
                mapped.append((name, node, inputs))
        logical = [(name, node, inputs) for name, (node, inputs) in self.nodes.items()]
        graphs = (
            Graph(self.name, "integer", self.timesteps, logical, tuple(self.outputs)),
            Graph(self.name, "mapped", self.timesteps, mapped, tuple(self.outputs)),
        )
        for graph in graphs:
            verify(graph)
        return graphs


def conv(rng: np.random.Generator, *shape: int, **fields: Any) -> Conv2d:
    return Conv2d(weight=weights(rng, *shape), weight_bits=8, **fields)


def dense(rng: np.random.Generator, out: int, into: int) -> Linear:
    return Linear(weight=weights(rng, out, into), weight_bits=8)


def whole(kind: type[S], **fields: Any) -> S:
    """A soma whose parameters are integers, its defaults too: no leak, no bias, no memory in the current."""
    fixed = fields.setdefault("fixed", FixedPoint())
    for field in dataclasses.fields(kind):
        if field.type == "Array" and field.name != "flip":
            value = fields.get(field.name, fixed.one if field.name == "leak" else 0)
            fields[field.name] = np.asarray(value, np.int64)
    return kind(**fields)


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
        pools = [SumPool2d(kernel=(2, 2), stride=(2, 2))] if pool else []
        chain = build.chain(previous, *pools, conv(rng, out, channels, 3, 3, padding=(1, 1)))
        previous = build.soma(f"conv{index}", whole(Neuron, threshold=64 * threshold, fixed=fixed), chain)
        channels = out
    chain = build.chain(previous, Flatten(), dense(rng, 128, 32 * 2 * 2))
    hidden = build.soma("hidden", whole(Neuron, threshold=64 * 200, fixed=fixed, reset="set"), chain)
    build.soma("logits", whole(Readout, fixed=fixed), build.chain(hidden, dense(rng, 10, 128)), output=True)
    return build.pair()
