"""The graph: what it refuses, its order, its edits, its text and its hash."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurocompile.errors import GraphError
from neurocompile.ir.graph import Graph
from neurocompile.ir.nodes import (
    Add,
    AvgPool2d,
    AxonDelay,
    BatchNorm,
    Conv2d,
    DirectEncoder,
    Dropout,
    Flatten,
    Identity,
    Input,
    Linear,
    Neuron,
    Node,
    PoissonEncoder,
    Readout,
    Recurrent,
    Scale,
)
from neurocompile.ir.text import to_text
from neurocompile.passes.base import PassManager
from neurocompile.passes.quantize import Quantize
from neurocompile.passes.retime import Retime
from tests.networks import lower, networks

Triple = tuple[str, Node, tuple[str, ...]]

SOURCES: list[Triple] = [("input", Input(shape=(2,)), ()), ("direct", DirectEncoder(), ("input",))]
NEURON = Neuron(threshold=np.array(1.0))


def graph(*nodes: Triple, outputs: tuple[str, ...] = ("out",), stage: str = "traced", timesteps: int = 2) -> Graph:
    return Graph("net", stage, timesteps, [*SOURCES, *nodes], outputs)


def small_network() -> Graph:
    """A residual network of fixed numbers, for the goldens."""

    def weight(*shape: int) -> np.ndarray:
        return (np.arange(np.prod(shape)) % 5 - 2).reshape(shape) / 4

    two, three = np.full(2, 2.0), np.full(2, 3.0)
    nodes: list[Triple] = [
        ("input", Input(shape=(1, 4, 4)), ()),
        ("rate", PoissonEncoder(gain=0.5, seed=3), ("input",)),
        ("block.conv", Conv2d(weight=weight(2, 1, 3, 3), bias=np.array([0.25, -0.5]), padding=(1, 1)), ("rate",)),
        ("block.norm", BatchNorm(gamma=two, beta=two / 4, mean=three, variance=three, epsilon=1.0), ("block.conv",)),
        ("block.lif", Neuron(threshold=np.array([0.5, 0.75]), leak=np.array(0.875)), ("block.norm",)),
        ("down", Conv2d(weight=weight(2, 2, 1, 1), stride=(2, 2)), ("block.lif",)),
        ("pool", AvgPool2d(kernel=(2, 2), stride=(2, 2)), ("block.lif",)),
        ("add", Add(), ("down", "pool")),
        ("lif", Neuron(threshold=np.array(1.0), reset="set", compare="at_or_above", spikes="signed"), ("add",)),
        ("dropout", Dropout(), ("lif",)),
        ("flatten", Flatten(), ("dropout",)),
        ("fc", Linear(weight=weight(3, 8)), ("flatten",)),
        ("readout", Readout(), ("fc",)),
    ]
    return Graph("small", "traced", 4, nodes, ("readout",))


WRONG: list[tuple[Callable[[], Graph], str]] = [
    (lambda: graph(("out", NEURON, ("direct",)), stage="final"), "stage 'final' is not one of traced, fused"),
    (lambda: graph(("out", NEURON, ("direct",)), timesteps=0), "timesteps is 0"),
    (lambda: graph(("out", NEURON, ("direct",)), ("out", NEURON, ("direct",))), "two nodes are named 'out'"),
    (lambda: graph(("out", NEURON, ("conv9",))), "out: its input 'conv9' is not a node of graph 'net'"),
    (lambda: graph(("out", NEURON, ("direct",)), outputs=("last",)), "output 'last' is not one of its nodes"),
    (lambda: graph(("out", NEURON, ("direct", "direct"))), "out: Neuron takes 1 inputs, has 2"),
    (lambda: graph(("out", Add(), ())), "out: Add takes one or more inputs, has 0"),
    (lambda: graph(("out", Input(shape=(2,)), ("direct",))), "out: Input takes no inputs, has 1"),
    (lambda: graph(("out", Linear(weight=np.ones((2, 3))), ("direct",))), r"out: Linear: weight \(2, 3\) takes"),
    (
        lambda: graph(("a", NEURON, ("c",)), ("b", Identity(), ("a",)), ("c", Identity(), ("b",)), outputs=("a",)),
        "has a cycle: (a -> b -> c -> a|b -> c -> a -> b|c -> a -> b -> c); lead one of its connections through",
    ),
    (lambda: graph(("out", Add(), ("direct", "out"))), "has a cycle: out -> out;"),
    (
        lambda: graph(
            ("out", Add(), ("direct", "fc")),
            ("fc", Linear(weight=np.ones((2, 3))), ("back",)),
            ("back", Recurrent(shape=(3,)), ("out",)),
        ),
        r"^back: Recurrent.shape is \(3,\), but it reads \(2,\); they must be the same",
    ),
    (
        lambda: graph(
            ("sum", Add(), ("direct", "back")),
            ("out", NEURON, ("sum",)),
            ("back", Recurrent(shape=(2,), steps=0, axon_steps=np.arange(2)), ("out",)),
        ),
        "has a cycle: .*; lead one of its connections through a Recurrent node, which makes it arrive",
    ),
    (lambda: graph(("out", Recurrent(shape=(2,)), ("conv9",))), "out: its input 'conv9' is not a node of graph 'net'"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "message"), WRONG)
def test_refused_graphs(make: Callable[[], Graph], message: str) -> None:
    with pytest.raises(GraphError, match=message):
        make()


def test_the_order_is_topological_and_that_of_construction_where_it_may() -> None:
    nodes: list[Triple] = [("sum", Add(), ("b", "a")), ("a", NEURON, ("direct",)), ("b", NEURON, ("direct",))]
    assert list(graph(*nodes, outputs=("sum",))) == ["input", "direct", "a", "b", "sum"]
    assert list(graph(*nodes[::-1], outputs=("sum",))) == ["input", "direct", "b", "a", "sum"]


def recurrent() -> Graph:
    return graph(
        ("sum", Add(), ("direct", "all")),
        ("all", Linear(weight=np.array([[0.5, -1.0], [0.25, 0.0]])), ("before",)),
        ("before", Recurrent(shape=(2,)), ("out",)),
        ("out", NEURON, ("sum",)),
    )


def test_a_cycle_may_go_through_a_recurrent_node() -> None:
    net = recurrent()
    assert list(net) == ["input", "direct", "before", "all", "sum", "out"]
    assert net.consumers("out") == ("before",)
    assert net.inputs("before") == ("out",)
    assert net.edit().finish().hash == net.hash


def test_what_is_late_but_leads_to_no_cycle_stands_where_it_is_read() -> None:
    nodes: list[Triple] = [
        ("past", Recurrent(shape=(2,), steps=3), ("first",)),
        ("out", NEURON, ("past",)),
        ("first", NEURON, ("direct",)),
    ]
    assert list(graph(*nodes)) == ["input", "direct", "first", "past", "out"]


def test_delays_text_golden(golden: Callable[[str, str], None]) -> None:
    net = graph(
        ("sum", Add(), ("late", "again")),
        ("late", AxonDelay(steps=np.array([0, 3])), ("direct",)),
        ("first", NEURON, ("sum",)),
        ("fc", Linear(weight=np.array([[0.5, -1.0], [0.25, 0.0]])), ("first",)),
        ("fc.late", AxonDelay(steps=np.array(2)), ("fc",)),
        ("out", NEURON, ("fc.late",)),
        ("before", Recurrent(shape=(2,), steps=2), ("out",)),
        ("again", Scale(weight=np.array(0.5)), ("before",)),
        timesteps=4,
    )
    texts = [to_text(each) for each in (net, PassManager((Retime(),)).run(Quantize().run(lower(net))))]
    golden("delays.txt", "\n".join(texts))


def test_recurrent_text_golden(golden: Callable[[str, str], None]) -> None:
    golden("recurrent.txt", to_text(PassManager((Retime(),)).run(Quantize().run(lower(recurrent())))))


def test_a_node_may_read_another_twice() -> None:
    net = graph(("twice", Add(), ("direct", "direct")), ("out", NEURON, ("twice",)))
    assert net.inputs("twice") == ("direct", "direct")
    assert net.consumers("direct") == ("twice",)


def test_edits_leave_the_graph_as_it_was() -> None:
    net = graph(("id", Identity(), ("direct",)), ("out", NEURON, ("id",)))
    before = to_text(net)
    draft = net.edit()
    assert draft.add("id", Identity(), ("direct",)) == "id.2"
    assert draft.add("id", Identity(), ("direct",)) == "id.3"
    draft.redirect("id", "id.3")
    draft.bypass("id.3")
    draft.remove("id.2")
    assert draft.readers("direct") == ["id", "out"]
    draft.remove("id")
    after = draft.finish("spiking")
    assert after.inputs("out") == ("direct",)
    assert list(after) == ["input", "direct", "out"]
    assert after.stage == "spiking"
    assert to_text(net) == before


def test_redirect_reaches_the_outputs() -> None:
    draft = graph(("out", NEURON, ("direct",))).edit()
    draft.redirect("out", draft.add("new", NEURON, ("direct",)))
    assert draft.finish().outputs == ("new",)


@pytest.mark.parametrize("stage", ["traced", "spiking", "integer", "mapped"])
def test_text_goldens(stage: str, golden: Callable[[str, str], None]) -> None:
    net = small_network()
    if stage != "traced":
        net = lower(net)
    if stage in ("integer", "mapped"):
        net = PassManager((Quantize(),)).run(net)
    if stage == "mapped":
        net = PassManager((Retime(),)).run(net)
    golden(f"small-{stage}.txt", to_text(net))


def test_equal_graphs_have_equal_hashes() -> None:
    assert small_network().hash == small_network().hash
    assert len(small_network().hash) == 64


@settings(max_examples=30)
@given(st.data())
def test_the_hash_sees_every_array_element_and_every_field(data: st.DataObject) -> None:
    net = data.draw(networks())
    name, field = data.draw(
        st.sampled_from([(name, field) for name, node in net.items() for field, _ in node.arrays()])
    )
    changed = getattr(net.node(name), field).copy()
    place = data.draw(st.integers(0, changed.size - 1))
    # a half of what it was is another legal value for every field; a zero becomes one
    changed.flat[place] = changed.flat[place] / 2 or 1.0
    draft = net.edit()
    draft.replace(name, replace(net.node(name), **{field: changed}))
    assert draft.finish().hash != net.hash


def test_the_hash_sees_the_last_digit_of_a_plain_number() -> None:
    net = graph(("out", NEURON, ("direct",)))
    draft = net.edit()
    draft.replace("direct", DirectEncoder(limit=np.nextafter(1.0, 2.0).item()))
    assert draft.finish().hash != net.hash


def test_the_hash_sees_the_last_digit_of_a_single_value() -> None:
    """The text shows nine digits of an array of one value; its bytes count all the same."""
    net = graph(("out", NEURON, ("direct",)))
    draft = net.edit()
    draft.replace("out", replace(NEURON, threshold=np.nextafter(NEURON.threshold, 2)))
    assert to_text(draft.finish()) == to_text(net)
    assert draft.finish().hash != net.hash


@pytest.mark.parametrize("change", ["name", "timesteps", "stage", "outputs"])
def test_the_hash_sees_what_is_not_in_a_node(change: str) -> None:
    base: tuple[Triple, ...] = (("out", NEURON, ("direct",)), ("more", NEURON, ("direct",)))
    other = Graph(
        "other" if change == "name" else "net",
        "fused" if change == "stage" else "traced",
        3 if change == "timesteps" else 2,
        [*SOURCES, *base],
        ("out", "more") if change == "outputs" else ("out",),
    )
    assert other.hash != graph(*base).hash
