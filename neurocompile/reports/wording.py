"""Numbers as people read them; the renderers share these."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

ENERGIES = ((1e12, "J"), (1e9, "mJ"), (1e6, "µJ"), (1e3, "nJ"), (1.0, "pJ"))
TIMES = ((1e9, "s"), (1e6, "ms"), (1e3, "µs"), (1.0, "ns"))
ENERGY_DELAYS = (
    (1e21, "J·s"), (1e18, "mJ·s"), (1e15, "µJ·s"), (1e12, "nJ·s"), (1e9, "pJ·s"), (1e6, "pJ·ms"), (1e3, "pJ·µs"),
    (1.0, "pJ·ns"),
)  # fmt: skip
NOTHING = "–"


def energy(picojoules: float | None) -> str:
    return _scaled(picojoules, ENERGIES)


def duration(nanoseconds: float | None) -> str:
    return _scaled(nanoseconds, TIMES)


def energy_delay(picojoule_nanoseconds: float | None) -> str:
    return _scaled(picojoule_nanoseconds, ENERGY_DELAYS)


_SCALES: dict[str, Sequence[tuple[float, str]]] = {"pJ": ENERGIES, "ns": TIMES, "pJ·ns": ENERGY_DELAYS}


def scale_of(values: Iterable[float], unit: str) -> tuple[float, str]:
    """(what numbers of a unit are divided by, the unit then) to show them together: the prefix is the largest one's."""
    if unit == "%":
        return 0.01, "%"
    if unit not in _SCALES:
        return 1.0, unit
    largest = max(map(abs, values), default=0.0)
    return next((scale for scale in _SCALES[unit] if largest >= scale[0]), _SCALES[unit][-1])


def time_in(unit: str) -> Callable[[float | None], str]:
    """How times of the cycle engine are shown: in ns, or in cycles where a chip has no clock of its own."""
    if unit == "ns":
        return duration
    return lambda value: NOTHING if value is None else f"{number(value)} {unit}"


def spread(statistics: Mapping[str, float], show: Callable[[float | None], str]) -> str:
    """Mean and standard deviation, least and most."""
    mean, std, least, most = (show(statistics[name]) for name in ("mean", "std", "min", "max"))
    return f"{mean} ± {std}, from {least} to {most}"


def percent(share: float | None) -> str:
    return NOTHING if share is None else f"{share:.2%}"


def plain(text: str) -> str:
    """A text from outside on one line, which steers no terminal: what cannot be printed stands as its escape."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)


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
