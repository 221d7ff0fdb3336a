"""Comparisons of the tiny network of the cost tests: what fits, what is incomplete, what is refused."""

from __future__ import annotations

import dataclasses
import io
from typing import Any

from costs_cases import activity, chip, cost, mapped, tiny
from rich.console import Console

from neurocompile.errors import CapacityError
from neurocompile.hardware import Profile
from neurocompile.mapping import map_graph
from neurocompile.reports.compare import compare, refused
from neurocompile.reports.compare_terminal import print_comparison
from neurocompile.reports.data import Report, report_data

SENTENCE = "hidden: it resets to a value, and other has no reset; choose a chip with one"


def report_of(profile: Profile, timesteps: int = 2, correct: int | None = None, name: str = "toy") -> Report:
    graph = mapped(tiny(timesteps))
    seen = dataclasses.replace(activity(graph), correct=correct)
    return {**report_data(graph, map_graph(graph, profile), seen, profile), "profile": name}


def incomplete(correct: int | None = None) -> Report:
    """A chip whose synaptic ops have neither energy nor time."""
    return report_of(chip(events__synaptic_op=cost(None, None)), correct=correct, name="vague")


def no_fit() -> Report:
    return refused("tiny", "other", CapacityError(SENTENCE), 2)


def four() -> dict[str, Any]:
    """One better than another, one incomplete, one refused."""
    cheap = chip(events__synaptic_op=cost(0.5, 2))
    return compare([report_of(chip(), correct=1), report_of(cheap, correct=1, name="cheap"), incomplete(1), no_fit()])


def rows(comparison: dict[str, Any]) -> dict[str, list[Any]]:
    return {row["name"]: row["values"] for row in comparison["rows"]}


def shown(comparison: dict[str, Any], width: int = 100, **options: Any) -> str:
    out = io.StringIO()
    print_comparison(comparison, Console(file=out, width=width, **options))
    return out.getvalue()
