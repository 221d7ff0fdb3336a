"""Networks of SpikingJelly, written as its users write them, against their imported graphs: every spike."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn
from torch import Tensor, nn

from neurocompile.errors import GraphError
from neurocompile.frontend.frameworks.spikingjelly import TABLE, leaky
from neurocompile.ir.nodes import Readout
from tests.frontend.frameworks.comparing import Example, Numbers, Tally, compare, compare_generated, imported
from tests.frontend.frameworks.rows import SPIKINGJELLY, Row

pytest.importorskip("spikingjelly", reason="SpikingJelly is not installed: its networks are NOT compared")
from spikingjelly.activation_based import base, encoding, functional, layer, neuron, surrogate

#: networks in the default run
NETWORKS = 200


class Residual(nn.Module):
    """An SEW block: what its neurons send is added to its input."""

    def __init__(self, path: nn.Module) -> None:
        super().__init__()
        self.path = path

    def forward(self, x: Tensor) -> Tensor:
        return self.path(x) + x


class Rate(nn.Module):
    """The network of the tutorials: the mean of what a network of single steps sends."""

    def __init__(self, net: nn.Module, timesteps: int, *, in_time: bool) -> None:
        super().__init__()
        self.net, self.timesteps, self.in_time = net, timesteps, in_time

    def forward(self, x: Tensor) -> Tensor:
        total = 0.0
        for step in range(self.timesteps):
            total = total + self.net(x[step] if self.in_time else x)
        return total / self.timesteps


class Repeated(nn.Module):
    """The network of the later tutorials: the input is repeated, the layers take all steps, the mean is returned."""

    def __init__(self, net: nn.Module, timesteps: int) -> None:
        super().__init__()
        self.net, self.timesteps = net, timesteps

    def forward(self, x: Tensor) -> Tensor:
        x_seq = x.unsqueeze(0).repeat(self.timesteps, *[1] * x.dim())
        return self.net(x_seq).mean(0)


class Networks:
    """Draws parts of networks. Choices are drawn, numbers come from a seed."""

    def __init__(self, draw: DrawFn) -> None:
        self.draw = draw
        self.exact = self.pick(True, True, True, False)
        self.numbers = Numbers(draw(st.integers(0, 2**32 - 1)), exact=self.exact)
        self.timesteps = self.pick(4, 1, 2, 3, 6)
        self.names: list[str] = []

    def pick(self, *options: Any) -> Any:
        return self.draw(st.sampled_from(options))

    def number(self, low: float, high: float, *exact: float) -> float:
        return self.pick(*exact) if self.exact else float(self.numbers.rng.uniform(low, high))

    def neuron(self) -> nn.Module:
        threshold = self.number(0.4, 1.5, 1.0, 0.5, 1.25)
        at = self.number(-0.5, 0.3, 0.25, -0.5)
        hard: dict[str, Any] = {
            "v_threshold": threshold,
            "v_reset": self.pick(None, 0.0, at),
            "surrogate_function": self.pick(
                surrogate.Sigmoid(), surrogate.ATan(), surrogate.Rect(), surrogate.PiecewiseQuadratic()
            ),
            "detach_reset": self.pick(False, True),
        }
        still = hard | {"v_reset": self.pick(None, 0.0)}
        tau = self.number(1.1, 5, 2.0, 4.0)
        decays = {"tau": tau, "decay_input": self.pick(True, False)}
        match self.pick("if", "if", "lif", "lif", "plif", "cuba", "tif", "tlif", "simple", "simple lif", "sltt"):
            case "if":
                return neuron.IFNode(**hard, store_v_seq=self.pick(False, True))
            case "lif":
                return neuron.LIFNode(**hard, **decays, store_v_seq=self.pick(False, True))
            case "plif":
                # sigmoid(0) is the one that does not round
                return neuron.ParametricLIFNode(
                    **hard, init_tau=2.0 if self.exact else tau, decay_input=decays["decay_input"]
                )
            case "cuba":
                still.pop("detach_reset")
                return neuron.CUBALIFNode(c_decay=self.number(0, 1, 0.5, 0.0), v_decay=self.number(0, 1, 0.75), **still)
            case "tif":
                return neuron.TernaryIFNode(**still)
            case "tlif":
                return neuron.TernaryLIFNode(**still, **decays)
            case "simple":
                return neuron.SimpleIFNode(**hard)
            case "simple lif":
                return neuron.SimpleLIFNode(**still | {"v_reset": 0.0}, **decays)
        return neuron.SLTTLIFNode(**hard, **decays)

    def stateless(self, shape: tuple[int, ...]) -> tuple[list[nn.Module], tuple[int, ...]]:
        if len(shape) == 3 and self.pick(True, True, False):
            channels, stride = self.pick(2, 3), self.pick(1, 1, 2)
            parts: list[nn.Module] = [
                layer.Conv2d(shape[0], channels, 3, padding=1, stride=stride, bias=self.pick(True, False))
            ]
            size = tuple((each - 1) // stride + 1 for each in shape[1:])
            if self.pick(False, True):
                parts.append(layer.BatchNorm2d(channels))
            return parts, (channels, *size)
        features, wide = self.pick(4, 6), int(np.prod(shape))
        flat = [layer.Flatten()] if len(shape) == 3 else []
        parts = [*flat, layer.Linear(wide, features, bias=self.pick(True, False))]
        if self.pick(False, False, True):
            parts.append(layer.BatchNorm1d(features))
        return parts, (features,)

    def behind(self, shape: tuple[int, ...]) -> tuple[list[nn.Module], tuple[int, ...]]:
        """What may follow a layer of neurons."""
        if len(shape) == 3 and min(shape[1:]) > 1 and self.pick(False, True):
            pool = self.pick(layer.AvgPool2d(2, 2), layer.MaxPool2d(2, 2))
            return [pool], (shape[0], shape[1] // 2, shape[2] // 2)
        return self.pick([], [layer.Dropout(0.2)]), shape

    def residual(self, shape: tuple[int, ...]) -> nn.Module:
        same = layer.Conv2d(shape[0], shape[0], 3, padding=1) if len(shape) == 3 else layer.Linear(*shape, *shape)
        return Residual(nn.Sequential(same, self.neuron()))

    def sample(self, shape: tuple[int, ...], *, in_time: bool) -> Tensor:
        lead = (self.timesteps, 3) if in_time else (3,)
        return self.numbers.tensor(-1, 2, (*lead, *shape), step=1 / 8)


@st.composite
def networks(draw: DrawFn) -> Example:
    make = Networks(draw)
    style = make.pick("sequence", "sequence", "containers", "rate", "driven", "repeated")
    start = make.pick((5,), (2, 4, 4), (1, 5, 4))
    shape: tuple[int, ...] = start
    parts: list[nn.Module] = []
    for _ in range(make.pick(2, 1, 3)):
        before, shape = make.stateless(shape)
        node = make.neuron()
        if style == "containers":
            functional.set_step_mode(node, "m")
            whole = nn.Sequential(*before, node)
            parts += make.pick(
                lambda before=before, node=node: [layer.SeqToANNContainer(*before), node],
                lambda before=before, node=node: [_stateless(before), node],
                lambda whole=whole: [layer.MultiStepContainer(*_single(whole))],
                lambda whole=whole: [layer.StepModeContainer(True, "m", *_single(whole))],
            )()
            continue
        parts += [*before, node]
        if make.pick(False, False, True):
            parts.append(make.residual(shape))
        after, shape = make.behind(shape)
        parts += after
    net: nn.Module = nn.Sequential(*parts)
    in_time = style in ("sequence", "containers") or (style in ("rate", "driven") and make.pick(True, False))
    in_time = in_time and (make.timesteps > 1 or style in ("sequence", "containers"))
    if style in ("sequence", "repeated"):
        functional.set_step_mode(net, "m")
    make.numbers.fill(net)
    timesteps = make.timesteps
    model, run = net, _once
    match style:
        case "rate":
            model = Rate(net, timesteps, in_time=in_time)
        case "repeated":
            model = Repeated(net, timesteps)
        case "driven":

            def run(net: nn.Module, x: Tensor) -> Any:
                functional.reset_net(net)
                return [net(x[step] if in_time else x) for step in range(timesteps)]

    layers = tuple(name for name, part in model.named_modules() if _is_neuron(part))
    x = make.sample(start, in_time=in_time)
    return Example(model, layers, x, timesteps, run, in_time, make.exact, whole=lambda part: part.step_mode == "m")


def _is_neuron(part: nn.Module) -> bool:
    return isinstance(part, neuron.BaseNode | neuron.SimpleBaseNode)


def _single(parts: nn.Sequential) -> nn.Sequential:
    functional.set_step_mode(parts, "s")
    return parts


def _stateless(parts: list[nn.Module]) -> nn.Module:
    return layer.StepModeContainer(False, "m", *parts)


def _once(model: nn.Module, x: Tensor) -> Any:
    functional.reset_net(model)
    return model(x)


class Silent(nn.Module):
    """A network that ends in neurons which never fire: their membrane is the result."""

    def __init__(self, *parts: nn.Module) -> None:
        super().__init__()
        self.net = nn.Sequential(*parts)

    def forward(self, x: Tensor) -> Tensor:
        self.net(x)
        return self.net[-1].v


_CONTAINERS = (
    layer.MultiStepContainer, layer.TLastMultiStepContainer, layer.StepModeContainer, layer.SeqToANNContainer,
    layer.TLastSeqToANNContainer,
)  # fmt: skip


class Last(nn.Module):
    """A network whose first part takes time on the last axis."""

    def __init__(self, first: nn.Module, second: nn.Module) -> None:
        super().__init__()
        self.first, self.second = first, second

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.first(x.movedim(0, -1)).movedim(-1, 0))


def _of_row(row: Row, step_mode: str) -> Example:
    names = {"layer": layer, "neuron": neuron, "surrogate": surrogate, "encoding": encoding, "torch": torch, "nn": nn,
             "Silent": Silent, "Last": Last}  # fmt: skip
    torch.manual_seed(0)
    parts = eval(row.code, names)
    model = parts if isinstance(parts, nn.Module) else nn.Sequential(*parts)
    for part in model.modules():
        if isinstance(part, base.StepModule):
            part.step_mode = step_mode if step_mode in part.supported_step_mode() else part.step_mode
    for part in model.modules():  # what is inside of containers takes single steps
        if isinstance(part, _CONTAINERS):
            functional.set_step_mode(nn.ModuleList(part), "s")
        if isinstance(part, layer.LinearRecurrentContainer | layer.ElementWiseRecurrentContainer):
            functional.set_step_mode(part.sub_module, "s")
    numbers = Numbers(2, exact=True)
    numbers.fill(model)
    steps = 4
    x = numbers.tensor(-1, 2, (steps, 3, *row.shape), step=1 / 8)

    def run(net: nn.Module, x: Tensor) -> Any:
        functional.reset_net(net)
        return net(x) if step_mode == "m" else [net(each) for each in x][-1]

    layers = tuple(
        name for name, part in model.named_modules() if _is_neuron(part) and part.v_threshold != float("inf")
    )
    example = Example(model, layers, x, steps, run, in_time=True, exact=not row.layer.startswith("WS"))
    example.whole = lambda part: part.step_mode == "m"
    if isinstance(model, Silent) or "last_mem" in row.code:
        example.answer = lambda result: result
    return example


def _modes(row: Row) -> tuple[str, ...]:
    """The step modes that a row's network has."""
    if any(
        name in row.layer
        for name in ("ThresholdDependent", "SeqToANN", "MultiStep", "NonSpiking", "Attention", "TLast")
    ):
        return ("m",)
    if (
        any(name in row.layer for name in ("TemporalEffective", "ILC", "Gated", "DSR", "PSN"))
        and row.layer != "SlidingPSN"
    ):
        return ("m",)
    return ("s",) if row.layer in ("OTTTLIFNode", "SLTTLIFNode") else ("s", "m")


