"""Every way in which a profile file can be wrong, and the sentence that says so."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from neurocompile.errors import ProfileError
from neurocompile.hardware import load_profile
from neurocompile.hardware.document import MAX_BYTES, read_document
from neurocompile.resources import find_profile

QUANTITY = "{value: 7, unit: pJ, basis: measured, source: bench}"


@pytest.fixture
def good() -> str:
    return find_profile("loihi1-davies2018").read_text(encoding="utf-8")


def refused(folder: Path, text: str | bytes) -> tuple[str, int, str, str]:
    """Load ``text`` as a profile; return the refusal as (file, line, key path, sentence)."""
    path = folder / "mine.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ProfileError) as caught:
        load_profile(path)
    message = str(caught.value)
    assert "\n" not in message
    match = re.fullmatch(r"(.*?):(\d+): (.*?): (.*; .*)", message)
    assert match, message
    assert match[1] == str(path)
    return match[1], int(match[2]), match[3], match[4]


def line_of(text: str, start: str) -> int:
    """1-based line of the only line that starts with ``start``."""
    found = [number for number, line in enumerate(text.splitlines(), 1) if line.startswith(start)]
    assert len(found) == 1, (start, found)
    return found[0]


def with_line(text: str, start: str, new: str) -> str:
    """``text`` with the only line that starts with ``start`` replaced."""
    lines = text.splitlines()
    lines[line_of(text, start) - 1] = new
    return "\n".join(lines) + "\n"


def test_duplicate_key_at_the_top(tmp_path: Path, good: str) -> None:
    text = good + "name: other\n"
    _, line, key, sentence = refused(tmp_path, text)
    assert (line, key) == (len(text.splitlines()), "name")
    assert "duplicate" in sentence
    assert "line 2" in sentence


def test_duplicate_key_deep_inside_a_list(tmp_path: Path, good: str) -> None:
    start = "    - tiles: 32"
    text = with_line(good, start, "    - tiles: 32\n      tiles: 33")
    _, line, key, sentence = refused(tmp_path, text)
    assert (line, key) == (line_of(good, start) + 1, "barrier.points[1].tiles")
    assert "duplicate" in sentence


@pytest.mark.parametrize(
    ("start", "new", "key", "words"),
    [
        ("static_power_mw:", "static_pover_mw: null", "static_pover_mw", ["unknown key", "static_power_mw"]),
        ("  axons_in:", "  axon_in: null", "limits.axon_in", ["unknown key", "axons_in"]),
        ("  shared_kernels:", "  zebra: 1", "synapses.zebra", ["unknown key", "word_bits"]),
        ("  routing:", "  routing: mesh", "noc.routing", ["'mesh'", "'xy'"]),
        ("  shared_kernels:", '  shared_kernels: "true"', "synapses.shared_kernels", ["'true'", "boolean"]),
        ("  shared_kernels:", "  shared_kernels: yes", "synapses.shared_kernels", ["'yes'", "true or false"]),
        ("  resets:", "  resets: zero", "neuron.resets", ["'zero'", "list"]),
        ("  resets:", "  resets: [zero, hard]", "neuron.resets[1]", ["'hard'", "'subtract'"]),
        ("  neurons:", "  neurons: 1024", "limits.neurons", ["1024", "mapping of", "unit"]),
        ("  neurons:", "  neurons:", "limits.neurons", ["blank", "null"]),
        ("    - tiles: 32", "    - tiles: 1", "barrier.points", ["[1, 1]", "ascending"]),
        ("    - tiles: 32", "    - tiles: 1.0e9", "barrier.points[1].tiles", ["'1.0e9'", "text"]),
        ("    - tiles: 32", "    - tiles: 0", "barrier.points[1].tiles", ["0", "greater"]),
        ("name:", "name: Big Chip", "name", ["'Big Chip'", "pattern"]),
        ("format:", "format: neurocompile.profile/2", "format", ["neurocompile.profile/1"]),
        ("topology:", "topology: &t", "topology", ["anchors"]),
        ("noc:", "noc: !!python/object:os.system", "noc", ["tags"]),
        ("clock:", "clock: *t", "clock", ["aliases"]),
        ("clock:", r'"a\n\e[1m": 1', r"'a\n\x1b[1m'", ["unknown key"]),
        ("clock:", "x" * 99 + ": 1", "x" * 57 + "...", ["unknown key"]),
        ("title:", r'title: "\ud800"', "title", ["\\ud800"]),
        ("title:", 'title: ""', "title", ["''", "at least 1 character"]),
        ("clock:", "? [a]\n: 1", "top level", ["plain text"]),
        ("clock:", "&c clock: null", "clock", ["anchors"]),
        ("  - name: axon tables", "  - name: neuron state", "memory", ["neuron state", "of its own"]),
        ("  no_such_limit:", "  no_such_limit: [neurons]", "limits.no_such_limit", ["neurons", "remove"]),
    ],
)
def test_refusal_names_file_line_and_key(
    tmp_path: Path, good: str, start: str, new: str, key: str, words: list[str]
) -> None:
    _, line, found, sentence = refused(tmp_path, with_line(good, start, new))
    assert found == key
    if key not in ("memory", "barrier.points"):
        assert line == line_of(good, start)
    for word in words:
        assert word in sentence


@pytest.mark.parametrize(
    ("quantity", "key", "words"),
    [
        (QUANTITY.replace("pJ", "ns"), ".unit", ["'ns'", "'pJ'"]),
        (QUANTITY.replace("7", "-7"), ".value", ["-7", "0 to"]),
        (QUANTITY.replace("7", ".nan"), ".value", ["nan", "finite"]),
        (QUANTITY.replace("7", ".inf"), ".value", ["inf", "finite"]),
        (QUANTITY.replace("7", "-.inf"), ".value", ["-inf", "finite"]),
        (QUANTITY.replace("7", "1.0e9"), ".value", ["'1.0e9'", "text", "1.0e+9"]),
        (QUANTITY.replace("7", '"7"'), ".value", ["'7'", "without quotes"]),
        (QUANTITY.replace("7", "true"), ".value", ["True", "number"]),
        (QUANTITY.replace("7", "null"), ".value", ["None", "whole quantity null"]),
        (QUANTITY.replace("7", "010"), ".value", ["'010'", "plain decimal"]),
        (QUANTITY.replace("7", "1_000"), ".value", ["'1_000'", "plain decimal"]),
        (QUANTITY.replace("7", "1:30"), ".value", ["'1:30'", "plain decimal"]),
        (QUANTITY.replace("7", "9" * 5000), ".value", ["plain decimal"]),
        (QUANTITY.replace("7", "9" * 19), ".value", ["0 to 1e+18"]),
        (QUANTITY.replace("measured", "guessed"), ".basis", ["'guessed'", "'measured'", "'assumed'"]),
        (QUANTITY.replace("source: bench", 'source: ""'), ".source", ["''"]),
        (QUANTITY.replace("source: bench", "source: 2014"), ".source", ["2014", "text"]),
        (QUANTITY.replace(", source: bench", ""), ".source", ["missing key"]),
        (QUANTITY.replace("value: 7, ", ""), ".value", ["missing key"]),
        (QUANTITY.replace("source", "sauce"), ".sauce", ["unknown key", "source"]),
        (QUANTITY.replace("basis: measured", "basis: measured, basis: assumed"), ".basis", ["duplicate"]),
        (f"[{QUANTITY}]", "", ["a list", "mapping of"]),
        ("seven", "", ["'seven'", "mapping of"]),
    ],
)
def test_bad_quantity(tmp_path: Path, good: str, quantity: str, key: str, words: list[str]) -> None:
    start = "  synaptic_op:"
    lines = good.splitlines()
    at = line_of(good, start)
    lines[at] = f"    energy_pj: {quantity}"
    _, line, found, sentence = refused(tmp_path, "\n".join(lines))
    assert (line, found) == (at + 1, f"events.synaptic_op.energy_pj{key}")
    for word in words:
        assert word in sentence


@pytest.mark.parametrize(
    ("value", "words"), [("1024.5", ["1024.5", "whole number of neurons"]), ("0", ["0", "expected 1 to"])]
)
def test_count_out_of_range(tmp_path: Path, good: str, value: str, words: list[str]) -> None:
    text = with_line(good, "  neurons:", f"  neurons: {{value: {value}, unit: neurons, basis: assumed, source: us}}")
    _, line, key, sentence = refused(tmp_path, text)
    assert (line, key) == (line_of(good, "  neurons:"), "limits.neurons.value")
    for word in words:
        assert word in sentence


def test_a_width_cannot_be_unknown(tmp_path: Path, good: str) -> None:
    _, line, key, sentence = refused(tmp_path, with_line(good, "  state_bits:", "  state_bits: null"))
    assert (line, key) == (line_of(good, "  state_bits:"), "numerics.state_bits")
    assert "None" in sentence


def test_exponents_in_the_wrong_order(tmp_path: Path, good: str) -> None:
    start = "  weight_exponent_range:"
    text = with_line(good, start, f"{start} {{minimum: 7, maximum: -8, basis: assumed, source: us}}")
    _, line, key, sentence = refused(tmp_path, text)
    assert (line, key) == (line_of(good, start), "numerics.weight_exponent_range.minimum")
    assert "7 is above maximum -8" in sentence


def test_missing_key_is_told_at_the_line_of_its_parent(tmp_path: Path, good: str) -> None:
    _, line, key, sentence = refused(tmp_path, with_line(good, "  fan_in:", ""))
    assert (line, key) == (line_of(good, "limits:"), "limits.fan_in")
    assert "missing key" in sentence
    assert refused(tmp_path, with_line(good, "clock:", ""))[1:3] == (1, "clock")


def test_first_fault_of_the_file_is_told(tmp_path: Path, good: str) -> None:
    text = with_line(with_line(good, "clock:", "clock: 1"), "  fan_in:", "  fan_in: 1")
    assert refused(tmp_path, text)[2] == "limits.fan_in"


@pytest.mark.parametrize(
    ("key", "reads"), [("on", "bool"), ("No", "bool"), ("yes", "bool"), ("12", "int"), ("1.5", "float"), ("~", "null")]
)
def test_key_that_yaml_would_not_read_as_text(tmp_path: Path, good: str, key: str, reads: str) -> None:
    _, line, path, sentence = refused(tmp_path, with_line(good, "clock:", f"{key}: null"))
    assert (line, path) == (line_of(good, "clock:"), key)
    assert reads in sentence


def test_alias_bomb(tmp_path: Path) -> None:
    bomb = "a: &a [x, x]\n" + "".join(f"{b}: &{b} [*{a}, *{a}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True))
    _, line, key, sentence = refused(tmp_path, bomb)
    assert (line, key) == (1, "a")
    assert "aliases" in sentence


def test_merge_key_is_an_unknown_key(tmp_path: Path, good: str) -> None:
    _, line, key, sentence = refused(tmp_path, with_line(good, "clock:", "<<: {clock: null}"))
    assert (line, key) == (line_of(good, "clock:"), "<<")
    assert "unknown key" in sentence


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("", 1, "empty"),
        ("# nothing\n\n", 1, "empty"),
        ("- a\n- b\n", 1, "a list"),
        ("\njust words\n", 2, "'just words'"),
        ("null\n", 1, "None"),
        ("a: b: c\n", 1, "not well-formed YAML"),
        ("a: 1\nb: [1, 2\n", 3, "not well-formed YAML"),
        ("a: 1\n\tb: 2\n", 2, "not well-formed YAML"),
        ("a: 1\n---\nb: 2\n", 2, "second document"),
        ("a: 1\nb: \x07\n", 2, "U+0007"),
        (b"a: 1\nb: \xff\xfe\x00\n", 2, "UTF-8"),
        (b"\x7fELF\x02\x01\x01\x00\x00\x80", 1, "UTF-8"),
        (b"\x00", 1, "U+0000"),
        (b"#" * (MAX_BYTES + 1), 1, "larger than 1,048,576 bytes"),
    ],
)
def test_not_a_profile_at_all(tmp_path: Path, text: str | bytes, line: int, words: str) -> None:
    _, found, key, sentence = refused(tmp_path, text)
    assert (found, key) == (line, "top level")
    assert words in sentence


def test_nesting_is_bounded(tmp_path: Path) -> None:
    _, line, key, sentence = refused(tmp_path, "name: " + "[" * 5000 + "]" * 5000)
    assert (line, key) == (1, "name[0][0]")
    assert "deeper" in sentence


def test_unreadable_file(tmp_path: Path) -> None:
    with pytest.raises(ProfileError, match="cannot be read"):
        read_document(tmp_path)


def test_unknown_energy_is_none_and_not_zero(tmp_path: Path, good: str) -> None:
    lines = good.splitlines()
    lines[line_of(good, "  synaptic_op:")] = "    energy_pj: null"
    path = tmp_path / "mine.yaml"
    path.write_text("\n".join(lines), encoding="utf-8")
    event = load_profile(path).events.synaptic_op
    assert event is not None
    assert event.energy_pj is None
    assert event.time_ns is not None


def test_windows_line_ends_and_a_byte_order_mark_are_read(tmp_path: Path, good: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + good.replace("\n", "\r\n").encode())
    assert load_profile(path) == load_profile("loihi1-davies2018")
