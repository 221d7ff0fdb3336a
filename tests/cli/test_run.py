"""``run`` and ``verify``: their results, the files that they take and those that they refuse."""

from __future__ import annotations

import json
import os
import pickle
import re
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from cli_cases import INPUT_SHAPE, TIMESTEPS, Result

from neurocompile.backends.functional import FunctionalBackend
from neurocompile.backends.lava import LavaBackend
from neurocompile.recording import hash_arrays

Cli = Callable[..., Result]
LAVA = LavaBackend().unavailable()
RUN = ("run", "program", "--backend", "reference")


@pytest.fixture
def x(place: Path) -> Any:
    return np.load(place / "x.npy")


def test_json_is_one_object_with_the_promised_keys(cli: Cli, place: Path) -> None:
    result = cli(*RUN, "--input", "x.npy", "--labels", "y.npy", "--save", "out.npz", "--json")
    assert result.err == ""
    ran = result.json
    assert (ran["backend"], ran["samples"]) == ("reference", 6)
    assert 0 <= ran["accuracy"] <= 1
    assert ran["seconds"] > 0
    with np.load(place / "out.npz") as saved:
        events = {name.removeprefix("events/"): saved[name] for name in saved if name.startswith("events/")}
        outputs = {name.removeprefix("outputs/"): saved[name] for name in saved if name.startswith("outputs/")}
    assert {name: array.shape for name, array in outputs.items()} == {"6": (6, 4)}
    assert events["2"].shape == (6, TIMESTEPS, 3, 6, 6)
    assert events["2"].dtype == np.uint8  # a spike or none
    assert set(events) == {"0", "2"}  # the encoder, and the one layer of neurons; what the encoder sends is no spike
    assert 0 < ran["spikes"] == int((events["2"] != 0).sum())
    report = cli("report", "program", "--json").json
    assert report["counters"]["spikes"] * ran["samples"] == pytest.approx(ran["spikes"])
    assert ran["spike_hash"] == hash_arrays(events)
    assert ran["output_hash"] == hash_arrays(outputs)
    assert ran["accuracy"] == float((outputs["6"].argmax(1) == np.load(place / "y.npy")).mean())


def test_the_summary_and_quiet(cli: Cli) -> None:
    result = cli(*RUN, "--input", "x.npy", "--labels", "y.npy")
    assert result.err == ""
    assert re.search(r"accuracy +│ +\d+\.\d\d%", result.out)
    assert cli(*RUN, "--quiet") == Result(0, "", "")


def test_without_input_the_calibration_samples_run(cli: Cli) -> None:
    assert cli(*RUN, "--json").json["samples"] == 6
    assert cli(*RUN, "--limit", 2, "--json").json["samples"] == 2
    cli(*RUN, "--labels", "y.npy").refused("give --input too")


@pytest.mark.parametrize(
    "kind", ["float64", "float16", ">f4", "longdouble", "fortran", "npz", "pt", "bfloat16", "one", "time"]
)
def test_the_same_samples_in_another_form(cli: Cli, x: Any, kind: str) -> None:
    exact = (x * 16).round() / 16  # so that narrower types hold the same numbers
    np.save("exact.npy", exact)
    expected = cli(*RUN, "--input", "exact.npy", "--json").json
    name = "other.npy"
    if kind == "npz":
        name = "other.npz"
        np.savez(name, exact)
    elif kind in ("pt", "bfloat16"):
        name = "other.pt"
        tensor = torch.tensor(exact, requires_grad=True)
        torch.save(tensor if kind == "pt" else tensor.bfloat16(), name)
    elif kind == "fortran":
        np.save(name, np.asfortranarray(exact))
    elif kind == "one":
        np.save(name, exact[:1])
        expected = cli(*RUN, "--input", "exact.npy", "--limit", 1, "--json").json
    elif kind == "time":
        np.save(name, np.repeat(exact[:, None], TIMESTEPS, axis=1))
    else:
        np.save(name, exact.astype(kind))
    found = cli(*RUN, "--input", name, "--json").json
    for key in ("samples", "spikes", "spike_hash", "output_hash"):
        assert found[key] == expected[key], key


