"""Reports and comparisons as Markdown tables, with numbers as people read them. Names from files stay plain text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from neurocompile.reports import summary
from neurocompile.reports.compare import (
    HIDDEN,
    Comparison,
    gaps,
    notes,
    pareto_lines,
    refusals,
    saved_lines,
    standing,
)
from neurocompile.reports.data import Report

#: of a comparison, beside each other
_MOST_COLUMNS = 6


def report_markdown(report: Report) -> str:
    parts = [f"# {plain(summary.title(report))}", plain(summary.subtitle(report)), _list(report["notes"])]
    for section in summary.sections(report):
        columns = section.columns or ("", "")
        parts += [
            f"## {plain(section.title)}",
            _table(columns, section.rows, words=section.words if section.columns else len(columns)),
            _list(section.notes),
        ]
    return _joined(parts)


def comparison_markdown(comparison: Comparison) -> str:
    headings = [column["heading"] for column in comparison["columns"]]
    rows = [(row["label"], *row["shown"]) for row in comparison["rows"] if row["name"] not in HIDDEN]
    rows.append(("on the Pareto front", *standing(comparison)))
    table = [("", *headings), *rows]
    if len(headings) > _MOST_COLUMNS:  # each becomes a line
        table = list(zip(*table, strict=True))
    parts = [
        "# Comparison",
        "per sample",
        _list(notes(comparison)),
        _table(table[0], table[1:]),
        _list([*refusals(comparison), *gaps(comparison)]),
        "## Pareto front",
        _list(pareto_lines(comparison)),
    ]
    for family in comparison["across_timesteps"]:
        columns = ("program", "T", *(row["label"] for row in family["rows"]))
        lines = [
            (family["programs"][place], str(steps), *(row["shown"][place] for row in family["rows"]))
            for place, steps in enumerate(family["timesteps"])
        ]
        parts += [f"## One network at several T, on {plain(family['profile'])}", _table(columns, lines)]
    return _joined([*parts, _list(saved_lines(comparison))])


def plain(text: str) -> str:
    """A text on one line in which nothing is taken for Markdown or HTML; an indent becomes dots."""
    line = " ".join(text.split())
    escaped = re.sub(r"([\\`*_\[\]#|~$])", r"\\\1", line)
    escaped = re.sub(r"^([-+](?!\d)|=+$)", r"\\\1", escaped)  # lists and underlined headings
    escaped = re.sub(r"^(\d+)(?=[.)](?:\s|$))", r"\1\\", escaped)  # numbered lists
    escaped = escaped.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return "· " * ((len(text) - len(text.lstrip(" "))) // 2) + escaped


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, words: int = 1) -> str:
    """``words``: how many columns, from the left, are text."""
    lines = [columns, [("---" if index < words else "---:") for index in range(len(columns))]]
    text = [" | ".join(map(plain, lines[0])), " | ".join(lines[1])]
    text += [" | ".join(map(plain, row)) for row in rows]
    return "\n".join(f"| {line} |" for line in text)


def _list(lines: Sequence[str]) -> str:
    return "\n".join(f"- {plain(line)}" for line in lines)


def _joined(parts: Sequence[str]) -> str:
    return "\n\n".join(part for part in parts if part) + "\n"
