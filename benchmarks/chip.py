"""Timing a network on a chip: our cycle engine and SANA-FE, from their files to the time of the last step.

The network is made once and kept under build/bench/chip: a program for ``loihi1-sanafe``, its export for SANA-FE, and
the sample in both. A run takes in everything: reading the files, setting up the chip, and all steps.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import numpy as np
from cases import OUT, RATE
from child import Side, Ways, clocked

if TYPE_CHECKING:
    from neurocompile.backends.cycle.result import CycleRun, Timing
    from neurocompile.ir.interpret import Trace
    from neurocompile.program import Program

PLACE = OUT / "chip"
STEPS = 10
#: SANA-FE's models of time by our names
MODELS = {"exact": "detailed", "fast": "simple"}


def make() -> dict[str, Any]:
    """A network for 32 x 32 pixels in colour that fires as those of the papers, and both files of it; made anew."""
    import torch
    from torch import nn

    from neurocompile import driver, snn
    from neurocompile.backends.export.sanafe import write_sanafe
    from neurocompile.snn.models import seeded, tune_rates

    lif = functools.partial(snn.LIF, 1.0, 0.9, reset="set")
    conv = functools.partial(nn.Conv2d, kernel_size=3, padding=1, bias=False)
    network = nn.Sequential(
        snn.PoissonEncoder(), conv(3, 16), lif(), conv(16, 32, stride=2), lif(), conv(32, 32, stride=2), lif(),
        nn.Flatten(), nn.Linear(2048, 128, bias=False), lif(), nn.Linear(128, 10, bias=False), snn.Readout(),
    )  # fmt: skip
    samples = np.random.default_rng(0).random((8, 3, 32, 32), np.float32)
    tune_rates(seeded(network, 0), torch.from_numpy(samples), STEPS, RATE)
    program = driver.compile(network, samples, target="loihi1-sanafe", timesteps=STEPS, name="chip")
    PLACE.mkdir(parents=True, exist_ok=True)
    program.save(PLACE / "program", force=True)
    write_sanafe(program, PLACE / "network.yaml")
    return {}


def ours(timing: Timing) -> Ways:
    return {"": lambda: Side(clocked(functools.partial(_ours, timing), _told))}


def theirs(timing: Timing) -> Ways:
    return {"": lambda: Side(clocked(functools.partial(_theirs, MODELS[timing]), _told_by_sanafe), warm_ups=0)}


def _ours(timing: Timing) -> tuple[Program, Trace, CycleRun]:
    from neurocompile.backends.cycle import simulate
    from neurocompile.backends.functional import FunctionalBackend
    from neurocompile.backends.functional.states import awake_states
    from neurocompile.ir.populations import populations
    from neurocompile.program import Program

    program = Program.load(PLACE / "program")
    assert program.calibration is not None
    trace = FunctionalBackend().run(program.integer, program.calibration[:1])
    phases = {each.name: each.soma.phase for each in populations(program.mapped)}
    awake, leftover = awake_states(program.integer, trace.events, phases)
    run = simulate(
        program.mapped, program.mapping, program.profile, trace.events, timing=timing, awake=awake, leftover=leftover
    )
    return program, trace, run


def _told(result: tuple[Program, Trace, CycleRun]) -> dict[str, Any]:
    from neurocompile.costs.activity import Activity
    from neurocompile.costs.counters import count

    program, trace, run = result
    activity = Activity.of(program.mapped, trace)
    counters = count(program.mapped, program.mapping, activity, program.profile).total
    fired = int(counters.spikes) + sum(int(bits.sum()) for bits in activity.bits.values())
    digest = [fired, int(run.cores.messages_in.sum()), int(counters.synaptic_ops)]
    return {"digest": digest, "synaptic_events": digest[-1], "chip_seconds": run.total * 1e-9}


def _theirs(model: str) -> dict[str, Any]:
    import sanafe

    path = str(PLACE / "network.yaml")
    architecture = sanafe.load_arch(path)
    chip = sanafe.SpikingChip(architecture)
    chip.load(sanafe.load_net(path, architecture))
    result: dict[str, Any] = chip.sim(_steps(), timing_model=model)
    return result


def _steps() -> int:
    """Four layers of neurons, and the readout."""
    return STEPS + 5


def _told_by_sanafe(result: dict[str, Any]) -> dict[str, Any]:
    digest = [result["neurons_fired"], result["packets_sent"], result["spikes"]]
    return {"digest": digest, "synaptic_events": digest[-1], "chip_seconds": result["sim_time"]}
