"""Times of a profile in whole ticks, so that sums do not depend on their order."""

from __future__ import annotations

from neurocompile.backends.cycle.result import Unit
from neurocompile.errors import ProfileError
from neurocompile.hardware.profile import Cost, Profile
from neurocompile.hardware.review import in_cycles
from neurocompile.ir.nodes import Array

#: of a nanosecond, or of a clock cycle
TICKS = 10**6
#: more ticks in a time step would not fit an int64
MOST_TICKS = 1 << 62
#: all that a core does for one message or one neuron; a step has many
_MOST_AT_ONCE = 1 << 54


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
            return self._ticks(f"{key}.cycles", cost.cycles.value) if cost.cycles else 0
        time = self.profile.time_of(cost)
        if time is None:
            return self._lacks(f"{key}.time_ns" if cost.cycles is None else "clock.frequency_mhz")
        return self._ticks(f"{key}.{'time_ns' if cost.cycles is None else 'cycles'}", time.value)

    def many(self, key: str, events: Array, ticks: int) -> Array:
        """Ticks of so many events that belong to one message, or to one neuron."""
        self._check_size(key, int(events.max(initial=0)) * ticks, _MOST_AT_ONCE)
        return events * ticks

    def duration(self, key: str, time_ns: float | None) -> int:
        """Ticks of a time that the profile gives in nanoseconds."""
        if time_ns is None:
            return self._lacks(key)
        unit_ns = self.unit_ns
        return (
            self._lacks("clock.frequency_mhz") if unit_ns is None else self._ticks(key, time_ns / unit_ns, MOST_TICKS)
        )

    def check(self) -> None:
        """ProfileError where a time is wanted and null."""
        if self.missing:
            raise ProfileError(
                f"{self.profile.name}: the cycle engine needs {', '.join(dict.fromkeys(self.missing))}, which the "
                "profile does not know; choose a profile with times, or the report's mean counts"
            )

    def _lacks(self, key: str) -> int:
        self.missing.append(key)
        return 0

    def check_step(self, ticks: float) -> None:
        """ProfileError where a time step may take more ticks than can be counted."""
        self._check_size("a time step", int(ticks), MOST_TICKS)

    def _ticks(self, key: str, value: float, most: int = _MOST_AT_ONCE) -> int:
        ticks = round(value * TICKS)
        self._check_size(key, ticks, most)
        return ticks

    def _check_size(self, key: str, ticks: int, most: int) -> None:
        if ticks >= most:
            raise ProfileError(
                f"{self.profile.name}: {key} comes to {ticks / TICKS:.3g} {self.unit}, limit {most / TICKS:.3g}; "
                "check the units, or choose the report's mean counts"
            )


def shown(ticks: float) -> float:
    """Ticks as a time in the run's unit."""
    return ticks / TICKS
