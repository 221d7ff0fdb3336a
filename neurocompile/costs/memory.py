"""Which level of the memory hierarchy holds what.

The mapping decides: a slice's states and synapses each go to the first level of the profile that may hold them and
still has room for them, slice by slice in the mapping's order. A level per core is a memory of each core, a level per
chip is shared by all. States are placed first, since they are small and touched at every step.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from neurocompile.errors import CapacityError
from neurocompile.hardware import Level, Profile
from neurocompile.hardware.profile import Content
from neurocompile.ir.nodes import Neuron, Readout, Soma, Threshold
from neurocompile.mapping.mapping import CoreSlice

#: words of a level (None: of memory that the chip does not describe) that a content of a slice takes
Need = Callable[[CoreSlice, Content, Level | None], int]


@dataclass(frozen=True)
class Store:
    """Where one content of one slice lies. ``level`` is None on a chip that describes no such memory."""

    content: Content
    level: Level | None

    @property
    def name(self) -> str:
        return self.level.name if self.level else ""


@dataclass(frozen=True)
class Memories:
    """What lies where. ``used``: words by level and core, which is None for a level per chip."""

    stores: Mapping[tuple[CoreSlice, Content], Store]
    used: Mapping[tuple[str, int | None], int]

    def store(self, each: CoreSlice, content: Content) -> Store:
        """Where a content of a slice lies; nowhere, if there is none."""
        return self.stores.get((each, content), Store(content, None))

    def words(self, level: Level) -> list[int]:
        """Words used in each memory of ``level`` that is in use."""
        return [words for (name, _), words in self.used.items() if name == level.name]


def is_stateful(soma: Soma, timesteps: int) -> bool:
    """Whether the soma keeps anything from one step to the next."""
    return timesteps > 1 and not isinstance(soma, Threshold)


def state_words(soma: Soma, timesteps: int, level: Level | None) -> int:
    """Words of one neuron's state: its membrane, and its current where that has a memory; single bits are left out.

    Both lie packed in words of the level; where the width of a word is unknown, each takes a word of its own.
    """
    if not is_stateful(soma, timesteps) or not isinstance(soma, Neuron | Readout):
        return 0
    variables = 1 + bool(np.any(soma.current_leak != 0))
    if level is None or level.word_bits is None or soma.fixed is None:
        return variables
    return math.ceil(variables * soma.fixed.state_bits / level.word_bits.count)


def synapse_words(words: int, profile: Profile, level: Level | None) -> int:
    """Words of the level that take ``words`` words of the profile's synapse format."""
    if level is None or level.word_bits is None:
        return words
    return math.ceil(words * profile.synapses.word_bits.count / level.word_bits.count)


def assign(slices: Sequence[CoreSlice], somas: Mapping[str, Soma], timesteps: int, profile: Profile) -> Memories:
    """Where each slice's states and synapses lie; CapacityError where no level of their kind has room for them."""

    def need(each: CoreSlice, content: Content, level: Level | None) -> int:
        if content == "synapses":
            return synapse_words(each.needs["synaptic_memory_words"], profile, level)
        return each.neurons * state_words(somas[each.population], timesteps, level)

    return fill(slices, need, profile)


def fill(slices: Sequence[CoreSlice], need: Need, profile: Profile) -> Memories:
    """States, then synapses, each slice into the first level that has room for what it ``need``s there."""
    used: dict[tuple[str, int | None], int] = {}
    stores: dict[tuple[CoreSlice, Content], Store] = {}
    contents: tuple[Content, ...] = ("state", "synapses")
    for content in contents:
        levels = [level for level in profile.memory if content in level.holds]
        for each in slices:
            if not need(each, content, None):
                continue
            for level in levels:
                key = (level.name, None if level.per == "chip" else each.core)
                words = used.get(key, 0) + need(each, content, level)
                if level.size_words is None or words <= level.size_words.count:
                    used[key] = words
                    stores[each, content] = Store(content, level)
                    break
            else:
                if levels:
                    raise _no_room(each, content, need(each, content, levels[-1]), levels[-1], profile)
                stores[each, content] = Store(content, None)
    return Memories(stores, used)


def _no_room(each: CoreSlice, content: Content, words: int, last: Level, profile: Profile) -> CapacityError:
    return CapacityError(
        f"{each.population}: {words:,} words of {content} on core {each.core} fit no memory of "
        f"{profile.name} (the last is {last.name}); make the layer smaller or lower --bits"
    )
