"""IIR-SNN: the time steps of a spiking network are taken away one by one (Chowdhury et al. 2021).

    python examples/iir_snn.py [--seeds 0,1,2] [--dataset cifar10 --data-root FOLDER --arch vgg16] [--out FOLDER]

An ANN with batch norms is trained and its norms are folded into its weights. Every ReLU becomes a layer of neurons
whose threshold is the 90th percentile of what reached the ReLU, and the SNN is trained on at T = 5, then at 4, 3, 2 and
1, each time from where the last one ended. Thresholds and leaks are learned, one of each per layer. Five variants:

- gradual: the whole way, 5-4-3-2-1 (Table 1);
- skipped: with steps left out, 5-3-1 (§5);
- direct: at each T from the ANN (Table 4, VGG6d);
- no-bn: the whole way, from an ANN without batch norms (Table 5, nbn); not by default, and for ``--arch vgg6`` and up;
- pruned: 90 % of the weights are removed by magnitude at T = 1, and those that are left trained on (§5).

What several variants need is trained once. Every network becomes a checkpoint, a program on which all engines are
compared, and lines in results.json and results.md, beside what the paper reports. After an interruption, run it again:
it goes on from the last finished epoch. Needs the extras ``torch`` and ``demo``.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import math
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import pairwise
from typing import Any

from recipes import compiled, results
from recipes.compiled import Compiled
from recipes.data import Data, load
from recipes.options import Options, parser, read, script
from recipes.training import Bar, Stage, Training, accuracy, cross_entropy, deterministic, set_dropout
from torch import Tensor, nn

from neurocompile import snn
from neurocompile.errors import InputError
from neurocompile.snn import models

ARCHS = {f"vgg{layers}": (models.vgg, layers) for layers in models.VGG_LAYERS} | {
    f"resnet{layers}": (models.resnet, layers) for layers in models.RESNET_BLOCKS
}
#: of the whole way
STEPS = (5, 4, 3, 2, 1)
#: training samples that thresholds are set by, in one batch, and their pixels at most: ImageNet's are large
BALANCED, BALANCED_PIXELS = 512, 1 << 21
#: of the pre-activations: 90 is the paper's (§4); the next where a layer has a threshold of 0 or less by it, as
#: residual networks without batch norms have
PERCENTILES = (90.0, 95.0, 99.0, 99.9)


# --------------------------------------------------------------------------------------------------------- the recipe


@dataclass(frozen=True)
class Network:
    """Which network: ``path`` are the time steps of those that it comes from and its own last, so (5, 3, 1) has T = 1
    and began as what was trained at T = 3; () is the ANN. ``norm``: the ANN had batch norms."""

    path: tuple[int, ...]
    norm: bool = True
    pruned: bool = False

    @property
    def timesteps(self) -> int:
        return self.path[-1] if self.path else 1

    @property
    def name(self) -> str:
        way = "t" + "-".join(map(str, self.path)) if self.path else "ann"
        return way + "-nbn" * (not self.norm) + "-pruned" * self.pruned


@dataclass(frozen=True)
class Recipe:
    """Epochs and learning rates; what else A.2.2 says is the same for every data set. ``last_epochs``: at T = 1."""

    ann_epochs: int
    ann_rate: float
    snn_epochs: int
    last_epochs: int
    snn_rate: float

    def stage(self, network: Network, options: Options) -> Stage:
        if not network.path:
            epochs = options.epochs(self.ann_epochs)
            return Stage(
                network.name, epochs, self.ann_rate, optimizer="sgd", decay_at=(0.45, 0.7, 0.9), weight_decay=5e-4
            )
        epochs = options.epochs(self.snn_epochs if network.timesteps > 1 else self.last_epochs)
        return Stage(network.name, epochs, self.snn_rate, decay_at=(0.6, 0.8, 0.9))


PAPER = Recipe(ann_epochs=500, ann_rate=0.01, snn_epochs=300, last_epochs=300, snn_rate=1e-4)
RECIPES = {
    # ours: an epoch of 1,437 images of 8 x 8 is 23 optimizer steps
    "digits": Recipe(ann_epochs=40, ann_rate=0.05, snn_epochs=16, last_epochs=40, snn_rate=2e-3),
    "cifar10": PAPER,
    "cifar100": PAPER,
    "imagenet": replace(PAPER, ann_epochs=90),
}


class Trainer:
    """The networks of one seed, each trained when it is first needed."""

    def __init__(self, options: Options, data: Data, training: Training, *, leaky_reset: bool) -> None:
        self.options, self.data, self.training, self.leaky_reset = options, data, training, leaky_reset
        self._trained: dict[Network, nn.Module] = {}
        #: by whether the ANN had batch norms: what percentile set the thresholds
        self.percentiles: dict[bool, float] = {}

    def train(self, network: Network) -> nn.Module:
        if network not in self._trained:
            self._trained[network] = self._train(network)
        return self._trained[network].cpu()

    def _train(self, network: Network) -> nn.Module:
        stage, after_step = RECIPES[self.options.dataset].stage(network, self.options), _nothing
        if not network.path:
            model = models.seeded(self._ann(network.norm), self.training.seed)
        elif network.pruned:
            model = copy.deepcopy(self.train(replace(network, pruned=False)))
            after_step = snn.prune_by_magnitude(model, 0.9).apply
        elif len(network.path) > 1:
            model = copy.deepcopy(self.train(replace(network, path=network.path[:-1])))
        else:
            model = self._converted(self.train(replace(network, path=())), network.norm)
        step = cross_entropy(network.timesteps)
        self.training.fit(stage, model, self.data.train, step, after_step=after_step)
        return model

    def _ann(self, norm: bool) -> nn.Module:
        make, layers = ARCHS[self.options.arch]
        return make(
            layers,
            self.data.input_shape,
            self.data.classes,
            neuron=nn.ReLU,
            encoder=snn.DirectEncoder(self.data.limit),
            batch_norm=norm,
            dropout=0.5,
            width=self.options.width,
        )

    def _converted(self, ann: nn.Module, norm: bool) -> nn.Module:
        model = snn.replace_relu(
            snn.fuse_batchnorm(ann),
            lambda: snn.LIF(1.0, 1.0, leaky_reset=self.leaky_reset, learn_threshold=True, learn_leak=True),
        )
        set_dropout(model, 0.2)
        pixels = math.prod(self.data.input_shape[1:])
        samples, _ = self.data.train.take(min(BALANCED, BALANCED_PIXELS // pixels, len(self.data.train)))
        self.percentiles[norm] = _set_thresholds(model, samples)
        return model


def _set_thresholds(model: nn.Module, samples: Tensor) -> float:
    """By the first of :data:`PERCENTILES` that gives every layer one above 0."""
    for percentile in PERCENTILES[:-1]:
        with contextlib.suppress(InputError):
            snn.set_thresholds(model, samples, percentile=percentile)
            return percentile
    snn.set_thresholds(model, samples, percentile=PERCENTILES[-1])
    return PERCENTILES[-1]


def _nothing() -> None:
    pass


# ------------------------------------------------------------------------------------------- what is wanted, and found

VARIANTS = ("gradual", "skipped", "direct", "no-bn", "pruned")
#: without batch norms the default network, a residual one, does not learn with every seed; ``--arch vgg6`` does
DEFAULT_VARIANTS = ("gradual", "skipped", "direct", "pruned")


def row(variant: str, path: Sequence[int]) -> list[Network]:
    """The networks of a variant: the ANN first, then by falling time steps. ``path`` is that of "skipped"."""
    if variant == "direct":
        return [Network(()), *(Network((timesteps,)) for timesteps in STEPS)]
    if variant == "pruned":
        return [Network(()), Network(STEPS, pruned=True)]
    way = tuple(path) if variant == "skipped" else STEPS
    return [Network(way[:length], norm=variant != "no-bn") for length in range(len(way) + 1)]


@dataclass(frozen=True)
class Found:
    """What a trained network is like, over the test set: ``rates`` and ``rate`` are spikes per neuron and inference, by
    layer and of all (Fig. 2), ``alpha`` is that of Eq. 4. ``neurons``: threshold and leak, by layer; ``percentile``: by
    which the first thresholds were set. Of an ANN there is its accuracy only."""

    accuracy: float
    rates: dict[str, float] = field(default_factory=dict)
    rate: float = 0.0
    alpha: float = 1.0
    neurons: dict[str, tuple[float, float]] = field(default_factory=dict)
    percentile: float | None = None
    compiled: Compiled | None = None


def find(trainer: Trainer, network: Network) -> Found:
    """Train the network if need be, write its checkpoint, compile it, and see what it does with the test set."""
    options, data, steps = trainer.options, trainer.data, network.timesteps
    model = trainer.train(network)
    right = accuracy(model, data.test, steps, batch=options.batch, device=options.device)
    if not network.path:
        return Found(right)
    spikes = snn.count_spikes(model, (x.to(options.device) for x, _ in data.test.batches(options.batch)), steps)
    alpha = snn.energy_ratio(snn.count_operations(model, data.input_shape), spikes.per_neuron)
    checkpoint = trainer.training.folder / f"{network.name}.pt"
    compiled.save(model, checkpoint, data, timesteps=steps, note={"accuracy": right})
    built = None
    if options.target:
        built = compiled.compile_and_compare(checkpoint, data, target=options.target, compare=options.compare)
    layers = {name: each for name, each in model.named_modules() if isinstance(each, snn.LIF)}
    neurons = {name: (each.threshold.item(), each.leak.item()) for name, each in layers.items()}
    return Found(right, spikes.per_neuron, spikes.mean, alpha, neurons, trainer.percentiles[network.norm], built)


def main() -> None:
    flags = parser((__doc__ or "").partition("\n")[0], archs=[*ARCHS], arch="resnet8", width=0.25, out="build/iir-snn")
    flags.add_argument("--variants", default=",".join(DEFAULT_VARIANTS), metavar="NAME,...", help="what to train")
    flags.add_argument("--path", default="5,3,1", metavar="T,T,...", help="time steps of the variant skipped")
    flags.add_argument("--leaky-reset", action="store_true", help="reset as Algorithm 2 does, and not as Eq. 2")
    arguments = flags.parse_args()
    options, variants, path = read(arguments), _variants(arguments.variants), _path(arguments.path)
    leaky = {"leaky_reset": arguments.leaky_reset}
    data = load(options.dataset, options.data_root, batch_workers=options.workers)
    rows = {variant: row(variant, path) for variant in variants}
    found: dict[Network, list[Found]] = {}
    for seed in options.seeds:
        with Bar(f"seed {seed}, ") as bar, deterministic():
            folder = options.out / f"seed{seed}"
            training = Training(folder, options.recipe(**leaky), seed, options.batch, options.device, bar)
            trainer = Trainer(options, data, training, **leaky)
            for network in dict.fromkeys(network for networks in rows.values() for network in networks):
                found.setdefault(network, []).append(one := find(trainer, network))
                print(f"seed {seed}, {network.name}: {_line(one)}", flush=True)
    results.write(options.out, _plain(options, arguments, rows, found), _markdown(options, rows, found))
    print(f"written: {options.out / 'results.md'} and results.json")


def _variants(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if name not in VARIANTS:
            raise InputError(f"--variants has {name!r:.40}; give some of {', '.join(VARIANTS)}")
    return list(dict.fromkeys(names))


def _path(text: str) -> tuple[int, ...]:
    parts = text.split(",")
    steps = tuple(int(part) for part in parts if part.strip().isdecimal() and len(part) < 6)
    if len(steps) < len(parts) or 0 in steps or any(after >= before for before, after in pairwise(steps)):
        raise InputError(f"--path is {text!r:.60}; give falling numbers of time steps from 1 up, such as 5,3,1")
    return steps


def _line(found: Found) -> str:
    line = f"accuracy {100 * found.accuracy:.2f} %"
    if found.compiled is None:
        return line
    if found.compiled.accuracy is not None:
        line += f", of integers {100 * found.compiled.accuracy:.2f} %"
    return f"{line}; {found.compiled.verdict}"


# ---------------------------------------------------------------------------------------------------------- the tables

#: row, network, data set, and top-1 accuracy (%): the ANN's under 0, else by time steps
PUBLISHED: tuple[tuple[str, str, str, dict[int, float]], ...] = (
    ("gradual", "VGG6", "CIFAR-10", {0: 91.59, 5: 90.61, 4: 90.52, 3: 90.40, 2: 90.05, 1: 89.10}),
    ("gradual", "VGG16", "CIFAR-10", {0: 94.10, 5: 93.90, 4: 93.87, 3: 93.85, 2: 93.72, 1: 93.05}),
    ("gradual", "ResNet20", "CIFAR-10", {0: 93.34, 5: 92.62, 4: 92.58, 3: 92.56, 2: 92.11, 1: 91.10}),
    ("gradual", "VGG16", "CIFAR-100", {0: 72.46, 5: 71.58, 4: 71.51, 3: 71.46, 2: 71.43, 1: 70.15}),
    ("gradual", "ResNet20", "CIFAR-100", {0: 65.90, 5: 65.57, 4: 65.37, 3: 65.16, 2: 64.86, 1: 63.30}),
    ("gradual", "VGG16", "ImageNet", {0: 70.08, 5: 69.05, 4: 69.03, 3: 69.01, 2: 68.62, 1: 67.71}),
    ("skipped", "VGG16", "CIFAR-10", {1: 93.01}),
    ("skipped", "VGG16", "CIFAR-100", {1: 69.92}),
    ("direct", "VGG6", "CIFAR-10", {5: 90.15, 4: 90.08, 3: 89.91, 2: 89.35, 1: 88.64}),
    ("no-bn", "VGG16", "CIFAR-10", {5: 92.15, 4: 91.95, 3: 91.90, 2: 91.88, 1: 91.03}),
    ("no-bn", "VGG16", "CIFAR-100", {5: 69.86, 4: 69.84, 3: 69.76, 2: 69.30, 1: 67.76}),
    ("pruned", "VGG16", "CIFAR-10", {1: 91.15}),
    ("pruned", "VGG16", "CIFAR-100", {1: 68.20}),
)

#: network with T = 1 on a data set: mean spikes per neuron, and α of Eq. 4 (Fig. 2 and §5)
PUBLISHED_EFFICIENCY = (
    ("VGG16 on CIFAR-10", 0.13, 33.0),
    ("VGG16 on CIFAR-100", 0.15, 29.24),
    ("VGG16 on ImageNet", 0.18, 24.61),
)

Rows = dict[str, list[Network]]
All = dict[Network, list[Found]]


def _plain(options: Options, flags: argparse.Namespace, rows: Rows, found: All) -> dict[str, Any]:
    return {
        "recipe": options.recipe(leaky_reset=flags.leaky_reset),
        "seeds": list(options.seeds),
        "target": options.target,
        "rows": {variant: [network.name for network in networks] for variant, networks in rows.items()},
        "networks": {
            network.name: {
                "timesteps": network.timesteps,
                "found": [{**asdict(each), "compiled": each.compiled and each.compiled.plain()} for each in per_seed],
            }
            for network, per_seed in found.items()
        },
        "published": [dict(zip(("row", "network", "dataset", "accuracy"), each, strict=True)) for each in PUBLISHED],
    }


def _markdown(options: Options, rows: Rows, found: All) -> str:
    runs = f"{options.arch} x {options.width:g} on {options.dataset}, seeds {', '.join(map(str, options.seeds))}"
    snns = {network: per_seed for network, per_seed in found.items() if network.path}
    parts = [
        f"# IIR-SNN: {runs}",
        "Where several seeds ran: mean ± standard deviation of the sample, or the mean alone.",
        "## Accuracy (%): Tables 1, 4 and 5",
        _accuracies(options, rows, found),
        "## Spikes per neuron and inference (Fig. 2), and the ANN's energy by the SNN's (α, Eq. 4)",
        _rates(snns),
        "## Threshold / leak of each layer, as learned",
        _neurons(snns),
    ]
    if options.target:
        parts += [f"## On {options.target}, in integers", _on_target(snns)]
    return "\n\n".join(part.rstrip("\n") for part in parts) + "\n"


def _accuracies(options: Options, rows: Rows, found: All) -> str:
    ours = [
        (variant, f"{options.arch} x {options.width:g}", f"{options.dataset}, here", {
            (network.path or (0,))[-1]: results.percent([each.accuracy for each in found[network]])
            for network in networks
        })
        for variant, networks in rows.items()
    ]  # fmt: skip
    theirs = [
        (variant, network, f"{dataset}, paper", {key: f"{value:.2f}" for key, value in reported.items()})
        for variant, network, dataset, reported in PUBLISHED
        if variant in rows
    ]
    steps = sorted({step for *_, cells in ours + theirs for step in cells if step}, reverse=True)
    header = ["variant", "network", "data", "ANN", *(f"T{step}" for step in steps)]
    lines = [[*names, *(cells.get(step, "") for step in (0, *steps))] for *names, cells in ours + theirs]
    return results.table(header, lines)


def _rates(snns: All) -> str:
    layers = _layers(snns)
    lines = [
        [
            network.name,
            *(results.spread([each.rates.get(layer, 0.0) for each in per_seed], 3) for layer in layers),
            results.spread([each.rate for each in per_seed], 3),
            results.spread([each.alpha for each in per_seed], 1),
        ]
        for network, per_seed in snns.items()
    ]
    theirs = [
        [f"{network}, paper", *[""] * len(layers), f"{rate:g}", f"{alpha:g}"]
        for network, rate, alpha in PUBLISHED_EFFICIENCY
    ]
    return results.table(["network", *layers, "all", "α"], lines + theirs)


def _neurons(snns: All) -> str:
    def both(per_seed: list[Found], layer: str) -> str:
        pairs = zip(*(each.neurons[layer] for each in per_seed), strict=True)
        return " / ".join(f"{statistics.fmean(values):.3f}" for values in pairs)

    layers = _layers(snns)
    lines = [[network.name, *(both(per_seed, layer) for layer in layers)] for network, per_seed in snns.items()]
    return results.table(["network", *layers], lines)


def _layers(snns: All) -> list[str]:
    return list(dict.fromkeys(layer for per_seed in snns.values() for each in per_seed for layer in each.neurons))


def _on_target(snns: All) -> str:
    lines = []
    for network, per_seed in snns.items():
        built = [each.compiled for each in per_seed if each.compiled and each.compiled.accuracy is not None]
        if not built:
            lines.append([network.name, "no program: see results.json", *[""] * 6])
            continue
        equal = sum(each.equal for each in built)
        lines.append(
            [
                network.name,
                results.percent([each.accuracy or 0.0 for each in built]),
                f"{equal} of {len(built)}",
                f"{built[0].neurons:,}",
                f"{built[0].synapses:,}",
                f"{statistics.fmean(each.nonzero_synapses for each in built):,.0f}",
                f"{statistics.fmean(each.cores for each in built):.1f}",
                f"{statistics.fmean(each.spikes for each in built):,.0f}",
            ]
        )
    header = [
        "network",
        "accuracy (%)",
        "seeds with all engines equal",
        "neurons",
        "synapses",
        "of them not 0",
        "cores",
        "spikes/sample",
    ]
    return results.table(header, lines)


if __name__ == "__main__":
    script(main)
