"""An integer graph -> lava-dl's network exchange (HDF5, ``.net``), which ``lava.lib.dl.netx`` loads and Lava runs.

The format has chains of layers: synapses (a matrix or a convolution), perhaps synapses from a layer to itself, and CUBA
neurons, which reset to zero. What else a graph says is refused with its layer. A readout becomes neurons of the highest
threshold that there is, which its membrane is proved never to pass, as lava-dl itself writes layers that only
integrate; sums over windows become part of the weights behind them.

The loader of lava-dl 0.6.0 rescales and truncates the weights of dense layers, sometimes to others. What it would make
of each matrix is worked out here (``_keeps``), and a matrix that it would change is refused. Names and the encoder, for
which the format has no place, stand in attributes, which only this compiler reads.
"""

from __future__ import annotations

import importlib
import json
import secrets
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

import numpy as np

from neurocompile.backends.lava import stock
from neurocompile.errors import GraphError, InputError
from neurocompile.ir.bounds import Interval, input_range, sent_range, state_range
from neurocompile.ir.graph import Graph
from neurocompile.ir.nodes import (
    ENCODERS,
    Array,
    Conv2d,
    DirectEncoder,
    Flatten,
    Linear,
    Neuron,
    Node,
    Readout,
    Recurrent,
    Scale,
    Shape,
    SumPool2d,
    per_channel,
)
from neurocompile.ir.populations import Population, Projection, populations

#: the attribute that holds what the format has no place for
ATTRIBUTE = "neurocompile"
_UNIT = 64  # of a state, to a weight
_HIGHEST_THRESHOLD = (1 << 17) - 1
_LARGEST_BIAS = 1 << 12
_LONGEST_DELAY = 62
_MOST_SYNAPSES = 1 << 26  # of a matrix that stands for element-wise weights
_INT8 = 127  # what Lava's convolutions hold their geometry in


class Compiled(Protocol):
    """What a program is to an exporter."""

    @property
    def integer(self) -> Graph: ...


@dataclass
class _Layer:
    """One group of the file: its datasets by name, and the names of the graph's nodes that it stands for."""

    kind: str
    shape: Shape
    fields: dict[str, Any] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    past: Recurrent | None = None  # what it reads is as late as this says


def write_netx(program: Compiled | Graph, path: Path) -> list[str]:
    """Write ``path`` whole or not at all; returns what the user must know to run it.

    GraphError names the first layer that the format cannot say. InputError where h5py is missing.
    """
    graph = program if isinstance(program, Graph) else program.integer
    if graph.stage != "integer":
        raise GraphError(f"graph {graph.name!r} is at stage {graph.stage!r}; netx holds integers, quantize it first")
    library = _h5py()
    layers, notes = _layers(graph)
    temporary = path.with_name(f".neurocompile-{secrets.token_hex(8)}")
    try:
        with library.File(temporary, "w") as file:
            _write(file, graph, layers)
        temporary.replace(path)
    except OSError as error:
        raise InputError(f"{path} cannot be written ({error}); choose another place") from error
    finally:
        temporary.unlink(missing_ok=True)
    return notes


def _h5py() -> ModuleType:
    try:
        return importlib.import_module("h5py")
    except ModuleNotFoundError as error:
        raise InputError("netx files are HDF5, which needs h5py; pip install 'neurocompile[netx]'") from error


