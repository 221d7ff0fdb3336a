"""Delays go back to what sends: each rewrite leaves no AxonDelay and every spike where it was, or is refused."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from neurocompile.errors import GraphError
from neurocompile.ir.graph import Graph
from neurocompile.ir.interpret import interpret
from neurocompile.ir.nodes import (
    Add,
    Array,
    AvgPool2d,
    AxonDelay,
    Concat,
    Conv2d,
    ConvTranspose2d,
    Flatten,
    Linear,
    MaxPool2d,
    Node,
    Recurrent,
    Relu,
    Reshape,
    Scale,
    Shape,
)
from neurocompile.ir.verify import verify
from neurocompile.passes.delays import LowerDelays
from tests.passes.helpers import Triple, assert_same, lif, net, norm, quarters, samples_of

PER_NEURON = np.arange(8).reshape(2, 2, 2) % 4
PER_CHANNEL = np.array([2, 1])


def late(steps: Any) -> AxonDelay:
    return AxonDelay(steps=np.asarray(steps))


def chain(*nodes: Node, shape: Shape = (2,), steps: int = 5, source: str = "first") -> Graph:
    """direct -> first (a neuron) -> ``nodes`` -> out."""
    triples: list[Triple] = [("first", lif(0.5), ("direct",))]
    for number, node in enumerate(nodes):
        triples.append((f"n{number}", node, (f"n{number - 1}" if number else source,)))
    return net(*triples, ("out", lif(0.5), (triples[-1][0],)), shape=shape, steps=steps, outputs=("out", "first"))


def lowered(graph: Graph) -> Graph:
    verify(graph)
    after = LowerDelays().run(graph)
    verify(after)
    assert not after.of_kind(AxonDelay)
    assert_same(graph, after, samples_of(graph))
    assert interpret(after, samples_of(graph)).events["out"].any()
    return after


def pasts(graph: Graph) -> dict[str, tuple[str, list[int] | int]]:
    """Per Recurrent: what it reads, and its delays."""
    found = {}
    for name, node in graph.items():
        if isinstance(node, Recurrent):
            found[name] = (graph.inputs(name)[0], node.delays.tolist())
    return found


def test_one_delay_for_all_is_one_number() -> None:
    after = lowered(chain(late(3)))
    assert pasts(after) == {"n0": ("first", 3)}
    assert list(after) == ["input", "direct", "first", "n0", "out"]
    again = after.node("n0")
    assert isinstance(again, Recurrent)
    assert (again.steps, again.axon_steps, again.wait) == (3, None, 0)
    assert pasts(lowered(chain(late([2, 2])))) == {"n0": ("first", 2)}


@pytest.mark.parametrize("steps", [PER_CHANNEL, PER_NEURON])
def test_delays_of_channels_and_neurons(steps: Array) -> None:
    after = lowered(chain(late(steps), Flatten(), Linear(weight=quarters(3, 8)), shape=(2, 2, 2)))
    assert pasts(after) == {"n0": ("first", steps.tolist())}
    spread = np.broadcast_to(PER_CHANNEL[:, None, None], (2, 2, 2))
    after = lowered(chain(late(spread), shape=(2, 2, 2)))  # is told as shortly as may be
    assert pasts(after) == {"n0": ("first", PER_CHANNEL.tolist())}


def test_no_delay_is_nothing() -> None:
    graph = chain(late(0), Linear(weight=quarters(2, 2), bias=quarters(2)), late([0, 0]))
    assert list(lowered(graph)) == ["input", "direct", "first", "n1", "out"]
    untouched = chain(Linear(weight=quarters(2, 2)))
    assert LowerDelays().run(untouched) is untouched


def test_an_encoder_may_be_delayed() -> None:
    assert pasts(lowered(chain(late([0, 2]), source="direct"))) == {"n0": ("direct", [0, 2])}


IMAGE = Conv2d(weight=quarters(2, 2, 1, 1))
GROUPED = Conv2d(weight=quarters(4, 1, 2, 2), groups=2)
POOL = AvgPool2d(kernel=(2, 2), stride=(1, 1))
THROUGH: list[tuple[str, Sequence[Node], Any, Shape]] = [
    ("a scale", [Scale(weight=quarters(2)), late([1, 3])], [1, 3], (2,)),
    ("a flatten", [Flatten(), late(PER_NEURON.ravel())], PER_NEURON.tolist(), (2, 2, 2)),
    ("a matrix, all alike", [Linear(weight=quarters(2, 2), bias=np.zeros(2)), late([2, 2])], 2, (2,)),
    ("a convolution, all alike", [IMAGE, late(1)], 1, (2, 2, 2)),
    ("groups", [GROUPED, late([3, 3, 1, 1])], [3, 1], (2, 2, 2)),
    ("a pool, by channels", [POOL, late([2, 0])], [2, 0], (2, 2, 2)),
    ("a norm that adds nothing", [IMAGE, norm([1, 2], [0, 0], [0, 0], [1, 1]), late(2)], 2, (2, 2, 2)),
    ("each other", [late([1, 0]), Scale(weight=quarters(2)), late([1, 2])], 2, (2,)),
    ("several of them", [IMAGE, POOL, Flatten(), late(2), Linear(weight=quarters(3, 2))], 2, (2, 2, 2)),
]


@pytest.mark.parametrize(
    ("nodes", "delays", "shape"), [each[1:] for each in THROUGH], ids=[each[0] for each in THROUGH]
)
def test_a_delay_goes_back_through(nodes: Sequence[Node], delays: Any, shape: Shape) -> None:
    after = lowered(chain(*nodes, shape=shape, steps=6))
    ((source, found),) = pasts(after).values()
    assert (source, found) == ("first", delays)
    kept = [f"n{number}" for number, node in enumerate(nodes) if not isinstance(node, AxonDelay)]
    assert [name for name in after if name in kept] == kept  # under their own names


def test_what_is_late_already_becomes_later() -> None:
    """Through a sum, to what leads back, to the encoder and to the neuron."""
    graph = net(
        ("first", lif(0.5), ("direct",)),
        ("back", Recurrent(shape=(2,), steps=2, axon_steps=np.array([0, 1])), ("out",)),
        ("sum", Add(), ("direct", "first", "back")),
        ("late", late([2, 1]), ("sum",)),
        ("out", lif(0.5), ("late",)),
        steps=9,
    )
    after = lowered(graph)
    assert pasts(after) == {"late": ("direct", [2, 1]), "late.2": ("first", [2, 1]), "late.3": ("out", 4)}


def test_a_layer_that_is_read_with_and_without_delay_is_there_twice() -> None:
    graph = net(
        ("fc", Linear(weight=quarters(2, 2) + np.eye(2)), ("direct",)),
        ("late", late(1), ("fc",)),
        ("sum", Add(), ("fc", "late")),
        ("out", lif(0.5), ("sum",)),
    )  # fmt: skip
    after = lowered(graph)
    assert list(after) == ["input", "direct", "late", "fc", "fc.2", "sum", "out"]
    assert after.inputs("fc") == ("direct",)
    assert after.inputs("fc.2") == ("late",)


def test_joins_and_reshapes_move_delays_with_their_values() -> None:
    """The interpreter is not asked: these kinds are lowered before it runs them."""
    graph = net(
        ("a", lif(), ("direct",)), ("b", lif(), ("direct",)), ("both", Concat(), ("a", "b")),
        ("two", Reshape(shape=(2, 2, 1)), ("both",)),
        ("wide", ConvTranspose2d(weight=quarters(2, 1, 1, 1), groups=2), ("two",)),
        ("max", MaxPool2d(kernel=(1, 1), stride=(1, 1)), ("wide",)), ("late", late([1, 2]), ("max",)),
        ("out", lif(), ("late",)),
    )  # fmt: skip
    assert pasts(LowerDelays().run(graph)) == {"late": ("a", 1), "late.2": ("b", 2)}


REFUSED: list[tuple[Sequence[Node], Shape, str]] = [
    (
        [Linear(weight=quarters(2, 2), bias=np.ones(2)), late(1)],
        (2,),
        r"n1: it delays what n0 \(Linear\) gives, whose bias would begin late; delay what it reads, or let the neuron",
    ),
    (
        [IMAGE, norm([1, 1], [1, 0], [0, 0], [1, 1]), late(1)],
        (2, 2, 2),
        r"n2: it delays what n1 \(BatchNorm\) gives, whose bias would begin late",
    ),
    (
        [Linear(weight=quarters(2, 2)), Scale(weight=quarters(2)), late([1, 3])],
        (2,),
        r"n2: it delays what n0 \(Linear\) gives, from 1 to 3 steps, though the same inputs feed values of different "
        "delay; delay what it reads, or give all of them one delay",
    ),
    ([GROUPED, late([3, 2, 1, 1])], (2, 2, 2), r"n1: it delays what n0 \(Conv2d\) gives, from 1 to 3 steps"),
    ([POOL, Flatten(), late([2, 0]), late(1)], (1, 3, 2), r"n3: it delays what n0 \(AvgPool2d\) gives, from 1 to 3 s"),
    ([Relu(), late(1)], (2,), r"n1: it delays what n0 \(Relu\) gives, through which no delay can go back; delay what"),
]  # fmt: skip


@pytest.mark.parametrize(("nodes", "shape", "message"), REFUSED)
def test_what_a_delay_cannot_pass_is_refused(nodes: Sequence[Node], shape: Shape, message: str) -> None:
    with pytest.raises(GraphError, match=message):
        LowerDelays().run(chain(*nodes, shape=shape))


def test_sums_of_sums_of_delays_are_bounded() -> None:
    nodes: list[Triple] = []
    last = "direct"
    for number in range(12):
        nodes += [(f"late{number}", late(1 << number), (last,)), (f"sum{number}", Add(), (last, f"late{number}"))]
        last = f"sum{number}"
    with pytest.raises(GraphError, match="sum0: it is read with 2,048 different delays, limit 1,024; put neurons betw"):
        LowerDelays().run(net(*nodes, ("out", lif(), (last,))))
