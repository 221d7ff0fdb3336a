"""Single-spike hybrid encoding: a picture's values at the first step, then one spike each (Datta et al. 2021).

    python examples/single_spike.py [--seeds 0,1,2] [--dataset cifar10 --data-root FOLDER --arch vgg16] [--out FOLDER]

An ANN without biases and batch norms is trained. Conversion finds the thresholds that its neurons need, and with these,
scaled down where few time steps have to do, each of six spiking networks is trained on (Fig. 4), its thresholds learned
and its leaks where it has them:

- a: integrate-and-fire neurons, the picture as Poisson spikes;
- b: integrate-and-fire neurons, the picture's frequencies one after the other (DCT);
- c: leaky neurons, the picture's values at every step (direct encoding);
- d: as c, with hybrid encoding: the values at the first step, then one spike per pixel, the brighter the earlier;
- e: as c, with neurons that fire once per picture at most;
- f: both, which is what the paper proposes. The output of d and f decides by membranes and spike times together.

Each becomes a checkpoint, a program with its encoder in it, all engines compared, and lines in results.json and
results.md beside what the paper reports. After an interruption, run it again: it goes on from the last finished
epoch. Needs the extras ``torch`` and ``demo``.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from recipes import compiled, results
from recipes.compiled import Compiled
from recipes.data import Data, load
from recipes.options import Options, parser, read, script
from recipes.training import Bar, Stage, Step, Training, accuracy, by_loss, cross_entropy, run_seeds, set_dropout
from torch import Tensor, nn

from neurocompile import driver, snn
from neurocompile.backends.base import Streams
from neurocompile.errors import InputError
from neurocompile.program import Program
from neurocompile.snn import models

#: vgg6 pools after one convolution already, which is early for pictures of 8 x 8; "small" does after every second one
ARCHS = {"small": partial(models.vgg, "64 64 A 128 128 A | 256 D")} | {
    f"vgg{layers}": partial(models.vgg, layers) for layers in models.VGG_LAYERS
}
#: pixels along a side of a block whose frequencies come one after the other
BLOCK = 4
#: §V.A: conversion takes this percentile of a layer's inputs; γ is in Eq. 20, β in Eq. 17
PERCENTILE, GAMMA, BETA = 99.7, 0.3, 0.2
#: test samples on which spikes are counted, as in Fig. 3
COUNTED = 1500


# --------------------------------------------------------------------------------------------------------- the recipe


@dataclass(frozen=True)
class Settings:
    """What goes with a data set.

    ``dropout`` is of the ANN and of the spiking networks; ``balanced`` training samples are converted with, at
    ``balance_steps`` time steps. ``rate`` and ``dct`` are the time steps of the networks with these encodings, which
    need more than the others, and ``long`` their training; ``scale`` is the factor of the thresholds for the others.
    """

    ann: Stage
    snn: Stage
    long: Stage
    dropout: tuple[float, float]
    balanced: int
    balance_steps: int
    scale: float
    rate: int
    dct: int


#: §V.A, where the learning rate falls every 10 of 150 epochs; on dropout and weight decay the paper is silent. The time
#: steps of a and b are those of their papers in Table II
TRAINING = Stage("snn", 150, 1e-4, decay_at=tuple(k / 15 for k in range(1, 15)), decay=0.1)
PAPER = Settings(
    ann=Stage("ann", 200, 0.01, "sgd", decay_at=(0.6, 0.8, 0.9), decay=0.1, weight_decay=5e-4),
    snn=TRAINING,
    long=TRAINING,
    dropout=(0.5, 0.2),
    balanced=512,
    balance_steps=200,
    scale=0.4,
    rate=100,
    dct=48,
)
SETTINGS = {
    # ours: an epoch of 1,437 images of 8 x 8 is 23 optimizer steps
    "digits": Settings(
        ann=Stage("ann", 40, 0.05, "sgd", weight_decay=5e-4),
        snn=Stage("snn", 40, 2e-3),
        long=Stage("snn", 12, 2e-3),
        dropout=(0.3, 0.1),
        balanced=128,
        balance_steps=30,
        scale=0.25,
        rate=16,
        dct=16,
    ),
    "cifar10": PAPER,
    "cifar100": PAPER,
    "imagenet": replace(PAPER, ann=replace(PAPER.ann, epochs=90)),
}
#: of the converted network (Table I, column b)
CONVERTED_STEPS = 200


@dataclass(frozen=True)
class Kind:
    """One of the six networks of Fig. 4."""

    title: str
    encoding: str
    leaky: bool = True
    single_spike: bool = False

    @property
    def long(self) -> bool:
        """It needs many time steps, because its encoder shows the picture bit by bit."""
        return self.encoding in ("rate", "dct")


KINDS = {
    "a": Kind("IF, Poisson rate", "rate", leaky=False),
    "b": Kind("IF, DCT", "dct", leaky=False),
    "c": Kind("LIF, direct", "direct"),
    "d": Kind("LIF, hybrid", "hybrid"),
    "e": Kind("LIF, direct, single spike", "direct", single_spike=True),
    "f": Kind("LIF, hybrid, single spike", "hybrid", single_spike=True),
}


@dataclass(frozen=True)
class Recipe:
    """What the user chose. ``timesteps`` are those of direct and hybrid encoding; ``networks`` names kinds."""

    options: Options
    settings: Settings
    timesteps: int
    networks: str

    def stage(self, name: str) -> Stage:
        stage = self.settings.long if KINDS[name].long else self.settings.snn
        return replace(stage, name=f"snn-{name}")

    def steps(self, kind: Kind) -> int:
        return {"rate": self.settings.rate, "dct": self.settings.dct}.get(kind.encoding, self.timesteps)

    def scale(self, kind: Kind) -> float:
        return 1.0 if kind.long else self.settings.scale

    def ann(self) -> dict[str, object]:
        """What decides the ANN's weights."""
        return self.options.recipe(dropout=self.settings.dropout[0])

    def network(self, kind: Kind) -> dict[str, object]:
        """What decides those of a spiking network."""
        return {
            **self.ann(),
            **{key: getattr(self.settings, key) for key in ("balanced", "balance_steps")},
            "scale": self.scale(kind),
            "snn_dropout": self.settings.dropout[1],
            "timesteps": self.steps(kind),
        }

    def folder(self, seed: int) -> Path:
        return self.options.out / f"seed{seed}"


