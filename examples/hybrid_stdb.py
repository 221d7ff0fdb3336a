"""Hybrid conversion and spike timing dependent backpropagation (STDB): Rathi, Srinivasan, Panda and Roy, ICLR 2020.

    python examples/hybrid_stdb.py --seeds 0,1,2 [--dataset cifar10 --data-root FOLDER --arch vgg16] [--out FOLDER]

An ANN without biases and batch norms is trained. Its weights go to neurons that fire before they integrate and hear
the picture as Poisson spikes, and Algorithm 1 sets their thresholds. Such a network needs many time steps. So its
thresholds are scaled down, and its weights are trained on at fewer steps, where a function of the time since a neuron's
last spike stands for the derivative of its spikes. The converted network and the one trained on are both compiled, each
with its encoder.

Writes seedN/converted.pt and seedN/stdb.pt with their programs beside them, results.json and results.md. After an
interruption, run it again: it goes on from the last finished epoch. Needs the extras ``torch`` and ``demo``.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from recipes import compiled, results
from recipes.compiled import Compiled
from recipes.data import Data, load
from recipes.options import Options, parser, read, script
from recipes.training import Bar, Stage, Step, Training, accuracy, cross_entropy, run_seeds, set_dropout
from torch import Tensor, nn

from neurocompile import snn
from neurocompile.errors import InputError
from neurocompile.snn import models

ARCHS = {f"vgg{layers}": partial(models.vgg, layers) for layers in (5, 9, 11, 16)} | {
    f"resnet{layers}": partial(models.resnet, layers) for layers in (8, 20, 34)
}
#: α and β are those of Fig. 1; the paper prints none for Eqs. 13 and 14
SURROGATES: dict[str, snn.Surrogate] = {
    "stdb": snn.StdbSurrogate(0.3, 0.01),
    "linear": snn.MembraneLinearSurrogate(0.3),
    "exponential": snn.ExponentialSurrogate(0.3, 1.0),
}
PERCENTILE = 99.7
#: of all thresholds at the reduced T; the paper says "adjusted", and this is what its published code does
SCALE = 0.7
#: factors of all thresholds that conversion alone may choose from; at equal accuracy the first
SCALES = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3)
#: the layers of a residual network whose thresholds are balanced and scaled (§4.2); those of its blocks stay 1
STEM = ("neuron1", "neuron2", "neuron3")


# --------------------------------------------------------------------------------------------------------- the recipe


@dataclass(frozen=True)
class Settings:
    """What goes with a data set. ``dropout`` is of the ANN and of STDB. Algorithm 1 runs for ``balance_steps`` on
    ``balanced`` training samples; ``scaled`` of them choose the best scale."""

    ann: Stage
    stdb: Stage
    dropout: tuple[float, float]
    large_t: int
    timesteps: int
    balanced: int
    balance_steps: int
    scaled: int


#: 250 epochs (appendix B), 20 and T = 2500 are the paper's; it prints neither rates nor dropout, which for STDB are
#: those of its published code. What is balanced and scaled on is our choice
PAPER = Settings(
    ann=Stage("ann", 250, 0.01, "sgd", decay_at=(0.6, 0.8, 0.9), decay=0.1, weight_decay=5e-4),
    stdb=Stage("stdb", 20, 1e-4, decay_at=(0.4, 0.65, 0.85), decay=0.1),
    dropout=(0.2, 0.2),
    large_t=2500,
    timesteps=100,
    balanced=256,
    balance_steps=500,
    scaled=1024,
)
SETTINGS = {
    # ours: conversion needs no more than 250 steps here, and loses much at 16
    "digits": Settings(
        ann=Stage("ann", 40, 0.05, "sgd", weight_decay=5e-4),
        stdb=Stage("stdb", 30, 1e-3),
        dropout=(0.2, 0.05),
        large_t=250,
        timesteps=16,
        balanced=128,
        balance_steps=100,
        scaled=512,
    ),
    "cifar10": PAPER,
    "cifar100": replace(PAPER, timesteps=125),
    "imagenet": replace(PAPER, timesteps=250),
}


@dataclass(frozen=True)
class Recipe:
    """What the user chose. ``scale`` is that of the thresholds at the reduced T; ``window`` the time steps that
    truncated backpropagation through time looks back; ``leak`` is that of STDB."""

    options: Options
    settings: Settings
    timesteps: int
    large_t: int
    balance: str
    scale: float
    surrogate: str
    leak: float
    window: int

    def ann(self) -> dict[str, object]:
        """What decides the ANN's weights."""
        return self.options.recipe(dropout=self.settings.dropout[0])

    def stdb(self) -> dict[str, object]:
        """What decides those that STDB gives."""
        sizes = {key: getattr(self.settings, key) for key in ("balanced", "balance_steps")}
        return {
            **self.ann(),
            **sizes,
            "stdb_dropout": self.settings.dropout[1],
            **{key: getattr(self, key) for key in CHOICES},
        }


