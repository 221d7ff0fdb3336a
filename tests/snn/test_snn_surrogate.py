"""Gradients against closed forms."""

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from neurocompile import snn
from neurocompile.errors import InputError

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


def test_in_units_of_the_membrane_eqs_13_and_14_of_rathi() -> None:
    """With the threshold 2, where the units of membrane and threshold differ."""
    got = slopes(snn.LIF(2.0, surrogate=snn.MembraneLinearSurrogate(0.4)))
    torch.testing.assert_close(got, 0.4 * torch.clamp(1 - (U - 2).abs(), min=0))
    got = slopes(snn.LIF(2.0, surrogate=snn.ExponentialSurrogate(0.4, 0.7)))
    torch.testing.assert_close(got, 0.4 * torch.exp(-0.7 * (U - 2).abs()))


def test_a_surrogate_of_the_membrane_sees_the_nearest_level() -> None:
    """The gradient of the threshold is that of k·v, with its sign: -k·slope."""
    layer = snn.LIF(2.0, spikes="graded", max_payload=3, learn_threshold=True, surrogate=snn.ExponentialSurrogate(1, 1))
    layer.double()(torch.tensor([[3.9]], dtype=torch.float64)).sum().backward()
    assert float(layer.threshold.grad) == pytest.approx(-2 * math.exp(-0.1))
    layer = snn.LIF(2.0, spikes="signed", learn_threshold=True, surrogate=snn.ExponentialSurrogate(1, 1))
    layer.double()(torch.tensor([[-1.7]], dtype=torch.float64)).sum().backward()
    assert float(layer.threshold.grad) == pytest.approx(math.exp(-0.3))


class Plain:
    """A surrogate of the user's own, written before there were several quantities to measure."""

    def slope(self, z: torch.Tensor) -> torch.Tensor:
        return torch.exp(-z.square())


def test_a_surrogate_that_names_nothing_is_given_the_relative_distance() -> None:
    torch.testing.assert_close(slopes(snn.LIF(2.0, surrogate=Plain())), torch.exp(-((U / 2 - 1) ** 2)) / 2)


@pytest.mark.parametrize("order", ["integrate_first", "fire_first"])
def test_stdb_is_eq_11_along_a_train_of_spikes(order: str) -> None:
    """0 before the first spike, α at each spike, and less by exp(-β) at each step after it."""
    inputs = [0.5, 0.75, 0.25, 0.25, 1.0, 0.0]  # v = 1, no leak: 0.5, 1.25 !, 0.5, 0.75, 1.75 !, 0.75
    layer = snn.LIF(1.0, order=order, learn_threshold=True, surrogate=snn.StdbSurrogate(0.3, 0.1)).double()
    late = order == "fire_first"  # where each spike, and its Δt, comes a step later
    found, since = [], [math.inf, 0, 1, 2, 0, 1]
    for x in inputs + [0.0] * late:
        s = layer(torch.tensor([[x]], dtype=torch.float64))
        # the membrane that fires at this step depends on the threshold by what earlier spikes subtracted, and s by -v
        (gradient,) = torch.autograd.grad(s.sum(), layer.threshold, retain_graph=True)
        found.append(float(gradient))
    subtracted = [0, 0, 1, 1, 1, 2]
    expected = [0.3 * math.exp(-0.1 * dt) * (-1 - n) for dt, n in zip(since, subtracted, strict=True)]
    assert found[late:] == pytest.approx(expected)
    assert found[0] == 0


