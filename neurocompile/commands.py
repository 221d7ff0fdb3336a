"""What each command does: files in, files out, and a plain dictionary to print. The work itself is the driver's."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from neurocompile import driver
from neurocompile.backends.base import Progress, Samples
from neurocompile.backends.cycle.stored import from_file, to_bytes
from neurocompile.backends.export import find_format
from neurocompile.costs.activity import Activity
from neurocompile.errors import CapacityError, GraphError, InputError, NeurocompileError, ProfileError
from neurocompile.hardware import Quantity, differences, json_schema, profile_faults, review
from neurocompile.hardware.profile import Profile, load_profile, profile_to_dict
from neurocompile.hardware.target import load_target
from neurocompile.ir.graph import Graph
from neurocompile.ir.interpret import check_fit
from neurocompile.ir.nodes import Array, Shape
from neurocompile.ir.text import to_text
from neurocompile.program import Options, Program, check_free, default_folder, name_errors
from neurocompile.recording import write_npz
from neurocompile.reports import compare as side_by_side
from neurocompile.reports.data import Report, report_data
from neurocompile.reports.drift import FORMAT as DRIFT_FORMAT
from neurocompile.reports.files import render_comparison, render_report
from neurocompile.reports.tabs.accuracy import accuracy_page
from neurocompile.reports.timing import cycle_section, cycle_summary, raster_section, timed_of
from neurocompile.reports.wording import plain
from neurocompile.resources import find_profile, list_profiles, list_targets
from neurocompile.samples import load_labels, load_samples
from neurocompile.timing import Timing, time_run
from neurocompile.verification import SWEEP_SAMPLES, WIDTHS, verify_program
from neurocompile.writing import check_place, whole_file, whole_path, write_all, write_whole

#: gives a progress bar for (what, unit)
Progresses = Callable[[str, str], Progress | None]

#: a run's times, in a program folder
_CYCLE = "cycle.safetensors"
_LARGEST_DRIFT_BYTES = 1 << 24
#: so many of a checkpoint's own samples show what a freshly built program does
_SAMPLE_LIMIT = 64


def build(
    checkpoint: Path,
    *,
    target: str,
    out: Path | None = None,
    force: bool = False,
    calibration: Path | None = None,
    options: Options | None = None,
    model: str | None = None,
    input_shape: Shape | None = None,
    timesteps: int | None = None,
    name: str | None = None,
    dt: float | None = None,
    conventions: str | None = None,
    after_pass: driver.AfterPass | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Compile a checkpoint file into a program folder, with a report on its calibration samples if it has any."""
    start = time.perf_counter()
    chosen = load_target(target)
    if out is not None:
        check_free(out, force=force)
    source = driver.frontend().read_checkpoint(
        checkpoint,
        model=model,
        input_shape=input_shape,
        timesteps=timesteps,
        name=name,
        dt=dt,
        conventions=conventions,
    )
    folder = default_folder(source.graph.name, chosen.name) if out is None else out
    check_free(folder, force=force)
    samples = driver.as_array(_load_for(source.graph, calibration)) if calibration else source.calibration
    program = driver.compile_graph(
        source.graph, chosen, calibration=samples, options=options, after_pass=after_pass, notes=source.notes
    )
    program.save(folder, force=force, also=lambda fresh: _report_on_calibration(program, fresh, progress))
    return {"program": str(folder), **program.summary(), "seconds": time.perf_counter() - start}


