"""What the network is compared with: the ANN of its shape, and the accounts that papers on spiking networks give.

Operations of an ANN layer: ``kw*kh*cin/groups*hout*wout*cout`` for a convolution, ``nin*nout`` for a linear layer.
Papers count a spiking layer as *spike rate* times that, where the spike rate is the mean number of spikes per neuron of
the layer's source and inference, over all steps; a layer that is fed analog values multiplies, at every step at which
they are presented, which with hybrid coding is the first (Datta, Kundu & Beerel 2021, §VI-B). Of memory they say
nothing, or count each weight and each membrane once per step.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from neurocompile.costs.activity import Activity
from neurocompile.errors import ProfileError
from neurocompile.hardware import Basis, Profile, load_profile, weakest_basis
from neurocompile.ir.graph import Graph
from neurocompile.ir.nodes import ANALOG, Conv2d, HybridEncoder, Neuron, Scale, Threshold
from neurocompile.ir.populations import Projection, populations

#: whose prices stand in for those of a chip that does not publish multiplications and additions on their own
STANDARD_PRICES = "cmos45-fp32"


@dataclass(frozen=True)
class AnnLayer:
    """One projection as the ANN of the same shape would compute it. ``value_steps``: at how many time steps its source
    sends more than spikes."""

    name: str
    population: str
    source: str
    value_steps: int
    operations: int
    weights: int

    @property
    def analog(self) -> bool:
        return self.value_steps > 0


@dataclass(frozen=True)
class Prices:
    """Energy of one multiply-accumulate and of one addition, and the profile that they were taken from."""

    mac_energy_pj: float
    add_energy_pj: float
    profile: str
    basis: Basis

    @classmethod
    def of(cls, profile: Profile) -> Prices:
        """The profile's own, or ``STANDARD_PRICES`` where it has none."""
        mac, add = profile.ops.mac_energy_pj, profile.ops.add_energy_pj
        if mac is None or add is None:
            if profile.name == STANDARD_PRICES:
                raise ProfileError(f"{profile.name}: ops has no prices; give ops.mac_energy_pj and ops.add_energy_pj")
            return cls.of(load_profile(STANDARD_PRICES))
        return cls(mac.value, add.value, profile.name, weakest_basis([mac.basis, add.basis]))

    def energy_pj(self, *, macs: float, additions: float) -> float:
        return macs * self.mac_energy_pj + additions * self.add_energy_pj


@dataclass(frozen=True)
class PapersAccount:
    """Compute energy as the papers count it, per inference. ``alpha`` is the ANN's energy over the network's."""

    macs: float
    additions: float
    ann_energy_pj: float
    snn_energy_pj: float

    @property
    def alpha(self) -> float | None:
        return self.ann_energy_pj / self.snn_energy_pj if self.snn_energy_pj else None


@dataclass(frozen=True)
class DenseAccesses:
    """Memory accesses when every weight and every membrane is touched at every step, whether there are spikes or not.

    Two rules. ``at``: each weight is read at each of T steps, each membrane read and written at each, and one step
    needs no membranes. ``fetches_at``: what is *fetched*, weights at each step and membranes at each but the first,
    before which nothing was kept; that is how the paper on one-step inference (IIR-SNN) comes to 5.03 times the
    accesses of one step for its VGG16 at T = 5: 5 + 4 * 284,682 neurons / 39,917,248 weights = 5.0285.
    """

    weights: int
    neurons: int

    def at(self, timesteps: int) -> int:
        return timesteps * (self.weights + (2 * self.neurons if timesteps > 1 else 0))

    def fetches_at(self, timesteps: int) -> int:
        return timesteps * self.weights + (timesteps - 1) * self.neurons

    def saved_by_one_step(self, timesteps: int) -> float:
        """How many times the accesses of one step a presentation of ``timesteps`` steps needs."""
        return self.at(timesteps) / self.at(1)

    def fetches_saved_by_one_step(self, timesteps: int) -> float:
        return self.fetches_at(timesteps) / self.fetches_at(1)

    @classmethod
    def of(cls, graph: Graph) -> DenseAccesses:
        return cls(
            sum(layer.weights for layer in ann_layers(graph)),
            sum(population.neurons for population in populations(graph)),
        )


def ann_layers(graph: Graph) -> tuple[AnnLayer, ...]:
    """Every projection of a graph from the spiking stage on, in topological order of its populations."""
    return tuple(
        AnnLayer(
            projection.name,
            population.name,
            projection.source,
            value_steps(graph, projection.source),
            _operations(graph, projection),
            projection.weighted.weight.size,
        )
        for population in populations(graph)
        for projection in population.projections
    )


def value_steps(graph: Graph, sender: str) -> int:
    """At how many time steps ``sender`` sends values that a weight must be multiplied by, and not just -1, 0 or 1. The
    spikes of hybrid coding are all of one size, by which weights need not be multiplied each time."""
    node = graph.node(sender)
    if isinstance(node, ANALOG):
        values = node.scale is None or node.low < -1 or node.high > 1
        return (1 if isinstance(node, HybridEncoder) else graph.timesteps) if values else 0
    graded = isinstance(node, Neuron | Threshold) and node.spikes == "graded" and node.max_payload > 1
    return graph.timesteps if graded else 0


def _operations(graph: Graph, projection: Projection) -> int:
    node = projection.weighted
    if isinstance(node, Conv2d):
        _, height, width = graph.shape(projection.name)
        # of windows over values that lie apart, only so many places see one
        return int(node.weight.size) * height * width // math.prod(node.upsample)
    if isinstance(node, Scale):
        return math.prod(graph.shape(projection.name))
    return int(node.weight.size)


def ann_energy_pj(operations: Iterable[int], prices: Prices) -> float:
    """One inference of the ANN: each operation is a multiply-accumulate."""
    return prices.energy_pj(macs=sum(operations), additions=0)


def papers_account(
    operations: Sequence[int], rates: Sequence[float | None], prices: Prices, presentations: int = 1
) -> PapersAccount:
    """Eq. 4 of the paper on one-step inference (IIR-SNN), which others share with their own prices.

    ``rates``: per layer the spike rate of its source, or None if it is fed analog values; those are presented at
    ``presentations`` steps.
    """
    layers = list(zip(operations, rates, strict=True))
    macs = presentations * sum(ops for ops, rate in layers if rate is None)
    return _account(operations, macs, sum(rate * ops for ops, rate in layers if rate is not None), prices)


def papers_account_of(graph: Graph, activity: Activity, prices: Prices) -> PapersAccount:
    """The account of a graph at its measured spike rates; analog values count at every step that they are sent at."""
    layers = ann_layers(graph)
    return _account(
        [layer.operations for layer in layers],
        sum(layer.value_steps * layer.operations for layer in layers),
        sum(
            activity.spike_rate(layer.source) * layer.operations
            for layer in layers
            if layer.value_steps < graph.timesteps
        ),
        prices,
    )


def _account(operations: Sequence[int], macs: float, additions: float, prices: Prices) -> PapersAccount:
    return PapersAccount(
        macs, additions, ann_energy_pj(operations, prices), prices.energy_pj(macs=macs, additions=additions)
    )
