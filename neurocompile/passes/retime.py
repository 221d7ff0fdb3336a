"""Chip time: a spike takes one time step through a projection, while a trained network runs all layers in one step.

Each population gets its phase, the length of the longest path from the input; a projection that skips layers waits
longer, so that everything which meets in a soma arrives together. Then chip(t + phase) = logical(t), spike for spike,
and samples can follow each other without a gap.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from neurocompile.errors import GraphError
from neurocompile.ir.graph import Graph
from neurocompile.ir.nodes import Delay
from neurocompile.ir.populations import populations


@dataclass(frozen=True)
class Retime:
    """``max_delay_steps``: the longest delay that a projection may have (None: any). GraphError, with the path, where
    a skip connection would need more."""

    name: ClassVar[str] = "retime"
    max_delay_steps: int | None = None

    def run(self, graph: Graph) -> Graph:
        draft = graph.edit()
        phases: dict[str, int] = {}
        slowest: dict[str, str] = {}
        for population in populations(graph):
            starts = {projection.source: phases.get(projection.source, 0) for projection in population.projections}
            slowest[population.name] = max(starts, key=starts.__getitem__)
            phase = phases[population.name] = 1 + max(starts.values())
            draft.replace(population.name, replace(population.soma, phase=phase))
            for projection in population.projections:
                steps = phase - starts[projection.source]
                if self.max_delay_steps is not None and steps > self.max_delay_steps:
                    raise GraphError(
                        f"{population.name}: spikes of {projection.source} must wait {steps} steps for those that come "
                        f"by {' -> '.join(_path(slowest, population.name))}, the chip delays by at most "
                        f"{self.max_delay_steps}; shorten the skip, or put a neuron on its way"
                    )
                first = projection.names[0]
                delay = draft.add(f"{first}.delay", Delay(steps=steps), (projection.source,))
                draft.replace(first, projection.nodes[0], (delay,))
        return draft.finish("mapped")


def _path(slowest: dict[str, str], name: str) -> list[str]:
    """The longest path from the input to ``name``."""
    path = [name]
    while path[0] in slowest:
        path.insert(0, slowest[path[0]])
    return path
