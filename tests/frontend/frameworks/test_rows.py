"""The README's table of what can be brought in is the one that the tests of the frameworks try, row by row."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.frontend.frameworks.rows import ROWS, table

README = Path(__file__).parents[3] / "README.md"
BEGIN, END = "<!-- frameworks:begin -->\n", "<!-- frameworks:end -->"


def test_the_readme_has_the_table(request: pytest.FixtureRequest) -> None:
    text = README.read_text(encoding="utf-8")
    head, rest = text.split(BEGIN)
    found, tail = rest.split(END)
    if request.config.getoption("--update-golden"):
        README.write_text(f"{head}{BEGIN}{table()}{END}{tail}", encoding="utf-8")
        return
    assert found == table(), "run pytest --update-golden and review what it writes"


def test_no_row_is_there_twice() -> None:
    names = [(row.framework, str(row)) for row in ROWS]
    assert len(set(names)) == len(names), [name for name in names if names.count(name) > 1]
