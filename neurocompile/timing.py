"""When a program's run happens on its chip: the functional engine's spikes, timed by the cycle engine."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from neurocompile import driver
from neurocompile.backends.base import Progress, Samples
from neurocompile.backends.cycle.result import CycleRun
from neurocompile.errors import InputError
from neurocompile.ir.nodes import ENCODERS, SPIKING, Array
from neurocompile.ir.populations import populations
from neurocompile.program import Program

#: bytes of all events together, each of which is a byte here
MOST_BYTES = 1 << 31


@dataclass(frozen=True)
class Timing:
    """When a run happened, and the spikes of its first sample, (T, *shape) per sender."""

    cycle: CycleRun
    shown: Mapping[str, Array]


def time_run(
    program: Program,
    samples: Samples,
    *,
    labels: Array | None = None,
    timing: str = "exact",
    data: str | None = None,
    memory_bytes: int | None = None,
    progress: Callable[[str, str], Progress | None] | None = None,
) -> tuple[driver.Run, Timing]:
    """Run samples on the functional engine and time them on the program's chip, one after another without a gap.

    ``progress`` gives a bar for (what, unit). ProfileError where the profile has no times, InputError where so many
    samples do not fit the memory or the engine cannot run here.
    """
    from neurocompile.backends.cycle import simulate

    if timing not in ("exact", "fast"):
        raise InputError(f"--timing is {timing!r}; choose exact or fast")
    _check_size(program, len(samples))
    running, timed = (progress or _silent)("running", "samples"), (progress or _silent)("timing", "steps")
    run = driver.run(
        program,
        samples,
        labels=labels,
        backend="functional",
        data=data,
        record=True,
        per_sample=True,
        memory_bytes=memory_bytes,
        progress=running,
    )
    events = dict(run.events or {})
    awake, leftover = None, None
    if program.profile.core.active == "state":
        from neurocompile.backends.functional.states import awake_states

        phases = {each.name: each.soma.phase for each in populations(program.mapped)}
        awake, leftover = awake_states(program.integer, events, phases)
    cycle = simulate(
        program.mapped,
        program.mapping,
        program.profile,
        events,
        timing="exact" if timing == "exact" else "fast",
        awake=awake,
        leftover=leftover,
        progress=timed,
    )
    return run, Timing(cycle, {name: values[0] for name, values in events.items()})


def _check_size(program: Program, samples: int) -> None:
    graph = program.integer
    senders = graph.of_kind(*ENCODERS, *SPIKING)
    each = graph.timesteps * sum(math.prod(graph.shape(name)) for name in senders)
    if samples * each > MOST_BYTES:
        raise InputError(
            f"{samples:,} samples of {each:,} events each are more than the cycle engine holds at once "
            f"({MOST_BYTES:,}); give --limit {max(1, MOST_BYTES // each)} or less"
        )


def _silent(_: str, __: str) -> None:
    return None