@pytest.mark.parametrize("dtype", ["bool", "int64", "uint8"])
def test_whole_numbers_are_samples_too(cli: Cli, x: Any, dtype: str) -> None:
    np.save("w.npy", (x > 0.5).astype(dtype))
    np.save("f.npy", (x > 0.5).astype(float))
    whole, real = (cli(*RUN, "--input", name, "--json").json for name in ("w.npy", "f.npy"))
    assert whole["output_hash"] == real["output_hash"]


def test_what_is_beyond_the_calibrated_range_is_said(cli: Cli, x: Any) -> None:
    np.save("big.npy", x * 1e30)
    assert "were clipped" in cli(*RUN, "--input", "big.npy").err


def _header(shape: tuple[int, ...]) -> bytes:
    text = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()


def _zip(name: str, member: str, content: bytes) -> None:
    with zipfile.ZipFile(name, "w") as archive:
        archive.writestr(member, content)


def _cut(name: str, source: Callable[[str], object]) -> None:
    source(name)
    content = Path(name).read_bytes()
    Path(name).write_bytes(content[: len(content) // 2])


GOOD = np.full((2, *INPUT_SHAPE), 0.5, np.float32)
OBJECTS = np.array([[1, "a"], [None, 2]], object)
BAD_SAMPLES: dict[str, tuple[Callable[[str], object], tuple[str, ...]]] = {
    "shape.npy": (lambda name: np.save(name, np.ones((2, 3, 6, 6))), ("input has shape (2, 3, 6, 6)", "(N, 1, 6, 6)")),
    "steps.npy": (lambda name: np.save(name, np.ones((2, 4, 1, 6, 6))), ("(2, 4, 1, 6, 6)", "(N, 3, 1, 6, 6)")),
    "single.npy": (lambda name: np.save(name, GOOD[0, 0]), ("input has shape (6, 6)",)),
    "flat.npy": (lambda name: np.save(name, np.ones(8)), ("its shape is (8,)",)),
    "scalar.npy": (lambda name: np.save(name, np.array(1.0)), ("its shape is ()",)),
    "none.npy": (lambda name: np.save(name, GOOD[:0]), ("it has no samples",)),
    "text.npy": (lambda name: np.save(name, np.array([["a"]])), ("dtype is <U1",)),
    "complex.npy": (lambda name: np.save(name, GOOD.astype(complex)), ("dtype is complex",)),
    "dates.npy": (lambda name: np.save(name, np.zeros((2, 2), "M8[s]")), ("dtype is datetime64",)),
    "objects.npy": (lambda name: np.save(name, OBJECTS, allow_pickle=True), ("pickled Python objects",)),
    "pickle.npy": (lambda name: Path(name).write_bytes(pickle.dumps(GOOD)), ("pickled Python objects",)),
    "nan.npy": (lambda name: np.save(name, GOOD * np.nan), ("sample 0 (the first is 0) has 36 NaN or infinite",)),
    "inf.npy": (lambda name: np.save(name, GOOD * np.inf), ("sample 0 (the first is 0) has 36 NaN or infinite",)),
    "cut.npy": (lambda name: _cut(name, lambda name: np.save(name, GOOD)), ("not a readable .npy",)),
    "empty.npy": (lambda name: Path(name).write_bytes(b""), ("not a readable .npy",)),
    "header.npy": (lambda name: Path(name).write_bytes(_header((2, 1, 6, 6))[:30]), ("not a readable .npy",)),
    "tera.npy": (lambda name: Path(name).write_bytes(_header((10**12, 1, 6, 6)) + b"x" * 99), ("not a readable .npy",)),
    "minus.npy": (lambda name: Path(name).write_bytes(_header((-2, 1, 6, 6)) + b"x" * 999), ("not a readable .npy",)),
    "two.npz": (lambda name: np.savez(name, a=GOOD, b=GOOD), ("holds 2 arrays (a, b)",)),
    "nil.npz": (lambda name: np.savez(name), ("holds 0 arrays",)),
    "cut.npz": (lambda name: _cut(name, lambda name: np.savez(name, GOOD)), ("not a readable .npz",)),
    "objects.npz": (lambda name: np.savez(name, OBJECTS), ("pickled Python objects",)),
    "tera.npz": (lambda name: _zip(name, "a.npy", _header((10**13, 1, 6, 6))), ("not a readable .npz",)),
    "words.npz": (lambda name: _zip(name, "a.txt", b"hello"), ("a.txt in it is no array",)),
    "module.pt": (lambda name: torch.save(torch.nn.Linear(1, 1), name), ("not a readable .pt",)),
    "dict.pt": (lambda name: torch.save({"x": torch.ones(2)}, name), ("holds a dict",)),
    "junk.pt": (lambda name: Path(name).write_bytes(b"junk"), ("not a readable .pt",)),
    "sparse.pt": (lambda name: torch.save(torch.tensor(GOOD).to_sparse(), name), ("sparse", "save it dense")),
    "meta.pt": (lambda name: torch.save(torch.ones(2, device="meta"), name), ("on meta",)),
    "wide.pt": (lambda name: torch.save(torch.zeros(1).expand(10**12, 1, 6, 6), name), ("holds fewer",)),
    "words.txt": (lambda name: Path(name).write_text("1"), ("give .npy, .npz (one array), .pt",)),
    "ending": (lambda name: Path(name).write_text("1"), ("give .npy, .npz (one array), .pt",)),
    "folder.npy": (lambda name: Path(name).mkdir(), ("is an empty folder",)),
    "missing.npy": (lambda name: None, ("no such file",)),  # noqa: ARG005
}


@pytest.mark.parametrize("name", BAD_SAMPLES)
def test_samples_that_are_refused(cli: Cli, name: str) -> None:
    make, parts = BAD_SAMPLES[name]
    make(name)
    cli(*RUN, "--input", name, "--json").refused(f"{name}: ", *parts)


@pytest.mark.parametrize(
    ("labels", "parts"),
    [
        (np.arange(3), ("3 labels for 6 samples",)),
        (np.full(6, -1), ("labels range from -1 to -1", "from 0 to 3")),
        (np.full(6, 4), ("labels range from 4 to 4", "4 outputs")),
        (np.full(6, 2**64 - 1, np.uint64), ("labels range from 18446744073709551615",)),
        (np.zeros(6), ("float64", "give integers")),
        (np.zeros(6, bool), ("bool", "give integers")),
        (np.zeros((6, 1), int), ("(6, 1)", "give integers")),
    ],
)
@pytest.mark.parametrize("command", ["run", "verify"])
def test_labels_are_refused_before_anything_runs(
    cli: Cli, labels: Any, parts: tuple[str, ...], command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("neurocompile.backends.reference.interpret", lambda *_, **__: pytest.fail("it ran"))
    np.save("l.npy", labels)
    cli(command, "program", "--input", "x.npy", "--labels", "l.npy", "--json").refused(*parts)


def test_a_folder_is_one_data_set(cli: Cli, place: Path, x: Any) -> None:
    for name, start, stop in (("x2", 0, 3), ("x10", 3, 5), ("x11", 5, 6)):
        (place / "xs").mkdir(exist_ok=True)
        (place / "ys").mkdir(exist_ok=True)
        np.save(place / "xs" / name, x[start:stop])
        np.save(place / "ys" / name, np.load(place / "y.npy")[start:stop])
    for backend in ("functional", "reference"):
        words = ("run", "program", "--backend", backend, "--json")
        found = cli(*words, "--input", "xs", "--labels", "ys").json
        expected = cli(*words, "--input", "x.npy", "--labels", "y.npy").json
        assert found | {"seconds": 0} == expected | {"seconds": 0}
    assert cli(*RUN, "--input", "xs", "--labels", "ys", "--limit", 4, "--json").json["samples"] == 4
    cli(*RUN, "--input", "xs", "--labels", "y.npy", "--limit", 5, "--quiet")
    assert cli("report", "program", "--json").json["activity"]["data"] == "5 samples of xs"
    assert cli("report", "program", "--input", "xs", "--limit", 4, "--json").json["activity"]["samples"] == 4
    (place / "xs/x3.txt").touch()
    cli(*RUN, "--input", "xs").refused("xs: 'x3.txt' in it is no .npy file")


def test_a_nan_far_into_the_data_leaves_nothing(cli: Cli, place: Path, x: Any) -> None:
    many = np.resize(x, (2000, *INPUT_SHAPE))
    many[1234, 0, 0, 0] = np.nan
    np.save("many.npy", many)
    before = {path: path.read_bytes() for path in (place / "program").iterdir()}
    for backend in ("functional", "reference"):
        cli("run", "program", "--backend", backend, "--input", "many.npy", "--save", "out.npz").refused(
            "many.npy: sample 1234 (the first is 0) has 1 NaN or infinite values; repair the data"
        )
    assert {path: path.read_bytes() for path in (place / "program").iterdir()} == before
    assert not (place / "out.npz").exists()
    assert cli(*RUN, "--input", "many.npy", "--limit", 1234, "--json").json["samples"] == 1234


@pytest.mark.parametrize("size", ["200MiB", "0.5 GB", "300000000", "1gib"])
def test_the_functional_engine_is_the_default_and_takes_a_bound(cli: Cli, size: str) -> None:
    words = ("--input", "x.npy", "--labels", "y.npy", "--json")
    expected = cli(*RUN, *words).json
    found = cli("run", "program", "--memory", size, "--save", "out.npz", *words).json
    assert found["backend"] == "functional"
    for key in ("samples", "accuracy", "spikes", "spike_hash", "output_hash"):
        assert found[key] == expected[key]
    with np.load("out.npz") as saved:
        assert found["spike_hash"] == hash_arrays(
            {name.removeprefix("events/"): saved[name] for name in saved if name.startswith("events/")}
        )


def test_a_bound_that_holds_no_sample(cli: Cli) -> None:
    cli("run", "program", "--memory", "1000").refused("one sample of 3 time steps needs", "give --memory")


def test_explain(cli: Cli) -> None:
    kernels = cli("run", "program", "--explain", "--json").json["kernels"]
    assert {row["layer"] for row in kernels} >= {"1", "5"}
    assert all(row["why"] for row in kernels)
    shown = cli("run", "program", "--explain")
    assert "kernels of the functional engine" in shown.out
    assert "kernels" not in cli("run", "program", "--json").json


def test_without_torch_or_numba_the_interpreter_runs(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FunctionalBackend, "unavailable", lambda _: "numba is missing; install it")
    assert cli("run", "program", "--json").json["backend"] == "reference"
    cli("run", "program", "--backend", "functional").refused("numba is missing")
    cli("run", "program", "--memory", "1GiB").refused("--memory is for the functional engine")


def test_a_limit_cuts_samples_and_labels(cli: Cli) -> None:
    np.save("l.npy", np.array([0, 1, 2, 99]))
    assert cli(*RUN, "--input", "x.npy", "--labels", "l.npy", "--limit", 3, "--json").json["samples"] == 3
    cli(*RUN, "--limit", 0).refused("--limit")


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (("--backend", "lavva"), ("'lavva'", "functional, reference or lava")),
        (("--memory", "2GiB"), ("--memory is for the functional engine", "reference")),
        (("--explain",), ("the reference engine has no kernels",)),
        *(
            (("--memory", size), (repr(size), "such as 500MB or 2GiB"))
            for size in ("0", "0.0001KB", "-1GB", "2XB", "GiB", "two", "1e9", "")
        ),
        (("--save", "nowhere/out.npz"), ("folder nowhere does not exist",)),
        (("--save", "out.txt"), ("give a file that ends in .npz",)),
        (("--save", "dir.npz"), ("dir.npz: is a folder",)),
    ],
)
def test_flags_are_refused_before_anything_runs(
    cli: Cli, words: tuple[str, ...], parts: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("neurocompile.backends.reference.interpret", lambda *_, **__: pytest.fail("it ran"))
    Path("dir.npz").mkdir()
    cli(*RUN, *words).refused(*parts)


def test_a_run_is_recorded_for_the_report(cli: Cli) -> None:
    cli(*RUN, "--input", "x.npy", "--limit", 2)
    assert cli("report", "program", "--json").json["activity"]["data"] == "2 samples of x.npy"


def test_program_for_reading_only_still_runs(cli: Cli, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {path: path.read_bytes() for path in (place / "program").iterdir()}

    def sealed(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.mkdtemp", sealed)
    result = cli(*RUN, "--json")
    assert result.json["recorded"] is False
    assert result.err.startswith("note: program cannot be written")
    assert {path: path.read_bytes() for path in (place / "program").iterdir()} == before


@pytest.mark.lava
@pytest.mark.skipif(LAVA is not None, reason=str(LAVA))
def test_lava_agrees(cli: Cli) -> None:
    lava = cli("run", "program", "--backend", "lava", "--input", "x.npy", "--limit", 3, "--json").json
    reference = cli(*RUN, "--input", "x.npy", "--limit", 3, "--json").json
    assert lava["backend"] == "lava"
    for key in ("samples", "spikes", "spike_hash", "output_hash"):
        assert lava[key] == reference[key]


# --------------------------------------------------------------------------------------------------- damaged programs


def _edit(**changes: Any) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        document = json.loads((folder / "program.json").read_text())
        document.update(changes)
        (folder / "program.json").write_text(json.dumps(document))

    return edit


def _write(name: str, content: bytes | None) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        (folder / name).unlink()
        if content is not None:
            (folder / name).write_bytes(content)

    return write


def _halve(name: str) -> Callable[[Path], None]:
    def halve(folder: Path) -> None:
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: len(content) // 2])

    return halve


DAMAGES: dict[str, tuple[Callable[[Path], object], tuple[str, ...]]] = {
    "no such folder": (shutil.rmtree, ("is not a neurocompile program", "give the folder that build made")),
    "no program.json": (_write("program.json", None), ("is not a neurocompile program",)),
    "no tensors": (_write("tensors.safetensors", None), ("is missing", "build the program again")),
    "program.json is cut": (_halve("program.json"), ("is not JSON", "build the program again")),
    "program.json is empty": (_write("program.json", b""), ("is not JSON",)),
    "program.json is deep": (_write("program.json", b"[" * 200_000), ("is not JSON",)),
    "program.json is a list": (_write("program.json", b"[]"), ("holds a list",)),
    "program.json is not text": (_write("program.json", b"\xff\xfe\0x"), ("is not JSON",)),
    "tensors are cut": (_halve("tensors.safetensors"), ("is damaged",)),
    "tensors are empty": (_write("tensors.safetensors", b""), ("is damaged",)),
    "newer": (_edit(version=3), ("format version 3", "reads 1 to 2", "upgrade")),
    "another format": (_edit(format="x"), ("its format is 'x'",)),
    "another hash": (_edit(hashes={"trained": "0", "integer": "0"}), ("not what its hash says",)),
    "other phases": (_edit(phases={}), ("'phases' is not what the build wrote",)),
    "more keys": (_edit(more=1), ("'more' is not what the build wrote",)),
    "another name": (_edit(name=["x"]), ("the network's name is",)),
    "other options": (_edit(options={"bits": 12, "reset_zero": False}), ("bits is 12",)),
    "no mapping": (_edit(mapping={}), ("mapping",)),
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("command", ["run", "report"])
def test_program_that_is_refused(cli: Cli, place: Path, damage: str, command: str) -> None:
    harm, parts = DAMAGES[damage]
    harm(place / "program")
    cli(command, "program", "--json").refused("program", *parts)


@pytest.mark.parametrize(
    "damage", [_halve("activity.json"), _halve("activity.safetensors"), _write("activity.safetensors", None)]
)
def test_damaged_record_of_a_run(cli: Cli, place: Path, damage: Callable[[Path], None]) -> None:
    damage(place / "program")
    cli("report", "program", "--json").refused("program/activity", "run the network")
    assert cli(*RUN, "--quiet").status == 0
    assert cli("report", "program", "--quiet").status == 0


def test_no_record_of_a_run(cli: Cli, place: Path) -> None:
    (place / "program/activity.json").unlink()
    cli("report", "program").refused("no run is recorded", "--input")
    assert cli("report", "program", "--input", "x.npy", "--quiet").status == 0


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_folder_that_is_sealed(cli: Cli, place: Path) -> None:
    (place / "program").chmod(0o555)
    assert cli(*RUN, "--json").json["recorded"] is False
    (place / "program").chmod(0o755)
