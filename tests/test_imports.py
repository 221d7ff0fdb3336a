"""Imports flow one way, and the package starts without the heavy ones. Read from the source, not from memory."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "neurocompile"

#: what each part of the package may import from it, besides itself
ALLOWED: dict[str, set[str]] = {
    "errors": set(),
    "random": {"errors"},
    "coding": set(),
    "resources": {"errors"},
    "ir": {"errors", "random", "coding"},
    "passes": {"errors", "ir"},
    "hardware": {"errors", "resources"},
    "mapping": {"errors", "ir", "passes", "hardware"},
    "costs": {"errors", "ir", "hardware", "mapping"},
    "backends": {"errors", "ir", "passes", "mapping", "hardware", "costs"},
    "reports": {"errors", "ir", "hardware", "mapping", "costs", "backends"},
    "snn": {"errors", "random", "coding"},
    "frontend": {"errors", "ir", "snn"},
}

#: the driver and what is built on it sees all, and none of the parts sees it
ABOVE = {
    "__init__", "__main__", "cli", "commands", "console", "doctor", "driver", "program", "samples", "terminal",
    "timing", "recording", "verification", "writing",
}  # fmt: skip


def modules(part: str) -> list[Path]:
    folder = PACKAGE / part
    return sorted(folder.rglob("*.py")) if folder.is_dir() else [PACKAGE / f"{part}.py"]


def imported(path: Path) -> Iterator[tuple[int, str]]:
    """(line, absolute module) of every import, within functions and under TYPE_CHECKING too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            for alias in node.names:
                yield node.lineno, f"{node.module}.{alias.name}"


@pytest.mark.parametrize("part", ALLOWED)
def test_imports_flow_one_way(part: str) -> None:
    wrong = [
        f"{path.relative_to(PACKAGE.parent)}:{line}: {part} may not import {name}"
        for path in modules(part)
        for line, name in imported(path)
        if name.startswith("neurocompile.") and name.split(".")[1] not in ALLOWED[part] | {part}
    ]
    assert not wrong, "\n".join(wrong)


def test_the_allowed_imports_have_no_cycle() -> None:
    done: set[str] = set()
    for part, allowed in ALLOWED.items():
        assert allowed <= done | {"snn"}, part
        done.add(part)


def test_every_part_is_in_the_table() -> None:
    parts = {path.stem for path in PACKAGE.glob("*.py")} | {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert parts - ABOVE == set(ALLOWED)


@pytest.mark.parametrize(
    ("module", "owner"),
    [
        ("networkx", "ir/graph.py"),
        ("torch", "snn frontend backends/functional"),
        ("numba", "backends"),
        ("lava", "backends/lava"),
    ],
)
def test_where_the_heavy_libraries_may_be_imported(module: str, owner: str) -> None:
    """At the top of a module, that is: within a function, a library is loaded when it is needed."""
    for path in PACKAGE.rglob("*.py"):
        here = path.relative_to(PACKAGE).as_posix()
        top = ast.parse(path.read_text(encoding="utf-8")).body
        names = [alias.name for node in top if isinstance(node, ast.Import) for alias in node.names]
        names += [node.module or "" for node in top if isinstance(node, ast.ImportFrom)]
        if any(name.split(".")[0] == module for name in names):
            assert here.startswith(tuple(owner.split())), f"{here} imports {module}"


@pytest.mark.parametrize(
    "command",
    ["import neurocompile", "import runpy; runpy.run_module('neurocompile', alter_sys=True, run_name='__main__')"],
)
def test_the_package_and_its_help_start_light(command: str) -> None:
    program = f"""
import sys
sys.argv = ["neurocompile", "--help"]
try:
    {command}
except SystemExit as end:
    assert not end.code, end.code
heavy = sorted({{name.split(".")[0] for name in sys.modules}} & {{"torch", "lava", "scipy", "networkx", "pandas"}})
assert not heavy, heavy
"""
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False, cwd=PACKAGE.parent
    )
    assert result.returncode == 0, result.stderr
