"""Networks that other frameworks write as NIR: every spike of every step is the framework's own.

What the exporters lose, and the tests so keep to:
snnTorch 1.0.0: how a neuron resets (``Conventions`` of "snntorch" reset by subtraction, as its default does) and when
(where Synaptic, RLeaky and RSynaptic reset to zero a step later, they lose that step's input); padding of average
pools. What does not say its size (scalar beta or threshold) fails its own type check.
Norse 1.1.0: v_reset and the reset method; its default dt gives time constants of dt**2, right is dt=1 (seconds);
LIFCell becomes a CubaLIF without its gains. Sinabs 3.1.3: how many spikes a neuron sends and how it resets
(``Conventions`` of "sinabs" are its defaults), norm_input=False, a lowest membrane; time constants are in steps.
SpikingJelly 2: that its neurons fire at the threshold (``Conventions`` of "spikingjelly"), and that CUBALIFNode starts
at v_reset.
"""

from __future__ import annotations

import itertools
import logging
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from neurocompile.frontend.nir import CONVENTIONS, Conventions, read_nir
from neurocompile.ir.interpret import Trace, interpret
from neurocompile.ir.nodes import Array

torch = pytest.importorskip("torch")
nir = pytest.importorskip("nir")
pytest.importorskip("nirtorch")

STEPS = 5


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """The frameworks' own warnings are not ours to mend."""
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        yield
        logging.disable(logging.NOTSET)


class Pieces:
    """Random parts with dyadic numbers. Thresholds are odd sixteenths where ``ties`` must not happen."""

    def __init__(self, draw: DrawFn) -> None:
        self.draw = draw
        self.rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))

    def pick(self, *options: Any) -> Any:
        return self.draw(st.sampled_from(options))

    def quarters(self, shape: tuple[int, ...], low: int = -6, high: int = 8) -> Any:
        return torch.tensor(self.rng.integers(low, high + 1, shape) / 4, dtype=torch.float32)

    def filled(self, layer: Any) -> Any:
        for parameter in layer.parameters():
            parameter.data = self.quarters(tuple(parameter.shape))
        return layer

    def linear(self, before: int, after: int) -> Any:
        return self.filled(torch.nn.Linear(before, after, bias=self.pick(True, False)))

    def samples(self, shape: tuple[int, ...]) -> Array:
        return self.rng.integers(0, 3, (2, STEPS, *shape)).astype(np.float32)


def recorded(net: Any, run: Callable[[], Any]) -> dict[str, list[Array]]:
    """What every leaf module gives while ``run`` runs, call by call."""
    outputs: dict[str, list[Array]] = {}

    def keep(name: str) -> Callable[..., None]:
        def hook(_module: Any, _inputs: Any, output: Any) -> None:
            first = output[0] if isinstance(output, tuple) else output
            outputs.setdefault(name, []).append(first.detach().numpy().astype(np.float64))

        return hook

    hooks = [module.register_forward_hook(keep(name)) for name, module in net.named_children()]
    run()
    for hook in hooks:
        hook.remove()
    return outputs


def traced(graph: Any, samples: Array, folder: Path, conventions: Conventions, dt: float | None = None) -> Trace:
    """The trace of ``graph``, written and read again."""
    source: Any = folder / "net.nir"
    try:
        nir.write(source, graph, compression=None)  # what has no axes cannot be compressed
    except TypeError:  # a Flatten that does not know its input cannot be written
        source = graph
    read, _ = read_nir(source, timesteps=STEPS, dt=dt, conventions=conventions)
    return interpret(read, samples)


# ------------------------------------------------------------------------------------------------------------- snnTorch


@st.composite
def snntorch_nets(draw: DrawFn) -> tuple[Any, Array, str]:
    """(net, samples, reset): layers of every kind that its exporter knows, reset in one way."""
    snn = pytest.importorskip("snntorch")
    pieces = Pieces(draw)
    reset = pieces.pick("zero", "subtract")
    sizes = [pieces.pick(1, 3, 4), *(pieces.pick(1, 2, 5) for _ in range(pieces.pick(1, 2, 3)))]
    layers: list[Any] = []
    for before, after in itertools.pairwise(sizes):
        layers.append(pieces.linear(before, after))
        choices: dict[str, Any] = {
            "beta": torch.tensor(pieces.rng.choice([0.0, 0.5, 0.75, 0.875, 1.0], after), dtype=torch.float32),
            "threshold": pieces.quarters((after,), 1, 8),
            "init_hidden": True,
            "reset_mechanism": reset,
        }
        kind = pieces.pick("Leaky", "Synaptic", "RLeaky", *(["RSynaptic"] if reset == "subtract" else []))
        if "Synaptic" in kind:
            choices["alpha"] = torch.tensor(pieces.rng.choice([0.0, 0.5, 0.75], after), dtype=torch.float32)
        if kind[0] == "R":
            if pieces.pick(True, False):
                choices["linear_features"] = after
            else:
                choices |= {"all_to_all": False, "V": pieces.quarters((after,))}
        if reset == "zero" and kind != "Leaky":
            choices["reset_delay"] = False
        neuron = getattr(snn, kind)(**choices)
        if "linear_features" in choices:
            pieces.filled(neuron.recurrent)
        layers.append(neuron)
    return torch.nn.Sequential(*layers), pieces.samples((sizes[0],)), reset


