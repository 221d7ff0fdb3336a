"""``neurocompile export``: files in other formats, whole or not at all."""

from __future__ import annotations

import importlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cli_cases import Result

from neurocompile.backends.export import FORMATS
from neurocompile.backends.export.plain import graph_of

Cli = Callable[..., Result]


def test_json(cli: Cli, place: Path) -> None:
    told = cli("export", "program", "--format", "json", "--out", "x.json", "--json").json
    size = (place / "x.json").stat().st_size
    assert told == {"program": "program", "format": "json", "file": "x.json", "bytes": size, "notes": []}
    integer = graph_of(json.loads((place / "x.json").read_text()), "integer")
    assert integer.hash == cli("inspect", "program", "--json").json["graph_hash"]


def test_sanafe(cli: Cli, place: Path) -> None:
    shown = cli("export", "program", "--format", "sanafe")
    assert shown.status == 0
    first, *notes = shown.out.splitlines()
    assert first.startswith("sanafe: program.yaml (")
    assert notes
    assert all(note.startswith("note: ") for note in notes)
    assert (place / "program.yaml").read_text().startswith("# tiny, compiled for loihi2")
    assert cli("export", "program", "--format", "sanafe", "--force", "--quiet") == Result(0, "", "")


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_says_what_it_lacks(cli: Cli, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A writer that needs a package that is not there, and one that is not part of this version."""
    real = importlib.import_module

    def without(missing: str) -> Callable[..., Any]:
        def find(module: str, *rest: Any) -> Any:
            if module == FORMATS[name].module:
                raise ModuleNotFoundError(name=missing)
            return real(module, *rest)

        return find

    monkeypatch.setattr("importlib.import_module", without("h5py.nothing"))
    cli("export", "program", "--format", name).refused("h5py.nothing, which is missing; pip install h5py")
    monkeypatch.setattr("importlib.import_module", without(FORMATS[name].module))
    cli("export", "program", "--format", name).refused(FORMATS[name].module, "upgrade neurocompile")


def test_refusals(cli: Cli, place: Path) -> None:
    cli("export", "program", "--format", "onnx").refused("--format is 'onnx'; choose one of nir, netx, sanafe, json")
    cli("export", "program").refused("Missing option '--format'")
    cli("export", "nowhere", "--format", "json").refused("nowhere is not a neurocompile program")
    cli("export", "program", "--format", "json", "--out", "no/x").refused("no/x: folder no does not exist; create it")
    cli("export", "program", "--format", "json", "--out", "program").refused("program: is a folder; give the name")
    (place / "x.json").write_text("mine")
    cli("export", "program", "--format", "json", "--out", "x.json").refused(
        "x.json exists; give --force to replace it, or choose another --out"
    )
    assert (place / "x.json").read_text() == "mine"
    cli("export", "program", "--format", "json", "--out", "x.json", "--force", "--quiet")
    assert (place / "x.json").read_text() != "mine"


def test_what_cannot_be_written_leaves_nothing(cli: Cli, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (place / "x.yaml").write_text("mine")
    monkeypatch.setattr("neurocompile.backends.export.sanafe_limits.MOST_SYNAPSES", 5)
    words = ("export", "program", "--format", "sanafe", "--out", "x.yaml", "--force")
    cli(*words).refused("synapses", "limit 5", "export a smaller network")

    def fail(_program: object, path: Path) -> list[str]:
        path.write_text("half")
        raise KeyboardInterrupt

    monkeypatch.setattr("neurocompile.backends.export.sanafe.write_sanafe", fail)
    cli(*words).refused("interrupted; nothing was left behind", status=130)
    assert (place / "x.yaml").read_text() == "mine"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_place_that_is_for_reading_only(cli: Cli, place: Path) -> None:
    (place / "shut").mkdir(mode=0o555)
    cli("export", "program", "--format", "json", "--out", "shut/x.json").refused("nothing can be written in shut")
