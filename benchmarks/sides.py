"""What the children do: our sides, Lava's, and the checks beside them. Rivals are in ``rivals.py``."""

from __future__ import annotations

import importlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import chip
import numpy as np
import torch
import vgg16
from cases import CASES, OUT, ROOT, THREADS, Case
from child import Side, Ways, clocked

from neurocompile import commands, snn
from neurocompile.backends.functional import FunctionalBackend
from neurocompile.backends.lava import LavaBackend
from neurocompile.ir.graph import Graph
from neurocompile.ir.interpret import Trace
from neurocompile.ir.nodes import SPIKING, Conv2d, Delay, DirectEncoder, FixedPoint, Input, Readout
from neurocompile.program import Program
from neurocompile.recording import hash_arrays

STOCK = Path(__file__).parent / "stock_conv.py"
CHECKPOINT = ROOT / "build" / "demo" / "vgg-t5.pt"
DIGITS = OUT / "digits"


def ways(what: str, name: str) -> Ways:
    """``what`` a child is to do for the case ``name``: "ours" or "theirs"; "network" makes its network, "agreement"
    compares spikes with the float network, "limits" measures the machine, "fuzz-0" and "fuzz-1" are halves of it."""
    torch.set_num_threads(THREADS)
    if what == "limits":
        import limits

        return {"": limits.side}
    if what.startswith("fuzz"):
        import fuzz

        return {"": partial(fuzz.side, int(what[-1]), 2)}
    case = CASES[name]
    if what == "network":
        return {"": partial(_network, case)}
    if what == "agreement":
        return {"": partial(_agreement, case)}
    side = case.ours if what == "ours" else case.theirs
    assert side is not None
    return SIDES[side](case)


# ------------------------------------------------------------------------------------------------------------ VGG16


def _network(case: Case) -> Side:
    """Makes what the case runs, when it is asked to run."""

    def run() -> dict[str, Any]:
        if case.network:
            return vgg16.make(case.network)
        if case.ours == "digits-engine":
            _make_digits()
        if case.ours.startswith("chip"):
            chip.make()
        return {}

    return Side(run, warm_ups=0)


def _engine(case: Case) -> Ways:
    assert case.network is not None
    graph, images = vgg16.graph(case.network), vgg16.images(case.network, case.batch)

    def make() -> Side:
        engine = FunctionalBackend()  # which keeps the plan of its last graph, so that warm-ups pack the weights
        return Side(clocked(lambda: list(engine.batches(graph, images, events=False))))

    return {"": make}


def _rival(name: str) -> Callable[[Case], Ways]:
    def find(case: Case) -> Ways:
        import rivals

        assert case.network is not None
        images = torch.from_numpy(vgg16.images(case.network, case.batch))
        found: Ways = getattr(rivals, name)(vgg16.model(case.network), images, case.network.timesteps)
        return found

    return find


def _agreement(case: Case) -> Side:
    """How much the engine's spikes are those of the float network, when it is asked to run."""
    recipe = case.network
    assert recipe is not None

    def run() -> dict[str, Any]:
        graph, images = vgg16.graph(recipe), vgg16.images(recipe, recipe.images)
        sent = FunctionalBackend().run(graph, images).events
        wanted = snn.record_spikes(vgg16.model(recipe), torch.from_numpy(images), recipe.timesteps)
        ours = {name: sent[name] != 0 for name in graph.of_kind(*SPIKING)}
        theirs = {name: wanted[name].numpy() != 0 for name in ours}
        places = sum(spikes.size for spikes in ours.values())
        equal = {name: float((ours[name] == theirs[name]).mean()) for name in ours}
        both, either = (
            sum(int(count(ours[name], theirs[name]).sum()) for name in ours)
            for count in (np.logical_and, np.logical_or)
        )
        return {
            "rate": sum(int(spikes.sum()) for spikes in ours.values()) / places,
            "float_rate": sum(int(spikes.sum()) for spikes in theirs.values()) / places,
            "equal": sum(equal[name] * ours[name].size for name in ours) / places,
            "least_equal": min(equal.values()),
            "shared": both / either,
        }

    return Side(run, warm_ups=0)


# ------------------------------------------------------------------------------------------------------------- Lava


def _digest(trace: Trace) -> dict[str, Any]:
    return {"digest": [hash_arrays(trace.events), hash_arrays(trace.outputs)]}


def _digest_of_batches(batches: list[Trace]) -> dict[str, Any]:
    """The same for batches: events and outputs do not depend on how samples were cut."""
    return _digest(
        Trace(
            {name: np.concatenate([each.outputs[name] for each in batches]) for name in batches[0].outputs},
            {name: np.concatenate([each.events[name] for each in batches]) for name in batches[0].events},
        )
    )


