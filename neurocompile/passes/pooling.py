"""Average pooling becomes a sum of spikes; its 1/k² stands in a ``Scale`` that goes on into weights and thresholds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from neurocompile.ir.graph import Graph
from neurocompile.ir.nodes import AvgPool2d, Scale, SumPool2d


@dataclass(frozen=True)
class FoldPooling:
    name: ClassVar[str] = "fold_pooling"

    def run(self, graph: Graph) -> Graph:
        draft = graph.edit()
        for name, node in graph.items():
            if isinstance(node, AvgPool2d):
                mean = draft.add(
                    f"{name}.mean", Scale(weight=np.array(1.0 / (node.kernel[0] * node.kernel[1]))), (name,)
                )
                draft.redirect(name, mean)
                draft.replace(name, SumPool2d(kernel=node.kernel, stride=node.stride, padding=node.padding))
        return draft.finish()
