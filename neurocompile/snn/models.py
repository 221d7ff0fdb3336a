"""The networks of the papers: VGG and residual networks, spiking or with ReLUs; seeded weights and wanted spike rates.

Sources: Chowdhury et al. 2021, *One timestep is all you need* (IIR-SNN), A.2.1, and Rathi et al. 2020, *Enabling deep
spiking neural networks with hybrid conversion and spike timing dependent backpropagation*, §4. In both, convolutions
are 3 x 3 and keep the map's size, nothing has a bias, pooling is average pooling of 2 x 2, and the output layer only
integrates. :func:`vgg16` and its like need no arguments, so they serve as ``--model neurocompile.snn.models:vgg16``.
"""

from __future__ import annotations

import copy
import math
import re
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from neurocompile.errors import GraphError, InputError
from neurocompile.snn.dropout import TimeConstantDropout
from neurocompile.snn.encoders import DctEncoder, DirectEncoder, HybridEncoder, PoissonEncoder
from neurocompile.snn.layers import FUNCTIONS
from neurocompile.snn.neuron import LIF, Readout
from neurocompile.snn.running import check_hybrid, check_timesteps
from neurocompile.snn.state import Stateful, reset_state
from neurocompile.snn.timed import TimedReadout, hidden_neurons
from neurocompile.snn.tracing import trace
from neurocompile.snn.wiring import Step

#: by the number in the name: the layers in order of flow. A number is the channels of a convolution or, behind the
#: bar, the neurons of a linear layer; A is average pooling, D dropout. The output layer is not listed.
#: 6 and 16 are those of A.2.1. Rathi et al. print no lists: 5, 9 and 11 follow their published code, whose VGG5 is the
#: later paper's VGG6 and whose VGG9 has ten layers with weights.
VGG_LAYERS: dict[int, str] = {
    5: "64 A 128 128 A | 4096 D 4096 D",
    6: "64 A 128 128 A | 4096 D 4096 D",
    9: "64 A 128 D 256 A 256 D 512 A 512 A 512 | 4096 D 4096 D",
    11: "64 A 128 D 256 A 512 D 512 A 512 A 512 D 512 | 4096 D 4096 D",
    16: "64 D 64 A 128 D 128 A 256 D 256 D 256 A 512 D 512 D 512 A 512 D 512 D 512 | 4096 D 4096 D",
}

_SIZE = r"[1-9]\d{0,5}"
_VGG_PLAN = re.compile(rf"({_SIZE}( [AD])? )+\|( {_SIZE}( D)?)*")

#: by the number in the name: how many blocks have 64, 128, 256 and 512 channels. With the three convolutions of the
#: stem, two in each block and the output layer, as many layers with weights follow each other as the name says.
RESNET_BLOCKS: dict[int, tuple[int, ...]] = {
    8: (1, 1),
    12: (1, 1, 1, 1),
    20: (2, 2, 2, 2),
    34: (3, 4, 5, 3),
}

#: a map whose sides are all longer is pooled once more before the linear layers
_LARGEST_FLATTENED = 8

MakeNeuron = Callable[[], nn.Module]


def default_neuron() -> LIF:
    """The neuron of IIR-SNN (Eq. 2): one learned threshold and one learned leak per layer, a reset that does not leak.

    Rathi et al. fire before they integrate: ``partial(LIF, 1.0, leak, order="fire_first", leaky_reset=False)``.
    """
    return LIF(1.0, 1.0, leaky_reset=False, learn_threshold=True, learn_leak=True)


