"""The functional engine: batches of samples, bit for bit as the interpreter on integer graphs.

Float graphs run too, for those who compare: by the interpreter, with the convolutions of torch in float64.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import math
import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neurocompile.backends.base import Progress, Samples, joined
from neurocompile.errors import InputError
from neurocompile.ir.bounds import sent_range
from neurocompile.ir.graph import Graph
from neurocompile.ir.interpret import Trace, check_fit, check_samples, interpret
from neurocompile.ir.nodes import ENCODERS, SPIKING, Array, Relu

if TYPE_CHECKING:
    from neurocompile.backends.functional.plan import Plan

# of one batch: more make nothing faster
_MOST_SAMPLES = 64
# of the memory that is free, where nobody names a bound
_SHARE_OF_MEMORY = 0.5


class FunctionalBackend:
    """Runs graphs of any stage in this process, in as many threads as torch has.

    ``memory_bytes`` bounds what batches and weights take beside the libraries themselves; half of what is free where it
    is None.
    """

    name = "functional"

    def __init__(self, *, memory_bytes: int | None = None) -> None:
        self.memory_bytes = memory_bytes
        self._last: _Prepared | None = None

    def unavailable(self) -> str | None:
        for module in ("torch", "numba"):
            if importlib.util.find_spec(module) is None:
                return f"the functional backend needs {module}, which is missing; pip install 'neurocompile[torch]'"
        return None

    def run(
        self,
        graph: Graph,
        samples: Array,
        *,
        first_sample: int = 0,
        timeout_s: float | None = None,  # noqa: ARG002 - nothing here can hang
        progress: Progress | None = None,
    ) -> Trace:
        """As ``Backend.run``; ``progress`` counts samples."""
        traces = list(self.batches(graph, samples, first_sample=first_sample, progress=progress))
        return joined(graph, traces)

    def batches(
        self,
        graph: Graph,
        samples: Samples,
        *,
        first_sample: int = 0,
        events: bool = True,
        given: Mapping[str, Array] | None = None,
        progress: Progress | None = None,
        batch: int | None = None,
    ) -> Iterator[Trace]:
        """Consecutive batches of samples (N, *shape) or (N, T, *shape), of at most ``batch`` samples each.

        Events come in the narrowest integers that hold them (float64 for float graphs), or not at all where ``events``
        is False. Populations that are ``given`` send these events (N, T, *shape) and are not computed. InputError where
        samples do not fit the graph, or one of them does not fit the memory.
        """
        check_fit(graph, samples.shape, samples.dtype)
        floating = graph.stage not in ("integer", "mapped")
        if not floating:
            _check_given(graph, given or {})
        work = _float_work(graph, events) if floating else self._prepared(graph).work(events)
        count, most = len(samples), min(batch or _MOST_SAMPLES, _MOST_SAMPLES)
        threads, size = self._split(graph, work, count, most)

        def one(start: int) -> Trace:
            span = slice(start, start + size)
            checked = check_samples(graph, samples[span])
            forced = {name: values[span] for name, values in (given or {}).items()}
            return work.run(checked, first_sample + start, forced)

        done = 0
        for trace in _in_threads(one, range(0, count, size), threads):
            done = min(done + size, count)
            if progress:
                progress(done, count)
            yield trace
            del trace  # whoever takes it may let it go before the next one is made

    def explain(self, graph: Graph) -> list[dict[str, Any]]:
        """For each projection of an integer graph: the kernel that runs it, and why that is exact."""
        return self._prepared(graph).plan.explain()

    def _prepared(self, graph: Graph) -> _Prepared:
        """The plan of a graph; that of the last one is kept, so that only a first batch waits for it."""
        from neurocompile.backends.functional.plan import Plan
        from neurocompile.backends.functional.products import settings

        last = self._last
        if last is None or last.plan.graph is not graph or last.plan.settings != settings():
            with _plainly():
                self._last = last = _Prepared(Plan.of(graph))
        return last

    def _split(self, graph: Graph, work: _Work, count: int, most: int) -> tuple[int, int]:
        """How many threads run batches of how many samples, so that all fits the memory."""
        import torch

        memory = int(_free_bytes() * _SHARE_OF_MEMORY) if self.memory_bytes is None else self.memory_bytes
        for threads in range(min(torch.get_num_threads(), count) if work.threaded else 1, 0, -1):
            size = min(most, math.ceil(count / threads))
            while size > 1 and work.bytes_for(threads, size) > memory:
                size //= 2
            if work.bytes_for(threads, size) <= memory:
                return threads, size
        needed = work.bytes_for(1, 1)
        raise InputError(
            f"graph {graph.name!r}: one sample of {graph.timesteps} time steps needs {_size(needed)} of memory, the "
            f"limit is {_size(memory)}; give --memory {_size(needed)} or more"
        )


def _check_given(graph: Graph, given: Mapping[str, Array]) -> None:
    """What is given must be what its population could send: the proofs rest on that."""
    for name, values in given.items():
        if isinstance(graph.node(name), (*ENCODERS, *SPIKING)):
            low, high = sent_range(graph, name)
            if values.size and (values.min() < low or values.max() > high):
                raise InputError(
                    f"{name} is given events from {values.min()} to {values.max()}; it sends from {low} to {high}"
                )


def fastest_kernels() -> str:
    """The fastest arithmetic that this machine's torch and processor have for integers; torch must be there."""
    from neurocompile.backends.functional import products

    if not products.byte_kernels():
        return "float32 kernels only"
    return "kernels of bytes" + (" (VNNI)" if products.has_vnni() else ", for small values only (no VNNI)")