CHOICES = ("timesteps", "balance", "scale", "surrogate", "leak", "window")


@dataclass(frozen=True)
class Trained:
    """What training gave. Accuracies are fractions of the test set; ``reduced`` and ``stdb`` are at the reduced T.

    ``thresholds`` are those of Algorithm 1, before they were scaled; ``best`` is what conversion alone reaches at the
    reduced T with ``best_scale``, which training samples chose. Spikes are per neuron and sample at the reduced T, by
    layer and of "all".
    """

    ann: float
    large: float
    reduced: float
    stdb: float
    thresholds: dict[str, float]
    best_scale: float
    best: float
    spikes_converted: dict[str, float]
    spikes_stdb: dict[str, float]


def train(recipe: Recipe, data: Data, seed: int, bar: Bar) -> Trained:
    """The paper's training for one seed; leaves both checkpoints."""
    chosen, settings = recipe.options, recipe.settings
    training = Training(folder(recipe, seed), recipe.ann(), seed, chosen.batch, chosen.device, bar)
    measure = partial(accuracy, batch=chosen.batch, device=chosen.device)

    # §3: an ANN under constraints
    network = models.seeded(spiking(recipe, data, seed), seed)
    ann = models.plain_ann(network)
    training.fit(settings.ann, ann, data.train, cross_entropy(1))

    # Algorithm 1: its weights in neurons without a leak, and the thresholds that they need
    copy_weights(ann, network.to(chosen.device).eval())
    thresholds = balance(recipe, network, data, bar)
    large = measure(network, data.test, recipe.large_t, show=bar.stage(f"converted, T = {recipe.large_t}", 1))
    scale = best_scale(recipe, network, thresholds, data)
    set_thresholds(network, thresholds, scale)
    best = measure(network, data.test, recipe.timesteps)
    set_thresholds(network, thresholds, recipe.scale)
    converted = copy.deepcopy(network)

    # Algorithm 3: STDB, at fewer steps
    set_leaks(network, recipe.leak)
    set_dropout(network, settings.dropout[1])
    replace(training, recipe=recipe.stdb()).fit(settings.stdb, network, data.train, stdb_step(recipe))

    found = Trained(
        ann=measure(ann, data.test, 1),
        large=large,
        reduced=measure(converted, data.test, recipe.timesteps),
        stdb=measure(network, data.test, recipe.timesteps),
        thresholds=thresholds,
        best_scale=scale,
        best=best,
        spikes_converted=spikes(recipe, converted, data),
        spikes_stdb=spikes(recipe, network, data),
    )
    for name, model, right in (("converted", converted, found.reduced), ("stdb", network, found.stdb)):
        path = folder(recipe, seed) / f"{name}.pt"
        compiled.save(model, path, data, timesteps=recipe.timesteps, note={"accuracy": right, "seed": seed})
    return found


def folder(recipe: Recipe, seed: int) -> Path:
    return recipe.options.out / f"seed{seed}"


def spiking(recipe: Recipe, data: Data, seed: int) -> nn.Module:
    """Fresh weights. A neuron fires on the membrane of the step before, and the leak spares the reset (Algorithm 3)."""
    return ARCHS[recipe.options.arch](
        data.input_shape,
        data.classes,
        neuron=lambda: snn.LIF(order="fire_first", leaky_reset=False, surrogate=SURROGATES[recipe.surrogate]),
        encoder=snn.PoissonEncoder(seed=seed),
        dropout=recipe.settings.dropout[0],
        width=recipe.options.width,
    )


def copy_weights(ann: nn.Module, network: nn.Module) -> None:
    with torch.no_grad():
        for name, weight in ann.named_parameters():
            network.get_parameter(name).copy_(weight)