def run(
    folder: Path,
    input_file: Path | None,
    labels_file: Path | None,
    limit: int | None,
    *,
    backend: str | None = None,
    timing: str | None = None,
    memory_bytes: int | None = None,
    save: Path | None = None,
    explain: bool = False,
    progress: Progresses | None = None,
) -> dict[str, Any]:
    """Run a file or a folder of samples; the program folder keeps what the network did, for its report.

    The backend "cycle" is the functional one, and says when everything happens on the chip (``timing``: exact or fast).
    ``explain``: the result also has the ``kernels`` of the engine. ``save``: where outputs and all events are written.
    """
    if timing is not None and backend != "cycle":
        raise InputError(f"--timing {timing} is for the cycle engine; give --backend cycle too, or leave it out")
    if explain and backend == "cycle":
        raise InputError("--explain is about kernels of the functional engine; give --backend functional")
    program = Program.load(folder)
    _drift(folder, program)  # where it is damaged, that is told before the work is done
    kernels = {"kernels": driver.explain(program, backend)} if explain else {}
    samples, labels, data = _samples(program, input_file, labels_file, limit)
    if save is not None:
        if save.suffix != ".npz":
            raise InputError(f"--save is {save}; give a file that ends in .npz")
        check_place(save)
    bars = progress or _no_progress
    timed: Timing | None = None
    if backend == "cycle":
        result, timed = time_run(
            program,
            samples,
            labels=labels,
            timing=timing or "exact",
            data=data,
            memory_bytes=memory_bytes,
            progress=bars,
        )
    else:
        result = driver.run(
            program,
            samples,
            labels=labels,
            backend=backend,
            data=data,
            record=save is not None,
            per_sample=True,
            memory_bytes=memory_bytes,
            progress=bars("running", "steps" if backend == "lava" else "samples"),
        )
    if save is not None and result.events is not None:
        with whole_file(save) as file:
            write_npz(file, result.outputs, result.events)
    try:
        write_report(folder, program, result.activity, timed)
    except (OSError, InputError):  # such as a folder that is for reading only: the results count all the same
        recorded = False
    else:
        recorded = True
    found = {} if timed is None else {"backend": "cycle", "cycle": cycle_summary(timed.cycle)}
    return {"program": str(folder), **result.summary(), **found, **kernels, "recorded": recorded}


def verify(
    folder: Path,
    input_file: Path | None,
    labels_file: Path | None,
    limit: int | None,
    *,
    bits: Sequence[int] = WIDTHS,
    quick: bool = False,
    exact_limit: int | None = None,
    sweep_limit: int = SWEEP_SAMPLES,
    progress: Callable[[str], Progress | None] | None = None,
) -> dict[str, Any]:
    """The drift report of a file of samples; the program folder keeps it as drift.json."""
    program = Program.load(folder)
    samples, labels, data = _samples(program, input_file, labels_file, limit)
    drift = verify_program(
        program,
        samples,
        labels=labels,
        bits=bits,
        quick=quick,
        exact_limit=exact_limit,
        sweep_limit=sweep_limit,
        data=data,
        progress=progress,
    )
    result = {"program": str(folder), "graph_hash": program.integer.hash, **drift}
    try:
        write_whole(folder / "drift.json", (json.dumps(result, indent=1, allow_nan=False) + "\n").encode())
    except (OSError, InputError):  # such as a folder that is for reading only: the numbers count all the same
        recorded = False
    else:
        recorded = True
    return {**result, "recorded": recorded}


@dataclass(frozen=True)
class Measured:
    """What a report measures a program with: a file of samples (its own calibration samples, where only another is
    given; its last run, where nothing is), and whether the cycle engine times them, "exact" or "fast"."""

    input_file: Path | None = None
    labels_file: Path | None = None
    limit: int | None = None
    timing: str | None = None


def report(
    folder: Path,
    *,
    profile: str | None = None,
    measured: Measured | None = None,
    beside: Sequence[str] = (),
    files: Mapping[str, Path | None] | None = None,
    progress: Progresses | None = None,
) -> dict[str, Any]:
    """The report of a program on its own or another profile. ``files``: where to write it as "html", "csv" and
    "markdown", all of them or none. ``beside``: program folders, and profiles for this program, that the page compares
    with it."""
    wanted = _wanted(files)
    if beside and "html" not in wanted:
        raise InputError(f"--beside {beside[0]} is for the page; give --html FILE, or use `neurocompile compare`")
    program = Program.load(folder)
    chip = program.profile if profile is None else load_profile(profile)
    measured = measured or Measured()
    (result,), errors = _columns(folder, program, [chip], measured, progress)
    if errors:
        raise errors[0]
    result["drift"] = _drift(folder, program)
    others = _beside(beside, folder, program, measured, progress)
    write_all({path: render_report(form, result, others) for form, path in wanted.items()})
    return result


def _beside(
    names: Sequence[str], folder: Path, program: Program, measured: Measured, progress: Progresses | None
) -> list[Report]:
    """Other programs on their own chips, and ``program`` on other profiles; what a chip cannot hold says why."""
    others = []
    for name in names:
        if Path(name).is_dir():
            columns, errors = _columns(Path(name), Program.load(Path(name)), [], measured, progress)
        else:
            columns, errors = _columns(folder, program, [load_profile(name)], measured, progress)
        if errors and not isinstance(errors[0], CapacityError | GraphError):
            raise errors[0]
        others += columns
    return others


