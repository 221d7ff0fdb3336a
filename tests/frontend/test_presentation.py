"""How networks are written: one step or a loop, states inside or passed, sequences on any axis; and what is refused."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from neurocompile import snn
from neurocompile.errors import GraphError
from neurocompile.frontend.agreement import check, compare
from neurocompile.frontend.presentation import Imported, Layout, from_module
from neurocompile.ir.interpret import interpret
from neurocompile.ir.nodes import (
    SPIKING,
    Add,
    AvgPool2d,
    BatchNorm,
    Concat,
    Conv2d,
    ConvTranspose2d,
    Neuron,
    Readout,
    Recurrent,
    Scale,
    SumPool2d,
)

Forward = Callable[..., Any]


class Net(nn.Module):
    """Two layers, and a forward that each test writes."""

    def __init__(self, forward: Forward, **layers: nn.Module) -> None:
        super().__init__()
        self.written = forward
        torch.manual_seed(0)
        self.fc1, self.lif1 = nn.Linear(6, 5), snn.LIF(0.25, 0.75)
        self.fc2, self.lif2 = nn.Linear(5, 3), snn.LIF(0.125, 0.5)
        for name, layer in layers.items():
            self.add_module(name, layer)

    def step(self, x: Tensor) -> Tensor:
        return self.lif2(self.fc2(self.lif1(self.fc1(x))))  # type: ignore[no-any-return]

    def forward(self, x: Tensor) -> Any:
        return self.written(self, x)


def imported(net: nn.Module, steps: int = 4, shape: tuple[int, ...] = (6,), **kwargs: Any) -> Imported:
    return from_module(net, shape, steps, "net", **kwargs)


def agree(found: Imported, count: int = 3) -> None:
    """Every layer's spikes are those of the network itself."""
    shape = found.layout.sample
    samples = np.random.default_rng(1).random((count, *shape)) * 2
    counts = compare(found, samples)
    assert set(counts) == set(found.graph.of_kind(*SPIKING))
    assert all(differing == 0 for differing, _ in counts.values()), counts
    assert check(found, samples) is None


def collected(loop: Callable[[Net, Tensor], list[Tensor]]) -> Forward:
    return lambda net, x: torch.stack(loop(net, x))


def total(net: Net, x: Tensor) -> Tensor:
    out: Any = 0.0
    for t in range(x.shape[0]):
        out += net.step(x[t])
    return out / x.shape[0]  # type: ignore[no-any-return]


def buffered(net: Net, x: Tensor) -> Tensor:
    out = torch.zeros(4, x.shape[0], 3)
    for t in range(4):
        out[t] = net.step(x)
    return out.sum(0)


def buffered_behind(net: Net, x: Tensor) -> Tensor:
    out, last = torch.zeros(x.shape[0], 4, 3), torch.zeros(x.shape[0], 3, 4)
    for t in range(4):
        out[:, t] = last[..., t] = net.step(x)
    return out.mean(dim=1), last  # type: ignore[return-value]


def enumerated(net: Net, x: Tensor) -> Tensor:
    out = [net.step(x_t).unsqueeze(1) for x_t in x.permute(1, 0, 2)]
    return torch.cat(out, dim=1).mean(dim=1)


def tracked(net: Net, x: Tensor) -> list[Tensor]:
    return [net.step(x) for _ in range(4)]


