"""Deep Q-networks that balance a pole, trained the IIR-SNN way, compiled, and let play by the compiled program.

    python examples/iir_dqn.py --out build/iir-dqn

Section 5 and appendix A.5.1 of IIR-SNN (Chowdhury et al. 2021): an ANN learns to play Cartpole and becomes a spiking
network (norms folded into the weights, thresholds at the 90th percentile of the pre-activations), which learns on with
T = 5 time steps per decision, then with T = 3, then with T = 1, each from the one before. Membranes begin each decision
at zero.

The paper's network sees pixels: three convolutions (16, 32 and 32 filters of 5 x 5, stride 2, batch norms) and a linear
layer. That is ``--observe pixels``: the picture that gymnasium draws, cut around the cart and reduced to 40 x 90 grey
values, less the one before. It takes hours on a CPU. By default the network sees the state (position, angle and their
speeds) and is small: two layers of 128 neurons. Either way it sees whole multiples of 1/127, as a chip does.

From the paper: RMSProp, batches of 128, random moves at a rate epsilon, and for pixels a replay memory of 10,000.
Beside the paper: double DQN with a slowly following target network, clipped gradients, several games at once, moves
that are learned in the mirror too, a learning rate that falls to nothing, a discount of 0.98 (the paper's is 0.999),
surrogate gradients of height 1 (0.3), and of each stage the target network, an average of the last ones, that did best
after a block, by games that serve nothing else.

Two things are for the chip, whose weights have 8 bits. A fall is worth -1 and a move 0, where the paper gives each move
1: what is wanted is the same, but values then differ from 0 by what matters, and not by the long life that all have in
common. And the values of the two actions are driven apart (advantage learning: Bellemare et al. 2016, *Increasing the
action gap: new operators for reinforcement learning*, Eq. 9), so that rounding does not swap them.

Every network is compiled, all engines are compared on situations that it met, and the compiled program plays: each
decision is one run of the integer network. Writes seed-N/*.pt, the program folders, results.json and results.md. Run
again after an interruption, it goes on from the last finished block. Needs the extras ``torch``, ``demo`` and ``lava``.
"""

from __future__ import annotations

import argparse
import copy
import itertools
import os
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch
from numpy.typing import NDArray
from recipes import compiled, options, results
from recipes.data import Data
from recipes.training import Bar, deterministic, read_state, seed_of
from rich.table import Table
from torch import Tensor, nn

from neurocompile import driver, snn
from neurocompile.backends.base import Streams
from neurocompile.console import stdout
from neurocompile.errors import InputError
from neurocompile.program import Program
from neurocompile.writing import whole_file

TARGET = "loihi2-sim"
#: (stage, time steps) in order; the ANN decides in one
STAGES = (("ann", 1), ("t5", 5), ("t3", 3), ("t1", 1))
#: mean and deviation of the reward. Only the appendix has T = 5, with the numbers that section 5 gives for T = 3
PAPER = {"ann": "40.3 ± 4.8", "t5": "52.2 ± 4.3", "t3": "52.2 ± 4.3", "t1": "38.7 ± 5.4"}
DISCOUNT = 0.98
#: how much of what an action is worse than the best one is taken off its value once more; below 1
APART = 0.95
LEVELS = 127
#: what of the state counts as 1: the ends of the track and of the angle, and speeds that are rarely passed
STATE = np.array([2.4, 3.0, 0.2095, 3.5])
SCREEN = (40, 90)

Decide = Callable[[Tensor], NDArray[np.int64]]
"""Observations (n, *shape) to the actions (n,)."""


