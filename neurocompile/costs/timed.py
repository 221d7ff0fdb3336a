"""What costs want to know of a run that an engine has timed: plain numbers, whatever engine it was."""

from __future__ import annotations

from dataclasses import dataclass

from neurocompile.errors import InputError
from neurocompile.ir.nodes import Array
from neurocompile.mapping.mapping import Mapping


@dataclass(frozen=True)
class Timed:
    """``samples`` samples that streamed through a chip in ``steps`` steps, those of filling and draining among them.

    ``visits``: int64 (slices, 3), the active, inactive and stateless updates of each slice of the mapping in the whole
    run. ``total_ns``: its time; None on a clocked chip of unknown frequency. ``latency_ns``: float64 (samples,), from
    the beginning of a sample to its result; None like ``total_ns``. ``throughput_per_s``: in samples.
    """

    samples: int
    steps: int
    visits: Array
    total_ns: float | None
    latency_ns: Array | None
    throughput_per_s: float | None

    @property
    def step_ns(self) -> float | None:
        """The mean step."""
        return None if self.total_ns is None else self.total_ns / self.steps

    @property
    def mean_latency_ns(self) -> float | None:
        return None if self.latency_ns is None else float(self.latency_ns.mean())

    def check(self, mapping: Mapping) -> None:
        """InputError unless the run was one of this mapping."""
        if self.visits.shape != (len(mapping.slices), 3):
            raise InputError(f"a timed run has visits of shape {self.visits.shape}, the mapping {len(mapping.slices)} "
                             "slices; time the run again")  # fmt: skip
