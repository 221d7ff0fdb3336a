"""Sinabs: generated networks run there and, imported, in the interpreter; both give every spike alike.

A spike may differ only where the membrane is within 1e-5 of a multiple of the threshold, which Sinabs' float32 may see
on the other side; from there on, that sample is not compared.
"""

from __future__ import annotations

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
from neurocompile.frontend.frameworks.sinabs import spiking
from neurocompile.frontend.presentation import from_module
from neurocompile.ir.graph import Graph
from neurocompile.ir.interpret import SomaState, Trace, interpret
from neurocompile.ir.nodes import Array, Neuron, Readout, per_channel

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
        return self.weighted(nn.Conv2d(shape[0], shape[0], 3, padding=1, bias=False))

    def image_layer(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        channels = self.pick(1, 2, 3)
        kernel, padding = self.pick((3, 1), (2, 1), (1, 0))
        conv = self.weighted(nn.Conv2d(shape[0], channels, kernel, self.pick(1, 2), padding, bias=self.pick(True, False)))
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
    squeezed, samples, timesteps = draw(st.booleans()), draw(st.integers(1, 3)), draw(st.integers(2, 6))
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
    assert set(trace.events) - {"input.encoder"} == set(graph.of_kind(Neuron)) <= set(seen)
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


@settings(max_examples=250)
@given(networks())
def test_generated_networks_give_the_same_spikes(network: Network) -> None:
    seen = recorded(network)
    assume(all(spikes.max() <= 255 for spikes in seen.values()))  # as many as the program sends at once
    compare(imported(network), network.x, seen)
