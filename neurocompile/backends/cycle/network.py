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

from neurocompile.backends.compiled import compiled
from neurocompile.backends.cycle.messages import Load
from neurocompile.ir.nodes import Array

EAST, WEST, SOUTH, NORTH = 0, 1, 2, 3
#: what can end
_BEGINNING, _OUT_OF_LINK, _LINK_FREE, _WITHIN_TILE, _MADE, _SENT, _HANDLED, _VISITED = range(8)
_NOBODY = -1
#: sizes of the lists in a state
_ENDS, _GOERS, _WOKEN = 0, 1, 2


class Mesh(NamedTuple):
    """The network and the cores as a step needs them; times in ticks."""

    tiles: Array  # int64 (C + 1,): of each core and the host
    columns: int
    links: int
    hop_east_west: int
    hop_north_south: int
    within_tile: int
    link_time: int
    buffer: int  # 0: without bound
    overlap: bool
    host: bool  # false: what the host sends is in its core's queue from the beginning
    source_visits: Array  # int64 (C + 1,)


class Totals(NamedTuple):
    """Sums over all steps, in ticks and messages."""

    stalled: Array  # int64 (C + 1,)
    queue_wait: Array  # float64 (C + 1,)
    queue_peak: Array  # int64 (C + 1,)
    link_messages: Array  # int64 (links,)
    link_wait: Array  # float64 (links,)
    link_peak: Array  # int64 (links,)


class Marks(NamedTuple):
    """When each core was done in a step: int64 (C + 1,) ticks."""

    sending_end: Array
    receiving_start: Array
    receiving_end: Array


class _State(NamedTuple):
    sizes: Array
    # ends, and goers: heaps
    end_time: Array
    end_code: Array
    go_since: Array
    go_number: Array
    go_place: Array
    # places and what is wanted
    since: Array  # from when on the first of a place is able to go; nobody: it is still on its way
    waiting: Array  # a chain of the places whose first waits for this link or queue
    next_waiting: Array
    head: Array  # chains of messages behind links and in queues
    last: Array
    held: Array  # of what ``buffer`` bounds
    free_at: Array  # links
    will_be_free: Array  # whether that end is on its list
    # messages
    behind: Array
    came: Array  # when it is where it stands
    bounded: Array  # whether it takes a place in its queue
    # cores
    upcoming: Array  # the message that is being made or handed over
    boxed: Array  # whether it is handed over
    sends: Array  # whether the sending side is not done
    handling: Array
    visiting: Array
    owes: Array  # one engine: the sending side goes on when what is in hand is handled
    stalled_since: Array
    begun: Array  # whether the receiving side has begun
    woken: Array  # a list of cores that may begin to handle
    awake: Array  # whether on that list


@compiled
def step(load: Load, mesh: Mesh, totals: Totals, marks: Marks) -> int:
    """Run one step; the ticks until every core has finished. Adds to ``totals`` and writes ``marks``."""
    s = _begin(load, mesh, marks)
    finished = 0
    while s.sizes[_ENDS] > 0:
        now = s.end_time[0]
        while s.sizes[_ENDS] > 0 and s.end_time[0] == now:
            code = _pop_end(s)
            finished = max(finished, _end(s, load, mesh, marks, now, code & 7, code >> 3))
        while s.sizes[_GOERS] > 0 or s.sizes[_WOKEN] > 0:
            while s.sizes[_GOERS] > 0:
                _go(s, load, mesh, totals, now, _pop_goer(s))
            for w in range(s.sizes[_WOKEN]):
                c = s.woken[w]
                s.awake[c] = False
                _handle(s, load, mesh, totals, marks, now, c)
            s.sizes[_WOKEN] = 0
    for c in range(len(s.begun)):
        if not s.begun[c]:
            marks.receiving_start[c] = marks.receiving_end[c]
    return finished


