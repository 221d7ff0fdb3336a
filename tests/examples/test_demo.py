"""The demo, whole: what the README promises of it is what it does."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from neurocompile.program import Program

ROOT = Path(__file__).parents[2]
NETWORKS = ("vgg-t1", "vgg-t5", "resnet-t4")

pytestmark = [pytest.mark.slow, pytest.mark.lava, pytest.mark.timeout(600)]


def demo(folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, ROOT / "examples" / "demo.py", "--out", folder], capture_output=True, text=True, timeout=500
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def test_demo(tmp_path: Path) -> None:
    demo(tmp_path)
    images, labels = np.load(tmp_path / "images.npy"), np.load(tmp_path / "labels.npy")
    assert images.shape == (360, 1, 8, 8)
    assert labels.shape == (360,)
    results = {each["name"]: each for each in json.loads((tmp_path / "results.json").read_text())}
    assert tuple(results) == NETWORKS
    for name, each in results.items():
        assert (tmp_path / f"{name}.pt").is_file()
        assert each["lava_equals_interpreter"]
        assert each["accuracy_float"] >= 0.95
        assert abs(each["accuracy_integer"] - each["accuracy_float"]) <= 0.01
        assert each["accuracy_lava"] == each["accuracy_integer"]
        program = Program.load(tmp_path / f"{name}-loihi2-sim")
        assert program.stateless == (name == "vgg-t1")
        report = json.loads((tmp_path / f"{name}-loihi2-sim" / "report.json").read_text())
        assert report["activity"]["samples"] == 360
        assert report["complete"]
    one, five = (results[name]["chips"]["loihi2"] for name in ("vgg-t1", "vgg-t5"))
    assert one["state_memory_words"] == one["memory_accesses"]["state"] == 0
    assert five["memory_accesses"]["total"] > 5 * one["memory_accesses"]["total"]
    assert "subtracts its threshold" in results["vgg-t5"]["chips"]["loihi1-davies2018"]["refused"]

    again = demo(tmp_path)
    assert again.count("still valid") == 1 + len(NETWORKS)
