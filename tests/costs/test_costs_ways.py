"""Energy and time of the tiny network on chips that work in other ways than the toy, worked out by hand.

``test_costs_tiny`` has what the toy itself makes of it. Per sample and both steps together: core 0 updates 3 neurons
actively and 3 inactively and fires once (30 ns), and receives 2 messages of 3 synapses (14 ns); core 1 updates readouts
once actively and 3 times inactively (14 ns), and receives a message of 2 synapses (5 ns). Steps end with a barrier of
20 ns.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from costs_cases import activity, chip, cost, mapped, quantity, tiny

from neurocompile.costs.estimate import Costs, estimate
from neurocompile.costs.timed import Timed
from neurocompile.hardware import Profile
from neurocompile.mapping import map_graph


def costs_on(profile: Profile, timed: Timed | None = None) -> Costs:
    graph = mapped(tiny())
    return estimate(graph, map_graph(graph, profile), activity(graph), profile, timed)


def a_bank(**changes: Any) -> dict[str, Any]:
    return {
        "name": "inputs", "source": "input", "target": "any", "zeros": "stored", "source_visit": cost(0.5, 1),
        "message": cost(0.25, 2), "synaptic_op": cost(3, 4), **changes,
    }  # fmt: skip


WAYS: dict[str, dict[str, Any]] = {
    "toy": {},
    "overlap": {"core": {"overlap": True}},
    "axon out": {"events__axon_out": cost(3, 4)},
    "readouts": {"events__neuron_update_readout": cost(2, 9)},
    "host": {"host": {"tile": 1, "message": cost(5, 100)}},
    "bank": {"banks": [a_bank()]},
    "rows": {"core": {"fetch": "row"}},
    "slots": {"core": {"visits": "slots"}},
    "active": {"core": {"visits": "active"}},
    "core power": {"core_power_mw": quantity(2, "mW", "derived")},
    "tick": {"tick_ns": quantity(100, "ns", "assumed")},
    "memory time": {"memory__1__read": cost(0.5, 1), "memory__1__write": cost(0.75, 2)},
}
TIMED = Timed(2, 6, np.array([[6, 12, 0], [2, 10, 0]]), 300.0, np.array([200.0, 240.0]), 1e7)


@pytest.mark.parametrize("timed", [None, TIMED])
@pytest.mark.parametrize("way", WAYS)
def test_every_way_to_sum_gives_the_total(way: str, timed: Timed | None) -> None:
    costs = costs_on(chip(**WAYS[way]), timed)
    assert costs.complete
    assert costs.total_pj is not None
    assert sum(part or 0.0 for part in costs.energy_pj.parts.values()) == pytest.approx(costs.total_pj)
    layers = [layer.energy_pj.total or 0.0 for layer in costs.layers]
    assert sum(layers) + (costs.energy_pj.parts["static"] or 0.0) == pytest.approx(costs.total_pj)
    assert sum(costs.energy_pj.by_basis.values()) == pytest.approx(costs.known_energy_pj) == costs.total_pj
    for level in costs.levels:
        assert level.energy_pj == pytest.approx(costs.energy_pj.parts[f"memory:{level.level.name}"])
    assert costs.energy_delay_pj_ns == pytest.approx(costs.total_pj * (costs.latency_ns or 0))
    assert all(number > 0 for number in costs.counters.flat.values())


def test_the_longer_side_counts_where_they_overlap() -> None:
    assert costs_on(chip(**WAYS["overlap"])).step_ns == 20 + 30 / 2


def test_messages_that_are_sent() -> None:
    costs = costs_on(chip(**WAYS["axon out"]))
    assert [layer.energy_pj.parts["noc"] for layer in costs.layers] == [3, 2]  # a hop is paid where it leads
    assert costs.step_ns == 20 + (44 + 4) / 2


def test_readouts_of_their_own_price() -> None:
    costs = costs_on(chip(**WAYS["readouts"]))
    hidden, readout = costs.layers
    assert hidden.counters.updates_readout == 0
    assert readout.counters.updates_readout == 4
    assert readout.counters.updates_active == readout.counters.updates_inactive == 0
    assert readout.energy_pj.parts["soma"] == 4 * 2
    assert readout.counters.accesses("state") == 2 * 2 * 2 * 2  # they keep their state all the same
    slow = costs_on(chip(events__neuron_update_readout=cost(2, 11)))
    assert slow.step_ns == 20 + (4 * 11 + 5) / 2


def test_input_comes_from_the_host() -> None:
    hidden, readout = costs_on(chip(**WAYS["host"])).layers
    assert hidden.counters.hops_east_west == 2  # two messages, from tile 1 to tile 0
    assert (hidden.energy_pj.parts["host"], hidden.energy_pj.parts["noc"]) == (2 * 5, 2 * 2)
    assert (readout.energy_pj.parts["host"], readout.energy_pj.parts["noc"]) == (0, 2)
    near = costs_on(chip(host={"tile": 0, "message": None}))
    assert near.counters.within_tile == 2
    assert near.layers[0].energy_pj.parts == {**hidden.energy_pj.parts, "host": 0, "noc": 2 * 1}
    assert near.step_ns == costs_on(chip(**WAYS["host"])).step_ns == 42  # the host is no core
    assert not any("Input enters" in note for note in near.notes)
    assert any("Input enters" in note for note in costs_on(chip()).notes)


def test_banks() -> None:
    costs = costs_on(chip(**WAYS["bank"]))
    hidden, readout = costs.layers
    # 2 inputs at 2 steps, 2 messages, 3 synapses each; the message itself as before
    assert hidden.energy_pj.parts["synapse"] == 4 * 0.5 + 2 * 0.25 + 6 * 3 + 2 * 0.5
    assert hidden.counters.synaptic_ops == 6
    assert readout.energy_pj.parts["synapse"] == 2 * 1 + 1 * 0.5  # its synapses are in no bank
    assert costs.step_ns == 20 + (30 + 4 * 1 + 2 * 2 + 6 * 4 + 2 * 1) / 2
    skipped = costs_on(chip(banks=[a_bank(zeros="skipped")]))
    # the first input has weights of 1, 0 and 1
    assert skipped.layers[0].counters.synaptic_ops == 4
    assert skipped.layers[0].energy_pj.parts["synapse"] == 4 * 0.5 + 2 * 0.25 + 4 * 3 + 2 * 0.5
    assert skipped.layers[0].counters.traffic == hidden.counters.traffic  # the list is fetched whole


def test_what_a_bank_does_not_have_costs_nothing() -> None:
    free = costs_on(chip(banks=[a_bank(source_visit=None, message=None, synaptic_op=None)]))
    assert free.complete
    assert free.layers[0].energy_pj.parts["synapse"] == 2 * 0.5
    unknown = costs_on(chip(banks=[a_bank(synaptic_op=cost(None, None))]))
    assert unknown.missing == ("banks.inputs.synaptic_op.energy_pj", "banks.inputs.synaptic_op.time_ns")


def test_a_message_goes_through_a_whole_row() -> None:
    hidden, readout = costs_on(chip(**WAYS["rows"])).layers
    assert (hidden.counters.synaptic_ops, readout.counters.synaptic_ops) == (2 * 8, 1 * 8)
    assert costs_on(chip(**WAYS["rows"])).step_ns == 20 + (30 + 2 * 8 * 2 + 2 * 1) / 2


def test_empty_slots_are_visited() -> None:
    costs = costs_on(chip(**WAYS["slots"]))
    hidden, readout = costs.layers
    assert hidden.counters.updates_inactive == 3 + 5 * 2
    assert readout.counters.updates_inactive == 3 + 6 * 2
    assert hidden.energy_pj.parts["soma"] == 3 * 10 + 13 * 4 + 7
    assert costs.step_ns == 20 + (44 + 5 * 2 * 3) / 2


def test_only_active_neurons_are_visited() -> None:
    costs = costs_on(chip(**WAYS["active"]))
    hidden, readout = costs.layers
    assert hidden.counters.updates_inactive == readout.counters.updates_inactive == 0
    assert hidden.energy_pj.parts["soma"] == 3 * 10 + 7
    assert hidden.energy_pj.parts["memory:states"] == 3 * 2 * (0.5 + 0.75)
    assert costs.step_ns == 20 + (44 - 3 * 3) / 2


def test_power_of_each_core_in_use() -> None:
    costs = costs_on(chip(**WAYS["core power"]))
    assert costs.energy_pj.parts["static"] == (1 + 2 * 2) * 84
    assert costs.energy_pj.by_basis == {"measured": 84, "simulated": 108.25, "derived": 2 * 2 * 84}
    dark = chip(core_power_mw=quantity(2, "mW"), events__synaptic_op=cost(1, None))
    assert costs_on(dark).energy_pj.parts["static"] is None
    unknown = costs_on(chip(core_power_mw=quantity(2, "mW"), static_power_mw=None))
    assert unknown.missing == ("static_power_mw",)


def test_a_step_lasts_at_least_a_tick() -> None:
    costs = costs_on(chip(**WAYS["tick"]))
    assert (costs.step_ns, costs.latency_ns) == (100, 400)
    assert costs.energy_pj.parts["static"] == 200
    assert costs.weakest_basis == "assumed"
    short = costs_on(chip(tick_ns=quantity(41, "ns", "assumed")))
    assert (short.step_ns, short.weakest_basis) == (42, "simulated")


def test_memories_with_a_time_of_their_own() -> None:
    costs = costs_on(chip(**WAYS["memory time"]))
    assert costs.step_ns == 20 + (44 + 12 * 1 + 12 * 2) / 2
    weights, states = costs.levels
    assert (weights.time_ns, states.time_ns) == (None, 20 * 1 + 20 * 2)
    within = costs_on(chip(**WAYS["memory time"], memory__1__energy_in_events=True))
    assert within.step_ns == 42
    assert (within.levels[1].energy_pj, within.levels[1].time_ns, within.levels[1].reads) == (None, None, 20)
    # weights are fetched on the receiving side
    slow = chip(memory__0__read=cost(0.25, 10), core={"overlap": True})
    assert costs_on(slow).step_ns == 20 + (14 + 2 * 10) / 2
    wordless = costs_on(chip(**WAYS["memory time"], memory__1__word_bits=None))
    assert wordless.missing_times == ("memory.states.word_bits",)
    assert wordless.latency_ns is None


def test_times_in_cycles() -> None:
    op = {"energy_pj": quantity(1, "pJ"), "time_ns": None, "cycles": quantity(4, "cycles")}
    clock = {"frequency_mhz": quantity(2000, "MHz")}
    assert costs_on(chip(events__synaptic_op=op, clock=clock)).step_ns == 42
    unknown = costs_on(chip(events__synaptic_op=op, clock={"frequency_mhz": None}))
    assert unknown.missing == ("clock.frequency_mhz",)


def test_numbers_by_how_they_were_come_by() -> None:
    costs = costs_on(chip(events__spike_out=cost(7, 6, "assumed")))
    assert costs.energy_pj.by_basis == {"measured": 84, "simulated": 108.25 - 7, "assumed": 7}
    assert list(costs.energy_pj.by_basis) == ["measured", "simulated", "assumed"]
    lost = costs_on(chip(events__spike_out=cost(None, 6)))
    assert sum(lost.energy_pj.by_basis.values()) == lost.known_energy_pj
    assert lost.energy_delay_pj_ns is None


def test_a_timed_run() -> None:
    # 6 steps: two samples of two, and two until the readouts of the second are done; visits are those of all 6
    costs, plain = costs_on(chip(), TIMED), costs_on(chip())
    assert costs.timed
    assert (costs.step_ns, costs.latency_ns, costs.throughput_per_s) == (50, 220, 1e7)
    hidden, readout = costs.layers
    assert (hidden.counters.updates_active, hidden.counters.updates_inactive) == (3, 6)
    assert (readout.counters.updates_active, readout.counters.updates_inactive) == (1, 5)
    assert costs.energy_pj.parts["static"] == 300 / 2
    assert costs.total_pj == 192.25 + (3 + 2) * (4 + 2 * 0.5 + 2 * 0.75) + 150 - 84
    assert costs.counters.messages_in == plain.counters.messages_in
    assert not any("mean counts" in note for note in costs.notes)
    assert any("mean counts" in note for note in plain.notes)
    slots = costs_on(chip(core={"visits": "slots"}), TIMED)
    assert slots.layers[0].counters.updates_inactive == 6 + 5 * 6 / 2


def test_a_timed_run_on_a_clock_of_unknown_frequency() -> None:
    costs = costs_on(chip(), Timed(2, 6, TIMED.visits, None, None, None))
    assert costs.missing == ("clock.frequency_mhz",)
    assert costs.step_ns is costs.latency_ns is costs.throughput_per_s is costs.total_pj is None
    assert costs.known_energy_pj == 108.25 + (3 + 2) * (4 + 2 * 0.5 + 2 * 0.75)


def test_updates_by_state_are_told_to_be_known_to_the_cycle_engine() -> None:
    by_state = chip(core={"active": "state"})
    assert any("state other than zero" in note for note in costs_on(by_state).notes)
    assert not any("state other than zero" in note for note in costs_on(by_state, TIMED).notes)