@compiled
def _begin(load: Load, mesh: Mesh, marks: Marks) -> _State:
    cores, messages = len(load.tail), len(load.target)
    places = mesh.links + cores
    host = cores - 1
    room = messages + mesh.links + 3 * cores + 1
    s = _State(
        np.zeros(3, np.int64),
        np.empty(room, np.int64),
        np.empty(room, np.int64),
        np.empty(places + 1, np.int64),
        np.empty(places + 1, np.int64),
        np.empty(places + 1, np.int64),
        np.full(places, _NOBODY, np.int64),
        np.full(places, _NOBODY, np.int64),
        np.full(places, _NOBODY, np.int64),
        np.full(places, _NOBODY, np.int64),
        np.full(places, _NOBODY, np.int64),
        np.zeros(places, np.int64),
        np.zeros(mesh.links, np.int64),
        np.zeros(mesh.links, np.bool_),
        np.full(messages, _NOBODY, np.int64),
        np.zeros(messages, np.int64),
        np.ones(messages, np.bool_),
        load.first[:-1].copy(),
        np.zeros(cores, np.bool_),
        np.ones(cores, np.bool_),
        np.zeros(cores, np.bool_),
        mesh.source_visits > 0,
        np.zeros(cores, np.bool_),
        np.zeros(cores, np.int64),
        mesh.source_visits > 0,
        np.empty(cores, np.int64),
        np.zeros(cores, np.bool_),
    )
    _will_end(s, 0, _BEGINNING, 0)
    for c in range(cores):
        marks.sending_end[c], marks.receiving_start[c], marks.receiving_end[c] = 0, 0, 0
        if s.visiting[c]:
            _will_end(s, mesh.source_visits[c], _VISITED, c)
        if c == host:
            s.sends[c] = False
            if mesh.host and load.first[c] < load.first[c + 1]:
                _will_end(s, load.made[load.first[c]], _MADE, c)
        elif mesh.overlap or not s.visiting[c]:
            _work_on(s, load, c, 0)
    if not mesh.host:
        for m in range(load.first[host], load.first[host + 1]):
            s.bounded[m] = False
            _join(s, mesh, m, load.target[m], 0)
    return s


@compiled
def _end(s: _State, load: Load, mesh: Mesh, marks: Marks, now: int, kind: int, index: int) -> int:
    """Something ends; returns ``now`` where a core has finished one of its sides."""
    if kind == _OUT_OF_LINK:
        if s.since[index] == _NOBODY and s.head[index] != _NOBODY and s.came[s.head[index]] <= now:
            _line_up(s, index, s.head[index], now)
    elif kind == _LINK_FREE:
        s.will_be_free[index] = False
        _call(s, mesh, index)
    elif kind == _WITHIN_TILE:
        _join(s, mesh, index, load.target[index], now)
    elif kind == _MADE:
        s.boxed[index] = True
        s.stalled_since[index] = now
        _line_up(s, mesh.links + index, s.upcoming[index], now)
        _wake(s, index)
    elif kind == _SENT:
        s.sends[index] = False
        marks.sending_end[index] = now
        _wake(s, index)
        return now
    elif kind in (_HANDLED, _VISITED):
        if kind == _HANDLED:
            s.handling[index] = False
        else:
            s.visiting[index] = False
            s.owes[index] = s.sends[index] and not mesh.overlap
        marks.receiving_end[index] = now
        if s.owes[index]:
            s.owes[index] = False
            _work_on(s, load, index, now)
        elif s.boxed[index] and not mesh.overlap:
            s.stalled_since[index] = now
        _wake(s, index)
        return now
    return 0


@compiled
def _go(s: _State, load: Load, mesh: Mesh, totals: Totals, now: int, place: int) -> None:
    """The first of a place goes to what it wants, or waits for it."""
    m, at = _first(s, mesh, place), _tile(mesh, place)
    goal = mesh.tiles[load.target[m]]
    wanted = mesh.links + load.target[m] if at == goal else at * 4 + _direction(at, goal, mesh.columns)
    busy = wanted < mesh.links and s.free_at[wanted] > now
    if busy or (mesh.buffer > 0 and s.held[wanted] >= mesh.buffer):
        s.next_waiting[place] = s.waiting[wanted]
        s.waiting[wanted] = place
        if busy:
            _watch(s, wanted)
        return
    since = s.since[place]
    _leave(s, load, mesh, totals, now, place)
    s.held[wanted] += 1
    if wanted < mesh.links:
        hop = mesh.hop_east_west if wanted & 3 <= WEST else mesh.hop_north_south
        s.free_at[wanted] = now + mesh.link_time
        totals.link_messages[wanted] += 1
        totals.link_wait[wanted] += now - since
        totals.link_peak[wanted] = max(totals.link_peak[wanted], s.held[wanted])
        s.came[m] = now + hop
        _append(s, wanted, m)
        _will_end(s, now + hop, _OUT_OF_LINK, wanted)
    else:
        c = load.target[m]
        totals.queue_peak[c] = max(totals.queue_peak[c], s.held[wanted])
        if place < mesh.links:
            _join(s, mesh, m, c, now)
        else:
            _will_end(s, now + mesh.within_tile, _WITHIN_TILE, m)
    if s.waiting[wanted] != _NOBODY:
        if wanted < mesh.links and mesh.link_time > 0:
            _watch(s, wanted)
        else:
            _call(s, mesh, wanted)


