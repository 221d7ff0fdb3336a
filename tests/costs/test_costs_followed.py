"""All counters, core by core, against messages followed one at a time, on chips that work in different ways."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from costs_cases import activity, cost, mapped
from costs_followed import followed
from test_costs_brute_force import big, network

from neurocompile.costs.counters import Counters, count
from neurocompile.costs.timed import Timed
from neurocompile.errors import InputError
from neurocompile.hardware import Bank, Core, Cost, Host, Profile
from neurocompile.ir.graph import Graph
from neurocompile.ir.interpret import interpret
from neurocompile.mapping import map_graph
from neurocompile.mapping.mapping import Mapping

SAMPLES = np.random.default_rng(4).uniform(-2, 3, (2, 2, 6, 6))


def bank(name: str, source: str, target: str, zeros: str = "stored") -> Bank:
    price = Cost.model_validate(cost(1, 1))
    return Bank.model_validate(
        {"name": name, "source": source, "target": target, "zeros": zeros, "source_visit": price, "message": price,
         "synaptic_op": price}
    )  # fmt: skip


def ways_of_working() -> dict[str, Profile]:
    plain = big(36, 0)
    return {
        "plain": plain,
        "values": big(36, 8),
        "host": plain.model_copy(update={"host": Host(tile=5, message=None)}),
        "rows": plain.model_copy(update={"core": Core(fetch="row")}),
        "banks": plain.model_copy(
            update={
                "banks": (
                    bank("input", "input", "any", "skipped"),
                    bank("own", "itself", "neurons", "skipped"),
                    bank("between", "others", "neurons"),
                )
            }
        ),
        "one bank": big(36, 8).model_copy(update={"banks": (bank("all", "any", "any", "skipped"),)}),
        "rows in a bank": plain.model_copy(
            update={"core": Core(fetch="row"), "banks": (bank("all", "any", "neurons"),)}
        ),
    }


def together(mapping: Mapping, slices: int) -> Mapping:
    """So many slices on each core; two cores to a tile."""
    return dataclasses.replace(
        mapping,
        slices=tuple(
            dataclasses.replace(each, core=number // slices, tile=number // slices // 2)
            for number, each in enumerate(mapping.slices)
        ),
    )


def case(profile: Profile, slices: int, seed: int = 1) -> tuple[Graph, Mapping]:
    graph = mapped(network(seed))
    return graph, together(map_graph(graph, profile), slices)


def rounded(numbers: dict[str, float], samples: int) -> dict[str, int]:
    """Sums over all samples, which are whole; without memory and updates."""
    kinds = ("reads", "writes", "updates")
    return {name: round(number * samples) for name, number in numbers.items() if not name.startswith(kinds)}


@pytest.mark.parametrize("slices", [1, 3, 100])
@pytest.mark.parametrize("way", ways_of_working())
def test_every_core_counts_what_happens_there(way: str, slices: int) -> None:
    profile = ways_of_working()[way]
    graph, mapping = case(profile, slices)
    trace = interpret(graph, SAMPLES)
    expected = followed(graph, mapping, profile, trace, spiking_bits=profile.numerics.payload_bits.count == 0)
    counted = count(graph, mapping, activity(graph, SAMPLES), profile)
    found = {core: rounded(counters.flat, len(SAMPLES)) for core, counters in counted.by_core().items()}
    assert found == {core: {n: c for n, c in counts.items() if c} for core, counts in expected.items()}
    assert mapping.cores == -(-len(mapping.slices) // slices)


@pytest.mark.parametrize("way", ways_of_working())
def test_placement_changes_ways_alone(way: str) -> None:
    profile = ways_of_working()[way]
    graph, mapping = case(profile, 2)
    cores = sorted({each.core for each in mapping.slices})
    moved = dict(zip(cores, np.random.default_rng(5).permutation(cores).tolist(), strict=True))
    elsewhere = dataclasses.replace(
        mapping,
        slices=tuple(
            dataclasses.replace(each, core=moved[each.core], tile=moved[each.core] // 2) for each in mapping.slices
        ),
    )
    seen = activity(graph, SAMPLES)
    here, there = (count(graph, each, seen, profile).total.flat for each in (mapping, elsewhere))
    ways = ("hops_east_west", "hops_north_south", "within_tile")
    assert {name: here[name] for name in here if name not in ways} == pytest.approx(
        {name: there[name] for name in there if name not in ways}
    )
    assert [here.get(name) for name in ways] != [there.get(name) for name in ways]


@pytest.mark.parametrize("way", ways_of_working())
def test_messages_sent_are_messages_received(way: str) -> None:
    profile = ways_of_working()[way]
    graph, mapping = case(profile, 2)
    total = count(graph, mapping, activity(graph, SAMPLES), profile).total
    assert total.messages_in == pytest.approx(total.messages_out + total.messages_entered)
    assert total.messages_entered > 0


def test_all_slots_of_a_core_are_visited() -> None:
    profile = big(36, 0).model_copy(update={"core": Core(visits="slots")})
    graph, mapping = case(profile, 2)
    seen = activity(graph, SAMPLES)
    slots = count(graph, mapping, seen, profile)
    plain = count(graph, mapping, seen, big(36, 0))
    assert all(
        counters.updates_active + counters.updates_inactive == pytest.approx(3 * max(36, neurons))
        for core, counters in slots.by_core().items()
        for neurons in [sum(each.neurons for each in mapping.slices if each.core == core)]
    )
    assert slots.total.updates_active == plain.total.updates_active
    assert slots.total.accesses("state") == plain.total.accesses("state")  # nobody's state is nowhere


def test_who_is_not_visited_touches_no_state() -> None:
    profile = big(36, 0).model_copy(update={"core": Core(visits="active")})
    graph, mapping = case(profile, 2)
    seen = activity(graph, SAMPLES * (np.arange(36).reshape(6, 6) == 0))
    total, plain = (count(graph, mapping, seen, each).total for each in (profile, big(36, 0)))
    assert total.updates_inactive == 0 < plain.updates_inactive
    assert total.updates_active == plain.updates_active
    assert total.accesses("state") == pytest.approx(
        plain.accesses("state") * plain.updates_active / (plain.updates_active + plain.updates_inactive)
    )


def test_a_timed_run_gives_the_updates_and_steps() -> None:
    profile = ways_of_working()["one bank"].model_copy(update={"core": Core(visits="slots")})
    graph, mapping = case(profile, 2)
    seen = activity(graph, SAMPLES)
    plain = count(graph, mapping, seen, profile)
    steps = 2 * 3 + 3  # two samples of three steps, and three until the last result is out
    visits = np.array([[each.neurons, each.neurons * (steps - 1), 0] for each in mapping.slices])
    timed = Timed(2, steps, visits, 100.0, None, None)
    filled = count(graph, mapping, seen, profile, timed)
    neurons = sum(each.neurons for each in mapping.slices)
    slots = sum(max(0, 36 - sum(e.neurons for e in mapping.slices if e.core == core)) for core in range(mapping.cores))
    assert filled.total.updates_active == neurons / 2
    assert filled.total.updates_inactive == (neurons * (steps - 1) + slots * steps) / 2
    (all_banks,), (before,) = filled.total.banks, plain.total.banks
    assert all_banks.visits == pytest.approx(before.visits / 3 * steps / 2)
    assert dataclasses.replace(all_banks, visits=before.visits) == before
    assert filled.total.messages_in == plain.total.messages_in
    with pytest.raises(InputError, match=rf"visits of shape \(1, 3\), the mapping {len(mapping.slices)} slices"):
        count(graph, mapping, seen, profile, dataclasses.replace(timed, visits=visits[:1]))


def test_counters_by_name() -> None:
    graph, mapping = case(ways_of_working()["banks"], 2)
    total = count(graph, mapping, activity(graph, SAMPLES), ways_of_working()["banks"]).total
    assert Counters.of(total.flat) == total
    assert Counters.of({}) == Counters()
    assert Counters.of({"reads:state:a:b": 2.0}).traffic[0].level == "a:b"
    for wrong in ("firings", "reads:axons:tables", "bank_ups:own"):
        with pytest.raises(InputError, match=rf"'{wrong}' is no counter; run the network again"):
            Counters.of({wrong: 1.0})
