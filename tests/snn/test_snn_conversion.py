import copy
from typing import Any

import numpy as np
import pytest
import torch
from snn_nets import ResNet, settled, vgg
from torch import Tensor, nn

from neurocompile import snn
from neurocompile.errors import GraphError, InputError
from neurocompile.snn import conversion


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


# ------------------------------------------------------------------------------------------------ threshold balancing


def worked(leak: float = 1.0) -> nn.Sequential:
    """Two layers that fire before they integrate, and whose reset does not leak, as in Rathi et al."""

    def neuron() -> snn.LIF:
        return snn.LIF(9.0, leak, order="fire_first", leaky_reset=False, learn_leak=True)

    net = nn.Sequential(
        snn.DirectEncoder(),
        nn.Linear(2, 2, bias=False),
        neuron(),
        nn.Linear(2, 1, bias=False),
        neuron(),
        nn.Linear(1, 1),
        snn.Readout(),
    )
    with torch.no_grad():
        net[1].weight.copy_(torch.tensor([[1.0, 0.5], [-1.0, 2.0]]))
        net[3].weight.copy_(torch.tensor([[2.0, 3.0]]))
    return net


WORKED = torch.tensor([[1.0, 0.0], [0.5, 1.0]])  # a and b; the first layer's inputs are a (1, -1) and b (1, 1.5)


@pytest.mark.parametrize("leak", [1.0, 0.5])
def test_balanced_thresholds_by_hand(leak: float) -> None:
    """Threshold 1 is 1.5, so before the steps 1 to 4 the membranes of the first layer, whose leak counts as 1, are

    - of input 1: 0, 1, 2, 1.5, so it fires at step 3;
    - of input 1.5: 0, 1.5, 3, 3, so it fires at steps 3 and 4; of input -1, never.

    The second layer's inputs are then 0, 0, 2, 0 (a) and 0, 0, 2 + 3, 3 (b): threshold 2 is 5.
    """
    net = worked(leak).train()
    assert snn.balance_thresholds(net, WORKED, 4) == {"2": 1.5, "4": 5.0}
    assert (float(net[2].threshold), float(net[4].threshold)) == (1.5, 5.0)
    assert float(net[2].leak.detach()) == float(net[4].leak.detach()) == leak
    assert net.training
    assert net[2].u is None
    assert not net[2]._forward_pre_hooks
    assert snn.balance_thresholds(net, WORKED, 4, scale=0.4) == {"2": pytest.approx(0.6), "4": 2.0}
    assert float(net[4].threshold) == 2.0


def test_balanced_by_percentiles_by_hand() -> None:
    """The inputs of the first layer are -1, 1, 1, 1.5 at every step, so its median is 1, and the membranes before each
    step are 0, 1, 2, 2 of input 1 (fires at 3 and 4) and 0, 1.5, 2, 2.5 of input 1.5 (fires from 2 on). The second
    layer has (a, b) = (0, 0), (0, 3), (2, 5), (2, 5); the medians of the steps are 0, 1.5, 3.5, 3.5."""
    assert snn.balance_thresholds(worked(), WORKED, 4, percentile=50) == {"2": 1.0, "4": 3.5}
    assert snn.balance_thresholds(worked(), WORKED, 2, percentile=50) == {"2": 1.0, "4": 1.5}


def test_only_the_layers_asked_for_are_balanced() -> None:
    net = worked()
    assert snn.balance_thresholds(net, WORKED, 4, layers=["2"], scale=2) == {"2": 3.0}
    assert float(net[4].threshold) == 9
    net = worked()  # the first fires at 9 never, so the second hears nothing
    with pytest.raises(InputError, match=r"4: the largest input is 0, limit above 0 and finite; give more time steps"):
        snn.balance_thresholds(net, WORKED, 4, layers=["4"])


@pytest.mark.parametrize("make", [ResNet, lambda: snn.models.vgg6((1, 8, 8), width=0.1, batch_norm=True)])
def test_a_threshold_is_the_largest_input_of_the_balanced_network(make: Any) -> None:
    """Found again by running the finished network, and whatever the batches were."""
    net = settled(make())
    for module in net.modules():
        if isinstance(module, snn.LIF):
            module.leak.data.fill_(1)
    x = torch.rand(6, 1, 8, 8)
    told: list[tuple[int, int]] = []
    found = snn.balance_thresholds(net, list(x.split(4)), 5, progress=lambda *args: told.append(args))
    assert told == [(n, 2 * len(found)) for n in range(1, 2 * len(found) + 1)]
    largest = dict.fromkeys(found, 0.0)
    for name in found:
        net.get_submodule(name).register_forward_pre_hook(
            lambda _, inputs, name=name: largest.update({name: max(largest[name], float(inputs[0].max()))})
        )
    for module in net.modules():
        if isinstance(module, snn.PoissonEncoder):
            assert module.first_sample == 0
    with torch.no_grad():
        snn.run(net, x, 5)
    assert largest == {name: pytest.approx(value, rel=1e-5) for name, value in found.items()}
    assert list(found) == [name for name, module in net.named_modules() if isinstance(module, snn.LIF)]


def test_percentiles_are_numpys() -> None:
    for size in (1, 2, 7, 100):
        x = torch.randn(size)
        for percentile in (0, 12.5, 50, 99.7, 100):
            found = conversion._percentile(x, percentile)
            assert float(found) == pytest.approx(np.percentile(x.numpy(), percentile), rel=1e-5)


def test_a_timed_readout_keeps_its_threshold() -> None:
    net = nn.Sequential(nn.Linear(2, 4), snn.LIF(), nn.Linear(4, 2), snn.TimedReadout(0.7))
    assert list(snn.balance_thresholds(net, torch.rand(20, 2) * 3, 3)) == ["1"]
    assert float(net[3].latch.threshold) == 0.5
    assert float(net[3].crossing.threshold.detach()) == pytest.approx(0.7)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"percentile": 101}, "percentile is 101, limit 0 to 100; the papers take 99.7, or None for the largest"),
        ({"scale": 0}, "scale is 0, limit above 0; give a factor of the thresholds, such as 0.4"),
        ({"timesteps": 0}, "timesteps is 0; give a whole number of steps"),
        ({"samples": []}, "samples: there are none, or an empty batch; give some hundred of them"),
        ({"samples": torch.rand(0, 2)}, "samples: there are none, or an empty batch"),
        ({"layers": ["3"]}, "layers: '3' is no LIF layer; choose from 2, 4"),
        ({"timesteps": 2}, "4: the largest input is 0, limit above 0 and finite; give more time steps"),
        ({"samples": torch.full((1, 2), torch.nan)}, "2: the largest input is nan, limit above 0 and finite"),
        ({"percentile": 0}, "2: the 0th percentile of its input is -1, limit above 0 and finite"),
    ],
)
def test_balancing_refuses_and_changes_nothing(options: dict[str, Any], sentence: str) -> None:
    net = worked(0.5)
    with pytest.raises(InputError, match=sentence):
        snn.balance_thresholds(**{"model": net, "samples": WORKED, "timesteps": 4, **options})
    assert [float(net[n].threshold) for n in (2, 4)] == [9, 9]
    assert [float(net[n].leak.detach()) for n in (2, 4)] == [0.5, 0.5]
    assert net[2].u is None


def test_balancing_needs_neurons() -> None:
    with pytest.raises(GraphError, match="Sequential: has no LIF layers; put them in with replace_relu first"):
        snn.balance_thresholds(nn.Sequential(nn.ReLU()), torch.rand(3, 2), 4)
