"""The cases: what is measured, against whom, and how much faster we want to be. Light: the parent reads it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "build" / "bench"

#: of torch, on either side
THREADS = 2
#: mean spikes per neuron and step to which thresholds are tuned: that of VGG16 at T = 1 in IIR-SNN
RATE = 0.13
LEAK = 0.9
#: networks of the case fuzz
NETWORKS = 10_000


@dataclass(frozen=True)
class Recipe:
    """A VGG16 with seeded weights and tuned thresholds. ``images``: how many it is tuned on, which are those that it
    runs. ``trained``: whether the float weights are kept too, for rivals."""

    name: str
    side: int
    classes: int
    timesteps: int
    images: int
    trained: bool = True


VGG16_T1 = Recipe("vgg16-t1", side=32, classes=10, timesteps=1, images=32)
VGG16_T5 = Recipe("vgg16-t5", side=32, classes=10, timesteps=5, images=32)
VGG16_IMAGENET = Recipe("vgg16-imagenet-t1", side=224, classes=1000, timesteps=1, images=1, trained=False)


@dataclass(frozen=True)
class Case:
    """``ours`` and ``theirs`` are names in ``sides.SIDES`` (theirs None: nobody to compare with). ``want``: the ratio
    that we want; ``most_bytes``: the most memory that ours may take. ``repeat``: how often each side runs."""

    name: str
    against: str
    ours: str
    theirs: str | None
    want: float | None
    repeat: int
    network: Recipe | None = None
    batch: int = 0
    most_bytes: int | None = None


_DIGITS = "our Lava backend: vgg-t5 of `make demo`, all held-out digits, equal in every event"

_CHIP = "from its files to the time of the last step; equal in firings, packets and synaptic events"

CASES: dict[str, Case] = {
    case.name: case
    for case in (
        Case("vgg16-t1", "the ReLU network in torch, fp32, batch 32", "engine", "relu", 3, 30, VGG16_T1, 32),
        Case("vgg16-t1-latency", "the ReLU network in torch, fp32, batch 1", "engine", "relu", 2, 60, VGG16_T1, 1),
        Case("vgg16-t5-torch", "the same SNN in torch, fp32, batch 32", "engine", "torch", 4, 15, VGG16_T5, 32),
        Case(
            "vgg16-t5-spikingjelly", "SpikingJelly LIFNode, multi-step, batch 32; its resets leak, ours do not",
            "engine", "spikingjelly", 4, 15, VGG16_T5, 32,
        ),
        Case("vgg16-t5-snntorch", "snnTorch Leaky, batch 32", "engine", "snntorch", 4, 15, VGG16_T5, 32),
        Case("digits-lava", _DIGITS, "digits-engine", "digits-lava", 100, 7),
        Case(
            "vgg16-imagenet-t1", "nobody: one image of 224 x 224, within 6 GiB of memory",
            "engine", None, None, 10, VGG16_IMAGENET, 1, most_bytes=6 << 30,
        ),
        Case("fuzz", f"the interpreter: {NETWORKS:,} generated networks, 0 mismatches", "fuzz", None, None, 1),
        Case("lava-conv", "Lava's stock Conv, per step", "lava-conv", "stock-conv", 10, 5),
        Case("cycle-sanafe", f"SANA-FE, detailed, {_CHIP}", "chip-exact", "sanafe-exact", 10, 3),
        Case("cycle-sanafe-fast", f"SANA-FE, simple, {_CHIP}", "chip-fast", "sanafe-fast", 10, 3),
    )
}  # fmt: skip
