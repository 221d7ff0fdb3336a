"""What a writer may know of a program: the parts of ``neurocompile.program.Program`` that it reads."""

from __future__ import annotations

from typing import Protocol

from neurocompile.hardware.profile import Profile
from neurocompile.ir.graph import Graph
from neurocompile.ir.nodes import Array
from neurocompile.mapping.mapping import Mapping


class Exportable(Protocol):
    """See ``Program``, whose fields and properties these are."""

    @property
    def name(self) -> str: ...
    @property
    def profile(self) -> Profile: ...
    @property
    def trained(self) -> Graph: ...
    @property
    def integer(self) -> Graph: ...
    @property
    def mapped(self) -> Graph: ...
    @property
    def mapping(self) -> Mapping: ...
    @property
    def calibration(self) -> Array | None: ...
    @property
    def phase_steps(self) -> int: ...
