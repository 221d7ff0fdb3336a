"""Encoders, dropout and whole presentations."""

from typing import Any

import pytest
import torch
from snn_nets import ResNet, settled, vgg
from torch import nn

from neurocompile import snn
from neurocompile.errors import InputError
from neurocompile.random import uniform24


def test_direct_encoder_repeats_the_input() -> None:
    x = torch.randn(2, 3)
    encoder = snn.DirectEncoder(limit=4.0)
    assert encoder(x) is x
    assert encoder.limit == 4.0


def test_poisson_encoder_draws_from_the_counter_in_eval_mode() -> None:
    encoder = snn.PoissonEncoder(gain=0.8, seed=11).eval()
    x = torch.tensor([[0.5, -0.5, 0.0, 1.0], [1.25, 0.1, -2.0, 0.9]])
    for t in range(5):
        drawn = torch.from_numpy(uniform24(11, [0, 1], t, 4)) < x.double().abs() * 0.8 * 2**24
        assert torch.equal(encoder(x), x.sign() * drawn)
    assert (encoder(x)[1, 0], encoder(x)[1, 2], encoder(x)[0, 2]) == (1, -1, 0)


def test_poisson_spikes_do_not_depend_on_the_batch() -> None:
    net = nn.Sequential(snn.PoissonEncoder(seed=2), nn.Flatten()).eval()
    x = torch.rand(6, 1, 3, 3)
    whole = snn.record_spikes(net, x, 7)["0"]
    net[0].first_sample = 4
    assert torch.equal(snn.record_spikes(net, x[4:], 7)["0"], whole[4:])
    net[0].first_sample = 0
    assert torch.equal(whole.sum(1).flatten(1), snn.run(net, x, 7))


def test_poisson_rates_in_both_modes() -> None:
    x = torch.tensor([[0.3, -0.7]]).expand(50, 2)
    for training in (True, False):
        rate = snn.run(nn.Sequential(snn.PoissonEncoder()).train(training), x, 100).mean(0) / 100
        assert rate.tolist() == pytest.approx([0.3, -0.7], abs=0.03)


def test_poisson_in_train_mode_follows_torchs_generator() -> None:
    encoder = snn.PoissonEncoder()
    x = torch.full((4, 100), 0.5)
    torch.manual_seed(1)
    first = encoder(x)
    torch.manual_seed(1)
    assert torch.equal(encoder(x), first)
    assert not torch.equal(encoder(x), first)


def test_dropout_mask_is_constant_over_a_presentation_and_fresh_in_the_next() -> None:
    dropout = snn.TimeConstantDropout(0.4)
    x = torch.ones(20, 50)
    first = dropout(x)
    assert torch.equal(dropout(2 * x), 2 * first)
    assert sorted(set(first.flatten().tolist())) == pytest.approx([0, 1 / 0.6])
    assert float((first == 0).float().mean()) == pytest.approx(0.4, abs=0.05)
    snn.reset_state(dropout)
    assert not torch.equal(dropout(x), first)
    assert dropout.eval()(x) is x
    assert snn.TimeConstantDropout(0.0)(x) is x


def test_run_gives_the_last_readout_or_the_sum_of_spikes() -> None:
    x = torch.full((1, 1), 0.75)
    assert snn.run(nn.Sequential(snn.IF(1.0)), x, 4) == 2  # fires at steps 2 and 3: 1.5, 1.25, then 1.0 is not above
    assert snn.run(nn.Sequential(snn.Readout()), x, 4) == 3
    assert snn.run(nn.Sequential(snn.IF(1.0)), x, 4) == 2  # each run starts from zero


def test_run_with_a_time_axis() -> None:
    x = torch.tensor([[[1.0], [0.0], [5.0]]])
    assert snn.run(nn.Sequential(snn.Readout(0.5)), x, 3, time_axis=True) == 5.25
    net = settled(vgg())
    x = torch.rand(2, 1, 8, 8)
    assert torch.equal(snn.run(net, x, 3), snn.run(net, x[:, None].expand(2, 3, 1, 8, 8), 3, time_axis=True))


