"""What can go wrong, as few kinds as the exit status needs.

Every message is one sentence that names the object, its value, the limit that it broke and what to do about it:
``"features.3: kernel memory needs 20,480 words, limit 16,384; cut the layer or lower --bits"``.
"""

from __future__ import annotations


class NeurocompileError(Exception):
    """Something that the user can mend. The command line prints the sentence and exits with ``exit_status``."""

    exit_status = 2


class InputError(NeurocompileError):
    """A file, an array or a flag from outside is not what it must be."""


class GraphError(NeurocompileError):
    """A network says something that the compiler cannot carry further."""


class ProfileError(NeurocompileError):
    """A hardware profile or a target is not well formed."""


class CapacityError(NeurocompileError):
    """A network does not fit a chip, or its numbers do not fit the chip's widths."""


class BackendError(NeurocompileError):
    """A backend failed while it ran: the fault is ours or the machine's, so the exit status is 1."""

    exit_status = 1
