"""One chip step on the network, event by event: docs/decisions/0011 in loops.

Two heaps drive it. ``ends`` has what will end, by time. ``goers`` has, at one instant, who may be able to go, by the
time since when and the number of the message. Who cannot go waits for what it wants; when that becomes free, the one
that has waited longest is looked at again. So every event costs a bounded number of looks.

A *place* is where messages stand in line: behind a link (tile * 4 + direction), and after those the outboxes of cores,
which hand over one at a time. What the first of a place wants is a link again, or the queue of a core, which has the
number of the core's outbox.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from neurocompile.backends.compiled import compiled, inlined
from neurocompile.backends.cycle.messages import Load
from neurocompile.ir.nodes import Array

EAST, WEST, SOUTH, NORTH = 0, 1, 2, 3
#: what can end
_BEGINNING, _OUT_OF_LINK, _LINK_FREE, _WITHIN_TILE, _MADE, _SENT, _HANDLED, _VISITED = range(8)
_NOBODY = -1
#: sizes of the lists in a state
_ENDS, _GOERS, _WOKEN = 0, 1, 2
#: behind them, how often things have ended so far
_ROUND = 3


class Mesh(NamedTuple):
    """The network as a step needs it; times in ticks."""

    columns: int
    links: int
    hop_east_west: int
    hop_north_south: int
    within_tile: int
    link_time: int
    buffer: int  # 0: without bound
    overlap: bool
    host: bool  # false: what the host sends is in its core's queue from the beginning


# Records, and not an array for each field: a state of thirty arrays takes longer to hand on than a call to run.
_I, _B = np.int64, np.bool_
_END = np.dtype([("time", _I), ("code", _I)])
_GOER = np.dtype([("since", _I), ("number", _I), ("place", _I)])
PLACE = np.dtype(
    [
        ("since", _I),  # from when on its first is able to go; nobody: that is still on its way
        ("waiting", _I),  # a chain of the places whose first waits for this link or queue
        ("next_waiting", _I),
        ("head", _I),  # a chain of the messages behind this link or in this queue
        ("last", _I),
        ("held", _I),  # of what the buffer bounds
        ("free_at", _I),  # when another may enter this link
        ("will_be_free", _B),  # whether that will end
        ("carried", _I),  # what the step comes to: messages, their wait, most held at once
        ("wait", np.float64),
        ("peak", _I),
    ]
)
_MESSAGE = np.dtype(
    [
        ("target", _I),
        ("made", _I),
        ("handled", _I),
        ("behind", _I),  # the next one of its chain
        ("came", _I),  # when it is where it stands
        ("round", _I),  # in which it entered the link
        ("bounded", _B),  # whether it takes a place in its queue
    ]
)
CORE = np.dtype(
    [
        ("tile", _I),
        ("stop", _I),
        ("tail", _I),
        ("first", _I),  # of its messages
        ("upcoming", _I),  # the one that is being made or handed over
        ("boxed", _B),  # whether it is handed over
        ("sends", _B),  # whether the sending side is not done
        ("handling", _B),
        ("visiting", _B),
        ("owes", _B),  # one engine: the sending side goes on when what is in hand is handled
        ("stalled_since", _I),
        ("begun", _B),  # whether the receiving side has begun
        ("awake", _B),  # whether on the list of cores that may begin to handle
        ("sending_end", _I),  # what the step comes to
        ("receiving_start", _I),
        ("receiving_end", _I),
        ("stalled", _I),
        ("queue_wait", np.float64),
    ]
)


class _State(NamedTuple):
    sizes: Array
    ends: Array  # a heap
    goers: Array  # a heap
    woken: Array
    places: Array
    messages: Array
    cores: Array


@compiled
def step(load: Load, tiles: Array, source_visits: Array, mesh: Mesh) -> tuple[int, Array, Array]:
    """Run one step; ``tiles`` and ``source_visits`` (C + 1,) are those of each core and the host.

    Returns the ticks until every core has finished, ``CORE`` records, and ``PLACE`` records of links, then of queues.
    """
    s = _begin(load, tiles, source_visits, mesh)
    finished = 0
    while s.sizes[_ENDS] > 0:
        now = s.ends[0].time
        s.sizes[_ROUND] += 1
        while s.sizes[_ENDS] > 0 and s.ends[0].time == now:
            code = _pop_end(s)
            finished = max(finished, _end(s, mesh, now, code & 7, code >> 3))
        while s.sizes[_GOERS] > 0 or s.sizes[_WOKEN] > 0:
            while s.sizes[_GOERS] > 0:
                _go(s, mesh, now, _pop_goer(s))
            for w in range(s.sizes[_WOKEN]):
                c = s.woken[w]
                s.cores[c].awake = False
                _handle(s, mesh, now, c)
            s.sizes[_WOKEN] = 0
    for core in s.cores:
        if not core.begun:
            core.receiving_start = core.receiving_end
    return finished, s.cores, s.places


@compiled
def _begin(load: Load, tiles: Array, source_visits: Array, mesh: Mesh) -> _State:
    cores, messages = len(load.tail), len(load.target)
    places = mesh.links + cores
    host = cores - 1
    s = _State(
        np.zeros(4, np.int64),
        np.empty(messages + mesh.links + 3 * cores + 1, _END),
        np.empty(places + 1, _GOER),
        np.empty(cores, np.int64),
        np.zeros(places, PLACE),
        np.zeros(messages, _MESSAGE),
        np.zeros(cores, CORE),
    )
    for place in s.places:
        place.since = place.waiting = place.next_waiting = place.head = place.last = _NOBODY
    for m in range(messages):
        message = s.messages[m]
        message.target, message.made, message.handled = load.target[m], load.made[m], load.handled[m]
        message.behind, message.bounded = _NOBODY, True
    _will_end(s, 0, _BEGINNING)
    for c in range(cores):
        core = s.cores[c]
        core.tile, core.tail = tiles[c], load.tail[c]
        core.first = core.upcoming = load.first[c]
        core.stop = load.first[c + 1]
        if source_visits[c] > 0:
            core.visiting = core.begun = True
            _will_end(s, source_visits[c], c << 3 | _VISITED)
        if c == host:
            if mesh.host and core.upcoming < core.stop:
                _will_end(s, s.messages[core.upcoming].made, c << 3 | _MADE)
            continue
        core.sends = True
        if mesh.overlap or not core.visiting:
            _work_on(s, c, 0)
    if not mesh.host:
        for m in range(load.first[host], load.first[host + 1]):
            s.messages[m].bounded = False
            _join(s, mesh, m, 0)
    return s


@inlined
def _end(s: _State, mesh: Mesh, now: int, kind: int, index: int) -> int:
    """Something ends; returns ``now`` where a core has finished one of its sides."""
    if kind == _OUT_OF_LINK:
        _line_up(s, index, s.places[index].head, now)
    elif kind == _LINK_FREE:
        s.places[index].will_be_free = False
        _call(s, mesh, index)
    elif kind == _WITHIN_TILE:
        _join(s, mesh, index, now)
    elif kind == _MADE:
        core = s.cores[index]
        core.boxed, core.stalled_since = True, now
        _line_up(s, mesh.links + index, core.upcoming, now)
        _wake(s, index)
    elif kind == _SENT:
        core = s.cores[index]
        core.sends, core.sending_end = False, now
        _wake(s, index)
        return now
    elif kind in (_HANDLED, _VISITED):
        core = s.cores[index]
        core.receiving_end = now
        if kind == _HANDLED:
            core.handling = False
        else:
            core.visiting = False
            core.owes = core.sends and not mesh.overlap
        if core.owes and kind == _VISITED:  # which are one work with what follows them
            core.owes = False
            _work_on(s, index, now)
        elif core.boxed and not mesh.overlap:
            core.stalled_since = now
        _wake(s, index)
        return now
    return 0


@inlined
def _go(s: _State, mesh: Mesh, now: int, place: int) -> None:
    """The first of a place goes to what it wants, or waits for it."""
    m, at, here = _first(s, mesh, place), _tile(s, mesh, place), s.places[place]
    message = s.messages[m]
    goal = s.cores[message.target].tile
    wanted = mesh.links + message.target if at == goal else at * 4 + _direction(at, goal, mesh.columns)
    there = s.places[wanted]
    busy = wanted < mesh.links and there.free_at > now
    if busy or (mesh.buffer > 0 and there.held >= mesh.buffer):
        here.next_waiting = there.waiting
        there.waiting = place
        if busy:
            _watch(s, wanted)
        return
    since = here.since
    _leave(s, mesh, now, place)
    there.held += 1
    there.peak = max(there.peak, there.held)
    if wanted < mesh.links:
        hop = mesh.hop_east_west if wanted & 3 <= WEST else mesh.hop_north_south
        there.free_at = now + mesh.link_time
        there.carried += 1
        there.wait += now - since
        message.came, message.round = now + hop, s.sizes[_ROUND]
        _append(s, wanted, m)
        if there.head == m:
            _will_end(s, now + hop, wanted << 3 | _OUT_OF_LINK)
    elif place < mesh.links:
        _join(s, mesh, m, now)
    else:
        _will_end(s, now + mesh.within_tile, m << 3 | _WITHIN_TILE)
    if there.waiting != _NOBODY:
        if wanted < mesh.links and mesh.link_time > 0:
            _watch(s, wanted)
        else:
            _call(s, mesh, wanted)


@inlined
def _leave(s: _State, mesh: Mesh, now: int, place: int) -> None:
    """The first of a place leaves it."""
    if place < mesh.links:
        here = s.places[place]
        following = s.messages[here.head].behind
        here.head, here.since = following, _NOBODY
        here.held -= 1
        if following == _NOBODY:
            here.last = _NOBODY
        elif s.messages[following].came <= now and s.messages[following].round < s.sizes[_ROUND]:
            _line_up(s, place, following, now)
        else:
            _will_end(s, s.messages[following].came, place << 3 | _OUT_OF_LINK)
        _call(s, mesh, place)
        return
    c = place - mesh.links
    core = s.cores[c]
    core.boxed = False
    core.upcoming += 1
    if c == len(s.cores) - 1:  # the host, whose messages come one by one whether or not they can go
        if core.upcoming < core.stop:
            due = (core.upcoming - core.first + 1) * s.messages[core.upcoming].made
            if due > now:
                _will_end(s, due, c << 3 | _MADE)
            else:
                _line_up(s, place, core.upcoming, now)
    elif core.handling and not mesh.overlap:
        core.owes = True
    else:
        core.stalled += now - core.stalled_since
        _work_on(s, c, now)


@inlined
def _handle(s: _State, mesh: Mesh, now: int, c: int) -> None:
    """A core goes on with its sending side, or begins to handle the first message of its queue, if it is free to."""
    core, queue = s.cores[c], s.places[mesh.links + c]
    if core.owes and not core.handling:
        core.owes = False
        _work_on(s, c, now)
    if queue.head == _NOBODY or core.handling or core.visiting:
        return
    if not mesh.overlap and core.sends:
        if not core.boxed:
            return
        core.stalled += now - core.stalled_since
    message = s.messages[queue.head]
    queue.head = message.behind
    if queue.head == _NOBODY:
        queue.last = _NOBODY
    core.handling = True
    if not core.begun:
        core.begun, core.receiving_start = True, now
    _will_end(s, now + message.handled, c << 3 | _HANDLED)
    if message.bounded:
        core.queue_wait += now - message.came
        queue.held -= 1
        _call(s, mesh, mesh.links + c)


@inlined
def _work_on(s: _State, c: int, now: int) -> None:
    """A core makes its next message, or does what follows the last one."""
    core = s.cores[c]
    if core.upcoming < core.stop:
        _will_end(s, now + s.messages[core.upcoming].made, c << 3 | _MADE)
    else:
        _will_end(s, now + core.tail, c << 3 | _SENT)


@inlined
def _join(s: _State, mesh: Mesh, m: int, now: int) -> None:
    """A message enters its core's queue: behind those that came before it or have lower numbers."""
    message = s.messages[m]
    queue = s.places[mesh.links + message.target]
    message.came = now
    at = queue.head
    if at == _NOBODY or s.messages[queue.last].came < now or queue.last < m:
        _append(s, mesh.links + message.target, m)
    elif s.messages[at].came == now and at > m:
        queue.head, message.behind = m, at
    else:
        following = s.messages[at].behind
        while s.messages[following].came < now or following < m:
            at, following = following, s.messages[following].behind
        s.messages[at].behind, message.behind = m, following
    _wake(s, message.target)


