"""The networks of the cases, made once and kept under build/bench/networks: VGG16, seeded weights, tuned thresholds.

A folder is named after what made it, and holds ``graph.json`` and ``graph.safetensors`` (the integer graph),
``model.safetensors`` (the float weights, thresholds and leaks) and ``made.json`` (what the making took).
"""

from __future__ import annotations

import hashlib
import json
import math
import shutil
import tempfile
import time
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from cases import LEAK, OUT, RATE, ROOT, THREADS, Recipe
from child import peak_bytes

if TYPE_CHECKING:
    from torch import nn

    from neurocompile.ir.graph import Graph

_SOURCES = ("driver.py", "frontend", "hardware", "ir", "passes", "snn")


def folder(recipe: Recipe) -> Path:
    digest = hashlib.sha256(f"{recipe} {LEAK} {RATE} {version('torch')}".encode())
    package = ROOT / "neurocompile"
    for path in (Path(__file__), *(package / name for name in _SOURCES), ROOT / "hw_profiles"):
        for file in sorted(path.rglob("*.py" if path != ROOT / "hw_profiles" else "*.yaml")) or [path]:
            digest.update(file.read_bytes())
    return OUT / "networks" / f"{recipe.name}-{digest.hexdigest()[:12]}"


def images(recipe: Recipe, count: int) -> np.ndarray[Any, Any]:
    """(count, 3, side, side) float32, uniform in [0, 1)."""
    drawn = np.random.default_rng(1).random((recipe.images, 3, recipe.side, recipe.side), np.float32)
    return drawn[:count]


def graph(recipe: Recipe) -> Graph:
    """The integer graph."""
    from safetensors.numpy import load_file

    from neurocompile.ir.saved import from_plain

    place = folder(recipe)
    return from_plain(json.loads((place / "graph.json").read_text()), load_file(place / "graph.safetensors"))


def model(recipe: Recipe) -> nn.Module:
    """The float network, in eval mode."""
    from safetensors.torch import load_file

    network = _new(recipe)
    network.load_state_dict(load_file(folder(recipe) / "model.safetensors"))
    return network


def _new(recipe: Recipe) -> nn.Module:
    """The neurons are those of IIR-SNN, Eq. 2: what a reset subtracts does not leak."""
    from neurocompile.snn import LIF
    from neurocompile.snn.models import vgg

    neuron = partial(LIF, 1.0, LEAK, leaky_reset=False)
    return vgg(16, (3, recipe.side, recipe.side), recipe.classes, neuron=neuron, dropout=0.0).eval()


def make(recipe: Recipe) -> dict[str, Any]:
    """Make the network unless it is there; what the making took: ``compile_seconds`` from the module to
    integers, and ``peak_bytes`` of all of it."""
    place = folder(recipe)
    if not place.exists():
        for old in place.parent.glob(f"{recipe.name}-????????????"):
            shutil.rmtree(old)
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=place.parent) as scratch:
            new = Path(scratch) / "new"
            new.mkdir()
            _make(recipe, new)
            new.rename(place)
    made: dict[str, Any] = json.loads((place / "made.json").read_text())
    return made


def _make(recipe: Recipe, place: Path) -> None:
    import torch
    from safetensors.numpy import save_file
    from safetensors.torch import save_file as save_tensors

    from neurocompile import driver
    from neurocompile.frontend.checkpoint import read_module
    from neurocompile.hardware.profile import load_profile
    from neurocompile.ir.saved import to_plain
    from neurocompile.passes.base import PassManager
    from neurocompile.passes.quantize import Quantize
    from neurocompile.program import Options
    from neurocompile.snn.models import seeded, tune_rates

    torch.set_num_threads(THREADS)
    network, samples = seeded(_new(recipe), 0), images(recipe, recipe.images)
    rates = tune_rates(network, torch.from_numpy(samples), recipe.timesteps, RATE)
    if recipe.trained:
        state = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
        save_tensors(state, place / "model.safetensors")
        del state
    begun = time.perf_counter()
    traced = read_module(network, samples, recipe.timesteps, recipe.name).graph
    del network  # whoever compiles a checkpoint holds no module either
    numerics = driver.numerics_of(load_profile("loihi2"), 8, 8)
    passes = (*driver.lowering(Options()), Quantize(numerics, samples, quantizer="max"))
    integer = PassManager(passes).run(traced)
    done = time.perf_counter()

    peak = peak_bytes()
    structure, arrays = to_plain(integer)
    (place / "graph.json").write_text(json.dumps(structure))
    save_file(arrays, place / "graph.safetensors")
    first, later, weight_bytes = _work(integer)
    facts = {
        "rates": rates,
        "compile_seconds": done - begun,
        "peak_bytes": peak,
        "first_macs": first,
        "later_macs": later,
        "weight_bytes": weight_bytes,
    }
    (place / "made.json").write_text(json.dumps(facts, indent=1) + "\n")


def _work(graph: Graph) -> tuple[int, int, int]:
    """Multiply-accumulates of a sample and step in the layers that the encoder feeds, in the others, and the bytes of
    all weights."""
    from neurocompile.ir.nodes import ENCODERS, Conv2d, Linear
    from neurocompile.ir.populations import populations

    encoders = graph.of_kind(*ENCODERS)
    macs = {True: 0, False: 0}
    weight_bytes = 0
    for population in populations(graph):
        for projection in population.projections:
            node = projection.weighted
            places = math.prod(graph.shape(projection.name)[1:]) if isinstance(node, Conv2d) else 1
            assert isinstance(node, Conv2d | Linear)
            macs[projection.source in encoders] += node.weight.size * places
            weight_bytes += node.weight.size
    return macs[True], macs[False], weight_bytes
