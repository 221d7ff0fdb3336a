"""What SANA-FE cannot say, refused by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from neurocompile.backends.export.sanafe_neurons import early, owes
from neurocompile.errors import GraphError
from neurocompile.ir.nodes import FixedPoint, Neuron, Readout, Soma, Threshold
from neurocompile.ir.populations import Population
from neurocompile.mapping.biases import biases
from neurocompile.mapping.synapses import fan_out, full_box

#: a text file of so many lines is some hundred megabytes
MOST_SYNAPSES = 5_000_000
#: of a projection: one, and the longest delay of SANA-FE's delaying dendrite
MOST_STEPS = 6
#: of the integers that its somas convert to
_STATE_BITS = 32


def check_population(population: Population, somas: Mapping[str, Soma]) -> None:
    """GraphError unless SANA-FE's soma and delays can do what this population does."""
    soma, name = population.soma, population.name
    fixed = soma.fixed or FixedPoint()

    def refuse(what: str, remedy: str) -> None:
        raise GraphError(f"{name}: {what}, which SANA-FE cannot say; {remedy}")

    if isinstance(soma, (Neuron, Threshold)) and soma.spikes != "binary":
        refuse(f"sends {soma.spikes} spikes", "train it with binary ones, or use --format json")
    if isinstance(soma, (Neuron, Readout)) and np.any(soma.current_leak != 0):
        refuse("has a synaptic current that decays", "train it with current_leak=0, or use --format json")
    if isinstance(soma, Neuron):
        if soma.single_spike:
            refuse("fires at most once", "train it with single_spike=False, or use --format json")
        if soma.membrane_min is not None:
            refuse("has a floor for its membrane", "train it without membrane_min, or use --format json")
        if soma.reset == "set" and not soma.leaky_reset:
            refuse("is reset to a value one step late", "train it with leaky_reset=True, or use --format json")
        if soma.reset == "subtract" and soma.compare == "at_or_above" and not owes(soma):
            refuse("fires at its threshold, subtracts it and lets that leak", "train it with compare='above'")
    if fixed.state_bits > _STATE_BITS:
        refuse(f"has states of {fixed.state_bits} bits, limit {_STATE_BITS}", "choose a chip with narrower ones")
    if soma.phase < 1 and biases(population).any():
        # all that it reads is late, so it starts with the sample; a bias is a spike, which takes a step
        refuse("has a bias at the very first step", "train it without bias, or delay what it reads by one step less")
    for projection in population.projections:
        steps = projection.most_steps + early(somas.get(projection.source))
        if steps > MOST_STEPS:
            refuse(
                f"its projection {projection.name} takes {steps} time steps, limit {MOST_STEPS}",
                "shorten the delay or the skip connection",
            )


def check_size(everyone: Sequence[Population]) -> None:
    """GraphError where there are more synapses than a text file should hold."""
    counts = {
        projection.name: int(fan_out(projection, full_box(population.shape)).sum())
        for population in everyone
        for projection in population.projections
    }
    if sum(counts.values()) > MOST_SYNAPSES:
        largest = max(counts, key=counts.__getitem__)
        raise GraphError(
            f"{largest}: {counts[largest]:,} synapses, {sum(counts.values()):,} in all, limit {MOST_SYNAPSES:,}: "
            "SANA-FE has one line for each; export a smaller network"
        )
