"""Reports with everything in them, made up: a small one to read every number of, and one of a large network's size."""

from __future__ import annotations

import random
from typing import Any

from costs_cases import activity, chip, mapped, tiny

from neurocompile.mapping import map_graph
from neurocompile.reports.data import report_data

Report = dict[str, Any]


def estimated(timesteps: int = 2) -> Report:
    """Without a run of the cycle engine: what a fresh build has."""
    graph, profile = mapped(tiny(timesteps)), chip()
    return report_data(graph, map_graph(graph, profile), activity(graph), profile)


def spread(values: list[float]) -> Report:
    mean = sum(values) / len(values)
    std = (sum((value - mean) ** 2 for value in values) / len(values)) ** 0.5
    return {"mean": mean, "std": std, "min": min(values), "max": max(values), "values": values}


def full() -> Report:
    """Two cores on two tiles, four samples of two steps."""
    report = estimated()
    return {
        **report,
        "activity": {**report["activity"], "samples": 4},
        "energy_by_basis_pj": {"measured": 150.25, "assumed": 42.0},
        "accuracy": 0.875,
        "samples": {
            "energy_pj": spread([180.0, 190.5, 195.25, 203.25]),
            "energy_delay_pj_ns": spread([30240.0, 32004.0, 32802.0, 34146.0]),
        },
        "raster": {
            "sample": 1,
            "steps": 2,
            "populations": [
                {"name": "hidden", "neurons": 3, "shown": 3, "total": 2, "spikes": [[1, 0], [1, 2]]},
                {"name": "quiet", "neurons": 40, "shown": 5, "total": 1, "spikes": []},
            ],
        },
        "drift": drift(),
        "cycle": cycle(
            cores=[
                core(0, 0, (0, 0), ["hidden"], (120.0, 30.0, 10.0, 240.0)),
                core(1, 1, (0, 1), ["readout"], (80.5, 60.25, 0.0, 259.25)),
            ],
            links=[{"from": 0, "to": 1, "messages": 1234, "busy": 12.5, "wait": 3.75, "peak": 2}],
            mesh=(1, 2, 1),
            steps=[40.0, 41.5, 45.25, 39.75, 40.5, 41.0, 52.0, 60.0, 20.0, 20.0],
            window=[(14.0, 0.5, 20.25), (12.0, 1.0, 31.5)],
        ),
    }


def core(number: int, tile: int, place: tuple[int, int], populations: list[str], spent: tuple[float, ...]) -> Report:
    names = ("sending", "receiving", "stalled", "idle")
    return {"core": number, "tile": tile, "row": place[0], "column": place[1], "populations": populations,
            **dict(zip(names, spent, strict=True)), "messages_in": 7 + number, "messages_out": 3 * number,
            "queue_peak": 2, "queue_wait": 1.25}  # fmt: skip


def cycle(
    cores: list[Report], links: list[Report], mesh: tuple[int, int, int], steps: list[float],
    window: list[tuple[float, float, float]],
) -> Report:  # fmt: skip
    """``window``: per core, the end of sending, and start and end of receiving, the same in three steps."""
    return {
        "timing": "exact", "unit": "ns", "samples": 4, "steps": len(steps), "depth": 2,
        "total": sum(steps), "fast_total": 320.0, "difference": sum(steps) / 320.0, "barrier": 10.0, "overruns": 1,
        "step": {**spread(steps), "shown": list(range(len(steps)))},
        "latency": spread([168.0, 171.5, 180.25, 180.25]),
        "throughput_per_s": 1.25e7,
        "cores": cores,
        "links": links,
        "mesh": dict(zip(("rows", "columns", "cores_per_tile"), mesh, strict=True)),
        "timeline": {
            "sample": 1,
            "first_step": 2,
            "steps": [{"start": 81.5 + 40 * index, "length": 40.0} for index in range(3)],
            "cores": [
                {"core": each["core"], "sending_end": [sent] * 3, "receiving_start": [first] * 3,
                 "receiving_end": [last] * 3}
                for each, (sent, first, last) in zip(cores, window, strict=True)
            ],
        },
        "notes": ["One network plane."],
    }  # fmt: skip


