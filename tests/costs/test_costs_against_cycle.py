"""Counters times times are what the cycle engine's cores are busy with, on both sides, whatever way they work."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from costs_cases import activity, cost, mapped, quantity, tiny
from hypothesis import given, settings
from test_costs_brute_force import big, network
from test_costs_followed import SAMPLES, together, ways_of_working
from test_costs_ways import WAYS, chip

from neurocompile.backends.cycle import simulate
from neurocompile.costs.activity import Activity
from neurocompile.costs.counters import count
from neurocompile.costs.estimate import estimate
from neurocompile.costs.per_sample import SampleCounter, sample_costs
from neurocompile.costs.pricing import core_time_ns
from neurocompile.hardware import Core, Cost, Profile
from neurocompile.ir.interpret import Trace, interpret
from neurocompile.mapping import map_graph
from neurocompile.reports.timing import timed_of
from tests.backends.cycle.test_cycle_generated import Case, cases, small_networks


def chips() -> dict[str, Profile]:
    sparse = {way: big(36, 0).model_copy(update={"core": Core(visits=way)}) for way in ("slots", "active")}
    return {name: slow(profile) for name, profile in (ways_of_working() | sparse).items()}


def slow(profile: Profile) -> Profile:
    """With memories that take their time, sending that does, and readouts of their own price."""
    read, write, event = (Cost.model_validate(cost(1, time)) for time in (0.25, 0.75, 3.5))
    memory = tuple(level.model_copy(update={"read": read, "write": write}) for level in profile.memory)
    events = profile.events.model_copy(update={"axon_out": event, "neuron_update_readout": event})
    barrier = {"points": [{"tiles": tiles, "time_ns": quantity(tiles, "ns")} for tiles in (1, 64)]}
    whole = {**profile.model_dump(mode="json"), "barrier": barrier}
    return Profile.from_mapping(whole).model_copy(update={"memory": memory, "events": events})


@pytest.mark.parametrize("way", chips())
def test_cores_are_busy_for_as_long(way: str) -> None:
    graph, profile = mapped(network(1)), chips()[way]
    mapping = together(map_graph(graph, profile), 2)
    run = simulate(graph, mapping, profile, interpret(graph, SAMPLES).events, timing="fast")
    seen, timed = activity(graph, SAMPLES), timed_of(run)
    counted = count(graph, mapping, seen, profile, timed).by_core()
    for place, core in enumerate(run.cores.core.tolist()):
        sides = core_time_ns(counted[core].scaled(run.samples), profile)
        assert run.cores.sending[place] == pytest.approx(sides["sending"].total)
        assert run.cores.receiving[place] == pytest.approx(sides["receiving"].total)
        assert run.cores.messages_in[place] == pytest.approx(counted[core].messages_in * run.samples)
        assert run.cores.messages_out[place] == pytest.approx(counted[core].messages_out * run.samples)
    costs = estimate(graph, mapping, seen, profile, timed)
    assert costs.step_ns == pytest.approx(run.step_time.mean())
    assert costs.latency_ns == pytest.approx(run.sample_latency.mean())


def priced(record: Any) -> Any:
    """A profile's data with an energy for each event that has none."""
    if isinstance(record, dict):
        record = {key: priced(value) for key, value in record.items()}
        return record | {"energy_pj": quantity(len(str(record)) % 7, "pJ")} if "energy_pj" in record else record
    return [priced(each) for each in record] if isinstance(record, list | tuple) else record


@settings(max_examples=60)
@given(cases(small_networks(), samples=3))
def test_counters_are_those_of_the_engine(case: Case) -> None:
    """Messages, hops, busy times of every core; what samples cost sums up to what all do; filling and draining add
    visits and nothing else."""
    profile = Profile.from_mapping(priced(case.profile.model_dump(mode="json")))
    graph, mapping, run = case.graph, case.mapping, case.run()
    counter = SampleCounter(graph, mapping, profile)
    seen = Activity.of(graph, Trace({}, case.events), "drawn", counter.begin(run.samples))
    timed = timed_of(run)
    bare, counted = (count(graph, mapping, seen, profile, each).total.scaled(run.samples) for each in (None, timed))
    assert round(counted.messages_in) == run.cores.messages_in.sum()
    assert round(counted.messages_out) == run.cores.messages_out.sum()
    assert round(counted.messages_in - counted.messages_entered) == run.cores.messages_out.sum()
    assert round(counted.hops_east_west + counted.hops_north_south) == run.links.messages.sum()
    visits = ("updates_", "bank_visits", "reads:state", "writes:state")
    less, more = ({name: round(n) for name, n in each.flat.items()} for each in (bare, counted))
    assert {name for name in more if less.get(name) != more[name]} <= {name for name in more if name.startswith(visits)}
    assert profile.core.active == "state" or less.get("updates_active") == more.get("updates_active")
    for core, numbers in count(graph, mapping, seen, profile, timed).by_core().items():
        sides = core_time_ns(numbers.scaled(run.samples), profile)
        place = run.cores.core.tolist().index(core)
        assert run.cores.sending[place] == pytest.approx(sides["sending"].total)
        assert run.cores.receiving[place] == pytest.approx(sides["receiving"].total)
    for each in (None, timed):
        costs = estimate(graph, mapping, seen, profile, each)
        single = sample_costs(counter.result(), costs, profile, each)
        assert single is not None
        assert single.energy_pj.mean() == pytest.approx(costs.total_pj)
        assert sum(costs.energy_pj.by_basis.values()) == pytest.approx(costs.total_pj)
        layers = sum(layer.energy_pj.known for layer in costs.layers)
        assert layers == pytest.approx(sum(v or 0 for k, v in costs.energy_pj.parts.items() if k != "static"))


@pytest.mark.parametrize("way", WAYS)
def test_where_every_step_is_the_same_the_mean_step_is_that_of_the_engine(way: str) -> None:
    """At one time step per sample the layers work on samples that are all alike, once the pipe is full."""
    graph, profile = mapped(tiny(timesteps=1)), chip(**WAYS[way])
    mapping = map_graph(graph, profile)
    samples = np.array([[3.0, 0.0]] * 8)
    run = simulate(graph, mapping, profile, interpret(graph, samples).events, timing="fast")
    full = run.step_time[run.depth : -run.depth]
    assert full.tolist() == pytest.approx([estimate(graph, mapping, activity(graph, samples), profile).step_ns] * 6)
