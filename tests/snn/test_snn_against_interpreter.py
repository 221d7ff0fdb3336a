"""The layers mean what the graph's interpreter says they mean, spike for spike in float64."""

from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from snn_nets import settled, vgg
from torch import nn

from neurocompile import snn
from neurocompile.ir.interpret import interpret
from tests.tracing import from_module


def agree(net: nn.Module, x: torch.Tensor, timesteps: int) -> None:
    net, x = net.eval().double(), x.double()
    trace = interpret(from_module(net, tuple(x.shape[1:]), timesteps, "net"), x.numpy())
    for name, spikes in snn.record_spikes(net, x, timesteps).items():
        np.testing.assert_array_equal(trace.events[name], spikes.numpy(), err_msg=name)
    (output,) = trace.outputs.values()
    np.testing.assert_allclose(output, snn.run(net, x, timesteps).detach().numpy(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("spikes", ["binary", "signed", "graded"])
@pytest.mark.parametrize("order", ["integrate_first", "fire_first"])
def test_every_combination_of_choices(order: Any, spikes: Any) -> None:
    resets: tuple[tuple[Any, bool], ...] = (("subtract", True), ("subtract", False), ("set", True), ("none", True))
    compares: tuple[Any, ...] = ("above", "at_or_above")
    for seed, (compare, (reset, leaky), single) in enumerate(product(compares, resets, (False, True))):
        torch.manual_seed(seed)

        def neuron(
            threshold: Any, reset: Any = reset, leaky: bool = leaky, compare: Any = compare, single: bool = single
        ) -> snn.LIF:
            return snn.LIF(
                threshold,
                0.7,
                current_leak=0.3,
                order=order,
                compare=compare,
                reset=reset,
                reset_value=-0.1,
                leaky_reset=leaky,
                spikes=spikes,
                max_payload=5,
                single_spike=single,
            )

        net = nn.Sequential(
            snn.PoissonEncoder(0.9, seed),
            nn.Conv2d(1, 3, 3),
            neuron(torch.tensor([0.1, 0.2, 0.3])),
            nn.AvgPool2d(2),
            nn.Flatten(),
            nn.Linear(27, 6),
            neuron(0.15),
            nn.Linear(6, 2),
            snn.Readout(0.9, 0.2),
        )
        agree(net, torch.randn(3, 1, 8, 8), 5)


def test_a_vgg() -> None:
    agree(settled(vgg()), torch.rand(4, 1, 8, 8), 4)


def test_a_network_without_readout() -> None:
    agree(nn.Sequential(nn.Flatten(), nn.Linear(64, 10), snn.IF(0.3)), torch.rand(4, 1, 8, 8), 6)
