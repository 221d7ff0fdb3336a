"""Intel's Lava as a backend: the same network, in Intel's own simulator of its chips.

The calling process never imports Lava. It writes a job folder (``job.py``), and a process group of its own
(``worker.py``, watched by ``guard.py``) plans the network (``plan.py``), turns it into Lava processes (``emit.py``) and
runs it. Lava hangs when any of its processes fails; the group can be ended whatever it does.
"""

from neurocompile.backends.lava.backend import LavaBackend

__all__ = ["LavaBackend"]