def test_stdb_trains_a_weight_by_the_sum_over_the_steps() -> None:
    """Eq. 10: Σ_t ∂L/∂s[t] · α·exp(-β·Δt) · ∂u[t]/∂w, unrolled by hand."""
    xs, g, w, lam, v, alpha, beta = [1.0, 0.5, 1.0, 1.0, 0.25], [0.7, -1.0, 0.4, 2.0, 0.9], 0.8, 0.75, 1.0, 0.3, 0.2
    weight = torch.tensor(w, dtype=torch.float64, requires_grad=True)
    layer = snn.LIF(v, lam, leaky_reset=False, surrogate=snn.StdbSurrogate(alpha, beta)).double()
    sum(
        each * layer(weight * torch.tensor([[x]], dtype=torch.float64)).sum() for each, x in zip(g, xs, strict=True)
    ).backward()
    u = du = owed = total = 0.0
    since = math.inf
    for each, x in zip(g, xs, strict=True):
        u, du = lam * u + w * x - owed, lam * du + x
        since = 0 if u > v else since + 1
        owed = v * (u > v)
        total += each * alpha * math.exp(-beta * since) * du
    assert float(weight.grad) == pytest.approx(total)
    assert total != 0


def test_stdb_refuses_a_gradient_that_does_not_decay() -> None:
    with pytest.raises(InputError, match=r"StdbSurrogate: beta is 0, limit above 0; the papers take 0\.01"):
        snn.StdbSurrogate(0.3, 0)


@pytest.mark.parametrize(
    "surrogate",
    [
        snn.LinearSurrogate(0.5),
        snn.ArctanSurrogate(3.0),
        snn.MembraneLinearSurrogate(0.25),
        snn.ExponentialSurrogate(0.25, 0.5),
        snn.StdbSurrogate(0.25, 0.5),
    ],
)
def test_every_surrogate_is_kept_in_a_checkpoint(surrogate: snn.Surrogate, tmp_path: Path) -> None:
    net = torch.nn.Sequential(torch.nn.Linear(2, 3), snn.LIF(surrogate=surrogate))
    snn.save(net, tmp_path / "net.pt", timesteps=2, input_shape=(2,))
    assert snn.load(tmp_path / "net.pt").model.get_submodule("1").surrogate == surrogate


@pytest.mark.parametrize(
    ("written", "sentence"),
    [
        (["stdb", 0.3], r"surrogate is \['stdb', 0.3\]; it must be nothing, or a list of one of linear, arctan"),
        (["linear", 0.3, 0.1], r"surrogate is \['linear', 0.3, 0.1\]; it must be nothing"),
        ([], r"surrogate is \[\]; it must be nothing"),
        (["exponential", 0.3, float("inf")], r"surrogate is \['exponential', 0.3, inf\]"),
        (["stdb", 0.3, 0.0], r"StdbSurrogate: beta is 0.0, limit above 0"),
    ],
)
def test_damaged_surrogates_are_refused(written: list[object], sentence: str, tmp_path: Path) -> None:
    snn.save(torch.nn.Sequential(torch.nn.Linear(2, 3), snn.LIF()), tmp_path / "net.pt", timesteps=2, input_shape=(2,))
    document = torch.load(tmp_path / "net.pt", weights_only=True)
    assert document["wiring"]["modules"]["1"]["config"]["surrogate"] == ["linear", 0.3]  # as files always had it
    document["wiring"]["modules"]["1"]["config"]["surrogate"] = written
    torch.save(document, tmp_path / "bad.pt")
    with pytest.raises(InputError, match=sentence):
        snn.load(tmp_path / "bad.pt")


def test_silenced_spikes_pass_no_gradient_in_eval_mode() -> None:
    layer = snn.LIF(1.0, single_spike=True).eval()
    x = torch.tensor([[1.2]], requires_grad=True)
    layer(torch.tensor([[1.5]]))
    layer(x).sum().backward()
    assert x.grad.tolist() == [[0.0]]


