"""Reports of single samples: recorded by runs, consistent with the mean, and absent where nobody counted them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from cli_cases import Result, edited_profile
from safetensors.numpy import load, save

Cli = Callable[..., Result]


def test_a_run_records_every_sample(cli: Cli, place: Path) -> None:
    cli("run", "program", "--input", "x.npy", "--backend", "reference")
    report = cli("report", "program", "--json").json
    energy, delay = report["samples"]["energy_pj"], report["samples"]["energy_delay_pj_ns"]
    assert len(energy["values"]) == len(np.load(place / "x.npy")) == 6
    assert energy["mean"] == pytest.approx(np.mean(energy["values"])) == pytest.approx(report["energy_pj"]["total"])
    assert (energy["min"], energy["max"]) == (min(energy["values"]), max(energy["values"]))
    assert energy["std"] == pytest.approx(np.std(energy["values"]))
    assert energy["std"] > 0
    assert delay["values"] == pytest.approx(np.array(energy["values"]) * report["latency_ns"])
    assert delay["mean"] == pytest.approx(report["energy_delay_pj_ns"])
    # times are those of the mean step, so that only what the events cause is the sample's own
    alone = cli("report", "program", "--input", "x.npy", "--limit", "1", "--json").json
    events, own = (each["energy_pj"]["total"] - each["energy_pj"]["static"] for each in (report, alone))
    assert energy["values"][0] - energy["mean"] == pytest.approx(own - events)
    assert alone["samples"]["energy_pj"]["values"] == pytest.approx([alone["energy_pj"]["total"]])


def test_a_timed_run_knows_the_latency_of_each(cli: Cli) -> None:
    cli("run", "program", "--input", "x.npy", "--backend", "cycle")
    report = cli("report", "program", "--json").json
    energy, delay = report["samples"]["energy_pj"], report["samples"]["energy_delay_pj_ns"]
    assert energy["mean"] == pytest.approx(report["energy_pj"]["total"])
    assert delay["values"] == pytest.approx(np.multiply(energy["values"], report["cycle"]["latency"]["values"]))


def test_another_chip_has_samples_of_its_own_or_none(cli: Cli, place: Path) -> None:
    cli("run", "program", "--input", "x.npy")
    edited_profile(place, "  overlap: true", "  overlap: false")
    words = ("report", "program", "--profile", "./chip.yaml", "--json")
    assert cli(*words).json["samples"] is None
    counted = cli(*words, "--input", "x.npy").json
    assert counted["samples"]["energy_pj"]["mean"] == pytest.approx(counted["energy_pj"]["total"])


def test_an_activity_of_before_has_none(cli: Cli, place: Path) -> None:
    cli("run", "program", "--input", "x.npy")
    path = place / "program" / "activity.json"
    header = json.loads(path.read_text())
    assert header["format"] == "neurocompile.activity/3"
    raw = save({k: v for k, v in load((place / "program" / "activity.safetensors").read_bytes()).items()
                if not k.startswith("each/")})  # fmt: skip
    (place / "program" / "activity.safetensors").write_bytes(raw)
    older = {key: value for key, value in header.items() if key not in ("each", "chip")}
    path.write_text(
        json.dumps({**older, "format": "neurocompile.activity/1", "sha256": hashlib.sha256(raw).hexdigest()})
    )
    report = cli("report", "program", "--json").json
    assert report["samples"] is None
    assert report["energy_pj"]["total"] > 0
