"""A network in its own framework against its imported graph in the interpreter: every spike of every layer and step.

Numbers are small dyadic fractions, so that float32 does not round and not one spike may differ. Networks with arbitrary
numbers do round: there a spike may differ where the membrane is within ``NEAR`` of the threshold, relative to it. What
followed from it is no difference: each layer is given what the framework's layers sent, resets included.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis.strategies import SearchStrategy
from torch import Tensor, nn

from neurocompile.frontend.agreement import check
from neurocompile.frontend.presentation import Imported, from_module
from neurocompile.ir.graph import Graph
from neurocompile.ir.interpret import interpret, linear
from neurocompile.ir.nodes import ENCODERS, Array, Input, Neuron, Readout, Recurrent, per_channel

NEAR = 1e-5


@dataclass
class Tally:
    """What was compared, and in how many spikes the two differ, all of them with a membrane at the threshold."""

    networks: int = 0
    spikes: int = 0
    fired: int = 0
    differing: int = 0
    kinds: set[str] = field(default_factory=set)

    def __str__(self) -> str:
        return (
            f"{self.networks} networks, {self.spikes} spikes compared, {self.fired} of them fired; "
            f"{self.differing} differ, within {NEAR:g} of the threshold"
        )


@dataclass
class Example:
    """A generated network. ``run`` gives the framework's answer; ``layers`` are the paths of its layers of neurons, of
    which each gives (N, ...) per call, or (T, N, ...) in one where it is ``whole``; ``x`` is what ``run`` is given,
    (N, ...) or, ``in_time``, (T, N, ...)."""

    model: nn.Module
    layers: tuple[str, ...]
    x: Tensor
    timesteps: int
    run: Callable[[nn.Module, Tensor], Any]
    in_time: bool = False
    #: whether the framework's numbers do not round
    exact: bool = True
    whole: Callable[[Any], bool] = lambda _: False
    #: from what ``run`` returns, the result of the network's readout, (N, ...)
    answer: Callable[[Any], Tensor] | None = None

    def samples(self) -> Array:
        """(N, *shape) or (N, T, *shape)."""
        values = self.x.detach().double().numpy()
        return np.moveaxis(values, 0, 1) if self.in_time else values


@contextmanager
def recorded(example: Example) -> Iterator[dict[str, list[Tensor]]]:
    """What each layer of neurons gives while this is open, call by call."""
    seen: dict[str, list[Tensor]] = {path: [] for path in example.layers}

    def hook(path: str) -> Callable[..., None]:
        def keep(_module: nn.Module, _args: Any, output: Any) -> None:
            seen[path].append((output[0] if isinstance(output, tuple) else output).detach().clone())

        return keep

    handles = [example.model.get_submodule(path).register_forward_hook(hook(path)) for path in example.layers]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def framework_series(example: Example) -> tuple[dict[str, Array], Any]:
    """Per layer what it gave, (N, T, *shape), and what the network returned."""
    with recorded(example) as seen, torch.no_grad():
        result = example.run(example.model.eval(), example.x)
    series = {}
    for path, calls in seen.items():
        steps = calls[0] if example.whole(example.model.get_submodule(path)) else torch.stack(calls)
        series[path] = np.moveaxis(steps.double().numpy(), 0, 1)
    return series, result


def imported(example: Example) -> Imported:
    shape = tuple(example.x.shape[2 if example.in_time else 1 :])
    return from_module(example.model, shape, example.timesteps, "generated", batch=tuple(example.x.shape))


def compare(example: Example, tally: Tally, *, checked: bool = False) -> Graph:
    """The imported graph, whose layers gave what the framework's gave. Fails where one did not. ``checked``: the
    package comes to the same end when it compares the two itself."""
    ours = imported(example)
    graph = ours.graph
    series, returned = framework_series(example)
    # spikes that are multiplied by a factor count as spikes: the factor is a node of its own
    spikes = {name: np.sign(values) for name, values in series.items()}
    samples = example.samples()
    trace = interpret(graph, samples)
    neurons = set(graph.of_kind(Neuron))
    assert neurons <= set(spikes), f"{neurons - set(spikes)} are no layers of the network"
    assert neurons, "no layer of neurons was found"
    tally.networks += 1
    for name in neurons:
        tally.spikes += spikes[name].size
        tally.fired += int((spikes[name] != 0).sum())
        tally.kinds.add(type(example.model.get_submodule(name)).__name__)
    if all(np.array_equal(trace.events[name], spikes[name]) for name in neurons):
        if checked:
            assert check(ours, samples) is None
        readouts = [name for name in graph.outputs if isinstance(graph.node(name), Readout)]
        expected = {name: series[name][:, -1] for name in readouts if name in series}
        if example.answer is not None:
            (name,) = readouts
            expected = {name: example.answer(returned).double().numpy()}
        for name, values in expected.items():
            np.testing.assert_allclose(trace.outputs[name], values, rtol=1e-5, atol=1e-5, err_msg=name)
        return graph
    assert not example.exact, differences(graph, trace.events, spikes)
    tally.differing += at_the_threshold(graph, samples, {name: spikes[name] for name in neurons})
    return graph


def differences(graph: Graph, ours: dict[str, Array], theirs: dict[str, Array]) -> str:
    lines = [
        f"{name}: {int((ours[name] != theirs[name]).sum())} of {ours[name].size} spikes differ, the first at "
        f"(sample, step, ...) {tuple(int(k) for k in np.argwhere(ours[name] != theirs[name])[0])}"
        for name in graph.of_kind(Neuron)
        if not np.array_equal(ours[name], theirs[name])
    ]
    return "\n".join([*lines, *(f"{name} <- {graph.inputs(name)} {node}" for name, node in graph.items())])


def at_the_threshold(graph: Graph, samples: Array, sent: dict[str, Array]) -> int:
    """How many spikes of ``sent`` are not ours, when every layer is given what was sent; each must be near the
    threshold, relative to it or to the membrane."""
    steps = graph.timesteps
    if samples.ndim == len(graph.shape(graph.of_kind(Input)[0])) + 1:
        samples = np.repeat(samples[:, None], steps, axis=1)
    states = {name: _Replay(node, graph.shape(name)) for name, node in graph.items() if isinstance(node, Neuron)}
    count = 0
    for t in range(steps):
        values: dict[str, Array] = {}
        for name, node in graph.items():
            inputs = [values[source] for source in graph.inputs(name) if source in values]
            match node:
                case Input() | Readout():
                    values[name] = samples[:, t]
                case Neuron():
                    count += states[name].differing(inputs[0], sent[name][:, t], f"{name}, step {t}")
                    values[name] = sent[name][:, t]
                case Recurrent():
                    (source,) = graph.inputs(name)
                    values[name] = sent[source][:, t - 1] if t else np.zeros_like(sent[source][:, 0])
                case _ if isinstance(node, ENCODERS):
                    values[name] = samples[:, t]
                case _:
                    values[name] = linear(node, *inputs)
    return count


class _Replay:
    """A neuron whose spikes are given."""

    def __init__(self, node: Neuron, shape: tuple[int, ...]) -> None:
        assert node.order == "integrate_first"
        assert node.spikes in ("binary", "signed")
        self.node, self.shape = node, shape
        self.current: Any = 0.0
        self.membrane: Any = 0.0
        self.last: Any = None

    def of(self, parameter: Array) -> Array:
        return per_channel(parameter, self.shape)

    def reset(self, spikes: Array) -> None:
        match self.node.reset:
            case "subtract":
                self.membrane = self.membrane - spikes * self.of(self.node.threshold)
            case "set":
                self.membrane = np.where(spikes != 0, np.sign(spikes) * self.of(self.node.reset_value), self.membrane)

    def differing(self, x: Array, sent: Array, where: str) -> int:
        node, threshold = self.node, self.of(self.node.threshold)
        self.current = self.of(node.current_leak) * self.current + x + self.of(node.bias)
        self.membrane = self.of(node.leak) * self.membrane + self.current
        if not node.leaky_reset and self.last is not None:
            self.reset(self.last)
        passes = np.greater if node.compare == "above" else np.greater_equal
        ours = passes(self.membrane, threshold).astype(np.float64)
        if node.spikes == "signed":
            ours -= passes(-self.membrane, threshold)
        wrong = ours != sent
        far = wrong & (np.abs(np.abs(self.membrane) - threshold) > NEAR * threshold)
        if far.any():
            membranes, thresholds = (np.broadcast_to(each, far.shape)[far] for each in (self.membrane, threshold))
            pytest.fail(f"{where}: {far.sum()} differ, at membrane {membranes[0]} and threshold {thresholds[0]}")
        self.last = sent
        if node.leaky_reset:
            self.reset(sent)
        return int(wrong.sum())


class Numbers:
    """Where the parameters of generated networks come from: quarters, or anything (``exact`` False)."""

    def __init__(self, seed: int, *, exact: bool) -> None:
        self.rng, self.exact = np.random.default_rng(seed), exact

    def tensor(self, low: float, high: float, shape: Sequence[int], step: float = 0.25) -> Tensor:
        if not self.exact:
            return torch.tensor(self.rng.uniform(low, high, tuple(shape)), dtype=torch.float32)
        found = self.rng.integers(round(low / step), round(high / step), size=tuple(shape), endpoint=True) * step
        return torch.tensor(found, dtype=torch.float32)

    def fill(self, module: nn.Module) -> None:
        """New numbers for all convolutions, linear layers and batch norms in ``module``."""
        for part in module.modules():
            if isinstance(part, nn.modules.batchnorm._BatchNorm):
                self._fill_norm(part)
            elif isinstance(part, nn.modules.conv._ConvNd | nn.Linear):
                with torch.no_grad():
                    part.weight.copy_(self.tensor(-1, 1.5, part.weight.shape))
                    if part.bias is not None:
                        part.bias.copy_(self.tensor(-0.5, 0.75, part.bias.shape))

    def _fill_norm(self, part: Any) -> None:
        """A batch norm whose factors are powers of two, where exact."""
        channels = part.running_mean.shape
        deviation = torch.tensor(self.rng.choice([0.5, 1.0, 2.0], channels), dtype=torch.float32)
        part.eps = 0.125
        with torch.no_grad():
            part.running_mean.copy_(self.tensor(-0.5, 0.5, channels))
            part.running_var.copy_(deviation**2 - 0.125)
            if part.affine:
                part.weight.copy_(torch.tensor(self.rng.choice([0.5, 1.0, 2.0], channels)))
                if part.bias is not None:
                    part.bias.copy_(self.tensor(-0.25, 0.75, channels))


def compare_generated(networks: SearchStrategy[Example], count: int) -> Tally:
    """So many generated networks, every eighth also as ``build`` compares it; what a proof of them needs holds."""
    tally = Tally()

    @settings(max_examples=count)
    @given(example=networks)
    def run(example: Example) -> None:
        compare(example, tally, checked=tally.networks % 8 == 0)

    run()
    print(tally)
    assert tally.networks >= count
    assert tally.fired > tally.spikes / 50
    assert tally.differing < tally.spikes / 10_000
    return tally
