"""Energy and time of a mapped network, from counters alone.

Times are those of the cycle engine's ``fast`` mode (docs/decisions/0011) on mean counts: a time step lasts as long as
the barrier and the busiest core, whose own time is that of its sending or its receiving side, whichever takes longer,
or of both where they do not overlap. Queues, blocked links and the spread around the mean are for the engine itself;
what it found can be given, and then takes the place of the mean step.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

from neurocompile.costs.activity import Activity
from neurocompile.costs.counters import Count, Counters, count
from neurocompile.costs.pricing import Bill, Charge, core_time_ns, energy_pj, memory_time_ns
from neurocompile.costs.timed import Timed
from neurocompile.errors import GraphError, ProfileError
from neurocompile.hardware import Basis, Level, Profile, Quantity, weakest_basis
from neurocompile.ir.graph import Graph
from neurocompile.ir.nodes import Soma
from neurocompile.ir.populations import populations
from neurocompile.mapping.mapping import Mapping

#: what every estimate leaves out, for people to read
NOTES = ("Axon tables are not counted as memory traffic, nor are the single bits of a neuron's state.",)
_MEAN_TIMES = "Times are those of the busiest core on mean counts, plus the barrier; neither queues nor contention."
_NO_HOST = "Input enters at the cores that want it: its way over the network on chip and any host link are not counted."
_AWAKE = (
    "On this chip a state other than zero makes an update active too; here only input, spikes and biases do, unless "
    "the cycle engine has timed the run."
)


@dataclass(frozen=True)
class LayerCosts:
    """One population on its cores, per sample. ``energy_pj`` leaves out static energy, which belongs to no layer; the
    way of a message, and what it costs the host, belong to the layer that it goes to."""

    name: str
    kind: str
    neurons: int
    cores: int
    counters: Counters
    energy_pj: Bill


@dataclass(frozen=True)
class LevelCosts:
    """A level of the memory hierarchy. ``words`` are used in all its memories together, ``fullest`` in the one with the
    most (each core has one, or there is one per chip).

    ``energy_pj`` and ``time_ns`` (of all accesses, one after the other) are per sample: None where a number that they
    need is unknown, and where they are within the events' already, as ``energy_in_events`` says.
    """

    level: Level
    words: int
    fullest: int
    reads: float
    writes: float
    energy_pj: float | None
    time_ns: float | None

    @property
    def share(self) -> float | None:
        """How much of the fullest memory is used; None where its size is unknown."""
        return self.fullest / self.level.size_words.count if self.level.size_words else None


@dataclass(frozen=True)
class Costs:
    """What one sample costs on a chip. Sums are None where a number that they need is unknown; see ``missing``.

    ``inputs`` is how often neurons off the chip fire (``Count``); ``energy_pj`` the bill by part; ``step_ns`` the time
    of one step, ``latency_ns`` from the first step of a sample to its result, ``throughput_per_s`` in samples;
    ``timed``: whether these are a timed run's.
    """

    profile: str
    timesteps: int
    latency_steps: int
    layers: tuple[LayerCosts, ...]
    levels: tuple[LevelCosts, ...]
    counters: Counters
    inputs: float
    state_memory_words: int
    energy_pj: Bill
    step_ns: float | None
    latency_ns: float | None
    throughput_per_s: float | None
    missing_times: tuple[str, ...]
    weakest_basis: Basis | None
    notes: tuple[str, ...]
    timed: bool = False

    @property
    def total_pj(self) -> float | None:
        return self.energy_pj.total

    @property
    def known_energy_pj(self) -> float:
        """What the known numbers alone sum up to: a lower bound."""
        return self.energy_pj.known

    @property
    def energy_delay_pj_ns(self) -> float | None:
        """Energy of a sample times its latency."""
        return None if self.total_pj is None or self.latency_ns is None else self.total_pj * self.latency_ns

    @property
    def entered(self) -> float:
        """Messages from off the chip."""
        return self.counters.messages_entered

    @property
    def firings(self) -> float:
        """Of all neurons, those off the chip among them."""
        return self.counters.spikes + self.inputs

    @property
    def missing(self) -> tuple[str, ...]:
        """Dotted keys of the profile that are null and wanted for energy, time or both."""
        return tuple(dict.fromkeys((*self.energy_pj.missing, *self.missing_times)))

    @property
    def complete(self) -> bool:
        return not self.missing

    @property
    def stateless(self) -> bool:
        return self.state_memory_words == 0


def estimate(graph: Graph, mapping: Mapping, activity: Activity, profile: Profile, timed: Timed | None = None) -> Costs:
    """What ``graph`` (stage "mapped") costs per sample on ``profile``, placed by ``mapping``, at ``activity``.

    Energy: each counter times its number; static energy is power times the T steps of a sample. Latency: a sample
    enters at step 0 and its result is there after the deepest phase + T steps. Samples follow one another without a
    gap, one every T steps. A run that was ``timed`` gives its updates and its times, of which each sample bears an
    equal part.
    GraphError where the graph has no phases yet; CapacityError where a memory is too small.
    """
    if graph.stage != "mapped":
        raise GraphError(f"graph {graph.name!r} is at stage {graph.stage!r}; map it before its costs are estimated")
    counted = count(graph, mapping, activity, profile, timed)
    layers = tuple(
        LayerCosts(
            population.name,
            population.soma.kind,
            population.neurons,
            len({each.core for each in mapping.of(population.name)}),
            counted.of(population.name),
            energy_pj(counted.of(population.name), profile),
        )
        for population in populations(graph)
    )
    latency_steps = max(node.phase for _, node in graph.items() if isinstance(node, Soma)) + graph.timesteps
    step = _step_ns(counted.by_core(), mapping.tiles, graph.timesteps, profile)
    step_ns, missing, busy_ns = step.total, step.missing, step.known * graph.timesteps
    latency_ns = None if step_ns is None else latency_steps * step_ns
    throughput = 1e9 / (graph.timesteps * step_ns) if step_ns else None
    if timed is not None:
        step_ns, latency_ns, throughput = timed.step_ns, timed.mean_latency_ns, timed.throughput_per_s
        missing = () if timed.total_ns is not None else step.missing or ("clock.frequency_mhz",)
        busy_ns = (timed.total_ns or 0.0) / timed.samples
    dynamic = functools.reduce(Bill.__add__, (layer.energy_pj for layer in layers), Bill(()))
    bill = dynamic + _static(missing, busy_ns, mapping.cores, profile)
    bases = (*bill.bases, *step.bases)
    return Costs(
        profile=profile.name,
        timesteps=graph.timesteps,
        latency_steps=latency_steps,
        layers=layers,
        levels=_levels(counted, bill, profile),
        counters=counted.total,
        inputs=counted.inputs,
        state_memory_words=counted.state_words,
        energy_pj=bill,
        step_ns=step_ns,
        latency_ns=latency_ns,
        throughput_per_s=throughput,
        missing_times=missing,
        weakest_basis=weakest_basis(bases) if bases else None,
        notes=_notes(profile, timed),
        timed=timed is not None,
    )


def _notes(profile: Profile, timed: Timed | None) -> tuple[str, ...]:
    return (
        *((_MEAN_TIMES,) if timed is None else ()),
        *((_NO_HOST,) if profile.host is None else ()),
        *((_AWAKE,) if profile.core.active == "state" and timed is None else ()),
        *NOTES,
    )


def _levels(counted: Count, bill: Bill, profile: Profile) -> tuple[LevelCosts, ...]:
    """Those that hold anything, in the profile's order."""
    counters = counted.total
    times = memory_time_ns(counters, profile)
    levels = []
    for level in profile.memory:
        words, part = counted.memories.words(level), f"memory:{level.name}"
        if not words:
            continue
        traffic = [each for each in counters.traffic if each.level == level.name]
        own = not level.energy_in_events
        levels.append(
            LevelCosts(
                level,
                sum(words),
                max(words),
                sum(each.reads for each in traffic),
                sum(each.writes for each in traffic),
                bill.part(part) if own else None,
                times.part(part) if any(charge.part == part for charge in times.charges) else None,
            )
        )
    return tuple(levels)