@dataclass(frozen=True)
class Setting:
    """How much of everything. A block is ``steps`` moves in each of ``games`` games at once, with ``updates`` of the
    network after each; a stage has at most so many ``blocks``, each judged by ``judges`` games."""

    observe: str
    hidden: int = 128
    games: int = 8
    steps: int = 125
    updates: int = 4
    blocks: tuple[int, ...] = (40, 20, 20, 20)
    replay: int = 50_000
    batch: int = 128
    judges: int = 20
    learning_rate: float = 5e-4

    @classmethod
    def full(cls, observe: str) -> Setting:
        return cls(observe, replay=10_000) if observe == "pixels" else cls(observe)

    @classmethod
    def tiny(cls, observe: str) -> Setting:
        return cls(observe, hidden=12, games=2, steps=12, updates=1, blocks=(2, 1, 1, 1), replay=64, batch=8, judges=2)

    @property
    def shape(self) -> tuple[int, ...]:
        return (1, *SCREEN) if self.observe == "pixels" else STATE.shape


# --------------------------------------------------------------------------------------------------------------- games


class Game:
    """One game of Cartpole: what is seen of it is int8 of ``Setting.shape``, in 127ths."""

    def __init__(self, observe: str) -> None:
        self.pixels = observe == "pixels"
        self._env = gymnasium.make("CartPole-v1", render_mode="rgb_array" if self.pixels else None)
        self._screen: NDArray[Any] = np.zeros(SCREEN)

    def begin(self, seed: int) -> NDArray[np.int8]:
        state, _ = self._env.reset(seed=seed)
        if self.pixels:
            self._screen = self._drawn(state)
        return self._seen(state)

    def move(self, action: int) -> tuple[NDArray[np.int8], bool, bool]:
        """What is seen then, whether the pole has fallen (or the cart has left), and whether 500 moves are over."""
        state, _, fallen, over, _ = self._env.step(action)
        return self._seen(state), bool(fallen), bool(over)

    def _seen(self, state: NDArray[Any]) -> NDArray[np.int8]:
        values = state / STATE
        if self.pixels:
            before, self._screen = self._screen, self._drawn(state)
            values = (self._screen - before)[None]
        return np.rint(LEVELS * np.clip(values, -1, 1)).astype(np.int8)

    def _drawn(self, state: NDArray[Any]) -> NDArray[Any]:
        """The 160 x 360 pixels around the cart, or at the end of the picture; 4 x 4 are one grey value, 0 to 1."""
        picture: NDArray[Any] = np.asarray(self._env.render())
        width = picture.shape[1]
        middle = round(width / 2 + state[0] * width / 4.8)
        left = min(max(middle - 180, 0), width - 360)
        grey = picture[160:320, left : left + 360].mean(axis=2) / 255
        return grey.reshape(SCREEN[0], 4, SCREEN[1], 4).mean(axis=(1, 3))


def numbers(seen: Sequence[NDArray[np.int8]] | Tensor) -> Tensor:
    """What the network gets: float32 (n, *shape) of what was seen."""
    return torch.as_tensor(np.stack(seen) if not isinstance(seen, Tensor) else seen).float() / LEVELS


def play(decide: Decide, observe: str, seeds: Sequence[int], seen: list[NDArray[np.int8]] | None = None) -> list[int]:
    """How long each game lasts; all are played at once, a batch of decisions for each move. ``seen`` collects what
    was seen."""
    games = [Game(observe) for _ in seeds]
    views = [game.begin(seed) for game, seed in zip(games, seeds, strict=True)]
    lengths, going = [0] * len(games), list(range(len(games)))
    while going:
        if seen is not None:
            seen.extend(views[index] for index in going)
        actions = decide(numbers([views[index] for index in going]))
        still = []
        for index, action in zip(going, actions.tolist(), strict=True):
            views[index], fallen, over = games[index].move(action)
            lengths[index] += 1
            if not (fallen or over):
                still.append(index)
        going = still
    return lengths


# ------------------------------------------------------------------------------------------------------------ networks


