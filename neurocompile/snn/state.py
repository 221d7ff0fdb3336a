"""Layers that remember something from one time step to the next."""

from __future__ import annotations

from typing import Any

from torch import nn


class Stateful(nn.Module):
    """A layer whose ``state`` lives for one presentation: ``None`` before its first step, and after a reset."""

    def __init__(self) -> None:
        super().__init__()
        self.state: Any = None

    def reset_state(self) -> None:
        """Forget everything, as at the start of a sample."""
        self.state = None

    def __getstate__(self) -> dict[str, Any]:
        # What is remembered may hang on an autograd graph, which copy.deepcopy() refuses; a copy starts afresh.
        return {**self.__dict__, "state": None}


def reset_state(model: nn.Module) -> None:
    """Reset every stateful layer of ``model``: neurons, readouts, encoders and dropout masks."""
    for module in model.modules():
        if isinstance(module, Stateful):
            module.reset_state()
