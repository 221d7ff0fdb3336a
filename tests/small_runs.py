"""What tests of the recipes share: a few images in place of many, files of noise, and a training that breaks off."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from recipes.data import Data, Stored
from recipes.training import Step
from torch import Tensor, nn

from neurocompile import snn


def cut(data: Data, train: int, test: int) -> Data:
    """The first images of each part."""

    def first(images: Any, count: int) -> Stored:
        assert isinstance(images, Stored)
        return replace(images, pixels=images.pixels[:count], labels=images.labels[:count])

    return replace(data, train=first(data.train, train), test=first(data.test, test))


CIFAR10_FILES = (*(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin")


def write_cifar10(root: Path, count: int) -> None:
    """Noise in the binary format, ``count`` images in each file, their labels counting up."""
    folder = root / "cifar-10-batches-bin"
    folder.mkdir(parents=True)
    random = np.random.default_rng(0)
    for name in CIFAR10_FILES:
        records = random.integers(0, 256, (count, 1 + 3 * 32 * 32), dtype=np.uint8)
        records[:, 0] = np.arange(count) % 10
        (folder / name).write_bytes(records.tobytes())


class StoppedError(Exception):
    pass


def stop_after(steps: int) -> Callable[[], None]:
    """Call it once a step; it raises StoppedError in the step behind the last."""
    left = iter(range(steps))

    def count() -> None:
        if next(left, None) is None:
            raise StoppedError

    return count


def stopping(make_step: Callable[..., Step], steps: int) -> Callable[..., Step]:
    """``make_step`` whose steps raise StoppedError behind the first ``steps``."""

    def make(*given: Any) -> Step:
        step, count = make_step(*given), stop_after(steps)

        def stop(model: nn.Module, x: Tensor, labels: Tensor) -> float:
            count()
            return step(model, x, labels)

        return stop

    return make


def assert_equal_checkpoints(*paths: Path) -> None:
    first, *others = (snn.load(path).model.state_dict() for path in paths)
    for other in others:
        assert first.keys() == other.keys()
        for key, value in first.items():
            assert torch.equal(value, other[key]), key