def network(setting: Setting) -> nn.Sequential:
    """The ANN: activations are called neuron1, neuron2, ... because that is what they become."""
    layers: list[tuple[str, nn.Module]] = [("encoder", snn.DirectEncoder(limit=1.0))]
    if setting.observe == "pixels":
        channels = 1
        for number, outputs in enumerate((16, 32, 32), start=1):
            layers += [
                (f"conv{number}", nn.Conv2d(channels, outputs, 5, stride=2, bias=False)),
                (f"norm{number}", nn.BatchNorm2d(outputs)),
                (f"neuron{number}", nn.ReLU()),
            ]
            channels = outputs
        layers += [("flatten", nn.Flatten()), ("linear", nn.Linear(512, 2))]
    else:
        sizes = (setting.shape[0], setting.hidden, setting.hidden)
        for number, (inputs, outputs) in enumerate(itertools.pairwise(sizes), start=1):
            layers += [(f"linear{number}", nn.Linear(inputs, outputs)), (f"neuron{number}", nn.ReLU())]
        layers.append(("linear", nn.Linear(setting.hidden, 2)))
    return nn.Sequential(OrderedDict([*layers, ("readout", snn.Readout())]))


def spiking(ann: nn.Sequential, seen: Tensor) -> nn.Sequential:
    """The same network of spiking neurons, as the paper begins: Eq. 2, thresholds at the 90th percentile.

    A spike stands for as much as the threshold, so the weights behind a neuron take it in.
    """
    model = snn.replace_relu(
        snn.fuse_batchnorm(ann.cpu()),
        lambda: snn.LIF(
            1.0, 1.0, leaky_reset=False, learn_threshold=True, learn_leak=True, surrogate=snn.LinearSurrogate(1.0)
        ),
    )
    snn.set_thresholds(model, seen, percentile=90.0)
    threshold = None
    with torch.no_grad():
        for layer in model:
            if isinstance(layer, snn.LIF):
                threshold = layer.threshold
            elif isinstance(layer, nn.Linear | nn.Conv2d) and threshold is not None:
                layer.weight.mul_(threshold)
    assert isinstance(model, nn.Sequential)
    return model


def values(model: nn.Module, x: Tensor, timesteps: int) -> Tensor:
    """Q-values (n, 2): what the readout has gathered, per step."""
    return snn.run(model, x, timesteps) / timesteps


def decider(model: nn.Module, timesteps: int, device: torch.device) -> Decide:
    """The greedy action; the model's mode is kept."""

    def decide(x: Tensor) -> NDArray[np.int64]:
        training = model.training
        model.eval()
        with torch.no_grad():
            actions = values(model, x.to(device), timesteps).argmax(1).cpu().numpy()
        snn.reset_state(model)
        model.train(training)
        return actions

    return decide


# ------------------------------------------------------------------------------------------------------------ learning


class Replay:
    """The last so many moves, in a ring."""

    def __init__(self, size: int, shape: tuple[int, ...]) -> None:
        self.rows = {
            "seen": torch.zeros((size, *shape), dtype=torch.int8),
            "action": torch.zeros(size, dtype=torch.int64),
            "then": torch.zeros((size, *shape), dtype=torch.int8),
            "fallen": torch.zeros(size, dtype=torch.bool),
        }
        self.size, self.count = size, 0

    def __len__(self) -> int:
        return min(self.count, self.size)

    def add(self, **move: Any) -> None:
        for name, value in move.items():
            self.rows[name][self.count % self.size] = torch.as_tensor(value)
        self.count += 1

    def draw(self, count: int, generator: torch.Generator, device: torch.device) -> dict[str, Tensor]:
        """So many moves at random, and half of them in the mirror: a pole falls to either side alike."""
        chosen = torch.randint(len(self), (count,), generator=generator)
        rows = {name: row[chosen] for name, row in self.rows.items()}
        mirrored = torch.randint(2, (count,), generator=generator).bool()
        rows["action"] = rows["action"] ^ mirrored
        for name in ("seen", "then"):
            row = numbers(rows[name])
            row[mirrored] = row[mirrored].flip(-1) if row.ndim > 2 else -row[mirrored]
            rows[name] = row
        return {name: row.to(device) for name, row in rows.items()}


