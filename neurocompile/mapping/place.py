"""Where the pieces go: in topological order onto cores 0, 1, 2, … so that neighbours in the network are near.

Each piece has a core of its own where the chip has so many. Where it has too few, the first pieces share cores, each
on the first core that has room for it, until there is a core for each of the rest.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from neurocompile.errors import CapacityError
from neurocompile.hardware.profile import Profile
from neurocompile.ir.nodes import Array
from neurocompile.mapping.limits import CORE_LIMITS, core_limits, joint_needs
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
    cores = _cores(pieces, min(topology.cores, len(pieces)), profile)
    if cores is None:
        raise _too_many(pieces, profile)
    per_tile = topology.cores_per_tile.count
    return tuple(
        CoreSlice(piece.population, piece.box, core, core // per_tile, piece.needs)
        for piece, core in zip(pieces, cores, strict=True)
    )


def _cores(pieces: Sequence[Piece], most: int, profile: Profile) -> list[int] | None:
    """A core below ``most`` for each piece; None where one finds no room.

    What pieces take together is an upper bound (``limits.joint_needs``), so that no core is ever too full.
    """
    limits = core_limits(profile)
    limit = np.array([limits.get(each.name, np.iinfo(np.int64).max) for each in CORE_LIMITS])
    summed = np.array([each.summed for each in CORE_LIMITS])
    held: Array = np.zeros((most, len(CORE_LIMITS)), np.int64)
    placed: list[int] = []
    used = 0  # cores from here on are empty
    for index, piece in enumerate(pieces):
        rest = len(pieces) - index
        if most - used >= rest:
            return [*placed, *range(used, used + rest)]
        needs = np.array([piece.needs[each.name] for each in CORE_LIMITS])
        joint = np.where(summed, held[: used + 1] + needs, np.maximum(held[: used + 1], needs))
        room = (joint <= limit).all(axis=1)
        if not room.any():
            return None
        core = int(room.argmax())
        held[core] = joint[core]
        placed.append(core)
        used = max(used, core + 1)
    return placed


def _too_many(pieces: Sequence[Piece], profile: Profile) -> CapacityError:
    assert profile.topology is not None
    cores, limits = profile.topology.cores, core_limits(profile)
    together = joint_needs(piece.needs for piece in pieces)
    summed = [each for each in CORE_LIMITS if each.summed and each.name in limits]
    scarce = max(summed, key=lambda each: together[each.name] / limits[each.name], default=None)
    why = ""
    if scarce and together[scarce.name] > cores * limits[scarce.name]:
        why = f" ({together[scarce.name]:,} {scarce.noun}, limit {cores * limits[scarce.name]:,})"
    largest = Counter(piece.population for piece in pieces).most_common(_NAMED)
    listed = ", ".join(f"{population} {count:,}" for population, count in largest)
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
