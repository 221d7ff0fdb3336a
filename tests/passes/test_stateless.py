"""One time step: neurons become thresholds, and batch norms move into them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from neurocompile.ir.interpret import interpret
from neurocompile.ir.nodes import AvgPool2d, BatchNorm, Conv2d, Linear, Neuron, Readout, Threshold
from neurocompile.passes.stateless import Stateless
from tests.passes.helpers import assert_same, lif, net, norm, quarters, samples_of


@pytest.mark.parametrize("compare", ["above", "at_or_above"])
@pytest.mark.parametrize("spikes", ["binary", "signed", "graded"])
@pytest.mark.parametrize("threshold", [np.array(0.5), quarters(2) ** 2 + 0.25, quarters(2, 3, 3) ** 2 + 0.25])
@pytest.mark.parametrize("bias", [np.array(0.0), quarters(2), quarters(2, 3, 3)])
def test_a_neuron_of_one_step_is_a_threshold(compare: Any, spikes: Any, threshold: Any, bias: Any) -> None:
    node = Neuron(
        threshold=threshold, bias=bias, compare=compare, spikes=spikes, max_payload=3, leak=np.array(0.5),
        current_leak=np.array(0.25), reset="set", reset_value=np.array(-1.0), single_spike=True,
        membrane_min=np.array(-0.25),  # which acts on what is left for a next step
    )  # fmt: skip
    graph = net(("out", node, ("direct",)), shape=(2, 3, 3), steps=1)
    after = Stateless().run(graph)
    assert isinstance(after.node("out"), Threshold)
    assert_same(graph, after, samples_of(graph, 40))


def test_several_steps_keep_their_state() -> None:
    graph = net(("out", lif(), ("direct",)), steps=2)
    assert Stateless().run(graph) is graph


def test_what_fires_first_or_only_integrates_keeps_its_state() -> None:
    """A neuron that fires before it integrates shows, at its only step, the zero that it started from."""
    nodes = (("first", lif(order="fire_first"), ("direct",)), ("fc", Linear(weight=quarters(3, 2)), ("first",)))
    graph = net(*nodes, ("out", Readout(), ("fc",)), steps=1)
    after = Stateless().run(graph)
    assert [node.kind for _, node in after.items()] == ["Input", "DirectEncoder", "Neuron", "Linear", "Readout"]


WEIGHT = quarters(3, 1, 2, 2, seed=4)
NORM = norm([1, -2, 0.5], [0.25, 1, -0.5], [-0.5, 0.25, 1], [1, 2, 0.5])


@pytest.mark.parametrize("compare", ["above", "at_or_above"])
@pytest.mark.parametrize("wide", [False, True])
def test_a_batch_norm_of_any_sign_moves_into_the_threshold(compare: Any, wide: bool) -> None:
    node = lif(quarters(3, 3, 3, seed=2) ** 2 + 0.25 if wide else 0.5, bias=quarters(3), compare=compare)
    graph = net(
        ("conv", Conv2d(weight=WEIGHT), ("direct",)), ("bn", NORM, ("conv",)), ("out", node, ("bn",)),
        shape=(1, 4, 4), steps=1,
    )  # fmt: skip
    after = Stateless().run(graph)
    assert not after.of_kind(BatchNorm)
    conv, threshold = after.node("conv"), after.node("out")
    assert isinstance(conv, Conv2d)
    assert isinstance(threshold, Threshold)
    assert np.array_equal(conv.weight, WEIGHT)  # as trained
    assert threshold.flip.tolist() == [False, True, False]
    assert threshold.threshold.shape == ((3, 3, 3) if wide else (3,))
    assert_same(graph, after, samples_of(graph, 60))


def test_the_moved_threshold_by_hand() -> None:
    """2(x - 3)/4 + 1 > 2 is x > 5; -(x - 3)/2 + 1 > 2 is x < 1."""
    bn = norm([2, -1], [1, 1], [3, 3], [4, 2])
    after = Stateless().run(net(("bn", bn, ("direct",)), ("out", lif(2.0), ("bn",)), steps=1))
    node = after.node("out")
    assert isinstance(node, Threshold)
    assert node.threshold.tolist() == [5, 1]
    assert node.flip.tolist() == [False, True]


def test_equality_at_the_moved_threshold() -> None:
    bn = norm([2, -1], [1, 1], [3, 3], [4, 2])
    for compare, expected in (("above", [0, 0]), ("at_or_above", [1, 1])):
        graph = net(("bn", bn, ("direct",)), ("out", lif(2.0, compare=compare), ("bn",)), steps=1)
        samples = np.array([[[5.0, 1.0]], [[4.0, 2.0]], [[6.0, 0.0]]])
        after = Stateless().run(graph)
        assert_same(graph, after, samples)
        assert interpret(after, samples).outputs["out"].tolist() == [expected, [0, 0], [1, 1]]


def test_it_moves_behind_a_pool_too() -> None:
    pool = AvgPool2d(kernel=(2, 2), stride=(2, 2))
    graph = net(
        ("conv", Conv2d(weight=WEIGHT), ("direct",)), ("pool", pool, ("conv",)), ("bn", NORM, ("pool",)),
        ("out", lif(0.5), ("bn",)), shape=(1, 5, 5), steps=1,
    )  # fmt: skip
    after = Stateless().run(graph)
    assert not after.of_kind(BatchNorm)
    assert_same(graph, after, samples_of(graph, 60))


@pytest.mark.parametrize("why", ["zero scale", "another reader", "signed spikes"])
def test_a_batch_norm_that_stays_for_the_next_pass(why: str) -> None:
    bn = norm([0, 1], [1, 1], [0, 0], [1, 1]) if why == "zero scale" else norm([1, -1], [0.5, 0], [0, 0], [1, 1])
    node = lif(0.5, spikes="signed") if why == "signed spikes" else lif(0.5)
    more = (("more", lif(1.0), ("bn",)),) if why == "another reader" else ()
    graph = net(
        ("fc", Linear(weight=quarters(2, 2)), ("direct",)), ("bn", bn, ("fc",)), ("out", node, ("bn",)), *more,
        steps=1, outputs=("out", *(name for name, _, _ in more)),
    )  # fmt: skip
    after = Stateless().run(graph)
    assert after.of_kind(BatchNorm) == ["bn"]
    assert isinstance(after.node("out"), Threshold)
    assert_same(graph, after, samples_of(graph, 40))