@inlined
def _append(s: _State, place: int, m: int) -> None:
    here = s.places[place]
    if here.head == _NOBODY:
        here.head = m
    else:
        s.messages[here.last].behind = m
    here.last = m
    s.messages[m].behind = _NOBODY


@inlined
def _wake(s: _State, c: int) -> None:
    if not s.cores[c].awake:
        s.cores[c].awake = True
        s.woken[s.sizes[_WOKEN]] = c
        s.sizes[_WOKEN] += 1


@inlined
def _watch(s: _State, link: int) -> None:
    """Somebody waits for a link that is busy."""
    if not s.places[link].will_be_free:
        s.places[link].will_be_free = True
        _will_end(s, s.places[link].free_at, link << 3 | _LINK_FREE)


@inlined
def _call(s: _State, mesh: Mesh, wanted: int) -> None:
    """Look again at the one that has waited longest for a link or queue."""
    best, before_best = _NOBODY, _NOBODY
    before, place = _NOBODY, s.places[wanted].waiting
    while place != _NOBODY:
        longest, since = s.places[best].since, s.places[place].since  # that of nobody is never looked at
        if best == _NOBODY or since < longest or (since == longest and _first(s, mesh, place) < _first(s, mesh, best)):
            best, before_best = place, before
        before, place = place, s.places[place].next_waiting
    if best == _NOBODY:
        return
    if before_best == _NOBODY:
        s.places[wanted].waiting = s.places[best].next_waiting
    else:
        s.places[before_best].next_waiting = s.places[best].next_waiting
    _line_up(s, best, _first(s, mesh, best), s.places[best].since)


