"""The functional engine: integer graphs, batches of samples, bit for bit as the interpreter.

For each projection ``plan.py`` takes the fastest arithmetic that the interval analysis proves exact (``products.py``),
for each soma the loops that step it (``somas.py``, ``loops.py``). ``execute.py`` runs one batch; ``backend.py`` cuts
samples into batches that fit the memory, and runs them in threads.
"""

from neurocompile.backends.functional.backend import FunctionalBackend

__all__ = ["FunctionalBackend"]
