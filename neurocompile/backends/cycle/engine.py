"""From spikes and a mapping to the time of every step."""

from __future__ import annotations

from collections.abc import Mapping as Map

from neurocompile.backends.cycle.result import CycleRun, Timing
from neurocompile.hardware.profile import Profile
from neurocompile.ir.graph import Graph
from neurocompile.ir.nodes import Array
from neurocompile.mapping.mapping import Mapping


def simulate(
    graph: Graph,
    mapping: Mapping,
    profile: Profile,
    events: Map[str, Array],
    *,
    timing: Timing = "exact",
    awake: Map[str, Array] | None = None,
) -> CycleRun:
    """Time a run of ``graph`` (stage "mapped") on a chip.

    ``events``: what each encoder and each spiking soma sends, (N, T, *shape), in the network's own time.
    ``awake``: bool (N, T, *shape) for each soma with state, whether its state was other than zero before the update;
    wanted where the profile's ``core.active`` is "state". ProfileError where a time that is wanted is null.
    """
    raise NotImplementedError