@inlined
def _first(s: _State, mesh: Mesh, place: int) -> int:
    """The first message of a place."""
    head: int = s.places[place].head if place < mesh.links else s.cores[place - mesh.links].upcoming
    return head


@inlined
def _tile(s: _State, mesh: Mesh, place: int) -> int:
    """Where the messages of a place are."""
    if place >= mesh.links:
        tile: int = s.cores[place - mesh.links].tile
        return tile
    at, direction = place >> 2, place & 3
    if direction == EAST:
        return at + 1
    if direction == WEST:
        return at - 1
    return at + mesh.columns if direction == SOUTH else at - mesh.columns


@inlined
def _direction(at: int, goal: int, columns: int) -> int:
    """The way to another tile: along the row first."""
    if at % columns < goal % columns:
        return EAST
    if at % columns > goal % columns:
        return WEST
    return SOUTH if at < goal else NORTH


# ------------------------------------------------------------------------------------------------------------- heaps


@inlined
def _will_end(s: _State, time: int, code: int) -> None:
    """``code``: the index of what ends, and behind it in three bits what ending that is."""
    ends, at = s.ends, s.sizes[_ENDS]
    s.sizes[_ENDS] += 1
    while at > 0:
        parent = (at - 1) >> 1
        if ends[parent].time <= time:
            break
        ends[at] = ends[parent]
        at = parent
    ends[at].time, ends[at].code = time, code


