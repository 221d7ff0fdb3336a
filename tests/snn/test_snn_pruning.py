"""Pruning by magnitude: which weights go, and that they stay away."""

from pathlib import Path

import numpy as np
import pytest
import torch
from snn_nets import ResNet
from torch import nn

from neurocompile import snn
from neurocompile.errors import GraphError, InputError


def test_by_hand_over_all_layers_together() -> None:
    net = nn.Sequential(nn.Conv2d(1, 2, (1, 2)), nn.Flatten(), nn.Linear(2, 3))
    with torch.no_grad():
        net[0].weight.copy_(torch.tensor([[[[0.5, -0.1]]], [[[2.0, 0.3]]]]))
        net[2].weight.copy_(torch.tensor([[-0.2, 0.4], [0.3, -3.0], [0.05, 1.0]]))
    biases = [net[0].bias.clone(), net[2].bias.clone()]
    pruning = snn.prune_by_magnitude(net, 0.5)  # the smallest five: 0.05, 0.1, 0.2, and 0.3 twice
    assert net[0].weight.flatten().tolist() == [0.5, 0, 2, 0]
    assert net[2].weight.tolist() == [[0, pytest.approx(0.4)], [0, -3], [0, 1]]
    assert torch.equal(net[0].bias, biases[0])
    assert torch.equal(net[2].bias, biases[1])
    assert set(pruning.masks) == {"0.weight", "2.weight"}
    assert pruning.masks["2.weight"].tolist() == [[False, True], [False, True], [False, True]]
    assert pruning.density == 0.5


def test_as_many_as_asked_for_even_where_weights_are_equal() -> None:
    net = nn.Sequential(nn.Linear(10, 10), nn.Linear(10, 5))
    for layer in net:
        nn.init.ones_(layer.weight)
    snn.prune_by_magnitude(net, 0.9)
    assert net[0].weight.count_nonzero() == 0
    assert net[1].weight.count_nonzero() == 15


def test_the_largest_remain_in_any_network() -> None:
    net = ResNet()
    named = {name: parameter for name, parameter in net.named_parameters() if parameter.ndim > 1}
    before = {name: parameter.detach().clone() for name, parameter in named.items()}
    pruning = snn.prune_by_magnitude(net)
    assert set(pruning.masks) == set(before)
    sizes = np.sort(np.concatenate([value.abs().flatten().numpy() for value in before.values()]))
    border = sizes[round(0.9 * len(sizes))]
    for name, parameter in named.items():
        assert torch.equal(parameter, torch.where(before[name].abs() >= border, before[name], 0.0)), name
    assert pruning.density == pytest.approx(0.1, abs=1e-3)


def test_pruned_weights_stay_zero_through_training_and_saving(tmp_path: Path) -> None:
    net = nn.Sequential(nn.Linear(6, 16), snn.LIF(0.5, 0.9), nn.Linear(16, 2), snn.Readout())
    x, y = torch.rand(16, 6), torch.randint(0, 2, (16,))
    pruning = snn.prune_by_magnitude(net, 0.8)
    start = net[0].weight.detach().clone()
    optimizer = torch.optim.AdamW(net.parameters(), 0.05)
    for _ in range(5):
        optimizer.zero_grad()
        nn.functional.cross_entropy(snn.run(net, x, 3), y).backward()
        optimizer.step()
        assert any((net.get_parameter(name)[~mask] != 0).any() for name, mask in pruning.masks.items())
        pruning.apply()
    assert all((net.get_parameter(name)[~mask] == 0).all() for name, mask in pruning.masks.items())
    assert not torch.equal(net[0].weight, start)
    again = snn.prune_by_magnitude(net, 0.8)
    assert all(torch.equal(mask, again.masks[name]) for name, mask in pruning.masks.items())
    snn.save(net, tmp_path / "net.pt", timesteps=3, input_shape=(6,))
    assert torch.equal(snn.load(tmp_path / "net.pt").model.get_parameter("0.weight"), net[0].weight)


def test_refusals() -> None:
    for fraction in (-0.1, 1.0, float("nan")):
        with pytest.raises(InputError, match=rf"fraction is {fraction}, limit 0 to below 1; give the part"):
            snn.prune_by_magnitude(nn.Sequential(nn.Linear(2, 2)), fraction)
    with pytest.raises(GraphError, match="Sequential: has no Conv2d or Linear layers to prune"):
        snn.prune_by_magnitude(nn.Sequential(nn.ReLU()))