FORWARDS: dict[str, tuple[Forward, str]] = {
    "one step": (Net.step, "N,0"),
    "a loop over a static input": (collected(tracked), "N,0"),
    "a loop over sequences, time first": (total, "T,N,0"),
    "a loop over sequences, batch first": (enumerated, "N,T,0"),
    "a tensor that collects": (buffered, "N,0"),
    "tensors that collect along other axes": (buffered_behind, "N,0"),
    "numbers that are made floats": (lambda net, x: total(net, x.float()), "T,N,0"),
    "slices of one step": (lambda net, x: sum(net.step(x[t : t + 1].squeeze(0)) for t in range(4)), "T,N,0"),
    "chunks of one step": (lambda net, x: sum(net.step(part.squeeze(1)) for part in x.chunk(4, dim=1)), "N,T,0"),
    "parts of one step": (lambda net, x: sum(net.step(part[0]) for part in torch.split(x, [1] * 4)), "T,N,0"),
    "one sample at a time": (lambda net, x: torch.stack([net.step(x.view(1, 6)) for _ in range(4)]), "N,0"),
    "the class with most spikes": (lambda net, x: torch.stack(tracked(net, x)).sum(0).max(1).indices, "N,0"),
    "time last": (lambda net, x: torch.stack([net.step(x[..., t]) for t in range(x.shape[-1])], dim=-1), "N,0,T"),
    "merged axes": (lambda net, x: sum(net.step(s) for s in x.view(-1, 4, 6).unbind(1)), "N,T,0"),
    "only the last step": (lambda net, x: [net.step(x) for _ in range(4)][-1], "N,0"),
}


@pytest.mark.parametrize("name", FORWARDS)
def test_ways_to_go_through_time(name: str) -> None:
    forward, axes = FORWARDS[name]
    found = imported(Net(forward))
    assert ",".join("".join(map(str, labels)) for labels in found.layout.axes) == axes
    assert found.layout.stepwise is (name == "one step")
    assert list(found.graph) == ["x", "x.encoder", "fc1", "lif1", "fc2", "lif2"]
    assert (found.graph.outputs, found.graph.timesteps) == (("lif2",), 4)
    agree(found)


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("one step", (7, 6)),
        ("one step", (4, 7, 6)),
        ("one step", (7, 4, 6)),
        ("time last", (7, 6, 4)),
        ("a loop over sequences, time first", (4, 7, 6)),
        ("a loop over sequences, batch first", (7, 4, 6)),
        ("merged axes", (28, 6)),
        ("a loop over a static input", (7, 6)),
    ],
)
def test_an_example_says_how_it_lies(name: str, shape: tuple[int, ...]) -> None:
    found = imported(Net(FORWARDS[name][0]), batch=shape)
    example = np.random.default_rng(0).random(shape)
    samples = found.layout.samples(example, 4)
    assert samples.shape in ((7, 6), (7, 4, 6))
    assert np.array_equal(found.layout.batch(samples, 4), example)
    agree(found)


def test_a_static_sample_is_repeated_for_a_network_of_sequences() -> None:
    layout = imported(Net(total)).layout
    samples = np.arange(12.0).reshape(2, 6)
    assert np.array_equal(layout.batch(samples, 4), np.stack([samples] * 4))


class Passing(Net):
    """States that the caller keeps, in the manner of most frameworks; here a membrane of an own making is not possible,
    so the spikes of the step before are what is passed."""

    def forward(self, x: Tensor, before: Tensor | None = None) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        current = self.fc1(x) if before is None else self.fc1(x) + self.back(before)
        spikes = self.lif1(current)
        return self.lif2(self.fc2(spikes)), spikes


def test_what_is_passed_from_step_to_step_is_recurrence() -> None:
    found = imported(Passing(Net.step, back=nn.Linear(5, 5, bias=False)))
    assert found.graph.of_kind(Recurrent) == ["lif1.before"]
    assert found.graph.inputs("back") == ("lif1.before",)
    assert found.graph.inputs("lif1") == ("add",)
    agree(found)


def test_a_recurrence_with_a_bias_of_its_own_starts_with_it() -> None:
    def loop(net: Net, x: Tensor) -> list[Tensor]:
        spikes, out = torch.zeros(x.shape[0], 5), []
        for _ in range(4):
            spikes = net.lif1(net.fc1(x) + net.back(spikes))
            out.append(net.lif2(net.fc2(spikes)))
        return out

    found = imported(Net(collected(loop), back=nn.Linear(5, 5)))
    assert found.graph.inputs("back") == ("lif1.before",)
    agree(found)


def test_a_bias_that_the_first_step_does_not_add_is_refused() -> None:
    with pytest.raises(GraphError, match=r"lif1: its input at time step 0 .* is not made as that at step"):
        imported(Passing(Net.step, back=nn.Linear(5, 5)))


