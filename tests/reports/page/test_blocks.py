"""How tables show their numbers."""

from __future__ import annotations

import pytest

from neurocompile.reports.page import Column, Table


def texts(column: Column, *values: float | str | None) -> list[str]:
    return [row[0].text for row in Table("t", [column], [(value,) for value in values]).cells]


def test_a_column_has_one_unit_and_as_many_decimals_for_all() -> None:
    table = Table(
        "t", [Column("energy", "pJ"), Column("time", "ns"), Column("x", "words")], [(71500.5, 1.5, 3), (40, 12, 4)]
    )
    assert table.headings == ["energy (nJ)", "time (ns)", "x (words)"]
    assert [[cell.text for cell in row] for row in table.cells] == [["71.50", "1.50", "3"], ["0.04", "12.00", "4"]]
    assert [cell.value for cell in table.cells[0]] == [71500.5, 1.5, 3]


def test_what_is_small_is_not_nothing() -> None:
    assert texts(Column("e", "pJ"), 5e6, 1.0, 0.0, -1.0) == ["5.000", "<0.001", "0.000", "-<0.001"]


def test_what_is_not_there_is_a_dash_and_words_stay() -> None:
    assert texts(Column("e", "pJ"), 2.0, None, "incomplete") == ["2", "–", "incomplete"]
    assert texts(Column("s", "%"), 0.125, None) == ["12.50", "–"]
    assert texts(Column("name"), "a", "b") == ["a", "b"]


def test_bars_are_shares_of_the_largest_and_never_of_the_total() -> None:
    table = Table("t", [Column("e", "pJ", bar=True)], [(1.0,), (4.0,), (None,)], (5.0,))
    assert [row[0].bar for row in table.cells] == [25.0, 100.0, None]
    assert table.total_cells is not None
    assert (table.total_cells[0].text, table.total_cells[0].bar) == ("5", None)


def test_rows_must_fit_the_columns() -> None:
    with pytest.raises(ValueError, match="zip"):
        _ = Table("t", [Column("a")], [(1, 2)]).cells
