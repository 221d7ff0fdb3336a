"""Recurrent layers: by hand, their gradient, what they become, and that a trained one is compiled spike for spike."""

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from neurocompile import snn
from neurocompile.driver import compile_graph, run
from neurocompile.errors import GraphError, InputError
from neurocompile.frontend.checkpoint import read_checkpoint
from neurocompile.hardware.target import load_target
from neurocompile.ir.interpret import interpret
from neurocompile.ir.nodes import Add, Conv2d, Linear, Neuron, Recurrent, Scale
from neurocompile.program import Program
from tests.tracing import from_module


def spikes_of(layer: nn.Module, inputs: list[list[float]]) -> list[list[float]]:
    """The spikes of one sample, step by step, from zero state."""
    snn.reset_state(layer)
    with torch.no_grad():
        return [layer(torch.tensor([step], dtype=torch.float32)).tolist()[0] for step in inputs]


def linear(weight: list[list[float]], bias: list[float] | None = None) -> nn.Linear:
    layer = nn.Linear(len(weight[0]), len(weight), bias=bias is not None)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(weight))
        if bias is not None:
            layer.bias.copy_(torch.tensor(bias))
    return layer


def test_all_to_all_by_hand() -> None:
    """Neuron 0 excites neuron 1 and holds itself back."""
    layer = snn.Recurrent(snn.IF(1.0), linear([[-1.0, 0.0], [2.0, 0.0]]))
    # u0: 2 -> 1 | 1-1+2=2 -> 1 | 1-1+0=0; u1: 0 | 2 -> 1 | 1+2=3 -> 2
    assert spikes_of(layer, [[2, 0], [2, 0], [0, 0]]) == [[1, 0], [1, 1], [0, 1]]
    assert spikes_of(layer, [[0, 0], [0, 0], [0, 0]]) == [[0, 0]] * 3, "nothing is left of the presentation before"


def test_a_bias_of_the_connection_acts_at_every_step() -> None:
    layer = snn.Recurrent(snn.IF(1.0), linear([[0.0]], [0.75]))
    # u: .75 | 1.5 -> .5 | 1.25
    assert spikes_of(layer, [[0], [0], [0]]) == [[0], [1], [1]]


@pytest.mark.parametrize("weight", [torch.tensor(-2.0), torch.tensor([-2.0, -2.0]), torch.full((2, 1, 1), -2.0)])
def test_one_to_one_by_hand(weight: Tensor) -> None:
    layer = snn.Recurrent(snn.IF(1.0), snn.OneToOne(weight))
    x = torch.tensor([3.0, 1.5]).reshape(1, 2, 1, 1)
    # u0: 3 -> 2 | 3 -> 2 | 3; u1: 1.5 -> .5 | 0 | 1.5
    assert [layer(x).flatten().tolist() for _ in range(3)] == [[1, 1], [1, 0], [1, 1]]


def test_gradients_come_back_through_the_loop() -> None:
    layer = snn.Recurrent(snn.LIF(1.0, 0.5), snn.OneToOne(0.5))
    x = torch.tensor([[0.9]], requires_grad=True)
    first = layer(x)
    second = layer(torch.tensor([[1.1]]))
    second.sum().backward()
    # ds2/dx = slope(u2 - 1) * (du2/du1 + w * slope(u1 - 1)); u1 = .9 (silent), u2 = .45 + 1.1
    slope = layer.neuron.surrogate.slope
    one, two = slope(torch.tensor(-0.1)), slope(torch.tensor(0.55))
    assert first.item() == 0
    assert second.item() == 1
    assert x.grad is not None
    assert x.grad.item() == pytest.approx(float(two * (0.5 + 0.5 * one)))
    # the spike that came back was zero, and so is the gradient of its weight
    assert layer.connection.weight.grad.item() == 0


def test_a_copy_starts_afresh() -> None:
    layer = snn.Recurrent(snn.IF(0.5), snn.OneToOne())
    layer(torch.ones(1, 3))
    assert layer.state is not None
    assert copy.deepcopy(layer).state is None
    snn.reset_state(layer)
    assert layer.state is None
    assert layer.neuron.state is None


