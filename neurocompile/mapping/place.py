"""Where the pieces go: in topological order onto cores 0, 1, 2, … so that neighbours in the network are near.

Each piece has a core of its own where the chip has enough that can hold it. Where it has too few, the first pieces
share cores, each on the first core that has room for it, until there is a core for each of the rest.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence

import numpy as np

from neurocompile.errors import CapacityError
from neurocompile.hardware.profile import Profile
from neurocompile.ir.nodes import Array
from neurocompile.mapping.limits import CORE_LIMITS, CoreKind, core_kinds, joint_needs
from neurocompile.mapping.mapping import CoreSlice
from neurocompile.mapping.partition import Piece

_NAMED = 3  # how many of the largest populations an error lists


def place(pieces: Sequence[Piece], profile: Profile) -> tuple[CoreSlice, ...]:
    """Each piece, in the order given, on its core; CapacityError where they are too many even if they share cores.

    A profile without topology is one core, which holds them all.
    """
    topology = profile.topology
    if topology is None:
        return tuple(CoreSlice(piece.population, piece.box, 0, 0, piece.needs) for piece in pieces)
    per_tile = topology.cores_per_tile.count
    return tuple(
        CoreSlice(piece.population, piece.box, core, core // per_tile, piece.needs)
        for piece, core in zip(pieces, _cores(pieces, profile), strict=True)
    )


def _cores(pieces: Sequence[Piece], profile: Profile) -> list[int]:
    """What pieces take together is an upper bound (``limits.joint_needs``), so that no core is ever too full."""
    kinds = core_kinds(profile)
    limits = np.array([[kind.limits.get(each.name, np.iinfo(np.int64).max) for each in CORE_LIMITS] for kind in kinds])
    summed = np.array([each.summed for each in CORE_LIMITS])
    needs = np.array([[piece.needs[each.name] for each in CORE_LIMITS] for piece in pieces])
    fits = np.all(needs[:, None] <= limits, axis=2)
    cores, kind_of = _candidates(kinds, len(pieces), profile)
    held: Array = np.zeros((len(cores), len(CORE_LIMITS)), np.int64)
    free = np.ones(len(cores), np.bool_)
    placed: list[int] = []
    for index, piece in enumerate(pieces):
        apart = _apart(fits[index:], kind_of[free])
        if apart is not None:
            return [*placed, *cores[free][apart].tolist()]
        joint = np.where(summed, held + needs[index], np.maximum(held, needs[index]))
        room = (joint <= limits[kind_of]).all(axis=1)
        if not room.any():
            raise _too_many(pieces, profile) if len(kinds) == 1 else _no_room(piece, kinds, profile)
        first = int(room.argmax())
        held[first], free[first] = joint[first], False
        placed.append(int(cores[first]))
    return placed


def _candidates(kinds: Sequence[CoreKind], pieces: int, profile: Profile) -> tuple[Array, Array]:
    """The cores that so many pieces may want, in ascending order, and the kind of each: a chip may have millions."""
    assert profile.topology is not None
    named = {core: index for index, kind in enumerate(kinds) for core in kind.cores or ()}
    first = range(min(profile.topology.cores, pieces + len(named)))
    cores = sorted({*first, *named})
    return np.array(cores), np.array([named.get(core, len(kinds) - 1) for core in cores])


def _apart(fits: Array, free: Array) -> list[int] | None:
    """For each piece a free core of its own, as an index: the first that leaves one for each piece behind it.

    ``fits``: bool (pieces, kinds). ``free``: the kind of each free core. None where there are too few.
    """
    if len(fits) > len(free):
        return None
    if fits.all():
        return list(range(len(fits)))
    left = np.bincount(free, minlength=fits.shape[1])
    if not _enough(fits, left):
        return None
    waiting = [np.flatnonzero(free == kind).tolist() for kind in range(fits.shape[1])]
    taken = []
    for index, fit in enumerate(fits):
        for kind in sorted(np.flatnonzero(fit & (left > 0)), key=lambda kind: waiting[kind][0]):
            left[kind] -= 1
            if _enough(fits[index + 1 :], left):
                taken.append(waiting[kind].pop(0))
                break
            left[kind] += 1
    return taken


def _enough(fits: Array, left: Array) -> bool:
    """Whether each piece can have a core of its own, of ``left`` of each kind. Hall's theorem: it can if for every set
    of kinds the pieces that fit no other kind are no more than its cores."""
    classes, pieces = np.unique(fits, axis=0, return_counts=True)
    sets = np.array(list(itertools.product((False, True), repeat=len(left))))
    confined = ~(classes[:, None] & ~sets).any(axis=2)
    return bool((pieces @ confined <= sets @ left).all())


def _no_room(piece: Piece, kinds: Sequence[CoreKind], profile: Profile) -> CapacityError:
    """Where cores differ: the first piece that none has room for, and what it needs more of than some core has."""
    least = {
        each: min(kind.limits[each.name] for kind in kinds if each.name in kind.limits)
        for each in CORE_LIMITS
        if any(each.name in kind.limits for kind in kinds)
    }
    wanted = [each for each, limit in least.items() if piece.needs[each.name] > limit] or list(least)
    needs = " and ".join(f"{piece.needs[each.name]:,} {each.noun}" for each in wanted)
    limits = ", ".join(
        f"{' and '.join(f'{kind.limits[each.name]:,}' for each in wanted if each.name in kind.limits)} on {kind.where}"
        for kind in kinds
    )
    return CapacityError(
        f"{piece.population}: {needs} find no room on {profile.name}, even where pieces share cores, limit {limits}; "
        "make it or the layers before it smaller, lower --bits, or choose a chip with more cores"
    )


def _too_many(pieces: Sequence[Piece], profile: Profile) -> CapacityError:
    assert profile.topology is not None
    cores, limits = profile.topology.cores, core_kinds(profile)[0].limits
    together = joint_needs(piece.needs for piece in pieces)
    summed = [each for each in CORE_LIMITS if each.summed and each.name in limits]
    scarce = max(summed, key=lambda each: together[each.name] / limits[each.name], default=None)
    why = ""
    if scarce and together[scarce.name] > cores * limits[scarce.name]:
        why = f" ({together[scarce.name]:,} {scarce.noun}, limit {cores * limits[scarce.name]:,})"
    largest = Counter(piece.population for piece in pieces).most_common(_NAMED)
    listed = ", ".join(f"{population} ({count:,})" for population, count in largest)
    return CapacityError(
        f"the network has {len(pieces):,} pieces that do not fit {cores:,} core{'s' * (cores > 1)} of {profile.name}, "
        f"even where they share them{why}; most are of {listed}: make these smaller, lower --bits, or choose a chip "
        "with more cores"
    )


def hops(tile_a: int, tile_b: int, profile: Profile) -> tuple[int, int]:
    """(east-west, north-south) hops of a message between two tiles under XY routing; (0, 0) without a mesh."""
    if profile.topology is None:
        return 0, 0
    columns = profile.topology.tile_columns.count
    (row_a, column_a), (row_b, column_b) = divmod(tile_a, columns), divmod(tile_b, columns)
    return abs(column_a - column_b), abs(row_a - row_b)
