"""lava-dl's network exchange files (HDF5, ``.net``) -> an integer graph. Written from the format; nothing of Lava or
torch is needed to read one, only h5py.

``layer/<i>`` are groups of datasets: ``type``, ``shape`` (torch's order, channels first), weights, ``neuron``. What an
entry means is what ``lava.lib.dl.netx`` 0.6.0 runs, and, for the types that it cannot load (pool, average), what
``lava.lib.dl.slayer`` trained. An ``input`` layer with neurons takes an analog sample x: lava-dl's users give these
neurons the bias ``weight * x + bias``, here rounded to the nearest whole number (they truncate, most of them).
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from neurocompile.errors import GraphError, InputError
from neurocompile.frontend.cuba import FRACTION_BITS, INTEGRATOR, Chain, Cuba, conv, linear, pool, scale
from neurocompile.frontend.nir.hdf5 import texts_are_whole
from neurocompile.ir.graph import Graph
from neurocompile.ir.nodes import (
    Array,
    DctEncoder,
    DirectEncoder,
    Encoder,
    HybridEncoder,
    Node,
    Pair,
    PoissonEncoder,
    Shape,
)

if TYPE_CHECKING:
    import h5py

MAGIC = b"\x89HDF\r\n\x1a\n"
_ATTRIBUTE = "neurocompile"
_MOST_LAYERS = 4096
_MOST_COMPRESSED = 1032  # bytes that deflate makes of one, at most
_SMALL_BYTES = 1 << 20  # what a claim may always be, however small the file

#: what a layer's group may hold besides its type and shape; whatever else it holds is refused
_FIELDS = {
    "input": {"weight", "bias", "neuron"},
    "flatten": set(),
    "average": set(),
    "dense": {"inFeatures", "outFeatures", "weight", "bias", "delay", "neuron"},
    "dense_rec": {"inFeatures", "outFeatures", "weight", "weight_rec", "bias", "delay", "neuron"},
    "conv": {
        "inChannels", "outChannels", "kernelSize", "stride", "padding", "dilation", "groups", "weight", "bias", "delay",
        "neuron",
    },
    "pool": {"kernelSize", "stride", "padding", "dilation", "weight", "delay", "neuron"},
}  # fmt: skip
_REFUSED = {
    "convT": "transposed convolution is not compiled from lava-dl's files",
    "unpool": "unpooling is not compiled from lava-dl's files",
    "concat": "concatenation is not compiled from lava-dl's files",
    "dense_comp": "its weights are complex and feed resonators",
}
#: what trains, or says what is said elsewhere: read by nobody who runs the network
_TRAINING = {"scaleRho", "tauRho", "theta", "gradedSpike", "refDelay", "wgtExp", "weight_exp", "messageBits"}
_REMEDY = "train a chain of dense, conv, pool and recurrent layers of CUBA neurons (lava.lib.dl.slayer.block.cuba)"


def is_hdf5(path: Path) -> bool:
    """Whether the file begins as HDF5 files do."""
    try:
        with path.open("rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError:
        return False


def read_netx(
    path: Path, *, timesteps: int | None = None, name: str | None = None, input_shape: Shape | None = None
) -> Graph:
    """The integer graph of a file. ``timesteps``: of one presentation (None: what the file says, ``tSample``).
    ``input_shape``: for a file that does not say it.

    InputError where the file is damaged; GraphError, with the layer, for what it says and a graph cannot.
    """
    library = _h5py()
    try:
        with library.File(path, "r") as file:
            return _read(_Group(file, str(path), "", path.stat().st_size), path, timesteps, name, input_shape)
    except (OSError, RuntimeError, KeyError, ValueError, UnicodeError, MemoryError) as error:
        raise InputError(
            f"{path} is no NIR file, and cannot be read as a network of lava-dl ({type(error).__name__}: {error}); "
            "export it again"
        ) from error


def _h5py() -> ModuleType:
    try:
        return importlib.import_module("h5py")
    except ModuleNotFoundError as error:
        raise InputError("networks of lava-dl are HDF5, which needs h5py; pip install 'neurocompile[netx]'") from error


def _read(file: _Group, path: Path, timesteps: int | None, name: str | None, input_shape: Shape | None) -> Graph:
    layers = file.group("layer") if "layer" in file else None
    if layers is None:
        raise InputError(f"{path} is HDF5 but no network of lava-dl: it has no group 'layer'; give another file")
    count = len(layers.keys)
    if not 0 < count <= _MOST_LAYERS:
        raise InputError(f"{path} has {count} layers; a network has 1 to {_MOST_LAYERS}")
    entries = [layers.group(str(index)) for index in range(count)]
    _check_types(entries)
    if timesteps is None:
        timesteps = file.group("simulation").number("tSample") if "simulation/tSample" in file else None
    if timesteps is None:
        raise InputError(f"{path} does not say how many time steps a presentation has; give --timesteps (such as 16)")
    chain = Chain(
        name or file.own_text("name") or path.stem,
        timesteps,
        file.own_names(""),
        _encoder(file),
        file.own_number("unit"),
    )
    for index, entry in enumerate(entries):
        kind = entry.text("type")
        entry.title = f"{path}: layer {index} ({kind})"
        chain.names.update(entry.own_names(f"{index}.{kind}"))
        if index and kind == "input":
            raise GraphError(f"{entry.title}: an input must be the first layer; leave it out")
        if not chain.started and kind != "input":
            _start(chain, entry, input_shape)
        _LAYERS[kind](chain, entry, f"{index}.{kind}")
    return chain.finish()


def _check_types(entries: Sequence[_Group]) -> None:
    """GraphError with all layers that cannot be compiled, and why; InputError for what no version writes."""
    reasons: dict[str, list[str]] = {}
    for index, entry in enumerate(entries):
        kind = entry.text("type")
        reason = None
        if kind not in _LAYERS:
            reason = _REFUSED.get(kind, f"{kind!r} is no type of layer that lava-dl 0.6.0 writes")
        elif "neuron" in entry and "type" in entry.group("neuron"):
            reason = _unknown_neuron(entry.group("neuron").text("type"))
        if reason is None and "weight/imag" in entry:
            reason = _REFUSED["dense_comp"]
        if reason is not None:
            reasons.setdefault(reason, []).append(f"{index} ({kind})")
    if reasons:
        said = "; ".join(f"layer {', '.join(where)}: {reason}" for reason, where in reasons.items())
        raise GraphError(f"{entries[0].path}: {said}; {_REMEDY}")


def _unknown_neuron(kind: str) -> str | None:
    """Why neurons of this type are not compiled; None for the one that is."""
    if kind in ("CUBA", "LOIHI"):
        return None
    if kind == "SDNN":
        return "its neurons are sigma-delta (SDNN), which send changes of activations and no spikes"
    if kind.startswith("RF") or "ADRF" in kind:
        return f"its neurons are resonate-and-fire ({kind}), with a complex state"
    if "ALIF" in kind or "ADLIF" in kind:
        return f"its neurons adapt their threshold ({kind})"
    return f"its neurons are of type {kind!r:.40}"


# -------------------------------------------------------------------------------------------------------------- layers


def _start(chain: Chain, entry: _Group, input_shape: Shape | None) -> None:
    """The shape of spikes that enter the first layer, in a file without an ``input``."""
    if input_shape is None and "inFeatures" in entry:
        input_shape = (entry.number("inFeatures"),)
    if input_shape is None:
        raise InputError(
            f"{entry.title} is the first and does not say what it reads; give --input-shape (such as 2,34,34)"
        )
    chain.start(input_shape)


def _encoder(file: _Group) -> Encoder | None:
    """What our own exporter noted about the input; None in files of others, whose input is spikes."""
    plain = file.own.get("encoder")
    if not isinstance(plain, dict) or plain.get("kind") not in _ENCODERS:
        return None
    kind, fields = _ENCODERS[plain["kind"]]
    values = {name: plain.get(name) for name in fields}
    if any(type(value) is not int and (name in _WHOLE or type(value) is not float) for name, value in values.items()):
        raise InputError(f"{file.title}: what it says of its encoder is damaged; export it again")
    encoder: Encoder = kind(**values)
    return encoder


def _input(chain: Chain, entry: _Group, layer: str) -> None:
    entry.check_fields("input")
    shape = entry.shape("shape")
    if "neuron" not in entry:
        chain.start(shape)
        return
    neuron = _neuron(entry)
    weight = entry.number("weight") if "weight" in entry else 64
    bias = entry.number("bias") if "bias" in entry else 0
    if not weight:
        raise GraphError(f"{entry.title}: its weight is 0, so that no sample would count; train it, or set another")
    # no spikes arrive, only a bias; Lava adds that to the membrane, past the current and its decay
    alone = Cuba(np.array(4096), neuron.voltage_decay, neuron.threshold)
    largest = max(127, abs(weight))
    encoder = DirectEncoder(scale=float(abs(weight)), low=-largest, high=largest)
    own = chain.encoder
    chain.start(shape, own if isinstance(own, DirectEncoder) and own.scale == encoder.scale else encoder)
    sign = scale(np.array(1 if weight > 0 else -1))
    chain.layer(layer, [(f"{layer}.synapse", sign)], alone, bias=np.array(bias << FRACTION_BITS))


def _flatten(chain: Chain, entry: _Group, layer: str) -> None:  # noqa: ARG001 - it has no name of its own
    entry.check_fields("flatten")
    chain.flatten()


def _average(chain: Chain, entry: _Group, layer: str) -> None:
    entry.check_fields("average")
    chain.average(layer, int(np.prod(entry.shape("shape"))))


def _dense(chain: Chain, entry: _Group, layer: str) -> None:
    kind = layer.partition(".")[2]
    entry.check_fields(kind)
    neurons = int(np.prod(entry.shape("shape")))
    chain.flatten()
    (features,) = chain.shape
    weight = entry.integers("weight")
    if weight.size != neurons * features:
        raise GraphError(
            f"{entry.title}: its weight has {weight.size} values, and {neurons} neurons that read {features} need "
            f"{neurons * features}; check the layers' shapes"
        )
    recurrent = entry.integers("weight_rec") if kind == "dense_rec" else None
    if recurrent is not None and recurrent.size != neurons * neurons:
        raise GraphError(f"{entry.title}: its weight_rec has {recurrent.size} values, needs {neurons}**2")
    bias, delays = _bias(entry, (neurons,)), _delays(entry, (1, neurons, features))
    if delays is not None and delays.any() and (recurrent is not None or (bias is not None and bias.any())):
        also = "a bias" if recurrent is None else "recurrent weights"
        raise GraphError(
            f"{entry.title}: it has delays and {also}, on which lava-dl's training and its netx do not agree; train "
            "without one of the two"
        )
    of_input = delays is not None and delays.size not in (1, neurons)
    chain.layer(
        layer,
        [(f"{layer}.synapse", linear(weight.reshape(neurons, features)))],
        _neuron(entry) if "neuron" in entry else INTEGRATOR,
        bias=bias,
        recurrent=None if recurrent is None else recurrent.reshape(neurons, neurons),
        delays=None if of_input else delays,
        input_delays=delays if of_input else None,
    )


def _conv(chain: Chain, entry: _Group, layer: str) -> None:
    entry.check_fields("conv")
    weight = _kernel(entry, 4)
    node = conv(
        weight,
        stride=entry.pair("stride"),
        padding=entry.pair("padding"),
        dilation=entry.pair("dilation"),
        groups=entry.number("groups"),
    )
    _spatial(chain, entry, layer, [(f"{layer}.synapse", node)])


def _pool(chain: Chain, entry: _Group, layer: str) -> None:
    entry.check_fields("pool")
    weight = _kernel(entry, 4)
    kernel = (weight.shape[2], weight.shape[3])
    if len(chain.shape) != 3:
        raise GraphError(f"{entry.title}: it reads {chain.shape}; a pool needs (channels, height, width)")
    if entry.pair("stride") != kernel or entry.pair("padding") != (0, 0) or entry.pair("dilation") != (1, 1):
        raise GraphError(
            f"{entry.title}: lava-dl pools across the borders of channels where windows overlap, are apart or are "
            "padded; give it stride = kernel_size, padding=0 and dilation=1"
        )
    if weight.size != kernel[0] * kernel[1] or (weight != weight.flat[0]).any():
        raise GraphError(f"{entry.title}: its weights differ; a pool has one weight")
    _spatial(chain, entry, layer, pool(layer, int(weight.flat[0]), kernel, chain.shape))


def _spatial(chain: Chain, entry: _Group, layer: str, operators: list[tuple[str, Node]]) -> None:
    shape = chain.shape
    for _, node in operators:
        shape = _named(entry, node.output_shape, shape)
    if entry.shape("shape") != shape:
        raise GraphError(
            f"{entry.title}: its shape is {entry.shape('shape')}, and what it reads gives {shape}; check the shapes "
            "of the file"
        )
    chain.layer(
        layer, operators, _required_neuron(entry), bias=_bias(entry, shape), delays=_delays(entry, (1, shape[0]))
    )


def _named(entry: _Group, rule: Callable[[Shape], Shape], shape: Shape) -> Shape:
    try:
        return rule(shape)
    except GraphError as error:
        raise GraphError(f"{entry.title}: {error}") from None


def _kernel(entry: _Group, axes: int) -> Array:
    """Weights (out, in / groups, height, width); SLAYER's kernels have an axis of time of length one behind."""
    weight = entry.integers("weight")
    if weight.ndim == axes + 1 and weight.shape[-1] == 1:
        weight = weight[..., 0]
    if weight.ndim != axes:
        raise GraphError(f"{entry.title}: its weight has shape {weight.shape}; it must have {axes} axes")
    return weight


