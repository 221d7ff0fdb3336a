"""The command line: one driver call per command. What a command prints with ``--json`` is one object on stdout."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer
import typer.core

from neurocompile.errors import InputError, NeurocompileError
from neurocompile.reports.wording import plain

if TYPE_CHECKING:
    from neurocompile.passes.convert import Conversion

app = typer.Typer(
    name="neurocompile",
    help="Compile trained PyTorch spiking networks for neuromorphic chips.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout and nothing else there.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no summary.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
InputFile = Annotated[
    Path | None,
    typer.Option(
        "--input", help="Samples: .npy, .npz, .pt or a folder of .npy files, (N, C, H, W) or (N, T, C, H, W)."
    ),
]
LabelsFile = Annotated[
    Path | None, typer.Option("--labels", help="Labels: integers (N,), in a file or a folder of .npy files.")
]
Limit = Annotated[int | None, typer.Option("--limit", min=1, help="Use the first so many samples.")]
Html = Annotated[Path | None, typer.Option(help="Write it as one HTML file, for any browser.")]
Csv = Annotated[Path | None, typer.Option(help="Write every number in full as CSV, for pandas and spreadsheets.")]
Markdown = Annotated[Path | None, typer.Option(help="Write it as Markdown tables.")]
Timing = Annotated[
    str | None,
    typer.Option(
        help="How the cycle engine works: exact (every message on the network) or fast (sums of each core); exact if "
        "left out. A report without it takes mean counts, or the last run's times."
    ),
]
ProgramFolder = Annotated[Path, typer.Argument(help="The folder that build made.")]


@app.command()
def build(
    checkpoint: Annotated[
        Path,
        typer.Argument(
            help="A checkpoint of neurocompile.snn.save or of the papers' code, a state dict with --model, a NIR file, "
            "or a network of lava-dl's."
        ),
    ],
    target: Annotated[
        str, typer.Option(help="A target's name or YAML file; see `neurocompile targets`.")
    ] = "loihi2-sim",
    out: Annotated[Path | None, typer.Option(help="The program folder; build/NAME-TARGET if left out.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a program that is already there.")] = False,
    bits: Annotated[int | None, typer.Option(help="Weight bits, 1 to 8; the target's if left out.")] = None,
    quantizer: Annotated[
        str | None,
        typer.Option(
            help="How weights get their scales: max, percentile, mse or calibrated; the target's if left out, else "
            "calibrated where there are samples."
        ),
    ] = None,
    scales: Annotated[
        str | None, typer.Option(help="A scale per output channel, or per layer (tensor); the target's if left out.")
    ] = None,
    percentile: Annotated[
        float | None, typer.Option(help="Weights above it are clipped; 99.9 if left out. With --quantizer percentile.")
    ] = None,
    calibration: Annotated[
        Path | None, typer.Option(help="Typical samples, for the quantizer and to scale analog input.")
    ] = None,
    convert: Annotated[
        bool,
        typer.Option(
            "--convert", help="The network is an ANN: turn its ReLUs into neurons. Needs --calibration samples."
        ),
    ] = False,
    balance: Annotated[
        str | None,
        typer.Option(help="How --convert chooses thresholds: max, percentile or sequential; percentile if left out."),
    ] = None,
    balance_percentile: Annotated[
        float | None, typer.Option(help="Of a layer's activations; 99.9 if left out. With --balance percentile.")
    ] = None,
    balance_per: Annotated[
        str | None, typer.Option(help="One threshold per layer, or per channel; layer if left out. With --convert.")
    ] = None,
    encoder: Annotated[
        str | None,
        typer.Option(help="How samples enter a converted network: direct or poisson; direct if left out."),
    ] = None,
    no_shift: Annotated[
        bool,
        typer.Option("--no-shift", help="With --convert: spike counts are cut off, not rounded (no bias of v/2T)."),
    ] = False,
    reset: Annotated[
        str | None, typer.Option(help="'zero': let neurons reset to zero, which is another network.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="package.module:factory, for a bare state dict.")] = None,
    input_shape: Annotated[str | None, typer.Option(help="Shape of one sample, such as 1,8,8; with --model.")] = None,
    timesteps: Annotated[int | None, typer.Option(min=1, help="Time steps of one presentation.")] = None,
    dt: Annotated[
        float | None, typer.Option(help="Seconds per time step, for NIR files; what the file states if left out.")
    ] = None,
    conventions: Annotated[
        str | None,
        typer.Option(
            help="Whose neurons a NIR file means: nir, snntorch, spikingjelly, norse or sinabs; nir if left out."
        ),
    ] = None,
    name: Annotated[str | None, typer.Option(help="The network's name; the checkpoint's if left out.")] = None,
    print_after: Annotated[
        str | None, typer.Option(help="Print the graph after this pass ('all': after each).")
    ] = None,
    time_passes: Annotated[bool, typer.Option("--time-passes", help="Print how long each pass took.")] = False,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,  # noqa: ARG001 - main() looks for it
) -> None:
    """Compile a checkpoint into a program folder."""
    from neurocompile import commands, terminal
    from neurocompile.console import Bars
    from neurocompile.driver import pass_names
    from neurocompile.passes.scales import PERCENTILE
    from neurocompile.program import Options

    if reset not in (None, "zero"):
        raise InputError(f"--reset is {reset!r}; the only other reset that build offers is zero")
    if percentile is not None and quantizer != "percentile":
        raise InputError("--percentile is for --quantizer percentile; give both, or leave it out")
    conversion = _conversion(
        convert, balance=balance, percentile=balance_percentile, per=balance_per, encoder=encoder, no_shift=no_shift
    )
    options = Options(
        bits=bits,
        reset_zero=reset == "zero",
        quantizer=cast("Any", quantizer),  # Options checks them
        scales=cast("Any", scales),
        percentile=PERCENTILE if percentile is None else percentile,
        convert=conversion,
    )
    watcher = terminal.PassWatcher(pass_names(options), print_after, time_passes=time_passes)
    with Bars(quiet=quiet or as_json) as bars:
        built = commands.build(
            checkpoint,
            target=target,
            out=out,
            force=force,
            calibration=calibration,
            options=options,
            model=model,
            input_shape=_shape(input_shape),
            timesteps=timesteps,
            name=name,
            dt=dt,
            conventions=conventions,
            after_pass=watcher,
            progress=bars.task("measuring", "samples"),
        )
    watcher.finish()
    _emit(built, as_json, quiet, terminal.show_build)


@app.command()
def run(
    program: ProgramFolder,
    input_file: InputFile = None,
    labels: LabelsFile = None,
    limit: Limit = None,
    backend: Annotated[
        str | None,
        typer.Option(
            help="functional, reference, lava, or cycle: functional, and when it all happens on the chip; functional "
            "if left out (reference without torch or numba)."
        ),
    ] = None,
    timing: Timing = None,
    memory: Annotated[
        str | None, typer.Option(help="What the functional engine may take, such as 500MB or 2GiB.")
    ] = None,
    save: Annotated[Path | None, typer.Option(help="Write outputs and spikes to this .npz file.")] = None,
    explain: Annotated[bool, typer.Option("--explain", help="Say what computes each layer, and why.")] = False,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,  # noqa: ARG001
) -> None:
    """Run samples through a program."""
    from neurocompile import commands, terminal
    from neurocompile.console import Bars

    with Bars(quiet=quiet or as_json) as bars:
        result = commands.run(
            program,
            input_file,
            labels,
            limit,
            backend=backend,
            timing=timing,
            memory_bytes=None if memory is None else _bytes(memory),
            save=save,
            explain=explain,
            progress=bars.task,
        )
    _emit(result, as_json, quiet, terminal.show_run)
    if not result["recorded"]:
        print_note(f"{program} cannot be written, so its report does not know of this run; copy it to where it can be")


@app.command()
def verify(
    program: ProgramFolder,
    input_file: InputFile = None,
    labels: LabelsFile = None,
    limit: Limit = None,
    bits: Annotated[str | None, typer.Option(help="Weight bits to try, such as 8,4,2; 8,6,4,3,2 if left out.")] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Leave out where along the depth it is lost, and other weight bits.")
    ] = False,
    exact_limit: Annotated[
        int | None,
        typer.Option(min=1, help="Compare the engines on the first so many samples; at most 512 if left out."),
    ] = None,
    sweep_limit: Annotated[
        int | None,
        typer.Option(min=1, help="Take the first so many samples for what takes many runs; 1000 if left out."),
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,  # noqa: ARG001
) -> None:
    """Compare float with integer layer by layer, and every engine with the interpreter bit for bit."""
    from neurocompile import commands, terminal
    from neurocompile.console import Bars
    from neurocompile.verification import SWEEP_SAMPLES, WIDTHS

    if quick and not (bits is None and sweep_limit is None):
        raise InputError("--quick leaves out the table that --bits and --sweep-limit are for; give one or the other")
    with Bars(quiet=quiet or as_json) as bars:
        result = commands.verify(
            program,
            input_file,
            labels,
            limit,
            bits=WIDTHS if bits is None else _widths(bits),
            quick=quick,
            exact_limit=exact_limit,
            sweep_limit=SWEEP_SAMPLES if sweep_limit is None else sweep_limit,
            progress=bars.task,
        )
    _emit(result, as_json, quiet, terminal.show_verify)
    if not result["recorded"]:
        print_note(f"{program} cannot be written, so it has no drift.json of this; copy it to where it can be")
    if any(engine["state"] == "differs" for engine in result["engines"].values()):
        raise typer.Exit(1)


@app.command()
def report(
    program: ProgramFolder,
    profile: Annotated[str | None, typer.Option(help="Another profile than the program's.")] = None,
    input_file: InputFile = None,
    labels: LabelsFile = None,
    limit: Limit = None,
    timing: Timing = None,
    beside: Annotated[
        list[str] | None,
        typer.Option(help="Program folders, and profiles for this program, that the page of --html compares with it."),
    ] = None,
    html: Html = None,
    csv: Csv = None,
    markdown: Markdown = None,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,  # noqa: ARG001
) -> None:
    """Energy, latency and memory of a program, from what its last run (or --input) did."""
    from neurocompile import commands, terminal
    from neurocompile.console import Bars

    with Bars(quiet=quiet or as_json) as bars:
        result = commands.report(
            program,
            profile=profile,
            measured=commands.Measured(input_file, labels, limit, timing),
            beside=beside or [],
            files={"html": html, "csv": csv, "markdown": markdown},
            progress=bars.task,
        )
    _emit(result, as_json, quiet, terminal.show_report)


@app.command()
def compare(
    programs: Annotated[list[Path], typer.Argument(help="Program folders.")],
    profiles: Annotated[
        list[str] | None, typer.Option(help="Profiles, one or more; each program's own if left out.")
    ] = None,
    input_file: InputFile = None,
    labels: LabelsFile = None,
    limit: Limit = None,
    timing: Timing = None,
    html: Html = None,
    csv: Csv = None,
    markdown: Markdown = None,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,  # noqa: ARG001
) -> None:
    """Put programs and profiles side by side."""
    from neurocompile import commands, terminal
    from neurocompile.console import Bars

    with Bars(quiet=quiet or as_json) as bars:
        result = commands.compare(
            programs,
            profiles or [],
            measured=commands.Measured(input_file, labels, limit, timing),
            files={"html": html, "csv": csv, "markdown": markdown},
            progress=bars.task,
        )
    _emit(result, as_json, quiet, terminal.show_compare)


@app.command()
def inspect(
    program: ProgramFolder,
    stage: Annotated[str, typer.Option(help="trained, integer or mapped.")] = "integer",
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,  # noqa: ARG001
) -> None:
    """Print a program's graph in its stable text form."""
    from neurocompile import commands, terminal

    _emit(commands.inspect(program, stage), as_json, quiet, terminal.show_graph)


