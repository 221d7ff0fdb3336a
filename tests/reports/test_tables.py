"""Tables of any width: no line is longer than the terminal, and no number is cut."""

from __future__ import annotations

import io

import pytest
from compare_cases import report_of
from costs_cases import chip
from page_cases import full
from rich.console import Console, RenderableType

from neurocompile.reports import compare_terminal, terminal
from neurocompile.reports.compare import compare
from neurocompile.reports.tables import Dealt, Facts

WIDTHS = [24, 30, 40, 60, 80, 120]


def shown(what: RenderableType, width: int) -> list[str]:
    out = io.StringIO()
    Console(file=out, width=width).print(what)
    lines = out.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    return lines


@pytest.mark.parametrize("width", WIDTHS)
def test_every_number_stands_whole_in_the_line_of_its_name(width: int) -> None:
    columns = ("layer", "kind", "neurons", "spikes\nper neuron", "energy")
    rows = [("conv1", "Neuron", "65,536", "0.153", "123.4 nJ"), ("fc", "Readout", "10", "–", "in other parts")]
    lines = shown(Dealt(columns, rows, words=2), width)
    for name, *cells in rows:
        told = "  ".join(line for line in lines if line.startswith(name))
        for cell in cells[:-1]:
            assert cell in told
    assert any("123.4 nJ" in line for line in lines)
    assert sum("layer" in line for line in lines) == (2 if width <= 40 else 1)


@pytest.mark.parametrize("width", WIDTHS)
def test_long_names_leave_room_for_numbers(width: int) -> None:
    lines = shown(Dealt(("layer", "neurons"), [("x" * 300, "1,234,567")]), width)
    assert "1,234,567" in lines[2]
    assert sum(line.count("x") for line in lines) == 300
    assert "1,234" in " ".join(shown(Facts([("a very long name of a quantity", "1,234 words")]), width))


@pytest.mark.parametrize("width", WIDTHS)
def test_reports_and_comparisons_fit(width: int) -> None:
    lines = shown(terminal.render(full()), width)
    for number in ("80.5 ns", "60.25 ns", "259.2 ns"):  # of core 1
        assert any(number in line for line in lines)
    table = compare([report_of(chip(), 2), report_of(chip(), 1)])
    lines = shown(compare_terminal.render(table), width)
    told = lines[lines.index("one network at several T, on toy") if width >= 40 else 0 :]
    for row in table["across_timesteps"][0]["rows"]:
        assert any(row["shown"][0] in line for line in told)
