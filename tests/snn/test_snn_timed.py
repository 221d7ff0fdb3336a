"""The output layer of single-spike networks: its spike times, its gradients by hand, and that it compiles."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from neurocompile import driver, snn
from neurocompile.errors import InputError
from neurocompile.verification import verify_program
from tests.snn.test_snn_against_interpreter import agree


def present(layer: snn.TimedReadout, steps: list[list[float]]) -> torch.Tensor:
    """One sample, step by step, in float64; the last answer."""
    snn.reset_state(layer.double())
    for x in steps:
        y = layer(torch.tensor([x], dtype=torch.float64))
    return y


def test_by_hand() -> None:
    """V = 1, T = 4. Of the outputs, one passes V at step 2, one reaches it at step 3 and falls back, one is at it at
    once, one gets there at the last step, and one never."""
    layer = snn.TimedReadout(1.0)
    steps = [
        [0.5, 0.5, 1.0, 0.0, -1.0],
        [0.75, 0.25, 0.0, 0.5, 1.5],
        [0.0, 0.25, 0.0, 0.0, 0.0],
        [0.25, -2.0, 0.5, 0.75, 0.0],
    ]
    answer = present(layer, steps)
    u, times = [1.5, -1.0, 1.5, 1.25, 0.5], [2, 3, 1, 4, 4]
    assert layer.u.tolist() == [u]
    assert layer.spike_times.tolist() == [times]
    assert answer.tolist() == [[each + 4 - t for each, t in zip(u, times, strict=True)]]
    assert present(layer.eval(), steps).tolist() == answer.tolist()


EIGHTHS = st.integers(-12, 16).map(lambda n: n / 8)


@settings(deadline=None, max_examples=60)
@given(st.data(), st.integers(1, 6), st.sampled_from([0.5, 1.0, 1.25]), st.sampled_from([0.1, 0.25, 0.6]))
def test_times_and_eq_17_agree_with_plain_python(data: st.DataObject, last: int, v: float, beta: float) -> None:
    xs = data.draw(st.lists(EIGHTHS, min_size=last, max_size=last))
    layer = snn.TimedReadout(v, beta)
    present(layer, [[x] for x in xs])
    us = [0.0]
    for x in xs:
        us.append(us[-1] + x)
    time = next((t for t in range(1, last + 1) if us[t] >= v and us[t - 1] < v), last)
    slope = last if abs(v - us[last]) < beta else 0
    for t in range(1, last):
        a, b = us[t] - v, v - us[t - 1]
        slope += t * ((a >= 0) * (abs(b) < beta) - (b > 0) * (abs(a) < beta))
    times = layer.spike_times
    assert times.tolist() == [[time]]
    (gradient,) = torch.autograd.grad(times.sum(), layer.crossing.threshold)
    assert float(gradient) == slope


def test_loss_and_its_gradients_are_eqs_11_12_14_and_18() -> None:
    """With one threshold per output, and weights: ∂L/∂W is (softmax(U) - y) times the spikes that came in."""
    v = torch.tensor([0.5, 0.75, 0.25])
    layer = snn.TimedReadout(v, beta=0.3).double()
    linear = nn.Linear(2, 3, bias=False).double()
    spikes = torch.tensor([[[1.0, 0.0], [1.0, 1.0], [0.0, 1.0]], [[0.0, 1.0], [0.0, 0.0], [1.0, 1.0]]]).double()
    with torch.no_grad():
        linear.weight.copy_(torch.tensor([[0.25, 0.375], [0.5, 0.5], [0.125, -0.25]]))
    labels = torch.tensor([1, 0])
    snn.run(nn.Sequential(linear, layer), spikes, 3, time_axis=True)
    loss = snn.two_softmax_loss(layer, labels)
    loss.backward()

    value, dw, dv = 0.0, np.zeros((3, 2)), np.zeros(3)
    weights = linear.weight.detach().numpy()
    for sample, label in zip(spikes.numpy(), labels.tolist(), strict=True):
        us = np.cumsum(np.vstack([np.zeros(2), sample]), axis=0) @ weights.T
        times = np.array(
            [next((t for t in (1, 2, 3) if us[t, k] >= v[k] and us[t - 1, k] < v[k]), 3) for k in range(3)]
        )
        y = np.eye(3)[label]
        soft_u, soft_t = (np.exp(z) / np.exp(z).sum() for z in (us[3], -times.astype(float)))
        value += -math.log(soft_u[label] * soft_t[label]) / 2
        dw += np.outer(soft_u - y, sample.sum(0)) / 2
        slope = np.zeros(3)
        for k, level in enumerate(v.tolist()):
            for t in (1, 2):
                a, b = us[t, k] - level, level - us[t - 1, k]
                slope[k] += t * (float(a >= 0 and abs(b) < 0.3) - float(b > 0 and abs(a) < 0.3))
            slope[k] += 3 * float(abs(level - us[3, k]) < 0.3)
        dv += (y - soft_t) * slope / 2
    assert float(loss.detach()) == pytest.approx(value)
    np.testing.assert_allclose(linear.weight.grad.numpy(), dw)
    np.testing.assert_allclose(layer.crossing.threshold.grad.numpy(), dv)
    assert np.count_nonzero(dv) == 3


def test_the_derivative_by_the_spike_times_is_that_of_the_loss() -> None:
    """y - softmax(-T), by finite differences of Eqs. 11 and 12; the paper's text has the other sign."""
    times, label, h = torch.tensor([[2.0, 1.0, 4.0]], dtype=torch.float64), 0, 1e-6

    def loss(t: torch.Tensor) -> float:
        e = torch.exp(-t)
        return float(-torch.log(e[0, label] / e.sum()))

    y = torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64)
    claimed = y - torch.softmax(-times[0], 0)
    for k in range(3):
        step = torch.zeros_like(times)
        step[0, k] = h
        assert (loss(times + step) - loss(times - step)) / (2 * h) == pytest.approx(float(claimed[k]), abs=1e-8)