def train(recipe: Recipe, data: Data, seed: int, bar: Bar) -> Trained:
    """The paper's training for one seed; leaves the checkpoints."""
    chosen, settings = recipe.options, recipe.settings
    training = Training(recipe.folder(seed), recipe.ann(), seed, chosen.batch, chosen.device, bar)
    measure = partial(accuracy, batch=chosen.batch, device=chosen.device)

    # §V.A.1: an ANN that neurons can stand in for
    ann = models.seeded(make_ann(recipe, data), seed)
    training.fit(settings.ann, ann, data.train, cross_entropy(1))

    # §V.A.2: the thresholds that its weights need
    converted, thresholds = convert(recipe, ann, data, bar)
    steps = CONVERTED_STEPS
    at_large = measure(converted, data.test, steps, show=bar.stage(f"converted, T = {steps}", 1))

    # §IV: each network trained at few steps
    networks = {}
    for name in recipe.networks:
        kind, steps = KINDS[name], recipe.steps(KINDS[name])
        model = spiking(recipe, ann, kind, thresholds, data)
        step = two_softmax(steps) if kind.encoding == "hybrid" else cross_entropy(steps)
        replace(training, recipe=recipe.network(kind)).fit(recipe.stage(name), model, data.train, step)
        right = measure(model, data.test, steps)
        networks[name] = Network(steps, right, *spikes_and_energy(recipe, model, data, steps))
        note = {"accuracy": right, "seed": seed, "network": kind.title}
        compiled.save(model, recipe.folder(seed) / f"{name}.pt", data, timesteps=steps, note=note)
    return Trained(measure(ann, data.test, 1), at_large, thresholds, networks)


def make_ann(recipe: Recipe, data: Data) -> nn.Module:
    return ARCHS[recipe.options.arch](
        data.input_shape,
        data.classes,
        neuron=nn.ReLU,
        encoder=snn.DirectEncoder(data.limit),
        dropout=recipe.settings.dropout[0],
        width=recipe.options.width,
    )


