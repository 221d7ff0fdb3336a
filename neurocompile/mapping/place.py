"""Where the pieces go: in topological order onto cores 0, 1, 2, … so that neighbours in the network are near."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from neurocompile.errors import CapacityError
from neurocompile.hardware.profile import Profile
from neurocompile.mapping.mapping import CoreSlice
from neurocompile.mapping.partition import Piece

_NAMED = 3  # how many of the largest populations an error lists


def place(pieces: Sequence[Piece], profile: Profile) -> tuple[CoreSlice, ...]:
    """A core of its own for each piece, in the order given; CapacityError where the chip has too few.

    A profile without topology is one core, which holds them all.
    """
    topology = profile.topology
    if topology is None:
        return tuple(CoreSlice(piece.population, piece.box, 0, 0, piece.needs) for piece in pieces)
    if len(pieces) > topology.cores:
        raise _too_many(pieces, topology.cores, profile)
    per_tile = topology.cores_per_tile.count
    return tuple(
        CoreSlice(piece.population, piece.box, core, core // per_tile, piece.needs) for core, piece in enumerate(pieces)
    )


def _too_many(pieces: Sequence[Piece], cores: int, profile: Profile) -> CapacityError:
    largest = Counter(piece.population for piece in pieces).most_common(_NAMED)
    listed = ", ".join(f"{population} {count:,}" for population, count in largest)
    return CapacityError(
        f"the network needs {len(pieces):,} cores, limit {cores:,} ({profile.name}); most go to {listed}: make these "
        "smaller, lower --bits, or choose a chip with more cores"
    )


def hops(tile_a: int, tile_b: int, profile: Profile) -> tuple[int, int]:
    """(east-west, north-south) hops of a message between two tiles under XY routing; (0, 0) without a mesh."""
    if profile.topology is None:
        return 0, 0
    columns = profile.topology.tile_columns.count
    (row_a, column_a), (row_b, column_b) = divmod(tile_a, columns), divmod(tile_b, columns)
    return abs(column_a - column_b), abs(row_a - row_b)
