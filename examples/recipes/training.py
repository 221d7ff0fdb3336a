"""Training in stages, each of which goes on where it stopped: after every epoch its whole state is on disk."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from torch import Tensor, nn

from neurocompile import snn
from neurocompile.console import stderr
from neurocompile.errors import InputError
from neurocompile.writing import whole_file
from recipes.data import Images

#: what one batch does: forward and backward; gradients are zero before and used after. Returns the loss
Step = Callable[[nn.Module, Tensor, Tensor], float]
#: what a script knows of one seed
Run = TypeVar("Run")

_LEARNED = 2  # weights have as many axes at least; thresholds, leaks and norms have fewer, and do not decay


@dataclass(frozen=True)
class Stage:
    """One training of a network.

    ``decay_at``: the shares of all epochs after which the learning rate is multiplied by ``decay``; none for a cosine
    to 0 over all batches. ``weight_decay`` is of weights alone.
    """

    name: str
    epochs: int
    learning_rate: float
    optimizer: Literal["sgd", "adam"] = "adam"
    decay_at: tuple[float, ...] = ()
    decay: float = 0.2
    weight_decay: float = 0.0

    def make_optimizer(self, model: nn.Module) -> torch.optim.Optimizer:
        parameters = [each for each in model.parameters() if each.requires_grad]
        groups: list[dict[str, Any]] = [
            {"params": [each for each in parameters if each.ndim >= _LEARNED], "weight_decay": self.weight_decay},
            {"params": [each for each in parameters if each.ndim < _LEARNED], "weight_decay": 0.0},
        ]
        if self.optimizer == "sgd":
            return torch.optim.SGD(groups, lr=self.learning_rate, momentum=0.9)
        return torch.optim.AdamW(groups, lr=self.learning_rate)

    def rate(self, progress: float) -> float:
        """The factor of the learning rate after ``progress``, 0 to 1, of the stage."""
        if not self.decay_at:
            return (1 + math.cos(math.pi * progress)) / 2
        return self.decay ** sum(progress >= share for share in self.decay_at)


@dataclass(frozen=True)
class Training:
    """Where stages of one run keep their states, and what they share. ``recipe`` is plain data that says what decides
    the weights; ``bar`` shows how far it is."""

    folder: Path
    recipe: Mapping[str, object]
    seed: int
    batch: int
    device: torch.device
    bar: Bar

    def fit(
        self,
        stage: Stage,
        model: nn.Module,
        images: Images,
        step: Step,
        *,
        after_step: Callable[[], None] = lambda: None,
    ) -> list[float]:
        """Train ``model`` in place and return each epoch's mean loss; it ends in eval mode, on the device.

        What an earlier call with the same folder and recipe has done is not done again: a finished stage is loaded, an
        unfinished one goes on from its last epoch, and gives what it would have given without the break. ``after_step``
        is called after each optimizer step (learned thresholds and leaks have been clamped).

        Raises:
            InputError: the state on disk is of another recipe or is damaged.
        """
        model.to(self.device).train()
        optimizer = stage.make_optimizer(model)
        path = self.folder / f"{stage.name}.state.pt"
        recipe = {**self.recipe, "seed": self.seed, "stage": repr(stage)}
        losses = _restore(path, recipe, model, optimizer)
        show = self.bar.stage(stage.name, stage.epochs, len(losses))
        with deterministic():
            for epoch in range(len(losses), stage.epochs):
                # drawn anew from the epoch's number, so that nothing depends on how often it was broken off
                torch.manual_seed(seed_of(self.seed, stage.name, epoch))
                generator = torch.Generator().manual_seed(seed_of(self.seed, f"{stage.name} data", epoch))
                batches = math.ceil(len(images) / self.batch)
                total = 0.0
                model.train()
                for number, (x, labels) in enumerate(images.batches(self.batch, generator)):
                    for group in optimizer.param_groups:
                        group["lr"] = stage.learning_rate * stage.rate((epoch + number / batches) / stage.epochs)
                    optimizer.zero_grad()
                    total += step(model, x.to(self.device), labels.to(self.device)) * len(x)
                    optimizer.step()
                    snn.clamp_parameters(model)
                    after_step()
                    show(epoch + (number + 1) / batches)
                losses.append(total / len(images))
                if not math.isfinite(losses[-1]):
                    raise InputError(
                        f"{stage.name}: the loss is {losses[-1]} in epoch {epoch + 1}, so training has diverged; "
                        "lower the learning rate or take another seed"
                    )
                snn.reset_state(model)
                _keep(path, recipe, model, optimizer, losses)
        snn.reset_state(model)
        model.eval()
        return losses


def seed_of(seed: int, what: str, number: int) -> int:
    """A seed of its own for each epoch of each stage; not Python's ``hash``, which differs from run to run."""
    value = seed + 1
    for character in f"{what} {number}":
        value = (value * 1_000_003 + ord(character)) % (1 << 61)
    return value


def _keep(
    path: Path, recipe: Mapping[str, object], model: nn.Module, optimizer: torch.optim.Optimizer, losses: list[float]
) -> None:
    state = {"recipe": dict(recipe), "model": model.state_dict(), "optimizer": optimizer.state_dict(), "losses": losses}
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as file:
        torch.save(state, file)


