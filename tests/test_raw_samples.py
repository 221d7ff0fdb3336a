"""Programs whose own encoder lays raw samples out in time: every engine sends the same, from the checkpoint on."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from neurocompile import driver, snn
from neurocompile.backends.cycle.engine import simulate
from neurocompile.backends.lava import LavaBackend
from neurocompile.costs.counters import count
from neurocompile.errors import InputError
from neurocompile.frontend.checkpoint import read_checkpoint
from neurocompile.hardware.target import load_target
from neurocompile.ir.interpret import interpret
from neurocompile.ir.nodes import HybridEncoder, Readout
from neurocompile.program import Program

RNG = np.random.default_rng(3)
SAMPLES = RNG.uniform(size=(12, 1, 4, 4)).astype(np.float32)
NAMES = ("hybrid", "hybrid on a chip of binary spikes", "frequencies")


def network(*first: nn.Module, **neuron: object) -> nn.Sequential:
    torch.manual_seed(1)
    return nn.Sequential(
        *first,
        nn.Conv2d(1, 3, 3, padding=1),
        snn.LIF(0.3, 0.9, **neuron),
        nn.Flatten(),
        nn.Linear(48, 4),
        snn.Readout(),
    )


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Program]:
    """Built from checkpoints, written and read again."""
    frequencies = (snn.DctEncoder(2), snn.IF(0.1, spikes="signed"))
    made = {
        "hybrid": (network(snn.HybridEncoder(4), single_spike=True), 4, "loihi2-sim"),
        "hybrid on a chip of binary spikes": (network(snn.HybridEncoder(4), reset="set"), 4, "loihi1-sim"),
        "frequencies": (network(*frequencies), 6, "loihi2-sim"),
    }
    folder = tmp_path_factory.mktemp("programs")
    found = {}
    for name, (net, timesteps, target) in made.items():
        snn.save(
            net, folder / "net.pt", timesteps=timesteps, input_shape=(1, 4, 4), sample_input=torch.from_numpy(SAMPLES)
        )
        source = read_checkpoint(folder / "net.pt")
        program = driver.compile_graph(source.graph, load_target(target), calibration=source.calibration)
        program.save(folder / name)
        found[name] = Program.load(folder / name)
    return found


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "engine",
    [
        "functional",
        "reference",
        pytest.param(
            "lava",
            marks=[
                pytest.mark.lava,
                pytest.mark.skipif(LavaBackend().unavailable() is not None, reason=str(LavaBackend().unavailable())),
            ],
        ),
    ],
)
def test_engines_send_what_the_interpreter_does(programs: dict[str, Program], name: str, engine: str) -> None:
    program = programs[name]
    expected = interpret(program.integer, SAMPLES)
    assert all(values.any() for values in expected.events.values())
    found = driver.run(program, SAMPLES, backend=engine, record=True)
    assert found.events is not None
    for each, values in expected.events.items():
        assert np.array_equal(found.events[each], values), each
    for each, values in expected.outputs.items():
        assert np.array_equal(found.outputs[each], values), each


@pytest.mark.parametrize("name", NAMES[:2])
def test_hybrid_spikes_are_exact_and_one_message_each(programs: dict[str, Program], name: str) -> None:
    program = programs[name]
    encoder = program.integer.node("0")
    assert isinstance(encoder, HybridEncoder)
    sent = interpret(program.integer, SAMPLES).events["0"]
    assert np.array_equal(sent[:, 0], np.rint(SAMPLES * 128))
    assert np.unique(sent[:, 1:]).tolist() == [0, 128]
    assert ((sent[:, 1:] != 0).sum(axis=1) == 1).all()
    seen = driver.run(program, SAMPLES).activity
    assert seen.spikes["0"].sum() == SAMPLES.size
    counted = count(program.mapped, program.mapping, seen, program.profile)
    values = np.bitwise_count(sent[:, 0]).sum() if name != "hybrid" else (sent[:, 0] != 0).sum()
    assert counted.inputs == (values + SAMPLES.size) / len(SAMPLES)


def test_the_cycle_engine_sees_the_messages_that_costs_count(programs: dict[str, Program]) -> None:
    program = programs["hybrid on a chip of binary spikes"]
    found = driver.run(program, SAMPLES, record=True)
    assert found.events is not None
    timed = simulate(program.mapped, program.mapping, program.profile, dict(found.events))
    counted = count(program.mapped, program.mapping, found.activity, program.profile).total
    assert timed.cores.messages_in.sum() == round(counted.messages_in * len(SAMPLES))


@pytest.mark.parametrize("name", NAMES)
def test_the_integers_mean_what_was_trained(programs: dict[str, Program], name: str) -> None:
    program = programs[name]
    (output,) = program.integer.outputs
    readout = program.integer.node(output)
    assert isinstance(readout, Readout)
    real = interpret(program.trained, SAMPLES).outputs[output]
    whole = interpret(program.integer, SAMPLES).outputs[output] * readout.unit
    assert np.abs(real - whole).mean() < 0.15 * np.abs(real).max()


@pytest.mark.parametrize("name", NAMES)
def test_a_sequence_is_refused(programs: dict[str, Program], name: str) -> None:
    steps = programs[name].integer.timesteps
    with pytest.raises(InputError, match=r"takes \(N, 1, 4, 4\), since 0 lays one picture out in time"):
        driver.run(programs[name], np.zeros((2, steps, 1, 4, 4)))
