"""A target: what to compile for, and how. Choices stand here; facts stand in the profile that it names."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from neurocompile.hardware.document import read_document
from neurocompile.hardware.profile import Name, Text
from neurocompile.hardware.record import Record
from neurocompile.resources import find_target, is_path


class Options(Record):
    """Numbers that the user may choose; what the chip allows is for the quantizer to check."""

    weight_bits: Annotated[int, Field(ge=1, le=8)] = 8
    payload_bits: Annotated[int, Field(ge=1, le=16)] = 8  # of an analog input
    # how weights get their scales; left out: calibrated where there are samples, else max
    quantizer: Literal["max", "percentile", "mse", "calibrated"] | None = None
    scales: Literal["channel", "tensor"] = "channel"
    # before a simulation is given up however it goes; one that stands still is given up anyway
    lava_timeout_s: Annotated[float, Field(gt=0, le=1e6)] | None = None


class Target(Record):
    """A profile, a backend and options."""

    format: Literal["neurocompile.target/1"]
    name: Name
    title: Text
    profile: Text  # the name of a shipped profile or the path of a file
    backend: Literal["functional", "reference", "lava"]  # what it is emitted for
    options: Options = Options()


def load_target(name_or_path: str | Path) -> Target:
    """A shipped target by name, or a YAML file by path; ProfileError says file, line, key and remedy.

    A relative path of a profile is taken from the target's own folder.
    """
    path = find_target(name_or_path)
    target = Target.from_document(read_document(path))
    if not is_path(target.profile):
        return target
    return target.model_copy(update={"profile": str(path.parent / target.profile)})
