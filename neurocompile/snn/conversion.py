"""From a trained ANN to the start of an SNN: fold the batch norms, put neurons for ReLUs, set thresholds."""

from __future__ import annotations

import copy
import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

import numpy as np
import torch
from torch import Tensor, fx, nn
from torch.utils.hooks import RemovableHandle

from neurocompile.errors import GraphError, InputError
from neurocompile.snn.encoders import DctEncoder, PoissonEncoder
from neurocompile.snn.neuron import LIF
from neurocompile.snn.running import check_timesteps
from neurocompile.snn.state import reset_state
from neurocompile.snn.timed import hidden_neurons
from neurocompile.snn.tracing import fx_graph


def fuse_batchnorm(model: nn.Module) -> nn.Module:
    """A copy of ``model`` with each batch norm folded into the convolution or linear layer before it.

    With the running statistics μ, σ² and the scale and shift γ, β (Rueckauer et al., *Conversion of continuous-valued
    deep networks to efficient event-driven networks*, 2017)::

        W' = W·γ/√(σ² + ε)          b' = (b - μ)·γ/√(σ² + ε) + β

    The copy is in eval mode, has ``nn.Identity`` where the norms were, and computes what ``model.eval()`` computes.

    Raises:
        GraphError: a batch norm does not directly follow a Conv2d or Linear of its own (whose result nothing else
            uses), or keeps no running statistics.
    """
    graph, _ = fx_graph(model)
    fused = copy.deepcopy(model).eval()
    calls = Counter(node.target for node in graph.nodes if node.op == "call_module")
    for node in graph.nodes:
        norm = _module(fused, node)
        if not isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d):
            continue
        producer = node.args[0]
        layer = _module(fused, producer)
        if (
            not isinstance(layer, nn.Conv2d | nn.Linear)
            or len(producer.users) > 1
            or calls[producer.target] > 1
            or calls[node.target] > 1
        ):
            raise GraphError(
                f"{node.target}: {type(norm).__name__} does not directly follow a Conv2d or Linear used just there; "
                "place it so, or leave it in the network: the compiler folds it into thresholds"
            )
        _fold(str(node.target), layer, norm)
        _replace(fused, str(node.target), nn.Identity())
    return fused


def _fold(path: str, layer: nn.Conv2d | nn.Linear, norm: nn.BatchNorm1d | nn.BatchNorm2d) -> None:
    if norm.running_mean is None or norm.running_var is None:
        raise GraphError(f"{path}: keeps no running statistics; train it with track_running_stats=True")
    # In float64, so that the only rounding is that of the result.
    with torch.no_grad():
        scale = (norm.running_var.double() + norm.eps).rsqrt()
        if norm.affine:
            scale = scale * norm.weight.double()
        bias = -norm.running_mean.double() if layer.bias is None else layer.bias.double() - norm.running_mean.double()
        bias = bias * scale + (norm.bias.double() if norm.affine else 0.0)
        weight = layer.weight.double() * scale.reshape(-1, *[1] * (layer.weight.ndim - 1))
        layer.bias = nn.Parameter(bias.to(layer.weight.dtype))
        layer.weight.copy_(weight)


def replace_relu(model: nn.Module, make_neuron: Callable[[], nn.Module]) -> nn.Module:
    """A copy of ``model`` in which every ``nn.ReLU`` is a layer made by ``make_neuron()``, one each.

    The weights are copied as they are, in the same mode (train or eval).

    Raises:
        GraphError: the network has no ``nn.ReLU``, calls one twice (a neuron keeps state), or uses ``F.relu``.
    """
    graph, _ = fx_graph(model)
    spiking = copy.deepcopy(model)
    calls = Counter(str(node.target) for node in graph.nodes if isinstance(_module(model, node), nn.ReLU))
    for path, count in calls.items():
        if count > 1:
            raise GraphError(
                f"{path}: this ReLU is called {count} times, limit 1; give each place an nn.ReLU of its own"
            )
        _replace(spiking, path, make_neuron())
    if any(_is_relu_call(node) for node in graph.nodes):
        raise GraphError(f"{type(model).__name__}: calls a relu function; use nn.ReLU modules, which can be replaced")
    if not calls:
        raise GraphError(f"{type(model).__name__}: has no nn.ReLU to replace; convert a network with ReLU activations")
    return spiking


