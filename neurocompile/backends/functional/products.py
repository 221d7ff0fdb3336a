"""Products: what the synapses of a projection give, by the fastest arithmetic that is proved exact for them.

Frames are tensors of integers (frames, *source shape), images in memory with channels last; sums come out likewise, of
the soma's shape. Which arithmetic is exact follows from the interval analysis (``ir/bounds.py``): all partial sums of a
neuron lie in its range, so a type that holds the range holds every intermediate result, in whatever order it is summed.
"""

from __future__ import annotations

import abc
import functools
import math
import platform
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from neurocompile.ir.bounds import Interval, sent_range
from neurocompile.ir.graph import Graph
from neurocompile.ir.interpret import linear
from neurocompile.ir.nodes import (
    MOVES,
    Array,
    Conv2d,
    Linear,
    PadChannels,
    Scale,
    Shape,
    SumPool2d,
    magnitude,
    per_channel,
)
from neurocompile.ir.populations import Projection

_FLOAT32_LIMIT = 1 << 24  # float32 holds every integer up to here
_FLOAT64_LIMIT = 1 << 53
# weights of a matrix; beyond, a trial takes long, and large matrices are what kernels are made for
_LARGEST_TRIED = 1 << 22

Operator = Callable[[Tensor], Tensor]


class Weighted(Protocol):
    """The weights of a projection on frames (frames, ...) that its pools and flattening have prepared."""

    @property
    def arithmetic(self) -> str: ...

    def __call__(self, frames: Tensor) -> Tensor: ...


