"""Networks trained here in the form in which the papers' own code saves them, so that it can load and run them.

What a layer of neurons and the encoder must be, for the two forms to mean the same:

=========  =====================================  ====================================================  ================
form       code                                   ``LIF``                                               encoder
=========  =====================================  ====================================================  ================
learned    IIR-SNN, DIET-SNN's last               ``order="integrate_first", leaky_reset=True``;        direct
                                                  a leak for each layer
hybrid     hybrid STDB                            ``order="fire_first", leaky_reset=False``; one leak   Poisson, gain 1;
                                                                                                        residual: 0.9
=========  =====================================  ====================================================  ================

In both, spikes are binary, above one threshold for each layer, which is subtracted; the readout does not leak, and
linear layers have no biases. Convolutions have none in the hybrid form. ``leaky_reset`` makes no difference where the
leak is 1 or where there is one time step, so there the neuron of IIR-SNN's Eq. 2, which is the default of
``snn.models``, will do for the learned form. Batch norms have no place: ``snn.fuse_batchnorm`` folds them.

The code itself only makes networks of full width, and residual networks of 12 and 20 layers; its ResNet34 has one block
more than ``snn.models.resnet34`` (which is its ANN's). Its Poisson generator draws other numbers than ours. Of hybrid
residual networks it loads the stem's thresholds only: all blocks have that of its ``--default_threshold``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import torch
from torch import Tensor, nn

from neurocompile.errors import InputError
from neurocompile.frontend.papers import read_papers
from neurocompile.snn import LIF, DirectEncoder, PoissonEncoder, Readout, TimeConstantDropout
from neurocompile.snn.models import BasicBlock

Form = Literal["learned", "hybrid"]

#: what a file says nothing of, and its value in the code
_ALWAYS: dict[str, object] = {
    "compare": "above", "reset": "subtract", "spikes": "binary", "single_spike": False, "membrane_min": None,
}  # fmt: skip
_ORDER = {"learned": "integrate_first", "hybrid": "fire_first"}
_VGG_GAIN, _RESNET_GAIN = 1.0, 0.9
_UNSEEN = nn.Identity | nn.Flatten | nn.Dropout | TimeConstantDropout


def to_papers_form(
    model: nn.Sequential,
    *,
    form: Form,
    timesteps: int,
    input_shape: tuple[int, ...] = (3, 32, 32),
    accuracy: float = 0.0,
    epoch: int = 0,
) -> dict[str, Any]:
    """The dictionary to ``torch.save``, which ``neurocompile build`` and the papers' code read as this very network.

    Args:
        model: of ``snn.models.vgg`` or ``resnet``; batch norms folded.
        timesteps: per sample.
        input_shape: (channels, height, width) of a sample.
        accuracy, epoch: what else the code writes into the file; of its test, from 0 to 1.

    Raises:
        InputError: the form cannot express a layer, or says of the network what is not so (pools elsewhere, ...).
    """
    if form not in _ORDER:
        raise InputError(f"form is {form!r}; choose one of {', '.join(_ORDER)}")
    if type(timesteps) is not int or timesteps < 1:
        raise InputError(f"timesteps is {timesteps!r}; give a whole number of steps, 1 or more")
    writer = _Writer(model, form, timesteps)
    somas = [(lif.threshold.item(), lif.leak.item()) for lif in writer.somas.values()]
    if form == "learned":
        for position, lif in writer.somas.items():
            writer.state[f"threshold.t{position}"] = lif.threshold
            writer.state[f"leak.l{position}"] = lif.leak
    document = {
        "accuracy": accuracy,
        "epoch": epoch,
        "state_dict": {f"module.{key}": _plain(tensor) for key, tensor in writer.state.items()},
        "thresholds": [threshold for threshold, _ in somas],
        "timesteps": timesteps,
        "leak": [leak for _, leak in somas] if form == "learned" else somas[0][1],
        "activation": "Linear",
    }
    _check_read_back(writer, document, input_shape)
    return document


class _Writer:
    """Goes through the layers in order. ``state``: tensors by the code's names; ``somas``: layers of neurons by its
    numbers; ``layers``: (name, what it is) of all that a file leaves to the reader."""

    def __init__(self, model: nn.Sequential, form: Form, timesteps: int) -> None:
        self.form, self.timesteps = form, timesteps
        self.state: dict[str, Tensor] = {}
        self.somas: dict[int, LIF] = {}
        self.layers: list[tuple[str, tuple[object, ...]]] = []
        for name, module in model.named_modules():
            if isinstance(module, nn.BatchNorm2d):
                raise InputError(f"{name}: the {form} form has no place for batch norms; fold them: snn.fuse_batchnorm")
        modules = dict(model.named_children())
        residual = any(isinstance(each, BasicBlock) for each in modules.values())
        self.biased = any(isinstance(each, nn.Conv2d) and each.bias is not None for each in model.modules())
        convs, blocks, linears, stage, in_stage = 0, 0, 0, 1, 0
        for name, module in modules.items():
            if isinstance(module, DirectEncoder | PoissonEncoder):
                self.encoder(name, module, _RESNET_GAIN if residual else _VGG_GAIN)
            elif isinstance(module, nn.Conv2d):
                self.conv(name, module, f"{'pre_process' if residual else 'features'}.{3 * convs}")
                convs += 1
            elif isinstance(module, LIF):
                # the code counts on in the classifier; a residual one has no neurons there
                self.soma(name, module, 3 * (convs + linears - 1))
            elif isinstance(module, nn.AvgPool2d):
                self.layers.append((name, ("AvgPool2d", _pair(module.kernel_size), _pair(module.stride))))
            elif isinstance(module, BasicBlock):
                if blocks and _pair(module.conv1.stride) != (1, 1):
                    stage, in_stage = stage + 1, 0
                self.block(name, module, f"layer{stage}.{in_stage}", 3 * convs + 2 * blocks)
                blocks, in_stage = blocks + 1, in_stage + 1
            elif isinstance(module, nn.Linear):
                self.linear(name, module, f"classifier.{3 * linears}")
                linears += 1
            elif isinstance(module, Readout):
                if module.leak.ne(1).any() or module.current_leak.ne(0).any():
                    raise InputError(f"{name}: leaks, which the code's output layer does not; use Readout()")
            elif not isinstance(module, _UNSEEN):
                raise InputError(f"{name}: the {form} form has no place for a {type(module).__name__}")
        if not self.somas:
            raise InputError("the network has no LIF layers; put them in with snn.replace_relu first")
        if form == "hybrid" and len({lif.leak.item() for lif in self.somas.values()}) > 1:
            raise InputError("the leaks differ from layer to layer, and the hybrid form has one number for all of them")

        blocks_thresholds = {lif.threshold.item() for position, lif in self.somas.items() if position >= 3 * convs}
        if form == "hybrid" and residual and len(blocks_thresholds) > 1:
            raise InputError("the thresholds of the blocks differ, and the hybrid form has one number for all of them")

    def encoder(self, name: str, module: DirectEncoder | PoissonEncoder, gain: float) -> None:
        if self.form == "learned" and not isinstance(module, DirectEncoder):
            raise InputError(f"{name}: the learned form has direct input; use DirectEncoder")
        if self.form == "hybrid" and not (isinstance(module, PoissonEncoder) and module.gain == gain):
            raise InputError(f"{name}: the hybrid form of this network has Poisson input; use PoissonEncoder({gain})")

    def conv(self, name: str, module: nn.Conv2d, key: str) -> None:
        if module.bias is not None and self.form == "hybrid":
            raise InputError(
                f"{name}: has a bias, which the hybrid form's convolutions do not; train without batch norm"
            )
        self.state[f"{key}.weight"] = module.weight
        if self.biased:  # all or none have one there
            zeros = torch.zeros(module.out_channels)
            self.state[f"{key}.bias"] = zeros if module.bias is None else module.bias
        fields = tuple(getattr(module, field) for field in ("stride", "padding", "dilation", "groups"))
        self.layers.append((name, ("Conv2d", *fields)))

    def linear(self, name: str, module: nn.Linear, key: str) -> None:
        if module.bias is not None:
            raise InputError(f"{name}: has a bias, which the code's linear layers do not; make it with bias=False")
        self.state[f"{key}.weight"] = module.weight
        self.layers.append((name, ("Linear",)))

    def soma(self, name: str, module: nn.Module, position: int) -> None:
        if not isinstance(module, LIF):
            raise InputError(f"{name}: is a {type(module).__name__}; put LIF there with snn.replace_relu first")
        for option, value in {**_ALWAYS, "order": _ORDER[self.form]}.items():
            if getattr(module, option) != value:
                found = getattr(module, option)
                raise InputError(f"{name}: {option} is {found!r}; the {self.form} form has {option}={value!r}")
        for option in ("threshold", "leak"):
            if getattr(module, option).numel() != 1:
                shape = tuple(getattr(module, option).shape)
                raise InputError(f"{name}: {option} has shape {shape}; the {self.form} form has one for each layer")
        if module.current_leak.ne(0).any():
            raise InputError(f"{name}: keeps a synaptic current, which the code does not; use current_leak=0")
        leaky = self.form == "learned"
        if module.leaky_reset != leaky and module.leak.item() != 1 and not (leaky and self.timesteps == 1):
            raise InputError(
                f"{name}: leaky_reset is {not leaky} and its leak {module.leak.item():.4g}; the {self.form} form has "
                f"leaky_reset={leaky}, which is the same at leak 1{' or in one time step' if leaky else ''}"
            )
        self.somas[position] = module
        self.layers.append((name, ("Neuron",)))

    def block(self, name: str, module: BasicBlock, key: str, position: int) -> None:
        self.conv(f"{name}.conv1", module.conv1, f"{key}.residual.0")
        self.soma(f"{name}.neuron1", module.neuron1, position)
        self.conv(f"{name}.conv2", module.conv2, f"{key}.residual.3")
        for each in module.shortcut.modules():
            if isinstance(each, nn.Conv2d):
                self.conv(f"{name}.shortcut", each, f"{key}.identity.0")
        self.layers.append((name, ("Add",)))
        self.soma(f"{name}.neuron2", module.neuron2, position + 1)


def _check_read_back(writer: _Writer, document: dict[str, Any], input_shape: tuple[int, ...]) -> None:
    """InputError unless what is read from ``document`` has the pools, strides and paddings of the network."""
    graph = read_papers("the papers' form", document, input_shape=input_shape, name="n")
    read = list(_layers(graph.items()))
    for (name, wanted), found in zip(writer.layers, read, strict=False):
        if wanted != found:
            raise InputError(
                f"{name}: is {_text(wanted)}, where a file of these channels is read as {_text(found)}; a network of "
                "snn.models has the papers' layers"
            )
    if len(read) != len(writer.layers):
        raise InputError(f"the network has {len(writer.layers)} layers, a file of these channels {len(read)}")


def _layers(nodes: Any) -> Iterator[tuple[object, ...]]:
    for _, node in nodes:
        if node.kind == "Conv2d":
            yield ("Conv2d", node.stride, node.padding, node.dilation, node.groups)
        elif node.kind == "AvgPool2d":
            yield ("AvgPool2d", node.kernel, node.stride)
        elif node.kind in ("Linear", "Neuron", "Add"):
            yield (node.kind,)


def _text(layer: tuple[object, ...]) -> str:
    return " ".join(map(str, layer))


def _plain(tensor: Tensor) -> Tensor:
    return tensor.detach().cpu().clone(memory_format=torch.contiguous_format)


def _pair(value: Any) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else tuple(value)
