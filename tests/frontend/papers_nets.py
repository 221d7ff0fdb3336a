"""Dictionaries as the papers' code saves them, and what that code computes, said anew in plain torch.

Each network is a list of layers; ``simulate`` steps through time with a dictionary of membranes, as their loops do, in
float64. Weights and thresholds are dyadic, so that no sum rounds and equal means equal.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional

Form = Literal["hybrid", "old hybrid", "early diet", "learned", "atari"]

#: their tables, at a sixteenth of the channels
VGG = {
    "VGG4": [4, "A", 8, "A"],
    "VGG5": [4, "A", 8, 8, "A"],
    "VGG9": [4, "A", 8, 16, "A", 16, 32, "A", 32, "A", 32],
    "VGG11": [4, "A", 8, 16, "A", 32, 32, "A", 32, "A", 32, 32],
    "VGG11-HIRE": [4, "A", 8, 16, "A", 32, 32, 32, "A", 32, 32],
    "VGG11-CIFAR100": [4, "A", 8, 16, 16, "A", 32, 32, 32, "A", 32, 32],
    "VGG13": [4, 4, "A", 8, 8, "A", 16, 16, "A", 32, 32, 32, "A", 32],
    "VGG16": [4, 4, "A", 8, 8, "A", 16, 16, 16, "A", 32, 32, 32, "A", 32, 32, 32],
    "VGG19": [4, 4, "A", 8, 8, "A", 16, 16, 16, 16, "A", 32, 32, 32, 32, "A", 32, 32, 32, 32],
}
RESNET = {
    "resnet6": [1, 1, 0, 0],
    "resnet12": [1, 1, 1, 1],
    "resnet20": [2, 2, 2, 2],
    "resnet34": [3, 4, 6, 3],
}


@dataclass
class Net:
    """A state dict, and the layers in order: ("conv", key, position) and a stride where it is not padded, ("pool",
    size), ("flatten",), ("out", key), ("block", key of its branch, of its shortcut, position, stride), ("linear", key,
    position)."""

    layers: list[tuple[Any, ...]] = field(default_factory=list)
    state: dict[str, Tensor] = field(default_factory=dict)
    positions: list[int] = field(default_factory=list)
    generator: torch.Generator = field(default_factory=lambda: torch.Generator().manual_seed(5))

    def weight(self, key: str, *shape: int, bias: bool = False) -> None:
        fan_in = torch.Size(shape[1:]).numel()
        values = torch.randint(-3, 5, shape, generator=self.generator).float()
        # about four of a neuron's synapses count, whatever its fan-in
        self.state[f"{key}.weight"] = values * (torch.rand(shape, generator=self.generator) < 6 / fan_in) / 4
        if bias:
            self.state[f"{key}.bias"] = torch.randint(-1, 3, shape[:1], generator=self.generator) / 8

    def position(self, at: int) -> int:
        self.positions.append(at)
        return at


def vgg(name: str, *, channels: int = 3, side: int = 32, imagenet: bool = False, bias: bool = False) -> Net:
    net, number, width = Net(), 0, channels
    items = [*VGG[name], *(["A"] if imagenet else [])]
    for item in items:
        if item == "A":
            net.layers.append(("pool", 2))
            side //= 2
            continue
        net.weight(f"features.{number}", item, width, 3, 3, bias=bias)
        net.layers.append(("conv", f"features.{number}", net.position(number)))
        number, width = number + 3, item
    net.layers.append(("flatten",))
    hidden = [10] if name == "VGG4" else [12, 10]
    sizes = [width * side * side, *hidden, 6]
    for index, (into, out) in enumerate(itertools.pairwise(sizes)):
        net.weight(f"classifier.{3 * index}", out, into)
        last = index == len(hidden)
        entry = (
            ("out", f"classifier.{3 * index}") if last else ("linear", f"classifier.{3 * index}", number + 3 * index)
        )
        net.layers.append(entry)
        if not last:
            net.position(number + 3 * index)
    return net


def resnet(name: str, *, imagenet: bool = False, bias: bool = False, side: int = 32) -> Net:
    net, width = Net(), 3
    inner, shortcut = ("delay_path", "shortcut") if imagenet else ("residual", "identity")
    for number in (0, 3, 6):
        net.weight(f"pre_process.{number}", 4, width, 3, 3, bias=bias)
        net.layers.append(("conv", f"pre_process.{number}", net.position(number)))
        width = 4
    pool = 3 if imagenet else 2
    net.layers.append(("pool", pool))
    side //= pool
    position = 9
    for stage, count in enumerate(RESNET[name], start=1):
        for block in range(count):
            out, stride = 4 << (stage - 1), 2 if stage > 1 and block == 0 else 1
            key = f"layer{stage}.{block}"
            net.weight(f"{key}.{inner}.0", out, width, 3, 3, bias=bias)
            net.weight(f"{key}.{inner}.3", out, out, 3, 3, bias=bias)
            if stride != 1 or out != width:
                net.weight(f"{key}.{shortcut}.0", out, width, 1, 1, bias=bias)
            net.layers.append(("block", f"{key}.{inner}", f"{key}.{shortcut}.0", net.position(position), stride))
            net.position(position + 1)
            position, width, side = position + 2, out, -(-side // stride)
    if imagenet:
        net.layers.append(("pool", 7))
        side //= 7
    net.layers.append(("flatten",))
    net.weight("classifier.0", 6, width * side * side)
    net.layers.append(("out", "classifier.0"))
    return net


def atari() -> Net:
    """An eighth of the channels, and frames of 84 x 84."""
    net, width = Net(), 1
    for at, (key, out, kernel, stride) in enumerate((("conv1", 4, 8, 4), ("conv2", 8, 4, 2), ("conv3", 8, 3, 1))):
        net.weight(key, out, width, kernel, kernel)
        net.layers.append(("conv", key, net.position(at), stride))
        width = out
    net.layers.append(("flatten",))
    net.weight("fc1", 12, width * 7 * 7)
    net.layers.append(("linear", "fc1", net.position(3)))
    net.weight("head", 6, 12)
    net.layers.append(("out", "head"))
    return net


def document(
    net: Net, form: Form, *, timesteps: int = 6, threshold: float = 0.5, leak: float = 0.875, prefix: str = "module."
) -> dict[str, Any]:
    """What is saved of ``net``. Thresholds go up from layer to layer, leaks go down, by eighths, and start again."""
    count = len(net.positions)
    thresholds = [threshold + (index % 3) / 8 for index in range(count)]
    leaks = [leak - (index % 4) / 8 for index in range(count)]
    state = dict(net.state)
    plain: dict[str, Any] = {"accuracy": 0.5, "epoch": 3, "optimizer": {"state": {}, "param_groups": [{"lr": 0.1}]}}
    if form in ("learned", "atari"):
        state |= {f"threshold.t{at}": torch.tensor(v) for at, v in zip(net.positions, thresholds, strict=True)}
    if form == "atari":
        return {"model_state_dict": state, "optim_state_dict": plain["optimizer"]}
    if form == "learned":
        state |= {f"leak.l{at}": torch.tensor(v) for at, v in zip(net.positions, leaks, strict=True)}
    if form == "old hybrid":
        plain |= {"thresholds": [2 * value for value in thresholds], "leak_mem": leak, "scaling_threshold": 0.5}
    else:
        plain |= {"thresholds": thresholds, "leak": leak if form == "hybrid" else leaks}
    plain |= {"timesteps": timesteps, "activation": "Linear"}
    return {**plain, "state_dict": {f"{prefix}{key}": value for key, value in state.items()}}


def simulate(
    net: Net, form: Form, inputs: Tensor, *, threshold: float = 0.5, leak: float = 0.875
) -> tuple[Tensor, dict[int, Tensor]]:
    """``inputs``: (T, N, C, H, W). The output's membrane (N, classes) and the spikes (T, N, ...) by position."""
    order = {at: index for index, at in enumerate(net.positions)}
    state = {key: value.double() for key, value in net.state.items()}
    membranes: dict[int, Tensor] = {}
    spikes: dict[int, list[Tensor]] = {at: [] for at in net.positions}
    total = torch.zeros(())

    def convolve(key: str, x: Tensor, stride: int = 1, *, padded: bool = True) -> Tensor:
        weight = state[f"{key}.weight"]
        padding = (weight.shape[2] - 1) // 2 if padded else 0
        return functional.conv2d(x, weight, state.get(f"{key}.bias"), stride, padding)

    def layer(at: int, drive: Tensor) -> Tensor:
        v = threshold + (order[at] % 3) / 8
        decay = leak if form in ("hybrid", "old hybrid") else 1.0 if form == "atari" else leak - (order[at] % 4) / 8
        u = membranes.get(at, torch.zeros_like(drive))
        if form in ("learned", "atari"):  # charge, compare, subtract
            u = decay * u + drive
            fired = (u > v).double()
            membranes[at] = u - v * fired
        else:  # compare what is left of the last step, charge afterwards
            fired = (u > v).double()
            membranes[at] = decay * u + drive - v * fired
        spikes[at].append(fired)
        return fired

    for x in inputs.double():
        for kind, *rest in net.layers:
            if kind == "conv":
                x = layer(rest[1], convolve(rest[0], x, *rest[2:], padded=not rest[2:]))
            elif kind == "pool":
                x = functional.avg_pool2d(x, rest[0])
            elif kind == "block":
                inner, shortcut, at, stride = rest
                skip = convolve(shortcut, x, stride) if f"{shortcut}.weight" in state else x
                middle = layer(at, convolve(f"{inner}.0", x, stride))
                x = layer(at + 1, convolve(f"{inner}.3", middle) + skip)
            elif kind == "flatten":
                x = x.flatten(1)
            elif kind == "linear":
                x = layer(rest[1], x @ state[f"{rest[0]}.weight"].T)
            else:
                total = total + x @ state[f"{rest[0]}.weight"].T
    return total, {at: torch.stack(series) for at, series in spikes.items()}
