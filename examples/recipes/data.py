"""The data sets of the papers: scikit-learn's digits, CIFAR-10 and CIFAR-100, ImageNet.

The digits come with scikit-learn. The others are read from files that the user has unpacked: CIFAR from its binary
version, ImageNet from folders ``train/<wnid>/*.JPEG`` and ``val/<wnid>/*.JPEG``, one folder per class. What a file may
not be is refused with an InputError.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from digits import jitter, load_digits_split
from PIL import Image, UnidentifiedImageError
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from neurocompile.errors import InputError


class Images(Protocol):
    """Images with their labels, as numbers that a network takes: x (n, C, H, W) float32, labels (n,) int64."""

    def __len__(self) -> int: ...

    def batches(self, size: int, generator: torch.Generator | None = None) -> Iterator[tuple[Tensor, Tensor]]:
        """All images once, ``size`` at a time; the last batch may be smaller.

        Shuffled and augmented where a generator is given, and equally so from an equal state of it; else all in order,
        as they are.
        """

    def take(self, count: int) -> tuple[Tensor, Tensor]:
        """The first ``count`` images, as they are. InputError where there are fewer."""


@dataclass(frozen=True)
class Data:
    """One data set.

    ``limit`` is the largest |x| that an image can have, ``low`` and ``high`` are the smallest and the largest x, over
    all channels and all values of a pixel, be they in these images or not.
    """

    name: str
    train: Images
    test: Images
    classes: int
    input_shape: tuple[int, int, int]
    limit: float
    low: float
    high: float


def load(name: str, root: Path | None, *, scaled: bool = False, batch_workers: int = 2) -> Data:
    """The data set ``name``: digits, cifar10, cifar100 or imagenet.

    Args:
        root: the folder with its files; None for the digits.
        scaled: divide what is normalised by the limit, so that |x| <= 1, as a Poisson encoder needs.
        batch_workers: processes that read ImageNet's files; 0 reads them in this one. The batches do not depend on it.

    Raises:
        InputError: there is no such data set, or its files are missing or damaged.
    """
    if batch_workers < 0:
        raise InputError(f"batch_workers is {batch_workers}, limit 0 at least; give a number of processes")
    try:
        if name == "digits":
            return _digits(root, scaled)
        if name in _CIFAR:
            return _cifar(name, root, scaled)
        if name == "imagenet":
            return _imagenet(root, scaled, batch_workers)
    except OSError as error:
        raise InputError(f"{error.filename}: cannot be read ({error.strerror}); check its name and access") from error
    raise InputError(f"the data set is {name!r}; choose digits, cifar10, cifar100 or imagenet")


@dataclass(frozen=True)
class Scale:
    """How pixels become numbers: ``x = (pixel / white - mean) / deviation / divisor``, channel by channel."""

    white: float
    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    divisor: float = 1.0

    def __call__(self, pixels: Tensor) -> Tensor:
        """(n, C, H, W), from 0 to white, to float32."""
        mean, deviation = (torch.tensor(each).view(-1, 1, 1) for each in (self.mean, self.deviation))
        return (pixels / self.white - mean) / deviation / self.divisor

    def ends(self) -> tuple[float, float]:
        """The smallest and the largest x. Rounding keeps order, so what black and white become are bounds."""
        black_and_white = torch.tensor((0.0, self.white)).expand(len(self.mean), 1, 2)
        x = self(black_and_white)
        return float(x.min()), float(x.max())


def _scale(white: float, mean: Sequence[float], deviation: Sequence[float], scaled: bool) -> Scale:
    scale = Scale(white, tuple(mean), tuple(deviation))
    return replace(scale, divisor=max(map(abs, scale.ends()))) if scaled else scale


def _data(
    name: str, train: Images, test: Images, classes: int, input_shape: tuple[int, int, int], scale: Scale
) -> Data:
    low, high = scale.ends()
    return Data(name, train, test, classes, input_shape, max(abs(low), abs(high)), low, high)


# -------------------------------------------------------------------------------------------------- images in memory


@dataclass(frozen=True)
class Stored:
    """Images that are kept in memory: pixels (N, C, H, W), labels (N,)."""

    name: str
    pixels: Tensor
    labels: Tensor
    scale: Scale
    augment: Callable[[Tensor, torch.Generator], Tensor]

    def __len__(self) -> int:
        return len(self.pixels)

    def batches(self, size: int, generator: torch.Generator | None = None) -> Iterator[tuple[Tensor, Tensor]]:
        _check_size(self.name, size)
        for chosen in torch.split(_order(len(self), generator), size):
            pixels = self.pixels[chosen]
            if generator is not None:
                pixels = self.augment(pixels, generator)
            yield self.scale(pixels), self.labels[chosen]

    def take(self, count: int) -> tuple[Tensor, Tensor]:
        _check_count(self.name, count, len(self))
        return self.scale(self.pixels[:count]), self.labels[:count]


def _order(count: int, generator: torch.Generator | None) -> Tensor:
    return torch.arange(count) if generator is None else torch.randperm(count, generator=generator)


def _check_size(name: str, size: int) -> None:
    if size < 1:
        raise InputError(f"{name}: the batch size is {size}, limit 1 at least; give a number of images")


def _check_count(name: str, count: int, most: int) -> None:
    if not 1 <= count <= most:
        raise InputError(f"{name}: {count:,} images are asked for, limit 1 to {most:,}; ask for so many")


def _digits(root: Path | None, scaled: bool) -> Data:
    if root is not None:
        raise InputError(f"{root}: the digits come with scikit-learn and need no folder; leave it out")
    split = load_digits_split()
    scale = _scale(1.0, (0.0,), (1.0,), scaled)
    train = Stored("digits, train", split.train_x, split.train_y, scale, jitter)
    test = Stored("digits, test", split.test_x, split.test_y, scale, jitter)
    return _data("digits", train, test, 10, (1, 8, 8), scale)


# ------------------------------------------------------------------------------------------------------------- CIFAR


@dataclass(frozen=True)
class _Cifar:
    """The files of one binary version. A record is a byte per label, the last of which is the class, and the pixels:
    red, green, blue, each row by row. ``labels`` has the number of values of each label."""

    title: str
    folder: str
    pickles: str
    train: tuple[str, ...]
    test: str
    train_records: int
    labels: tuple[int, ...]


_CIFAR = {
    "cifar10": _Cifar(
        "CIFAR-10",
        "cifar-10-batches-bin",
        "cifar-10-batches-py",
        tuple(f"data_batch_{number}.bin" for number in range(1, 6)),
        "test_batch.bin",
        10_000,
        (10,),
    ),
    "cifar100": _Cifar(
        "CIFAR-100", "cifar-100-binary", "cifar-100-python", ("train.bin",), "test.bin", 50_000, (20, 100)
    ),
}
_CIFAR_SHAPE = (3, 32, 32)
_CIFAR_TEST_RECORDS = 10_000


def _cifar(name: str, root: Path | None, scaled: bool) -> Data:
    kind = _CIFAR[name]
    root = _checked_root(root, name, kind.folder)
    folder = root / kind.folder
    if not folder.is_dir():
        for pickles in (root, root / kind.pickles):
            if pickles.name == kind.pickles and pickles.is_dir():
                raise InputError(
                    f"{pickles}: is the Python version of {kind.title}, and pickles are never opened; "
                    f"unpack the binary version of {kind.title} (folder {kind.folder})"
                )
        raise InputError(f"{folder}: no such folder; unpack the binary version of {kind.title} in {root}")
    parts = [_read_cifar(folder / file, kind, kind.train_records) for file in kind.train]
    pixels, labels = (torch.cat(each) for each in zip(*parts, strict=True))
    scale = _scale(255.0, *_mean_and_deviation(pixels, folder), scaled)
    train = Stored(f"{name}, train", pixels, labels, scale, _crop_and_flip)
    test = Stored(f"{name}, test", *_read_cifar(folder / kind.test, kind, _CIFAR_TEST_RECORDS), scale, _crop_and_flip)
    return _data(name, train, test, kind.labels[-1], _CIFAR_SHAPE, scale)


def _read_cifar(path: Path, kind: _Cifar, most: int) -> tuple[Tensor, Tensor]:
    """Pixels (n, 3, 32, 32) uint8 and classes (n,) of one file."""
    again = f"unpack the binary version of {kind.title} again"
    if not path.is_file():
        raise InputError(f"{path}: no such file; {again}")
    heads = len(kind.labels)
    record = heads + math.prod(_CIFAR_SHAPE)
    size = path.stat().st_size  # before reading: a file of any size may lie there
    if size % record or not 1 <= size // record <= most:
        raise InputError(f"{path}: has {size:,} bytes, not 1 to {most:,} records of {record:,}; {again}")
    records = np.fromfile(path, np.uint8).reshape(-1, record)
    wrong = np.argwhere(records[:, :heads] >= np.array(kind.labels))
    if len(wrong):
        at, which = wrong[0]
        raise InputError(
            f"{path}: record {at} (the first is 0) has label {records[at, which]}, "
            f"limit {kind.labels[which] - 1}; {again}"
        )
    pixels = torch.from_numpy(records[:, heads:].copy()).view(-1, *_CIFAR_SHAPE)
    return pixels, torch.from_numpy(records[:, heads - 1].astype(np.int64))


def _mean_and_deviation(pixels: Tensor, folder: Path) -> tuple[list[float], list[float]]:
    """Of each channel of the training set, as fractions of white (Chowdhury et al. 2021, A.2.2)."""
    levels = torch.arange(256, dtype=torch.float64) / 255
    means, deviations = [], []
    for channel in range(pixels.shape[1]):
        counts = torch.bincount(pixels[:, channel].flatten(), minlength=256).double()
        share = counts / counts.sum()
        mean = float(share @ levels)
        deviation = math.sqrt(float(share @ (levels - mean) ** 2))
        if not deviation > 0:
            colour = ("red", "green", "blue")[channel]
            raise InputError(f"{folder}: all its training images have one value of {colour}; unpack it again")
        means.append(mean)
        deviations.append(deviation)
    return means, deviations


def _crop_and_flip(pixels: Tensor, generator: torch.Generator) -> Tensor:
    """Half of the images mirrored, each padded with 4 black pixels and cropped (Chowdhury et al. 2021, A.2.2)."""
    mirrored = torch.rand(len(pixels), generator=generator) < 0.5
    return jitter(torch.where(mirrored[:, None, None, None], pixels.flip(3), pixels), generator, by=4)


# ---------------------------------------------------------------------------------------------------------- ImageNet

_SIDE = 224
_IMAGENET_SHAPE = (3, _SIDE, _SIDE)
#: the usual ones of the training set, as fractions of white
_IMAGENET_MEAN, _IMAGENET_DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

_Box = tuple[float, float, float, float]
"""Left, upper, right and lower edge, in pixels, which need not be whole."""

_Item = tuple[Tensor, int] | InputError
"""Pixels (3, 224, 224) uint8 and the label; or why there are none, because an error that leaves a worker process is no
longer one sentence."""


@dataclass(frozen=True)
class Folders(Dataset[_Item]):
    """Images that stay on disk, one folder per class, and are read when their batch comes.

    The first files of all classes come first, then the second ones, and so on: so the first images are of many
    classes.
    """

    name: str
    folder: Path
    classes: list[str]
    files: list[tuple[int, str]]
    scale: Scale
    workers: int

    def __len__(self) -> int:
        return len(self.files)

    def batches(self, size: int, generator: torch.Generator | None = None) -> Iterator[tuple[Tensor, Tensor]]:
        _check_size(self.name, size)
        keys: list[tuple[int, int | None]] = [(index, None) for index in range(len(self))]
        if generator is not None:
            # a seed for each image, so that it is one augmentation whichever process does it
            order = _order(len(self), generator)
            seeds = torch.randint(2**63 - 1, (len(self),), generator=generator)
            keys = list(zip(order.tolist(), seeds.tolist(), strict=True))
        chunks = [keys[first : first + size] for first in range(0, len(keys), size)]
        # a generator of its own: the loader would draw from torch's
        loader = DataLoader(
            self, batch_sampler=chunks, collate_fn=_stack, num_workers=self.workers, generator=torch.Generator()
        )
        for batch in loader:
            yield self._scaled(batch)

    def take(self, count: int) -> tuple[Tensor, Tensor]:
        _check_count(self.name, count, len(self))
        return self._scaled(_stack([self[index, None] for index in range(count)]))

    def _scaled(self, batch: tuple[Tensor, Tensor] | InputError) -> tuple[Tensor, Tensor]:
        if isinstance(batch, InputError):
            raise batch
        return self.scale(batch[0]), batch[1]

    def __getitem__(self, key: tuple[int, int | None]) -> _Item:
        """The image of an index: augmented by a seed, or as it is."""
        index, seed = key
        label, file = self.files[index]
        try:
            return _pixels(self.folder / self.classes[label] / file, seed), label
        except InputError as error:
            return error


def _stack(items: list[_Item]) -> tuple[Tensor, Tensor] | InputError:
    """A batch of uint8, which costs a quarter of what floats would on the way from a worker."""
    images, labels = [], []
    for item in items:
        if isinstance(item, InputError):
            return item
        images.append(item[0])
        labels.append(item[1])
    return torch.stack(images), torch.tensor(labels)


def _pixels(path: Path, seed: int | None) -> Tensor:
    """(3, 224, 224) uint8: augmented by the seed, or the centre."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about damaged EXIF data, which nobody reads
            # some of ImageNet's .JPEG files are PNG by what they hold
            with Image.open(path, formats=("JPEG", "PNG")) as file:
                image = file.convert("RGB")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:  # what Pillow raises for damage
        reason = "no JPEG by what it holds" if isinstance(error, UnidentifiedImageError) else str(error)
        raise InputError(f"{path}: is no readable image ({reason}); replace it, or remove it") from error
    generator = None if seed is None else torch.Generator().manual_seed(seed)
    box = _centre(*image.size) if generator is None else _random_box(*image.size, generator)
    square = image.resize((_SIDE, _SIDE), Image.Resampling.BILINEAR, box=box)
    pixels = torch.from_numpy(np.array(square)).permute(2, 0, 1).contiguous()
    return pixels.flip(2) if generator is not None and torch.rand((), generator=generator) < 0.5 else pixels