@dataclass(frozen=True)
class _Work:
    """What runs a batch, and the memory that it takes: once, for each sample, and in each thread for batches of so many
    samples."""

    run: Callable[[Array, int, Mapping[str, Array]], Trace]
    threaded: bool
    fixed_bytes: int
    sample_bytes: int
    thread_bytes: Callable[[int], int]

    def bytes_for(self, threads: int, size: int) -> int:
        # one batch may wait to be fetched while every thread works on another
        waiting = 1 if threads > 1 else 0
        batches = self.sample_bytes * size * (threads + waiting)
        return self.fixed_bytes + batches + threads * self.thread_bytes(size)


class _Prepared:
    """A plan, and what it takes to run it with and without events, worked out once: a small batch would wait for it."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.work = functools.cache(functools.partial(_integer_work, plan))


def _integer_work(plan: Plan, events: bool) -> _Work:
    from neurocompile.backends.functional.execute import execute

    def run(samples: Array, first: int, given: Mapping[str, Array]) -> Trace:
        with _plainly():
            return execute(plan, samples, first, events=events, given=given)

    return _Work(
        run,
        threaded=plan.has_loops,
        fixed_bytes=plan.weight_bytes(),
        sample_bytes=plan.sample_bytes(events=events),
        thread_bytes=functools.cache(plan.part_bytes),
    )


@contextlib.contextmanager
def _plainly() -> Iterator[None]:
    """Without gradients, and without the rounding of autocast, which the caller may have on."""
    import torch

    with torch.inference_mode(), torch.autocast("cpu", enabled=False):
        yield


def _float_work(graph: Graph, events: bool) -> _Work:
    from neurocompile.backends.functional.products import fast_linear

    def run(samples: Array, first: int, given: Mapping[str, Array]) -> Trace:
        whole = samples if samples.shape[1] == graph.timesteps else samples[:, 0]
        trace = interpret(graph, whole, first_sample=first, product=fast_linear, given=given)
        return trace if events else Trace(trace.outputs, {})

    sizes = {name: math.prod(graph.shape(name)) for name in graph}
    sent = sum(sizes[name] for name in graph.of_kind(*SPIKING, Relu)) * graph.timesteps
    # every value of a step, and what is sent, twice while it is joined
    sample_bytes = 8 * (2 * sum(sizes.values()) + 2 * sent)
    return _Work(run, threaded=False, fixed_bytes=0, sample_bytes=sample_bytes, thread_bytes=lambda _: 0)


def _in_threads(work: Callable[[int], Trace], starts: range, threads: int) -> Iterator[Trace]:
    """``work`` for every start, in order, by ``threads`` threads of one core each; a single one has all cores."""
    if threads == 1:
        yield from map(work, starts)
        return
    import torch

    cores = torch.get_num_threads()
    pool = _pool(threads)
    pending: deque[Future[Trace]] = deque()
    try:
        for start in starts:
            pending.append(pool.submit(work, start))
            if len(pending) > threads:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    except KeyboardInterrupt:
        # it may fall while a thread begins, before the pool knows of it; Python would wait for that one at exit
        _pool.cache_clear()
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    finally:
        for future in pending:
            future.cancel()
        torch.set_num_threads(cores)  # a worker that begins sets what all threads to come begin with


@functools.cache
def _pool(threads: int) -> ThreadPoolExecutor:
    """Threads of one core each. They are kept: what torch and the allocator hold for a thread takes a new one longer to
    set up than a small batch takes to run."""
    import torch

    return ThreadPoolExecutor(threads, "functional", initializer=partial(torch.set_num_threads, 1))


def _free_bytes() -> int:
    """Memory that is free: what Linux calls available, or else all there is."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        fields = dict(line.split(":", 1) for line in lines)
        return int(fields["MemAvailable"].split()[0]) << 10
    except (OSError, KeyError, ValueError, IndexError):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _size(count: int) -> str:
    """``count`` bytes, rounded up, as ``--memory`` takes them."""
    unit, name = (1 << 20, "MiB") if count >= 10 << 20 else (1 << 10, "KiB")
    return f"{math.ceil(count / unit)}{name}"
