"""A program on disk: what is saved is what is loaded, and nothing but our own errors comes out of a damaged one."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurocompile.backends.functional import FunctionalBackend
from neurocompile.driver import compile_graph, retarget
from neurocompile.errors import CapacityError, GraphError, InputError, NeurocompileError
from neurocompile.hardware.profile import Core, profile_to_dict
from neurocompile.hardware.target import load_target
from neurocompile.ir.graph import Graph
from neurocompile.ir.interpret import interpret
from neurocompile.ir.nodes import (
    Add,
    AxonDelay,
    Conv2d,
    DirectEncoder,
    Flatten,
    Input,
    Linear,
    Neuron,
    Readout,
    Recurrent,
)
from neurocompile.program import Options, Program, default_folder


def network(name: str = "net") -> Graph:
    rng = np.random.default_rng(0)
    nodes = (
        ("input", Input(shape=(1, 4, 4)), ()),
        ("encoder", DirectEncoder(), ("input",)),
        ("conv", Conv2d(weight=rng.normal(size=(2, 1, 3, 3)).astype(np.float32)), ("encoder",)),
        ("lif", Neuron(threshold=np.array(0.5), leak=np.array(0.9)), ("conv",)),
        ("flatten", Flatten(), ("lif",)),
        ("linear", Linear(weight=rng.normal(size=(3, 8)).astype(np.float32)), ("flatten",)),
        ("readout", Readout(), ("linear",)),
    )
    return Graph(name, "traced", 2, nodes, ("readout",))


@pytest.fixture(scope="module")
def program() -> Program:
    calibration = np.random.default_rng(1).random((3, 1, 4, 4)).astype(np.float32)
    return compile_graph(network(), load_target("loihi2-sim"), calibration=calibration, options=Options(bits=6))


@pytest.fixture(scope="module")
def saved(program: Program, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("programs") / "net"
    program.save(folder)
    return folder


def test_what_is_saved_is_what_is_loaded(program: Program, saved: Path) -> None:
    loaded = Program.load(str(saved))
    assert loaded.summary() == program.summary()
    assert (loaded.trained.hash, loaded.mapped.hash) == (program.trained.hash, program.mapped.hash)
    assert (loaded.target, loaded.profile, loaded.options) == (program.target, program.profile, program.options)
    assert loaded.mapping == program.mapping
    assert loaded.calibration is not None
    assert program.calibration is not None
    assert loaded.calibration.tobytes() == program.calibration.tobytes()


def test_the_same_program_gives_the_same_bytes(saved: Path, tmp_path: Path) -> None:
    Program.load(saved).save(tmp_path / "deep/er/again")
    for name in ("program.json", "tensors.safetensors"):
        assert (tmp_path / "deep/er/again" / name).read_bytes() == (saved / name).read_bytes()


def test_no_calibration_and_other_targets(tmp_path: Path) -> None:
    for target in ("reference", "loihi2-sim"):
        program = compile_graph(network(), load_target(target))
        program.save(tmp_path / target)
        assert Program.load(tmp_path / target).calibration is None


def test_a_build_that_fails_while_it_writes_leaves_the_old_program(program: Program, tmp_path: Path) -> None:
    folder = tmp_path / "p"
    program.save(folder)

    def fail(fresh: Path) -> None:
        assert {path.name for path in fresh.iterdir()} == {"program.json", "tensors.safetensors"}
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        program.save(folder, force=True, also=fail)
    assert Program.load(folder).name == "net"
    assert [path.name for path in tmp_path.iterdir()] == ["p"]
    with pytest.raises(KeyboardInterrupt):
        program.save(tmp_path / "q", also=fail)
    assert [path.name for path in tmp_path.iterdir()] == ["p"]


@pytest.mark.parametrize("moment", [1, 2])
@pytest.mark.parametrize("done", [False, True])
def test_an_interrupt_while_programs_change_places(
    program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: int, done: bool
) -> None:
    folder = tmp_path / "p"
    program.save(folder)
    rename, calls = Path.rename, [0]

    def interrupted(self: Path, target: Path) -> Path:
        calls[0] += 1
        if calls[0] != moment:
            return rename(self, target)
        if done:
            rename(self, target)
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "rename", interrupted)
    with pytest.raises(KeyboardInterrupt):
        program.save(folder, force=True)
    assert Program.load(folder).name == "net"
    assert [path.name for path in tmp_path.iterdir()] == ["p"]


@pytest.mark.parametrize(
    "name", ["../x", "a/b", "", ".", "..", ".x", "/x", "x" * 300, "a\0", "a\n", "\x1b[1m", "\udcff"]
)
def test_names_that_are_no_folder(name: str) -> None:
    with pytest.raises(InputError, match="name"):
        default_folder(name, "loihi2-sim")
    assert default_folder("nét [b] {c}", "t") == Path("build/nét [b] {c}-t")


@pytest.mark.parametrize("bits", [0, 9, -1])
def test_options_are_checked(bits: int) -> None:
    with pytest.raises(InputError, match=f"bits is {bits}; choose from 1 to 8"):
        Options(bits=bits)


def test_how_weights_get_their_scales_is_remembered(program: Program, tmp_path: Path) -> None:
    assert program.quantizer_choices == {"quantizer": "calibrated", "scales": "channel", "percentile": 99.9}
    options = Options(quantizer="percentile", scales="tensor", percentile=90)
    other = compile_graph(network(), load_target("loihi2-sim"), calibration=program.calibration, options=options)
    other.save(tmp_path / "p")
    loaded = Program.load(tmp_path / "p")
    assert loaded.options == options
    assert loaded.summary()["quantizer"] == "percentile"
    assert loaded.summary()["scales"] == "tensor"
    assert retarget(loaded, loaded.profile).integer.hash == other.integer.hash
    assert retarget(program, program.profile).integer.hash == program.integer.hash != other.integer.hash


def test_a_target_may_choose_the_quantizer_and_the_user_overrules_it() -> None:
    target = load_target("loihi2-sim")
    chosen = target.model_copy(
        update={"options": target.options.model_copy(update={"quantizer": "mse", "scales": "tensor"})}
    )
    assert compile_graph(network(), target).quantizer_choices["quantizer"] == "max"  # there are no samples
    choices = compile_graph(network(), chosen).quantizer_choices
    assert (choices["quantizer"], choices["scales"]) == ("mse", "tensor")
    choices = compile_graph(network(), chosen, options=Options(quantizer="max", scales="channel")).quantizer_choices
    assert (choices["quantizer"], choices["scales"]) == ("max", "channel")


def test_a_folder_from_before_quantizers_were_a_choice(program: Program, tmp_path: Path) -> None:
    """It followed the largest weight, whatever samples there were."""
    options = Options(quantizer="max")
    old = compile_graph(network(), load_target("loihi2-sim"), calibration=program.calibration, options=options)
    old.save(tmp_path / "p")
    path = tmp_path / "p/program.json"
    document = json.loads(path.read_text())
    document["options"] = {"bits": None, "reset_zero": False}
    for name in ("quantizer", "scales"):
        del document["target"]["options"][name]
    path.write_text(json.dumps(document))
    loaded = Program.load(tmp_path / "p")
    assert loaded.quantizer_choices == old.quantizer_choices
    assert retarget(loaded, loaded.profile).integer.hash == old.integer.hash


def test_a_folder_from_before_a_node_had_a_field(program: Program, tmp_path: Path) -> None:
    program.save(tmp_path / "p")
    path = tmp_path / "p/program.json"
    document = json.loads(path.read_text())
    for graph in document["graphs"].values():
        for node in graph["nodes"]:
            for name in ("upsample", "end_padding", "membrane_min"):
                node["fields"].pop(name, None)
    path.write_text(json.dumps(document))
    loaded = Program.load(tmp_path / "p")
    assert loaded.integer.hash == program.integer.hash


def test_a_folder_from_before_profiles_said_how_a_core_works(program: Program, tmp_path: Path) -> None:
    program.save(tmp_path / "p")
    path = tmp_path / "p/program.json"
    document = json.loads(path.read_text())
    document["version"] = 1
    document["profile"] = profile_to_dict(program.profile)  # which the first version wrote in full
    for name in ("core", "banks", "host", "tick_ns", "core_power_mw"):
        del document["profile"][name]
    for section, name in (("events", "axon_out"), ("noc", "link_time_ns"), ("limits", "kinds")):
        del document["profile"][section][name]
    path.write_text(json.dumps(document))
    loaded = Program.load(tmp_path / "p")
    assert loaded.profile.core == Core()
    assert loaded.mapped.hash == program.mapped.hash
    loaded.save(tmp_path / "again")
    assert json.loads((tmp_path / "again/program.json").read_text()) == {**document, "version": 2}


@pytest.mark.parametrize("version", [0, 3, True, "2", None])
def test_other_versions_are_refused_by_name(program: Program, tmp_path: Path, version: object) -> None:
    program.save(tmp_path / "p")
    path = tmp_path / "p/program.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "version": version}))
    with pytest.raises(InputError, match=f"p: format version {version!r}, this neurocompile reads 1 to 2; upgrade"):
        Program.load(tmp_path / "p")


def looped(steps: int = 1) -> Graph:
    """Spikes of "last" come back to "first", ``steps`` steps later; those of "first" take up to 5 steps to it."""
    nodes = (
        ("input", Input(shape=(3,)), ()),
        ("encoder", DirectEncoder(), ("input",)),
        ("back", Recurrent(shape=(3,), steps=steps), ("last" if steps > 1 else "first",)),
        ("sum", Add(), ("encoder", "back")),
        ("first", Neuron(threshold=np.array(0.5)), ("sum",)),
        ("late", AxonDelay(steps=np.array([5, 2, 0])), ("first",)),
        ("fc", Linear(weight=np.eye(3) - 0.25), ("late",)),
        ("last", Neuron(threshold=np.array(0.25)), ("fc",)),
    )
    return Graph("looped", "traced", 8, nodes, ("last",))


def test_a_folder_from_before_recurrences_of_several_steps(tmp_path: Path) -> None:
    old = compile_graph(looped(), load_target("loihi2-sim"))
    old.save(tmp_path / "p")
    path = tmp_path / "p/program.json"
    document = json.loads(path.read_text())
    found = [
        node["fields"]
        for graph in document["graphs"].values()
        for node in graph["nodes"]
        if node["kind"] == "Recurrent" and node["name"] == "back"
    ]
    assert len(found) == 2
    for fields in found:
        assert (fields.pop("steps"), fields.pop("axon_steps"), fields.pop("wait")) == (1, None, 0)
    path.write_text(json.dumps(document))
    assert Program.load(tmp_path / "p").mapped.hash == old.mapped.hash


def test_delays_are_saved_and_loaded(tmp_path: Path) -> None:
    program = compile_graph(looped(2), load_target("loihi2-sim"))
    program.save(tmp_path / "p")
    loaded = Program.load(tmp_path / "p")
    assert loaded.mapped.hash == program.mapped.hash
    past = loaded.mapped.node("late")
    assert isinstance(past, Recurrent)
    assert past.delays.tolist() == [5, 2, 0]


def test_engines_agree_on_what_comes_late_and_from_further_on() -> None:
    program = compile_graph(looped(2), load_target("loihi2-sim"))
    samples = np.random.default_rng(2).random((4, 3))
    expected = interpret(program.integer, samples)
    assert expected.events["last"].any()
    for found in (interpret(program.mapped, samples), FunctionalBackend().run(program.integer, samples)):
        for name, events in expected.events.items():
            assert np.array_equal(found.events[name], events)


def delayed(*steps: int) -> Graph:
    nodes = (
        ("input", Input(shape=(2,)), ()),
        ("encoder", DirectEncoder(), ("input",)),
        ("late", AxonDelay(steps=np.array(steps)), ("encoder",)),
        ("out", Neuron(threshold=np.array(0.25)), ("late",)),
    )
    return Graph("delayed", "traced", 100, nodes, ("out",))


def test_delays_that_the_chip_has_and_those_that_it_has_not() -> None:
    """Loihi 2 delays by up to 62 steps, besides the one that a spike takes anyway."""
    target = load_target("loihi2-sim")
    assert compile_graph(delayed(63, 63), target).phase_steps == 0
    assert compile_graph(delayed(1, 63), target).phase_steps == 0
    assert compile_graph(delayed(0, 62), target).phase_steps == 1
    with pytest.raises(CapacityError, match="spikes of encoder must wait 64 steps for it, and loihi2 delays by 62"):
        compile_graph(delayed(0, 63), target)
    with pytest.raises(
        GraphError,
        match="out: spikes of encoder must wait 64 steps, the chip delays by at most 62 besides the one that they take",
    ):
        _ = compile_graph(delayed(64, 64), target).mapped


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        ({"quantizer": "best"}, "quantizer is 'best'"),
        ({"scales": ""}, "scales is ''"),
        ({"percentile": 0}, "percentile is 0"),
    ],
)
def test_choices_of_the_quantizer_are_checked(choice: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        Options(**choice)


# ------------------------------------------------------------------------------------------------------------- damage


def _spots(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths of all values in nested data."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(spot for key, item in items for spot in _spots(item, (*path, key)))]


JUNK: list[Any] = [
    None, True, False, 0, -1, 1, 7, 10**30, -(10**30), 0.5, 1e308, "", "x", "conv", "\x00", [], [0], [[]], {}, {"a": 1},
    {"array": "calibration"}, {"array": "integer/conv/weight"}, ["readout"], "9" * 5000, "é", [None] * 3,
]  # fmt: skip
Change = Callable[[dict[str, Any], tuple[Any, ...]], None]


@settings(max_examples=150)
@given(data=st.data())
def test_altered_program_loads_as_it_was_or_is_refused(data: st.DataObject, saved: Path) -> None:
    text = (saved / "program.json").read_text()
    document = json.loads(text)
    for _ in range(data.draw(st.integers(1, 3))):
        spots = [spot for spot in _spots(document) if spot]
        *parents, last = data.draw(st.sampled_from(spots))
        holder = document
        for key in parents:
            holder = holder[key]
        what = data.draw(st.sampled_from(("remove", "junk", "junk", "copy")))
        if what == "remove":
            del holder[last]
        elif what == "junk":
            holder[last] = copy.deepcopy(data.draw(st.sampled_from(JUNK)))
        else:
            other: Any = document
            for key in data.draw(st.sampled_from([spot for spot in _spots(document) if spot])):
                other = other[key]
            holder[last] = copy.deepcopy(other)
    folder = saved.with_name("altered")
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(saved, folder)
    (folder / "program.json").write_text(json.dumps(document))
    try:
        loaded = Program.load(folder)
    except NeurocompileError:
        return
    loaded.summary()
    assert loaded.integer.hash == Program.load(saved).integer.hash


@settings(max_examples=60)
@given(at=st.floats(0, 1), value=st.integers(1, 255), cut=st.booleans())
def test_altered_tensors_are_refused(at: float, value: int, cut: bool, saved: Path) -> None:
    folder = saved.with_name("altered")
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(saved, folder)
    content = bytearray((saved / "tensors.safetensors").read_bytes())
    spot = int(at * (len(content) - 1))
    if cut:
        content = content[:spot]
    else:
        content[spot] ^= value
    (folder / "tensors.safetensors").write_bytes(content)
    try:
        loaded = Program.load(folder)
    except InputError:
        return
    assert loaded.integer.hash == Program.load(saved).integer.hash  # a bit of the calibration data, or of white space
