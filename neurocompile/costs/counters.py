"""What every core of a mapped network does for a sample: counts, and no prices yet. ``terms`` has the rules."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from collections.abc import Mapping as Map
from dataclasses import dataclass

import numpy as np

from neurocompile.costs.activity import Activity
from neurocompile.costs.memory import Memories, is_stateful
from neurocompile.costs.terms import Wiring, reads, writes
from neurocompile.costs.timed import Timed
from neurocompile.errors import InputError
from neurocompile.hardware import Profile
from neurocompile.hardware.profile import Content
from neurocompile.ir.graph import Graph
from neurocompile.ir.nodes import ENCODERS
from neurocompile.mapping import synapses
from neurocompile.mapping.mapping import CoreSlice, Mapping


@dataclass(frozen=True)
class Traffic:
    """Words read and written in one level of memory; ``level`` is empty on a chip that describes none."""

    content: Content
    level: str
    reads: float
    writes: float = 0.0


@dataclass(frozen=True)
class Banked:
    """What happens in one bank of synapses. Its operations are among those of the ``Counters``, and paid here."""

    bank: str
    visits: float = 0.0  # of source neurons, whether they fire or not
    messages: float = 0.0  # one for each projection
    synaptic_ops: float = 0.0
    graded_synaptic_ops: float = 0.0


_BANKED = {
    "bank_visits": "visits",
    "bank_messages": "messages",
    "bank_ops": "synaptic_ops",
    "bank_graded_ops": "graded_synaptic_ops",
}
_CONTENTS: dict[str, Content] = {"synapses": "synapses", "state": "state"}


@dataclass(frozen=True)
class Counters:
    """Means per sample. A chip without network has messages, but neither hops nor deliveries within a tile.

    ``messages_entered`` are those of ``messages_in`` that come from off the chip. ``updates_readout`` are those of
    neurons that never fire, where the chip has a price of their own for them.
    """

    synaptic_ops: float = 0.0
    graded_synaptic_ops: float = 0.0
    updates_active: float = 0.0
    updates_inactive: float = 0.0
    updates_stateless: float = 0.0
    updates_readout: float = 0.0
    spikes: float = 0.0
    messages_out: float = 0.0
    messages_in: float = 0.0
    messages_entered: float = 0.0
    hops_east_west: float = 0.0
    hops_north_south: float = 0.0
    within_tile: float = 0.0
    traffic: tuple[Traffic, ...] = ()
    banks: tuple[Banked, ...] = ()

    def __add__(self, other: Counters) -> Counters:
        return Counters.sum((self, other))

    @classmethod
    def sum(cls, parts: Iterable[Counters]) -> Counters:
        total: dict[str, float] = {}
        for part in parts:
            for name, number in part.flat.items():
                total[name] = total.get(name, 0.0) + number
        return cls.of(total)

    @property
    def flat(self) -> dict[str, float]:
        """Every number that is not zero by name: ``spikes``, ``reads:state:<level>``, ``bank_ops:<bank>``, …"""
        numbers = {name: getattr(self, name) for name in NUMBERS}
        for each in self.traffic:
            numbers[reads(each.content, each.level)] = each.reads
            numbers[writes(each.content, each.level)] = each.writes
        for bank in self.banks:
            numbers.update({f"{name}:{bank.bank}": getattr(bank, field) for name, field in _BANKED.items()})
        return {name: number for name, number in numbers.items() if number}

    @classmethod
    def of(cls, flat: Map[str, float]) -> Counters:
        """From numbers by name, which each come once; InputError for a name that is none."""
        numbers: dict[str, float] = {}
        traffic: dict[tuple[Content, str], dict[str, float]] = {}
        banks: dict[str, dict[str, float]] = {}
        for name, number in flat.items():
            kind, _, rest = name.partition(":")
            content, _, level = rest.partition(":")
            if name in NUMBERS:
                numbers[name] = number
            elif kind in _BANKED:
                banks.setdefault(rest, {})[_BANKED[kind]] = number
            elif kind in ("reads", "writes") and content in _CONTENTS:
                traffic.setdefault((_CONTENTS[content], level), {"reads": 0.0})[kind] = number
            else:
                raise InputError(f"{name!r:.60} is no counter; run the network again")
        return cls(
            **numbers,
            traffic=tuple(
                Traffic(content, level, **each) for (content, level), each in traffic.items() if any(each.values())
            ),
            banks=tuple(Banked(bank, **each) for bank, each in banks.items() if any(each.values())),
        )

    def scaled(self, factor: float) -> Counters:
        return Counters.of({name: number * factor for name, number in self.flat.items()})

    def accesses(self, content: Content) -> float:
        """Reads and writes of the memories that hold ``content``, in words."""
        return sum(each.reads + each.writes for each in self.traffic if each.content == content)


#: the counters that are plain numbers, in order
NUMBERS = tuple(field.name for field in dataclasses.fields(Counters) if field.name not in ("traffic", "banks"))


@dataclass(frozen=True)
class Count:
    """Counters per slice, in the mapping's order, and what lies in which memory.

    ``inputs``: how often a neuron off the chip fires, per sample: the events of encoders, or the set bits where each is
    a message, and the steps of biases that the host sends. ``state_words`` is the memory that all neurons' states take.
    """

    slices: tuple[tuple[CoreSlice, Counters], ...]
    inputs: float
    state_words: int
    memories: Memories

    def of(self, population: str) -> Counters:
        return Counters.sum(counters for each, counters in self.slices if each.population == population)

    def by_core(self) -> dict[int, Counters]:
        cores: dict[int, list[Counters]] = {}
        for each, counters in self.slices:
            cores.setdefault(each.core, []).append(counters)
        return {core: Counters.sum(parts) for core, parts in cores.items()}

    @property
    def entered(self) -> float:
        """The messages that come from encoders, off the chip."""
        return self.total.messages_entered

    @property
    def total(self) -> Counters:
        return Counters.sum(counters for _, counters in self.slices)


def count(graph: Graph, mapping: Mapping, activity: Activity, profile: Profile, timed: Timed | None = None) -> Count:
    """The counters of ``graph``, mapped by ``mapping``, on what ``activity`` saw.

    Updates, and whatever happens at every step, are those of the T steps of each sample; of a run that was ``timed``,
    with the steps in which the chip fills and drains.
    """
    activity.check(graph)
    wiring = Wiring(graph, mapping, profile)
    samples, steps = activity.samples, activity.samples * activity.timesteps
    visits = [_updates(each, wiring, activity) for each in mapping.slices]
    updated = samples
    if timed is not None:
        timed.check(mapping)
        updated, steps = timed.samples, timed.steps
        visits = [(int(active), int(inactive), int(stateless)) for active, inactive, stateless in timed.visits]
    totals: dict[CoreSlice, dict[str, float]] = {
        each: {name: number / updated for name, number in wiring.updates(each, *seen).items()}
        for each, seen in zip(mapping.slices, visits, strict=True)
    }

    def add(each: CoreSlice, name: str, number: float) -> None:
        totals[each][name] = totals[each].get(name, 0.0) + number

    for each, slots in wiring.empty_slots():
        add(each, "updates_inactive", slots * steps / updated)
    for sender in wiring.senders:
        for kind in wiring.kinds(sender):
            sent = activity.sent(kind, sender)
            for term in wiring.of(sender, kind):
                if term.every_step:
                    add(term.place, term.number, int(term.each.sum()) * steps / updated)
                    continue
                counted = sent if term.box is None else sent[synapses.box_index(term.box)]
                add(term.place, term.number, int(np.vdot(counted, term.each)) / samples)
    for term in wiring.of_biases():
        add(term.place, term.number, int(term.each) * activity.timesteps)
    encoders = [activity.sent(kind, name) for name in graph.of_kind(*ENCODERS) for kind in wiring.kinds(name)]
    return Count(
        tuple((each, Counters.of(totals[each])) for each in mapping.slices),
        sum(int(sent.sum()) for sent in encoders) / samples + wiring.biased * activity.timesteps,
        sum(each.neurons * wiring.state_words(each) for each in mapping.slices),
        wiring.memories,
    )


def _updates(each: CoreSlice, wiring: Wiring, activity: Activity) -> tuple[int, int, int]:
    """Active, inactive and stateless updates of a slice in all samples."""
    updates = each.neurons * activity.timesteps * activity.samples
    if not is_stateful(wiring.populations[each.population].soma, activity.timesteps):
        return 0, 0, updates
    active = int(activity.active[each.population][synapses.box_index(each.box)].sum())
    return active, updates - active, 0
