"""What the largest weight code of a channel stands for: its size. Weights beyond the size are clipped.

Each output channel has a size, or all of a soma share one. The projections of a soma share its scale, so their weights
are measured in one unit, that of the soma's sums.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypedDict, get_args

import numpy as np

from neurocompile.errors import InputError
from neurocompile.ir.nodes import Array, Readout
from neurocompile.ir.populations import Population, Projection

Quantizer = Literal["max", "percentile", "mse", "calibrated"]
Scales = Literal["channel", "tensor"]

#: clips one weight in a thousand, in a channel that has so many
PERCENTILE = 99.9

#: sizes that the search for the least error tries, as shares of the largest weight: 8 % apart, and the error is flat
#: around the best
_CLIPS = 0.92 ** np.arange(32)
#: sizes around the one of least error that are tried on data, as shares of it
_AROUND = (1.4, 1.2, 1.0, 0.85, 0.7)


class QuantizerChoices(TypedDict):
    """The fields of the pass that say how weights get their scales."""

    quantizer: Quantizer
    scales: Scales
    percentile: float


def check_choices(quantizer: str | None, scales: str | None, percentile: float) -> None:
    """InputError where one of them cannot be chosen; None leaves a choice open."""
    if quantizer is not None and quantizer not in get_args(Quantizer):
        raise InputError(f"quantizer is {quantizer!r}; choose one of {', '.join(get_args(Quantizer))}")
    if scales is not None and scales not in get_args(Scales):
        raise InputError(f"scales is {scales!r}; choose one of {', '.join(get_args(Scales))}")
    if not 0 < percentile <= 100:
        raise InputError(f"percentile is {percentile}; choose a number above 0, at most 100")


def largest_weight(bits: int) -> int:
    """Symmetric codes; one bit means -1 and +1 (a weight of zero is no synapse)."""
    return max(1, (1 << (bits - 1)) - 1)


def shares_scale(population: Population, scales: Scales) -> bool:
    """Whether all channels have one scale: by choice, or because they compete in an argmax, or because a Flatten or a
    Reshape mixes them behind the weights."""
    mixed = any(projection.mixes_channels for projection in population.projections)
    return scales == "tensor" or mixed or isinstance(population.soma, Readout)


@dataclass(frozen=True)
class Magnitudes:
    """The |weights| that feed a soma. ``rows``: per projection, (channels, synapses), or (1, synapses) where the
    channels share a scale; in the unit of the soma's sums, which for an analog source is ``1 / units``."""

    rows: tuple[Array, ...]
    units: Array
    shared: bool

    @classmethod
    def of(cls, population: Population, source_scale: Mapping[str, float], scales: Scales) -> Magnitudes:
        """``source_scale``: of analog sources, by how much their integer codes exceed the float values."""
        shared = shares_scale(population, scales)
        units = np.array([source_scale.get(projection.source, 1.0) for projection in population.projections])
        channels = 1 if shared else population.shape[0]
        rows = (rows_of(each, np.abs(each.weighted.weight), channels) for each in population.projections)
        return cls(tuple(each / unit for each, unit in zip(rows, units, strict=True)), units, shared)

    def sizes(self, *, binary: bool, percentile: float = 100.0) -> Array:
        """(projections, rows): a percentile of each row, zeros left out; its mean where codes are binary."""
        return np.stack([_sizes(rows, binary=binary, percentile=percentile) for rows in self.rows])

    def least_error_clip(self, exponents: Array, bits: int) -> Array:
        """(rows,): the share of the largest weight for which the rounded weights have the least squared error, in the
        float network's unit. ``exponents``: per projection, the power of two that its codes stand for."""
        factors = 2.0**exponents
        largest = largest_weight(bits)
        steps = np.max([rows.max(axis=1) / factor for rows, factor in zip(self.rows, factors, strict=True)], axis=0)
        steps = np.where(steps == 0, 1.0, steps)[:, None] / largest
        errors = np.zeros((len(_CLIPS), len(steps)))
        for rows, factor, unit in zip(self.rows, factors, self.units, strict=True):
            for error, clip in zip(errors, _CLIPS, strict=True):
                step = steps * (clip * factor)
                rounded = np.minimum(np.rint(rows / step), largest) * step
                error += np.square((rounded - rows) * unit).sum(axis=1)
        best: Array = _CLIPS[errors.argmin(axis=0)]
        return best

    def candidate_clips(self, exponents: Array, bits: int) -> Array:
        """(candidates, rows): shares of the largest weight that are worth a trial on data."""
        best = self.least_error_clip(exponents, bits)
        clips: Array = np.minimum(np.stack([np.ones(len(best)), *(best * factor for factor in _AROUND)]), 1.0)
        return clips


def exponents_of(sizes: Array, most: int) -> Array:
    """Per projection, the power of two by which its typical weights exceed those of the smallest that it meets."""
    logarithms = [np.log2(row[row > 0]) for row in sizes]
    typical = np.array([each.mean() if each.size else np.nan for each in logarithms])
    if np.isnan(typical).all():
        return np.zeros(len(sizes), np.int64)
    above = np.nan_to_num(np.floor(typical - np.nanmin(typical)))
    exponents: Array = np.clip(above, 0, most).astype(np.int64)
    return exponents


def rows_of(projection: Projection, weight: Array, rows: int) -> Array:
    """float64 (rows, synapses): a projection's ``weight``, with a row for each channel of the soma, or one for all."""
    if rows == 1:
        return weight.astype(np.float64).reshape(1, -1)
    fed = range(rows)[projection.rows]
    own: Array = np.broadcast_to(weight, len(fed)) if weight.ndim == 0 else weight
    own = own.astype(np.float64).reshape(len(fed), -1)
    if len(fed) == rows:
        return own
    whole = np.zeros((rows, own.shape[1]))
    whole[projection.rows] = own
    return whole


def _sizes(rows: Array, *, binary: bool, percentile: float) -> Array:
    if binary:
        mean: Array = rows.sum(axis=1) / np.maximum((rows != 0).sum(axis=1), 1)
        return mean
    if percentile == 100:
        largest: Array = rows.max(axis=1)
        return largest
    return np.array([np.percentile(row[row > 0], percentile) if row.any() else 0.0 for row in rows])
