"""Counters times a profile's numbers: who pays what, and what cannot be priced.

Nothing unknown is ever taken for zero: a count whose number is null leaves its part, and every sum of it, without a
value, and is told as missing. An event that the profile does not have at all costs nothing of its own.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from neurocompile.costs.counters import Counters
from neurocompile.hardware import BASES, Basis, Cost, Profile, Quantity

#: parts of the energy that every chip has; each memory level that is charged adds ``memory:<level>``
PARTS = ("synapse", "soma", "noc", "host", "static")

#: a core updates neurons and sends on one side, receives messages and works on synapses on the other
Side = Literal["sending", "receiving"]


@dataclass(frozen=True)
class Charge:
    """``count`` of something that costs ``quantity`` each (null: unknown); ``key`` is where the profile says so."""

    part: str
    key: str
    count: float
    quantity: Quantity | None

    @property
    def known(self) -> float:
        """What it costs, in the quantity's unit; 0 where that is unknown."""
        return self.count * self.quantity.value if self.quantity else 0.0


@dataclass(frozen=True)
class Bill:
    """Charges of one unit. Whatever has a charge of unknown price has None for a sum."""

    charges: tuple[Charge, ...]

    @classmethod
    def of(cls, charges: Iterable[Charge]) -> Bill:
        """Only what happens is charged."""
        return cls(tuple(charge for charge in charges if charge.count))

    def __add__(self, other: Bill) -> Bill:
        return Bill(self.charges + other.charges)

    def part(self, *parts: str) -> float | None:
        charges = [charge for charge in self.charges if charge.part in parts]
        return sum((charge.known for charge in charges), 0.0) if all(charge.quantity for charge in charges) else None

    @property
    def parts(self) -> dict[str, float | None]:
        memories = dict.fromkeys(charge.part for charge in self.charges if charge.part not in PARTS)
        return {part: self.part(part) for part in (*PARTS[:3], *memories, *PARTS[3:])}

    @property
    def memory(self) -> float | None:
        """All memory levels together."""
        return self.part(*(charge.part for charge in self.charges if charge.part.startswith("memory:")))

    @property
    def total(self) -> float | None:
        return None if self.missing else self.known

    @property
    def known(self) -> float:
        """The sum of what has a price."""
        return sum((charge.known for charge in self.charges), 0.0)

    @property
    def by_basis(self) -> dict[Basis, float]:
        """What is known, by how its numbers were come by, strongest first."""
        return {
            basis: sum(
                (charge.known for charge in self.charges if charge.quantity and charge.quantity.basis == basis), 0.0
            )
            for basis in BASES
            if basis in self.bases
        }

    @property
    def missing(self) -> tuple[str, ...]:
        """The keys of the profile that are null and wanted, each once."""
        return tuple(dict.fromkeys(charge.key for charge in self.charges if charge.quantity is None))

    @property
    def bases(self) -> tuple[Basis, ...]:
        return tuple(charge.quantity.basis for charge in self.charges if charge.quantity)


@dataclass(frozen=True)
class _Line:
    """``cost`` is null where the number at ``key`` is wanted before anything can be priced. ``side``: where in a core
    it takes time; None where its time is none of a core's."""

    part: str
    key: str
    count: float
    cost: Cost | None
    side: Side | None

    def energy(self) -> Charge:
        if self.cost is None:
            return Charge(self.part, self.key, self.count, None)
        return Charge(self.part, f"{self.key}.energy_pj", self.count, self.cost.energy_pj)

    def time(self, profile: Profile) -> Charge:
        if self.cost is None:
            return Charge(self.part, self.key, self.count, None)
        key = f"{self.key}.time_ns" if self.cost.cycles is None else "clock.frequency_mhz"
        return Charge(self.part, key, self.count, profile.time_of(self.cost))


def energy_pj(counters: Counters, profile: Profile) -> Bill:
    """Energy (pJ) per sample of everything but waiting."""
    return Bill.of(line.energy() for line in _lines(counters, profile))


def core_time_ns(counters: Counters, profile: Profile) -> dict[Side, Bill]:
    """Time (ns) per sample that a core spends on each of its sides; that of the network overlaps with it."""
    lines = _lines(counters, profile)
    sides: tuple[Side, Side] = ("sending", "receiving")
    return {side: Bill.of(line.time(profile) for line in lines if line.side == side) for side in sides}


def work_of(number: str, profile: Profile, side: Side) -> list[tuple[str, Cost | None]]:
    """What one of ``number`` (see ``Counters.flat``) is to a core on one of its sides: keys of events and their costs,
    of which a word's is null where its width is unknown."""
    lines = _lines(Counters.of({number: 1.0}), profile)
    return [(line.key, line.cost) for line in lines if line.side == side and line.count > 0]