def test_record_spikes_names_every_spiking_layer() -> None:
    net = settled(ResNet())
    x = torch.rand(2, 1, 8, 8)
    spikes = snn.record_spikes(net, x, 3)
    assert {name: tuple(s.shape) for name, s in spikes.items()} == {
        "encoder": (2, 3, 1, 8, 8),
        "stem.1": (2, 3, 4, 8, 8),
        "blocks.0.lif1": (2, 3, 4, 8, 8),
        "blocks.0.lif2": (2, 3, 4, 8, 8),
        "blocks.1.lif1": (2, 3, 6, 4, 4),
        "blocks.1.lif2": (2, 3, 6, 4, 4),
    }
    assert all(s.unique().tolist() == [0, 1] for s in spikes.values())
    assert not any(module._forward_hooks for module in net.modules())


def test_training_through_time_learns() -> None:
    x = torch.rand(64, 6)
    y = (x[:, 0] > x[:, 1]).long()
    net = nn.Sequential(
        nn.Linear(6, 16),
        snn.LIF(1.0, 0.9, learn_threshold=True, learn_leak=True),
        snn.TimeConstantDropout(0.1),
        nn.Linear(16, 2),
        snn.Readout(),
    )
    optimizer = torch.optim.Adam(net.parameters(), 0.02)
    for _ in range(80):
        optimizer.zero_grad()
        nn.functional.cross_entropy(snn.run(net, x, 4), y).backward()
        optimizer.step()
        snn.clamp_parameters(net)
    assert (snn.run(net.eval(), x, 4).argmax(1) == y).float().mean() > 0.9


def gradients(model: nn.Module) -> dict[str, torch.Tensor]:
    found = {name: parameter.grad.clone() for name, parameter in model.named_parameters()}
    model.zero_grad()
    return found


@pytest.mark.parametrize("has_readout", [True, False])
def test_one_window_is_all_of_bptt(has_readout: bool) -> None:
    net = nn.Sequential(
        nn.Linear(6, 16),
        snn.LIF(0.6, 0.9, learn_threshold=True, learn_leak=True, surrogate=snn.StdbSurrogate()),
        snn.Recurrent(snn.LIF(0.2), nn.Linear(16, 16)),
        nn.Linear(16, 2),
        snn.Readout() if has_readout else snn.LIF(0.1),
    )
    x, y = torch.rand(8, 6), torch.randint(0, 2, (8,))
    loss = nn.functional.cross_entropy(snn.run(net, x, 6), y)
    loss.backward()
    expected = gradients(net)
    for window in (6, 9):
        answer, total = snn.truncated_bptt(net, x, lambda a: nn.functional.cross_entropy(a, y), 6, window)
        assert torch.equal(total, loss.detach())
        assert torch.equal(answer, snn.run(net, x, 6).detach())
        found = gradients(net)
        assert all(torch.equal(found[name], value) for name, value in expected.items())
    snn.truncated_bptt(net, x, lambda a: nn.functional.cross_entropy(a, y), 6, 2)
    found = gradients(net)
    assert not any(torch.equal(found[name], value) for name, value in expected.items() if name != "4.weight")