def compare(
    folders: list[Path],
    profiles: list[str],
    *,
    measured: Measured | None = None,
    files: Mapping[str, Path | None] | None = None,
    progress: Progresses | None = None,
) -> dict[str, Any]:
    """Every program on every profile (its own, where none is given), also as ``files`` like those of ``report``.

    A column that fails has its sentence in place of numbers; the first one is raised where all fail, unless they are
    networks that a chip cannot hold, which is an answer.
    """
    wanted = _wanted(files)
    chips = [load_profile(name) for name in profiles]
    programs = [Program.load(folder) for folder in folders]
    reports: list[Report] = []
    failures: list[NeurocompileError] = []
    for folder, program in zip(folders, programs, strict=True):
        columns, errors = _columns(folder, program, chips, measured or Measured(), progress, without_times=True)
        reports += [{**column, "folder": str(folder)} for column in columns]
        failures += errors
    if len(failures) == len(reports) and not any(isinstance(error, CapacityError | GraphError) for error in failures):
        raise failures[0]
    result = {"reports": reports, **side_by_side.compare(reports)}
    write_all({path: render_comparison(form, result) for form, path in wanted.items()})
    return result


def _columns(
    folder: Path,
    program: Program,
    chips: Sequence[Profile],
    measured: Measured,
    progress: Progresses | None,
    *,
    without_times: bool = False,
) -> tuple[list[Report], list[NeurocompileError]]:
    """One program's reports, and the errors of those that are refusals. ``without_times``: chips whose times are
    unknown are not timed, and nothing is refused for that."""
    reports, errors = [], []
    work: Work | None = None
    measuring = (progress or _no_progress)("measuring", "samples")
    for chip in chips or [program.profile]:
        try:
            if measured.timing is not None:
                try:
                    reports.append(_timed_report(program, chip, measured, progress))
                    continue
                except ProfileError:
                    if not without_times:
                        raise
            work = work or _work(folder, program, measured, measuring)
            reports.append(report_elsewhere(program, work, chip, measuring))
        except NeurocompileError as error:
            reports.append(side_by_side.refused(program.name, chip.name, error, program.integer.timesteps))
            errors.append(error)
    return reports, errors


def inspect(folder: Path, stage: str) -> dict[str, Any]:
    """A program's graph in text form."""
    program = Program.load(folder)
    graphs = {"trained": program.trained, "integer": program.integer, "mapped": program.mapped}
    if stage not in graphs:
        raise InputError(f"--stage is {stage!r}; choose one of {', '.join(graphs)}")
    return {"program": str(folder), "stage": stage, "graph_hash": graphs[stage].hash, "text": to_text(graphs[stage])}


def export(folder: Path, format_name: str, *, out: Path | None = None, force: bool = False) -> dict[str, Any]:
    """Write a program in the format of another tool; beside its folder, where ``out`` is left out."""
    chosen = find_format(format_name)
    if out is None:
        whole = folder.resolve()
        out = folder.parent / f"{whole.name}{chosen.suffix}"
    check_place(out)
    if out.exists() and not force:
        raise InputError(f"{out} exists; give --force to replace it, or choose another --out")
    write = chosen.writer()
    program = Program.load(folder)
    with whole_path(out) as unfinished:
        notes = write(program, unfinished)
    return {
        "program": str(folder),
        "format": format_name,
        "file": str(out),
        "bytes": out.stat().st_size,
        "notes": notes,
    }


def profiles(name: str | None) -> dict[str, Any]:
    """All shipped profiles, or one, as plain data."""
    names = list_profiles() if name is None else [name]
    loaded = [load_profile(each) for each in names]
    return {"profiles": [profile_to_dict(each) for each in loaded]}


def check_profile(name_or_path: str) -> dict[str, Any]:
    """Every fault of a profile file, a sentence each; where there is none, what reports will find missing in it."""
    path = find_profile(name_or_path)
    faults = profile_faults(path)
    result: dict[str, Any] = {"file": str(path), "ok": not faults, "faults": list(faults)}
    if not faults:
        profile = load_profile(path)
        result |= {"name": profile.name, "notes": list(profile.notes), **asdict(review(profile))}
    return result


