"""How often a network spikes, and the compute energy that the papers make of it.

Sources: Chowdhury et al. 2021, *One timestep is all you need* (IIR-SNN), Eq. 4 and A.4; Datta et al. 2021, *Training
energy-efficient deep spiking neural networks with single-spike hybrid input encoding*, Tables III and IV, Eqs. 24, 25.
Both count the same operations, at other prices. What a chip takes is another matter: see ``neurocompile report``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from neurocompile.errors import GraphError, InputError
from neurocompile.snn.encoders import HybridEncoder, PoissonEncoder
from neurocompile.snn.recurrent import OneToOne
from neurocompile.snn.running import run
from neurocompile.snn.state import reset_state
from neurocompile.snn.timed import hidden_neurons
from neurocompile.snn.tracing import trace
from neurocompile.snn.wiring import Wiring


@dataclass(frozen=True)
class SpikeCounts:
    """The spikes of a network's layers of neurons, Poisson and hybrid encoders, by name; those of the output layer, if
    it has neurons, are left out, as are the values that a hybrid encoder sends at the first step.

    Attributes:
        spikes: how many, of either sign and whatever their payload, in all samples and time steps.
        neurons: how many neurons the layer has.
        hidden: the names without those of encoders.
    """

    spikes: Mapping[str, int]
    neurons: Mapping[str, int]
    hidden: tuple[str, ...]
    samples: int
    timesteps: int

    @property
    def per_neuron(self) -> dict[str, float]:
        """Spikes per neuron and sample over all steps: ζ of Datta et al., the spike rate of IIR-SNN's Fig. 2."""
        return {name: count / (self.neurons[name] * self.samples) for name, count in self.spikes.items()}

    @property
    def per_step(self) -> dict[str, float]:
        """Spikes per neuron, sample and time step."""
        return {name: count / self.timesteps for name, count in self.per_neuron.items()}

    @property
    def mean(self) -> float:
        """Spikes per neuron and sample over all steps, of all hidden neurons together."""
        neurons = sum(self.neurons[name] for name in self.hidden)
        return sum(self.spikes[name] for name in self.hidden) / (neurons * self.samples)


def count_spikes(model: nn.Module, samples: Tensor | Iterable[Tensor], timesteps: int) -> SpikeCounts:
    """Present one batch of samples (N, ...), or several, and count what every layer fires; in the mode of the model.

    Raises:
        InputError: timesteps is not a positive integer, or there are no samples.
        GraphError: the network has no LIF layers.
    """
    hidden = hidden_neurons(model)
    if not hidden:
        raise GraphError(f"{type(model).__name__}: has no LIF layers whose spikes to count; give a spiking network")
    encoders = {name: each for name, each in model.named_modules() if isinstance(each, PoissonEncoder | HybridEncoder)}
    layers = {**hidden, **encoders}
    spikes: dict[str, int | Tensor] = {}
    neurons: dict[str, int] = {}

    def listen(name: str) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
        def count(module: nn.Module, _inputs: tuple[Tensor, ...], s: Tensor) -> None:
            values = isinstance(module, HybridEncoder) and module.state == 1
            spikes[name] = spikes.get(name, 0) + (0 if values else torch.count_nonzero(s))
            neurons[name] = s[0].numel()

        return count

    handles = [layer.register_forward_hook(listen(name)) for name, layer in layers.items()]
    total = 0
    try:
        with torch.no_grad():
            for batch in [samples] if isinstance(samples, Tensor) else samples:
                if len(batch):
                    run(model, batch, timesteps)
                    total += len(batch)
    finally:
        for handle in handles:
            handle.remove()
        reset_state(model)
    if not total:
        raise InputError("samples: there are none to count the spikes of; give some hundred of them")
    return SpikeCounts(
        {name: int(count) for name, count in spikes.items()},
        neurons,
        tuple(name for name in spikes if name in hidden),
        total,
        timesteps,
    )


@dataclass(frozen=True)
class LayerOperations:
    """A layer with weights.

    Attributes:
        operations: multiply-accumulates of the ANN of the same shape per sample, ``k_w·k_h·c_in/groups·h_out·w_out·
            c_out`` of a convolution and ``n_in·n_out`` of a linear layer.
        sources: the spiking layers whose spikes it adds up; none if it multiplies analog values.
        hybrid: whether the source is a hybrid encoder, whose values it multiplies before it adds up spikes.
    """

    name: str
    operations: int
    sources: tuple[str, ...]
    hybrid: bool = False