def _write(file: Any, graph: Graph, layers: Sequence[_Layer]) -> None:
    (encoder,) = graph.of_kind(*ENCODERS)
    (source,) = graph.inputs(encoder)
    node = graph.node(encoder)
    fields = {"kind": node.kind, **asdict(node)} if isinstance(node, ENCODERS) else {}
    about: dict[str, Any] = {"name": graph.name, "names": {"input": source, "spikes": encoder}, "encoder": fields}
    last = graph.node(graph.outputs[0])
    if isinstance(last, Readout) and last.fixed is not None:
        about["unit"] = last.unit * (1 << last.fixed.fraction_bits) / _UNIT  # of the file's states
    file.attrs[ATTRIBUTE] = json.dumps(about)
    for index, layer in enumerate(layers):
        group = file.create_group(f"layer/{index}")
        group.create_dataset("type", data=np.array([layer.kind.encode()], "S10"))
        group.create_dataset("shape", data=np.array(layer.shape))
        for key, value in layer.fields.items():
            group.create_dataset(key, data=value)
        if layer.names:
            group.attrs[ATTRIBUTE] = json.dumps({"names": layer.names})
    file.create_dataset("simulation/Ts", data=1)
    file.create_dataset("simulation/tSample", data=graph.timesteps)


# -------------------------------------------------------------------------------------------------------------- layers


def _layers(graph: Graph) -> tuple[list[_Layer], list[str]]:
    everyone = populations(graph)
    _check_chain(graph, everyone)
    (encoder,) = graph.of_kind(*ENCODERS)
    first, *others = everyone
    layers, notes = [_Layer("input", graph.shape(encoder))], []
    if _takes_bias(graph, encoder, first):
        layers = [_biased_input(graph, first)]
        notes.append(_clearing(graph.timesteps, 0))
        notes.append(
            "give each sample as the bias of the first layer: net.in_layer.neuron.bias_mant.init = "
            "round(weight * x) + bias, in the order (width, height, channels)"
        )
    else:
        others = list(everyone)
        low, high = sent_range(graph, encoder)
        notes.append(_clearing(graph.timesteps, 1))
        notes.append(f"feed it what {encoder} sends ({low} to {high}), one array per time step")
        if (low, high) != (0, 1):
            notes[-1] += "; load it with hdf5.Network(..., input_message_bits=8)"
    for population in others:
        layer = _layer(graph, population)
        if layer.kind.startswith("dense") and len(layers[-1].shape) > 1:
            layers.append(_Layer("flatten", (int(np.prod(layers[-1].shape)),)))
        if (past := layer.past) is not None:
            _delay(layers, layer, past, population)
            notes.append(
                f"{population.name} hears late spikes of one presentation in the next; run each presentation by itself"
            )
        layers.append(layer)
        if layer.kind == "dense_rec":
            notes.append(
                f"{population.name} hears in its first step what it sent in the last step of the presentation before; "
                "run each presentation by itself"
            )
        if isinstance(population.soma, Readout):
            notes.append(
                f"{population.name} is a readout and never fires: its result is net.layers[-1].neuron.v, in 1/{_UNIT} "
                "of a weight, after the last step of a presentation"
            )
    return layers, notes


def _clearing(timesteps: int, offset: int) -> str:
    return (
        f"a presentation has {timesteps} time steps; hdf5.Network(..., reset_interval={timesteps}, "
        f"reset_offset={offset}) clears the states of each layer at its first one"
    )


def _delay(layers: Sequence[_Layer], layer: _Layer, past: Recurrent, population: Population) -> None:
    """Put delays to the layer that sends, as lava-dl writes them: its loader delays what that layer's neurons receive,
    which is the same where nothing else drives them. To the layer that reads, where the input is delayed."""
    delays = np.broadcast_to(per_channel(past.delays, past.shape), past.shape).ravel()
    sender = next(each for each in reversed(layers) if each.kind != "flatten")
    if delays.max() > _LONGEST_DELAY:
        reason = f"which have up to {int(delays.max())} steps, limit {_LONGEST_DELAY}"
    elif sender.kind == "input" and "neuron/type" not in sender.fields:
        if layer.kind == "dense" and len(delays) != layer.shape[0]:
            layer.fields["delay"] = delays
            return
        reason = "of a network's input, where the next layer is not dense or has as many neurons as the input"
    elif sender.kind != "dense":
        reason = f"of a layer of type {sender.kind}, for which lava-dl's loader has none"
    elif "delay" in sender.fields:
        reason = f"of a layer whose own input is late, {sender.names['']}"
    elif "bias" in sender.fields:
        reason = "of a layer with a bias, which lava-dl's loader does not delay"
    else:
        sender.fields["delay"] = delays
        sender.names[".delay"] = population.projections[0].names[0]
        return
    raise GraphError(f"{population.name}: netx cannot say the delays of what it reads, {reason}; train without them")


