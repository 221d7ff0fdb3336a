"""From a trained ANN to the start of an SNN: fold the batch norms, put neurons for ReLUs, set thresholds."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, fx, nn
from torch.utils.hooks import RemovableHandle

from neurocompile.errors import GraphError, InputError
from neurocompile.snn.encoders import DctEncoder
from neurocompile.snn.neuron import LIF
from neurocompile.snn.state import reset_state
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
    takes the 90th percentile.

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
    for name, module in model.named_modules():
        if isinstance(module, LIF):
            handles.append(module.register_forward_hook(_listen(name, found, percentile)))
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
