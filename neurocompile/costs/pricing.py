"""Counters times a profile's numbers: who pays what, and what cannot be priced.

Nothing unknown is ever taken for zero: a count whose number is null leaves its part, and every sum of it, without a
value, and is told as missing. An event that the profile does not have at all costs nothing of its own.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from neurocompile.costs.counters import Counters
from neurocompile.hardware import Basis, Cost, Profile, Quantity

#: parts of the energy that every chip has; each memory level that is charged adds ``memory:<level>``
PARTS = ("synapse", "soma", "noc", "static")


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
        return {part: self.part(part) for part in (*PARTS[:-1], *memories, PARTS[-1])}

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
    def missing(self) -> tuple[str, ...]:
        """The keys of the profile that are null and wanted, each once."""
        return tuple(dict.fromkeys(charge.key for charge in self.charges if charge.quantity is None))

    @property
    def bases(self) -> tuple[Basis, ...]:
        return tuple(charge.quantity.basis for charge in self.charges if charge.quantity)


def energy_pj(counters: Counters, profile: Profile) -> Bill:
    """Energy (pJ) per sample of everything but waiting."""
    lines = (*_events(counters, profile), *_network(counters, profile))
    charges = [Charge(part, f"{key}.energy_pj", count, cost.energy_pj) for part, key, count, cost in lines]
    return Bill.of((*charges, *_memory(counters, profile)))


def core_time_ns(counters: Counters, profile: Profile) -> Bill:
    """Time (ns) per sample that a core spends on its neurons and synapses; memory and network overlap with it."""
    lines = _events(counters, profile)
    return Bill.of(Charge(part, _time_key(key, cost), count, profile.time_of(cost)) for part, key, count, cost in lines)


def _time_key(key: str, cost: Cost) -> str:
    """What a time needs: the key that is null, if there is one."""
    return f"{key}.time_ns" if cost.cycles is None else "clock.frequency_mhz"


_Line = tuple[str, str, float, Cost]


def _events(counters: Counters, profile: Profile) -> list[_Line]:
    events = profile.events
    graded = "graded_synaptic_op" if events.graded_synaptic_op else "synaptic_op"
    stateless = "neuron_update_stateless" if events.neuron_update_stateless else "neuron_update_active"
    lines: tuple[tuple[str, str, float, Cost | None], ...] = (
        ("synapse", "synaptic_op", counters.synaptic_ops, events.synaptic_op),
        ("synapse", graded, counters.graded_synaptic_ops, events.graded_op),
        ("synapse", "axon_in", counters.messages_in, events.axon_in),
        ("soma", "neuron_update_active", counters.updates_active, events.neuron_update_active),
        ("soma", "neuron_update_inactive", counters.updates_inactive, events.neuron_update_inactive),
        ("soma", stateless, counters.updates_stateless, events.stateless_update),
        ("soma", "spike_out", counters.spikes, events.spike_out),
        ("noc", "axon_out", counters.messages_out, events.axon_out),
    )
    return [(part, f"events.{name}", count, cost) for part, name, count, cost in lines if cost]


def _network(counters: Counters, profile: Profile) -> list[_Line]:
    if profile.noc is None:
        return []
    return [
        ("noc", "noc.hop_east_west", counters.hops_east_west, profile.noc.hop_east_west),
        ("noc", "noc.hop_north_south", counters.hops_north_south, profile.noc.hop_north_south),
        ("noc", "noc.within_tile", counters.within_tile, profile.noc.within_tile),
    ]


def _memory(counters: Counters, profile: Profile) -> list[Charge]:
    """Words read and written; where the width of a word is unknown, so is their number."""
    levels = {level.name: level for level in profile.memory if not level.energy_in_events}
    charges = []
    for each in counters.traffic:
        if level := levels.get(each.level):
            part, key = f"memory:{level.name}", f"memory.{level.name}"
            if level.word_bits is None:
                charges.append(Charge(part, f"{key}.word_bits", each.reads + each.writes, None))
                continue
            charges.append(Charge(part, f"{key}.read.energy_pj", each.reads, level.read.energy_pj))
            charges.append(Charge(part, f"{key}.write.energy_pj", each.writes, level.write.energy_pj))
    return charges
