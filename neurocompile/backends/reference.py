"""The interpreter as a backend: right by definition."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from neurocompile.backends.base import Progress, Samples, joined, result_dtype
from neurocompile.ir.bounds import exact_in_float64
from neurocompile.ir.graph import Graph
from neurocompile.ir.interpret import Trace, check_fit, interpret
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
        traces = list(self.batches(graph, samples, first_sample=first_sample, progress=progress))
        return joined(graph, traces)

    def batches(
        self,
        graph: Graph,
        samples: Samples,
        *,
        first_sample: int = 0,
        events: bool = True,
        given: Mapping[str, Array] | None = None,
        progress: Progress | None = None,
    ) -> Iterator[Trace]:
        """As ``Streams.batches``."""
        check_fit(graph, samples.shape, samples.dtype)
        integer = graph.stage in ("integer", "mapped")
        # NumPy multiplies int64 matrices without BLAS; where float64 is proved to give the same integers, it is faster
        number = np.float64 if integer and exact_in_float64(graph) else None
        kind = result_dtype(graph)
        size = _batch_size(graph)
        for start in range(0, len(samples), size):
            batch = samples[start : start + size]
            told = {name: values[start : start + size] for name, values in (given or {}).items()}
            trace = interpret(graph, batch, first_sample=first_sample + start, dtype=number, given=told)
            if progress:
                progress(start + len(batch), len(samples))
            yield Trace(_cast(trace.outputs, kind), _cast(trace.events, kind) if events else {})


def _batch_size(graph: Graph) -> int:
    """How many samples fit: the interpreter unfolds the windows of a convolution, its largest array by far."""
    windows = [
        math.prod(graph.shape(name)[1:]) * math.prod(node.weight.shape[1:]) * node.groups
        for name, node in graph.items()
        if isinstance(node, Conv2d)
    ]
    return max(1, min(_MOST_SAMPLES, _MOST_NUMBERS // max(windows, default=1)))


def _cast(arrays: dict[str, Array], kind: np.dtype[Any]) -> dict[str, Array]:
    return {name: array.astype(kind, copy=False) for name, array in arrays.items()}
