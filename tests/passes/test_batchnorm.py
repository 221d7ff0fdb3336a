"""Batch norm goes into its neighbour, or becomes a weight and a bias of its own."""

from __future__ import annotations

import numpy as np
import pytest

from neurocompile.ir.graph import Graph
from neurocompile.ir.nodes import Add, AvgPool2d, BatchNorm, Concat, Conv2d, Flatten, Linear, Node, Scale
from neurocompile.ir.verify import verify
from neurocompile.passes.batchnorm import FuseBatchNorm
from neurocompile.passes.pooling import FoldPooling
from neurocompile.passes.projections import SplitProjections
from tests.passes.helpers import Triple, assert_same, lif, net, norm, quarters, samples_of

NORM = norm([1, -2, 0], [0.25, 1, -0.5], [-0.5, 0.25, 1], [1, 2, 0.5])


def assert_fused(graph: Graph) -> Graph:
    after = FuseBatchNorm().run(graph)
    assert not after.of_kind(BatchNorm)
    assert after.stage == "fused"
    assert_same(graph, after, samples_of(graph))
    return after


@pytest.mark.parametrize("bias", [None, quarters(3, seed=5)])
@pytest.mark.parametrize("padding", [(0, 0), (1, 2)])
def test_after_a_convolution(bias: np.ndarray | None, padding: tuple[int, int]) -> None:
    conv = Conv2d(weight=quarters(3, 1, 2, 2), bias=bias, padding=padding, stride=(1, 2))
    assert_fused(
        net(("conv", conv, ("direct",)), ("bn", NORM, ("conv",)), ("out", lif(), ("bn",)), shape=(1, 4, 4))
    )  # fmt: skip


def test_after_a_linear_layer_by_hand() -> None:
    """gamma 2, sqrt(variance 3.75 + epsilon .25) = 2, mean 3, beta 1: y - 3 + 1."""
    bn = norm([2, 2], [1, 1], [3, 3], [2, 2])
    fc = Linear(weight=np.array([[1.0, 2], [3, 4]]), bias=np.array([5.0, 6]))
    after = assert_fused(net(("fc", fc, ("direct",)), ("bn", bn, ("fc",)), ("out", lif(), ("bn",))))
    fused = after.node("fc")
    assert isinstance(fused, Linear)
    assert fused.bias is not None
    assert fused.weight.tolist() == [[1, 2], [3, 4]]
    assert fused.bias.tolist() == [3, 4]


def test_epsilon_is_the_node_s_own() -> None:
    one = np.ones(2)
    for epsilon, factor in ((0.0, 1.0), (3.0, 0.5), (15.0, 0.25)):
        bn = BatchNorm(gamma=one, beta=one * 0, mean=one * 0, variance=one, epsilon=epsilon)
        graph = net(("fc", Linear(weight=np.eye(2)), ("direct",)), ("bn", bn, ("fc",)), ("out", lif(), ("bn",)))
        fused = FuseBatchNorm().run(graph).node("fc")
        assert isinstance(fused, Linear)
        assert np.array_equal(fused.weight, np.eye(2) * factor)


def behind_neuron(*nodes: Triple, shape: tuple[int, ...] = (3, 4, 4), outputs: tuple[str, ...] = ("out",)) -> Graph:
    """direct -> "lif" -> "bn" -> ``nodes``."""
    return net(("lif", lif(0.5), ("direct",)), ("bn", NORM, ("lif",)), *nodes, shape=shape, outputs=outputs)