@compiled
def _leave(s: _State, load: Load, mesh: Mesh, totals: Totals, now: int, place: int) -> None:
    """The first of a place leaves it."""
    if place < mesh.links:
        m = s.head[place]
        following = s.behind[m]
        s.head[place], s.behind[m], s.since[place] = following, _NOBODY, _NOBODY
        if following == _NOBODY:
            s.last[place] = _NOBODY
        elif s.came[following] <= now:
            _line_up(s, place, following, now)
        s.held[place] -= 1
        _call(s, mesh, place)
        return
    c = place - mesh.links
    s.boxed[c] = False
    s.upcoming[c] += 1
    m = s.upcoming[c]
    if c == len(s.boxed) - 1:  # the host, whose messages come one by one whether or not they can go
        if m < load.first[c + 1]:
            due = (m + 1 - load.first[c]) * load.made[m]
            if due > now:
                _will_end(s, due, _MADE, c)
            else:
                _line_up(s, place, m, now)
    elif s.handling[c] and not mesh.overlap:
        s.owes[c] = True
    else:
        totals.stalled[c] += now - s.stalled_since[c]
        _work_on(s, load, c, now)


@compiled
def _handle(s: _State, load: Load, mesh: Mesh, totals: Totals, marks: Marks, now: int, c: int) -> None:
    """A core begins to handle the first message of its queue, if it is free to."""
    queue = mesh.links + c
    m = s.head[queue]
    if m == _NOBODY or s.handling[c] or s.visiting[c]:
        return
    if not mesh.overlap and s.sends[c]:
        if not s.boxed[c]:
            return
        totals.stalled[c] += now - s.stalled_since[c]
    s.head[queue] = s.behind[m]
    if s.head[queue] == _NOBODY:
        s.last[queue] = _NOBODY
    s.handling[c] = True
    if not s.begun[c]:
        s.begun[c] = True
        marks.receiving_start[c] = now
    _will_end(s, now + load.handled[m], _HANDLED, c)
    if s.bounded[m]:
        totals.queue_wait[c] += now - s.came[m]
        s.held[queue] -= 1
        _call(s, mesh, queue)


@compiled
def _work_on(s: _State, load: Load, c: int, now: int) -> None:
    """A core makes its next message, or does what follows the last one."""
    if s.upcoming[c] < load.first[c + 1]:
        _will_end(s, now + load.made[s.upcoming[c]], _MADE, c)
    else:
        _will_end(s, now + load.tail[c], _SENT, c)


@compiled
def _join(s: _State, mesh: Mesh, m: int, c: int, now: int) -> None:
    """A message enters its core's queue: behind those that came before it or have lower numbers."""
    queue = mesh.links + c
    s.came[m] = now
    at, last = s.head[queue], s.last[queue]
    if at == _NOBODY or s.came[last] < now or last < m:
        _append(s, queue, m)
    elif s.came[at] == now and at > m:
        s.head[queue], s.behind[m] = m, at
    else:
        while s.came[s.behind[at]] < now or s.behind[at] < m:
            at = s.behind[at]
        s.behind[m], s.behind[at] = s.behind[at], m
    _wake(s, c)


@compiled
def _append(s: _State, place: int, m: int) -> None:
    if s.head[place] == _NOBODY:
        s.head[place] = m
    else:
        s.behind[s.last[place]] = m
    s.last[place] = m
    s.behind[m] = _NOBODY


@compiled
def _wake(s: _State, c: int) -> None:
    if not s.awake[c]:
        s.awake[c] = True
        s.woken[s.sizes[_WOKEN]] = c
        s.sizes[_WOKEN] += 1