def _bias(entry: _Group, shape: Shape) -> Array | None:
    """In units of the state: one, one per channel, or one per neuron, which Lava has as (width, height, channels)."""
    if "bias" not in entry:
        return None
    bias = entry.integers("bias") << FRACTION_BITS
    if len(shape) > 1 and bias.shape == shape[::-1]:
        return bias.transpose()
    if bias.size == 1:
        return bias.reshape(())
    if bias.shape != shape[:1]:
        raise GraphError(f"{entry.title}: its bias has shape {bias.shape}; it must be ({shape[0]},)")
    return bias


def _delays(entry: _Group, sizes: Sequence[int]) -> Array | None:
    if "delay" not in entry:
        return None
    delays = entry.integers("delay").ravel()
    if delays.size not in sizes:
        raise GraphError(
            f"{entry.title}: it has {delays.size} delays; it must have {' or '.join(map(str, sorted(set(sizes))))}"
        )
    if delays.min() < 0:
        raise GraphError(f"{entry.title}: it has a delay of {delays.min()} steps; delays must be at least 0")
    delays = np.minimum(delays, 62)  # as lava-dl does: six bits of the chip
    return delays.reshape(()) if delays.size == 1 else delays


def _required_neuron(entry: _Group) -> Cuba:
    if "neuron" not in entry:
        raise GraphError(f"{entry.title}: it has no neuron; end it in CUBA neurons")
    return _neuron(entry)