def _check_chain(graph: Graph, everyone: Sequence[Population]) -> None:
    """Every layer reads the one before it, and perhaps itself."""
    (before, *more) = graph.of_kind(*ENCODERS)
    if more:
        raise GraphError(f"{more[0]}: netx has one input, and this network encodes its input {len(more) + 1} times")
    for population in everyone:
        forward = [each for each in population.projections if each.source != population.name]
        late = [each for each in forward if each.recurrent and each.source != before]
        if late:
            raise GraphError(
                f"{population.name}: spikes of {late[0].source} come back to it, and in netx only a layer's own do; "
                "let recurrent connections come from the layer that they feed"
            )
        if len(forward) != 1 or forward[0].source != before:
            sources = ", ".join(each.source for each in forward)
            raise GraphError(
                f"{population.name}: it reads {sources}, and in netx a layer reads only the one before it, which is "
                f"{before}; export networks without skip connections"
            )
        back = [each.past for each in population.projections if each.source == population.name]
        if len(back) > 1:
            raise GraphError(f"{population.name}: it has two recurrent connections, and in netx one; add their weights")
        if back and back[0] is not None and back[0].longest > 1:
            raise GraphError(
                f"{population.name}: its own spikes come back after {back[0].longest} steps, in netx after one; train "
                "without delays there"
            )
        before = population.name
    if graph.outputs != (before,):
        raise GraphError(f"{graph.outputs[0]}: netx has one output, its last layer, which is {before}")


def _takes_bias(graph: Graph, encoder: str, first: Population) -> bool:
    """Whether the first population is what an ``input`` layer with neurons is: whole numbers of an analog sample go
    into its membrane as they are, and a bias that all neurons share."""
    node, soma = graph.node(encoder), first.soma
    (projection, *others) = first.projections
    weighted = projection.weighted
    return (
        isinstance(node, DirectEncoder)
        and node.scale is not None
        and node.scale == np.rint(node.scale)
        and (node.low, node.high) != (0, 1)
        and not others
        and isinstance(weighted, Scale)
        and len(projection.nodes) == 1
        and weighted.weight.ndim == 0
        and abs(int(weighted.weight)) == 1
        and not weighted.weight_exponent
        and isinstance(soma, Neuron)
        and not soma.current_leak.any()
        and soma.bias.ndim == 0
    )


def _biased_input(graph: Graph, population: Population) -> _Layer:
    encoder = graph.node(population.projections[0].source)
    assert isinstance(encoder, DirectEncoder)
    assert encoder.scale is not None
    neuron, bias = _neuron(graph, population)
    weight = int(encoder.scale) * int(population.projections[0].weighted.weight)
    fields = {"weight": weight, "bias": int(bias.flat[0]), **neuron}
    return _Layer("input", population.shape, fields, _names(graph, population))


