"""Data sets of the recipes, from small files in the true formats, written here byte by byte."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import digits
import numpy as np
import pytest
import torch
from PIL import Image
from recipes import data
from recipes.data import Data, load
from torch import Tensor

from neurocompile.errors import InputError
from tests.small_runs import CIFAR10_FILES

Records = list[tuple[bytes, bytes]]
"""(labels, 3072 bytes of pixels) of each image."""

NAMES = {
    "cifar10": ("CIFAR-10", "cifar-10-batches-bin", "cifar-10-batches-py"),
    "cifar100": ("CIFAR-100", "cifar-100-binary", "cifar-100-python"),
}


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def refused(sentence: str, function: Callable[..., Any], *given: Any, **more: Any) -> None:
    with pytest.raises(InputError, match=f"^{re.escape(sentence)}$"):
        function(*given, **more)


# ------------------------------------------------------------------------------------------------------------ digits


def test_digits_are_those_of_the_example() -> None:
    split, loaded = digits.load_digits_split(), load("digits", None)
    assert (loaded.name, loaded.classes, loaded.input_shape) == ("digits", 10, (1, 8, 8))
    assert (loaded.limit, loaded.low, loaded.high) == (1, 0, 1)
    assert (len(loaded.train), len(loaded.test)) == (1437, 360)
    for images, x, y in ((loaded.train, split.train_x, split.train_y), (loaded.test, split.test_x, split.test_y)):
        batches = list(images.batches(100))
        assert {len(labels) for _, labels in batches[:-1]} == {100}
        assert torch.equal(torch.cat([each for each, _ in batches]), x)
        assert torch.equal(torch.cat([labels for _, labels in batches]), y)
        first, labels = images.take(7)
        assert torch.equal(first, x[:7])
        assert torch.equal(labels, y[:7])


def test_digits_scaled_are_the_same() -> None:
    loaded, scaled = load("digits", None), load("digits", None, scaled=True)
    assert torch.equal(scaled.train.take(1437)[0], loaded.train.take(1437)[0])
    assert (scaled.limit, scaled.low, scaled.high) == (1, 0, 1)


def test_jitter_moves_by_whole_pixels_and_fills_with_black() -> None:
    images = torch.rand(200, 2, 5, 4, generator=seeded())
    moved = digits.jitter(images, seeded(1), by=2)
    seen = set()
    for before, after in zip(images, moved, strict=True):
        wide = np.pad(before.numpy(), ((0, 0), (2, 2), (2, 2)))
        fits = [(y, x) for y in range(5) for x in range(5) if (wide[:, y : y + 5, x : x + 4] == after.numpy()).all()]
        assert len(fits) == 1
        seen.add(fits[0])
    assert len(seen) == 25  # 200 draws miss one of 25 with a chance of less than 1 %, and the seed is fixed


# ------------------------------------------------------------------------------------------------------------- CIFAR


def some_records(count: int, seed: int, heads: int = 1) -> Records:
    """Labels count up; pixels are random, and tell the image: all are different."""
    rng = np.random.default_rng(seed)
    return [(bytes([n % 10] * heads), rng.integers(0, 256, 3072, dtype=np.uint8).tobytes()) for n in range(count)]


def written(folder: Path, files: dict[str, Records]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, records in files.items():
        (folder / name).write_bytes(b"".join(labels + pixels for labels, pixels in records))


def cifar10_files(count: int = 3) -> dict[str, Records]:
    return {name: some_records(count, seed) for seed, name in enumerate(CIFAR10_FILES)}


def cifar100_files(count: int = 8) -> dict[str, Records]:
    return {name: some_records(count, seed, heads=2) for seed, name in enumerate(("train.bin", "test.bin"))}


@pytest.fixture
def cifar10(tmp_path: Path) -> Path:
    written(tmp_path / "cifar-10-batches-bin", cifar10_files())
    return tmp_path


@pytest.fixture
def cifar100(tmp_path: Path) -> Path:
    written(tmp_path / "cifar-100-binary", cifar100_files())
    return tmp_path


def test_cifar_pixels_are_red_green_and_blue_row_by_row(tmp_path: Path) -> None:
    """The byte at 1024 c + 32 y + x is channel c of row y and column x."""
    images = []
    for place in (0, 1, 32, 1023, 1024, 2048 + 33):
        pixels = bytearray(3072)
        pixels[place] = 255
        images.append((b"\x07", bytes(pixels)))
    flat = [(b"\x00", bytes([10] * 1024 + [20] * 1024 + [30] * 1024))]
    files = {f"data_batch_{number}.bin": flat for number in range(2, 6)}
    written(tmp_path / "cifar-10-batches-bin", {**files, "data_batch_1.bin": images, "test_batch.bin": flat})
    x, labels = load("cifar10", tmp_path).train.take(10)
    assert labels.tolist() == [7] * 6 + [0] * 4
    brightest = [tuple(map(int, np.unravel_index(int(image.argmax()), (3, 32, 32)))) for image in x[:6]]
    assert brightest == [(0, 0, 0), (0, 0, 1), (0, 1, 0), (0, 31, 31), (1, 0, 0), (2, 1, 1)]
    for image in x[6:]:
        assert all(len(channel.unique()) == 1 for channel in image)


@pytest.mark.parametrize(("name", "classes"), [("cifar10", 10), ("cifar100", 100)])
def test_cifar_is_normalised_by_its_training_set(
    name: str, classes: int, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    request.getfixturevalue(name)
    files = cifar10_files() if name == "cifar10" else cifar100_files()
    *train, test = (
        np.stack([np.frombuffer(pixels, np.uint8).reshape(3, 32, 32) for _, pixels in records]) / 255
        for records in files.values()
    )
    learned = np.concatenate(train)
    mean, deviation = (each.reshape(3, 1, 1) for each in (learned.mean((0, 2, 3)), learned.std((0, 2, 3))))
    loaded = load(name, tmp_path)
    assert (loaded.name, loaded.classes, loaded.input_shape) == (name, classes, (3, 32, 32))
    for images, pixels in ((loaded.train, learned), (loaded.test, test)):
        x, _ = images.take(len(images))
        assert x.dtype == torch.float32
        np.testing.assert_allclose(x, (pixels - mean) / deviation, atol=1e-5)
    x, _ = loaded.train.take(len(loaded.train))
    np.testing.assert_allclose(x.mean((0, 2, 3)), 0, atol=1e-5)
    np.testing.assert_allclose(x.std((0, 2, 3), correction=0), 1, atol=1e-5)
    assert loaded.low == pytest.approx((-mean / deviation).min())
    assert loaded.high == pytest.approx(((1 - mean) / deviation).max())
    assert loaded.limit == max(-loaded.low, loaded.high)


def test_cifar_keeps_the_order_of_files_and_records(cifar10: Path) -> None:
    loaded = load("cifar10", cifar10)
    assert (len(loaded.train), len(loaded.test)) == (15, 3)
    assert loaded.train.take(15)[1].tolist() == [0, 1, 2] * 5
    _, labels = next(loaded.test.batches(2))
    assert labels.tolist() == [0, 1]
    assert labels.dtype == torch.int64


def test_cifar100_has_the_fine_label(tmp_path: Path) -> None:
    records = [(bytes([coarse, fine]), pixels) for (coarse, fine), (_, pixels) in zip(
        [(19, 99), (0, 0), (3, 57)], some_records(3, 0), strict=True
    )]  # fmt: skip
    written(tmp_path / "cifar-100-binary", {"train.bin": records, "test.bin": records[:1]})
    loaded = load("cifar100", tmp_path)
    assert loaded.train.take(3)[1].tolist() == [99, 0, 57]
    assert loaded.test.take(1)[1].tolist() == [99]


def test_scaled_keeps_within_one(tmp_path: Path) -> None:
    """Black and white images too, which have the extreme values."""
    files = cifar10_files()
    files["test_batch.bin"] = [(b"\x00", bytes(3072)), (b"\x01", b"\xff" * 3072)]
    written(tmp_path / "cifar-10-batches-bin", files)
    plain, scaled = load("cifar10", tmp_path), load("cifar10", tmp_path, scaled=True)
    x, _ = plain.test.take(2)
    assert (float(x.min()), float(x.max()), float(x.abs().max())) == (plain.low, plain.high, plain.limit)
    assert scaled.limit == 1
    assert (scaled.low, scaled.high) == pytest.approx((plain.low / plain.limit, plain.high / plain.limit))
    assert float(scaled.test.take(2)[0].abs().max()) == 1
    torch.testing.assert_close(scaled.test.take(2)[0], x / plain.limit)


def pixels_of(x: Tensor, files: dict[str, Records]) -> np.ndarray[Any, Any]:
    """What was normalised, back as bytes."""
    learned = np.stack([np.frombuffer(p, np.uint8).reshape(3, 32, 32) for r in list(files.values())[:-1] for _, p in r])
    mean, deviation = (each.reshape(3, 1, 1) for each in (learned.mean((0, 2, 3)), learned.std((0, 2, 3))))
    pixels: np.ndarray[Any, Any] = np.rint(x.double().numpy() * deviation + mean).astype(np.uint8)
    return pixels


def test_augmentation_is_a_crop_of_the_padded_image_or_its_mirror(cifar10: Path) -> None:
    """Each image is found again in its own, and has its own label; over some epochs all kinds of crops are seen."""
    files = cifar10_files()
    images, generator = load("cifar10", cifar10).train, seeded()
    originals = pixels_of(images.take(15)[0], files)
    labels = images.take(15)[1].tolist()
    wide = np.pad(originals, ((0, 0), (0, 0), (4, 4), (4, 4)))
    # (image, mirrored, dy, dx) -> 32 x 32 pixels of red
    crops = np.stack(
        [np.lib.stride_tricks.sliding_window_view(each[:, 0], (32, 32), (1, 2)) for each in (wide, wide[..., ::-1])], 1
    )
    ways, orders = set(), set()
    for _ in range(30):
        order = []
        for x, of_x in images.batches(4, generator):
            for image, label in zip(pixels_of(x, files), of_x.tolist(), strict=True):
                alike = np.argwhere((crops[..., 16, 10:20] == image[0, 16, 10:20]).all(-1)).tolist()
                found = [at for at in alike if (crops[tuple(at)] == image[0]).all()]
                ((which, *way),) = found
                source = wide[which, :, :, ::-1] if way[0] else wide[which]
                assert (source[:, way[1] : way[1] + 32, way[2] : way[2] + 32] == image).all()
                assert labels[which] == label
                order.append(which)
                ways.add(tuple(way))
        assert sorted(order) == list(range(15))
        orders.add(tuple(order))
    assert len(orders) == 30
    for part, values in enumerate(((0, 1), range(9), range(9))):
        assert {way[part] for way in ways} == set(values)


@pytest.mark.parametrize("name", ["digits", "cifar10", "imagenet"])
def test_an_equal_generator_gives_equal_batches(name: str, request: pytest.FixtureRequest) -> None:
    root = None if name == "digits" else request.getfixturevalue(name)
    images = load(name, root, batch_workers=0).train
    torch.manual_seed(5)
    state = torch.get_rng_state()

    def epoch(generator: torch.Generator) -> tuple[Tensor, Tensor]:
        x, labels = zip(*images.batches(4, generator), strict=True)
        return torch.cat(x), torch.cat(labels)

    generator = seeded(3)
    first, second, again = epoch(generator), epoch(generator), epoch(seeded(3))
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])
    assert not torch.equal(first[0], second[0])
    assert torch.equal(torch.get_rng_state(), state)  # nothing else was drawn from
    plain = [x for x, _ in images.batches(len(images))]
    assert torch.equal(plain[0], images.take(len(images))[0])


# ---------------------------------------------------------------------------------------------------------- ImageNet


def saved(path: Path, pixels: np.ndarray[Any, Any]) -> None:
    """A JPEG that loses little: full colour, the best quality."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, "JPEG", quality=95, subsampling=0)


