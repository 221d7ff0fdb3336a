"""Chip time: a spike takes one time step through a projection, while a trained network runs all layers in one step.

Each population gets its phase, the length of the longest path from the input; a projection that skips layers waits
longer, so that everything which meets in a soma arrives together. Then chip(t + phase) = logical(t), spike for spike,
and samples can follow each other without a gap. A projection that carries the past has steps of its own, of which the
chip's is one: so it may also come from populations that work on a sample later than its soma does, by so many steps.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from neurocompile.errors import GraphError
from neurocompile.ir.graph import Graph
from neurocompile.ir.nodes import Delay
from neurocompile.ir.populations import Population, Projection, populations


@dataclass(frozen=True)
class Retime:
    """``max_delay_steps``: the longest delay of a projection besides its own step (None: any). GraphError, with the
    path, where spikes would have to wait longer, or where they come back by a loop that takes more steps than they are
    late by."""

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
                self._check(projection, wait, _path(slowest, population.name))
                first = projection.names[0]
                if projection.past:
                    draft.replace(first, replace(projection.past, wait=wait))
                else:
                    delay = draft.add(f"{first}.delay", Delay(steps=wait), graph.inputs(first))
                    draft.replace(first, projection.nodes[0], (delay,))
        return draft.finish("mapped")

    def _check(self, projection: Projection, wait: int, path: list[str]) -> None:
        """``path``: the longest one to the soma, for which the projection waits."""
        own = projection.past.longest if projection.past else 0
        if self.max_delay_steps is None or wait + own <= 1 + self.max_delay_steps:
            return
        skip = f" for those that come by {' -> '.join(path)}" if wait > 0 else ""
        if own and skip:
            skip = f", {own} of their own and {wait}{skip}"
        remedies = ["shorten the skip"] if skip else []
        remedies += ["delay them by less, or choose a chip with longer delays"] if own else ["put a neuron on its way"]
        raise GraphError(
            f"{path[-1]}: spikes of {projection.source} must wait {wait + own} steps{skip}, the chip delays by at most "
            f"{self.max_delay_steps} besides the one that they take; {', or '.join(remedies)}"
        )


def _phases(everyone: tuple[Population, ...]) -> tuple[dict[str, int], dict[str, Projection]]:
    """Per population the longest path from the input, on which each projection counts one step less those that it is
    late by in the network, and the last projection of that path. GraphError where a loop has more projections than it
    is late by: it would have to take less time than it does."""
    phases = {population.name: 0 for population in everyone}
    slowest: dict[str, Projection] = {}
    grown = ""
    for _ in range(len(everyone) + 1):
        grown = ""
        for population in everyone:
            for projection in population.projections:
                late = projection.past.steps if projection.past else 0
                phase = phases.get(projection.source, 0) + 1 - late
                if phase > phases[population.name]:
                    phases[population.name] = phase
                    slowest[population.name], grown = projection, population.name
        if not grown:
            return phases, slowest
    # what still grows lies on such a loop or behind it
    for _ in everyone:
        grown = slowest[grown].source
    loop, late = [grown], 0
    while len(loop) == 1 or loop[0] != grown:
        last = slowest[loop[0]]
        loop.insert(0, last.source)
        late += last.past.steps if last.past else 0
    missing = len(loop) - 1 - late
    raise GraphError(
        f"{grown}: its spikes come back by {' -> '.join(loop)}, which takes {len(loop) - 1} time steps on a chip, one "
        f"for each projection, and {late} in the network; bring them back {missing} steps later, or to a layer nearer "
        "to the one that they come from"
    )


def _path(slowest: dict[str, Projection], name: str) -> list[str]:
    """The longest path from the input to ``name``."""
    path = [name]
    while path[0] in slowest:
        path.insert(0, slowest[path[0]].source)
    return path
