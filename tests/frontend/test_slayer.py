"""Modules of SLAYER's blocks: generated ones send the same spikes at every step as SLAYER's own forward does."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from neurocompile.frontend.slayer import read_slayer
from neurocompile.ir.interpret import interpret
from neurocompile.ir.nodes import Neuron, Shape
from neurocompile.ir.verify import verify
from tests.lava_dl import import_lava_dl

slayer = import_lava_dl("slayer")
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
        for module in net.modules():
            if hasattr(module, "running_mean"):
                module.running_mean.uniform_(-1, 1)
            if hasattr(module, "running_var"):
                module.running_var.fill_(draw(st.sampled_from([0.01, 0.3, 1.0, 10.0, 100.0])))
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
        draw(neurons()), channels, 2 * channels, kernel, stride=stride, padding=padding, groups=groups,
        weight_norm=draw(st.booleans()),
    )  # fmt: skip
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
        return cuba.Recurrent(draw(neurons(own=True)), features, size), size
    if kind == "KWTA":
        plain = {**draw(neurons(norms=False, own=True)), "scale": 64}
        return cuba.KWTA(plain, features, size, num_winners=draw(st.integers(1, size))), size
    mask = None if draw(st.booleans()) else torch.rand(size, features) < 0.7
    return cuba.Dense(draw(neurons(own=True)), features, size, mask=mask, delay_shift=draw(st.booleans())), size


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
            np.testing.assert_array_equal(trace.events[name].reshape(theirs.shape), theirs)
        elif type(block).__name__ == "Affine":
            np.testing.assert_array_equal(trace.outputs[name] * node.unit, theirs[:, -1].reshape(2, -1))
        else:
            np.testing.assert_allclose(trace.outputs[name] * node.unit, theirs.sum(axis=1), rtol=1e-6)
    assert compared == sum(type(block).__name__ != "Flatten" and not passes_on(block) for block in net.blocks)


def passes_on(block: nn.Module) -> bool:
    """Whether it is an input without neurons."""
    return type(block).__name__ == "Input" and block.neuron is None
