"""Sinabs: generated networks run there and, imported, in the interpreter; both give every spike alike.

A spike may differ only where the membrane is within 1e-5 of a multiple of the threshold, which Sinabs' float32 may see
on the other side; from there on, that sample is not compared.
"""

from __future__ import annotations

import importlib
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn
from torch import Tensor, nn

from neurocompile.errors import GraphError
from neurocompile.frontend import agreement
from neurocompile.frontend.frameworks.sinabs import TABLE, spiking
from neurocompile.frontend.presentation import from_module
from neurocompile.ir.graph import Graph
from neurocompile.ir.interpret import SomaState, Trace, interpret
from neurocompile.ir.nodes import Array, DirectEncoder, Neuron, Readout, Relu, per_channel
from tests.frontend.frameworks.rows import SINABS, Row

sinabs = pytest.importorskip("sinabs", reason="sinabs is not installed; pip install --no-deps sinabs==3.1.3")
sl = pytest.importorskip("sinabs.layers")
sa = pytest.importorskip("sinabs.activation")

CLOSE = 1e-5


# -------------------------------------------------------------------------------------------------- generated networks


@dataclass
class Network:
    """``x``: (N, T, *shape). ``squeezed``: the network is given (N*T, *shape)."""

    model: nn.Sequential
    x: Tensor
    squeezed: bool

    @property
    def timesteps(self) -> int:
        return self.x.shape[1]

    @property
    def given(self) -> Tensor:
        return self.x.flatten(0, 1) if self.squeezed else self.x


