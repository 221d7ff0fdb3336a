"""The shipped chips: their published facts, what each can hold and what it refuses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from neurocompile.driver import compile_graph, run
from neurocompile.errors import CapacityError
from neurocompile.hardware import Quantity, Target, load_profile
from neurocompile.ir.graph import Graph
from neurocompile.ir.nodes import Input, Linear, Neuron, Node, PoissonEncoder, Readout
from neurocompile.ir.verify import verify
from neurocompile.program import Program
from neurocompile.reports.data import report_data
from neurocompile.resources import list_profiles


def value(quantity: Quantity | None) -> float:
    assert quantity is not None
    return quantity.value


# --------------------------------------------------------------------------------------------------------------- facts


@pytest.mark.parametrize("name", list_profiles())
def test_no_memory_is_both_charged_and_included(name: str) -> None:
    for level in load_profile(name).memory:
        prices = [level.read.energy_pj, level.write.energy_pj, level.read.time_ns, level.write.time_ns]
        assert not level.energy_in_events or prices == [None] * 4, level.name


@pytest.mark.parametrize("name", list_profiles())
def test_the_first_note_says_what_is_assumed_or_included(name: str) -> None:
    first = load_profile(name).notes[0]
    assert any(word in first for word in ("assumed", "include", "not measurements", "only energy", "Energy is power",
                                          "Cycles are", "No energy", "price list", "fitted to")), first  # fmt: skip


@pytest.mark.parametrize(("name", "energy_pj"), [("truenorth", 26), ("odin", 12.7), ("reckon", 5.3)])
def test_an_all_in_figure_bars_all_other_prices(name: str, energy_pj: float) -> None:
    profile = load_profile(name)
    assert profile.events.synaptic_op is not None
    assert value(profile.events.synaptic_op.energy_pj) == energy_pj
    others = [getattr(profile.events, field) for field in type(profile.events).model_fields if field != "synaptic_op"]
    assert all(bank.synaptic_op == profile.events.synaptic_op for bank in profile.banks)
    assert all(bank.message is None and bank.source_visit is None for bank in profile.banks)
    prices = [value(each.energy_pj) for each in others if each is not None and not isinstance(each, str)]
    if profile.noc:
        prices += [value(each.energy_pj) for each in (profile.noc.hop_east_west, profile.noc.hop_north_south)]
        prices.append(value(profile.noc.within_tile.energy_pj))
    assert set(prices) <= {0}
    assert value(profile.static_power_mw) == 0
    assert profile.core_power_mw is None


def test_chips_as_published() -> None:
    truenorth, odin, reckon = load_profile("truenorth"), load_profile("odin"), load_profile("reckon")
    assert truenorth.topology is not None
    assert (truenorth.topology.tiles, truenorth.topology.cores) == (4096, 4096)
    assert value(truenorth.tick_ns) == 1e6
    # 20 Hz and 128 active synapses for each of 2^20 neurons make the 72 mW of the chip
    watts = 26e-12 * 20 * 128 * 2**20
    assert watts == pytest.approx(0.072, rel=0.04)
    assert odin.limits.synaptic_memory_words is not None
    assert odin.limits.synaptic_memory_words.count * 32 == 256 * 256 * 4
    assert odin.clock is not None
    assert value(odin.clock.frequency_mhz) == 75
    assert reckon.numerics.weight_exponent_range is not None
    assert reckon.numerics.weight_exponent_range.maximum == 7
    spinnaker = load_profile("spinnaker1")
    assert value(spinnaker.core_power_mw) == pytest.approx(27.5e3 / 806, rel=0.01)
    assert value(spinnaker.static_power_mw) == pytest.approx(16.82e3 / 48, rel=0.01)
    sdram = spinnaker.memory[1]
    assert (sdram.name, sdram.per, sdram.holds) == ("SDRAM", "chip", ("synapses",))
    assert value(sdram.size_words) * 4 == 123_469_792
    assert spinnaker.memory[0].holds == ("state",)


@pytest.mark.parametrize(("synapses", "words"), [(1, 1), (8, 1), (9, 2), (256, 32)])
def test_odin_packs_eight_synapses_into_a_word(synapses: int, words: int) -> None:
    assert load_profile("odin").synapses.axon_words(synapses, 4) == words


@pytest.mark.parametrize("name", ["spinnaker1", "spinnaker2"])
@pytest.mark.parametrize("bits", [1, 8, 16])
def test_spinnaker_stores_a_word_per_synapse(name: str, bits: int) -> None:
    assert load_profile(name).synapses.axon_words(100, bits) == 100


# ------------------------------------------------------------------------------------------------------ small networks

BITS = {"truenorth": 2, "odin": 4}


def network(*, reset: str = "set", leak: float = 1.0, bias: float = 0.0, inputs: int = 8, hidden: int = 10) -> Graph:
    """inputs -> hidden integrate-and-fire neurons -> 4 readouts, in floats, traced."""
    generator = np.random.default_rng(3)
    state: dict[str, Any] = {"current_leak": np.zeros(())}
    neuron = Neuron(
        threshold=np.ones(()), leak=np.array(leak), bias=np.array(bias), reset_value=np.zeros(()), reset=reset, **state
    )
    nodes: list[tuple[str, Node, tuple[str, ...]]] = [
        ("input", Input(shape=(inputs,)), ()),
        ("encoder", PoissonEncoder(), ("input",)),
        ("fc1", Linear(weight=generator.normal(size=(hidden, inputs))), ("encoder",)),
        ("hidden", neuron, ("fc1",)),
        ("fc2", Linear(weight=generator.normal(size=(4, hidden))), ("hidden",)),
        ("readout", Readout(leak=np.ones(()), bias=np.zeros(()), **state), ("fc2",)),
    ]
    graph = Graph("small", "traced", 4, nodes, ("readout",))
    verify(graph)
    return graph


def compiled(graph: Graph, profile: str) -> Program:
    target = Target(
        format="neurocompile.target/1",
        name="small",
        title="A small one",
        profile=profile,
        backend="reference",
        options={"weight_bits": BITS.get(profile, 8)},  # type: ignore[arg-type]
    )
    return compile_graph(graph, target)


@pytest.mark.parametrize("name", list_profiles())
def test_every_chip_holds_a_small_network(name: str) -> None:
    reset = "subtract" if name == "xylo-a2" else "set"
    program = compiled(network(reset=reset), name)
    done = run(program, np.random.default_rng(0).random((4, 8)))
    assert done.spikes > 0
    assert {each.population for each in program.mapping.slices} == {"hidden", "readout"}


def test_speck_has_larger_cores_for_larger_layers() -> None:
    """200 x 200 weights for each sign of the input are more than 64 Ki, and halves are more than 32 Ki."""
    program = compiled(network(inputs=200, hidden=200), "speck2")
    assert [(each.population, each.core) for each in program.mapping.slices] == [
        ("hidden", 5), ("hidden", 6), ("readout", 0),
    ]  # fmt: skip
    done = run(program, np.random.default_rng(0).random((2, 200)))
    report = report_data(program.mapped, program.mapping, done.activity, program.profile)
    assert {each["level"] for each in report["memory_traffic"]} == {"kernel memory", "neuron memory"}
    assert report["utilisation"]["synaptic_memory_words"] == {
        "largest": 40_000,
        "limit": 65_536,
        "share": 40_000 / 65_536,
        "population": "hidden",
    }


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("odin", {"reset": "subtract"}, "hidden: it subtracts its threshold when it fires, and odin has no such reset"),
        ("xylo-a2", {}, "hidden: it resets to zero, and xylo-a2 has no such reset, only subtract"),
        *(
            (name, {"leak": 0.9}, f"hidden: its states decay, and {name} has no leak that takes off a share; train")
            for name in ("odin", "speck2", "truenorth")
        ),
        *(
            (name, {"bias": 0.5}, f"hidden: it has a bias, and {name} has none; train without bias")
            for name in ("odin", "reckon")
        ),
    ],
)
def test_what_a_chip_cannot_do_is_refused(name: str, options: dict[str, Any], says: str) -> None:
    with pytest.raises(CapacityError) as caught:
        compiled(network(**options), name)
    assert str(caught.value).startswith(says)


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        (
            "odin",
            {"inputs": 300},
            "hidden: its state may need 13 bits over 4 time steps with 4-bit weights, the chip has",
        ),
        (
            "reckon",
            {"hidden": 300},
            "do not fit 1 core of reckon, even where they share them (285 thresholds, limit 128)",
        ),
        ("truenorth", {"inputs": 300}, "limit 128 (truenorth)"),
        (
            "xylo-a2",
            {"reset": "subtract", "hidden": 1100},
            "1 core of xylo-a2, even where they share them (1,104 neurons",
        ),
    ],
)
def test_what_a_chip_cannot_hold_is_refused(name: str, options: dict[str, Any], says: str) -> None:
    with pytest.raises(CapacityError) as caught:
        compiled(network(**options), name)
    assert says in str(caught.value)


def test_weights_wider_than_a_synapse_are_refused() -> None:
    target = Target(format="neurocompile.target/1", name="wide", title="Wide", profile="truenorth", backend="reference")
    with pytest.raises(CapacityError, match=r"its weights have 8 bits, and truenorth stores 2; lower --bits to 2"):
        compile_graph(network(), target)
