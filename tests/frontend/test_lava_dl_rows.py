"""lava-dl's rows: SLAYER's blocks, read as they are and from the files that they write, send SLAYER's own spikes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from neurocompile.errors import GraphError
from neurocompile.frontend.slayer import _BLOCKS, _OTHER_NEURONS, read_slayer
from neurocompile.frontend.slayer import _REFUSED as _REFUSED_BLOCKS
from neurocompile.ir.graph import Graph
from neurocompile.ir.interpret import interpret
from neurocompile.ir.nodes import Neuron, Readout
from tests.frontend.frameworks.rows import NETX, SLAYER, Row
from tests.frontend.test_slayer import Net, cuba, plain, run_slayer, slayer

h5py = pytest.importorskip("h5py", reason="h5py is not installed; run: pip install 'neurocompile[netx]'")

from neurocompile.frontend.netx import _FIELDS, read_netx  # noqa: E402
from neurocompile.frontend.netx import _REFUSED as _REFUSED_LAYERS  # noqa: E402
from tests.netx_files import NEURON, dense, write  # noqa: E402

TIMESTEPS = 8
pytestmark = pytest.mark.filterwarnings("ignore:.torch.nn.utils.weight_norm. is deprecated:FutureWarning")


def _blocks(row: Row) -> Net:
    """The row's network, as if it was trained with batches of which the means are not zero."""
    torch.manual_seed(2)
    net = Net(eval(row.code, {"cuba": cuba, "slayer": slayer, "plain": plain, "torch": torch})).eval()
    for part in net.modules():
        if hasattr(part, "running_mean"):
            part.running_mean.fill_(-0.25)
        if hasattr(part, "running_var"):
            part.running_var.fill_(0.25)
    return net


def _trained(row: Row) -> Net:
    """It has run, which draws its delays; these are then 0 to 3 steps."""
    net = _blocks(row)
    with torch.no_grad():
        net(torch.rand(1, *row.shape, 2))
        for block in net.blocks:
            if getattr(block, "delay", None) is not None:
                block.delay.delay.copy_(torch.arange(block.delay.delay.numel()).reshape(block.delay.delay.shape) + 0.5)
    return net


def _samples(net: Net, row: Row) -> Tensor:
    """(2, *shape, T): spikes, or analog values that last, in steps that SLAYER's input does not round."""
    generator = torch.Generator().manual_seed(1)
    if isinstance(net.blocks[0], cuba.Input) and net.blocks[0].neuron is not None:
        values = torch.randint(-8, 64, (2, *row.shape), generator=generator) / 32
        return values[..., None].expand(*values.shape, TIMESTEPS)
    return (torch.rand((2, *row.shape, TIMESTEPS), generator=generator) < 0.5).float()


def _check(graph: Graph, net: Net, samples: Tensor, *, weight_unit: float = 1.0) -> None:
    """Its layers send what SLAYER's blocks send; where the network's result is a sum, that is the same.
    ``weight_unit``: what one of the graph's weights is in SLAYER's."""
    trace = interpret(graph, samples.movedim(-1, 1).double().numpy())
    sent = list(zip(net.blocks, run_slayer(net, samples, TIMESTEPS), strict=True))
    layers = [(block, series) for block, series in sent if _has_neurons(block)]
    somas = graph.of_kind(Neuron, Readout)
    firing = 0
    for name, (block, theirs) in zip(somas, layers, strict=True):
        node: Any = graph.node(name)
        if isinstance(node, Neuron):
            firing += 1
            assert theirs.any()
            assert not theirs.all()
            if getattr(block, "delay", None) is None:  # what a delayed layer sends is seen in the next one
                np.testing.assert_array_equal(trace.events[name].reshape(theirs.shape), theirs, name)
        else:
            affine = isinstance(block, cuba.Affine)
            result = theirs[:, -1] if affine and block.dynamics else theirs.sum(axis=1)
            assert result.any()
            unit = node.unit * (weight_unit if affine else 1)
            np.testing.assert_allclose(trace.outputs[name] * unit, result.reshape(2, -1), rtol=1e-6)
    assert firing


def _has_neurons(block: nn.Module) -> bool:
    return getattr(block, "neuron", None) is not None or isinstance(block, cuba.Average)


@pytest.mark.parametrize("row", [row for row in SLAYER if not row.refused], ids=str)
def test_supported_slayer_rows(row: Row) -> None:
    net = _trained(row)
    _check(read_slayer(net, row.shape, TIMESTEPS, "net"), net, _samples(net, row))


@pytest.mark.parametrize("row", [row for row in SLAYER if row.refused], ids=str)
def test_refused_slayer_rows(row: Row) -> None:
    with pytest.raises(GraphError, match=re.escape(row.refused)):
        read_slayer(_blocks(row), row.shape, TIMESTEPS, "net")


def _exported(net: Net, path: Path) -> Path:
    """The file that lava-dl writes. It fails to write an Average, of which the entry is what its code would write."""
    with h5py.File(path, "w") as file:
        for index, block in enumerate(net.blocks):
            group = file.create_group(f"layer/{index}")
            if isinstance(block, cuba.Average):
                group.create_dataset("type", (1,), "S10", [b"average"])
                group.create_dataset("shape", data=np.array([block.num_outputs]))
            else:
                block.export_hdf5(group)
    return path


@pytest.mark.parametrize("row", [row for row in NETX if not row.refused], ids=str)
def test_supported_netx_rows(row: Row, tmp_path: Path) -> None:
    net = _trained(row)
    samples = _samples(net, row)
    path = _exported(net, tmp_path / "net.net")
    _check(read_netx(path, timesteps=TIMESTEPS, input_shape=row.shape), net, samples, weight_unit=1 / 64)


@pytest.mark.parametrize("row", [row for row in NETX if row.refused], ids=str)
def test_refused_netx_rows(row: Row, tmp_path: Path) -> None:
    layers = eval(row.code, {"dense": dense, "NEURON": NEURON})
    with pytest.raises(GraphError, match=re.escape(row.refused)):
        read_netx(write(tmp_path / "net.net", *layers))


def test_every_block_and_every_type_of_layer_has_a_row() -> None:
    assert {*_BLOCKS, *_REFUSED_BLOCKS, *(f"{family} blocks" for family in _OTHER_NEURONS)} == {
        row.layer for row in SLAYER
    }
    assert {*_FIELDS, *_REFUSED_LAYERS} <= {row.layer for row in NETX}