def balance(recipe: Recipe, network: nn.Module, data: Data, bar: Bar) -> dict[str, float]:
    """Algorithm 1; a percentile of each time step's inputs is its variant that outliers do not decide."""
    settings, size = recipe.settings, recipe.options.batch
    samples, _ = data.train.take(min(settings.balanced, len(data.train)))
    show = bar.stage("balancing thresholds", 1)
    return snn.balance_thresholds(
        network,
        samples.to(recipe.options.device).split(size),
        settings.balance_steps,
        percentile=PERCENTILE if recipe.balance == "percentile" else None,
        layers=STEM if recipe.options.arch.startswith("resnet") else None,
        progress=lambda done, total: show(done / total),
    )


def best_scale(recipe: Recipe, network: nn.Module, thresholds: dict[str, float], data: Data) -> float:
    """The first of :data:`SCALES` with which the most training samples are right at the reduced T."""
    x, labels = data.train.take(min(recipe.settings.scaled, len(data.train)))
    right = {}
    for scale in SCALES:
        set_thresholds(network, thresholds, scale)
        with torch.no_grad():
            batches = x.to(recipe.options.device).split(recipe.options.batch)
            answers = torch.cat([snn.run(network, batch, recipe.timesteps).argmax(1) for batch in batches])
        right[scale] = int((answers.cpu() == labels).sum())
    return max(right, key=right.__getitem__)


def set_thresholds(network: nn.Module, thresholds: dict[str, float], scale: float) -> None:
    for name, threshold in thresholds.items():
        network.get_buffer(f"{name}.threshold").fill_(scale * threshold)
    snn.reset_state(network)


def set_leaks(network: nn.Module, leak: float) -> None:
    for neuron in network.modules():
        if isinstance(neuron, snn.LIF):
            neuron.leak.fill_(leak)


def spikes(recipe: Recipe, network: nn.Module, data: Data) -> dict[str, float]:
    """Per neuron and sample of the test set, by layer (Fig. 3) and of all."""
    network.eval()
    batches = (x.to(recipe.options.device) for x, _ in data.test.batches(recipe.options.batch))
    counts = snn.count_spikes(network, batches, recipe.timesteps)
    return {name: counts.per_neuron[name] for name in counts.hidden} | {"all": counts.mean}


def stdb_step(recipe: Recipe) -> Step:
    """Cross-entropy of the output's membrane (Eqs. 5 and 6), after each window."""

    def step(network: nn.Module, x: Tensor, labels: Tensor) -> float:
        def loss(answer: Tensor) -> Tensor:
            return nn.functional.cross_entropy(answer, labels)

        return float(snn.truncated_bptt(network, x, loss, recipe.timesteps, recipe.window)[1])

    return step


# ---------------------------------------------------------------------------------------------------------- all seeds


def main() -> None:
    recipe = read_recipe()
    chosen = recipe.options
    data = load(chosen.dataset, chosen.data_root, scaled=True, batch_workers=chosen.workers)

    def run(seed: int, bar: Bar) -> Run:
        return Run(seed, train(recipe, data, seed, bar), on_target(recipe, data, seed))

    runs = run_seeds(chosen.seeds, run, line)
    results.write(chosen.out, plain(recipe, runs), markdown(recipe, runs))
    print(f"written: {chosen.out / 'results.md'} and results.json")


def on_target(recipe: Recipe, data: Data, seed: int) -> dict[str, Compiled]:
    chosen = recipe.options
    if not chosen.target:
        return {}
    return {
        name: compiled.compile_and_compare(
            folder(recipe, seed) / f"{name}.pt", data, target=chosen.target, compare=chosen.compare
        )
        for name in ("converted", "stdb")
    }


@dataclass(frozen=True)
class Run:
    """One seed: what training gave, and each network on the target, by name."""

    seed: int
    trained: Trained
    compiled: dict[str, Compiled]


def won_back(runs: Iterable[Run], goal: str) -> float | None:
    """The share of what the converted network lost by fewer time steps that STDB wins back, of the mean accuracies.

    ``goal`` is what it lost against: "large" for the same network at the large T, "ann" for the ANN. None where it lost
    nothing.
    """
    each = [run.trained for run in runs]
    lost = sum(getattr(run, goal) - run.reduced for run in each)
    return sum(run.stdb - run.reduced for run in each) / lost if lost > 0 else None


