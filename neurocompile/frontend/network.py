"""A wiring and its tensors -> a traced graph: one small function per layer."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor, nn

from neurocompile.errors import GraphError, InputError
from neurocompile.ir.graph import Graph
from neurocompile.ir.nodes import (
    Add,
    Array,
    AvgPool2d,
    BatchNorm,
    Conv2d,
    DirectEncoder,
    Dropout,
    Flatten,
    Identity,
    Input,
    Linear,
    Neuron,
    Node,
    Pair,
    PoissonEncoder,
    Readout,
    Recurrent,
    Scale,
    Shape,
)
from neurocompile.ir.verify import verify
from neurocompile.snn import ModuleSpec, Wiring, trace


@dataclass(frozen=True)
class _Layer:
    """What a node is made from: the settings, the tensors (by their name in the layer), the input's shape."""

    config: Mapping[str, Any]
    tensors: Mapping[str, Array]
    shape: Shape


def from_module(module: nn.Module, input_shape: Shape, timesteps: int, name: str) -> Graph:
    """The traced graph of a module whose forward is one time step. GraphError or InputError, with the layer's name."""
    return from_wiring(trace(module), module.state_dict(), input_shape, timesteps, name)


def from_wiring(wiring: Wiring, state: Mapping[str, Tensor], input_shape: Shape, timesteps: int, name: str) -> Graph:
    """The traced graph: nodes bear the module names; an input without an encoder is encoded directly."""
    nodes: dict[str, tuple[Node, tuple[str, ...]]] = {}
    shapes: dict[str, Shape] = {}
    named: dict[str, str] = {}

    def add(name: str, node: Node, inputs: tuple[str, ...]) -> None:
        if name in nodes:
            raise GraphError(f"two parts of the network are named {name!r}; rename one")
        known = () if isinstance(node, Recurrent) else inputs
        shapes[name] = node.output_shape(*(shapes[source] for source in known))
        nodes[name] = (node, inputs)

    def add_module(name: str, path: str, spec: ModuleSpec, source: str) -> str:
        """The nodes of the layer at ``path``; returns the one that gives its output."""
        if spec.type != "Recurrent":
            add(name, _MODULES[spec.type](_Layer(spec.config, _tensors(state, path), shapes[source])), (source,))
            return name
        soma, back, connection = f"{name}.neuron", f"{name}.before", f"{name}.connection"
        add(back, Recurrent(shape=shapes[source]), (soma,))
        add_module(connection, f"{path}.connection", ModuleSpec(**spec.config["connection"]), back)
        add(f"{name}.sum", Add(), (source, connection))
        return add_module(soma, f"{path}.neuron", ModuleSpec(**spec.config["neuron"]), f"{name}.sum")

    encoded = any(wiring.modules[step.target].type in _ENCODERS for step in wiring.steps if step.op == "module")
    for step in wiring.steps:
        if not step.name.isprintable():
            raise GraphError(f"layer {step.name!r:.60}: its name is not printable text; rename it")
        inputs = tuple(named[source] for source in step.inputs)
        try:
            if step.op == "input":
                add(step.name, Input(shape=input_shape), ())
                named[step.name] = step.name
                if not encoded:
                    named[step.name] = _free_name(f"{step.name}.encoder", {each.name for each in wiring.steps})
                    add(named[step.name], DirectEncoder(), (step.name,))
                continue
            named[step.name] = step.name
            if step.op == "function":
                layer = _Layer(step.args, {}, shapes[inputs[0]])
                add(step.name, _FUNCTIONS[step.target](layer), inputs)
            else:
                named[step.name] = add_module(step.name, step.target, wiring.modules[step.target], inputs[0])
        except GraphError as error:
            raise GraphError(f"{step.name}: {error}") from None
    triples = [(name, node, inputs) for name, (node, inputs) in nodes.items()]
    graph = Graph(name, "traced", timesteps, triples, (named[wiring.output],))
    verify(graph)
    return graph


def _free_name(name: str, taken: set[str]) -> str:
    """``name``, or ``name.2``, ``name.3`` … where that is taken."""
    candidates = (name if count == 1 else f"{name}.{count}" for count in itertools.count(1))
    return next(candidate for candidate in candidates if candidate not in taken)


def _tensors(state: Mapping[str, Tensor], path: str) -> dict[str, Array]:
    prefix = f"{path}."
    arrays = {}
    for key, tensor in state.items():
        if key.startswith(prefix):
            if tensor.is_complex():
                raise InputError(f"{key}: complex numbers are not supported; save real weights")
            # NumPy has no bfloat16, and half precision would only lose digits later
            plain = tensor.float() if tensor.is_floating_point() and tensor.itemsize < 4 else tensor
            arrays[key.removeprefix(prefix)] = plain.detach().cpu().numpy()
    return arrays


def _pair(value: Any) -> Pair:
    first, second = value
    return int(first), int(second)


