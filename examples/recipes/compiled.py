"""A trained network on a target: built from its checkpoint, run in integers, and every engine compared."""

from __future__ import annotations

import contextlib
import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

import neurocompile
from neurocompile import commands, driver, snn
from neurocompile.errors import CapacityError
from neurocompile.hardware.target import load_target
from neurocompile.ir.populations import populations
from neurocompile.mapping.synapses import full_box
from neurocompile.mapping.weights import nonzero_fan_out
from neurocompile.program import Program
from neurocompile.resources import profiles_folder
from neurocompile.timing import time_run
from neurocompile.verification import verify_program
from neurocompile.writing import write_whole
from recipes.data import Data

#: training samples that a checkpoint keeps for the quantizer
CALIBRATION = 64
#: test samples at most on which the integer network's accuracy is measured
MOST_SAMPLES = 10_000


@dataclass(frozen=True)
class Compiled:
    """What became of a network.

    ``engines``: "equal", "differs: where" or "unavailable: why" for each engine, against the interpreter, on
    ``compared`` samples. ``nonzero_synapses``: those whose integer weight is not 0. ``spikes``: of all neurons, per
    sample. ``refused``: why it has no program; then nothing else is known.
    """

    refused: str | None = None
    accuracy: float | None = None
    samples: int = 0
    compared: int = 0
    engines: dict[str, str] | None = None
    neurons: int = 0
    synapses: int = 0
    nonzero_synapses: int = 0
    cores: int = 0
    spikes: float = 0.0

    @property
    def equal(self) -> bool:
        """Whether every engine gave every spike of the interpreter."""
        return bool(self.engines) and all(state == "equal" for state in (self.engines or {}).values())

    @property
    def verdict(self) -> str:
        """What a line or a table says of the engines."""
        if self.refused:
            return f"refused: {self.refused}"
        if self.equal:
            return f"all engines equal on {self.compared} samples"
        return ", ".join(f"{name} {state}" for name, state in (self.engines or {}).items() if state != "equal")

    def plain(self) -> dict[str, Any]:
        return {**asdict(self), "equal": self.equal}


def save(model: nn.Module, path: Path, data: Data, *, timesteps: int, note: dict[str, Any]) -> None:
    """Write the checkpoint of a trained network, with samples for the quantizer and ``note`` as its metadata."""
    path.parent.mkdir(parents=True, exist_ok=True)
    samples, _ = data.train.take(min(CALIBRATION, len(data.train)))
    snn.save(
        model.cpu().eval(),
        path,
        timesteps=timesteps,
        input_shape=data.input_shape,
        sample_input=samples,
        metadata={"dataset": data.name, **note},
    )


def compile_and_compare(path: Path, data: Data, *, target: str, compare: int) -> Compiled:
    """Build the checkpoint at ``path`` for ``target`` beside it, and run the test samples.

    The functional engine runs ``MOST_SAMPLES`` of them at most; the interpreter, the functional engine, the cycle
    engine, the interpreter in chip time and Lava all run the first ``compare``, and every event of each is compared. A
    network that the chip cannot hold gives the reason.

    What an earlier call found is taken from the file beside the program, if it was of the same checkpoint, compiler and
    samples: to compare engines takes long.
    """
    folder = program_folder(path, target)
    kept = folder.with_name(f"{folder.name}.json")
    key = _key(path, data, target, compare)
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError, AttributeError):
        known = json.loads(kept.read_text())
        if known.pop("of") == key and (folder.is_dir() or known["refused"]):
            return Compiled(**known)
    found = _compile_and_compare(path, folder, data, target, compare)
    write_whole(kept, (json.dumps({"of": key, **asdict(found)}, indent=1) + "\n").encode())
    return found


def program_folder(path: Path, target: str) -> Path:
    """Where the program of the checkpoint at ``path`` lies."""
    return path.with_name(f"{path.stem}-{load_target(target).name}")


def _key(path: Path, data: Data, target: str, compare: int) -> str:
    package = Path(neurocompile.__file__).parent
    samples, labels = data.test.take(min(len(data.test), MOST_SAMPLES))
    digest = hashlib.sha256(f"{load_target(target)!r} {compare} {len(samples)}".encode())
    for file in (path, *sorted(package.rglob("*.py")), *sorted(profiles_folder().glob("*.yaml"))):
        digest.update(file.read_bytes())
    digest.update(samples.numpy().tobytes() + labels.numpy().tobytes())
    return digest.hexdigest()


def _compile_and_compare(path: Path, folder: Path, data: Data, target: str, compare: int) -> Compiled:
    try:
        built = commands.build(path, target=target, out=folder, force=True)
    except CapacityError as error:
        return Compiled(refused=str(error))
    program = Program.load(folder)
    samples, labels = data.test.take(min(len(data.test), MOST_SAMPLES))
    run = driver.run(program, samples, labels=labels, per_sample=True, data=f"{len(samples)} of {data.name}")
    commands.write_report(folder, program, run.activity)
    few = np.asarray(samples[:compare])
    engines = {
        name: found["state"] + (f": {reason}" if (reason := found.get("difference") or found.get("reason")) else "")
        for name, found in verify_program(program, few, quick=True, exact_limit=compare)["engines"].items()
    }
    reference = driver.run(program, few, backend="reference")
    timed, _ = time_run(program, few)
    same = (timed.spike_hash, timed.output_hash) == (reference.spike_hash, reference.output_hash)
    engines["cycle"] = "equal" if same else "differs: its spikes or outputs have another hash"
    return Compiled(
        accuracy=run.accuracy,
        samples=len(samples),
        compared=len(few),
        engines=engines,
        neurons=built["neurons"],
        synapses=built["synapses"],
        nonzero_synapses=sum(
            int(nonzero_fan_out(projection, full_box(population.shape)).sum())
            for population in populations(program.integer)
            for projection in population.projections
        ),
        cores=built["cores"],
        spikes=run.spikes / len(samples),
    )