@app.command()
def export(
    program: ProgramFolder,
    format_name: Annotated[str, typer.Option("--format", help="nir, netx, sanafe or json.")],
    out: Annotated[
        Path | None, typer.Option(help="The file to write; beside the program's folder if left out.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is already there.")] = False,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,  # noqa: ARG001
) -> None:
    """Write a program in the format of another tool."""
    from neurocompile import commands, terminal

    _emit(commands.export(program, format_name, out=out, force=force), as_json, quiet, terminal.show_export)


class _ProfilesGroup(typer.core.TyperGroup):
    """``profiles`` alone lists them; ``profiles NAME`` shows one."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        words = [each for each in args if not each.startswith("-")]
        if "--help" not in args and not (words and words[0] in self.commands):
            args = ["show" if words else "list", *args]
        return super().parse_args(ctx, args)


profiles_app = typer.Typer(
    name="profiles",
    cls=_ProfilesGroup,
    help="Hardware profiles: list, show (also `profiles NAME`), check, diff, schema.",
)
app.add_typer(profiles_app)

ProfileName = Annotated[str, typer.Argument(help="A profile's name or YAML file.")]


@profiles_app.command("list")
def list_profiles(as_json: Json = False, quiet: Quiet = False, debug: Debug = False) -> None:  # noqa: ARG001
    """List the shipped profiles."""
    from neurocompile import commands, terminal

    _emit(commands.profiles(None), as_json, quiet, terminal.show_profiles)


@profiles_app.command("show")
def show_profile(
    name: ProfileName,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,  # noqa: ARG001
) -> None:
    """Show a profile: its notes, and every fact with its basis and source."""
    from neurocompile import commands, terminal

    _emit(commands.profiles(name), as_json, quiet, terminal.show_profile)


@profiles_app.command("check")
def check_profile(
    file: ProfileName,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,  # noqa: ARG001
) -> None:
    """Tell every fault of a profile file; where there is none, what reports will find missing in it."""
    from neurocompile import commands, terminal

    result = commands.check_profile(file)
    if result["ok"] or as_json:
        _emit(result, as_json, quiet, terminal.show_profile_check)
    else:
        for fault in result["faults"]:
            print_error(fault)
    if not result["ok"]:
        raise typer.Exit(2)


@profiles_app.command("diff")
def diff_profiles(
    a: ProfileName,
    b: ProfileName,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,  # noqa: ARG001
) -> None:
    """Tell the facts in which two profiles differ."""
    from neurocompile import commands, terminal

    _emit(commands.diff_profiles(a, b), as_json, quiet, terminal.show_profile_diff)


@profiles_app.command("schema")
def profile_schema(
    out: Annotated[Path | None, typer.Option(help="The file to write; stdout if left out.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is already there.")] = False,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,  # noqa: ARG001
) -> None:
    """Write the JSON Schema of profiles, which editors complete and check files by."""
    from neurocompile import commands

    schema = commands.profile_schema(out, force=force)
    if as_json:
        sys.stdout.write(json.dumps(schema) + "\n")
    elif out is None and not quiet:
        sys.stdout.write(commands.schema_text(schema))


@app.command()
def targets(
    name: Annotated[str | None, typer.Argument(help="A target's name or YAML file: check it and show it.")] = None,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,  # noqa: ARG001
) -> None:
    """List the targets, or check and show one."""
    from neurocompile import commands, terminal

    _emit(commands.targets(name), as_json, quiet, terminal.show_targets)


@app.command()
def doctor(as_json: Json = False, quiet: Quiet = False, debug: Debug = False) -> None:  # noqa: ARG001
    """Say what of neurocompile's surroundings is here, and how to get what is not."""
    from neurocompile import doctor as examination
    from neurocompile import terminal

    result = examination.examine()
    _emit(result, as_json, quiet, terminal.show_doctor)
    if not result["healthy"]:
        raise typer.Exit(1)