def set_thresholds(model: nn.Module, data: Tensor, percentile: float = 90.0) -> dict[str, float]:
    """Set the threshold of each LIF layer to a percentile of the ANN's pre-activations there; returns them by name.

    One forward pass of ``data`` through ``model`` in eval mode in which every neuron answers ``max(0, x)`` to its
    input x, which makes ``model`` the ANN it was converted from. A layer's threshold is the given percentile of all
    values of x there, negative ones included, over samples, channels and positions together, interpolated linearly;
    every element of a per-channel or per-neuron threshold gets that one number. IIR-SNN (Chowdhury et al. 2021, §4)
    takes the 90th percentile. The threshold of a :class:`TimedReadout` stays.

    Args:
        model: a network with :class:`LIF` layers, changed in place; its mode is kept.
        data: one batch of inputs (N, ...); some hundred samples suffice.
        percentile: 0 to 100.

    Raises:
        InputError: percentile is out of range, or a layer's percentile is not above 0.
        GraphError: the network has no LIF layers.
    """
    if not 0 <= percentile <= 100:
        raise InputError(f"percentile is {percentile!r}, limit 0 to 100; the papers take 90 to 99.9")
    found: dict[str, float] = {}
    handles: list[RemovableHandle] = []
    modes = {module: module.training for module in model.modules()}
    for name, neuron in hidden_neurons(model).items():
        handles.append(neuron.register_forward_hook(_listen(name, found, percentile)))
    if not handles:
        raise GraphError(f"{type(model).__name__}: has no LIF layers; put them in with replace_relu first")
    # the ANN sees the picture, and not its first frequency
    handles += [
        module.register_forward_hook(lambda _module, inputs, _part: inputs[0])
        for module in model.modules()
        if isinstance(module, DctEncoder)
    ]
    try:
        model.eval()
        reset_state(model)
        with torch.no_grad():
            model(data)
    finally:
        for handle in handles:
            handle.remove()
        for module, training in modes.items():
            module.training = training
        reset_state(model)
    for name, threshold in found.items():
        if threshold <= 0:
            raise InputError(
                f"{name}: the {percentile:g}th percentile of its input is {threshold:.6g}, limit above 0; "
                "take a higher percentile"
            )
        layer = model.get_submodule(name)
        assert isinstance(layer, LIF)
        with torch.no_grad():
            layer.threshold.fill_(threshold)
    return found


def _listen(
    name: str, found: dict[str, float], percentile: float
) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], Tensor]:
    def answer_as_relu(_module: nn.Module, inputs: tuple[Tensor, ...], _spikes: Tensor) -> Tensor:
        found[name] = float(np.percentile(inputs[0].cpu().numpy(), percentile))
        return inputs[0].relu()

    return answer_as_relu


def balance_thresholds(
    model: nn.Module,
    samples: Tensor | Sequence[Tensor],
    timesteps: int,
    *,
    percentile: float | None = None,
    scale: float = 1.0,
    layers: Sequence[str] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, float]:
    """Set the threshold of each LIF layer to the largest input it has in the spiking network; returns them by name.

    Algorithm 1 of Rathi et al. 2020, *Enabling deep spiking neural networks with hybrid conversion and spike timing
    dependent backpropagation*. The layers are visited in order of flow. For each, the network runs for ``timesteps``
    steps as far as that layer, those before it firing at the thresholds just found for them, and the threshold becomes
    the largest weighted input over samples, neurons and time steps; every element of a per-channel or per-neuron
    threshold gets that one number. When all are found, they are multiplied by ``scale``.

    Meanwhile every leak is 1 (Datta et al. 2021, §V.A), and dropout and batch norms are in eval mode. A
    :class:`PoissonEncoder` stays in its own mode: in train mode it draws on the samples' device, which is faster. The
    samples' numbers in eval mode do not depend on how they are split into batches. A :class:`Recurrent` layer is
    measured without its own spikes. The threshold of a :class:`TimedReadout` stays.

    Args:
        model: a network with :class:`LIF` layers, changed in place; its mode is kept.
        samples: one batch of inputs (N, ...), or several; each is shown again at each step.
        timesteps: 1 or more; the papers take 100 to 2500.
        percentile: take this percentile of the inputs of all samples and neurons at each step (of each batch), linearly
            interpolated, instead of the largest; the threshold is the largest of them. Datta et al. take 99.7.
        scale: factor of all thresholds found. Datta et al. take 0.4; less than 1 lets networks answer in fewer steps.
        layers: names of the layers to balance; the others keep their thresholds. All if left out. For residual networks
            Rathi et al. (§4.2) balance only the three layers before the first block: ("neuron1", "neuron2", "neuron3").
        progress: called as ``progress(done, total)`` whenever a batch has been presented to find a layer's threshold.

    Raises:
        InputError: an argument is out of range, or a layer's largest input is not above 0 and finite; the thresholds
            are then as they were.
        GraphError: the network has no LIF layers.
    """
    if percentile is not None and not 0 <= percentile <= 100:
        raise InputError(f"percentile is {percentile!r}, limit 0 to 100; the papers take 99.7, or None for the largest")
    if not 0 < scale < math.inf:
        raise InputError(f"scale is {scale!r}, limit above 0; give a factor of the thresholds, such as 0.4")
    check_timesteps(timesteps)
    batches = [samples] if isinstance(samples, Tensor) else list(samples)
    if not batches or not all(map(len, batches)):
        raise InputError("samples: there are none, or an empty batch; give some hundred of them")
    neurons = hidden_neurons(model)
    if not neurons:
        raise GraphError(f"{type(model).__name__}: has no LIF layers; put them in with replace_relu first")
    unknown = [name for name in layers or () if name not in neurons]
    if unknown:
        raise InputError(f"layers: {unknown[0]!r} is no LIF layer; choose from {', '.join(neurons)}")

    found: dict[str, float] = {}
    with torch.no_grad(), _without_leak(model, neurons):
        names = [name for name in _in_order(model, neurons, batches[0][:1]) if layers is None or name in layers]
        for done, name in enumerate(names):
            seen: list[Tensor] = []
            for batch in _numbered(model, batches):
                seen.append(_largest_input(model, neurons[name], batch, timesteps, percentile))
                if progress:
                    progress(done * len(batches) + len(seen), len(names) * len(batches))
            largest = float(torch.stack(seen).max())
            if not 0 < largest < math.inf:
                what = "largest input" if percentile is None else f"{percentile:g}th percentile of its input"
                raise InputError(
                    f"{name}: the {what} is {largest:.6g}, limit above 0 and finite; give more time steps, or take a "
                    "higher percentile"
                )
            neurons[name].threshold.fill_(largest)
            found[name] = scale * largest
        for name, threshold in found.items():
            neurons[name].threshold.fill_(threshold)
    return found


