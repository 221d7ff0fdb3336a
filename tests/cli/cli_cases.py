"""A small network, a user's own code, and what a command said and did."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from neurocompile import snn
from neurocompile.resources import profiles_folder

INPUT_SHAPE, TIMESTEPS = (1, 6, 6), 3

#: what a user's own module with factories looks like; it lies in the folder where the command runs
USER_CODE = """
import time
from torch import nn
from neurocompile import snn

def tiny():
    print("chatter of the user's own")
    return nn.Sequential(
        snn.DirectEncoder(limit=1.0), nn.Conv2d(1, 3, 3, padding=1), snn.LIF(0.5, leak=0.9),
        nn.AvgPool2d(2), nn.Flatten(), nn.Linear(27, 4), snn.Readout(),
    )

class Unknown(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.pool, self.act = nn.Conv2d(1, 3, 3), nn.MaxPool2d(2), nn.GELU()
        self.rnn, self.last = nn.LSTM(12, 12), nn.Linear(12, 2)
    def forward(self, x):
        return self.last(self.rnn(self.act(self.pool(self.conv(x))).flatten(1)))

class Flow(nn.Module):
    def __init__(self):
        super().__init__()
        self.last = nn.Linear(4, 2)
    def forward(self, x):
        if x.sum() > 0:
            return self.last(x)
        return x

def raises():
    raise RuntimeError("no such\\nluck")

def leaves():
    raise SystemExit(3)

def nothing():
    return None

def sleeps():
    print("asleep", flush=True)
    time.sleep(60)
    return tiny()

def wants(size):
    return size

number = 3
"""


def tiny_network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        snn.DirectEncoder(limit=1.0), nn.Conv2d(1, 3, 3, padding=1), snn.LIF(0.5, leak=0.9),
        nn.AvgPool2d(2), nn.Flatten(), nn.Linear(27, 4), snn.Readout(),
    )  # fmt: skip


@dataclass(frozen=True)
class Result:
    """What a command did."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """The one JSON object that stdout holds."""
        plain: dict[str, Any] = json.loads(self.out)
        assert self.out.count("\n") == 1
        assert isinstance(plain, dict)
        return plain

    def refused(self, *parts: str, status: int = 2) -> str:
        """It failed with one sentence that has all ``parts`` in it, and said nothing else anywhere."""
        assert self.status == status, (self.status, self.out, self.err)
        assert self.out == ""
        assert self.err.startswith("error: ")
        assert self.err.count("\n") == 1, self.err
        for part in parts:
            assert part in self.err, (part, self.err)
        return self.err


def leftovers(folder: Path) -> list[Path]:
    """Hidden and partial files anywhere below."""
    return [path for path in folder.rglob("*") if path.name.startswith(".") or path.suffix in (".partial", ".tmp")]


def edited_profile(folder: Path, old: str, new: str, name: str = "loihi2") -> Path:
    """A target in ``folder`` for a shipped profile in which ``old`` has become ``new``."""
    text = (profiles_folder() / f"{name}.yaml").read_text()
    assert text.count(old) == 1
    (folder / "chip.yaml").write_text(text.replace(old, new))
    target = folder / "mine.yaml"
    target.write_text(
        "format: neurocompile.target/1\nname: mine\ntitle: mine\nprofile: ./chip.yaml\nbackend: reference\n"
    )
    return target


def start(*words: object, **options: Any) -> subprocess.Popen[str]:
    """The same in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "neurocompile", *map(str, words)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True, **options,
    )  # fmt: skip
