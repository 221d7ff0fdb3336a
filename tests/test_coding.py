"""The codes in time against derivations of their own: exact fractions for spike times, scipy for frequencies."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import scipy.fft
import torch
from hypothesis import given
from hypothesis import strategies as st

from neurocompile import coding


def eq_4(intensity: float, timesteps: int, low: float, high: float) -> int:
    """Eq. 4 as it is printed, in exact fractions; ``round`` takes halves to the even number."""
    first, last, steps = Fraction(low), Fraction(high), Fraction(timesteps)
    clipped = min(max(Fraction(intensity), first), last)
    return round(steps + (2 - steps) / (last - first) * (clipped - first))


@given(st.integers(2, 40), st.integers(-8, 7), st.integers(0, 4), st.lists(st.integers(-400, 400), min_size=1))
def test_spike_times_are_those_of_equation_4(timesteps: int, low: int, power: int, eighths: list[int]) -> None:
    """Ranges that are powers of two, so that nothing rounds before the nearest step is taken."""
    x, low, high = np.array(eighths) / 8, float(low), float(low + 2**power)
    times = coding.spike_times(x, timesteps, low, high)
    assert times.tolist() == [eq_4(value, timesteps, low, high) for value in x.tolist()]


@given(st.integers(2, 300), st.floats(-1e6, 1e6), st.floats(1e-9, 1e6), st.floats(allow_nan=False))
def test_spike_times_lie_within_the_presentation(timesteps: int, low: float, width: float, value: float) -> None:
    high = max(low + width, np.nextafter(low, np.inf))
    (time, brightest, darkest) = coding.spike_times(np.array([value, high, low]), timesteps, low, high).tolist()
    assert 2 <= time <= timesteps
    assert (brightest, darkest) == (2, timesteps)


def test_brighter_fires_earlier_and_halves_go_to_the_even_step() -> None:
    # T = 5: the share of the range, times 3, is taken off 5
    x = np.array([0.0, 1 / 6, 0.25, 0.5, 0.75, 5 / 6, 1.0])
    assert coding.spike_times(x, 5, 0.0, 1.0).tolist() == [5, 4, 4, 4, 3, 2, 2]
    # T = 4: 4 - 2·0.25 = 3.5 and 4 - 2·0.75 = 2.5
    assert coding.spike_times(np.array([0.25, 0.75]), 4, 0.0, 1.0).tolist() == [4, 2]
    assert coding.spike_times(np.array([-3.0, 7.0]), 4, 0.0, 1.0).tolist() == [4, 2]


ZIGZAG = [
    [0, 1, 5, 6],
    [2, 4, 7, 12],
    [3, 8, 11, 13],
    [9, 10, 14, 15],
]  # the order in which JPEG's tables run, here of four by four


def test_frequencies_are_in_zigzag_order() -> None:
    order = coding.frequencies(4)
    assert [[order.index((row, column)) for column in range(4)] for row in range(4)] == ZIGZAG
    assert coding.frequencies(1) == ((0, 0),)


def pictures(block: int) -> np.ndarray:
    return np.random.default_rng(block).normal(size=(2, 3, 2 * block, 3 * block))


@pytest.mark.parametrize("block", [1, 2, 3, 4, 8])
def test_a_step_brings_one_coefficient_of_every_block(block: int) -> None:
    """scipy's transform of each block, all coefficients but one dropped, and transformed back."""
    x = pictures(block)
    for step, place in enumerate(coding.frequencies(block)):
        expected = np.zeros_like(x)
        for row in range(0, x.shape[2], block):
            for column in range(0, x.shape[3], block):
                box = (..., slice(row, row + block), slice(column, column + block))
                spectrum = scipy.fft.dctn(x[box], axes=(2, 3), norm="ortho")
                kept = np.zeros_like(spectrum)
                kept[..., place[0], place[1]] = spectrum[..., place[0], place[1]]
                expected[box] = scipy.fft.idctn(kept, axes=(2, 3), norm="ortho")
        np.testing.assert_allclose(coding.frequency_part(x, block, step), expected, atol=1e-14)


@pytest.mark.parametrize("block", [1, 2, 3, 4, 8])
def test_all_frequencies_add_up_to_the_picture_and_come_again(block: int) -> None:
    x, steps = pictures(block), block**2
    parts = [coding.frequency_part(x, block, step) for step in range(steps)]
    np.testing.assert_allclose(np.sum(parts, axis=0), x, atol=1e-13)
    assert np.array_equal(coding.frequency_part(x, block, steps + steps // 2), parts[steps // 2])


@pytest.mark.parametrize("block", [2, 3, 4])
def test_torch_and_numpy_agree_bit_for_bit(block: int) -> None:
    x = pictures(block)
    for step in range(block**2):
        part = coding.frequency_part(torch.from_numpy(x), block, step)
        assert np.array_equal(part.numpy(), coding.frequency_part(x, block, step))
    for timesteps in (2, 3, 5, 7, 16):
        times = coding.spike_times(torch.from_numpy(x), timesteps, -0.7, 1.1)
        assert np.array_equal(times.numpy(), coding.spike_times(x, timesteps, -0.7, 1.1))
