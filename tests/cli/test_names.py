"""Names from outside, whatever is in them, steer no terminal, run in no page and break no file."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from cli_cases import Result

Cli = Callable[..., Result]
#: a colour, a bell, a turned direction, a line break, markup of three kinds, and a byte that is no character
EVIL = "x\x1b[31m\x07\u202egnp\n[bold]|`<script>alert(1)<script>=1+1\udcff"

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="file names are bytes on Linux alone")


@pytest.fixture
def folder(place: Path) -> Path:
    """The program, in a folder of such a name."""
    shutil.copytree(place / "program", place / EVIL / "program")
    shutil.copy(place / "x.npy", place / f"{EVIL}.npy")
    return place / EVIL / "program"


def harmless(text: str) -> bool:
    """There is nothing in it but characters that are seen, spaces and line ends."""
    return all(each.isprintable() or each == "\n" for each in text)


def test_in_a_terminal(cli: Cli, folder: Path) -> None:
    ran = cli("run", folder, "--input", f"{EVIL}.npy", "--backend", "cycle")
    report, compared = cli("report", folder), cli("compare", folder, folder)
    verified = cli("verify", folder, "--input", f"{EVIL}.npy", "--quick")
    for result in (ran, report, compared, verified):
        assert (result.status, result.err) == (0, "")
        assert harmless(result.out)
    assert r"samples of x\x1b[31m\x07\u202egnp\n[bold]|`<script>" in report.out.replace("\n", "")
    assert cli("report", folder, "--json").json["activity"]["data"].endswith(r"=1+1\udcff.npy")


def test_in_files(cli: Cli, folder: Path, place: Path) -> None:
    cli("run", folder, "--input", f"{EVIL}.npy", "--backend", "cycle")
    cli("verify", folder, "--input", f"{EVIL}.npy", "--quick")
    for command in (("report", folder), ("compare", folder, folder)):
        done = cli(*command, "--html", "a.html", "--csv", "a.csv", "--markdown", "a.md", "--quiet")
        assert done == Result(0, "", "")
        for name in ("a.html", "a.csv", "a.md"):
            text = (place / name).read_text(encoding="utf-8")
            assert r"\u202egnp" in text
            assert harmless(text.replace("\xa0", " "))
            assert name == "a.csv" or "<script>alert" not in text
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "alert(1)&lt;script&gt;" in page
    assert json.loads((folder / "report.json").read_text())["activity"]["samples"] == 6


def test_in_refusals(cli: Cli, folder: Path, place: Path) -> None:
    (place / f"{EVIL}.yaml").write_bytes(b"name: \xff")
    (folder / "tensors.safetensors").unlink()
    for words in (("report", folder), ("profiles", "check", f"./{EVIL}.yaml"), ("compare", EVIL), ("profiles", EVIL)):
        assert harmless(cli(*words).refused("x", r"[31m\x07\u202egnp"))
