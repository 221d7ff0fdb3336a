"""Recurrence: a layer whose own spikes come back to it one time step later."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from neurocompile.errors import InputError
from neurocompile.snn.neuron import LIF, spread
from neurocompile.snn.state import Stateful


class OneToOne(nn.Module):
    """``y = weight * x``: a synapse of its own for each neuron.

    ``weight`` is a parameter: one value (), one per channel (C,), or one per neuron, e.g. (C, H, W). The shape of x is
    (N, C, ...).

    Raises:
        InputError: the weight's shape does not fit x.
    """

    def __init__(self, weight: float | Tensor = 1.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.as_tensor(weight, dtype=torch.get_default_dtype()).detach().clone())

    def forward(self, x: Tensor) -> Tensor:
        return spread(self, "weight", x) * x

    def extra_repr(self) -> str:
        return f"weight={tuple(self.weight.shape)}"


class Recurrent(Stateful):
    """Spiking neurons that also receive their own spikes of the step before; calling it runs one time step.

    ``s[t] = neuron(x[t] + connection(s[t-1]))``, with s zero before the first step of a presentation.

    Args:
        neuron: a :class:`LIF` or :class:`IF`.
        connection: all to all (``nn.Linear(C, C)``, for x of shape (N, C)), within a neighbourhood (an ``nn.Conv2d``
            that keeps channels, height and width) or one to one (:class:`OneToOne`). Its bias, if it has one, acts at
            every step.

    Shapes: x, and the spikes that are returned, have the shape that ``neuron`` takes. Gradients flow back through all
    steps.

    Raises:
        InputError: neuron or connection is of another type, or the connection changes the shape.
    """

    def __init__(self, neuron: LIF, connection: nn.Linear | nn.Conv2d | OneToOne) -> None:
        super().__init__()
        for name, part, kinds in (("neuron", neuron, (LIF,)), ("connection", connection, CONNECTIONS)):
            if not isinstance(part, kinds):
                wanted = " or ".join(kind.__name__ for kind in kinds)
                raise InputError(f"Recurrent: {name} is a {type(part).__name__}; give it a {wanted}")
        self.neuron, self.connection = neuron, connection

    def forward(self, x: Tensor) -> Tensor:
        before: Tensor = torch.zeros_like(x) if self.state is None else self.state
        back: Tensor = self.connection(before)
        if back.shape != x.shape:
            raise InputError(
                f"Recurrent: its connection gives {tuple(back.shape[1:])} for an input of shape {tuple(x.shape[1:])}; "
                "give it one that keeps the shape, or call reset_state(model) before a new batch"
            )
        spikes: Tensor = self.neuron(x + back)
        self.state = spikes
        return spikes


CONNECTIONS = (nn.Linear, nn.Conv2d, OneToOne)
