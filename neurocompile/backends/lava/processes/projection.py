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

from neurocompile.ir.nodes import WEIGHTED
from neurocompile.ir.populations import Projection as Chain


class Projection(AbstractProcess):  # type: ignore[misc]  # Lava has no types
    """Sends at each step the sums of what it received ``projection.steps`` steps earlier, zeros before.

    ``number`` is the floating type that holds all sums exactly: so each step is one fast matrix product. A recurrent
    projection sends zeros when a new sample reaches its soma, every ``timesteps`` steps from step ``phase`` on: what
    would arrive then are spikes of the last sample.
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
        self.recurrent = chain.recurrent
        self.arrival = proc_params["phase"]  # `phase` is an attribute of Lava's own
        self.timesteps = proc_params["timesteps"]
        self.source_shape = (1, *chain.source_shape)
        nodes = (
            dataclasses.replace(node, weight=node.weight.astype(self.number)) if isinstance(node, WEIGHTED) else node
            for node in chain.nodes
        )
        self.chain = dataclasses.replace(chain, nodes=tuple(nodes))
        self.under_way = [self.sums(np.zeros(self.source_shape, np.int32))] * chain.steps

    def sums(self, spikes: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        sums = self.chain.apply(spikes.reshape(self.source_shape).astype(self.number))
        return sums.astype(np.int32).ravel()

    def run_spk(self) -> None:
        slot = self.time_step % len(self.under_way)
        begins = (self.time_step - 1 - self.arrival) % self.timesteps == 0  # Lava counts steps from 1
        arriving = self.under_way[slot]
        self.a_out.send(np.zeros_like(arriving) if self.recurrent and begins else arriving)
        self.under_way[slot] = self.sums(self.s_in.recv())
