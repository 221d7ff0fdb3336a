"""The interpreter as a backend: right by definition."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from neurocompile.backends.base import Progress
from neurocompile.ir.bounds import exact_in_float64
from neurocompile.ir.graph import Graph
from neurocompile.ir.interpret import Trace, check_samples, interpret
from neurocompile.ir.nodes import Array, Conv2d

#: samples that go through the interpreter together, at most, and how many numbers a layer's windows may then have
_MOST_SAMPLES = 64
_MOST_NUMBERS = 1 << 23


class ReferenceBackend:
    """Runs graphs of any stage in this process. A mapped graph streams through in chip time, as on a chip."""

    name = "reference"

    def unavailable(self) -> str | None:
        return None

    def run(
        self,
        graph: Graph,
        samples: Array,
        *,
        first_sample: int = 0,
        timeout_s: float | None = None,  # noqa: ARG002 - nothing here can hang
        progress: Progress | None = None,
    ) -> Trace:
        """As ``Backend.run``; ``progress`` counts samples."""
        checked = check_samples(graph, samples)
        integer = graph.stage in ("integer", "mapped")
        # NumPy multiplies int64 matrices without BLAS; where float64 is proved to give the same integers, it is faster
        number = np.float64 if integer and exact_in_float64(graph) else None
        size = _batch_size(graph)
        traces = []
        for start in range(0, len(checked), size):
            batch = samples[start : start + size]
            traces.append(interpret(graph, batch, first_sample=first_sample + start, dtype=number))
            if progress:
                progress(start + len(batch), len(checked))
        kind = np.dtype(np.int64 if integer else np.float64)
        return Trace(
            _joined([trace.outputs for trace in traces], kind),
            _joined([trace.events for trace in traces], kind),
        )


def _batch_size(graph: Graph) -> int:
    """How many samples fit: the interpreter unfolds the windows of a convolution, its largest array by far."""
    windows = [
        math.prod(graph.shape(name)[1:]) * math.prod(node.weight.shape[1:]) * node.groups
        for name, node in graph.items()
        if isinstance(node, Conv2d)
    ]
    return max(1, min(_MOST_SAMPLES, _MOST_NUMBERS // max(windows, default=1)))


def _joined(parts: list[dict[str, Array]], kind: np.dtype[Any]) -> dict[str, Array]:
    return {name: np.concatenate([part[name] for part in parts]).astype(kind, copy=False) for name in parts[0]}
