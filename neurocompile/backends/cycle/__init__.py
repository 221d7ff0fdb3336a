"""When and where: timing a mapped network event by event, on the spikes of another engine."""

from neurocompile.backends.cycle.engine import simulate

__all__ = ["simulate"]
