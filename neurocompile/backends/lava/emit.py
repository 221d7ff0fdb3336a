"""A plan as connected Lava processes. Only the Lava side of a run imports this."""

from __future__ import annotations

import itertools
from typing import Any

from lava.proc.dense.process import Dense
from lava.proc.lif.process import LIFReset

from neurocompile.backends.lava.job import Job
from neurocompile.backends.lava.plan import Block, Plan
from neurocompile.backends.lava.processes.population import Population
from neurocompile.backends.lava.processes.projection import Projection
from neurocompile.backends.lava.processes.readout import Readout
from neurocompile.backends.lava.processes.recorder import Recorder
from neurocompile.backends.lava.processes.source import Source


def emit(plan: Plan, job: Job) -> dict[str, Any]:
    """The Lava processes by name, connected."""
    processes = {block.name: _process(block, job) for block in plan.blocks}
    for block in plan.blocks:
        for read in block.reads:
            _output(processes[read]).connect(_input(processes[block.name]))
    sources = [process for process in processes.values() if isinstance(process, Source)]
    for one, next_one in itertools.pairwise(sources):
        one.after.connect(next_one.before)
    return processes


def _process(block: Block, job: Job) -> Any:
    match block.kind:
        case "Source":
            return Source(name=block.name, frames=job.frames(block.node), clock=job.clock, **block.settings)
        case "Projection":
            return Projection(name=block.name, **block.settings)
        case "Dense":
            return Dense(name=block.name, **block.settings)
        case "Population":
            return Population(name=block.name, record=job.spikes(block.node), **block.settings)
        case "LIFReset":
            return LIFReset(name=block.name, **block.settings)
        case "Recorder":
            return Recorder(name=block.name, record=job.spikes(block.node), **block.settings)
        case "Readout":
            return Readout(name=block.name, record=job.membranes(block.node), **block.settings)


def _output(process: Any) -> Any:
    """The port that sends: spikes of sources and somas, sums of synapses."""
    return process.a_out if hasattr(process, "a_out") else process.s_out


def _input(process: Any) -> Any:
    """The port that receives: sums into somas, spikes into synapses and recorders."""
    return process.a_in if hasattr(process, "a_in") else process.s_in
