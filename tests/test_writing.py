"""Several files are written, or none; what was there stays where one fails."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from neurocompile.errors import InputError
from neurocompile.writing import write_all


def test_all_are_written(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    old.write_text("before")
    write_all({old: b"a", new: b"b"})
    assert (old.read_bytes(), new.read_bytes()) == (b"a", b"b")
    assert sorted(tmp_path.iterdir()) == [new, old]


def test_none_is_written_where_one_has_no_place(tmp_path: Path) -> None:
    first = tmp_path / "first"
    with pytest.raises(InputError, match=r"folder .*nowhere does not exist; create it first"):
        write_all({first: b"a", tmp_path / "nowhere/second": b"b"})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_what_was_there_comes_back_where_the_last_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    old, new, last = tmp_path / "old", tmp_path / "new", tmp_path / "last"
    old.write_text("before")
    replace = Path.replace

    def failing(self: Path, target: Path) -> Path:
        if target == last:
            raise error
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", failing)
    with pytest.raises(type(error)) as caught:
        write_all({old: b"a", new: b"b", last: b"c"})
    if isinstance(caught.value, OSError):
        assert caught.value.filename == str(last)  # not some hidden file beside it
    assert old.read_text() == "before"
    assert list(tmp_path.iterdir()) == [old]


def test_a_device_is_no_file(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(InputError, match="is no file but a device or a pipe; give the name of a file"):
        write_all({pipe: b"a"})