@pytest.mark.parametrize("groups", [1, 3])
@pytest.mark.parametrize("bias", [None, quarters(6, seed=5)])
def test_before_a_convolution_without_padding(groups: int, bias: np.ndarray | None) -> None:
    conv = Conv2d(weight=quarters(6, 3 // groups, 2, 2), bias=bias, groups=groups)
    assert_fused(behind_neuron(("conv", conv, ("bn",)), ("out", lif(), ("conv",))))


def test_before_a_padded_convolution_where_it_adds_nothing() -> None:
    bn = norm([1, -2, 0], [-0.5, -0.25, 0], [-0.5, 0.25, 1], [1, 2, 0.5])
    assert not bn.shift.any()
    conv = Conv2d(weight=quarters(2, 3, 2, 2), padding=(1, 0))
    graph = net(
        ("lif", lif(0.5), ("direct",)), ("bn", bn, ("lif",)), ("conv", conv, ("bn",)), ("out", lif(), ("conv",)),
        shape=(3, 4, 4),
    )  # fmt: skip
    fused = assert_fused(graph).node("conv")
    assert isinstance(fused, Conv2d)
    assert fused.bias is None


def test_before_several_layers_and_through_a_flatten() -> None:
    graph = behind_neuron(
        ("flat", Flatten(), ("bn",)),
        ("fc", Linear(weight=quarters(2, 48)), ("flat",)),
        ("out", lif(), ("fc",)),
        ("conv", Conv2d(weight=quarters(2, 3, 2, 2, seed=9)), ("bn",)),
        ("end", lif(), ("conv",)),
        outputs=("out", "end"),
    )
    assert_fused(graph)


def test_one_after_another() -> None:
    """Two behind one layer, and one on each side of a layer."""
    fc = Linear(weight=quarters(3, 3))
    graph = net(
        ("lif", lif(0.5), ("direct",)), ("bn", NORM, ("lif",)), ("fc", fc, ("bn",)), ("bn2", NORM, ("fc",)),
        ("bn3", NORM, ("bn2",)), ("out", lif(), ("bn3",)), shape=(3,),
    )  # fmt: skip
    assert_fused(graph)


def test_one_layer_s_norm_may_have_many_readers() -> None:
    graph = net(
        ("fc", Linear(weight=quarters(3, 2)), ("direct",)), ("bn", NORM, ("fc",)), ("a", lif(), ("bn",)),
        ("b", lif(2.0), ("bn",)), ("sum", Add(), ("a", "bn")), ("out", lif(), ("sum",)), outputs=("out", "b"),
    )  # fmt: skip
    assert_fused(graph)


POOL = AvgPool2d(kernel=(2, 2), stride=(2, 2))
PADDED = AvgPool2d(kernel=(2, 2), stride=(2, 2), padding=(1, 0))
CONV = Conv2d(weight=quarters(2, 3, 2, 2))
TWO = norm([1, -2], [0.25, 1], [-0.5, 0.25], [1, 2])


def test_a_pool_without_padding_may_stand_between() -> None:
    assert_fused(
        net(("conv", CONV, ("direct",)), ("pool", POOL, ("conv",)), ("bn", TWO, ("pool",)), ("out", lif(), ("bn",)),
            shape=(3, 5, 5))
    )  # fmt: skip
    assert_fused(
        behind_neuron(("pool", POOL, ("bn",)), ("flat", Flatten(), ("pool",)),
                      ("fc", Linear(weight=quarters(2, 12)), ("flat",)), ("out", lif(), ("fc",)))
    )  # fmt: skip


#: where a batch norm can go into no layer: one that others read too, padding that its shift does not reach, or no layer
AS_SCALE: list[Graph] = [
    net(
        ("fc", Linear(weight=quarters(3, 2)), ("direct",)),
        ("bn", NORM, ("fc",)),
        ("out", lif(), ("bn",)),
        ("end", lif(), ("fc",)),
        outputs=("out", "end"),
    ),
    behind_neuron(("conv", Conv2d(weight=quarters(2, 3, 2, 2), padding=(0, 1)), ("bn",)), ("out", lif(), ("conv",))),
    behind_neuron(("out", lif(), ("bn",))),
    behind_neuron(("pool", PADDED, ("bn",)), ("conv", CONV, ("pool",)), ("out", lif(), ("conv",))),
    net(
        ("conv", CONV, ("direct",)),
        ("pool", POOL, ("conv",)),
        ("bn", TWO, ("pool",)),
        ("out", lif(), ("bn",)),
        ("end", lif(), ("conv",)),
        shape=(3, 5, 5),
        outputs=("out", "end"),
    ),
    behind_neuron(
        ("flat", Flatten(), ("bn",)),
        ("a", Linear(weight=quarters(2, 48)), ("flat",)),
        ("out", lif(), ("a",)),
        ("end", lif(), ("flat",)),
        outputs=("out", "end"),
    ),
    behind_neuron(("conv", CONV, ("bn",)), ("out", lif(), ("conv",)), ("end", lif(), ("bn",)), outputs=("out", "end")),
    behind_neuron(
        ("both", Concat(), ("bn", "lif")),
        ("conv", Conv2d(weight=quarters(2, 6, 2, 2), padding=(1, 1)), ("both",)),
        ("out", lif(), ("conv",)),
    ),
]


@pytest.mark.parametrize("graph", AS_SCALE)
def test_where_no_layer_can_take_it_a_scale_and_a_bias_do(graph: Graph) -> None:
    after = assert_fused(graph)
    scale = after.node("bn")
    assert isinstance(scale, Scale)
    assert scale.bias is not None
    for each in (FoldPooling(), SplitProjections()):
        after = each.run(after)
        verify(after)
    assert not any(getattr(after.node(name), "bias", None) is not None for name in after.of_kind(Scale, Conv2d, Linear))
    assert_same(graph, after, samples_of(graph))


def test_a_padded_pool_between_a_layer_and_its_norm_is_merged_later() -> None:
    graph = net(
        ("conv", CONV, ("direct",)), ("pool", PADDED, ("conv",)), ("bn", TWO, ("pool",)), ("out", lif(), ("bn",)),
        shape=(3, 5, 5),
    )  # fmt: skip
    after = SplitProjections().run(FoldPooling().run(assert_fused(graph)))
    verify(after)
    assert_same(graph, after, samples_of(graph))


def test_single_precision_weights_are_summed_in_double() -> None:
    """1e8 + 1 - 1e8 is 0 in single precision: the bias that a kernel's sum gives must not lose it."""
    weight = np.array([1e8, 1, -1e8], np.float32).reshape(1, 1, 1, 3)
    bn = norm([1.0], [1.0], [0.0], [1.0])
    nodes: tuple[tuple[str, Node, tuple[str, ...]], ...] = (
        ("lif", lif(0.5), ("direct",)),
        ("bn", bn, ("lif",)),
        ("conv", Conv2d(weight=weight), ("bn",)),
        ("out", lif(), ("conv",)),
    )
    fused = FuseBatchNorm().run(net(*nodes, shape=(1, 1, 3))).node("conv")
    assert isinstance(fused, Conv2d)
    assert fused.bias is not None
    assert fused.bias.tolist() == [1.0]