def diff_profiles(a: str, b: str) -> dict[str, Any]:
    """The keys at which two profiles differ; a number comes with unit, basis and source."""
    first, second = load_profile(a), load_profile(b)
    rows = [
        {"key": each.key, "a": _plain_leaf(each.a), "b": _plain_leaf(each.b)} for each in differences(first, second)
    ]
    return {"a": first.name, "b": second.name, "differences": rows}


def _plain_leaf(leaf: object) -> object:
    if isinstance(leaf, Quantity):
        return leaf.model_dump(exclude={"note"})
    return list(leaf) if isinstance(leaf, tuple) else leaf


def profile_schema(out: Path | None, *, force: bool = False) -> dict[str, Any]:
    """The JSON Schema of profiles, written to ``out`` where one is given."""
    schema = json_schema()
    if out is not None:
        if out.exists() and not force:
            raise InputError(f"{out} exists; give --force to replace it, or choose another --out")
        write_whole(out, schema_text(schema).encode())
    return schema


def schema_text(schema: dict[str, Any]) -> str:
    """As it is written to files."""
    return json.dumps(schema, indent=1) + "\n"


def targets(name: str | None) -> dict[str, Any]:
    names = list_targets() if name is None else [name]
    return {"targets": [load_target(each).model_dump(mode="json") for each in names]}


def make_report(program: Program, activity: Activity, timed: Timing | None = None) -> Report:
    """The report of a program on its own chip."""
    graph, mapping, profile = program.mapped, program.mapping, program.profile
    result = report_data(graph, mapping, activity, profile, timed_of(timed.cycle) if timed else None)
    return {
        **result,
        "cycle": timed and cycle_section(timed.cycle, mapping, profile),
        "raster": timed and raster_section(graph, timed.shown),
        "conversion": program.conversion and program.conversion.model_dump(),
    }


def _timed_report(program: Program, chip: Profile, measured: Measured, progress: Progresses | None) -> Report:
    """The report of a run that the cycle engine times here and now."""
    assert measured.timing is not None
    samples, labels, name = _samples(program, measured.input_file, measured.labels_file, measured.limit)
    other = program if chip == program.profile else driver.retarget(program, chip)
    ran, timed = time_run(other, samples, labels=labels, timing=measured.timing, data=name, progress=progress)
    return make_report(other, ran.activity, timed)


def _drift(folder: Path, program: Program) -> dict[str, Any] | None:
    """What verify has written into a program folder; InputError where it is damaged, or of another program."""
    path = folder / "drift.json"
    if not path.is_file():
        return None
    try:
        if path.stat().st_size > _LARGEST_DRIFT_BYTES:
            raise ValueError(f"{path.stat().st_size:,} bytes")
        plain: dict[str, Any] = json.loads(path.read_bytes(), parse_constant=_no_number)
        if plain["format"] != DRIFT_FORMAT:
            raise ValueError(f"format {plain['format']!r:.40}")
        accuracy_page({"drift": plain})
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
        raise InputError(f"{path}: it is damaged ({error!r:.80}); run verify again, or delete it") from None
    if plain.get("graph_hash", program.integer.hash) != program.integer.hash:
        raise InputError(f"{path}: it is of another program; run verify again, or delete it")
    return plain


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is no number")


@dataclass(frozen=True)
class Work:
    """What a program did, and the samples and labels that it did it with where they are known."""

    activity: Activity
    samples: Samples | None = None
    labels: Array | None = None
    timed: Timing | None = None


def report_elsewhere(program: Program, work: Work, chip: Profile, progress: Progress | None = None) -> Report:
    """The report of the same network compiled for ``chip``; CapacityError or GraphError where it cannot be.

    Its spikes are counted anew where the samples are known; else they are those of ``program``, which the report says,
    and where other widths may change its outputs, its accuracy is unknown.
    """
    activity = work.activity
    if chip == program.profile:
        return make_report(program, activity, work.timed)
    other = driver.retarget(program, chip)
    if work.samples is not None:
        ran = driver.run(
            other, work.samples, labels=work.labels, data=activity.data, per_sample=True, progress=progress
        )
        return make_report(other, ran.activity)
    if other.integer.hash == program.integer.hash:
        return make_report(other, activity)
    result = make_report(other, dataclasses.replace(activity, correct=None))
    labels = " and --labels" if activity.correct is not None else ""
    result["notes"].append(
        f"Spikes were counted with {program.profile.name}'s widths, not this chip's; give --input{labels} to count "
        "them with these."
    )
    return result


