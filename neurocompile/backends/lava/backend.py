"""The Lava backend."""

from __future__ import annotations

import tempfile
from pathlib import Path

from neurocompile.backends.base import Progress
from neurocompile.backends.lava import compat, guard
from neurocompile.backends.lava.job import Job
from neurocompile.errors import BackendError, GraphError
from neurocompile.ir.graph import Graph
from neurocompile.ir.interpret import Trace, check_samples, encode
from neurocompile.ir.nodes import ENCODERS, Array


class LavaBackend:
    """Runs mapped graphs in Intel's Lava, all samples pipelined in one run.

    ``use_stock``: take Lava's own processes where they say the same as the graph; else ours throughout.
    """

    name = "lava"

    def __init__(self, *, use_stock: bool = True) -> None:
        self.use_stock = use_stock

    def unavailable(self) -> str | None:
        return compat.unavailable()

    def run(
        self,
        graph: Graph,
        samples: Array,
        *,
        first_sample: int = 0,
        timeout_s: float | None = None,
        progress: Progress | None = None,
    ) -> Trace:
        """As ``Backend.run``; ``progress`` counts time steps. Without ``timeout_s`` only a standstill ends a run."""
        if reason := self.unavailable():
            raise BackendError(f"the lava backend cannot run here: {reason}")
        if graph.stage != "mapped":
            raise GraphError(
                f"graph {graph.name!r} is at stage {graph.stage!r}; Lava runs mapped graphs, retime it first"
            )
        checked = check_samples(graph, samples)
        encoded = {name: encode(graph, name, checked, first_sample) for name in graph.of_kind(*ENCODERS)}
        with tempfile.TemporaryDirectory(prefix="neurocompile-") as folder:
            job = Job.create(Path(folder), graph, encoded, use_stock=self.use_stock)
            guard.run(job, timeout_s=timeout_s, progress=progress)
            return job.trace(encoded)
