"""Generated networks, in the functional engine and in the interpreter: every output and event must be the same.

The networks are those of the tests (``tests/networks.py``), a quarter of them in chip time; seeds are fixed.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from cases import OUT
from child import Side
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from neurocompile.backends.functional import FunctionalBackend
from neurocompile.ir.graph import Graph
from neurocompile.ir.interpret import Trace, interpret
from neurocompile.ir.nodes import Array
from neurocompile.ir.saved import to_plain
from neurocompile.ir.text import to_text
from tests.networks import integer_networks, mapped_networks, samples_for

#: of one call; fewer are told, since a network that has been there is not run again
CHUNK = 250

_Result = TypeVar("_Result")


def side(part: int, parts: int) -> Side:
    """Runs the next chunk of networks whenever it is asked to; every part has networks of its own."""
    torch.set_num_threads(1)
    engine = FunctionalBackend()
    seen: set[str] = set()
    chunk = part - parts

    def run() -> dict[str, Any]:
        nonlocal chunk
        chunk += parts
        spent = {"ours": 0.0, "theirs": 0.0}
        before = len(seen)

        def clock(who: str, work: Callable[[], _Result]) -> _Result:
            begin = time.perf_counter()
            result = work()
            spent[who] += time.perf_counter() - begin
            return result

        wrong: list[tuple[Graph, Array, list[str]]] = []

        @seed(chunk)
        @settings(
            max_examples=CHUNK, database=None, deadline=None, suppress_health_check=list(HealthCheck),
            phases=(Phase.generate,),
        )  # fmt: skip
        @given(st.data())
        def check(data: st.DataObject) -> None:
            graph = _network(data)
            samples = data.draw(samples_for(graph))
            if graph.hash in seen:
                return
            seen.add(graph.hash)
            ours = clock("ours", lambda: engine.run(graph, samples))
            theirs = clock("theirs", lambda: interpret(graph, samples))
            if differ := _differences(ours, theirs):
                # told later: Hypothesis would run it again, and a fault of memory may not show itself twice
                wrong.append((graph, samples, differ))

        check()
        if wrong:
            graph, samples, differ = min(wrong, key=lambda found: sum(1 for _ in found[0]))
            print(f"seed {chunk}, samples {samples.tolist()}\n{to_text(graph)}")
            place = _keep(graph, samples)
            raise AssertionError(
                f"{len(wrong)} networks of seed {chunk} differ, the smallest in {', '.join(differ)}; it is in {place}"
            )
        return {"networks": len(seen) - before, "ours_seconds": spent["ours"], "theirs_seconds": spent["theirs"]}

    return Side(run, warm_ups=0)


def _network(data: st.DataObject) -> Graph:
    if data.draw(st.integers(0, 3)):
        return data.draw(integer_networks())
    _, mapped = data.draw(mapped_networks())
    return mapped


def _differences(ours: Trace, theirs: Trace) -> list[str]:
    """What is not the same in both."""
    pairs = [("outputs", ours.outputs, theirs.outputs), ("events", ours.events, theirs.events)]
    return [
        f"{kind} of {name}"
        for kind, mine, wanted in pairs
        for name in mine.keys() | wanted.keys()
        if name not in mine or name not in wanted or not np.array_equal(mine[name], wanted[name])
    ]


def _keep(graph: Graph, samples: Array) -> Path:
    """Write a network and its samples where they can be looked at; they are loaded as ``vgg16.graph`` does."""
    place = OUT / "mismatch"
    place.mkdir(parents=True, exist_ok=True)
    structure, arrays = to_plain(graph)
    (place / "graph.json").write_text(json.dumps(structure))
    save_file(arrays, place / "graph.safetensors")
    np.save(place / "samples.npy", samples)
    return place