@inlined
def _pop_end(s: _State) -> int:
    ends = s.ends
    found: int = ends[0].code
    s.sizes[_ENDS] -= 1
    size, at = s.sizes[_ENDS], 0
    time = ends[size].time
    while True:
        child = 2 * at + 1
        if child >= size:
            break
        if child + 1 < size and ends[child + 1].time < ends[child].time:
            child += 1
        if ends[child].time >= time:
            break
        ends[at] = ends[child]
        at = child
    ends[at] = ends[size]
    return found


@inlined
def _line_up(s: _State, place: int, number: int, since: int) -> None:
    """The first of a place is able to go, and may."""
    s.places[place].since = since
    goers, at = s.goers, s.sizes[_GOERS]
    s.sizes[_GOERS] += 1
    while at > 0:
        parent = (at - 1) >> 1
        above = goers[parent]
        if above.since < since or (above.since == since and above.number <= number):
            break
        goers[at] = above
        at = parent
    goers[at].since, goers[at].number, goers[at].place = since, number, place


@inlined
def _pop_goer(s: _State) -> int:
    goers = s.goers
    found: int = goers[0].place
    s.sizes[_GOERS] -= 1
    size, at = s.sizes[_GOERS], 0
    while True:
        child = 2 * at + 1
        if child >= size:
            break
        if child + 1 < size and _sooner(goers, child + 1, child):
            child += 1
        if not _sooner(goers, child, size):
            break
        goers[at] = goers[child]
        at = child
    goers[at] = goers[size]
    return found


@inlined
def _sooner(goers: Array, one: int, other: int) -> bool:
    a, b = goers[one], goers[other]
    sooner: bool = a.since < b.since or (a.since == b.since and a.number < b.number)
    return sooner
