"""A mapped network as flat arrays: which neuron sits where, whom it sends messages to, and what everything takes.

Neurons are numbered core by core, slice by slice, each slice row-major; those of encoders, which are off the chip, come
last, as if on a core of their own: the host.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from neurocompile.backends.cycle.times import Times
from neurocompile.costs.baselines import sends_values
from neurocompile.costs.memory import Store, assign, is_stateful, state_words, synapse_words
from neurocompile.errors import GraphError
from neurocompile.hardware.profile import Content, Cost, Profile
from neurocompile.hardware.quantity import Quantity
from neurocompile.ir.graph import Graph
from neurocompile.ir.nodes import ENCODERS, Array, Readout, Soma
from neurocompile.ir.populations import Population, Projection, populations
from neurocompile.mapping import synapses
from neurocompile.mapping.banks import find_bank
from neurocompile.mapping.mapping import CoreSlice, Mapping
from neurocompile.mapping.weights import nonzero_fan_out


@dataclass(frozen=True)
class Placed:
    """A slice and the numbers of its neurons."""

    index: int  # in the mapping
    slice: CoreSlice
    start: int
    stop: int


@dataclass(frozen=True)
class Sender:
    """An encoder or population: the numbers of its neurons in row-major order. ``in_bits``: it sends bit by bit."""

    name: str
    phase: int
    numbers: Array  # int64 (neurons,)
    in_bits: bool


@dataclass(frozen=True)
class Axons:
    """The messages of each neuron when it fires: for neuron n, entries ``start[n]`` to ``start[n + 1]``, by core."""

    start: Array  # int64 (neurons + 1,)
    core: Array  # int32: index of the receiving core
    ticks: Array  # int64: to handle the message
    synapses: Array  # int64: synaptic operations


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
        self.populations = populations(graph)
        self.by_name = {each.name: each for each in self.populations}
        self.core_ids = np.array(sorted({each.core for each in mapping.slices}), np.int64)
        self.placed = self._place()
        somas = {each.name: each.soma for each in self.populations}
        self.memories = assign(mapping.slices, somas, graph.timesteps, profile)

    def run(self) -> Plan:
        chip = sum(each.slice.neurons for each in self.placed)
        senders = tuple(self._senders(chip))
        total = chip + sum(len(each.numbers) for each in senders if each.name not in self.by_name)
        visit, active = np.zeros(chip, np.int64), np.zeros(chip, np.int64)
        stateful = np.zeros(len(self.mapping.slices), np.bool_)
        for each in self.placed:
            soma = self.by_name[each.slice.population].soma
            stateful[each.index] = is_stateful(soma, self.graph.timesteps)
            visit[each.start : each.stop], active[each.start : each.stop] = self._updates(each.slice, soma)
        sizes = [sum(each.slice.neurons for each in self.placed if each.slice.core == core) for core in self.core_ids]
        first = np.concatenate([[0], np.cumsum(sizes), [total]]).astype(np.int64)
        noc, topology, host = self.profile.noc, self.profile.topology, self.profile.host
        out = self.times.of("events.axon_out", self.profile.events.axon_out)
        axon_out = np.full(len(self.core_ids) + 1, out, np.int64)
        axon_out[-1] = self.times.of("host.message", host.message if host else None)
        axons, source_visits = self._axons(senders, total)
        plan = Plan(
            graph=self.graph,
            populations=self.populations,
            core_ids=self.core_ids,
            tiles=self._tiles(),
            neurons=first,
            placed=self.placed,
            senders=senders,
            axons=axons,
            visit=visit,
            active=active,
            stateful=stateful,
            empty_slots=self._empty_slots(sizes),
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
        return plan

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
            in_bits = synapses.bit_planes(self.graph.node(name), self.profile) > 1
            yield Sender(name, 0, np.arange(chip, chip + size), in_bits)
            chip += size
        for population in self.populations:
            numbers = np.empty(population.shape, np.int64)
            for each in self.placed:
                if each.slice.population == population.name:
                    box = synapses.box_index(each.slice.box)
                    numbers[box] = np.arange(each.start, each.stop).reshape(numbers[box].shape)
            yield Sender(population.name, population.soma.phase, numbers.ravel(), in_bits=False)

    # ----------------------------------------------------------------------------------------- what a core works at

    def _updates(self, each: CoreSlice, soma: Soma) -> tuple[int, int]:
        """Ticks of an update of a slice's neurons, not active and active."""
        events = self.profile.events
        inactive = self._event("neuron_update_inactive")
        active = self._event("neuron_update_active")
        stateful = is_stateful(soma, self.graph.timesteps)
        if isinstance(soma, Readout) and events.neuron_update_readout:
            inactive = active = self._event("neuron_update_readout")
        elif not stateful:
            key = "neuron_update_stateless" if events.neuron_update_stateless else "neuron_update_active"
            inactive = active = self._event(key)
        store = self._store(each, "state")
        words = state_words(soma, self.graph.timesteps, store.level)
        access = self._access(store, "read") + self._access(store, "write") if words else 0
        traffic = int(self.times.many("a neuron's state", np.array(words), access))
        if self.profile.core.visits == "active" and stateful:
            return 0, active + traffic
        return inactive + traffic, active + traffic

    def _event(self, name: str) -> int:
        cost: Cost | None = getattr(self.profile.events, name)
        return self.times.of(f"events.{name}", cost)

    def _store(self, each: CoreSlice, content: Content) -> Store:
        return self.memories.store(each, content)

    def _access(self, store: Store, way: str) -> int:
        """Ticks of one word; none where the events include it, or no time of its own is known."""
        level = store.level
        if level is None or level.energy_in_events:
            return 0
        cost: Cost = getattr(level, way)
        if cost.time_ns is None and cost.cycles is None:
            return 0
        return self.times.of(f"memory.{level.name}.{way}", cost)

    def _empty_slots(self, sizes: Sequence[int]) -> Array:
        empty = np.zeros(len(sizes) + 1, np.int64)
        if self.profile.core.visits == "slots":
            assert self.profile.limits.neurons is not None  # the profile has been checked for it
            slots = self.profile.limits.neurons.count
            beside = np.maximum(slots - np.array(sizes), 0)
            empty[:-1] = self.times.many("events.neuron_update_inactive", beside, self._event("neuron_update_inactive"))
        return empty

    def _tiles(self) -> Array:
        tiles = {each.core: each.tile for each in self.mapping.slices}
        host = self.profile.host.tile if self.profile.host else 0
        return np.array([*(tiles[core] for core in self.core_ids.tolist()), host], np.int64)

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
        visits = np.zeros(len(self.core_ids) + 1, np.int64)
        parts: list[tuple[Array, Array, Array, Array]] = []
        for sender in senders:
            fed: dict[int, list[_Fed]] = {}
            for each in self.placed:
                population = self.by_name[each.slice.population]
                for projection in population.projections:
                    if projection.source == sender.name:
                        fed.setdefault(each.slice.core, []).append(self._fed(population, projection, each.slice))
            for core, feeds in fed.items():
                index = int(np.searchsorted(self.core_ids, core))
                here = np.flatnonzero(functools.reduce(np.logical_or, (each.present for each in feeds)))
                ops = np.sum([each.synapses for each in feeds], axis=0)[here]
                ticks = np.sum([each.ticks for each in feeds], axis=0)[here] + self._event("axon_in")
                if row := self._row():  # which the message goes through once, whatever is in it
                    first = np.argmax([each.present for each in feeds], axis=0)[here]
                    ops = np.full_like(ops, row)
                    ticks = ticks + self.times.many(
                        "a row of synaptic ops", np.array([each.op for each in feeds])[first], row
                    )
                parts.append((sender.numbers[here], np.full(len(here), index), ticks, ops))
                visits[index] += sum(each.source_visits for each in feeds)
        numbers, cores, ticks, ops = (
            np.concatenate([part[field] for part in parts]) if parts else np.zeros(0, np.int64) for field in range(4)
        )
        order = np.lexsort((cores, numbers))
        start = np.concatenate([[0], np.cumsum(np.bincount(numbers, minlength=total))]).astype(np.int64)
        return Axons(start, cores[order].astype(np.int32), ticks[order], ops[order]), visits

    def _fed(self, population: Population, projection: Projection, each: CoreSlice) -> _Fed:
        """What one projection brings to one slice."""
        stored = synapses.fan_out(projection, each.box).ravel()
        present = stored > 0
        bank = find_bank(self.graph, population, projection, self.profile)
        if bank and bank.zeros == "skipped":
            stored = nonzero_fan_out(projection, each.box).ravel()
        if bank:
            op = self.times.of(f"banks.{bank.name}.synaptic_op", bank.synaptic_op)
            message = self.times.of(f"banks.{bank.name}.message", bank.message)
            visit = self.times.of(f"banks.{bank.name}.source_visit", bank.source_visit)
        else:
            graded = sends_values(self.graph, projection.source) and not self._in_bits(projection.source)
            valued = graded and self.profile.events.graded_synaptic_op is not None
            op, message, visit = self._event("graded_synaptic_op" if valued else "synaptic_op"), 0, 0
        store = self._store(each, "synapses")
        ticks = present * message + (0 if self._row() else self.times.many("a list of synaptic ops", stored, op))
        if word := self._access(store, "read"):
            words = synapses.words_per_axon(projection, each.box, self.profile).ravel()
            sizes, which = np.unique(words, return_inverse=True)
            converted = np.array([synapse_words(int(size), self.profile, store.level) for size in sizes], np.int64)
            ticks = ticks + self.times.many("a list's words", converted[which].reshape(words.shape), word)
        visits = self.times.many("source visits", np.array(present.sum()), visit)
        return _Fed(present, stored, ticks, op, int(visits))

    def _row(self) -> int:
        """Synapses of a whole row, where every message goes through one; else 0."""
        if self.profile.core.fetch != "row":
            return 0
        assert self.profile.limits.neurons is not None  # the profile has been checked for it
        return self.profile.limits.neurons.count

    def _in_bits(self, source: str) -> bool:
        return synapses.bit_planes(self.graph.node(source), self.profile) > 1


@dataclass(frozen=True)
class _Fed:
    """Per neuron of a source, in one slice: whether it has synapses, how many are performed, ticks to handle them."""

    present: Array
    synapses: Array
    ticks: Array  # without ops where a row is fetched
    op: int  # ticks of one synapse
    source_visits: int  # ticks at every step
