"""Networks of snnTorch, written as its users write them, against their imported graphs: every spike."""

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
from neurocompile.frontend.frameworks.snntorch import TABLE, leaky, rleaky
from neurocompile.frontend.presentation import from_module
from neurocompile.ir.nodes import Readout
from tests.frontend.frameworks.comparing import Example, Numbers, Tally, compare, compare_generated, imported
from tests.frontend.frameworks.rows import SNNTORCH, Row

snn = pytest.importorskip("snntorch", reason="snnTorch is not installed: its networks are NOT compared")
surrogate = pytest.importorskip("snntorch.surrogate")

#: networks in the default run
NETWORKS = 200


class Block(nn.Module):
    """Stateless layers and a layer of neurons; with ``skip``, the block's input is added to what they give."""

    def __init__(self, before: nn.Module, neuron: nn.Module, *, skip: bool) -> None:
        super().__init__()
        self.before, self.neuron, self.skip = before, neuron, skip

    def forward(self, x: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        current = self.before(x)
        if self.skip:
            current = current + x
        spikes, *rest = self.neuron(current, *state)
        return spikes, ((spikes, *rest) if isinstance(self.neuron, snn.RLeaky | snn.RSynaptic) else tuple(rest))


class Loop(nn.Module):
    """The network of the tutorials: states by hand, a loop over time, lists that are stacked."""

    def __init__(self, blocks: list[Block], timesteps: int, *, in_time: bool, first: str) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.timesteps, self.in_time, self.first = timesteps, in_time, first

    def start(self, block: Any) -> Any:
        state = block.neuron.reset_mem()
        return state if isinstance(state, tuple) else (state,)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        states: list[Any] = [self.start(block) if self.first == "reset_mem" else () for block in self.blocks]
        spk_rec, mem_rec = [], []
        for step in range(self.timesteps):
            spk = x[step] if self.in_time else x
            for k, block in enumerate(self.blocks):
                spk, states[k] = block(spk, states[k])
            spk_rec.append(spk)
            mem_rec.append(states[-1][-1])
        return torch.stack(spk_rec, dim=0), torch.stack(mem_rec, dim=0)


class Step(nn.Module):
    """One time step, with the membranes passed in and out."""

    def __init__(self, one: Block, two: Block) -> None:
        super().__init__()
        self.one, self.two = one, two

    def forward(self, x: Tensor, mem1: Any = None, mem2: Any = None) -> tuple[Tensor, Tensor, Tensor]:
        spk1, (mem1,) = self.one(x, () if mem1 is None else (mem1,))
        spk2, (mem2,) = self.two(spk1, () if mem2 is None else (mem2,))
        return spk2, mem1, mem2


class Networks:
    """Draws parts of networks. Choices are drawn, numbers come from a seed."""

    def __init__(self, draw: DrawFn) -> None:
        self.draw = draw
        self.exact = self.pick(True, True, True, False)
        self.numbers = Numbers(draw(st.integers(0, 2**32 - 1)), exact=self.exact)
        self.timesteps = self.pick(4, 1, 2, 3, 6)

    def pick(self, *options: Any) -> Any:
        return self.draw(st.sampled_from(options))

    def decay(self, shape: tuple[int, ...]) -> Any:
        """From 0 to 1, and beyond, where snnTorch clamps it."""
        if self.pick(True, False):
            return self.pick(0.5, 0.75, 0.25, 1.0, 0.0) if self.exact else float(self.numbers.rng.uniform(0, 1))
        return self.numbers.tensor(-0.25, 1.25, self.per_neuron(shape))

    def threshold(self, shape: tuple[int, ...]) -> Any:
        if self.pick(True, False):
            return self.pick(1.0, 0.5, 1.25)
        return self.numbers.tensor(0.25, 1.75, self.per_neuron(shape))

    def per_neuron(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """A shape that broadcasts: one value, one per channel, one per neuron."""
        return self.pick((1,), (shape[0], *(1 for _ in shape[1:])), shape)

    def neuron(self, shape: tuple[int, ...], *, hidden: bool, last: bool, states: int = 3) -> nn.Module:
        """A layer of neurons with any choice; ``states``: how many tensors it may return."""
        settings: dict[str, Any] = {
            "threshold": self.threshold(shape),
            "reset_mechanism": self.pick("subtract", "zero", "none"),
            "spike_grad": self.pick(None, surrogate.fast_sigmoid(slope=25), surrogate.sigmoid()),
            "init_hidden": hidden,
            "output": hidden and last,
            "learn_threshold": self.pick(False, True),
            "learn_beta": self.pick(False, True),
        }
        late = True if settings["reset_mechanism"] == "subtract" else self.pick(True, False)
        kinds = [self.leaky, self.lapicque]
        if states > 1:
            kinds += [self.synaptic, self.rleaky]
        if states > 2:
            kinds += [self.rsynaptic]
        return self.pick(*kinds)(shape, settings, late)

    def leaky(self, shape: tuple[int, ...], settings: dict[str, Any], late: bool) -> nn.Module:
        factor = self.pick(1.0, 1.0, 0.5)
        return snn.Leaky(self.decay(shape), reset_delay=late, graded_spikes_factor=factor, **settings)

    def lapicque(self, shape: tuple[int, ...], settings: dict[str, Any], late: bool) -> nn.Module:  # noqa: ARG002
        settings |= {"learn_beta": False}
        if self.exact or self.pick(True, False):
            return snn.Lapicque(R=self.pick(1.0, 2.0), C=self.pick(2.0, 1.0, 4.0), time_step=1, **settings)
        return snn.Lapicque(beta=self.pick(0.5, 0.9), **settings)

    def synaptic(self, shape: tuple[int, ...], settings: dict[str, Any], late: bool) -> nn.Module:
        return snn.Synaptic(self.decay(shape), self.decay(shape), reset_delay=late, **settings)

    def recurrence(self, shape: tuple[int, ...]) -> dict[str, Any]:
        match self.pick("all", "one", "each"):
            case "all" if len(shape) == 1:
                return {"linear_features": shape[0]}
            case "all":
                return {"conv2d_channels": shape[0], "kernel_size": self.pick(3, 1, (3, 1))}
            case "one":
                return {"all_to_all": False, "V": self.pick(0.5, -0.5)}
        return {"all_to_all": False, "V": self.numbers.tensor(-1, 1, shape), "learn_recurrent": self.pick(True, False)}

    def rleaky(self, shape: tuple[int, ...], settings: dict[str, Any], late: bool) -> nn.Module:
        return snn.RLeaky(self.decay(shape), reset_delay=late, **self.recurrence(shape), **settings)

    def rsynaptic(self, shape: tuple[int, ...], settings: dict[str, Any], late: bool) -> nn.Module:  # noqa: ARG002
        return snn.RSynaptic(self.decay(shape), self.decay(shape), **self.recurrence(shape), **settings)

    def layers(self, shape: tuple[int, ...]) -> tuple[list[nn.Module], tuple[int, ...], bool]:
        """Stateless layers, the shape behind them, and whether their input may be added to it."""
        if len(shape) == 3 and self.pick(True, True, False):
            channels, stride = self.pick(2, 3), self.pick(1, 1, 2)
            skip = self.pick(False, True)
            if skip:
                channels, stride = shape[0], 1
            parts: list[nn.Module] = [
                nn.Conv2d(shape[0], channels, 3, padding=1, stride=stride, bias=self.pick(True, False))
            ]
            size = tuple((each - 1) // stride + 1 for each in shape[1:])
            if self.pick(False, True):
                parts.append(nn.BatchNorm2d(channels))
            if not skip and min(size) > 1 and self.pick(False, True):
                parts.append(self.pick(nn.AvgPool2d(2), nn.MaxPool2d(2)))
                size = tuple(each // 2 for each in size)
            return parts, (channels, *size), skip
        features = self.pick(4, 5)
        skip = len(shape) == 1 and self.pick(False, True)
        wide = int(np.prod(shape))
        parts = [*([nn.Flatten()] if len(shape) == 3 else []), nn.Linear(wide, wide if skip else features)]
        if self.pick(False, False, True):
            parts.append(nn.BatchNorm1d(wide if skip else features))
        if self.pick(False, True):
            parts.append(nn.Dropout(0.3))
        return parts, (wide if skip else features,), skip

    def sample(self, shape: tuple[int, ...], *, in_time: bool) -> Tensor:
        lead = (self.timesteps, 3) if in_time else (3,)
        return self.numbers.tensor(-1, 2, (*lead, *shape), step=1 / 8)


@st.composite
def networks(draw: DrawFn) -> Example:
    make = Networks(draw)
    style = make.pick("loop", "loop", "hidden", "step")
    shape = make.pick((5,), (2, 4, 4), (1, 5, 4))
    in_time = style != "step" and make.timesteps > 1 and make.pick(True, False)
    x = make.sample(shape, in_time=in_time)
    count = 2 if style == "step" else make.pick(2, 1, 3)
    parts: list[Any] = []
    for k in range(count):
        before, shape, skip = make.layers(shape)
        neuron = make.neuron(shape, hidden=style == "hidden", last=k == count - 1, states=1 if style == "step" else 3)
        parts.append((before, neuron, skip and style != "hidden"))
    if style == "hidden":
        model: nn.Module = nn.Sequential(*(part for before, neuron, _ in parts for part in (*before, neuron)))
        layers = tuple(name for name, part in model.named_children() if isinstance(part, snn.SpikingNeuron))
        run = _driven
    else:
        blocks = [Block(nn.Sequential(*before), neuron, skip=skip) for before, neuron, skip in parts]
        if style == "step":
            model, layers, run = Step(*blocks), ("one.neuron", "two.neuron"), _stepping(make.timesteps)
        else:
            model = Loop(blocks, make.timesteps, in_time=in_time, first=make.pick("reset_mem", "nothing"))
            layers, run = tuple(f"blocks.{k}.neuron" for k in range(count)), _once
    make.numbers.fill(model)
    timesteps = make.timesteps
    example = Example(model, layers, x, timesteps, run, in_time=in_time, exact=make.exact)
    if style == "hidden":
        example.run = lambda net, values: _driven(net, values, timesteps, in_time=in_time)
    return example


def _clear(model: nn.Module) -> None:
    for part in model.modules():
        if isinstance(part, snn.SpikingNeuron):
            part.reset_mem()


def _once(model: nn.Module, x: Tensor) -> Any:
    _clear(model)
    return model(x)


def _driven(model: nn.Module, x: Tensor, timesteps: int, *, in_time: bool) -> Any:
    _clear(model)
    for step in range(timesteps):
        result = model(x[step] if in_time else x)
    return result


def _stepping(timesteps: int) -> Any:
    def run(model: nn.Module, x: Tensor) -> Any:
        _clear(model)
        states: tuple[Any, ...] = ()
        for _ in range(timesteps):
            result, *states = model(x, *states)
        return result

    return run


class Sequence(nn.Module):
    """Layers that take all time steps, (T, N, ...)."""

    def __init__(self, before: nn.Module, neuron: nn.Module) -> None:
        super().__init__()
        self.before, self.neuron = before, neuron

    def forward(self, x: Tensor) -> Tensor:
        return self.neuron(self.before(x))[0]


class Normed(nn.Module):
    """Another batch norm at every time step."""

    def __init__(self, norms: nn.ModuleList) -> None:
        super().__init__()
        self.norms = norms
        self.step = 0

    def forward(self, x: Tensor) -> Tensor:
        norm = self.norms[self.step % len(self.norms)]
        self.step += 1
        return norm(x)


def _of_row(row: Row) -> Example:
    names = {"snn": snn, "torch": torch, "nn": nn, "Normed": Normed}
    torch.manual_seed(0)
    before, neuron = eval(row.code, names)
    timesteps, numbers = 4, Numbers(1, exact=True)
    numbers.fill(before)
    x = numbers.tensor(-1, 2, (timesteps, 3, *row.shape), step=1 / 8)
    if isinstance(neuron, snn.StateLeaky | snn.LeakyParallel | snn.AssociativeLeaky):
        model: nn.Module = Sequence(before, neuron)
        return Example(model, ("neuron",), x, timesteps, _only, in_time=True, whole=lambda _: True, exact=False)
    if getattr(neuron, "init_hidden", False):
        model, layers = nn.Sequential(before, neuron), ("1",)
        return Example(model, layers, x, timesteps, lambda net, x: [_clear(net), *map(net, x)], in_time=True)
    numbers.fill(neuron)
    model = Loop([Block(before, neuron, skip=False)], timesteps, in_time=True, first="nothing")
    return Example(model, ("blocks.0.neuron",), x, timesteps, _once, in_time=True)


def _only(model: nn.Module, x: Tensor) -> Any:
    return model(x)


@pytest.mark.parametrize("row", [row for row in SNNTORCH if not row.refused], ids=str)
def test_supported_rows(row: Row) -> None:
    tally = Tally()
    compare(_of_row(row), tally, checked=True)
    assert 0 < tally.fired < tally.spikes


@pytest.mark.filterwarnings("ignore:Inhibition is an unstable feature")
@pytest.mark.parametrize("row", [row for row in SNNTORCH if row.refused], ids=str)
def test_refused_rows(row: Row) -> None:
    with pytest.raises(GraphError, match=re.escape(row.refused)):
        imported(_of_row(row))


def test_every_neuron_of_snntorch_is_in_the_table() -> None:
    names = {name for name in vars(snn) if isinstance(vars(snn)[name], type) and issubclass(vars(snn)[name], nn.Module)}
    known = {name.rsplit(".", 1)[1] for name in TABLE}
    assert names - known == {"SpikingNeuron", "LIF", "GradedSpikes"}, "the first two are bases; the last is torch's own"


def test_a_recurrent_layer_of_snntorch_with_a_factor_is_refused() -> None:
    layer = snn.RLeaky(0.5, linear_features=4)
    layer.graded_spikes_factor = torch.tensor(0.5)
    with pytest.raises(GraphError, match=r"graded_spikes_factor of a recurrent layer must be 1"):
        rleaky(layer, (4,))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"threshold": 0.0}, r"its threshold is 0; thresholds must be positive"),
        ({"threshold": torch.ones(5)}, r"threshold has shape \(5,\), which does not broadcast to the layer's \(4,\)"),
        ({"beta": torch.ones(2, 4)}, r"beta has shape \(2, 4\), which does not broadcast to the layer's \(4,\)"),
        ({"spike_grad": lambda x: torch.sigmoid(x)}, r"its spike function is not a step from 0 to 1"),
        ({"spike_grad": lambda x: x / 0}, r"its spike function"),
        ({"spike_grad": lambda x: x.nothing}, r"its spike function failed when it was tried out"),
    ],
)
def test_settings_that_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(GraphError, match=message):
        leaky(snn.Leaky(**{"beta": 0.5} | settings), (4,))


