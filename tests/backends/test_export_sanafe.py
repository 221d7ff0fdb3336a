"""SANA-FE's files: the same spikes and outputs in a reading of its rules, and in SANA-FE itself where it is there."""

from __future__ import annotations

import math
import re
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from neurocompile.backends.export import sanafe as writer
from neurocompile.backends.export import sanafe_limits
from neurocompile.backends.export.sanafe import spike_trains, write_sanafe
from neurocompile.backends.export.synapses import synapses
from neurocompile.driver import compile_graph, retarget
from neurocompile.errors import CapacityError, GraphError
from neurocompile.hardware import Profile, load_profile, profile_to_dict
from neurocompile.hardware.target import load_target
from neurocompile.ir.graph import Graph
from neurocompile.ir.interpret import interpret
from neurocompile.ir.nodes import (
    Add,
    Array,
    AxonDelay,
    Conv2d,
    DirectEncoder,
    Flatten,
    Input,
    Linear,
    Neuron,
    PadChannels,
    PoissonEncoder,
    Readout,
    Recurrent,
    Reshape,
    Scale,
    SumPool2d,
    Threshold,
)
from neurocompile.ir.populations import populations
from neurocompile.mapping.synapses import fan_out, full_box
from neurocompile.program import Options, Program
from tests.backends import sanafe_files
from tests.networks import Builder, integer_networks, networks, samples_for
from tests.passes.helpers import lif, net, quarters


class Sayable(Builder):
    """Networks of neurons that SANA-FE has."""

    def neuron(self, source: str, *, plain: bool = False) -> str:  # noqa: ARG002
        shape = self.shapes[source]
        reset = self.pick("subtract", "subtract", "set", "none")
        leaky_reset = self.pick(True, False) if reset == "subtract" else True
        node = Neuron(
            threshold=self.parameter(0.25, 3, shape),
            leak=self.leak(shape),
            bias=self.pick(np.array(0.0), self.parameter(-1, 1, shape)),
            reset_value=self.parameter(-1, 1, shape) if reset == "set" else np.array(0.0),
            order=self.pick("integrate_first", "integrate_first", "fire_first"),
            compare="above" if reset == "subtract" and leaky_reset else self.pick("above", "at_or_above"),
            reset=reset,
            leaky_reset=leaky_reset,
        )
        name = self.add("neuron", node, source)
        if self.pick(False, False, True):
            self.bring_back(name, name)
        return name