_CASES = [(row, mode) for row in SPIKINGJELLY for mode in _modes(row)]


def _named(value: Any) -> str:
    return str(value)


@pytest.mark.parametrize(("row", "step_mode"), [case for case in _CASES if not case[0].refused], ids=_named)
def test_supported_rows(row: Row, step_mode: str) -> None:
    tally = Tally()
    compare(_of_row(row, step_mode), tally, checked=True)
    assert 0 < tally.fired < tally.spikes


@pytest.mark.parametrize(("row", "step_mode"), [case for case in _CASES if case[0].refused], ids=_named)
def test_refused_rows(row: Row, step_mode: str) -> None:
    with pytest.raises(GraphError, match=re.escape(row.refused)):
        imported(_of_row(row, step_mode))


def test_every_neuron_of_spikingjelly_is_in_the_table() -> None:
    kinds = {kind for kind in vars(neuron).values() if isinstance(kind, type) and issubclass(kind, nn.Module)}
    bases = {kind for kind in kinds if kind.__name__.endswith("BaseNode")}
    unknown = {f"{kind.__module__}.{kind.__qualname__}" for kind in kinds - bases} - set(TABLE)
    assert not unknown


def test_every_layer_of_spikingjelly_is_in_the_table_or_plain_python() -> None:
    kinds = {kind for kind in vars(layer).values() if isinstance(kind, type) and issubclass(kind, nn.Module)}
    tried = {name for row in SPIKINGJELLY for name in re.findall(r"layer\.(\w+)", row.code)}
    own = {kind.__name__ for kind in kinds if kind.__module__.startswith("spikingjelly.activation_based.layer")}
    refused = {name.rsplit(".", 1)[1] for name in TABLE}
    assert own - tried - refused == {
        # followed as they are, and then refused, or not, for what torch's functions they call
        "Conv3d", "ConvTranspose3d", "BatchNorm3d", "ThresholdDependentBatchNorm3d", "MaxPool3d", "AvgPool3d",
        "Upsample", "AdaptiveAvgPool1d", "AdaptiveAvgPool3d", "MaxUnpool1d", "MaxUnpool2d", "MaxUnpool3d",
        # for training only
        "GradwithTrace", "SpikeTraceOp", "OTTTSequential",
    }  # fmt: skip