def drift() -> Report:
    """What ``verify`` writes, of two layers."""
    layer = {"weight_error": 0.0125, "threshold_error_mean": None, "neuron_steps": 100, "rate_float": 0.12,
             "rate_integer": 0.125, "count_agreement": 0.99}  # fmt: skip
    return {
        "format": "neurocompile.drift/1", "data": "64 samples of test.npz", "samples": 64, "timesteps": 2, "bits": 8,
        "engines": {
            "functional": {"state": "equal", "samples": 12, "difference": None},
            "lava": {"state": "unavailable", "samples": 0, "reason": "lava is not installed"},
        },
        "conversion": None,
        "accuracy_float": 0.90625, "accuracy_integer": 0.875, "output_agreement": 0.953125,
        "layers": [
            {"name": "hidden", "agreement": 0.9825, "isolated_agreement": 0.995, **layer},
            {"name": "readout", "agreement": 0.5, "isolated_agreement": 1.0, **layer},
        ],
        "outputs": [{"name": "out", "mean_error": 0.5, "mean_isolated_error": 0.25, "mean_magnitude": 8.0}],
        "saturation": {
            "inputs": {"clipped": 3, "values": 1000}, "weights": {"clipped_share": 0.001, "weights": 16},
            "states": {"reason": "proved to fit"},
        },
        "depth": {
            "samples": 64, "measure": "accuracy", "worst": "hidden",
            "rows": [
                {"layer": "(none)", "accuracy": 0.90625, "agreement": 1.0, "change": 0.0, "lost": 0, "won": 0,
                 "output_error": 0.0},
                {"layer": "hidden", "accuracy": 0.875, "agreement": 0.95, "change": -0.03125, "lost": 3, "won": 1,
                 "output_error": 0.0625},
            ],
        },
        "widths": {
            "samples": 64, "measure": "accuracy", "float": 0.90625,
            "variants": [
                {"bits": 8, "scales": "channel", "quantizer": "max", "accuracy": 0.875, "agreement": 0.95,
                 "error": None, "own": True},
                {"bits": 2, "scales": "channel", "quantizer": "max", "accuracy": None, "agreement": None,
                 "error": "hidden: needs 3 bits", "own": False},
            ],
        },
        "conclusion": "8 bits: 87.50% against 90.62% float over 64 samples",
    }  # fmt: skip


def large(cores: int = 300, steps: int = 2000, window: int = 24, spikes: int = 64_000) -> Report:
    """As large as a VGG16 of many time steps on a mesh of 9 by 9 tiles, four cores each."""
    chance = random.Random(5)
    columns = 9
    names = [f"features.{index}.conv" for index in range(16)]
    all_cores, per_core = [], []
    for index in range(cores):
        row, column = divmod(index // 4, columns)
        sent, received = chance.uniform(1e5, 2e6), chance.uniform(1e5, 2e6)
        spent = (sent, received, chance.uniform(0, 2e5), 4.4e6 - sent - received)
        all_cores.append(core(index, index // 4, (row, column), [names[index * 16 // cores]], spent))
        first = chance.uniform(0, 400)
        per_core.append((chance.uniform(200, 1900), first, first + chance.uniform(0, 1500)))
    tiles = -(-cores // 4)
    links = []
    for tile in range(tiles):
        for other in (tile + 1, tile - 1, tile + columns, tile - columns):
            near = abs(other - tile) == columns or other // columns == tile // columns
            if 0 <= other < tiles and near:
                links.append({"from": tile, "to": other, "messages": int(chance.paretovariate(1) * 100),
                              "busy": chance.uniform(0, 1e4), "wait": chance.uniform(0, 1e3), "peak": 3})  # fmt: skip
    report = full()
    run = cycle(all_cores, links, (9, 9, 4), [chance.uniform(1800, 2400) for _ in range(steps)], per_core)
    run["timeline"]["steps"] = [{"start": 2400.125 * index, "length": 2400.125} for index in range(window)]
    for each in run["timeline"]["cores"]:
        each |= {key: [each[key][0] * chance.uniform(0.3, 1) for _ in range(window)] for key in ("sending_end",)}
        each["receiving_start"], each["receiving_end"] = (
            each["receiving_start"][:1] * window,
            each["receiving_end"][:1] * window,
        )
    run["latency"] = spread([chance.gauss(48_000, 1500) for _ in range(2000)])
    shown = 200
    raster = {"sample": 0, "steps": 20, "populations": [
        {"name": name, "neurons": 65_536, "shown": shown, "total": spikes // 16,
         "spikes": sorted([chance.randrange(20), chance.randrange(shown) * 65_535 // 199] for _ in range(spikes // 16))}
        for name in names
    ]}  # fmt: skip
    layer = report["layers"][0]
    layers = [{**layer, "name": name, "neurons": 65_536, "energy_pj": chance.uniform(1e6, 1e8)} for name in names]
    return {**report, "cycle": run, "raster": raster, "layers": layers}
