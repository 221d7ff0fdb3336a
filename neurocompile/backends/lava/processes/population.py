"""A population of spiking somas, with every choice of the graph's nodes."""

from __future__ import annotations

from pathlib import Path
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

from neurocompile.ir.interpret import SomaState
from neurocompile.ir.nodes import Shape, Soma


class Population(AbstractProcess):  # type: ignore[misc]  # Lava has no types
    """Receives summed input, sends spikes, and writes them to ``record`` (an .npy file, (samples * T, size)).

    Clears itself when a new sample reaches it: every ``timesteps`` steps, ``phase`` steps after the sources.
    """

    def __init__(
        self, *, name: str, soma: Soma, shape: Shape, size: int, phase: int, timesteps: int, record: Path
    ) -> None:
        super().__init__(name=name, soma=soma, shape=shape, phase=phase, timesteps=timesteps, record=record)
        self.a_in, self.s_out = InPort(shape=(size,)), OutPort(shape=(size,))


@implements(proc=Population, protocol=LoihiProtocol)
@requires(CPU)
class PopulationModel(PyLoihiProcessModel):  # type: ignore[misc]  # Lava has no types
    a_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, np.int32)
    s_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.int32)

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self.arrival = proc_params["phase"]  # `phase` is an attribute of Lava's own
        self.timesteps, self.shape = proc_params["timesteps"], proc_params["shape"]
        self.state = SomaState(proc_params["soma"], self.shape, 1, np.dtype(np.int64))
        self.record = np.load(proc_params["record"], mmap_mode="r+")

    def run_spk(self) -> None:
        row = self.time_step - 1 - self.arrival  # of the record; Lava counts steps from 1
        if row % self.timesteps == 0:
            self.state.clear()
        spikes = self.state.step(self.a_in.recv().reshape(1, *self.shape).astype(np.int64)).ravel()
        self.s_out.send(spikes)
        if 0 <= row < len(self.record):
            self.record[row] = spikes
