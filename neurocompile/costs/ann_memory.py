"""The memory account of the ANN of the same shape, beside its arithmetic: optional, since papers leave it out.

It lies on the same cores and in the same levels by the same rules. Each weight is read once per inference, however
many positions of a convolution take it; the value of each neuron is written once, and read once by each projection that
takes it. Values are as wide as the widest weight that the chip takes, and lie where a spiking network has its states.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

from neurocompile.costs.counters import Counters, Traffic
from neurocompile.costs.memory import fill, synapse_words
from neurocompile.costs.pricing import energy_pj
from neurocompile.errors import CapacityError
from neurocompile.hardware import Level, Profile
from neurocompile.hardware.profile import Content
from neurocompile.ir.graph import Graph
from neurocompile.ir.populations import populations
from neurocompile.mapping import stored
from neurocompile.mapping.mapping import CoreSlice, Mapping


@dataclass(frozen=True)
class AnnMemory:
    """Words read and written per inference. ``energy_pj`` is None where a price is unknown or within the events."""

    weight_reads: int
    value_reads: int
    value_writes: int
    energy_pj: float | None


def ann_memory(graph: Graph, mapping: Mapping, profile: Profile) -> AnnMemory | None:
    """None where a memory is too small for it."""
    known = {each.name: each for each in populations(graph)}
    readers = {name: sum(projection.source == name for each in known.values() for projection in each.projections)
               for name in known}  # fmt: skip
    bits = profile.numerics.weight_bits.count

    def need(each: CoreSlice, content: Content, level: Level | None) -> int:
        if content == "state":
            word = level.word_bits.count if level and level.word_bits else bits
            return math.ceil(each.neurons * bits / word)
        return synapse_words(weight_words(each), profile, level)

    @functools.cache
    def weight_words(each: CoreSlice) -> int:
        return sum(
            count * stored.list_words(projection, size, profile)
            for projection in known[each.population].projections
            for size, count in stored.lists(projection, each.box, profile).items()
        )

    try:
        memories = fill(mapping.slices, need, profile)
    except CapacityError:
        return None
    weights = reads = writes = 0
    traffic = []
    for each in mapping.slices:
        store, values = memories.store(each, "synapses"), memories.store(each, "state")
        words, written = need(each, "synapses", store.level), need(each, "state", values.level)
        read = written * readers[each.population]
        weights, reads, writes = weights + words, reads + read, writes + written
        traffic += [Traffic("synapses", store.name, words), Traffic("state", values.name, read, written)]
    bill = energy_pj(Counters(traffic=tuple(traffic)), profile)
    own = {level.name for level in profile.memory if not level.energy_in_events}
    priced = all(each.level in own for each in traffic if each.reads or each.writes)
    return AnnMemory(weights, reads, writes, bill.total if priced else None)