class Builder:
    """Layers, one behind the other. Weights are quarters, so that float32 adds them up without rounding."""

    def __init__(self, draw: DrawFn, *, squeezed: bool, samples: int, timesteps: int) -> None:
        self.draw, self.squeezed, self.samples, self.timesteps = draw, squeezed, samples, timesteps
        self.rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
        self.layers: list[nn.Module] = []

    def pick(self, *options: Any) -> Any:
        return self.draw(st.sampled_from(options))

    def quarters(self, low: float, high: float, *shape: int) -> Tensor:
        return torch.tensor(self.rng.integers(round(low * 4), round(high * 4), shape, endpoint=True) / 4).float()

    def each(self, low: float, high: float, shape: tuple[int, ...]) -> Tensor:
        """One value, one per channel, or one per neuron."""
        ones = (1,) * (len(shape) - 1)
        return self.quarters(low, high, *self.pick((), (), (shape[0], *ones), shape))

    def weighted(self, layer: nn.Module) -> nn.Module:
        with torch.no_grad():
            for parameter in layer.parameters():
                parameter.copy_(self.quarters(-1, 1, *parameter.shape))
        return layer

    def each_step(self, layer: nn.Module) -> nn.Module:
        """A layer that knows (N, ...) only."""
        return layer if self.squeezed else sl.Repeat(layer)

    def neuron(self, shape: tuple[int, ...], *, silent: bool = False) -> nn.Module:
        options: dict[str, Any] = {}
        if self.squeezed:
            options = self.pick(
                {"batch_size": self.samples},
                {"num_timesteps": self.timesteps},
                {"batch_size": self.samples, "num_timesteps": self.timesteps},
            )
        if silent:
            kind = sl.ExpLeakSqueeze if self.squeezed else sl.ExpLeak
            leaks = self.leaks(shape, synaptic=False)
            return self.trained(kind(**leaks, **options, norm_input=self.pick(True, False)), shape)
        options |= {
            "spike_threshold": self.pick(torch.tensor(1.0), self.each(0.25, 2, shape)),
            "spike_fn": self.pick(sa.MultiSpike, sa.SingleSpike, sa.MaxSpike(self.pick(1, 2, None))),
            "reset_fn": self.pick(sa.MembraneSubtract(), sa.MembraneSubtract(), sa.MembraneReset()),
            "min_v_mem": self.pick(None, -1.0, 0.0, self.each(-1, 0, shape)),
        }
        recurrent = not self.squeezed and self.pick(False, False, True)
        if recurrent:
            options["rec_connect"] = self.connection(shape)
        if self.pick(True, False):
            kind = sl.IAFRecurrent if recurrent else sl.IAFSqueeze if self.squeezed else sl.IAF
            return kind(**options, tau_syn=self.pick(None, None, 2.0, self.each(0.5, 4, shape)))
        kind = sl.LIFRecurrent if recurrent else sl.LIFSqueeze if self.squeezed else sl.LIF
        return self.trained(kind(**options, **self.leaks(shape), norm_input=self.pick(True, False)), shape)

    def leaks(self, shape: tuple[int, ...], *, synaptic: bool = True) -> dict[str, Any]:
        taus = {"tau_mem": self.pick(2.0, 5.0, self.each(0.5, 9, shape)), "train_alphas": self.pick(False, True)}
        return taus | ({"tau_syn": self.pick(None, 3.0, self.each(0.5, 4, shape))} if synaptic else {})

    def trained(self, layer: Any, shape: tuple[int, ...]) -> nn.Module:
        """Decays that are parameters themselves, as training leaves them: any values, here some that round nothing."""
        with torch.no_grad():
            for name in ("alpha_mem", "alpha_syn"):
                if layer.train_alphas and getattr(layer, name, None) is not None:
                    getattr(layer, name).data = self.each(0.25, 1, shape)
        return layer  # type: ignore[no-any-return]

    def connection(self, shape: tuple[int, ...]) -> nn.Module:
        if len(shape) == 1:
            return self.weighted(nn.Linear(*shape, *shape, bias=False))
        size = int(np.prod(shape))
        if self.pick(True, False):
            return self.weighted(nn.Conv2d(shape[0], shape[0], 3, padding=1, bias=False))
        return nn.Sequential(nn.Flatten(), self.weighted(nn.Linear(size, size, bias=False)))

    def image_layer(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        channels = self.pick(1, 2, 3)
        kernel, padding = self.pick((3, 1), (2, 1), (1, 0))
        conv = self.weighted(
            nn.Conv2d(shape[0], channels, kernel, self.pick(1, 2), padding, bias=self.pick(True, False))
        )
        self.layers.append(self.each_step(conv))
        shape = tuple(conv(torch.zeros(1, *shape)).shape[1:])
        self.layers.append(self.neuron(shape))
        if min(shape[1:]) >= 2 and self.pick(False, True):
            pool = self.pick(nn.AvgPool2d(2), sl.SumPool2d(2), sl.SumPool2d((2, 1), stride=1))
            self.layers.append(self.each_step(pool))
            shape = tuple(pool(torch.zeros(1, *shape)).shape[1:])
        return shape

    def dense_layer(self, shape: tuple[int, ...], *, silent: bool = False) -> tuple[int, ...]:
        if len(shape) > 1:
            self.layers.append(nn.Flatten() if self.squeezed else nn.Flatten(2))
        size = int(np.prod(shape))
        wide = self.pick(1, 3, 5)
        self.layers.append(self.weighted(nn.Linear(size, wide, bias=self.pick(True, False))))
        self.layers.append(self.neuron((wide,), silent=silent))
        return (wide,)


@st.composite
def networks(draw: DrawFn) -> Network:
    squeezed, samples, timesteps = draw(st.booleans()), draw(st.integers(1, 3)), draw(st.integers(1, 6))
    build = Builder(draw, squeezed=squeezed, samples=samples, timesteps=timesteps)
    shape: tuple[int, ...] = build.pick((4,), (1, 4, 5), (2, 6, 4))
    values = torch.tensor(build.rng.integers(-2 if build.pick(False, True) else 0, 4, (samples, timesteps, *shape)))
    for _ in range(draw(st.integers(0, 2)) if len(shape) > 1 else 0):
        shape = build.image_layer(shape)
    for _ in range(draw(st.integers(0, 2))):
        shape = build.dense_layer(shape)
    build.dense_layer(shape, silent=build.pick(False, False, True))
    return Network(nn.Sequential(*build.layers).eval(), values.float(), squeezed)


# ------------------------------------------------------------------------------------------------------- comparing them


def recorded(network: Network) -> dict[str, Array]:
    """What every layer of neurons gives in Sinabs: by its path, (N, T, *shape)."""
    found: dict[str, Array] = {}
    kinds = (sl.LIF,)

    def keep(path: str) -> Callable[..., None]:
        def hook(_: nn.Module, __: Any, out: Tensor) -> None:
            frames = out.unflatten(0, network.x.shape[:2]) if network.squeezed else out
            found[path] = frames.detach().numpy().astype(np.float64)

        return hook

    handles = [
        layer.register_forward_hook(keep(path))
        for path, layer in network.model.named_modules()
        if isinstance(layer, kinds)
    ]
    try:
        with torch.no_grad():
            network.model(network.given)
    finally:
        for handle in handles:
            handle.remove()
    return found


def imported(network: Network) -> Graph:
    shape = tuple(network.given.shape)
    return from_module(network.model, (), network.timesteps, "net", batch=shape).graph


def run(graph: Graph, x: Tensor) -> tuple[Trace, dict[str, Array]]:
    """The interpreter's trace, and the membranes on which somas fired, (N, T, *shape)."""
    membranes: dict[int, list[Array]] = {id(graph.node(name)): [] for name in graph.of_kind(Neuron)}
    fire = SomaState._fire

    def watched(state: SomaState, node: Neuron) -> Array:
        membranes[id(node)].append(state.membrane)
        return fire(state, node)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SomaState, "_fire", watched)
        trace = interpret(graph, x.numpy())
    return trace, {name: np.stack(membranes[id(graph.node(name))], 1) for name in graph.of_kind(Neuron)}