@st.composite
def programs(draw: DrawFn) -> tuple[Program, Array]:
    """A compiled network that SANA-FE can say, and a sample for it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tests.networks.Builder", Sayable)
        graph = draw(networks(depth=2))
    for name in graph.of_kind(Readout):
        node = graph.node(name)
        assert isinstance(node, Readout)
        draft = graph.edit()
        draft.replace(name, replace(node, current_leak=np.array(0.0)))
        graph = draft.finish()
    try:
        program = compile_graph(graph, load_target("loihi2-sim"), options=Options(bits=draw(st.sampled_from((8, 5)))))
        # thresholds that are equalled and subtracted come of batch norms that turn a comparison round
    except (CapacityError, GraphError):
        reject()
    if any(each.soma.phase < 1 and np.any(getattr(each.soma, "bias", 0)) for each in populations(program.mapped)):
        reject()  # refused by name, below
    return program, draw(samples_for(graph, most=1))[0]


def written(program: Program, sample: Array | None, folder: Path) -> Path:
    """The file, with the spikes of ``sample``."""
    path = folder / "x.yaml"
    calibration = None if sample is None else np.asarray(sample, np.float32)[None]
    write_sanafe(replace(program, calibration=calibration), path)
    return path


def expected(program: Program, sample: Array) -> tuple[dict[str, Array], dict[str, Array]]:
    """(spikes (T, neurons) of each spiking population, outputs), by the interpreter."""
    trace = interpret(program.integer, sample[None])
    somas = {population.name for population in populations(program.integer)}
    spikes = {name: events[0].reshape(len(events[0]), -1) for name, events in trace.events.items() if name in somas}
    return spikes, {name: output[0].ravel() for name, output in trace.outputs.items()}


def check(program: Program, sample: Array, spikes: list[set[Any]], potentials: Any) -> None:
    """What was simulated is what the interpreter says, at every step of every population."""
    wanted, outputs = expected(program, sample)
    names = writer._Export(program).groups
    steps = program.integer.timesteps
    for population in populations(program.mapped):
        group, phase = names[population.name], population.soma.phase
        early = isinstance(population.soma, Neuron) and population.soma.order == "fire_first"
        if isinstance(population.soma, Readout):
            found = [potentials(phase + steps - 1, group, index) * 64 for index in range(population.neurons)]
            np.testing.assert_array_equal(found, outputs[population.name], err_msg=group)
            continue
        seen = np.zeros((steps, population.neurons), np.int64)
        for t in range(steps):
            for other, index in spikes[phase + t - early]:
                if other == group:
                    seen[t, index] = 1
        np.testing.assert_array_equal(seen, wanted[population.name], err_msg=group)


@given(programs())
@settings(max_examples=30)
def test_generated_networks(case: tuple[Program, Array]) -> None:
    program, sample = case
    with tempfile.TemporaryDirectory() as folder:
        document = sanafe_files.read(written(program, sample, Path(folder)))
    spikes, potentials = sanafe_files.simulate(document, program.integer.timesteps + program.phase_steps)
    check(program, sample, spikes, lambda t, group, index: potentials[t][group, index])
    where = sanafe_files.mappings(document)
    assert where.keys() == sanafe_files.neurons(document).keys()


@given(programs())
@settings(max_examples=30)
def test_in_sanafe_itself(case: tuple[Program, Array]) -> None:
    pytest.importorskip("sanafe", reason="pip install sanafe, to run the files in SANA-FE itself")
    program, sample = case
    with tempfile.TemporaryDirectory() as folder:
        check(program, sample, *simulated(program, written(program, sample, Path(folder))))


def simulated(program: Program, path: Path) -> tuple[list[set[Any]], Any]:
    """The spikes and the potentials of each time step, by SANA-FE."""
    import sanafe as simulator

    chip = simulator.load_arch(str(path))
    board = simulator.SpikingChip(chip)
    board.load(simulator.load_net(str(path), chip))
    steps = program.integer.timesteps + program.phase_steps
    result = board.sim(steps, spike_trace=True, potential_trace=True)
    spikes = [{(each.group_name, each.neuron_offset) for each in fired} for fired in result["spike_trace"]]
    probed, trace = readouts(program), result["potential_trace"]
    return spikes, lambda t, group, index: trace[t][probed.index((group, index))]


def readouts(program: Program) -> list[tuple[str, int]]:
    names = writer._Export(program).groups
    return [
        (names[population.name], index)
        for population in populations(program.mapped)
        if isinstance(population.soma, Readout)
        for index in range(population.neurons)
    ]


# ---------------------------------------------------------------------------------------------------- what is written


def small(encoder: Any = None, *, steps: int = 3, **neuron: Any) -> Graph:
    """conv, neuron with a skip around the next, and a readout behind both."""
    nodes = [
        ("input", Input(shape=(1, 4, 4)), ()),
        ("en.coder", encoder or DirectEncoder(), ("input",)),
        ("features.0", Conv2d(weight=quarters(2, 1, 3, 3), padding=(1, 1)), ("en.coder",)),
        ("features_1", lif(**neuron), ("features.0",)),
        ("second", Conv2d(weight=quarters(2, 2, 3, 3, seed=2), padding=(1, 1)), ("features_1",)),
        ("features.1", lif(0.5), ("second",)),
        ("sum", Add(), ("features.1", "features_1")),
        ("flatten", Flatten(), ("sum",)),
        ("linear", Linear(weight=quarters(3, 32, seed=3)), ("flatten",)),
        ("2", Readout(bias=np.array(0.25)), ("linear",)),
    ]
    return Graph("a net", "traced", steps, nodes, ("2",))


def compiled(graph: Graph, target: str = "loihi2-sim", **options: Any) -> Program:
    return compile_graph(graph, load_target(target), options=Options(**options))


def test_the_notes_say_how_to_run_it(tmp_path: Path) -> None:
    program = compiled(small())
    notes = write_sanafe(program, tmp_path / "x.yaml")
    text = "\n".join(notes)
    assert "simulate 6 time steps for a sample, and make the chip anew for the next" in text
    assert "(features_1 1, features_1_2 2, n2 3)" in text
    assert "no sample came with the program, so en_coder is silent" in text
    assert "names of groups have no dots: en.coder is en_coder, features.1 is features_1_2, 2 is n2" in text
    assert "spikes of inputs cross the network from tile 0, where our chip has them at their cores" in text
    assert "inputs are sent bit by bit, where our chip sends a value as one spike" in text
    assert "SANA-FE has no static power, no ways within a tile: its totals leave them out" in text
    assert not any("unknown" in note for note in notes)
    with_sample = replace(program, calibration=np.full((1, 1, 4, 4), 0.5, np.float32))
    assert "the spikes of en_coder are those of the first calibration sample" in write_sanafe(
        with_sample, tmp_path / "y.yaml"
    )
    assert "spikes: [1, 1, 1]" in (tmp_path / "y.yaml").read_text()
    assert "spikes: [1" not in (tmp_path / "x.yaml").read_text().replace("spikes: [0, 0, 1, 1, 1]", "")


def test_the_same_program_gives_the_same_bytes(tmp_path: Path) -> None:
    program = compiled(small())
    for name in ("a", "b"):
        write_sanafe(program, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_tiles_and_cores_are_those_of_the_mapping(tmp_path: Path) -> None:
    """SANA-FE counts tiles column by column, we row by row."""
    program = compiled(small())
    slices = tuple(
        replace(each, core=core, tile=core // 4) for each, core in zip(program.mapping.slices, (0, 35, 7), strict=True)
    )
    program = replace(program, mapping=replace(program.mapping, slices=slices))
    write_sanafe(program, tmp_path / "x.yaml")
    document = sanafe_files.read(tmp_path / "x.yaml")
    where = sanafe_files.mappings(document)
    # 4 rows and 8 columns of 4 cores: tile 8 is that of row 1, column 0, and tile 1 that of row 0, column 1
    assert [where[name, 0] for name in ("features_1", "features_1_2", "n2")] == [
        ("0.0", "lif[0]"), ("1.3", "lif[0]"), ("4.3", "lif[0]"),
    ]  # fmt: skip
    # three cores take three host cores, on which the inputs lie in turn
    assert [where["en_coder", index] for index in (0, 3, 5)] == [
        ("0.4", "input[0]"), ("0.4", "input[1]"), ("0.6", "input[1]"),
    ]  # fmt: skip
    architecture = document["architecture"]
    assert (architecture["attributes"]["width"], architecture["attributes"]["height"]) == (8, 4)
    assert [tile["name"] for tile in architecture["tile"]] == ["tile[0..0]", "tile[1..31]"]
    assert [core["name"] for core in architecture["tile"][0]["core"]] == ["core[0..3]", "host[0..2]"]


def test_units_hold_so_many_neurons_and_no_more(tmp_path: Path) -> None:
    """2 x 40 x 40 neurons on one core, and as many signed inputs."""
    nodes = [
        ("input", Input(shape=(1, 40, 40)), ()),
        ("encoder", PoissonEncoder(), ("input",)),
        ("conv", Conv2d(weight=quarters(2, 1, 1, 1)), ("encoder",)),
        ("lif", lif(), ("conv",)),
    ]
    program = compiled(Graph("n", "traced", 2, nodes, ("lif",)))
    write_sanafe(program, tmp_path / "x.yaml")
    document = sanafe_files.read(tmp_path / "x.yaml")
    where = sanafe_files.mappings(document)
    assert [where["lif", index] for index in (0, 1023, 1024, 3199)] == [
        ("0.0", "lif[0]"), ("0.0", "lif[0]"), ("0.0", "lif[1]"), ("0.0", "lif[3]"),
    ]  # fmt: skip
    assert [where["encoder", index] for index in (1023, 1024, 3199)] == [
        ("0.7", "input[255]"), ("0.4", "input[256]"), ("0.7", "input[799]"),
    ]  # fmt: skip
    first, host = document["architecture"]["tile"][0]["core"]
    assert (first["soma"][0]["name"], host["name"]) == ("lif[0..3]", "host[0..3]")
    assert host["soma"][0]["name"] == "input[0..799]"


def test_a_host_that_takes_time_is_one_file(tmp_path: Path) -> None:
    """Its messages come one after another, wherever they go, so that its neurons lie on as few cores as can be."""
    program = compiled(small())
    data = profile_to_dict(program.profile)
    price = data["events"]["synaptic_op"] | {"time_ns": {"value": 4, "unit": "ns", "basis": "assumed", "source": "-"}}
    data["host"] = {"tile": 0, "message": {name: price[name] for name in ("energy_pj", "time_ns")}}
    write_sanafe(replace(program, profile=Profile.from_mapping(data)), tmp_path / "x.yaml")
    document = sanafe_files.read(tmp_path / "x.yaml")
    _, host = document["architecture"]["tile"][0]["core"]
    assert host["name"] == "host[0..0]"
    assert host["axon_out"][0]["attributes"]["latency_message_out"] == pytest.approx(4e-9)


def on_one_core(graph: Graph) -> Program:
    plain = profile_to_dict(load_profile("loihi2"))
    for count in ("tile_rows", "tile_columns", "cores_per_tile"):
        plain["topology"][count]["value"] = 1
    return retarget(compiled(graph), Profile.from_mapping(plain))


def test_populations_share_the_units_of_their_core(tmp_path: Path) -> None:
    """700 neurons, 700 more behind them and 3 readouts, on the one core of a chip."""
    nodes = [
        ("input", Input(shape=(1, 10, 10)), ()),
        ("encoder", DirectEncoder(), ("input",)),
        ("conv", Conv2d(weight=quarters(7, 1, 1, 1)), ("encoder",)),
        ("first", lif(0.75), ("conv",)),
        ("again", Conv2d(weight=quarters(7, 7, 1, 1, seed=2)), ("first",)),
        ("second", lif(0.5), ("again",)),
        ("flatten", Flatten(), ("second",)),
        ("linear", Linear(weight=quarters(3, 700, seed=3)), ("flatten",)),
        ("readout", Readout(), ("linear",)),
    ]
    program = on_one_core(Graph("n", "traced", 3, nodes, ("readout",)))
    sample = quarters(1, 10, 10, seed=4)
    document = sanafe_files.read(written(program, sample, tmp_path))
    where = sanafe_files.mappings(document)
    assert where["first", 0] == ("0.0", "lif[0]")
    assert [where["second", index][1] for index in (323, 324)] == ["lif[0]", "lif[1]"]
    assert {where["readout", index] for index in range(3)} == {("0.0", "lif[1]")}
    core, _host = document["architecture"]["tile"][0]["core"]
    assert core["attributes"]["max_neurons_supported"] == 1403
    spikes, potentials = sanafe_files.simulate(document, 3 + program.phase_steps)
    check(program, sample, spikes, lambda t, group, index: potentials[t][group, index])


def test_a_packed_program_in_sanafe_itself(tmp_path: Path) -> None:
    pytest.importorskip("sanafe", reason="pip install sanafe, to run the files in SANA-FE itself")
    program = on_one_core(small())
    assert (len(program.mapping.slices), program.mapping.cores) == (3, 1)
    sample = quarters(1, 4, 4, seed=5)
    check(program, sample, *simulated(program, written(program, sample, tmp_path)))


def test_prices_are_those_of_the_profile(tmp_path: Path) -> None:
    write_sanafe(compiled(small()), tmp_path / "x.yaml")
    architecture = sanafe_files.read(tmp_path / "x.yaml")["architecture"]
    tile = architecture["tile"][1]
    assert tile["attributes"]["energy_east_hop"] == pytest.approx(3.0e-12)
    assert tile["attributes"]["latency_north_hop"] == pytest.approx(6.5e-9)
    core = tile["core"][0]
    assert core["synapse"][0]["attributes"]["energy_process_spike"] == pytest.approx(23.6e-12)
    soma = core["soma"][0]["attributes"]
    assert soma["energy_access_neuron"] == pytest.approx(52e-12)
    assert soma["energy_access_neuron"] + soma["energy_update_neuron"] == pytest.approx(81e-12)
    assert core["attributes"]["max_neurons_supported"] == 32
    # 113 ns for one tile
    assert (architecture["attributes"]["sync_model"], architecture["attributes"]["latency_sync"]) == (
        "fixed", pytest.approx(113e-9),
    )  # fmt: skip
    assert architecture["attributes"]["link_buffer_size"] == 16


def test_a_chip_without_a_mesh_and_with_unknown_numbers(tmp_path: Path) -> None:
    program = compiled(small(), "reference")
    notes = write_sanafe(program, tmp_path / "x.yaml")
    architecture = sanafe_files.read(tmp_path / "x.yaml")["architecture"]
    assert (architecture["attributes"]["width"], len(architecture["tile"])) == (1, 1)
    assert architecture["attributes"]["link_buffer_size"] == 1 << 20
    assert architecture["attributes"]["latency_sync"] == 0.0
    assert architecture["tile"][0]["core"][0]["attributes"]["max_neurons_supported"] == 67
    assert any(re.fullmatch(r"events\.\w+\.time_ns is unknown in \S+ and counts as 0 in the file", n) for n in notes)


def of_loihi(graph: Graph, change: Callable[[dict[str, Any]], None] = lambda _: None) -> Program:
    """Compiled for Loihi 1 with SANA-FE's numbers, some of them changed."""
    program = compiled(graph, "loihi1-sanafe")
    data = profile_to_dict(program.profile)
    change(data)
    return replace(program, profile=Profile.from_mapping(data))


