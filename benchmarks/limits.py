"""What this machine can do at best with the threads that the cases use: multiplications, and reading memory."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from child import Side

_REPEAT = 25


def side() -> Side:
    def run() -> dict[str, Any]:
        return {
            "fp32_gemm_gops": _gemm(),
            "bytes_gemm_gops": _byte_gemm(),
            "bytes_conv_gops": _byte_conv(),
            "read_bytes_per_s": _read(),
        }

    return Side(run, warm_ups=0)


def _best(work: Callable[[], Any]) -> float:
    """Seconds of the fastest of some runs: what disturbs can only slow down."""
    work()
    best = float("inf")
    for _ in range(_REPEAT):
        start = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - start)
    return best


def _gemm(size: int = 2048) -> float:
    a, b = torch.rand(size, size), torch.rand(size, size)
    return 2 * size**3 / _best(lambda: a @ b) / 1e9


def _byte_gemm(size: int = 2048) -> float:
    """u8 x s8 to float32, the kernel of linear layers."""
    x, weight = _bytes(size, size)
    packed = torch.ops.onednn.qlinear_prepack(weight, [1, size])
    ones, zeros = torch.ones(size), torch.zeros(size, dtype=torch.int64)

    def work() -> Any:
        return torch.ops.onednn.qlinear_pointwise(
            x, 1.0, 0, packed, ones, zeros, None, 1.0, 0, torch.float32, "none", [], ""
        )

    return 2 * size**3 / _best(work) / 1e9


def _byte_conv(batch: int = 32, channels: int = 256, side: int = 16) -> float:
    """u8 x s8 to bytes, 3 x 3, the kernel of convolutions that feed a threshold."""
    shape = (batch, channels, side, side)
    x = torch.randint(0, 2, shape, dtype=torch.uint8).contiguous(memory_format=torch.channels_last)
    weight = torch.randint(-127, 128, (channels, channels, 3, 3), dtype=torch.int8)
    ones, zeros = torch.ones(channels), torch.zeros(channels, dtype=torch.int64)
    geometry = [1, 1], [1, 1], [1, 1], 1
    packed = torch.ops.onednn.qconv_prepack(weight, ones, 1.0, 0, *geometry, list(shape))

    def work() -> Any:
        return torch.ops.onednn.qconv2d_pointwise(
            x, 1.0, 0, packed, ones, zeros, None, *geometry, 1.0, 0, torch.uint8, "hardtanh", [0.0, 1.0], ""
        )

    return 2 * batch * side * side * 9 * channels**2 / _best(work) / 1e9


def _bytes(rows: int, columns: int) -> tuple[torch.Tensor, torch.Tensor]:
    x = torch.randint(0, 2, (rows, columns), dtype=torch.uint8)
    return x, torch.randint(-127, 128, (columns, columns), dtype=torch.int8)


def _read(size: int = 1 << 28) -> float:
    """Bytes per second of summing 1 GiB of float32, or of multiplying it with a vector, whichever is faster."""
    data = torch.ones(size)
    rows, vector = data.view(-1, 4096), torch.ones(4096)
    return 4 * size / min(_best(data.sum), _best(lambda: rows @ vector))
