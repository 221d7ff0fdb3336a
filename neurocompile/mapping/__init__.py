"""From integer graphs to cores: what the chip can do, how populations are cut, and where the pieces go."""

from __future__ import annotations

from neurocompile.hardware.profile import Profile
from neurocompile.ir.graph import Graph
from neurocompile.mapping.legality import check_neurons
from neurocompile.mapping.mapping import CoreSlice, Mapping
from neurocompile.mapping.partition import partition
from neurocompile.mapping.place import hops, place

__all__ = ["CoreSlice", "Mapping", "check_neurons", "hops", "map_graph"]


def map_graph(graph: Graph, profile: Profile) -> Mapping:
    """Where the neurons of an integer or mapped ``graph`` live on the chip; CapacityError says what does not fit."""
    check_neurons(graph, profile)
    return Mapping(profile.name, place(partition(graph, profile), profile))
