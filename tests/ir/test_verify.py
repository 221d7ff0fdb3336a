"""Every rule of every stage, broken once."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from neurocompile.errors import GraphError
from neurocompile.ir.graph import Graph
from neurocompile.ir.nodes import (
    Add,
    AvgPool2d,
    AxonDelay,
    BatchNorm,
    Conv2d,
    Delay,
    DirectEncoder,
    Dropout,
    FixedPoint,
    Flatten,
    HybridEncoder,
    Identity,
    Input,
    Linear,
    Neuron,
    Node,
    PadChannels,
    Readout,
    Recurrent,
    Reshape,
    Scale,
    Soma,
    SumPool2d,
)
from neurocompile.ir.verify import verify

Triple = tuple[str, Node, tuple[str, ...]]

FLOAT = Neuron(threshold=np.array(1.0))
FIXED = FixedPoint()
ZERO = np.array(0)
INTEGER = Neuron(
    threshold=np.array(9), leak=ZERO, current_leak=ZERO, bias=ZERO, reset_value=ZERO, fixed=FIXED
)  # fmt: skip
DENSE = Linear(weight=np.array([[1, -3], [0, 2]]), weight_bits=3)


def net(stage: str, *nodes: Triple, outputs: tuple[str, ...] = ("out",), shape: tuple[int, ...] = (2,)) -> Graph:
    whole = stage in ("integer", "mapped")
    encoder = DirectEncoder(scale=1.0, low=-3, high=3) if whole else DirectEncoder()
    sources: list[Triple] = [("input", Input(shape=shape), ()), ("direct", encoder, ("input",))]
    return Graph("net", stage, 2, [*sources, *nodes], outputs)


def projected(*operators: Node, stage: str = "spiking", soma: Soma = FLOAT, shape: tuple[int, ...] = (2,)) -> Graph:
    """input -> encoder -> operators -> soma."""
    nodes: list[Triple] = []
    source = "direct"
    for number, operator in enumerate(operators):
        nodes.append((f"op{number}", operator, (source,)))
        source = f"op{number}"
    return net(stage, *nodes, ("out", soma, (source,)), shape=shape)


def test_legal_graphs_pass() -> None:
    verify(projected(Linear(weight=np.eye(2))))
    verify(projected(DENSE, stage="integer", soma=INTEGER))
    verify(projected(Delay(steps=1), DENSE, stage="mapped", soma=replace(INTEGER, phase=1)))
    pool = SumPool2d(kernel=(2, 2), stride=(1, 1))
    verify(projected(pool, pool, Flatten(), Linear(weight=np.ones((2, 4))), shape=(1, 4, 4)))
    verify(projected(Conv2d(weight=np.ones((1, 1, 1, 1))), Flatten(), shape=(1, 2, 2)))


def test_a_hybrid_encoder_has_the_time_steps_of_the_network() -> None:
    def coded(timesteps: int) -> Graph:
        code = ("code", HybridEncoder(timesteps=timesteps), ("input",))
        return Graph("net", "fused", 2, [("input", Input(shape=(2,)), ()), code, ("out", FLOAT, ("code",))], ("out",))

    verify(coded(2))
    message = (
        "^code: it codes a picture in 3 time steps, and the network has 2; build with --timesteps 3, or train with "
        r"HybridEncoder\(timesteps=2\)$"
    )
    with pytest.raises(GraphError, match=message):
        verify(coded(3))


def test_the_scale_of_an_encoder_in_time_is_declared() -> None:
    draft = projected(DENSE, stage="integer", soma=INTEGER).edit()
    draft.replace("direct", HybridEncoder(timesteps=2))
    with pytest.raises(GraphError, match="direct: its integer scale is not declared"):
        verify(draft.finish())


def norm() -> BatchNorm:
    two = np.ones(2)
    return BatchNorm(gamma=two, beta=two, mean=two, variance=two, epsilon=0.0)


@pytest.mark.parametrize(
    ("stage", "node"),
    [
        ("traced", Delay(steps=1)),
        ("fused", norm()),
        ("fused", Dropout()),
        ("fused", Identity()),
        ("spiking", AvgPool2d(kernel=(1, 1), stride=(1, 1))),
        ("spiking", norm()),
        ("spiking", AxonDelay(steps=np.array(1))),
        ("integer", Delay(steps=1)),
        ("mapped", AvgPool2d(kernel=(1, 1), stride=(1, 1))),
    ],
)
def test_kinds_that_a_stage_forbids(stage: str, node: Node) -> None:
    with pytest.raises(GraphError, match=f"op0: {node.kind} is not legal at stage '{stage}'"):
        verify(projected(node, stage=stage, shape=(2, 2, 2)))


LIN = Linear(weight=np.eye(2))
ENDS: list[tuple[Graph, str]] = [
    (Graph("none", "traced", 1, [], ()), "graph 'none' has 0 inputs; it must have exactly one"),
    (net("traced", ("more", Input(shape=(2,)), ()), ("out", FLOAT, ("direct",))), "has 2 inputs"),
    (net("traced", ("out", FLOAT, ("input",))), "out: Neuron reads the input; an encoder must stand between"),
    (
        net("traced", ("late", DirectEncoder(), ("direct",)), ("out", FLOAT, ("late",))),
        "late: an encoder must read the input, not direct",
    ),
    (net("traced", ("out", FLOAT, ("direct",)), outputs=()), "graph 'net' has no outputs; it must end in a Readout"),
    (
        net("traced", ("fc", LIN, ("direct",)), outputs=("fc",)),
        r"fc: the network ends in a Linear; end it in a Readout \(neurocompile.snn.Readout\)",
    ),
    (
        net("traced", ("dead", LIN, ("direct",)), ("out", FLOAT, ("direct",))),
        "dead: nobody reads this Linear; remove it or make it an output",
    ),
    (
        net("traced", ("mid", Readout(), ("direct",)), ("fc", LIN, ("mid",)), ("out", FLOAT, ("fc",))),
        "mid: a Readout is read by fc; readouts never fire, use a neuron",
    ),
    (
        net("traced", ("fc", LIN, ("direct",)), ("back", Recurrent(shape=(2,)), ("fc",)), ("out", FLOAT, ("back",))),
        r"back: a Recurrent reads fc \(Linear\); it must read a spiking neuron or an encoder itself",
    ),
    (
        net("traced", ("back", Recurrent(shape=(2,), wait=1), ("direct",)), ("out", FLOAT, ("back",))),
        "back: it waits 1 steps in chip time, which the retime pass is yet to make",
    ),
    (
        net("traced", ("out", FLOAT, ("direct",)), ("back", Recurrent(shape=(2,)), ("out",))),
        "back: nobody reads this Recurrent; remove it or make it an output",
    ),
]


@pytest.mark.parametrize(("graph", "message"), ENDS)
def test_how_a_graph_must_begin_and_end(graph: Graph, message: str) -> None:
    with pytest.raises(GraphError, match=message):
        verify(graph)


POOL = SumPool2d(kernel=(1, 1), stride=(1, 1))
CONV = Conv2d(weight=np.ones((1, 1, 1, 1)))
GRAMMAR: list[tuple[tuple[Node, ...], str]] = [
    ((), "empty"),
    ((POOL,), "SumPool2d"),
    ((CONV, CONV), "Conv2d -> Conv2d"),
    ((CONV, POOL), "Conv2d -> SumPool2d"),
    ((CONV, Flatten(), Flatten()), "Conv2d -> Flatten -> Flatten"),
    ((Flatten(), Scale(weight=np.array(1.0)), Scale(weight=np.array(1.0))), "Flatten -> Scale -> Scale"),
    ((Add(), CONV), "Add -> Conv2d"),
    ((POOL, Add(), CONV), "SumPool2d -> Add -> Conv2d"),
    ((POOL, Reshape(shape=(1, 1, 4)), CONV), "SumPool2d -> Reshape -> Conv2d"),
    ((CONV, Reshape(shape=(1, 4)), Flatten()), "Conv2d -> Reshape -> Flatten"),
    ((PadChannels(before=0, after=0), CONV), "PadChannels -> Conv2d"),
    ((CONV, PadChannels(before=1, after=0), Flatten()), "Conv2d -> PadChannels -> Flatten"),
]


def test_where_moves_may_stand() -> None:
    conv = Conv2d(weight=np.ones((1, 1, 1, 1), np.int8), weight_bits=2)
    dense = Linear(weight=np.ones((2, 4), np.int8), weight_bits=2)
    line, part = Reshape(shape=(1, 4)), PadChannels(before=1, after=2)
    verify(projected(Reshape(shape=(1, 1, 4)), POOL, conv, line, part, shape=(1, 2, 2)))
    verify(projected(Reshape(shape=(1, 1, 4)), POOL, Flatten(), dense, Reshape(shape=(1, 2)), shape=(1, 2, 2)))


@pytest.mark.parametrize(("operators", "chain"), GRAMMAR)
def test_the_grammar_of_projections(operators: tuple[Node, ...], chain: str) -> None:
    with pytest.raises(GraphError, match=f"^out: the projection from direct is {chain}; it must be "):
        verify(projected(*operators, shape=(1, 2, 2)))


@pytest.mark.parametrize(
    "operators",
    [(Delay(steps=1), Delay(steps=1), DENSE), (DENSE, Delay(steps=1)), (POOL, Delay(steps=1), CONV)],
)
def test_where_a_delay_may_stand(operators: tuple[Node, ...]) -> None:
    shape = (1, 2, 2) if POOL in operators else (2,)
    with pytest.raises(GraphError, match="the projection from direct is"):
        verify(projected(*operators, stage="mapped", soma=INTEGER, shape=shape))


def test_sums_within_a_projection() -> None:
    nodes: list[Triple] = [
        ("sum", Add(), ("direct", "direct")),
        ("fc", LIN, ("sum",)),
        ("out", FLOAT, ("fc",)),
    ]
    with pytest.raises(GraphError, match="out: sum is a Add inside a projection; run split_projections"):
        verify(net("spiking", *nodes))


def test_biases_stand_in_the_soma() -> None:
    with pytest.raises(GraphError, match="op0: its bias must stand in the soma out"):
        verify(projected(Linear(weight=np.eye(2), bias=np.ones(2))))


INTEGERS: list[tuple[Graph, str]] = [
    (projected(replace(DENSE, weight=np.eye(2)), stage="integer", soma=INTEGER), "op0: weight has dtype float64"),
    (projected(DENSE, stage="integer", soma=replace(INTEGER, threshold=np.array(9.0))), "out: threshold has dtype"),
    (projected(replace(DENSE, weight_bits=None), stage="integer", soma=INTEGER), "op0: weight_bits is not declared"),
    (
        projected(replace(DENSE, weight_bits=2), stage="integer", soma=INTEGER),
        r"a weight of -3 does not fit 2 bits \(-2 to 1\)",
    ),
    (projected(DENSE, stage="integer", soma=replace(INTEGER, fixed=None)), "out: its fixed-point format is not"),
    (
        net(
            "integer",
            ("float", DirectEncoder(), ("input",)),
            ("fc", DENSE, ("float",)),
            ("fc2", DENSE, ("direct",)),
            ("sum", Add(), ("fc", "fc2")),
            ("out", INTEGER, ("sum",)),
        ),
        "float: its integer scale is not declared",
    ),
]


@pytest.mark.parametrize(("graph", "message"), INTEGERS)
def test_integers_are_declared_and_fit(graph: Graph, message: str) -> None:
    with pytest.raises(GraphError, match=message):
        verify(graph)


def test_one_bit_holds_minus_one_and_one() -> None:
    signs = replace(DENSE, weight=np.array([[1, -1], [0, 1]]), weight_bits=1)
    verify(projected(signs, stage="integer", soma=INTEGER))
    with pytest.raises(GraphError, match="does not fit 1 bits"):
        verify(projected(replace(signs, weight=signs.weight * 2), stage="integer", soma=INTEGER))


@pytest.mark.parametrize(("phase", "steps"), [(1, 2), (2, 1), (0, 1)])
def test_phases_and_delays_agree(phase: int, steps: int) -> None:
    graph = projected(Delay(steps=steps), DENSE, stage="mapped", soma=replace(INTEGER, phase=phase))
    with pytest.raises(GraphError, match=f"out: phase {phase}, but spikes of direct .* arrive after {steps} steps"):
        verify(graph)


def looped(*operators: Node, stage: str, soma: Soma) -> Graph:
    """``projected(DENSE)`` in chip time, and the operators from the soma back to itself."""
    nodes: list[Triple] = [("back0", operators[0], ("out",))]
    nodes += [(f"back{number}", node, (f"back{number - 1}",)) for number, node in enumerate(operators[1:], start=1)]
    chip = [("wait", Delay(steps=1), ("direct",))] if stage == "mapped" else []
    return net(
        stage, *chip, ("op", DENSE, ("wait" if chip else "direct",)), *nodes, ("sum", Add(), ("op", nodes[-1][0])),
        ("out", soma, ("sum",)),
    )  # fmt: skip


BACK = Recurrent(shape=(2,))


@pytest.mark.parametrize("stage", ["traced", "fused", "spiking", "integer", "mapped"])
def test_recurrence_is_legal_at_every_stage(stage: str) -> None:
    soma = replace(INTEGER, phase=int(stage == "mapped")) if stage in ("integer", "mapped") else FLOAT
    verify(looped(BACK, DENSE, stage=stage, soma=soma))


def test_a_recurrent_projection_has_its_own_steps_and_no_other() -> None:
    soma = replace(INTEGER, phase=1)
    verify(looped(replace(BACK, steps=5), DENSE, stage="mapped", soma=soma))
    with pytest.raises(GraphError, match=r"out: phase 1, but spikes of out \(phase 1\) arrive after 2 steps"):
        verify(looped(replace(BACK, wait=1), DENSE, stage="mapped", soma=soma))
    with pytest.raises(GraphError, match=r"out: phase 1, but spikes of out \(phase 1\) arrive after 0 steps"):
        verify(looped(replace(BACK, wait=-1), DENSE, stage="mapped", soma=soma))
    with pytest.raises(GraphError, match=r"it must be \[Recurrent \| Delay\] Reshape"):
        verify(looped(BACK, Delay(steps=1), DENSE, stage="mapped", soma=soma))
    two = Recurrent(shape=(2,))
    nodes: list[Triple] = [("first", FLOAT, ("op",)), ("back", BACK, ("first",)), ("again", two, ("back",))]
    with pytest.raises(GraphError, match="again: a Recurrent reads back"):
        verify(net("fused", ("op", DENSE, ("direct",)), *nodes, ("out", FLOAT, ("again",))))


def test_every_projection_takes_a_step() -> None:
    with pytest.raises(GraphError, match="arrive after 0 steps; run the retime pass"):
        verify(projected(DENSE, stage="mapped", soma=INTEGER))
