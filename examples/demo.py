"""The whole way on real data: train three spiking networks, compile them, run them in Lava, price them on two chips.

    python examples/demo.py [--out build/demo]

Leaves checkpoints, held-out images and labels, the three program folders, and results.json. What is still valid from an
earlier run is used again: checkpoints while the recipe and the layers are the same, programs while the compiler is too.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import digits
import numpy as np
import torch
from recipes.options import script
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

import neurocompile
from neurocompile import commands, driver, snn
from neurocompile.console import Bars
from neurocompile.errors import CapacityError
from neurocompile.hardware.profile import load_profile
from neurocompile.program import Program
from neurocompile.reports.data import Report
from neurocompile.reports.wording import duration, energy
from neurocompile.writing import write_whole

TARGET = "loihi2-sim"
CHIPS = ("loihi2", "loihi1-davies2018")
#: checkpoint -> (the recipe's name for it, time steps)
NETWORKS = {"vgg-t1": ("t1", 1), "vgg-t5": ("t5", 5), "resnet-t4": ("resnet", 4)}

console = Console(highlight=False)


@dataclass(frozen=True)
class Result:
    """What one network did with the held-out images."""

    name: str
    program: Program
    accuracy_float: float
    accuracy_integer: float
    accuracy_lava: float
    equal: bool
    reports: dict[str, Report | CapacityError]


def main() -> None:
    parser = argparse.ArgumentParser(description="Train, compile, simulate and price three spiking networks.")
    parser.add_argument("--out", type=Path, default=Path("build/demo"), metavar="FOLDER")
    folder: Path = parser.parse_args().out
    folder.mkdir(parents=True, exist_ok=True)
    data = digits.load_digits_split()
    np.save(folder / "images.npy", data.test_x.numpy())
    np.save(folder / "labels.npy", data.test_y.numpy())
    _train(folder, data)
    _build(folder)
    results = [_run(folder, name, data) for name in NETWORKS]
    write_whole(folder / "results.json", (json.dumps([_plain(each) for each in results], indent=1) + "\n").encode())
    _show(results)


def _train(folder: Path, data: digits.Split) -> None:
    stamp = _digest(Path(digits.__file__), *sorted(Path(snn.__file__).parent.glob("*.py")), extra=torch.__version__)
    paths = {name: folder / f"{name}.pt" for name in NETWORKS}
    if _stamp(folder, "checkpoints") == stamp and all(path.is_file() for path in paths.values()):
        console.print("checkpoints: those of the last run are still valid")
        return
    columns = (TextColumn("{task.description:<20}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"))
    with Progress(*columns, TimeElapsedColumn(), console=console) as bar:
        task = bar.add_task("", total=2.0)
        models = digits.train_vgg(lambda what, done: bar.update(task, description=what, completed=done))
        models["resnet"] = digits.train_resnet(
            lambda what, done: bar.update(task, description=what, completed=1 + done)
        )
    for name, (recipe, timesteps) in NETWORKS.items():
        snn.save(
            models[recipe],
            paths[name],
            timesteps=timesteps,
            input_shape=digits.INPUT_SHAPE,
            sample_input=data.train_x[: digits.CALIBRATION],
        )
    _set_stamp(folder, "checkpoints", stamp)


def _build(folder: Path) -> None:
    package = Path(neurocompile.__file__).parent
    data = (*package.parent.glob("hw_profiles/*.yaml"), *package.parent.glob("targets/*.yaml"))
    for name in NETWORKS:
        checkpoint, program = folder / f"{name}.pt", folder / f"{name}-{TARGET}"
        stamp = _digest(checkpoint, *sorted(package.rglob("*.py")), *sorted(data))
        if _stamp(folder, program.name) == stamp and (program / "program.json").is_file():
            console.print(f"{program.name}: still valid")
            continue
        built = commands.build(checkpoint, target=TARGET, out=program, force=True)
        size = f"{built['neurons']:,} neurons on {built['cores']} cores"
        console.print(f"{program.name}: {size}, {built['seconds']:.1f} s")
        _set_stamp(folder, program.name, stamp)


def _run(folder: Path, name: str, data: digits.Split) -> Result:
    """Every held-out image in Lava and in the interpreter, float and integer."""
    program_folder = folder / f"{name}-{TARGET}"
    program = Program.load(program_folder)
    images, labels = data.test_x.numpy(), data.test_y.numpy()
    described = f"{len(images)} held-out digits"
    with Bars(quiet=False) as bars:
        trained = driver.ReferenceBackend().run(program.trained, images, progress=bars.task(f"{name}, float"))
        integer = driver.run(
            program, images, labels=labels, backend="reference", progress=bars.task(f"{name}, integer")
        )
        lava = driver.run(
            program, images, labels=labels, backend="lava", data=described, progress=bars.task(f"{name}, Lava")
        )
    commands.write_report(program_folder, program, lava.activity)
    mine, theirs = integer.summary(), lava.summary()
    return Result(
        name=name,
        program=program,
        accuracy_float=driver.accuracy(trained, labels) or 0.0,
        accuracy_integer=integer.accuracy or 0.0,
        accuracy_lava=lava.accuracy or 0.0,
        equal=all(mine[key] == theirs[key] for key in ("spike_hash", "output_hash")),
        reports={chip: _report(program, lava, chip, images) for chip in CHIPS},
    )


def _report(program: Program, run: driver.Run, chip: str, samples: np.ndarray) -> Report | CapacityError:
    try:
        return commands.report_elsewhere(program, commands.Work(run.activity, samples), load_profile(chip))
    except CapacityError as error:
        return error


def _plain(result: Result) -> dict[str, Any]:
    return {
        "name": result.name,
        "timesteps": result.program.integer.timesteps,
        "accuracy_float": result.accuracy_float,
        "accuracy_integer": result.accuracy_integer,
        "accuracy_lava": result.accuracy_lava,
        "lava_equals_interpreter": result.equal,
        "cores": result.program.mapping.cores,
        "chips": {
            chip: {"refused": str(report)}
            if isinstance(report, CapacityError)
            else {key: report[key] for key in ("energy_pj", "latency_ns", "memory_accesses", "state_memory_words")}
            for chip, report in result.reports.items()
        },
    }


def _show(results: list[Result]) -> None:
    table = Table(title="scikit-learn digits, held out", title_justify="left")
    table.add_column("")
    for result in results:
        table.add_column(result.name, justify="right")

    def row(label: str, *cells: str) -> None:
        table.add_row(label, *cells)

    def priced(chip: str, price: Callable[[Report], str]) -> list[str]:
        reports = [result.reports[chip] for result in results]
        return ["refused" if isinstance(each, CapacityError) else price(each) for each in reports]

    row("time steps", *(str(result.program.integer.timesteps) for result in results))
    row("accuracy, float", *(f"{result.accuracy_float:.2%}" for result in results))
    row("accuracy, integer", *(f"{result.accuracy_integer:.2%}" for result in results))
    row("accuracy, Lava", *(f"{result.accuracy_lava:.2%}" for result in results))
    row("Lava = interpreter", *("every spike" if result.equal else "DIFFERS" for result in results))
    row("cores", *(str(result.program.mapping.cores) for result in results))
    for chip in CHIPS:
        row(f"latency, {chip}", *priced(chip, lambda report: duration(report["latency_ns"])))
        row(f"energy, {chip}", *priced(chip, lambda report: energy(report["energy_pj"]["total"])))
        row("  without static power", *priced(chip, _dynamic_energy))
    console.print(table)
    for result in results:
        for chip, report in result.reports.items():
            if isinstance(report, CapacityError):
                console.print(f"{result.name} on {chip} is refused: {report}", markup=False)
    fewer, more = (result.reports[CHIPS[0]] for result in results if result.name in ("vgg-t1", "vgg-t5"))
    if not isinstance(fewer, CapacityError) and not isinstance(more, CapacityError):
        ratio = more["memory_accesses"]["total"] / fewer["memory_accesses"]["total"]
        console.print(f"T = 1 makes {ratio:.1f} times fewer memory accesses than T = 5, and keeps no membrane")


def _dynamic_energy(report: Report) -> str:
    parts = report["energy_pj"]
    return energy(parts["total"] - parts["static"])


def _digest(*paths: Path, extra: str = "") -> str:
    digest = hashlib.sha256(extra.encode())
    for path in paths:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _stamps(folder: Path) -> dict[str, str]:
    try:
        stamps = json.loads((folder / "stamps.json").read_text())
    except (OSError, ValueError):
        return {}
    return stamps if isinstance(stamps, dict) else {}


def _stamp(folder: Path, name: str) -> str | None:
    return _stamps(folder).get(name)


def _set_stamp(folder: Path, name: str, stamp: str) -> None:
    text = json.dumps({**_stamps(folder), name: stamp}, indent=1)
    write_whole(folder / "stamps.json", text.encode())


if __name__ == "__main__":
    script(main, then="to make what is still missing")
