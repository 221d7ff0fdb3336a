"""What every core of a mapped network does for a sample: counts, and no prices yet.

A sender's event becomes one *message* per projection and destination slice that it has synapses in, or, where a chip
takes an analog value bit by bit, one per set bit. A message fetches its list of synapses and performs its
*synaptic operations*: one per synapse in the slice, graded ones if the message carries a value.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from neurocompile.costs.activity import Activity
from neurocompile.costs.baselines import sends_values
from neurocompile.costs.memory import Store, assign, is_stateful, state_words, synapse_words
from neurocompile.hardware import Profile
from neurocompile.hardware.profile import Content
from neurocompile.ir.graph import Graph
from neurocompile.ir.nodes import Array
from neurocompile.ir.populations import Population, Projection, populations
from neurocompile.mapping import synapses
from neurocompile.mapping.mapping import CoreSlice, Mapping
from neurocompile.mapping.place import hops


@dataclass(frozen=True)
class Traffic:
    """Words read and written in one level of memory; ``level`` is empty on a chip that describes none."""

    content: Content
    level: str
    reads: float
    writes: float = 0.0


@dataclass(frozen=True)
class Counters:
    """Means per sample. A chip without network has messages, but neither hops nor deliveries within a tile."""

    synaptic_ops: float = 0.0
    graded_synaptic_ops: float = 0.0
    updates_active: float = 0.0
    updates_inactive: float = 0.0
    updates_stateless: float = 0.0
    spikes: float = 0.0
    messages_out: float = 0.0
    messages_in: float = 0.0
    hops_east_west: float = 0.0
    hops_north_south: float = 0.0
    within_tile: float = 0.0
    traffic: tuple[Traffic, ...] = ()

    def __add__(self, other: Counters) -> Counters:
        return Counters.sum((self, other))

    @classmethod
    def sum(cls, parts: Iterable[Counters]) -> Counters:
        parts = list(parts)
        merged: dict[tuple[Content, str], Traffic] = {}
        for each in (each for part in parts for each in part.traffic):
            key = (each.content, each.level)
            before = merged.get(key, Traffic(*key, 0.0))
            merged[key] = Traffic(*key, before.reads + each.reads, before.writes + each.writes)
        return cls(
            **{name: sum(getattr(part, name) for part in parts) for name in NUMBERS}, traffic=tuple(merged.values())
        )

    def scaled(self, factor: float) -> Counters:
        traffic = tuple(
            dataclasses.replace(each, reads=each.reads * factor, writes=each.writes * factor) for each in self.traffic
        )
        return Counters(**{name: getattr(self, name) * factor for name in NUMBERS}, traffic=traffic)

    def accesses(self, content: Content) -> float:
        """Reads and writes of the memories that hold ``content``, in words."""
        return sum(each.reads + each.writes for each in self.traffic if each.content == content)


#: the counters that are plain numbers, in order
NUMBERS = tuple(field.name for field in dataclasses.fields(Counters) if field.name != "traffic")


@dataclass(frozen=True)
class Count:
    """Counters per slice, in the mapping's order; ``entered`` are the messages that come from encoders, off the chip.

    ``state_words`` is the memory that the states of all neurons take.
    """

    slices: tuple[tuple[CoreSlice, Counters], ...]
    entered: float
    state_words: int

    def of(self, population: str) -> Counters:
        return Counters.sum(counters for each, counters in self.slices if each.population == population)

    def by_core(self) -> dict[int, Counters]:
        cores: dict[int, list[Counters]] = {}
        for each, counters in self.slices:
            cores.setdefault(each.core, []).append(counters)
        return {core: Counters.sum(parts) for core, parts in cores.items()}

    @property
    def total(self) -> Counters:
        return Counters.sum(counters for _, counters in self.slices)


def count(graph: Graph, mapping: Mapping, activity: Activity, profile: Profile) -> Count:
    """The counters of ``graph``, mapped by ``mapping``, on what ``activity`` saw."""
    activity.check(graph)
    return _Counting(graph, mapping, activity, profile).run()


class _Counting:
    """Sums over all samples in whole numbers; only ``run`` divides."""

    def __init__(self, graph: Graph, mapping: Mapping, activity: Activity, profile: Profile) -> None:
        self.graph, self.mapping, self.activity, self.profile = graph, mapping, activity, profile
        self.populations = populations(graph)
        somas = {each.name: each.soma for each in self.populations}
        self.stores = assign(mapping.slices, somas, graph.timesteps, profile)
        self.totals = {each: Counters() for each in mapping.slices}
        self.entered = 0

    def run(self) -> Count:
        for population in self.populations:
            for each in self.mapping.of(population.name):
                self._updates(population, each)
                for projection in population.projections:
                    self._messages(projection, each)
        share = 1 / self.activity.samples
        return Count(
            tuple((each, self.totals[each].scaled(share)) for each in self.mapping.slices),
            self.entered * share,
            sum(each.neurons * self._state_words(population, each)
                for population in self.populations for each in self.mapping.of(population.name)),
        )  # fmt: skip

    def _state_words(self, population: Population, each: CoreSlice) -> int:
        store = self._store(each, "state")
        return state_words(population.soma, self.graph.timesteps, store.level)

    def _store(self, each: CoreSlice, content: Content) -> Store:
        return self.stores.get((each, content), Store(content, None))

    def _updates(self, population: Population, each: CoreSlice) -> None:
        activity, box = self.activity, synapses.box_index(each.box)
        updates = each.neurons * activity.timesteps * activity.samples
        spikes = int(activity.events[population.name][box].sum()) if population.name in activity.events else 0
        if not is_stateful(population.soma, activity.timesteps):
            self.totals[each] += Counters(updates_stateless=updates, spikes=spikes)
            return
        active = int(activity.active[population.name][box].sum())
        words = updates * self._state_words(population, each)
        self.totals[each] += Counters(
            updates_active=active,
            updates_inactive=updates - active,
            spikes=spikes,
            traffic=(Traffic("state", self._store(each, "state").name, words, words),),
        )

    def _messages(self, projection: Projection, each: CoreSlice) -> None:
        """What arrives through one projection at one slice."""
        in_bits = synapses.bit_planes(self.graph.node(projection.source), self.profile) > 1
        sent = (self.activity.bits if in_bits else self.activity.events)[projection.source]
        fan_out = synapses.fan_out(projection, each.box)
        store = self._store(each, "synapses")
        words = _in_level(synapses.words_per_axon(projection, each.box, self.profile), self.profile, store)
        ops = int((sent * fan_out).sum())
        graded = not in_bits and sends_values(self.graph, projection.source)
        arriving = sent * (fan_out > 0)
        self.totals[each] += Counters(
            synaptic_ops=0 if graded else ops,
            graded_synaptic_ops=ops if graded else 0,
            messages_in=int(arriving.sum()),
            traffic=(Traffic("synapses", store.name, int((sent * words).sum())),),
        )
        sources = self.mapping.of(projection.source)
        if not sources:
            self.entered += int(arriving.sum())
        for source in sources:
            self._travel(source, each, int(arriving[synapses.box_index(source.box)].sum()))

    def _travel(self, source: CoreSlice, target: CoreSlice, messages: int) -> None:
        self.totals[source] += Counters(messages_out=messages)
        if self.profile.noc is None:
            return
        east_west, north_south = hops(source.tile, target.tile, self.profile)
        self.totals[target] += Counters(
            hops_east_west=messages * east_west,
            hops_north_south=messages * north_south,
            within_tile=messages if source.tile == target.tile else 0,
        )


def _in_level(words: Array, profile: Profile, store: Store) -> Array:
    """Words per axon, in words of the level."""
    sizes, which = np.unique(words, return_inverse=True)
    converted = [synapse_words(int(size), profile, store.level) for size in sizes]
    return np.array(converted, np.int64)[which].reshape(words.shape)
