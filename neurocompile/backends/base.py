"""What every backend is: a name, a reason why it may be missing here, and a run that gives a Trace."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from neurocompile.ir.graph import Graph
from neurocompile.ir.interpret import Trace
from neurocompile.ir.nodes import Array

Progress = Callable[[int, int], None]


class Backend(Protocol):
    """Runs mapped graphs. Results and events are those of ``ir/interpret.py``, bit for bit."""

    @property
    def name(self) -> str: ...

    def unavailable(self) -> str | None:
        """Why this backend cannot run here, with the remedy; None where it can."""

    def run(
        self,
        graph: Graph,
        samples: Array,
        *,
        first_sample: int = 0,
        timeout_s: float | None = None,
        progress: Progress | None = None,
    ) -> Trace:
        """Run samples (N, *shape) or (N, T, *shape) of a mapped graph. BackendError where the engine fails."""