def vgg(
    layers: int | str,
    input_shape: Sequence[int] = (3, 32, 32),
    classes: int = 10,
    *,
    neuron: MakeNeuron = default_neuron,
    encoder: nn.Module | None = None,
    batch_norm: bool = False,
    dropout: float = 0.2,
    width: float = 1.0,
) -> nn.Sequential:
    """A VGG network, one of :data:`VGG_LAYERS` or another of that kind; its forward is one time step.

    Layers are called by their number: conv1, norm1, neuron1, dropout1 or pool1, conv2, ..., linear14, neuron14, ...,
    readout. A map of more than 8 x 8 is pooled once more before the linear layers ("pool"): of 224 x 224 pixels, VGG16
    leaves 512 x 7 x 7 for them, as the network of Simonyan and Zisserman does, not 512 x 14 x 14.

    Args:
        layers: 5, 6, 9, 11 or 16; or layers of your own as in :data:`VGG_LAYERS`, such as "64 64 A 128 128 A | 256 D".
        input_shape: (channels, height, width) of a sample.
        classes: outputs.
        neuron: makes each layer of neurons. ``torch.nn.ReLU`` gives the ANN to train first, which
            :func:`~neurocompile.snn.replace_relu` makes spiking; :func:`plain_ann` drops the other spiking parts too.
        encoder: what the input goes through; direct encoding if left out.
        batch_norm: put a batch norm behind each convolution, as IIR-SNN does while it trains the ANN.
        dropout: probability p of each dropout, whose mask is constant over time; 0 leaves them out. IIR-SNN takes
            0.5 for the ANN and 0.2 for the SNN.
        width: factor of all channels and of the hidden linear layers, rounded, at least 1.

    Raises:
        InputError: there is no such network, an argument is out of range, or the input is too small to be pooled so
            often.
    """
    plan = layers if isinstance(layers, str) else VGG_LAYERS.get(layers, "")
    if not _VGG_PLAN.fullmatch(plan):
        raise InputError(
            f"vgg: layers is {layers!r:.100}; choose one of {', '.join(map(str, VGG_LAYERS))}, or list channels and, "
            'behind a bar, neurons, such as "64 64 A 128 128 A | 256 D", with A for pooling and D for dropout'
        )
    name = f"vgg{layers}" if isinstance(layers, int) else "vgg"
    build = _Builder(name, input_shape, classes, neuron, encoder, batch_norm, dropout, width)
    maps, hidden = (part.split() for part in plan.split("|"))
    for item in maps:
        if item == "A":
            build.pool()
        elif item == "D":
            build.drop()
        else:
            build.convolution(int(item))
    build.flatten()
    for item in hidden:
        if item == "D":
            build.drop()
        else:
            build.linear(int(item))
    return build.finish()


def resnet(
    layers: int,
    input_shape: Sequence[int] = (3, 32, 32),
    classes: int = 10,
    *,
    neuron: MakeNeuron = default_neuron,
    encoder: nn.Module | None = None,
    batch_norm: bool = False,
    dropout: float = 0.2,
    width: float = 1.0,
) -> nn.Sequential:
    """A residual network of :data:`RESNET_BLOCKS`: conv1 to conv3 as stem, pool3, block1, block2, ..., linear, readout.

    The stem is three convolutions of 64 channels where He et al. have one of 7 x 7. The first block with more channels
    than the one before has stride 2. Arguments, pooling before the linear layer and errors are those of :func:`vgg`;
    ``layers`` is 8, 12, 20 or 34.
    """
    if layers not in RESNET_BLOCKS:
        raise InputError(f"resnet: layers is {layers!r}; choose one of {', '.join(map(str, RESNET_BLOCKS))}")
    build = _Builder(f"resnet{layers}", input_shape, classes, neuron, encoder, batch_norm, dropout, width)
    for last in (False, False, True):
        build.convolution(64)
        build.pool() if last else build.drop()
    for stage, blocks in enumerate(RESNET_BLOCKS[layers]):
        for number in range(blocks):
            build.block(64 << stage, stride=2 if stage and number == 0 else 1)
    build.flatten()
    return build.finish()


vgg5 = partial(vgg, 5)
vgg6 = partial(vgg, 6)
vgg9 = partial(vgg, 9)
vgg11 = partial(vgg, 11)
vgg16 = partial(vgg, 16)
resnet8 = partial(resnet, 8)
resnet12 = partial(resnet, 12)
resnet20 = partial(resnet, 20)
resnet34 = partial(resnet, 34)


