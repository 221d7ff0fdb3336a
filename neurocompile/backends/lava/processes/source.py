"""What an encoder sends, from a file."""

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


class Source(AbstractProcess):  # type: ignore[misc]  # Lava has no types
    """Sends row t of ``frames`` (an int32 .npy file, (steps, size)) at step t + 1, and zeros after its end.

    ``clock`` (an int64 .npy file, (1,)) is set to the step. Nothing ever runs over ``before`` and ``after``: Lava finds
    a network by following connections, and these tie several sources together.
    """

    def __init__(self, *, name: str, frames: Path, clock: Path, size: int) -> None:
        super().__init__(name=name, frames=frames, clock=clock)
        self.s_out = OutPort(shape=(size,))
        self.before, self.after = InPort(shape=(1,)), OutPort(shape=(1,))


@implements(proc=Source, protocol=LoihiProtocol)
@requires(CPU)
class SourceModel(PyLoihiProcessModel):  # type: ignore[misc]  # Lava has no types
    s_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.int32)
    before: PyInPort = LavaPyType(PyInPort.VEC_DENSE, np.int32)
    after: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.int32)

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self.frames = np.load(proc_params["frames"], mmap_mode="r")
        self.clock = np.load(proc_params["clock"], mmap_mode="r+")
        self.silence = np.zeros_like(self.frames[0])

    def run_spk(self) -> None:
        step = self.time_step
        self.s_out.send(self.frames[step - 1] if step <= len(self.frames) else self.silence)
        self.clock[0] = step