def _layer(graph: Graph, population: Population) -> _Layer:
    forward = next(each for each in population.projections if each.source != population.name)
    back = [each for each in population.projections if each.source == population.name]
    neuron, bias = _neuron(graph, population)
    names = _names(graph, population)
    operator = _operator(forward)
    if isinstance(operator, Linear):
        parts = [_whole(operator), *(_whole(_operator(each)) for each in back)]
        _check_weights(population.name, parts)
        fields = {
            "inFeatures": parts[0].shape[1],
            "outFeatures": parts[0].shape[0],
            "weight": parts[0],
            **({"weight_rec": parts[1]} if back else {}),
            **({"bias": bias.ravel()} if bias.any() else {}),
            **neuron,
        }
        return _Layer("dense_rec" if back else "dense", (len(parts[0]),), fields, names, forward.past)
    if back:
        raise GraphError(
            f"{population.name}: its own spikes come back to a convolution, and in netx only to a dense layer"
        )
    shape = operator.output_shape(forward.source_shape)
    geometry = (*operator.weight.shape[2:], *operator.stride, *operator.padding, *operator.dilation, operator.groups)
    if max(geometry) > _INT8:
        raise GraphError(
            f"{population.name}: its convolution has a kernel, stride, padding, dilation or groups of {max(geometry)}, "
            f"limit {_INT8}, which is what Lava holds"
        )
    bias = bias.reshape(shape)
    shared = bias.reshape(len(bias), -1)
    fields = {
        "inChannels": forward.source_shape[0],
        "outChannels": shape[0],
        "kernelSize": np.array(operator.weight.shape[2:]),
        "stride": np.array(operator.stride),
        "padding": np.array(operator.padding),
        "dilation": np.array(operator.dilation),
        "groups": operator.groups,
        "weight": _whole(operator),
        **neuron,
    }
    if bias.any():
        # one per channel, or one per neuron in Lava's order
        fields["bias"] = shared[:, 0] if (shared == shared[:, :1]).all() else bias.transpose()
    return _Layer("conv", shape, fields, names, forward.past)


def _names(graph: Graph, population: Population) -> dict[str, str]:
    """The nodes of a layer, by what reading the file would call them (behind the layer's own name)."""
    names = {"": population.name}
    (feeding,) = graph.inputs(population.name)
    if len(population.projections) > 1:
        names[".sum"] = feeding
    for projection in population.projections:
        own = projection.source == population.name
        names[".recurrent" if own else ".synapse"] = projection.name
        for name, node in zip(projection.names, projection.nodes, strict=True):
            if isinstance(node, Flatten) and not own:
                names[".flatten"] = name
        if own:
            names[".before"] = projection.names[0]
    return names


# ------------------------------------------------------------------------------------------------------------- neurons


def _neuron(graph: Graph, population: Population) -> tuple[dict[str, Any], Array]:
    """The neuron's datasets, and its bias in weight units, one per neuron: (neurons,)."""
    name, soma = population.name, population.soma
    inputs = input_range(graph, population)
    if isinstance(soma, Readout):
        population = _as_neurons(population, inputs, graph.timesteps)
    if isinstance(soma, Neuron) and soma.reset == "subtract":
        raise GraphError(
            f"{name}: netx cannot say this layer's neurons, because they reset by subtraction; build with --reset "
            "zero, or train with a reset to zero"
        )
    settings = stock.lif(population, inputs, graph.timesteps)
    if isinstance(settings, str):
        raise GraphError(f"{name}: netx cannot say this layer's neurons, because {settings}{_remedy(population)}")
    bias = np.asarray(settings["bias_mant"]).astype(np.int64) << settings["bias_exp"]
    if (bias % _UNIT).any() or np.abs(bias).max() >= _LARGEST_BIAS * _UNIT:
        raise GraphError(
            f"{name}: its bias is {bias[np.abs(bias).argmax()] / _UNIT:g} weights at most, and netx has whole numbers "
            f"below {_LARGEST_BIAS}; train without bias, or with biases that are multiples of the weights' step"
        )
    fields = {
        "neuron/type": np.bytes_("CUBA"),
        "neuron/iDecay": settings["du"] + 1,
        "neuron/vDecay": settings["dv"],
        "neuron/vThMant": settings["vth"],
        "neuron/refDelay": 1,
        "neuron/gradedSpike": False,
    }
    return fields, bias // _UNIT


def _remedy(population: Population) -> str:
    soma = population.soma
    if isinstance(soma, Neuron) and soma.threshold.ndim:
        return "; build with --scales tensor"
    return ""


