"""Where every neuron of a program lives: the result of mapping, and its saved form."""

from __future__ import annotations

from collections.abc import Mapping as Map
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from neurocompile.errors import InputError
from neurocompile.hardware.profile import Profile
from neurocompile.ir.graph import Graph
from neurocompile.ir.populations import Population, populations
from neurocompile.mapping.limits import CORE_LIMITS, core_limits, joint_needs
from neurocompile.mapping.synapses import Box, box_index, box_size


@dataclass(frozen=True)
class CoreSlice:
    """The neurons of one population that one core computes.

    ``box``: a half-open range for each axis of the soma. ``tile`` is row * columns + column on the mesh. ``needs``:
    what the slice takes of each of a core's limits, by the names that ``limits.CORE_LIMITS`` gives them.
    """

    population: str
    box: Box
    core: int
    tile: int
    needs: dict[str, int] = field(hash=False)

    @property
    def neurons(self) -> int:
        return box_size(self.box)


@dataclass(frozen=True)
class Mapping:
    """The slices of all populations, in topological order. Encoders are off the chip and have none."""

    profile_name: str
    slices: tuple[CoreSlice, ...]

    @property
    def cores(self) -> int:
        """How many cores hold neurons."""
        return len({each.core for each in self.slices})

    @property
    def tiles(self) -> int:
        """How many tiles hold neurons."""
        return len({each.tile for each in self.slices})

    def of(self, population: str) -> tuple[CoreSlice, ...]:
        """The slices of one population."""
        return tuple(each for each in self.slices if each.population == population)

    def by_core(self) -> dict[int, tuple[CoreSlice, ...]]:
        """The slices of each core that has any, cores in the order of their first slices."""
        cores: dict[int, list[CoreSlice]] = {}
        for each in self.slices:
            cores.setdefault(each.core, []).append(each)
        return {core: tuple(slices) for core, slices in cores.items()}

    def to_plain(self) -> dict[str, Any]:
        """JSON data from which :meth:`from_plain` makes an equal mapping."""
        slices = [
            {
                "population": each.population,
                "box": [list(span) for span in each.box],
                "core": each.core,
                "tile": each.tile,
                "needs": dict(each.needs),
            }
            for each in self.slices
        ]
        return {"profile_name": self.profile_name, "slices": slices}

    @classmethod
    def from_plain(cls, plain: object) -> Mapping:
        """The mapping again; InputError where ``plain`` is not what :meth:`to_plain` writes."""
        entries = _fields(plain, ("profile_name", "slices"), "mapping")
        name, slices = entries["profile_name"], entries["slices"]
        if not isinstance(name, str) or not isinstance(slices, list):
            raise _damaged("mapping", "a profile's name and a list of slices")
        return cls(name, tuple(_slice(entry, f"mapping.slices[{index}]") for index, entry in enumerate(slices)))

    def check(self, graph: Graph, profile: Profile) -> None:
        """InputError unless the slices cover each population of ``graph`` exactly once and fit the chip's cores."""
        if self.profile_name != profile.name:
            raise InputError(
                f"mapping: made for {self.profile_name}, read with {profile.name}; build the program again"
            )
        known = {population.name: population for population in populations(graph)}
        for index, each in enumerate(self.slices):
            if each.population not in known:
                raise InputError(
                    f"mapping.slices[{index}]: {each.population!r} is no population; build the program again"
                )
            _check_core(each, f"mapping.slices[{index}]", profile)
        for population in known.values():
            _check_cover(population, self.of(population.name))
        for core, slices in self.by_core().items():
            _check_limits(core, slices, profile)


def _check_core(each: CoreSlice, where: str, profile: Profile) -> None:
    cores, per_tile = 1, 1
    if profile.topology is not None:
        cores, per_tile = profile.topology.cores, profile.topology.cores_per_tile.count
    if each.core >= cores or each.tile != each.core // per_tile:
        raise InputError(
            f"{where}: core {each.core} on tile {each.tile} is not one of {profile.name}'s {cores} cores of {per_tile} "
            "per tile; build the program again"
        )


def _check_limits(core: int, slices: tuple[CoreSlice, ...], profile: Profile) -> None:
    needs = joint_needs(each.needs | {"neurons": each.neurons} for each in slices)
    limits = core_limits(profile, core)
    for limit in CORE_LIMITS:
        if limit.name in limits and needs[limit.name] > limits[limit.name]:
            raise InputError(
                f"mapping: core {core} holds {needs[limit.name]:,} {limit.noun}, limit {limits[limit.name]:,} "
                f"({profile.name}); build the program again"
            )


def _check_cover(population: Population, slices: tuple[CoreSlice, ...]) -> None:
    covered = np.zeros(population.shape, np.bool_)
    total = 0
    for each in slices:
        fits = len(each.box) == len(population.shape) and all(
            stop <= extent for (_, stop), extent in zip(each.box, population.shape, strict=True)
        )
        if not fits:
            raise InputError(
                f"mapping: box {each.box} is not within {population.name}'s shape {population.shape}; "
                "build the program again"
            )
        covered[box_index(each.box)] = True
        total += each.neurons
    if total != population.neurons or not covered.all():
        raise InputError(
            f"mapping: the slices of {population.name} hold {total:,} neurons, {int(covered.sum()):,} of them "
            f"different, and it has {population.neurons:,}; build the program again"
        )


def _damaged(where: str, expected: str) -> InputError:
    return InputError(f"{where}: it must be {expected}; the file is damaged, build it again")


def _fields(entry: object, keys: tuple[str, ...], where: str) -> Map[str, Any]:
    if not isinstance(entry, Map) or set(entry) != set(keys):
        raise _damaged(where, f"a mapping with the keys {', '.join(keys)}")
    return entry


def _is_count(value: object) -> bool:
    return type(value) is int and value >= 0


def _slice(entry: object, where: str) -> CoreSlice:
    fields = _fields(entry, ("population", "box", "core", "tile", "needs"), where)
    population, box, needs = fields["population"], fields["box"], fields["needs"]
    if not isinstance(population, str):
        raise _damaged(f"{where}.population", "a name")
    for key in ("core", "tile"):
        if not _is_count(fields[key]):
            raise _damaged(f"{where}.{key}", "a whole number from 0")
    if not isinstance(box, list) or not box or not all(_is_span(span) for span in box):
        raise _damaged(f"{where}.box", "a list of ranges [start, stop] with 0 <= start < stop")
    needs = _fields(needs, tuple(limit.name for limit in CORE_LIMITS), f"{where}.needs")
    if not all(map(_is_count, needs.values())):
        raise _damaged(f"{where}.needs", "whole numbers from 0")
    spans = tuple((start, stop) for start, stop in box)
    return CoreSlice(population, spans, fields["core"], fields["tile"], dict(needs))


def _is_span(span: object) -> bool:
    return isinstance(span, list) and len(span) == 2 and all(_is_count(end) for end in span) and span[0] < span[1]
