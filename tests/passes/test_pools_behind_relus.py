"""Max pools go behind ReLUs: they read nothing else then, and the ANN computes what it computed."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from neurocompile.errors import GraphError
from neurocompile.ir.graph import Graph
from neurocompile.ir.interpret import interpret, linear
from neurocompile.ir.nodes import (
    Add,
    AvgPool2d,
    BatchNorm,
    Concat,
    Conv2d,
    DirectEncoder,
    Input,
    MaxPool2d,
    Node,
    Readout,
    Relu,
)
from neurocompile.passes.pools_behind_relus import MoveMaxPools

Array = npt.NDArray[Any]
Nodes = list[tuple[str, Node, tuple[str, ...]]]
RNG = np.random.default_rng(0)
POOL = MaxPool2d(kernel=(2, 2), stride=(1, 1))


def conv(channels: int = 2) -> Conv2d:
    return Conv2d(weight=RNG.normal(size=(2, channels, 2, 2)), bias=RNG.normal(size=2))


def norm(*gamma: float) -> BatchNorm:
    return BatchNorm(
        gamma=np.array(gamma), beta=RNG.normal(size=2), mean=RNG.normal(size=2), variance=np.ones(2), epsilon=0.0
    )


def network(*nodes: tuple[str, Node, tuple[str, ...]]) -> Graph:
    """input, encoder, conv, then ``nodes``, then a readout of the last."""
    first: Nodes = [
        ("input", Input(shape=(2, 8, 8)), ()),
        ("encoder", DirectEncoder(), ("input",)),
        ("conv", conv(), ("encoder",)),
    ]
    return Graph("net", "traced", 1, [*first, *nodes, ("readout", Readout(), (nodes[-1][0],))], ("readout",))


def product(node: Node, *inputs: Array) -> Array:
    if isinstance(node, Concat):
        return np.concatenate(inputs, axis=1)
    if not isinstance(node, MaxPool2d):
        return linear(node, *inputs)
    windows = np.lib.stride_tricks.sliding_window_view(inputs[0], node.kernel, axis=(2, 3))
    return windows.max(axis=(4, 5))


GOOD: dict[str, Nodes] = {
    "behind already": [("relu", Relu(), ("conv",)), ("pool", POOL, ("relu",))],
    "before a ReLU": [("pool", POOL, ("conv",)), ("relu", Relu(), ("pool",)), ("last", conv(), ("relu",))],
    "two before a ReLU": [
        ("pool", POOL, ("conv",)), ("again", POOL, ("pool",)), ("relu", Relu(), ("again",)),
        ("last", conv(), ("relu",)),
    ],
    "before a batch norm and a ReLU": [
        ("pool", POOL, ("conv",)), ("norm", norm(1, 0.5), ("pool",)), ("relu", Relu(), ("norm",)),
        ("last", conv(), ("relu",)),
    ],
    "behind a batch norm": [
        ("relu", Relu(), ("conv",)), ("norm", norm(1, 0), ("relu",)), ("pool", POOL, ("norm",)),
        ("last", conv(), ("pool",)),
    ],
    "behind a batch norm that others read": [
        ("relu", Relu(), ("conv",)), ("norm", norm(1, 2), ("relu",)), ("pool", POOL, ("norm",)),
        ("other", conv(), ("norm",)), ("sum", Add(), ("pool", "other")),
    ],
    "behind a concat, twice": [
        ("relu", Relu(), ("conv",)), ("side", conv(), ("encoder",)), ("relu2", Relu(), ("side",)),
        ("cat", Concat(), ("relu", "relu2")), ("pool", POOL, ("cat",)), ("again", POOL, ("pool",)),
        ("last", conv(4), ("again",)),
    ],
    "one pool of two readers": [
        ("relu", Relu(), ("conv",)), ("pool", POOL, ("relu",)), ("one", Relu(), ("pool",)),
        ("other", Relu(), ("pool",)), ("sum", Add(), ("one", "other")),
    ],
}  # fmt: skip


@pytest.mark.parametrize("layout", GOOD)
def test_pools_read_relus_and_nothing_changes(layout: str) -> None:
    graph = network(*GOOD[layout])
    moved = MoveMaxPools().run(graph)
    pools = moved.of_kind(MaxPool2d)
    assert pools
    assert all(isinstance(moved.node(moved.inputs(name)[0]), (Relu, MaxPool2d)) for name in pools)
    assert all(moved.consumers(name) or name == "readout" for name in moved)
    samples = RNG.normal(size=(3, 2, 8, 8))
    wanted = interpret(graph, samples, product=product).outputs["readout"]
    np.testing.assert_allclose(interpret(moved, samples, product=product).outputs["readout"], wanted, atol=1e-12)


BAD: dict[str, tuple[Nodes, str]] = {
    "the convolution": ([("pool", POOL, ("conv",))], r"pool: .* only where it reads a ReLU, it reads conv \(Conv2d\)"),
    "an average": (
        [("relu", Relu(), ("conv",)), ("mean", AvgPool2d(kernel=(2, 2), stride=(2, 2)), ("relu",)),
         ("pool", POOL, ("mean",))],
        r"it reads mean \(AvgPool2d\); put a ReLU between, or use average pooling",
    ),
    "channels turned round": (
        [("relu", Relu(), ("conv",)), ("norm", norm(1, -1), ("relu",)), ("pool", POOL, ("norm",))],
        r"it reads norm \(BatchNorm\)",
    ),
    "one branch of a concat": (
        [("relu", Relu(), ("conv",)), ("cat", Concat(), ("relu", "conv")), ("pool", POOL, ("cat",))],
        r"pool.1: .* it reads conv \(Conv2d\)",
    ),
}  # fmt: skip


@pytest.mark.parametrize("layout", BAD)
def test_pools_of_values_that_are_no_relus(layout: str) -> None:
    nodes, words = BAD[layout]
    with pytest.raises(GraphError, match=words):
        MoveMaxPools().run(network(*nodes))