def _conv2d(layer: _Layer) -> Node:
    config = layer.config
    if config["padding_mode"] != "zeros" and config["padding"] != "valid":
        raise GraphError(f"Conv2d pads with {config['padding_mode']!r}; only padding_mode='zeros' can be compiled")
    dilation, kernel, padding = _pair(config["dilation"]), _pair(config["kernel_size"]), config["padding"]
    if padding == "same":
        totals = [step * (size - 1) for step, size in zip(dilation, kernel, strict=True)]
        if any(total % 2 for total in totals):
            raise GraphError(f"Conv2d: padding='same' is one-sided for kernel {kernel}; use an odd kernel")
        padding = [total // 2 for total in totals]
    return Conv2d(
        weight=layer.tensors["weight"],
        bias=layer.tensors.get("bias"),
        stride=_pair(config["stride"]),
        padding=(0, 0) if padding == "valid" else _pair(padding),
        dilation=dilation,
        groups=config["groups"],
    )


def _linear(layer: _Layer) -> Node:
    return Linear(weight=layer.tensors["weight"], bias=layer.tensors.get("bias"))


def _batch_norm(layer: _Layer) -> Node:
    tensors, channels = layer.tensors, layer.config["num_features"]
    return BatchNorm(
        gamma=tensors.get("weight", np.ones(channels, np.float32)),
        beta=tensors.get("bias", np.zeros(channels, np.float32)),
        mean=tensors["running_mean"],
        variance=tensors["running_var"],
        epsilon=float(layer.config["eps"]),
    )


def _avg_pool(layer: _Layer) -> Node:
    config = layer.config
    kernel, stride, padding = (_pair(config[key]) for key in ("kernel_size", "stride", "padding"))
    if config["divisor_override"] not in (None, kernel[0] * kernel[1]):
        raise GraphError(
            f"AvgPool2d: divisor_override={config['divisor_override']} is not the window's size; remove it"
        )
    if any(padding) and not config["count_include_pad"]:
        raise GraphError("AvgPool2d: count_include_pad=False divides by less at the border; use True or padding=0")
    node = AvgPool2d(kernel=kernel, stride=stride, padding=padding)
    if (
        config["ceil_mode"]
        and len(layer.shape) == 3
        and any(
            (size + 2 * pad - window) % step
            for size, pad, window, step in zip(layer.shape[1:], padding, kernel, stride, strict=True)
        )
    ):
        raise GraphError(
            f"AvgPool2d: ceil_mode=True has smaller windows at the border of {layer.shape}; set it to False"
        )
    return node


def _adaptive_pool(layer: _Layer) -> Node:
    if len(layer.shape) != 3:
        raise GraphError(f"AdaptiveAvgPool2d needs inputs (channels, height, width), got {layer.shape}")
    sizes = layer.shape[1:]
    wanted = [
        size if target is None else target for target, size in zip(layer.config["output_size"], sizes, strict=True)
    ]
    if any(size % target for size, target in zip(sizes, wanted, strict=True)):
        raise GraphError(f"AdaptiveAvgPool2d: {sizes} is no multiple of {tuple(wanted)}; choose a size that divides it")
    kernel = (sizes[0] // wanted[0], sizes[1] // wanted[1])
    return AvgPool2d(kernel=kernel, stride=kernel)


def _neuron(layer: _Layer) -> Node:
    config, tensors = layer.config, layer.tensors
    lowest = config.get("membrane_min")
    return Neuron(
        threshold=tensors["threshold"],
        leak=tensors["leak"],
        current_leak=tensors["current_leak"],
        reset_value=np.asarray(config["reset_value"], np.float64),
        membrane_min=None if lowest is None else np.asarray(lowest, np.float64),
        order=config["order"],
        compare=config["compare"],
        reset=config["reset"],
        leaky_reset=config["leaky_reset"],
        spikes=config["spikes"],
        max_payload=config["max_payload"],
        single_spike=config["single_spike"],
    )


_ENCODERS = ("DirectEncoder", "PoissonEncoder")

_MODULES: dict[str, Callable[[_Layer], Node]] = {
    "Conv2d": _conv2d,
    "Linear": _linear,
    "BatchNorm1d": _batch_norm,
    "BatchNorm2d": _batch_norm,
    "AvgPool2d": _avg_pool,
    "AdaptiveAvgPool2d": _adaptive_pool,
    "Flatten": lambda _: Flatten(),
    "Identity": lambda _: Identity(),
    "Dropout": lambda _: Dropout(),
    "Dropout2d": lambda _: Dropout(),
    "TimeConstantDropout": lambda _: Dropout(),
    "DirectEncoder": lambda layer: DirectEncoder(limit=float(layer.config["limit"])),
    "PoissonEncoder": lambda layer: PoissonEncoder(gain=float(layer.config["gain"]), seed=layer.config["seed"]),
    "LIF": _neuron,
    "OneToOne": lambda layer: Scale(weight=layer.tensors["weight"]),
    "Readout": lambda layer: Readout(leak=layer.tensors["leak"], current_leak=layer.tensors["current_leak"]),
}

_FUNCTIONS: dict[str, Callable[[_Layer], Node]] = {
    "add": lambda _: Add(),
    "flatten": lambda _: Flatten(),
    "avg_pool2d": _avg_pool,
    "adaptive_avg_pool2d": _adaptive_pool,
    "dropout": lambda _: Dropout(),
}