def count_operations(model: nn.Module, input_shape: Sequence[int]) -> tuple[LayerOperations, ...]:
    """The operations of each layer with weights, in order of flow.

    Args:
        model: a network that can be traced.
        input_shape: shape of one sample, without batch or time axis.

    Raises:
        GraphError: the network cannot be traced, or weights read a DctEncoder, of which the papers give no account.
    """
    wiring = trace(model)
    sizes: dict[nn.Module, list[int]] = {}

    def measure(module: nn.Module, _inputs: tuple[Tensor, ...], y: Tensor) -> None:
        sizes.setdefault(module, []).append(_operations(module, y))

    weighted = {name: each for name, each in model.named_modules() if isinstance(each, _WEIGHTED)}
    handles = [module.register_forward_hook(measure) for module in weighted.values()]
    modes = {module: module.training for module in model.modules()}
    where = next((parameter for parameter in model.parameters()), torch.zeros(()))
    try:
        with torch.no_grad():
            model.eval()
            reset_state(model)
            model(torch.zeros(1, *input_shape, dtype=where.dtype, device=where.device))
    finally:
        for handle in handles:
            handle.remove()
        for module, training in modes.items():
            module.training = training
        reset_state(model)
    layers = []
    for step in wiring.steps:
        if step.op != "module":
            continue
        kind = wiring.modules[step.target].type
        if kind == "Recurrent":
            name = f"{step.target}.connection"
            layers.append(LayerOperations(name, sizes[weighted[name]].pop(0), (f"{step.target}.neuron",)))
        elif step.target in weighted:
            count = sizes[weighted[step.target]].pop(0)
            sources = _sources(wiring, step.inputs[0]) or ()
            hybrid = any(isinstance(model.get_submodule(source), HybridEncoder) for source in sources)
            layers.append(LayerOperations(step.name, count, sources, hybrid))
    return tuple(layers)


_WEIGHTED = (nn.Conv2d, nn.Linear, OneToOne)

#: what spikes go through without a multiplication of their own: the weights behind it can take over what it does
_PASSES = ("AvgPool2d", "AdaptiveAvgPool2d", "Flatten", "Identity", "BatchNorm1d", "BatchNorm2d")
_DROPS = ("Dropout", "Dropout2d", "TimeConstantDropout")


def _operations(module: Any, y: Tensor) -> int:
    if isinstance(module, nn.Conv2d):
        return module.weight.numel() * y.shape[2] * y.shape[3]
    return y.numel() if isinstance(module, OneToOne) else y.numel() * module.in_features


def _sources(wiring: Wiring, name: str) -> tuple[str, ...] | None:
    """The spiking layers behind a step's values, or None where these are analog."""
    step = next(step for step in wiring.steps if step.name == name)
    kind = wiring.modules[step.target].type if step.op == "module" else step.op
    if kind in ("LIF", "PoissonEncoder", "HybridEncoder"):
        return (step.target,)
    if kind == "DctEncoder":
        raise GraphError(
            f"{step.target}: sends other values at every step, which the papers' account has no multiplications for; "
            'put IF(spikes="signed") behind it'
        )
    if kind == "Recurrent":
        return (f"{step.target}.neuron",)
    if kind == "function" or kind in _PASSES or kind in _DROPS:
        behind = [_sources(wiring, each) for each in step.inputs]
        return None if None in behind else tuple(source for each in behind if each for source in each)
    return None


@dataclass(frozen=True)
class OperationEnergy:
    """Energy in pJ of one multiply-accumulate and of one addition."""

    mac_pj: float
    add_pj: float


#: 32-bit floating point in 45 nm CMOS, as IIR-SNN has it
FLOAT32_45NM = OperationEnergy(4.6, 0.9)
#: 32-bit integers in 45 nm CMOS, as Datta et al. have it (Table IV)
INT32_45NM = OperationEnergy(3.2, 0.1)


def ann_energy_pj(layers: Iterable[LayerOperations], prices: OperationEnergy = FLOAT32_45NM) -> float:
    """Compute energy of the ANN per sample: each operation is a multiply-accumulate (Datta et al., Eq. 24, where F_SNN
    is printed for F_ANN)."""
    return prices.mac_pj * sum(layer.operations for layer in layers)


def snn_energy_pj(
    layers: Iterable[LayerOperations],
    spikes: Mapping[str, float],
    prices: OperationEnergy = FLOAT32_45NM,
    *,
    input_spikes: float = 0.0,
) -> float:
    """Compute energy of the spiking network per sample (IIR-SNN, below Eq. 4; Datta et al., Eq. 25).

    A layer fed by spikes adds its operations times the spikes per neuron of its sources. One fed by analog values
    multiplies once, however often they are presented: the products stay the same (Datta et al., footnote 1). One behind
    a hybrid encoder does both (same footnote).

    Args:
        spikes: per source the spikes per neuron over all steps, as ``count_spikes(...).per_neuron``.
        input_spikes: spikes per input value over the steps after the analog one, where a hybrid code was made outside
            the network: 1 if each has its spike.

    Raises:
        InputError: a source has no count.
    """
    energy = 0.0
    for layer in layers:
        missing = [source for source in layer.sources if source not in spikes]
        if missing:
            raise InputError(
                f"{layer.name}: no spikes were counted of its source {missing[0]}; count those of this model"
            )
        if layer.sources:
            energy += layer.operations * prices.add_pj * sum(spikes[source] for source in layer.sources)
            energy += layer.operations * prices.mac_pj * layer.hybrid
        else:
            energy += layer.operations * (prices.mac_pj + input_spikes * prices.add_pj)
    return energy


def energy_ratio(
    layers: Sequence[LayerOperations],
    spikes: Mapping[str, float],
    prices: OperationEnergy = FLOAT32_45NM,
    *,
    input_spikes: float = 0.0,
) -> float:
    """α of IIR-SNN, Eq. 4: how many times the compute energy of the spiking network the ANN needs."""
    return ann_energy_pj(layers, prices) / snn_energy_pj(layers, spikes, prices, input_spikes=input_spikes)