def test_decoded_membranes_are_lists_of_steps() -> None:
    class Last(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = nn.Sequential(layer.Linear(5, 4), neuron.IFNode(), layer.Linear(4, 3), neuron.NonSpikingIFNode())
            functional.set_step_mode(self.net, "m")

        def forward(self, x: Tensor) -> Tensor:
            return self.net(x)[-1]

    model = Last()
    numbers = Numbers(5, exact=True)
    numbers.fill(model)
    x = numbers.tensor(-1, 2, (3, 2, 5), step=1 / 8)
    example = Example(model, ("net.1",), x, 3, _once, in_time=True, whole=lambda _: True, answer=lambda result: result)
    assert isinstance(compare(example, Tally()).node("net.3"), Readout)


def test_a_start_that_is_not_v_reset_is_refused() -> None:
    node = neuron.LIFNode(v_reset=0.0)
    node.set_reset_value("v", 0.5)
    with pytest.raises(GraphError, match=r"its membrane starts at 0\.5, where it does not rest"):
        leaky(node, (4,))


def test_a_threshold_below_the_start_is_refused() -> None:
    with pytest.raises(GraphError, match=r"v_threshold=0\.5 is not above 1, where its membrane starts"):
        leaky(neuron.LIFNode(v_threshold=0.5, v_reset=1.0), (4,))


def test_what_was_followed_leaves_nothing_behind() -> None:
    example = _of_row(next(row for row in SPIKINGJELLY if row.layer == "LinearRecurrentContainer"), "m")
    example.run(example.model, example.x)
    imported(example)
    assert not [name for name, value in base.named_memories(example.model) if type(value) not in (Tensor, float)]


def test_generated_networks_give_every_spike(record_property: Any) -> None:
    tally = compare_generated(networks(), NETWORKS)
    record_property("compared", str(tally))
    assert tally.kinds == {
        "IFNode", "LIFNode", "ParametricLIFNode", "CUBALIFNode", "TernaryIFNode", "TernaryLIFNode", "SimpleIFNode",
        "SimpleLIFNode", "SLTTLIFNode",
    }  # fmt: skip
