"""One table per framework: which class is which neuron. No framework is imported here."""

from __future__ import annotations

from neurocompile.frontend.cells import Handler
from neurocompile.frontend.frameworks import norse, own, sinabs, snntorch, spikingjelly

#: full name of a class -> what is done at a call of it
TABLE: dict[str, Handler] = {**own.TABLE, **snntorch.TABLE, **spikingjelly.TABLE, **norse.TABLE, **sinabs.TABLE}