def blocks(**last: Any) -> Graph:
    """A convolution, a population that feeds itself through a matrix, and a readout."""
    nodes = [
        ("input", Input(shape=(1, 4, 4)), ()),
        ("encoder", PoissonEncoder(), ("input",)),
        ("conv", Conv2d(weight=quarters(2, 1, 3, 3), padding=(1, 1)), ("encoder",)),
        ("first", zero(0.5), ("conv",)),
        ("flatten", Flatten(), ("first",)),
        ("linear", Linear(weight=quarters(8, 32)), ("flatten",)),
        ("back", Recurrent(shape=(8,)), ("second",)),
        ("own", Scale(weight=np.arange(1.0, 9.0)), ("back",)),
        ("sum", Add(), ("linear", "own")),
        ("second", zero(0.5), ("sum",)),
        ("last", Linear(weight=quarters(3, 8)), ("second",)),
        ("out", Readout(**last), ("last",)),
    ]
    return Graph("blocks", "traced", 3, nodes, ("out",))


def zero(threshold: float, **choices: Any) -> Neuron:
    """With the reset that Loihi 1 has."""
    return lif(threshold, reset="set", reset_value=np.array(0.0), leaky_reset=True, **choices)


def test_loihi_with_sanafes_own_numbers(tmp_path: Path) -> None:
    """Those of its arch/loihi.yaml come out again."""
    program = of_loihi(blocks())
    notes = write_sanafe(program, tmp_path / "x.yaml")
    document = sanafe_files.read(tmp_path / "x.yaml")
    attributes = document["architecture"]["attributes"]
    assert (attributes["link_buffer_size"], attributes["latency_sync"]) == (16, pytest.approx(0.6e-6))
    core = document["architecture"]["tile"][0]["core"][0]
    synapses_of = {
        each["name"]: (each["attributes"]["energy_process_spike"], each["attributes"]["latency_process_spike"])
        for each in core["synapse"]
    }
    assert synapses_of == {
        "synapses": pytest.approx((35.5e-12, 3.8e-9)),
        "bank0": pytest.approx((24e-12, 3.1e-9)),
        "bank1": pytest.approx((33.6e-12, 4.7e-9)),
    }
    somas = core["soma"][0]["attributes"]
    found = {name: (somas[f"energy_{name}"], somas[f"latency_{name}"]) for name in ("access_neuron", "update_neuron")}
    assert found == {
        "access_neuron": pytest.approx((51.2e-12, 6e-9)),
        "update_neuron": pytest.approx((21.6e-12, 3.7e-9)),
    }
    assert somas["energy_spike_out"] == pytest.approx(69.3e-12)
    assert core["axon_out"][0]["attributes"]["energy_message_out"] == pytest.approx(111e-12)
    assert core["axon_in"][0]["attributes"]["latency_message_in"] == pytest.approx(16e-9)
    host = document["architecture"]["tile"][0]["core"][1]
    assert host["axon_out"][0]["attributes"] == {"energy_message_out": 0.0, "latency_message_out": 0.0}
    units = {
        entry.partition(".")[0]: attributes[-1]["synapse"]
        for mapping in document["mappings"]
        for entry, attributes in mapping.items()
        if "host" not in entry and len(attributes) == 4
    }
    assert units == {"first": "bank0", "second": "synapses", "out": "synapses"}
    assert "second has synapses of 2 kinds, which all cost as most of them" in notes
    assert "second may fire after the sample, which SANA-FE counts; our chip is cleared" in notes
    assert not any(note.startswith(("SANA-FE has no", "biases", "spikes of inputs")) for note in notes)


