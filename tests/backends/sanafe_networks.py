"""Networks to compare with SANA-FE: of every kind that it can say and Loihi can hold, drawn by seed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from neurocompile.driver import compile_graph, retarget
from neurocompile.hardware.target import load_target
from neurocompile.ir.graph import Graph
from neurocompile.ir.nodes import (
    Add,
    Array,
    Conv2d,
    DirectEncoder,
    Flatten,
    Input,
    Linear,
    Neuron,
    Node,
    PoissonEncoder,
    Readout,
    Recurrent,
    Shape,
    SumPool2d,
)
from neurocompile.program import Options, Program

TARGET = load_target("loihi1-sanafe")


class Drawing:
    """A network that grows node by node, with seeded weights."""

    def __init__(self, seed: int, shape: Shape, encoder: Node) -> None:
        self.rng = np.random.default_rng(seed)
        self.shape = shape
        self.nodes: list[tuple[str, Node, tuple[str, ...]]] = [
            ("input", Input(shape=shape), ()), ("encoder", encoder, ("input",)),
        ]  # fmt: skip

    def add(self, node: Node, *sources: str) -> str:
        name = f"{node.kind.lower()}{len(self.nodes)}"
        self.nodes.append((name, node, sources or (self.nodes[-1][0],)))
        return name

    def weights(self, *shape: int) -> Array:
        """Quarters, more of them above zero, so that neurons fire."""
        return self.rng.integers(-3, 6, shape) / 4

    def lif(self, *sources: str, bias: Any = 0.0) -> str:
        neuron = Neuron(
            threshold=np.array(float(self.rng.integers(3, 12)) / 4),
            leak=np.array(self.rng.choice([0.5, 0.75, 0.9375, 1.0])),
            bias=np.asarray(bias),
            reset="set",
            reset_value=np.array(0.0),
            compare=self.rng.choice(["above", "at_or_above"]),
        )
        return self.add(neuron, *sources)

    def conv(self, into: int, out: int, *sources: str, **geometry: Any) -> str:
        return self.add(Conv2d(weight=self.weights(out, into, 3, 3), **geometry), *sources)

    def linear(self, into: int, out: int, *sources: str) -> str:
        return self.add(Linear(weight=self.weights(out, into)), *sources)

    def readout(self, into: int, out: int, bias: Any = 0.0) -> str:
        self.linear(into, out)
        return self.add(Readout(leak=np.array(0.75), bias=np.asarray(bias)))

    def program(self, steps: int, *outputs: str, neurons: int | None = None, spread: bool = True) -> Program:
        """Compiled. ``neurons``: of the most that a core may hold, so that populations are cut. ``spread``: over cores
        that are drawn too, so that spikes cross the chip."""
        graph = Graph("drawn", "traced", steps, self.nodes, outputs)
        program = compile_graph(graph, TARGET, options=Options())
        profile = program.profile
        assert profile.limits.neurons is not None
        if neurons is not None:
            limit = profile.limits.neurons.model_copy(update={"value": neurons})
            program = retarget(
                program,
                profile.model_copy(update={"limits": profile.limits.model_copy(update={"neurons": limit})}),
            )
        if not spread:
            return program
        cores = self.rng.choice(128, len(program.mapping.slices), replace=False).tolist()
        slices = tuple(
            replace(each, core=core, tile=core // 4) for each, core in zip(program.mapping.slices, cores, strict=True)
        )
        return replace(program, mapping=replace(program.mapping, slices=slices))

    def sample(self) -> Array:
        return self.rng.random(self.shape)


Case = tuple[Program, Array]


def linear(seed: int) -> Case:
    """Three layers of a few cores each, analog input."""
    draw = Drawing(seed, (12,), DirectEncoder())
    draw.linear(12, 40)
    draw.lif()
    draw.linear(40, 30)
    draw.lif()
    return draw.program(6, draw.readout(30, 5), neurons=16), draw.sample()


def convolutions(seed: int) -> Case:
    """With strides and a pool, binary input."""
    draw = Drawing(seed, (1, 10, 10), PoissonEncoder())
    draw.conv(1, 4, padding=(1, 1))
    draw.lif()
    draw.conv(4, 6, padding=(1, 1), stride=(2, 2))
    draw.lif()
    draw.add(SumPool2d(kernel=(2, 2), stride=(2, 2)))
    draw.conv(6, 4, padding=(1, 1))
    draw.lif()
    draw.add(Flatten())
    return draw.program(8, draw.readout(16, 5), neurons=100), draw.sample()


def skip(seed: int) -> Case:
    """A block with a way around it: two projections from one population reach one core, and others later."""
    draw = Drawing(seed, (2, 6, 6), PoissonEncoder())
    draw.conv(2, 4, padding=(1, 1))
    first = draw.lif()
    second = draw.lif(draw.conv(4, 4, first, padding=(1, 1)))
    joined = draw.lif(draw.add(Add(), draw.conv(4, 4, second, padding=(1, 1)), first))
    draw.add(Flatten(), joined)
    return draw.program(7, draw.readout(144, 4), neurons=60), draw.sample()


def recurrent(seed: int) -> Case:
    """A population that feeds itself, and is the last: after its sample it must not go on."""
    draw = Drawing(seed, (8,), DirectEncoder())
    draw.linear(8, 20)
    draw.lif()
    feeding = draw.linear(20, 24)
    back = draw.add(Recurrent(shape=(24,)), f"neuron{len(draw.nodes) + 3}")
    draw.lif(draw.add(Add(), feeding, draw.linear(24, 24, back)))
    return draw.program(7, draw.nodes[-1][0], neurons=10), draw.sample()


def biased(seed: int) -> Case:
    """Biases of both signs in two layers and the readout, all synapses of one kind."""
    draw = Drawing(seed, (10,), DirectEncoder())
    draw.linear(10, 30)
    draw.lif(bias=draw.rng.integers(-2, 3, 30) / 4)
    draw.linear(30, 20)
    draw.lif(bias=0.25)
    return draw.program(5, draw.readout(20, 4, bias=-0.5), neurons=12), draw.sample()


def stateless(seed: int, *, biases: bool = False) -> Case:
    """One step, and so no state."""
    draw = Drawing(seed, (1, 8, 8), DirectEncoder())
    draw.conv(1, 4, padding=(1, 1))
    draw.lif(bias=draw.rng.integers(-4, 5, 4) / 4 if biases else 0.0)
    draw.conv(4, 4, stride=(2, 2))
    draw.lif(bias=0.5 if biases else 0.0)
    draw.add(Flatten())
    return draw.program(1, draw.readout(36, 5, bias=0.25 if biases else 0.0), neurons=50), draw.sample()


def pruned(seed: int) -> Case:
    """A convolution and two linear layers of which a quarter of the weights is left: their lists are sparse.

    Of one step, since with state our updates are active whatever the weight that an event meets."""
    draw = Drawing(seed, (1, 8, 8), DirectEncoder())
    draw.conv(1, 4, padding=(1, 1))
    draw.lif()
    kept = lambda *shape: draw.rng.random(shape) < 0.25  # noqa: E731
    draw.add(Conv2d(weight=3 * draw.weights(4, 4, 3, 3) * kept(4, 4, 3, 3), padding=(1, 1), stride=(2, 2)))
    draw.lif()
    draw.add(Flatten())
    draw.add(Linear(weight=3 * draw.weights(30, 64) * kept(30, 64)))
    draw.lif()
    draw.add(Linear(weight=draw.weights(5, 30) * kept(5, 30)))
    return draw.program(1, draw.add(Readout()), neurons=40), draw.sample()


def stateless_biased(seed: int) -> Case:
    """The same with biases, for which some neurons fire without input."""
    return stateless(seed, biases=True)


GENERATED = [
    (make, seed)
    for seed, make in enumerate(
        (
            linear,
            convolutions,
            skip,
            recurrent,
            biased,
            stateless,
            convolutions,
            skip,
            stateless_biased,
            stateless,
            pruned,
        )
    )
]


def realistic() -> Case:
    """Of the size of a network for small pictures: 24 x 24 in colour, three convolutions, 9,300 neurons."""
    draw = Drawing(100, (3, 24, 24), PoissonEncoder())
    draw.conv(3, 8, padding=(1, 1))
    draw.lif()
    draw.conv(8, 16, padding=(1, 1), stride=(2, 2))
    draw.lif()
    draw.conv(16, 16, padding=(1, 1))
    draw.lif()
    draw.add(SumPool2d(kernel=(2, 2), stride=(2, 2)))
    draw.add(Flatten())
    draw.linear(16 * 36, 64)
    draw.lif()
    return draw.program(4, draw.readout(64, 10), spread=False), draw.sample()
