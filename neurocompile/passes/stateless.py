"""Networks of one time step keep no membrane: ``u = x + bias`` from a zero start, and nobody reads it afterwards.

Each neuron for which that is proved becomes a ``Threshold``. A batch norm that feeds only that neuron moves into the
threshold (the weights stay as trained), whatever the sign of its scale:

    factor*x + shift > v   <=>   x > (v - shift)/factor   for factor > 0,   x < (v - shift)/factor   for factor < 0
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from neurocompile.ir.graph import Draft, Graph
from neurocompile.ir.nodes import Array, BatchNorm, Neuron, Threshold, per_channel


@dataclass(frozen=True)
class Stateless:
    name: ClassVar[str] = "stateless"

    def run(self, graph: Graph) -> Graph:
        if graph.timesteps != 1:
            return graph
        draft = graph.edit()
        for name, node in graph.items():
            # one that fires before it integrates shows, at its only step, what was there before: nothing
            if isinstance(node, Neuron) and node.order == "integrate_first":
                threshold = Threshold(
                    threshold=node.threshold,
                    bias=node.bias,
                    compare=node.compare,
                    spikes=node.spikes,
                    max_payload=node.max_payload,
                )
                draft.replace(name, threshold)
                _absorb_batch_norm(graph, draft, name, threshold)
        return draft.finish()


def _absorb_batch_norm(graph: Graph, draft: Draft, name: str, node: Threshold) -> None:
    (feeding,) = graph.inputs(name)
    norm = graph.node(feeding)
    if not isinstance(norm, BatchNorm) or graph.consumers(feeding) != (name,) or node.spikes != "binary":
        return
    factor = norm.factor
    if (factor == 0).any():
        return  # the comparison does not depend on x there; fuse_batchnorm turns it into a bias
    shape = graph.shape(name)
    column = (-1,) + (1,) * (len(shape) - 1)
    wide = max(node.threshold.ndim, node.bias.ndim) > 1
    threshold = per_channel(node.threshold.astype(np.float64), shape) - per_channel(node.bias.astype(np.float64), shape)
    moved: Array = (threshold - norm.shift.reshape(column)) / factor.reshape(column)
    draft.replace(
        name,
        Threshold(
            threshold=np.broadcast_to(moved, shape) if wide else moved.reshape(-1),
            flip=factor < 0,
            compare=node.compare,
        ),
    )
    draft.bypass(feeding)
