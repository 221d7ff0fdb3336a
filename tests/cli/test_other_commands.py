"""``report``, ``compare``, ``inspect``, ``profiles``, ``targets``, ``doctor``, and the command line itself."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from cli_cases import Result

from neurocompile.backends.lava import LavaBackend
from neurocompile.errors import BackendError
from neurocompile.resources import list_profiles, list_targets

Cli = Callable[..., Result]
REPORT_KEYS = {"profile", "complete", "missing", "weakest_basis", "energy_pj", "latency_ns", "layers"}
COMMANDS = ("build", "run", "verify", "report", "compare", "inspect", "export", "profiles", "targets", "doctor")


def test_report(cli: Cli, place: Path) -> None:
    report = cli("report", "program", "--html", "r.html", "--json").json
    assert report.keys() >= REPORT_KEYS
    assert report["profile"] == "loihi2"
    assert report == json.loads((place / "program/report.json").read_text())
    assert (place / "r.html").read_bytes() == (place / "program/report.html").read_bytes()
    shown = cli("report", "program")
    assert "tiny on loihi2, 3 time steps" in shown.out
    assert cli("report", "program", "--quiet") == Result(0, "", "")


def test_report_of_other_samples_and_another_chip(cli: Cli) -> None:
    report = cli("report", "program", "--input", "x.npy", "--limit", 2, "--profile", "cmos45-int32", "--json").json
    assert report["profile"] == "cmos45-int32"
    assert report["activity"]["data"] == "2 samples of x.npy"
    cli("report", "program", "--profile", "loihi3").refused("did you mean loihi2")
    cli("report", "program", "--profile", "loihi1-davies2018").refused("2: ", "subtracts")
    cli("report", "program", "--html", "nowhere/r.html").refused("folder nowhere does not exist")


def test_compare(cli: Cli) -> None:
    words = ("compare", "program", "--profiles", "loihi2", "cmos45-int32")
    compared = cli(*words, "--json").json
    assert [report["profile"] for report in compared["reports"]] == ["loihi2", "cmos45-int32"]
    assert all(report.keys() >= REPORT_KEYS for report in compared["reports"])
    shown = cli(*words)
    assert "loihi2" in shown.out
    assert cli(*words, "--quiet") == Result(0, "", "")
    assert (
        cli("compare", "program", "program", "--profiles", "loihi2", "--json").json["reports"][1]["profile"] == "loihi2"
    )
    assert [report["profile"] for report in cli("compare", "program", "--json").json["reports"]] == ["loihi2"]


def test_compare_shows_why_a_chip_cannot_hold_the_network(cli: Cli) -> None:
    words = ("compare", "program", "--profiles", "loihi1-davies2018", "loihi2")
    refused, fine = cli(*words, "--json").json["reports"]
    assert "subtracts" in refused["error"]
    assert refused.keys() >= REPORT_KEYS
    assert (refused["complete"], refused["layers"]) == (False, [])
    assert fine["complete"] in (True, False)
    assert "does not fit" in cli(*words).out


def test_compare_refuses(cli: Cli) -> None:
    cli("compare", "program", "--profiles", "loihi9").refused("loihi9")
    cli("compare", "program", "nowhere").refused("nowhere is not a neurocompile program")
    cli("compare").refused("Missing argument")
    cli("compare", "program", "--profiles").refused("--profiles")


def test_accuracy_is_recorded_by_a_run_with_labels(cli: Cli) -> None:
    assert cli("report", "program", "--json").json["accuracy"] is None
    ran = cli("run", "program", "--input", "x.npy", "--labels", "y.npy", "--json").json
    assert cli("report", "program", "--json").json["accuracy"] == ran["accuracy"]
    here, elsewhere = cli("compare", "program", "--profiles", "loihi2", "cmos45-int32", "--json").json["reports"]
    assert here["accuracy"] == ran["accuracy"]
    assert elsewhere["accuracy"] is None  # its widths may give other outputs
    assert any(
        "not this chip's; give --input and --labels to count them with these" in note for note in elsewhere["notes"]
    )
    words = ("--profiles", "loihi2", "cmos45-int32", "--input", "x.npy", "--labels", "y.npy", "--json")
    compared = cli("compare", "program", *words).json
    assert [report["accuracy"] is None for report in compared["reports"]] == [False, False]
    assert cli("report", "program", *words[3:]).json["accuracy"] == ran["accuracy"]
    cli("run", "program", "--input", "x.npy", "--json")
    assert cli("report", "program", "--json").json["accuracy"] is None
    cli("report", "program", "--labels", "y.npy").refused("--labels y.npy needs the samples that they belong to")


def test_compare_goes_on_where_a_column_fails(cli: Cli, place: Path) -> None:
    shutil.copytree(place / "program", place / "silent")
    (place / "silent/activity.json").unlink()
    fine, failed = cli("compare", "program", "silent", "--json").json["reports"]
    assert fine["energy_pj"]["total"] > 0
    assert (failed["refusal"], failed["folder"]) == ("failed", "silent")
    assert "silent: no run is recorded" in failed["error"]
    assert "silent: no run is recorded" in " ".join(cli("compare", "program", "silent").out.split())
    cli("compare", "silent").refused("silent: no run is recorded")
    cli("compare", "silent", "silent", "--profiles", "loihi2", "cmos45-int32").refused("silent: no run is recorded")


@pytest.mark.parametrize("words", [("report", "program"), ("compare", "program", "--profiles", "loihi2", "odin")])
def test_all_files_hold_what_is_printed(cli: Cli, place: Path, words: tuple[str, ...]) -> None:
    files = ("--html", "a.html", "--csv", "a.csv", "--markdown", "a.md")
    plain = cli(*words, *files, "--json").json
    energies = {report["energy_pj"]["total"] for report in plain.get("reports", [plain])}
    text = (place / "a.csv").read_text()
    assert all(repr(energy) in text for energy in energies if energy is not None)
    assert (place / "a.html").read_text().startswith("<!doctype html>")
    assert (place / "a.md").read_text().startswith("# ")
    before = {name: (place / name).read_bytes() for name in files[1::2]}
    assert cli(*words, *files, "--quiet") == Result(0, "", "")
    assert {name: (place / name).read_bytes() for name in files[1::2]} == before


@pytest.mark.parametrize("command", ["report", "compare"])
def test_no_file_is_written_where_one_cannot_be(cli: Cli, place: Path, command: str) -> None:
    cli(command, "program", "--csv", "a.csv", "--markdown", "nowhere/a.md").refused("folder nowhere does not exist")
    cli(command, "program", "--csv", "a.csv", "--html", "program").refused("program: is a folder")
    cli(command, "program", "--csv", "a.csv", "--html", "./a.csv").refused(
        "--html and --csv are both", "give each a file of its own"
    )
    assert not (place / "a.csv").exists()


def test_no_colour(place: Path) -> None:
    """Not where it is not wanted, nor in a pipe; all is said in words and shapes anyhow."""
    for variables, escapes in (
        ({}, False),
        ({"FORCE_COLOR": "1"}, True),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
    ):
        shown = subprocess.run(
            [sys.executable, "-m", "neurocompile", "compare", "program"],
            capture_output=True, text=True, check=True, cwd=place, timeout=60,
            env={"PYTHONIOENCODING": "utf-8", "PATH": "", "PYTHONPATH": os.environ.get("PYTHONPATH", ""), **variables},
        ).stdout  # fmt: skip
        assert bool(re.search(r"\x1b\[[0-9;]*3[0-9]", shown)) is escapes


@pytest.mark.parametrize("stage", ["trained", "integer", "mapped"])
def test_inspect(cli: Cli, stage: str) -> None:
    inspected = cli("inspect", "program", "--stage", stage, "--json").json
    assert inspected["text"].startswith("graph tiny stage=")
    shown = cli("inspect", "program", "--stage", stage)
    assert shown.out == f"{inspected['text']}; hash {inspected['graph_hash']}\n"
    assert cli("inspect", "program", "--quiet") == Result(0, "", "")
    cli("inspect", "program", "--stage", "final").refused("'final'", "trained, integer, mapped")


def test_profiles_and_targets(cli: Cli) -> None:
    assert [each["name"] for each in cli("profiles", "--json").json["profiles"]] == list_profiles()
    assert [each["name"] for each in cli("targets", "--json").json["targets"]] == list_targets()
    assert cli("profiles", "loihi2", "--json").json["profiles"][0]["name"] == "loihi2"
    assert "loihi2-sim" in cli("targets").out
    assert "loihi2" in cli("profiles", "loihi2").out
    assert cli("profiles", "--quiet") == cli("targets", "--quiet") == Result(0, "", "")


def test_doctor(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LavaBackend, "unavailable", lambda _: None)
    examined = cli("doctor", "--json").json
    assert {"python", "torch", "profile loihi2", "target loihi2-sim"} <= {each["name"] for each in examined["checks"]}
    assert "ok   python" in cli("doctor").out
    monkeypatch.setattr(LavaBackend, "unavailable", lambda _: "it is not installed")
    ill = cli("doctor", "--json")
    assert ill.status == 1
    assert ill.json["healthy"] is False
    assert "FAIL lava backend: it is not installed; install what is missing above" in cli("doctor").out


# --------------------------------------------------------------------------------------------- the command line itself


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (("nonsense",), ("No such command 'nonsense'",)),
        (("run",), ("Missing argument",)),
        (("run", "program", "--nonsense"), ("--nonsense",)),
        (("build", "tiny.pt", "--bits", "many"), ("--bits",)),
        (("run", "program", "--limit", "-3"), ("--limit",)),
    ],
)
def test_wrong_words(cli: Cli, words: tuple[str, ...], parts: tuple[str, ...]) -> None:
    cli(*words).refused(*parts, "see --help")


def test_help_and_version(cli: Cli) -> None:
    shown = cli("--help")
    assert (shown.status, shown.err) == (0, "")
    assert all(command in shown.out for command in COMMANDS)
    assert cli() == shown
    assert cli("--version").out.count(".") == 2


def test_debug_shows_where_an_error_came_from(cli: Cli) -> None:
    result = cli("run", "nowhere", "--debug")
    assert result.status == 2
    assert result.err.startswith("Traceback")
    assert result.err.splitlines()[-1].startswith("error: nowhere is not")


def test_faults_of_ours_end_with_1(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("by\nzero")

    monkeypatch.setattr("neurocompile.commands.inspect", fail)
    cli("inspect", "program").refused("a fault of neurocompile: ZeroDivisionError: by zero", "--debug", status=1)
    monkeypatch.setattr("neurocompile.commands.inspect", lambda *_: (_ for _ in ()).throw(BackendError("a \x1b[31m b")))
    assert cli("inspect", "program").refused(status=1) == "error: a \\x1b[31m b\n"
    monkeypatch.setattr("neurocompile.commands.inspect", lambda *_: (_ for _ in ()).throw(MemoryError))
    cli("inspect", "program").refused("not enough memory")


def test_narrow_terminal_and_plain_encoding(place: Path) -> None:
    for command in (["report", "program"], ["compare", "program", "--profiles", "loihi2", "cmos45-int32"]):
        result = subprocess.run(
            [sys.executable, "-m", "neurocompile", *command],
            capture_output=True, text=True, check=True, cwd=place, timeout=60,
            env={**os.environ, "COLUMNS": "60", "PYTHONIOENCODING": "utf-8"},
        )  # fmt: skip
        assert max(map(len, result.stdout.splitlines())) <= 60
    result = subprocess.run(
        [sys.executable, "-m", "neurocompile", "report", "program"],
        capture_output=True, text=True, check=True, cwd=place, timeout=60,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )  # fmt: skip
    assert result.stderr == ""


@pytest.mark.parametrize("closed", [["stdout"], ["stderr"], ["stdout", "stderr"]])
def test_nobody_listens(cli: Cli, monkeypatch: pytest.MonkeyPatch, closed: list[str]) -> None:
    """Where a stream is closed from the beginning, Python has None for it."""
    for words, status in ((["report", "program"], 0), (["report", "program", "--json"], 0), (["report", "none"], 2)):
        for name in closed:
            monkeypatch.setattr(sys, name, None)
        result = cli(*words)
        assert result.status == status
        assert bool(result.out) == (status == 0 and "stdout" not in closed)
        assert bool(result.err) == (status == 2 and "stderr" not in closed)


@pytest.mark.parametrize("command", [["profiles", "--json"], ["report", "program"]])
def test_a_reader_that_has_seen_enough(place: Path, command: list[str]) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "neurocompile", *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=place
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait(60) == 0


LIGHT = """
import sys, neurocompile.cli
for words in {words}:
    try:
        neurocompile.cli.main(words)
    except SystemExit as end:
        assert end.code == 0, (words, end.code)
heavy = [name for name in ("torch", "lava", "networkx", "scipy") if name in sys.modules]
assert not heavy, heavy
"""


def test_help_is_light_and_quick(place: Path) -> None:
    words = [["--help"], ["--version"], *([command, "--help"] for command in COMMANDS)]
    subprocess.run(
        [sys.executable, "-c", LIGHT.format(words=words)], check=True, cwd=place, timeout=60, stdout=subprocess.DEVNULL
    )
    begin = time.monotonic()
    subprocess.run([sys.executable, "-m", "neurocompile", "--help"], check=True, cwd=place, stdout=subprocess.DEVNULL)
    assert time.monotonic() - begin < 5  # 0.1 s on an idle machine


def test_the_python_way(place: Path) -> None:
    """As the README has it; in a process of its own, since what is imported when is part of it."""
    code = """
import neurocompile, torch
from usernets import tiny
program = neurocompile.compile(tiny(), torch.rand(4, 1, 6, 6), timesteps=5, target="loihi2-sim")
program.save("mine")
again = neurocompile.Program.load("mine")
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=place, timeout=60, stdout=subprocess.DEVNULL)
    assert (place / "mine/program.json").is_file()
    assert np.load(place / "x.npy").shape[1:] == (1, 6, 6)
