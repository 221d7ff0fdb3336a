"""Transposed convolutions are torch's, and become convolutions of values that lie apart."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from neurocompile.errors import GraphError
from neurocompile.ir.interpret import linear
from neurocompile.ir.nodes import AvgPool2d, BatchNorm, Conv2d, ConvTranspose2d, Linear, Reshape
from neurocompile.passes.base import PassManager
from neurocompile.passes.transposed import LowerTransposed, as_convolution
from tests.networks import LOWERING
from tests.passes.helpers import assert_same, lif, net, norm, quarters, samples_of

pairs = st.tuples(st.integers(1, 3), st.integers(1, 3))


@st.composite
def transposed(draw: st.DrawFn) -> tuple[ConvTranspose2d, np.ndarray]:
    groups, seed = draw(st.integers(1, 2)), draw(st.integers(0, 99))
    kernel, stride, dilation = draw(pairs), draw(pairs), draw(pairs)
    x = quarters(2, 2 * groups, *draw(pairs), seed=seed)
    reach = [step * (size - 1) for step, size in zip(dilation, kernel, strict=True)]
    most = [(step * (size - 1) + far) // 2 for step, size, far in zip(stride, x.shape[2:], reach, strict=True)]
    padding = tuple(draw(st.integers(0, each)) for each in most)  # also more than the kernel reaches
    extra = tuple(draw(st.integers(0, max(sizes) - 1)) for sizes in zip(stride, dilation, strict=True))
    outputs = draw(st.integers(1, 3))
    node = ConvTranspose2d(
        weight=quarters(2 * groups, outputs, *kernel, seed=seed + 1),
        bias=draw(st.sampled_from((None, quarters(outputs * groups, seed=seed + 2)))),
        stride=stride, padding=(padding[0], padding[1]), output_padding=(extra[0], extra[1]), dilation=dilation,
        groups=groups,
    )  # fmt: skip
    return node, x


@given(transposed())
def test_it_is_torch_s_and_its_convolution(case: tuple[ConvTranspose2d, np.ndarray]) -> None:
    node, x = case
    bias = None if node.bias is None else torch.tensor(node.bias)
    expected = torch.nn.functional.conv_transpose2d(
        torch.from_numpy(x), torch.tensor(node.weight), bias, node.stride, node.padding, node.output_padding,
        node.groups, node.dilation,
    ).numpy()  # fmt: skip
    assert node.output_shape(x.shape[1:]) == expected.shape[1:]
    assert np.array_equal(linear(node, x), expected)
    conv = as_convolution(node)
    assert conv.output_shape(x.shape[1:]) == expected.shape[1:]
    assert np.array_equal(linear(conv, x), expected)


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
def test_same_padding_of_an_even_kernel_is_one_sided() -> None:
    x, weight = quarters(1, 2, 5, 6), quarters(3, 2, 2, 4, seed=1)
    node = Conv2d(weight=weight, padding=(0, 1), end_padding=(1, 1))
    expected = torch.nn.functional.conv2d(torch.from_numpy(x), torch.from_numpy(weight), padding="same")
    assert np.array_equal(linear(node, x), expected.numpy())


@pytest.mark.parametrize("steps", [1, 3])
def test_a_decoder_with_batch_norms_before_and_behind(steps: int) -> None:
    up = ConvTranspose2d(
        weight=quarters(3, 2, 3, 3), bias=quarters(2), stride=(2, 2), padding=(1, 1), output_padding=(1, 1)
    )
    graph = net(
        ("fc", Linear(weight=quarters(12, 2)), ("direct",)),
        ("map", Reshape(shape=(3, 2, 2)), ("fc",)),
        ("lif", lif(0.5), ("map",)),
        ("before", norm([1, -2, 0], [0.25, 1, -0.5], [-0.5, 0.25, 1], [1, 2, 0.5]), ("lif",)),
        ("up", up, ("before",)),
        ("behind", norm([1, -2], [0.25, 1], [-0.5, 0.25], [1, 2]), ("up",)),
        ("pool", AvgPool2d(kernel=(2, 2), stride=(1, 1)), ("behind",)),
        ("out", lif(), ("pool",)),
        steps=steps,
    )
    lowered = LowerTransposed().run(graph)
    assert not lowered.of_kind(ConvTranspose2d)
    assert_same(graph, lowered, samples_of(graph))
    after = PassManager(LOWERING).run(graph)
    assert not after.of_kind(BatchNorm)
    assert_same(graph, after, samples_of(graph))
    layer = after.node("up")
    assert isinstance(layer, Conv2d)
    assert layer.upsample == (2, 2)
    assert after.shape("out") == (2, 3, 3)


def test_padding_that_leaves_nothing_is_refused() -> None:
    node = ConvTranspose2d(weight=quarters(1, 1, 1, 1), padding=(1, 0))
    with pytest.raises(GraphError, match=r"padding \(1, 0\) leaves nothing of its output \(0, 2\)"):
        node.output_shape((1, 2, 2))
