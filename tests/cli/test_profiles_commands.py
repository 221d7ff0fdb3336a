"""``profiles``: list, show, check, diff, schema."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from cli_cases import Result

from neurocompile.hardware import json_schema
from neurocompile.resources import list_profiles, profiles_folder

Cli = Callable[..., Result]


def mine(folder: Path, *changes: tuple[str, str], name: str = "odin") -> Path:
    """A profile of the user's: a shipped one with some text replaced."""
    text = (profiles_folder() / f"{name}.yaml").read_text(encoding="utf-8")
    for old, new in changes:
        assert text.count(old) == 1
        text = text.replace(old, new)
    path = folder / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_list(cli: Cli) -> None:
    plain = cli("profiles", "--json")
    assert [each["name"] for each in plain.json["profiles"]] == list_profiles()
    assert cli("profiles", "list", "--json") == plain
    shown = cli("profiles")
    assert shown == cli("profiles", "list")
    assert all(name in shown.out for name in list_profiles())
    assert cli("profiles", "list", "--quiet") == cli("profiles", "--quiet") == Result(0, "", "")


def test_show(cli: Cli, place: Path) -> None:
    plain = cli("profiles", "loihi2", "--json")
    assert [each["name"] for each in plain.json["profiles"]] == ["loihi2"]
    assert cli("profiles", "show", "loihi2", "--json") == cli("profiles", "--json", "loihi2") == plain
    shown = cli("profiles", "loihi2").out
    assert shown == cli("profiles", "show", "loihi2").out
    assert shown.splitlines()[0] == "loihi2: Intel Loihi 2, capacities as reported, energies assumed"
    assert shown.splitlines()[1].startswith("note: No energy or time per operation is published for Loihi 2. Those")
    assert "8,192 neurons" in shown.replace("\n", " ")
    mine(place, ("name: odin", "name: mine"))
    assert cli("profiles", "./mine.yaml").out.startswith("mine: ODIN")


def test_show_refuses(cli: Cli, place: Path) -> None:
    cli("profiles", "lohi2").refused("'lohi2'", "did you mean loihi2")
    cli("profiles", "show").refused("Missing argument", "see --help")
    cli("profiles", "show", "loihi2", "odin").refused("unexpected extra argument", "see --help")
    cli("profiles", "./none.yaml").refused("none.yaml: no such profile file")
    cli("profiles", mine(place, ("noc: null", "noc: 1"))).refused("mine.yaml:", "noc: found 1")


def test_check(cli: Cli, place: Path) -> None:
    path = mine(place, ("  frequency_mhz: {value: 75, unit: MHz", "  frequency_mhz: {value: 80, unit: MHz"))
    shown = cli("profiles", "check", path).out
    lines = shown.splitlines()
    assert lines[0] == f"{path}: well formed"
    assert lines[1].startswith("note: The only energy is 12.7 pJ per synaptic op")
    assert lines[-4] == "35 numbers: 26 architectural, 2 measured, 6 derived, 1 assumed"
    assert lines[-3:] == ["energy: complete", "latency: complete", "cycle engine: complete"]
    plain = cli("profiles", "check", path, "--json").json
    assert (plain["ok"], plain["faults"], plain["name"]) == (True, [], "odin")
    assert plain["wanted"] == {"energy": [], "latency": [], "cycle_engine": []}
    assert cli("profiles", "check", path, "--quiet") == Result(0, "", "")
    assert cli("profiles", "check", "odin").out.endswith("cycle engine: complete\n")


def test_check_tells_what_reports_will_lack(cli: Cli, place: Path) -> None:
    path = mine(place, ("clock:\n  frequency_mhz: {", "clock:\n  frequency_mhz: null\n  # {"))
    lines = cli("profiles", "check", path).out.splitlines()
    assert lines[-3:] == [
        "energy: complete",
        "latency: incomplete for networks that need clock.frequency_mhz",
        "cycle engine: complete",
    ]


