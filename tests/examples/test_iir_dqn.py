"""The deep Q-networks' recipe, whole and tiny, and its parts."""

from __future__ import annotations

import copy
import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import gymnasium
import iir_dqn
import numpy as np
import pytest
import torch
from recipes.training import Bar
from torch import Tensor, nn

from neurocompile import snn
from neurocompile.errors import InputError
from neurocompile.ir.interpret import interpret
from neurocompile.program import Program

SCRIPT = Path(__file__).parents[2] / "examples" / "iir_dqn.py"
TINY = iir_dqn.Setting.tiny("state")
CPU = torch.device("cpu")


def trained(folder: Path, stage: str = "ann", setting: iir_dqn.Setting = TINY, seed: int = 0) -> iir_dqn.Learner:
    torch.manual_seed(seed)
    model = iir_dqn.network(setting)
    with Bar() as bar:
        replay = iir_dqn.Replay(setting.replay, setting.shape)
        return iir_dqn.train(stage, model, replay, setting, folder=folder, seed=seed, device=CPU, bar=bar)


def equal(one: nn.Module, other: nn.Module) -> bool:
    states = one.state_dict(), other.state_dict()
    return all(torch.equal(states[0][name], states[1][name]) for name in states[0])


# ---------------------------------------------------------------------------------------------------------------- whole


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dqn")
    iir_dqn.main(["--tiny", "--seeds", "0,3", "--out", str(folder)])
    return folder


@pytest.mark.lava
def test_the_whole_way(whole: Path) -> None:
    found = json.loads((whole / "results.json").read_text())
    assert set(found["seeds"]) == {"0", "3"}
    for seed, stages in found["seeds"].items():
        assert list(stages) == ["ann", "t5", "t3", "t1"]
        assert "compiled" not in stages["ann"]
        for name, timesteps in (("t5", 5), ("t3", 3), ("t1", 1)):
            each = stages[name]
            assert each["compiled"]["refused"] is None
            engines = each["compiled"]["engines"]
            assert set(engines) == {"functional", "chip time", "lava", "cycle"}
            assert all(state == "equal" or state.startswith("unavailable") for state in engines.values())
            assert len(each["compiled_lengths"]) == len(each["lengths"]) == 3
            assert each["decisions_per_s"] > 0
            checkpoint = snn.load(whole / f"seed-{seed}" / f"{name}.pt")
            assert checkpoint.timesteps == timesteps
            program = Program.load(whole / f"seed-{seed}" / f"{name}-loihi2-sim")
            assert program.stateless == (timesteps == 1)
    text = (whole / "results.md").read_text()
    assert "| SNN, T = 1 | 38.7 ± 5.4 |" in text
    assert "not comparable" in text
    assert "learned nothing" in text


@pytest.mark.lava
def test_the_compiled_program_acts_by_the_integer_network(whole: Path) -> None:
    """Each decision from zero membranes, whatever was decided before, and as the interpreter says."""
    program = Program.load(whole / "seed-0" / "t3-loihi2-sim")
    decide = iir_dqn.chip(program)
    x = iir_dqn.numbers(list(np.random.default_rng(0).integers(-127, 128, (70, 4)).astype(np.int8)))
    (q,) = interpret(program.integer, x.numpy()).outputs.values()
    assert len(np.unique(q[:, 0] - q[:, 1])) > 1
    expected = q.argmax(axis=1).tolist()
    assert decide(x).tolist() == expected
    assert [int(decide(one[None])[0]) for one in x] == expected


# ---------------------------------------------------------------------------------------------------------------- games


def test_a_game_is_gymnasiums() -> None:
    env = gymnasium.make("CartPole-v1")
    state, _ = env.reset(seed=5)
    game = iir_dqn.Game("state")
    seen = [game.begin(5)]
    states = [state]
    fallen, actions = False, iter((0, 1, 1, 0, 1, *(0,) * 30))
    while not fallen:
        action = next(actions)
        state, _, fallen, over, _ = env.step(action)
        states.append(state)
        then, *ends = game.move(action)
        seen.append(then)
        assert ends == [fallen, over]
    assert len(seen) > 10
    expected = np.clip(np.array(states) / [2.4, 3.0, 0.2095, 3.5], -1, 1) * 127
    np.testing.assert_array_equal(np.array(seen), np.rint(expected))
    assert abs(expected).max() == 127  # the pole lies beyond the angle at which it has fallen


def test_games_last_as_long_as_one_by_one() -> None:
    decide = lambda x: (x[:, 3] > 0).long().numpy()  # noqa: E731 - against the pole's turning
    seen: list[Any] = []
    together = iir_dqn.play(decide, "state", range(6), seen)
    assert together == [iir_dqn.play(decide, "state", [seed])[0] for seed in range(6)]
    assert sum(together) == len(seen)
    assert min(together) > 20
    assert len(set(together)) > 1


