"""What the public code of the seed papers saves -> a traced graph. No code of theirs is needed, none is run.

The files are dictionaries; what compiles is in ``state_dict`` (with ``module.`` in its keys where the training ran on
several GPUs; ``model_state_dict`` for Atari) and beside it. Which repository wrote one is told by its keys, and each
fires in its own way:

=========================================  =========  ====================================================  ==========
keys                                       written by  one step of a neuron                                   input
=========================================  =========  ====================================================  ==========
``threshold.tN``, ``leak.lN`` as tensors   IIR-SNN,   ``u = leak*u + x``; fires; ``u = u - threshold*s``,    direct
                                           DIET-SNN   which the next leak acts on
the same, and blocks of ``delay_path``,    DIET-SNN,  fires on what the last step left;                      direct
or leaks of shape (1,)                     ImageNet   ``u = leak*u + x - threshold*s``
lists ``thresholds`` and ``leak``          DIET-SNN,  the same                                               direct
                                           at first
list ``thresholds``, number ``leak`` (or   hybrid     the same                                               Poisson,
``leak_mem``, with ``scaling_threshold``)  STDB                                                              signed
none of these, or ``thresholds`` with      all: ANN   ``max(0, x)``, to be converted                         direct
neither ``timesteps`` nor a leak
=========================================  =========  ====================================================  ==========

DIET-SNN changed from the second order to the first while it already saved tensors, which no other file of its shows;
its published results, and all of IIR-SNN, are of the first. A file of an ANN gets ``thresholds`` when it is
first balanced. All fire above the threshold, pool averages behind the neurons, have an output layer that integrates
and does not leak, and drop nothing once trained.

The files name no architecture. Convolutions keep the map's size, and a pool stands where a dropout would, so that the
numbering does not show it: the channels do (:data:`VGG_LAYERS`; any common factor is allowed). Residual networks have
a stem, a pool of 2 behind it, and blocks that halve the map where a new stage begins; those for ImageNet call their
branches ``delay_path`` and ``shortcut``, pool by 3 behind the stem and by 7 before the classifier. IIR-SNN's network
for Atari is known by the names of its layers: it has no pools, no padding and no leak, and takes pixels of 0 to 255.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NoReturn, TypeVar

import numpy as np
from torch import Tensor

from neurocompile.errors import GraphError, InputError
from neurocompile.ir.graph import Graph
from neurocompile.ir.nodes import (
    Add,
    Array,
    AvgPool2d,
    BatchNorm,
    Conv2d,
    DirectEncoder,
    Flatten,
    Input,
    Linear,
    Neuron,
    Node,
    Order,
    PoissonEncoder,
    Readout,
    Relu,
    Shape,
)
from neurocompile.ir.verify import verify
from neurocompile.snn.checkpoint import check_tensors

#: the convolutional part of each network that the repositories know: channels, and A where an average pool follows.
#: VGG5 and VGG6 are the same one. ``VGG11-CIFAR100`` is what the hybrid code calls VGG11 for that data set. HIRE-SNN's
#: VGG11 has the channels of VGG11 and three pools.
VGG_LAYERS: dict[str, str] = {
    "VGG4": "64 A 128 A",
    "VGG5": "64 A 128 128 A",
    "VGG9": "64 A 128 256 A 256 512 A 512 A 512",
    "VGG11": "64 A 128 256 A 512 512 A 512 A 512 512",
    "VGG11-HIRE": "64 A 128 256 A 512 512 512 A 512 512",
    "VGG11-CIFAR100": "64 A 128 256 256 A 512 512 512 A 512 512",
    "VGG13": "64 64 A 128 128 A 256 256 A 512 512 512 A 512",
    "VGG16": "64 64 A 128 128 A 256 256 256 A 512 512 512 A 512 512 512",
    "VGG19": "64 64 A 128 128 A 256 256 256 256 A 512 512 512 512 A 512 512 512 512",
}

#: by the channels of the input: the sizes of the data sets that the repositories train on
_SIDES: dict[int, tuple[int, ...]] = {1: (28,), 3: (32, 224)}

#: the network for Atari: its convolutions with their strides, its linear layers, its pixels
_ATARI_CONVS, _ATARI_LINEARS = {"conv1": 4, "conv2": 2, "conv3": 1}, ("fc1", "head")
_ATARI_SIDE, _ATARI_LARGEST = 84, 255.0

#: the largest value of CIFAR10 where each colour has its mean subtracted and is divided by its deviation
_LARGEST_NORMALISED = 2.76

#: per kind of network, the share of a full-scale pixel's steps at which the hybrid code's Poisson generator fires
_VGG_GAIN, _RESNET_GAIN = 1.0, 0.9

_LEARNED = re.compile(r"(?:threshold\.t|leak\.l)\d{1,9}")

_OTHERWISE = "give its code: --model package.module:factory"

_Kind = TypeVar("_Kind", bound=Node)


def recognise(document: object) -> bool:
    """Whether ``document``, the content of a file, is one of these dictionaries, whole or not."""
    tensors = _state(document)
    if tensors is None or not isinstance(document, Mapping) or "format" in document:
        return False
    network = "features.0.weight" in tensors or "pre_process.0.weight" in tensors
    learned = any(_LEARNED.fullmatch(key) for key in tensors)
    if not (network and any(key.startswith("classifier.") for key in tensors)):
        return learned and _is_atari(tensors)
    # a bare state dict with such names may be anyone's; theirs stand under a key, or have thresholds
    return learned or "thresholds" in document or "state_dict" in document


def read_papers(
    where: str, document: object, *, input_shape: Shape | None = None, timesteps: int | None = None, name: str
) -> Graph:
    """The traced graph of a dictionary that :func:`recognise` knows. ``where``: the file, for messages.

    ``timesteps`` overrides what the file says; ``input_shape`` is needed where the file is of none of the usual data
    sets. A file without thresholds gives an ANN, with ``Relu`` where its neurons will be.

    Raises:
        InputError: a tensor is missing, left over, of another shape or not finite; the channels are those of no known
            network; thresholds or leaks are out of range or not one for each layer; or a flag is needed.
    """
    tensors = _state(document)
    if tensors is None or not isinstance(document, Mapping):
        raise InputError(f"{where}: holds no state dict of a VGG or residual network; {_OTHERWISE}")
    check_tensors(where, tensors)
    learned = {key: tensors.pop(key) for key in list(tensors) if _LEARNED.fullmatch(key)}
    maker = _Maker(where, {key: _array(tensor) for key, tensor in tensors.items()})
    plan = _plan(maker, input_shape)
    rule = _rule(where, document, learned, plan)
    network = _build(maker, plan, rule)
    maker.finish()
    shape, last_pool = _input_shape(where, network, plan, input_shape)
    steps = _timesteps(where, document, timesteps)
    try:
        graph = Graph(name, "traced", steps, network.nodes(shape, last_pool), (network.output,))
        if rule.somas:
            verify(graph)
    except GraphError as error:
        raise InputError(f"{where}: {error}") from None
    return graph


# ------------------------------------------------------------------------------------------------- what is in the file


def _state(document: object) -> dict[str, Tensor] | None:
    """The tensors by their names, without the "module" that DataParallel puts into them; None where there are none."""
    if not isinstance(document, Mapping):
        return None
    state = document.get("state_dict", document.get("model_state_dict", document))
    if not isinstance(state, Mapping) or not state:
        return None
    named = {
        ".".join(part for part in key.split(".") if part != "module"): tensor
        for key, tensor in state.items()
        if isinstance(key, str) and isinstance(tensor, Tensor)
    }
    return named if len(named) == len(state) else None


def _array(tensor: Tensor) -> Array:
    # NumPy has no bfloat16, and half precision would only lose digits later
    plain = tensor.float() if tensor.is_floating_point() and tensor.itemsize < 4 else tensor
    array: Array = plain.detach().cpu().numpy()
    return array


class _Maker:
    """Makes nodes of the tensors of a state dict, each of which is taken once."""

    def __init__(self, where: str, arrays: dict[str, Array]) -> None:
        self.where, self.arrays = where, arrays

    def numbers(self, prefix: str, axes: int) -> list[int]:
        """The numbers N, ascending, of all ``prefix.N.weight`` with so many axes."""
        found = (
            re.fullmatch(rf"{re.escape(prefix)}\.(\d{{1,9}})\.weight", key)
            for key, array in self.arrays.items()
            if array.ndim == axes
        )
        return sorted(int(match[1]) for match in found if match)

    def has(self, name: str) -> bool:
        return f"{name}.weight" in self.arrays

    def weight(self, name: str) -> Array:
        return self.arrays[f"{name}.weight"]

    def conv(self, name: str, stride: int = 1, *, padded: bool = True) -> Conv2d:
        """The convolution ``name``; where ``padded``, so that an odd kernel keeps the map's size."""
        weight = self._take(name, "weight")
        if weight.ndim != 4:
            self._refuse(f"{name}.weight has shape {weight.shape}, a convolution's has four axes; {_OTHERWISE}")
        padding = ((weight.shape[2] - 1) // 2, (weight.shape[3] - 1) // 2) if padded else (0, 0)
        bias = self.arrays.pop(f"{name}.bias", None)
        return self._node(name, Conv2d, weight=weight, bias=bias, stride=(stride, stride), padding=padding)

    def linear(self, name: str) -> Linear:
        return self._node(name, Linear, weight=self._take(name, "weight"), bias=self.arrays.pop(f"{name}.bias", None))

    def norm(self, name: str) -> BatchNorm | None:
        """The batch norm ``name``, if there is one there."""
        if f"{name}.running_mean" not in self.arrays:
            return None
        gamma, beta, mean, variance = (
            self._take(name, key) for key in ("weight", "bias", "running_mean", "running_var")
        )
        self.arrays.pop(f"{name}.num_batches_tracked", None)
        # torch's epsilon, which no state dict holds and the repositories leave alone
        return self._node(name, BatchNorm, gamma=gamma, beta=beta, mean=mean, variance=variance, epsilon=1e-5)

    def finish(self) -> None:
        """InputError where tensors are left that no layer has a place for."""
        if self.arrays:
            some = ", ".join(sorted(self.arrays)[:3])
            self._refuse(f"has {len(self.arrays)} tensors that belong to no layer ({some:.200}); {_OTHERWISE}")

    def _take(self, name: str, key: str) -> Array:
        array = self.arrays.pop(f"{name}.{key}", None)
        if array is None:
            self._refuse(f"tensor {name}.{key} is missing; save the whole state dict")
        return array

    def _node(self, name: str, kind: type[_Kind], **fields: Any) -> _Kind:
        try:
            return kind(**fields)
        except GraphError as error:
            self._refuse(f"{name}: {error}")

    def _refuse(self, reason: str) -> NoReturn:
        raise InputError(f"{self.where}: {reason}")


# ------------------------------------------------------------------------------------------------- what network it is


@dataclass(frozen=True)
class _Plan:
    """Which network it is. ``convs``: before the blocks; ``pools``: those of them that a pool of ``pool`` follows;
    ``linears``: all linear layers; ``gain``: of Poisson input; ``largest``: of direct input; ``usual``: shapes of the
    data sets; ``last_pool``: the convolution behind which VGGs for ImageNet have one more pool; ``blocks``: (name,
    stride) of each; ``names``: those of a block's two branches; ``strides``: of ``convs`` that are not padded."""

    convs: tuple[str, ...]
    pools: frozenset[str]
    linears: tuple[str, ...]
    usual: tuple[Shape, ...]
    gain: float = 1.0
    largest: float = _LARGEST_NORMALISED
    pool: int = 2
    last_pool: str | None = None
    blocks: tuple[tuple[str, int], ...] = ()
    names: tuple[str, str] = ("residual", "identity")
    final_pool: int | None = None
    strides: Mapping[str, int] | None = None

    @property
    def layers(self) -> int:
        """How many layers of neurons there are."""
        return len(self.convs) + 2 * len(self.blocks) + len(self.linears) - 1


def _plan(maker: _Maker, given: Shape | None) -> _Plan:
    if _is_atari(maker.arrays):
        usual = (maker.weight("conv1").shape[1], _ATARI_SIDE, _ATARI_SIDE)
        convs = tuple(_ATARI_CONVS)
        return _Plan(convs, frozenset(), _ATARI_LINEARS, (usual,), largest=_ATARI_LARGEST, strides=_ATARI_CONVS)
    return _plan_resnet(maker) if maker.has("pre_process.0") else _plan_vgg(maker, given)


def _is_atari(tensors: Mapping[str, Tensor] | Mapping[str, Array]) -> bool:
    axes = {**dict.fromkeys(_ATARI_CONVS, 4), **dict.fromkeys(_ATARI_LINEARS, 2)}
    return all(getattr(tensors.get(f"{name}.weight"), "ndim", None) == count for name, count in axes.items())


def _plan_vgg(maker: _Maker, given: Shape | None) -> _Plan:
    convs = _convolutions(maker, "features")
    channels = [len(maker.weight(conv)) for conv in convs]
    linears, usual = _linears(maker), _usual(maker, convs[0])
    pools = _pooled(channels, maker.weight(linears[0]).shape[1], (given,) if given else usual)
    if pools is None:
        raise InputError(
            f"{maker.where}: its {len(channels)} convolutions have {', '.join(map(str, channels))} channels, which are "
            f"those of none of {', '.join(VGG_LAYERS)} (nor a multiple), so its pools are unknown; {_OTHERWISE}"
        )
    pooled = frozenset(convs[index] for index in pools)
    last = None if convs[-1] in pooled else convs[-1]
    return _Plan(convs, pooled, linears, usual, gain=_VGG_GAIN, last_pool=last)


def _usual(maker: _Maker, first: str) -> tuple[Shape, ...]:
    channels = maker.weight(first).shape[1]
    return tuple((channels, side, side) for side in _SIDES.get(channels, ()))


def _convolutions(maker: _Maker, prefix: str) -> tuple[str, ...]:
    """The convolutions of a sequence in which each is followed by a batch norm or none, a ReLU, and a dropout or a
    pool. InputError where they stand otherwise."""
    numbers = maker.numbers(prefix, axes=4)
    step = 4 if f"{prefix}.1.running_mean" in maker.arrays else 3
    if not numbers or numbers != list(range(0, step * len(numbers), step)):
        stand = f"{prefix}.{', '.join(map(str, numbers[:4]))}" if numbers else "nowhere"
        raise InputError(
            f"{maker.where}: its convolutions stand at {stand}; the papers' stand at every third number from "
            f"{prefix}.0, or at every fourth with batch norm; {_OTHERWISE}"
        )
    return tuple(f"{prefix}.{number}" for number in numbers)


def _pooled(channels: Sequence[int], features: int, shapes: Sequence[Shape]) -> set[int] | None:
    """Behind which convolutions, by their index, a VGG of these channels pools: of several, the one that gives
    ``features`` values for a sample of one of ``shapes``."""
    found: list[set[int]] = []
    for layers in VGG_LAYERS.values():
        known: list[int] = []
        pools: set[int] = set()
        for item in layers.split():
            if item == "A":
                pools.add(len(known) - 1)
            else:
                known.append(int(item))
        pairs = zip(channels, known, strict=False)
        if len(known) == len(channels) and all(mine * known[0] == theirs * channels[0] for mine, theirs in pairs):
            found.append(pools)

    def fits(pools: set[int]) -> bool:
        counts = (len(pools),) if len(channels) - 1 in pools else (len(pools), len(pools) + 1)
        sides = (math.prod(side >> count for side in shape[1:]) for shape in shapes for count in counts)
        return any(channels[-1] * area == features for area in sides)

    return next(filter(fits, found), found[0] if found else None)


def _plan_resnet(maker: _Maker) -> _Plan:
    stem = _convolutions(maker, "pre_process")
    found = (re.match(r"layer(\d{1,9})\.(\d{1,9})\.", key) for key in maker.arrays)
    numbers = sorted({(int(match[1]), int(match[2])) for match in found if match})
    if not numbers:
        raise InputError(f"{maker.where}: has a stem (pre_process) but no blocks (layer1.0); save the whole state dict")
    blocks = tuple((f"layer{stage}.{block}", 2 if stage > 1 and block == 0 else 1) for stage, block in numbers)
    usual = _usual(maker, stem[0])
    plan = _Plan(stem, frozenset(stem[-1:]), _linears(maker), usual, gain=_RESNET_GAIN, blocks=blocks)
    if maker.has("layer1.0.delay_path.0"):
        return replace(plan, names=("delay_path", "shortcut"), pool=3, final_pool=7)
    return plan


def _linears(maker: _Maker) -> tuple[str, ...]:
    linears = tuple(f"classifier.{number}" for number in maker.numbers("classifier", 2))
    if not linears:
        raise InputError(f"{maker.where}: has no linear layer (classifier.N.weight); save the whole state dict")
    return linears


# ------------------------------------------------------------------------------------------------------ how it fires


@dataclass(frozen=True)
class _Rule:
    """``somas``: (threshold, leak) of each layer of neurons in order of flow; None makes an ANN."""

    somas: list[tuple[Array, Array]] | None
    encoder: DirectEncoder | PoissonEncoder
    order: Order = "integrate_first"


def _rule(where: str, document: Mapping[Any, Any], learned: Mapping[str, Tensor], plan: _Plan) -> _Rule:
    own: dict[str, dict[str, Tensor]] = {"threshold.t": {}, "leak.l": {}}
    for key, tensor in learned.items():
        kind = next(kind for kind in own if key.startswith(kind))
        own[kind][key.removeprefix(kind)] = tensor
    if plan.blocks and len(own["threshold.t"]) == plan.layers + 1:
        # where training was resumed, DIET-SNN gave one to the output layer too, which never fires
        del own["threshold.t"][max(own["threshold.t"], key=int)]
    thresholds = own["threshold.t"] or _thresholds(where, document, plan)
    if thresholds is None:
        return _Rule(None, DirectEncoder(limit=plan.largest))
    leak: Any = own["leak.l"] or document.get("leak", document.get("leak_mem", 1.0))
    one_leak = _is_number(leak)
    values = _values(where, "thresholds", thresholds, plan.layers)
    leaks = [_value(where, "leak", leak)] * plan.layers if one_leak else _values(where, "leak", leak, plan.layers)
    # of numbers the code makes tensors, in single precision
    values = values if own["threshold.t"] else [value.astype(np.float32) for value in values]
    leaks = leaks if own["leak.l"] else [value.astype(np.float32) for value in leaks]
    somas = list(zip(values, leaks, strict=True))
    if learned:
        # DIET-SNN's networks for ImageNet kept the order that it had at first
        first = plan.names[0] == "delay_path" or any(tensor.shape == (1,) for tensor in own["leak.l"].values())
        return _Rule(somas, DirectEncoder(limit=plan.largest), "fire_first" if first else "integrate_first")
    return _Rule(somas, PoissonEncoder(gain=plan.gain) if one_leak else DirectEncoder(), "fire_first")


def _thresholds(where: str, document: Mapping[Any, Any], plan: _Plan) -> object:
    """What stands under "thresholds", as the papers' code takes it; None where nothing does."""
    given: object = document.get("thresholds")
    if not any(key in document for key in ("timesteps", "leak", "leak_mem")):
        return None  # of an ANN, what to divide its activations by: it has been balanced, not converted
    if not isinstance(given, list):
        return given
    if len(given) == plan.layers + 1:
        given = given[:-1]  # it may list the output layer too, which never fires
    if "scaling_threshold" in document:
        factor = _value(where, "scaling_threshold", document["scaling_threshold"])
        given = [np.asarray(_value(where, "thresholds", value) * factor) for value in given]
    if plan.blocks and len(given) == len(plan.convs):
        # it balances the stem only, and leaves the blocks at the threshold that they start with
        given = [*given, *[1.0] * (plan.layers - len(given))]
    return given


def _is_number(value: object) -> bool:
    return type(value) in (int, float) or (isinstance(value, Tensor) and value.ndim == 0)


def _values(where: str, what: str, given: object, count: int) -> list[Array]:
    """``given``, a list, or a dict by the numbers of the layers, as one array for each of ``count`` layers."""
    if isinstance(given, Mapping):
        numbers = {str(key).lstrip("tl"): value for key, value in given.items()}
        if not all(key.isdecimal() and len(key) < 10 for key in numbers):
            raise InputError(f"{where}: the keys of {what} must be numbers of layers; {_OTHERWISE}")
        given = [numbers[key] for key in sorted(numbers, key=int)]
    elif isinstance(given, Tensor) and given.ndim == 1:
        given = given.tolist()
    if not isinstance(given, (list, tuple)):
        raise InputError(f"{where}: {what} is a {type(given).__name__}; it must be a list with a value for each layer")
    if len(given) != count:
        raise InputError(
            f"{where}: {what} has {len(given)} values, the network has {count} layers of neurons; it must have one each"
        )
    return [_value(where, f"{what}[{index}]", value) for index, value in enumerate(given)]


def _value(where: str, what: str, given: object) -> Array:
    if isinstance(given, np.ndarray):
        return given
    if isinstance(given, Tensor):
        check_tensors(where, {what: given})
        value = _array(given)
        return value.reshape(()) if value.size == 1 else value
    if type(given) not in (int, float) or not abs(given) < math.inf:  # type: ignore[arg-type]
        shown = repr(given) if isinstance(given, (int, float, str)) else f"a {type(given).__name__}"
        raise InputError(f"{where}: {what} is {shown:.60}; it must be a finite number")
    return np.asarray(given, np.float64)


def _timesteps(where: str, document: Mapping[Any, Any], timesteps: int | None) -> int:
    steps = document.get("timesteps") if timesteps is None else timesteps
    if steps is None:
        raise InputError(f"{where}: does not say how many time steps a sample takes; give --timesteps (such as 100)")
    if type(steps) is not int or steps < 1:
        raise InputError(f"{where}: timesteps is {steps!r:.60}; it must be a whole number from 1, so give --timesteps")
    return steps


# ------------------------------------------------------------------------------------------------------- the graph


@dataclass(frozen=True)
class _Network:
    """All nodes: ``trunk`` from the encoder to the last map, ``head`` from the flattened map on."""

    encoder: DirectEncoder | PoissonEncoder
    trunk: list[tuple[str, Node, tuple[str, ...]]]
    last_pool: tuple[str, Node] | None
    head: list[tuple[str, Node, tuple[str, ...]]]
    channels: int
    features: int

    @property
    def output(self) -> str:
        return self.head[-1][0]

    def nodes(self, shape: Shape, last_pool: bool) -> list[tuple[str, Node, tuple[str, ...]]]:
        """In order of flow, for inputs of ``shape``, with or without the one more pool behind the convolutions."""
        trunk: list[tuple[str, Node, tuple[str, ...]]] = [
            (_INPUT, Input(shape=shape), ()), (_ENCODER, self.encoder, (_INPUT,)), *self.trunk
        ]  # fmt: skip
        if last_pool and self.last_pool:
            trunk.append((*self.last_pool, (trunk[-1][0],)))
        return [*trunk, (_FLATTEN, Flatten(), (trunk[-1][0],)), *self.head]

    def flattened(self, shape: Shape, last_pool: bool) -> int:
        """How many values reach the first linear layer. GraphError where the input does not suit the layers."""
        shapes: dict[str, Shape] = {}
        for name, node, inputs in self.nodes(shape, last_pool):
            known = [shapes[source] for source in inputs]
            try:
                # a neuron's parameters may have the shape of the map: they are checked when that is known
                shapes[name] = known[0] if isinstance(node, Neuron) else node.output_shape(*known)
            except GraphError as error:
                raise GraphError(f"{name}: {error}") from None
            if name == _FLATTEN:
                break
        return shapes[_FLATTEN][0]


_INPUT, _ENCODER, _FLATTEN, _READOUT = "input", "encoder", "flatten", "readout"


def _build(maker: _Maker, plan: _Plan, rule: _Rule) -> _Network:
    nodes: list[tuple[str, Node, tuple[str, ...]]] = []
    somas = iter(rule.somas or ())

    def add(name: str, node: Node, *inputs: str) -> str:
        nodes.append((name, node, inputs))
        return name

    def fire(name: str, source: str) -> str:
        if rule.somas is None:
            return add(name, Relu(), source)
        threshold, leak = next(somas)
        leaky = rule.order == "integrate_first"
        try:
            node = Neuron(threshold=threshold, leak=leak, order=rule.order, leaky_reset=leaky)
        except GraphError as error:
            raise InputError(f"{maker.where}: {name}: {error}") from None
        return add(name, node, source)

    def convolve(name: str, source: str, stride: int = 1) -> str:
        """The convolution with its batch norm."""
        add(name, maker.conv(name, stride, padded=plan.strides is None), source)
        norm = maker.norm(_after(name))
        return name if norm is None else add(_after(name), norm, name)

    def block(name: str, stride: int, source: str) -> str:
        inner, shortcut = (f"{name}.{each}" for each in plan.names)
        x = convolve(f"{inner}.0", source, stride)
        x = fire(_after(x), x)
        x = convolve(_after(x, 2), x)  # a dropout stands between
        skip = convolve(f"{shortcut}.0", source, stride) if maker.has(f"{shortcut}.0") else source
        return fire(f"{name}.neuron", add(f"{name}.add", Add(), x, skip))

    channels = maker.weight(plan.convs[0]).shape[1]
    features = maker.weight(plan.linears[0]).shape[1]
    x, pool, last_pool = _ENCODER, AvgPool2d(kernel=(plan.pool, plan.pool), stride=(plan.pool, plan.pool)), None
    for conv in plan.convs:
        x = convolve(conv, x, (plan.strides or {}).get(conv, 1))
        x = fire(_after(x), x)
        if conv in plan.pools:
            x = add(_after(x), pool, x)
        elif conv == plan.last_pool:
            last_pool = (_after(x), pool)
    for name, stride in plan.blocks:
        x = block(name, stride, x)
    if plan.final_pool:
        add("avgpool", AvgPool2d(kernel=(plan.final_pool,) * 2, stride=(plan.final_pool,) * 2), x)
    trunk, nodes = nodes, []
    x = _FLATTEN
    for linear in plan.linears:
        x = add(linear, maker.linear(linear), x)
        if linear != plan.linears[-1]:
            x = fire(_after(linear), x)
    add(_READOUT, Readout(), x)
    return _Network(rule.encoder, trunk, last_pool, nodes, channels, features)


def _after(name: str, places: int = 1) -> str:
    """What stands so many places behind ``name`` in its sequence; or, where it is in none, its neurons."""
    prefix, _, number = name.rpartition(".")
    return f"{prefix}.{int(number) + places}" if number.isdecimal() else f"{name}.neuron"


def _input_shape(where: str, network: _Network, plan: _Plan, given: Shape | None) -> tuple[Shape, bool]:
    """The shape of a sample, and whether one more pool stands behind the last convolution: what fits the classifier."""
    found: list[int] = []
    problems: list[GraphError] = []
    for shape in (given,) if given else plan.usual:
        for last_pool in (False, True) if network.last_pool else (False,):
            try:
                found.append(network.flattened(shape, last_pool))
            except GraphError as error:
                problems.append(error)
                continue
            if found[-1] == network.features:
                return shape, last_pool
    if problems and not found:
        shape = given or plan.usual[0]
        raise InputError(f"{where}: with samples of {_text(shape)}, {problems[0]}")
    takes = f"the first linear layer takes {network.features:,} values"
    if given:
        raise InputError(
            f"{where}: --input-shape is {_text(given)}, which gives {found[0]:,} values where {takes}; "
            "give the shape that it was trained with"
        )
    tried = " or ".join(map(_text, plan.usual)) or f"{network.channels} channels"
    raise InputError(f"{where}: {takes}, which no usual sample ({tried}) gives; give --input-shape (such as 3,64,64)")


def _text(shape: Shape) -> str:
    return ",".join(map(str, shape))
