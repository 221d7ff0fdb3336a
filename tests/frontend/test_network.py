"""From torch modules to traced graphs: each layer's node, what is refused, and the same spikes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from neurocompile import snn
from neurocompile.errors import GraphError, NeurocompileError
from neurocompile.ir.graph import Graph
from neurocompile.ir.interpret import interpret
from neurocompile.ir.nodes import (
    Add,
    AvgPool2d,
    BatchNorm,
    Conv2d,
    DirectEncoder,
    Flatten,
    Linear,
    Neuron,
    PoissonEncoder,
    Readout,
)
from tests.tracing import from_module


class Functional(nn.Module):
    """A forward of its own around one function."""

    def __init__(self, function: Callable[[Any, Tensor], Tensor], **layers: nn.Module) -> None:
        super().__init__()
        self.function = function
        for name, layer in layers.items():
            self.add_module(name, layer)

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self, x)


def traced(*layers: nn.Module, shape: tuple[int, ...] = (2, 6, 6), steps: int = 2) -> Graph:
    torch.manual_seed(0)
    return from_module(nn.Sequential(nn.Identity(), *layers, *soma(*layers)), shape, steps, "net")


def soma(*layers: nn.Module) -> list[nn.Module]:
    """A network ends in one."""
    return [] if isinstance(layers[-1], snn.LIF | snn.Readout) else [snn.LIF()]


def node(layer: nn.Module, shape: tuple[int, ...] = (2, 6, 6)) -> Any:
    """The node of one layer."""
    return traced(layer, shape=shape).node("1")


def agree(net: nn.Module, x: Tensor, timesteps: int) -> None:
    """torch in float64 and the interpreter give the same spikes and the same answer."""
    net, x = net.eval().double(), x.double()
    trace = interpret(from_module(net, tuple(x.shape[1:]), timesteps, "net"), x.numpy())
    for name, spikes in snn.record_spikes(net, x, timesteps).items():
        first = int(isinstance(net.get_submodule(name), snn.HybridEncoder))  # before it, values and no spikes
        np.testing.assert_array_equal(trace.events[name][:, first:], spikes.numpy()[:, first:], err_msg=name)
    (output,) = trace.outputs.values()
    np.testing.assert_allclose(output, snn.run(net, x, timesteps).detach().numpy(), rtol=1e-12, atol=1e-12)


# ------------------------------------------------------------------------------------------------------------- layers


def test_convolution() -> None:
    layer = nn.Conv2d(2, 4, (3, 2), stride=(2, 1), padding=(1, 0), dilation=(1, 2), groups=2)
    found = node(layer)
    assert isinstance(found, Conv2d)
    assert (found.stride, found.padding, found.dilation, found.groups) == ((2, 1), (1, 0), (1, 2), 2)
    assert np.array_equal(found.weight, layer.weight.detach().numpy())
    assert found.bias is not None
    assert layer.bias is not None
    assert np.array_equal(found.bias, layer.bias.detach().numpy())
    assert node(nn.Conv2d(2, 4, 3, bias=False)).bias is None


@pytest.mark.parametrize(
    ("kernel", "dilation", "padding"), [((3, 3), 1, (1, 1)), ((1, 5), 1, (0, 2)), ((3, 3), 2, (2, 2))]
)
def test_convolution_that_keeps_the_size(kernel: Any, dilation: int, padding: Any) -> None:
    found = node(nn.Conv2d(2, 2, kernel, dilation=dilation, padding="same"))
    assert found.padding == padding
    assert found.output_shape((2, 6, 6)) == (2, 6, 6)


def test_convolution_without_padding() -> None:
    assert node(nn.Conv2d(2, 2, 3, padding="valid", padding_mode="reflect")).padding == (0, 0)


def test_batch_norms() -> None:
    layer = nn.BatchNorm2d(2, eps=0.25)
    layer.running_mean = torch.tensor([1.0, 2.0])
    found = node(layer)
    assert isinstance(found, BatchNorm)
    assert (found.epsilon, found.mean.tolist(), found.gamma.tolist()) == (0.25, [1, 2], [1, 1])
    plain = node(nn.BatchNorm1d(5, affine=False), (5,))
    assert (plain.gamma.tolist(), plain.beta.tolist()) == ([1] * 5, [0] * 5)


@pytest.mark.parametrize(
    ("layer", "kernel", "stride", "padding"),
    [
        (nn.AvgPool2d(2), (2, 2), (2, 2), (0, 0)),
        (nn.AvgPool2d((2, 3), 1, (1, 0)), (2, 3), (1, 1), (1, 0)),
        (nn.AvgPool2d(2, divisor_override=4), (2, 2), (2, 2), (0, 0)),
        (nn.AvgPool2d(2, count_include_pad=False), (2, 2), (2, 2), (0, 0)),
        (nn.AvgPool2d(2, ceil_mode=True), (2, 2), (2, 2), (0, 0)),
        (nn.AdaptiveAvgPool2d(1), (6, 6), (6, 6), (0, 0)),
        (nn.AdaptiveAvgPool2d((3, None)), (2, 1), (2, 1), (0, 0)),
    ],
)
def test_average_pools(layer: nn.Module, kernel: Any, stride: Any, padding: Any) -> None:
    found = node(layer)
    assert isinstance(found, AvgPool2d)
    assert (found.kernel, found.stride, found.padding) == (kernel, stride, padding)


@pytest.mark.parametrize(
    "layer", [nn.Identity(), nn.Dropout(0.5), nn.Dropout2d(0.5), snn.TimeConstantDropout(0.5), nn.AlphaDropout()]
)
def test_what_does_nothing_at_inference_leaves_no_node(layer: nn.Module) -> None:
    assert list(traced(layer)) == ["input", "input.encoder", "2"]


def test_flatten() -> None:
    assert isinstance(node(nn.Flatten()), Flatten)


def test_neurons() -> None:
    found = node(
        snn.LIF(
            torch.tensor([0.5, 2.0]), 0.75, current_leak=0.25, order="fire_first", compare="at_or_above", reset="set",
            reset_value=-0.5, spikes="graded", max_payload=7, single_spike=True,
        )
    )  # fmt: skip
    assert isinstance(found, Neuron)
    assert (found.threshold.tolist(), found.leak, found.current_leak, found.reset_value) == ([0.5, 2], 0.75, 0.25, -0.5)
    assert (found.order, found.compare, found.reset) == ("fire_first", "at_or_above", "set")
    assert (found.spikes, found.max_payload, found.single_spike) == ("graded", 7, True)
    assert node(snn.LIF(leaky_reset=False)).leaky_reset is False
    assert found.membrane_min is None
    assert node(snn.LIF(membrane_min=-0.5)).membrane_min == -0.5
    assert node(snn.IF(2.0)).leak == 1
    readout = node(snn.Readout(0.5, 0.25))
    assert isinstance(readout, Readout)
    assert (readout.leak, readout.current_leak) == (0.5, 0.25)


def test_encoders_come_first() -> None:
    graph = from_module(nn.Sequential(snn.PoissonEncoder(0.5, 7), nn.Linear(3, 2), snn.LIF()), (3,), 4, "net")
    (name,) = graph.of_kind(PoissonEncoder)
    poisson = graph.node(name)
    assert isinstance(poisson, PoissonEncoder)
    assert (poisson.gain, poisson.seed) == (0.5, 7)
    assert not graph.of_kind(DirectEncoder)
    direct = from_module(nn.Sequential(snn.DirectEncoder(3.0), nn.Linear(3, 2), snn.LIF()), (3,), 4, "net")
    (name,) = direct.of_kind(DirectEncoder)
    found = direct.node(name)
    assert isinstance(found, DirectEncoder)
    assert found.limit == 3


def test_an_encoder_is_implied() -> None:
    graph = from_module(nn.Sequential(nn.Linear(3, 2), snn.LIF()), (3,), 4, "net")
    assert list(graph.of_kind(DirectEncoder)) == ["input.encoder"]
    assert list(graph.inputs("0")) == ["input.encoder"]
    assert (graph.name, graph.timesteps, graph.outputs) == ("net", 4, ("1",))


def test_nodes_bear_the_names_of_modules() -> None:
    block = Functional(lambda m, x: m.lif(m.conv(x) + x), conv=nn.Conv2d(2, 2, 1), lif=snn.LIF())
    graph = traced(block, nn.Flatten(), nn.Linear(72, 2))
    assert {"1.conv", "1.lif", "2", "3"} <= set(graph)
    (add,) = graph.of_kind(Add)
    assert add == "1.add"


FUNCTIONS: dict[str, tuple[Callable[[Any, Tensor], Tensor], type]] = {
    "operator +": (lambda _, x: x + x, Add),
    "torch.add": (lambda _, x: torch.add(x, x), Add),
    "method add": (lambda _, x: x.add(x), Add),
    "torch.flatten": (lambda _, x: torch.flatten(x, 1), Flatten),
    "method flatten": (lambda _, x: x.flatten(start_dim=1), Flatten),
    "view": (lambda _, x: x.view(x.size(0), -1), Flatten),
    "reshape": (lambda _, x: x.reshape(x.shape[0], -1), Flatten),
    "avg_pool2d": (lambda _, x: F.avg_pool2d(x, 2), AvgPool2d),
    "adaptive_avg_pool2d": (lambda _, x: F.adaptive_avg_pool2d(x, (2, 2)), AvgPool2d),
    "dropout": (lambda m, x: F.dropout(x, 0.5, training=m.training), DirectEncoder),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions(name: str) -> None:
    function, kind = FUNCTIONS[name]
    graph = from_module(nn.Sequential(Functional(function), snn.LIF()), (2, 6, 6), 1, "net")
    (source,) = graph.inputs("1")
    assert isinstance(graph.node(source), kind)


# ----------------------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("layer", "shape", "parts"),
    [
        (nn.Conv2d(2, 2, 2, padding="same"), (2, 6, 6), ("1 (Conv2d", "one-sided", "(2, 2)", "odd kernel")),
        (nn.Conv2d(2, 2, 3, padding=1, padding_mode="reflect"), (2, 6, 6), ("'reflect'", "padding_mode='zeros'")),
        (nn.Conv2d(3, 2, 3), (2, 6, 6), ("1: ", "3 channels, got 2")),
        (nn.Conv2d(2, 2, 3), (6,), ("1 (Conv2d", "(2, 6)", "--input-shape")),
        (nn.Conv2d(2, 2, 7), (2, 6, 6), ("1: ", "window of 7")),
        (nn.Linear(5, 2), (6,), ("1: ", "(5,)", "got (6,)")),
        (nn.Linear(6, 2), (2, 6, 6), ("1 (Linear", "Flatten")),
        (nn.AvgPool2d(2, divisor_override=3), (2, 6, 6), ("divisor_override=3", "remove it")),
        (nn.AvgPool2d(2, padding=1, count_include_pad=False), (2, 6, 6), ("count_include_pad=False", "padding=0")),
        (nn.AvgPool2d(4, ceil_mode=True), (2, 6, 6), ("ceil_mode=True", "set it to False")),
        (nn.AvgPool2d(2), (6,), ("1 (AvgPool2d", "(2, 6)")),
        (nn.AvgPool2d(2, ceil_mode=True), (6,), ("1 (AvgPool2d", "(2, 6)")),
        (nn.AdaptiveAvgPool2d(4), (2, 6, 6), ("no multiple of (4, 4)", "divides it")),
        (nn.AdaptiveAvgPool2d(1), (6,), ("1 (AdaptiveAvgPool2d", "(2, 6)")),
        (nn.BatchNorm2d(3), (2, 6, 6), ("1: ", "(3,)", "(2,)")),
        (snn.LIF(torch.ones(3)), (2, 6, 6), ("1", "(3,)")),
        (nn.LayerNorm(6), (2, 6, 6), ("1 (LayerNorm", "BatchNorm")),
        (nn.LSTM(6, 6), (6,), ("LSTM",)),
    ],
)
def test_refused_with_the_layers_name(layer: nn.Module, shape: Any, parts: tuple[str, ...]) -> None:
    with pytest.raises(NeurocompileError) as refusal:
        traced(layer, shape=shape)
    for part in parts:
        assert part in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_weights_that_are_no_numbers() -> None:
    layer = nn.Linear(3, 2)
    with torch.no_grad():
        layer.weight[0, 0] = float("nan")
    with pytest.raises(GraphError, match=r"^1: .*1 of 6 values are NaN or infinite"):
        traced(layer, shape=(3,))
    with pytest.raises(GraphError, match=r"1 \(Linear; complex"):
        traced(nn.Linear(3, 2, dtype=torch.complex64), shape=(3,))


@pytest.mark.parametrize("name", ["a\x1b[31mb", "a\nb"])
def test_layer_whose_name_cannot_be_shown(name: str) -> None:
    with pytest.raises(GraphError, match="not printable"):
        traced(Functional(lambda m, x: getattr(m, name)(x), **{name: nn.Linear(3, 2)}), shape=(3,))


@pytest.mark.parametrize("steps", [0, -1])
def test_steps_that_are_none(steps: int) -> None:
    with pytest.raises(GraphError, match=f"timesteps is {steps}"):
        traced(nn.Linear(3, 2), shape=(3,), steps=steps)


def test_two_sizes_that_do_not_add() -> None:
    net = Functional(lambda m, x: m.a(x) + m.b(x), a=nn.Linear(3, 2), b=nn.Linear(3, 4))
    with pytest.raises(GraphError, match=r"^add: .*\(2,\), \(4,\)"):
        from_module(net, (3,), 1, "net")


# ------------------------------------------------------------------------------------------------- numbers and spikes


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_weights_of_any_width_are_carried_over_exactly(dtype: torch.dtype) -> None:
    net = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2), snn.LIF(0.3, 0.7)).to(dtype)
    graph = from_module(net, (3,), 2, "net")
    weight, neuron = graph.node("0"), graph.node("2")
    assert isinstance(weight, Linear)
    assert isinstance(neuron, Neuron)
    assert np.array_equal(weight.weight.astype(np.float64), net[0].weight.detach().double().numpy())
    assert float(neuron.threshold) == net[2].threshold.double().item()


def test_the_graph_does_not_follow_the_module() -> None:
    net = nn.Sequential(nn.Linear(3, 2), snn.LIF())
    graph = from_module(net, (3,), 2, "net")
    before = graph.hash
    with torch.no_grad():
        net[0].weight.zero_()
    weight = graph.node("0")
    assert isinstance(weight, Linear)
    assert weight.weight.any()
    assert from_module(net, (3,), 2, "net").hash != before


class Residual(nn.Module):
    """A strided shortcut, functions for layers, an output that two read."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, 3, 3, padding="same", bias=False), nn.BatchNorm2d(3), snn.LIF(0.2, 0.9))
        self.conv1, self.lif1 = nn.Conv2d(3, 4, 3, 2, 1), snn.LIF(0.15, 0.8, leaky_reset=False)
        self.conv2, self.short = nn.Conv2d(4, 4, 3, 1, 1), nn.Conv2d(3, 4, 1, 2)
        self.lif2 = snn.IF(torch.linspace(0.1, 0.3, 4), compare="at_or_above")
        self.last, self.readout = nn.Linear(4, 3), snn.Readout(0.9)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = self.lif2(self.conv2(self.lif1(self.conv1(x))) + self.short(x))
        x = F.adaptive_avg_pool2d(x, 1)
        return self.readout(self.last(F.dropout(torch.flatten(x, 1), training=self.training)))  # type: ignore[no-any-return]