def test_a_layer_that_keeps_its_state_is_not_given_one() -> None:
    class Given(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.neuron = snn.Leaky(0.5, init_hidden=True)

        def forward(self, x: Tensor) -> Tensor:
            return self.neuron(x, torch.zeros_like(x))

    with pytest.raises(GraphError, match=r"neuron \(Leaky; it has init_hidden=True and is given its state"):
        from_module(Given(), (4,), 3, "given")


def test_membranes_that_are_never_reset_are_results() -> None:
    model = Loop(
        [Block(nn.Linear(5, 4), snn.Leaky(0.5), skip=False),
         Block(nn.Linear(4, 3), snn.Leaky(0.75, reset_mechanism="none"), skip=False)],
        4, in_time=True, first="reset_mem",
    )  # fmt: skip

    class Membrane(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = model

        def forward(self, x: Tensor) -> Tensor:
            return self.net(x)[1][-1]

    numbers = Numbers(3, exact=True)
    numbers.fill(model)
    x = numbers.tensor(-1, 2, (4, 3, 5), step=1 / 8)
    layers = ("net.blocks.0.neuron", "net.blocks.1.neuron")
    graph = compare(Example(Membrane(), layers, x, 4, _once, in_time=True, answer=lambda result: result), Tally())
    assert isinstance(graph.node("net.blocks.1.neuron"), Readout)


def test_the_membrane_is_read_as_an_attribute() -> None:
    class Hidden(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(4, 4)
            self.one = snn.Leaky(0.5, init_hidden=True)
            self.two = snn.Leaky(0.5, init_hidden=True, reset_mechanism="none")

        def forward(self, x: Tensor) -> Tensor:
            for _ in range(3):
                self.two(self.fc(self.one(x)))
            return self.two.mem

    model = Hidden()
    x = torch.arange(8.0).reshape(2, 4) / 4
    Numbers(0, exact=True).fill(model)
    example = Example(model, ("one", "two"), x, 3, _once, answer=lambda result: result)
    compare(example, Tally())
    assert type(model.two.mem) is Tensor, "what was followed leaves nothing behind"


def test_generated_networks_give_every_spike(record_property: Any) -> None:
    tally = compare_generated(networks(), NETWORKS)
    record_property("compared", str(tally))
    assert tally.kinds == {"Leaky", "Lapicque", "Synaptic", "RLeaky", "RSynaptic"}


class Fading(nn.Module):
    """A loop that changes the state between two steps."""

    def __init__(self) -> None:
        super().__init__()
        self.fc, self.lif = nn.Linear(6, 5), snn.Leaky(beta=0.5)

    def forward(self, x: Tensor) -> Tensor:
        mem, out = self.lif.init_leaky(), []
        for _ in range(4):
            spikes, mem = self.lif(self.fc(x), 0.5 * mem)
            out.append(spikes)
        return torch.stack(out)


def test_a_state_that_is_changed_between_steps_is_refused_once() -> None:
    with pytest.raises(GraphError, match=r"1 operation .*lif \(Leaky; its state is multiplied between two time steps"):
        from_module(Fading(), (6,), 4, "net")