@dataclass
class Learner:
    """One stage as far as it has come: all that goes on from block to block, and to disk after each."""

    model: nn.Module
    target: nn.Module
    best: nn.Module
    optimizer: torch.optim.Optimizer
    replay: Replay
    scores: list[float]

    @classmethod
    def of(cls, model: nn.Module, learning_rate: float, replay: Replay) -> Learner:
        optimizer = torch.optim.RMSprop(model.parameters(), lr=learning_rate, alpha=0.99)
        return cls(model, copy.deepcopy(model).eval(), copy.deepcopy(model), optimizer, replay, [])

    def learn(self, batch: dict[str, Tensor], timesteps: int) -> None:
        """One update of double DQN: the network chooses the next action, the target network says what it is worth, and
        by how much the action that was taken was worse than its best one."""
        self.model.train()
        taken = batch["action"][:, None]
        now, then = values(self.model, torch.cat([batch["seen"], batch["then"]]), timesteps).chunk(2)
        with torch.no_grad():
            before, after = values(self.target, torch.cat([batch["seen"], batch["then"]]), timesteps).chunk(2)
            worth = after.gather(1, then.argmax(1, keepdim=True))[:, 0]
            wanted = torch.where(batch["fallen"], -1.0, DISCOUNT * worth)
            wanted -= APART * (before.amax(1) - before.gather(1, taken)[:, 0])
        loss = nn.functional.smooth_l1_loss(now.gather(1, taken)[:, 0], wanted)
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 10.0)
        self.optimizer.step()
        snn.clamp_parameters(self.model)
        with torch.no_grad():
            for mine, theirs in zip(self.target.state_dict().values(), self.model.state_dict().values(), strict=True):
                mine.lerp_(theirs, FOLLOW) if mine.is_floating_point() else mine.copy_(theirs)

    def save(self, path: Path, recipe: dict[str, object]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        networks = {name: getattr(self, name).state_dict() for name in ("model", "target", "best")}
        state = {"recipe": recipe, **networks, "optimizer": self.optimizer.state_dict(), "scores": self.scores,
                 "replay": self.replay.rows, "moves": self.replay.count}  # fmt: skip
        with whole_file(path) as file:
            torch.save(state, file)

    def restore(self, path: Path, recipe: dict[str, object]) -> None:
        """InputError where the file is of another recipe or damaged; nothing where there is none."""
        state = read_state(path, recipe, {"model", "target", "best", "optimizer", "scores", "replay", "moves"})
        if state is None:
            return
        try:
            for name in ("model", "target", "best"):
                getattr(self, name).load_state_dict(state[name])
            self.optimizer.load_state_dict(state["optimizer"])
            for name, row in self.replay.rows.items():
                row.copy_(state["replay"][name])
            self.replay.count = int(state["moves"])
            self.scores = [float(score) for score in state["scores"]]
        except (RuntimeError, ValueError, KeyError, TypeError, AttributeError) as problem:
            reason = str(problem).splitlines()[0]
            raise InputError(f"{path}: does not fit the network ({reason:.120}); remove it") from problem


#: how far the target network goes towards the network at each update
FOLLOW = 0.01
#: the rate of random moves: at the beginning of a stage, and from a third of it on
EPSILON = {"ann": (1.0, 0.05), "t5": (0.5, 0.05), "t3": (0.5, 0.05), "t1": (0.5, 0.05)}
FULL = 500
#: what gymnasium calls solved: a stage ends with it
SOLVED = 475


def train(
    stage: str, model: nn.Module, replay: Replay, setting: Setting, *, folder: Path, seed: int, device: torch.device,
    bar: Bar,
) -> Learner:  # fmt: skip
    """Block after block, until the judging games last 475 moves on average or the blocks are used up, for ``best``.

    A block begins with new games and random numbers of its own, so that a training that was interrupted gives what it
    would have given without.
    """
    place, timesteps = [name for name, _ in STAGES].index(stage), dict(STAGES)[stage]
    blocks = setting.blocks[place]
    recipe: dict[str, object] = {
        **asdict(setting), "seed": seed, "stage": stage, "discount": DISCOUNT, "apart": APART, "follow": FOLLOW,
        "epsilon": EPSILON[stage], "gymnasium": gymnasium.__version__, "torch": torch.__version__.partition("+")[0],
    }  # fmt: skip
    learner = Learner.of(model.to(device), setting.learning_rate, replay)
    path = folder / f"{stage}.state.pt"
    learner.restore(path, recipe)
    show = bar.stage(stage, blocks, len(learner.scores))
    with deterministic():
        while len(learner.scores) < blocks and max(learner.scores, default=0) < SOLVED:
            number = len(learner.scores)
            torch.manual_seed(seed_of(seed, stage, number))
            _block(learner, stage, setting, timesteps, seed_of(seed, f"{stage} block", number), device, show)
            judges = range(1_000_000, 1_000_000 + setting.judges)
            lengths = play(decider(learner.target, timesteps, device), setting.observe, judges)
            if not learner.scores or np.mean(lengths) >= max(learner.scores):
                learner.best.load_state_dict(learner.target.state_dict())
            learner.scores.append(float(np.mean(lengths)))
            learner.save(path, recipe)
    learner.best.eval()
    return learner


def _block(
    learner: Learner, stage: str, setting: Setting, timesteps: int, seed: int, device: torch.device,
    show: Callable[[float], None],
) -> None:  # fmt: skip
    done, (place,) = len(learner.scores), [index for index, (name, _) in enumerate(STAGES) if name == stage]
    rng, generator = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
    high, low = EPSILON[stage]
    decide = decider(learner.model, timesteps, device)
    games = [Game(setting.observe) for _ in range(setting.games)]
    views = [game.begin(int(rng.integers(1 << 30))) for game in games]
    for step in range(setting.steps):
        progress = (done + step / setting.steps) / setting.blocks[place]
        epsilon = max(low, high + (low - high) * 3 * progress)
        for group in learner.optimizer.param_groups:
            group["lr"] = setting.learning_rate * (1 - progress)
        actions = np.where(rng.random(len(games)) < epsilon, rng.integers(2, size=len(games)), decide(numbers(views)))
        for index, (game, action) in enumerate(zip(games, actions.tolist(), strict=True)):
            then, fallen, over = game.move(action)
            learner.replay.add(seen=views[index], action=action, then=then, fallen=fallen)
            views[index] = game.begin(int(rng.integers(1 << 30))) if fallen or over else then
        if len(learner.replay) >= setting.batch:
            for _ in range(setting.updates):
                learner.learn(learner.replay.draw(setting.batch, generator, device), timesteps)
        show(done + (step + 1) / setting.steps)


# ---------------------------------------------------------------------------------------------------------- on the chip


@dataclass(frozen=True)
class Visited:
    """Situations with the actions that the float network takes in them, as a set of samples."""

    x: Tensor
    actions: Tensor

    def __len__(self) -> int:
        return len(self.x)

    def batches(self, size: int, generator: torch.Generator | None = None) -> Iterator[tuple[Tensor, Tensor]]:  # noqa: ARG002
        yield from zip(self.x.split(size), self.actions.split(size), strict=True)

    def take(self, count: int) -> tuple[Tensor, Tensor]:
        return self.x[:count], self.actions[:count]


def chip(program: Program) -> Decide:
    """Decisions of the compiled program: each a presentation of its own, from zero membranes.

    The functional engine keeps what it has made ready of the last graph, so only the first decision waits for it.
    """
    engine = driver.make_backend("functional")
    assert isinstance(engine, Streams)
    (output,) = program.integer.outputs

    def decide(x: Tensor) -> NDArray[np.int64]:
        traces = engine.batches(program.integer, x.numpy(), events=False)
        return np.concatenate([trace.outputs[output].argmax(axis=1) for trace in traces])

    return decide


def per_second(decide: Decide, x: Tensor, seconds: float) -> float:
    """Decisions per second, one after another as a single game wants them."""
    decide(x[:1])
    begun, count = time.perf_counter(), 0
    while count == 0 or time.perf_counter() < begun + seconds:
        decide(x[count % len(x)][None])
        count += 1
    return count / (time.perf_counter() - begun)


# -------------------------------------------------------------------------------------------------------------- script


@dataclass(frozen=True)
class Flags:
    setting: Setting
    device: torch.device
    out: Path
    seeds: tuple[int, ...]
    episodes: int
    tiny: bool


def run(seed: int, flags: Flags) -> dict[str, Any]:
    """All stages of one seed, and what each network does, as plain data by stage."""
    folder, setting = flags.out / f"seed-{seed}", flags.setting
    found: dict[str, Any] = {}
    torch.manual_seed(seed)
    model: nn.Module = network(setting)
    seen, replay = Tensor(), Replay(setting.replay, setting.shape)
    with Bar(f"seed {seed}: ") as bar, deterministic():
        for stage, timesteps in STAGES:
            if stage == "t5":
                assert isinstance(model, nn.Sequential)
                model = spiking(model, seen)
            learner = train(stage, model, replay, setting, folder=folder, seed=seed, device=flags.device, bar=bar)
            model = learner.best.cpu()
            met: list[NDArray[np.int8]] = []
            decide = decider(model, timesteps, torch.device("cpu"))
            lengths = play(decide, setting.observe, range(flags.episodes), met)
            # spread over all games, since neighbours are alike
            order = np.random.default_rng(seed).permutation(len(met))[:1000]
            seen = numbers([met[index] for index in order])
            found[stage] = {"timesteps": timesteps, "lengths": lengths, "blocks": learner.scores}
            if stage != "ann":
                show = bar.stage(f"{stage} on {TARGET}", 1)
                found[stage] |= _compiled(model, stage, timesteps, seen, folder, flags)
                show(1)
    return found


def _compiled(model: nn.Module, stage: str, timesteps: int, seen: Tensor, folder: Path, flags: Flags) -> dict[str, Any]:
    """The network as a program: every engine compared, and games that the program plays."""
    actions = torch.from_numpy(decider(model, timesteps, torch.device("cpu"))(seen))
    visited = Visited(seen, actions)
    data = Data("situations met in Cartpole", visited, visited, 2, flags.setting.shape, 1.0, -1.0, 1.0)
    path = folder / f"{stage}.pt"
    compiled.save(model, path, data, timesteps=timesteps, note={"recipe": "IIR-SNN, section 5", "actions": 2})
    made = compiled.compile_and_compare(path, data, target=TARGET, compare=4 if flags.tiny else 16)
    if made.refused is not None:
        return {"compiled": made.plain()}
    decide = chip(Program.load(path.with_name(f"{stage}-{TARGET}")))
    return {
        "compiled": made.plain(),
        "compiled_lengths": play(decide, flags.setting.observe, range(flags.episodes)),
        "decisions_per_s": per_second(decide, seen, 0.05 if flags.tiny else 1.0),
    }


def read(arguments: argparse.Namespace) -> Flags:
    """InputError where a flag is out of range."""
    if arguments.episodes is not None and arguments.episodes < 1:
        raise InputError(f"--episodes is {arguments.episodes}, limit 1 at least; give a number of games")
    setting = Setting.tiny(arguments.observe) if arguments.tiny else Setting.full(arguments.observe)
    episodes = arguments.episodes or (3 if arguments.tiny else 100)
    device, seeds = options.read_device(arguments.device), options.read_seeds(arguments.seeds)
    return Flags(setting, device, arguments.out, seeds, episodes, arguments.tiny)


def main(given: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description="Deep Q-networks for Cartpole, trained the IIR-SNN way and compiled.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--observe", choices=("state", "pixels"), default="state", help="what the network sees")
    add("--seeds", default="0", metavar="N,N,...", help="one whole run for each")
    add("--device", default="cpu", help="where torch trains: cpu, cuda, cuda:1, ...")
    add("--out", type=Path, default=Path("build/iir-dqn"), metavar="FOLDER", help="checkpoints, programs and results")
    add("--episodes", type=int, metavar="N", help="games by which each network is rated; 100, or 3 with --tiny")
    add("--tiny", action="store_true", help="the whole way in seconds; learns nothing")
    flags = read(parser.parse_args(given))
    # pygame draws pictures in memory: it needs no screen, and need not greet
    os.environ.update(SDL_VIDEODRIVER="dummy", PYGAME_HIDE_SUPPORT_PROMPT="1")
    begun = time.perf_counter()
    runs = {seed: run(seed, flags) for seed in flags.seeds}
    found = {
        "recipe": "IIR-SNN, section 5 and appendix A.5.1: Cartpole",
        "environment": f"gymnasium {gymnasium.__version__}, CartPole-v1",
        "setting": asdict(flags.setting),
        "discount": DISCOUNT,
        "apart": APART,
        "episodes": flags.episodes,
        "target": TARGET,
        "paper": PAPER,
        "seconds": time.perf_counter() - begun,
        "seeds": {str(seed): stages for seed, stages in runs.items()},
    }
    header, rows = _rows(runs)
    results.write(flags.out, found, _markdown(flags, header, rows))
    table = Table(*header)
    for row in rows:
        table.add_row(*row)
    stdout.print(table)


def _rows(runs: dict[int, dict[str, Any]]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    header = ("network", "paper", "reward, float", "reward, compiled", "same action", "engines equal", "decisions/s")
    rows = []
    for stage, timesteps in STAGES:
        each = [run[stage] for run in runs.values()]
        name = "ANN" if stage == "ann" else f"SNN, T = {timesteps}"
        lengths = [length for one in each for length in one["lengths"]]
        row = [name, PAPER[stage], results.spread(lengths, 1)]
        made = [one for one in each if "compiled_lengths" in one]
        if made:
            chips = [one["compiled"] for one in made]
            row += [
                results.spread([length for one in made for length in one["compiled_lengths"]], 1),
                results.percent([one["accuracy"] for one in chips]) + " %",
                "yes" if all(one["equal"] for one in chips) else "no",
                results.spread([one["decisions_per_s"] for one in made], 0),
            ]
        rows.append((*row, *["" for _ in header[len(row) :]]))
    return header, rows


def _markdown(flags: Flags, header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    sees = {
        "state": "The networks see the state (position, angle and their speeds) and have two hidden layers of "
        f"{flags.setting.hidden} neurons. The paper's see pixels and have three convolutions: this task is easier, and "
        "the rewards are not comparable.",
        "pixels": "The networks see pixels and have the paper's layers. How the paper cuts and reduces its pictures is "
        "not said there; here it is 40 x 90 grey values around the cart, less those of the picture before.",
    }
    tiny = "\n**These networks are tiny and have learned nothing: the run only shows the way.**\n" if flags.tiny else ""
    return f"""# IIR-SNN, section 5: deep Q-networks on Cartpole

{results.table(header, rows)}
Rewards are the moves of a game, at most {FULL}: mean and standard deviation over {flags.episodes} games for each of
{len(flags.seeds)} seeds, with the greedy action. {sees[flags.setting.observe]}

The discount is {DISCOUNT}, the paper's is 0.999. The paper takes the mean of 20 games; of T = 5 only its appendix
speaks, with the numbers that section 5 has for T = 3.

*Compiled*: the program for {TARGET} plays, each decision one run of the integer network by the functional engine.
*Same action*: how often it acts as the float network in situations that this met. *Engines equal*: every spike of the
interpreter, the functional engine, the cycle engine and Lava. *Decisions/s*: of the functional engine, one at a time.
{tiny}"""


if __name__ == "__main__":
    options.script(main)