def read_state(path: Path, recipe: Mapping[str, object], holds: set[str]) -> dict[str, Any] | None:
    """The state of a training that ``holds`` so many things beside its recipe; None where there is no file.

    Raises:
        InputError: the file is damaged, or of another recipe.
    """
    if not path.is_file():
        return None
    try:
        state = snn.checkpoint.load_document(path)
    except InputError as problem:
        reason = str(problem).partition(";")[0]  # what it advises is for networks that somebody sent
        raise InputError(f"{reason}; remove it, or give another --out") from problem
    if not isinstance(state, dict) or state.keys() != {"recipe", *holds}:
        raise InputError(f"{path}: is no state of a training; remove it, or give another --out")
    if state["recipe"] != dict(recipe):
        known = state["recipe"] if isinstance(state["recipe"], dict) else {}
        other = next((key for key in recipe if known.get(key) != recipe[key]), "recipe")
        raise InputError(
            f"{path}: was begun with {other} {known.get(other)!r:.80} and not {recipe.get(other)!r:.80}; "
            "give another --out, or remove it"
        )
    return state


def _restore(
    path: Path, recipe: Mapping[str, object], model: nn.Module, optimizer: torch.optim.Optimizer
) -> list[float]:
    """The losses of the epochs that are behind us."""
    state = read_state(path, recipe, {"model", "optimizer", "losses"})
    if state is None:
        return []
    try:
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        return [float(loss) for loss in state["losses"]]
    except (RuntimeError, ValueError, KeyError, TypeError, AttributeError) as problem:
        reason = str(problem).splitlines()[0]
        raise InputError(f"{path}: does not fit the network ({reason:.120}); remove it") from problem


@contextmanager
def deterministic() -> Iterator[None]:
    """Repeatable arithmetic within, torch's random state as it was after it.

    On the CPU one thread: the number of threads decides the order of sums.
    """
    before, threads = torch.are_deterministic_algorithms_enabled(), torch.get_num_threads()
    with torch.random.fork_rng():
        torch.use_deterministic_algorithms(True, warn_only=True)
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.use_deterministic_algorithms(before)
            torch.set_num_threads(threads)


def set_dropout(model: nn.Module, p: float) -> None:
    """The probability of every dropout whose mask is constant over time."""
    for module in model.modules():
        if isinstance(module, snn.TimeConstantDropout):
            module.p = p


def by_loss(make_loss: Callable[[nn.Module, Tensor, Tensor], Tensor]) -> Step:
    """The step that runs the model for ``make_loss`` and goes back through all of it."""

    def step(model: nn.Module, x: Tensor, labels: Tensor) -> float:
        loss = make_loss(model, x, labels)
        torch.autograd.backward(loss)
        return float(loss.detach())

    return step


def cross_entropy(timesteps: int) -> Step:
    """The papers' usual step: cross-entropy on the answer of the last time step, BPTT through all of them."""
    return by_loss(lambda model, x, labels: nn.functional.cross_entropy(snn.run(model, x, timesteps), labels))


def accuracy(
    model: nn.Module,
    images: Images,
    timesteps: int,
    *,
    batch: int,
    device: torch.device,
    show: Callable[[float], None] = lambda _share: None,
) -> float:
    """The share of samples that get their label from ``model`` in eval mode; its mode is kept.

    ``show`` is called with the share of samples that are done.
    """
    training = model.training
    model.to(device).eval()
    right = first = 0
    with torch.no_grad():
        for x, labels in images.batches(batch):
            # random encoders draw by the number of a sample in its data set
            for module in model.modules():
                if isinstance(module, snn.PoissonEncoder):
                    module.first_sample = first
            right += int((snn.run(model, x.to(device), timesteps).argmax(1).cpu() == labels).sum())
            first += len(x)
            show(first / len(images))
    for module in model.modules():
        if isinstance(module, snn.PoissonEncoder):
            module.first_sample = 0
    snn.reset_state(model)
    model.train(training)
    return right / len(images)


def run_seeds(seeds: Iterable[int], run: Callable[[int, Bar], Run], line: Callable[[Run], str]) -> list[Run]:
    """What ``run`` gives for each seed, with a bar of its own and repeatable arithmetic; ``line`` of it is printed."""
    runs = []
    for seed in seeds:
        with Bar(f"seed {seed}, ") as bar, deterministic():
            runs.append(run(seed, bar))
        print(line(runs[-1]), flush=True)
    return runs


class Bar:
    """Progress on stderr: a line for the stage at work, as it goes on within its epochs."""

    def __init__(self, label: str = "") -> None:
        self._label = label
        self._progress = Progress(
            TextColumn("{task.description:<32}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=stderr,
            transient=True,
            disable=not stderr.is_terminal,
        )
        self._task: TaskID | None = None

    def __enter__(self) -> Bar:
        self._progress.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._progress.stop()

    def stage(self, name: str, total: int, done: float = 0) -> Callable[[float], None]:
        """Show another piece of work; call the result with how much of ``total`` is done."""
        if self._task is not None:
            self._progress.remove_task(self._task)
        task = self._task = self._progress.add_task(f"{self._label}{name}", total=total)
        self._progress.update(task, completed=done)
        return lambda reached: self._progress.update(task, completed=reached)
