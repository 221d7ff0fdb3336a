"""Energy and time of a mapped network, from counters alone.

Times follow the *simple* timing of SANA-FE's documentation, on mean counts: a time step lasts as long as the barrier
and the busiest core, whose own time is that of its neuron updates, of sending, of receiving and of its synaptic
operations, one after the other. Queues, blocked links and the spread around the mean are for the cycle engine.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

from neurocompile.costs.activity import Activity
from neurocompile.costs.counters import Counters, count
from neurocompile.costs.pricing import Bill, Charge, core_time_ns, energy_pj
from neurocompile.errors import GraphError, ProfileError
from neurocompile.hardware import Basis, Profile, Quantity, weakest_basis
from neurocompile.ir.graph import Graph
from neurocompile.ir.nodes import Soma
from neurocompile.ir.populations import populations
from neurocompile.mapping.mapping import Mapping

#: what every estimate leaves out, for people to read
NOTES = (
    "Times are those of the busiest core on mean counts, plus the barrier; neither queues nor contention.",
    "Input enters at the cores that want it: its way over the network on chip and any host link are not counted.",
    "Axon tables are not counted as memory traffic, nor are the single bits of a neuron's state.",
)


@dataclass(frozen=True)
class LayerCosts:
    """One population on its cores, per sample. ``energy_pj`` leaves out static energy, which belongs to no layer."""

    name: str
    kind: str
    neurons: int
    cores: int
    counters: Counters
    energy_pj: Bill


@dataclass(frozen=True)
class Costs:
    """What one sample costs on a chip. Sums are None where a number that they need is unknown; see ``missing``.

    ``energy_pj`` is the bill by part; ``step_ns`` the time of one step, ``latency_ns`` from the first step of a sample
    to its result, ``throughput_per_s`` in samples. ``entered`` are messages from off the chip.
    """

    profile: str
    timesteps: int
    latency_steps: int
    layers: tuple[LayerCosts, ...]
    counters: Counters
    entered: float
    state_memory_words: int
    energy_pj: Bill
    step_ns: float | None
    missing_times: tuple[str, ...]
    weakest_basis: Basis | None
    notes: tuple[str, ...] = NOTES

    @property
    def total_pj(self) -> float | None:
        return self.energy_pj.total

    @property
    def known_energy_pj(self) -> float:
        """What the known numbers alone sum up to: a lower bound."""
        return self.energy_pj.known

    @property
    def latency_ns(self) -> float | None:
        return None if self.step_ns is None else self.latency_steps * self.step_ns

    @property
    def throughput_per_s(self) -> float | None:
        """Samples follow one another without a gap: one every T steps."""
        return 1e9 / (self.timesteps * self.step_ns) if self.step_ns else None

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


def estimate(graph: Graph, mapping: Mapping, activity: Activity, profile: Profile) -> Costs:
    """What ``graph`` (stage "mapped") costs per sample on ``profile``, placed by ``mapping``, at ``activity``.

    Energy: each counter times its number; static energy is static power times the T steps of a sample. Latency: a
    sample enters at step 0 and its result is there after the deepest phase + T steps. GraphError where the graph has no
    phases yet; CapacityError where a memory is too small.
    """
    if graph.stage != "mapped":
        raise GraphError(f"graph {graph.name!r} is at stage {graph.stage!r}; map it before its costs are estimated")
    counted = count(graph, mapping, activity, profile)
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
    step = _step_ns(counted.by_core(), mapping.tiles, graph.timesteps, profile)
    dynamic = functools.reduce(Bill.__add__, (layer.energy_pj for layer in layers), Bill(()))
    bill = dynamic + _static(step, graph.timesteps, profile)
    bases = (*bill.bases, *step.bases)
    return Costs(
        profile=profile.name,
        timesteps=graph.timesteps,
        latency_steps=max(node.phase for _, node in graph.items() if isinstance(node, Soma)) + graph.timesteps,
        layers=layers,
        counters=counted.total,
        entered=counted.entered,
        state_memory_words=counted.state_words,
        energy_pj=bill,
        step_ns=step.total,
        missing_times=step.missing,
        weakest_basis=weakest_basis(bases) if bases else None,
    )


def _step_ns(cores: dict[int, Counters], tiles: int, timesteps: int, profile: Profile) -> Bill:
    """The mean time step: the barrier's charge and those of the busiest core.

    Where a time is unknown, so is which core is the busiest; then every core's missing keys are told.
    """
    bills = [core_time_ns(counters.scaled(1 / timesteps), profile) for counters in cores.values()]
    barrier = _barrier(tiles, profile)
    if any(bill.missing for bill in bills):
        return functools.reduce(Bill.__add__, bills, barrier)
    return barrier + max(bills, key=lambda bill: bill.known, default=Bill(()))


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


def _static(step: Bill, timesteps: int, profile: Profile) -> Bill:
    """Power (mW) times time (ns) is energy (pJ)."""
    power = profile.static_power_mw
    if power is None:
        return Bill((Charge("static", "static_power_mw", 1, None),))
    if power.value == 0:
        return Bill(())
    if step.missing:
        return Bill(tuple(Charge("static", key, 1, None) for key in step.missing))
    return Bill.of((Charge("static", "static_power_mw", timesteps * step.known, power),))
