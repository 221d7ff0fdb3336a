"""Search for geometries that torch's kernels get wrong: a convolution of bytes or float32 against one of float64.

    python benchmarks/geometries.py [--seconds 60] [--seed 0] [--kernel bytes|float32] [--all]

Without ``--all`` only what the functional engine gives to the kernels of bytes (``products._ordinary``). Every few
geometries are tried in a child process, since some of those that the engine refuses end it.
"""

from __future__ import annotations

import argparse
import os
import time
from typing import Any

import numpy as np
import torch

from neurocompile.backends.functional import products
from neurocompile.errors import GraphError
from neurocompile.ir.nodes import Conv2d

_TOGETHER = 25

Geometry = tuple[Conv2d, tuple[int, int, int], int, bool]


def draw(rng: np.random.Generator, *, everything: bool) -> Geometry:
    """A convolution, the shape of its input, the number of frames, and whether inputs have a sign."""
    while True:
        groups, inputs, outputs = (
            int(rng.choice(each)) for each in ((1, 1, 2, 3, 8), (1, 2, 3, 4, 5, 16, 32), (1, 2, 4, 16, 20, 68))
        )
        kernel, padding = rng.integers(1, 8, 2), rng.integers(0, 4, 2)
        stride = rng.integers(1, 5, 2) if everything else rng.integers(1, 3, 1).repeat(2)
        dilation = rng.choice((1, 1, 1, 2), 2) if everything else (1, 1)
        shape = (groups * inputs, *(int(size) for size in rng.integers(1, 16, 2)))
        node = Conv2d(
            weight=rng.integers(-7, 8, (groups * outputs, inputs, *kernel)).astype(np.int8),
            stride=_pair(stride), padding=_pair(padding), dilation=_pair(dilation), groups=groups,
        )  # fmt: skip
        try:
            node.output_shape(shape)
        except GraphError:
            continue
        if everything or products._ordinary(node):
            return node, shape, int(rng.choice((1, 2, 3, 5, 9, 17, 40))), bool(rng.integers(2))


def _pair(values: Any) -> tuple[int, int]:
    first, second = values
    return int(first), int(second)


def is_right(geometry: Geometry, kernel: str) -> bool:
    node, shape, count, signed = geometry
    given = np.random.default_rng(1).integers(-8 if signed else 0, 8, (count, *shape))
    frames = np.ascontiguousarray(np.moveaxis(given, 1, -1)).astype(np.int8 if signed else np.uint8)
    product = (
        products.ByteConv(node, shape, 128 if signed else 0)
        if kernel == "bytes"
        else products._floating(node, shape, torch.float32)
    )
    found = product(products.as_image(torch.from_numpy(frames))).numpy()
    return bool((found == products.fast_linear(node, given.astype(np.float64))).all())


def _tell(geometry: Geometry, what: str) -> None:
    node, shape, count, signed = geometry
    print(
        f"{what}: weight {node.weight.shape}, stride {node.stride}, padding {node.padding}, dilation {node.dilation}, "
        f"groups {node.groups}, input {shape}, {count} frames, {'signed' if signed else 'unsigned'}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Search for geometries that torch's kernels get wrong.")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kernel", choices=("bytes", "float32"), default="bytes")
    parser.add_argument("--all", action="store_true", help="geometries that the engine refuses too")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    rng = np.random.default_rng(chosen.seed)
    tried, bad = 0, 0
    end = time.monotonic() + chosen.seconds
    while time.monotonic() < end:
        some = [draw(rng, everything=chosen.all) for _ in range(_TOGETHER)]
        reading, writing = os.pipe()
        if not os.fork():
            for geometry in some:
                os.write(writing, b"+" if is_right(geometry, chosen.kernel) else b"-")
            os._exit(0)
        os.close(writing)
        with os.fdopen(reading, "rb") as answers:
            said = answers.read().decode()
        os.wait()
        for geometry, answer in zip(some, said, strict=False):
            if answer == "-":
                _tell(geometry, "wrong")
        if len(said) < len(some):
            _tell(some[len(said)], "crash")
        tried, bad = tried + len(said), bad + said.count("-") + (len(said) < len(some))
    print(f"{tried:,} geometries tried, {bad:,} wrong")
    raise SystemExit(bool(bad))


if __name__ == "__main__":
    main()