def test_pixels_are_a_difference_around_the_cart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    game, again = iir_dqn.Game("pixels"), iir_dqn.Game("pixels")
    first = game.begin(1)
    assert first.shape == (1, 40, 90)
    assert not first.any()  # there was no picture before
    again.begin(1)
    for action in (1, 1, 1, 1):
        then, _, _ = game.move(action)
        assert (then == again.move(action)[0]).all()
    assert then.any()
    assert then.min() < 0 < then.max()


def test_the_pixel_network_is_the_papers() -> None:
    setting = iir_dqn.Setting.full("pixels")
    assert setting.replay == 10_000
    ann = iir_dqn.network(setting).eval()
    convolutions = [layer for layer in ann if isinstance(layer, nn.Conv2d)]
    assert [(each.out_channels, each.kernel_size, each.stride) for each in convolutions] == [
        (16, (5, 5), (2, 2)), (32, (5, 5), (2, 2)), (32, (5, 5), (2, 2)),
    ]  # fmt: skip
    assert sum(isinstance(layer, nn.BatchNorm2d) for layer in ann) == 3
    x = iir_dqn.numbers(list(np.random.default_rng(0).integers(-127, 128, (3, 1, 40, 90)).astype(np.int8)))
    assert iir_dqn.values(ann, x, 1).shape == (3, 2)
    model = iir_dqn.spiking(ann, x)
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in model)
    assert iir_dqn.values(model, x, 5).shape == (3, 2)


# ----------------------------------------------------------------------------------------------------------- conversion


def test_spikes_stand_for_the_threshold() -> None:
    """Of many steps, the rates are the activations where these are between 0 and the threshold, so Q is the ANN's."""
    torch.manual_seed(0)
    ann = iir_dqn.network(dataclasses.replace(TINY, hidden=24)).eval()
    x = torch.rand(200, 4) * 2 - 1
    model = iir_dqn.spiking(ann, x)
    for layer in model:
        if isinstance(layer, snn.LIF):
            assert (layer.order, layer.leaky_reset, layer.leak.item()) == ("integrate_first", False, 1.0)
    wide = iir_dqn.spiking(ann, x * 10)  # thresholds that no x reaches within a step
    with torch.no_grad():
        expected = iir_dqn.values(ann, x[:50], 1)
        error = (iir_dqn.values(wide, x[:50], 800) - expected).abs().max()
    assert error < 0.05 * expected.abs().max()


# ------------------------------------------------------------------------------------------------------------- learning


class Scores(nn.Module):
    """Q-values from a table: x is the number of a situation, in 127ths."""

    def __init__(self, table: list[list[float]]) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.tensor(table))

    def forward(self, x: Tensor) -> Tensor:
        return self.table[(x[:, 0] * 127).round().long()]


def test_an_update_is_double_q_learning() -> None:
    """By hand: in situation 1 the network chooses action 0, which the target network takes to be worth 3. In situation
    0, it takes action 1 to be worth 2 less than action 0."""
    model, target = Scores([[0.5, 0.0], [2.0, 1.0]]), Scores([[9.0, 7.0], [3.0, 7.0]])
    learner = iir_dqn.Learner(
        model, target, copy.deepcopy(model), torch.optim.SGD(model.parameters(), lr=1.0), iir_dqn.Replay(4, (1,)), []
    )
    seen, then = torch.tensor([[0.0], [0.0]]), torch.tensor([[1 / 127], [1 / 127]])
    batch = {"seen": seen, "then": then, "action": torch.tensor([0, 1]), "fallen": torch.tensor([False, True])}
    learner.learn(batch, 1)
    going = 0.5 - iir_dqn.DISCOUNT * 3.0
    fallen = 0.0 - (-1.0 - iir_dqn.APART * 2.0)
    assert going < -1 < 1 < fallen  # where the loss is linear
    expected = torch.tensor([[0.5 + 0.5, 0.0 - 0.5], [2.0, 1.0]])
    torch.testing.assert_close(model.table.detach(), expected)
    moved = torch.tensor([[9.0, 7.0], [3.0, 7.0]]).lerp(expected, iir_dqn.FOLLOW)
    torch.testing.assert_close(target.table.detach(), moved)


def test_replay_keeps_the_last() -> None:
    replay = iir_dqn.Replay(3, (1,))
    for number in range(5):
        replay.add(seen=[number], action=number % 2, then=[number + 1], fallen=number == 4)
    assert len(replay) == 3
    assert sorted(replay.rows["seen"][:, 0].tolist()) == [2, 3, 4]
    batch = replay.draw(200, torch.Generator().manual_seed(0), CPU)
    seen, then = ((batch[name][:, 0] * 127).round().int() for name in ("seen", "then"))
    assert set(seen.tolist()) == {-4, -3, -2, 2, 3, 4}
    mirrored = seen < 0
    assert then.tolist() == torch.where(mirrored, seen - 1, seen + 1).tolist()
    assert batch["action"].tolist() == ((seen % 2) ^ mirrored).tolist()  # the other direction, seen in a mirror
    assert batch["fallen"].tolist() == (seen.abs() == 4).tolist()


