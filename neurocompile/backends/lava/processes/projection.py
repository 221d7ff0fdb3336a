"""The synapses between two populations, with their delay."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from lava.magma.core.decorator import implements, requires
from lava.magma.core.model.py.model import PyLoihiProcessModel
from lava.magma.core.model.py.ports import PyInPort, PyOutPort
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.process.ports.ports import InPort, OutPort
from lava.magma.core.process.process import AbstractProcess
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol

from neurocompile.ir.nodes import WEIGHTED, per_channel
from neurocompile.ir.populations import Projection as Chain


class Projection(AbstractProcess):  # type: ignore[misc]  # Lava has no types
    """Sends at each step the sums of what it received ``projection.steps`` steps earlier, zeros before; where the
    source's neurons have different delays, of what it received from each so many steps more earlier.

    ``number`` is the floating type that holds all sums exactly: so each step is one fast matrix product. A new sample
    reaches the soma every ``timesteps`` steps from step ``phase`` on. At step t of it, spikes that are late by more
    than t steps in the network itself are those of the last sample, and are left out.
    """

    def __init__(
        self, *, name: str, projection: Chain, size: int, number: type[np.floating[Any]], phase: int, timesteps: int
    ) -> None:
        super().__init__(name=name, projection=projection, number=number, phase=phase, timesteps=timesteps)
        self.s_in = InPort(shape=(int(np.prod(projection.source_shape)),))
        self.a_out = OutPort(shape=(size,))


@implements(proc=Projection, protocol=LoihiProtocol)
@requires(CPU)
class ProjectionModel(PyLoihiProcessModel):  # type: ignore[misc]  # Lava has no types
    s_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, np.int32)
    a_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.int32)

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        chain: Chain = proc_params["projection"]
        self.number = proc_params["number"]
        self.arrival = proc_params["phase"]  # `phase` is an attribute of Lava's own
        self.timesteps = proc_params["timesteps"]
        self.source_shape = (1, *chain.source_shape)
        nodes = (
            dataclasses.replace(node, weight=node.weight.astype(self.number)) if isinstance(node, WEIGHTED) else node
            for node in chain.nodes
        )
        self.chain = dataclasses.replace(chain, nodes=tuple(nodes))
        delays = per_channel(chain.past.delays, chain.source_shape) if chain.past else np.zeros((), np.int64)
        self.late = np.broadcast_to(delays, chain.source_shape).ravel()
        self.steps = self.late + chain.steps - int(delays.min())  # on their way
        self.neurons = np.arange(len(self.late))
        self.under_way = np.zeros((chain.most_steps, len(self.late)), np.int32)
        self.arriving = self.sums(0)

    def sums(self, step: int) -> np.ndarray[Any, Any]:
        """Of the spikes that arrive at ``step``, of which the first is 0."""
        spikes = self.under_way[(step - self.steps) % len(self.under_way), self.neurons]
        spikes = np.where(self.late <= (step - self.arrival) % self.timesteps, spikes, 0)
        sums = self.chain.apply(spikes.reshape(self.source_shape).astype(self.number))
        return sums.astype(np.int32).ravel()

    def run_spk(self) -> None:
        step = self.time_step - 1  # Lava counts from 1
        self.a_out.send(self.arriving)
        self.under_way[step % len(self.under_way)] = self.s_in.recv()
        self.arriving = self.sums(step + 1)  # now, while others wait for nobody
