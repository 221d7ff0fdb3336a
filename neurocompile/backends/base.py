"""What every backend is: a name, a reason why it may be missing here, and a run that gives a Trace."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np

from neurocompile.ir.graph import Graph
from neurocompile.ir.interpret import Trace
from neurocompile.ir.nodes import Array, Shape

Progress = Callable[[int, int], None]


@runtime_checkable
class Samples(Protocol):
    """Samples (N, ...) that need not be in memory: what has a shape and a dtype, and gives arrays for slices."""

    @property
    def shape(self) -> Shape: ...
    @property
    def dtype(self) -> np.dtype[Any]: ...
    def __len__(self) -> int: ...
    def __getitem__(self, span: slice, /) -> Array: ...


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


@runtime_checkable
class Streams(Protocol):
    """A backend for more samples than fit into memory. It runs graphs of stage "integer"."""

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
        """Run samples (N, *shape) or (N, T, *shape), read as they are needed: a Trace for each of consecutive batches.

        Its values are those of ``Backend.run``, its integers may be narrower; without ``events`` there are none.
        Populations that are ``given`` send these events (N, T, *shape), and are not computed (not in chip time)."""


@runtime_checkable
class Explains(Protocol):
    """A backend that chooses between kernels."""

    def explain(self, graph: Graph) -> list[dict[str, Any]]:
        """How each ``layer`` is computed, and ``why``: rows of the same keys, in the order to show them in."""


def result_dtype(graph: Graph) -> np.dtype[Any]:
    """What ``Backend.run`` gives: int64, or float64 for float graphs."""
    return np.dtype(np.int64 if graph.stage in ("integer", "mapped") else np.float64)


def joined(graph: Graph, traces: Sequence[Trace]) -> Trace:
    """The traces of consecutive batches as one, as ``Backend.run`` gives it."""
    number = result_dtype(graph)

    def join(parts: list[dict[str, Array]]) -> dict[str, Array]:
        return {name: np.concatenate([part[name] for part in parts], dtype=number) for name in parts[0]}

    return Trace(join([trace.outputs for trace in traces]), join([trace.events for trace in traces]))
