"""What happens in a run on a chip, without any time: the first half of the slow simulator.

It shares with the engine what other tests judge (memory levels, words of lists, bit planes) and nothing that is the
engine's own: synapses come from pushing each source neuron through the projection with all weights one (in a sparse
list, those that are not zero).
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator
from collections.abc import Mapping as Map
from dataclasses import dataclass
from typing import Any

import numpy as np

from neurocompile.costs.baselines import value_steps
from neurocompile.costs.memory import assign, is_stateful, state_words, synapse_words
from neurocompile.hardware.profile import Bank, Cost, Level, Profile
from neurocompile.hardware.record import Record
from neurocompile.ir.graph import Graph
from neurocompile.ir.interpret import SomaState
from neurocompile.ir.nodes import ANALOG, ENCODERS, Array, Linear, Readout, Threshold, per_channel
from neurocompile.ir.populations import Population, Projection, populations
from neurocompile.mapping.mapping import CoreSlice, Mapping
from neurocompile.mapping.stored import is_sparse, words_per_axon
from neurocompile.mapping.synapses import bit_planes, box_index, payload_bits, shares_kernels

TICKS = 10**6  # of a nanosecond or a cycle


@dataclass(frozen=True)
class Piece:
    """A projection into a slice. Arrays over the source's neurons, row-major."""

    source: str
    projection: Projection
    each: CoreSlice
    paths: Array  # (targets of the slice, sources)
    words: Array
    ops: Array  # that take time: without zeros where the bank skips them
    bank: Bank | None
    op: Cost | None
    spike_op: Cost | None  # behind the steps at which the source sends values


