"""Chip time: a spike takes one time step through a projection, while a trained network runs all layers in one step.

Each population gets its phase, the length of the longest path from the input; a projection that skips layers waits
longer, so that everything which meets in a soma arrives together. Then chip(t + phase) = logical(t), spike for spike,
and samples can follow each other without a gap. A recurrent projection has a step of its own, which is the chip's, so
it may come from any population whose phase is not beyond that of its soma: the soma's own, or one beside it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from neurocompile.errors import GraphError
from neurocompile.ir.graph import Graph
from neurocompile.ir.nodes import Delay
from neurocompile.ir.populations import Population, populations


@dataclass(frozen=True)
class Retime:
    """``max_delay_steps``: the longest delay that a projection may have (None: any). GraphError, with the path, where
    a skip connection would need more, or where a recurrent projection comes from further on."""

    name: ClassVar[str] = "retime"
    max_delay_steps: int | None = None

    def run(self, graph: Graph) -> Graph:
        draft = graph.edit()
        phases, slowest = _phases(populations(graph))
        for population in populations(graph):
            phase = phases[population.name]
            draft.replace(population.name, replace(population.soma, phase=phase))
            for projection in population.projections:
                wait = phase - phases.get(projection.source, 0)
                steps = wait + projection.recurrent
                if self.max_delay_steps is not None and steps > self.max_delay_steps:
                    raise GraphError(
                        f"{population.name}: spikes of {projection.source} must wait {steps} steps for those that come "
                        f"by {' -> '.join(_path(slowest, population.name))}, the chip delays by at most "
                        f"{self.max_delay_steps}; shorten the skip, or put a neuron on its way"
                    )
                if wait:
                    first, node = projection.names[projection.recurrent], projection.nodes[projection.recurrent]
                    delay = draft.add(f"{first}.delay", Delay(steps=wait), graph.inputs(first))
                    draft.replace(first, node, (delay,))
        return draft.finish("mapped")


def _phases(everyone: tuple[Population, ...]) -> tuple[dict[str, int], dict[str, str]]:
    """Per population the longest path from the input, on which a recurrent projection counts nothing, and which source
    it comes from. GraphError where a loop has more projections than recurrent ones: it would have to take no time."""
    phases = {population.name: 0 for population in everyone}
    slowest: dict[str, str] = {}
    grown = ""
    for _ in range(len(everyone) + 1):
        grown = ""
        for population in everyone:
            for projection in population.projections:
                phase = phases.get(projection.source, 0) + (not projection.recurrent)
                if phase > phases[population.name]:
                    phases[population.name] = phase
                    slowest[population.name], grown = projection.source, population.name
        if not grown:
            return phases, slowest
    # what still grows lies on such a loop or behind it
    for _ in everyone:
        grown = slowest[grown]
    loop = [slowest[grown], grown]
    while loop[0] != grown:
        loop.insert(0, slowest[loop[0]])
    raise GraphError(
        f"{grown}: its spikes come back by {' -> '.join(loop)}, which takes {len(loop) - 1} time steps on a chip, one "
        "for each projection, and fewer in the network; let recurrent connections come from the layer that they feed"
    )


def _path(slowest: dict[str, str], name: str) -> list[str]:
    """The longest path from the input to ``name``."""
    path = [name]
    while path[0] in slowest:
        path.insert(0, slowest[path[0]])
    return path
