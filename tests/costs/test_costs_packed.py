"""Costs of populations that share a core."""

from __future__ import annotations

import pytest
from costs_cases import activity, chip, mapped, quantity, tiny

from neurocompile.costs.estimate import Costs, estimate
from neurocompile.errors import CapacityError
from neurocompile.hardware import Profile
from neurocompile.mapping import map_graph

ONE_CORE = {"topology__tile_columns": quantity(1, "tiles")}


def costs_on(profile: Profile) -> Costs:
    graph = mapped(tiny())
    return estimate(graph, map_graph(graph, profile), activity(graph), profile)


def levels(profile: Profile, words: int, *more: int) -> Profile:
    """Weights, and then memories for states: one of ``words`` words, and those of ``more``."""
    weights, states = profile.memory
    assert states.size_words is not None
    size = states.size_words
    sized = tuple(
        states.model_copy(update={"name": f"of {each}", "size_words": size.model_copy(update={"value": each})})
        for each in (words, *more)
    )
    return profile.model_copy(update={"memory": (weights, *sized)})


def test_a_core_works_for_its_populations_one_after_the_other() -> None:
    """44 ns on the one core and 19 on the other in both steps, and barriers of 20 and 10 ns: see test_costs_tiny."""
    assert costs_on(chip()).step_ns == 20 + 44 / 2
    assert costs_on(chip(**ONE_CORE)).step_ns == 10 + (44 + 19) / 2


def test_populations_share_the_memories_of_their_core() -> None:
    """States of 3 neurons take 6 words, and those of 2 readouts 4: both fit 6 words apart, and one of them together."""
    apart = costs_on(levels(chip(), 6, 64))
    assert [each.level for each in apart.counters.traffic if each.content == "state"] == ["of 6"]
    packed = costs_on(levels(chip(**ONE_CORE), 6, 64))
    assert [each.level for each in packed.counters.traffic if each.content == "state"] == ["of 6", "of 64"]
    costs_on(levels(chip(**ONE_CORE), 10))
    with pytest.raises(CapacityError, match=r"readout: 4 words of state on core 0 fit no memory of toy"):
        costs_on(levels(chip(**ONE_CORE), 9))