def compare(graph: Graph, x: Tensor, seen: dict[str, Array]) -> int:
    """How many spikes differ, each because its membrane lies at the threshold. In order of flow: what follows from a
    difference, in its sample, is not compared."""
    trace, membranes = run(graph, x)
    assert set(trace.events) == {*graph.of_kind(DirectEncoder, Neuron, Relu)}
    assert {*graph.of_kind(Neuron, Readout)} <= set(seen)
    agreed = np.full(len(x), x.shape[1])  # time steps of each sample
    excused = 0
    for name in graph.of_kind(Neuron):
        node: Any = graph.node(name)
        threshold = np.broadcast_to(per_channel(node.threshold, graph.shape(name)), graph.shape(name))
        for sample, step in np.argwhere((trace.events[name] != seen[name]).any(axis=tuple(range(2, seen[name].ndim)))):
            if step >= agreed[sample]:
                continue
            differ = trace.events[name][sample, step] != seen[name][sample, step]
            u, v = membranes[name][sample, step][differ], threshold[differ]
            assert (np.abs(u - np.rint(u / v) * v) <= CLOSE * np.maximum(np.abs(u), v)).all(), (name, sample, step, u)
            excused += int(differ.sum())
            agreed[sample] = step
    for name in graph.of_kind(Readout):
        whole = agreed == x.shape[1]
        np.testing.assert_allclose(trace.outputs[name][whole], seen[name][whole, -1], rtol=1e-4, atol=1e-4)
    return excused


def test_generated_networks_give_the_same_spikes() -> None:
    totals: Counter[str] = Counter()

    @settings(max_examples=240)
    @given(networks())
    def each(network: Network) -> None:
        seen = recorded(network)
        assume(all(spikes.max() <= 255 for spikes in seen.values()))  # as many as the program sends at once
        excused = compare(imported(network), network.x, seen)
        totals.update(networks=1, excused=excused, values=sum(spikes.size for spikes in seen.values()))
        totals["firing"] += all(spikes.any() for spikes in seen.values())

    each()
    print(f"Sinabs: {totals['networks']} networks, {totals['excused']} of {totals['values']} spikes differ")  # -rP
    assert totals["networks"] >= 200
    assert totals["firing"] >= totals["networks"] / 4  # in all their layers; the others in some
    assert totals["excused"] <= totals["values"] / 10_000


# ------------------------------------------------------------------------------------------------------ layer by layer


def cell(layer: Any, *shape: int) -> Any:
    return spiking(layer, shape or (3,))


def test_a_neuron_in_our_terms() -> None:
    layer = sl.LIF(
        tau_mem=torch.tensor([2.0, 4.0]), tau_syn=3.0, spike_threshold=torch.tensor([[[0.5]], [[2.0]]]),
        spike_fn=sa.MaxSpike(7), reset_fn=sa.MembraneReset(), min_v_mem=-0.5, norm_input=True,
    )  # fmt: skip
    layer.tau_mem.data = layer.tau_mem.data.reshape(2, 1, 1)
    found = cell(layer, 2, 3, 4)
    soma = found.soma
    a, b = torch.exp(-1 / torch.tensor([2.0, 4.0])), torch.exp(torch.tensor(-1 / 3.0))
    np.testing.assert_array_equal(soma.leak, a.double())
    np.testing.assert_allclose(soma.current_leak, b, rtol=1e-7)
    np.testing.assert_allclose(found.gain, (1 - a) * b, rtol=1e-7)
    assert (soma.threshold.tolist(), soma.membrane_min.tolist()) == ([0.5, 2.0], -0.5)
    assert (soma.order, soma.compare, soma.reset, soma.reset_value) == ("integrate_first", "at_or_above", "set", 0)
    assert (soma.spikes, soma.max_payload, soma.leaky_reset) == ("graded", 7, True)


