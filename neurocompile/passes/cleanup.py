"""Remove what does nothing at inference: dropout and identities."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from neurocompile.ir.graph import Graph
from neurocompile.ir.nodes import Dropout, Identity


@dataclass(frozen=True)
class RemoveIdentity:
    name: ClassVar[str] = "remove_identity"

    def run(self, graph: Graph) -> Graph:
        draft = graph.edit()
        for name in graph.of_kind(Dropout, Identity):
            draft.bypass(name)
        return draft.finish()