def convert(recipe: Recipe, ann: nn.Module, data: Data, bar: Bar) -> tuple[nn.Module, dict[str, float]]:
    """The network with integrate-and-fire neurons, and all thresholds, that of the output layer among them."""
    settings, chosen = recipe.settings, recipe.options
    converted = snn.replace_relu(ann, snn.IF)
    converted.readout = snn.IF()  # for now, so that it gets a threshold too
    samples, _ = data.train.take(min(settings.balanced, len(data.train)))
    show = bar.stage("balancing thresholds", 1)
    thresholds = snn.balance_thresholds(
        converted.to(chosen.device),
        samples.to(chosen.device).split(chosen.batch),
        settings.balance_steps,
        percentile=PERCENTILE,
        progress=lambda done, total: show(done / total),
    )
    converted.readout = snn.Readout()
    return converted, thresholds


def spiking(recipe: Recipe, ann: nn.Module, kind: Kind, thresholds: Mapping[str, float], data: Data) -> nn.Module:
    """The ANN's weights in neurons with scaled thresholds, behind the encoder of ``kind``."""
    model = snn.replace_relu(
        ann,
        lambda: snn.LIF(
            leaky_reset=False,  # Eq. 6
            learn_threshold=True,
            learn_leak=kind.leaky,
            single_spike=kind.single_spike,
            surrogate=snn.LinearSurrogate(GAMMA),
        ),
    )
    model.encoder = ENCODERS[kind.encoding](recipe.steps(kind), data)
    if kind.encoding == "hybrid":
        model.readout = snn.TimedReadout(beta=BETA)
    set_dropout(model, recipe.settings.dropout[1])
    with torch.no_grad():
        for name, threshold in thresholds.items():
            layer = model.get_submodule(name)
            neuron = layer.crossing if isinstance(layer, snn.TimedReadout) else layer
            if isinstance(neuron, snn.LIF):
                neuron.threshold.fill_(recipe.scale(kind) * threshold)
    return model


def _dct(_timesteps: int, data: Data) -> nn.Module:
    # one round of all frequencies adds up to the picture: so many spikes stand for its largest value
    neuron = snn.IF(data.limit / BLOCK**2, spikes="signed")
    return nn.Sequential(OrderedDict(dct=snn.DctEncoder(BLOCK, data.limit), neuron=neuron))


ENCODERS: dict[str, Callable[[int, Data], nn.Module]] = {
    "rate": lambda _timesteps, data: snn.PoissonEncoder(1 / data.limit),
    "dct": _dct,
    "direct": lambda _timesteps, data: snn.DirectEncoder(data.limit),
    "hybrid": lambda timesteps, data: snn.HybridEncoder(timesteps, data.low, data.high),
}


def two_softmax(timesteps: int) -> Step:
    """The hybrid cross-entropy of membranes and spike times (Eqs. 11 and 12)."""

    def loss(model: nn.Module, x: Tensor, labels: Tensor) -> Tensor:
        snn.run(model, x, timesteps)
        readout = model.readout
        assert isinstance(readout, snn.TimedReadout)
        return snn.two_softmax_loss(readout, labels)

    return by_loss(loss)


# ------------------------------------------------------------------------------------------------- spikes and energies


@dataclass(frozen=True)
class Network:
    """A trained spiking network. Spikes are per neuron and sample over all ``timesteps``: by layer (ζ of §VI.A), and
    ``spikes`` of all hidden neurons; ``input_spikes`` are those of the encoder per value of the picture, analog values
    not among them. Energies are those of Eqs. 24 and 25 per sample."""

    timesteps: int
    accuracy: float
    layers: dict[str, float]
    spikes: float
    input_spikes: float
    energy_pj: float
    ann_energy_pj: float


@dataclass(frozen=True)
class Trained:
    """What one seed gave; ``converted`` is at :data:`CONVERTED_STEPS`."""

    ann: float
    converted: float
    thresholds: dict[str, float]
    networks: dict[str, Network]


