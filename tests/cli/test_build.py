"""``neurocompile build``: what it makes, and each refusal."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from cli_cases import INPUT_SHAPE, TIMESTEPS, Result, edited_profile
from torch import nn

from neurocompile import snn
from neurocompile.program import Program
from neurocompile.resources import profiles_folder

Cli = Callable[..., Result]
SHAPE = ",".join(map(str, INPUT_SHAPE))
FROM_STATE = ("--input-shape", SHAPE, "--timesteps", TIMESTEPS)


def test_json_is_one_object_with_the_promised_keys(cli: Cli, place: Path) -> None:
    result = cli("build", "tiny.pt", "--json")
    assert result.err == ""
    built = result.json
    assert built["program"] == "build/tiny-loihi2-sim"
    assert (built["timesteps"], built["stateless"], built["populations"]) == (TIMESTEPS, False, 2)
    assert (built["neurons"], built["phase_steps"]) == (3 * 36 + 4, 2)
    assert built["synapses"] > 0
    assert built["cores"] == 2
    assert built["seconds"] > 0
    assert built["graph_hash"] == Program.load(place / built["program"]).integer.hash
    assert sorted(path.name for path in (place / built["program"]).iterdir()) == [
        "activity.json", "activity.safetensors", "program.json", "report.html", "report.json", "tensors.safetensors",
    ]  # fmt: skip


def test_the_summary_and_quiet(cli: Cli) -> None:
    result = cli("build", "tiny.pt")
    assert result.err == ""
    assert "tiny for loihi2-sim" in result.out
    assert "program: build/tiny-loihi2-sim" in result.out
    assert cli("build", "tiny.pt", "--force", "--quiet") == Result(0, "", "")


def test_what_passes_print_goes_to_stderr(cli: Cli) -> None:
    result = cli("build", "tiny.pt", "--print-after", "quantize", "--time-passes", "--json")
    assert result.json["name"] == "tiny"
    assert "-- after quantize\ngraph tiny stage=integer" in result.err
    assert "ms  remove_identity" in result.err


def test_the_same_input_gives_the_same_bytes(cli: Cli, place: Path) -> None:
    cli("build", "tiny.pt", "--out", "a")
    cli("build", "tiny.pt", "--out", "b")
    for path in (place / "a").iterdir():
        assert path.read_bytes() == (place / "b" / path.name).read_bytes(), path.name


def test_files_are_as_readable_as_any_other(cli: Cli, place: Path) -> None:
    before = os.umask(0o027)
    try:
        cli("build", "tiny.pt", "--out", "a")
        cli("run", "a", "--backend", "reference", "--save", "out.npz")
    finally:
        os.umask(before)
    assert (place / "a").stat().st_mode & 0o777 == 0o750
    assert {path.stat().st_mode & 0o777 for path in [*(place / "a").iterdir(), place / "out.npz"]} == {0o640}


def test_a_state_dict_with_its_code_is_the_same_network(cli: Cli) -> None:
    built = cli(
        "build",
        "state.pt",
        "--model",
        "usernets:tiny",
        *FROM_STATE,
        "--calibration",
        "x.npy",
        "--name",
        "tiny",
        "--json",
    )
    assert built.json["program"] == "build/tiny-loihi2-sim"
    assert "chatter" in built.err  # not on stdout
    assert built.json["graph_hash"] == cli("inspect", "program", "--json").json["graph_hash"]


def test_one_step_from_the_command_line_is_stateless(cli: Cli) -> None:
    assert cli("build", "tiny.pt", "--timesteps", 1, "--json").json["stateless"] is True


# ------------------------------------------------------------------------------------------------------ checkpoints


def _save(name: str, change: Callable[[dict[str, Any]], None], source: str = "tiny.pt") -> None:
    document = torch.load(source, weights_only=True)
    change(document)
    torch.save(document, name)


def _cut(name: str) -> None:
    Path(name).write_bytes(Path("tiny.pt").read_bytes()[:2000])


BAD_CHECKPOINTS: dict[str, tuple[Callable[[str], object], tuple[str, ...]]] = {
    "pickled module": (
        lambda name: torch.save(nn.Sequential(nn.Linear(2, 2)), name),
        ("pickled Python object", "neurocompile.snn.save", "--model package.module:factory"),
    ),
    "plain pickle": (lambda name: Path(name).write_bytes(pickle.dumps({"a": 1})), ("copy or save it again",)),
    "cut short": (_cut, ("is cut short", "copy or save it again")),
    "empty": (lambda name: Path(name).write_bytes(b""), ("is not a PyTorch file",)),
    "text": (lambda name: Path(name).write_text("hello"), ("is not a PyTorch file",)),
    "folder": (lambda name: Path(name).mkdir(), ("is a folder",)),
    "missing": (lambda name: None, ("does not exist",)),  # noqa: ARG005
    "something else": (lambda name: torch.save([1, 2], name), ("something else", "--model")),
    "state dict": (lambda name: torch.save({"a": torch.ones(2)}, name), ("bare state dict (1 tensors)", "--model")),
    "nan": (
        lambda name: _save(name, lambda document: document["state_dict"]["1.weight"].fill_(float("nan"))),
        ("1.weight has 27 of 27 values NaN",),
    ),
    "newer": (lambda name: _save(name, lambda document: document.update(version=2)), ("newer", "upgrade")),
    "lacks a tensor": (
        lambda name: _save(name, lambda document: document["state_dict"].pop("1.bias")),
        ("lacks 1 tensors (1.bias)",),
    ),
}


@pytest.mark.parametrize("kind", BAD_CHECKPOINTS)
def test_checkpoint_that_is_refused(cli: Cli, kind: str, place: Path) -> None:
    make, parts = BAD_CHECKPOINTS[kind]
    make("bad.pt")
    cli("build", "bad.pt", "--json").refused("bad.pt: ", *parts)
    assert not (place / "build").exists()


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        (lambda state: state.pop("1.bias"), ("lacks 1 tensors (1.bias)",)),
        (lambda state: state.update({"7.weight": torch.ones(1)}), ("unexpected 1 tensors (7.weight)",)),
        (lambda state: state["1.weight"][0].fill_(float("nan")), ("1.weight has 9 of 27 values NaN",)),
        (lambda state: state.update({"1.bias": torch.ones(4)}), ("1.bias has shape (4,), the network needs (3,)",)),
    ],
)
def test_state_dict_that_does_not_fit_its_code(cli: Cli, change: Any, parts: tuple[str, ...]) -> None:
    _save("bad.pt", change, "state.pt")
    result = cli("build", "bad.pt", "--model", "usernets:tiny", *FROM_STATE)
    assert result.err.splitlines()[-1].startswith("error: bad.pt: ")
    assert all(part in result.err for part in parts), result.err


@pytest.mark.parametrize(
    ("spec", "parts"),
    [
        ("usernets", ("it must be package.module:factory",)),
        (":x", ("it must be package.module:factory",)),
        ("usernets:", ("it must be package.module:factory",)),
        ("nowhere_to_be_found:x", ("No module named 'nowhere_to_be_found'",)),
        ("usernets:nope", ("no attribute 'nope'",)),
        ("usernets:raises", ("RuntimeError: no such luck",)),
        ("usernets:leaves", ("SystemExit: 3",)),
        ("usernets:nothing", ("gave a NoneType", "must return a torch.nn.Module")),
        ("usernets:wants", ("missing 1 required positional argument",)),
        ("usernets:number", ("'int' object is not callable",)),
    ],
)
def test_factory_that_is_refused(cli: Cli, spec: str, parts: tuple[str, ...]) -> None:
    cli("build", "state.pt", "--model", spec, *FROM_STATE).refused("--model", *parts)


def test_layers_that_are_not_supported_are_all_named(cli: Cli) -> None:
    from usernets import Unknown

    torch.save(Unknown().state_dict(), "u.pt")
    cli("build", "u.pt", "--model", "usernets:Unknown", *FROM_STATE).refused(
        "act (GELU; use neurocompile.snn.LIF",
        "rnn (LSTM; use neurocompile.snn.Recurrent",
    )


def test_control_flow_is_refused_with_its_line(cli: Cli) -> None:
    from usernets import Flow

    torch.save(Flow().state_dict(), "f.pt")
    cli("build", "f.pt", "--model", "usernets:Flow", "--input-shape", "4", "--timesteps", 1).refused(
        "usernets.py:", "if x.sum() > 0:"
    )


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (("--input-shape", SHAPE), ("needs --timesteps",)),
        (("--timesteps", 3), ("needs --input-shape",)),
        (("--input-shape", "6x6", "--timesteps", 3), ("--input-shape is '6x6'", "1,8,8")),
        (("--input-shape", "0,6,6", "--timesteps", 3), ("--input-shape is '0,6,6'",)),
        (("--input-shape", "2,6,6", "--timesteps", 3), ("1: Conv2d", "got 2")),
        (("--input-shape", "36", "--timesteps", 3), ("1 (Conv2d; reads a tensor of 2 axes (2, 36)",)),
        (("--input-shape", "1,8,8", "--timesteps", 3), ("5: Linear", "check --input-shape")),
        (("--input-shape", SHAPE, "--timesteps", 0), ("--timesteps",)),
    ],
)
def test_shapes_and_steps_that_are_refused(cli: Cli, words: tuple[object, ...], parts: tuple[str, ...]) -> None:
    result = cli("build", "state.pt", "--model", "usernets:tiny", *words)
    Result(result.status, result.out, result.err.removeprefix("chatter of the user's own\n")).refused(*parts)


def test_input_shape_that_contradicts_the_checkpoint(cli: Cli) -> None:
    cli("build", "tiny.pt", "--input-shape", "3,6,6").refused("tiny.pt", "(1, 6, 6)", "(3, 6, 6)")


# -------------------------------------------------------------------------------------------------------------- names


@pytest.mark.parametrize(
    "name", ["../../evil", "a/b", "/abs", "..", ".", ".hidden", "x" * 300, "a\0b", "a\nb", "\x1b[31m"]
)
def test_name_of_a_checkpoint_cannot_lead_elsewhere(cli: Cli, place: Path, name: str) -> None:
    _save("bad.pt", lambda document: document.update(name=name))
    before = sorted(place.parent.rglob("*"))
    cli("build", "bad.pt").refused("the network's name is", "--name")
    assert sorted(place.parent.rglob("*")) == before
    assert cli("build", "bad.pt", "--name", "fine", "--quiet").status == 0
    assert (place / "build/fine-loihi2-sim/program.json").is_file()


@pytest.mark.parametrize("name", ["two words", "nét 漢字", "[red]x[/red]", "{a}", "x" * 150])
def test_names_are_shown_as_they_are(cli: Cli, name: str) -> None:
    if "/" in name:
        name = name.replace("/", "\\")
    _save("odd.pt", lambda document: document.update(name=name))
    assert cli("build", "odd.pt", "--json").json["name"] == name
    folder = Path(f"build/{name}-loihi2-sim")
    flat = "".join(cli("report", folder).out.split())
    assert "".join(name.split()) in flat
    assert name in cli("inspect", folder).out
    assert cli("run", folder, "--backend", "reference", "--json").json["program"] == str(folder)


# ------------------------------------------------------------------------------------------------- numbers and passes


@pytest.mark.parametrize("bits", [0, 9, -1])
def test_bits_out_of_range(cli: Cli, bits: int) -> None:
    cli("build", "tiny.pt", "--bits", bits).refused(f"bits is {bits}", "1 to 8")


@pytest.mark.parametrize("bits", [1, 4, 8])
def test_bits_within(cli: Cli, bits: int) -> None:
    assert cli("build", "tiny.pt", "--bits", bits, "--quiet").status == 0
    assert f"weight_bits={bits}" in cli("inspect", "build/tiny-loihi2-sim").out


@pytest.mark.parametrize("quantizer", ["max", "percentile", "mse", "calibrated"])
def test_quantizers(cli: Cli, quantizer: str) -> None:
    built = cli("build", "tiny.pt", "--quantizer", quantizer, "--scales", "tensor", "--bits", 3, "--json").json
    assert (built["quantizer"], built["scales"]) == (quantizer, "tensor")
    assert cli("build", "tiny.pt", "--bits", 3, "--out", "c", "--json").json["quantizer"] == "calibrated"
    assert "calibrated, a scale per channel" in cli("build", "tiny.pt", "--bits", 3, "--out", "d").out


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (("--quantizer", "best"), ("quantizer is 'best'", "max, percentile, mse, calibrated")),
        (("--scales", "row"), ("scales is 'row'", "channel, tensor")),
        (("--percentile", 90), ("--percentile", "--quantizer percentile")),
        (("--quantizer", "percentile", "--percentile", 0), ("percentile is 0.0", "above 0, at most 100")),
    ],
)
def test_quantizers_that_are_none(cli: Cli, place: Path, words: tuple[object, ...], parts: tuple[str, ...]) -> None:
    cli("build", "tiny.pt", *words).refused(*parts)
    assert not (place / "build").exists()


def test_calibration_needs_samples(cli: Cli, place: Path) -> None:
    words = ("build", "state.pt", "--model", "usernets:tiny", *FROM_STATE)
    assert cli(*words, "--json").json["quantizer"] == "max"
    refused = cli(*words, "--out", "q", "--quantizer", "calibrated")
    assert refused.status == 2
    assert "'calibrated' needs typical samples and there are none; give some (build --calibration" in refused.err
    assert not (place / "q").exists()


def test_unknown_pass_is_found_before_anything_is_built(cli: Cli, place: Path) -> None:
    cli("build", "tiny.pt", "--print-after", "fusion").refused("'fusion'", "fuse_batchnorm", "quantize")
    assert not (place / "build").exists()


@pytest.mark.parametrize(
    ("samples", "parts"),
    [
        (np.zeros((3, 2, 6, 6)), ("c.npy: input has shape (3, 2, 6, 6)", "(N, 1, 6, 6)")),
        (np.full((3, *INPUT_SHAPE), np.nan), ("sample 0 (the first is 0) has 36 NaN or infinite values",)),
        (np.full((3, *INPUT_SHAPE), 1e300), ("108 NaN or infinite values",)),
    ],
)
def test_calibration_that_is_refused(cli: Cli, place: Path, samples: Any, parts: tuple[str, ...]) -> None:
    np.save("c.npy", samples)
    cli("build", "tiny.pt", "--calibration", "c.npy").refused(*parts)
    assert not (place / "build").exists()


def test_calibration_takes_the_place_of_the_checkpoints_own(cli: Cli) -> None:
    np.save("c.npy", np.full((2, *INPUT_SHAPE), 0.5))
    assert cli("build", "tiny.pt", "--calibration", "c.npy", "--quiet").status == 0
    assert cli("run", "build/tiny-loihi2-sim", "--backend", "reference", "--json").json["samples"] == 2


# ---------------------------------------------------------------------------------------------- targets and profiles


@pytest.mark.parametrize(
    ("target", "parts"),
    [
        ("loihi2", ("did you mean loihi2-sim", "reference")),
        ("nothing-like-it", ("choose from loihi1-sanafe, loihi1-sim, loihi2-sim, reference",)),
        ("none.yaml", ("none.yaml: no such target file",)),
    ],
)
def test_target_that_is_not_there(cli: Cli, target: str, parts: tuple[str, ...]) -> None:
    cli("build", "tiny.pt", "--target", target).refused(*parts)


@pytest.mark.parametrize(
    ("old", "new", "parts"),
    [
        ("  routing: xy", "  routing: xy\n  routing: xy", ("chip.yaml:", "noc.routing: duplicate key")),
        ("  routing: xy", "  routing: xy\n  colour: red", ("chip.yaml:", "noc.colour")),
        ("{value: 8192, unit: neurons", "{value: 8192, unit: axons", ("chip.yaml:", "limits.neurons.unit", "neurons")),
        ("{value: 8192, unit: neurons", "{value: -5, unit: neurons", ("chip.yaml:", "limits.neurons.value")),
        ("format: neurocompile.profile/1", "format: neurocompile.profile/2", ("chip.yaml:1: format",)),
    ],
)
def test_profile_that_is_refused(cli: Cli, place: Path, old: str, new: str, parts: tuple[str, ...]) -> None:
    cli("build", "tiny.pt", "--target", edited_profile(place, old, new)).refused(*parts)
    cli("profiles", place / "chip.yaml").refused(*parts)


@pytest.mark.parametrize(("line", "parts"), [("name: again", ("name: duplicate key",)), ("colour: red", ("colour",))])
def test_target_file_that_is_refused(cli: Cli, place: Path, line: str, parts: tuple[str, ...]) -> None:
    target = edited_profile(place, "routing: xy", "routing: xy")
    target.write_text(f"{target.read_text()}{line}\n")
    cli("build", "tiny.pt", "--target", target).refused("mine.yaml:6:", *parts)
    cli("targets", target).refused("mine.yaml:6:", *parts)


def test_energy_that_is_not_known_makes_the_report_incomplete(cli: Cli, place: Path) -> None:
    text = (profiles_folder() / "loihi2.yaml").read_text()
    (line,) = (line for line in text.splitlines() if "energy_pj: {value: 23.6," in line)
    target = edited_profile(place, line, "    energy_pj: null")
    assert cli("build", "tiny.pt", "--target", target, "--out", "p", "--quiet").status == 0
    report = cli("report", "p", "--json").json
    assert report["complete"] is False
    assert report["energy_pj"]["total"] is None
    assert report["missing"] == ["events.synaptic_op.energy_pj"]
    assert "incomplete: needs" in cli("report", "p").out


def test_network_that_does_not_fit(cli: Cli, place: Path) -> None:
    target = edited_profile(
        place, "  fan_in: null", '  fan_in: {value: 8, unit: synapses, basis: assumed, source: "x"}'
    )
    cli("build", "tiny.pt", "--target", target).refused("6: ", "108 synapses", "limit 8", "give the layer fewer inputs")


def test_skip_that_cannot_be_balanced(cli: Cli, place: Path) -> None:
    class Skip(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Sequential(nn.Linear(4, 4), snn.LIF())
            self.long = nn.Sequential(*(layer for _ in range(3) for layer in (nn.Linear(4, 4), snn.LIF())))
            self.last = nn.Sequential(nn.Linear(4, 2), snn.Readout())

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.first(x)
            return self.last(self.long(x) + x)  # type: ignore[no-any-return]

    torch.manual_seed(0)
    snn.save(Skip(), "skip.pt", timesteps=2, input_shape=(4,), sample_input=torch.rand(2, 4))
    target = edited_profile(place, "max_delay_steps: {value: 62", "max_delay_steps: {value: 1")
    cli("build", "skip.pt", "--target", target).refused("4", "1 besides", "->")
    assert cli("build", "skip.pt", "--quiet").status == 0


def test_subtractive_reset_on_a_chip_that_lacks_it_and_its_three_remedies(cli: Cli) -> None:
    words = ("build", "tiny.pt", "--quiet", "--force")
    cli(*words, "--target", "loihi1-sim").refused("2: ", "subtracts", "T = 1", "--reset zero", "loihi2")
    assert cli(*words, "--target", "loihi1-sim", "--timesteps", 1).status == 0
    assert cli(*words, "--target", "loihi1-sim", "--reset", "zero", "--bits", 5).status == 0
    assert cli(*words, "--target", "loihi2-sim").status == 0
    cli(*words, "--reset", "none").refused("--reset is 'none'", "zero")


# ---------------------------------------------------------------------------------------------------------------- out


def test_a_program_is_replaced_only_by_force(cli: Cli, place: Path) -> None:
    before = (place / "program/program.json").read_bytes()
    cli("build", "tiny.pt", "--out", "program", "--bits", 4).refused("program exists", "--force")
    assert (place / "program/program.json").read_bytes() == before
    assert cli("build", "tiny.pt", "--out", "program", "--bits", 4, "--force", "--quiet").status == 0
    assert Program.load(place / "program").options.bits == 4


@pytest.mark.parametrize("out", ["mine", "file", ".", "..", "/", "file/below", "/proc/nowhere"])
def test_what_is_no_program_is_never_replaced(cli: Cli, place: Path, out: str) -> None:
    (place / "mine").mkdir()
    (place / "mine/precious").write_text("x")
    (place / "file").write_text("x")
    cli("build", "tiny.pt", "--out", out, "--force").refused(out)
    assert (place / "mine/precious").read_text() == (place / "file").read_text() == "x"


def test_a_link_stays_a_link(cli: Cli, place: Path) -> None:
    (place / "link").symlink_to("program")
    (place / "dangling").symlink_to("fresh")
    assert cli("build", "tiny.pt", "--out", "link", "--force", "--bits", 3, "--quiet").status == 0
    assert (place / "link").is_symlink()
    assert Program.load(place / "program").options.bits == 3
    assert cli("build", "tiny.pt", "--out", "dangling", "--quiet").status == 0
    assert Program.load(place / "fresh").name == "tiny"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_folder_that_cannot_be_written(cli: Cli, place: Path) -> None:
    (place / "sealed").mkdir(mode=0o555)
    cli("build", "tiny.pt", "--out", "sealed/p").refused("sealed/p", "nothing can be written in")


def test_full_disk(cli: Cli, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    cli("build", "tiny.pt", "--out", "program", "--force").refused("program: No space left on device")
    monkeypatch.undo()
    assert Program.load(place / "program").options.bits is None
