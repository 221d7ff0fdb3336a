"""The counters of single samples are those that each would have alone, and sum up to those of all."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from costs_cases import SAMPLES as TINY_SAMPLES
from costs_cases import activity, chip, cost, mapped, quantity, tiny
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from test_costs_brute_force import big, network
from test_costs_followed import SAMPLES, together, ways_of_working

from neurocompile.costs.activity import Activity, EachSample
from neurocompile.costs.counters import count
from neurocompile.costs.estimate import estimate
from neurocompile.costs.per_sample import SampleCounter, chip_hash, sample_costs
from neurocompile.costs.timed import Timed
from neurocompile.errors import CapacityError, InputError
from neurocompile.hardware import Core, Profile
from neurocompile.ir.graph import Graph
from neurocompile.ir.interpret import interpret
from neurocompile.ir.nodes import Array
from neurocompile.mapping import map_graph
from neurocompile.mapping.mapping import Mapping
from tests.networks import STEADY, mapped_networks, samples_for


def each_of(graph: Graph, mapping: Mapping, profile: Profile, samples: Array, batch: int = 2) -> Activity:
    """Counted in batches, as a run does it."""
    counter = SampleCounter(graph, mapping, profile)
    parts = [samples[start : start + batch] for start in range(0, len(samples), batch)]
    seen = [Activity.of(graph, interpret(graph, part), "some", counter.begin(len(part))) for part in parts]
    return dataclasses.replace(sum(seen[1:], seen[0]), each=counter.result())


def check(graph: Graph, mapping: Mapping, profile: Profile, samples: Array, seen: Activity) -> None:
    assert seen.each is not None
    found = seen.each.counters
    assert all(values.dtype == np.int64 and values.shape == (len(samples),) for values in found.values())
    alone = [count(graph, mapping, activity(graph, sample[None]), profile).total.flat for sample in samples]
    assert {name for flat in alone for name in flat} <= set(found)
    assert {name: values.tolist() for name, values in found.items()} == {
        name: [flat.get(name, 0) for flat in alone] for name in found
    }
    # and so they sum up to those of all samples
    total = count(graph, mapping, seen, profile).total.flat
    assert {name: values.sum() for name, values in found.items()} == {
        name: round(total.get(name, 0) * len(samples)) for name in found
    }


def chips() -> dict[str, Profile]:
    sparse = ("slots", "active")
    return ways_of_working() | {way: big(36, 0).model_copy(update={"core": Core(visits=way)}) for way in sparse}


@pytest.mark.parametrize("batch", [3, 1 << 22])
@pytest.mark.parametrize("way", chips())
def test_counters_of_each_sample(way: str, batch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("neurocompile.costs.activity._BATCH_NEURONS", batch)
    monkeypatch.setattr("neurocompile.costs.per_sample._BATCH_NEURONS", batch)
    graph, profile = mapped(network(1)), chips()[way]
    mapping = together(map_graph(graph, profile), 2)
    samples = np.concatenate([SAMPLES, SAMPLES[:1] * (np.arange(36).reshape(6, 6) == 0)])
    check(graph, mapping, profile, samples, each_of(graph, mapping, profile, samples))


@settings(max_examples=40)
@given(data=st.data())
def test_generated_networks(data: st.DataObject) -> None:
    """Biases, delays, parts and signed spikes, with and without state."""
    _, graph = data.draw(mapped_networks(encoders=(*STEADY, "dct")))
    neurons = data.draw(st.sampled_from((5, 40, 5000)))
    profile = permissive(big(neurons, data.draw(st.sampled_from((3, 32)))))  # bit by bit, or not
    profile = profile.model_copy(
        update={"core": Core(visits=data.draw(st.sampled_from(("mapped", "slots", "active"))))}
    )
    try:
        mapping = together(map_graph(graph, profile), data.draw(st.integers(1, 3)))
    except CapacityError:  # a payload that is too large
        reject()
    samples = data.draw(samples_for(graph))
    check(graph, mapping, profile, samples, each_of(graph, mapping, profile, samples))


def permissive(profile: Profile) -> Profile:
    """For whatever networks are generated."""
    neuron = profile.neuron.model_copy(update={"spikes": ("binary", "signed", "graded"), "membrane_min": True})
    wide = {
        name: getattr(profile.numerics, name).model_copy(update={"value": 64})
        for name in ("state_bits", "threshold_bits", "accumulator_bits", "bias_bits")
    }
    numerics = profile.numerics.model_copy(update=wide)
    return profile.model_copy(update={"neuron": neuron, "numerics": numerics})


def test_states_in_different_levels() -> None:
    """Where only active updates touch the state, what one costs depends on the level that holds the slice's."""
    profile = big(7, 0).model_copy(update={"core": Core(visits="active")})
    size = chip().memory[1].size_words
    small = profile.memory[1].model_copy(
        update={"name": "small", "per": "chip", "size_words": size and size.model_copy(update={"value": 100})}
    )
    profile = profile.model_copy(update={"memory": (profile.memory[0], small, profile.memory[1])})
    graph = mapped(network(1))
    mapping = map_graph(graph, profile)
    samples = SAMPLES * (np.arange(36).reshape(6, 6) < 8)
    seen = each_of(graph, mapping, profile, samples)
    check(graph, mapping, profile, samples, seen)
    assert seen.each is not None
    assert all(seen.each.counters[f"reads:state:{level}"].any() for level in ("small", "states"))


