"""When a program's run happens on its chip: the functional engine's spikes, timed by the cycle engine."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from neurocompile import driver
from neurocompile.backends.base import Progress, Samples
from neurocompile.backends.cycle.result import CycleRun
from neurocompile.costs.memory import is_stateful
from neurocompile.errors import InputError
from neurocompile.ir.nodes import ENCODERS, SPIKING, Array
from neurocompile.ir.populations import populations
from neurocompile.program import Program
from neurocompile.recording import Recording

#: bytes of all events together, and of what is known of states where a chip looks at them
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
    return run, Timing(cycle, {name: values[0].copy() for name, values in events.items()})


def _check_size(program: Program, samples: int) -> None:
    graph, kept = program.integer, Recording(program.integer)
    sizes = {name: kept.dtype(name).itemsize for name in graph.of_kind(*ENCODERS, *SPIKING)}
    each = sum(math.prod(graph.shape(name)) * size for name, size in sizes.items())
    if program.profile.core.active == "state":
        each += sum(one.neurons for one in populations(graph) if is_stateful(one.soma, graph.timesteps))
    each *= graph.timesteps
    if samples * each > MOST_BYTES:
        most = MOST_BYTES // each
        raise InputError(
            f"{samples:,} samples of {each:,} bytes each are more than the cycle engine holds at once "
            f"({MOST_BYTES:,}); {f'give --limit {most} or less' if most else 'build it with fewer time steps'}"
        )


def _silent(_: str, __: str) -> None:
    return None
