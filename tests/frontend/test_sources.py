"""Checkpoint files and modules in memory, as the compiler takes them in."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import neurocompile
from neurocompile import snn
from neurocompile.errors import GraphError, InputError, NeurocompileError
from neurocompile.frontend.checkpoint import read_checkpoint, read_module
from neurocompile.ir.nodes import DirectEncoder, Input
from tests.tracing import from_module


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Dropout(0.5), snn.LIF(0.2, 0.9), nn.Linear(3, 2), snn.Readout()
    )


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "net.pt"
    snn.save(network(), path, timesteps=3, input_shape=(4,), sample_input=torch.rand(5, 4))
    return path


def test_a_checkpoint_is_the_network_that_was_saved(saved: Path) -> None:
    source = read_checkpoint(saved)
    assert source.graph.hash == from_module(network(), (4,), 3, "net").hash
    assert source.calibration is not None
    assert source.calibration.shape == (5, 4)


def test_steps_and_name_of_the_users_choice(saved: Path) -> None:
    graph = read_checkpoint(saved, timesteps=1, name="other", input_shape=(4,)).graph
    assert (graph.timesteps, graph.name) == (1, "other")
    with pytest.raises(InputError, match=r"says input shape \(4,\), --input-shape says \(5,\)"):
        read_checkpoint(saved, input_shape=(5,))


def test_a_state_dict_and_its_factory(tmp_path: Path, saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bare, or under the key "state_dict" beside other things, as people's training code saves it."""
    package = tmp_path / "pack"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "nets_of_mine.py").write_text(
        "import torch\nfrom torch import nn\nfrom neurocompile import snn\n"
        "def make():\n"
        "    return nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Dropout(0.5), snn.LIF(0.2, 0.9),\n"
        "                         nn.Linear(3, 2), snn.Readout())\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    path = list(sys.path)
    state = network().state_dict()
    for name, document in (("bare.pt", state), ("nested.pt", {"state_dict": state, "epoch": 7})):
        torch.save(document, name)
        source = read_checkpoint(Path(name), model="pack.nets_of_mine:make", input_shape=(4,), timesteps=3, name="net")
        assert source.graph.hash == read_checkpoint(saved).graph.hash
        assert source.calibration is None
    assert (
        read_checkpoint(Path("bare.pt"), model="pack.nets_of_mine:make", input_shape=(4,), timesteps=3).graph.name
        == "bare"
    )
    assert sys.path == path


@pytest.mark.parametrize("batch", ["tensor", "array", "half", "list", "gradient"])
def test_a_module_in_memory(batch: str) -> None:
    values = torch.rand(6, 4, generator=torch.Generator().manual_seed(1)).half().float()
    example: Any = {
        "tensor": values, "array": values.numpy(), "half": values.half(), "list": values.tolist(),
        "gradient": values.clone().requires_grad_(),
    }[batch]  # fmt: skip
    program = neurocompile.compile(network(), example, timesteps=3, target="loihi2-sim")
    assert program.name == "sequential"
    assert program.calibration is not None
    assert np.array_equal(program.calibration, values.numpy())
    assert program.integer.hash == neurocompile.compile(network(), values, timesteps=3).integer.hash


@pytest.mark.parametrize("training", [True, False])
def test_the_users_module_is_left_as_it_was(training: bool) -> None:
    net = network().train(training)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    neurocompile.compile(net, torch.rand(6, 4), timesteps=3)
    assert all(module.training is training for module in net.modules())
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


@pytest.mark.parametrize(
    ("example", "match"),
    [
        (torch.rand(4), r"example_input has shape \(4,\)"),
        (torch.rand(3, 5), r"takes inputs \(4,\), got \(5,\)"),
        (torch.full((3, 4), float("nan")), "12 NaN or infinite"),
        (torch.rand(0, 4), "no samples"),
        (np.array([["a"] * 4]), "number|real"),
    ],
)
def test_examples_that_are_refused(example: Any, match: str) -> None:
    with pytest.raises(NeurocompileError, match=match):
        neurocompile.compile(network(), example, timesteps=3)


def test_a_module_of_a_single_layer_and_other_things(saved: Path) -> None:
    assert list(read_module(nn.Linear(4, 2), torch.rand(1, 4), 1, "net").graph)[-1] == "linear.readout"
    with pytest.raises(NeurocompileError, match="timesteps is 0"):
        neurocompile.compile(network(), torch.rand(1, 4), timesteps=0)
    with pytest.raises(NeurocompileError, match="timesteps is 0"):
        read_checkpoint(saved, timesteps=0)
    with pytest.raises(NeurocompileError, match="there is none of that name"):
        neurocompile.compile(network(), torch.rand(1, 4), timesteps=1, target="loihi7")


@pytest.mark.parametrize("shape", [(2, 3, 1, 4, 4), (2, 3, 5)])
def test_an_example_may_have_a_time_axis(shape: tuple[int, ...]) -> None:
    first: list[nn.Module] = [nn.Conv2d(1, 2, 3), nn.Flatten()] if len(shape) == 5 else [nn.Linear(5, 3)]
    program = neurocompile.compile(nn.Sequential(*first, snn.Readout()), np.ones(shape), timesteps=3)
    assert program.trained.shape(program.trained.of_kind(Input)[0]) == shape[2:]
    with pytest.raises(GraphError):
        neurocompile.compile(nn.Sequential(*first, snn.Readout()), np.ones(shape), timesteps=4)


def test_an_implied_encoder_has_a_name_of_its_own() -> None:
    class Stem(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = nn.Linear(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            return self.encoder(x)

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.input = Stem()
            self.readout = snn.Readout()

        def forward(self, x: Tensor) -> Tensor:
            return self.readout(self.input(x))

    graph = neurocompile.compile(Net(), np.ones((1, 4)), timesteps=1).trained
    assert set(graph) >= {"input.encoder", "readout"}
    assert len(graph.of_kind(DirectEncoder)) == 1


def test_names_and_steps_are_checked_before_anything_is_built() -> None:
    net = nn.Sequential(nn.Linear(2, 2), snn.Readout())
    with pytest.raises(InputError, match="must be printable text"):
        neurocompile.compile(net, np.ones((1, 2)), timesteps=1, name="a\x1b[31m")
    for steps in (True, 2.5, "3"):
        with pytest.raises(GraphError, match="it must be a whole number of at least 1"):
            neurocompile.compile(net, np.ones((1, 2)), timesteps=steps)  # type: ignore[arg-type]


def test_lists_and_tensors_run_too() -> None:
    program = neurocompile.compile(nn.Sequential(nn.Linear(2, 2), snn.Readout()), np.ones((1, 2)), timesteps=1)
    hashes = [
        neurocompile.run(program, samples, labels=[0], backend="reference").summary()["output_hash"]  # type: ignore[arg-type]
        for samples in (np.array([[0.5, 1.0]]), [[0.5, 1.0]], torch.tensor([[0.5, 1.0]]))
    ]
    assert len(set(hashes)) == 1
