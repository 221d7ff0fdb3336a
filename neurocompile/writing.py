"""Files that are written whole or not at all, whatever happens on the way."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

from neurocompile.errors import InputError
from neurocompile.program import name_errors


def write_whole(path: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    with whole_file(path) as file:
        file.write(content)


def write_all(contents: Mapping[Path, bytes]) -> None:
    """Write several files, all of them or none: what was there comes back where one cannot be written."""
    with contextlib.ExitStack() as scratch, contextlib.ExitStack() as undo:
        fresh = []
        for path, content in contents.items():
            check_place(path)
            temporary = path.with_name(f".neurocompile-{secrets.token_hex(8)}")
            scratch.callback(temporary.unlink, missing_ok=True)
            with name_errors(path):
                temporary.write_bytes(content)
            fresh.append((path, temporary))
        for path, temporary in fresh:
            with name_errors(path):
                if path.exists():
                    before = temporary.with_name(f"{temporary.name}.before")
                    scratch.callback(before.unlink, missing_ok=True)
                    shutil.copy2(path, before)
                    undo.callback(before.replace, path)
                else:
                    undo.callback(path.unlink, missing_ok=True)
                temporary.replace(path)
        undo.pop_all()


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """A file to write, which gets its name when the block ends and is gone where that fails."""
    with whole_path(path) as unfinished, unfinished.open("xb") as file:
        yield file


@contextlib.contextmanager
def whole_path(path: Path) -> Iterator[Path]:
    """Where to write a file, which gets its name when the block ends and is gone where that fails."""
    check_place(path)
    temporary = path.with_name(f".neurocompile-{secrets.token_hex(8)}")
    with name_errors(path):
        try:
            yield temporary
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def check_place(path: Path) -> None:
    if not path.parent.is_dir():
        raise InputError(f"{path}: folder {path.parent} does not exist; create it first")
    if path.is_dir():
        raise InputError(f"{path}: is a folder; give the name of a file in it")
    if path.exists() and not path.is_file():
        raise InputError(f"{path}: is no file but a device or a pipe; give the name of a file")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise InputError(f"{path}: nothing can be written in {path.parent}; choose another place")
