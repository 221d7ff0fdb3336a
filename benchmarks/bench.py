"""Side-by-side measurements, each pair in one run on one machine: ratios hold where single times do not.

    python benchmarks/bench.py [--case NAME] [--repeat 5]

Writes build/bench/results.json: a list of {case, against, ours_seconds, theirs_seconds, ratio, want, ours_peak_bytes,
theirs_peak_bytes}, medians over the repeats. A ratio is theirs / ours.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from neurocompile.backends.lava import LavaBackend
from neurocompile.ir.graph import Graph
from neurocompile.ir.nodes import Conv2d, Delay, DirectEncoder, FixedPoint, Input, Readout

OUT = Path("build/bench/results.json")
STOCK = Path(__file__).parent / "stock_conv.py"

Case = Callable[[], tuple[float, float]]


def lava_conv() -> tuple[float, float]:
    """One step of a convolution 32 -> 64 channels, 3 x 3, on 32 x 32: our Lava process, and Lava's own."""
    rng = np.random.default_rng(0)
    weight = rng.integers(-127, 128, (64, 32, 3, 3)).astype(np.int8)
    frames = (rng.random((5, 32, 32, 32)) < 0.1).astype(np.int64)
    node = Conv2d(weight=weight, padding=(1, 1), weight_bits=8)
    fixed = FixedPoint(state_bits=32)
    zero = np.array(0)
    nodes = [
        ("input", Input(shape=frames.shape[1:]), ()),
        ("encoder", DirectEncoder(scale=1.0, low=0, high=1), ("input",)),
        ("delay", Delay(steps=1), ("encoder",)),
        ("conv", node, ("delay",)),
        ("out", Readout(leak=np.array(4096), current_leak=zero, bias=zero, phase=1, fixed=fixed), ("conv",)),
    ]
    graph = Graph("conv", "mapped", 1, nodes, ("out",))
    return _per_step(graph, np.tile(frames, (20, 1, 1, 1))), _stock_per_step(node, frames)


def _per_step(graph: Graph, frames: np.ndarray[Any, Any]) -> float:
    """Seconds per step between the first step and the last: start-up is left out, as for Lava's own."""
    seen: list[tuple[int, float]] = []
    LavaBackend().run(graph, frames, progress=lambda done, _: seen.append((done, time.perf_counter())))
    (first, begun), (last, ended) = next(each for each in seen if each[0] > 0), seen[-1]
    return (ended - begun) / (last - first)


def _stock_per_step(node: Conv2d, frames: np.ndarray[Any, Any]) -> float:
    with tempfile.TemporaryDirectory() as folder:
        given, found = Path(folder) / "in.npz", Path(folder) / "out.npz"
        np.savez(
            given, frames=frames, weight=node.weight, stride=node.stride, padding=node.padding,
            dilation=node.dilation, groups=node.groups, keep=False,
        )  # fmt: skip
        subprocess.run([sys.executable, STOCK, given, found], check=True, timeout=60)
        return float(np.load(found)["seconds"]) / len(frames)


#: name -> (what runs both sides once, against whom, how much faster we want to be)
CASES: dict[str, tuple[Case, str, float]] = {
    "lava-conv": (lava_conv, "Lava's stock Conv, per step", 10.0),
}


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure side by side.")
    parser.add_argument("--case", choices=sorted(CASES), help="one case (default: all)")
    parser.add_argument("--repeat", type=int, default=5, help="how often each pair runs; medians are told")
    chosen = parser.parse_args()
    results = []
    for name, (case, against, want) in CASES.items():
        if chosen.case in (None, name):
            pairs = [case() for _ in range(chosen.repeat)]
            ours, theirs = (statistics.median(side) for side in zip(*pairs, strict=True))
            ratio = statistics.median(theirs / ours for ours, theirs in pairs)
            results.append(
                {
                    "case": name,
                    "against": against,
                    "ours_seconds": ours,
                    "theirs_seconds": theirs,
                    "ratio": ratio,
                    "want": want,
                    # both sides are trees of processes; how much memory each has at its peak is not measured yet
                    "ours_peak_bytes": None,
                    "theirs_peak_bytes": None,
                }
            )
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(json.dumps(results, indent=1) + "\n")
    _show(results)


def _show(results: list[dict[str, Any]]) -> None:
    table = Table(title=f"{platform.machine()}, Python {platform.python_version()}", title_justify="left")
    for column in ("case", "against", "ours", "theirs", "ratio", "want"):
        table.add_column(column)
    for row in results:
        table.add_row(
            row["case"],
            row["against"],
            f"{row['ours_seconds'] * 1e3:.2f} ms",
            f"{row['theirs_seconds'] * 1e3:.2f} ms",
            f"{row['ratio']:.1f}x",
            f"{row['want']:.0f}x",
        )
    Console().print(table)


if __name__ == "__main__":
    main()
