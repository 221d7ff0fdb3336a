"""What a profile leaves open, and where two profiles differ: for people who write or compare them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from neurocompile.hardware.profile import BarrierPoint, Cost, Profile
from neurocompile.hardware.quantity import BASES, Basis, Quantity
from neurocompile.hardware.record import Record

#: a value of a profile that has no parts: null, a number with its unit and basis, or plain
Leaf = Quantity | str | int | bool | tuple[object, ...] | None

Need = Literal["energy", "latency", "cycle_engine"]
NEEDS: tuple[Need, ...] = ("energy", "latency", "cycle_engine")

#: what tells a profile from another without being a fact of the chip
_WORDS = frozenset({"format", "name", "title", "notes", "note", "source"})


@dataclass(frozen=True)
class Review:
    """How many numbers a profile has of each basis, and the keys that are null and wanted, by what wants them.

    A null is wanted by the networks that make the event happen; others go without it.
    """

    numbers: dict[Basis, int]
    wanted: dict[Need, tuple[str, ...]]


@dataclass(frozen=True)
class Difference:
    """A key at which two profiles differ. A side without the key has None, as one whose value is null."""

    key: str
    a: Leaf
    b: Leaf


def review(profile: Profile) -> Review:
    """What there is and what is missing."""
    counted = Counter(leaf.basis for _, leaf in leaves(profile) if isinstance(leaf, Quantity))
    latency = _unknown_times(profile, ("events", "banks"))
    never = set()  # accesses that no run makes: axon tables are not counted, and weights are not written
    for level in profile.memory:
        key, used = f"memory.{level.name}", {"state", "synapses"} & set(level.holds)
        never |= {f"{key}.{way}" for way in ("read", "write") if not used or (way == "write" and "state" not in used)}
    energy = [f"{key}.energy_pj" for key, cost in costs(profile) if cost.energy_pj is None and key not in never]
    energy += [
        f"memory.{level.name}.word_bits"
        for level in profile.memory
        if not level.energy_in_events and level.word_bits is None and f"memory.{level.name}.read" not in never
    ]
    if profile.static_power_mw is None:
        energy.append("static_power_mw")
    if any(power and power.value for power in (profile.static_power_mw, profile.core_power_mw)):
        energy += latency  # power times time
    engine = _unknown_times(profile, ("events", "banks", "noc", "host"), cycles=in_cycles(profile))
    return Review(
        {basis: counted[basis] for basis in BASES if basis in counted},
        {need: tuple(dict.fromkeys(keys)) for need, keys in zip(NEEDS, (energy, latency, engine), strict=True)},
    )


def _unknown_times(profile: Profile, sections: tuple[str, ...], *, cycles: bool = False) -> list[str]:
    """``cycles``: they are wanted in cycles, and no frequency."""
    unknown = []
    for key, cost in costs(profile):
        if key.split(".")[0] not in sections:
            continue
        if cycles and cost.cycles is None:
            unknown.append(f"{key}.cycles")
        elif not cycles and profile.time_of(cost) is None:
            unknown.append(f"{key}.time_ns" if cost.cycles is None else "clock.frequency_mhz")
    return unknown


def costs(profile: Profile) -> Iterator[tuple[str, Cost]]:
    """Every event that the chip has, with its key; memory accesses only where other events do not include them."""
    owners: list[tuple[str, Record]] = [("events", profile.events)]
    owners += [(f"banks.{bank.name}", bank) for bank in profile.banks]
    owners += [(f"memory.{level.name}", level) for level in profile.memory if not level.energy_in_events]
    owners += [(name, each) for name, each in (("noc", profile.noc), ("host", profile.host)) if each]
    for prefix, owner in owners:
        for field in type(owner).model_fields:
            if isinstance(value := getattr(owner, field), Cost):
                yield f"{prefix}.{field}", value


def in_cycles(profile: Profile) -> bool:
    """Whether every time of the profile is a number of clock cycles."""
    each = [cost for _, cost in costs(profile)]
    apart = (profile.tick_ns, profile.barrier, profile.noc.link_time_ns if profile.noc else None)
    return any(cost.cycles for cost in each) and not any(cost.time_ns for cost in each) and not any(apart)


def differences(a: Profile, b: Profile) -> tuple[Difference, ...]:
    """The keys whose values, units or bases differ, in the order of a profile; wording and sources do not count."""
    ours, theirs = dict(leaves(a)), dict(leaves(b))
    order = {key: index for index, key in enumerate(type(a).model_fields)}
    keys = sorted(dict.fromkeys((*ours, *theirs)), key=lambda key: order[key.split(".")[0]])
    return tuple(
        Difference(key, ours.get(key), theirs.get(key))
        for key in keys
        if _comparable(ours.get(key)) != _comparable(theirs.get(key))
    )


def leaves(record: Record, prefix: str = "") -> Iterator[tuple[str, Leaf]]:
    """The facts of a record with their dotted keys. Members of a list have their name in the key, or their tiles."""
    for field in type(record).model_fields:
        if field in _WORDS:
            continue
        value = getattr(record, field)
        parts = value if isinstance(value, tuple) and value and isinstance(value[0], Record) else (value,)
        for part in parts:
            key = f"{prefix}{field}"
            if isinstance(part, BarrierPoint):
                key += f".{part.tiles}"
            elif part is not value:
                key += f".{part.name}"
            if isinstance(part, Record) and not isinstance(part, Quantity):
                yield from leaves(part, f"{key}.")
            else:
                yield key, part


def _comparable(leaf: Leaf) -> object:
    return (leaf.value, leaf.unit, leaf.basis) if isinstance(leaf, Quantity) else leaf