def test_pictures_are_mirrored_from_left_to_right() -> None:
    replay = iir_dqn.Replay(1, (1, 2, 3))
    picture = torch.tensor([[[1, 2, 3], [4, 5, 6]]])
    replay.add(seen=picture, action=0, then=-picture, fallen=False)
    batch = replay.draw(20, torch.Generator().manual_seed(0), CPU)
    assert set(batch["action"].tolist()) == {0, 1}
    for seen, then, action in zip(batch["seen"], batch["then"], batch["action"], strict=True):
        expected = picture.flip(2) if action else picture
        torch.testing.assert_close(seen * 127, expected.float())
        torch.testing.assert_close(then, -seen)


def test_learning_changes_the_network_and_best_is_the_best(tmp_path: Path) -> None:
    torch.manual_seed(0)
    untrained = iir_dqn.network(TINY)
    learner = trained(tmp_path)
    assert len(learner.scores) == 2
    assert not equal(learner.model, untrained)
    assert not equal(learner.target, learner.model)
    best = iir_dqn.play(iir_dqn.decider(learner.best, 1, CPU), "state", range(1_000_000, 1_000_000 + TINY.judges))
    assert np.mean(best) == max(learner.scores)


def test_a_training_goes_on_where_it_was_broken_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    straight = trained(tmp_path / "straight")
    saved = iir_dqn.Learner.save

    def broken_off(learner: iir_dqn.Learner, path: Path, recipe: dict[str, object]) -> None:
        saved(learner, path, recipe)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(iir_dqn.Learner, "save", broken_off)
        with pytest.raises(KeyboardInterrupt):
            trained(tmp_path / "broken")
    assert [path.name for path in (tmp_path / "broken").iterdir()] == ["ann.state.pt"]
    rest = trained(tmp_path / "broken")
    assert rest.scores == straight.scores
    for name in ("model", "target", "best"):
        assert equal(getattr(rest, name), getattr(straight, name))
    assert all(torch.equal(rest.replay.rows[name], row) for name, row in straight.replay.rows.items())
    monkeypatch.setattr(iir_dqn, "_block", lambda *_: pytest.fail("nothing is left to do"))
    assert equal(trained(tmp_path / "broken").best, straight.best)


@pytest.mark.slow
def test_ctrl_c_leaves_whole_files(tmp_path: Path) -> None:
    """Full size, so that it is still at work when it is interrupted."""
    worker = subprocess.Popen(
        [sys.executable, SCRIPT, "--out", tmp_path], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(SCRIPT.parents[1])},
    )  # fmt: skip
    state = tmp_path / "seed-0" / "ann.state.pt"
    while not state.exists():
        assert worker.poll() is None
        time.sleep(0.05)
    worker.send_signal(signal.SIGINT)
    out, err = worker.communicate(timeout=100)
    assert worker.returncode == 130
    assert out == ""
    assert err == "error: interrupted; run it again to go on from the last finished epoch\n"
    assert list((tmp_path / "seed-0").iterdir()) == [state]
    assert not (tmp_path / "results.json").exists()
    assert len(snn.checkpoint.load_document(state)["scores"]) >= 1  # type: ignore[index]


# ------------------------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--episodes", "0"], "--episodes is 0, limit 1 at least; give a number of games"),
        (["--seeds", "1,1"], "--seeds is '1,1'; give whole numbers from 0, each once, such as 0,1,2"),
        (["--device", "abacus"], "--device is 'abacus': .*give cpu, or what torch can use here"),
    ],
)
def test_flags_out_of_range(flags: list[str], sentence: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=sentence):
        iir_dqn.main(["--tiny", "--out", str(tmp_path / "out"), *flags])
    assert not (tmp_path / "out").exists()


def test_a_state_of_another_recipe(tmp_path: Path) -> None:
    trained(tmp_path)
    with pytest.raises(InputError, match=r"ann\.state\.pt: was begun with seed 0 and not 1; give another --out, or"):
        trained(tmp_path, seed=1)
    with pytest.raises(InputError, match=r"was begun with hidden 12 and not 13; give another --out, or remove it"):
        trained(tmp_path, setting=dataclasses.replace(TINY, hidden=13))


def test_damaged_states(tmp_path: Path) -> None:
    path = tmp_path / "ann.state.pt"
    trained(tmp_path)
    state = snn.checkpoint.load_document(path)
    assert isinstance(state, dict)
    torch.save({**state, "model": {}}, path)
    with pytest.raises(InputError, match=r"ann\.state\.pt: does not fit the network \(Error.*\); remove it"):
        trained(tmp_path)
    torch.save({name: value for name, value in state.items() if name != "scores"}, path)
    with pytest.raises(InputError, match=r"is no state of a training; remove it, or give another --out"):
        trained(tmp_path)
    torch.save({"weights": torch.zeros(1)}, path)
    with pytest.raises(InputError, match=r"is no state of a training; remove it, or give another --out"):
        trained(tmp_path)
    path.write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"ann\.state\.pt: is not .*; remove it, or give another --out$"):
        trained(tmp_path)