def _neuron(entry: _Group) -> Cuba:
    group = entry.group("neuron")
    group.title = f"{entry.title}: its neuron"
    unknown = sorted(set(group.keys) - _TRAINING - {"type", "iDecay", "vDecay", "vThMant"})
    if unknown:
        raise GraphError(f"{group.title} has {unknown[0]!r:.40}, which no CUBA neuron of lava-dl 0.6.0 has; {_REMEDY}")
    if "gradedSpike" in group and group.number("gradedSpike"):
        raise GraphError(f"{group.title} sends graded spikes; train with graded_spike=False")
    if "refDelay" in group and group.number("refDelay") not in (0, 1):
        raise GraphError(
            f"{group.title} rests for {group.number('refDelay')} steps when it has fired (refDelay), limit 1; train "
            "without refractory delay"
        )
    for exponent in ("wgtExp", "weight_exp"):
        if exponent in group and group.number(exponent):
            raise GraphError(
                f"{group.title} has {exponent} {group.number(exponent)}, by which lava-dl's training scales its input "
                "and lava-dl's netx does not; compile the trained module itself, or train with MeanOnlyBatchNorm"
            )
    return Cuba(group.integers("iDecay").squeeze(), group.integers("vDecay").squeeze(), group.number("vThMant"))


#: those of an encoder's numbers that are whole
_WHOLE = {"low", "high", "seed", "timesteps", "block"}
_ENCODERS: dict[str, tuple[Callable[..., Any], tuple[str, ...]]] = {
    "DirectEncoder": (DirectEncoder, ("limit", "scale", "low", "high")),
    "HybridEncoder": (HybridEncoder, ("timesteps", "minimum", "maximum", "scale", "low", "high")),
    "DctEncoder": (DctEncoder, ("block", "limit", "scale", "low", "high")),
    "PoissonEncoder": (PoissonEncoder, ("gain", "seed")),
}
_LAYERS: dict[str, Callable[[Chain, _Group, str], None]] = {
    "input": _input,
    "flatten": _flatten,
    "average": _average,
    "dense": _dense,
    "dense_rec": _dense,
    "conv": _conv,
    "pool": _pool,
}


