"""Which bank of synapses holds a projection."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from neurocompile.hardware import Profile, load_profile, profile_to_dict
from neurocompile.ir.graph import Graph
from neurocompile.ir.nodes import (
    Add,
    Conv2d,
    DirectEncoder,
    Flatten,
    Input,
    Linear,
    Neuron,
    Readout,
    Recurrent,
    Scale,
    SumPool2d,
)
from neurocompile.ir.populations import populations
from neurocompile.mapping.banks import find_bank

SANAFE = load_profile("loihi1-sanafe")


def bank(source: str, target: str, weights: str = "any") -> dict[str, Any]:
    kind = f"{source} {target} {weights}"
    return {"name": kind, "source": source, "target": target, "weights": weights, "zeros": "stored",
            "source_visit": None, "message": None, "synaptic_op": None}  # fmt: skip


LIF = Neuron(threshold=np.array(1.0))


def network() -> Graph:
    ones = np.ones
    nodes = [
        ("input", Input(shape=(1, 4, 4)), ()), ("encoder", DirectEncoder(), ("input",)),
        ("conv", Conv2d(weight=ones((2, 1, 3, 3)), padding=(1, 1)), ("encoder",)), ("a", LIF, ("conv",)),
        ("pool", SumPool2d(kernel=(2, 2), stride=(1, 1)), ("a",)),
        ("wide", Conv2d(weight=ones((2, 2, 1, 1))), ("pool",)),
        ("flatten", Flatten(), ("wide",)), ("back", Recurrent(shape=(18,)), ("b",)),
        ("own", Scale(weight=np.arange(1.0, 19.0)), ("back",)), ("sum", Add(), ("flatten", "own")),
        ("b", LIF, ("sum",)), ("linear", Linear(weight=ones((3, 18))), ("b",)), ("out", Readout(), ("linear",)),
    ]  # fmt: skip
    return Graph("banks", "spiking", 2, nodes, ("out",))


def found(profile: Profile) -> dict[str, str | None]:
    graph = network()
    banks = {
        each.name: find_bank(graph, population, each, profile)
        for population in populations(graph)
        for each in population.projections
    }
    return {name: each and each.name for name, each in banks.items()}


def test_by_the_kind_of_weights() -> None:
    """A kernel is shared, and one weight per channel is one; not if windows of a pool overlap. A matrix is dense."""
    assert found(SANAFE) == {"conv": "convolutions", "wide": "sparse lists", "own": "convolutions", "linear": None}


@pytest.mark.parametrize(
    ("banks", "expected"),
    [
        ([], [None, None, None, None]),
        ([bank("input", "any"), bank("any", "any")], ["input any any", *["any any any"] * 3]),
        ([bank("itself", "neurons"), bank("others", "neurons")],
         [None, "others neurons any", "itself neurons any", None]),
        ([bank("any", "readouts", "sparse"), bank("others", "readouts", "dense")],
         [None, None, None, "others readouts dense"]),
        ([bank("any", "any", "shared"), bank("any", "any", "sparse")],
         ["any any shared", "any any sparse", "any any shared", None]),
    ],
)  # fmt: skip
def test_the_first_that_fits(banks: list[dict[str, Any]], expected: list[str | None]) -> None:
    profile = Profile.from_mapping(profile_to_dict(SANAFE) | {"banks": banks})
    assert list(found(profile).values()) == expected
