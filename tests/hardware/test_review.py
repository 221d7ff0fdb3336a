"""What a profile leaves open, where two differ, and that their JSON Schema says the same as the reader."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from neurocompile.commands import schema_text
from neurocompile.hardware import (
    Difference,
    Profile,
    Quantity,
    differences,
    in_cycles,
    json_schema,
    leaves,
    load_profile,
    profile_faults,
    profile_to_dict,
    review,
)
from neurocompile.resources import find_profile, list_profiles

DOCS = Path(__file__).parents[2] / "docs"
LOIHI = load_profile("loihi1-davies2018")


def changed(name: str, **changes: Any) -> Profile:
    """A shipped profile with values replaced, by dotted key with ``__`` for the dot."""
    data = profile_to_dict(load_profile(name))
    for key, value in changes.items():
        *path, last = key.split("__")
        place: Any = data
        for step in path:
            place = place[int(step) if isinstance(place, list) else step]
        place[int(last) if isinstance(place, list) else last] = value
    return Profile.from_mapping(data)


# -------------------------------------------------------------------------------------------------------------- review


def test_every_shipped_profile_and_what_it_leaves_open(golden: Callable[[str, str], None]) -> None:
    lines = []
    for name in list_profiles():
        profile = load_profile(name)
        seen = review(profile)
        lines.append(f"{name}: {profile.title}")
        lines += [f"  note: {note}" for note in profile.notes]
        lines.append("  numbers: " + ", ".join(f"{count} {basis}" for basis, count in seen.numbers.items()))
        lines += [f"  {need}: {', '.join(keys) or 'complete'}" for need, keys in seen.wanted.items()]
    golden("profiles.txt", "\n".join(lines) + "\n")


def test_numbers_are_counted_by_basis() -> None:
    found = [leaf for _, leaf in leaves(LOIHI) if isinstance(leaf, Quantity)]
    assert sum(review(LOIHI).numbers.values()) == len(found)
    assert review(LOIHI).numbers["simulated"] == sum(leaf.basis == "simulated" for leaf in found)


@pytest.mark.parametrize(
    ("changes", "energy", "latency", "engine"),
    [
        ({}, (), (), ()),
        ({"events__synaptic_op__energy_pj": None}, ("events.synaptic_op.energy_pj",), (), ()),
        # static power is priced by time
        ({"events__synaptic_op__time_ns": None}, *3 * [("events.synaptic_op.time_ns",)]),
        ({"events__synaptic_op__time_ns": None, "static_power_mw": None},
         ("static_power_mw",), *2 * [("events.synaptic_op.time_ns",)]),
        ({"events__synaptic_op": None}, (), (), ()),  # it is none of the chip's
        ({"noc__within_tile": {"energy_pj": None, "time_ns": None}},
         ("noc.within_tile.energy_pj",), (), ("noc.within_tile.time_ns",)),
        ({"noc": None}, (), (), ()),
        ({"memory__1__energy_in_events": False},
         tuple(f"memory.neuron state.{key}" for key in ("read.energy_pj", "write.energy_pj", "word_bits")), (), ()),
        ({"memory__0__energy_in_events": False}, ("memory.synaptic memory.read.energy_pj",), (), ()),
        ({"memory__2__energy_in_events": False}, (), (), ()),
        ({"host": {"tile": 0, "message": {"energy_pj": None, "time_ns": None}}},
         ("host.message.energy_pj",), (), ("host.message.time_ns",)),
    ],
)  # fmt: skip
def test_what_is_wanted(
    changes: dict[str, Any], energy: tuple[str, ...], latency: tuple[str, ...], engine: tuple[str, ...]
) -> None:
    wanted = review(changed("loihi1-davies2018", **changes)).wanted
    assert wanted == {"energy": energy, "latency": latency, "cycle_engine": engine}


def test_a_chip_without_frequency_can_still_be_timed_in_cycles() -> None:
    odin = changed("odin", clock={"frequency_mhz": None})
    assert in_cycles(odin)
    assert review(odin).wanted == {"energy": (), "latency": ("clock.frequency_mhz",), "cycle_engine": ()}
    tick = {"value": 1e6, "unit": "ns", "basis": "assumed", "source": "a test"}
    ticking = changed("odin", clock={"frequency_mhz": None}, tick_ns=tick)
    assert not in_cycles(ticking)
    assert review(ticking).wanted["cycle_engine"] == ("clock.frequency_mhz",)


def test_an_event_of_unknown_cycles_is_not_one_of_none() -> None:
    odin = changed("odin", events__axon_in__cycles=None)
    assert in_cycles(odin)
    assert review(odin).wanted["cycle_engine"] == ("events.axon_in.cycles",)


def test_which_shipped_profiles_count_cycles() -> None:
    assert {name for name in list_profiles() if in_cycles(load_profile(name))} == {"odin", "xylo-a2"}


# --------------------------------------------------------------------------------------------------------- differences


@pytest.mark.parametrize("name", list_profiles())
def test_a_profile_is_like_itself(name: str) -> None:
    assert differences(load_profile(name), load_profile(name)) == ()


def test_differences_are_told_by_key() -> None:
    other = changed(
        "loihi1-davies2018",
        events__synaptic_op__energy_pj__value=24,
        events__synaptic_op__time_ns__basis="measured",
        neuron__resets=["zero", "set"],
        barrier__points__1__time_ns__value=500,
        memory__1__per="chip",
        title="Another",
        notes=["other words"],
    )
    found = differences(LOIHI, other)
    assert [each.key for each in found] == [
        "neuron.resets",
        "events.synaptic_op.energy_pj",
        "events.synaptic_op.time_ns",
        "memory.neuron state.per",
        "barrier.points.32.time_ns",
    ]
    assert found[0] == Difference("neuron.resets", ("zero",), ("zero", "set"))
    energy = found[1]
    assert isinstance(energy.a, Quantity)
    assert isinstance(energy.b, Quantity)
    assert (energy.a.value, energy.b.value) == (23.6, 24)


def test_a_source_makes_no_difference() -> None:
    other = changed("loihi1-davies2018", events__synaptic_op__energy_pj__source="elsewhere")
    assert differences(LOIHI, other) == ()
    assert other != LOIHI


def test_a_section_that_one_side_lacks() -> None:
    found = {each.key: each for each in differences(LOIHI, changed("loihi1-davies2018", noc=None))}
    assert found["noc.routing"] == Difference("noc.routing", "xy", None)
    assert all(key.startswith("noc.") for key in found)
    assert all(each.b is None for each in found.values())


# -------------------------------------------------------------------------------------------------------------- faults


def test_all_faults_are_told_in_the_order_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    text = find_profile("loihi1-davies2018").read_text(encoding="utf-8")
    lines = text.replace("routing: xy", "routing: mesh").replace("resets: [zero]", "resets: [hard]").splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith("static_power_mw"))
    lines[at] = "static_power_mw: {value: 104, unit: W, basis: derived, source: us}"
    path.write_text("\n".join(lines), encoding="utf-8")
    faults = profile_faults(path)
    assert [fault.split(": ")[1] for fault in faults] == ["neuron.resets[0]", "noc.routing", "static_power_mw.unit"]
    assert all(fault.startswith(f"{path}:") for fault in faults)
    assert "'W', expected 'mW'; convert the value" in faults[2]
    assert profile_faults(find_profile("loihi2")) == ()


def test_what_is_no_yaml_is_one_fault(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("a: 1\na: 2\nb: [\n", encoding="utf-8")
    assert len(profile_faults(path)) == 1
    assert "duplicate key" in profile_faults(path)[0]


# -------------------------------------------------------------------------------------------------------------- schema


def test_the_schema_in_the_docs_is_current(request: pytest.FixtureRequest) -> None:
    path, text = DOCS / "profile.schema.json", schema_text(json_schema())
    if request.config.getoption("--update-golden"):
        path.write_text(text, encoding="utf-8")
    assert path.read_text(encoding="utf-8") == text, "run pytest --update-golden if this is what you want"


SCHEMA = json_schema()
_BOUNDS: dict[str, Callable[[float, float], bool]] = {
    "minimum": lambda value, bound: value >= bound,
    "maximum": lambda value, bound: value <= bound,
    "multipleOf": lambda value, step: value % step == 0,
}


def wrong(value: Any, schema: dict[str, Any], path: str = "") -> list[str]:
    """Where ``value`` is not what ``schema`` says: the part of JSON Schema that a profile's schema uses."""
    found: list[str] = []
    for word, said in schema.items():
        if word == "$ref":
            found += wrong(value, SCHEMA["$defs"][said.rsplit("/", 1)[1]], path)
        elif word == "anyOf" and all(wrong(value, each, path) for each in said):
            found.append(f"{path}: none of {len(said)} kinds")
        elif word in ("const", "enum") and value not in (said if word == "enum" else [said]):
            found.append(f"{path}: {value!r} is not {said!r}")
        elif word == "type" and not _is(value, said):
            found.append(f"{path}: {value!r} is no {said}")
        elif word == "properties" and isinstance(value, dict):
            found += [each for key in said if key in value for each in wrong(value[key], said[key], f"{path}.{key}")]
        elif word == "required" and isinstance(value, dict):
            found += [f"{path}.{key}: missing" for key in said if key not in value]
        elif word == "additionalProperties" and isinstance(value, dict):
            found += [f"{path}.{key}: unknown" for key in value if key not in schema["properties"]]
        elif word == "items" and isinstance(value, list):
            found += [each for index, item in enumerate(value) for each in wrong(item, said, f"{path}[{index}]")]
        elif word in _BOUNDS and isinstance(value, int | float) and not _BOUNDS[word](value, said):
            found.append(f"{path}: {word} {said}")
    return found