def test_check_tells_every_fault(cli: Cli, place: Path) -> None:
    path = mine(
        place,
        ("noc: null", "noc: 1"),
        ("  resets: [zero]", "  resets: [hard]"),
        ("word_bits: {value: 128, unit: bits", "word_bits: {value: 128, unit: pJ"),
    )
    result = cli("profiles", "check", path)
    assert (result.status, result.out) == (2, "")
    faults = result.err.splitlines()
    assert [fault.split(": ")[2] for fault in faults] == ["neuron.resets[0]", "memory[1].word_bits.unit", "noc"]
    assert all(fault.startswith(f"error: {path}:") for fault in faults)
    assert all("; " in fault for fault in faults)
    plain = cli("profiles", "check", path, "--json")
    assert plain.status == 2
    assert plain.json["ok"] is False
    assert [f"error: {fault}" for fault in plain.json["faults"]] == faults


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("a: 1\na: 2\n", ("bad.yaml:2: a: duplicate key (first on line 1); keep one of the two",)),
        ("", ("bad.yaml:1: top level: the file is empty",)),
        ("format: neurocompile.target/1\n", ("missing key",)),
    ],
)
def test_check_of_what_is_no_profile(cli: Cli, place: Path, text: str, parts: tuple[str, ...]) -> None:
    (place / "bad.yaml").write_text(text)
    result = cli("profiles", "check", "bad.yaml")
    assert (result.status, result.out) == (2, "")
    assert all(part in result.err for part in parts)


def test_check_refuses(cli: Cli) -> None:
    cli("profiles", "check").refused("Missing argument", "see --help")
    cli("profiles", "check", "none.yaml").refused("none.yaml: no such profile file; check the path")
    cli("profiles", "check", "nothing-like-it").refused("there is none of that name; choose from")


def test_diff(cli: Cli, place: Path) -> None:
    words = ("profiles", "diff", "cmos45-fp32", "cmos45-int32")
    plain = cli(*words, "--json").json
    assert (plain["a"], plain["b"]) == ("cmos45-fp32", "cmos45-int32")
    rows = {each["key"]: each for each in plain["differences"]}
    op = rows["events.synaptic_op.energy_pj"]
    assert (op["a"]["value"], op["a"]["unit"], op["a"]["basis"]) == (0.9, "pJ", "derived")
    assert (op["b"]["value"], op["b"]["source"]) == (0.1, "Horowitz, ISSCC 2014")
    assert rows["numerics.membrane_overflow"] == {"key": "numerics.membrane_overflow", "a": "clip", "b": "wrap"}
    assert "limits.neurons" not in rows
    shown = cli(*words).out
    assert "0.9 pJ (derived)" in shown
    assert "wrap" in shown
    assert cli("profiles", "diff", "odin", "odin").out == "odin and odin say the same\n"
    path = mine(place, ("noc: null", "noc: null\ntick_ns: {value: 5, unit: ns, basis: assumed, source: us}"))
    (row,) = cli("profiles", "diff", "odin", path, "--json").json["differences"]
    assert (row["key"], row["a"], row["b"]["value"]) == ("tick_ns", None, 5)
    assert "null" in cli("profiles", "diff", "odin", path).out
    cli("profiles", "diff", "odin").refused("Missing argument", "see --help")
    cli("profiles", "diff", "odin", "oddin").refused("did you mean odin")


def test_schema(cli: Cli, place: Path) -> None:
    printed = cli("profiles", "schema").out
    assert json.loads(printed) == cli("profiles", "schema", "--json").json == json_schema()
    assert cli("profiles", "schema", "--quiet") == Result(0, "", "")
    assert cli("profiles", "schema", "--out", "schema.json") == Result(0, "", "")
    assert (place / "schema.json").read_text() == printed
    cli("profiles", "schema", "--out", "schema.json").refused("schema.json exists; give --force to replace it")
    assert cli("profiles", "schema", "--out", "schema.json", "--force") == Result(0, "", "")
    cli("profiles", "schema", "--out", "nowhere/schema.json").refused("folder nowhere does not exist")


def test_help(cli: Cli) -> None:
    shown = cli("profiles", "--help").out
    assert all(command in shown for command in ("list", "show", "check", "diff", "schema"))
