"""The files that a report or a comparison can be written as."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from neurocompile.reports.compare import Comparison
from neurocompile.reports.compare_html import comparison_html
from neurocompile.reports.csv_files import comparison_csv, report_csv
from neurocompile.reports.data import Report
from neurocompile.reports.html import to_html
from neurocompile.reports.markdown import comparison_markdown, report_markdown

_REPORT: dict[str, Callable[[Report], str]] = {"csv": report_csv, "markdown": report_markdown}
_COMPARISON: dict[str, Callable[[Comparison], str]] = {
    "html": comparison_html,
    "csv": comparison_csv,
    "markdown": comparison_markdown,
}

#: control characters but for line breaks and tabs, marks of direction, and halves of pairs
_NO_TEXT = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def render_report(form: str, report: Report, others: Sequence[Report] = ()) -> bytes:
    """``others`` are compared with it on the page."""
    return _encoded(to_html(report, others) if form == "html" else _REPORT[form](report))


def render_comparison(form: str, comparison: Comparison) -> bytes:
    return _encoded(_COMPARISON[form](comparison))


def _encoded(text: str) -> bytes:
    """Names of files may hold what is no character at all, or what turns the text around it; both become escapes."""
    return _NO_TEXT.sub(lambda found: ascii(found[0])[1:-1], text).encode()
