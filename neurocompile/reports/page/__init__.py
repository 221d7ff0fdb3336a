"""One self-contained HTML page from blocks of content: what the report and the comparison are made of.

How to use it: describe the page, then render it. Nothing here is HTML, so nothing can be forgotten to be escaped ::

    from neurocompile.reports.page import Column, Facts, Figure, Notes, Page, Tab, Table, Text, charts, render

    table = Table(
        "Energy by layer",
        [Column("layer"), Column("energy", "pJ"), Column("share", "%", bar=True)],
        [("conv1", 71.5, 0.66), ("fc", 36.75, 0.34), ("later", None, None)],
    )
    chart = charts.bars([("conv1", 71.5), ("fc", 36.75)], "pJ")
    html = render(Page("net on chip", "per sample", [
        Tab("energy", "Energy", [Notes(["Energies are assumed."]), Figure("Energy by layer", chart, "conv1 takes most.",
                                                                     table)]),
    ]))  # fmt: skip

* Cells are plain values. A column's unit says how they are shown: ``pJ`` and ``ns`` are scaled together to one prefix,
  so that numbers line up; ``%`` takes shares from 0 to 1; any other unit stands in the heading as it is. None is shown
  as ``–``; a text in a column of numbers stands as it is ("incomplete"). The exact number is the cell's ``data-v``.
* Charts are static drawings (``charts`` gives an ElementTree ``svg``): they need no script, print well, and follow the
  reader's light or dark scheme. Series are told by number, ``charts.fill(i)``: each has a colour and a pattern. What a
  drawing shows is said in ``Figure.description``, and its numbers stand in ``Figure.table``, folded below it.
* ``Figure.explore`` is a Plotly figure as plain data ({"data": [...], "layout": {...}}), for drawings with too many
  marks to read: a button draws it on demand, with zoom and the values under the pointer. Leave colours to the page: a
  trace's or shape's ``"series": i`` gives it the colour of that series. A heat map of few cells may list them as
  ``"sparse": [[column, row], ...]``. Such a page carries Plotly, compressed (some 2 MB).
* A page with one tab shows no row of tabs. Without scripts, and in print, all tabs stand below each other.
* The same page gives the same bytes.
"""

from neurocompile.reports.page import charts
from neurocompile.reports.page.blocks import (
    Block,
    Column,
    Columns,
    Facts,
    Figure,
    Key,
    Keys,
    Notes,
    Page,
    Tab,
    Table,
    Text,
)
from neurocompile.reports.page.render import render

__all__ = [
    "Block",
    "Column",
    "Columns",
    "Facts",
    "Figure",
    "Key",
    "Keys",
    "Notes",
    "Page",
    "Tab",
    "Table",
    "Text",
    "charts",
    "render",
]