def _step_ns(cores: dict[int, Counters], tiles: int, timesteps: int, profile: Profile) -> Bill:
    """The mean time step: the barrier's charge and those of the busiest core; the tick, if that is longer.

    Where a time is unknown, so is which core is the busiest; then every core's missing keys are told.
    """
    sides = [core_time_ns(counters.scaled(1 / timesteps), profile) for counters in cores.values()]
    both = [side["sending"] + side["receiving"] for side in sides]
    barrier = _barrier(tiles, profile)
    if any(bill.missing for bill in both):
        return functools.reduce(Bill.__add__, both, barrier)
    if profile.core.overlap:
        both = [max(side.values(), key=lambda bill: bill.known) for side in sides]
    step = barrier + max(both, key=lambda bill: bill.known, default=Bill(()))
    tick = profile.tick_ns
    return (
        Bill((Charge("tick", "tick_ns", 1, tick),)) if tick and not step.missing and tick.value > step.known else step
    )


def _barrier(tiles: int, profile: Profile) -> Bill:
    """One barrier over the mapped tiles; nothing on a chip without one, unknown beyond what the profile knows."""
    if profile.barrier is None:
        return Bill(())
    bases = [point.time_ns.basis for point in profile.barrier.points]
    try:
        time = profile.barrier.barrier_ns(tiles)
    except ProfileError:
        return Bill((Charge("barrier", "barrier.points", 1, None),))
    quantity = Quantity(value=time, unit="ns", basis=weakest_basis(bases), source="barrier.points")
    return Bill((Charge("barrier", "barrier.points", 1, quantity),))


def _static(missing: tuple[str, ...], busy_ns: float, cores: int, profile: Profile) -> Bill:
    """Power (mW) of chip and cores in use, times time (ns), is energy (pJ); ``missing``: what the time lacks."""
    chip, core = profile.static_power_mw, profile.core_power_mw
    powers = [("core_power_mw", cores, core)] if core is not None and core.value else []
    unknown = () if chip is not None else (Charge("static", "static_power_mw", 1, None),)
    if chip is not None and chip.value:
        powers.append(("static_power_mw", 1, chip))
    if powers and missing:
        return Bill((*unknown, *(Charge("static", key, 1, None) for key in missing)))
    return Bill((*unknown, *(Charge("static", key, each * busy_ns, power) for key, each, power in powers)))