def test_what_biases_add_to_the_totals(tmp_path: Path) -> None:
    """Three steps. The readout's three neurons lie on tile 9, one row and one column from the host."""
    graph = blocks(bias=np.array([0.5, 0.0, -0.25]))
    program = of_loihi(graph, lambda data: data["core"].update(biases="held"))
    slices = tuple(
        replace(each, core=36, tile=9) if each.population == "out" else each for each in program.mapping.slices
    )
    program = replace(program, mapping=replace(program.mapping, slices=slices))
    notes = write_sanafe(program, tmp_path / "x.yaml")
    energy = 3 * (2 * 35.5 + 3.0 + 4.2) * 1e-12
    assert (
        f"biases are spikes there, and none on our chip: take 3 firings, 3 packets, 6 hops, 6 synaptic events and "
        f"{energy:.12g} J from SANA-FE's totals, and the messages of *__bias from its times"
    ) in notes
    assert not any(note.startswith("biases") for note in write_sanafe(of_loihi(graph), tmp_path / "y.yaml"))


def test_a_neuron_without_state_that_needs_no_input_fires_at_its_own_step_only(tmp_path: Path) -> None:
    """At T = 1 a bias above the threshold is a spike of the host, which comes at the neuron's step."""
    nodes = [
        ("input", Input(shape=(2,)), ()), ("encoder", PoissonEncoder(), ("input",)),
        ("w", Linear(weight=np.zeros((2, 2))), ("encoder",)), ("first", zero(0.5, bias=np.array([1.0, 0.25])), ("w",)),
        ("w2", Linear(weight=np.ones((1, 2))), ("first",)), ("second", zero(0.5), ("w2",)),
        ("w3", Linear(weight=np.ones((1, 1))), ("second",)), ("out", Readout(), ("w3",)),
    ]  # fmt: skip
    program = of_loihi(Graph("awake", "traced", 1, nodes, ("out",)))
    document = sanafe_files.read(written(program, np.zeros(2), tmp_path))
    spikes, _ = sanafe_files.simulate(document, 4)
    assert [{each for each in fired if each[0] == "first"} for fired in spikes] == [set(), {("first", 0)}, set(), set()]
    assert ("second", 0) in spikes[2]
    where = sanafe_files.mappings(document)
    assert [where[name, 0][1] for name in ("first", "out")] == ["stateless[0]", "stateless[0]"]