class BasicBlock(nn.Module):
    """Two convolutions and a shortcut, which meet in the second layer of neurons.

    The shortcut is a 1 x 1 convolution where the block changes the channels or the map's size.
    """

    def __init__(
        self, inputs: int, outputs: int, stride: int, *, neuron: MakeNeuron, batch_norm: bool, dropout: float
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(outputs) if batch_norm else nn.Identity()
        self.neuron1 = neuron()
        self.dropout1 = TimeConstantDropout(dropout) if dropout else nn.Identity()
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs) if batch_norm else nn.Identity()
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False),
                nn.BatchNorm2d(outputs) if batch_norm else nn.Identity(),
            )
        self.neuron2 = neuron()

    def forward(self, x: Tensor) -> Tensor:
        y = self.dropout1(self.neuron1(self.norm1(self.conv1(x))))
        spikes: Tensor = self.neuron2(self.norm2(self.conv2(y)) + self.shortcut(x))
        return spikes


class _Builder:
    """Appends layers and knows the shape that has come out of them."""

    def __init__(
        self,
        name: str,
        input_shape: Sequence[int],
        classes: int,
        neuron: MakeNeuron,
        encoder: nn.Module | None,
        batch_norm: bool,
        dropout: float,
        width: float,
    ) -> None:
        if len(input_shape) != 3 or any(type(size) is not int or size < 1 for size in input_shape):
            raise InputError(f"{name}: input_shape is {tuple(input_shape)}; give (channels, height, width), each 1 up")
        if type(classes) is not int or classes < 1:
            raise InputError(f"{name}: classes is {classes!r}; give a whole number of outputs, 1 or more")
        if not 0 < width < math.inf:
            raise InputError(f"{name}: width is {width!r}; give a factor of the layers' sizes above 0, such as 0.25")
        self.name, self.input_shape, self.classes, self.width = name, tuple(input_shape), classes, width
        self.neuron, self.batch_norm, self.dropout = neuron, batch_norm, dropout
        self.layers: OrderedDict[str, nn.Module] = OrderedDict()
        self.layers["encoder"] = DirectEncoder() if encoder is None else encoder
        self.channels, *self.sides = self.input_shape
        self.pools = self.weighted = self.blocks = 0

    def convolution(self, channels: int) -> None:
        outputs = self._scaled(channels)
        self.weighted += 1
        self.layers[f"conv{self.weighted}"] = nn.Conv2d(self.channels, outputs, 3, padding=1, bias=False)
        if self.batch_norm:
            self.layers[f"norm{self.weighted}"] = nn.BatchNorm2d(outputs)
        self.layers[f"neuron{self.weighted}"] = self.neuron()
        self.channels = outputs

    def block(self, channels: int, stride: int) -> None:
        outputs = self._scaled(channels)
        self.blocks += 1
        self.layers[f"block{self.blocks}"] = BasicBlock(
            self.channels, outputs, stride, neuron=self.neuron, batch_norm=self.batch_norm, dropout=self.dropout
        )
        self.channels, self.sides = outputs, [-(-side // stride) for side in self.sides]

    def linear(self, neurons: int) -> None:
        outputs = self._scaled(neurons)
        self.weighted += 1
        self.layers[f"linear{self.weighted}"] = nn.Linear(self.channels, outputs, bias=False)
        self.layers[f"neuron{self.weighted}"] = self.neuron()
        self.channels = outputs

    def drop(self) -> None:
        if self.dropout:
            self.layers[f"dropout{self.weighted}"] = TimeConstantDropout(self.dropout)

    def pool(self, name: str | None = None) -> None:
        self.pools += 1
        if min(self.sides) < 2:
            height, width = self.input_shape[1:]
            raise InputError(
                f"{self.name}: input_shape {self.input_shape} leaves nothing to pool at pooling {self.pools}: "
                f"{height} x {width}, limit {1 << self.pools} x {1 << self.pools} at least; give larger pictures "
                "or take a shallower network"
            )
        self.layers[name or f"pool{self.weighted}"] = nn.AvgPool2d(2)
        self.sides = [side // 2 for side in self.sides]

    def flatten(self) -> None:
        if min(self.sides) > _LARGEST_FLATTENED:
            self.pool("pool")
        self.layers["flatten"] = nn.Flatten()
        self.channels *= math.prod(self.sides)

    def finish(self) -> nn.Sequential:
        name = "linear" if self.blocks else f"linear{self.weighted + 1}"
        self.layers[name] = nn.Linear(self.channels, self.classes, bias=False)
        self.layers["readout"] = Readout()
        return nn.Sequential(self.layers)

    def _scaled(self, size: int) -> int:
        return max(1, round(self.width * size))


def plain_ann(model: nn.Module) -> nn.Module:
    """A copy of ``model`` that is the ANN of the same shape and weights in plain torch, without any state.

    Neurons become ``nn.ReLU``, dropout with a constant mask ``nn.Dropout``; encoders and readouts do nothing.
    """
    plain = copy.deepcopy(model)
    for kinds in (
        (TimedReadout,),
        (LIF, TimeConstantDropout, DirectEncoder, HybridEncoder, DctEncoder, PoissonEncoder, Readout),
    ):
        # the first of them has some of the others in it
        for path, module in list(plain.named_modules()):
            if isinstance(module, kinds):
                parent, _, name = path.rpartition(".")
                setattr(plain.get_submodule(parent), name, _plain(module).train(module.training))
    return plain


def _plain(module: nn.Module) -> nn.Module:
    if isinstance(module, LIF):
        return nn.ReLU()
    return nn.Dropout(module.p) if isinstance(module, TimeConstantDropout) else nn.Identity()


def seeded(model: nn.Module, seed: int) -> nn.Module:
    """``model`` with new weights that depend on ``seed`` and on nothing else; it is changed in place and returned.

    Weights of convolutions and linear layers are normal with variance 2/fan-in (He et al., *Delving deep into
    rectifiers*, 2015), drawn in the order of the layers; biases are 0 and batch norms fresh. Thresholds and leaks stay.
    One torch build gives the same bytes for the same seed; torch's own random state is neither used nor changed.

    Raises:
        InputError: seed is not an integer from 0 to 2**63 - 1.
    """
    if type(seed) is not int or not 0 <= seed < 1 << 63:
        raise InputError(f"seed is {seed!r}, limit 0 to 2**63 - 1; give such an integer")
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                # every device and type gets the same numbers
                weight = torch.empty(module.weight.shape, dtype=torch.float32, device="cpu")
                fan_in = max(1, math.prod(weight.shape[1:]))
                module.weight.copy_(weight.normal_(0.0, math.sqrt(2.0 / fan_in), generator=generator))
                if module.bias is not None:
                    module.bias.zero_()
            elif isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
                module.reset_parameters()
    return model


_HALVINGS = 40
_CLOSE, _TOLERATED = 0.01, 0.1  # parts of the wanted rate: where the search stops, and how far off it may end


def tune_rates(model: nn.Module, samples: Tensor, timesteps: int, rate: float = 0.13) -> dict[str, float]:
    """Set the threshold of every LIF layer so that the layer fires at ``rate``; returns the rates reached, by name.

    A layer's rate is its spikes (of either sign, whatever their payload) per neuron and time step, over all samples.
    The layers are visited once, in order of flow, each with the spikes of all time steps that the tuned layers before
    it send, in eval mode. The threshold is found by bisection between 0 and a value at which the layer fires less than
    wanted, until the rate is within 1 % of ``rate``; after 40 halvings, 10 % will do. Every element of a per-channel or
    per-neuron threshold gets the one number. Rates found later by running the network may differ in the last digits:
    a convolution rounds otherwise in another batch.

    IIR-SNN reports 0.13 for VGG16 on CIFAR-10 at one time step.

    Args:
        model: a network that can be traced, changed in place; its mode is kept.
        samples: one batch of inputs (N, ...), shown again at each step. Some suffice: a rate is over all neurons.
        timesteps: 1 or more.
        rate: above 0, below 1.

    Raises:
        InputError: an argument is out of range, or no threshold makes a layer fire at this rate; the thresholds are
            then as they were.
        GraphError: the network has no LIF layers or cannot be traced.
    """
    if not 0 < rate < 1:
        raise InputError(f"rate is {rate!r}, limit above 0 and below 1; give spikes per neuron and step, such as 0.13")
    check_timesteps(timesteps)
    if not len(samples) or not bool(samples.isfinite().all()):
        raise InputError(f"samples: shape {tuple(samples.shape)}, NaN or infinite values or none; give finite samples")
    check_hybrid(model, timesteps)
    wiring = trace(model)
    layers = hidden_neurons(model)
    if not layers:
        raise GraphError(f"{type(model).__name__}: has no LIF layers to tune; put them in with replace_relu first")
    before = [layer.threshold.detach().clone() for layer in layers.values()]
    modes = {module: module.training for module in model.modules()}
    last_use = {name: step.name for step in wiring.steps for name in step.inputs}
    rates: dict[str, float] = {}
    values: dict[str, Tensor] = {}  # of all time steps: (T, N, ...)
    model.eval()
    reset_state(model)
    try:
        with torch.no_grad():
            for step in wiring.steps:
                inputs = [values[name] for name in step.inputs]
                if step.op == "input":
                    values[step.name] = samples.expand(timesteps, *samples.shape)
                    continue
                if step.op == "module" and step.target in layers:
                    rates[step.target] = _tune(step.target, layers[step.target], inputs[0], rate)
                values[step.name] = _all_steps(model, step, inputs)
                for name in {name for name in step.inputs if last_use[name] == step.name}:
                    del values[name]
    except BaseException:
        with torch.no_grad():
            for layer, threshold in zip(layers.values(), before, strict=True):
                layer.threshold.copy_(threshold)
        raise
    finally:
        reset_state(model)
        for module, training in modes.items():
            module.training = training
    return rates


def _all_steps(model: nn.Module, step: Step, inputs: list[Tensor]) -> Tensor:
    """What a step of the wiring makes of its inputs (T, N, ...), for all time steps."""
    if step.op == "module" and isinstance(layer := model.get_submodule(step.target), Stateful):
        return _present(layer, inputs[0])
    # what keeps no state takes time steps for samples
    flat = [each.flatten(0, 1) for each in inputs]
    made: Tensor = layer(*flat) if step.op == "module" else FUNCTIONS[step.target].call(flat, step.args, False)
    return made.reshape(*inputs[0].shape[:2], *made.shape[1:])


def _present(layer: Stateful, x: Tensor) -> Tensor:
    layer.reset_state()
    y = torch.stack([layer(each) for each in x])
    layer.reset_state()
    return y


def _tune(name: str, layer: LIF, x: Tensor, rate: float) -> float:
    """Set the threshold of ``layer`` for the inputs x (T, N, ...); returns the rate reached."""

    def fire(threshold: float) -> float:
        layer.threshold.fill_(threshold)
        return int(torch.count_nonzero(_present(layer, x))) / x.numel()

    largest = float(x.abs().max()) if layer.spikes == "signed" else float(x.max())
    if not 0 < largest < math.inf:
        raise InputError(f"{name}: its largest input is {largest:.6g}, limit above 0 and finite; give other weights")
    low, high = 0.0, largest
    while (reached := fire(high)) > rate:
        low, high = high, 2 * high  # membranes add up over time
    closest = (abs(reached - rate), high, reached)
    for _ in range(_HALVINGS):
        if closest[0] <= _CLOSE * rate:
            break
        middle = (low + high) / 2
        reached = fire(middle)
        closest = min(closest, (abs(reached - rate), middle, reached))
        low, high = (middle, high) if reached > rate else (low, middle)
    error, threshold, reached = closest
    if error > _TOLERATED * rate:
        raise InputError(
            f"{name}: no threshold makes it fire {rate:.4g} times per neuron and step, the closest rate is "
            f"{reached:.4g}; ask for less, or give more samples or time steps"
        )
    layer.threshold.fill_(threshold)
    return reached
