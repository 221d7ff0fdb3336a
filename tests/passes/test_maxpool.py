"""Max pools of spikes become populations; of anything else, a stateless neuron compares first, or they are refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from neurocompile.errors import GraphError
from neurocompile.ir.graph import Graph
from neurocompile.ir.interpret import linear
from neurocompile.ir.nodes import (
    Add,
    Concat,
    Conv2d,
    Flatten,
    Linear,
    MaxPool2d,
    PoissonEncoder,
    Recurrent,
    SumPool2d,
    Threshold,
)
from neurocompile.ir.verify import verify
from neurocompile.passes.maxpool import LowerMaxPool
from neurocompile.passes.stateless import Stateless
from tests.passes.helpers import Triple, assert_same, lif, net, norm, quarters, samples_of

POOL = MaxPool2d(kernel=(2, 2), stride=(2, 2))
CONV = Conv2d(weight=quarters(2, 2, 3, 3), padding=(1, 1))


def lowered(*nodes: Triple, made: set[str], shape: tuple[int, ...] = (2, 5, 6), **choices: Any) -> Graph:
    """The graph after the pass, proved equal to the one before; ``made``: the populations that it has more."""
    graph = net(*nodes, shape=shape, **choices)
    if graph.timesteps == 1:
        graph = Stateless().run(graph)
    after = LowerMaxPool().run(graph)
    verify(after)
    assert not after.of_kind(MaxPool2d)
    assert_same(graph, after, samples_of(graph), more=True)
    somas = [{name for name in each if hasattr(each.node(name), "threshold")} for each in (graph, after)]
    assert somas[1] - somas[0] == made
    return after


@pytest.mark.parametrize(
    "pool",
    [
        POOL,
        MaxPool2d(kernel=(3, 2), stride=(1, 2), padding=(1, 1)),
        MaxPool2d(kernel=(2, 2), stride=(1, 1), padding=(1, 0), dilation=(2, 3)),
    ],
)
@pytest.mark.parametrize("steps", [1, 3])
def test_a_pool_of_spikes_is_a_population_of_its_name(pool: MaxPool2d, steps: int) -> None:
    after = lowered(("lif", lif(0.5), ("direct",)), ("pool", pool, ("lif",)), ("out", lif(), ("pool",)),
                    made={"pool"}, steps=steps)  # fmt: skip
    node, window = after.node("pool"), after.node("pool.window")
    assert isinstance(node, Threshold)
    assert isinstance(window, SumPool2d if pool.dilation == (1, 1) else Conv2d)
    assert after.shape("pool") == pool.output_shape((2, 5, 6))


def test_what_only_moves_spikes_may_stand_before_a_pool() -> None:
    lowered(
        ("lif", lif(0.5), ("direct",)), ("b", lif(1.5), ("direct",)), ("join", Concat(), ("lif", "b")),
        ("pool", POOL, ("join",)), ("again", MaxPool2d(kernel=(2, 2), stride=(1, 1)), ("pool",)),
        ("out", lif(), ("again",)), made={"pool", "again"},
    )  # fmt: skip
    lowered(
        ("lif", lif(0.5), ("direct",)), ("back", Recurrent(shape=(2, 5, 6)), ("lif",)), ("pool", POOL, ("back",)),
        ("out", lif(0.5), ("pool",)), made={"pool"},
    )  # fmt: skip


@pytest.mark.parametrize("padding", [(0, 0), (1, 1)])
@pytest.mark.parametrize("gamma", [[1.0, 2.0], [1.0, -1.0], [-1.0, -2.0]])
def test_a_stateless_neuron_compares_first(gamma: list[float], padding: tuple[int, int]) -> None:
    """A batch norm behind the pool is in its thresholds by then; a negative one turns the comparison."""
    pool = MaxPool2d(kernel=(2, 2), stride=(2, 1), padding=padding)
    bn = norm(gamma, [0.25, -0.5], [0.5, 0.25], [1, 2])
    for compare in ("above", "at_or_above"):
        after = lowered(
            ("conv", CONV, ("direct",)), ("pool", pool, ("conv",)), ("bn", bn, ("pool",)),
            ("out", lif([0.5, 1.0], bias=np.array([0.25, 0.0]), compare=compare), ("bn",)),
            made={"out.unpooled"}, steps=1,
        )  # fmt: skip
        assert after.inputs("out.unpooled") == ("conv",)
        out = after.node("out")
        assert isinstance(out, Threshold)
        assert not out.flip.any()


def test_a_norm_that_is_no_threshold_yet_goes_before_the_pool() -> None:
    """Since two neurons read it, or since a channel does not depend on its input."""
    for bn in (norm([1, -2], [0.25, -0.5], [0.5, 0.25], [1, 2]), norm([0, -2], [0.25, -0.5], [0.5, 0.25], [1, 2])):
        after = lowered(
            ("conv", CONV, ("direct",)), ("pool", POOL, ("conv",)), ("bn", bn, ("pool",)), ("out", lif(0.25), ("bn",)),
            ("end", lif(0.5), ("bn",)), made={"out.unpooled", "end.unpooled"}, steps=1, outputs=("out", "end"),
        )  # fmt: skip
        assert after.inputs("bn") == ("conv",)


def test_two_pools_and_two_neurons_behind_a_sum() -> None:
    pool = MaxPool2d(kernel=(2, 2), stride=(1, 1))
    lowered(
        ("conv", CONV, ("direct",)), ("sum", Add(), ("conv", "direct")), ("one", pool, ("sum",)),
        ("two", POOL, ("one",)), ("out", lif(), ("two",)), ("end", lif(2.0), ("two",)), ("side", lif(1.5), ("one",)),
        made={"out.unpooled", "out.unpooled.unpooled", "end.unpooled", "end.unpooled.unpooled", "side.unpooled"},
        steps=1, outputs=("out", "end", "side"),
    )  # fmt: skip


REFUSED: list[tuple[tuple[Triple, ...], int, str]] = [
    (
        (("pool", POOL, ("direct",)), ("conv", CONV, ("pool",)), ("out", lif(), ("conv",))), 1,
        r"pool: it takes the maximum of what direct \(DirectEncoder\) sends, which need not be 0 or 1; pool the",
    ),
    (
        (("poisson", PoissonEncoder(), ("input",)), ("pool", POOL, ("poisson",)), ("conv", CONV, ("pool",)),
         ("see", lif(), ("direct",)), ("out", lif(), ("conv",))), 3,
        r"pool: it takes the maximum of what poisson \(PoissonEncoder\) sends",
    ),
    (
        (("lif", lif(spikes="signed"), ("direct",)), ("pool", POOL, ("lif",)), ("out", lif(), ("pool",))), 3,
        "pool: it takes the maximum of the signed spikes of lif, which is no OR; train with binary spikes",
    ),
    (
        (("conv", CONV, ("direct",)), ("pool", POOL, ("conv",)), ("out", lif(), ("pool",))), 3,
        r"pool: it takes the maximum of what conv \(Conv2d\) gives, which is no sum of synapses, and out is no neuron "
        "without state that could compare first, with one threshold per channel; put the pool behind the neuron",
    ),
    (
        (("conv", CONV, ("direct",)), ("pool", POOL, ("conv",)),
         ("out", lif(quarters(2, 2, 3) ** 2 + 0.25), ("pool",))), 1,
        "and out is no neuron without state",
    ),
    (
        (("conv", CONV, ("direct",)), ("pool", POOL, ("conv",)), ("flat", Flatten(), ("pool",)),
         ("fc", Linear(weight=quarters(2, 12)), ("flat",)), ("out", lif(), ("fc",))), 1,
        "and flat is no neuron without state",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("nodes", "steps", "message"), REFUSED)
def test_refusals(nodes: tuple[Triple, ...], steps: int, message: str) -> None:
    outputs = ("out", "see") if any(name == "see" for name, *_ in nodes) else ("out",)
    graph = net(*nodes, shape=(2, 5, 6), steps=steps, outputs=outputs)
    graph = Stateless().run(graph)
    with pytest.raises(GraphError, match=message):
        LowerMaxPool().run(graph)


@given(st.data())
def test_it_is_torch_s(data: st.DataObject) -> None:
    kernel, stride, dilation = (data.draw(st.tuples(st.integers(1, 3), st.integers(1, 3))) for _ in range(3))
    padding = tuple(data.draw(st.integers(0, size // 2)) for size in kernel)
    size = data.draw(st.tuples(st.integers(7, 9), st.integers(7, 9)))
    x = quarters(2, 3, *size, seed=data.draw(st.integers(0, 99)))
    node = MaxPool2d(kernel=kernel, stride=stride, padding=(padding[0], padding[1]), dilation=dilation)
    expected = torch.nn.functional.max_pool2d(torch.from_numpy(x), kernel, stride, padding, dilation)
    assert np.array_equal(linear(node, x), expected.numpy())
    assert node.output_shape((3, *size)) == tuple(expected.shape[1:])
    whole = (x * 4).astype(np.int64)
    assert np.array_equal(linear(node, whole), expected.numpy() * 4)


def test_a_window_of_padding_alone_is_refused() -> None:
    node = MaxPool2d(kernel=(1, 2), stride=(1, 1), padding=(0, 1), dilation=(1, 3))
    with pytest.raises(
        GraphError, match=r"dilation \(1, 3\) goes beyond inputs \(1, 4, 2\), so that a window may lie in"
    ):
        node.output_shape((1, 4, 2))