def spikes_and_energy(
    recipe: Recipe, model: nn.Module, data: Data, timesteps: int
) -> tuple[dict[str, float], float, float, float, float]:
    """The fields of :class:`Network` from ``layers`` on."""
    device = recipe.options.device
    samples, _ = data.test.take(min(COUNTED, len(data.test)))
    counts = snn.count_spikes(model, (x.to(device) for x in samples.split(recipe.options.batch)), timesteps)
    hidden = [name for name in counts.hidden if not name.startswith("encoder")]
    neurons = sum(counts.neurons[name] for name in hidden)
    mean = sum(counts.spikes[name] for name in hidden) / (neurons * counts.samples)
    encoder = sum(count for name, count in counts.per_neuron.items() if name.startswith("encoder"))
    operations = snn.count_operations(model, data.input_shape)
    energy = snn.snn_energy_pj(operations, counts.per_neuron, snn.INT32_45NM)
    layers = {name: counts.per_neuron[name] for name in hidden}
    return layers, mean, encoder, energy, snn.ann_energy_pj(operations, snn.INT32_45NM)


@dataclass(frozen=True)
class OnTarget:
    """A network in integers: its program, and what its hidden neurons fire over the whole test set. ``spikes`` are per
    neuron and sample, ``most`` is the largest number of spikes that any neuron fires in any sample."""

    program: Compiled
    spikes: float | None = None
    most: int | None = None


def on_target(recipe: Recipe, data: Data, seed: int, name: str, layers: Sequence[str]) -> OnTarget:
    chosen, path = recipe.options, recipe.folder(seed) / f"{name}.pt"
    found = compiled.compile_and_compare(path, data, target=chosen.target, compare=chosen.compare)
    if found.refused:
        return OnTarget(found)
    program = Program.load(compiled.program_folder(path, chosen.target))
    engine = driver.make_backend(driver.default_backend())
    assert isinstance(engine, Streams)
    spikes = most = samples = 0
    for x, _ in data.test.batches(chosen.batch):
        for trace in engine.batches(program.integer, x.numpy(), first_sample=samples):
            fired = [np.count_nonzero(trace.events[layer], axis=1) for layer in layers]  # (N, *neurons)
            spikes += sum(int(each.sum()) for each in fired)
            most = max(most, *(int(each.max()) for each in fired))
        samples += len(x)
    neurons = sum(np.prod(program.integer.shape(layer), dtype=int) for layer in layers)
    return OnTarget(found, spikes / (samples * int(neurons)), most)


# ---------------------------------------------------------------------------------------------------------- all seeds


@dataclass(frozen=True)
class Run:
    """One seed: what training gave, and each network on the target, by name."""

    seed: int
    trained: Trained
    targets: dict[str, OnTarget]


def main() -> None:
    recipe = read_recipe()
    chosen = recipe.options
    data = load(chosen.dataset, chosen.data_root, scaled=True, batch_workers=chosen.workers)

    def run(seed: int, bar: Bar) -> Run:
        trained = train(recipe, data, seed, bar)
        networks = trained.networks.items() if chosen.target else ()
        targets = {name: on_target(recipe, data, seed, name, [*each.layers]) for name, each in networks}
        return Run(seed, trained, targets)

    runs = run_seeds(chosen.seeds, run, line)
    results.write(chosen.out, plain(recipe, runs), markdown(recipe, runs))
    print(f"written: {chosen.out / 'results.md'} and results.json")


def read_recipe(arguments: Sequence[str] | None = None) -> Recipe:
    """The flags; InputError where one is out of range."""
    flags = parser(__doc__.partition("\n")[0], archs=[*ARCHS], arch="small", width=0.25, out="build/single-spike")
    flags.add_argument("--timesteps", type=int, default=5, metavar="T", help="of direct and of hybrid encoding")
    flags.add_argument("--networks", default="abcdef", metavar="LETTERS", help="those of the six to train")
    given = flags.parse_args(arguments)
    options = read(given)
    if given.timesteps < 2:
        raise InputError(
            f"--timesteps is {given.timesteps}, limit 2 at least; hybrid encoding sends values at the first step and "
            "spikes behind it"
        )
    if not given.networks or set(given.networks) - set(KINDS) or len(set(given.networks)) < len(given.networks):
        raise InputError(f"--networks is {given.networks!r:.60}; give some of {''.join(KINDS)}, each once")
    settings = SETTINGS[options.dataset]
    return Recipe(
        options,
        replace(
            settings,
            ann=replace(settings.ann, epochs=options.epochs(settings.ann.epochs)),
            snn=replace(settings.snn, epochs=options.epochs(settings.snn.epochs)),
            long=replace(settings.long, epochs=options.epochs(settings.long.epochs)),
        ),
        given.timesteps,
        given.networks,
    )


