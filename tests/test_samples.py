"""Files and folders of samples and labels; tests/cli/test_run.py has the refusals of single files."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from neurocompile.backends.base import Samples
from neurocompile.errors import InputError
from neurocompile.samples import load_labels, load_samples

Array = npt.NDArray[np.generic]


def folder_of(path: Path, **arrays: Array) -> Path:
    path.mkdir(exist_ok=True)
    for name, array in arrays.items():
        np.save(path / f"{name}.npy", array)
    return path


def test_a_limit_reads_only_its_part(tmp_path: Path) -> None:
    """A file of a terabyte (of holes) is no matter where two samples are wanted."""
    path = tmp_path / "x.npy"
    np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(10**9, 1, 16, 16))
    assert path.stat().st_size > 10**12
    assert load_samples(path, 2).shape == (2, 1, 16, 16)
    path.unlink()


@pytest.mark.parametrize("name", ["x.npy", "x.npz", "x.pt"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16, np.int64, np.uint8, np.bool_])
def test_values_survive(tmp_path: Path, name: str, dtype: type[np.generic]) -> None:
    array = np.arange(12).reshape(3, 4).astype(dtype)
    path = tmp_path / name
    if path.suffix == ".npy":
        np.save(path, array)
    elif path.suffix == ".npz":
        np.savez(path, array)
    else:
        torch.save(torch.tensor(array), path)
    assert np.array_equal(load_samples(path), array)
    assert np.array_equal(load_samples(path, 2), array[:2])
    assert len(load_samples(path, 100)) == 3


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float8_e4m3fn])
def test_narrow_floats_of_torch(tmp_path: Path, dtype: torch.dtype) -> None:
    torch.save(torch.tensor([[0.5, 1.5]]).to(dtype), tmp_path / "x.pt")
    assert load_samples(tmp_path / "x.pt")[:].tolist() == [[0.5, 1.5]]


def test_labels(tmp_path: Path) -> None:
    np.save(tmp_path / "y.npy", np.array([3, 1, 2], np.uint8))
    assert load_labels(tmp_path / "y.npy", 2).tolist() == [3, 1]
    with pytest.raises(InputError, match="3 labels for 4 samples"):
        load_labels(tmp_path / "y.npy", 4)


# ------------------------------------------------------------------------------------------------------------ folders


@settings(max_examples=50)
@given(data=st.data())
def test_a_folder_is_its_files_in_a_row(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    sizes = data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=12))
    array = np.arange(sum(sizes) * 3, dtype=np.float32).reshape(-1, 3)
    pieces = np.split(array, np.cumsum(sizes)[:-1])
    folder = folder_of(tmp_path_factory.mktemp("x"), **{f"x{number}": piece for number, piece in enumerate(pieces)})
    limit = data.draw(st.none() | st.integers(1, 40))
    expected = array[:limit]
    samples = load_samples(folder, limit)
    assert isinstance(samples, Samples)
    assert (samples.shape, samples.dtype, len(samples)) == (expected.shape, expected.dtype, len(expected))
    for start, stop in data.draw(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), max_size=5)):
        assert np.array_equal(samples[start:stop], expected[start:stop])
    assert np.array_equal(np.asarray(samples), expected)


def test_numbers_in_names_count_and_hidden_files_do_not(tmp_path: Path) -> None:
    names = ["a2", "a10", "a1b3", "b", "a01"]
    folder = folder_of(tmp_path / "x", **{name: np.array([[number]]) for number, name in enumerate(names)})
    (folder / ".DS_Store").write_text("x")
    (folder / ".cache").mkdir()
    order = ["a01", "a1b3", "a2", "a10", "b"]
    assert [names[int(value)] for (value,) in load_samples(folder)[:]] == order


def test_widths_may_differ_and_the_widest_holds_all(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "x", a=np.ones((1, 2), np.uint8), b=np.full((1, 2), -2, np.int16))
    samples = load_samples(folder)
    assert samples[:1].dtype == samples[:].dtype == samples.dtype == np.int16
    assert samples[:].tolist() == [[1, 1], [-2, -2]]


def test_few_files_are_open_at_a_time(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "x", **{f"x{number}": np.full((2, 3), number) for number in range(30)})

    def mapped() -> int:
        return sum(str(folder) in line for line in Path("/proc/self/maps").read_text().splitlines())

    samples = load_samples(folder)
    assert mapped() <= 4
    with ThreadPoolExecutor(8) as pool:
        means = list(pool.map(lambda start: samples[start : start + 2].mean(), range(59)))
    assert means == [start / 2 for start in range(59)]
    assert mapped() <= 4


def test_files_beyond_the_limit_are_not_opened(tmp_path: Path) -> None:
    """A folder whose first file claims a terabyte (of holes), and whose second is none."""
    folder = tmp_path / "x"
    folder.mkdir()
    np.lib.format.open_memmap(folder / "a.npy", mode="w+", dtype=np.float32, shape=(10**9, 1, 16, 16))
    (folder / "b.npy").write_text("junk")
    assert load_samples(folder, 10**9)[10**9 - 2 :].shape == (2, 1, 16, 16)
    with pytest.raises(InputError, match=r"b\.npy: not a readable \.npy file"):
        load_samples(folder)
    (folder / "a.npy").unlink()


def refuse(folder: Path) -> str:
    with pytest.raises(InputError) as caught:
        load_samples(folder)
    return str(caught.value)


def test_folders_that_are_refused(tmp_path: Path) -> None:
    good = np.ones((2, 1, 4, 4), np.float32)
    folder = folder_of(tmp_path / "x")
    (folder / ".hidden.npy").write_bytes(b"")
    assert refuse(folder).startswith(f"{folder}: is an empty folder; give .npy")
    folder_of(folder, a=good, b=good[:, :, 1:])
    assert refuse(folder).startswith(
        f"{folder}/b.npy: its samples have shape (1, 3, 4), those of a.npy (1, 4, 4); give files"
    )
    folder_of(folder, b=good.astype(np.uint8))
    assert refuse(folder).startswith(f"{folder}/b.npy: its dtype is uint8, that of a.npy float32; give all files whole")
    folder_of(folder, b=good.astype(complex))
    assert refuse(folder).startswith(f"{folder}/b.npy: its dtype is complex128; give real")
    folder_of(folder, b=good[:0])
    assert refuse(folder).startswith(f"{folder}/b.npy: it has no samples (shape (0, 1, 4, 4))")
    np.save(folder / "b.npy", np.array([["a"], [None]], object), allow_pickle=True)
    assert refuse(folder).startswith(f"{folder}/b.npy: not a readable .npy file (it holds pickled Python objects")
    (folder / "b.npy").write_bytes((folder / "a.npy").read_bytes()[:-1])
    assert refuse(folder).startswith(f"{folder}/b.npy: not a readable .npy file")
    (folder / "b.npy").unlink()
    (folder / "b.npy").mkdir()
    assert refuse(folder) == f"{folder}: 'b.npy' in it is no .npy file; a folder of samples holds .npy files alone"
    (folder / "b.npy").rmdir()
    (folder / "labels.npz").touch()
    assert refuse(folder).startswith(f"{folder}: 'labels.npz' in it is no .npy file")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_no_numbers_are_told_with_their_file_and_sample(tmp_path: Path, value: float) -> None:
    spoilt = np.ones((5, 3), np.float16)
    spoilt[3, :2], spoilt[4] = value, value
    samples = load_samples(folder_of(tmp_path / "x", x1=np.ones((4, 3), np.float16), x2=spoilt))
    assert samples[:7].shape == (7, 3)
    with pytest.raises(InputError, match=r"x2\.npy: sample 3 \(the first is 0\) has 2 NaN or infinite values; repair"):
        samples[6:9]


def test_a_file_that_changes_is_noticed(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "x", **{f"x{number}": np.ones((4, 3)) for number in range(1, 10)})
    samples = load_samples(folder)
    folder_of(folder, x1=np.ones((3, 3)))
    with pytest.raises(InputError, match=r"x1\.npy: its shape has become \(3, 3\); let no one write to it"):
        samples[:4]


def test_neighbours_alone(tmp_path: Path) -> None:
    with pytest.raises(IndexError, match="a slice of step 2"):
        load_samples(folder_of(tmp_path / "x", a=np.ones((4, 3))))[::2]


def test_labels_in_a_folder(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "y", y2=np.array([4, 5], np.int8), y10=np.array([6]), y1=np.array([3], np.uint8))
    assert load_labels(folder, 4).tolist() == [3, 4, 5, 6]
    assert load_labels(folder, 2).tolist() == [3, 4]
    with pytest.raises(InputError, match="4 labels for 5 samples"):
        load_labels(folder, 5)
    folder_of(folder, y10=np.array([0.5]))
    with pytest.raises(InputError, match=r"y10\.npy: labels have shape \(1,\) and dtype float64; give integers"):
        load_labels(folder, 4)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    array = np.random.default_rng(0).random((3, 5))
    np.save(folder / "x.npy", array)
    np.savez_compressed(folder / "x.npz", array)
    torch.save(torch.tensor(array), folder / "x.pt")
    return folder


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::UserWarning")
@settings(max_examples=200)
@given(
    name=st.sampled_from(("x.npy", "x.npz", "x.pt")),
    spots=st.lists(st.tuples(st.floats(0, 1), st.integers(1, 255)), max_size=4),
    keep=st.floats(0, 1),
)
def test_damaged_files_are_read_or_refused(files: Path, name: str, spots: list[tuple[float, int]], keep: float) -> None:
    content = bytearray((files / name).read_bytes())
    for at, value in spots:
        content[int(at * (len(content) - 1))] ^= value
    path = files / f"damaged{Path(name).suffix}"
    path.write_bytes(content[: int(keep * len(content)) + 1] if keep < 0.5 else content)
    try:
        samples = load_samples(path)
        assert samples[:].shape == samples.shape
    except InputError as error:
        assert str(error).startswith(str(path))  # noqa: PT017
