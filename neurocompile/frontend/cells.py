"""What a neuron layer of any framework means in the graph's terms, and what a table's entry is given to say it with.

A framework's file under ``frameworks/`` has a ``TABLE`` from the full name of a class (``module.qualname``, compared as
text, so that no framework is imported) to a :data:`Handler`: a function that is called in place of the module's
``forward`` while a network is followed, with symbolic tensors, and returns what ``forward`` would return.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, NoReturn, Protocol

from torch import Tensor, nn

from neurocompile.ir.nodes import Array, Encoder, Neuron, Readout


def values(tensor: Tensor) -> Array:
    """A parameter's values in an array of their own: the module may change later, the graph does not."""
    # NumPy has no bfloat16, and half precision would only lose digits later
    plain = tensor.float() if tensor.is_floating_point() and tensor.itemsize < 4 else tensor
    array: Array = plain.detach().cpu().numpy().copy()
    return array


@dataclass(frozen=True)
class Cell:
    """One neuron layer: ``input = gain * (x + connection(what it sent one step before))``, which enters ``soma``.

    Parameters of the soma are float64 arrays: scalars, (channels,) or the full shape; so is ``gain``. ``connection`` is
    called with a symbolic tensor of the layer's shape; the layers that it goes through are followed like all others.
    """

    soma: Neuron | Readout
    gain: Array | None = None
    connection: Callable[[Tensor], Tensor] | None = None


@dataclass(frozen=True)
class Fired:
    """What a layer gives: its spikes (a readout's membrane), and its state after the step, or after every step."""

    spikes: Tensor
    membrane: Tensor
    current: Tensor


class Call(Protocol):
    """One call of a module that a table knows. Tensors are symbolic: shapes and torch's operations work on them."""

    @property
    def module(self) -> nn.Module: ...
    @property
    def path(self) -> str:
        """The module's dotted path in the network."""

    @property
    def args(self) -> tuple[Any, ...]: ...
    @property
    def kwargs(self) -> dict[str, Any]: ...

    def step(
        self, cell: Cell, x: Tensor, state: tuple[Tensor | None, ...] | None = None, name: str | None = None
    ) -> Fired:
        """One time step with input x (N, *shape). ``state``: the state tensors that the caller passed, where it is the
        caller who keeps them (None: the layer does): they must be zeros or None at the first step, then what this layer
        left at the step before, else it is refused. ``name``: the soma's, where that is not the path."""

    def sequence(
        self, cell: Cell, x: Tensor, axis: int, state: tuple[Tensor | None, ...] | None = None, name: str | None = None
    ) -> Fired:
        """All time steps of x, which lie along ``axis`` (0: (T, N, *shape), 1: (N, T, *shape), -1: (N, *shape, T))."""

    def encode(self, encoder: Encoder, x: Tensor) -> Tensor:
        """An encoder, which must read the network's input itself; one call is one time step."""

    def named(self, name: str) -> AbstractContextManager[None]:
        """Nodes that are made while it is open bear this name."""

    def note(self, text: str) -> None:
        """Tell the user of something that the graph says otherwise than the module, which is no reason to refuse."""

    def refuse(self, reason: str) -> NoReturn:
        """Put the module on the list of what cannot be compiled; ``reason`` says why and what to use instead."""


Handler = Callable[[Call], Any]
