"""A network of which magnitude pruning leaves a tenth of the weights, from its checkpoint to the chip.

IIR-SNN (Chowdhury et al. 2021, section 5) removes 90 % of the weights of a network of one time step. Here is what that
saves on a chip with sparse lists and on one without, and that it changes no spike on any engine.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import prune

from neurocompile import driver, snn
from neurocompile.backends.cycle import simulate
from neurocompile.costs.estimate import Costs, estimate
from neurocompile.frontend.checkpoint import read_checkpoint
from neurocompile.hardware import Profile
from neurocompile.hardware.target import load_target
from neurocompile.ir.populations import populations
from neurocompile.mapping import stored
from neurocompile.mapping.synapses import full_box
from neurocompile.program import Program
from neurocompile.verification import verify_program

SHAPE = (3, 10, 10)
SAMPLES = np.random.default_rng(1).random((6, *SHAPE)).astype(np.float32)


def network(left: float, *, least: float = 0.0) -> nn.Module:
    """Convolutions with batch norm and linear layers, thresholds of a trained network; of each layer's weights the
    largest are ``left``, and the others ``least``."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU(),
        nn.Conv2d(16, 24, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(24), nn.ReLU(),
        nn.Conv2d(24, 24, 3, padding=1, bias=False), nn.ReLU(), nn.Flatten(),
        nn.Linear(600, 200, bias=False), nn.ReLU(), nn.Linear(200, 10, bias=False), snn.Readout(),
    )  # fmt: skip
    layers = [each for each in model if isinstance(each, nn.Conv2d | nn.Linear)]
    for layer in layers:
        prune.l1_unstructured(layer, "weight", 1 - left)
        prune.remove(layer, "weight")
        with torch.no_grad():
            layer.weight[layer.weight == 0] = least * layer.weight.abs().max()
    model = snn.replace_relu(snn.fuse_batchnorm(model.eval()), lambda: snn.LIF(1.0, 0.9))
    snn.set_thresholds(model, torch.from_numpy(SAMPLES), percentile=90.0)
    return nn.Sequential(snn.DirectEncoder(limit=1.0), *model)


def built(folder: Path, model: nn.Module, timesteps: int = 2) -> Program:
    """Through a checkpoint file."""
    snn.save(model, folder / "net.pt", timesteps=timesteps, input_shape=SHAPE, sample_input=torch.from_numpy(SAMPLES))
    source = read_checkpoint(folder / "net.pt")
    return driver.compile_graph(source.graph, load_target("loihi2-sim"), calibration=source.calibration)


def dense_only(profile: Profile) -> Profile:
    """The same chip without sparse lists."""
    return profile.model_copy(update={"synapses": profile.synapses.model_copy(update={"index_bits": None})})


@dataclass(frozen=True)
class Use:
    """What a program takes of its chip."""

    synapses: int
    words: int
    costs: Costs
    time_ns: float
    output_hash: str
    spike_hash: str

    @classmethod
    def of(cls, program: Program) -> Use:
        run = driver.run(program, SAMPLES, backend="functional", record=True)
        assert run.events is not None
        cycle = simulate(program.mapped, program.mapping, program.profile, dict(run.events))
        assert cycle.unit == "ns"
        words = [each.needs["synaptic_memory_words"] for each in program.mapping.slices]
        costs = estimate(program.mapped, program.mapping, run.activity, program.profile)
        synapses = sum(
            int(stored.fan_out(each, full_box(population.shape), program.profile).sum())
            for population in populations(program.mapped)
            for each in population.projections
        )
        return cls(synapses, sum(words), costs, cycle.total, run.output_hash, run.spike_hash)


def nonzero_share(program: Program) -> float:
    weights = [each.weighted.weight for population in populations(program.integer) for each in population.projections]
    return sum(map(np.count_nonzero, weights)) / sum(each.size for each in weights)


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Program:
    return built(tmp_path_factory.mktemp("pruned"), network(0.1))


def test_zeros_stay_zeros(program: Program) -> None:
    """Through batch norm, per-channel scales and rounding: what is zero in the module is zero on the chip."""
    trained = [layer.weight for layer in network(0.1).modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    chip = [each.weighted.weight for population in populations(program.integer) for each in population.projections]
    assert len(trained) == len(chip) == 5
    for before, after in zip(trained, chip, strict=True):
        assert after.shape == before.shape
        assert not after[(before == 0).numpy()].any()
    assert 0.09 < nonzero_share(program) <= 0.1


def test_a_tenth_of_the_synapses_and_of_the_work(program: Program) -> None:
    """The same spikes on the same chip, with sparse lists and without: operations, memory, messages, energy and time.

    An entry of a sparse list takes 8 + 10 bits in place of 8, so that a tenth of the weights takes 0.225 of the memory.
    """
    sparse, dense = Use.of(program), Use.of(driver.retarget(program, dense_only(program.profile)))
    assert (sparse.output_hash, sparse.spike_hash) == (dense.output_hash, dense.spike_hash)
    assert 0.07 < sparse.synapses / dense.synapses < 0.12
    ops = [each.costs.counters.synaptic_ops + each.costs.counters.graded_synaptic_ops for each in (sparse, dense)]
    assert 0.07 < ops[0] / ops[1] < 0.12
    assert 0.21 < sparse.words / dense.words < 0.26
    assert sparse.costs.counters.messages_in <= dense.costs.counters.messages_in
    assert sparse.costs.counters.spikes == dense.costs.counters.spikes
    spent = [each.costs.energy_pj.parts["synapse"] for each in (sparse, dense)]
    assert spent[0] / spent[1] == pytest.approx(ops[0] / ops[1])
    assert sparse.time_ns < dense.time_ns / 2


def test_weights_that_round_to_zero_are_not_stored(tmp_path: Path) -> None:
    """They were never pruned; a ten-thousandth of the largest is less than half a step of 8 bits."""
    program = built(tmp_path, network(0.1, least=1e-4))
    assert 0.09 < nonzero_share(program) < 0.11  # the input layer has few weights, of which some are left
    for population in populations(program.integer):
        assert all(stored.is_sparse(each, program.profile) for each in population.projections)


@pytest.mark.lava
@pytest.mark.parametrize("timesteps", [1, 2])
def test_every_engine_agrees(timesteps: int, tmp_path: Path) -> None:
    program = built(tmp_path, network(0.1), timesteps)
    assert program.stateless == (timesteps == 1)
    program.save(tmp_path / "program")
    again = Program.load(tmp_path / "program")
    assert again.mapping == program.mapping
    report = verify_program(again, SAMPLES[:2], quick=True)
    for name, engine in report["engines"].items():
        assert engine["state"] == "equal" or (name == "lava" and engine["state"] == "unavailable"), engine
    assert all(layer["rate_float"] > 0 for layer in report["layers"])
