"""``run --backend cycle`` and ``report --timing``: times in the program folder, in reports, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cli_cases import Result, edited_profile
from safetensors import safe_open
from safetensors.numpy import save

Cli = Callable[..., Result]
CYCLE = ("run", "program", "--input", "x.npy", "--backend", "cycle")


def test_a_run_is_timed_and_its_report_knows(cli: Cli, place: Path) -> None:
    ran = cli(*CYCLE, "--labels", "y.npy", "--json").json
    plain = cli("run", "program", "--input", "x.npy", "--labels", "y.npy", "--backend", "reference", "--json").json
    for key in ("samples", "accuracy", "spikes", "spike_hash", "output_hash"):
        assert ran[key] == plain[key]  # times change no result
    assert "cycle" not in plain
    assert cli(*CYCLE).status == 0
    report = cli("report", "program", "--json").json
    cycle = report["cycle"]
    assert (cycle["timing"], cycle["unit"], cycle["samples"]) == ("exact", "ns", 6)
    assert cycle["total"] == ran["cycle"]["total"] >= ran["cycle"]["fast_total"] > 0
    assert report["latency_ns"] == pytest.approx(cycle["latency"]["mean"])
    assert report["latency_ns"] == pytest.approx(ran["cycle"]["latency"]["mean"])
    saved = json.loads((place / "program" / "report.json").read_text())
    assert saved["cycle"] == cycle
    assert saved["raster"] == report["raster"]
    assert 'id="timeline"' in (place / "program" / "report.html").read_text()


def test_messages_are_received_and_every_core_accounts_for_the_whole_run(cli: Cli) -> None:
    assert cli(*CYCLE).status == 0
    cycle = cli("report", "program", "--json").json["cycle"]
    sent = sum(core["messages_out"] for core in cycle["cores"])
    assert 0 < sent <= sum(core["messages_in"] for core in cycle["cores"])  # the rest comes from off the chip
    for core in cycle["cores"]:
        parts = [core[name] for name in ("sending", "receiving", "stalled", "idle")]
        assert min(parts) >= 0
        assert sum(parts) == pytest.approx(cycle["engines"] * cycle["total"])


def test_the_summary_has_times(cli: Cli) -> None:
    shown = cli(*CYCLE).out
    for row in ("on the chip, all of it", "latency of a sample", "throughput", "without the network"):
        assert row in shown
    assert "without the network" not in cli(*CYCLE, "--timing", "fast").out


def test_a_run_without_times_puts_an_older_one_away(cli: Cli, place: Path) -> None:
    assert cli(*CYCLE).status == 0
    assert (place / "program" / "cycle.safetensors").is_file()
    cli("run", "program", "--input", "x.npy")
    assert not (place / "program" / "cycle.safetensors").exists()
    assert cli("report", "program", "--json").json["cycle"] is None


def test_times_of_another_run_do_not_count(cli: Cli, place: Path) -> None:
    assert cli(*CYCLE).status == 0
    times = (place / "program" / "cycle.safetensors").read_bytes()
    cli("run", "program", "--input", "x.npy", "--limit", "3")
    (place / "program" / "cycle.safetensors").write_bytes(times)
    assert cli("report", "program", "--json").json["cycle"] is None


def test_a_report_times_samples_itself_on_any_profile(cli: Cli, place: Path) -> None:
    edited_profile(place, "  overlap: true", "  overlap: false")
    words = ("report", "program", "--input", "x.npy", "--profile", "./chip.yaml", "--json", "--timing")
    exact, fast = (cli(*words, how).json for how in ("exact", "fast"))
    assert exact["cycle"]["engines"] == fast["cycle"]["engines"] == 1
    assert exact["cycle"]["fast_total"] == fast["cycle"]["total"]
    assert fast["cycle"]["difference"] is None
    assert exact["cycle"]["difference"] == pytest.approx(exact["cycle"]["total"] / exact["cycle"]["fast_total"])


def test_the_page_has_other_chips_and_programs_beside_it(cli: Cli, place: Path) -> None:
    words = ("report", "program", "--input", "x.npy", "--html", "r.html", "--beside")
    assert cli(*words, "cmos45-int32", "odin", "program", "-q").status == 0
    page = (place / "r.html").read_text()
    assert 'id="compare"' in page
    assert page.count("tiny on cmos45-int32, T = 3") > 1
    assert "tiny on odin" in page  # which cannot hold it, and says why
    cli(*words, "nothing-like-it").refused("nothing-like-it")
    cli("report", "program", "--beside", "odin").refused("--beside odin is for the page; give --html FILE")


def test_a_comparison_times_what_has_times(cli: Cli) -> None:
    words = ("compare", "program", "--input", "x.npy", "--timing", "fast", "--json", "--profiles")
    timed, untimed = cli(*words, "loihi2", "cmos45-int32").json["reports"]
    assert timed["cycle"]["timing"] == "fast"
    assert timed["latency_ns"] == pytest.approx(timed["cycle"]["latency"]["mean"])
    assert untimed["cycle"] is None
    assert untimed["counters"]["spikes"] == timed["counters"]["spikes"]
    assert "error" not in untimed


REFUSED: dict[str, tuple[tuple[Any, ...], str]] = {
    "timing of another engine": (("run", "program", "--timing", "fast"), "give --backend cycle too"),
    "unknown timing": ((*CYCLE, "--timing", "slow"), "--timing is 'slow'; choose exact or fast"),
    "kernels": ((*CYCLE, "--explain"), "give --backend functional"),
    "unknown timing of a report": (("report", "program", "--timing", "x"), "--timing is 'x'; choose exact or fast"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(cli: Cli, case: str) -> None:
    words, message = REFUSED[case]
    cli(*words).refused(message)


def test_a_profile_without_times(cli: Cli, place: Path) -> None:
    edited_profile(place, "    time_ns: {value: 3.5,", "    time_ns: null #")
    refusal = cli("report", "program", "--input", "x.npy", "--timing", "fast", "--profile", "./chip.yaml")
    refusal.refused("the cycle engine needs events.synaptic_op.time_ns, which the profile does not know")


def test_more_than_memory_holds(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("neurocompile.timing.MOST_BYTES", 1000)
    cli(*CYCLE).refused("6 samples of 432 bytes each", "give --limit 2 or less")
    monkeypatch.setattr("neurocompile.timing.MOST_BYTES", 400)
    cli(*CYCLE).refused("(400); build it with fewer time steps")


@pytest.mark.parametrize("damage", ["half", "text", "other arrays", "times beyond all runs"])
def test_damaged_times_are_refused(cli: Cli, place: Path, damage: str) -> None:
    assert cli(*CYCLE).status == 0
    path = place / "program" / "cycle.safetensors"
    whole = path.read_bytes()
    broken = {"half": whole[: len(whole) // 2], "text": b"nothing", "other arrays": save({"visits": np.zeros(3)})}
    with safe_open(path, framework="numpy") as file:
        arrays, metadata = {name: file.get_tensor(name) for name in file.keys()}, file.metadata()  # noqa: SIM118
    broken["times beyond all runs"] = save({**arrays, "sample_latency": arrays["sample_latency"] + 1e200}, metadata)
    path.write_bytes(broken[damage])
    cli("report", "program").refused("cycle.safetensors: ", "again")


def _with(**changes: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda drift: {**drift, **changes}


DRIFTS: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "another thing": (lambda _: {"conclusion": 3}, "drift.json: it is damaged"),
    "no object": (lambda _: [], "drift.json: it is damaged"),
    "another format": (_with(format="neurocompile.drift/9"), "damaged (ValueError(\"format 'neurocompile.drift/9'\"))"),
    "no number": (_with(accuracy_float=float("nan")), "drift.json: it is damaged (ValueError('NaN is no number'))"),
    "a table of lists": (_with(engines={"lava": {"state": [[]], "samples": {}}}), "drift.json: it is damaged"),
    "another program": (_with(graph_hash="0"), "drift.json: it is of another program"),
}


@pytest.mark.parametrize("case", DRIFTS)
def test_damaged_drift_is_refused(cli: Cli, place: Path, case: str) -> None:
    path, (change, says) = place / "program/drift.json", DRIFTS[case]
    cli("run", "program", "--input", "x.npy")
    cli("verify", "program", "--input", "x.npy", "--quick")
    assert cli("report", "program", "--json").json["drift"]["graph_hash"]
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
    cli("report", "program").refused(says, "; run verify again, or delete it")


def test_drift_from_before_it_said_of_which_program_it_is(cli: Cli, place: Path) -> None:
    path = place / "program/drift.json"
    cli("verify", "program", "--input", "x.npy", "--quick")
    drift = json.loads(path.read_text())
    del drift["graph_hash"]
    path.write_text(json.dumps(drift))
    assert cli("report", "program", "--input", "x.npy", "--json").json["drift"] == drift


@pytest.mark.parametrize("moment", range(5))
def test_an_interrupt_while_the_results_are_put_in_place(
    cli: Cli, place: Path, monkeypatch: pytest.MonkeyPatch, moment: int
) -> None:
    cli(*CYCLE, "--limit", "2")
    before = {path.name: path.read_bytes() for path in (place / "program").iterdir()}
    replace, calls = Path.replace, []

    def interrupted(self: Path, target: Path) -> Path:
        if target.parent == Path("program") and not self.name.endswith(".before"):
            calls.append(target.name)
            if len(calls) == moment + 1:
                raise KeyboardInterrupt
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", interrupted)
    cli(*CYCLE).refused("interrupted; nothing was left behind", status=130)
    assert len(calls) == moment + 1
    assert {path.name: path.read_bytes() for path in (place / "program").iterdir()} == before


def test_damaged_drift_is_told_before_a_run(cli: Cli, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("neurocompile.commands.time_run", lambda *_, **__: pytest.fail("it was run"))
    (place / "program/drift.json").write_text("[]")
    cli(*CYCLE).refused("drift.json: it is damaged", "run verify again, or delete it")
