"""A compiled program, in memory and on disk.

A program folder holds ``program.json`` (what it is: target and profile as used, graphs, phases, mapping, hashes) and
``tensors.safetensors`` (every array). The same input gives the same bytes. It is written to a temporary folder beside
its place and renamed, so a killed build leaves nothing half-made.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from collections.abc import Mapping as Map
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from neurocompile.errors import InputError, NeurocompileError
from neurocompile.hardware.document import Document
from neurocompile.hardware.profile import Profile, profile_to_dict
from neurocompile.hardware.target import Target
from neurocompile.ir.graph import Graph
from neurocompile.ir.interpret import check_samples
from neurocompile.ir.nodes import KINDS, Array, Neuron, Relu, Soma
from neurocompile.ir.populations import populations
from neurocompile.ir.saved import from_plain, to_plain
from neurocompile.ir.verify import verify
from neurocompile.mapping.mapping import Mapping
from neurocompile.mapping.stored import fan_out
from neurocompile.mapping.synapses import full_box
from neurocompile.passes.convert import Conversion
from neurocompile.passes.retime import Retime
from neurocompile.passes.scales import PERCENTILE, Quantizer, QuantizerChoices, Scales, check_choices
from neurocompile.reports.conversion import ConversionLoss

FORMAT = "neurocompile.program"
VERSION = 2
#: the first has profiles of fewer keys, and is otherwise the same
_READABLE = (1, VERSION)
_JSON, _TENSORS = "program.json", "tensors.safetensors"
_LARGEST_JSON_BYTES = 1 << 28
_LONGEST_NAME_BYTES = 200


@dataclass(frozen=True)
class Options:
    """What the user may choose about a build. ``bits``: weight bits, 1 to 8 (None: the target's). ``reset_zero``:
    neurons reset to zero instead of by subtraction.

    ``quantizer``: "max", "percentile", "mse" or "calibrated" (None: the target's; where it has none, "calibrated" with
    calibration samples and "max" without). ``scales``: one per "channel", or one per layer, "tensor" (None: the
    target's). ``percentile``: of a channel's |weights|, what is above is clipped, for the quantizer of that name.

    ``convert``: how an ANN of ReLUs becomes a spiking network (None: the network is one)."""

    bits: int | None = None
    reset_zero: bool = False
    quantizer: Quantizer | None = None
    scales: Scales | None = None
    percentile: float = PERCENTILE
    convert: Conversion | None = None

    def __post_init__(self) -> None:
        if self.bits is not None and not 1 <= self.bits <= 8:
            raise InputError(f"bits is {self.bits}; choose from 1 to 8")
        check_choices(self.quantizer, self.scales, self.percentile)

    def quantizer_choices(self, target: Target, *, calibrated: bool) -> QuantizerChoices:
        """What the quantizer is told; ``calibrated``: whether there are calibration samples."""
        quantizer = self.quantizer or target.options.quantizer or ("calibrated" if calibrated else "max")
        return {"quantizer": quantizer, "scales": self.scales or target.options.scales, "percentile": self.percentile}

    def check_unused(self, network: str) -> None:
        """InputError where something is chosen that changes weights or neurons: ``network`` was trained in integers."""
        chosen = {
            "--bits": self.bits,
            "--quantizer": self.quantizer,
            "--scales": self.scales,
            "--percentile": None if self.percentile == PERCENTILE else self.percentile,
            "--reset": "zero" if self.reset_zero else None,
            "--convert": self.convert and self.convert.balance,
        }
        for option, value in chosen.items():
            if value is not None:
                raise InputError(
                    f"{option} is {value}, but {network!r} was trained in integers, which are compiled as they are; "
                    f"leave {option} out"
                )


@dataclass(frozen=True)
class Program:
    """A network compiled for a target.

    ``trained``: the traced float graph; where training was in integers (lava-dl's is), the integer graph itself.
    ``integer``: what the chip computes, all layers within one time step.
    ``calibration``: sample inputs (N, *shape), if the checkpoint or the user gave any. ``options``: how it was built.
    ``notes``: what the user should know about how the network was read.
    ``conversion``: what is lost where ``trained`` is an ANN that was converted, on some of the calibration samples.
    """

    name: str
    target: Target
    profile: Profile
    trained: Graph
    integer: Graph
    mapping: Mapping
    calibration: Array | None = None
    options: Options = Options()
    notes: tuple[str, ...] = ()
    conversion: ConversionLoss | None = None

    @property
    def quantized(self) -> bool:
        """Whether there is a float network, from which the integers were made."""
        return self.trained.stage != "integer"

    @property
    def quantizer_choices(self) -> QuantizerChoices:
        """How the weights got their scales."""
        return self.options.quantizer_choices(self.target, calibrated=self.calibration is not None)

    @property
    def weight_bits(self) -> int:
        """The width that was asked for; without a float network, the largest that there is."""
        if self.quantized:
            return self.target.options.weight_bits if self.options.bits is None else self.options.bits
        return max(
            projection.weighted.weight_bits or 1
            for population in populations(self.integer)
            for projection in population.projections
        )

    @cached_property
    def mapped(self) -> Graph:
        """The integer graph in chip time, with its delays and phases."""
        graph = retime_for(self.profile).run(self.integer)
        verify(graph)
        return graph

    @property
    def phase_steps(self) -> int:
        """Time steps from the input to the last soma: the depth of the pipeline."""
        return max(node.phase for _, node in self.mapped.items() if isinstance(node, Soma))

    @property
    def stateless(self) -> bool:
        """Whether nothing is kept from one time step to the next."""
        return self.integer.timesteps == 1 and not self.integer.of_kind(Neuron)

    def summary(self) -> dict[str, Any]:
        """Facts for people and for ``--json``."""
        all_populations = populations(self.integer)
        return {
            "name": self.name,
            "target": self.target.name,
            "profile": self.profile.name,
            "graph_hash": self.integer.hash,
            "timesteps": self.integer.timesteps,
            "stateless": self.stateless,
            "populations": len(all_populations),
            "neurons": sum(population.neurons for population in all_populations),
            "synapses": sum(
                int(fan_out(projection, full_box(population.shape), self.profile).sum())  # those that are stored
                for population in all_populations
                for projection in population.projections
            ),
            "cores": self.mapping.cores,
            "phase_steps": self.phase_steps,
            "bits": self.weight_bits,
            **(self.quantizer_choices if self.quantized else dict.fromkeys(self.quantizer_choices)),
            "conversion": self.conversion and self.conversion.model_dump(),
            "weight_bits": {
                projection.name: projection.weighted.weight_bits
                for population in all_populations
                for projection in population.projections
            },
            "notes": list(self.notes),
        }

    def save(self, folder: str | Path, *, force: bool = False, also: Callable[[Path], None] | None = None) -> None:
        """Write the program folder; InputError where it exists and not ``force``.

        ``also(folder)`` may write more files into the folder before it gets its name.
        """
        folder = Path(folder)
        check_free(folder, force=force)
        document, arrays = self._to_plain()
        tensors = save_tensors(
            {name: np.ascontiguousarray(array).reshape(array.shape) for name, array in arrays.items()}
        )
        folder = folder.resolve()  # a link stays, and what it points to is replaced
        with name_errors(folder):
            folder.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=".neurocompile-", dir=folder.parent) as scratch:
                fresh = Path(scratch) / "new"
                fresh.mkdir()
                (fresh / _TENSORS).write_bytes(tensors)
                (fresh / _JSON).write_text(json.dumps(document, indent=1) + "\n")
                if also:
                    also(fresh)
                _put(fresh, folder)

    def _to_plain(self) -> tuple[dict[str, Any], dict[str, Array]]:
        arrays: dict[str, Array] = {}
        graphs = {}
        for label, graph in (("trained", self.trained), ("integer", self.integer)):
            graphs[label], its_arrays = to_plain(graph)
            arrays |= {f"{label}/{name}": array for name, array in its_arrays.items()}
        if self.calibration is not None:
            arrays["calibration"] = self.calibration
        document = {
            "format": FORMAT,
            "version": VERSION,
            "name": self.name,
            "target": self.target.model_dump(mode="json"),
            "options": dataclasses.asdict(self.options),
            "conversion": self.conversion and self.conversion.model_dump(),
            "profile": profile_to_dict(self.profile, as_given=True),
            "graphs": graphs,
            "hashes": {"trained": self.trained.hash, "integer": self.integer.hash},
            "phases": {name: node.phase for name, node in self.mapped.items() if isinstance(node, Soma)},
            "mapping": self.mapping.to_plain(),
            "notes": list(self.notes),
        }
        return document, arrays

    @classmethod
    def load(cls, folder: str | Path) -> Program:
        """Read a program folder. InputError where anything is missing, damaged, or written by a newer version."""
        folder = Path(folder)
        document = _read_json(folder)
        if document.get("format") != FORMAT:
            raise InputError(
                f"{folder / _JSON}: its format is {document.get('format')!r}, not {FORMAT}; build it again"
            )
        version = document.get("version")
        if type(version) is not int or version not in _READABLE:
            raise InputError(
                f"{folder}: format version {version!r:.60}, this neurocompile reads {_READABLE[0]} to {VERSION}; "
                "upgrade neurocompile or build the program again"
            )
        document["version"] = VERSION
        tensors = _read_tensors(folder)
        try:
            _complete(document)
            program = cls._from_plain(document, tensors)
        except NeurocompileError as error:
            raise InputError(f"{folder}: {error}") from error
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise InputError(
                f"{folder}: {_JSON} is damaged ({type(error).__name__}: {error}); build it again"
            ) from error
        program._check_unchanged(folder, document, tensors)
        return program

    def _check_unchanged(self, folder: Path, document: Map[str, Any], tensors: Map[str, Array]) -> None:
        """InputError unless the files say what this program would write: nothing more, nothing less."""
        written, arrays = self._to_plain()
        changed = [key for key in sorted(document.keys() | written.keys()) if document.get(key) != written.get(key)]
        changed += sorted(tensors.keys() ^ arrays.keys())
        if changed:
            raise InputError(f"{folder}: {changed[0]!r:.60} is not what the build wrote; build the program again")

    @classmethod
    def _from_plain(cls, document: Map[str, Any], arrays: Map[str, Array]) -> Program:
        graphs = {}
        for label in ("trained", "integer"):
            prefix = f"{label}/"
            own = {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
            graph = from_plain(document["graphs"][label], own)
            verify(graph)
            if graph.hash != document["hashes"][label]:
                raise InputError(f"the {label} graph is not what its hash says; the folder is damaged, build it again")
            graphs[label] = graph
        profile = Profile.from_mapping(document["profile"], f"{_JSON}: profile")
        mapping = Mapping.from_plain(document["mapping"])
        mapping.check(graphs["integer"], profile)
        options, plain_loss = _options(document["options"]), document["conversion"]
        loss = None if plain_loss is None else ConversionLoss.model_validate(plain_loss)
        if len({bool(graphs["trained"].of_kind(Relu)), options.convert is not None, loss is not None}) > 1:
            raise InputError(f"{_JSON}: its options do not say how its ReLUs were converted; build the program again")
        calibration = arrays.get("calibration")
        if calibration is not None:
            check_samples(graphs["trained"], calibration)
        return cls(
            name=check_name(document["name"]),
            target=Target.from_document(Document(f"{_JSON}: target", document["target"])),
            profile=profile,
            trained=graphs["trained"],
            integer=graphs["integer"],
            mapping=mapping,
            calibration=calibration,
            options=options,
            notes=_notes(document["notes"]),
            conversion=loss,
        )


def _complete(document: dict[str, Any]) -> None:
    """Add the choices that a folder of before they were offered does not have, as they were made then."""
    document.setdefault("notes", [])
    if document["options"].keys() == {"bits", "reset_zero"}:
        document["options"] |= {"quantizer": "max", "scales": "channel", "percentile": PERCENTILE}
        document["target"]["options"] |= {"quantizer": None, "scales": "channel"}
    if "convert" not in document["options"]:
        document["options"]["convert"] = None
        document.setdefault("conversion", None)
    for node in (node for graph in document["graphs"].values() for node in graph["nodes"]):
        for field in dataclasses.fields(KINDS[node["kind"]]) if node["kind"] in KINDS else ():
            if field.default is not dataclasses.MISSING:
                default = list(field.default) if isinstance(field.default, tuple) else field.default
                node["fields"].setdefault(field.name, default)


def _notes(plain: object) -> tuple[str, ...]:
    if not isinstance(plain, list) or not all(isinstance(note, str) and note.isprintable() for note in plain):
        raise InputError(f"{_JSON}: notes are {plain!r:.60}; the file is damaged, build the program again")
    return tuple(plain)


def _options(plain: Map[str, Any]) -> Options:
    bits, percentile = plain["bits"], plain["percentile"]
    numbers = (bits is None or type(bits) is int) and type(percentile) in (int, float)
    if not numbers or type(plain["reset_zero"]) is not bool:
        raise InputError(f"{_JSON}: options are {plain!r:.60}; the file is damaged, build the program again")
    convert = None if plain["convert"] is None else Conversion(**plain["convert"])
    return Options(bits, plain["reset_zero"], plain["quantizer"], plain["scales"], percentile, convert)


def retime_for(profile: Profile) -> Retime:
    """The retime pass with the chip's longest delay."""
    longest = profile.neuron.max_delay_steps
    return Retime(None if longest is None else longest.count)


def check_name(name: object) -> str:
    """The name of a program; InputError where it could not be shown."""
    if not isinstance(name, str) or not name or not name.isprintable():
        raise InputError(f"the network's name is {name!r:.60}; it must be printable text, so build with another --name")
    return name


def default_folder(name: str, target: str) -> Path:
    """build/NAME-TARGET; InputError where the name, which comes from the checkpoint, is not that of one folder."""
    folder = f"{check_name(name)}-{target}"
    if "/" in name or os.sep in name or name.startswith(".") or len(os.fsencode(folder)) > _LONGEST_NAME_BYTES:
        raise InputError(
            f"the network's name is {name!r:.60}, which cannot name a folder; give another with --name, or give --out"
        )
    return Path("build") / folder


def check_free(folder: Path, *, force: bool) -> None:
    """InputError unless ``folder`` can be written: it is not there, or it is a program and ``force`` is given."""
    if folder.exists():
        if not (folder / _JSON).is_file():
            raise InputError(f"{folder} exists and is not a neurocompile program; choose another --out")
        if not force:
            raise InputError(f"{folder} exists; give --force to replace it, or choose another --out")
    above = next(parent for parent in folder.resolve().parents if parent.exists())
    if not above.is_dir() or not os.access(above, os.W_OK | os.X_OK):
        raise InputError(f"{folder}: nothing can be written in {above}; choose another --out")


def _put(fresh: Path, folder: Path) -> None:
    """Rename ``fresh`` to ``folder``; what was there goes beside ``fresh``, to be removed with it."""
    aside = fresh.with_name("old")
    try:
        if folder.exists():
            folder.rename(aside)
        fresh.rename(folder)
    except BaseException:
        if aside.exists() and not folder.exists():
            aside.rename(folder)
        raise


@contextlib.contextmanager
def name_errors(path: Path) -> Iterator[None]:
    """An OSError within is told of ``path``, not of the temporary file on the way to it."""
    try:
        yield
    except OSError as error:
        error.filename, error.filename2 = str(path), None
        raise


def _read_json(folder: Path) -> dict[str, Any]:
    path = folder / _JSON
    if not path.is_file():
        raise InputError(f"{folder} is not a neurocompile program: it has no {_JSON}; give the folder that build made")
    size = path.stat().st_size
    if size > _LARGEST_JSON_BYTES:
        raise InputError(f"{path} has {size:,} bytes, limit {_LARGEST_JSON_BYTES:,}; build the program again")
    try:
        document = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not JSON ({error}); the file is damaged, build the program again") from error
    if not isinstance(document, dict):
        raise InputError(f"{path} holds a {type(document).__name__}, not a program; build the program again")
    return document


def _read_tensors(folder: Path) -> dict[str, Array]:
    path = folder / _TENSORS
    if not path.is_file():
        raise InputError(f"{path} is missing; build the program again")
    try:
        # safetensors checks every size that the header claims against the file before it makes an array
        return dict(load_tensors(path.read_bytes()))
    except (SafetensorError, ValueError) as error:
        raise InputError(f"{path} is damaged ({error}); build the program again") from error