def test_energies_by_hand() -> None:
    # test_costs_tiny has the counters of both samples together: all that events cause is the first's
    graph, profile = mapped(tiny()), chip()
    mapping = map_graph(graph, profile)
    seen = each_of(graph, mapping, profile, TINY_SAMPLES)
    costs = estimate(graph, mapping, seen, profile)
    assert seen.each is not None
    single = sample_costs(seen.each, costs, profile)
    assert single is not None
    fixed = 2 * 5 * 2 * (0.5 + 0.75) + 84  # the states of five neurons, two words each, at two steps; static
    dark = 10 * 4 + fixed
    # 6 active updates of hidden and 2 of readout; 4 messages of 3 ops and a word, then 2 spikes, ways, 2 ops and words
    bright = 8 * 10 + 2 * 4 + fixed + 4 * (0.5 + 3 + 0.25) + 2 * (7 + 2 + 0.5 + 2 + 0.25)
    assert single.energy_pj.tolist() == [bright, dark]
    assert (bright + dark) / 2 == costs.total_pj == 192.25
    assert single.energy_delay_pj_ns is not None
    assert single.energy_delay_pj_ns.tolist() == [bright * 168, dark * 168]
    assert single.energy_delay_pj_ns.mean() == costs.energy_delay_pj_ns


def test_a_timed_run_shares_out_what_samples_do_not_differ_in() -> None:
    graph, profile = mapped(tiny()), chip()
    mapping = map_graph(graph, profile)
    seen = each_of(graph, mapping, profile, TINY_SAMPLES)
    visits = np.array([[6, 12, 0], [2, 10, 0]])  # 6 steps: two samples of two, and two until the readout is done
    timed = Timed(2, 6, visits, 300.0, np.array([200.0, 240.0]), 1e7)
    costs = estimate(graph, mapping, seen, profile, timed)
    assert seen.each is not None
    single = sample_costs(seen.each, costs, profile, timed)
    assert single is not None
    plain = sample_costs(seen.each, estimate(graph, mapping, seen, profile), profile)
    assert plain is not None
    # two more steps of five neurons, half of them for each sample; 300 ns in place of 168 ns at 1 mW
    more = 5 * (4 + 2 * (0.5 + 0.75)) + 150 - 84
    assert (single.energy_pj - plain.energy_pj).tolist() == pytest.approx([more, more])
    assert single.energy_pj.mean() == pytest.approx(costs.total_pj)
    assert single.energy_delay_pj_ns is not None
    assert single.energy_delay_pj_ns == pytest.approx(single.energy_pj * [200, 240])
    # of a run of other samples, only the mean says anything of these
    other = dataclasses.replace(timed, samples=1, latency_ns=np.array([210.0]))
    mean = sample_costs(seen.each, estimate(graph, mapping, seen, profile, other), profile, other)
    assert mean is not None
    assert mean.energy_delay_pj_ns is not None
    assert mean.energy_delay_pj_ns == pytest.approx(mean.energy_pj * 210)


def test_what_is_unknown_of_the_mean_is_unknown_of_each() -> None:
    graph = mapped(tiny())
    for profile, known in (
        (chip(events__synaptic_op=cost(None, 2)), (False, False)),
        (chip(events__synaptic_op=cost(1, None), static_power_mw=quantity(0, "mW")), (True, False)),
    ):
        mapping = map_graph(graph, profile)
        seen = each_of(graph, mapping, profile, TINY_SAMPLES)
        assert seen.each is not None
        single = sample_costs(seen.each, estimate(graph, mapping, seen, profile), profile)
        assert (single is not None, single is not None and single.energy_delay_pj_ns is not None) == known


def test_they_are_kept_with_the_activity(tmp_path: Path) -> None:
    graph, profile = mapped(tiny()), chip()
    mapping = map_graph(graph, profile)
    seen = each_of(graph, mapping, profile, TINY_SAMPLES)
    assert seen.each is not None
    assert seen.each.chip == chip_hash(graph, mapping, profile) != chip_hash(graph, mapping, chip(name="other"))
    seen.save(tmp_path)
    again = Activity.load(tmp_path).each
    assert again is not None
    assert again.chip == seen.each.chip
    assert {name: values.tolist() for name, values in again.counters.items()} == {
        name: values.tolist() for name, values in seen.each.counters.items()
    }
    damaged = dataclasses.replace(seen, each=EachSample("chip", {"spikes": np.array([1])}))
    damaged.save(tmp_path)
    with pytest.raises(InputError, match="each/spikes is no count"):
        Activity.load(tmp_path)


def test_activities_add_up_with_their_samples() -> None:
    seen = activity(tiny())
    one = dataclasses.replace(seen, each=EachSample("a", {"spikes": np.array([1, 2])}))
    two = dataclasses.replace(seen, each=EachSample("a", {"messages_in": np.array([3, 4])}))
    both = (one + two).each
    assert both is not None
    assert {name: values.tolist() for name, values in both.counters.items()} == {
        "spikes": [1, 2, 0, 0], "messages_in": [0, 0, 3, 4],
    }  # fmt: skip
    assert (one + seen).each is None
    assert (one + dataclasses.replace(two, each=EachSample("b", {"spikes": np.array([1, 2])}))).each is None