def read_recipe(arguments: Sequence[str] | None = None) -> Recipe:
    """The flags; InputError where one is out of range."""
    flags = parser(__doc__.partition("\n")[0], archs=[*ARCHS], arch="vgg5", width=0.125, out="build/hybrid-stdb")
    add = flags.add_argument
    add("--timesteps", type=int, metavar="T", help="the reduced T; left out: 16 for digits, else as in Table 1")
    add("--large-t", type=int, metavar="T", help="time steps of conversion alone; left out: 250 for digits, else 2500")
    add("--balance", choices=("max", "percentile"), default="max", help="what of its inputs is a layer's threshold")
    add("--scale", type=float, default=SCALE, metavar="FACTOR", help="of all thresholds at the reduced T")
    add("--surrogate", choices=tuple(SURROGATES), default="stdb", help="the derivative of a spike")
    add("--leak", type=float, default=1.0, help="of the neurons that STDB trains")
    add("--window", type=int, metavar="T", help="time steps that BPTT looks back; left out: all")
    given = flags.parse_args(arguments)
    options = read(given)
    settings = SETTINGS[options.dataset]
    of_paper = TABLE_1.get((options.dataset, options.arch))
    timesteps = _chosen(given.timesteps, of_paper.timesteps if of_paper else settings.timesteps)
    large_t = _chosen(given.large_t, settings.large_t)
    window = _chosen(given.window, timesteps)
    if timesteps < 1:
        raise InputError(f"--timesteps is {timesteps}, limit 1 at least; give a number of time steps")
    if large_t < timesteps:
        raise InputError(f"--large-t is {large_t}, limit {timesteps} (--timesteps) at least; give more time steps")
    if not 1 <= window <= timesteps:
        raise InputError(f"--window is {window}, limit 1 to {timesteps} (--timesteps); give a number of time steps")
    if not 0 < given.scale < math.inf:
        raise InputError(f"--scale is {given.scale}, limit above 0 and finite; give a factor such as 0.7")
    if not 0 < given.leak <= 1:
        raise InputError(f"--leak is {given.leak}, limit above 0 to 1; give 1, or somewhat less such as 0.99")
    return Recipe(
        options=options,
        settings=replace(
            settings,
            ann=replace(settings.ann, epochs=options.epochs(settings.ann.epochs)),
            stdb=replace(settings.stdb, epochs=options.epochs(settings.stdb.epochs)),
        ),
        timesteps=timesteps,
        large_t=large_t,
        balance=given.balance,
        scale=given.scale,
        surrogate=given.surrogate,
        leak=given.leak,
        window=window,
    )


def _chosen(given: int | None, default: int) -> int:
    return default if given is None else given


# --------------------------------------------------------------------------------------------------------- the tables


@dataclass(frozen=True)
class Published:
    """A row of Table 1, in per cent; conversion alone is at T = 2500 and at the reduced T."""

    ann: float
    large: float
    reduced: float
    stdb: float
    timesteps: int


TABLE_1 = {
    ("cifar10", "vgg5"): Published(87.88, 87.64, 84.56, 86.91, 75),
    ("cifar10", "vgg9"): Published(91.45, 90.98, 87.31, 90.54, 100),
    ("cifar10", "vgg16"): Published(92.81, 92.48, 90.2, 91.13, 100),
    ("cifar10", "resnet8"): Published(91.35, 91.12, 89.5, 91.35, 200),
    ("cifar10", "resnet20"): Published(93.15, 92.94, 91.12, 92.22, 250),
    ("cifar100", "vgg11"): Published(71.21, 70.94, 65.52, 67.87, 125),
    ("imagenet", "resnet34"): Published(70.2, 65.1, 56.87, 61.48, 250),
    ("imagenet", "vgg16"): Published(69.35, 68.12, 62.73, 65.19, 250),
}


#: Fig. 3: a converted VGG16 on CIFAR-10 at T = 100 has so many times the spikes of the one that STDB trained
PUBLISHED_SPIKES = 1.5


def line(run: Run) -> str:
    found = run.trained
    columns = f"ANN {results.percent([found.ann])}, converted {results.percent([found.large])}, "
    columns += f"at fewer steps {results.percent([found.reduced])}, after STDB {results.percent([found.stdb])}"
    states = [f"{name}: {each.verdict}" for name, each in run.compiled.items()]
    return "; ".join([f"seed {run.seed}: {columns}", *states])


