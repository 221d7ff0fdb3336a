"""Pruning by magnitude: the smallest weights become zero and stay so while the network is trained on."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from neurocompile.errors import GraphError, InputError


class Pruning:
    """Which weights of a model remain. Call :meth:`apply` after each optimizer step.

    Attributes:
        masks: by parameter name, a tensor of its shape that is true where a weight remains.
    """

    def __init__(self, model: nn.Module, masks: Mapping[str, Tensor]) -> None:
        self.model = model
        self.masks = dict(masks)

    def apply(self) -> None:
        """Make the pruned weights exactly 0 again, whatever gradient, momentum or weight decay made of them."""
        with torch.no_grad():
            for name, mask in self.masks.items():
                weight = self.model.get_parameter(name)
                weight.masked_fill_(~mask.to(weight.device), 0)

    @property
    def density(self) -> float:
        """The part of the weights that remain."""
        return sum(int(mask.sum()) for mask in self.masks.values()) / sum(map(Tensor.numel, self.masks.values()))


def prune_by_magnitude(model: nn.Module, fraction: float = 0.9) -> Pruning:
    """Set the smallest weights of ``model`` to zero, in place, and return what keeps them there.

    The weights of all convolutions and linear layers are ranked together by magnitude, and the smallest ``fraction`` of
    them, rounded to a whole number, becomes zero (of weights of the same size, those of earlier layers first). Biases
    stay. IIR-SNN (Chowdhury et al. 2021, §5) removes 90 % of the weights of a VGG16 with one time step.

    The zeros are in the weights themselves, so a checkpoint needs no masks, and pruning a pruned network by the same
    fraction again gives the same masks.

    Raises:
        InputError: fraction is not in [0, 1).
        GraphError: there are no such layers.
    """
    if not 0 <= fraction < 1:
        raise InputError(f"fraction is {fraction!r}, limit 0 to below 1; give the part of the weights to remove")
    weights = {
        f"{name}.weight" if name else "weight": module.weight
        for name, module in model.named_modules()
        if isinstance(module, nn.Conv2d | nn.Linear)
    }
    if not weights:
        raise GraphError(f"{type(model).__name__}: has no Conv2d or Linear layers to prune; build the network first")
    sizes = torch.cat([weight.detach().abs().flatten() for weight in weights.values()])
    remains = torch.ones_like(sizes, dtype=torch.bool)
    remains[sizes.argsort(stable=True)[: round(fraction * len(sizes))]] = False
    parts = torch.split(remains, [weight.numel() for weight in weights.values()])
    pruning = Pruning(
        model, {name: part.view(weight.shape) for (name, weight), part in zip(weights.items(), parts, strict=True)}
    )
    pruning.apply()
    return pruning