def _as_neurons(population: Population, inputs: Interval, timesteps: int) -> Population:
    """A readout as neurons that never fire."""
    soma = population.soma
    assert isinstance(soma, Readout)
    assert soma.fixed is not None
    threshold = _HIGHEST_THRESHOLD << soma.fixed.fraction_bits
    _, membrane = state_range(population, inputs, timesteps)
    if int(membrane.high.max()) > threshold:
        raise GraphError(
            f"{population.name}: its membrane may reach {int(membrane.high.max()):,} and so pass the highest threshold "
            f"that netx has, {threshold:,}, where a readout must never fire; use fewer time steps or smaller weights"
        )
    neuron = Neuron(
        threshold=np.array(threshold), leak=soma.leak, current_leak=soma.current_leak, bias=soma.bias,
        reset="set", reset_value=np.zeros((), np.int64), fixed=soma.fixed,
    )  # fmt: skip
    return replace(population, soma=neuron)


# ------------------------------------------------------------------------------------------------------------ synapses


def _operator(projection: Projection) -> Conv2d | Linear:
    """The one matrix or convolution that a chain is, from its source's shape; its codes are whole weights."""
    pools = [node for node in projection.nodes if isinstance(node, SumPool2d)]
    shapes = [projection.source_shape]
    for each in pools:
        shapes.append(each.output_shape(shapes[-1]))
    weighted, flat = projection.weighted, any(isinstance(node, Flatten) for node in _before_weights(projection))
    if isinstance(weighted, Scale):
        weighted = _spread(projection, weighted, (int(np.prod(shapes[-1])),) if flat else shapes[-1])
    for each, shape in zip(reversed(pools), reversed(shapes[:-1]), strict=True):
        if isinstance(weighted, Linear):
            weighted = replace(weighted, weight=_pooled_matrix(weighted.weight, each, shape))
        else:
            weighted = _pooled_convolution(projection, weighted, each, shape)
    return weighted


def _before_weights(projection: Projection) -> list[Node]:
    return list(projection.nodes[: projection.nodes.index(projection.weighted)])


def _whole(operator: Conv2d | Linear) -> Array:
    return operator.weight.astype(np.int64) << operator.weight_exponent


def _spread(projection: Projection, scale: Scale, shape: Shape) -> Conv2d | Linear:
    """Element-wise weights: a kernel of one position per channel, or a diagonal matrix."""
    if len(shape) == 3 and scale.weight.ndim <= 1:
        kernel = np.broadcast_to(scale.weight, shape[:1]).reshape(-1, 1, 1, 1)
        return Conv2d(weight=kernel, groups=shape[0], weight_exponent=scale.weight_exponent)
    if len(shape) > 1 or shape[0] ** 2 > _MOST_SYNAPSES:
        raise GraphError(
            f"{projection.name}: it scales {shape} values one by one, for which netx has no layer; put a "
            "convolution or a dense layer there"
        )
    diagonal = np.diag(np.broadcast_to(per_channel(scale.weight, shape), shape))
    return Linear(weight=diagonal, weight_exponent=scale.weight_exponent)


def _pooled_matrix(weight: Array, pool: SumPool2d, shape: Shape) -> Array:
    """The matrix that reads ``shape`` where ``weight`` reads its sums."""
    channels, height, width = shape
    (pad_h, pad_w), (step_h, step_w) = pool.padding, pool.stride
    _, rows, columns = pool.output_shape(shape)
    sums = weight.reshape(len(weight), channels, rows, columns)
    spread = np.zeros((len(weight), channels, height + 2 * pad_h, width + 2 * pad_w), np.int64)
    reach_h, reach_w = step_h * (rows - 1) + 1, step_w * (columns - 1) + 1
    for row in range(pool.kernel[0]):
        for column in range(pool.kernel[1]):
            spread[:, :, row : row + reach_h : step_h, column : column + reach_w : step_w] += sums
    return spread[:, :, pad_h : pad_h + height, pad_w : pad_w + width].reshape(len(weight), -1)