def plain(recipe: Recipe, runs: Sequence[Run]) -> dict[str, Any]:
    published = TABLE_1.get((recipe.options.dataset, recipe.options.arch))
    return {
        "recipe": {**recipe.stdb(), "large_t": recipe.large_t},
        "target": recipe.options.target,
        "won_back": {goal: won_back(runs, goal) for goal in ("large", "ann")},
        "runs": [
            {
                "seed": run.seed,
                **asdict(run.trained),
                "won_back": {goal: won_back([run], goal) for goal in ("large", "ann")},
                "compiled": {name: each.plain() for name, each in run.compiled.items()},
            }
            for run in runs
        ],
        "published": published and asdict(published),
    }


def markdown(recipe: Recipe, runs: Sequence[Run]) -> str:
    chosen = recipe.options
    seeds = ", ".join(str(run.seed) for run in runs)
    parts = [
        f"# Hybrid conversion and STDB: {chosen.arch} x {chosen.width:g} on {chosen.dataset}, seeds {seeds}",
        f"Large T is {recipe.large_t} here and 2500 in the paper. Where several seeds ran: mean ± standard deviation "
        "of the sample. Won back: what STDB regains of what fewer steps cost the converted network, of means.",
        "## Accuracy in % (Table 1)",
        _table_1(recipe, runs),
        "## Each seed",
        _seeds(runs),
        f"## Spikes per neuron and sample at T = {recipe.timesteps} (Fig. 3)",
        _spikes(runs),
    ]
    if chosen.target:
        parts += [f"## On {chosen.target}, in integers", _on_target(runs)]
    return "\n\n".join(part.rstrip("\n") for part in parts) + "\n"


COLUMNS = ("ann", "large", "reduced", "stdb")
TITLES = ("ANN", "converted, large T", "converted, reduced T", "after STDB", "won back")


def _table_1(recipe: Recipe, runs: Sequence[Run]) -> str:
    chosen = recipe.options
    columns = [results.percent([getattr(run.trained, column) for run in runs]) for column in COLUMNS]
    name = f"{chosen.arch} x {chosen.width:g}"
    rows = [[name, f"{chosen.dataset}, here", str(recipe.timesteps), *columns, _share(won_back(runs, "large"))]]
    for (dataset, arch), row in TABLE_1.items():
        back = (row.stdb - row.reduced) / (row.large - row.reduced)
        numbers = [f"{getattr(row, column):.2f}" for column in COLUMNS]
        rows.append([arch, f"{dataset}, paper", str(row.timesteps), *numbers, _share(back)])
    return results.table(["network", "data", "reduced T", *TITLES], rows)


def _seeds(runs: Sequence[Run]) -> str:
    rows = [
        [
            str(run.seed),
            *(results.percent([getattr(run.trained, column)]) for column in COLUMNS),
            *(_share(won_back([run], goal)) for goal in ("large", "ann")),
            f"{results.percent([run.trained.best])} ({run.trained.best_scale:g})",
        ]
        for run in runs
    ]
    return results.table(["seed", *TITLES, "won back, of the ANN's", "converted, best scale"], rows)


def _spikes(runs: Sequence[Run]) -> str:
    rows = []
    for layer in runs[0].trained.spikes_converted:
        before = [run.trained.spikes_converted[layer] for run in runs]
        after = [run.trained.spikes_stdb[layer] for run in runs]
        ratio = f"{sum(before) / sum(after):.2f}" if sum(after) else ""
        rows.append([layer, results.spread(before, 3), results.spread(after, 3), ratio])
    return results.table(["layer", "converted", "after STDB", f"ratio (paper, all layers: {PUBLISHED_SPIKES})"], rows)


def _on_target(runs: Sequence[Run]) -> str:
    rows = []
    for name in ("converted", "stdb"):
        each = [run.compiled[name] for run in runs]
        right = [one.accuracy for one in each if one.accuracy is not None]
        cores = ", ".join(str(one.cores) for one in each)
        spent = results.spread([one.spikes for one in each], 0)
        states = "; ".join(dict.fromkeys(one.verdict for one in each))
        rows.append([name, results.percent(right) if right else "", cores, spent, states])
    return results.table(["network", "accuracy (%)", "cores", "spikes per sample", "engines"], rows)


def _share(share: float | None) -> str:
    return "" if share is None else f"{share:.2f}"


if __name__ == "__main__":
    script(main)
