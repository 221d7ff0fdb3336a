"""The flags that every recipe has, and how a recipe ends when something is wrong."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from neurocompile.console import orderly_signals
from neurocompile.errors import InputError, NeurocompileError
from neurocompile.hardware.target import load_target

DATASETS = ("digits", "cifar10", "cifar100", "imagenet")


@dataclass(frozen=True)
class Options:
    """What the user chose.

    ``width``: factor of a network's channels; ``seeds``: one whole run each; ``effort``: factor of all epochs;
    ``workers``: processes that read ImageNet's files, which changes no number;
    ``compare``: on how many test samples the engines are compared; ``target``: what is compiled for, "" for nothing.
    """

    dataset: str
    data_root: Path | None
    arch: str
    width: float
    device: torch.device
    out: Path
    seeds: tuple[int, ...]
    effort: float
    batch: int
    workers: int
    compare: int
    target: str

    def epochs(self, full: int) -> int:
        """``full`` epochs at full effort, 1 at least."""
        return max(1, round(self.effort * full))

    def recipe(self, **more: object) -> dict[str, object]:
        """What decides the weights that come out, as plain data; a state of another recipe is not gone on with."""
        return {
            "dataset": self.dataset,
            "arch": self.arch,
            "width": self.width,
            "effort": self.effort,
            "batch": self.batch,
            "torch": torch.__version__.partition("+")[0],
            **more,
        }


def parser(description: str, *, archs: Sequence[str], arch: str, width: float, out: str) -> argparse.ArgumentParser:
    """The flags with the defaults of one recipe: ``arch`` at ``width`` is for the digits."""
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    add = made.add_argument
    add("--dataset", choices=DATASETS, default="digits")
    add("--data-root", type=Path, metavar="FOLDER", help="where the files of the data set are (not for digits)")
    add("--arch", choices=tuple(archs), default=arch)
    add("--width", type=float, metavar="FACTOR", help=f"of all channels; {width:g} for digits, else 1")
    add("--device", default="cpu", help="where torch trains: cpu, cuda, cuda:1, ...")
    add(
        "--out",
        type=Path,
        default=Path(out),
        metavar="FOLDER",
        help="checkpoints, programs and results",
    )
    add("--seeds", default="0", metavar="N,N,...", help="one whole run for each")
    add("--effort", type=float, default=1.0, metavar="FACTOR", help="of all numbers of epochs")
    add("--batch", type=int, default=64, metavar="N", help="samples per optimizer step")
    add("--workers", type=int, default=2, metavar="N", help="processes that read ImageNet's files; 0 for none beside")
    add("--compare", type=int, default=16, metavar="N", help="test samples on which the engines are compared")
    add("--target", default="loihi2-sim", help="what is compiled for; '' compiles nothing")
    made.set_defaults(digits_width=width)
    return made


def read(arguments: argparse.Namespace) -> Options:
    """The flags as options; InputError where one is out of range."""
    seeds = read_seeds(arguments.seeds)
    width = arguments.width
    if width is None:
        width = arguments.digits_width if arguments.dataset == "digits" else 1.0
    for flag, value in (("--width", width), ("--effort", arguments.effort)):
        if not 0 < value < math.inf:
            raise InputError(f"{flag} is {value}, limit above 0 and finite; give a factor such as 0.5")
    for flag, value in (("--batch", arguments.batch), ("--compare", arguments.compare)):
        if value < 1:
            raise InputError(f"{flag} is {value}, limit 1 at least; give a number of samples")
    if arguments.workers < 0:
        raise InputError(f"--workers is {arguments.workers}, limit 0 at least; give a number of processes")
    if arguments.target:
        load_target(arguments.target)  # it is needed when all is trained, and refused before
    return Options(
        dataset=arguments.dataset,
        data_root=arguments.data_root,
        arch=arguments.arch,
        width=width,
        device=read_device(arguments.device),
        out=arguments.out,
        seeds=seeds,
        effort=arguments.effort,
        batch=arguments.batch,
        workers=arguments.workers,
        compare=arguments.compare,
        target=arguments.target,
    )


def read_seeds(text: str) -> tuple[int, ...]:
    parts = text.split(",")
    if not all(part.strip().isdecimal() and len(part) < 10 for part in parts) or len(set(map(int, parts))) < len(parts):
        raise InputError(f"--seeds is {text!r:.60}; give whole numbers from 0, each once, such as 0,1,2")
    return tuple(map(int, parts))


def read_device(name: str) -> torch.device:
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as problem:  # torch without CUDA asserts
        reason = str(problem).splitlines()[0]
        raise InputError(f"--device is {name!r:.60}: {reason:.120}; give cpu, or what torch can use here") from problem
    return device


def script(main: Callable[[], None], *, then: str = "to go on from the last finished epoch") -> None:
    """Run ``main``; what the user can mend ends it with one sentence and status 2, Ctrl-C with 130.

    ``then`` says what it is good for to run it again.
    """
    try:
        with orderly_signals():
            main()
    except NeurocompileError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(error.exit_status) from None
    except KeyboardInterrupt:
        print(f"error: interrupted; run it again {then}", file=sys.stderr)
        raise SystemExit(130) from None
