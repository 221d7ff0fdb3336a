"""Which level of the memory hierarchy holds what.

A slice's states and synapses each go to the first level of the profile that may hold them and still has room for them:
per core in its own core, per chip together with all that is left over. States are placed first, since they are small
and touched at every step.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from neurocompile.errors import CapacityError
from neurocompile.hardware import Level, Profile
from neurocompile.hardware.profile import Content
from neurocompile.ir.nodes import Neuron, Readout, Soma, Threshold
from neurocompile.mapping.mapping import CoreSlice


@dataclass(frozen=True)
class Store:
    """Where one content of one slice lies. ``level`` is None on a chip that describes no such memory."""

    content: Content
    level: Level | None

    @property
    def name(self) -> str:
        return self.level.name if self.level else ""


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


def assign(
    slices: Iterable[CoreSlice], somas: Mapping[str, Soma], timesteps: int, profile: Profile
) -> dict[tuple[CoreSlice, Content], Store]:
    """The level of each slice's states and synapses; CapacityError where no level of their kind has room for them."""
    room = _Room()
    stores: dict[tuple[CoreSlice, Content], Store] = {}

    def need(each: CoreSlice, content: Content, level: Level | None) -> int:
        if content == "synapses":
            return synapse_words(each.needs["synaptic_memory_words"], profile, level)
        return each.neurons * state_words(somas[each.population], timesteps, level)

    contents: tuple[Content, ...] = ("state", "synapses")
    for content in contents:
        pending = [each for each in slices if need(each, content, None)]
        levels = [level for level in profile.memory if content in level.holds]
        for level in levels:
            taken = room.take(level, [(each, need(each, content, level)) for each in pending])
            stores.update({(each, content): Store(content, level) for each in taken})
            pending = [each for each in pending if each not in taken]
        if pending and levels:
            words = need(pending[0], content, levels[-1])
            raise CapacityError(
                f"{pending[0].population}: {words:,} words of {content} on core {pending[0].core} fit no memory of "
                f"{profile.name} (the last is {levels[-1].name}); make the layer smaller or lower --bits"
            )
        stores.update({(each, content): Store(content, None) for each in pending})
    return stores


class _Room:
    """What is left of each memory while it is being filled."""

    def __init__(self) -> None:
        self.free: dict[tuple[str, int | None], float] = {}

    def take(self, level: Level, needs: list[tuple[CoreSlice, int]]) -> set[CoreSlice]:
        """The slices that go to ``level``: per core each that fits, per chip all or none."""
        if level.per == "chip":
            fits = self._fill(level, None, sum(words for _, words in needs))
            return {each for each, _ in needs} if fits else set()
        return {each for each, words in needs if self._fill(level, each.core, words)}

    def _fill(self, level: Level, core: int | None, words: int) -> bool:
        key = (level.name, core)
        free = self.free.get(key, math.inf if level.size_words is None else level.size_words.count)
        if words > free:
            return False
        self.free[key] = free - words
        return True