def _pooled_convolution(projection: Projection, layer: Conv2d, pool: SumPool2d, shape: Shape) -> Conv2d:
    """The convolution of ``shape`` that ``layer`` is behind ``pool``.

    A padded ``layer`` reads zeros where there is no window; there must be no values there either, so windows must
    cover their input exactly.
    """
    tiles = pool.kernel == pool.stride and not any(pool.padding)
    whole = all(size % length == 0 for size, length in zip(shape[1:], pool.kernel, strict=True))
    if any(layer.padding) and not (tiles and whole):
        raise GraphError(
            f"{projection.name}: it pads what a pool gives whose windows overlap or leave values out, for which netx "
            "has no layer; use padding=0, or a pool that divides its input"
        )
    sizes = [
        (taps - 1) * dilation * step + length
        for taps, dilation, step, length in zip(
            layer.weight.shape[2:], layer.dilation, pool.stride, pool.kernel, strict=True
        )
    ]
    weight = np.zeros((*layer.weight.shape[:2], *sizes), np.int64)
    step_h, step_w = (dilation * step for dilation, step in zip(layer.dilation, pool.stride, strict=True))
    rows, columns = layer.weight.shape[2:]
    reach_h, reach_w = (rows - 1) * step_h + 1, (columns - 1) * step_w + 1
    for row in range(pool.kernel[0]):
        for column in range(pool.kernel[1]):
            weight[:, :, row : row + reach_h : step_h, column : column + reach_w : step_w] += layer.weight
    stride_h, stride_w = (one * other for one, other in zip(layer.stride, pool.stride, strict=True))
    pad_h, pad_w = (
        own * step + outer for own, step, outer in zip(layer.padding, pool.stride, pool.padding, strict=True)
    )
    return replace(layer, weight=weight, stride=(stride_h, stride_w), padding=(pad_h, pad_w), dilation=(1, 1))


def _check_weights(name: str, parts: Sequence[Array]) -> None:
    """GraphError where lava-dl's loader would make other weights of ``parts``, which it takes together."""
    if not _keeps(parts):
        low, high = min(int(part.min()) for part in parts), max(int(part.max()) for part in parts)
        raise GraphError(
            f"{name}: the loader of lava-dl 0.6.0 would change its weights ({low} to {high}), which it rescales to "
            "nine bits in steps of two; lower --bits, or give the layer weights of both signs"
        )


def _keeps(parts: Sequence[Array]) -> bool:
    """Whether the loader's rescaling and Lava's ``Dense`` give these weights back: they shift them up so that the
    largest nearly fills nine bits, clip, drop the lowest bits by a rule of their own, and shift the sum down."""
    both = np.concatenate([part.ravel() for part in parts])
    low, high = int(both.min()), int(both.max())
    if low < 0 <= high:
        room = [127 / high] if high else []
        shift = int(np.floor(np.log2(min([*room, -128 / low])))) + 1
    elif high < 0:
        shift = int(np.floor(np.log2(-256 / low)))
    elif high:
        shift = int(np.floor(np.log2(255 / high)))
    else:
        return False  # it divides by zero
    if shift < 0:
        return False
    signed = low < 0 <= high
    zeros = next((count for count in range(8, 0, -1) if not (both % (1 << count)).any()), 0) - signed
    bits = 8 - shift - zeros
    return all(_survives(part << shift, bits) for part in parts)


def _survives(weight: Array, bits: int) -> bool:
    """Whether ``Dense`` keeps the shifted ``weight`` with so many bits. It looks at each matrix's signs by itself."""
    low, high = int(weight.min()), int(weight.max())
    mixed = low < 0 < high
    dropped = 8 - bits + mixed
    if dropped < 0 or high > 255 or low < (-256 if mixed else -255):
        return False
    return not (weight % (1 << dropped)).any()