class Facts:
    """All that does not depend on time."""

    def __init__(
        self,
        graph: Graph,
        mapping: Mapping,
        profile: Profile,
        events: Map[str, Array],
        awake: Map[str, Array],
        leftover: Map[str, Array],
    ) -> None:
        self.graph, self.mapping, self.profile = graph, mapping, profile
        self.events, self.awake, self.leftover = events, awake, leftover
        self.populations = populations(graph)
        self.by_name = {each.name: each for each in self.populations}
        self.samples, self.timesteps = next(iter(events.values())).shape[:2]
        assert self.timesteps == graph.timesteps
        self.phase = dict.fromkeys(graph.of_kind(*ENCODERS), 0) | {p.name: p.soma.phase for p in self.populations}
        self.depth = max(self.phase.values())
        self.steps = self.samples * self.timesteps + self.depth
        self.cores = sorted({each.core for each in mapping.slices})
        self.tile = {each.core: each.tile for each in mapping.slices}
        self.in_cycles = counts_in_cycles(profile)
        frequency = profile.clock.frequency_mhz if profile.clock else None
        self.unit_ns = (1e3 / frequency.value if frequency else None) if self.in_cycles else 1.0
        noc, barrier = profile.noc, profile.barrier
        self.link_time = self.number(noc.link_time_ns) if noc else 0
        self.places = noc.buffer_messages.count if noc and noc.buffer_messages else None
        self.tick = self.number(profile.tick_ns)
        self.barrier = round(barrier.barrier_ns(mapping.tiles) * TICKS) if barrier else 0
        self.memories = assign(mapping.slices, {p.name: p.soma for p in self.populations}, self.timesteps, profile)
        self.pieces = [
            self.piece(projection, each)
            for each in mapping.slices
            for projection in self.by_name[each.population].projections
        ]
        self.goes_to = {name: self.targets(name) for name in self.phase}
        self.biased = [p for p in self.populations if profile.core.biases == "sent" and driven(p).any()]
        self.active = {p.name: self.active_updates(p) for p in self.populations}
        self.visits = np.zeros((len(mapping.slices), 3), np.int64)

    def number(self, quantity: Any) -> int:
        return round(quantity.value * TICKS) if quantity else 0

    def ticks(self, cost: Cost | None) -> int:
        """The time of one event, which must be known."""
        if cost is None:
            return 0
        value = cost.cycles if self.in_cycles else self.profile.time_of(cost)
        assert value is not None, "a time that is wanted is null"
        return round(value.value * TICKS)

    def level(self, each: CoreSlice, content: Any) -> Level | None:
        return self.memories.store(each, content).level

    def word(self, level: Level | None, access: str) -> int:
        """The time of reading or writing a word; 0 where the level has none of its own."""
        cost: Cost | None = getattr(level, access, None)
        if level is None or level.energy_in_events or cost is None or (cost.time_ns is None and cost.cycles is None):
            return 0
        return self.ticks(cost)

    def piece(self, projection: Projection, each: CoreSlice) -> Piece:
        level = self.level(each, "synapses")
        lists = words_per_axon(projection, each.box, self.profile).ravel()
        sparse = is_sparse(projection, self.profile)
        words = np.array([synapse_words(int(size), self.profile, level) for size in lists])
        paths = matrix(projection, each, ones=not sparse)
        bank = self.bank(projection, each.population)
        skipped = bank is not None and bank.zeros == "skipped"
        planes = bit_planes(self.graph.node(projection.source), self.profile)
        op = spike_op = self.profile.events.synaptic_op if bank is None else bank.synaptic_op
        if bank is None and planes == 1 and (steps := value_steps(self.graph, projection.source)):
            op = self.profile.events.graded_op
            spike_op = op if steps == self.timesteps else spike_op
        ops = (matrix(projection, each, ones=False) if skipped else paths).sum(axis=0)
        return Piece(projection.source, projection, each, paths, words, ops, bank, op, spike_op)

    def bank(self, projection: Projection, population: str) -> Bank | None:
        """The first that holds it."""
        source = "others" if projection.source in self.by_name else "input"
        source = "itself" if projection.source == population else source
        target = "readouts" if isinstance(self.by_name[population].soma, Readout) else "neurons"
        full = isinstance(projection.weighted, Linear) and not is_sparse(projection, self.profile)
        weights = "dense" if full else "sparse"
        weights = "shared" if shares_kernels(projection, self.profile) else weights
        for bank in self.profile.banks:
            wanted = ((bank.source, source), (bank.target, target), (bank.weights, weights))
            if all(field in (kind, "any") for field, kind in wanted):
                return bank
        return None

    def targets(self, source: str) -> list[list[int]]:
        """Of each neuron of a source, the cores where it has synapses."""
        size = int(np.prod(self.graph.shape(source)))
        found: list[set[int]] = [set() for _ in range(size)]
        for piece in self.pieces:
            if piece.source == source:
                for neuron in np.flatnonzero(piece.paths.sum(axis=0)):
                    found[neuron].add(piece.each.core)
        return [sorted(cores) for cores in found]

    def bias_handling(self, population: Population, core: int) -> int | None:
        """How long ``core`` works on the message that brings biases there; None where it brings none."""
        time, reached, slots = 0, False, self.profile.limits.neurons
        kinds: dict[str, int] = {}
        for piece in self.pieces:
            if piece.each.population == population.name:
                name = piece.bank.name if piece.bank else ""
                kinds[name] = kinds.get(name, 0) + int(piece.paths.sum())
        most = max(kinds, key=lambda name: kinds[name])
        bank = next((each for each in self.profile.banks if each.name == most), None)
        op = bank.synaptic_op if bank else self.profile.events.synaptic_op
        for each in self.mapping.slices:
            if (each.population, each.core) != (population.name, core):
                continue
            if ops := int(driven(population)[box_index(each.box)].sum()):
                time += self.ticks(bank.message) if bank else 0
                if self.profile.core.fetch == "row":
                    assert slots is not None
                    ops = 0 if reached else slots.count
                time, reached = time + ops * self.ticks(op) if ops else time, True
        return time + self.ticks(self.profile.events.axon_in) if reached else None

    @functools.cache  # noqa: B019
    def handling(self, source: str, neuron: int, core: int, *, begins: bool = True) -> int:
        """How long ``core`` works on a message of that neuron; ``begins``: of the first step of a sample."""
        time, rows, slots = self.ticks(self.profile.events.axon_in), 0, self.profile.limits.neurons
        for piece in self.pieces:
            if (piece.source, piece.each.core) != (source, core) or not piece.paths[:, neuron].any():
                continue
            if piece.bank:
                time += self.ticks(piece.bank.message)
            if words := int(piece.words[neuron]):
                time += words * self.word(self.level(piece.each, "synapses"), "read")
            op = piece.op if begins else piece.spike_op
            if self.profile.core.fetch == "row":
                rows += 1
                assert slots is not None
                time += self.ticks(op) * slots.count if rows == 1 else 0
            elif ops := int(piece.ops[neuron]):
                time += ops * self.ticks(op)
        return time

    def source_visits(self, core: int) -> int:
        return sum(
            self.ticks(piece.bank.source_visit) * int(piece.paths.any(axis=0).sum())
            for piece in self.pieces
            if piece.bank and piece.each.core == core
        )

    def active_updates(self, population: Population) -> Array:
        """bool (N, T, neurons)"""
        shape = (self.samples, self.timesteps, population.neurons)
        active = np.zeros(shape, np.bool_)
        if not is_stateful(population.soma, self.timesteps):
            return active
        bias: Any = getattr(population.soma, "bias", np.zeros(()))
        active |= np.broadcast_to(per_channel(np.asarray(bias), population.shape), population.shape).ravel() != 0
        if population.name in self.events:
            active |= self.events[population.name].reshape(shape) != 0
        if self.profile.core.active == "state":
            active |= self.awake[population.name].reshape(shape)
        for projection in population.projections:
            sent = self.events[projection.source].reshape(self.samples, self.timesteps, -1) != 0
            delays = np.zeros((), np.int64) if projection.past is None else projection.past.delays
            delay = np.broadcast_to(per_channel(delays, projection.source_shape), projection.source_shape).ravel()
            whole = CoreSlice(population.name, tuple((0, size) for size in population.shape), 0, 0, {})
            joined = matrix(projection, whole, ones=True) > 0
            for n, t, neuron in zip(*np.nonzero(sent), strict=True):
                if t + delay[neuron] < self.timesteps:
                    active[n, t + delay[neuron]] |= joined[:, neuron]
        return active

    def own_step(self, name: str, t: int) -> tuple[int, int] | None:
        """(sample, step) that a population works on in chip step t; None if it is idle."""
        n, step = divmod(t - self.phase[name], self.timesteps)
        return (n, step) if 0 <= n < self.samples else None

    def fired(self, name: str, t: int) -> Array:
        """What every neuron sends in chip step t."""
        at = self.own_step(name, t)
        if at is None or name not in self.events:
            return np.zeros(int(np.prod(self.graph.shape(name))), np.int64)
        return self.events[name][at].ravel()

    def update(self, each: CoreSlice, number: int, t: int) -> tuple[int, int]:
        """(column of ``visits``, time) of neuron ``number`` of the slice's population."""
        population, prices = self.by_name[each.population], self.profile.events
        stateful = is_stateful(population.soma, self.timesteps)
        at, kind, price = self.own_step(each.population, t), 2, prices.stateless_update
        if stateful:
            if at is not None:
                active = bool(self.active[each.population][at][number])
            else:
                active = self.is_left(each.population, number, t)
            kind, price = (0, prices.neuron_update_active) if active else (1, prices.neuron_update_inactive)
        if kind == 1 and self.profile.core.visits == "active":
            return kind, 0
        if isinstance(population.soma, Readout) and prices.neuron_update_readout is not None:
            price = prices.neuron_update_readout
        level = self.level(each, "state")
        words = state_words(population.soma, self.timesteps, level)
        return kind, self.ticks(price) + words * (self.word(level, "read") + self.word(level, "write"))

    def is_left(self, name: str, number: int, t: int) -> bool:
        """Whether the state of an idle neuron is other than zero."""
        late = t - self.phase[name] - self.samples * self.timesteps
        left = self.leftover.get(name, ())
        return self.profile.core.active == "state" and 0 <= late < len(left) and bool(left[late].ravel()[number])

    def copies(self, encoder: str, value: int) -> int:
        """How many messages to each core a value of an encoder is."""
        node = self.graph.node(encoder)
        if bit_planes(node, self.profile) == 1:
            return 1
        if isinstance(node, ANALOG) and node.low < 0:
            value &= (1 << payload_bits(node)) - 1
        return abs(value).bit_count()


