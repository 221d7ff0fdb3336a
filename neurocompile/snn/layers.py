"""The layers and functions that a network may be made of: how each is described as plain data and rebuilt from it.

One table, :data:`LAYERS`, serves tracing (module to data), reading files (which data are allowed) and rebuilding.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from neurocompile.errors import GraphError
from neurocompile.snn import fields as f
from neurocompile.snn.dropout import TimeConstantDropout
from neurocompile.snn.encoders import DctEncoder, DirectEncoder, HybridEncoder, PoissonEncoder
from neurocompile.snn.fields import Field
from neurocompile.snn.neuron import IF, LIF, Readout
from neurocompile.snn.recurrent import CONNECTIONS, OneToOne, Recurrent
from neurocompile.snn.surrogate import (
    ArctanSurrogate,
    ExponentialSurrogate,
    LinearSurrogate,
    MembraneLinearSurrogate,
    StdbSurrogate,
    Surrogate,
)

Config = dict[str, Any]


@dataclass(frozen=True)
class Layer:
    """A kind of module.

    ``fields`` are its settings, all plain data; ``make`` takes them as keywords. ``read`` maps a setting to a function
    of the module where the attribute of that name is not the setting itself. ``once``: it keeps state within a
    presentation (or is an input), so it can stand at one place only. ``refuse`` says what makes a module unfit.
    """

    make: Callable[..., nn.Module]
    fields: Mapping[str, Field]
    read: Mapping[str, Callable[[Any], Any]] | None = None
    once: bool = False
    refuse: Callable[[Any], str | None] = lambda _: None

    def describe(self, module: nn.Module) -> Config:
        """The settings of ``module`` as plain data; without optional ones that are None, which older readers lack."""
        read = self.read or {}
        settings = {key: read[key](module) if key in read else _plain(getattr(module, key)) for key in self.fields}
        return {key: value for key, value in settings.items() if value is not None or not self.fields[key].optional}


@dataclass(frozen=True)
class Function:
    """A function step: how many inputs it joins, its settings, and ``call(inputs, settings, training)``."""

    inputs: int
    fields: Mapping[str, Field]
    call: Callable[[list[Tensor], Config, bool], Tensor]


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def pair(value: Any) -> Any:
    """``3`` and ``(3, 3)`` both as ``[3, 3]``."""
    return list(value) if isinstance(value, tuple | list) else [value, value]


def _pairs(*keys: str) -> dict[str, Callable[[Any], Any]]:
    return {key: _as_pair(key) for key in keys}


def _as_pair(key: str) -> Callable[[Any], Any]:
    return lambda module: pair(getattr(module, key))


def _tuples(config: Config) -> Config:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in config.items()}


_SURROGATES: dict[str, tuple[Callable[..., Surrogate], tuple[str, ...]]] = {
    "linear": (LinearSurrogate, ("gamma",)),
    "arctan": (ArctanSurrogate, ("alpha",)),
    "membrane_linear": (MembraneLinearSurrogate, ("alpha",)),
    "exponential": (ExponentialSurrogate, ("alpha", "beta")),
    "stdb": (StdbSurrogate, ("alpha", "beta")),
}


def _read_surrogate(module: LIF) -> list[Any] | None:
    # A surrogate of the user's own is code, not data. It plays no part in inference, so it is left out.
    for name, (kind, parameters) in _SURROGATES.items():
        if type(module.surrogate) is kind:
            return [name, *(float(getattr(module.surrogate, parameter)) for parameter in parameters)]
    return None


_SURROGATE = Field(
    f"nothing, or a list of one of {', '.join(_SURROGATES)} and its one or two finite numbers",
    lambda v: (
        v is None
        or (
            type(v) is list
            and len(v) > 0
            and v[0] in [*_SURROGATES]
            and len(v) == 1 + len(_SURROGATES[v[0]][1])
            and all(map(f.NUMBER.accepts, v[1:]))
        )
    ),
)


def _make_lif(surrogate: list[Any] | None, **config: Any) -> LIF:
    shapes = {name: config.pop(f"{name}_shape") for name in ("threshold", "leak", "current_leak")}
    values: Config = {name: torch.ones(shape) for name, shape in shapes.items()}
    chosen = None if surrogate is None else _SURROGATES[surrogate[0]][0](*surrogate[1:])
    return LIF(**values, **config, surrogate=chosen)


def _make_readout(leak_shape: list[int], current_leak_shape: list[int]) -> Readout:
    return Readout(torch.ones(leak_shape), torch.ones(current_leak_shape))


def _make_recurrent(**parts: Config) -> Recurrent:
    made: Config = {name: LAYERS[part["type"]].make(**part["config"]) for name, part in parts.items()}
    return Recurrent(**made)


def _read_part(name: str) -> Callable[[Any], Config]:
    def read(module: nn.Module) -> Config:
        kind, config = describe(name, module.get_submodule(name))
        return {"type": kind, "config": config}

    return read


def _part(*kinds: str) -> Field:
    """A layer within a layer: its type and its settings."""

    def accepts(value: Any) -> bool:
        if type(value) is not dict or value.keys() != {"type", "config"} or value["type"] not in kinds:
            return False
        fields, config = LAYERS[value["type"]].fields, value["config"]
        return (
            type(config) is dict
            and config.keys() <= fields.keys()
            and all(field.accepts(config[key]) if key in config else field.optional for key, field in fields.items())
        )

    return Field(f"type and settings of one of {', '.join(kinds)}", accepts)


def _cannot_be_read(module: Recurrent) -> str | None:
    try:
        for name in ("neuron", "connection"):
            describe(name, module.get_submodule(name))
    except GraphError as problem:
        return f"cannot be carried over: {problem}"
    return None


def _shape_of(name: str) -> Callable[[Any], list[int]]:
    return lambda module: list(getattr(module, name).shape)


def _is_parameter(name: str) -> Callable[[Any], bool]:
    return lambda module: isinstance(getattr(module, name), nn.Parameter)


def _made(make: Callable[..., nn.Module]) -> Callable[..., nn.Module]:
    return lambda **config: make(**_tuples(config))


_HAS_BIAS: dict[str, Callable[[Any], Any]] = {"bias": lambda module: module.bias is not None}
_BATCH_NORM = {
    "num_features": f.COUNT,
    "eps": f.POSITIVE,
    "momentum": f.FRACTION_OR_NONE,
    "affine": f.FLAG,
}
_POOL = {
    "kernel_size": f.PAIR,
    "stride": f.PAIR,
    "padding": f.PAIR_FROM_0,
    "ceil_mode": f.FLAG,
    "count_include_pad": f.FLAG,
    "divisor_override": f.COUNT_OR_NONE,
}


def _needs_statistics(module: nn.BatchNorm2d) -> str | None:
    if module.track_running_stats:
        return None
    return "keeps no running statistics; train it with track_running_stats=True"


def _needs_batch_axis(module: nn.Flatten) -> str | None:
    if (module.start_dim, module.end_dim) == (1, -1):
        return None
    return f"flattens axes {module.start_dim} to {module.end_dim}; use nn.Flatten() (axes 1 to -1)"


LAYERS: dict[str, Layer] = {
    "Conv2d": Layer(
        _made(nn.Conv2d),
        {
            "in_channels": f.COUNT,
            "out_channels": f.COUNT,
            "kernel_size": f.PAIR,
            "stride": f.PAIR,
            "padding": f.PADDING,
            "dilation": f.PAIR,
            "groups": f.COUNT,
            "bias": f.FLAG,
            "padding_mode": f.choice("zeros", "reflect", "replicate", "circular"),
        },
        _HAS_BIAS,
    ),
    "Linear": Layer(nn.Linear, {"in_features": f.COUNT, "out_features": f.COUNT, "bias": f.FLAG}, _HAS_BIAS),
    "BatchNorm1d": Layer(nn.BatchNorm1d, _BATCH_NORM, refuse=_needs_statistics),
    "BatchNorm2d": Layer(nn.BatchNorm2d, _BATCH_NORM, refuse=_needs_statistics),
    "AvgPool2d": Layer(_made(nn.AvgPool2d), _POOL, _pairs("kernel_size", "stride", "padding")),
    "AdaptiveAvgPool2d": Layer(_made(nn.AdaptiveAvgPool2d), {"output_size": f.PAIR_OR_NONE}, _pairs("output_size")),
    "Flatten": Layer(nn.Flatten, {}, refuse=_needs_batch_axis),
    "Identity": Layer(nn.Identity, {}),
    "Dropout": Layer(nn.Dropout, {"p": f.FRACTION}),
    "Dropout2d": Layer(nn.Dropout2d, {"p": f.FRACTION}),
    "TimeConstantDropout": Layer(TimeConstantDropout, {"p": f.FRACTION}),
    "DirectEncoder": Layer(DirectEncoder, {"limit": f.POSITIVE}, once=True),
    "HybridEncoder": Layer(HybridEncoder, {"timesteps": f.COUNT, "low": f.NUMBER, "high": f.NUMBER}, once=True),
    "DctEncoder": Layer(DctEncoder, {"block": f.COUNT, "limit": f.POSITIVE}, once=True),
    "PoissonEncoder": Layer(PoissonEncoder, {"gain": f.POSITIVE, "seed": f.INTEGER}, once=True),
    "LIF": Layer(
        _make_lif,
        {
            "threshold_shape": f.SHAPE,
            "leak_shape": f.SHAPE,
            "current_leak_shape": f.SHAPE,
            "learn_threshold": f.FLAG,
            "learn_leak": f.FLAG,
            "order": f.choice("integrate_first", "fire_first"),
            "compare": f.choice("above", "at_or_above"),
            "reset": f.choice("subtract", "set", "none"),
            "reset_value": f.NUMBER,
            "leaky_reset": f.FLAG,
            "spikes": f.choice("binary", "signed", "graded"),
            "max_payload": f.COUNT,
            "single_spike": f.FLAG,
            "membrane_min": f.MINIMUM_OR_NONE,
            "surrogate": _SURROGATE,
        },
        {
            "threshold_shape": _shape_of("threshold"),
            "leak_shape": _shape_of("leak"),
            "current_leak_shape": _shape_of("current_leak"),
            "learn_threshold": _is_parameter("threshold"),
            "learn_leak": _is_parameter("leak"),
            "surrogate": _read_surrogate,
        },
        once=True,
    ),
    "OneToOne": Layer(
        lambda weight_shape: OneToOne(torch.ones(weight_shape)),
        {"weight_shape": f.SHAPE},
        {"weight_shape": _shape_of("weight")},
    ),
    "Recurrent": Layer(
        _make_recurrent,
        {"neuron": _part("LIF"), "connection": _part(*(kind.__name__ for kind in CONNECTIONS))},
        {"neuron": _read_part("neuron"), "connection": _read_part("connection")},
        once=True,
        refuse=_cannot_be_read,
    ),
    "Readout": Layer(
        _make_readout,
        {"leak_shape": f.SHAPE, "current_leak_shape": f.SHAPE},
        {"leak_shape": _shape_of("leak"), "current_leak_shape": _shape_of("current_leak")},
        once=True,
    ),
}

MODULE_TYPES: dict[type[nn.Module], str] = {
    **{getattr(nn, name): name for name in LAYERS if hasattr(nn, name)},
    TimeConstantDropout: "TimeConstantDropout",
    DirectEncoder: "DirectEncoder",
    HybridEncoder: "HybridEncoder",
    DctEncoder: "DctEncoder",
    PoissonEncoder: "PoissonEncoder",
    LIF: "LIF",
    IF: "LIF",
    OneToOne: "OneToOne",
    Recurrent: "Recurrent",
    Readout: "Readout",
}
"""Exact types only: a subclass may compute anything."""

FUNCTIONS: dict[str, Function] = {
    "add": Function(2, {}, lambda x, _c, _t: x[0] + x[1]),
    "flatten": Function(1, {}, lambda x, _c, _t: x[0].flatten(1)),
    "avg_pool2d": Function(1, _POOL, lambda x, c, _t: F.avg_pool2d(x[0], **_tuples(c))),
    "adaptive_avg_pool2d": Function(
        1, {"output_size": f.PAIR_OR_NONE}, lambda x, c, _t: F.adaptive_avg_pool2d(x[0], tuple(c["output_size"]))
    ),
    "dropout": Function(1, {"p": f.FRACTION}, lambda x, c, t: F.dropout(x[0], c["p"], training=t)),
}


def describe(path: str, module: nn.Module) -> tuple[str, Config]:
    """Type name and settings of a supported module.

    Raises:
        GraphError: the module's type is not in :data:`MODULE_TYPES`, or this one cannot be carried over.
    """
    kind = MODULE_TYPES.get(type(module))
    if kind is None:
        raise GraphError(f"{path}: {type(module).__name__} is not a supported layer; use one of {', '.join(LAYERS)}")
    layer = LAYERS[kind]
    reason = layer.refuse(module)
    if module._forward_pre_hooks or module._forward_hooks:
        reason = "runs hooks at each call; remove them (after pruning: torch.nn.utils.prune.remove)"
    if reason:
        raise GraphError(f"{path}: {kind} {reason}")
    return kind, f.check(f"{path} ({kind})", layer.describe(module), layer.fields)
