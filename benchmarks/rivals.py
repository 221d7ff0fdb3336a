"""The other sides: the ReLU network, and the SNN in plain torch, SpikingJelly and snnTorch, each as fast as it goes.

Every function takes the float network of ``vgg16.model``, the images and the time steps, and gives the ways to run
them once; the fastest is measured. All run in inference mode, with weights NCHW or channels last. Thresholds, leaks and
weights are the same everywhere; the output is the sum over time of the last layer, as our readout's.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import torch
from child import Side, Ways, clocked
from torch import Tensor, nn

from neurocompile import snn
from neurocompile.snn.models import plain_ann

Call = Callable[[Tensor], Tensor]
Model = TypeVar("Model", bound=nn.Module)

FORMATS = {"NCHW": torch.contiguous_format, "channels last": torch.channels_last}


def relu(network: nn.Module, images: Tensor, timesteps: int) -> Ways:  # noqa: ARG001 - one pass, whatever the SNN does
    def make(memory: torch.memory_format) -> Side:
        model = _formatted_weights(plain_ann(network), memory)
        return _side(model, model, _formatted(images, memory))

    return {name: partial(make, memory) for name, memory in FORMATS.items()}


def in_torch(network: nn.Module, images: Tensor, timesteps: int) -> Ways:
    """Ours to train with, and one written for speed: layer by layer with all steps in a batch, or step by step."""

    def make(memory: torch.memory_format, at_once: int) -> Side:
        model = _converted(network, PlainLIF, memory)
        return _side(model, partial(_layer_by_layer, model, timesteps, at_once), _formatted(images, memory), PlainLIF)

    def make_snn(memory: torch.memory_format) -> Side:
        model = _formatted_weights(network, memory)
        return _side(model, partial(snn.run, model, timesteps=timesteps), _formatted(images, memory), snn.LIF)

    ways: Ways = {}
    for name, memory in FORMATS.items():
        ways[f"layer by layer, {name}"] = partial(make, memory, timesteps)
        ways[f"step by step, {name}"] = partial(make, memory, 1)
        ways[f"neurocompile.snn, {name}"] = partial(make_snn, memory)
    return ways


def spikingjelly(network: nn.Module, images: Tensor, timesteps: int) -> Ways:
    """Multi-step mode. LIFNode subtracts at once, so that its leak acts on what a reset subtracts, unlike ours."""
    from spikingjelly.activation_based import functional, layer, neuron

    def lif(threshold: float, leak: float) -> nn.Module:
        usual = {"v_threshold": threshold, "v_reset": None, "detach_reset": True, "step_mode": "m"}
        made: nn.Module = (
            neuron.IFNode(**usual) if leak == 1 else neuron.LIFNode(tau=1 / (1 - leak), decay_input=False, **usual)
        )
        return made

    def make(memory: torch.memory_format) -> Side:
        model = _converted(network, lif, memory)
        steps = nn.Sequential(
            *(part if isinstance(part, neuron.BaseNode) else layer.SeqToANNContainer(part) for part in model)
        )

        def run(x: Tensor) -> Tensor:
            functional.reset_net(steps)
            outputs: Tensor = steps(x.expand(timesteps, *x.shape))
            return outputs.sum(0)

        return _side(steps, run, _formatted(images, memory), neuron.BaseNode)

    return {name: partial(make, memory) for name, memory in FORMATS.items()}


def snntorch(network: nn.Module, images: Tensor, timesteps: int) -> Ways:
    """``Leaky`` with hidden states, in a loop over time; without the surrogate, which costs time and gives nothing."""
    from snntorch import Leaky, utils

    def leaky(threshold: float, leak: float) -> nn.Module:
        made: nn.Module = Leaky(leak, threshold=threshold, init_hidden=True, surrogate_disable=True)
        return made

    def make(memory: torch.memory_format) -> Side:
        model = _converted(network, leaky, memory)

        def run(x: Tensor) -> Tensor:
            utils.reset(model)
            outputs: Tensor = model(x)
            for _ in range(timesteps - 1):
                outputs += model(x)
            return outputs

        return _side(model, run, _formatted(images, memory), Leaky)

    return {name: partial(make, memory) for name, memory in FORMATS.items()}


# ------------------------------------------------------------------------------------------------------ plain torch


class PlainLIF(nn.Module):
    """The LIF layer for inference alone: x (steps, N, ...), which it overwrites, to spikes of the same shape."""

    def __init__(self, threshold: float, leak: float) -> None:
        super().__init__()
        self.threshold, self.leak = threshold, leak
        self.last: tuple[Tensor, Tensor] | None = None

    def forward(self, x: Tensor) -> Tensor:
        spikes = torch.empty_like(x)
        for u, s in zip(x, spikes, strict=True):
            if self.last is not None:
                before, fired = self.last
                u.add_(before, alpha=self.leak).sub_(fired, alpha=self.threshold)
            torch.gt(u, self.threshold, out=s)
            self.last = u, s
        return spikes


def _layer_by_layer(model: nn.Sequential, timesteps: int, at_once: int, x: Tensor) -> Tensor:
    """``at_once`` time steps go through each layer together, as one batch of it."""
    for layer in model:
        if isinstance(layer, PlainLIF):
            layer.last = None
    outputs: list[Tensor] = []
    for _ in range(0, timesteps, at_once):
        y = x.expand(at_once, *x.shape)
        for layer in model:
            y = layer(y) if isinstance(layer, PlainLIF) else layer(y.flatten(0, 1)).unflatten(0, y.shape[:2])
        outputs.append(y.sum(0))
    return torch.stack(outputs).sum(0)


# ------------------------------------------------------------------------------------------------------- for all


def _converted(
    network: nn.Module, neuron: Callable[[float, float], nn.Module], memory: torch.memory_format
) -> nn.Sequential:
    """The layers of ``network`` with neurons of another kind; encoder and readout do nothing, and are left out."""
    layers: list[nn.Module] = []
    for part in network.children():
        if isinstance(part, snn.LIF):
            layers.append(neuron(float(part.threshold), float(part.leak)))
        elif not isinstance(part, snn.DirectEncoder | snn.Readout):
            layers.append(part)
    return _formatted_weights(nn.Sequential(*layers).eval(), memory)


def _formatted_weights(model: Model, memory: torch.memory_format) -> Model:
    formatted: Model = model.to(memory_format=memory)  # type: ignore[call-overload]  # torch declares it with a tensor
    return formatted


def _formatted(images: Tensor, memory: torch.memory_format) -> Tensor:
    return images.contiguous(memory_format=memory)


def _side(model: nn.Module, call: Call, x: Tensor, neurons: type[nn.Module] | None = None) -> Side:
    @torch.inference_mode()
    def work() -> Tensor:
        return call(x)

    def facts() -> dict[str, Any]:
        return {} if neurons is None else {"rate": _rate(model, neurons, work)}

    return Side(clocked(work), facts)


def _rate(model: nn.Module, neurons: type[nn.Module], work: Callable[[], Any]) -> float:
    """Spikes per neuron and step."""
    spikes = places = 0

    def count(_module: nn.Module, _inputs: object, sent: Tensor) -> None:
        nonlocal spikes, places
        spikes += int(torch.count_nonzero(sent))
        places += sent.numel()

    handles = [part.register_forward_hook(count) for part in model.modules() if isinstance(part, neurons)]
    work()
    for handle in handles:
        handle.remove()
    return spikes / places
