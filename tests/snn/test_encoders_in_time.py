"""Encoders that lay a picture out in time: what the layers send, and that checkpoints and the interpreter agree."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from neurocompile import snn
from neurocompile.errors import GraphError, InputError
from neurocompile.frontend import presentation
from neurocompile.frontend.checkpoint import read_checkpoint
from neurocompile.ir.graph import Graph
from neurocompile.ir.interpret import interpret
from neurocompile.ir.nodes import DctEncoder, HybridEncoder
from tests.tracing import from_module


def behind(encoder: nn.Module, *first: nn.Module) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        encoder, *first, nn.Conv2d(2, 4, 3, padding=1), snn.LIF(0.3, 0.9, single_spike=True), nn.AvgPool2d(2),
        nn.Flatten(), nn.Linear(64, 5), snn.Readout(),
    ).eval()  # fmt: skip


def hybrid(timesteps: int = 5, **limits: float) -> nn.Sequential:
    return behind(snn.HybridEncoder(timesteps, **limits))


def dct() -> nn.Sequential:
    return behind(snn.DctEncoder(4, limit=2.0), snn.IF(0.2, spikes="signed"))


def sent(encoder: nn.Module, x: Tensor, timesteps: int) -> Tensor:
    snn.reset_state(encoder)
    return torch.stack([encoder(x) for _ in range(timesteps)], dim=1)


def pictures(count: int = 6) -> Tensor:
    return torch.rand(count, 2, 8, 8, generator=torch.Generator().manual_seed(3)) * 1.5 - 0.25


@pytest.mark.parametrize("timesteps", [2, 3, 5, 8])
def test_a_hybrid_encoder_sends_each_value_once_and_one_spike(timesteps: int) -> None:
    x = pictures()
    values = sent(snn.HybridEncoder(timesteps), x, timesteps)
    assert torch.equal(values[:, 0], x)
    assert values[:, 1:].unique().tolist() in ([0, 1], [1])
    assert (values[:, 1:].sum(dim=1) == 1).all()
    step = values[:, 1:].argmax(dim=1) + 2
    order = x.flatten().clip(0, 1).argsort()
    assert (step.flatten()[order].diff() <= 0).all()  # the brighter, the earlier


def test_a_hybrid_encoder_of_one_step_is_a_direct_one() -> None:
    x = pictures()
    assert torch.equal(sent(snn.HybridEncoder(1), x, 1)[:, 0], x)


def test_recorded_spikes_leave_out_the_analog_step() -> None:
    net, x = hybrid(), pictures()
    recorded = snn.record_spikes(net, x, 5)["0"]
    assert recorded.shape == (6, 5, 2, 8, 8)
    assert not recorded[:, 0].any()
    assert recorded.sum() == x.numel()  # one spike per value
    assert torch.equal(recorded[:, 1:], sent(net[0], x, 5)[:, 1:])


def test_gradients_reach_what_reads_the_encoder_at_every_step() -> None:
    for net, timesteps in ((hybrid().train(), 5), (dct().train(), 16)):
        snn.run(net, pictures(), timesteps).sum().backward()
        assert all(parameter.grad is not None and parameter.grad.any() for parameter in net.parameters())


def interpreted(graph: Graph, x: Tensor, encoder: str = "0") -> Any:
    return interpret(graph, x.numpy()).events[encoder]


@pytest.mark.parametrize("timesteps", [1, 2, 5])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_interpreter_sends_the_same_hybrid_code(timesteps: int, dtype: torch.dtype) -> None:
    net = hybrid(timesteps, low=-0.1, high=0.9).to(dtype)
    graph, x = from_module(net, (2, 8, 8), timesteps, "net"), pictures().to(dtype)
    node = graph.node("0")
    assert isinstance(node, HybridEncoder)
    assert (node.timesteps, node.minimum, node.maximum) == (timesteps, -0.1, 0.9)
    assert np.array_equal(interpreted(graph, x), sent(net[0], x, timesteps).numpy())


@pytest.mark.parametrize("timesteps", [5, 16, 20])
def test_the_interpreter_sends_the_same_frequencies(timesteps: int) -> None:
    net, x = dct().double(), pictures().double()
    graph = from_module(net, (2, 8, 8), timesteps, "net")
    node = graph.node("0")
    assert isinstance(node, DctEncoder)
    assert (node.block, node.limit) == (4, 2.0)
    assert np.array_equal(interpreted(graph, x), sent(net[0], x, timesteps).numpy())


@pytest.mark.parametrize(("make", "timesteps"), [(hybrid, 5), (dct, 16)])
def test_networks_equal_the_interpreter(make: Callable[[], nn.Sequential], timesteps: int) -> None:
    net, x = make().double(), pictures().double()
    trace = interpret(from_module(net, (2, 8, 8), timesteps, "net"), x.numpy())
    for name, spikes in snn.record_spikes(net, x, timesteps).items():
        skip = 1 if isinstance(net.get_submodule(name), snn.HybridEncoder) else 0
        assert np.array_equal(trace.events[name][:, skip:], spikes[:, skip:].numpy()), name
    answer = snn.run(net, x, timesteps).detach().numpy()
    (output,) = trace.outputs.values()
    np.testing.assert_allclose(output, answer, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("make", "timesteps"), [(lambda: hybrid(low=-0.5, high=1.5), 5), (dct, 16)])
def test_checkpoints_keep_them(make: Callable[[], nn.Sequential], timesteps: int, tmp_path: Path) -> None:
    path, net, x = tmp_path / "net.pt", make(), pictures()
    snn.save(net, path, timesteps=timesteps, input_shape=(2, 8, 8))
    loaded = snn.load(path)
    assert str(loaded.model.get_submodule("0")) == str(net[0])
    assert torch.equal(snn.run(loaded.model, x, timesteps), snn.run(net, x, timesteps))
    assert read_checkpoint(path).graph.hash == from_module(net, (2, 8, 8), timesteps, "net").hash


def test_a_build_for_another_number_of_steps_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "net.pt"
    snn.save(hybrid(), path, timesteps=5, input_shape=(2, 8, 8))
    message = (
        "^0: it codes a picture in 5 time steps, and the network has 4; build with --timesteps 5, or train with "
        r"HybridEncoder\(timesteps=4\)$"
    )
    with pytest.raises(GraphError, match=message):
        read_checkpoint(path, timesteps=4)
    snn.save(dct(), path, timesteps=16, input_shape=(2, 8, 8))
    assert read_checkpoint(path, timesteps=9).graph.timesteps == 9  # the high frequencies are left out


class Unrolled(nn.Module):
    """A forward that runs the time steps itself."""

    def __init__(self, net: nn.Module, timesteps: int) -> None:
        super().__init__()
        self.net, self.timesteps = net, timesteps

    def forward(self, x: Tensor) -> Any:
        for _ in range(self.timesteps):
            y = self.net(x)
        return y


@pytest.mark.parametrize(("make", "timesteps"), [(hybrid, 5), (dct, 16)])
def test_loops_in_forward_are_followed(make: Callable[[], nn.Sequential], timesteps: int) -> None:
    net, x = make(), pictures().numpy()
    graphs = [from_module(each, (2, 8, 8), timesteps, "net") for each in (net, Unrolled(net, timesteps))]
    (one,), (other,) = (interpret(graph, x).outputs.values() for graph in graphs)
    assert np.array_equal(one, other)


class Frames(nn.Module):
    """Takes a frame at each step, with a layer of neurons beside the encoder."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder, self.conv, self.lif = encoder, nn.Conv2d(2, 2, 1), snn.LIF()

    def forward(self, frames: Tensor) -> Any:
        for frame in frames:
            y = self.lif(self.conv(frame)) + self.encoder(frame)
        return y


