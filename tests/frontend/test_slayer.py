"""Modules of SLAYER's blocks: generated ones send the same spikes at every step as SLAYER's own forward does."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from neurocompile.errors import GraphError
from neurocompile.frontend.slayer import is_slayer, read_slayer
from neurocompile.ir.graph import Graph
from neurocompile.ir.interpret import interpret
from neurocompile.ir.nodes import Array, DirectEncoder, Neuron, Shape
from neurocompile.ir.verify import verify
from tests.lava_dl import import_lava_dl

slayer = import_lava_dl("slayer")
sigma_delta = slayer.block.sigma_delta
cuba = slayer.block.cuba

#: what sends its spikes one step later
SENDERS = ("Input", "Dense", "Conv", "Pool", "Recurrent", "KWTA")


class Net(nn.Module):
    """Blocks one after the other, as lava-dl's tutorials have them."""

    def __init__(self, blocks: list[nn.Module]) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)

    def forward(self, spike: Tensor) -> Tensor:
        for block in self.blocks:
            spike = block(spike)
        return spike


@st.composite
def neurons(draw: st.DrawFn, *, norms: bool = True, own: bool = False) -> dict[str, Any]:
    """Parameters of neurons. A norm goes with a current that has no memory. ``own``: each may have decays of its own,
    which SLAYER's CPU code can do for vectors only."""
    decay = st.sampled_from([0.0, 0.03, 0.25, 0.5, 0.999, 1.0])
    norm = draw(st.sampled_from([None, "MeanOnlyBatchNorm", "WgtScaleBatchNorm"])) if norms else None
    memory = draw(decay)
    parameters = {
        "threshold": draw(st.sampled_from([0.0, 0.1, 0.5, 1.25, 3.0])),
        "current_decay": 1.0 if norm else memory,
        "voltage_decay": draw(decay),
        "scale": draw(st.sampled_from([64, 64, 32, 128])),
        "shared_param": True,
    }
    if norm:
        parameters["norm"] = getattr(slayer.neuron.norm, norm)
    elif own and draw(st.integers(0, 4)) == 0:
        parameters["shared_param"] = False  # decays of their own for all channels
    return parameters


@st.composite
def nets(draw: st.DrawFn) -> tuple[Net, Shape, bool]:
    """A network, the shape of its input, and whether that is analog."""
    torch.manual_seed(draw(st.integers(0, 1 << 30)))
    image = draw(st.booleans())
    shape: Shape = (2, draw(st.integers(4, 7)), draw(st.integers(4, 7))) if image else (draw(st.integers(1, 6)),)
    blocks: list[nn.Module] = []
    analog = draw(st.integers(0, 2)) == 0
    if analog:
        affine = draw(st.sampled_from([{}, {"weight": 0.7, "bias": 0.3}, {"weight": -1.6}]))
        blocks.append(cuba.Input({**draw(neurons(norms=False)), "scale": 64}, **affine))
    elif draw(st.booleans()):
        blocks.append(cuba.Input(None, delay_shift=False))  # with it, SLAYER fails
    size = shape
    if image:
        for _ in range(draw(st.integers(0, 2))):
            block, size = draw(spatial_blocks(size))
            blocks.append(block)
        if draw(st.booleans()):
            blocks.append(cuba.Flatten())
        else:
            # a kernel of the whole image, in SLAYER's order of width, height and channels
            blocks += [cuba.Dense(draw(neurons()), (size[2], size[1], size[0]), 4), cuba.Flatten()]
            size = (4,)
    features = int(np.prod(size))
    for _ in range(draw(st.integers(1, 2))):
        block, features = draw(dense_blocks(features))
        blocks.append(block)
    end = draw(st.sampled_from(["", "", "Affine", "Average"]))
    if end == "Affine":
        blocks.append(cuba.Affine(draw(neurons()), features, 3))
    elif end == "Average" and features % 2 == 0:
        blocks.append(cuba.Average(2))
    net = Net(blocks)
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            if name.endswith("weight") and parameter.ndim == 5 and "Pool" not in name:
                parameter.mul_(draw(st.sampled_from([2.0, 6.0, 40.0])))
        net(torch.rand(1, *shape, 2))  # draws delays and decays, and learns the shapes
        for block in blocks:
            if getattr(block, "delay", None) is not None:
                block.delay.delay.uniform_(0, 5)
        for module in net.modules():
            if hasattr(module, "running_mean"):
                module.running_mean.uniform_(-1, 1)
            if hasattr(module, "running_var"):
                module.running_var.fill_(draw(st.sampled_from([0.01, 0.3, 1.0, 10.0, 100.0])))
    if type(blocks[-1]).__name__ not in ("Affine", "Average"):
        blocks[-1].delay = None  # nothing would read it
    if any(isinstance(block, cuba.KWTA) or has_norm(block) for block in blocks[1:]):
        # with a step between layers, biases of later ones would act before their input arrives
        for block in blocks:
            block.delay_shift = False
    return net.eval(), shape, analog


