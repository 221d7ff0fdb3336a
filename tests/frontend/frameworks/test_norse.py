"""Networks of Norse, written as its users write them, against their imported graphs: every spike."""

from __future__ import annotations

import importlib
import pkgutil
import re
import warnings
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn
from torch import Tensor, nn

from neurocompile.errors import GraphError
from neurocompile.frontend.frameworks.norse import TABLE, integrate, leaky, leaky_box
from neurocompile.frontend.presentation import from_module
from neurocompile.ir.nodes import Neuron
from tests.frontend.frameworks.comparing import Example, Numbers, Tally, compare, compare_generated, imported
from tests.frontend.frameworks.rows import NORSE, Row

norse = pytest.importorskip("norse.torch", reason="Norse is not installed: its networks are NOT compared")
from norse.torch.functional.reset import reset_subtract, reset_value  # noqa: E402
from norse.torch.module.snn import SNN, SNNCell, SNNRecurrent, SNNRecurrentCell  # noqa: E402

with warnings.catch_warnings():  # its step is compiled by TorchScript
    warnings.simplefilter("ignore", DeprecationWarning)
    from norse.torch.module.exp_filter import ExpFilter

_NEURONS = (SNN, SNNCell, SNNRecurrent, SNNRecurrentCell)
_MODULES = importlib.import_module("norse.torch.module").__path__

#: networks in the default run
NETWORKS = 200


class Loop(nn.Module):
    """A network of cells: its states are one list, which is passed on in a loop over time."""

    def __init__(self, net: nn.Module, timesteps: int, *, in_time: bool) -> None:
        super().__init__()
        self.net, self.timesteps, self.in_time = net, timesteps, in_time

    def forward(self, x: Tensor) -> Tensor:
        state = None
        outputs = []
        for step in range(self.timesteps):
            out, state = self.net(x[step] if self.in_time else x, state)
            outputs.append(out)
        return torch.stack(outputs)


class ByHand(nn.Module):
    """A network of cells without a container: every state is a variable."""

    def __init__(self, parts: list[tuple[nn.Module, nn.Module]], timesteps: int, *, skip: bool) -> None:
        super().__init__()
        self.before = nn.ModuleList([before for before, _ in parts])
        self.cells = nn.ModuleList([cell for _, cell in parts])
        self.timesteps, self.skip = timesteps, skip

    def forward(self, x: Tensor) -> Tensor:
        states: list[Any] = [None] * len(self.cells)
        voltages = []
        for _ in range(self.timesteps):
            z = x
            for k, (before, cell) in enumerate(zip(self.before, self.cells, strict=True)):
                current = before(z)
                if self.skip and current.shape == z.shape:
                    current = current + z
                z, states[k] = cell(current, states[k])
            voltages.append(z)
        return torch.stack(voltages)