def memory_time_ns(counters: Counters, profile: Profile) -> Bill:
    """Time (ns) per sample that all accesses take, each level's as its part; none where it is within the events'."""
    return Bill.of(line.time(profile) for line in _memory(counters, profile) if line.side)


def _lines(counters: Counters, profile: Profile) -> list[_Line]:
    priced = [*_events(counters, profile), *_banks(counters, profile), *_network(counters, profile)]
    return [line for line in priced if line.cost] + _memory(counters, profile)


def _events(counters: Counters, profile: Profile) -> list[_Line]:
    """What all chips do. Operations in a bank are paid there."""
    events = profile.events
    graded = "graded_synaptic_op" if events.graded_synaptic_op else "synaptic_op"
    stateless = "neuron_update_stateless" if events.neuron_update_stateless else "neuron_update_active"
    plain_ops = counters.synaptic_ops - sum(bank.synaptic_ops for bank in counters.banks)
    graded_ops = counters.graded_synaptic_ops - sum(bank.graded_synaptic_ops for bank in counters.banks)
    lines: tuple[tuple[str, str, float, Cost | None, Side], ...] = (
        ("synapse", "synaptic_op", plain_ops, events.synaptic_op, "receiving"),
        ("synapse", graded, graded_ops, events.graded_op, "receiving"),
        ("synapse", "axon_in", counters.messages_in, events.axon_in, "receiving"),
        ("soma", "neuron_update_active", counters.updates_active, events.neuron_update_active, "sending"),
        ("soma", "neuron_update_inactive", counters.updates_inactive, events.neuron_update_inactive, "sending"),
        ("soma", stateless, counters.updates_stateless, events.stateless_update, "sending"),
        ("soma", "neuron_update_readout", counters.updates_readout, events.neuron_update_readout, "sending"),
        ("soma", "spike_out", counters.spikes, events.spike_out, "sending"),
        ("noc", "axon_out", counters.messages_out, events.axon_out, "sending"),
    )
    return [_Line(part, f"events.{name}", count, cost, side) for part, name, count, cost, side in lines]


def _banks(counters: Counters, profile: Profile) -> list[_Line]:
    banks = {bank.name: bank for bank in profile.banks}
    lines = []
    for each in counters.banks:
        if bank := banks.get(each.bank):
            operations = each.synaptic_ops + each.graded_synaptic_ops
            key = f"banks.{bank.name}"
            lines += [
                _Line("synapse", f"{key}.source_visit", each.visits, bank.source_visit, "receiving"),
                _Line("synapse", f"{key}.message", each.messages, bank.message, "receiving"),
                _Line("synapse", f"{key}.synaptic_op", operations, bank.synaptic_op, "receiving"),
            ]
    return lines


def _network(counters: Counters, profile: Profile) -> list[_Line]:
    """The ways of messages, and where they enter."""
    noc, host = profile.noc, profile.host
    lines = []
    if noc is not None:
        lines += [
            _Line("noc", "noc.hop_east_west", counters.hops_east_west, noc.hop_east_west, None),
            _Line("noc", "noc.hop_north_south", counters.hops_north_south, noc.hop_north_south, None),
            _Line("noc", "noc.within_tile", counters.within_tile, noc.within_tile, None),
        ]
    if host is not None:
        lines.append(_Line("host", "host.message", counters.messages_entered, host.message, None))
    return lines


def _memory(counters: Counters, profile: Profile) -> list[_Line]:
    """Words read and written in levels whose accesses are not within the events already. Their time counts where the
    level has one of its own; where the width of a word is unknown, so is their number."""
    levels = {level.name: level for level in profile.memory if not level.energy_in_events}
    lines = []
    for each in counters.traffic:
        if level := levels.get(each.level):
            side: Side = "sending" if each.content == "state" else "receiving"
            part, key = f"memory:{level.name}", f"memory.{level.name}"
            accesses = [("read", each.reads, level.read), ("write", each.writes, level.write)]
            if level.word_bits is None:
                timed = any(_has_time(cost) for _, _, cost in accesses)
                lines.append(_Line(part, f"{key}.word_bits", each.reads + each.writes, None, side if timed else None))
                continue
            lines += [
                _Line(part, f"{key}.{name}", count, cost, side if _has_time(cost) else None)
                for name, count, cost in accesses
            ]
    return lines


def _has_time(cost: Cost) -> bool:
    return cost.time_ns is not None or cost.cycles is not None
