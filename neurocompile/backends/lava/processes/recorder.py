"""Keeps the spikes of a stock population."""

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


class Recorder(AbstractProcess):  # type: ignore[misc]  # Lava has no types
    """Writes what it receives to ``record`` (an .npy file, (samples * T, size)), from step ``phase`` on."""

    def __init__(self, *, name: str, size: int, phase: int, record: Path) -> None:
        super().__init__(name=name, phase=phase, record=record)
        self.s_in = InPort(shape=(size,))


@implements(proc=Recorder, protocol=LoihiProtocol)
@requires(CPU)
class RecorderModel(PyLoihiProcessModel):  # type: ignore[misc]  # Lava has no types
    s_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, np.int32)

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self.arrival = proc_params["phase"]  # `phase` is an attribute of Lava's own
        self.record = np.load(proc_params["record"], mmap_mode="r+")

    def run_spk(self) -> None:
        spikes = self.s_in.recv()
        row = self.time_step - 1 - self.arrival  # Lava counts steps from 1
        if 0 <= row < len(self.record):
            self.record[row] = spikes