def test_an_iaf_needs_no_gain() -> None:
    found = cell(sl.IAF(spike_fn=sa.SingleSpike))
    assert (found.gain, found.connection) == (None, None)
    assert (found.soma.leak, found.soma.spikes, found.soma.reset) == (1, "binary", "subtract")
    assert found.soma.membrane_min is None
    assert cell(sl.IAF(spike_fn=sa.MaxSpike(1))).soma.spikes == "binary"
    assert cell(sl.IAF(spike_fn=sa.MaxSpike())).soma.max_payload == 255
    assert cell(sl.IAF(reset_fn=sa.MembraneSubtract(1.0))).soma.reset == "subtract"
    assert isinstance(cell(sl.IAF(spike_fn=None)).soma, Readout)


def test_a_minimum_acts_after_the_reset() -> None:
    """What Sinabs leaves is what our neuron begins the next step with, at the minimum and above it."""
    layer = sl.IAF(min_v_mem=-0.5, spike_fn=sa.SingleSpike)
    graph = from_module(nn.Sequential(layer), (1,), 4, "net").graph
    x = torch.tensor([-3.0, 1.25, 0.5, 2.0]).reshape(1, 4, 1)
    spikes, left = [], []
    for t in range(4):
        spikes.append(layer(x[:, t : t + 1]).item())
        left.append(layer.v_mem.item())
    assert left == [-0.5, 0.75, 0.25, 1.25]
    assert interpret(graph, x.numpy()).events["0"].ravel().tolist() == spikes == [0, 0, 1, 1]


def test_a_step_has_at_most_255_spikes_and_the_user_is_told() -> None:
    read = from_module(nn.Sequential(sl.IAF(), nn.Linear(1, 1), sl.IAF(spike_fn=sa.SingleSpike)), (1,), 1, "net")
    assert read.notes == ("0: Sinabs sets no limit to the spikes of one step; the program sends 255 at most",)
    assert interpret(read.graph, np.array([[[999.0]]])).events["0"].item() == 255


def test_a_network_that_sinabs_converted() -> None:
    """It is given (N*T, ...), and was made for batches of one."""
    torch.manual_seed(1)
    analog = nn.Sequential(
        nn.Conv2d(1, 4, 3, bias=False), nn.ReLU(), nn.AvgPool2d(2), nn.Dropout(), nn.Conv2d(4, 3, 3), nn.ReLU(),
        sl.SumPool2d(2), nn.Flatten(), nn.Linear(3, 5), sl.NeuromorphicReLU(),
    )  # fmt: skip
    model = importlib.import_module("sinabs.from_torch").from_model(analog, batch_size=1).eval()
    x = torch.randint(0, 3, (1, 6, 1, 10, 10)).float()
    for input_shape, batch in (((1, 10, 10), None), ((), (6, 1, 10, 10))):
        graph = from_module(model, input_shape, 6, "net", batch=batch).graph
        assert graph.of_kind(Neuron) == [f"spiking_model.{place}" for place in (1, 5, 9)]
        seen = recorded(Network(model, x, squeezed=True))
        assert compare(graph, x, {path: spikes for path, spikes in seen.items() if path.startswith("spiking")}) == 0
        assert graph.node("spiking_model.1").membrane_min == -1
        for layer in model.modules():
            if isinstance(layer, sl.StatefulLayer):
                layer.reset_states()


@pytest.mark.parametrize(("batch_size", "count"), [(1, 1), (1, 3), (2, 2), (3, 3)])
def test_a_network_made_for_one_batch_size_is_compared_in_such_batches(batch_size: int, count: int) -> None:
    """With another it would take steps of one sample for those of the next."""
    torch.manual_seed(3)
    model = nn.Sequential(nn.Linear(4, 3), sl.IAFSqueeze(batch_size=batch_size, spike_fn=sa.SingleSpike))
    model(torch.rand(5 * batch_size, 4))  # which leaves a state behind
    read = from_module(model, (), 5, "net", batch=(5 * batch_size, 4))
    samples = np.random.default_rng(1).random((count, 5, 4)) * 3
    counts = agreement.compare(read, samples)
    assert counts == {"1": (0, 3 * count)}
    assert agreement.spikes_of(read, samples)["1"].any()