@contextmanager
def _without_leak(model: nn.Module, neurons: dict[str, LIF]) -> Iterator[None]:
    """Eval mode (but for Poisson encoders) and leaks of 1. Puts back modes and leaks, after errors thresholds too."""
    before = {neuron: (neuron.threshold.detach().clone(), neuron.leak.detach().clone()) for neuron in neurons.values()}
    modes = {module: module.training for module in model.modules()}
    model.eval()
    for module, training in modes.items():
        if isinstance(module, PoissonEncoder):
            module.train(training)
    try:
        for neuron in neurons.values():
            neuron.leak.fill_(1)
        yield
    except BaseException:
        for neuron, (threshold, _) in before.items():
            neuron.threshold.copy_(threshold)
        raise
    finally:
        for neuron, (_, leak) in before.items():
            neuron.leak.copy_(leak)
        for module, training in modes.items():
            module.training = training
        reset_state(model)


def _numbered(model: nn.Module, batches: Sequence[Tensor]) -> Iterator[Tensor]:
    """The batches, while each encoder knows the number of the batch's first sample."""
    encoders = {module: module.first_sample for module in model.modules() if isinstance(module, PoissonEncoder)}
    start = 0
    try:
        for batch in batches:
            for encoder, first in encoders.items():
                encoder.first_sample = first + start
            yield batch
            start += len(batch)
    finally:
        for encoder, first in encoders.items():
            encoder.first_sample = first


def _in_order(model: nn.Module, neurons: dict[str, LIF], sample: Tensor) -> list[str]:
    """The names of the layers in the order in which a step runs them."""
    called: dict[str, None] = {}
    handles = [
        neuron.register_forward_pre_hook(lambda _module, _x, name=name: called.update({name: None}))
        for name, neuron in neurons.items()
    ]
    reset_state(model)
    try:
        model(sample)
    finally:
        for handle in handles:
            handle.remove()
    return list(called)


class _ReachedError(Exception):
    """Ends a forward pass at the layer whose input is looked at; caught, not shown."""


def _largest_input(model: nn.Module, neuron: LIF, batch: Tensor, timesteps: int, percentile: float | None) -> Tensor:
    """The largest input of a layer over a presentation, or the largest of the percentiles of its steps."""
    largest: Tensor | None = None

    def look(_module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        nonlocal largest
        x = inputs[0].flatten()
        seen = x.max() if percentile is None else _percentile(x, percentile)
        largest = seen if largest is None else torch.maximum(largest, seen)
        raise _ReachedError

    handle = neuron.register_forward_pre_hook(look)
    reset_state(model)
    try:
        for _ in range(timesteps):
            with suppress(_ReachedError):
                model(batch)
    finally:
        handle.remove()
    return torch.tensor(math.nan) if largest is None else largest


def _percentile(x: Tensor, percentile: float) -> Tensor:
    """Of all values of x (n,), as ``numpy.percentile`` has it, without a limit of n and without sorting."""
    place = percentile / 100 * (len(x) - 1)
    below = math.floor(place)
    low, high = x.kthvalue(below + 1).values, x.kthvalue(min(below + 2, len(x))).values
    return low + (high - low) * (place - below)


def _module(model: nn.Module, node: object) -> nn.Module | None:
    if isinstance(node, fx.Node) and node.op == "call_module":
        return model.get_submodule(str(node.target))
    return None


def _is_relu_call(node: fx.Node) -> bool:
    name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")
    return node.op in ("call_function", "call_method") and name in ("relu", "relu_")


def _replace(model: nn.Module, path: str, new: nn.Module) -> None:
    parent, _, name = path.rpartition(".")
    setattr(model.get_submodule(parent), name, new)