@st.composite
def spatial_blocks(draw: st.DrawFn, shape: Shape) -> tuple[nn.Module, Shape]:
    channels, height, width = shape
    if draw(st.booleans()) and height % 2 == 0 and width >= 2:
        columns = draw(st.integers(1, 2))
        extra = width % columns if 2 * (width % columns) >= columns else 0
        block = cuba.Pool(draw(neurons(norms=False)), (2, columns), weight_scale=draw(st.sampled_from([0.4, 1.1])))
        return block, (channels, height // 2, (width + extra) // columns)
    kernel, padding = draw(st.sampled_from([((3, 3), (1, 1)), ((2, 1), (0, 0)), ((1, 3), (0, 1))]))
    stride = draw(st.sampled_from([(1, 1), (2, 1)]))
    groups = draw(st.sampled_from([1, channels]))
    block = cuba.Conv(
        draw(neurons()),
        channels,
        2 * channels,
        kernel,
        stride=stride,
        padding=padding,
        groups=groups,
        weight_norm=draw(st.booleans()),
        delay=draw(st.booleans()),
    )
    rows, columns = (
        (size + 2 * pad - length) // step + 1
        for size, pad, length, step in zip((height, width), padding, kernel, stride, strict=True)
    )
    return block, (2 * channels, rows, columns)


@st.composite
def dense_blocks(draw: st.DrawFn, features: int) -> tuple[nn.Module, int]:
    size = draw(st.integers(2, 6))
    kind = draw(st.sampled_from(["Dense", "Dense", "Recurrent", "KWTA"]))
    if kind == "Recurrent":
        return cuba.Recurrent(draw(neurons(own=True)), features, size, delay=draw(st.booleans())), size
    if kind == "KWTA":
        plain = {**draw(neurons(norms=False, own=True)), "scale": 64}
        return cuba.KWTA(plain, features, size, num_winners=draw(st.integers(1, size))), size
    mask = None if draw(st.booleans()) else torch.rand(size, features) < 0.7
    return cuba.Dense(
        draw(neurons(own=True)), features, size, mask=mask, delay_shift=draw(st.booleans()), delay=draw(st.booleans())
    ), size


def late(spikes: Array, delay: Any) -> Array:
    """Spikes (N, T, channels, ...) by each channel's own whole number of steps later."""
    result = np.zeros_like(spikes)
    for channel, steps in enumerate(delay.delay.floor().int().tolist()):
        result[:, steps:, channel] = spikes[:, : max(spikes.shape[1] - steps, 0), channel]
    return result


def has_norm(block: nn.Module) -> bool:
    return getattr(getattr(block, "neuron", None), "norm", None) is not None


def run_slayer(net: Net, samples: Tensor, timesteps: int) -> list[np.ndarray[Any, Any]]:
    """What every block gives for ``samples`` (N, *shape, timesteps), in the time of its own layer."""
    sent = []
    steps = len(net.blocks)
    spike = torch.cat([samples, samples[..., -1:].expand(*samples.shape[:-1], steps)], dim=-1)
    before = 0
    with torch.no_grad():
        for block in net.blocks:
            spike = block(spike)
            before += type(block).__name__ in SENDERS and block.delay_shift
            sent.append(spike[..., before : before + timesteps].movedim(-1, 1).double().numpy())
    return sent


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.torch.nn.utils.weight_norm. is deprecated:FutureWarning")
@settings(max_examples=250)
@given(drawn=nets(), seed=st.integers(0, 1 << 30), timesteps=st.sampled_from([1, 2, 9, 14]))
def test_generated_networks_send_slayers_spikes(drawn: tuple[Net, Shape, bool], seed: int, timesteps: int) -> None:
    net, shape, analog = drawn
    generator = torch.Generator().manual_seed(seed)
    if analog:
        samples = (4.5 * torch.randn((2, *shape), generator=generator)).float()
        series = samples[..., None].expand(2, *shape, timesteps)
        given_samples = samples.numpy()
    else:
        series = (torch.rand((2, *shape, timesteps), generator=generator) < 0.4).float()
        given_samples = series.movedim(-1, 1).numpy()
    before = copy.deepcopy(net.state_dict())
    graph = read_slayer(net, shape, timesteps, "net")
    verify(graph)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    trace = interpret(graph, given_samples)
    sent = run_slayer(copy.deepcopy(net), series, timesteps)
    compared = 0
    for index, (block, theirs) in enumerate(zip(net.blocks, sent, strict=True)):
        name = f"blocks.{index}"
        if name not in graph:
            continue
        compared += 1
        node = graph.node(name)
        if isinstance(node, Neuron):
            mine = trace.events[name].reshape(theirs.shape)
            np.testing.assert_array_equal(mine if block.delay is None else late(mine, block.delay), theirs)
        elif type(block).__name__ == "Affine":
            np.testing.assert_array_equal(trace.outputs[name] * node.unit, theirs[:, -1].reshape(2, -1))
        else:
            np.testing.assert_allclose(trace.outputs[name] * node.unit, theirs.sum(axis=1), rtol=1e-6)
    assert compared == sum(type(block).__name__ != "Flatten" and not passes_on(block) for block in net.blocks)


def plain(**more: Any) -> dict[str, Any]:
    """Parameters of neurons; some blocks write into theirs."""
    return {"threshold": 0.5, "current_decay": 0.5, "voltage_decay": 0.1, **more}


def ran(*blocks: nn.Module, shape: Shape = (3,)) -> Net:
    """A network that has run once, as a trained one has."""
    net = Net(list(blocks)).eval()
    with torch.no_grad():
        net(torch.rand(1, *shape, 2))
    return net


def read(net: nn.Module, shape: Shape = (3,), **options: Any) -> Graph:
    return read_slayer(net, shape, 4, "net", **options)


def test_which_modules_are_slayers() -> None:
    assert is_slayer(Net([nn.Linear(2, 2), cuba.Dense(plain(), 3, 2)]))
    assert is_slayer(nn.Sequential(slayer.neuron.cuba.Neuron(**plain())))
    assert not is_slayer(nn.Sequential(nn.Linear(2, 2)))


class Own(cuba.Dense):
    def forward(self, x: Tensor) -> Tensor:
        return 1 - super().forward(x)


class Skips(Net):
    def forward(self, spike: Tensor) -> Tensor:
        first = self.blocks[0](spike)
        return self.blocks[2](first + self.blocks[1](first))


class Twice(Net):
    def forward(self, spike: Tensor) -> Tensor:
        return self.blocks[0](self.blocks[0](spike))


class Reshapes(Net):
    """Flattens by itself, counts, and averages at the end, as tutorials do."""

    def forward(self, spike: Tensor) -> tuple[Tensor, Tensor]:
        first = self.blocks[0](spike)
        second = self.blocks[1](first.reshape(first.shape[0], -1, first.shape[-1]).clone())
        return second.mean(dim=-1), torch.FloatTensor([torch.mean(first).item()])


def changed(block: nn.Module, change: Callable[[Any], Any]) -> Net:
    net = ran(block)
    change(net.blocks[0])
    return net


def unchanged(weight: Tensor, descale: bool = False) -> Tensor:  # noqa: ARG001 - as SLAYER calls it
    return weight


REFUSED: list[tuple[Callable[[], nn.Module], str]] = [
    (
        lambda: Net(
            [sigma_delta.Dense({"threshold": 0.1, "activation": torch.relu}, 3, 2), cuba.ConvT(plain(), 1, 1, 2)]
        ),
        r"blocks.0 \(sigma_delta.Dense\): sigma-delta neurons .*; use slayer.block.cuba; blocks.1 \(ConvT\): transp",
    ),
    (
        lambda: Net([cuba.Unpool(plain(), 2), cuba.TimeDecimation(2)]),
        r"blocks.0 \(Unpool\): unpool.*; blocks.1 \(TimeDeci",
    ),
    (
        lambda: Net(
            [slayer.block.alif.Dense(plain(threshold_step=0.1, threshold_decay=0.1, refractory_decay=0.1), 3, 2)]
        ),
        r"blocks.0 \(alif.Dense\): its neurons adapt their threshold",
    ),
    (lambda: Net([Own(plain(), 3, 2)]), r"blocks.0 \(Own\): it has a forward of its own; leave that to the block"),
    (
        lambda: nn.Sequential(slayer.synapse.Dense(3, 2)),
        "Sequential: it has neurons or synapses of SLAYER outside of blocks",
    ),
    (
        lambda: Skips([cuba.Dense(plain(), 3, 2), cuba.Dense(plain(), 2, 2), cuba.Dense(plain(), 2, 2)]),
        "blocks.2: it does not read what blocks.1 sends, but something that was made of it or came from elsewhere",
    ),
    (lambda: Twice([cuba.Dense(plain(), 3, 3)]), "blocks.0: it is called 2 times in one run, must be once"),
    (
        lambda: Twice([cuba.Dense(plain(), 3, 3), cuba.Dense(plain(), 3, 3)]),
        "blocks.0: it is called 2 times|blocks.1: it is called 0",
    ),
    (
        lambda: Net([cuba.Dense(plain(), 4, 2)]),
        r"net: its forward fails on spikes of shape \(1, 3, 4\) .*; check --input-shape",
    ),
    (
        lambda: ran(cuba.Dense(plain(graded_spike=True), 3, 2)),
        "blocks.0: its spikes carry the voltage; train with",
    ),
    (
        lambda: ran(cuba.Dense(plain(scale=100), 3, 2)),
        "blocks.0: its neurons have scale=100; give a power of two",
    ),
    (
        lambda: ran(cuba.Dense(plain(), 3, 2, pre_hook_fx=None)),
        "blocks.0: its weights are not quantized; leave out pre_hook",
    ),
    (lambda: ran(cuba.Dense(plain(), 3, 2, pre_hook_fx=lambda x: x)), "blocks.0: its pre_hook_fx fails .*descale"),
    (
        lambda: ran(cuba.Dense(plain(), 3, 2, pre_hook_fx=unchanged)),
        "blocks.0: its pre_hook_fx does not quantize",
    ),
    (
        lambda: changed(cuba.Dense(plain(), 3, 2), lambda block: block.synapse.weight.data.fill_(torch.nan)),
        "blocks.0: it has parameters that are NaN or infinite",
    ),
    (
        lambda: changed(
            cuba.Dense(plain(norm=slayer.neuron.norm.MeanOnlyBatchNorm), 3, 2),
            lambda block: block.neuron.norm.running_mean.fill_(0.5),
        ),
        "blocks.0: it has a bias, which lava-dl adds to the membrane, and a current that decays by 2048/4096",
    ),
    (
        lambda: changed(
            cuba.Dense(plain(norm=slayer.neuron.norm.WgtScaleBatchNorm), 3, 2),
            lambda block: block.neuron.norm.running_var.fill_(30.0),
        ),
        "blocks.0: its WgtScaleBatchNorm divides by 8 what is not its input, but a current",
    ),
    (
        lambda: changed(
            cuba.Dense(plain(norm=slayer.neuron.norm.MeanOnlyBatchNorm), 3, 2),
            lambda block: setattr(block.neuron, "norm", nn.Identity()),
        ),
        "blocks.0: its norm is a Identity; use Mean",
    ),
    (
        lambda: changed(cuba.Recurrent(plain(), 3, 2), lambda block: setattr(block, "bias", torch.ones(2, 1))),
        "blocks.0: it has a bias that nothing quantizes",
    ),
    (
        lambda: ran(cuba.Input(plain(), weight=0.001)),
        "blocks.0: its weight is 0, so that no sample would count; train it",
    ),
    (
        lambda: ran(cuba.Affine(plain(), 3, 3), cuba.Dense(plain(), 3, 2)),
        "blocks.1: it reads blocks.0, which integ",
    ),
    (
        lambda: changed(cuba.Dense(plain(), 3, 2, delay=True), lambda block: block.delay.delay.data.fill_(5.7)),
        "blocks.0: its axons delay spikes by up to 5 time steps, and it is the last",
    ),
]


@pytest.mark.parametrize(("make", "message"), REFUSED)
def test_what_cannot_be_compiled_is_refused_by_its_path(make: Callable[[], nn.Module], message: str) -> None:
    with pytest.raises(GraphError, match=message):
        read(make())


@pytest.mark.parametrize(
    ("block", "message"),
    [
        (
            lambda: cuba.Pool(plain(), 2, stride=1),
            "blocks.0: SLAYER pools across the borders of channels where windows overlap",
        ),
        (lambda: cuba.Pool(plain(), 3), "blocks.0: lava-dl pools 4 rows in windows of 3 across the borders of chan"),
    ],
)
def test_pools_that_mix_channels_are_refused(block: Callable[[], nn.Module], message: str) -> None:
    with pytest.raises(GraphError, match=message):
        read(Net([block()]), (1, 4, 4))


def test_a_network_that_never_ran_has_no_delays_or_decays_yet() -> None:
    """A run of the copy would draw others than the network's own."""
    with pytest.raises(GraphError, match=r"blocks.0 .*: its delays are drawn when it runs first"):
        read(Net([cuba.Dense(plain(), 3, 2, delay=True)]))
    with pytest.raises(GraphError, match=r"blocks.0 .*: its decays are drawn when it runs first \(shared_param"):
        read(Net([cuba.Dense(plain(shared_param=False), 3, 2)]))


def test_a_forward_may_flatten_and_sum_up_by_itself() -> None:
    torch.manual_seed(0)
    net = Reshapes([cuba.Conv(plain(), 1, 2, 2, weight_scale=8), cuba.Dense(plain(), 8, 3, weight_scale=8)]).eval()
    graph = read(net, (1, 3, 3))
    series = (torch.rand(2, 1, 3, 3, 4) < 0.5).float()
    trace = interpret(graph, series.movedim(-1, 1).numpy())
    first = net.blocks[0](series)
    assert first.any()
    np.testing.assert_array_equal(trace.events["blocks.0"][:, :-1], first.detach().movedim(-1, 1)[:, 1:])
    assert trace.events["blocks.1"].any()


@pytest.mark.parametrize(
    ("example", "low", "high"),
    [
        (None, 0, 1),
        ([0, 1, 1], 0, 1),
        ([0, 5.0], 0, 127),
        ([-3, 127], -127, 127),
    ],
)
def test_the_example_tells_the_range_of_an_input_that_nothing_encodes(example: Any, low: int, high: int) -> None:
    encoder = read(ran(cuba.Dense(plain(), 3, 2)), example_input=example).node("spikes")
    assert isinstance(encoder, DirectEncoder)
    assert (encoder.scale, encoder.low, encoder.high) == (1, low, high)


@pytest.mark.parametrize("example", [[0.5], [200.0], [np.nan]])
def test_analog_input_needs_an_input_block(example: Any) -> None:
    with pytest.raises(
        GraphError, match="must be spikes or whole numbers of -127 to 127; let the network begin with slayer"
    ):
        read(ran(cuba.Dense(plain(), 3, 2)), example_input=example)


def test_a_trained_module_is_left_as_it_is() -> None:
    """In training mode, with gradients on its weights, and with states that persist."""
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        net = Net([cuba.Dense(plain(), 3, 4, weight_norm=True), cuba.Recurrent(plain(), 4, 4)])
    net(torch.rand(2, 3, 5)).sum().backward()
    state = net.blocks[1].neuron.current_state.clone()
    first = read(net)
    assert net.training
    assert torch.equal(net.blocks[1].neuron.current_state, state)
    assert read(net).hash == first.hash
    net(torch.rand(2, 3, 5)).sum().backward()  # and can be trained on


def test_a_single_block_is_a_network() -> None:
    torch.manual_seed(0)
    block = cuba.Dense(plain(), 3, 2)
    assert read(block).outputs == ("Dense",)


def passes_on(block: nn.Module) -> bool:
    """Whether it is an input without neurons."""
    return type(block).__name__ == "Input" and block.neuron is None