@pytest.mark.parametrize(
    ("neuron", "connection", "sentence"),
    [
        (nn.ReLU(), nn.Linear(2, 2), "Recurrent: neuron is a ReLU; give it a LIF"),
        (snn.IF(), nn.BatchNorm1d(2), "Recurrent: connection is a BatchNorm1d; give it a Linear or Conv2d or OneToOne"),
    ],
)
def test_parts_of_another_kind_are_refused(neuron: Any, connection: Any, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        snn.Recurrent(neuron, connection)


def test_a_connection_that_changes_the_shape_is_refused() -> None:
    with pytest.raises(InputError, match=r"its connection gives \(3,\) for an input of shape \(2,\); give it one that"):
        snn.Recurrent(snn.IF(), nn.Linear(2, 3))(torch.ones(1, 2))
    layer = snn.Recurrent(snn.IF(), nn.Conv2d(1, 1, 1))
    layer(torch.ones(4, 1, 2, 2))
    with pytest.raises(InputError, match=r"call reset_state\(model\) before a new batch"):
        layer(torch.ones(3, 1, 3, 3))
    with pytest.raises(InputError, match=r"OneToOne: weight has shape \(3,\), its input \(1, 2\)"):
        snn.OneToOne(torch.ones(3))(torch.ones(1, 2))


# ------------------------------------------------------------------------------------------- as data, and as a graph


def network() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 3, 3, padding=1),
        nn.BatchNorm2d(3),
        snn.Recurrent(snn.LIF(torch.tensor([0.2, 0.3, 0.4]), 0.9), nn.Conv2d(3, 3, 3, padding="same", groups=3)),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(27, 8),
        snn.Recurrent(snn.LIF(0.2, 0.8, learn_leak=True, leaky_reset=False), nn.Linear(8, 8)),
        nn.Linear(8, 6),
        snn.Recurrent(snn.IF(0.1, compare="at_or_above"), snn.OneToOne(torch.linspace(-0.5, 0.5, 6))),
        snn.OneToOne(torch.linspace(-1, 1, 6)),
        snn.LIF(0.1, 0.5),
        nn.Linear(6, 3),
        snn.Readout(0.9),
    )


@pytest.mark.parametrize("timesteps", [1, 5])
def test_torch_and_the_interpreter_agree_spike_for_spike(timesteps: int) -> None:
    torch.manual_seed(1)
    net, x = network().double().eval(), torch.rand(4, 1, 6, 6).double()
    trace = interpret(from_module(net, (1, 6, 6), timesteps, "net"), x.numpy())
    recorded = snn.record_spikes(net, x, timesteps)
    assert recorded.keys() == {"2.neuron", "6.neuron", "8.neuron", "10"}
    for name, spikes in recorded.items():
        np.testing.assert_array_equal(trace.events[name], spikes.numpy(), err_msg=name)
        assert timesteps == 1 or spikes.any()
    (output,) = trace.outputs.values()
    np.testing.assert_allclose(output, snn.run(net, x, timesteps).detach().numpy(), rtol=1e-12, atol=1e-12)


def test_the_nodes_of_a_recurrent_layer() -> None:
    graph = from_module(network(), (1, 6, 6), 5, "net")
    kinds = {name: type(graph.node(name)) for name in graph if name.startswith("6.")}
    assert kinds == {"6.before": Recurrent, "6.connection": Linear, "6.sum": Add, "6.neuron": Neuron}
    assert [graph.inputs(name) for name in kinds] == [("6.neuron",), ("6.before",), ("5", "6.connection"), ("6.sum",)]
    assert isinstance(graph.node("2.connection"), Conv2d)
    assert isinstance(graph.node("8.connection"), Scale)
    assert isinstance(graph.node("9"), Scale)


def test_round_trip_through_plain_data() -> None:
    net = network().eval()
    wiring = snn.trace(net)
    assert wiring.modules["6"].type == "Recurrent"
    built = snn.build_module(snn.wiring_from_plain(snn.wiring_to_plain(wiring)))
    assert set(built.state_dict()) == set(net.state_dict())
    snn.load_into(built, net.state_dict())
    x = torch.rand(3, 1, 6, 6)
    assert torch.equal(snn.run(built.eval(), x, 4), snn.run(net, x, 4))
    assert snn.trace(built) == wiring
    assert isinstance(built.get_submodule("6").neuron.leak, nn.Parameter)


class OwnNeuron(snn.LIF):
    pass


def hooked() -> nn.Linear:
    layer = nn.Linear(2, 2)
    layer.register_forward_hook(lambda *_: None)
    return layer


