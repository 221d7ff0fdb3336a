"""Numbers as people read them; the renderers share these."""

from __future__ import annotations

from collections.abc import Sequence

ENERGIES = ((1e12, "J"), (1e9, "mJ"), (1e6, "µJ"), (1e3, "nJ"), (1.0, "pJ"))
TIMES = ((1e9, "s"), (1e6, "ms"), (1e3, "µs"), (1.0, "ns"))
NOTHING = "–"


def energy(picojoules: float | None) -> str:
    return _scaled(picojoules, ENERGIES)


def duration(nanoseconds: float | None) -> str:
    return _scaled(nanoseconds, TIMES)


def number(value: float | None) -> str:
    """Whole numbers with thousands, others with three digits that count."""
    if value is None:
        return NOTHING
    if value == int(value) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def incomplete(missing: Sequence[str]) -> str:
    """Why a number is not there."""
    return f"incomplete: needs {', '.join(missing)}" if missing else NOTHING


def incomplete_energy(missing: Sequence[str], known_pj: float) -> str:
    return f"{incomplete(missing)} (at least {energy(known_pj)})" if missing else NOTHING


def times(ratio: float | None) -> str:
    return NOTHING if ratio is None else f"{ratio:,.3g}×" if ratio < 1000 else f"{ratio:,.0f}×"


def _scaled(value: float | None, units: Sequence[tuple[float, str]]) -> str:
    if value is None:
        return NOTHING
    factor, unit = next(((factor, unit) for factor, unit in units if value >= factor), units[-1])
    return f"{value / factor:.4g} {unit}"