def _version(value: bool) -> None:
    if value:
        from importlib.metadata import version

        typer.echo(version("neurocompile"))
        raise typer.Exit


@app.callback()
def _root(
    _: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")] = False,
) -> None:
    pass


def _conversion(wanted: bool, *, no_shift: bool, **choices: Any) -> Conversion | None:
    from neurocompile.passes.convert import Conversion

    given = {name: value for name, value in choices.items() if value is not None}
    if not wanted:
        for name in (*given, *(["no_shift"] if no_shift else [])):
            flag = {"percentile": "balance-percentile", "per": "balance-per"}.get(name, name.replace("_", "-"))
            raise InputError(f"--{flag} says how --convert works; give both, or leave it out")
        return None
    if "percentile" in given and given.get("balance", "percentile") != "percentile":
        raise InputError("--balance-percentile is for --balance percentile; give both, or leave it out")
    return Conversion(**given, shift=not no_shift)


def _shape(text: str | None) -> tuple[int, ...] | None:
    if text is None:
        return None
    try:
        shape = tuple(int(part) for part in text.split(","))
    except ValueError:
        shape = ()
    if not shape or min(shape) < 1 or len(shape) > 3:
        raise InputError(
            f"--input-shape is {text!r}; give channels,height,width such as 1,8,8, or one number of features"
        )
    return shape


