"""Change how neurons reset, because the user asked for it: ``--reset zero`` for chips without subtractive reset."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from neurocompile.ir.graph import Graph
from neurocompile.ir.nodes import Neuron


@dataclass(frozen=True)
class ResetToZero:
    """The result is another network: its accuracy must be measured again, and ``verify`` does."""

    name: ClassVar[str] = "reset_to_zero"

    def run(self, graph: Graph) -> Graph:
        draft = graph.edit()
        for name in graph.of_kind(Neuron):
            node = graph.node(name)
            assert isinstance(node, Neuron)
            draft.replace(name, replace(node, reset="set", reset_value=np.zeros(()), leaky_reset=True))
        return draft.finish()
