"""A mapped network as flat arrays: which neuron sits where, whom it sends messages to, and what everything takes.

Neurons are numbered core by core, slice by slice, each slice row-major; those of encoders, which are off the chip, come
last, as if on a core of their own: the host.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from neurocompile.backends.cycle.times import MOST, TICKS, Times
from neurocompile.costs.activity import Kind
from neurocompile.costs.memory import is_stateful
from neurocompile.costs.pricing import Side, work_of
from neurocompile.costs.terms import Wiring
from neurocompile.errors import GraphError, ProfileError
from neurocompile.hardware.profile import Profile
from neurocompile.hardware.quantity import Quantity
from neurocompile.ir.graph import Graph
from neurocompile.ir.nodes import ENCODERS, Array
from neurocompile.ir.populations import Population
from neurocompile.mapping import synapses
from neurocompile.mapping.biases import biases
from neurocompile.mapping.mapping import CoreSlice, Mapping


@dataclass(frozen=True)
class Placed:
    """A slice and the numbers of its neurons."""

    index: int  # in the mapping
    slice: CoreSlice
    start: int
    stop: int


@dataclass(frozen=True)
class Sender:
    """An encoder or population: the numbers of its neurons in row-major order. ``kind``: which of its events are sent;
    an encoder of values and spikes, which take their own time to handle, is two.

    ``of_biases``: a neuron off the chip that fires at every step of a sample, in ``phase``, for the biases of ``name``.
    """

    name: str
    phase: int
    numbers: Array  # int64 (neurons,)
    kind: Kind = "events"
    of_biases: bool = False


@dataclass(frozen=True)
class Axons:
    """The messages of each neuron when it fires: for neuron n, entries ``start[n]`` to ``start[n + 1]``, by core."""

    start: Array  # int64 (neurons + 1,)
    core: Array  # int32: index of the receiving core
    ticks: Array  # int64: to handle the message


@dataclass(frozen=True)
class Plan:
    """Indices of cores count those of the chip that hold neurons, in ascending order; the host comes after them."""

    graph: Graph
    populations: tuple[Population, ...]
    core_ids: Array  # int64 (C,)
    tiles: Array  # int64 (C + 1,): of each core, and of the host
    neurons: Array  # int64 (C + 2,): the first number of each core's neurons, of the host's, and the end
    placed: tuple[Placed, ...]
    senders: tuple[Sender, ...]
    axons: Axons
    visit: Array  # int64 (neurons of the chip,): ticks of an update that is not active
    active: Array  # int64 (neurons of the chip,): ticks of an active one
    stateful: Array  # bool (slices,)
    empty_slots: Array  # int64 (C + 1,): ticks of what is visited beside the neurons
    source_visits: Array  # int64 (C + 1,)
    spike_out: int
    axon_out: Array  # int64 (C + 1,): of one message
    barrier: int
    tick: int
    hop_east_west: int
    hop_north_south: int
    within_tile: int
    link_time: int
    buffer: int  # 0: without bound
    columns: int
    tile_count: int
    network: bool
    host: bool
    overlap: bool
    times: Times

    @property
    def cores(self) -> int:
        return len(self.core_ids)

    @property
    def stateful_populations(self) -> tuple[Population, ...]:
        return tuple(each for each in self.populations if is_stateful(each.soma, self.graph.timesteps))

    @property
    def depth(self) -> int:
        """The deepest phase."""
        return max(population.soma.phase for population in self.populations)

    @classmethod
    def of(cls, graph: Graph, mapping: Mapping, profile: Profile) -> Plan:
        """ProfileError where a time that is wanted is null; CapacityError where a memory is too small."""
        if graph.stage != "mapped":
            raise GraphError(f"graph {graph.name!r} is at stage {graph.stage!r}; map it before it is timed")
        return _Planning(graph, mapping, profile).run()


class _Planning:
    def __init__(self, graph: Graph, mapping: Mapping, profile: Profile) -> None:
        self.graph, self.mapping, self.profile = graph, mapping, profile
        self.times = Times(profile)
        self.wiring = Wiring(graph, mapping, profile)
        self.known: dict[tuple[str, Side], int] = {}
        self.core = {core: index for index, core in enumerate(sorted({each.core for each in mapping.slices}))}
        self.placed = self._place()

    def run(self) -> Plan:
        chip = sum(each.slice.neurons for each in self.placed)
        senders = tuple(self._senders(chip))
        total = 1 + max(int(each.numbers.max()) for each in senders)
        visit, active = np.zeros(chip, np.int64), np.zeros(chip, np.int64)
        stateful = np.zeros(len(self.mapping.slices), np.bool_)
        for each in self.placed:
            stateful[each.index] = self._stateful(each.slice)
            visit[each.start : each.stop] = self._updates(each.slice, active=False)
            active[each.start : each.stop] = self._updates(each.slice, active=True)
        starts = {each.slice.core: each.start for each in reversed(self.placed)}
        first = np.array([*(starts[core] for core in self.core), chip, total], np.int64)
        noc, topology, host = self.profile.noc, self.profile.topology, self.profile.host
        out = self.times.of("events.axon_out", self.profile.events.axon_out)
        axon_out = np.full(len(self.core) + 1, out, np.int64)
        axon_out[-1] = self.times.of("host.message", host.message if host else None)
        axons, source_visits = self._axons(senders, total)
        plan = Plan(
            graph=self.graph,
            populations=tuple(self.wiring.populations.values()),
            core_ids=np.array(list(self.core), np.int64),
            tiles=self._tiles(),
            neurons=first,
            placed=self.placed,
            senders=senders,
            axons=axons,
            visit=visit,
            active=active,
            stateful=stateful,
            empty_slots=self._empty_slots(),
            source_visits=source_visits,
            spike_out=self.times.of("events.spike_out", self.profile.events.spike_out),
            axon_out=axon_out,
            barrier=self._barrier(),
            tick=self._duration("tick_ns", self.profile.tick_ns),
            hop_east_west=self.times.of("noc.hop_east_west", noc.hop_east_west if noc else None),
            hop_north_south=self.times.of("noc.hop_north_south", noc.hop_north_south if noc else None),
            within_tile=self.times.of("noc.within_tile", noc.within_tile if noc else None),
            link_time=self._duration("noc.link_time_ns", noc.link_time_ns if noc else None),
            buffer=noc.buffer_messages.count if noc and noc.buffer_messages else 0,
            columns=topology.tile_columns.count if topology else 1,
            tile_count=topology.tiles if topology else 1,
            network=noc is not None,
            host=host is not None,
            overlap=self.profile.core.overlap,
            times=self.times,
        )
        self.times.check()
        self._check_length(plan)
        return plan

    def _check_length(self, plan: Plan) -> None:
        """ProfileError where a step in which everything fires, and nothing happens at once, does not fit an int64."""
        inside = int(plan.axons.start[plan.neurons[-2]])  # of the axons; those of encoders come behind
        copies = max([1, *(synapses.bit_planes(self.graph.node(each.name), self.profile) for each in plan.senders)])
        messages = inside + copies * (len(plan.axons.ticks) - inside)
        hop = max(plan.hop_east_west, plan.hop_north_south, plan.link_time)
        way = plan.within_tile + 2 * hop * plan.tile_count
        handling = (plan.axons.ticks[:inside].sum(dtype=float), copies * plan.axons.ticks[inside:].sum(dtype=float))
        updates = np.maximum(plan.visit, plan.active).sum(dtype=float) + plan.spike_out * len(plan.visit)
        fixed = plan.empty_slots.sum(dtype=float) + plan.source_visits.sum(dtype=float) + plan.barrier + plan.tick
        ticks = updates + fixed + sum(handling) + messages * (way + int(plan.axon_out.max()))
        if ticks >= MOST:
            raise ProfileError(
                f"{self.graph.name} on {self.profile.name}: a time step can take {ticks / TICKS:.0e} "
                f"{self.times.unit}, limit {MOST / TICKS:.0e}; check the units of the profile's times"
            )

    def _place(self) -> tuple[Placed, ...]:
        placed, start = [], 0
        order = sorted(enumerate(self.mapping.slices), key=lambda item: (item[1].core, item[0]))
        for index, each in order:
            placed.append(Placed(index, each, start, start + each.neurons))
            start += each.neurons
        return tuple(placed)

    def _senders(self, chip: int) -> Iterator[Sender]:
        for name in self.graph.of_kind(*ENCODERS):
            size = int(np.prod(self.graph.shape(name)))
            for kind in self.wiring.kinds(name):
                yield Sender(name, 0, np.arange(chip, chip + size), kind)
                chip += size
        for population in self.wiring.populations.values():
            if self.profile.core.biases == "sent" and biases(population).any():
                yield Sender(population.name, max(0, population.soma.phase - 1), np.array([chip]), of_biases=True)
                chip += 1
        for population in self.wiring.populations.values():
            numbers = np.empty(population.shape, np.int64)
            for each in self.placed:
                if each.slice.population == population.name:
                    box = synapses.box_index(each.slice.box)
                    numbers[box] = np.arange(each.start, each.stop).reshape(numbers[box].shape)
            yield Sender(population.name, population.soma.phase, numbers.ravel())

    # ----------------------------------------------------------------------------------------- what a core works at

    def _ticks_of(self, number: str, side: Side) -> int:
        """Ticks of one of a number that costs count, on one of a core's sides."""
        if (number, side) not in self.known:
            self.known[number, side] = sum(
                self.times.of(key, cost) if cost else self.times.lacks(key)
                for key, cost in work_of(number, self.profile, side)
            )
        return self.known[number, side]

    def _updates(self, each: CoreSlice, *, active: bool) -> int:
        """Ticks of an update of a slice's neurons."""
        kind = (int(active), int(not active), 0) if self._stateful(each) else (0, 0, 1)
        numbers = self.wiring.updates(each, *kind)
        return sum(self._ticks_of(number, "sending") * count for number, count in numbers.items() if count)

    def _stateful(self, each: CoreSlice) -> bool:
        return is_stateful(self.wiring.populations[each.population].soma, self.graph.timesteps)

    def _empty_slots(self) -> Array:
        empty = np.zeros(len(self.core) + 1, np.int64)
        for each, slots in self.wiring.empty_slots():
            empty[self.core[each.core]] = slots * self._ticks_of("updates_inactive", "sending")
        return empty

    def _tiles(self) -> Array:
        tiles = {each.core: each.tile for each in self.mapping.slices}
        host = self.profile.host.tile if self.profile.host else 0
        return np.array([*(tiles[core] for core in self.core), host], np.int64)

    def _duration(self, key: str, time: Quantity | None) -> int:
        """Ticks; none where the chip has no such time."""
        return self.times.duration(key, time.value) if time else 0

    def _barrier(self) -> int:
        barrier = self.profile.barrier
        if barrier is None:
            return 0
        if not barrier.points[0].tiles <= self.mapping.tiles <= barrier.max_tiles:
            return self.times.duration("barrier.points", None)
        return self.times.duration("barrier.points", barrier.barrier_ns(self.mapping.tiles))

    # --------------------------------------------------------------------------------------------------- messages

    def _axons(self, senders: Sequence[Sender], total: int) -> tuple[Axons, Array]:
        """The entries of all neurons, and the ticks of each core's source visits."""
        visits = np.zeros(len(self.core) + 1, np.int64)
        entries: list[tuple[int, Array, Array]] = []
        sending = frozenset(self.wiring.senders)
        for sender in senders:
            arriving: dict[int, Array] = {}
            ticks: dict[int, Array] = {}
            if sender.of_biases:
                terms = self.wiring.of_biases(sender.name)
            else:
                terms = self.wiring.of(sender.name, sender.kind) if sender.name in sending else iter(())
            for term in terms:
                core = self.core[term.place.core]
                each = 0 if term.in_bank else self._ticks_of(term.number, "receiving")
                if term.every_step:
                    visits[core] += each * int(term.each.sum())
                elif each:
                    ticks[core] = ticks.get(core, 0) + each * term.each
                if term.number == "messages_in":
                    arriving[core] = arriving.get(core, 0) | term.each
            for core, reached in arriving.items():
                here = np.flatnonzero(reached)
                handling = ticks[core].ravel()[here] if core in ticks else np.zeros(len(here), np.int64)
                entries.append((core, sender.numbers[here], handling))
        return _by_neuron(entries, total), visits


def _by_neuron(entries: Sequence[tuple[int, Array, Array]], total: int) -> Axons:
    """Axons from (core, the neurons that send to it, ticks), where a neuron is at most once with a core."""
    counts = np.zeros(total, np.int64)
    for _, neurons, _ in entries:
        counts[neurons] += 1
    start = np.concatenate([[0], np.cumsum(counts)])
    core, ticks = np.empty(start[-1], np.int32), np.empty(start[-1], np.int64)
    free = start[:-1].copy()
    for index, neurons, handling in sorted(entries, key=lambda entry: entry[0]):
        core[free[neurons]], ticks[free[neurons]] = index, handling
        free[neurons] += 1
    return Axons(start, core, ticks)