@pytest.mark.parametrize("has_readout", [True, False])
def test_windows_unrolled_by_hand(has_readout: bool) -> None:
    """A neuron with weight w and a loss (answer - 1)²/2 at the steps 2, 4 and 5; each window's ∂u/∂w begins at 0."""
    xs, w, lam, v, gamma, out = [0.7, 0.9, 0.4, 1.1, 0.8], 0.9, 0.75, 0.8, 0.3, 1.5
    net = nn.Sequential(nn.Linear(1, 1, bias=False), snn.LIF(v, lam, leaky_reset=False)).double()
    with torch.no_grad():
        net[0].weight.fill_(w)
        net[1].threshold.fill_(v)
    if has_readout:
        net.append(nn.Linear(1, 1, bias=False).double())
        net.append(snn.Readout())
        nn.init.constant_(net[2].weight, out)
    else:
        out = 1.0
    x = torch.tensor(xs, dtype=torch.float64).view(1, 5, 1)
    answer, total = snn.truncated_bptt(net, x, lambda a: (a - 1).square().sum() / 2, 5, 2, time_axis=True)

    u = spike = answered = losses = gradient = 0.0
    du = danswer = 0.0
    for step, each in enumerate(xs, start=1):
        u, du = lam * u + w * each - v * spike, lam * du + each
        spike = float(u > v)
        answered += out * spike
        danswer += out * gamma * max(0.0, 1 - abs(u / v - 1)) * du / v
        if step in (2, 4, 5):
            losses += (answered - 1) ** 2 / 2
            gradient += (answered - 1) * danswer
            du = danswer = 0.0
    assert float(answer) == pytest.approx(answered)
    assert float(total) == pytest.approx(losses)
    assert float(net[0].weight.grad) == pytest.approx(gradient)
    assert not answer.requires_grad


def test_truncated_bptt_of_spike_times_is_that_of_the_presentation_so_far() -> None:
    layer = snn.TimedReadout(0.75, beta=0.3).double()
    net = nn.Sequential(nn.Linear(1, 2, bias=False).double(), layer)
    x, y = torch.ones(1, 1, dtype=torch.float64), torch.tensor([1])
    nn.init.constant_(net[0].weight, 0.25)
    _, total = snn.truncated_bptt(net, x, lambda _: snn.two_softmax_loss(layer, y), 4, 2)
    expected = 0.0
    for steps in (2, 4):
        snn.run(net, x, steps)
        expected += float(snn.two_softmax_loss(layer, y).detach())
    assert float(total) == pytest.approx(expected)


def test_detach_state_keeps_values_and_cuts_the_graph() -> None:
    net = nn.Sequential(nn.Linear(2, 3), snn.LIF(0.5, 0.5), snn.Recurrent(snn.LIF(0.1), nn.Linear(3, 3)), snn.Readout())
    x = torch.rand(4, 2)
    snn.run(net, x, 2)
    before = net[1].u
    assert before.requires_grad
    snn.detach_state(net)
    assert torch.equal(net[1].u, before)
    assert not any(part.requires_grad for part in (*net[1].state, net[2].state, *net[2].neuron.state, *net[3].state))
    net(x)  # and the state is still what the layers need


@pytest.mark.parametrize(
    ("act", "sentence"),
    [
        (lambda: snn.DirectEncoder(0.0), "limit is 0.0; give the largest"),
        (lambda: snn.PoissonEncoder(-1.0), "gain is -1.0; give the spike probability"),
        (lambda: snn.TimeConstantDropout(1.0), "p is 1.0, limit 0 to below 1"),
        (lambda: snn.run(vgg(), torch.rand(1, 1, 8, 8), 0), "timesteps is 0; give a whole number"),
        (lambda: snn.run(vgg(), torch.rand(1, 1, 8, 8), 2.0), "timesteps is 2.0"),
        (
            lambda: snn.truncated_bptt(vgg(), torch.rand(1, 1, 8, 8), torch.sum, 4, 0),
            "window is 0; give a whole number",
        ),
        (lambda: snn.truncated_bptt(vgg(), torch.rand(1, 1, 8, 8), torch.sum, 0, 1), "timesteps is 0"),
        (lambda: snn.run(vgg(), torch.rand(1, 2, 8), 3, time_axis=True), r"shape \(1, 2, 8\) does not hold 3 steps"),
    ],
)
def test_refusals(act: Any, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        act()


def test_a_dropout_mask_fits_one_shape() -> None:
    dropout = snn.TimeConstantDropout(0.5)
    dropout(torch.ones(2, 3))
    with pytest.raises(InputError, match=r"\(1, 3\) in a presentation begun with \(2, 3\)"):
        dropout(torch.ones(1, 3))
