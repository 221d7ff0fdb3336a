"""What a recipe leaves for people and programs: results.json, and results.md with its tables."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from neurocompile.writing import write_all


def write(folder: Path, results: dict[str, Any], markdown: str) -> None:
    """Both files, or none."""
    text = json.dumps(results, indent=1, allow_nan=False) + "\n"
    write_all({folder / "results.json": text.encode(), folder / "results.md": markdown.encode()})


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; the first column is of names, the others of numbers."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines) + "\n"


def percent(values: Iterable[float]) -> str:
    """Fractions as per cent: their mean, and the sample standard deviation where there are several."""
    return spread([100 * value for value in values], 2)


def spread(values: Sequence[float], digits: int) -> str:
    """``mean`` or ``mean ± deviation`` (of the sample, n - 1)."""
    mean = f"{statistics.fmean(values):.{digits}f}"
    return mean if len(values) < 2 else f"{mean} ± {statistics.stdev(values):.{digits}f}"