# ---------------------------------------------------------------------------------------------------------------- HDF5


class _Group:
    """A group of a file that is not trusted: nothing is read before its type and size are known."""

    def __init__(self, group: h5py.Group, path: str, where: str, file_bytes: int) -> None:
        self._group, self.path, self._where, self._file_bytes = group, path, where, file_bytes
        self.title = f"{path}: {where}" if where else path

    @property
    def keys(self) -> list[str]:
        return list(self._group)

    def __contains__(self, key: str) -> bool:
        return key in self._group

    def group(self, key: str) -> _Group:
        found = self._member(key)
        if not hasattr(found, "keys"):
            raise InputError(f"{self.title}: {key!r} is no group; export the network again")
        return _Group(found, self.path, f"{self._where}/{key}".lstrip("/"), self._file_bytes)

    def _member(self, key: str) -> Any:
        library = _h5py()
        if key not in self._group:
            raise InputError(f"{self.title}: it has no {key!r}; export the network again")
        if not isinstance(self._group.get(key, getlink=True), library.HardLink):
            raise InputError(f"{self.title}: {key!r} is a link to elsewhere; a network must be whole in its file")
        return self._group[key]

    def _dataset(self, key: str) -> Any:
        """A dataset whose values are in this file, and not more than it can hold."""
        found = self._member(key)
        if not hasattr(found, "dtype") or found.is_virtual or found.external:
            raise InputError(f"{self.title}: {key!r} is no dataset of this file; export the network again")
        if found.nbytes > max(_MOST_COMPRESSED * self._file_bytes, _SMALL_BYTES):
            raise InputError(
                f"{self.title}: {key!r} claims {found.nbytes:,} bytes, and the whole file has {self._file_bytes:,}; it "
                "is damaged"
            )
        return found

    @property
    def own(self) -> dict[str, Any]:
        """What our own exporter has noted beside the format; empty in files of others."""
        text = self._group.attrs.get(_ATTRIBUTE) if _ATTRIBUTE in self._group.attrs else "{}"
        try:
            plain = json.loads(text) if isinstance(text, str) else None
        except (ValueError, RecursionError):
            plain = None
        if not isinstance(plain, dict):
            raise InputError(f"{self.title}: its attribute {_ATTRIBUTE!r} is damaged; export the network again")
        return plain

    def own_text(self, key: str) -> str | None:
        value = self.own.get(key)
        return value if isinstance(value, str) and value.isprintable() else None

    def own_number(self, key: str) -> float | None:
        value = self.own.get(key)
        return float(value) if isinstance(value, (int, float)) else None

    def own_names(self, layer: str) -> dict[str, str]:
        """The names of the layer's nodes, by what they are called here."""
        names = self.own.get("names", {})
        if not isinstance(names, dict) or not all(
            isinstance(name, str) and name.isprintable() for name in names.values()
        ):
            raise InputError(f"{self.title}: its names are damaged; export the network again")
        return {layer + key: name for key, name in names.items()}

    def check_fields(self, kind: str) -> None:
        unknown = sorted(set(self.keys) - _FIELDS[kind] - {"type", "shape"})
        if unknown:
            raise GraphError(f"{self.title} has {unknown[0]!r:.40}, which is no field of such a layer; remove it")

    def text(self, key: str) -> str:
        found = self._dataset(key)
        if found.size != 1 or found.dtype.kind not in "SO":
            raise InputError(f"{self.title}: {key!r} is no text; export the network again")
        if found.dtype.kind == "O" and not texts_are_whole(found, Path(self.path)):
            raise InputError(f"{self.title}: {key!r} is text that is damaged; export the network again")
        value = found[()]
        value = value.flat[0] if isinstance(value, np.ndarray) else value
        text = value.decode("ascii") if isinstance(value, bytes) else value
        if not isinstance(text, str) or not text.isprintable() or len(text) > 40:
            raise InputError(f"{self.title}: {key!r} is {text!r:.40}; export the network again")
        return text

    def integers(self, key: str) -> Array:
        """Whole numbers, int64, of at most 32 bits."""
        found = self._dataset(key)
        if found.dtype.kind not in "biuf" or not found.size:
            raise InputError(f"{self.title}: {key!r} has no numbers; export the network again")
        values = np.asarray(found[()])
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise InputError(f"{self.title}: {key!r} has values that are NaN or infinite; train it again")
        if values.dtype.kind == "f" and (values != np.rint(values)).any():
            raise GraphError(
                f"{self.title}: {key!r} has a value of {values[values != np.rint(values)].flat[0]:.6g} and must have "
                "whole numbers; export it with lava-dl's quantization (pre_hook_fx=neuron.quantize_8bit)"
            )
        if values.dtype.kind != "b" and (values.max() >= 1 << 31 or values.min() <= -(1 << 31)):
            raise GraphError(f"{self.title}: {key!r} has numbers of more than 32 bits; export the network again")
        return values.astype(np.int64)

    def number(self, key: str) -> int:
        values = self.integers(key)
        if values.size != 1:
            raise GraphError(f"{self.title}: {key!r} has {values.size} values; it must have one")
        return int(values.flat[0])

    def shape(self, key: str) -> Shape:
        values = self.integers(key).ravel()
        if not 1 <= values.size <= 4 or values.min() < 1:
            raise GraphError(f"{self.title}: its {key} is {tuple(values[:5].tolist())}; sizes must be at least 1")
        return tuple(int(value) for value in values)

    def pair(self, key: str) -> Pair:
        values = self.integers(key).ravel()
        if values.size not in (1, 2):
            raise GraphError(f"{self.title}: {key!r} has {values.size} values; it must have one or two")
        return int(values[0]), int(values[-1])
