"""What the tables share: how arguments, parameters and spike functions of a foreign module are read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from neurocompile.errors import GraphError
from neurocompile.frontend.cells import Call, Cell, Fired, Handler
from neurocompile.ir.nodes import Array, Compare, Readout, Shape


def arguments(call: Call, *names: str) -> tuple[Any, ...]:
    """The call's arguments in the order of ``names``, given by position or by name; None where one is not given."""
    given = dict(zip(names, call.args, strict=False)) | call.kwargs
    return tuple(given.get(name) for name in names)


def exact(value: Any) -> Tensor:
    """A number or tensor as float64 on the CPU, to compute with."""
    if isinstance(value, Tensor):
        return value.detach().cpu().double()
    return torch.tensor(value, dtype=torch.float64, device="cpu")


def parameter(value: Any, shape: Shape, what: str) -> Array:
    """A number or tensor that torch broadcasts against (N, *shape), as float64: a scalar where all neurons have the
    same value, (channels,) where those of a channel have, else ``shape``. GraphError where it does not broadcast."""
    array: Array = exact(value).numpy()
    if array.ndim == len(shape) + 1 and array.shape[0] == 1:
        array = array[0]
    try:
        full = np.broadcast_to(array, shape)
    except ValueError:
        raise GraphError(f"{what} has shape {array.shape}, which does not broadcast to the layer's {shape}") from None
    channels = full.reshape(shape[0], -1)
    if (full == channels[0, 0]).all():
        return np.array(channels[0, 0])
    if (channels == channels[:, :1]).all():
        return channels[:, 0].copy()
    return full


def comparison(fire: Callable[[Tensor], Tensor]) -> Compare:
    """Whether a spike function, given membrane - threshold, fires at zero. It is tried out, since surrogates differ in
    their gradients only; GraphError where it is no step from 0 to 1 (a smooth or a random one)."""
    around = torch.tensor([-1.0, -1e-6, 0.0, 1e-6, 1.0], device="cpu")
    try:
        with torch.no_grad():
            found = tuple(fire(around).tolist())
    except Exception as error:
        raise GraphError(
            f"its spike function failed when it was tried out ({error}); use one of the framework"
        ) from error
    if found == (0, 0, 0, 1, 1):
        return "above"
    if found == (0, 0, 1, 1, 1):
        return "at_or_above"
    raise GraphError("its spike function is not a step from 0 to 1; use a surrogate of the framework in spiking mode")


def membrane(cell: Cell, fired: Fired) -> Tensor:
    """The membrane that a layer leaves, to be passed on. Ours is read before its reset, so that one that is reset must
    not be read: the current stands for it then, which nobody can read."""
    keeps = isinstance(cell.soma, Readout) or cell.soma.reset == "none"
    return fired.membrane if keeps else fired.current


def refusals(module: str, reasons: Mapping[str, str]) -> dict[str, Handler]:
    """Entries for the classes of ``module`` that are known, and known not to be expressible."""

    def refusing(reason: str) -> Handler:
        return lambda call: call.refuse(reason)

    return {f"{module}.{name}": refusing(reason) for name, reason in reasons.items()}
