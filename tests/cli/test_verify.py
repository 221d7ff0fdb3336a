"""``verify``: the drift report as a user meets it. tests/test_verification.py has its numbers."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cli_cases import Result

from neurocompile.backends.functional import FunctionalBackend
from neurocompile.backends.lava import LavaBackend
from neurocompile.ir.graph import Graph
from neurocompile.ir.interpret import Trace

Cli = Callable[..., Result]
LAVA = LavaBackend().unavailable()
VERIFY = ("verify", "program", "--input", "x.npy", "--labels", "y.npy")


@pytest.fixture
def no_lava(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LavaBackend, "unavailable", lambda _: "not today")


@pytest.mark.usefixtures("no_lava")
def test_json_is_one_object_that_the_program_keeps(cli: Cli, place: Path) -> None:
    result = cli(*VERIFY, "--json")
    assert (result.status, result.err) == (0, "")
    drift = result.json
    assert drift.pop("recorded") is True
    assert json.loads((place / "program/drift.json").read_text()) == drift
    assert (drift["format"], drift["program"]) == ("neurocompile.drift/1", "program")
    assert (drift["samples"], drift["data"], drift["bits"]) == (6, "6 samples of x.npy", 8)
    assert {name: engine["state"] for name, engine in drift["engines"].items()} == {
        "functional": "equal",
        "chip time": "equal",
        "lava": "unavailable",
    }
    assert [layer["name"] for layer in drift["layers"]] == ["2"]
    for layer in drift["layers"]:
        assert layer["agreement"] > 0.9
    assert 0 <= drift["accuracy_float"] <= 1
    assert 0 <= drift["accuracy_integer"] <= 1
    assert [row["layer"] for row in drift["depth"]["rows"]] == ["(none)", "2", "6"]
    assert sorted({variant["bits"] for variant in drift["widths"]["variants"]}) == [2, 3, 4, 6, 8]
    assert cli("report", "program", "--quiet").status == 0  # a program with a drift report is one still


@pytest.mark.usefixtures("no_lava")
def test_what_the_terminal_shows(cli: Cli) -> None:
    shown = cli(*VERIFY, "--bits", 8)
    assert (shown.status, shown.err) == (0, "")
    for part in (
        "float against integer, 6 samples of x.npy",
        "accuracy by weight bits",
        "lava: unavailable, not today",
    ):
        assert part in shown.out
    assert cli("verify", "program", "--quick", "--quiet") == Result(0, "", "")


@pytest.mark.usefixtures("no_lava")
def test_quick_and_limits(cli: Cli) -> None:
    drift = cli(*VERIFY, "--quick", "--exact-limit", 2, "--limit", 3, "--json").json
    assert drift["depth"] is drift["widths"] is None
    assert (drift["samples"], drift["engines"]["functional"]["samples"]) == (3, 2)
    drift = cli(*VERIFY, "--bits", "8,1", "--sweep-limit", 5, "--json").json
    assert drift["widths"]["samples"] == 5
    assert {variant["bits"] for variant in drift["widths"]["variants"]} == {8, 1}
    assert sum(variant["own"] for variant in drift["widths"]["variants"]) == 1


@pytest.mark.usefixtures("no_lava")
def test_status_1_where_an_engine_differs(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("neurocompile.verification.first_difference", lambda *_: "2 sends 1 and not 0")
    result = cli("verify", "program", "--quick", "--json")
    assert result.status == 1
    assert result.json["engines"]["functional"]["state"] == "differs"
    shown = cli("verify", "program", "--quick")
    assert shown.status == 1
    assert "functional: differs" in shown.out
    assert cli("verify", "program", "--quick", "--quiet") == Result(1, "", "")


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        *((("--bits", bits), ("--bits", repr(bits), "each once")) for bits in ("0", "9", "8,x", "8,8", "8,", "", "-1")),
        (("--quick", "--bits", "8"), ("--quick", "--bits")),
        (("--quick", "--sweep-limit", 5), ("--quick", "--sweep-limit")),
        (("--exact-limit", 0), ("--exact-limit",)),
        (("--sweep-limit", 0), ("--sweep-limit",)),
    ],
)
def test_flags_are_refused_before_anything_runs(
    cli: Cli, words: tuple[object, ...], parts: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("neurocompile.program.Program.load", lambda _: pytest.fail("it began"))
    cli(*VERIFY, *words).refused(*parts)


@pytest.mark.usefixtures("no_lava")
def test_program_for_reading_only_is_verified_all_the_same(
    cli: Cli, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sealed(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("neurocompile.commands.write_whole", sealed)
    result = cli(*VERIFY, "--quick", "--json")
    assert result.status == 0
    assert result.json["recorded"] is False
    assert result.err.startswith("note: program cannot be written")
    assert not (place / "program/drift.json").exists()


@pytest.mark.usefixtures("no_lava")
def test_a_folder_of_samples_is_never_read_whole(cli: Cli, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = cli(*VERIFY, "--bits", 8, "--json").json
    (place / "parts").mkdir()
    x = np.load(place / "x.npy")
    np.save(place / "parts/x1.npy", x[:4])
    np.save(place / "parts/x2.npy", x[4:])
    monkeypatch.setattr("neurocompile.samples.DataSet.__array__", lambda *_: pytest.fail("it was"))
    monkeypatch.setattr("neurocompile.verification._PART_BYTES", 1)
    monkeypatch.setattr("neurocompile.verification._EXACT_SAMPLES", 2)
    parts = cli("verify", "program", "--input", "parts", "--labels", "y.npy", "--bits", 8, "--json").json
    assert [engine.pop("samples") for engine in parts["engines"].values()] == [2, 2, 0]
    assert [engine.pop("samples") for engine in whole["engines"].values()] == [6, 6, 0]
    assert {**parts, "data": whole["data"]} == whole


@pytest.mark.usefixtures("no_lava")
def test_an_interruption_leaves_the_last_report_alone(cli: Cli, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (place / "program/drift.json").write_text("the last")
    batches = FunctionalBackend.batches

    def interrupted(self: FunctionalBackend, graph: Graph, *words: Any, **options: Any) -> Iterator[Trace]:
        yield next(batches(self, graph, *words, **options))
        raise KeyboardInterrupt

    monkeypatch.setattr(FunctionalBackend, "batches", interrupted)
    cli(*VERIFY, "--json").refused("interrupted", status=130)
    assert (place / "program/drift.json").read_text() == "the last"


@pytest.mark.lava
@pytest.mark.skipif(LAVA is not None, reason=str(LAVA))
def test_lava_is_compared_too(cli: Cli) -> None:
    engines = cli("verify", "program", "--limit", 2, "--quick", "--json").json["engines"]
    assert {name: engine["state"] for name, engine in engines.items()} == {
        "functional": "equal",
        "chip time": "equal",
        "lava": "equal",
    }
