"""The chip that docs/profiles.md makes up, added in one file: its blocks are taken from the page and used."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
from cli_cases import Result

from neurocompile.hardware import Profile, load_profile
from neurocompile.resources import list_profiles

PAGE = (Path(__file__).parents[2] / "docs/profiles.md").read_text(encoding="utf-8")
Cli = Callable[..., Result]


@pytest.fixture
def files(place: Path) -> Path:
    """Every YAML block of the page, under the name in its first line."""
    blocks = re.findall(r"```yaml\n# (\S+)\n(.*?)```", PAGE, re.DOTALL)
    assert [name for name, _ in blocks] == ["pebble.yaml", "pebble-target.yaml"]
    for name, text in blocks:
        (place / name).write_text(text, encoding="utf-8")
    return place


@pytest.mark.usefixtures("files")
def test_the_commands_of_the_page(cli: Cli) -> None:
    (block,) = re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL)
    check, build, report, compare = (shlex.split(line)[1:] for line in block.splitlines())
    checked = cli(*check)
    assert (checked.status, checked.err) == (0, "")
    assert cli(*check, "--json").json["wanted"] == {
        "energy": ["noc.hop_north_south.energy_pj"],
        "latency": [],
        "cycle_engine": [],
    }
    built = cli(*build, "--json").json
    assert (built["profile"], built["cores"]) == ("pebble", 2)
    reported = cli(*report, "--json").json
    assert reported["complete"] is True
    assert reported["energy_pj"]["total"] > 0
    assert reported["weakest_basis"] == "measured"
    assert "Every number is made up" in cli(*report).out
    compared = cli(*compare, "--json").json
    assert [each["profile"] for each in compared["reports"]] == ["pebble", "loihi2", "cmos45-int32"]


def test_the_page_names_every_section() -> None:
    (table,) = re.findall(r"## The sections\n(.*?)\n## ", PAGE, re.DOTALL)
    for field in Profile.model_fields:
        assert f"`{field}`" in table or field == "note", field


def test_the_readers_files_are_not_shipped(files: Path) -> None:
    assert "pebble" not in list_profiles()
    assert load_profile(files / "pebble.yaml").notes[0].startswith("Every number is made up")