@pytest.mark.parametrize("encoder", [snn.HybridEncoder(3), snn.DctEncoder(4)])
def test_a_sequence_of_pictures_is_refused(encoder: nn.Module) -> None:
    with pytest.raises(
        GraphError, match="lays one picture out in time, and its input has time steps already; give it "
    ):
        presentation.from_module(Frames(encoder), (2, 8, 8), 3, "net")


def test_models_take_them() -> None:
    for encoder, timesteps in ((snn.HybridEncoder(3), 3), (snn.DctEncoder(4), 16)):
        model = snn.models.vgg(5, (1, 8, 8), 4, neuron=lambda: snn.LIF(0.5), encoder=encoder, width=0.1).eval()
        rates = snn.models.tune_rates(model, torch.rand(8, 1, 8, 8), timesteps, 0.2)
        assert len(rates) == 5
        plain = snn.models.plain_ann(model)
        assert not any(isinstance(part, type(encoder)) for part in plain.modules())


def test_thresholds_are_set_with_the_picture_itself() -> None:
    """The ANN sees neither the first frequency alone, nor what a run has left behind."""
    x = pictures()
    found = []
    for net in (hybrid(), behind(snn.DctEncoder(4)), behind(snn.DirectEncoder())):
        snn.run(net, x, 5)
        found.append(snn.set_thresholds(net, x)["2"])
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize(
    ("act", "sentence"),
    [
        (lambda: snn.HybridEncoder(0), "HybridEncoder: timesteps is 0; give a whole number of steps, 1 or more"),
        (lambda: snn.HybridEncoder(2.0), "timesteps is 2.0"),
        (lambda: snn.HybridEncoder(3, 1.0, 1.0), "low 1.0 and high 1.0 are no range; give the smallest"),
        (lambda: snn.HybridEncoder(3, -1e308, 1e308), r"low -1e\+308 and high 1e\+308 are no range"),
        (lambda: snn.HybridEncoder(3, float("nan"), 1.0), "low nan and high 1.0 are no range"),
        (lambda: sent(snn.HybridEncoder(2), pictures(), 3), "step 3 of a presentation, limit 2; reset the net"),
        (
            lambda: snn.run(hybrid(), pictures(), 4),
            r"^0: codes a picture in 5 time steps, and the presentation has 4; give timesteps=5, or make it with ",
        ),
        (lambda: snn.models.tune_rates(hybrid(), pictures(), 4), "codes a picture in 5 time steps, and the pre"),
        (lambda: snn.DctEncoder(0), "DctEncoder: block is 0; give the pixels along its side, 1 or more"),
        (lambda: snn.DctEncoder(4, 0.0), "limit is 0.0; give the largest"),
        (lambda: snn.DctEncoder(3)(pictures()), r"pictures of shape \(2, 8, 8\) are no whole blocks of 3 x 3; give "),
        (lambda: snn.DctEncoder(2)(torch.rand(2, 8)), r"pictures of shape \(8,\) are no whole blocks of 2 x 2"),
    ],
)  # fmt: skip
def test_refusals(act: Any, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        act()


def test_a_checkpoint_for_another_number_of_steps_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="codes a picture in 5 time steps, and the presentation has 8"):
        snn.save(hybrid(), tmp_path / "net.pt", timesteps=8, input_shape=(2, 8, 8))
    assert not list(tmp_path.iterdir())
