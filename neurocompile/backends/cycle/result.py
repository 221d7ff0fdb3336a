"""What the cycle engine finds: when everything happened, for whole runs, cores, links and samples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from neurocompile.ir.nodes import Array

Timing = Literal["exact", "fast"]
Unit = Literal["ns", "cycles"]


@dataclass(frozen=True)
class Cores:
    """One row per core that holds neurons, in ascending order. Times are sums over the run, in its unit."""

    core: Array  # int64 (C,)
    tile: Array  # int64 (C,)
    sending: Array  # float64 (C,): updates, spikes and messages that go out
    receiving: Array  # float64 (C,): source visits and messages that come in
    stalled: Array  # float64 (C,): a message waits for the network, and nothing else can be done
    idle: Array  # float64 (C,): the rest, up to the time of the run on each of the core's engines
    messages_out: Array  # int64 (C,)
    messages_in: Array  # int64 (C,)
    queue_peak: Array  # int64 (C,): messages that waited at once
    queue_wait: Array  # float64 (C,): from entering the queue until handling begins, over all messages


@dataclass(frozen=True)
class Links:
    """One row per directed link that carried a message."""

    source: Array  # int64 (L,): tile
    target: Array  # int64 (L,): tile, a neighbour of the source
    messages: Array  # int64 (L,)
    busy: Array  # float64 (L,): messages times the link's time
    wait: Array  # float64 (L,): from being able to go until entering the link, over all messages
    peak: Array  # int64 (L,): messages behind the link at once


@dataclass(frozen=True)
class Timeline:
    """What each core did within some consecutive chip steps; times count from the beginning of the step."""

    first_step: int
    start: Array  # float64 (W,): of the step, from the beginning of the run
    length: Array  # float64 (W,): of the step, with its barrier
    sending_end: Array  # float64 (W, C)
    receiving_start: Array  # float64 (W, C): the first message or source visit; equal to the end if there is none
    receiving_end: Array  # float64 (W, C)


@dataclass(frozen=True)
class CycleRun:
    """N samples of T steps on a chip, with phases up to D: S = N * T + D chip steps. Times are in ``unit``."""

    profile: str
    timing: Timing
    unit: Unit
    unit_ns: float | None  # nanoseconds of a unit; None where the clock's frequency is unknown
    samples: int
    timesteps: int
    depth: int
    step_time: Array  # float64 (S,): with barrier and tick
    fast_step_time: Array  # float64 (S,): the same by ``timing: fast``
    barrier: float
    overruns: int  # steps that lasted longer than the profile's tick
    engines: int  # per core: 2 where sending and receiving overlap
    cores: Cores
    links: Links
    timeline: Timeline
    sample_latency: Array  # float64 (N,)
    sample_end: Array  # float64 (N,): from the beginning of the run
    visits: Array  # int64 (slices, 3): active, inactive and stateless updates of each slice of the mapping, whole run

    @property
    def total(self) -> float:
        """Time of the whole run."""
        return float(self.step_time.sum())

    @property
    def fast_total(self) -> float:
        return float(self.fast_step_time.sum())

    @property
    def samples_per_unit(self) -> float | None:
        """Samples per unit of time between the first result and the last; over the run where there is one only."""
        if self.samples > 1:
            between = float(self.sample_end[-1] - self.sample_end[0])
            return (self.samples - 1) / between if between else None
        return 1 / self.total if self.total else None