def test_a_layer_may_read_what_another_sent_one_step_before() -> None:
    def loop(net: Net, x: Tensor) -> list[Tensor]:
        hidden, out = torch.zeros(x.shape[0], 5), []
        for _ in range(4):
            out.append(net.lif2(net.fc2(hidden)))
            hidden = net.lif1(net.fc1(x))
        return out

    found = imported(Net(collected(loop)))
    assert found.graph.inputs("fc2") == ("lif1.before",)
    agree(found)


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.conv, self.bn, self.lif = nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), snn.LIF(0.25)
        self.short, self.lif2 = nn.Conv2d(2, 4, 1), snn.LIF(0.25)
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        """Sequences (T, N, C, H, W), in the manner of layers that merge time and batch."""
        steps, batch = x.shape[:2]
        merged = self.bn(self.conv(x.flatten(0, 1)))
        shortcut = self.short(x.flatten(0, 1)).view(steps, batch, 4, *x.shape[3:])
        spikes = torch.stack([self.lif(part) for part in merged.view(steps, batch, *merged.shape[1:])])
        both = spikes + shortcut
        out = torch.stack([self.lif2(part) for part in both])
        return self.head(out.mean((3, 4)).mean(0))  # type: ignore[no-any-return]


def test_merged_and_parted_axes_residuals_and_a_mean_before_the_last_layer() -> None:
    found = imported(Residual(), shape=(2, 5, 5))
    graph = found.graph
    assert graph.of_kind(Add) == ["add"]
    assert [type(graph.node(name)) for name in graph.of_kind(AvgPool2d)] == [AvgPool2d]
    assert isinstance(graph.node("head.readout"), Readout)
    agree(found)
    samples = np.random.default_rng(2).random((3, 4, 2, 5, 5))
    with torch.no_grad():
        wanted = found.module.eval()(torch.from_numpy(samples.swapaxes(0, 1)).float())
    (result,) = interpret(graph, samples).outputs.values()
    np.testing.assert_allclose(result, wanted.numpy(), rtol=1e-4, atol=1e-5)


# ---------------------------------------------------------------------------------------------- functions and results