def test_single_spike_gradients_are_eqs_19_to_23_of_datta() -> None:
    """In train mode, at every step and behind the first spike too, carried through all earlier steps."""
    xs, g, w, lam, v, gamma = [1.0, 0.75, 1.25, 1.0, 0.2], [0.7, -1.0, 0.4, 2.0, 0.9], 1.1, 0.75, 0.8, 0.3
    layer = snn.LIF(v, lam, leaky_reset=False, single_spike=True, learn_threshold=True, learn_leak=True).double()
    with torch.no_grad():
        layer.threshold.fill_(v)
    weight = torch.tensor(w, dtype=torch.float64, requires_grad=True)
    spikes = [layer(weight * torch.tensor([[x]], dtype=torch.float64)).sum() for x in xs]
    sum(each * s for each, s in zip(g, spikes, strict=True)).backward()
    assert [float(s.detach()) for s in spikes] == [1, 0, 0, 0, 0]

    u = dw = dv = dlam = 0.0  # the membrane, and its derivatives
    total_w = total_v = total_lam = 0.0
    passed = False
    passes = []
    for each, x in zip(g, xs, strict=True):
        dw, dv, dlam = lam * dw + x, lam * dv - passed, lam * dlam + u  # Eq. 6
        u = lam * u + w * x - v * passed
        passed = u > v
        passes.append(passed)
        slope = gamma * max(0.0, 1 - abs(u / v - 1))  # Eq. 20
        total_w += each * slope * dw / v
        total_v += each * slope * (dv * v - u) / v**2
        total_lam += each * slope * dlam / v
    assert passes == [True, True, True, True, False]  # so that the resets after the first spike count
    assert float(weight.grad) == pytest.approx(total_w)
    assert float(layer.threshold.grad) == pytest.approx(total_v)
    assert float(layer.leak.grad) == pytest.approx(total_lam)


def test_eqs_21_and_23_of_datta_as_printed() -> None:
    """At the second step of a neuron that has fired: do/dz · (-v·(z[t-1] > 0) - u[t]) / v², and do/dz · u[t-1] / v."""
    v, lam, first, second = 0.8, 1.0, 1.0, 0.7
    layer = snn.LIF(v, lam, leaky_reset=False, single_spike=True, learn_threshold=True, learn_leak=True).double()
    with torch.no_grad():
        layer.threshold.fill_(v)
    layer(torch.tensor([[first]], dtype=torch.float64))
    s = layer(torch.tensor([[second]], dtype=torch.float64)).sum()
    assert float(s.detach()) == 0  # u passes v again, silently
    dv, dlam = torch.autograd.grad(s, (layer.threshold, layer.leak))
    u = first - v + second
    slope = 0.3 * (1 - abs(u / v - 1))
    assert u > v
    assert float(dv) == pytest.approx(slope * (-v * 1 - u) / v**2)
    assert float(dlam) == pytest.approx(slope * first / v)


@settings(deadline=None, max_examples=30)
@given(
    seed=st.integers(0, 1000),
    leak=st.sampled_from([0.5, 0.75, 1.0]),
    options=st.fixed_dictionaries(
        {
            "order": st.sampled_from(["integrate_first", "fire_first"]),
            "reset": st.sampled_from(["subtract", "set"]),
            "leaky_reset": st.booleans(),
            "spikes": st.sampled_from(["binary", "signed", "graded"]),
        }
    ),
    surrogate=st.sampled_from([snn.LinearSurrogate, snn.StdbSurrogate]),
)
def test_single_spike_layers_spike_alike_in_both_modes(
    seed: int, leak: float, options: dict[str, object], surrogate: Callable[[], snn.Surrogate]
) -> None:
    """Through two layers, the second of which hears the first."""
    torch.manual_seed(seed)

    def neuron() -> snn.LIF:
        return snn.LIF(0.6, leak, single_spike=True, surrogate=surrogate(), **options)

    net = torch.nn.Sequential(torch.nn.Linear(4, 8), neuron(), torch.nn.Linear(8, 8), neuron())
    x = torch.randn(6, 5, 4) * 3
    shut = snn.record_spikes(net.eval(), x, 5, time_axis=True)
    going = snn.record_spikes(net.train(), x, 5, time_axis=True)
    for name, spikes in shut.items():
        assert torch.equal(spikes, going[name]), name
        assert (spikes != 0).sum(1).max() <= 1
    assert (shut["1"] != 0).any()


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