def _is(value: Any, kind: str) -> bool:
    kinds = {"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None)}
    if kind in ("integer", "number"):
        return isinstance(value, int if kind == "integer" else int | float) and not isinstance(value, bool)
    return isinstance(value, kinds[kind])


@pytest.mark.parametrize("name", list_profiles())
def test_shipped_profiles_are_what_the_schema_says(name: str) -> None:
    assert wrong(yaml.safe_load(find_profile(name).read_text(encoding="utf-8")), SCHEMA) == []


@pytest.mark.parametrize(
    ("key", "value", "fault"),
    [
        ("name", None, "is no string"),
        ("static_power_mw", {"value": 1, "unit": "W", "basis": "measured", "source": "x"}, "'W' is not 'mW'"),
        ("static_power_mw", {"value": -1, "unit": "mW", "basis": "measured", "source": "x"}, "minimum 0"),
        ("static_power_mw", {"value": 1, "unit": "mW", "basis": "guessed", "source": "x"}, "none of 2 kinds"),
        ("static_pover_mw", None, "unknown"),
        ("clock", 12, "none of 2 kinds"),
    ],
)
def test_what_the_schema_does_not_say(key: str, value: Any, fault: str) -> None:
    data = yaml.safe_load(find_profile("loihi1-davies2018").read_text(encoding="utf-8"))
    assert fault in str(wrong({**data, key: value}, SCHEMA))


def test_a_review_is_plain_data() -> None:
    json.dumps(dataclasses.asdict(review(LOIHI)))