@pytest.mark.parametrize(
    ("layer", "sentence"),
    [
        (
            snn.Recurrent(OwnNeuron(), nn.Linear(2, 2)),
            "1: Recurrent cannot be carried over: neuron: OwnNeuron is not a",
        ),
        (snn.Recurrent(snn.IF(), hooked()), "1: Recurrent cannot be carried over: connection: Linear runs hooks"),
    ],
)
def test_parts_that_cannot_be_carried_over_are_refused(layer: nn.Module, sentence: str) -> None:
    with pytest.raises(GraphError, match=sentence):
        snn.trace(nn.Sequential(nn.Linear(2, 2), layer))


def test_one_layer_has_one_place() -> None:
    layer = snn.Recurrent(snn.IF(), nn.Linear(2, 2))
    with pytest.raises(GraphError, match="called twice, but it keeps state"):
        snn.trace(nn.Sequential(layer, layer))


@pytest.mark.parametrize(
    "damage",
    [
        lambda config: config.update(neuron=3),
        lambda config: config["neuron"].update(type="Linear"),
        lambda config: config["neuron"].update(more=1),
        lambda config: config["neuron"]["config"].pop("order"),
        lambda config: config["neuron"]["config"].update(order="late"),
        lambda config: config["connection"].update(type="Flatten", config={}),
        lambda config: config["connection"].update(type=["Linear"]),
        lambda config: config["connection"]["config"].update(in_features=10**12),
        lambda config: config["connection"]["config"].update(extra=1),
        lambda config: config["connection"].update(config=[]),
    ],
)
def test_damaged_parts_are_refused(damage: Any) -> None:
    plain = snn.wiring_to_plain(snn.trace(nn.Sequential(snn.Recurrent(snn.IF(), nn.Linear(2, 2)))))
    plain = copy.deepcopy(plain)
    damage(plain["modules"]["0"]["config"])
    with pytest.raises(
        InputError, match=r"layer 0 \(Recurrent\): (neuron|connection) is .*; it must be type and setti"
    ):
        snn.wiring_from_plain(plain)


# ------------------------------------------------------------------------------------- trained, saved, compiled, run


def memory_task(count: int, steps: int, seed: int) -> tuple[Tensor, Tensor]:
    """One of two lines is lit at the first step, then both stay dark: which one was it? (N, T, 2) and (N,)."""
    labels = torch.from_numpy(np.random.default_rng(seed).integers(0, 2, count))
    x = torch.zeros(count, steps, 2)
    x[torch.arange(count), 0, labels] = 1
    return x, labels


class LastStep(nn.Module):
    """Neurons that forget within a step; only what they send themselves lasts."""

    def __init__(self) -> None:
        super().__init__()
        self.input = nn.Linear(2, 8, bias=False)
        self.hidden = snn.Recurrent(snn.LIF(0.25, 0.0), nn.Linear(8, 8, bias=False))
        self.output = nn.Linear(8, 2)
        self.readout = snn.Readout(0.0)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.readout(self.output(self.hidden(self.input(x))))
        return result


def test_a_trained_layer_is_compiled_spike_for_spike(tmp_path: Path) -> None:
    torch.manual_seed(0)
    steps, net = 4, LastStep()
    optimizer = torch.optim.Adam(net.parameters(), lr=0.05)
    for epoch in range(60):
        x, labels = memory_task(32, steps, epoch)
        loss = nn.functional.cross_entropy(snn.run(net, x, steps, time_axis=True), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    net.eval()
    x, labels = memory_task(24, steps, 99)
    assert (snn.run(net, x, steps, time_axis=True).argmax(1) == labels).all(), "it needs its recurrence for this"
    snn.save(net, tmp_path / "memory.pt", timesteps=steps, input_shape=(2,), sample_input=x[:, 0])
    source = read_checkpoint(tmp_path / "memory.pt")
    trained = interpret(source.graph, x.numpy())
    torch_spikes = snn.record_spikes(net, x, steps, time_axis=True)["hidden.neuron"]
    np.testing.assert_array_equal(trained.events["hidden.neuron"], torch_spikes.numpy())

    compile_graph(source.graph, load_target("loihi2-sim"), calibration=source.calibration).save(tmp_path / "program")
    program = Program.load(tmp_path / "program")
    logical = run(program, x, labels=labels, record=True)
    assert logical.accuracy == 1
    chip = interpret(program.mapped, x.numpy())
    np.testing.assert_array_equal(chip.events["hidden.neuron"], logical.trace.events["hidden.neuron"])
