"""Where samples enter a network, and how they become events."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from neurocompile.errors import GraphError
from neurocompile.ir.nodes.base import Node, Shape, check_number, check_shape


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
        if self.scale is not None:
            check_number(self, "scale", self.scale)
        if self.low > self.high:
            raise GraphError(f"DirectEncoder: low {self.low} is above high {self.high}; swap them")


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
