"""What the cycle engine does not time, and what it says."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from neurocompile.backends.cycle import simulate
from neurocompile.errors import GraphError, InputError, ProfileError
from neurocompile.hardware import Profile
from neurocompile.ir.graph import Graph
from neurocompile.ir.nodes import Array
from neurocompile.mapping.mapping import Mapping
from tests.backends.cycle.cycle_cases import chain, chip, cost, level, noc, placed, spikes
from tests.costs.costs_cases import quantity, tiny


def case(profile: Profile, timesteps: int = 2) -> tuple[Graph, Mapping, Profile, dict[str, Array]]:
    graph = chain(2, 3, 1, timesteps=timesteps)
    return graph, placed(graph, profile, l1=0, l2=0), profile, spikes(graph)


def test_a_graph_that_is_not_mapped() -> None:
    _, mapping, profile, fired = case(chip())
    with pytest.raises(GraphError, match="graph 'tiny' is at stage 'integer'; map it before it is timed"):
        simulate(tiny(), mapping, profile, fired)


def test_events_that_are_not_there_or_of_another_shape() -> None:
    graph, mapping, profile, fired = case(chip())
    with pytest.raises(InputError, match="l1: the cycle engine has no events of it; record them with the run"):
        simulate(graph, mapping, profile, {name: each for name, each in fired.items() if name != "l1"})
    short = fired | {"l2": fired["l2"][:, :1]}
    with pytest.raises(
        InputError, match=r"l2: events have shape \(1, 1, 1\), expected \(1, 2, 1\); run the network again"
    ):
        simulate(graph, mapping, profile, short)
    none = {name: each[:0] for name, each in fired.items()}
    with pytest.raises(InputError, match=r"code: events have shape \(0, 2, 2\)"):
        simulate(graph, mapping, profile, none)


def test_states_that_are_not_there_or_of_another_shape() -> None:
    graph, mapping, profile, fired = case(chip(core={"active": "state"}))
    with pytest.raises(InputError, match="a state other than zero makes an update active there, and none was told"):
        simulate(graph, mapping, profile, fired)
    awake = {name: fired[name] != 0 for name in ("l1", "l2")}
    assert simulate(graph, mapping, profile, fired, awake=awake).visits[:, 0].tolist() == [0, 0]
    with pytest.raises(InputError, match="l2: the cycle engine has no awake states of it"):
        simulate(graph, mapping, profile, fired, awake={"l1": awake["l1"]})
    with pytest.raises(InputError, match=r"l1: awake states have shape \(1, 1, 3\), expected \(1, 2, 3\)"):
        simulate(graph, mapping, profile, fired, awake=awake | {"l1": awake["l1"][:, :1]})


def test_states_make_nothing_active_where_the_chip_does_not_look_at_them() -> None:
    graph, mapping, profile, fired = case(chip())
    awake = {name: np.ones_like(fired[name], np.bool_) for name in ("l1", "l2")}
    assert simulate(graph, mapping, profile, fired, awake=awake).visits[:, 0].tolist() == [0, 0]


NULL = {"energy_pj": None, "time_ns": None}


def events(unit: str = "ns", **changes: Any) -> dict[str, Any]:
    """Of a profile: updates and synaptic ops of a known time."""
    names = ("synaptic_op", "neuron_update_active", "neuron_update_inactive")
    return dict.fromkeys(names, cost(1, unit)) | changes


UNKNOWN: dict[str, tuple[dict[str, Any], str]] = {
    "of an event": (
        {"events": events(axon_in=NULL)},
        "events.axon_in.time_ns, which the profile does not know; choose a profile with times, or the report's mean",
    ),
    "of two events": (
        {"events": events(axon_in=NULL, axon_out=NULL)},
        "events.axon_out.time_ns, events.axon_in.time_ns",
    ),
    "in cycles": ({"events": events("cycles", axon_in=NULL)}, "events.axon_in.cycles, which"),
    "of a cycle": ({"events": events("cycles"), "tick_ns": quantity(1, "ns")}, "clock.frequency_mhz, which"),
    "of a word of unknown width": (
        {"memory": [level("synapses", read=1, write=None) | {"word_bits": None}]},
        "memory.synapses.word_bits, which",
    ),
    "of the barrier": (
        {"barrier": {"points": [{"tiles": tiles, "time_ns": quantity(3, "ns")} for tiles in (2, 4)]}},
        "barrier.points, which",
    ),
    "of the network": ({"noc": noc(1) | {"within_tile": NULL}}, "noc.within_tile.time_ns, which"),
}


@pytest.mark.parametrize("key", UNKNOWN)
def test_times_that_are_wanted_and_unknown(key: str) -> None:
    changes, message = UNKNOWN[key]
    with pytest.raises(ProfileError, match=f"^toy: the cycle engine needs {message}"):
        simulate(*case(chip(**changes)))


def test_what_no_neuron_does_needs_no_time() -> None:
    """Where only active updates are visited, the others take none."""
    profile = chip(events=events(neuron_update_inactive=NULL), core={"visits": "active"})
    assert simulate(*case(profile)).total == 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"synaptic_op": 5e12}, "an event takes 5e\\+12 time units, limit 5e\\+12; check the unit"),
        (
            {"neuron_update_inactive": 4e12},
            "tiny on toy: a time step can take 2e\\+13 ns, limit 5e\\+12; check the units",
        ),
        ({"axon_in": 3e12}, "a time step can take 2e\\+13 ns"),
        ({"axon_out": 3e12}, "a time step can take"),
        ({"noc": noc(2e12)}, "a time step can take"),
    ],
)
def test_steps_too_long_for_whole_ticks(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ProfileError, match=message):
        simulate(*case(chip(**changes)))
