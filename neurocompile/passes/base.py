"""A pass is a frozen dataclass with a name and ``run(graph) -> graph``; its fields are its options.

A pass returns a new graph (sharing arrays) and never changes the one that it is given. The pass manager is a loop
over an explicit tuple: the order of passes is the order in the source. It verifies after each.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

from neurocompile.errors import InputError, NeurocompileError
from neurocompile.ir.graph import Graph
from neurocompile.ir.verify import verify


class Pass(Protocol):
    name: ClassVar[str]

    def run(self, graph: Graph) -> Graph: ...


@dataclass(frozen=True)
class PassManager:
    """Runs ``passes`` in order. ``after(name, graph, seconds)`` is called after each, for printing and timing."""

    passes: Sequence[Pass]
    after: Callable[[str, Graph, float], None] | None = None

    def run(self, graph: Graph, *, stop_after: str | None = None) -> Graph:
        names = [each.name for each in self.passes]
        if stop_after is not None and stop_after not in names:
            raise InputError(f"pass {stop_after!r} is not in the pipeline; choose one of {', '.join(names)}")
        verify(graph)
        for index, each in enumerate(self.passes):
            start = time.perf_counter()
            result = each.run(graph)
            try:
                verify(result)
            except NeurocompileError as error:
                before = ", ".join(names[:index]) or "nothing"
                raise AssertionError(f"pass {each.name} (after {before}) made an illegal graph: {error}") from error
            if self.after:
                self.after(each.name, result, time.perf_counter() - start)
            graph = result
            if each.name == stop_after:
                break
        return graph
