"""Targets: the shipped ones, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from neurocompile.errors import ProfileError
from neurocompile.hardware import load_profile, load_target
from neurocompile.resources import list_targets

GOOD = """\
format: neurocompile.target/1
name: mine
title: Mine
profile: loihi2
backend: reference
"""


@pytest.mark.parametrize("name", list_targets())
def test_shipped_target_names_a_shipped_profile(name: str) -> None:
    target = load_target(name)
    assert target.name == name
    load_profile(target.profile)


def test_shipped_choices() -> None:
    choices = {name: (load_target(name).profile, load_target(name).backend) for name in list_targets()}
    assert choices == {
        "loihi1-sanafe": ("loihi1-sanafe", "functional"),
        "loihi1-sim": ("loihi1-davies2018", "lava"),
        "loihi2-sim": ("loihi2", "lava"),
        "reference": ("cmos45-int32", "reference"),
    }


def test_options_have_defaults(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(GOOD, encoding="utf-8")
    options = load_target(path).options
    assert (options.weight_bits, options.payload_bits, options.lava_timeout_s) == (8, 8, None)


@pytest.mark.parametrize("backend", ["functional", "reference", "lava"])
def test_backends(tmp_path: Path, backend: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(GOOD.replace("backend: reference", f"backend: {backend}"), encoding="utf-8")
    assert load_target(path).backend == backend


def test_a_profile_by_relative_path_lies_next_to_its_target(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(GOOD.replace("loihi2", "chip.yaml"), encoding="utf-8")
    assert load_target(path).profile == str(tmp_path / "chip.yaml")


@pytest.mark.parametrize(
    ("text", "line", "key", "words"),
    [
        (GOOD.replace("backend: reference", "backend: spice"), 5, "backend", ["'spice'", "'lava'"]),
        (GOOD + "options: {weight_bits: 9}\n", 6, "options.weight_bits", ["9", "less than or equal to 8"]),
        (GOOD + "options: {weight_bits: 1.0e1}\n", 6, "options.weight_bits", ["'1.0e1'", "text"]),
        (GOOD + "options:\n  lava_timeout: 3\n", 7, "options.lava_timeout", ["unknown key", "lava_timeout_s"]),
        (GOOD + "options: {lava_timeout_s: .nan}\n", 6, "options.lava_timeout_s", ["nan"]),
        (GOOD + "options: {lava_timeout_s: 0}\n", 6, "options.lava_timeout_s", ["greater than 0"]),
        (GOOD.replace("title: Mine\n", ""), 1, "title", ["missing key"]),
        (GOOD.replace("target/1", "profile/1"), 1, "format", ["neurocompile.target/1"]),
    ],
)
def test_refusal(tmp_path: Path, text: str, line: int, key: str, words: list[str]) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ProfileError) as caught:
        load_target(path)
    message = str(caught.value)
    assert message.startswith(f"{path}:{line}: {key}: ")
    for word in words:
        assert word in message
