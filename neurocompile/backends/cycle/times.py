"""Times of a profile in whole ticks, so that sums do not depend on their order."""

from __future__ import annotations

from neurocompile.backends.cycle.result import Unit
from neurocompile.errors import ProfileError
from neurocompile.hardware.profile import Cost, Profile
from neurocompile.hardware.review import in_cycles

#: of a nanosecond, or of a clock cycle
TICKS = 10**6
#: more ticks in a time step would not fit an int64
MOST = 1 << 62


class Times:
    """Reads times and remembers those that are wanted and null."""

    def __init__(self, profile: Profile) -> None:
        self.profile = profile
        self.unit: Unit = "cycles" if in_cycles(profile) else "ns"
        self.missing: list[str] = []

    @property
    def unit_ns(self) -> float | None:
        """Nanoseconds of a unit; None where the clock's frequency is unknown."""
        if self.unit == "ns":
            return 1.0
        frequency = self.profile.clock.frequency_mhz if self.profile.clock else None
        return 1e3 / frequency.value if frequency else None

    def of(self, key: str, cost: Cost | None) -> int:
        """Ticks of an event; none of an event that the chip does not have."""
        if cost is None:
            return 0
        if self.unit == "cycles":
            return _ticks(cost.cycles.value) if cost.cycles else self.lacks(f"{key}.cycles")
        time = self.profile.time_of(cost)
        if time is None:
            return self.lacks(f"{key}.time_ns" if cost.cycles is None else "clock.frequency_mhz")
        return _ticks(time.value)

    def duration(self, key: str, time_ns: float | None) -> int:
        """Ticks of a time that the profile gives in nanoseconds."""
        if time_ns is None:
            return self.lacks(key)
        unit_ns = self.unit_ns
        return self.lacks("clock.frequency_mhz") if unit_ns is None else _ticks(time_ns / unit_ns)

    def check(self) -> None:
        """ProfileError where a time is wanted and null."""
        if self.missing:
            raise ProfileError(
                f"{self.profile.name}: the cycle engine needs {', '.join(dict.fromkeys(self.missing))}, which the "
                "profile does not know; choose a profile with times, or the report's mean counts"
            )

    def lacks(self, key: str) -> int:
        """No ticks, but what ``check`` refuses."""
        self.missing.append(key)
        return 0


def _ticks(value: float) -> int:
    ticks = round(value * TICKS)
    if ticks >= MOST:
        raise ProfileError(f"an event takes {value:g} time units, limit {MOST // TICKS:.0e}; check the unit")
    return ticks