class Branches(nn.Module):
    """Two branches, merged; convolutions that take frames, and neurons that take sequences."""

    def __init__(self) -> None:
        super().__init__()
        self.flat, self.unflat = sl.FlattenTime(), sl.UnflattenTime(batch_size=2)
        self.one, self.other = nn.Conv2d(1, 2, 3), sl.Repeat(nn.Conv2d(1, 2, 3))
        self.a, self.b = sl.IAF(spike_fn=sa.SingleSpike), sl.LIF(tau_mem=3.0, spike_fn=sa.MaxSpike(3))
        self.merge, self.pool, self.last = sl.Merge(), sl.Repeat(sl.SumPool2d(2, 1)), nn.Linear(4, 3)
        self.read = sl.ExpLeak(tau_mem=5.0, norm_input=True)

    def forward(self, x: Tensor) -> Tensor:
        one = self.a(self.unflat(self.one(self.flat(x))))
        merged: Tensor = self.merge(one, self.b(self.other(x)))
        result: Tensor = self.read(self.last(self.pool(merged).flatten(2)[..., :]))
        return result


def test_branches_and_wrappers() -> None:
    torch.manual_seed(2)
    model = Branches().eval()
    model.last = nn.Linear(2, 3)
    x = torch.randint(0, 3, (2, 5, 1, 4, 4)).float()
    seen: dict[str, Array] = recorded(Network(model, x, squeezed=False))  # type: ignore[arg-type]
    graph = from_module(model, (), 5, "net", batch=tuple(x.shape)).graph
    assert set(graph.of_kind(Neuron)) == {"a", "b"}
    assert compare(graph, x, seen) == 0


def test_layers_that_do_nothing() -> None:
    layers = (sl.QuantizeLayer(quantize=False), sl.Cropping2dLayer(), nn.Conv2d(1, 1, 2), sl.NeuromorphicReLU(False))
    graph = from_module(nn.Sequential(*layers, sl.IAFSqueeze(num_timesteps=2)), (1, 3, 3), 2, "net").graph
    assert [node.kind for _, node in graph.items()] == ["Input", "DirectEncoder", "Conv2d", "Relu", "Neuron"]


REFUSED: list[tuple[Callable[[], nn.Module], str]] = [
    (lambda: sl.ALIF(2.0, 2.0), "1 (ALIF; its threshold rises with every spike; use LIF)"),
    (lambda: sl.IAF(spike_fn=len), "1 (IAF; its spike_fn is builtins.len; use SingleSpike, MultiSpike or MaxSpike)"),
    (lambda: sl.IAF(spike_fn=sa.MaxSpike(2.5)), "max_num_spikes_per_bin is 2.5; give a whole number from 1"),
    (lambda: sl.IAF(spike_fn=sa.MaxSpike(0)), "max_num_spikes_per_bin is 0; give"),
    (lambda: sl.IAF(reset_fn=sa.MembraneReset(0.5)), "Sinabs adds reset_value=0.5 to silent neurons too"),
    (lambda: sl.IAF(reset_fn=sa.MembraneSubtract(0.5)), "it subtracts 0.5 and not its threshold; use"),
    (lambda: sl.IAF(reset_fn=min), "its reset_fn is builtins.min; use MembraneSubtract or MembraneReset"),
    (lambda: sl.IAF(min_v_mem=1.0), "min_v_mem is 1, and its membrane begins at 0; lower it to 0"),
    (lambda: sl.IAF(spike_threshold=None), "it has a spike_fn, but spike_threshold is None; give it a threshold"),
    (lambda: sl.IAF(spike_threshold=torch.tensor(0.0)), "thresholds must be positive"),
    (lambda: sl.IAF(spike_threshold=torch.ones(7)), "spike_threshold has shape (7,), which does not broadcast"),
    (lambda: sl.LIF(tau_mem=-1.0), "Neuron.leak ranges from 2.71"),
    (lambda: sl.LIF(tau_mem=float("nan")), "Neuron.leak: 3 of 3 values are NaN"),
    (lambda: sl.ExpLeak(2.0, min_v_mem=-1.0), "min_v_mem of a layer that never fires; set min_v_mem=None"),
    (lambda: sl.LIFRecurrent(2.0, nn.Linear(3, 3)), "the Linear in its rec_connect adds a constant, but not at the"),
    (
        lambda: sl.IAFRecurrent(nn.Sequential(nn.Linear(3, 3, bias=False), nn.BatchNorm1d(3))),
        "the BatchNorm1d in its rec_connect adds a constant",
    ),
    (lambda: sl.QuantizeLayer(), "1 (QuantizeLayer; it rounds its input down; set quantize=False"),
    (lambda: sl.NeuromorphicReLU(), "1 (NeuromorphicReLU; it rounds its output down; give the network that sinabs."),
    (lambda: sl.Img2SpikeLayer((3,)), "1 (Img2SpikeLayer; it draws from torch's random numbers"),
    (lambda: sl.Sig2SpikeLayer(3), "1 (Sig2SpikeLayer; it draws from torch's random numbers"),
    (lambda: sl.SpikingMaxPooling2dLayer((2, 2)), "it lets through whoever has fired most so far; use SumPool2d"),
    (lambda: sl.Cropping2dLayer(((1, 0), (0, 0))), "it cuts off rows or columns; crop the samples beforehand"),
]


