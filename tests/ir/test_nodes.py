"""What a node refuses to hold, with the words that it uses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from neurocompile.errors import GraphError
from neurocompile.ir.nodes import (
    Add,
    AvgPool2d,
    AxonDelay,
    BatchNorm,
    Concat,
    Conv2d,
    ConvTranspose2d,
    DctEncoder,
    Delay,
    DirectEncoder,
    FixedPoint,
    Flatten,
    HybridEncoder,
    Input,
    Linear,
    MaxPool2d,
    Neuron,
    Node,
    PadChannels,
    PoissonEncoder,
    Readout,
    Recurrent,
    Reshape,
    Scale,
    SumPool2d,
    Threshold,
)


def ones(*shape: int) -> Any:
    return np.ones(shape)


def norm(**choices: Any) -> BatchNorm:
    return BatchNorm(
        **{"gamma": ones(2), "beta": ones(2), "mean": ones(2), "variance": ones(2), "epsilon": 0.0} | choices
    )


WRONG: list[tuple[Callable[[], Node], str]] = [
    (lambda: Neuron(threshold=np.array([1.0, np.nan])), "Neuron.threshold: 1 of 2 values are NaN or infinite"),
    (lambda: Neuron(threshold=np.array(["x"])), "Neuron.threshold: dtype <U1 is not a number"),
    (lambda: Linear(weight=ones(0, 3)), r"Linear.weight: shape \(0, 3\) holds no values"),
    (lambda: Neuron(threshold=np.array([1.0, 0.0])), "has a value 0.0; thresholds must be positive"),
    (lambda: Neuron(threshold=ones(), leak=np.array(1.5)), r"Neuron.leak ranges from 1.5 to 1.5; .*\[0, 1\]"),
    (lambda: Neuron(threshold=ones(), current_leak=np.array(-0.5)), "Neuron.current_leak ranges from -0.5"),
    (lambda: Readout(leak=np.array(1.5)), "Readout.leak ranges from 1.5"),
    (
        lambda: Neuron(threshold=np.array(1), leak=np.array(4097), fixed=FixedPoint()),
        r"Neuron.leak ranges from 4097 to 4097; it must lie in \[0, 4096\]",
    ),
    (lambda: Neuron(threshold=ones(), reset="clear"), "Neuron.reset is 'clear'; choose one of subtract, set, none"),
    (lambda: Neuron(threshold=ones(), order="last"), "Neuron.order is 'last'"),
    (lambda: Neuron(threshold=ones(), spikes="many"), "Neuron.spikes is 'many'"),
    (lambda: Threshold(threshold=ones(), compare=">"), "Threshold.compare is '>'"),
    (lambda: Neuron(threshold=ones(), reset="none", leaky_reset=False), "delays a reset, but reset is 'none'"),
    (
        lambda: Neuron(threshold=ones(), membrane_min=np.array([-1.0, 0.5])),
        "Neuron.membrane_min has a value 0.5; membranes begin at 0; 0 is the most",
    ),
    (lambda: Neuron(threshold=ones(), membrane_min=np.array(-np.inf)), "Neuron.membrane_min: 1 of 1 values are NaN"),
    (lambda: Neuron(threshold=ones(), max_payload=0), "Neuron.max_payload is 0"),
    (lambda: Neuron(threshold=ones(), phase=-1), "Neuron.phase is -1"),
    (lambda: Threshold(threshold=-ones(), spikes="graded"), "graded spikes need positive thresholds"),
    (lambda: Threshold(threshold=ones(), flip=np.array(True), spikes="signed"), "no flipped comparison"),
    (lambda: Readout(unit=0.0), "Readout.unit is 0.0; it must be a positive number"),
    (lambda: Input(shape=()), r"Input.shape is \(\); every size must be at least 1"),
    (lambda: Input(shape=(3, 0)), r"Input.shape is \(3, 0\)"),
    (lambda: DirectEncoder(limit=float("nan")), "DirectEncoder.limit is nan"),
    (lambda: DirectEncoder(scale=float("inf")), "DirectEncoder.scale is inf"),
    (lambda: DirectEncoder(low=3, high=1), "low 3 is above high 1"),
    (lambda: HybridEncoder(timesteps=0), "HybridEncoder.timesteps is 0; it must be at least 1"),
    (lambda: HybridEncoder(timesteps=2, minimum=1.0), "HybridEncoder: minimum 1.0 and maximum 1.0 are no range; give"),
    (lambda: HybridEncoder(timesteps=2, minimum=float("nan")), "HybridEncoder: minimum nan and maximum 1.0 are no"),
    (lambda: HybridEncoder(timesteps=2, scale=0.0), "HybridEncoder.scale is 0.0"),
    (lambda: HybridEncoder(timesteps=2, low=3, high=1), "HybridEncoder: low 3 is above high 1; swap them"),
    (lambda: DctEncoder(block=0), "DctEncoder.block is 0; it must be at least 1"),
    (lambda: DctEncoder(limit=0.0), "DctEncoder.limit is 0.0; it must be a positive number"),
    (lambda: DctEncoder(low=3, high=1), "DctEncoder: low 3 is above high 1; swap them"),
    (lambda: PoissonEncoder(gain=-1.0), "PoissonEncoder.gain is -1.0"),
    (lambda: Conv2d(weight=ones(2, 3, 3)), r"Conv2d.weight has shape \(2, 3, 3\); it must be \(out_channels, "),
    (lambda: Conv2d(weight=ones(2, 3, 3, 3), bias=ones(3)), r"Conv2d.bias has shape \(3,\); it must be \(2,\)"),
    (lambda: Conv2d(weight=ones(2, 3, 3, 3), stride=(0, 1)), r"Conv2d.stride is \(0, 1\)"),
    (lambda: Conv2d(weight=ones(2, 3, 3, 3), dilation=(1, 0)), r"Conv2d.dilation is \(1, 0\)"),
    (lambda: Conv2d(weight=ones(2, 3, 3, 3), padding=(-1, 0)), r"Conv2d.padding is \(-1, 0\)"),
    (lambda: Conv2d(weight=ones(2, 3, 3, 3), padding=(1,)), r"Conv2d.padding is \(1,\)"),
    (lambda: Conv2d(weight=ones(2, 3, 3, 3), groups=0), "Conv2d.groups is 0"),
    (lambda: Conv2d(weight=ones(2, 3, 3, 3), upsample=(1, 0)), r"Conv2d.upsample is \(1, 0\)"),
    (lambda: Conv2d(weight=ones(2, 3, 3, 3), end_padding=(0, -1)), r"Conv2d.end_padding is \(0, -1\)"),
    (lambda: ConvTranspose2d(weight=ones(2, 3, 3)), r"weight has shape \(2, 3, 3\); it must be \(in_channels, out"),
    (lambda: ConvTranspose2d(weight=ones(2, 3, 3, 3), bias=ones(2)), r"bias has shape \(2,\); it must be \(3,\)"),
    (lambda: ConvTranspose2d(weight=ones(2, 3, 3, 3), groups=0), "ConvTranspose2d.groups is 0"),
    (lambda: ConvTranspose2d(weight=ones(2, 3, 3, 3), output_padding=(1, 0)), r"output_padding is \(1, 0\); it must"),
    (lambda: MaxPool2d(kernel=(2, 2), stride=(1, 1), padding=(2, 0)), "MaxPool2d: padding .* more than half of the"),
    (lambda: MaxPool2d(kernel=(2, 2), stride=(1, 1), dilation=(0, 1)), r"MaxPool2d.dilation is \(0, 1\)"),
    (lambda: Reshape(shape=(2, 0)), r"Reshape.shape is \(2, 0\)"),
    (lambda: PadChannels(before=-1, after=0), "PadChannels: before -1 and after 0 must be at least 0"),
    (lambda: Linear(weight=ones(3)), r"Linear.weight has shape \(3,\); it must be \(out_features, in_features\)"),
    (lambda: Linear(weight=ones(3, 2), bias=ones(2)), r"Linear.bias has shape \(2,\); it must be \(3,\)"),
    (lambda: Linear(weight=ones(3, 2), weight_bits=0), "Linear.weight_bits is 0; it must be from 1 to 32"),
    (lambda: Scale(weight=ones(), weight_bits=33), "Scale.weight_bits is 33"),
    (lambda: AvgPool2d(kernel=(0, 1), stride=(1, 1)), r"AvgPool2d.kernel is \(0, 1\)"),
    (lambda: SumPool2d(kernel=(1, 1), stride=(1, 0)), r"SumPool2d.stride is \(1, 0\)"),
    (lambda: SumPool2d(kernel=(2, 2), stride=(1, 1), padding=(2, 0)), "more than half of the kernel"),
    (lambda: norm(variance=np.array([1.0, -1.0])), r"variance \+ epsilon must be positive"),
    (lambda: norm(epsilon=float("nan")), r"variance \+ epsilon must be positive"),
    (lambda: Delay(steps=0), "Delay.steps is 0"),
    (lambda: Recurrent(shape=()), r"Recurrent.shape is \(\); every size must be at least 1"),
    (lambda: Recurrent(shape=(2, 0)), r"Recurrent.shape is \(2, 0\)"),
    (lambda: Recurrent(shape=(2,), steps=0), "Recurrent.steps is 0; it must be from 1 to 1,048,576"),
    (lambda: Recurrent(shape=(2,), steps=-1, axon_steps=np.arange(2)), "Recurrent.steps is -1; it must be from 0 to"),
    (lambda: Recurrent(shape=(2,), steps=10**30), "Recurrent.steps is 10"),
    (lambda: Recurrent(shape=(2,), axon_steps=ones(2)), "Recurrent.axon_steps must be whole numbers from 0 to 1,048,"),
    (lambda: Recurrent(shape=(2,), axon_steps=np.array([1, 2])), "axon_steps must be 0 for some neurons and more for"),
    (lambda: Recurrent(shape=(2,), axon_steps=np.zeros(2, int)), "axon_steps must be 0 for some neurons and more for"),
    (lambda: AxonDelay(steps=np.array(0.5)), "AxonDelay.steps must be whole numbers from 0 to 1,048,576"),
    (lambda: AxonDelay(steps=np.array([3, -1])), "AxonDelay.steps must be whole numbers from 0"),
    (lambda: AxonDelay(steps=np.array(1 << 40)), "AxonDelay.steps must be whole numbers from 0"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "message"), WRONG)
def test_refused_values(make: Callable[[], Node], message: str) -> None:
    with pytest.raises(GraphError, match=message):
        make()


MISFITS: list[tuple[Node, tuple[tuple[int, ...], ...], str]] = [
    (Conv2d(weight=ones(2, 3, 3, 3)), ((3,),), r"needs inputs \(channels, height, width\), got \(3,\)"),
    (Conv2d(weight=ones(2, 3, 3, 3)), ((4, 8, 8),), "takes 3 channels, got 4"),
    (Conv2d(weight=ones(3, 2, 1, 1), groups=2), ((4, 8, 8),), "3 output channels cannot be divided into 2 groups"),
    (Conv2d(weight=ones(2, 3, 3, 3), dilation=(4, 1)), ((3, 8, 8),), r"window of 3 \(dilation 4\) does not fit 8"),
    (Conv2d(weight=ones(2, 1, 9, 1), upsample=(3, 1)), ((1, 3, 8),), r"window of 9 \(dilation 1\) does not fit 7"),
    (ConvTranspose2d(weight=ones(2, 3, 3, 3)), ((3, 2, 2),), "takes 2 channels, got 3"),
    (ConvTranspose2d(weight=ones(3, 3, 3, 3), groups=2), ((3, 2, 2),), "with groups=2 takes 3 channels, got 3"),
    (Reshape(shape=(2, 3)), ((2, 2),), r"Reshape: \(2, 2\) has 4 values, \(2, 3\) another number"),
    (
        Concat(),
        ((2, 3, 3), (2, 3, 2)),
        r"Concat: its inputs have shapes \(2, 3, 3\), \(2, 3, 2\); only channels may di",
    ),
    (DctEncoder(), ((3,),), r"DctEncoder needs inputs \(channels, height, width\), got \(3,\)"),
    (DctEncoder(), ((3, 8, 6),), "DctEncoder: 8 x 6 pixels are no whole blocks of 4 x 4; pad or crop the samples, or"),
    (Scale(weight=ones(), bias=ones(3)), ((4, 2, 2),), r"Scale.bias has shape \(3,\)"),
    (Linear(weight=ones(2, 3)), ((4,),), r"takes inputs \(3,\), got \(4,\)"),
    (Linear(weight=ones(2, 3)), ((3, 1, 1),), "put a Flatten before it"),
    (Scale(weight=ones(3)), ((4, 2, 2),), r"Scale.weight has shape \(3,\)"),
    (AvgPool2d(kernel=(3, 3), stride=(1, 1)), ((1, 2, 5),), "window of 3"),
    (norm(), ((3, 4, 4),), r"BatchNorm.gamma has shape \(2,\), needs \(3,\)"),
    (Recurrent(shape=(2,)), ((3,),), r"Recurrent.shape is \(2,\), but it reads \(3,\); they must be the same"),
    (Recurrent(shape=(2,), axon_steps=np.arange(3)), (), r"Recurrent.axon_steps has shape \(3,\); for inputs of shape"),
    (AxonDelay(steps=np.arange(3)), ((2,),), r"AxonDelay.steps has shape \(3,\); for inputs of shape \(2,\) it must"),
    (Add(), ((2,), (3,)), r"inputs have shapes \(2,\), \(3,\); they must be the same"),
    (Neuron(threshold=ones(3)), ((2, 2, 2),), r"must be a scalar, \(2,\) or \(2, 2, 2\)"),
    (Readout(bias=ones(2, 2)), ((2, 3),), r"Readout.bias has shape \(2, 2\)"),
    (Threshold(threshold=ones(), flip=np.array([True] * 3)), ((2,),), r"Threshold.flip has shape \(3,\)"),
]


@pytest.mark.parametrize(("node", "inputs", "message"), MISFITS)
def test_refused_shapes(node: Node, inputs: tuple[tuple[int, ...], ...], message: str) -> None:
    with pytest.raises(GraphError, match=message):
        node.output_shape(*inputs)


def test_shapes() -> None:
    conv = Conv2d(weight=ones(4, 1, 3, 2), stride=(2, 1), padding=(1, 0), dilation=(1, 3), groups=2)
    assert conv.output_shape((2, 7, 8)) == (4, 4, 5)
    assert SumPool2d(kernel=(2, 3), stride=(2, 1), padding=(1, 1)).output_shape((5, 4, 6)) == (5, 3, 6)
    assert Flatten().output_shape((2, 3, 4)) == (24,)


def test_arrays_are_read_only_and_their_own() -> None:
    """Neither the array that was given nor a view of it can change a node."""
    mine = np.ones((2, 2))
    view = mine[:]
    view.setflags(write=False)
    for given in (mine, view, np.broadcast_to(mine, (2, 2))):
        node = Linear(weight=given)
        mine[0, 0] = 7
        assert node.weight[0, 0] == 1
        mine[0, 0] = 1
        with pytest.raises(ValueError, match="read-only"):
            node.weight[0, 0] = 2


def test_frozen_arrays_are_shared_not_copied() -> None:
    node = Linear(weight=np.ones((2, 2)))
    assert Linear(weight=node.weight).weight is node.weight


def test_numpy_scalars_become_arrays() -> None:
    node = Neuron(threshold=np.float64(1), bias=np.array(1.0) * np.array(2.0))
    assert isinstance(node.threshold, np.ndarray)
    assert dict(node.arrays()).keys() == {"threshold", "leak", "current_leak", "bias", "reset_value"}
