"""The conversion loss: how far a spiking network, in floats, is from the ANN that it was converted from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict

from neurocompile.ir.graph import Graph
from neurocompile.ir.interpret import Trace
from neurocompile.ir.nodes import Array, MaxPool2d, Neuron, per_channel


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class LayerLoss(_Record):
    """One ReLU and the neurons in its place. ``threshold``: its mean. ``rate``: spikes per neuron and step.
    ``error``: the mean |v * rate - activation|, as a share of the mean activation, and ``correlation``: of v * rate
    with the activation, neuron by neuron, sample by sample; None where there is no activation."""

    name: str
    threshold: float
    rate: float
    activation: float
    error: float | None
    correlation: float | None


class ConversionLoss(_Record):
    """``agreement``: the share of samples with the ANN's class. ``output_error``: the mean difference from the ANN's
    output, as a share of its mean size. ``accuracy_ann``, ``accuracy``: of the ANN and of the spiking network in
    floats, where there are labels. ``max_pools``: those that have become an OR of spikes, which is an approximation.
    ``data`` says what the samples were."""

    data: str
    samples: int
    timesteps: int
    agreement: float
    output_error: float | None
    accuracy_ann: float | None
    accuracy: float | None
    max_pools: list[str]
    layers: list[LayerLoss]


@dataclass
class _Sums:
    """Of what is wanted (a) and what is found (b), over all values so far."""

    count: int = 0
    a: float = 0.0
    b: float = 0.0
    aa: float = 0.0
    bb: float = 0.0
    ab: float = 0.0
    magnitude: float = 0.0
    error: float = 0.0

    def add(self, wanted: Array, found: Array) -> None:
        self.count += wanted.size
        self.a, self.b = self.a + float(wanted.sum()), self.b + float(found.sum())
        self.aa, self.bb = self.aa + float(np.square(wanted).sum()), self.bb + float(np.square(found).sum())
        self.ab += float((wanted * found).sum())
        self.magnitude += float(np.abs(wanted).sum())
        self.error += float(np.abs(found - wanted).sum())

    @property
    def relative_error(self) -> float | None:
        return self.error / self.magnitude if self.magnitude else None

    @property
    def correlation(self) -> float | None:
        one, other = self.aa - self.a**2 / self.count, self.bb - self.b**2 / self.count
        if min(one, other) <= 0:
            return None
        return float(np.clip((self.ab - self.a * self.b / self.count) / np.sqrt(one * other), -1, 1))


class LossMeter:
    """Compares traces of an ANN, of one step or of all, with those of the network that it was converted to."""

    def __init__(self, converted: Graph) -> None:
        self._steps, self._output = converted.timesteps, converted.outputs[0]
        self._sizes = {
            name: per_channel(node.threshold, converted.shape(name)).astype(np.float64)
            for name, node in converted.items()
            if isinstance(node, Neuron)
        }
        self._max_pools = converted.of_kind(MaxPool2d)
        self._layers = {name: _Sums() for name in self._sizes}
        self._spikes = dict.fromkeys(self._sizes, 0)
        self._outputs = _Sums()
        self._classes: list[tuple[Array, Array]] = []

    def add(self, ann: Trace, spiking: Trace) -> None:
        """The same samples through both, with the events of all ReLUs and of all neurons."""
        ann_steps = next(iter(ann.events.values())).shape[1]
        for name, size in self._sizes.items():
            spikes = spiking.events[name].sum(axis=1, dtype=np.int64)
            self._spikes[name] += int(spikes.sum())
            self._layers[name].add(ann.events[name].mean(axis=1), spikes * size / self._steps)
        wanted, found = ann.outputs[self._output] * (self._steps / ann_steps), spiking.outputs[self._output]
        self._outputs.add(wanted, found)
        self._classes.append((_class_of(wanted), _class_of(found)))

    def loss(self, data: str, labels: Array | None = None) -> ConversionLoss:
        wanted, found = (np.concatenate(each) for each in zip(*self._classes, strict=True))
        return ConversionLoss(
            data=data,
            samples=len(wanted),
            timesteps=self._steps,
            agreement=float((wanted == found).mean()),
            output_error=self._outputs.relative_error,
            accuracy_ann=None if labels is None else float((wanted == labels).mean()),
            accuracy=None if labels is None else float((found == labels).mean()),
            max_pools=self._max_pools,
            layers=[
                LayerLoss(
                    name=name,
                    threshold=float(self._sizes[name].mean()),
                    rate=self._spikes[name] / (sums.count * self._steps),
                    activation=sums.a / sums.count,
                    error=sums.relative_error,
                    correlation=sums.correlation,
                )
                for name, sums in self._layers.items()
            ],
        )


def _class_of(outputs: Array) -> Array:
    largest: Array = outputs.reshape(len(outputs), -1).argmax(axis=1)
    return largest


def said(loss: Mapping[str, Any]) -> str:
    """The loss, as plain data, in a few words."""
    error = "" if loss["output_error"] is None else f", the output is off by {loss['output_error']:.2%}"
    pools = loss["max_pools"]
    if pools:
        error += f"; max pools take the OR of spikes, which is too often one: {', '.join(pools)}"
    return f"{loss['agreement']:.2%} of {loss['data']} get the ANN's class in {loss['timesteps']} time steps{error}"
