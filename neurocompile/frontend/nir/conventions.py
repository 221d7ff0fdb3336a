"""How a NIR network is to be read where NIR itself says nothing, or less than the framework that wrote it.

NIR has differential equations and one kind of neuron: it fires above the threshold and is then set to a value.
Frameworks have time steps, and some of them write networks into NIR that do other things when they fire.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from neurocompile.ir.nodes import Compare, Reset, Spikes

Rule = Literal["euler", "exact"]

#: seconds; what the exporters of snnTorch and SpikingJelly and many importers take where nothing is said
DEFAULT_DT = 1e-4


@dataclass(frozen=True)
class Conventions:
    """``rule``: how a time constant becomes a leak: "euler" ``1 - dt/tau`` or "exact" ``exp(-dt/tau)``. The others are
    fields of ``Neuron``. ``dt``: of a file that does not state its own, in seconds."""

    rule: Rule = "euler"
    compare: Compare = "above"
    reset: Reset = "set"
    leaky_reset: bool = True
    spikes: Spikes = "binary"
    max_payload: int = 255
    dt: float = DEFAULT_DT

    def __str__(self) -> str:
        sign = ">" if self.compare == "above" else ">="
        fires = f"fire where v {sign} v_threshold"
        if self.spikes == "graded":
            fires = f"send a spike for each time that v_threshold fits into v, at most {self.max_payload} in a step"
        if self.reset == "set":
            return f"{fires}, and are then set to v_reset in the same step"
        when = "in the same step" if self.leaky_reset else "in the next step, after its leak"
        return f"{fires}, and v_threshold is then subtracted {when}"


#: by the name of what wrote a file; "nir" is what NIR's own definitions say
CONVENTIONS: dict[str, Conventions] = {
    "nir": Conventions(),
    # its neurons reset by subtraction unless told otherwise ("zero" is what NIR says)
    "snntorch": Conventions(reset="subtract", leaky_reset=False),
    "spikingjelly": Conventions(compare="at_or_above"),
    "norse": Conventions(dt=1e-3),
    # its time constants are in steps, and its neurons send several spikes in one step
    "sinabs": Conventions(rule="exact", compare="at_or_above", reset="subtract", spikes="graded", dt=1.0),
}