def _widths(text: str) -> tuple[int, ...]:
    try:
        widths = tuple(int(part) for part in text.split(","))
    except ValueError:
        widths = ()
    if not widths or min(widths) < 1 or max(widths) > 8 or len(set(widths)) < len(widths):
        raise InputError(f"--bits is {text!r}; give widths from 1 to 8, each once, such as 8,4,2")
    return widths


def _bytes(text: str) -> int:
    """A size such as 500MB, 1.5GiB or 1000000."""
    powers = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 1 << 10, "MIB": 1 << 20, "GIB": 1 << 30}
    match = re.fullmatch(r"([0-9]{1,18}(?:\.[0-9]{1,9})?) ?([A-Za-z]*)", text.strip())
    size = int(float(match[1]) * powers.get(match[2].upper(), 0)) if match else 0
    if not size:
        raise InputError(
            f"--memory is {text!r}; give a size above 0 in B, KB, MB, GB, KiB, MiB or GiB, such as 500MB or 2GiB"
        )
    return size


def _emit(result: dict[str, Any], as_json: bool, quiet: bool, show: Callable[[dict[str, Any]], None]) -> None:
    if as_json:
        sys.stdout.write(json.dumps(result, allow_nan=False) + "\n")
    elif not quiet:
        show(result)


def _spread(arguments: Sequence[str]) -> list[str]:
    """``--profiles a b c`` as ``--profiles a --profiles b --profiles c``: an option takes one value here."""
    spread: list[str] = []
    taking = ""
    for argument in arguments:
        if taking and spread[-1] != taking and not argument.startswith("-"):
            spread.append(taking)
        if argument.startswith("-"):
            taking = argument if argument in ("--profiles", "--beside") else ""
        spread.append(argument)
    return spread


