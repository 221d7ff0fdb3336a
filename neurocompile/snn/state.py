"""Layers that remember something from one time step to the next."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn


class Stateful(nn.Module):
    """A layer whose ``state`` lives for one presentation: ``None`` before its first step, and after a reset."""

    def __init__(self) -> None:
        super().__init__()
        self.state: Any = None

    def reset_state(self) -> None:
        """Forget everything, as at the start of a sample."""
        self.state = None

    def detach_state(self) -> None:
        """Keep the state's values and forget how they came about, so that no gradient flows further back."""
        self.state = _detached(self.state)

    def __getstate__(self) -> dict[str, Any]:
        # What is remembered may hang on an autograd graph, which copy.deepcopy() refuses; a copy starts afresh.
        return {**self.__dict__, "state": None}


def reset_state(model: nn.Module) -> None:
    """Reset every stateful layer of ``model``: neurons, readouts, encoders and dropout masks."""
    for module in model.modules():
        if isinstance(module, Stateful):
            module.reset_state()


def detach_state(model: nn.Module) -> None:
    """Cut the autograd graph at this time step: every stateful layer goes on from its state as from a constant."""
    for module in model.modules():
        if isinstance(module, Stateful):
            module.detach_state()


def _detached(state: Any) -> Any:
    if isinstance(state, Tensor):
        return state.detach()
    if isinstance(state, tuple) and hasattr(state, "_make"):  # a NamedTuple
        return state._make(map(_detached, state))
    if isinstance(state, list | tuple):
        return type(state)(map(_detached, state))
    return state
