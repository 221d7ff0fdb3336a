"""Which connections of a flat NIR network close a cycle, and so bring their spikes one time step later.

NIR's edges take no time, so a cycle does not say where its step is. It is put right behind a spiking soma, on the
connection that leads back: one to a soma that all ways from the input go through (as in every network that is a
sequence of layers, some of them recurrent). Where the input enters a cycle at several places, connections to somas that
are as near to the input, or nearer, lead back.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Mapping

from neurocompile.errors import InputError

Sources = Mapping[str, tuple[str, ...]]


def reached(sources: Sources, somas: Collection[str]) -> dict[str, frozenset[str]]:
    """Per part, the somas and inputs whose spikes enter it, through linear parts only. InputError where linear parts
    read each other in a circle."""
    found: dict[str, frozenset[str]] = {}
    for start in sorted(sources):
        stack = [start]
        while stack:
            name = stack[-1]
            if name in found:
                stack.pop()
                continue
            waiting = [each for each in sources[name] if _linear(each, sources, somas) and each not in found]
            if not waiting:
                direct = (found[each] if _linear(each, sources, somas) else {each} for each in sources[name])
                found[name] = frozenset().union(*direct)
                stack.pop()
            elif waiting[0] in stack:
                cycle = stack[stack.index(waiting[0]) :][::-1]
                raise InputError(
                    f"{' -> '.join([cycle[-1], *cycle])}: no spiking neuron is in this cycle; put one there"
                )
            else:
                stack.append(waiting[0])
    return found


def _linear(name: str, sources: Sources, somas: Collection[str]) -> bool:
    return name not in somas and bool(sources[name])


def feedback(
    enters: Mapping[str, frozenset[str]], somas: Collection[str], roots: Collection[str]
) -> set[tuple[str, str]]:
    """The connections (soma, soma) that lead back, for ``enters`` of ``reached``."""
    readers: dict[str, set[str]] = {name: set() for name in (*somas, *roots)}
    for target in somas:
        for source in enters[target]:
            if source in readers:
                readers[source].add(target)
    behind = {name: _distances(readers, readers[name]) for name in somas}
    cyclic = {(a, b) for a in somas for b in readers[a] if a in behind[b]}
    back = set()
    for target in sorted({b for _, b in cyclic}):
        without = {name: nexts - {target} for name, nexts in readers.items()}
        apart = _distances(without, set(roots))
        back |= {(a, b) for a, b in cyclic if b == target and a not in apart}
    near = _distances(readers, set(roots))
    rest = {name: {b for b in nexts if (name, b) not in back} for name, nexts in readers.items()}
    for a, b in sorted(cyclic - back):
        if a in _distances(rest, {b}) and near.get(b, 0) <= near.get(a, 0):
            back.add((a, b))
    return back


def _distances(readers: Mapping[str, set[str]], starts: Collection[str]) -> dict[str, int]:
    """How many connections away from ``starts`` (0) every soma is that can be reached from there."""
    found = dict.fromkeys(starts, 0)
    queue = deque(starts)
    while queue:
        name = queue.popleft()
        for reader in readers[name]:
            if reader not in found:
                found[reader] = found[name] + 1
                queue.append(reader)
    return found
