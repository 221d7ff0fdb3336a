"""Times that are too long to be counted are refused: never does a sum wrap around."""

from __future__ import annotations

from typing import Any

import pytest

from neurocompile.backends.cycle import simulate
from neurocompile.errors import ProfileError
from tests.backends.cycle.cycle_cases import chain, chip, level, noc, placed, quantity, spikes
from tests.costs.costs_cases import CHIP

SECOND = 1e9  # in ns
ROOMY = {"limits": {**CHIP["limits"], "neurons": None}}


@pytest.mark.parametrize("timing", ["exact", "fast"])
@pytest.mark.parametrize(
    ("facts", "says"),
    [
        ({"synaptic_op": 1e12}, r"toy: events.synaptic_op.time_ns comes to 1e\+12 ns, limit 1.8e\+10; check the units"),
        ({"neuron_update_stateless": 10**18}, r"toy: events.neuron_update_stateless.time_ns comes to 1e\+18 ns"),
        ({"synaptic_op": 10 * SECOND}, r"toy: a list of synaptic ops comes to 4e\+10 ns, limit 1.8e\+10; check"),
        (
            {"memory": [level("synapses", read=10 * SECOND, write=None)]},
            r"toy: a list's words comes to 4e\+10 ns, limit 1.8e\+10",
        ),
        (
            {"core": {"visits": "slots"}, "neuron_update_inactive": 10 * SECOND},
            r"toy: events.neuron_update_inactive comes to 4e\+10 ns, limit 1.8e\+10",
        ),
        ({"tick_ns": quantity(1e14, "ns")}, r"toy: tick_ns comes to 1e\+14 ns, limit 4.61e\+12; check the units"),
    ],
)  # fmt: skip
def test_long_times_are_refused_by_name(timing: Any, facts: dict[str, Any], says: str) -> None:
    graph, profile = chain(1, 4), chip(**facts)
    with pytest.raises(ProfileError, match=f"^{says}.*mean counts$"):
        simulate(graph, placed(graph, profile, l1=0), profile, spikes(graph), timing=timing)


@pytest.mark.parametrize("timing", ["exact", "fast"])
def test_a_step_of_too_many_long_times_is_refused_when_it_comes(timing: Any) -> None:
    graph, profile = chain(600, 1), chip(axon_in=15 * SECOND)
    mapping = placed(graph, profile, l1=0)
    few = simulate(graph, mapping, profile, spikes(graph, code={(0, 0): range(300)}), timing=timing)
    assert few.step_time[0] == few.cores.receiving[0] == 300 * 15 * SECOND  # 75 minutes
    many = spikes(graph, code={(0, 0): range(600)})
    with pytest.raises(ProfileError, match=r"^toy: a time step comes to 9e\+12 ns, limit 4.61e\+12; check the units"):
        simulate(graph, mapping, profile, many, timing=timing)


def test_what_the_network_takes_counts_too() -> None:
    graph = chain(1, 300, 1)
    profile = chip((1, 2, 1), noc=noc(17 * SECOND), axon_out=1.0, **ROOMY)
    mapping = placed(graph, profile, l1=0, l2=1)
    with pytest.raises(ProfileError, match=r"^toy: a time step comes to 1.53e\+13 ns, limit 4.61e\+12; check"):
        simulate(graph, mapping, profile, spikes(graph, l1={(0, 0): range(300)}))


def test_all_neurons_together() -> None:
    graph, profile = chain(1, 400), chip(neuron_update_stateless=16 * SECOND, **ROOMY)
    with pytest.raises(ProfileError, match=r"^toy: a time step comes to 6.4e\+12 ns, limit 4.61e\+12; check"):
        simulate(graph, placed(graph, profile, l1=0), profile, spikes(graph))