def test_other_prices_and_places(tmp_path: Path) -> None:
    """A host elsewhere whose messages cost, readouts with a price of their own, synapses of zero that are skipped."""

    def change(data: dict[str, Any]) -> None:
        data["host"] = {"tile": 9, "message": data["events"]["axon_out"]}
        data["events"]["neuron_update_readout"] = data["events"]["spike_out"]
        data["banks"][0]["zeros"] = "skipped"

    program = of_loihi(blocks(), change)
    write_sanafe(program, tmp_path / "x.yaml")
    document = sanafe_files.read(tmp_path / "x.yaml")
    tiles = document["architecture"]["tile"]
    # row 1 of 4, column 1: the sixth by columns
    assert [tile["name"] for tile in tiles] == ["tile[0..4]", "tile[5..5]", "tile[6..31]"]
    host = tiles[1]["core"][1]
    assert host["axon_out"][0]["attributes"]["latency_message_out"] == pytest.approx(5.1e-9)
    where = sanafe_files.mappings(document)
    assert where["encoder", 0] == ("5.4", "input[0]")
    assert where["out", 0][1] == "readout[0]"
    readout = next(each for each in tiles[0]["core"][0]["soma"] if each["name"].startswith("readout"))["attributes"]
    assert (readout["energy_access_neuron"], readout["energy_update_neuron"]) == (pytest.approx(69.3e-12), 0.0)
    assert all(weight for _, target, weight, _ in sanafe_files.edges(document) if target[0] == "first")
    write_sanafe(of_loihi(blocks()), tmp_path / "y.yaml")
    all_edges = sanafe_files.edges(sanafe_files.read(tmp_path / "y.yaml"))
    assert any(not weight for _, target, weight, _ in all_edges if target[0] == "first")


