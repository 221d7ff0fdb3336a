"""The nodes of a graph. Each is a frozen value whose docstring states its equation, shapes and units.

Shapes leave out the batch and time axes: an image is ``(channels, height, width)``, a vector ``(features,)``; axis 0 is
the channel. A parameter of a channel-wise kind is a scalar ``()``, one value per channel ``(channels,)``, or one per
neuron (the full shape). Arrays are read-only. What a graph computes is defined by ``ir/interpret.py`` alone.
"""

from __future__ import annotations

from neurocompile.ir.nodes.base import (
    Array,
    Compare,
    Node,
    Order,
    Overflow,
    Pair,
    Reset,
    Shape,
    Spikes,
    magnitude,
    per_channel,
)
from neurocompile.ir.nodes.operators import (
    Add,
    AvgPool2d,
    AxonDelay,
    BatchNorm,
    Concat,
    Conv2d,
    ConvTranspose2d,
    Delay,
    Dropout,
    Flatten,
    Identity,
    Linear,
    MaxPool2d,
    PadChannels,
    Recurrent,
    Relu,
    Reshape,
    Scale,
    SumPool2d,
)
from neurocompile.ir.nodes.somas import FixedPoint, Neuron, Readout, Soma, Threshold
from neurocompile.ir.nodes.sources import DctEncoder, DirectEncoder, HybridEncoder, Input, PoissonEncoder

SPIKING = (Neuron, Threshold)
#: encoders of values, which a scale makes integers
ANALOG = (DirectEncoder, HybridEncoder, DctEncoder)
ENCODERS = (*ANALOG, PoissonEncoder)
Analog = DirectEncoder | HybridEncoder | DctEncoder
Encoder = Analog | PoissonEncoder
WEIGHTED = (Conv2d, Linear, Scale)
#: the same values, row-major, in another shape
MOVES = (Flatten, Reshape)

#: every kind that a file may name
KINDS: dict[str, type[Node]] = {
    cls.__name__: cls
    for cls in (
        Input, DirectEncoder, HybridEncoder, DctEncoder, PoissonEncoder, Conv2d, ConvTranspose2d, Linear, Scale,
        AvgPool2d, SumPool2d, MaxPool2d, BatchNorm, Flatten, Reshape, Add, Concat, Relu, Identity, Dropout, Delay,
        AxonDelay, Recurrent, Neuron, Threshold, Readout, PadChannels,
    )
}  # fmt: skip

__all__ = [
    "ANALOG",
    "ENCODERS",
    "KINDS",
    "MOVES",
    "SPIKING",
    "WEIGHTED",
    "Add",
    "Analog",
    "Array",
    "AvgPool2d",
    "AxonDelay",
    "BatchNorm",
    "Compare",
    "Concat",
    "Conv2d",
    "ConvTranspose2d",
    "DctEncoder",
    "Delay",
    "DirectEncoder",
    "Dropout",
    "Encoder",
    "FixedPoint",
    "Flatten",
    "HybridEncoder",
    "Identity",
    "Input",
    "Linear",
    "MaxPool2d",
    "Neuron",
    "Node",
    "Order",
    "Overflow",
    "PadChannels",
    "Pair",
    "PoissonEncoder",
    "Readout",
    "Recurrent",
    "Relu",
    "Reset",
    "Reshape",
    "Scale",
    "Shape",
    "Soma",
    "Spikes",
    "SumPool2d",
    "Threshold",
    "magnitude",
    "per_channel",
]