def net(classes: int = 5) -> nn.Sequential:
    return nn.Sequential(
        snn.PoissonEncoder(0.9, 3),
        nn.Linear(16, 32),
        snn.LIF(0.6, 0.9, leaky_reset=False, single_spike=True),
        nn.Linear(32, classes),
        snn.TimedReadout(torch.linspace(0.2, 0.6, classes)),
    )


def test_it_learns_and_its_threshold_stays_legal() -> None:
    x = torch.rand(96, 16)
    labels = (x[:, :8].sum(1) > x[:, 8:].sum(1)).long()
    model = net(2)
    model[0] = snn.DirectEncoder()
    before = model[4].crossing.threshold.detach().clone()
    optimizer = torch.optim.Adam(model.parameters(), 0.02)
    for _ in range(60):
        optimizer.zero_grad()
        snn.run(model.train(), x, 4)
        snn.two_softmax_loss(model[4], labels).backward()
        optimizer.step()
        snn.clamp_parameters(model)
    assert not torch.equal(model[4].crossing.threshold, before)
    assert (snn.run(model.eval(), x, 4).argmax(1) == labels).float().mean() > 0.9
    with torch.no_grad():
        model[4].crossing.threshold.fill_(-1.0)
    snn.clamp_parameters(model)
    assert model[4].crossing.threshold.tolist() == pytest.approx([0.001] * 2)


def test_it_means_what_the_interpreter_says() -> None:
    agree(net(), torch.rand(20, 16), 6)


def test_it_compiles_and_every_engine_decides_alike(tmp_path: Path) -> None:
    model, x = net().eval(), torch.rand(60, 16)
    snn.save(model, tmp_path / "net.pt", timesteps=6, input_shape=(16,), sample_input=x)
    loaded = snn.load(tmp_path / "net.pt").model
    expected = snn.run(model, x, 6)
    assert torch.equal(snn.run(loaded, x, 6), expected)
    program = driver.compile(loaded, x, timesteps=6, name="net")
    engines = verify_program(program, x, quick=True, exact_limit=20)["engines"]
    assert {name: result for name, result in engines.items() if result.get("equal") is False} == {}
    run = driver.run(program, x, record=True)
    (output,) = run.outputs.values()
    assert (output.argmax(1) == expected.argmax(1).numpy()).mean() >= 0.9
    assert len(np.unique(output.argmax(1))) > 1


def test_what_sets_thresholds_leaves_the_output_layer_alone() -> None:
    x = torch.rand(30, 16)
    for change in (snn.set_thresholds, lambda model, x: snn.models.tune_rates(model, x, 3, 0.2)):
        model = net()
        assert set(change(model, x)) == {"2"}
        assert model[4].latch.threshold == 0.5
        assert torch.equal(model[4].crossing.threshold, torch.linspace(0.2, 0.6, 5))


def test_the_plain_ann_has_nothing_in_its_place() -> None:
    plain = snn.models.plain_ann(net())
    assert [type(module) for module in plain] == [nn.Identity, nn.Linear, nn.ReLU, nn.Linear, nn.Identity]
    assert not list(plain[4].children())


def test_refusals() -> None:
    with pytest.raises(InputError, match=r"TimedReadout: beta is 0, limit above 0; Datta et al. take 0.2"):
        snn.TimedReadout(1.0, 0)
    with pytest.raises(InputError, match=r"threshold is 0, limit above 0"):
        snn.TimedReadout(0.0)
    layer = snn.TimedReadout().eval()
    layer(torch.ones(1, 2))
    with pytest.raises(
        InputError, match=r"TimedReadout: no time step was run in train mode; call run\(model.train\(\)"
    ):
        snn.two_softmax_loss(layer, torch.zeros(1).long())
