"""Profiles of chips whose cores are not all alike."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from neurocompile.errors import ProfileError
from neurocompile.hardware import Profile, load_profile, profile_to_dict

SPECK = profile_to_dict(load_profile("speck2"))

Plain = dict[str, Any]


def test_the_memories_of_speck() -> None:
    """Ki entries of kernel and neuron memory of each core, which sum up to the 0.32 M neurons of the chip."""
    kinds = load_profile("speck2").limits.kinds
    kernels, neurons = [0] * 9, [0] * 9
    for kind in kinds:
        assert kind.synaptic_memory_words is not None
        assert kind.neurons is not None
        for core in kind.cores:
            kernels[core], neurons[core] = kind.synaptic_memory_words.count // 1024, kind.neurons.count // 1024
    assert kernels == [16, 16, 16, 32, 32, 64, 64, 16, 16]
    assert neurons == [64, 64, 64, 32, 32, 16, 16, 16, 16]
    assert sum(neurons) * 1024 == 327_680


def _slots(plain: Plain) -> None:
    plain["core"]["visits"] = "slots"


def _rows(plain: Plain) -> None:
    plain["core"]["fetch"] = "row"


def _no_mesh(plain: Plain) -> None:
    plain["topology"] = None


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            lambda plain: plain["limits"]["kinds"][1].update(cores=[3, 2]),
            "limits.kinds: core 2 stands here twice; name it once",
        ),
        (
            lambda plain: plain["limits"]["kinds"][1].update(cores=[3, 3]),
            "limits.kinds: core 3 stands here twice; name it once",
        ),
        (
            lambda plain: plain["limits"]["kinds"][3].update(cores=[7, 9]),
            "limits: limits.kinds has core 9, which is none of the chip's; count from 0",
        ),
        (_no_mesh, "limits: limits.kinds has core 8, which is none of the chip's; count from 0"),
        (
            lambda plain: plain["limits"]["kinds"][1].update(cores=[-1]),
            "limits.kinds[1].cores[0]: found -1, expected greater than or equal to 0; mend it",
        ),
        (lambda plain: plain["limits"]["kinds"][1].update(cores=[]), "limits.kinds[1].cores: found a list"),
        (
            lambda plain: plain["limits"]["kinds"][1].update(name="small"),
            "limits.kinds: kinds are named many neurons, small, large kernels, small; give each a name of its own",
        ),
        (
            lambda plain: plain["limits"]["no_such_limit"].append("neurons"),
            "limits.no_such_limit: neurons has a number and stands here too; remove one of the two",
        ),
        (
            lambda plain: plain["limits"].update(
                neurons=None, synaptic_memory_words=None, no_such_limit=["synaptic_memory_words"]
            ),
            "limits.no_such_limit: synaptic_memory_words has a number and stands here too; remove one of the two",
        ),
        (_slots, "limits: cores work through all slots, so that kinds cannot differ in neurons; leave these out"),
        (_rows, "limits: cores work through all slots, so that kinds cannot differ in neurons; leave these out"),
        (
            lambda plain: plain["limits"].update(
                kinds=[plain["limits"]["kinds"][0] | {"name": f"k{core}", "cores": [core]} for core in range(9)] * 2
            ),
            "limits.kinds: found a list, ",
        ),
        (lambda plain: plain["limits"]["kinds"][0].update(words=3), "limits.kinds[0].words: unknown key"),
    ],
)
def test_kinds_that_cannot_be_are_refused(change: Callable[[Plain], object], sentence: str) -> None:
    plain = copy.deepcopy(SPECK)
    change(plain)
    with pytest.raises(ProfileError) as refusal:
        Profile.from_mapping(plain)
    assert str(refusal.value).startswith(f"profile: {sentence}")


def test_kinds_may_differ_in_other_things_than_slots() -> None:
    plain = copy.deepcopy(SPECK)
    _slots(plain)
    for kind in plain["limits"]["kinds"]:
        kind["neurons"] = None
    assert Profile.from_mapping(plain).limits.kinds[0].neurons is None


def test_kinds_come_back() -> None:
    assert profile_to_dict(Profile.from_mapping(SPECK)) == SPECK
