"""The interpreter as a backend: slow, obvious, and right by definition."""

from __future__ import annotations

import numpy as np

from neurocompile.backends.base import Progress
from neurocompile.errors import InputError
from neurocompile.ir.graph import Graph
from neurocompile.ir.interpret import Trace, check_samples, interpret
from neurocompile.ir.nodes import Array

#: samples that go through the interpreter together
_BATCH = 64


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
        if not len(checked):
            raise InputError(f"input has no samples: its shape is {samples.shape}; give at least one")
        traces = []
        for start in range(0, len(checked), _BATCH):
            batch = samples[start : start + _BATCH]
            traces.append(interpret(graph, batch, first_sample=first_sample + start))
            if progress:
                progress(start + len(batch), len(checked))
        return Trace(
            _joined([trace.outputs for trace in traces]),
            _joined([trace.events for trace in traces]),
        )


def _joined(parts: list[dict[str, Array]]) -> dict[str, Array]:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