def write_report(folder: Path, program: Program, activity: Activity, timed: Timing | None = None) -> None:
    """The files of a program folder that depend on what the network did with some data."""
    result = {**make_report(program, activity, timed), "drift": _drift(folder, program)}
    with name_errors(folder), tempfile.TemporaryDirectory(prefix=".neurocompile-", dir=folder) as scratch:
        fresh = Path(scratch)
        activity.save(fresh)
        (fresh / "report.json").write_text(json.dumps(result, indent=1, allow_nan=False) + "\n")
        (fresh / "report.html").write_bytes(render_report("html", result))
        if timed is not None:
            (fresh / _CYCLE).write_bytes(to_bytes(timed.cycle, timed.shown, _run_hash(program, activity)))
        write_all({folder / path.name: path.read_bytes() for path in fresh.iterdir()})
        if timed is None:  # an older run's times do not belong to this one
            (folder / _CYCLE).unlink(missing_ok=True)


def _run_hash(program: Program, activity: Activity) -> str:
    """Of what a timed run was: this program, and what it did."""
    return hashlib.sha256(f"{program.mapped.hash} {program.profile.name} {activity.digest}".encode()).hexdigest()


def _timing(folder: Path, program: Program, activity: Activity) -> Timing | None:
    """The timed run of a program folder, if its last run was one."""
    path = folder / _CYCLE
    found = from_file(path, program.mapped, program.mapping, _run_hash(program, activity)) if path.is_file() else None
    return found and Timing(*found)


def _report_on_calibration(program: Program, folder: Path, progress: Progress | None) -> None:
    """A first report, from a few of the samples that came with the checkpoint."""
    if program.calibration is None:
        return
    few = program.calibration[:_SAMPLE_LIMIT]
    data = f"{len(few)} calibration samples"
    write_report(folder, program, driver.run(program, few, data=data, per_sample=True, progress=progress).activity)


def _wanted(files: Mapping[str, Path | None] | None) -> dict[str, Path]:
    """The files to write; InputError where one cannot be written, before anything is computed."""
    wanted = {form: path for form, path in (files or {}).items() if path is not None}
    seen: dict[Path, str] = {}
    for form, path in wanted.items():
        check_place(path)
        other = seen.setdefault(path.resolve(), form)
        if other != form:
            raise InputError(f"--{other} and --{form} are both {path}; give each a file of its own")
    return wanted


def _samples(
    program: Program, input_file: Path | None, labels_file: Path | None, limit: int | None
) -> tuple[Samples, Array | None, str]:
    """Samples, labels, and what to call them; the program's own calibration samples where no file is given."""
    if input_file is None:
        if program.calibration is None:
            raise InputError(f"program {program.name!r} has no calibration samples; give samples with --input FILE.npy")
        if labels_file is not None:
            raise InputError(f"--labels {labels_file} needs the samples that they belong to; give --input too")
        few = program.calibration[:limit]
        return few, None, f"{len(few)} calibration samples"
    samples = _load_for(program.integer, input_file, limit)
    labels = None if labels_file is None else load_labels(labels_file, len(samples))
    return samples, labels, f"{len(samples)} samples of {plain(input_file.resolve().name)}"


def _load_for(graph: Graph, path: Path, limit: int | None = None) -> Samples:
    """Samples of a file or a folder, of a shape that the graph can take."""
    samples = load_samples(path, limit)
    try:
        check_fit(graph, samples.shape, samples.dtype)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    return samples


def _work(folder: Path, program: Program, measured: Measured, progress: Progress | None) -> Work:
    """What the program does with the samples, or did in its last run."""
    if measured == Measured():
        if not (folder / "activity.json").is_file():
            raise InputError(f"{folder}: no run is recorded, and energy depends on spikes; give --input FILE.npy")
        activity = Activity.load(folder)
        activity.check(program.integer)
        return Work(activity, timed=_timing(folder, program, activity))
    samples, labels, data = _samples(program, measured.input_file, measured.labels_file, measured.limit)
    ran = driver.run(program, samples, labels=labels, data=data, per_sample=True, progress=progress)
    return Work(ran.activity, samples, labels)


def _no_progress(_: str, __: str) -> None:
    return None
