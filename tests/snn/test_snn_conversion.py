import copy
from typing import Any

import numpy as np
import pytest
import torch
from snn_nets import ResNet, settled, vgg
from torch import Tensor, nn

from neurocompile import snn
from neurocompile.errors import GraphError, InputError


def ann(bias: bool = False, affine: bool = True) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, bias=bias),
        nn.BatchNorm2d(4, affine=affine),
        nn.ReLU(),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(36, 8, bias=bias),
        nn.BatchNorm1d(8, affine=affine),
        nn.ReLU(),
        nn.Linear(8, 3),
    )


def train_a_little(net: nn.Sequential) -> nn.Sequential:
    net.train()
    for _ in range(3):
        net(torch.rand(32, 1, 8, 8) * 2 - 0.3)
    for module in net:
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d) and module.affine:
            nn.init.uniform_(module.weight, -1, 1)  # of either sign
            nn.init.uniform_(module.bias, -0.5, 0.5)
    return net.eval()


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("affine", [False, True])
def test_fused_network_computes_the_same(bias: bool, affine: bool) -> None:
    net = train_a_little(ann(bias, affine)).double()
    before = copy.deepcopy(net.state_dict())
    fused = snn.fuse_batchnorm(net)
    x = torch.randn(5, 1, 8, 8, dtype=torch.float64)
    torch.testing.assert_close(fused(x), net(x), rtol=1e-12, atol=1e-12)
    assert not any(isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d) for module in fused.modules())
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_fusing_by_hand() -> None:
    net = nn.Sequential(nn.Linear(1, 1), nn.BatchNorm1d(1, eps=0.0))
    values = {
        "0.weight": 3.0,
        "0.bias": 1.0,
        "1.running_mean": 2.0,
        "1.running_var": 4.0,
        "1.weight": 5.0,
        "1.bias": 7.0,
    }
    net.load_state_dict({name: torch.full_like(net.state_dict()[name], value) for name, value in values.items()}, False)
    fused = snn.fuse_batchnorm(net)
    assert fused[0].weight.item() == 3 * 5 / 2
    assert fused[0].bias.item() == (1 - 2) * 5 / 2 + 7


def test_fuses_where_forward_is_the_users_own_and_where_it_is_a_wiring() -> None:
    net = settled(ResNet())
    x = torch.rand(4, 1, 8, 8)
    for model in (net, snn.build_module(snn.trace(net)).eval()):
        model.load_state_dict(net.state_dict())
        fused = snn.fuse_batchnorm(model)
        assert type(fused.get_submodule("blocks.0.bn1")) is nn.Identity
        torch.testing.assert_close(snn.run(fused, x, 1), snn.run(net, x, 1))
        assert type(snn.trace(fused).modules["blocks.0.bn1"].type) is str


class Shared(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.bn, self.relu = nn.Conv2d(1, 1, 3), nn.BatchNorm2d(1), nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        return self.relu(y + self.relu(self.bn(y)))


def test_fuse_refuses_what_it_cannot_fold() -> None:
    with pytest.raises(GraphError, match=r"1: BatchNorm2d does not directly follow a Conv2d or Linear"):
        snn.fuse_batchnorm(nn.Sequential(nn.AvgPool2d(2), nn.BatchNorm2d(1)))
    with pytest.raises(GraphError, match=r"0: BatchNorm2d does not directly follow"):
        snn.fuse_batchnorm(nn.Sequential(nn.BatchNorm2d(1)))
    with pytest.raises(
        GraphError, match=r"bn: BatchNorm2d does not directly follow a Conv2d or Linear used just there"
    ):
        snn.fuse_batchnorm(Shared())
    with pytest.raises(GraphError, match=r"1: keeps no running statistics"):
        snn.fuse_batchnorm(nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2, track_running_stats=False)))


def test_replace_relu() -> None:
    net = ann().train()
    spiking = snn.replace_relu(net, lambda: snn.LIF(0.5, 0.9))
    assert [type(module) for module in spiking].count(snn.LIF) == 2
    assert spiking[2] is not spiking[7]
    assert spiking.training
    assert type(net[2]) is nn.ReLU
    assert torch.equal(spiking[0].weight, net[0].weight)
    assert spiking[0].weight is not net[0].weight


class Functional(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.relu(x)


@pytest.mark.parametrize(
    ("net", "sentence"),
    [
        (Shared(), r"relu: this ReLU is called 2 times, limit 1; give each place"),
        (Functional(), r"Functional: calls a relu function; use nn.ReLU modules"),
        (vgg(), r"Sequential: has no nn.ReLU to replace"),
    ],
    ids=["twice", "function", "none"],
)
def test_replace_relu_refuses(net: nn.Module, sentence: str) -> None:
    with pytest.raises(GraphError, match=sentence):
        snn.replace_relu(net, snn.LIF)


def test_thresholds_are_percentiles_of_the_anns_pre_activations() -> None:
    net = snn.fuse_batchnorm(train_a_little(ann()))
    spiking = snn.replace_relu(net, lambda: snn.LIF(learn_threshold=True)).train()
    data = torch.rand(20, 1, 8, 8)
    found = snn.set_thresholds(spiking, data, 95.0)
    first = net[:2](data)
    second = net[2:7](first)
    assert found == {
        "2": pytest.approx(np.percentile(first.detach().numpy(), 95)),
        "7": pytest.approx(np.percentile(second.detach().numpy(), 95)),
    }
    assert float(spiking[2].threshold.detach()) == pytest.approx(found["2"])
    assert spiking.training
    assert spiking[2].u is None
    assert not spiking[2]._forward_hooks


def test_thresholds_per_channel_all_get_the_number() -> None:
    net = nn.Sequential(snn.LIF(torch.ones(3)))
    assert snn.set_thresholds(net, torch.tensor([[1.0, 2.0, 3.0]]), 50) == {"0": 2.0}
    assert net[0].threshold.tolist() == [2, 2, 2]


def test_set_thresholds_refuses() -> None:
    net: Any = nn.Sequential(nn.Linear(2, 2), snn.LIF())
    with pytest.raises(InputError, match="percentile is 101, limit 0 to 100"):
        snn.set_thresholds(net, torch.rand(3, 2), 101)
    with pytest.raises(InputError, match=r"1: the 0th percentile of its input is -.*, limit above 0; take a higher"):
        snn.set_thresholds(net, torch.randn(50, 2), 0)
    with pytest.raises(GraphError, match="has no LIF layers"):
        snn.set_thresholds(nn.Sequential(nn.ReLU()), torch.rand(3, 2))