@pytest.mark.parametrize(
    ("function", "kind"),
    [
        (lambda x: x * 0.5, Scale),
        (lambda x: x / 2, Scale),
        (lambda x: -x, Scale),
        (lambda x: 1 - x, BatchNorm),
        (lambda x: x + 0.25, BatchNorm),
        (lambda x: (x - torch.arange(2.0).view(1, 2, 1, 1)) / 2, Scale),
        (lambda x: F.pad(x, (0, 0, 0, 0, 1, 1)), Conv2d),
        (lambda x: F.adaptive_avg_pool2d(x, (8, 4)), ConvTranspose2d),
        (lambda x: F.interpolate(x, scale_factor=2), ConvTranspose2d),
        (lambda x: F.conv_transpose2d(x, torch.ones(2, 3, 2, 2), stride=2), ConvTranspose2d),
        (lambda x: x[:, :, ::2, 1 - 1 :], SumPool2d),
        (lambda x: torch.cat([x, x * 2], dim=1), Concat),
        (lambda x: x.mean((2, 3), keepdim=True), AvgPool2d),
    ],
)
def test_arithmetic(function: Callable[[Tensor], Tensor], kind: type) -> None:
    class Small(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lif = snn.LIF(0.5)

        def forward(self, x: Tensor) -> Tensor:
            return self.lif(function(x))  # type: ignore[no-any-return]

    found = imported(Small(), shape=(2, 4, 4))
    (source,) = found.graph.inputs("lif")
    assert isinstance(found.graph.node(source), kind)
    agree(found)


@pytest.mark.parametrize(
    ("finish", "note"),
    [
        (lambda out: torch.stack(out).mean(0), "forward() returns 0.25 times its spikes' sum"),
        (lambda out: out[-1], "forward() returns its spikes at the last step"),
        (lambda out: F.softmax(sum(out), dim=1), "softmax behind it is left out"),
        (lambda out: torch.stack(out).sum(0).argmax(1), "argmax behind it is left out"),
        (lambda out: (torch.stack(out), None, 3), None),
        (lambda out: {"spikes": torch.stack(out)}, None),
    ],
)
def test_what_is_said_about_a_result(finish: Callable[[list[Tensor]], Any], note: str | None) -> None:
    found = imported(Net(lambda net, x: finish([net.step(x) for _ in range(4)])))
    assert found.graph.outputs == ("lif2",)
    assert [note] if note else not found.notes
    assert all(note in said for said in found.notes if note)
    assert len(found.notes) == (note is not None)


@pytest.mark.parametrize(
    ("finish", "leak", "factor"),
    [
        (lambda out: torch.stack(out).mean(0), 1, 0.25),
        (lambda out: sum(out), 1, None),
        (lambda out: out[-1], 0, None),
    ],
)
def test_a_network_that_ends_in_weights(
    finish: Callable[[list[Tensor]], Tensor], leak: float, factor: float | None
) -> None:
    net = Net(lambda net, x: finish([net.fc2(net.lif1(net.fc1(x))) for _ in range(4)]))
    found = imported(net)
    readout = found.graph.node("fc2.readout")
    assert isinstance(readout, Readout)
    assert readout.leak == leak
    assert ("fc2.factor" in found.graph) is (factor is not None)
    samples = np.random.default_rng(3).random((3, 6)).astype(np.float32)
    snn.reset_state(net)
    with torch.no_grad():
        wanted = net(torch.from_numpy(samples))
    (result,) = interpret(found.graph, samples).outputs.values()
    np.testing.assert_allclose(result, wanted.numpy(), rtol=1e-5, atol=1e-6)


def test_only_the_ends_of_a_network_are_results() -> None:
    def loop(net: Net, x: Tensor) -> Any:
        first, second = [], []
        for _ in range(4):
            first.append(net.lif1(net.fc1(x)))
            second.append(net.lif2(net.fc2(first[-1])))
        return torch.stack(first), torch.stack(second)

    assert imported(Net(loop)).graph.outputs == ("lif2",)


def test_weights_that_are_computed_are_taken_as_they_are() -> None:
    class Standardized(nn.Conv2d):
        def forward(self, input: Tensor) -> Tensor:
            weight = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
            return self._conv_forward(input, weight, self.bias)

    found = imported(nn.Sequential(Standardized(2, 3, 3), snn.LIF(0.25)), shape=(2, 5, 5))
    convolution = found.graph.node("0")
    assert isinstance(convolution, Conv2d)
    np.testing.assert_allclose(convolution.weight.mean((1, 2, 3)), 0, atol=1e-7)
    agree(found)


def test_the_model_is_as_it_was(tmp_path: Any) -> None:
    net = Net(Net.step).train()
    net.lif1.note = tmp_path  # type: ignore[assignment]
    forward = net.lif1.forward
    before = {name: dict(module.__dict__) for name, module in net.named_modules()}
    imported(net)
    assert {name: dict(module.__dict__) for name, module in net.named_modules()} == before
    assert net.training
    assert net.lif1.forward == forward


class Told(Net):
    """A network whose ``forward`` is told the number of time steps."""

    def forward(self, x: Tensor, num_steps: int = 25) -> Tensor:  # type: ignore[override]
        return torch.stack([self.step(x) for _ in range(num_steps)])


def test_a_network_is_told_the_number_of_time_steps() -> None:
    agree(imported(Told(Net.step)))


class Paired(Net):
    def forward(self, x: Tensor, other: Tensor) -> Tensor:  # type: ignore[override]
        return self.step(x + other.relu())


def test_what_a_network_takes_besides_its_input_is_told() -> None:
    message = r"what forward\(\) takes besides its input \(other\) are states, which are None at the first time step"
    with pytest.raises(GraphError, match=message):
        imported(Paired(Net.step))


def test_a_shortcut_to_more_channels_is_filled_with_zeros() -> None:
    def forward(net: Net, x: Tensor) -> Any:
        fewer = net.narrow(x)
        return net.lif1(net.wide(x) + torch.cat([torch.zeros_like(fewer), fewer], 1))

    net = Net(forward, narrow=nn.Sequential(nn.Conv2d(2, 2, 1), snn.LIF(0.25, 0.5)), wide=nn.Conv2d(2, 4, 1))
    agree(imported(net, shape=(2, 4, 4)))


def test_pools_of_rows_to_a_length() -> None:
    net = nn.Sequential(
        nn.Conv1d(2, 3, 3), snn.LIF(0.1, 0.5), nn.AdaptiveMaxPool1d(4), nn.Conv1d(3, 4, 1), snn.LIF(0.05, 0.5),
        nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(4, 3), snn.LIF(0.05, 0.5),
    )  # fmt: skip
    agree(imported(net, shape=(2, 10)))


def test_wrappers_are_taken_off() -> None:
    graph = imported(nn.DataParallel(Net(Net.step))).graph
    assert "fc1" in graph
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scripted = torch.jit.script(nn.Linear(6, 5))  # type: ignore[no-untyped-call]
    with pytest.raises(GraphError, match=r"fc1: is compiled by TorchScript; give the nn\.Module"):
        imported(Net(Net.step, fc1=scripted))


# ----------------------------------------------------------------------------------------------------------- refusals


def until(net: Net, x: Tensor) -> Tensor:
    out = net.step(x)
    while out.sum() < 3:
        out = out + net.step(x)
    return out


def crossed(net: Net, x: Tensor) -> Tensor:
    out = torch.zeros(2, 2, 3)
    out[0] = net.step(x)
    out[:, 1] = net.step(x)
    return out


REFUSALS: dict[str, tuple[Forward, str]] = {
    "a decision on values": (until, r"cannot be followed at test_presentation.py:\d+ `while out.sum\(\) < 3:`"),
    "a number of a tensor": (lambda net, x: net.step(x) * float(x.max()), r"looks at the values of a tensor \(float\)"),
    "another number of steps": (
        lambda net, x: sum(net.step(x) for _ in range(7)),
        r"forward\(\) runs 7 time steps, timesteps is 4; build with 7"
    ),
    "too many calls": (
        lambda net, x: (net.lif1(net.fc1(x)), sum(net.step(x) for _ in range(4))), "call it once per time step"
    ),
    "other inputs": (
        lambda net, x: net.lif2(net.fc2(net.lif1(net.fc1(x)))) + sum(net.lif2(net.fc2(x[:, :5])) for _ in range(3)),
        "takes a part of the channels",
    ),
    "a product": (lambda net, x: net.lif1(net.fc1(x) * net.fc1(x)), "multiplies two tensors that both depend"),
    "a comparison": (lambda net, x: net.step((x > 0.5).float()), "gt .use a layer of neurons"),
    "random numbers": (lambda net, x: net.step(torch.bernoulli(x)), "bernoulli .use neurocompile.snn.PoissonEncoder"),
    "half a sequence": (
        lambda net, x: torch.stack([net.step(x) for _ in range(4)][:3]),
        "stacks 3 time steps, timesteps is 4; build with 3",
    ),
    "steps in another order": (
        lambda net, x: torch.stack([net.step(x) for _ in range(4)][::-1]), "are not the 4 time steps of one layer"
    ),
    "more steps than stacked": (
        lambda net, x: torch.stack([net.step(x) for _ in range(7)]), "stacks 7 time steps, timesteps is 4; build with 7"
    ),
    "a layer in two places": (lambda net, x: net.lif1(net.again(net.lif1(net.fc1(x)))), "make a layer for each"),
    "whole numbers": (lambda net, x: net.step(x.int()), "int .turns into whole numbers or truth values"),
    "a number that is asked of a tensor": (lambda net, x: net.step(x) if x.sum() else x, r"of a tensor \(bool\)"),
    "the largest of all": (lambda net, x: net.step(x).max(), "takes the largest over other axes than the outputs"),
    "writing along two axes": (crossed, "writes along two axes of a tensor"),
    "a mean of softmaxes": (
        lambda net, x: torch.stack([F.softmax(net.step(x), 1) for _ in range(4)]).mean(0),
        "mean .sums over time what softmax gives at every step; sum first",
    ),
    "a sum of sigmoids": (
        lambda net, x: sum(torch.sigmoid(net.step(x)) for _ in range(4)), "add .sums over time what sigmoid gives"
    ),
    "a softmax over time": (
        lambda net, x: F.softmax(torch.stack([net.step(x) for _ in range(4)]), 0),
        "softmax .is taken along another axis",
    ),
    "layer norm": (
        lambda net, x: net.step(F.layer_norm(x, (6,))), "layer_norm .use nn.BatchNorm2d, for it divides by what each"
    ),
    "mixed samples": (lambda net, x: net.step(x.view(6, -1)), "mixes samples or time steps"),
    "one sample": (lambda net, x: net.step(x[1:2]), "takes a part of the (samples|time steps)"),
    "half of the features": (lambda net, x: net.step(x[:, :3]), "takes a part of the channels"),
    "a maximum over time": (
        lambda net, x: torch.stack([net.step(x) for _ in range(4)]).max(0)[0],
        r"max .takes the largest over the time steps",
    ),
    "nothing of the input": (lambda *_: 3, r"forward\(\) returns something other than a tensor"),
    "an error of its own": (lambda net, x: net.nothing(x), "has no attribute 'nothing'"),
    "an error without a word": (lambda *_: (_ for _ in ()).throw(RuntimeError()), "RuntimeError"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSALS)
def test_refusals(name: str) -> None:
    forward, message = REFUSALS[name]
    with pytest.raises(GraphError, match=message) as refusal:
        imported(Net(forward, again=nn.Linear(5, 5)))
    assert "\n" not in str(refusal.value)


def test_all_that_cannot_be_compiled_is_told_at_once() -> None:
    def forward(net: Net, x: Tensor) -> Any:
        return net.lif1(torch.tanh(net.act(net.norm(net.fc1(x)))))

    with pytest.raises(GraphError) as refusal:
        imported(Net(forward, norm=nn.LayerNorm(5), act=nn.GELU()))
    text = str(refusal.value)
    assert text.startswith("Net: 3 operations cannot be compiled: norm (LayerNorm; use")
    assert "act (GELU; use" in text
    assert "forward(): tanh (use" in text


def test_a_subclass_that_changes_a_layer_is_followed_not_believed() -> None:
    class Louder(snn.LIF):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) * 2

    class Quiet(snn.LIF):
        """The same layer under another name."""

    assert isinstance(imported(Net(Net.step, lif1=Quiet(0.25, 0.75))).graph.node("lif1"), Neuron)
    with pytest.raises(GraphError, match="cannot be compiled"):
        imported(Net(Net.step, lif1=Louder(0.25)))


def test_a_hook_shows_in_the_comparison() -> None:
    net = Net(Net.step)
    found = imported(net)
    net.lif1.register_forward_hook(lambda _module, _inputs, spikes: 1 - spikes)
    with pytest.raises(GraphError, match=r"lif[12]: \d+ of \d+ neurons spike otherwise than in the network itself"):
        check(found, np.random.default_rng(0).random((3, 6)))


def test_a_network_that_cannot_be_run_or_is_too_large_is_not_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    found = imported(Net(Net.step))
    monkeypatch.setattr(found.module, "written", lambda net, x: net.step(x.view(3, 6)))
    note = check(found, np.ones((3, 6)))
    assert note is not None
    assert note.startswith("the network could not be run on 3 samples to compare it")
    monkeypatch.setattr("neurocompile.frontend.agreement._MOST_PRODUCTS", 10)
    note = check(found, np.ones((3, 6)))
    assert note is not None
    assert note.startswith("the network is too large to be compared")


def test_layouts() -> None:
    layout = Layout((2, 3), (("N", "T"), (0,), (1,)))
    assert layout.shape(5, 4) == (20, 2, 3)
    assert layout.samples(np.zeros((20, 2, 3)), 4).shape == (5, 4, 2, 3)