class Networks:
    """Draws parts of networks. Choices are drawn, numbers come from a seed."""

    def __init__(self, draw: DrawFn) -> None:
        self.draw = draw
        self.exact = self.pick(True, True, True, False)
        self.numbers = Numbers(draw(st.integers(0, 2**32 - 1)), exact=self.exact)
        self.timesteps = self.pick(4, 1, 2, 3, 6)
        self.dt = 0.125 if self.exact else 0.001

    def pick(self, *options: Any) -> Any:
        return self.draw(st.sampled_from(options))

    def rate(self) -> Tensor:
        """The inverse of a time constant: with dt a half or a quarter, sometimes one per channel."""
        if self.exact:
            return torch.tensor(self.pick(4.0, 2.0, 8.0))
        return torch.tensor(float(self.numbers.rng.uniform(50, 900)), dtype=torch.float32)

    def levels(self) -> dict[str, Tensor]:
        leak, reset, threshold = self.pick((0.0, 0.0, 1.0), (0.25, -0.25, 0.75), (-0.5, 0.0, 0.5), (0.0, 0.25, 0.5))
        if not self.exact:
            threshold += float(self.numbers.rng.uniform(0, 0.5))
        named = {"v_leak": leak, "v_reset": reset, "v_th": threshold}
        return {name: torch.tensor(level, dtype=torch.float32) for name, level in named.items()}

    def lif(self) -> Any:
        return norse.LIFParameters(
            tau_mem_inv=self.rate(), tau_syn_inv=self.rate(), **self.levels(),
            method=self.pick("super", "heaviside", "triangle", "tanh"),
        )  # fmt: skip

    def box(self) -> Any:
        levels = self.levels()
        method = reset_value if levels["v_leak"] else self.pick(reset_value, reset_subtract)
        return norse.LIFBoxParameters(tau_mem_inv=self.rate(), **levels, reset_method=method)

    def iaf(self) -> Any:
        levels = self.levels()
        levels.pop("v_leak")
        return norse.IAFParameters(**levels)

    def cell(self, shape: tuple[int, ...]) -> nn.Module:
        kinds = ["lif", "lif", "box", "iaf", *(["recurrent"] if len(shape) == 1 else [])]
        match self.pick(*kinds):
            case "lif":
                return norse.LIFCell(self.lif(), dt=self.dt)
            case "box":
                return norse.LIFBoxCell(self.box(), dt=self.dt)
            case "iaf":
                return norse.IAFCell(self.iaf(), dt=self.dt)
        return norse.LIFRecurrentCell(*shape, *shape, p=self.lif(), dt=self.dt, **self.recurrent(*shape))

    def sequence(self, shape: tuple[int, ...]) -> nn.Module:
        kinds = ["lif", "lif", "iaf", *(["recurrent"] if len(shape) == 1 else [])]
        match self.pick(*kinds):
            case "lif":
                return norse.LIF(self.lif(), dt=self.dt)
            case "iaf":
                return norse.IAF(self.iaf(), dt=self.dt)
        return norse.LIFRecurrent(*shape, *shape, p=self.lif(), dt=self.dt, **self.recurrent(*shape))

    def recurrent(self, size: int) -> dict[str, Any]:
        weights = [nn.Parameter(self.numbers.tensor(-1, 1.5, (size, size))) for _ in range(2)]
        return {"input_weights": weights[0], "recurrent_weights": weights[1], "autapses": self.pick(False, True)}

    def stateless(self, shape: tuple[int, ...]) -> tuple[list[nn.Module], tuple[int, ...]]:
        if len(shape) == 3 and self.pick(True, True, False):
            channels, stride = self.pick(2, 3), self.pick(1, 1, 2)
            parts: list[nn.Module] = [
                nn.Conv2d(shape[0], channels, 3, padding=1, stride=stride, bias=self.pick(True, False))
            ]
            size = tuple((each - 1) // stride + 1 for each in shape[1:])
            if self.pick(False, False, True):
                parts.append(nn.BatchNorm2d(channels))
            if min(size) > 1 and self.pick(False, True):
                parts.append(self.pick(nn.AvgPool2d(2), nn.MaxPool2d(2)))
                size = tuple(each // 2 for each in size)
            return parts, (channels, *size)
        features, wide = self.pick(4, 6), int(np.prod(shape))
        flat = [nn.Flatten()] if len(shape) == 3 else []
        return [*flat, nn.Linear(wide, features, bias=self.pick(True, False))], (features,)

    def sample(self, shape: tuple[int, ...], *, in_time: bool) -> Tensor:
        lead = (self.timesteps, 3) if in_time else (3,)
        return self.numbers.tensor(-2, 4, (*lead, *shape), step=1 / 8)


@st.composite
def networks(draw: DrawFn) -> Example:
    make = Networks(draw)
    style = make.pick("cells", "lift", "lift", "lifted", "by hand", "driven")
    start = make.pick((5,), (2, 4, 4), (1, 5, 4))
    shape: tuple[int, ...] = start
    pairs: list[tuple[list[nn.Module], nn.Module]] = []
    for _ in range(make.pick(2, 1, 3)):
        before, shape = make.stateless(shape)
        pairs.append((before, make.sequence(shape) if style == "lift" else make.cell(shape)))
    if make.pick(False, True):
        before, shape = make.stateless((int(np.prod(shape)),) if len(shape) == 1 else shape)
        p = norse.LIParameters(tau_mem_inv=make.rate(), tau_syn_inv=make.rate())
        pairs.append((before, norse.LI(p, dt=make.dt) if style == "lift" else norse.LICell(p, dt=make.dt)))
    in_time = style in ("lift", "lifted") or (style != "by hand" and make.pick(True, False) and make.timesteps > 1)
    model, run = _model(make, style, pairs, in_time)
    make.numbers.fill(model)
    layers = tuple(name for name, part in model.named_modules() if isinstance(part, _NEURONS))
    x = make.sample(start, in_time=in_time)
    example = Example(model, layers, x, make.timesteps, run, in_time, make.exact)
    example.whole = lambda part: isinstance(part, SNN | SNNRecurrent)
    return example


def _model(make: Networks, style: str, pairs: list[tuple[list[nn.Module], nn.Module]], in_time: bool) -> Any:
    timesteps = make.timesteps
    if style == "by hand":
        split = [(nn.Sequential(*before), cell) for before, cell in pairs]
        return ByHand(split, timesteps, skip=make.pick(False, True)), _once
    if style == "lift":
        lifted = [[norse.Lift(nn.Sequential(*before)), neuron] for before, neuron in pairs]
        return norse.SequentialState(*(part for pair in lifted for part in pair)), _once
    net = norse.SequentialState(*(part for before, cell in pairs for part in (*before, cell)))
    if style == "cells":
        return Loop(net, timesteps, in_time=in_time), _once
    if style == "lifted":
        return norse.Lift(net), _once

    def run(net: nn.Module, x: Tensor) -> Any:
        state = None
        for step in range(timesteps):
            out, state = net(x[step] if in_time else x, state)
        return out

    return net, run


def _once(model: nn.Module, x: Tensor) -> Any:
    return model(x)


class Regularized(nn.Module):
    """A network whose spikes are counted for a loss."""

    def __init__(self, *parts: nn.Module) -> None:
        super().__init__()
        self.before, self.cell, self.counter = parts

    def forward(self, x: Tensor, state: Any = None) -> Any:
        z, state = self.cell(self.before(x), state)
        z, _ = self.counter(z, state)
        return z, state


def _of_row(row: Row) -> Example:
    torch.manual_seed(0)
    names = {"norse": norse, "torch": torch, "nn": nn, "reset_subtract": reset_subtract, "Regularized": Regularized,
             "ExpFilter": ExpFilter}  # fmt: skip
    parts = eval(row.code, names)
    steps, numbers = 4, Numbers(7, exact=True)
    x = numbers.tensor(-1, 4, (steps, 3, *row.shape), step=1 / 8)
    whole = (SNN, SNNRecurrent, ExpFilter, norse.ConstantCurrentLIFEncoder)
    cells = (*_NEURONS, norse.LILinearCell, ExpFilter)
    if isinstance(parts, nn.Module):
        model: nn.Module = Loop(parts, steps, in_time=True)
    elif any(isinstance(part, whole) for part in parts):
        lifted = [norse.Lift(part) if isinstance(part, nn.Conv2d) else part for part in parts]
        model = norse.SequentialState(*lifted)
    else:
        model = Loop(norse.SequentialState(*parts), steps, in_time=True)
    numbers.fill(model)
    layers = tuple(name for name, part in model.named_modules() if isinstance(part, cells))
    example = Example(model, layers, x, steps, _once, in_time=True, whole=lambda part: isinstance(part, whole))
    example.exact = "LIFParameters()" not in row.code and row.layer != "RegularizationCell"
    return example


@pytest.mark.parametrize("row", [row for row in NORSE if not row.refused], ids=str)
def test_supported_rows(row: Row) -> None:
    tally = Tally()
    compare(_of_row(row), tally, checked=True)
    assert 0 < tally.fired < tally.spikes


@pytest.mark.parametrize("row", [row for row in NORSE if row.refused], ids=str)
def test_refused_rows(row: Row) -> None:
    with pytest.raises(GraphError, match=re.escape(row.refused)):
        imported(_of_row(row))


def test_every_layer_of_norse_is_in_the_table() -> None:
    modules = [importlib.import_module(f"norse.torch.module.{each.name}") for each in pkgutil.iter_modules(_MODULES)]
    kinds = {
        f"{kind.__module__}.{kind.__qualname__}"
        for module in modules
        for kind in vars(module).values()
        if isinstance(kind, type) and issubclass(kind, nn.Module) and kind.__module__ == module.__name__
    }
    assert {name.removeprefix("norse.torch.module.") for name in kinds - set(TABLE)} == {
        # bases
        "snn.SNN", "snn.SNNCell", "snn.SNNRecurrent", "snn.SNNRecurrentCell",
        # followed as they are: Python around other layers, and weights that are worked out from parameters
        "sequential.SequentialState", "lift.Lift",
        "receptive_field.SpatialReceptiveField2d", "receptive_field.SampledSpatialReceptiveField2d",
        "receptive_field.ParameterizedSpatialReceptiveField2d",
    }  # fmt: skip


def _loop(cell: nn.Module, start: Any, *, forget: bool = False) -> nn.Module:
    class Given(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc, self.cell = nn.Linear(4, 4), cell

        def forward(self, x: Tensor) -> Tensor:
            state = start(x)
            for _ in range(3):
                z, state = self.cell(self.fc(x), state)
                state = None if forget else state
            return z

    return Given()


def test_a_state_at_rest_may_be_given() -> None:
    p = norse.LIFParameters(v_leak=torch.tensor(0.5), v_th=torch.tensor(1.5), v_reset=torch.tensor(0.25))
    model = _loop(
        norse.LIFCell(p), lambda x: norse.LIFFeedForwardState(v=torch.full(x.shape, 0.5), i=torch.zeros(x.shape))
    )
    assert from_module(model, (4,), 3, "given").graph.of_kind(Neuron) == ["cell"]


def test_a_state_elsewhere_is_refused() -> None:
    model = _loop(
        norse.LIFCell(), lambda x: norse.LIFFeedForwardState(v=torch.full(x.shape, 0.5), i=torch.zeros(x.shape))
    )
    with pytest.raises(GraphError, match=r"cell \(LIFCell; its state does not start at zero"):
        from_module(model, (4,), 3, "given")


def test_a_state_that_is_not_passed_on_is_refused() -> None:
    with pytest.raises(GraphError, match=r"cell \(LIFCell; its state is forgotten at step 1"):
        from_module(_loop(norse.LIFCell(), lambda _: None, forget=True), (4,), 3, "given")


def test_a_membrane_that_is_reset_is_no_result() -> None:
    class Voltage(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc, self.cell = nn.Linear(4, 4), norse.LIFCell()

        def forward(self, x: Tensor) -> Tensor:
            return self.cell(self.fc(x))[1].v

    with pytest.raises(GraphError, match=r"cell: the result is a state of it, but it fires and is reset"):
        from_module(Voltage(), (4,), 1, "voltage")


@pytest.mark.parametrize(
    ("levels", "message"),
    [
        ({"v_th": -0.5}, r"v_th is -0\.5 above its membrane's start; it must lie above it"),
        ({"v_leak": 2.0}, r"v_th is -1 above its membrane's start"),
    ],
)
def test_levels_that_are_refused(levels: dict[str, float], message: str) -> None:
    p = norse.LIFParameters(**{name: torch.tensor(level) for name, level in levels.items()})
    with pytest.raises(GraphError, match=message):
        leaky(norse.LIFCell(p), (4,))


def test_a_spike_function_that_is_no_step_is_refused() -> None:
    with pytest.raises(GraphError, match=r"its spike function is 'logistic', not a step; use method='super'"):
        integrate(norse.IAFCell(norse.IAFParameters(method="logistic")), (4,))


def test_a_reset_of_the_users_is_refused() -> None:
    p = norse.LIFBoxParameters(reset_method=lambda z, v, reset, _: v * (1 - z) + reset)
    with pytest.raises(GraphError, match=r"its reset_method is .*<lambda>; use reset_value or reset_subtract"):
        leaky_box(norse.LIFBoxCell(p), (4,))


def test_generated_networks_give_every_spike(record_property: Any) -> None:
    tally = compare_generated(networks(), NETWORKS)
    record_property("compared", str(tally))
    assert tally.kinds == {"LIFCell", "LIFBoxCell", "IAFCell", "LIFRecurrentCell", "LIF", "IAF", "LIFRecurrent"}
