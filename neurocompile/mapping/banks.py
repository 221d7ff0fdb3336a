"""Which bank of synapses holds a projection, on chips where banks have prices of their own."""

from __future__ import annotations

from collections import Counter

from neurocompile.hardware.profile import Bank, Profile
from neurocompile.ir.graph import Graph
from neurocompile.ir.nodes import ENCODERS, Linear, Readout
from neurocompile.ir.populations import Population, Projection
from neurocompile.mapping.stored import fan_out, is_sparse
from neurocompile.mapping.synapses import full_box, shares_kernels


def find_bank(graph: Graph, population: Population, projection: Projection, profile: Profile) -> Bank | None:
    """The first bank that holds a projection into ``population``; None: what the chip's events say counts."""
    if not profile.banks:
        return None
    source = "itself" if projection.source == population.name else "others"
    if isinstance(graph.node(projection.source), ENCODERS):
        source = "input"
    target = "readouts" if isinstance(population.soma, Readout) else "neurons"
    dense = isinstance(projection.weighted, Linear) and not is_sparse(projection, profile)
    weights = "dense" if dense else "sparse"
    if shares_kernels(projection, profile):
        weights = "shared"
    for bank in profile.banks:
        if bank.source in (source, "any") and bank.target in (target, "any") and bank.weights in (weights, "any"):
            return bank
    return None


def main_bank(graph: Graph, population: Population, profile: Profile) -> Bank | None:
    """The bank that holds most of a population's synapses."""
    counts: Counter[Bank | None] = Counter()
    for projection in population.projections:
        bank = find_bank(graph, population, projection, profile)
        counts[bank] += int(fan_out(projection, full_box(population.shape), profile).sum())
    return counts.most_common(1)[0][0]