def gradient(width: int, height: int, blue: int) -> np.ndarray[Any, Any]:
    """Red grows to the right, green downwards, blue tells the image."""
    red = np.broadcast_to(np.linspace(0, 255, width)[None, :], (height, width))
    green = np.broadcast_to(np.linspace(0, 255, height)[:, None], (height, width))
    return np.stack([red, green, np.full((height, width), blue)], 2).round().astype(np.uint8)


@pytest.fixture
def imagenet(tmp_path: Path) -> Path:
    """Two classes with three and two images for training, one each for validation; their blue differs."""
    for part, counts in (("train", (3, 2)), ("val", (1, 1))):
        for label, (wnid, count) in enumerate(zip(("n01440764", "n01443537"), counts, strict=True)):
            for number in range(count):
                saved(tmp_path / part / wnid / f"{number}.JPEG", gradient(320, 260, 100 * label + 20 * number))
    return tmp_path


def imagenet_pixels(x: Tensor) -> Tensor:
    mean, deviation = (torch.tensor(each).view(3, 1, 1) for each in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    return (x * deviation + mean) * 255


def blues(x: Tensor) -> list[int]:
    return [round(float(image.mean()) / 20) * 20 for image in imagenet_pixels(x)[:, 2]]


def test_imagenet(imagenet: Path) -> None:
    (imagenet / "train" / "n01440764" / "notes.txt").write_text("no image")
    (imagenet / "train" / "README").write_text("no folder")
    (imagenet / "val" / ".cache").mkdir()
    loaded = load("imagenet", imagenet, batch_workers=0)
    assert (loaded.name, loaded.classes, loaded.input_shape) == ("imagenet", 2, (3, 224, 224))
    assert (len(loaded.train), len(loaded.test)) == (5, 2)
    assert (loaded.low, loaded.high) == pytest.approx((-0.485 / 0.229, (1 - 0.406) / 0.225))
    assert loaded.limit == loaded.high
    x, labels = loaded.train.take(5)
    assert labels.tolist() == [0, 1, 0, 1, 0]  # the first of each class, then the second
    assert blues(x) == [0, 100, 20, 120, 40]
    batches = list(loaded.train.batches(2))
    assert [len(labels) for _, labels in batches] == [2, 2, 1]
    assert torch.equal(torch.cat([each for each, _ in batches]), x)


def test_imagenet_scaled(imagenet: Path) -> None:
    plain, scaled = (load("imagenet", imagenet, scaled=each, batch_workers=0) for each in (False, True))
    assert scaled.limit == 1
    torch.testing.assert_close(scaled.test.take(2)[0], plain.test.take(2)[0] / plain.limit)


def test_validation_is_the_centre_of_the_image_at_256(imagenet: Path) -> None:
    """A shorter side of 256 needs no resampling, so the pixels are the decoder's own; others are within its rounding of
    resizing first and cropping then."""
    folder = imagenet / "val" / "n01440764"
    rng = np.random.default_rng(0)
    smooth = Image.fromarray(rng.integers(0, 256, (9, 12, 3), dtype=np.uint8))
    for width, height in ((256, 256), (300, 256), (256, 400), (512, 768), (128, 160)):
        saved(folder / "0.JPEG", np.array(smooth.resize((width, height), Image.Resampling.BICUBIC)))
        x, _ = load("imagenet", imagenet, batch_workers=0).test.take(1)
        with Image.open(folder / "0.JPEG") as file:
            factor = 256 / min(width, height)
            whole = np.array(file.resize((round(width * factor), round(height * factor)), Image.Resampling.BILINEAR))
        top, left = ((whole.shape[axis] - 224) // 2 for axis in (0, 1))
        wanted = whole[top : top + 224, left : left + 224].transpose(2, 0, 1)
        allowed = 0.01 if factor == 1 else 1.01
        np.testing.assert_allclose(imagenet_pixels(x)[0], wanted, atol=allowed)


def test_training_crops_are_of_all_sizes_and_half_of_them_mirrored(imagenet: Path) -> None:
    """Red grows with x, green with y: their slopes are the size of the crop, their signs say what was mirrored."""
    images, generator = load("imagenet", imagenet, batch_workers=0).train, seeded()
    shares, ratios, mirrored = [], [], 0
    for _ in range(12):
        for x, labels in images.batches(3, generator):
            assert [blue >= 100 for blue in blues(x)] == [bool(label) for label in labels]
            pixels = imagenet_pixels(x)
            # the border is left out: there the resampling has fewer neighbours
            across = (pixels[:, 0, 112, 214] - pixels[:, 0, 112, 10]) / 204 * 224 / 255 * 320
            down = (pixels[:, 1, 214, 112] - pixels[:, 1, 10, 112]) / 204 * 224 / 255 * 260
            assert bool((down > 0).all())
            mirrored += int((across < 0).sum())
            shares += (across.abs() * down / (320 * 260)).tolist()
            ratios += (across.abs() / down).tolist()
    assert len(shares) == 60
    assert 0.06 < min(shares) < 0.2
    assert 0.8 < max(shares) < 1.02
    assert 0.7 < min(ratios) < 0.85
    assert 1.2 < max(ratios) < 1.4
    assert 15 < mirrored < 45


@pytest.mark.parametrize(("width", "height"), [(1, 1), (1, 40), (3000, 2), (5, 3)])
def test_images_of_any_shape_fit(width: int, height: int, imagenet: Path) -> None:
    saved(imagenet / "train" / "n01440764" / "0.JPEG", gradient(width, height, 0))
    images, generator = load("imagenet", imagenet, batch_workers=0).train, seeded()
    for _ in range(4):
        assert all(x.shape[1:] == (3, 224, 224) for x, _ in images.batches(2, generator))
    assert images.take(1)[0].shape == (1, 3, 224, 224)


def test_a_box_lies_within_the_image() -> None:
    generator = seeded()
    for width, height in ((1, 1), (500, 375), (37, 5000), (224, 224)):
        for _ in range(300):
            left, upper, right, lower = data._random_box(width, height, generator)
            assert 0 <= left < right <= width
            assert 0 <= upper < lower <= height


def test_images_may_be_gray_or_png(imagenet: Path) -> None:
    """As some of ImageNet's are, whatever they are called."""
    one, two = (imagenet / "val" / wnid / "0.JPEG" for wnid in ("n01440764", "n01443537"))
    Image.new("L", (300, 300), 77).save(one, "JPEG")
    Image.new("RGBA", (300, 300), (10, 20, 30, 255)).save(two, "PNG")
    x, _ = load("imagenet", imagenet, batch_workers=0).test.take(2)
    pixels = imagenet_pixels(x)
    np.testing.assert_allclose(pixels[0], 77, atol=0.01)
    np.testing.assert_allclose(pixels[1].mean((1, 2)), (10, 20, 30), atol=0.01)


def test_worker_processes_change_nothing(imagenet: Path) -> None:
    here, there = (load("imagenet", imagenet, batch_workers=workers).train for workers in (0, 2))
    for one, two in zip(here.batches(2, seeded()), there.batches(2, seeded()), strict=True):
        assert torch.equal(one[0], two[0])
        assert torch.equal(one[1], two[1])


# ---------------------------------------------------------------------------------------------------------- refusals


def test_what_is_asked_for_is_checked(cifar10: Path, imagenet: Path) -> None:
    refused("the data set is 'mnist'; choose digits, cifar10, cifar100 or imagenet", load, "mnist", None)
    refused(
        f"{cifar10}: the digits come with scikit-learn and need no folder; leave it out",
        load,
        "digits",
        cifar10,
    )
    refused(
        "batch_workers is -1, limit 0 at least; give a number of processes",
        load,
        "imagenet",
        imagenet,
        batch_workers=-1,
    )
    for name, images in (
        ("digits, test", load("digits", None).test),
        ("cifar10, train", load("cifar10", cifar10).train),
        ("imagenet, test", load("imagenet", imagenet).test),
    ):
        most = len(images)
        for count in (0, most + 1):
            refused(f"{name}: {count} images are asked for, limit 1 to {most}; ask for so many", images.take, count)
        refused(f"{name}: the batch size is 0, limit 1 at least; give a number of images", next, images.batches(0))


@pytest.mark.parametrize(
    ("name", "holds"),
    [("cifar10", "cifar-10-batches-bin"), ("cifar100", "cifar-100-binary"), ("imagenet", "train and val")],
)
def test_the_folder_must_be_there(name: str, holds: str, tmp_path: Path) -> None:
    refused(
        f"{name}: no folder is given; give the one that holds {holds} (--data-root)",
        load,
        name,
        None,
    )
    missing = tmp_path / "missing"
    refused(f"{missing}: no such folder; give the one that holds {holds}", load, name, missing)
    long = tmp_path / ("x" * 300)
    refused(f"{long}: cannot be read (File name too long); check its name and access", load, name, long)


@pytest.mark.parametrize("name", NAMES)
def test_pickles_are_not_opened(name: str, tmp_path: Path) -> None:
    title, folder, pickles = NAMES[name]
    refused(
        f"{tmp_path / folder}: no such folder; unpack the binary version of {title} in {tmp_path}",
        load,
        name,
        tmp_path,
    )
    (tmp_path / pickles).mkdir()
    for root in (tmp_path, tmp_path / pickles):
        refused(
            f"{tmp_path / pickles}: is the Python version of {title}, and pickles are never opened; "
            f"unpack the binary version of {title} (folder {folder})",
            load,
            name,
            root,
        )


@pytest.mark.parametrize(
    ("name", "file", "most", "record"),
    [
        ("cifar10", "data_batch_3.bin", "10,000", "3,073"),
        ("cifar10", "test_batch.bin", "10,000", "3,073"),
        ("cifar100", "train.bin", "50,000", "3,074"),
        ("cifar100", "test.bin", "10,000", "3,074"),
    ],
)
def test_files_of_cifar_have_whole_records(
    name: str, file: str, most: str, record: str, request: pytest.FixtureRequest
) -> None:
    root = request.getfixturevalue(name)
    title, folder, _ = NAMES[name]
    path = root / folder / file
    whole = path.read_bytes()
    again = f"unpack the binary version of {title} again"

    def has(size: str) -> None:
        refused(f"{path}: has {size} bytes, not 1 to {most} records of {record}; {again}", load, name, root)

    path.write_bytes(whole[:-1])
    has(f"{len(whole) - 1:,}")
    path.write_bytes(b"")
    has("0")
    too_many = (int(most.replace(",", "")) + 1) * int(record.replace(",", ""))
    os.truncate(path, too_many)  # a hole: nothing is written
    has(f"{too_many:,}")
    path.unlink()
    refused(f"{path}: no such file; {again}", load, name, root)
    path.mkdir()
    refused(f"{path}: no such file; {again}", load, name, root)


@pytest.mark.parametrize(
    ("name", "file", "byte", "label", "limit"),
    [
        ("cifar10", "data_batch_2.bin", 0, 10, 9),
        ("cifar10", "test_batch.bin", 0, 255, 9),
        ("cifar100", "train.bin", 0, 20, 19),
        ("cifar100", "test.bin", 1, 100, 99),
    ],
)
def test_labels_of_cifar_are_in_range(
    name: str, file: str, byte: int, label: int, limit: int, request: pytest.FixtureRequest
) -> None:
    root = request.getfixturevalue(name)
    title, folder, _ = NAMES[name]
    path = root / folder / file
    damaged = bytearray(path.read_bytes())
    record = 3073 if name == "cifar10" else 3074
    damaged[2 * record + byte] = limit
    path.write_bytes(damaged)
    load(name, root)
    damaged[2 * record + byte] = label
    path.write_bytes(damaged)
    refused(
        f"{path}: record 2 (the first is 0) has label {label}, limit {limit}; "
        f"unpack the binary version of {title} again",
        load,
        name,
        root,
    )


def test_a_channel_of_cifar_that_never_changes_is_refused(tmp_path: Path) -> None:
    flat = [(b"\x00", bytes(range(256)) * 4 + bytes([7]) * 1024 + bytes(range(256)) * 4)]
    files = dict.fromkeys(cifar10_files(), flat)
    written(tmp_path / "cifar-10-batches-bin", files)
    refused(
        f"{tmp_path / 'cifar-10-batches-bin'}: all its training images have one value of green; unpack it again",
        load,
        "cifar10",
        tmp_path,
    )


@pytest.mark.parametrize("part", ["train", "val"])
def test_folders_of_imagenet(part: str, imagenet: Path) -> None:
    other = "val" if part == "train" else "train"
    folder = imagenet / part
    shutil.copytree(folder / "n01440764", folder / "n00000001")
    refused(
        f"{imagenet / other}: has no folder n00000001, which {folder} has; both need a folder for every class",
        load,
        "imagenet",
        imagenet,
    )
    shutil.rmtree(folder / "n00000001")
    for file in (folder / "n01443537").iterdir():
        file.rename(file.with_suffix(".txt"))
    refused(
        f"{folder / 'n01443537'}: has no .JPEG files; unpack them, or remove the class from train and val",
        load,
        "imagenet",
        imagenet,
    )
    shutil.rmtree(folder)
    refused(
        f"{folder}: no such folder; unpack ImageNet's images there, in a folder per class",
        load,
        "imagenet",
        imagenet,
    )
    folder.mkdir()
    saved(folder / "ILSVRC2012_00000001.JPEG", gradient(20, 20, 0))
    refused(
        f"{folder}: has no folders of classes; sort its images into one per class, <wnid>/*.JPEG",
        load,
        "imagenet",
        imagenet,
    )


@pytest.mark.parametrize("workers", [0, 2])
def test_images_that_cannot_be_read_are_refused(workers: int, imagenet: Path) -> None:
    """In one sentence, from a worker process too."""
    path = imagenet / "train" / "n01440764" / "1.JPEG"
    whole = path.read_bytes()
    images = load("imagenet", imagenet, batch_workers=workers).train

    def says(reason: str) -> None:
        sentence = f"{path}: is no readable image ({reason}); replace it, or remove it"
        refused(sentence, list, images.batches(2, seeded()))
        refused(sentence, images.take, 3)

    images.take(2)  # those before it are not concerned
    path.write_bytes(b"no image at all")
    says("no JPEG by what it holds")
    path.write_bytes(b"")
    says("no JPEG by what it holds")
    Image.new("RGB", (4, 4)).save(path, "GIF")
    says("no JPEG by what it holds")
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=rf"^{re.escape(str(path))}: is no readable image \(image file is truncated"):
        images.take(3)
    path.unlink()
    says(f"[Errno 2] No such file or directory: '{path}'")


def test_images_that_would_fill_the_memory_are_refused(imagenet: Path) -> None:
    """The size is in the header, and Pillow's limit holds before anything is decoded."""
    path = imagenet / "val" / "n01440764" / "0.JPEG"
    damaged = bytearray(path.read_bytes())
    frame = damaged.index(b"\xff\xc0")
    damaged[frame + 5 : frame + 9] = b"\xff\xdc\xff\xdc"  # height and width
    path.write_bytes(damaged)
    loaded: Data = load("imagenet", imagenet)
    with pytest.raises(InputError, match=r"is no readable image \(Image size \(\d+ pixels\) exceeds limit of \d+"):
        loaded.test.take(1)