@pytest.mark.parametrize("number", range(len(REFUSED)))
def test_refusals(number: int) -> None:
    make, sentence = REFUSED[number]
    model = nn.Sequential(nn.Linear(4, 3), make(), sl.IAF(spike_fn=sa.SingleSpike))
    with pytest.raises(GraphError, match=re.escape(sentence)) as refusal:
        from_module(model, (4,), 3, "net")
    assert "1 operation cannot be compiled: 1 (" in str(refusal.value)


class Merged(nn.Module):
    """Two layers of neurons that read the same, merged for a third."""

    def __init__(self, before: nn.Module, one: nn.Module, other: nn.Module, after: nn.Module) -> None:
        super().__init__()
        self.before, self.one, self.other, self.merge, self.after = before, one, other, sl.Merge(), after

    def forward(self, x: Tensor) -> Tensor:
        x = self.before(x)
        spikes: Tensor = self.after(self.merge(self.one(x), self.other(x)))
        return spikes


def _of_row(row: Row) -> Network:
    """A network for two samples of four steps. Weights are quarters."""
    torch.manual_seed(0)
    parts = eval(row.code, {"sl": sl, "sa": sa, "nn": nn, "torch": torch, "Merged": Merged})
    model = nn.Sequential(*parts) if isinstance(parts, list) else parts
    rng = np.random.default_rng(2)
    for part in model.modules():
        if isinstance(part, nn.Linear | nn.Conv2d):
            with torch.no_grad():
                for parameter in part.parameters():
                    parameter.copy_(torch.tensor(rng.integers(-2, 5, parameter.shape) / 4))
    squeezed = any(isinstance(part, sl.SqueezeMixin) for part in model.modules())
    x = torch.tensor(rng.integers(-1, 3, (2, 4, *row.shape))).float()
    return Network(model.eval(), x, squeezed)


@pytest.mark.parametrize("row", [row for row in SINABS if not row.refused], ids=str)
def test_supported_rows(row: Row) -> None:
    network = _of_row(row)
    seen = recorded(network)
    graph = imported(network)
    assert compare(graph, network.x, seen) == 0
    assert graph.of_kind(Neuron)
    assert all(seen[name].any() and not seen[name].all() for name in graph.of_kind(Neuron))


@pytest.mark.parametrize("row", [row for row in SINABS if row.refused], ids=str)
def test_refused_rows(row: Row) -> None:
    with pytest.raises(GraphError, match=re.escape(row.refused)):
        imported(_of_row(row))


def test_every_layer_of_sinabs_is_in_the_table_or_plain_python() -> None:
    """Those that are not were read: their forward moves and adds tensors only."""
    plain = {"ChannelShift", "FlattenTime", "Merge", "Repeat", "UnflattenTime", "SqueezeMixin", "StatefulLayer"}
    known = {name.rpartition(".")[2] for name in TABLE}
    assert known <= {name.rpartition(".")[2] for row in SINABS for name in row.layer.split(", ")}
    public = {name for name, kind in vars(sl).items() if isinstance(kind, type)}
    assert public - known == plain
    assert {f"{kind.__module__}.{kind.__qualname__}" for kind in map(sl.__dict__.get, public - plain)} <= set(TABLE)