def test_what_sanafe_has_no_place_for(tmp_path: Path) -> None:
    def change(data: dict[str, Any]) -> None:
        data["core"] |= {"overlap": False, "visits": "slots", "fetch": "row"}
        data["banks"][1]["message"] = data["events"]["axon_in"]
        data["tick_ns"] = data["barrier"]["points"][0]["time_ns"]
        data["core_power_mw"] = data["static_power_mw"]

    notes = write_sanafe(of_loihi(blocks(), change), tmp_path / "x.yaml")
    assert (
        "SANA-FE has no power of cores, no messages and source visits of banks.sparse lists, no slots that are visited "
        "without a neuron, no rows that are read whole, no sending that waits for receiving, no ticks: its totals "
        "leave them out"
    ) in notes


def test_signed_inputs_take_a_plane_for_each_bit_or_sign() -> None:
    program = compiled(small(DirectEncoder(limit=1.0)))
    trains = spike_trains(program, np.array([-1.0, 0.5, 0.25, 0.0] * 4).reshape(1, 4, 4))["en_coder"]
    node = program.integer.node("en.coder")
    assert isinstance(node, DirectEncoder)
    weights = np.array([1 << bit for bit in range(len(trains) // 16)])
    weights[-1] *= -1
    values = (trains.reshape(-1, 16, 3)[:, :, 0] * weights[:, None]).sum(axis=0)
    assert node.scale is not None
    np.testing.assert_array_equal(values[:4], np.rint(np.array([-1.0, 0.5, 0.25, 0.0]) * node.scale))
    program = compiled(small(PoissonEncoder()))
    trains = spike_trains(program, np.array([-1.0, 1.0, 0.0, 1.0] * 4).reshape(1, 4, 4))["en_coder"]
    assert trains.shape == (32, 3)
    assert trains[:4, 0].tolist() == [False, True, False, True]
    assert trains[16:20, 0].tolist() == [True, False, False, False]


@pytest.mark.parametrize("name", ["second", "linear"])
def test_every_structural_synapse_is_listed(name: str) -> None:
    for population in populations(compiled(small()).mapped):
        for projection in population.projections:
            sources, targets, weights = synapses(projection)
            assert len(sources) == fan_out(projection, full_box(population.shape)).sum()
            dense = np.zeros((math.prod(projection.source_shape), population.neurons), np.int64)
            dense[sources, targets] = weights
            units = np.eye(len(dense), dtype=np.int64).reshape(len(dense), *projection.source_shape)
            np.testing.assert_array_equal(dense, projection.apply(units).reshape(len(dense), -1))
    assert name


@given(integer_networks())
@settings(max_examples=40)
def test_synapses_of_generated_networks(graph: Graph) -> None:
    for population in populations(graph):
        for projection in population.projections:
            sources, targets, weights = synapses(projection)
            dense = np.zeros((math.prod(projection.source_shape), population.neurons), np.int64)
            dense[sources, targets] = weights
            units = np.eye(len(dense), dtype=np.int64).reshape(len(dense), *projection.source_shape)
            np.testing.assert_array_equal(dense, projection.apply(units).reshape(len(dense), -1))


def test_a_bias_at_the_very_first_step(tmp_path: Path) -> None:
    nodes: list[tuple[str, Any, tuple[str, ...]]] = [
        ("input", Input(shape=(2,)), ()), ("encoder", DirectEncoder(), ("input",)),
        ("late", AxonDelay(steps=np.array(1)), ("encoder",)), ("fc", Linear(weight=np.eye(2)), ("late",)),
        ("out", Readout(bias=np.array(0.5)), ("fc",)),
    ]  # fmt: skip
    program = compiled(Graph("late", "traced", 4, nodes, ("out",)))
    with pytest.raises(
        GraphError, match="out: has a bias at the very first step, which SANA-FE cannot say; train it w"
    ):
        write_sanafe(program, tmp_path / "x.yaml")


def test_paths_that_meet_are_one_synapse() -> None:
    graph = Graph(
        "n", "spiking", 1,
        [
            ("input", Input(shape=(1, 3, 3)), ()), ("encoder", DirectEncoder(), ("input",)),
            ("pool", SumPool2d(kernel=(2, 2), stride=(1, 1)), ("encoder",)), ("flatten", Flatten(), ("pool",)),
            ("linear", Linear(weight=np.arange(1, 5).reshape(1, 4)), ("flatten",)),
            ("out", Readout(), ("linear",)),
        ],
        ("out",),
    )  # fmt: skip
    ((projection,),) = [population.projections for population in populations(graph)]
    sources, targets, weights = synapses(projection)
    assert sources.tolist() == list(range(9))
    assert set(targets.tolist()) == {0}
    assert weights.tolist() == [1, 3, 2, 4, 10, 6, 3, 7, 4]


def test_parts_of_a_concat_and_other_shapes_have_their_places() -> None:
    graph = Graph(
        "n", "spiking", 1,
        [
            ("input", Input(shape=(2, 3)), ()), ("encoder", DirectEncoder(), ("input",)),
            ("shape", Reshape(shape=(6,)), ("encoder",)),
            ("linear", Linear(weight=np.arange(12).reshape(2, 6)), ("shape",)),
            ("place", PadChannels(before=1, after=2), ("linear",)),
            ("out", Readout(), ("place",)),
        ],
        ("out",),
    )  # fmt: skip
    ((projection,),) = [population.projections for population in populations(graph)]
    sources, targets, weights = synapses(projection)
    assert sources.tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    assert targets.tolist() == [1, 2] * 6
    assert weights.tolist() == [0, 6, 1, 7, 2, 8, 3, 9, 4, 10, 5, 11]


# ----------------------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"spikes": "signed"}, r"features_1: sends signed spikes, which SANA-FE cannot say; train it with binary ones"),
        ({"spikes": "graded"}, r"features_1: sends graded spikes"),
        ({"current_leak": np.array(0.5)}, r"features_1: has a synaptic current that decays"),
        ({"single_spike": True}, r"features_1: fires at most once"),
        ({"membrane_min": np.array(-0.5)}, r"features_1: has a floor for its membrane"),
        ({"reset": "set", "leaky_reset": False}, r"features_1: is reset to a value one step late"),
        (
            {"compare": "at_or_above", "leak": np.array(0.5)},
            r"features_1: fires at its threshold, subtracts it and lets",
        ),
    ],
)
def test_what_sanafe_cannot_say(change: dict[str, Any], match: str, tmp_path: Path) -> None:
    with pytest.raises(GraphError, match=match):
        write_sanafe(compiled(small(**change)), tmp_path / "x.yaml")
    assert list(tmp_path.iterdir()) == []


def test_too_many_synapses_and_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = compiled(small())
    monkeypatch.setattr(sanafe_limits, "MOST_SYNAPSES", 100)
    with pytest.raises(GraphError, match=r"second: 400 synapses, 792 in all, limit 100: SANA-FE has one line for each"):
        write_sanafe(program, tmp_path / "x.yaml")
    monkeypatch.undo()
    monkeypatch.setattr(sanafe_limits, "MOST_STEPS", 2)
    late = compiled(small(order="fire_first"))
    write_sanafe(program, tmp_path / "x.yaml")
    with pytest.raises(GraphError, match=r"2: its projection linear\S* takes 3 time steps, limit 2, which SANA-FE"):
        write_sanafe(late, tmp_path / "y.yaml")
    assert not (tmp_path / "y.yaml").exists()
    monkeypatch.setattr(sanafe_limits, "MOST_STEPS", 1)
    with pytest.raises(
        GraphError, match=r"2: its projection linear\S* takes 2 time steps, limit 1, which SANA-FE cannot"
    ):
        write_sanafe(program, tmp_path / "x.yaml")


def axons(delays: list[int]) -> Program:
    """Three neurons whose axons delay their spikes, each by its own time, and a readout."""
    return compiled(
        Graph(
            "late",
            "traced",
            8,
            [
                ("input", Input(shape=(4,)), ()),
                ("encoder", DirectEncoder(scale=1.0, low=0, high=1), ("input",)),
                ("w0", Linear(weight=quarters(3, 4)), ("encoder",)),
                ("lif", lif(0.5), ("w0",)),
                ("axons", Recurrent(shape=(3,), steps=0, axon_steps=np.array(delays)), ("lif",)),
                ("w1", Linear(weight=quarters(2, 3, seed=3)), ("axons",)),
                ("out", Readout(leak=np.array(0.5)), ("w1",)),
            ],
            ("out",),
        )
    )


def test_axons_have_their_own_delays(tmp_path: Path) -> None:
    program = axons([0, 2, 5])
    sample = np.ones(4)
    document = sanafe_files.read(written(program, sample, tmp_path))
    late = {source: delay for source, target, _, delay in sanafe_files.edges(document) if target[0] == "out"}
    assert sorted((index, delay) for (_, index), delay in late.items()) == [(0, 0), (1, 2), (2, 5)]
    spikes, potentials = sanafe_files.simulate(document, 8 + program.phase_steps)
    assert sum(len(each) for each in spikes) > 8
    check(program, sample, spikes, lambda t, group, index: potentials[t][group, index])


def test_axons_that_delay_for_too_long(tmp_path: Path) -> None:
    with pytest.raises(GraphError, match=r"out: its projection w1 takes 7 time steps, limit 6, which SANA-FE"):
        write_sanafe(axons([0, 2, 6]), tmp_path / "x.yaml")


def test_states_that_are_too_wide(tmp_path: Path) -> None:
    program = compiled(small())
    draft = program.integer.edit()
    for name in program.integer.of_kind(Neuron):
        node = program.integer.node(name)
        assert isinstance(node, Neuron)
        assert node.fixed is not None
        draft.replace(name, replace(node, fixed=replace(node.fixed, state_bits=40)))
    with pytest.raises(GraphError, match=r"features_1: has states of 40 bits, limit 32"):
        write_sanafe(replace(program, integer=draft.finish()), tmp_path / "x.yaml")


def test_one_step_networks_are_stateless(tmp_path: Path) -> None:
    program = compiled(net(("w", Linear(weight=quarters(3, 2)), ("direct",)), ("out", lif(0.5), ("w",)), steps=1))
    assert program.integer.of_kind(Threshold)
    write_sanafe(program, tmp_path / "x.yaml")
    document = sanafe_files.read(tmp_path / "x.yaml")
    assert sanafe_files.mappings(document)["out", 0] == ("0.0", "stateless[0]")
    assert {each["leak_decay"] for each in sanafe_files.neurons(document).values() if "leak_decay" in each} == {0.0}
