"""Gradients against closed forms."""

import math

import pytest
import torch

from neurocompile import snn

U = torch.tensor([[-3.0, -0.4, 0.0, 0.3, 0.9999, 1.0, 1.7, 2.0, 2.6, 5.0]], dtype=torch.float64)


def slopes(layer: snn.LIF, u: torch.Tensor = U) -> torch.Tensor:
    """ds/du of the first step, whose membrane is its input."""
    x = u.clone().requires_grad_()
    layer.double()(x).sum().backward()
    return x.grad


def test_linear_is_eq_12() -> None:
    got = slopes(snn.LIF(1.0, surrogate=snn.LinearSurrogate(0.3)))
    torch.testing.assert_close(got, 0.3 * torch.clamp(1 - (U - 1).abs(), min=0))


def test_in_units_of_the_threshold() -> None:
    got = slopes(snn.LIF(2.0, surrogate=snn.LinearSurrogate(0.5)))
    torch.testing.assert_close(got, 0.5 * torch.clamp(1 - (U / 2 - 1).abs(), min=0) / 2)


def test_arctan_is_the_derivative_of_its_arc_tangent() -> None:
    z = U.clone().requires_grad_()
    (torch.atan(math.pi / 2 * 3.0 * (z - 1)) / math.pi).sum().backward()
    torch.testing.assert_close(slopes(snn.LIF(surrogate=snn.ArctanSurrogate(3.0))), z.grad)


def test_signed_and_graded_take_the_nearest_level() -> None:
    linear = snn.LinearSurrogate(1.0)
    expected = torch.clamp(1 - (U.abs() - 1).abs(), min=0)
    torch.testing.assert_close(slopes(snn.LIF(spikes="signed", surrogate=linear)), expected)
    level = U.round().clamp(1, 3)
    got = slopes(snn.LIF(spikes="graded", max_payload=3, surrogate=linear))
    torch.testing.assert_close(got, torch.clamp(1 - (U - level).abs(), min=0))


@pytest.mark.parametrize("leaky_reset", [True, False])
def test_threshold_and_leak_gradients_over_time(leaky_reset: bool) -> None:
    """Eqs. 14 and 15, with the dependence of u on v and λ carried through all earlier steps."""
    xs, g, lam, v, gamma = [1.2, 0.1, 0.9, 0.2], [0.7, -1.0, 0.4, 2.0], 0.75, 0.8, 0.3
    layer = snn.LIF(v, lam, leaky_reset=leaky_reset, learn_threshold=True, learn_leak=True).double()
    with torch.no_grad():
        layer.threshold.fill_(v)
    loss = sum(w * layer(torch.tensor([[x]], dtype=torch.float64)).sum() for w, x in zip(g, xs, strict=True))
    loss.backward()

    dv = dlam = 0.0
    u = du_dv = du_dlam = owed = downed_dv = 0.0
    for w, x in zip(g, xs, strict=True):
        du_dlam = u + lam * du_dlam
        du_dv = lam * du_dv - downed_dv
        u = lam * u - owed + x
        s = float(u > v)
        slope = gamma * max(0.0, 1 - abs(u / v - 1))
        dv += w * slope * (du_dv * v - u) / v**2
        dlam += w * slope * du_dlam / v
        if leaky_reset:
            u, du_dv = u - v * s, du_dv - s
        else:
            owed, downed_dv = v * s, s
    assert float(layer.threshold.grad) == pytest.approx(dv)
    assert float(layer.leak.grad) == pytest.approx(dlam)


def test_eq_14_as_printed() -> None:
    """At the second step after a spike: do/dz · (-v·o[t-1] - u[t]) / v²."""
    v, first, second = 1.0, 1.5, 0.7
    layer = snn.LIF(v, 1.0, leaky_reset=False, learn_threshold=True).double()
    layer(torch.tensor([[first]], dtype=torch.float64))
    (gradient,) = torch.autograd.grad(layer(torch.tensor([[second]], dtype=torch.float64)).sum(), layer.threshold)
    u = first - v + second
    slope = 0.3 * (1 - abs(u / v - 1))
    assert float(gradient) == pytest.approx(slope * (-v * 1 - u) / v**2)


def test_silenced_spikes_pass_no_gradient() -> None:
    layer = snn.LIF(1.0, single_spike=True)
    x = torch.tensor([[1.2]], requires_grad=True)
    layer(torch.tensor([[1.5]]))
    layer(x).sum().backward()
    assert x.grad.tolist() == [[0.0]]


@pytest.mark.parametrize("order", ["integrate_first", "fire_first"])
@pytest.mark.parametrize("reset", ["subtract", "set", "none"])
@pytest.mark.parametrize("spikes", ["binary", "signed", "graded"])
def test_every_kind_trains(order: str, reset: str, spikes: str) -> None:
    net = torch.nn.Sequential(
        torch.nn.Linear(4, 8),
        snn.LIF(0.2, 0.9, order=order, reset=reset, spikes=spikes, learn_threshold=True, learn_leak=True),
        torch.nn.Linear(8, 2),
        snn.Readout(),
    )
    snn.run(net, torch.rand(16, 4), 4).square().sum().backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().sum() > 0, name
