"""A population that integrates and never fires."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from lava.magma.core.decorator import implements, requires
from lava.magma.core.model.py.model import PyLoihiProcessModel
from lava.magma.core.model.py.ports import PyInPort
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.process.ports.ports import InPort
from lava.magma.core.process.process import AbstractProcess
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol

from neurocompile.ir.interpret import SomaState
from neurocompile.ir.nodes import Shape, Soma


class Readout(AbstractProcess):  # type: ignore[misc]  # Lava has no types
    """Writes its membrane after the last step of sample n to row n of ``record`` (an int64 .npy file,
    (samples, size)). Clears itself as ``Population`` does."""

    def __init__(
        self, *, name: str, soma: Soma, shape: Shape, size: int, phase: int, timesteps: int, record: Path
    ) -> None:
        super().__init__(name=name, soma=soma, shape=shape, phase=phase, timesteps=timesteps, record=record)
        self.a_in = InPort(shape=(size,))


@implements(proc=Readout, protocol=LoihiProtocol)
@requires(CPU)
class ReadoutModel(PyLoihiProcessModel):  # type: ignore[misc]  # Lava has no types
    a_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, np.int32)

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self.arrival = proc_params["phase"]  # `phase` is an attribute of Lava's own
        self.timesteps, self.shape = proc_params["timesteps"], proc_params["shape"]
        self.state = SomaState(proc_params["soma"], self.shape, 1, np.dtype(np.int64))
        self.record = np.load(proc_params["record"], mmap_mode="r+")

    def run_spk(self) -> None:
        sample, t = divmod(self.time_step - 1 - self.arrival, self.timesteps)  # Lava counts steps from 1
        if t == 0:
            self.state.clear()
        membrane = self.state.step(self.a_in.recv().reshape(1, *self.shape).astype(np.int64))
        if t == self.timesteps - 1 and 0 <= sample < len(self.record):
            self.record[sample] = membrane.ravel()
