"""Average pools become sums, with their 1/k² behind them."""

from __future__ import annotations

import pytest

from neurocompile.ir.nodes import AvgPool2d, Scale, SumPool2d
from neurocompile.passes.pooling import FoldPooling
from tests.passes.helpers import assert_same, lif, net, samples_of


@pytest.mark.parametrize(
    "pool",
    [
        AvgPool2d(kernel=(2, 2), stride=(2, 2)),
        AvgPool2d(kernel=(2, 4), stride=(1, 3)),
        AvgPool2d(kernel=(2, 2), stride=(1, 1), padding=(1, 1)),
    ],
)
def test_a_pool_with_two_readers(pool: AvgPool2d) -> None:
    graph = net(
        ("pool", pool, ("direct",)), ("out", lif(), ("pool",)), ("end", lif(0.5), ("pool",)), shape=(2, 5, 6),
        outputs=("out", "end"), stage="fused",
    )  # fmt: skip
    after = FoldPooling().run(graph)
    assert not after.of_kind(AvgPool2d)
    total, scale = after.node("pool"), after.node("pool.mean")
    assert isinstance(total, SumPool2d)
    assert isinstance(scale, Scale)
    assert (total.kernel, total.stride, total.padding) == (pool.kernel, pool.stride, pool.padding)
    assert scale.weight == 1 / (pool.kernel[0] * pool.kernel[1])
    assert after.inputs("out") == after.inputs("end") == ("pool.mean",)
    assert_same(graph, after, samples_of(graph))