def _make_digits() -> None:
    """The held-out digits, and the network that the demo trains for them, compiled anew."""
    examples = ROOT / "examples"
    if not CHECKPOINT.is_file():
        subprocess.run([sys.executable, examples / "digits.py", "--out", CHECKPOINT.parent], check=True)
    sys.path.insert(0, str(examples))
    digits = importlib.import_module("digits")
    commands.build(CHECKPOINT, target="loihi2-sim", out=DIGITS / "program", force=True)
    np.save(DIGITS / "images.npy", digits.load_digits_split().test_x.numpy())


def _digits() -> tuple[Program, np.ndarray[Any, Any]]:
    return Program.load(DIGITS / "program"), np.load(DIGITS / "images.npy")


def _digits_engine(_: Case) -> Ways:
    def make() -> Side:
        program, images = _digits()
        engine = FunctionalBackend()
        return Side(clocked(lambda: list(engine.batches(program.integer, images)), _digest_of_batches))

    return {"": make}


def _digits_lava(_: Case) -> Ways:
    def make() -> Side:
        program, images = _digits()
        graph = program.mapped
        return Side(clocked(lambda: LavaBackend().run(graph, images), _digest), warm_ups=0, whole=False)

    return {"": make}


def _conv() -> tuple[Conv2d, np.ndarray[Any, Any]]:
    """A convolution 32 -> 64 channels, 3 x 3, and five frames of 32 x 32 for it."""
    rng = np.random.default_rng(0)
    weight = rng.integers(-127, 128, (64, 32, 3, 3)).astype(np.int8)
    return Conv2d(weight=weight, padding=(1, 1), weight_bits=8), (rng.random((5, 32, 32, 32)) < 0.1).astype(np.int64)


def _lava_conv(_: Case) -> Ways:
    """Our Lava process of a convolution."""

    def run() -> dict[str, Any]:
        node, frames = _conv()
        zero = np.array(0)
        fixed = FixedPoint(state_bits=32)
        nodes = [
            ("input", Input(shape=frames.shape[1:]), ()),
            ("encoder", DirectEncoder(scale=1.0, low=0, high=1), ("input",)),
            ("delay", Delay(steps=1), ("encoder",)),
            ("conv", node, ("delay",)),
            ("out", Readout(leak=np.array(4096), current_leak=zero, bias=zero, phase=1, fixed=fixed), ("conv",)),
        ]
        graph = Graph("conv", "mapped", 1, nodes, ("out",))
        seen: list[tuple[int, float]] = []
        images = np.tile(frames, (20, 1, 1, 1))
        LavaBackend().run(graph, images, progress=lambda done, _: seen.append((done, time.perf_counter())))
        # from the first step to the last: start-up is left out, as for Lava's own
        (first, begun), (last, ended) = next(each for each in seen if each[0] > 0), seen[-1]
        return {"seconds": (ended - begun) / (last - first)}

    return {"": lambda: Side(run, warm_ups=0, whole=False)}


def _stock_conv(_: Case) -> Ways:
    """Lava's own."""

    def run() -> dict[str, Any]:
        node, frames = _conv()
        with tempfile.TemporaryDirectory() as folder:
            given, found = Path(folder) / "in.npz", Path(folder) / "out.npz"
            np.savez(
                given, frames=frames, weight=node.weight, stride=node.stride, padding=node.padding,
                dilation=node.dilation, groups=node.groups, keep=False,
            )  # fmt: skip
            subprocess.run([sys.executable, STOCK, given, found], check=True, timeout=60)
            return {"seconds": float(np.load(found)["seconds"]) / len(frames)}

    return {"": lambda: Side(run, warm_ups=0, whole=False)}


SIDES: dict[str, Callable[[Case], Ways]] = {
    "engine": _engine,
    "relu": _rival("relu"),
    "torch": _rival("in_torch"),
    "spikingjelly": _rival("spikingjelly"),
    "snntorch": _rival("snntorch"),
    "digits-engine": _digits_engine,
    "digits-lava": _digits_lava,
    "lava-conv": _lava_conv,
    "stock-conv": _stock_conv,
    "chip-exact": lambda _: chip.ours("exact"),
    "chip-fast": lambda _: chip.ours("fast"),
    "sanafe-exact": lambda _: chip.theirs("exact"),
    "sanafe-fast": lambda _: chip.theirs("fast"),
}