@pytest.mark.parametrize("timesteps", [1, 4])
def test_a_residual_network_spikes_as_in_torch(timesteps: int) -> None:
    torch.manual_seed(3)
    net = Residual()
    net.stem(torch.rand(32, 1, 8, 8))  # running statistics of its own
    snn.reset_state(net)
    agree(net, torch.rand(3, 1, 8, 8), timesteps)


def test_poisson_input_and_grouped_convolutions_spike_as_in_torch() -> None:
    torch.manual_seed(4)
    net = nn.Sequential(
        snn.PoissonEncoder(0.8, 11), nn.Conv2d(2, 4, 3, groups=2, dilation=2), snn.LIF(0.2, 0.7, current_leak=0.5),
        nn.AvgPool2d(2, padding=1), nn.Flatten(), nn.Linear(16, 5), snn.LIF(0.1, reset="set", spikes="signed"),
    )  # fmt: skip
    agree(net, torch.randn(4, 2, 6, 6), 5)


def test_single_precision_agrees_too() -> None:
    """float32 in torch, float64 in the interpreter: no spike of this network is so close that it matters."""
    torch.manual_seed(5)
    net = Residual().eval()
    x = torch.rand(4, 1, 8, 8)
    trace = interpret(from_module(net, (1, 8, 8), 3, "net"), x.numpy())
    for name, spikes in snn.record_spikes(net, x, 3).items():
        np.testing.assert_array_equal(trace.events[name], spikes.numpy())
    (output,) = trace.outputs.values()
    np.testing.assert_allclose(output, snn.run(net, x, 3).detach().numpy(), rtol=1e-5, atol=1e-6)