# --------------------------------------------------------------------------------------------------------- the tables


#: Table I in per cent: the ANN, converted at T = 200, f at T = 5
TABLE_1 = {
    ("cifar10", "vgg6"): (90.22, 89.98, 88.89),
    ("cifar10", "vgg11"): (91.02, 91.77, 90.66),
    ("cifar10", "vgg16"): (93.24, 93.16, 91.41),
    ("cifar100", "vgg16"): (71.02, 70.38, 66.46),
}
#: Fig. 4, VGG16 on CIFAR-10: so many times the spikes of f
FEWER = {"a": 94.8, "b": 17.2, "c": 2.0}
#: Fig. 5, VGG16 on CIFAR-10 and on CIFAR-100: so many times the energy of f have the ANN and c
ENERGY = {"ANN": (70, 125), "c": (1.2, 1.8)}


def line(run: Run) -> str:
    trained = run.trained
    parts = [f"ANN {results.percent([trained.ann])}, converted {results.percent([trained.converted])}"]
    for name, network in trained.networks.items():
        part = f"{name} {results.percent([network.accuracy])}, {network.spikes:.3f} spikes per neuron"
        if name in run.targets:
            part += f", {run.targets[name].program.verdict}"
        parts.append(part)
    return f"seed {run.seed}: " + "; ".join(parts)


def claims(run: Run) -> dict[str, Any]:
    """What the paper claims of f, on one seed: points of accuracy below c, how many times fewer spikes than c, and the
    most spikes of one neuron in one sample, in integers. None where a network was not trained or not compiled."""
    networks, target = run.trained.networks, run.targets.get("f")
    both = "c" in networks and "f" in networks
    return {
        "points_below_direct": 100 * (networks["c"].accuracy - networks["f"].accuracy) if both else None,
        "times_fewer_spikes": networks["c"].spikes / networks["f"].spikes if both and networks["f"].spikes else None,
        "most_spikes": target.most if target else None,
    }


def plain(recipe: Recipe, runs: Sequence[Run]) -> dict[str, Any]:
    chosen = recipe.options
    return {
        "recipe": recipe.ann() | {"networks": {name: recipe.network(KINDS[name]) for name in recipe.networks}},
        "target": chosen.target,
        "converted_timesteps": CONVERTED_STEPS,
        "runs": [
            {
                "seed": run.seed,
                **asdict(run.trained),
                "claims": claims(run),
                "on_target": {
                    name: {"hidden_spikes": each.spikes, "most_spikes": each.most, **each.program.plain()}
                    for name, each in run.targets.items()
                },
            }
            for run in runs
        ],
        "published": {
            "table_1": {f"{dataset} {arch}": row for (dataset, arch), row in TABLE_1.items()},
            "times_the_spikes_of_f": FEWER,
            "times_the_energy_of_f": ENERGY,
        },
    }


def markdown(recipe: Recipe, runs: Sequence[Run]) -> str:
    chosen = recipe.options
    seeds = ", ".join(str(run.seed) for run in runs)
    parts = [
        f"# Single-spike hybrid encoding: {chosen.arch} x {chosen.width:g} on {chosen.dataset}, seeds {seeds}",
        "Where several seeds ran: mean ± standard deviation of the sample.",
        "## Accuracy in % (Table I)",
        _table_1(recipe, runs),
        "## Six networks (Fig. 4)",
        "Spikes are per hidden neuron and sample over all time steps. Those of the encoder are apart, per value of the "
        "picture; analog values are none.",
        _six(recipe, runs),
        "## Compute energy per sample (Eqs. 24 and 25)",
        "A multiply-accumulate takes 3.2 pJ and an addition 0.1 pJ; an addition is one spike at one weight. "
        f"{_published_energy()}",
        _energy(recipe, runs),
        "## Spikes per neuron and sample, layer by layer (Fig. 3)",
        _layers(recipe, runs),
        "## What the paper claims of f, seed by seed",
        _claims(runs),
    ]
    if chosen.target:
        parts += [f"## On {chosen.target}, in integers", _on_target(recipe, runs)]
    return "\n\n".join(part.rstrip("\n") for part in parts) + "\n"