@settings(max_examples=60)
@given(drawn=snntorch_nets())
def test_snntorch(drawn: tuple[Any, Array, str], tmp_path_factory: pytest.TempPathFactory) -> None:
    from snntorch.export_nir import export_to_nir

    net, samples, reset = drawn
    graph = export_to_nir(net, torch.tensor(samples[:1, 0]), ignore_dims=[0])
    for module in net:
        for state in ("mem", "syn", "spk"):
            if hasattr(module, state):
                setattr(module, state, torch.zeros_like(getattr(module, state)))
    told = recorded(net, lambda: [net(torch.tensor(samples[:, t])) for t in range(STEPS)])
    conventions = CONVENTIONS["snntorch" if reset == "subtract" else "nir"]
    trace = traced(graph, samples, tmp_path_factory.mktemp("nir"), conventions)
    assert sum(name in trace.events or f"{name}.lif" in trace.events for name in told) == len(net) // 2
    for name, series in told.items():
        ours = trace.events.get(name, trace.events.get(f"{name}.lif"))
        if ours is not None:
            np.testing.assert_array_equal(ours, np.stack(series, axis=1), err_msg=name)


# ---------------------------------------------------------------------------------------------------------------- Norse


@st.composite
def norse_nets(draw: DrawFn) -> tuple[Any, Array]:
    norse = pytest.importorskip("norse.torch")
    pieces = Pieces(draw)
    sizes = [pieces.pick(1, 3, 4), *(pieces.pick(1, 2, 5) for _ in range(pieces.pick(1, 2, 3)))]
    layers: list[Any] = []
    for index, (before, after) in enumerate(itertools.pairwise(sizes)):
        layers.append(pieces.linear(before, after))
        inverse = torch.tensor(pieces.pick(1000.0, 500.0, 250.0))
        threshold = pieces.quarters((), 1, 6)
        if index == len(sizes) - 2 and pieces.pick(True, False):
            layers.append(norse.LIBoxCell(norse.LIBoxParameters(tau_mem_inv=inverse)))
        elif pieces.pick(True, True, False):
            leak = pieces.quarters((), -4, 0)
            layers.append(norse.LIFBoxCell(norse.LIFBoxParameters(tau_mem_inv=inverse, v_th=threshold, v_leak=leak)))
        else:
            layers.append(norse.IAFCell(norse.IAFParameters(v_th=threshold)))
    return norse.SequentialState(*layers), pieces.samples((sizes[0],))


@settings(max_examples=60)
@given(drawn=norse_nets())
def test_norse(drawn: tuple[Any, Array], tmp_path_factory: pytest.TempPathFactory) -> None:
    from norse.torch.utils.export_nir import to_nir

    net, samples = drawn
    graph = to_nir(net, torch.tensor(samples[:1, 0]), dt=1.0)

    def run() -> None:
        state = None
        for t in range(STEPS):
            _, state = net(torch.tensor(samples[:, t]), state)

    told = recorded(net, run)
    trace = traced(graph, samples, tmp_path_factory.mktemp("nir"), CONVENTIONS["norse"])
    for name, series in told.items():
        if name in trace.events:
            np.testing.assert_array_equal(trace.events[name], np.stack(series, axis=1), err_msg=name)
        elif name in trace.outputs:
            np.testing.assert_array_equal(trace.outputs[name], series[-1], err_msg=name)
    assert len(trace.events) - 1 + ("LIBox" in str(net)) == len(net) // 2


# --------------------------------------------------------------------------------------------------------------- Sinabs


