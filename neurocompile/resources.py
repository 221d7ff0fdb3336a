"""Where the shipped hardware profiles and targets lie, in an installed wheel and in a checkout alike."""

from __future__ import annotations

import difflib
import os
from pathlib import Path

from neurocompile.errors import ProfileError

_PACKAGE = Path(__file__).resolve().parent
_SUFFIXES = (".yaml", ".yml")


def profiles_folder() -> Path:
    """The folder of the shipped hardware profiles."""
    return _folder("hw_profiles")


def targets_folder() -> Path:
    """The folder of the shipped targets."""
    return _folder("targets")


def list_profiles() -> list[str]:
    """The names of the shipped profiles, sorted."""
    return _names(profiles_folder())


def list_targets() -> list[str]:
    """The names of the shipped targets, sorted."""
    return _names(targets_folder())


def find_profile(name_or_path: str | Path) -> Path:
    """The file of a shipped profile, or of the user's own when a path is given; ProfileError if there is none."""
    return _find(name_or_path, "profile", profiles_folder())


def find_target(name_or_path: str | Path) -> Path:
    """The file of a shipped target, or of the user's own when a path is given; ProfileError if there is none."""
    return _find(name_or_path, "target", targets_folder())


def is_path(name_or_path: str | Path) -> bool:
    """Whether this means a file of the user's rather than the name of something shipped."""
    if isinstance(name_or_path, Path):
        return True
    return name_or_path.endswith(_SUFFIXES) or "/" in name_or_path or os.sep in name_or_path


def _folder(name: str) -> Path:
    packaged = _PACKAGE / name
    return packaged if packaged.is_dir() else _PACKAGE.parent / name


def _names(folder: Path) -> list[str]:
    return sorted(path.stem for path in folder.glob("*.yaml"))


def _find(name_or_path: str | Path, kind: str, folder: Path) -> Path:
    if is_path(name_or_path):
        path = Path(name_or_path)
        if path.is_file():
            return path
        raise ProfileError(f"{path}: no such {kind} file; check the path, or give the name of a shipped {kind}")

    name, known = str(name_or_path), _names(folder)
    if name in known:
        return folder / f"{name}.yaml"
    near = difflib.get_close_matches(name, known)
    hint = f"did you mean {' or '.join(near)}? " if near else ""
    raise ProfileError(
        f"{kind} {name!r}: there is none of that name; {hint}choose from {', '.join(known) or 'none shipped'}, "
        f"or give a path that ends in .yaml"
    )
