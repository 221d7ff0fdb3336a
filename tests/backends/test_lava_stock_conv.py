"""Our convolution gives what Lava's own Conv gives, on the convolutions that Lava's can say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from neurocompile.backends.lava import LavaBackend
from neurocompile.ir.graph import Graph
from neurocompile.ir.interpret import linear
from neurocompile.ir.nodes import Array, Conv2d, Delay, DirectEncoder, FixedPoint, Input, Readout

STOCK = Path(__file__).parents[2] / "benchmarks" / "stock_conv.py"
LAVA = LavaBackend()
pytestmark = [
    pytest.mark.lava,
    pytest.mark.skipif(LAVA.unavailable() is not None, reason=str(LAVA.unavailable())),
]


def stock(folder: Path, node: Conv2d, frames: Array) -> Array:
    """What Lava's Conv sends for each frame."""
    np.savez(
        folder / "in.npz", frames=frames, weight=node.weight, stride=node.stride, padding=node.padding,
        dilation=node.dilation, groups=node.groups, keep=True,
    )  # fmt: skip
    subprocess.run([sys.executable, STOCK, folder / "in.npz", folder / "out.npz"], check=True, timeout=120)
    return np.load(folder / "out.npz")["sums"]


def ours(node: Conv2d, frames: Array) -> Array:
    """What our process gives for each frame: each is a sample of one step, read out as it is."""
    nodes = [
        ("input", Input(shape=frames.shape[1:]), ()),
        ("encoder", DirectEncoder(scale=1.0, low=0, high=255), ("input",)),
        ("delay", Delay(steps=1), ("encoder",)),
        ("conv", node, ("delay",)),
        ("out", Readout(leak=np.array(4096), current_leak=np.array(0), bias=np.array(0), phase=1,
                        fixed=FixedPoint(state_bits=32)), ("conv",)),
    ]  # fmt: skip
    return LAVA.run(Graph("one", "mapped", 1, nodes, ("out",)), frames).outputs["out"]


@pytest.mark.parametrize(
    ("out", "channels", "size", "kernel", "stride", "padding", "dilation", "groups"),
    [
        (5, 3, (7, 6), (3, 2), (1, 1), (1, 0), (1, 1), 1),
        (4, 2, (9, 8), (3, 3), (2, 3), (2, 1), (1, 1), 1),
        (6, 4, (8, 8), (2, 3), (1, 2), (0, 1), (2, 1), 2),
    ],
)
def test_our_convolution_equals_lavas(tmp_path, out, channels, size, kernel, stride, padding, dilation, groups):
    rng = np.random.default_rng(out)
    weight = rng.integers(-127, 128, (out, channels // groups, *kernel)).astype(np.int8)
    node = Conv2d(
        weight=weight, stride=stride, padding=padding, dilation=dilation, groups=groups, weight_bits=8
    )  # fmt: skip
    frames = rng.integers(0, 256, (6, channels, *size))
    theirs = stock(tmp_path, node, frames)
    assert theirs.any()
    np.testing.assert_array_equal(ours(node, frames), theirs)
    np.testing.assert_array_equal(linear(node, frames), theirs)