def print_error(message: str) -> None:
    print(f"error: {_one_line(message)}", file=sys.stderr)


def print_note(message: str) -> None:
    print(f"note: {_one_line(message)}", file=sys.stderr)


def _one_line(message: str) -> str:
    """Messages quote files and other people's exceptions; none takes a second line or steers the terminal."""
    return plain(" ".join(line.strip() for line in message.splitlines() if line.strip()))


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit: 0, 1 for a fault of ours, 2 for what the user can mend, 130 for Ctrl-C."""
    words = _spread(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    debug = "--debug" in words
    status = 0
    for name in ("stdout", "stderr"):  # closed from the beginning: Python has None then, which nobody can write to
        if getattr(sys, name) is None:
            setattr(sys, name, io.StringIO())
    try:
        from neurocompile.console import orderly_signals

        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="backslashreplace")  # whatever a file is called, it can be shown
        # not the command's main(), which has a mind of its own about interrupts
        with orderly_signals(), typer.main.get_command(app).make_context("neurocompile", words) as context:
            context.command.invoke(context)
        sys.stdout.flush()
    except typer.Exit as exit:
        status = exit.exit_code
    except NeurocompileError as error:
        if debug:
            traceback.print_exc()
        print_error(str(error))
        status = error.exit_status
    except KeyboardInterrupt:
        print_error("interrupted; nothing was left behind")
        status = 130
    except BrokenPipeError:
        # whoever read our output has seen enough; what is still in the buffer goes nowhere
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        if debug:
            traceback.print_exc()
        where = f"{error.filename}: " if error.filename else ""
        print_error(f"{where}{error.strerror or error}; check the path, its permissions and the free space")
        status = 2
    except MemoryError:
        print_error("not enough memory; use a smaller --limit or a smaller network")
        status = 2
    except Exception as error:
        # typer's own errors (wrong flags) know their status and say it in one sentence
        if hasattr(error, "format_message") and hasattr(error, "exit_code"):
            print_error(f"{error.format_message().rstrip('.')}; see --help")
            status = error.exit_code
        else:
            if debug:
                traceback.print_exc()
            print_error(
                f"a fault of neurocompile: {type(error).__name__}: {error}; run it again with --debug and report that"
            )
            status = 1
    if arguments is None:
        for name in ("SIGINT", "SIGTERM", "SIGHUP"):  # all is done; Python's own way out is not to be interrupted
            if hasattr(signal, name):
                signal.signal(getattr(signal, name), signal.SIG_IGN)
    raise SystemExit(status)