def driven(population: Population) -> Array:
    """bool over a population: neurons with a bias; of those that compare sums alone, those that fire without input."""
    soma, shape = population.soma, population.shape
    if isinstance(soma, Threshold):
        fired: Any = SomaState(soma, shape, 1, np.dtype(np.int64)).step(np.zeros((1, *shape), np.int64))
        return np.asarray(fired)[0] != 0
    return np.broadcast_to(per_channel(np.asarray(getattr(soma, "bias", 0)) != 0, shape), shape)


def counts_in_cycles(profile: Profile) -> bool:
    costs = list(costs_in(profile))
    others = (profile.noc and profile.noc.link_time_ns, profile.tick_ns, profile.barrier)
    return any(cost.cycles for cost in costs) and not any(cost.time_ns for cost in costs) and not any(others)


def costs_in(record: Any) -> Iterator[Cost]:
    for name in type(record).model_fields:
        value = getattr(record, name)
        for each in value if isinstance(value, tuple) else (value,):
            if isinstance(each, Cost):
                yield each
            elif isinstance(each, Record):
                yield from costs_in(each)


def matrix(projection: Projection, each: CoreSlice, *, ones: bool) -> Array:
    """(targets in the slice, sources): paths from each to each; without ``ones`` those whose weight is not zero."""
    nodes = []
    for node in projection.nodes:
        if hasattr(node, "weight"):
            weight = np.ones_like(node.weight) if ones else (node.weight != 0).astype(np.int64)
            node = dataclasses.replace(node, weight=weight, bias=None, weight_exponent=0)
        nodes.append(node)
    size = int(np.prod(projection.source_shape))
    single = np.eye(size, dtype=np.int64).reshape(size, *projection.source_shape)
    reached = dataclasses.replace(projection, nodes=tuple(nodes)).apply(single)
    return reached[(slice(None), *box_index(each.box))].reshape(size, -1).T
