"""A timed run as one file of a program folder, with the spikes of one of its samples."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping as Map
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as save_tensors

from neurocompile.backends.cycle.result import Cores, CycleRun, Links, Timeline, Timing, Unit
from neurocompile.errors import InputError
from neurocompile.ir.graph import Graph
from neurocompile.ir.nodes import ENCODERS, SPIKING, Array
from neurocompile.mapping.mapping import Mapping

FORMAT = "neurocompile.cycle/1"
_PARTS = {"cores": Cores, "links": Links, "timeline": Timeline}
_WHOLE = ("core", "tile", "messages_out", "messages_in", "queue_peak", "source", "target", "messages", "peak", "visits")
_Count = Annotated[int, Field(ge=0, le=1 << 40)]
_LONGEST = 1e24  # whatever the unit: beyond all runs, and squares of it are numbers still
_Time = Annotated[float, Field(ge=0, le=_LONGEST)]


class _Header(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    format: str
    belongs_to: str
    profile: str
    timing: Timing
    unit: Unit
    unit_ns: _Time | None
    samples: Annotated[int, Field(ge=1, le=1 << 40)]
    timesteps: _Count
    depth: _Count
    barrier: _Time
    overruns: _Count
    engines: Annotated[int, Field(ge=1, le=2)]
    first_step: _Count


def to_bytes(run: CycleRun, shown: Map[str, Array], belongs_to: str) -> bytes:
    """The file. ``shown``: what every sender sends in one sample, (T, *shape); ``belongs_to``: a hash of what the run
    was of, which ``from_file`` asks for again."""
    header = _Header(
        format=FORMAT,
        belongs_to=belongs_to,
        first_step=run.timeline.first_step,
        **{name: getattr(run, name) for name in _Header.model_fields if hasattr(run, name)},
    )
    arrays = {name: value for name, value in vars(run).items() if isinstance(value, np.ndarray)}
    for part in _PARTS:
        arrays |= {f"{part}/{name}": value for name, value in vars(getattr(run, part)).items() if name != "first_step"}
    arrays |= {f"shown/{name}": (values != 0).astype(np.uint8) for name, values in shown.items()}
    plain = {name: np.ascontiguousarray(array).reshape(array.shape) for name, array in arrays.items()}
    return save_tensors(plain, metadata={"header": header.model_dump_json()})


def from_file(path: Path, graph: Graph, mapping: Mapping, belongs_to: str) -> tuple[CycleRun, dict[str, Array]] | None:
    """The run and the sample's spikes again; None where the file is of another run. InputError where it is damaged."""
    try:
        with safe_open(path, framework="numpy") as file:
            header = _Header.model_validate(json.loads((file.metadata() or {})["header"]))
            if header.belongs_to != belongs_to:
                return None
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no mapping
    except (OSError, SafetensorError, ValueError, KeyError, RecursionError, ValidationError) as error:
        raise InputError(f"{path}: {error}; run the program with --backend cycle again".replace("\n", " ")) from None
    expected = _shapes(header, graph, mapping, links=arrays.get("links/source", np.zeros(0)).shape[:1])
    for name, shape in expected.items():
        if name not in arrays or arrays[name].shape != shape or not _sound(name, arrays[name]):
            raise InputError(f"{path}: {name} is not of shape {shape} as it should be; run the program again")
    places = arrays["cores/core"].tolist(), sorted({each.core for each in mapping.slices})
    if set(arrays) != set(expected) or places[0] != places[1]:
        raise InputError(f"{path}: it has arrays that no run has; run the program with --backend cycle again")

    def part(name: str, **more: Any) -> dict[str, Any]:
        fields = [field.name for field in dataclasses.fields(_PARTS[name]) if field.name not in more]
        return {**more, **{field: arrays[f"{name}/{field}"] for field in fields}}

    scalars = header.model_dump(exclude={"format", "belongs_to", "first_step"})
    whole = {name: array for name, array in arrays.items() if "/" not in name}
    run = CycleRun(
        **scalars,
        **whole,
        cores=Cores(**part("cores")),
        links=Links(**part("links")),
        timeline=Timeline(**part("timeline", first_step=header.first_step)),
    )
    return run, {name.removeprefix("shown/"): array for name, array in arrays.items() if name.startswith("shown/")}


def _shapes(header: _Header, graph: Graph, mapping: Mapping, links: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    steps, window = header.samples * header.timesteps + header.depth, header.timesteps + header.depth
    shapes: dict[str, tuple[int, ...]] = {
        "step_time": (steps,),
        "fast_step_time": (steps,),
        "sample_latency": (header.samples,),
        "sample_end": (header.samples,),
        "visits": (len(mapping.slices), 3),
    }
    shapes |= {f"cores/{field.name}": (mapping.cores,) for field in dataclasses.fields(Cores)}
    shapes |= {f"links/{field.name}": links for field in dataclasses.fields(Links)}
    shapes |= {"timeline/start": (window,), "timeline/length": (window,)}
    for name in ("sending_end", "receiving_start", "receiving_end"):
        shapes[f"timeline/{name}"] = (window, mapping.cores)
    senders = graph.of_kind(*ENCODERS, *SPIKING)
    return shapes | {f"shown/{name}": (graph.timesteps, *graph.shape(name)) for name in senders}


def _sound(name: str, array: Array) -> bool:
    kind = np.uint8 if name.startswith("shown/") else np.int64 if name.rpartition("/")[2] in _WHOLE else np.float64
    if array.dtype != kind:
        return False
    return bool(((array >= 0) & (array <= _LONGEST)).all())
