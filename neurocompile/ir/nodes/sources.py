"""Where samples enter a network, and how they become events."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from neurocompile import coding
from neurocompile.errors import GraphError
from neurocompile.ir.nodes.base import Node, Shape, check_number, check_shape, spatial


@dataclass(frozen=True, eq=False, kw_only=True)
class Input(Node):
    """Where samples enter: shape ``shape``, one per presentation or one per time step."""

    arity: ClassVar[int | None] = 0
    shape: Shape

    def __post_init__(self) -> None:
        super().__post_init__()
        check_shape(self, self.shape)

    def output_shape(self, *inputs: Shape) -> Shape:  # noqa: ARG002 - a source has none
        return self.shape


@dataclass(frozen=True, eq=False, kw_only=True)
class DirectEncoder(Node):
    """Direct encoding: the analog value itself at every time step.

    Float: ``y = x``; ``limit`` is the largest ``|x|`` that is expected.
    Integer (``scale`` given): ``y = clip(round_half_even(x * scale), low, high)``.
    """

    limit: float = 1.0
    scale: float | None = None
    low: int = 0
    high: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number(self, "limit", self.limit)
        _check_code(self)

    @property
    def expected(self) -> tuple[float, float]:
        """The smallest and the largest value that it sends, as far as is known without samples."""
        return -self.limit, self.limit


@dataclass(frozen=True, eq=False, kw_only=True)
class HybridEncoder(Node):
    """Hybrid coding (Datta, Kundu & Beerel 2021, Eq. 5): the analog value at the first of ``timesteps`` steps, then one
    spike, the earlier the larger the value.

    Float: ``y[1] = x``; at later steps t, counted from 1, ``y[t] = 1`` where ``t = T_i``, else 0. The spike time T_i is
    ``coding.spike_times`` of x, which lies between ``minimum`` and ``maximum``; beyond, x itself is not clipped.
    Integer (``scale`` given): ``clip(round_half_even(y * scale), low, high)``, so that a spike is ``scale``.
    """

    timesteps: int
    minimum: float = 0.0
    maximum: float = 1.0
    scale: float | None = None
    low: int = 0
    high: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.timesteps < 1:
            raise GraphError(f"HybridEncoder.timesteps is {self.timesteps}; it must be at least 1")
        if not (self.minimum < self.maximum and math.isfinite(self.maximum - self.minimum)):
            raise GraphError(
                f"HybridEncoder: minimum {self.minimum} and maximum {self.maximum} are no range; give the smallest and "
                "the largest value of the samples"
            )
        _check_code(self)

    @property
    def expected(self) -> tuple[float, float]:
        """The smallest and the largest value that it sends, as far as is known without samples."""
        spikes = (0.0, 1.0) if self.timesteps > 1 else ()
        return min((self.minimum, *spikes)), max((self.maximum, *spikes))


@dataclass(frozen=True, eq=False, kw_only=True)
class DctEncoder(Node):
    """Frequencies one after the other (Garg, Chowdhury & Roy, *DCT-SNN*, 2021): at step t, counted from 0, every block
    of ``block`` x ``block`` pixels sends the part that frequency number ``t mod block**2`` has in it.

    Float: ``y[t] = coding.frequency_part(x, block, t)``; ``limit`` is the largest ``|x|`` that is expected.
    Integer (``scale`` given): ``clip(round_half_even(y * scale), low, high)``.
    Shapes: (channels, height, width), of which height and width are multiples of ``block``.
    """

    block: int = 4
    limit: float = 1.0
    scale: float | None = None
    low: int = 0
    high: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.block < 1:
            raise GraphError(f"DctEncoder.block is {self.block}; it must be at least 1")
        check_number(self, "limit", self.limit)
        _check_code(self)

    def output_shape(self, *inputs: Shape) -> Shape:
        _, *sides = spatial(self, inputs[0])
        if any(side % self.block for side in sides):
            raise GraphError(
                f"DctEncoder: {sides[0]} x {sides[1]} pixels are no whole blocks of {self.block} x {self.block}; pad "
                "or crop the samples, or choose another block"
            )
        return inputs[0]

    @property
    def expected(self) -> tuple[float, float]:
        """The smallest and the largest value that it sends, as far as is known without samples: what a pixel gets of
        a frequency is at most the largest value of its basis function times the sum of its magnitudes."""
        basis = (coding.cosines(self.block, frequency) for frequency in range(self.block))
        most = self.limit * max(max(map(abs, each)) * sum(map(abs, each)) for each in basis) ** 2
        return -most, most


@dataclass(frozen=True, eq=False, kw_only=True)
class PoissonEncoder(Node):
    """Signed Poisson spikes: ``y = sign(x)`` where ``uniform24(seed, sample, step, neuron) < |x| * gain * 2**24``.

    The draw is counter-based (``neurocompile.random``), so every engine draws the same whatever its order or batch.
    """

    gain: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number(self, "gain", self.gain)


def _check_code(node: DirectEncoder | HybridEncoder | DctEncoder) -> None:
    if node.scale is not None:
        check_number(node, "scale", node.scale)
    if node.low > node.high:
        raise GraphError(f"{node.kind}: low {node.low} is above high {node.high}; swap them")