def _centre(width: int, height: int) -> _Box:
    """The middle 224 x 224 pixels of the image at the size at which its shorter side has 256."""
    side = min(width, height) * _SIDE / 256
    left, upper = (width - side) / 2, (height - side) / 2
    return left, upper, left + side, upper + side


def _random_box(width: int, height: int, generator: torch.Generator) -> _Box:
    """8 to 100 % of the area, its sides as 3 : 4 to 4 : 3, anywhere (Szegedy et al. 2015, section 6).

    The centre, where ten of them did not fit: the image is far from square.
    """
    for _ in range(10):
        share, stretch, across, down = torch.rand(4, generator=generator).tolist()
        area = width * height * (0.08 + 0.92 * share)
        ratio = (4 / 3) ** (2 * stretch - 1)
        box_width, box_height = math.sqrt(area * ratio), math.sqrt(area / ratio)
        if box_width <= width and box_height <= height:
            left, upper = across * (width - box_width), down * (height - box_height)
            return left, upper, min(left + box_width, width), min(upper + box_height, height)
    return _centre(width, height)


def _imagenet(root: Path | None, scaled: bool, workers: int) -> Data:
    root = _checked_root(root, "imagenet", "train and val")
    train, val = root / "train", root / "val"
    classes = _class_folders(train)
    other_classes = _class_folders(val)
    for here, there, lacking in (
        (val, train, set(classes) - set(other_classes)),
        (train, val, set(other_classes) - set(classes)),
    ):
        if lacking:
            raise InputError(
                f"{here}: has no folder {min(lacking)}, which {there} has; both need a folder for every class"
            )
    scale = _scale(255.0, _IMAGENET_MEAN, _IMAGENET_DEVIATION, scaled)
    train_images, test_images = (
        Folders(f"imagenet, {part}", folder, classes, _files(folder, classes), scale, workers)
        for part, folder in (("train", train), ("test", val))
    )
    return _data("imagenet", train_images, test_images, len(classes), _IMAGENET_SHAPE, scale)


def _class_folders(folder: Path) -> list[str]:
    """Their names in order, which is the order of the labels."""
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; unpack ImageNet's images there, in a folder per class")
    names = sorted(each.name for each in folder.iterdir() if each.is_dir() and not each.name.startswith("."))
    if not names:
        raise InputError(f"{folder}: has no folders of classes; sort its images into one per class, <wnid>/*.JPEG")
    return names


def _files(folder: Path, classes: list[str]) -> list[tuple[int, str]]:
    """(label, name) of every image: the first of each class, then the second of each, and so on."""
    of_class = []
    for name in classes:
        of_class.append(sorted(each.name for each in (folder / name).iterdir() if each.suffix == ".JPEG"))
        if not of_class[-1]:
            raise InputError(
                f"{folder / name}: has no .JPEG files; unpack them, or remove the class from train and val"
            )
    return [(label, file) for row in zip_longest(*of_class) for label, file in enumerate(row) if file is not None]


def _checked_root(root: Path | None, name: str, holds: str) -> Path:
    if root is None:
        raise InputError(f"{name}: no folder is given; give the one that holds {holds} (--data-root)")
    if not root.is_dir():
        raise InputError(f"{root}: no such folder; give the one that holds {holds}")
    return root