@compiled
def _watch(s: _State, link: int) -> None:
    """Somebody waits for a link that is busy."""
    if not s.will_be_free[link]:
        s.will_be_free[link] = True
        _will_end(s, s.free_at[link], _LINK_FREE, link)


@compiled
def _call(s: _State, mesh: Mesh, wanted: int) -> None:
    """Look again at the one that has waited longest for a link or queue."""
    best, before_best = _NOBODY, _NOBODY
    before, place = _NOBODY, s.waiting[wanted]
    while place != _NOBODY:
        if (
            best == _NOBODY
            or s.since[place] < s.since[best]
            or (s.since[place] == s.since[best] and _first(s, mesh, place) < _first(s, mesh, best))
        ):
            best, before_best = place, before
        before, place = place, s.next_waiting[place]
    if best == _NOBODY:
        return
    if before_best == _NOBODY:
        s.waiting[wanted] = s.next_waiting[best]
    else:
        s.next_waiting[before_best] = s.next_waiting[best]
    _line_up(s, best, _first(s, mesh, best), s.since[best])


@compiled
def _first(s: _State, mesh: Mesh, place: int) -> int:
    """The first message of a place."""
    head: int = s.head[place] if place < mesh.links else s.upcoming[place - mesh.links]
    return head


@compiled
def _tile(mesh: Mesh, place: int) -> int:
    """Where the messages of a place are."""
    if place >= mesh.links:
        tile: int = mesh.tiles[place - mesh.links]
        return tile
    at, direction = place >> 2, place & 3
    if direction == EAST:
        return at + 1
    if direction == WEST:
        return at - 1
    return at + mesh.columns if direction == SOUTH else at - mesh.columns


@compiled
def _direction(at: int, goal: int, columns: int) -> int:
    """The way to another tile: along the row first."""
    if at % columns < goal % columns:
        return EAST
    if at % columns > goal % columns:
        return WEST
    return SOUTH if at < goal else NORTH


# ------------------------------------------------------------------------------------------------------------- heaps


@compiled
def _will_end(s: _State, time: int, kind: int, index: int) -> None:
    times, codes, at = s.end_time, s.end_code, s.sizes[_ENDS]
    s.sizes[_ENDS] += 1
    while at > 0:
        parent = (at - 1) >> 1
        if times[parent] <= time:
            break
        times[at], codes[at] = times[parent], codes[parent]
        at = parent
    times[at], codes[at] = time, index << 3 | kind


@compiled
def _pop_end(s: _State) -> int:
    times, codes = s.end_time, s.end_code
    found: int = codes[0]
    s.sizes[_ENDS] -= 1
    size = s.sizes[_ENDS]
    time, code, at = times[size], codes[size], 0
    while True:
        child = 2 * at + 1
        if child >= size:
            break
        if child + 1 < size and times[child + 1] < times[child]:
            child += 1
        if times[child] >= time:
            break
        times[at], codes[at] = times[child], codes[child]
        at = child
    times[at], codes[at] = time, code
    return found


@compiled
def _line_up(s: _State, place: int, number: int, since: int) -> None:
    """The first of a place is able to go, and may."""
    s.since[place] = since
    times, numbers, places, at = s.go_since, s.go_number, s.go_place, s.sizes[_GOERS]
    s.sizes[_GOERS] += 1
    while at > 0:
        parent = (at - 1) >> 1
        if times[parent] < since or (times[parent] == since and numbers[parent] <= number):
            break
        times[at], numbers[at], places[at] = times[parent], numbers[parent], places[parent]
        at = parent
    times[at], numbers[at], places[at] = since, number, place


@compiled
def _pop_goer(s: _State) -> int:
    times, numbers, places = s.go_since, s.go_number, s.go_place
    found: int = places[0]
    s.sizes[_GOERS] -= 1
    size = s.sizes[_GOERS]
    since, number, place, at = times[size], numbers[size], places[size], 0
    while True:
        child = 2 * at + 1
        if child >= size:
            break
        right = child + 1
        if right < size and (
            times[right] < times[child] or (times[right] == times[child] and numbers[right] < numbers[child])
        ):
            child = right
        if times[child] > since or (times[child] == since and numbers[child] >= number):
            break
        times[at], numbers[at], places[at] = times[child], numbers[child], places[child]
        at = child
    times[at], numbers[at], places[at] = since, number, place
    return found