def _table_1(recipe: Recipe, runs: Sequence[Run]) -> str:
    chosen = recipe.options
    columns = [results.percent([getattr(run.trained, column) for run in runs]) for column in ("ann", "converted")]
    last = results.percent([run.trained.networks["f"].accuracy for run in runs]) if "f" in recipe.networks else ""
    rows = [[f"{chosen.arch} x {chosen.width:g}", f"{chosen.dataset}, here", *columns, last]]
    rows += [[arch, f"{dataset}, paper", *(f"{each:.2f}" for each in row)] for (dataset, arch), row in TABLE_1.items()]
    header = ["network", "data", "a. ANN", f"b. converted, T = {CONVERTED_STEPS}"]
    return results.table([*header, f"c. network f, T = {recipe.timesteps} (paper: 5)"], rows)


def _six(recipe: Recipe, runs: Sequence[Run]) -> str:
    rows = []
    for name in recipe.networks:
        each = [run.trained.networks[name] for run in runs]
        rows.append(
            [
                f"{name}: {KINDS[name].title}",
                str(each[0].timesteps),
                results.percent([one.accuracy for one in each]),
                results.spread([one.spikes for one in each], 3),
                _times_f(runs, name, "spikes"),
                f"{FEWER[name]:g}" if name in FEWER else "",
                results.spread([one.input_spikes for one in each], 2),
            ]
        )
    return results.table(["network", "T", "accuracy (%)", "spikes", "times f", "paper", "encoder"], rows)


def _energy(recipe: Recipe, runs: Sequence[Run]) -> str:
    rows = []
    for name in recipe.networks:
        each = [run.trained.networks[name] for run in runs]
        ratio = results.spread([one.ann_energy_pj / one.energy_pj for one in each], 1)
        spent = results.spread([one.energy_pj / 1000 for one in each], 1)
        rows.append([f"{name}: {KINDS[name].title}", spent, ratio, _times_f(runs, name, "energy_pj")])
    return results.table(["network", "energy (nJ)", "ANN, times", "times f"], rows)


def _published_energy() -> str:
    (ann10, ann100), (c10, c100) = ENERGY["ANN"], ENERGY["c"]
    return (
        f"The paper, with VGG16 on CIFAR-10 and CIFAR-100: the ANN takes {ann10} and {ann100} times the energy of f, "
        f"and c {c10} and {c100} times."
    )


def _times_f(runs: Sequence[Run], name: str, what: str) -> str:
    """``what`` of a network in that of f, of means."""
    if not all("f" in run.trained.networks for run in runs):
        return ""
    mine, final = (sum(getattr(run.trained.networks[each], what) for run in runs) for each in (name, "f"))
    return f"{mine / final:.2f}" if final else ""


def _layers(recipe: Recipe, runs: Sequence[Run]) -> str:
    first = runs[0].trained.networks
    rows = [
        [layer, *(results.spread([run.trained.networks[name].layers[layer] for run in runs], 2) for name in first)]
        for layer in next(iter(first.values())).layers
    ]
    return results.table(["layer", *recipe.networks], rows)


def _claims(runs: Sequence[Run]) -> str:
    rows = []
    for run in runs:
        points, fewer, most = claims(run).values()
        rows.append(
            [
                str(run.seed),
                "" if points is None else f"{points:.2f}",
                "" if fewer is None else f"{fewer:.2f}",
                "" if most is None else str(most),
            ]
        )
    header = ["seed", "points below c", "times fewer spikes than c (paper: 2)", "most spikes of a neuron in a sample"]
    return results.table(header, rows)


def _on_target(recipe: Recipe, runs: Sequence[Run]) -> str:
    rows = []
    for name in recipe.networks:
        each = [run.targets[name] for run in runs]
        right = [one.program.accuracy for one in each if one.program.accuracy is not None]
        spikes = [one.spikes for one in each if one.spikes is not None]
        rows.append(
            [
                name,
                results.percent(right) if right else "",
                results.spread(spikes, 3) if spikes else "",
                ", ".join(str(one.most) for one in each if one.most is not None),
                ", ".join(str(one.program.cores) for one in each),
                "; ".join(dict.fromkeys(one.program.verdict for one in each)),
            ]
        )
    header = ["network", "accuracy (%)", "spikes per hidden neuron", "most of one neuron", "cores", "engines"]
    return results.table(header, rows)


if __name__ == "__main__":
    script(main)
