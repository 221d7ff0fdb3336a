"""From spikes and a mapping to the time of every step."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping as Map

import numpy as np

from neurocompile.backends.cycle.activity import ChipActivity
from neurocompile.backends.cycle.messages import Load, Work, load_of
from neurocompile.backends.cycle.network import Mesh, step
from neurocompile.backends.cycle.plan import Plan
from neurocompile.backends.cycle.result import Cores, CycleRun, Links, Timeline, Timing
from neurocompile.backends.cycle.times import TICKS
from neurocompile.errors import InputError
from neurocompile.hardware.profile import Profile
from neurocompile.ir.graph import Graph
from neurocompile.ir.nodes import Array
from neurocompile.mapping.mapping import Mapping

#: neuron-steps laid out at once, unless a single sample has more
_CHUNK = 1 << 24


def simulate(
    graph: Graph,
    mapping: Mapping,
    profile: Profile,
    events: Map[str, Array],
    *,
    timing: Timing = "exact",
    awake: Map[str, Array] | None = None,
    leftover: Map[str, Array] | None = None,
    shown: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> CycleRun:
    """Time a run of ``graph`` (stage "mapped") on a chip.

    ``events``: what each encoder and each spiking soma sends, (N, T, *shape), in the network's own time.
    ``awake``: bool (N, T, *shape) for each soma with state, whether its state was other than zero before the update;
    wanted where the profile's ``core.active`` is "state", and not looked at elsewhere. ``leftover``: the same for the
    steps after its last sample, bool (at most D - phase, *shape). ``shown``: the sample of the timeline. ProfileError
    where a time that is wanted is null, InputError where events or states are missing or do not fit the graph.
    """
    if profile.core.active != "state":
        awake = leftover = None
    elif awake is None:
        raise InputError(
            f"{profile.name}: a state other than zero makes an update active there, and none was told; give the cycle "
            "engine awake states, which backends.functional.states finds"
        )
    plan = Plan.of(graph, mapping, profile)
    activity = ChipActivity(plan, events, awake, leftover)
    return _Run(plan, activity, profile.name, timing, shown).run(progress)


class _Run:
    def __init__(self, plan: Plan, activity: ChipActivity, profile: str, timing: Timing, shown: int) -> None:
        self.plan, self.activity, self.profile, self.timing = plan, activity, profile, timing
        cores, steps = plan.cores + 1, activity.steps  # with the host
        links = plan.tile_count * 4
        self.links = links
        self.mesh = Mesh(
            columns=plan.columns,
            links=links,
            hop_east_west=plan.hop_east_west,
            hop_north_south=plan.hop_north_south,
            within_tile=plan.within_tile,
            link_time=plan.link_time,
            buffer=plan.buffer,
            overlap=plan.overlap,
            host=plan.host,
        )
        self.stalled, self.queue_wait, self.queue_peak = np.zeros(cores), np.zeros(cores), np.zeros(cores, np.int64)
        self.carried, self.wait, self.peak = np.zeros(links, np.int64), np.zeros(links), np.zeros(links, np.int64)
        self.exact_ticks = np.zeros(steps, np.int64)
        self.fast_ticks = np.zeros(steps, np.int64)
        self.sending, self.receiving = np.zeros(cores), np.zeros(cores)
        self.sent, self.received = np.zeros(cores, np.int64), np.zeros(cores, np.int64)
        self.visits = np.zeros((len(plan.stateful), 3), np.int64)
        first = min(shown, activity.samples - 1) * plan.graph.timesteps
        self.window = range(first, first + plan.graph.timesteps + plan.depth)
        self.timeline = np.zeros((3, len(self.window), plan.cores))

    def run(self, progress: Callable[[int, int], None] | None) -> CycleRun:
        plan, steps = self.plan, self.activity.steps
        axons = plan.axons
        work = Work(
            plan.neurons, axons.start, axons.core, axons.ticks, plan.visit, plan.active, plan.empty_slots,
            plan.axon_out, plan.spike_out,
        )  # fmt: skip
        size = max(plan.graph.timesteps, _CHUNK // int(plan.neurons[-1]))
        for start in range(0, steps, size):
            stop = min(start + size, steps)
            fired, updated = self.activity.fired(start, stop), self.activity.updated(start, stop)
            self._count_visits(updated)
            for t in range(start, stop):
                self._step(t, load_of(fired[t - start], updated[t - start], work))
                if progress:
                    progress(t + 1, steps)
        return self._result()

    def _step(self, t: int, load: Load) -> None:
        plan = self.plan
        receiving = load.receiving + plan.source_visits
        sides = np.maximum(load.sending, receiving) if plan.overlap else load.sending + receiving
        self.fast_ticks[t] = sides[:-1].max(initial=0)
        if self.timing == "exact":
            marks = self._exactly(t, load)
        else:
            begun = np.zeros_like(receiving) if plan.overlap else load.sending
            marks = np.stack([load.sending, begun, begun + receiving])
        self.sending += load.sending
        self.receiving += receiving
        self.sent += np.diff(load.first)
        self.received += load.arriving
        if t in self.window:
            self.timeline[:, t - self.window.start] = marks[:, :-1]

    def _exactly(self, t: int, load: Load) -> Array:
        """Run a step on the network: the end of sending, start and end of receiving, of each core: (3, C + 1)."""
        plan = self.plan
        tiles = plan.tiles if plan.network else np.zeros_like(plan.tiles)
        self.exact_ticks[t], cores, places = step(load, tiles, plan.source_visits, self.mesh)
        self.stalled += cores["stalled"]
        self.queue_wait += cores["queue_wait"]
        self.carried += places["carried"][: self.links]
        self.wait += places["wait"][: self.links]
        np.maximum(self.peak, places["peak"][: self.links], out=self.peak)
        np.maximum(self.queue_peak, places["peak"][self.links :], out=self.queue_peak)
        return np.stack([cores["sending_end"], cores["receiving_start"], cores["receiving_end"]])

    def _count_visits(self, updated: Array) -> None:
        """Active and inactive updates of each slice, or those without state."""
        for each in self.plan.placed:
            everyone = len(updated) * (each.stop - each.start)
            if not self.plan.stateful[each.index]:
                self.visits[each.index, 2] += everyone
                continue
            active = int(np.count_nonzero(updated[:, each.start : each.stop]))
            self.visits[each.index] += (active, everyone - active, 0)

    # ------------------------------------------------------------------------------------------------------- result

    def _result(self) -> CycleRun:
        plan, activity = self.plan, self.activity
        steps, timesteps = activity.steps, plan.graph.timesteps
        fast = np.maximum(self.fast_ticks + plan.barrier, plan.tick)
        exact = np.maximum(self.exact_ticks + plan.barrier, plan.tick) if self.timing == "exact" else fast
        ends = np.cumsum(exact.astype(np.float64))
        starts = ends - exact
        first = np.arange(activity.samples) * timesteps
        last = first + timesteps - 1 + plan.depth
        bare = self.exact_ticks if self.timing == "exact" else self.fast_ticks
        span = slice(self.window.start, self.window.stop)
        return CycleRun(
            profile=self.profile,
            timing=self.timing,
            unit=plan.times.unit,
            unit_ns=plan.times.unit_ns,
            samples=activity.samples,
            timesteps=timesteps,
            depth=plan.depth,
            step_time=exact / TICKS,
            fast_step_time=fast / TICKS,
            barrier=plan.barrier / TICKS,
            overruns=int((bare + plan.barrier > plan.tick).sum()) if plan.tick else 0,
            engines=2 if plan.overlap else 1,
            cores=self._cores(float(ends[-1]) if steps else 0.0),
            links=self._links(),
            timeline=Timeline(
                self.window.start, starts[span] / TICKS, exact[span] / TICKS, *(each / TICKS for each in self.timeline)
            ),
            sample_latency=(ends[last] - starts[first]) / TICKS,
            sample_end=ends[last] / TICKS,
            visits=self.visits,
        )

    def _cores(self, total: float) -> Cores:
        plan = self.plan
        idle = (2 if plan.overlap else 1) * total - self.sending - self.receiving - self.stalled
        return Cores(
            core=plan.core_ids,
            tile=plan.tiles[:-1],
            sending=self.sending[:-1] / TICKS,
            receiving=self.receiving[:-1] / TICKS,
            stalled=self.stalled[:-1] / TICKS,
            idle=np.maximum(idle[:-1], 0) / TICKS,  # of more than 2**53 ticks, sums are rounded
            messages_out=self.sent[:-1],
            messages_in=self.received[:-1],
            queue_peak=self.queue_peak[:-1],
            queue_wait=self.queue_wait[:-1] / TICKS,
        )

    def _links(self) -> Links:
        plan = self.plan
        used = np.flatnonzero(self.carried)
        source, ways = used >> 2, np.array([1, -1, plan.columns, -plan.columns])  # east, west, south, north
        return Links(
            source=source,
            target=source + ways[used & 3],
            messages=self.carried[used],
            busy=self.carried[used] * plan.link_time / TICKS,
            wait=self.wait[used] / TICKS,
            peak=self.peak[used],
        )
