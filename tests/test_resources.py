"""Shipped files are found by name, users' files by path."""

from __future__ import annotations

from pathlib import Path

import pytest

from neurocompile import resources
from neurocompile.errors import ProfileError


def test_shipped_files_are_found_by_name() -> None:
    assert {"loihi1-davies2018", "loihi2", "cmos45-fp32", "cmos45-int32"} <= set(resources.list_profiles())
    assert {"loihi1-sim", "loihi2-sim", "reference"} <= set(resources.list_targets())
    assert resources.find_profile("loihi2") == resources.profiles_folder() / "loihi2.yaml"
    assert resources.find_target("reference") == resources.targets_folder() / "reference.yaml"


def test_packaged_folder_comes_before_the_checkouts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "neurocompile"
    package.mkdir()
    monkeypatch.setattr(resources, "_PACKAGE", package)
    assert resources.profiles_folder() == tmp_path / "hw_profiles"
    (package / "hw_profiles").mkdir()
    assert resources.profiles_folder() == package / "hw_profiles"


def test_unknown_name_tells_the_nearest_and_all() -> None:
    with pytest.raises(ProfileError) as caught:
        resources.find_profile("lohi2")
    message = str(caught.value)
    assert "'lohi2'" in message
    assert "did you mean loihi2" in message
    for name in resources.list_profiles():
        assert name in message


def test_name_unlike_any_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ProfileError, match="choose from loihi1-sanafe, loihi1-sim, loihi2-sim, reference"):
        resources.find_target("zzz")
    monkeypatch.setattr(resources, "_PACKAGE", tmp_path / "neurocompile")
    with pytest.raises(ProfileError, match="none shipped"):
        resources.find_target("zzz")


@pytest.mark.parametrize("name", ["mine.yaml", "mine.yml", "./mine", "sub/mine"])
def test_what_looks_like_a_path_is_one(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ProfileError, match="no such profile file"):
        resources.find_profile(name)
    Path(name).parent.mkdir(exist_ok=True)
    Path(name).write_text("x", encoding="utf-8")
    assert resources.find_profile(name) == Path(name)


@pytest.mark.parametrize("name", ["", ".", "..", "loihi2\0"])
def test_odd_names_find_nothing(name: str) -> None:
    with pytest.raises(ProfileError, match="there is none of that name"):
        resources.find_profile(name)