@dataclass(frozen=True)
class Product:
    """One projection. ``why`` tells why its arithmetic is exact; ``most`` is the largest magnitude of its sums."""

    projection: Projection
    before: tuple[Operator, ...]
    weighted: Weighted
    after: tuple[Operator, ...]
    why: str
    most: int

    @property
    def itemsize(self) -> int:
        """Bytes of a weight, and of an input, as the arithmetic has them."""
        return {"u8 x s8": 1, "float32": 4}.get(self.weighted.arithmetic, 8)

    @property
    def spread(self) -> int:
        """How many times what a projection reads is, at most, what its convolution reads, all zeros put in."""
        most = 1
        for operator in self.before:
            if isinstance(operator, _Spread):
                most = -(-math.prod(operator.shape) // math.prod(operator.read))
        return most

    @property
    def frame_bytes(self) -> int:
        """What the weights read for one frame, as their arithmetic has it, and the sums that they give."""
        node, shape = self.projection.weighted, self.projection.source_shape
        for operator in self.projection.operators:
            if operator is node:
                break
            shape = operator.output_shape(shape)
        read, sums = math.prod(shape) * self.spread, math.prod(node.output_shape(shape))
        if isinstance(node, Conv2d) and self.itemsize == 8:
            # torch's float64 and NumPy's int64 lay out all windows side by side
            read += math.prod(node.weight.shape[1:]) * node.groups * sums // len(node.weight)
        return self.itemsize * read + max(self.itemsize, 4) * sums

    @functools.cached_property
    def delays(self) -> tuple[tuple[int, Array | slice], ...]:
        """Each delay in the network's time with the source's neurons, channels fastest, whose spikes have it."""
        past, shape = self.projection.past, self.projection.source_shape
        if past is None or past.axon_steps is None:
            return ((0 if past is None else past.steps, slice(None)),)
        every = np.broadcast_to(per_channel(past.delays, shape), shape)
        flat = np.moveaxis(every, 0, -1).ravel()
        return tuple((int(delay), np.flatnonzero(flat == delay)) for delay in np.unique(flat))

    def prepare(self, frames: Tensor) -> Tensor:
        for operator in self.before:
            frames = operator(frames)
        return frames

    def __call__(self, frames: Tensor) -> Tensor:
        return self._finish(self.weighted(self.prepare(frames)))

    def _finish(self, sums: Tensor) -> Tensor:
        for operator in self.after:
            sums = operator(sums)
        return sums

    def firing(self, sign: Array, limit: Array) -> Operator | None:
        """The product that also compares: bytes 1 where ``sign * sum > limit``, for sums without their exponent and
        () or (channels,) of signs and limits; None where its kernel cannot."""
        if not isinstance(self.weighted, (ByteConv, ByteLinear)):
            return None
        fire = self.weighted.firing(sign, limit)
        return lambda frames: self._finish(fire(self.prepare(frames)))


def make_product(graph: Graph, projection: Projection, sums: Interval) -> Product:
    """The product of a projection whose sums lie in ``sums``."""
    most = max(-int(sums.low.min()), int(sums.high.max()))
    return _product(projection, sent_range(graph, projection.source), most)


def _product(projection: Projection, ends: tuple[int, int], most: int) -> Product:
    """For inputs within ``ends`` and sums of at most ``most``, of either sign."""
    low, high = ends
    before: list[Operator] = []
    after: list[Operator] = []
    weights, shape = projection.weighted, projection.source_shape
    for node in projection.operators:
        if node is projection.weighted:
            source_shape, before, after = shape, after, []
            if isinstance(weights, Conv2d) and weights.spreads:
                spread = _Spread(weights, shape)
                source_shape, before = spread.shape, [*before, spread]
                weights = replace(weights, padding=(0, 0), upsample=(1, 1), end_padding=(0, 0))
        elif isinstance(node, SumPool2d):
            low, high = (end * node.kernel[0] * node.kernel[1] for end in (low, high))
            after.append(_Pool(node, getattr(torch, narrowest(low, high).name)))
        shape = node.output_shape(shape)
        if isinstance(node, MOVES):
            after.append(_Move(shape))
        elif isinstance(node, PadChannels):
            after.append(_Pad(node))
    weighted, reason = _choose(weights, source_shape, low, high, most)
    why = f"inputs {low}..{high}, sums within {most:,}{reason}"
    return Product(projection, tuple(before), weighted, tuple(after), why, most)


def _choose(node: Conv2d | Linear | Scale, shape: Shape, low: int, high: int, most: int) -> tuple[Weighted, str]:
    """The fastest arithmetic that is exact, and that a trial of its kernel does not find wrong."""
    if most < _FLOAT32_LIMIT and not isinstance(node, Scale) and (reason := _fits_bytes(node, low, high)):
        zero_point = 0 if low >= 0 else 128
        if _answers_rightly(*_geometry(node), shape, "bytes", zero_point, settings()):
            return _bytes(node, shape, zero_point), f" < 2^24; {reason}"
    for dtype, limit, power in ((torch.float32, _FLOAT32_LIMIT, 24), (torch.float64, _FLOAT64_LIMIT, 53)):
        whole = dtype == torch.float64 or _float32_under(settings())
        if most < limit and whole and _answers_rightly(*_geometry(node), shape, "floating", dtype, settings()):
            return _floating(node, shape, dtype), f" < 2^{power}"
    return Interpreted(node), " >= 2^53" if most >= _FLOAT64_LIMIT else "; torch's kernels answer wrongly here"


def _bytes(node: Conv2d | Linear, shape: Shape, zero_point: int) -> ByteConv | ByteLinear:
    if isinstance(node, Conv2d):
        return ByteConv(node, shape, zero_point)
    return ByteLinear(node, shape, zero_point)


def _geometry(node: Conv2d | Linear | Scale) -> tuple[type, Shape, Any]:
    """What a kernel is chosen by: kind, shape of the weights, and the rest."""
    others = (node.stride, node.padding, node.dilation, node.groups) if isinstance(node, Conv2d) else None
    return type(node), node.weight.shape, others


@functools.lru_cache(maxsize=1024)
def _answers_rightly(
    kind: type, weight_shape: Shape, geometry: Any, shape: Shape, arithmetic: str, choice: Any,
    _settings: tuple[Any, ...],
) -> bool:  # fmt: skip
    """Whether a kernel gives the right sums for small weights and inputs, under the settings that torch has.

    What the bounds prove, they prove of the arithmetic. That kernels do what they say is tried for each geometry, since
    some do not (``_ordinary``).
    """
    if kind is Scale or (math.prod(weight_shape) > _LARGEST_TRIED and kind is Linear):
        return True
    rng = np.random.default_rng(0)
    weight = rng.integers(-7, 8, weight_shape).astype(np.int8)
    node: Conv2d | Linear
    if kind is Conv2d:
        stride, padding, dilation, groups = geometry
        node = Conv2d(weight=weight, stride=stride, padding=padding, dilation=dilation, groups=groups)
    else:
        node = Linear(weight=weight)
    signed = arithmetic != "bytes" or choice == 128
    given = rng.integers(-8 if signed else 0, 8, (3, *shape))
    frames = torch.from_numpy(given.astype(np.int8 if signed else np.uint8))
    if frames.ndim == 4:
        frames = as_image(frames.permute(0, 2, 3, 1).contiguous())
    product = _bytes(node, shape, choice) if arithmetic == "bytes" else _floating(node, shape, choice)
    right = fast_linear(node, given.astype(np.float64))
    return bool((product(frames).numpy() == right).all())


def _fits_bytes(node: Conv2d | Linear, low: int, high: int) -> str | None:
    """Why the u8 x s8 kernels are exact for these inputs and weights; None where they are not, or are not here."""
    unsigned, signed = low >= 0 and high <= 255, low >= -128 and high <= 127
    largest = magnitude(node.weight)
    if not (unsigned or signed) or largest > 127 or not byte_kernels():
        return None
    if isinstance(node, Conv2d) and not _ordinary(node):
        return None
    byte = high if unsigned else 255
    # sums of bytes are taken in 32 bits; with a zero point they are those of the shifted inputs
    if not unsigned and int(np.prod(node.weight.shape[1:])) * 255 * 127 >= 1 << 31:
        return None
    if has_vnni():
        return "bytes, summed in 32 bits (VNNI)"
    # without VNNI, neighbouring products are first added in 16 bits
    return "bytes, whose pairs fit 16 bits" if 2 * byte * largest < 1 << 15 else None


def _ordinary(node: Conv2d) -> bool:
    """Whether a convolution is of the shape that oneDNN's kernels of bytes are made for.

    Others they sometimes get wrong, or write where they must not: with dilation, where strides differ, where a window
    is in the padding alone, or a group reads one channel. ``benchmarks/geometries.py`` found 141 such of 18,500, and
    none of 50,125 ordinary ones.
    """
    kernel = node.weight.shape[2:]
    depthwise = len(node.weight) == node.groups > 1
    return (
        (node.weight.shape[1] > 1 or depthwise)
        and node.dilation == (1, 1)
        and node.stride in ((1, 1), (2, 2))
        and max(kernel) <= 7
        and all(2 * padding < size for size, padding in zip(kernel, node.padding, strict=True))
    )


@functools.cache
def has_vnni() -> bool:
    """Whether sums of bytes are taken in 32 bits at once.

    oneDNN can be told to use less than the processor has, so this is tried where 16 bits would not hold two products.
    """
    supported = getattr(torch.cpu, "_is_vnni_supported", None)
    if not supported or not supported():
        return False
    weight = np.full((16, 64), 127, np.int8)
    frames = torch.full((16, 64), 255, dtype=torch.uint8, device="cpu")
    flat = ByteLinear(Linear(weight=weight), (64,), 0)(frames)
    image = ByteConv(Conv2d(weight=weight[:, :, None, None]), (64, 1, 1), 0)(frames[:, :, None, None])
    return bool((flat == 64 * 127 * 255).all() and (image == 64 * 127 * 255).all())


@functools.cache
def byte_kernels() -> bool:
    """Whether torch has oneDNN's u8 x s8 kernels here, and they answer rightly."""
    if platform.machine() not in ("x86_64", "AMD64"):
        return False
    weight = np.array([[1, -2, 3, 127], [-127, 5, 0, 1]], np.int8)
    given = np.array([[0, 1, 2, 3], [100, 0, 50, 9]], np.int64)
    try:
        sums = ByteLinear(Linear(weight=weight), (4,), 0)(torch.from_numpy(given.astype(np.uint8)))
        image = torch.from_numpy(given.astype(np.uint8))[:, :, None, None]
        kernel = Conv2d(weight=weight[:, :, None, None])
        fired = ByteConv(kernel, (4, 1, 1), 0).firing(np.array(1), np.array([5, -7]))(image)
    except (AttributeError, RuntimeError, TypeError):  # no such operators in this torch, or with other arguments
        return False
    expected = given @ weight.T.astype(np.int64)
    right = (sums.numpy() == expected).all() and (fired.numpy()[:, :, 0, 0] == (expected > [5, -7])).all()
    return bool(right)


def float32_is_whole() -> bool:
    """Whether torch multiplies float32 in full: settings may let it round to bfloat16 or TF32 first, or transform."""
    draw = np.random.default_rng(0)
    # 13 bits in a factor, which shorter ones cannot hold; 16 frames, since fewer do not go where some builds transform
    x = torch.from_numpy(draw.integers(-4097, 4098, (16, 16, 8, 8)).astype(np.float64))
    x = x.contiguous(memory_format=torch.channels_last)
    weight = torch.from_numpy(draw.integers(-3, 4, (16, 16, 3, 3)).astype(np.float64))
    return (
        _is_whole(functional.conv2d, x, weight)
        and _is_whole(functools.partial(functional.conv2d, groups=16), x, weight[:, :1])
        and _is_whole(torch.matmul, x.reshape(-1, 64), weight.reshape(-1)[:2048].reshape(64, 32))
    )


@functools.lru_cache(maxsize=16)  # a network may have hundreds of projections, and a trial takes milliseconds
def _float32_under(_settings: tuple[Any, ...]) -> bool:
    """``float32_is_whole`` under the settings that torch has."""
    return float32_is_whole()


def _is_whole(function: Callable[..., Tensor], *arrays: Tensor) -> bool:
    y = function(*(each.float() for each in arrays))
    return y.dtype == torch.float32 and bool((y.double() == function(*arrays)).all())


def settings() -> tuple[Any, ...]:
    """What can be changed in torch that its kernels of floats depend on."""
    mkldnn = torch.backends.mkldnn
    parts = (mkldnn, getattr(mkldnn, "conv", None), getattr(mkldnn, "matmul", None), torch.backends)
    precisions = tuple(getattr(part, "fp32_precision", None) for part in parts)
    return mkldnn.enabled, torch.get_float32_matmul_precision(), *precisions


def narrowest(low: int, high: int) -> np.dtype[Any]:
    """The narrowest integers in which frames from ``low`` to ``high`` are kept."""
    for dtype in (np.uint8, np.int8, np.int32):
        if np.iinfo(dtype).min <= low and high <= np.iinfo(dtype).max:
            return np.dtype(dtype)
    return np.dtype(np.int64)


# ------------------------------------------------------------------------------------------------ before and after


@dataclass(frozen=True)
class _Pool:
    """A sum pool; ``dtype`` holds its sums."""

    node: SumPool2d
    dtype: torch.dtype

    def __call__(self, frames: Tensor) -> Tensor:
        (high, wide), (down, right), (pad_h, pad_w) = self.node.kernel, self.node.stride, self.node.padding
        x = frames.permute(0, 2, 3, 1)
        if pad_h or pad_w:
            x = functional.pad(x, (0, 0, pad_w, pad_w, pad_h, pad_h))
        rows, columns = (x.shape[1] - high) // down + 1, (x.shape[2] - wide) // right + 1
        total = torch.zeros((len(x), rows, columns, x.shape[3]), dtype=self.dtype, device="cpu")
        for i in range(high):
            for j in range(wide):
                total += x[:, i : i + down * (rows - 1) + 1 : down, j : j + right * (columns - 1) + 1 : right]
        return as_image(total)


def as_image(frames: Tensor) -> Tensor:
    """(frames, height, width, channels) -> (frames, channels, height, width), the same memory.

    With one channel the two are the same layout, and the strides say the usual one: oneDNN mistakes the other.
    """
    count, height, width, channels = frames.shape
    return frames.view(count, 1, height, width) if channels == 1 else frames.permute(0, 3, 1, 2)


def channels_second(frames: Tensor) -> Tensor:
    """(frames, ..., channels) -> (frames, channels, ...), the same memory."""
    return as_image(frames) if frames.ndim == 4 else frames.movedim(-1, 1)


@dataclass(frozen=True)
class _Spread:
    """The input of a convolution with all of its zeros: between its values, and around them. What is left to do is an
    ordinary convolution without padding. ``read``: the shape of the input."""

    node: Conv2d
    read: Shape

    @property
    def shape(self) -> Shape:
        channels, *sizes = self.node.spread(self.read)
        return (channels, *(size + 2 * padding for size, padding in zip(sizes, self.node.padding, strict=True)))

    def __call__(self, frames: Tensor) -> Tensor:
        channels, height, width = self.shape
        (pad_h, pad_w), (down, right) = self.node.padding, self.node.upsample
        _, rows, columns = self.read
        whole = torch.zeros((len(frames), height, width, channels), dtype=frames.dtype, device="cpu")
        inner = whole[
            :, pad_h : pad_h + down * (rows - 1) + 1 : down, pad_w : pad_w + right * (columns - 1) + 1 : right
        ]
        inner.copy_(frames.permute(0, 2, 3, 1))
        return as_image(whole)


@dataclass(frozen=True)
class _Move:
    """The same values, row-major, in another shape."""

    shape: Shape

    def __call__(self, frames: Tensor) -> Tensor:
        return channels_second(frames.reshape(len(frames), *self.shape).movedim(1, -1).contiguous())


@dataclass(frozen=True)
class _Pad:
    """The place of a part among all channels."""

    node: PadChannels

    def __call__(self, frames: Tensor) -> Tensor:
        return channels_second(functional.pad(frames.movedim(1, -1), (self.node.before, self.node.after)).contiguous())


# ------------------------------------------------------------------------------------------------------- arithmetic


def _unsigned(frames: Tensor, zero_point: int) -> Tensor:
    """Frames as bytes from zero; signed ones are shifted by 128."""
    if frames.dtype == torch.uint8:
        return frames
    if not zero_point:
        return frames.to(torch.uint8)
    return frames.to(torch.int8).view(torch.uint8) ^ 128


class _Bytes(abc.ABC):
    """Shared by the kernels u8 x s8, which sum in 32 bits and give float32, or fired bytes."""

    arithmetic = "u8 x s8"

    def __init__(self, node: Conv2d | Linear, zero_point: int) -> None:
        self.node, self.zero_point = node, zero_point
        channels = len(node.weight)
        self._zeros = torch.zeros(channels, dtype=torch.int64, device="cpu")
        # a power of two, which a float32 takes without loss
        scale = float(1 << node.weight_exponent)
        self._scales = torch.full((channels,), scale, dtype=torch.float32, device="cpu")
        self._ones = torch.ones(channels, dtype=torch.float32, device="cpu")
        self._weight = self._pack(node.weight)

    @abc.abstractmethod
    def _pack(self, weight: Array) -> Tensor:
        """int8 weights as the kernel takes them."""

    @abc.abstractmethod
    def _run(
        self, x: Tensor, weight: Tensor, scales: Tensor, bias: Tensor | None, dtype: torch.dtype,
        then: str, bounds: list[float],
    ) -> Tensor:  # fmt: skip
        """The kernel on frames of bytes; ``then`` is done with the sums, within ``bounds``."""

    def __call__(self, frames: Tensor) -> Tensor:
        x = _unsigned(frames, self.zero_point)
        return self._run(x, self._weight, self._scales, None, torch.float32, "none", [])

    def firing(self, sign: Array, limit: Array) -> Operator:
        """As ``Product.firing``."""
        channels = len(self.node.weight)
        sign, limit = np.broadcast_to(sign, channels), np.broadcast_to(limit, channels)
        weight = self.node.weight * sign.astype(np.int8).reshape(-1, *[1] * (self.node.weight.ndim - 1))
        packed = self._pack(weight.astype(np.int8))
        bias = torch.from_numpy((-limit).astype(np.float32))

        def fire(frames: Tensor) -> Tensor:
            x = _unsigned(frames, self.zero_point)
            # an integer above the limit leaves at least 1, any other at most 0
            return self._run(x, packed, self._ones, bias, torch.uint8, "hardtanh", [0.0, 1.0])

        return fire


class ByteConv(_Bytes):
    def __init__(self, node: Conv2d, shape: Shape, zero_point: int) -> None:
        self._shape = shape
        self._geometry = list(node.stride), list(node.padding), list(node.dilation), node.groups
        super().__init__(node, zero_point)

    def _pack(self, weight: Array) -> Tensor:
        packed: Tensor = torch.ops.onednn.qconv_prepack(
            torch.tensor(weight, dtype=torch.int8, device="cpu"),
            self._ones,
            1.0,
            self.zero_point,
            *self._geometry,
            [1, *self._shape],
        )
        return packed

    def _run(
        self, x: Tensor, weight: Tensor, scales: Tensor, bias: Tensor | None, dtype: torch.dtype,
        then: str, bounds: list[float],
    ) -> Tensor:  # fmt: skip
        sums: Tensor = torch.ops.onednn.qconv2d_pointwise(
            x, 1.0, self.zero_point, weight, scales, self._zeros, bias, *self._geometry, 1.0, 0, dtype, then, bounds, ""
        )
        return sums


class ByteLinear(_Bytes):
    def __init__(self, node: Linear, shape: Shape, zero_point: int) -> None:
        self._shape = shape
        super().__init__(node, zero_point)

    def _pack(self, weight: Array) -> Tensor:
        packed: Tensor = torch.ops.onednn.qlinear_prepack(
            torch.tensor(weight, dtype=torch.int8, device="cpu"), [1, *self._shape]
        )
        return packed

    def _run(
        self, x: Tensor, weight: Tensor, scales: Tensor, bias: Tensor | None, dtype: torch.dtype,
        then: str, bounds: list[float],
    ) -> Tensor:  # fmt: skip
        sums: Tensor = torch.ops.onednn.qlinear_pointwise(
            x, 1.0, self.zero_point, weight, scales, self._zeros, bias, 1.0, 0, dtype, then, bounds, ""
        )
        return sums


@dataclass(frozen=True)
class Floating:
    """Floating point, in a type that holds all sums exactly; the exponent is in the weights."""

    node: Conv2d | Linear | Scale
    weight: Tensor

    @property
    def arithmetic(self) -> str:
        return str(self.weight.dtype).removeprefix("torch.")

    def __call__(self, frames: Tensor) -> Tensor:
        x, node = frames.to(self.weight.dtype), self.node
        if isinstance(node, Conv2d):
            sums = functional.conv2d(x, self.weight, None, node.stride, node.padding, node.dilation, node.groups)
            return sums.contiguous(memory_format=torch.channels_last)
        return x @ self.weight.T if isinstance(node, Linear) else x * self.weight


def _floating(node: Conv2d | Linear | Scale, shape: Shape, dtype: torch.dtype) -> Floating:
    array = node.weight.astype(np.float64) * (1 << node.weight_exponent)
    weight = torch.tensor(per_channel(array, shape) if isinstance(node, Scale) else array, dtype=dtype, device="cpu")
    if isinstance(node, Conv2d):
        weight = weight.contiguous(memory_format=torch.channels_last)
    return Floating(node, weight)


@dataclass(frozen=True)
class Interpreted:
    """The interpreter's own int64."""

    node: Conv2d | Linear | Scale
    arithmetic: str = "int64"

    def __call__(self, frames: Tensor) -> Tensor:
        sums = torch.from_numpy(linear(self.node, frames.to(torch.int64).contiguous().numpy()))
        return sums.contiguous(memory_format=torch.channels_last) if sums.ndim == 4 else sums


def fast_linear(node: Any, *inputs: Array) -> Array:
    """As ``ir.interpret.linear`` for floats, convolutions by torch, which may add in another order."""
    if isinstance(node, Conv2d) and inputs[0].dtype.kind == "f":
        x = torch.from_numpy(np.ascontiguousarray(inputs[0]))
        weight, padding = torch.tensor(node.weight, dtype=x.dtype, device="cpu"), node.padding
        if node.spreads:
            x, padding = _Spread(node, inputs[0].shape[1:])(x).contiguous(), (0, 0)
        y: Array = functional.conv2d(x, weight, None, node.stride, padding, node.dilation, node.groups).numpy()
        y = y * (1 << node.weight_exponent)
        return y if node.bias is None else y + node.bias[:, None, None]
    return linear(node, *inputs)


def fast_product(projection: Projection, events: Array) -> Array:
    """As ``Projection.apply`` for float events (N, *source_shape); the sums of integer weights are exact."""
    if projection.weighted.weight.dtype.kind != "i":
        for node in projection.operators:
            events = fast_linear(node, events)
        return events
    ends = min(int(events.min()), 0), max(int(events.max()), 0)
    frames = torch.from_numpy(np.ascontiguousarray(events.astype(narrowest(*ends))))
    frames = channels_second(frames.movedim(1, -1).contiguous())
    sums: Array = _product(projection, ends, _reach(projection, ends))(frames).numpy()
    return sums.astype(np.float64)


def _reach(projection: Projection, ends: tuple[int, int]) -> int:
    """A magnitude that no sum of inputs within ``ends`` exceeds."""
    inputs = max(-ends[0], ends[1])
    for node in projection.operators:
        if isinstance(node, SumPool2d):
            inputs *= node.kernel[0] * node.kernel[1]
    weight = projection.weighted.weight
    rows = np.abs(weight.astype(np.int64)).reshape(len(weight) if weight.ndim > 1 else weight.size, -1)
    return inputs * int(rows.sum(axis=1).max()) << projection.weighted.weight_exponent
