"""What each event of each neuron causes, and where: the rules by which everything is counted.

All that a chip does is linear in the events of its senders (encoders and spiking populations), in the active updates of
its populations, and in the steps. A neuron that fires sends one *message* to each core where it has synapses, whatever
the number of projections and slices there; where a chip takes an analog value bit by bit, one per set bit. What a
message does for all of a core (its way, its handling, a whole row of synapses) is counted at the first slice there that
it has synapses in; what it does for each projection, at that projection's slice.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from neurocompile.costs.activity import Kind
from neurocompile.costs.baselines import value_steps
from neurocompile.costs.memory import assign, state_words, synapse_words
from neurocompile.hardware import Level, Profile
from neurocompile.hardware.profile import Bank, Content
from neurocompile.ir.graph import Graph
from neurocompile.ir.nodes import ENCODERS, Array, Readout
from neurocompile.ir.populations import Projection, populations
from neurocompile.mapping import stored, synapses
from neurocompile.mapping.banks import find_bank, main_bank
from neurocompile.mapping.biases import biases
from neurocompile.mapping.mapping import CoreSlice, Mapping
from neurocompile.mapping.weights import nonzero_fan_out


@dataclass(frozen=True)
class Term:
    """``number`` (see ``Counters.flat``) grows on slice ``place`` by ``each`` with every event of the sender's neurons
    (int64 or bool over the sender's shape, or its ``box``); or, whatever they do, at every step by its sum.

    ``in_bank``: these are operations that a bank has a number of its own for, by which they are paid."""

    place: CoreSlice
    number: str
    each: Array
    box: synapses.Box | None = None
    every_step: bool = False
    in_bank: bool = False


def reads(content: Content, level: str) -> str:
    """The name of the words read in a level of memory."""
    return f"reads:{content}:{level}"


def writes(content: Content, level: str) -> str:
    """The name of the words written there."""
    return f"writes:{content}:{level}"


class Wiring:
    """The terms of a mapped graph on a chip. CapacityError where a memory is too small for it."""

    def __init__(self, graph: Graph, mapping: Mapping, profile: Profile) -> None:
        self.graph, self.mapping, self.profile = graph, mapping, profile
        self.populations = {each.name: each for each in populations(graph)}
        somas = {name: each.soma for name, each in self.populations.items()}
        self.memories = assign(mapping.slices, somas, graph.timesteps, profile)

    @property
    def senders(self) -> tuple[str, ...]:
        """All whose events cause anything."""
        spiking = [name for name in self.populations if not isinstance(self.populations[name].soma, Readout)]
        return (*self.graph.of_kind(*ENCODERS), *spiking)

    def kinds(self, sender: str) -> tuple[Kind, ...]:
        """What of a sender comes as a message of its own. Values and spikes of one encoder are told apart."""
        if synapses.bit_planes(self.graph.node(sender), self.profile) > 1:
            return ("bits",)
        return ("values", "spikes") if 0 < value_steps(self.graph, sender) < self.graph.timesteps else ("events",)

    # ------------------------------------------------------------------------------------------------------- updates

    def updates(self, each: CoreSlice, active: int, inactive: int, stateless: int) -> dict[str, int]:
        """What so many updates of a slice's neurons count as: linear in each."""
        if self.profile.core.visits == "active":
            inactive = 0
        visited = active + inactive + stateless
        numbers = {"updates_active": active, "updates_inactive": inactive, "updates_stateless": stateless}
        if isinstance(self.populations[each.population].soma, Readout) and self.profile.events.neuron_update_readout:
            numbers = {"updates_readout": visited}
        level = self.memories.store(each, "state").name
        words = (active + inactive) * self.state_words(each)
        return {**numbers, reads("state", level): words, writes("state", level): words}

    def state_words(self, each: CoreSlice) -> int:
        """Words of the state of one neuron of a slice."""
        soma = self.populations[each.population].soma
        return state_words(soma, self.graph.timesteps, self.memories.store(each, "state").level)

    def empty_slots(self) -> Iterator[tuple[CoreSlice, int]]:
        """How many slots of a core are looked at though they are empty, at every step; told with its first slice."""
        if self.profile.core.visits != "slots" or self.profile.limits.neurons is None:
            return
        for slices in self.mapping.by_core().values():
            yield slices[0], max(0, self.profile.limits.neurons.count - sum(each.neurons for each in slices))

    # -------------------------------------------------------------------------------------------------------- events

    def of(self, sender: str, kind: Kind) -> Iterator[Term]:
        """All terms of one of a sender's kinds of events, and with the first those of its being there."""
        shape = self.graph.shape(sender)
        copies = np.zeros(shape, np.int64)
        for fed in self._fed[sender].values():
            reached = np.zeros(shape, np.bool_)
            for each, projection in fed:
                fan_out = stored.fan_out(projection, each.box, self.profile)
                joined = fan_out > 0
                first = joined & ~reached
                reached |= joined
                bank = find_bank(self.graph, self.populations[each.population], projection, self.profile)
                yield from self._synapses(sender, kind, projection, each, fan_out, first, bank)
                if bank is not None:
                    if kind == self.kinds(sender)[0]:
                        yield Term(each, f"bank_visits:{bank.name}", joined, every_step=True)
                    yield Term(each, f"bank_messages:{bank.name}", joined)
                if first.any():
                    yield from self._arrivals(sender, each, first)
            copies += reached
        for each in self.mapping.of(sender):
            box = synapses.box_index(each.box)
            yield Term(each, "spikes", np.ones_like(copies[box]), each.box)
            yield Term(each, "messages_out", copies[box], each.box)

    def of_biases(self, name: str | None = None) -> Iterator[Term]:
        """What each step of a sample causes where the host sends biases (all, or those of one population): a message to
        each core, no words."""
        if self.profile.core.biases == "held":
            return
        for population in self.populations.values():
            if name not in (None, population.name):
                continue
            driven = biases(population).reshape(population.shape) != 0
            bank = main_bank(self.graph, population, self.profile)
            reached: set[int] = set()
            for each in self.mapping.of(population.name):
                operations = int(np.count_nonzero(driven[synapses.box_index(each.box)]))
                if not operations:
                    continue
                first = each.core not in reached
                reached.add(each.core)
                if self.profile.core.fetch == "row":
                    assert self.profile.limits.neurons is not None
                    operations = first * self.profile.limits.neurons.count
                yield Term(each, "synaptic_ops", np.array(operations), in_bank=bank is not None)
                if bank is not None:
                    yield Term(each, f"bank_messages:{bank.name}", np.array(1))
                    yield Term(each, f"bank_ops:{bank.name}", np.array(operations))
                if first:
                    yield from self._arrivals("", each, np.array(True))

    @cached_property
    def biased(self) -> int:
        """How many populations have biases that the host sends."""
        sent = self.profile.core.biases == "sent"
        return sum(bool(biases(each).any()) for each in self.populations.values() if sent)

    def _synapses(
        self,
        sender: str,
        kind: Kind,
        projection: Projection,
        each: CoreSlice,
        fan_out: Array,
        first: Array,
        bank: Bank | None,
    ) -> Iterator[Term]:
        """Synaptic operations and the words fetched for them."""
        level = self.memories.store(each, "synapses").level
        if self.profile.core.fetch == "row":
            slots = self.profile.limits.neurons
            assert slots is not None  # the profile says so
            operations = first * slots.count
        else:
            skips = bank is not None and bank.zeros == "skipped"
            operations = nonzero_fan_out(projection, each.box) if skips else fan_out
        words = _in_level(stored.words_per_axon(projection, each.box, self.profile), self.profile, level)
        graded = kind == "values" or (kind == "events" and value_steps(self.graph, sender) > 0)
        yield Term(each, "graded_synaptic_ops" if graded else "synaptic_ops", operations, in_bank=bank is not None)
        if bank is not None:
            yield Term(each, f"{'bank_graded_ops' if graded else 'bank_ops'}:{bank.name}", operations)
        yield Term(each, reads("synapses", level.name if level else ""), words)

    def _arrivals(self, sender: str, each: CoreSlice, first: Array) -> Iterator[Term]:
        """Messages that arrive at a slice's core, and their way; from the host, if the sender is no population."""
        yield Term(each, "messages_in", first)
        if sender not in self.populations:
            yield Term(each, "messages_entered", first)
        origin = self._origins(sender)
        if origin is None:
            return
        rows, columns = origin
        row, column = divmod(each.tile, self._columns)
        east_west, north_south = np.abs(columns - column), np.abs(rows - row)
        yield Term(each, "hops_east_west", first * east_west)
        yield Term(each, "hops_north_south", first * north_south)
        yield Term(each, "within_tile", first & (east_west + north_south == 0))

    def _origins(self, sender: str) -> tuple[Array, Array] | None:
        """Mesh row and column of each neuron, or of the host; None where messages have no way over a mesh."""
        if self.profile.noc is None:
            return None
        if sender not in self.populations:
            host = self.profile.host
            return None if host is None else tuple(map(np.array, divmod(host.tile, self._columns)))  # type: ignore[return-value]
        tiles = np.zeros(self.graph.shape(sender), np.int64)
        for each in self.mapping.of(sender):
            tiles[synapses.box_index(each.box)] = each.tile
        return divmod(tiles, self._columns)

    @property
    def _columns(self) -> int:
        return self.profile.topology.tile_columns.count if self.profile.topology else 1

    @cached_property
    def _fed(self) -> dict[str, dict[int, list[tuple[CoreSlice, Projection]]]]:
        """Per sender and core the slices that it feeds, and how."""
        fed: dict[str, dict[int, list[tuple[CoreSlice, Projection]]]] = {sender: {} for sender in self.senders}
        for core, slices in self.mapping.by_core().items():
            for each in slices:
                for projection in self.populations[each.population].projections:
                    fed[projection.source].setdefault(core, []).append((each, projection))
        return fed


def _in_level(words: Array, profile: Profile, level: Level | None) -> Array:
    """Words per axon, in words of the level."""
    sizes, which = np.unique(words, return_inverse=True)
    converted = [synapse_words(int(size), profile, level) for size in sizes]
    return np.array(converted, np.int64)[which].reshape(words.shape)