@st.composite
def sinabs_nets(draw: DrawFn) -> tuple[Any, Array, Conventions]:
    """Defaults of Sinabs, or neurons as NIR has them. Thresholds are never met exactly by dyadic membranes."""
    sinabs = pytest.importorskip("sinabs")
    pieces = Pieces(draw)
    single = pieces.pick(True, False)
    firing = {
        "spike_fn": sinabs.activation.SingleSpike if single else sinabs.activation.MultiSpike,
        "reset_fn": sinabs.activation.MembraneReset() if single else sinabs.activation.MembraneSubtract(),
        "batch_size": 2,
    }

    def neuron() -> Any:
        threshold = torch.tensor(pieces.rng.integers(2, 20) / 8 + 1 / 16)
        if pieces.pick(True, False):
            return sinabs.layers.IAFSqueeze(spike_threshold=threshold, **firing)
        tau = pieces.pick(1.5, 4.0, 10.0)
        return sinabs.layers.LIFSqueeze(tau_mem=tau, spike_threshold=threshold, **firing)

    layers: list[Any] = []
    shape: tuple[int, ...] = pieces.pick((2, 6, 6), (1, 6, 8), (5,))
    if len(shape) == 3:
        bias, padding = pieces.pick(True, False), pieces.pick(0, 1)
        layers += [pieces.filled(torch.nn.Conv2d(shape[0], 3, 3, bias=bias, padding=padding)), neuron()]
        pool = sinabs.layers.SumPool2d(2, 2)
        layers += [pool, torch.nn.Flatten()]
        sizes = [(size + 2 * padding - 2) // 2 for size in shape[1:]]
        features = 3 * sizes[0] * sizes[1]
    else:
        features = shape[0]
    layers += [pieces.linear(features, 4), neuron()]
    if pieces.pick(True, False):
        layers += [pieces.linear(4, 2), sinabs.layers.ExpLeakSqueeze(tau_mem=4.0, batch_size=2, norm_input=True)]
    defaults = replace(CONVENTIONS["sinabs"], max_payload=1 << 20)  # Sinabs has no limit
    choices = replace(defaults, spikes="binary", reset="set") if single else defaults
    return torch.nn.Sequential(*layers), pieces.samples(shape), choices


@settings(max_examples=60)
@given(drawn=sinabs_nets())
def test_sinabs(drawn: tuple[Any, Array, Conventions], tmp_path_factory: pytest.TempPathFactory) -> None:
    from sinabs.nir import to_nir

    net, samples, conventions = drawn
    rows = torch.tensor(samples.reshape(-1, *samples.shape[2:]))
    graph = to_nir(net, rows)
    for module in net:
        if hasattr(module, "reset_states"):
            module.reset_states()
    told = recorded(net, lambda: net(rows))
    trace = traced(graph, samples, tmp_path_factory.mktemp("nir"), conventions)
    somas = 0
    for name, (series,) in told.items():
        theirs = series.reshape(2, STEPS, *series.shape[1:])
        if name in trace.events:
            np.testing.assert_array_equal(trace.events[name], theirs, err_msg=name)
        elif name in trace.outputs:
            np.testing.assert_allclose(trace.outputs[name], theirs[:, -1], rtol=1e-4, atol=1e-5)
        somas += name in trace.events or name in trace.outputs
    assert somas == sum("Squeeze" in type(module).__name__ for module in net)


# --------------------------------------------------------------------------------------------------------- SpikingJelly


@st.composite
def spikingjelly_nets(draw: DrawFn) -> tuple[Any, Array]:
    pytest.importorskip("spikingjelly")
    from spikingjelly.activation_based import layer, neuron

    pieces = Pieces(draw)

    def soma() -> Any:
        kind = pieces.pick("if", "lif", "plif", "cuba")
        common = {"v_threshold": pieces.rng.integers(1, 9) / 4, "v_reset": pieces.pick(0.0, 0.0, -0.5)}
        if kind == "if":
            return neuron.IFNode(**common)
        if kind == "cuba":
            common["v_reset"] = 0.0
            return neuron.CUBALIFNode(c_decay=pieces.pick(0.0, 0.5), v_decay=pieces.pick(0.5, 0.75), **common)
        tau, decay_input = pieces.pick(2.0, 4.0), pieces.pick(True, False)
        if kind == "lif":
            return neuron.LIFNode(tau=tau, decay_input=decay_input, **common)
        return neuron.ParametricLIFNode(init_tau=2.0, decay_input=decay_input, **common)

    layers: list[Any] = []
    shape: tuple[int, ...] = pieces.pick((2, 5, 5), (1, 6, 6), (5,))
    if len(shape) == 3:
        conv = layer.Conv2d(shape[0], 3, 3, bias=pieces.pick(True, False), stride=pieces.pick(1, 2), padding=1)
        layers += [pieces.filled(conv), soma(), layer.AvgPool2d(2), layer.Flatten()]
        size = torch.nn.Sequential(conv, layers[2], layers[3])(torch.zeros(1, *shape)).shape[1]
    else:
        (size,) = shape
    layers += [pieces.filled(layer.Linear(size, 4, bias=pieces.pick(True, False))), soma()]
    if pieces.pick(True, False):
        layers += [pieces.filled(layer.Linear(4, 2)), soma()]
    return torch.nn.Sequential(*layers), pieces.samples(shape)


@settings(max_examples=60)
@given(drawn=spikingjelly_nets(), dt=st.sampled_from((1e-4, 1e-3)))
def test_spikingjelly(drawn: tuple[Any, Array], dt: float, tmp_path_factory: pytest.TempPathFactory) -> None:
    from spikingjelly.activation_based import functional, nir_exchange

    net, samples = drawn
    graph = nir_exchange.export_to_nir(net, torch.tensor(samples[:1, 0]), dt=dt)
    functional.reset_net(net)
    told = recorded(net, lambda: [net(torch.tensor(samples[:, t])) for t in range(STEPS)])
    trace = traced(graph, samples, tmp_path_factory.mktemp("nir"), CONVENTIONS["spikingjelly"], dt)
    somas = [name for name, module in net.named_children() if "Node" in type(module).__name__]
    for name in somas:
        np.testing.assert_array_equal(trace.events[f"_{name}"], np.stack(told[name], axis=1), err_msg=name)
    assume(somas)
