"""What can be brought in, from other frameworks and of our own, and what is refused and why: the README's table is made
of it.

Every row is tried by the tests of its framework: ``code`` is evaluated there, to the parts of a network, with the names
of the framework; samples have ``shape``. A supported row gives every spike of the network itself (of NIR, which runs
nothing: of its equations, stepped by hand); a refused one is refused with its reason, which says what to use instead.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import groupby

Shape = tuple[int, ...]

#: what the rows were tried with
VERSIONS = {
    "snnTorch": "1.0.0",
    "SpikingJelly": "2.0.0",
    "Norse": "1.1.0",
    "Sinabs": "3.1.3",
    "lava-dl SLAYER": "0.6.0",
    "lava-dl netx": "0.6.0",
    "NIR": "1.0",
}


@dataclass(frozen=True)
class Row:
    framework: str
    layer: str
    #: the reset, and other settings that matter
    setting: str
    code: str
    shape: Shape = (5,)
    #: why it is refused; empty: it is supported
    refused: str = ""

    def __str__(self) -> str:
        return f"{self.layer} {self.setting}".strip()


def _snntorch(layer: str, setting: str, code: str, refused: str = "", shape: Shape = (5,)) -> Row:
    before = f"nn.Linear({shape[0]}, 4)" if len(shape) == 1 else f"nn.Conv2d({shape[0]}, 3, 3)"
    return Row("snnTorch", layer, setting, f"[{before}, snn.{layer}({code})]", shape, refused)


def _node(layer: str, setting: str, code: str, refused: str = "", shape: Shape = (5,)) -> Row:
    before = f"layer.Linear({shape[0]}, 4)" if len(shape) == 1 else f"layer.Conv2d({shape[0]}, 3, 3)"
    return Row("SpikingJelly", layer, setting, f"[{before}, neuron.{layer}({code})]", shape, refused)


def _layer(layer: str, code: str, shape: Shape, setting: str = "", refused: str = "") -> Row:
    return Row("SpikingJelly", layer, setting, f"[{code}]", shape, refused)


def _norse(layer: str, setting: str, code: str, refused: str = "", shape: Shape = (5,)) -> Row:
    before = f"nn.Linear({shape[0]}, 4)" if len(shape) == 1 else f"nn.Conv2d({shape[0]}, 3, 3)"
    return Row("Norse", layer, setting, f"[{before}, norse.{layer}({code})]", shape, refused)


_ONCE = "subtract with reset_delay=False, membranes below two thresholds"
_LSTM = "its gates multiply states by each other; use RSynaptic or RLeaky"
_RATE = "choose R*C of at least time_step (beta of at least 0.368)"
_RESETS = ("subtract", "zero", "none")

SNNTORCH = [
    *(_snntorch("Leaky", reset, f"0.5, reset_mechanism='{reset}'") for reset in _RESETS),
    _snntorch("Leaky", "reset_delay=False with zero or none", "0.5, reset_mechanism='zero', reset_delay=False"),
    _snntorch("Leaky", "beta and threshold per neuron, learned", "torch.tensor([.5, .25, 1., 2.]), learn_beta=True"),
    _snntorch("Leaky", "graded_spikes_factor", "0.5, graded_spikes_factor=0.25"),
    _snntorch("Leaky", "init_hidden, output", "0.5, init_hidden=True, output=True"),
    _snntorch("Leaky", "maps, beta per channel", "torch.tensor([.5, .25, 1.]).reshape(3, 1, 1)", shape=(2, 4, 4)),
    _snntorch("Leaky", _ONCE, "0.5, threshold=4.0, reset_delay=False"),
    _snntorch(
        "Leaky",
        "inhibition",
        "0.5, inhibition=True",
        "inhibition lets only the largest membrane of a layer fire; set inhibition=False",
    ),
    _snntorch(
        "Leaky",
        "state_quant",
        "0.5, state_quant=lambda x: x.round()",
        "state_quant rounds the membrane to levels; set state_quant=False",
    ),
    *(_snntorch("Lapicque", reset, f"R=1.0, C=2.0, time_step=1, reset_mechanism='{reset}'") for reset in _RESETS),
    _snntorch("Lapicque", "beta below 0.368", "beta=0.25", _RATE),
    *(_snntorch("Synaptic", reset, f"0.5, 0.75, reset_mechanism='{reset}'") for reset in _RESETS),
    _snntorch(
        "Synaptic", "reset_delay=False with zero or none", "0.5, 0.75, reset_mechanism='zero', reset_delay=False"
    ),
    _snntorch("Synaptic", _ONCE, "0.5, 0.75, threshold=8.0, reset_delay=False"),
    *(_snntorch("RLeaky", reset, f"0.5, linear_features=4, reset_mechanism='{reset}'") for reset in _RESETS),
    _snntorch("RLeaky", "all_to_all with a convolution", "0.5, conv2d_channels=3, kernel_size=3", shape=(2, 4, 4)),
    _snntorch("RLeaky", "all_to_all=False", "0.5, V=torch.tensor([.5, -.5, 1., -1.]), all_to_all=False"),
    _snntorch("RLeaky", _ONCE, "0.5, linear_features=4, threshold=4.0, reset_delay=False"),
    *(_snntorch("RSynaptic", reset, f"0.5, 0.5, linear_features=4, reset_mechanism='{reset}'") for reset in _RESETS),
    _snntorch("RSynaptic", "all_to_all=False", "0.5, 0.5, V=0.5, all_to_all=False"),
    _snntorch(
        "RSynaptic",
        "reset_delay=False",
        "0.5, 0.5, linear_features=4, reset_delay=False",
        "RSynaptic ignores reset_delay=False or fails with it; set reset_delay=True",
    ),
    _snntorch("StateLeaky", "none, all steps at once", "0.5, 4"),
    _snntorch(
        "StateLeaky",
        "kernel_truncation_steps below T",
        "0.5, 4, kernel_truncation_steps=2",
        "forgets earlier steps; set it to None or to the time steps",
    ),
    Row("snnTorch", "LinearLeaky", "none, all steps at once", "[nn.Identity(), snn.LinearLeaky(0.5, 5, 4)]"),
    Row(
        "snnTorch",
        "BatchNormTT1d, BatchNormTT2d",
        "",
        "[Normed(snn.BatchNormTT1d(5, 4)), snn.Leaky(0.5)]",
        refused="let every time step do the same",
    ),
    _snntorch("Alpha", "", "0.75, 0.5", "its membrane is the difference of two currents; use Synaptic"),
    _snntorch("DeltaLeaky", "", "beta=0.5", "it fires on changes of its membrane (sigma-delta); use Leaky"),
    _snntorch("LeakyParallel", "", "4, 4", "it clips membranes at zero and mixes them by a matrix; use StateLeaky"),
    _snntorch("AssociativeLeaky", "", "4, 2, 2, 4", "its leaks depend on its input; use StateLeaky or Synaptic"),
    _snntorch("SLSTM", "", "4, 4", _LSTM),
    _snntorch("SConv2dLSTM", "", "3, 3, 3", _LSTM, shape=(2, 4, 4)),
]

_SEVERAL = "its weights join all time steps; use LIFNode or ParametricLIFNode"
_CURVED = "its charge is no linear function of the membrane; use LIFNode or ParametricLIFNode"
_PER_STEP = "it has other parameters at every time step; use BatchNorm2d or ThresholdDependentBatchNorm2d"
_RANDOM = (
    "it draws from torch's random numbers, which no chip repeats; take it out and use neurocompile.snn.PoissonEncoder"
)
_TIMED = "when it fires is coded in the step; take it out, encode the samples beforehand"
_ATTENTION = "it multiplies activations by each other; use layers of fixed weights"
_GATES = "its gates multiply states by each other, or its spikes have no membrane; use LinearRecurrentContainer"
_BACK = "its spikes come back through a convolution of its own; use LinearRecurrentContainer"
_STEPPED = "its thresholds change with the step; use IFNode"
_NOISY = "it adds noise in training; use the same neuron without noise"
_DIVIDED = "it fires at alpha thresholds and subtracts one; use IFNode"
_SOFT, _HARD, _ELSEWHERE = "v_reset=None", "v_reset=0.0", "v_reset=-0.25"
_KINDS = (("soft", _SOFT), ("hard", _HARD), ("hard, v_reset not 0", _ELSEWHERE))
_IF = "neuron.IFNode()"

SPIKINGJELLY = [
    *(_node("IFNode", name, code) for name, code in _KINDS),
    _node("IFNode", "maps", "v_reset=None", shape=(2, 4, 4)),
    *(_node("LIFNode", name, f"tau=4.0, {code}") for name, code in _KINDS),
    _node("LIFNode", "decay_input=False", "tau=4.0, decay_input=False, v_reset=-0.5"),
    _node("LIFNode", "store_v_seq", "store_v_seq=True"),
    Row(
        "SpikingJelly",
        "IFNode",
        "v_threshold=inf, read as v",
        "Silent(layer.Linear(5, 4), neuron.IFNode(), layer.Linear(4, 3), neuron.IFNode(v_threshold=float('inf')))",
    ),
    Row(
        "SpikingJelly",
        "LIFNode",
        "v_threshold=inf, read as v",
        "Silent(layer.Linear(5, 4), neuron.IFNode(), layer.Linear(4, 3), neuron.LIFNode(v_threshold=float('inf')))",
    ),
    _node(
        "LIFNode",
        "v_threshold=inf with v_reset=None",
        "v_threshold=float('inf'), v_reset=None",
        "v_threshold=inf with v_reset=None makes its membrane NaN; use v_reset=0.0",
    ),
    _node(
        "LIFNode",
        "a surrogate that is not spiking",
        "surrogate_function=surrogate.Sigmoid(spiking=False)",
        "its spike function is not a step from 0 to 1; use a surrogate of the framework in spiking mode",
    ),
    *(_node("ParametricLIFNode", name, code) for name, code in _KINDS),
    _node("ParametricLIFNode", "decay_input=False", "decay_input=False, v_reset=None"),
    *(_node("CUBALIFNode", name, code) for name, code in _KINDS[:2]),
    _node("CUBALIFNode", "hard, v_reset not 0", _ELSEWHERE, "its membrane starts at -0.25, where it does not rest"),
    *(_node("TernaryIFNode", name, code) for name, code in _KINDS[:2]),
    _node("TernaryIFNode", "hard, v_reset not 0", _ELSEWHERE, "its membrane starts at -0.25, where it does not rest"),
    *(_node("TernaryLIFNode", name, code) for name, code in _KINDS[:2]),
    *(_node("SimpleIFNode", name, code) for name, code in _KINDS),
    _node("SimpleLIFNode", "hard", "tau=2.0, decay_input=True"),
    _node(
        "SimpleLIFNode",
        "hard, v_reset not 0",
        f"tau=2.0, decay_input=True, {_ELSEWHERE}",
        "its membrane starts at 0 and leaks towards v_reset=-0.25; use LIFNode, which starts there",
    ),
    _node("OTTTLIFNode", "soft", "tau=2.0"),
    _node("SLTTLIFNode", "hard", "tau=2.0"),
    Row(
        "SpikingJelly",
        "NonSpikingIFNode",
        "decode='last_mem'",
        "[layer.Linear(5, 4), neuron.IFNode(), layer.Linear(4, 3), neuron.NonSpikingIFNode('last_mem')]",
    ),
    Row(
        "SpikingJelly",
        "NonSpikingLIFNode",
        "decode='last_mem'",
        "[layer.Linear(5, 4), neuron.IFNode(), layer.Linear(4, 3), neuron.NonSpikingLIFNode(4.0, 'last_mem')]",
    ),
    _node(
        "NonSpikingLIFNode",
        "decode='max-mem'",
        "decode='max-mem'",
        "looks for the largest membrane of all steps; use 'last_mem'",
    ),
    _node(
        "NonSpikingLIFNode",
        "decode='mean-mem'",
        "decode='mean-mem'",
        "the result sums its membrane over the time steps",
    ),
    _node("HalfThresholdIFNode", "", "", "its membrane starts at half its threshold; use IFNode"),
    _node("ActivationAwareIFNode", "", "", "it fires at another value than it subtracts; use IFNode"),
    _node("ILIFNode", "", "", "its spike counts are rounded to the nearest; use LIFNode"),
    _node("QIFNode", "", "", _CURVED),
    _node("EIFNode", "", "", _CURVED),
    _node("IzhikevichNode", "", "", _CURVED),
    _node("RAFNode", "", "", "its two states turn into each other; use LIFNode"),
    _node(
        "GatedLIFNode", "", "4, 3", "its input has another weight at every time step; use ParametricLIFNode", (2, 4, 4)
    ),
    _node("KLIFNode", "", "", "it clips its membrane at zero before it fires; use ParametricLIFNode"),
    _node("ComplementaryLIFNode", "", "", "a second state changes its membrane; use LIFNode or CUBALIFNode"),
    _node("LIAFNode", "", "torch.relu, False", "it sends analog values of its membrane; use LIFNode"),
    _node("PSN", "", "4", _SEVERAL),
    _node("MaskedPSN", "", "2, 4", _SEVERAL),
    _node("SlidingPSN", "", "2", _SEVERAL),
    _node("MPBNLIFNode", "", "out_features=4", "it normalises its membrane; put a BatchNorm before a LIFNode"),
    _node("DSRIFNode", "", "", _DIVIDED),
    _node("DSRLIFNode", "", "", _DIVIDED),
    _node("ILCIFNode", "", "2, 2", _BACK),
    _node("ILCLIFNode", "", "2, 2", _BACK),
    _node("ILCCUBALIFNode", "", "2, 2", _BACK),
    _node("STBIFNode", "", "1.0, 4", "it takes back spikes up to what it has sent; use TernaryIFNode"),
    _layer("Conv1d", f"layer.Conv1d(2, 3, 3, padding=1), {_IF}", (2, 6)),
    _layer("Conv2d", f"layer.Conv2d(2, 4, 3, stride=2, padding=1, groups=2), {_IF}", (2, 5, 4)),
    _layer("WSConv2d", f"layer.WSConv2d(2, 3, 3), {_IF}", (2, 4, 4)),
    _layer("Linear", f"layer.Linear(5, 4), {_IF}", (5,)),
    _layer("WSLinear", f"layer.WSLinear(5, 4), {_IF}", (5,)),
    _layer("ConvTranspose1d", f"layer.ConvTranspose1d(2, 3, 3, stride=2), {_IF}", (2, 4)),
    _layer("ConvTranspose2d", f"layer.ConvTranspose2d(2, 3, 3, stride=2, output_padding=1), {_IF}", (2, 3, 3)),
    _layer("BatchNorm1d", f"layer.Linear(5, 4), layer.BatchNorm1d(4), {_IF}", (5,)),
    _layer("BatchNorm2d", f"layer.Conv2d(2, 3, 1), layer.BatchNorm2d(3), {_IF}", (2, 4, 4)),
    _layer(
        "ThresholdDependentBatchNorm1d",
        f"layer.Linear(5, 4), layer.ThresholdDependentBatchNorm1d(1., 1., 4), {_IF}",
        (5,),
    ),
    _layer(
        "ThresholdDependentBatchNorm2d",
        f"layer.Conv2d(2, 3, 1), layer.ThresholdDependentBatchNorm2d(1., 1., 3), {_IF}",
        (2, 4, 4),
    ),
    _layer("AvgPool1d", f"layer.Conv1d(2, 3, 1), {_IF}, layer.AvgPool1d(2), layer.Conv1d(3, 2, 1), {_IF}", (2, 4)),
    _layer("AvgPool2d", f"layer.Conv2d(2, 3, 1), {_IF}, layer.AvgPool2d(2), layer.Conv2d(3, 2, 1), {_IF}", (2, 4, 4)),
    _layer("AdaptiveAvgPool2d", f"layer.Conv2d(2, 3, 1), layer.AdaptiveAvgPool2d(2), {_IF}", (2, 4, 4)),
    _layer("MaxPool1d", f"layer.Conv1d(2, 3, 1), {_IF}, layer.MaxPool1d(2), layer.Conv1d(3, 2, 1), {_IF}", (2, 4)),
    _layer("MaxPool2d", f"layer.Conv2d(2, 3, 1), {_IF}, layer.MaxPool2d(2), layer.Conv2d(3, 2, 1), {_IF}", (2, 4, 4)),
    _layer("Flatten", f"layer.Conv2d(2, 3, 1), {_IF}, layer.Flatten(), layer.Linear(12, 4), {_IF}", (2, 2, 2)),
    _layer("Dropout", f"layer.Linear(5, 4), {_IF}, layer.Dropout(0.5), layer.Linear(4, 4), {_IF}", (5,)),
    _layer("Dropout2d", f"layer.Conv2d(2, 3, 1), {_IF}, layer.Dropout2d(0.5), layer.Conv2d(3, 3, 1), {_IF}", (2, 3, 3)),
    _layer("VotingLayer", f"layer.Linear(5, 20), {_IF}, layer.VotingLayer(10)", (5,)),
    _layer("SeqToANNContainer", f"layer.SeqToANNContainer(nn.Linear(5, 4), nn.BatchNorm1d(4)), {_IF}", (5,)),
    _layer("MultiStepContainer", f"layer.MultiStepContainer(layer.Linear(5, 4), {_IF})", (5,)),
    Row(
        "SpikingJelly",
        "TLastSeqToANNContainer",
        "",
        "Last(layer.TLastSeqToANNContainer(nn.Linear(5, 4), nn.BatchNorm1d(4)), neuron.IFNode())",
    ),
    Row(
        "SpikingJelly",
        "TLastMultiStepContainer",
        "",
        "Last(layer.TLastMultiStepContainer(nn.Linear(5, 4), neuron.IFNode()), neuron.IFNode())",
    ),
    _layer("StepModeContainer", f"layer.StepModeContainer(False, 's', layer.Linear(5, 4)), {_IF}", (5,)),
    _layer(
        "LinearRecurrentContainer",
        f"layer.Linear(5, 3), layer.LinearRecurrentContainer(nn.Sequential(nn.Linear(3, 4), {_IF}), 3, 4)",
        (5,),
    ),
    _layer(
        "ElementWiseRecurrentContainer",
        f"layer.Linear(5, 4), layer.ElementWiseRecurrentContainer({_IF}, lambda x, y: x + y)",
        (5,),
        "element-wise function of sums",
    ),
    _layer("PrintShapeModule", f"layer.PrintShapeModule(), layer.Linear(5, 4), {_IF}", (5,)),
    _layer(
        "GroupNorm",
        f"layer.Linear(5, 4), layer.GroupNorm(2, 4), {_IF}",
        (5,),
        "",
        "it normalises by each sample; use BatchNorm2d",
    ),
    _layer("NeuNorm", f"layer.NeuNorm(2, 4, 4), {_IF}", (2, 4, 4), "", "it divides by activity; use BatchNorm2d"),
    _layer(
        "TemporalEffectiveBatchNorm1d, 2d, 3d",
        f"layer.Linear(5, 4), layer.TemporalEffectiveBatchNorm1d(4, 4), {_IF}",
        (5,),
        "",
        _PER_STEP,
    ),
    _layer(
        "BatchNormThroughTime1d, 2d, 3d",
        f"layer.Linear(5, 4), layer.BatchNormThroughTime1d(4, 4), {_IF}",
        (5,),
        "",
        _PER_STEP,
    ),
    _layer(
        "Delay",
        f"layer.Linear(5, 4), {_IF}, layer.Delay(2), layer.Linear(4, 4), {_IF}",
        (5,),
        "",
        "it holds spikes back for several steps; remove it, or set delay_steps=0",
    ),
    _layer(
        "SynapseFilter",
        f"layer.Linear(5, 4), layer.SynapseFilter(), {_IF}",
        (5,),
        "",
        "how it decays depends on its input; use CUBALIFNode, whose current decays",
    ),
    _layer(
        "DropConnectLinear",
        f"layer.DropConnectLinear(5, 4), {_IF}",
        (5,),
        "",
        "it averages over random weights, even in inference; use Linear",
    ),
    _layer(
        "TemporalWiseAttention",
        f"layer.TemporalWiseAttention(4, 2), layer.Conv2d(2, 3, 1), {_IF}",
        (2, 4, 4),
        "",
        _ATTENTION,
    ),
    _layer(
        "MultiDimensionalAttention",
        f"layer.MultiDimensionalAttention(4, 2, 2, 2), layer.Conv2d(2, 3, 1), {_IF}",
        (2, 4, 4),
        "",
        _ATTENTION,
    ),
    _layer("encoding.PoissonEncoder", f"encoding.PoissonEncoder(), layer.Linear(5, 4), {_IF}", (5,), "", _RANDOM),
    _layer("encoding.LatencyEncoder", f"encoding.LatencyEncoder(4), layer.Linear(5, 4), {_IF}", (5,), "", _TIMED),
    _layer(
        "encoding.WeightedPhaseEncoder",
        f"encoding.WeightedPhaseEncoder(4), layer.Linear(5, 4), {_IF}",
        (5,),
        "",
        _TIMED,
    ),
]

_P = "tau_mem_inv=torch.tensor(4.), tau_syn_inv=torch.tensor(2.)"
_LEAK = f"{_P}, v_leak=torch.tensor(.5), v_reset=torch.tensor(-.5), v_th=torch.tensor(1.)"
_BOX = "tau_mem_inv=torch.tensor(4.)"
_EXPONENTIAL = "its membrane follows an exponential or a square of itself; use LIF"
_REFRACTORY = "it is silent for some steps behind a spike; use LIF"
_ADAPTIVE = "its threshold rises with every spike; use LIF"
_COUPLED = "its neurons' membranes are coupled with each other; use LIFRecurrentCell"
_DRAWN = (
    "it draws from torch's random numbers, which no chip repeats; take it out and use neurocompile.snn.PoissonEncoder"
)
_MADE = "it makes time steps out of one sample; take it out"
_READ = "nn.Linear(5, 4), norse.{}(norse.LIFParameters({}), dt=1 / 8), nn.Linear(4, 3)"

NORSE = [
    *(_norse(name, "hard", f"norse.LIFParameters({_P}), dt=1 / 8") for name in ("LIFCell", "LIF")),
    *(
        _norse(name, "v_leak and v_reset not 0", f"norse.LIFParameters({_LEAK}), dt=1 / 8")
        for name in ("LIFCell", "LIF")
    ),
    _norse("LIFCell", "maps", f"norse.LIFParameters({_P}), dt=1 / 8", shape=(2, 4, 4)),
    *(
        _norse(name, "hard", f"4, 4, p=norse.LIFParameters({_P}), dt=1 / 8")
        for name in ("LIFRecurrentCell", "LIFRecurrent")
    ),
    *(
        _norse(name, "autapses", f"4, 4, p=norse.LIFParameters({_LEAK}), autapses=True, dt=1 / 8")
        for name in ("LIFRecurrentCell", "LIFRecurrent")
    ),
    _norse("LIFBoxCell", "hard", f"norse.LIFBoxParameters({_BOX}), dt=1 / 8"),
    _norse("LIFBoxCell", "reset_subtract", f"norse.LIFBoxParameters({_BOX}, reset_method=reset_subtract), dt=1 / 8"),
    _norse(
        "LIFBoxCell",
        "reset_subtract with v_leak not 0",
        f"norse.LIFBoxParameters({_BOX}, v_leak=torch.tensor(.25), reset_method=reset_subtract)",
        "reset_subtract with a v_leak that is not 0 subtracts more than is above rest; set v_leak=0",
    ),
    *(_norse(name, "hard", "norse.IAFParameters(v_reset=torch.tensor(-.25))") for name in ("IAFCell", "IAF")),
    *(
        Row(
            "Norse",
            name,
            "result of the network",
            f"[{_READ.format(before, _P)}, norse.{name}(norse.LIParameters({_P}), dt=1 / 8)]",
        )
        for name, before in (("LICell", "LIFCell"), ("LI", "LIF"))
    ),
    Row(
        "Norse",
        "LILinearCell",
        "result of the network",
        f"[nn.Linear(5, 4), norse.LIFCell(norse.LIFParameters({_P}), dt=1 / 8), norse.LILinearCell(4, 3, "
        f"norse.LIParameters({_P}), dt=1 / 8)]",
    ),
    Row(
        "Norse",
        "LIBoxCell",
        "result of the network",
        f"[{_READ.format('LIFCell', _P)}, norse.LIBoxCell(norse.LIBoxParameters({_BOX}), dt=1 / 8)]",
    ),
    _norse(
        "LICell",
        "v_leak not 0",
        "norse.LIParameters(v_leak=torch.tensor(.5))",
        "its v_leak is added to all its results; set v_leak=0 and add it to the results",
    ),
    _norse(
        "LIFCell",
        "dt*tau_mem_inv above 1",
        "norse.LIFParameters(), dt=0.1",
        "it must lie in [0, 1], so choose a smaller dt",
    ),
    _norse("LIF", "record_states", "record_states=True", "record_states=True keeps every state; set it to False"),
    Row(
        "Norse",
        "ExpFilter",
        "result of the network",
        f"[nn.Linear(5, 4), norse.LIF(norse.LIFParameters({_P}), dt=1 / 8), ExpFilter(4, 3, 100.)]",
    ),
    Row(
        "Norse",
        "Lift, SequentialState",
        "",
        f"[norse.Lift(nn.Linear(5, 4)), norse.LIF(norse.LIFParameters({_P}), dt=1 / 8)]",
    ),
    Row(
        "Norse",
        "RecurrentSequential",
        "",
        f"norse.RecurrentSequential(nn.Linear(5, 5), norse.LIFCell(norse.LIFParameters({_P}), dt=1 / 8))",
    ),
    Row(
        "Norse",
        "RecurrentSequential",
        "several output_modules",
        "norse.RecurrentSequential(nn.Linear(5, 5), norse.LIFCell(), output_modules=[0, 1])",
        refused="it brings back several outputs, which Norse cannot add; set output_modules to one index",
    ),
    Row("Norse", "LConv2d", "", f"[norse.LConv2d(2, 3, 3), norse.LIF(norse.LIFParameters({_P}), dt=1 / 8)]", (2, 4, 4)),
    Row("Norse", "RegularizationCell", "", "Regularized(nn.Linear(5, 4), norse.LIFCell(), norse.RegularizationCell())"),
    _norse("LIFExCell", "", "", _EXPONENTIAL),
    _norse("LIFEx", "", "", _EXPONENTIAL),
    _norse("LIFExRecurrent", "", "4, 4", _EXPONENTIAL),
    _norse("LIFExRecurrentCell", "", "4, 4", _EXPONENTIAL),
    _norse("LIFAdExCell", "", "", _EXPONENTIAL),
    _norse("LIFAdEx", "", "", _EXPONENTIAL),
    _norse("LIFAdExRecurrent", "", "4, 4", _EXPONENTIAL),
    _norse("LIFAdExRecurrentCell", "", "4, 4", _EXPONENTIAL),
    _norse("LIFAdExRefracCell", "", "", _EXPONENTIAL),
    _norse(
        "IzhikevichCell",
        "",
        "norse.IzhikevichSpikingBehavior(p=norse.IzhikevichParameters(.1, .2, -65., 8.), "
        "s=norse.IzhikevichState(v=torch.tensor(-70.), u=torch.tensor(-14.)))",
        _EXPONENTIAL,
    ),
    _norse("LIFRefracCell", "", "", _REFRACTORY),
    _norse("LIFRefracRecurrentCell", "", "4, 4", _REFRACTORY),
    _norse("LIFRefracRecurrent", "", "4, 4", _REFRACTORY),
    _norse("LSNNCell", "", "", _ADAPTIVE),
    _norse("LSNN", "", "", _ADAPTIVE),
    _norse("LSNNRecurrent", "", "4, 4", _ADAPTIVE),
    _norse("LSNNRecurrentCell", "", "4, 4", _ADAPTIVE),
    _norse("LIFMCRecurrentCell", "", "4, 4", _COUPLED),
    Row(
        "Norse",
        "PoissonEncoder, SignedPoissonEncoder",
        "",
        "[norse.PoissonEncoder(4), nn.Linear(5, 4), norse.LIF()]",
        refused=_DRAWN,
    ),
    Row(
        "Norse",
        "ConstantCurrentLIFEncoder, PopulationEncoder, SpikeLatencyEncoder, SpikeLatencyLIFEncoder",
        "",
        "[norse.ConstantCurrentLIFEncoder(4), nn.Linear(5, 4), norse.LIF()]",
        refused=_MADE,
    ),
]


def _sinabs(layer: str, setting: str, code: str, refused: str = "", shape: Shape = (5,)) -> Row:
    before = f"nn.Linear({shape[0]}, 4)" if len(shape) == 1 else f"sl.Repeat(nn.Conv2d({shape[0]}, 3, 3))"
    return Row("Sinabs", layer, setting, f"[{before}, sl.{layer}({code})]", shape, refused)


_MEMBRANES = (("MembraneSubtract", "sa.MembraneSubtract()"), ("MembraneReset", "sa.MembraneReset()"))
_RETURNING = "nn.Linear(4, 4, bias=False)"
_RISING = "its threshold rises with every spike; use LIF"
_SINABS_IF = "sl.IAF(spike_fn=sa.SingleSpike)"

SINABS = [
    *(
        _sinabs(name, reset, f"{first}reset_fn={code}, spike_fn=sa.SingleSpike")
        for name, first in (("IAF", ""), ("LIF", "tau_mem=3.0, "))
        for reset, code in _MEMBRANES
    ),
    *(
        _sinabs(name, reset, f"{first}rec_connect={_RETURNING}, reset_fn={code}, spike_fn=sa.SingleSpike")
        for name, first in (("IAFRecurrent", ""), ("LIFRecurrent", "tau_mem=3.0, "))
        for reset, code in _MEMBRANES
    ),
    *(
        _sinabs(name, reset, f"{first}batch_size=2, reset_fn={code}, spike_fn=sa.SingleSpike")
        for name, first in (("IAFSqueeze", ""), ("LIFSqueeze", "tau_mem=3.0, "))
        for reset, code in _MEMBRANES
    ),
    *(
        _sinabs(name, setting, first + code)
        for name, first in (("IAF", ""), ("LIF", "tau_mem=3.0, "))
        for setting, code in (
            ("MultiSpike (at most 255 in a step)", "spike_fn=sa.MultiSpike"),
            ("MaxSpike", "spike_fn=sa.MaxSpike(2)"),
            ("tau_syn", "tau_syn=2.0"),
            ("min_v_mem", "min_v_mem=-0.5"),
            ("spike_threshold per neuron", "spike_threshold=torch.tensor([.5, .75, 1., 2.])"),
        )
    ),
    _sinabs("LIF", "norm_input=False", "tau_mem=3.0, norm_input=False"),
    _sinabs("LIF", "train_alphas", "tau_mem=torch.tensor([2., 3., 4., 5.]), tau_syn=2.0, train_alphas=True"),
    _sinabs("IAF", "maps", "spike_fn=sa.SingleSpike", shape=(2, 4, 4)),
    *(
        Row(
            "Sinabs",
            name,
            "result of the network",
            f"[nn.Linear(5, 4), sl.{before}, nn.Linear(4, 3), sl.{name}({code})]",
        )
        for name, before, code in (
            ("ExpLeak", "IAF()", "tau_mem=3.0"),
            ("ExpLeakSqueeze", "IAFSqueeze(batch_size=2)", "tau_mem=3.0, batch_size=2"),
        )
    ),
    Row(
        "Sinabs",
        "LIF",
        "spike_fn=None, result of the network",
        f"[nn.Linear(5, 4), {_SINABS_IF}, nn.Linear(4, 3), sl.LIF(tau_mem=3.0, spike_fn=None)]",
    ),
    Row(
        "Sinabs",
        "SumPool2d",
        "",
        f"[sl.Repeat(nn.Conv2d(2, 3, 1)), {_SINABS_IF}, sl.Repeat(sl.SumPool2d(2)), {_SINABS_IF}]",
        (2, 4, 4),
    ),
    Row(
        "Sinabs",
        "NeuromorphicReLU",
        "quantize=False, a ReLU that --convert makes spiking",
        f"[nn.Linear(5, 4), sl.NeuromorphicReLU(quantize=False), nn.Linear(4, 4), {_SINABS_IF}]",
    ),
    Row(
        "Sinabs",
        "QuantizeLayer",
        "quantize=False",
        f"[sl.QuantizeLayer(quantize=False), nn.Linear(5, 4), {_SINABS_IF}]",
    ),
    Row(
        "Sinabs",
        "Cropping2dLayer",
        "nothing cut off",
        f"[sl.Repeat(sl.Cropping2dLayer()), sl.Repeat(nn.Conv2d(2, 3, 3)), {_SINABS_IF}]",
        (2, 4, 4),
    ),
    Row(
        "Sinabs",
        "Repeat, FlattenTime, UnflattenTime",
        "",
        "[sl.FlattenTime(), nn.Linear(5, 4), sl.UnflattenTime(batch_size=2), sl.Repeat(nn.Linear(4, 4)), "
        f"{_SINABS_IF}]",
    ),
    Row("Sinabs", "Merge", "", f"Merged(nn.Linear(5, 4), {_SINABS_IF}, sl.LIF(tau_mem=3.0), {_SINABS_IF})"),
    _sinabs("IAF", "a spike_fn of its own", "spike_fn=len", "use SingleSpike, MultiSpike or MaxSpike"),
    _sinabs(
        "IAF",
        "MembraneSubtract of another value",
        "reset_fn=sa.MembraneSubtract(0.5)",
        "it subtracts 0.5 and not its threshold; use MembraneSubtract()",
    ),
    _sinabs(
        "IAF",
        "MembraneReset to a value",
        "reset_fn=sa.MembraneReset(0.5)",
        "Sinabs adds reset_value=0.5 to silent neurons too; use MembraneReset()",
    ),
    _sinabs("IAF", "min_v_mem above 0", "min_v_mem=1.0", "min_v_mem is 1, and its membrane begins at 0; lower it to 0"),
    _sinabs(
        "ExpLeak",
        "min_v_mem",
        "tau_mem=3.0, min_v_mem=-1.0",
        "min_v_mem of a layer that never fires; set min_v_mem=None, or use LIF, which has it",
    ),
    _sinabs(
        "LIFRecurrent",
        "rec_connect with a bias",
        "tau_mem=3.0, rec_connect=nn.Linear(4, 4)",
        "in its rec_connect adds a constant, but not at the first step; make it with bias=False, without batch norm",
    ),
    _sinabs("ALIF", "", "2.0, 2.0", _RISING),
    _sinabs("ALIFRecurrent", "", f"2.0, 2.0, rec_connect={_RETURNING}", _RISING),
    _sinabs("alif.ALIFSqueeze", "", "tau_mem=2.0, tau_adapt=2.0, batch_size=2", _RISING),
    _sinabs(
        "NeuromorphicReLU",
        "quantize=True",
        "",
        "it rounds its output down; give the network that sinabs.from_torch.from_model makes of this one",
    ),
    _sinabs(
        "QuantizeLayer",
        "quantize=True",
        "",
        "it rounds its input down; set quantize=False, since spikes are whole numbers",
    ),
    _sinabs(
        "Cropping2dLayer",
        "rows or columns cut off",
        "((1, 0), (0, 0))",
        "it cuts off rows or columns; crop the samples beforehand",
        (2, 4, 4),
    ),
    _sinabs(
        "SpikingMaxPooling2dLayer",
        "",
        "(2, 2)",
        "it lets through whoever has fired most so far; use SumPool2d, or nn.MaxPool2d",
        (2, 4, 4),
    ),
    _sinabs("Img2SpikeLayer", "", "(4,)", _RANDOM),
    _sinabs("Sig2SpikeLayer", "", "4", _RANDOM),
]


def _slayer(layer: str, setting: str, code: str, refused: str = "", shape: Shape = (5,)) -> Row:
    return Row("lava-dl SLAYER", layer, setting, f"[{code}]", shape, refused)


#: neurons with memory in the current and the membrane, and those of which the input enters the membrane at once
_CUBA, _PLAIN = "plain(threshold=0.2)", "plain(threshold=0.2, current_decay=1)"
_LAST = "cuba.Dense(plain(threshold=0.2), {}, 4, weight_scale=4)"
_ADAPTING = "its neurons adapt their threshold; use slayer.block.cuba"
_RESONATING = "resonate-and-fire neurons have a complex state; use slayer.block.cuba"
_ADAPT = "threshold_step=.1, threshold_decay=.1, refractory_decay=.1"
_PERIOD = "{'threshold': .1, 'period': 10, 'decay': .1"
_SIGMA_DELTA = "sigma-delta neurons send changes of activations and no spikes; use slayer.block.cuba"

#: blocks that lava-dl also writes into files
_EXPORTED = [
    _slayer("Input", "spikes", f"cuba.Input(None, delay_shift=False), {_LAST.format(5)}"),
    _slayer("Input", "neurons", f"cuba.Input({_PLAIN}), {_LAST.format(5)}"),
    _slayer("Dense", "current_decay, voltage_decay", f"cuba.Dense({_CUBA}, 5, 4, weight_scale=4)"),
    _slayer("Dense", "weight_norm", f"cuba.Dense({_CUBA}, 5, 4, weight_scale=4, weight_norm=True)"),
    _slayer(
        "Dense",
        "delay, behind it another layer",
        f"cuba.Dense({_CUBA}, 5, 4, weight_scale=4, delay=True), {_LAST.format(4)}",
    ),
    _slayer(
        "Dense",
        "MeanOnlyBatchNorm with current_decay=1",
        f"cuba.Dense({{**{_PLAIN}, 'norm': slayer.neuron.norm.MeanOnlyBatchNorm}}, 5, 4, weight_scale=4)",
    ),
    _slayer(
        "Conv",
        "stride, padding, dilation, groups",
        f"cuba.Conv({_CUBA}, 2, 4, 3, stride=2, padding=1, groups=2, weight_scale=4)",
        shape=(2, 5, 4),
    ),
    _slayer("Pool", "windows side by side", f"cuba.Pool({_CUBA}, 2)", shape=(2, 4, 4)),
    _slayer("Flatten", "", f"cuba.Flatten(), {_LAST.format(12)}", shape=(3, 2, 2)),
    _slayer("Recurrent", "", f"cuba.Recurrent({_CUBA}, 5, 4, weight_scale=4)"),
    _slayer(
        "Affine",
        "dynamics=False, result of the network",
        f"{_LAST.format(5)}, cuba.Affine({_CUBA}, 4, 3, weight_scale=4, dynamics=False)",
    ),
]

SLAYER = [
    *_EXPORTED,
    _slayer("Input", "weight, bias", f"cuba.Input({_PLAIN}, weight=0.75, bias=0.25), {_LAST.format(5)}"),
    _slayer(
        "Dense",
        "WgtScaleBatchNorm with current_decay=1",
        f"cuba.Dense({{**{_PLAIN}, 'norm': slayer.neuron.norm.WgtScaleBatchNorm}}, 5, 4, weight_scale=4)",
    ),
    _slayer("Dense", "shared_param=False", f"cuba.Dense({{**{_CUBA}, 'shared_param': False}}, 5, 4, weight_scale=4)"),
    _slayer("KWTA", "", f"cuba.KWTA({_CUBA}, 5, 4, num_winners=2, weight_scale=4)"),
    _slayer(
        "Affine",
        "dynamics=True, result of the network",
        f"{_LAST.format(5)}, cuba.Affine({_CUBA}, 4, 3, weight_scale=4)",
    ),
    _slayer("Average", "result of the network", f"{_LAST.format(5)}, cuba.Average(2)"),
    _slayer(
        "Dense",
        "delay, never run",
        f"cuba.Dense({_CUBA}, 5, 4, delay=True)",
        "its delays are drawn when it runs first (delay=True); run the network once, then compile it",
    ),
    _slayer(
        "Dense",
        "norm and a current that decays",
        f"cuba.Dense({{**{_CUBA}, 'norm': slayer.neuron.norm.MeanOnlyBatchNorm}}, 5, 4)",
        "train without norm, or with current_decay=1",
    ),
    _slayer(
        "Dense",
        "graded_spike",
        "cuba.Dense(plain(graded_spike=True), 5, 4)",
        "its spikes carry the voltage; train with graded_spike=False",
    ),
    _slayer(
        "Dense",
        "scale that is no power of two",
        "cuba.Dense(plain(scale=100), 5, 4)",
        "its neurons have scale=100; give a power of two, such as 64",
    ),
    _slayer(
        "Dense",
        "pre_hook_fx that does not quantize",
        "cuba.Dense(plain(), 5, 4, pre_hook_fx=None)",
        "its weights are not quantized; leave out pre_hook_fx, or set it to neuron.quantize_8bit",
    ),
    _slayer(
        "Pool",
        "windows that overlap",
        "cuba.Pool(plain(), 2, stride=1)",
        "SLAYER pools across the borders of channels where windows overlap, are apart or are padded",
        (1, 4, 4),
    ),
    _slayer(
        "Pool",
        "rows that windows do not divide",
        "cuba.Pool(plain(), 3)",
        "lava-dl pools 4 rows in windows of 3 across the borders of channels; give it a multiple of 3 rows",
        (1, 4, 4),
    ),
    _slayer(
        "ConvT",
        "",
        "cuba.ConvT(plain(), 2, 3, 2)",
        "transposed convolution is not compiled from SLAYER; use Conv",
        (2, 4, 4),
    ),
    _slayer("Unpool", "", "cuba.Unpool(plain(), 2)", "unpooling is not compiled from SLAYER; use Conv", (2, 4, 4)),
    _slayer(
        "TimeDecimation",
        "",
        "cuba.TimeDecimation(2)",
        "it changes the time step within the network; decimate the data instead",
    ),
    _slayer(
        "sigma_delta blocks",
        "",
        "slayer.block.sigma_delta.Dense({'threshold': .1, 'activation': torch.relu}, 5, 4)",
        _SIGMA_DELTA,
    ),
    _slayer("alif blocks", "", f"slayer.block.alif.Dense(plain({_ADAPT}), 5, 4)", _ADAPTING),
    _slayer("rf blocks", "", f"slayer.block.rf.Dense({_PERIOD}}}, 5, 4)", _RESONATING),
    _slayer("rf_iz blocks", "", f"slayer.block.rf_iz.Dense({_PERIOD}}}, 5, 4)", _RESONATING),
    _slayer("adrf blocks", "", f"slayer.block.adrf.Dense({{**{_PERIOD}}}, **dict({_ADAPT})}}, 5, 4)", _RESONATING),
    _slayer(
        "adrf_iz blocks", "", f"slayer.block.adrf_iz.Dense({{**{_PERIOD}}}, **dict({_ADAPT})}}, 5, 4)", _RESONATING
    ),
]


def _file(layer: str, setting: str, code: str, refused: str) -> Row:
    """A file that is written by hand."""
    return Row("lava-dl netx", layer, setting, f"[{code}]", refused=refused)


#: the types of layers in files, as which SLAYER's blocks are written
_TYPES = {"Input": "input", "Dense": "dense", "Conv": "conv", "Pool": "pool", "Flatten": "flatten",
          "Recurrent": "dense_rec", "Affine": "dense", "Average": "average"}  # fmt: skip
_CHAIN = "; train a chain of dense, conv, pool and recurrent layers of CUBA neurons"
_RESONATORS = ("RF_PHASE", "RF_IZHIKEVICH", "ADRF_PHASE", "ADRF_IZHIKEVICH")

NETX = [
    *(
        replace(
            row,
            framework="lava-dl netx",
            layer=_TYPES[row.layer],
            setting=row.setting.replace("dynamics=False", "no neuron"),
        )
        for row in (*_EXPORTED, next(row for row in SLAYER if row.layer == "Average"))
        if row.setting != "weight_norm"
    ),
    _file("convT", "", "{'type': 'convT'}", f"transposed convolution is not compiled from lava-dl's files{_CHAIN}"),
    _file("unpool", "", "{'type': 'unpool'}", f"unpooling is not compiled from lava-dl's files{_CHAIN}"),
    _file("concat", "", "{'type': 'concat'}", f"concatenation is not compiled from lava-dl's files{_CHAIN}"),
    _file("dense_comp", "", "{'type': 'dense_comp'}", f"its weights are complex and feed resonators{_CHAIN}"),
    *(
        _file(kind, "neurons", f"dense([[1]], neuron={{**NEURON, 'type': '{kind}'}})", reason)
        for kind, reason in (
            ("SDNN", f"its neurons are sigma-delta (SDNN), which send changes of activations and no spikes{_CHAIN}"),
            ("ALIF", f"its neurons adapt their threshold (ALIF){_CHAIN}"),
            *((kind, "its neurons are resonate-and-fire") for kind in _RESONATORS),
        )
    ),
    _file(
        "dense",
        "refDelay above 1",
        "dense([[1]], neuron={**NEURON, 'refDelay': 4})",
        "its neuron rests for 4 steps when it has fired (refDelay), limit 1",
    ),
    _file(
        "dense",
        "gradedSpike",
        "dense([[1]], neuron={**NEURON, 'gradedSpike': True})",
        "sends graded spikes; train with graded_spike=False",
    ),
    _file(
        "dense",
        "bias and a current that decays",
        "dense([[1]], neuron={**NEURON, 'iDecay': 1024}, bias=[3])",
        "train without norm, or with current_decay=1",
    ),
    _file(
        "dense",
        "weights that are no whole numbers",
        "dense([[0.5]])",
        "must have whole numbers; export it with lava-dl's quantization (pre_hook_fx=neuron.quantize_8bit)",
    ),
]


def _nir(layer: str, setting: str, code: str, refused: str = "", shape: Shape = (2,)) -> Row:
    return Row("NIR", layer, setting, f"[{code}]", shape, refused)


#: DT is the time step; ``each`` gives a value to each of two neurons
_NIR_LIF = "tau=each(2 * DT), r=each(2.), v_leak=each({leak}), v_threshold=each(1.)"
_NIR_CUBA = (
    "tau_syn=each(2 * DT), tau_mem=each(4 * DT), r=each(4.), v_leak=each(.25), v_threshold=each(1.), w_in=each(4.)"
)
_NIR_LAST = f"nir.LIF({_NIR_LIF.format(leak='0.')})"
_SIGNAL_LAST, _IMAGE_LAST = (f"nir.Threshold(each(.5).reshape(2{ones}))" for ones in (", 1", ", 1, 1"))
_KERNEL = "np.arange(36.).reshape(2, 2, 3, 3) % 5 / 4 - .5"

NIR = [
    _nir("IF", "v_reset", "nir.IF(r=each(1 / DT), v_threshold=each(1.5), v_reset=each(-.25))"),
    _nir("IF", "r=1, which is read as a gain of 1 per step", "nir.IF(r=each(1.), v_threshold=each(1.5))"),
    _nir("LIF", "v_reset", f"nir.LIF({_NIR_LIF.format(leak='-.5')}, v_reset=each(.25))"),
    _nir("LIF", "v_leak", f"nir.LIF({_NIR_LIF.format(leak='-.5')})"),
    _nir("CubaLIF", "v_reset", f"nir.CubaLIF({_NIR_CUBA}, v_reset=each(-.25))"),
    _nir("CubaLIF", "v_leak", f"nir.CubaLIF({_NIR_CUBA})"),
    _nir("Threshold", "", "nir.Threshold(threshold=each(.5))"),
    _nir("I", "result of the network", "nir.I(r=each(2 / DT))"),
    _nir("LI", "result of the network", "nir.LI(tau=each(4 * DT), r=each(2.), v_leak=each(0.))"),
    _nir(
        "CubaLI",
        "result of the network",
        "nir.CubaLI(tau_syn=each(2 * DT), tau_mem=each(4 * DT), r=each(2.), v_leak=each(0.))",
    ),
    _nir("Linear", "", f"nir.Linear(np.array([[.5, 1.], [1., -.5]])), {_NIR_LAST}"),
    _nir("Affine", "", f"nir.Affine(np.array([[.5, 1.], [1., -.5]]), np.array([.25, -.25])), {_NIR_LAST}"),
    _nir("Scale", "", f"nir.Scale(np.array([2., .5])), {_NIR_LAST}"),
    _nir(
        "Conv1d",
        "stride, padding, dilation, groups",
        f"nir.Conv1d(6, np.arange(6.).reshape(2, 1, 3) / 4 - .5, 2, 2, 2, 2, each(.25)), {_SIGNAL_LAST}",
        shape=(2, 6),
    ),
    _nir(
        "Conv2d",
        "stride, padding, dilation, groups",
        f"nir.Conv2d((5, 5), ({_KERNEL})[:, :1], (2, 1), 2, 2, 2, each(.25)), {_IMAGE_LAST}",
        shape=(2, 5, 5),
    ),
    *(
        _nir(
            "Conv2d",
            f"padding '{padding}'",
            f"nir.Conv2d((5, 5), {_KERNEL}, 1, '{padding}', 1, 1, each(0.)), {_IMAGE_LAST}",
            shape=(2, 5, 5),
        )
        for padding in ("same", "valid")
    ),
    *(
        _nir(
            name,
            "stride, padding",
            f"nir.{name}(np.array([2, 2]), np.array([2, 1]), np.array([0, 1])), {_IMAGE_LAST}",
            shape=(2, 4, 4),
        )
        for name in ("AvgPool2d", "SumPool2d")
    ),
    _nir(
        "Flatten",
        "some of its axes",
        f"nir.Flatten(dict(input=np.array([2, 3, 2])), 1, 2), {_SIGNAL_LAST}",
        shape=(2, 3, 2),
    ),
    _nir(
        "Delay",
        "whole time steps",
        f"nir.Threshold(each(.5)), nir.Delay(np.array([0., 2 * DT])), nir.Scale(each(2.)), {_NIR_LAST}",
    ),
    _nir(
        "NIRGraph",
        "within another, at any depth",
        f"nir.NIRGraph.from_list(nir.Linear(np.eye(2)), {_NIR_LAST}), {_NIR_LAST}",
    ),
    _nir(
        "NIRGraph",
        "several edges into a node are summed",
        f"summed(nir.Linear(np.eye(2)), nir.Scale(each(.5))), {_NIR_LAST}",
    ),
    _nir(
        "NIRGraph",
        "a cycle, which takes one time step",
        f"cycle({_NIR_LAST}, nir.Linear(np.array([[.5, -1.], [1., .25]])))",
    ),
    _nir(
        "LIF",
        "tau below the time step",
        "nir.LIF(tau=each(DT / 2), r=each(1.), v_leak=each(0.), v_threshold=each(1.))",
        "below the time step of 0.000976562 s; give a --dt of at most that",
    ),
    _nir(
        "LIF",
        "v_threshold not above v_leak",
        f"nir.LIF({_NIR_LIF.format(leak='1.')})",
        "v_threshold is not above v_leak, so that it fires without input; raise v_threshold",
    ),
    _nir(
        "LI",
        "v_leak that differs between neurons",
        "nir.LI(tau=each(4 * DT), r=each(2.), v_leak=np.array([0., 1.]))",
        "v_leak differs between its neurons, and a readout starts at 0; subtract it beforehand",
    ),
    _nir(
        "Conv2d",
        "padding 'same' with an even kernel",
        f"nir.Conv2d((5, 5), ({_KERNEL})[..., :2, :2], 1, 'same', 1, 1, each(0.))",
        "padding 'same' is one-sided for kernel (2, 2); use an odd kernel",
        (2, 5, 5),
    ),
    _nir(
        "Delay",
        "fractions of a time step",
        "nir.Delay(each(1.5 * DT))",
        "delays must be whole steps: round it, or give a --dt that divides it",
    ),
]


def _own(layer: str, setting: str, code: str, shape: Shape = (5,)) -> Row:
    before = f"nn.Linear({shape[0]}, 4)" if len(shape) == 1 else f"nn.Conv2d({shape[0]}, 3, 3)"
    return Row("neurocompile.snn", layer, setting, f"[{before}, snn.{layer}({code})]", shape)


_SETTINGS = (
    *((reset, f"reset='{reset}'") for reset in ("subtract", "set", "none")),
    ("reset_value", "reset='set', reset_value=-.25"),
    ("leaky_reset=False", "leaky_reset=False"),
    ("order='fire_first'", "order='fire_first'"),
    ("compare='at_or_above'", "compare='at_or_above'"),
    ("signed spikes", "spikes='signed'"),
    ("graded spikes", "spikes='graded', max_payload=3"),
    ("single_spike", "single_spike=True"),
    ("membrane_min", "membrane_min=-.5"),
)

OWN = [
    *(_own("LIF", setting, f".5, .75, {code}") for setting, code in _SETTINGS),
    _own("LIF", "current_leak", ".5, .75, current_leak=.5"),
    _own("LIF", "threshold and leaks per neuron", "torch.tensor([.25, .5, .75, 1.]), torch.tensor([.5, .25, 1., 0.])"),
    _own("LIF", "maps, threshold and leaks per channel", "torch.tensor([.25, .5, .75]), .5", (2, 4, 4)),
    _own("LIF", "learn_threshold, learn_leak", ".5, .75, learn_threshold=True, learn_leak=True"),
    *(_own("IF", setting, f".5, {code}") for setting, code in _SETTINGS if "leaky_reset" not in setting),
    _own("Recurrent", "all to all", "snn.LIF(.5, .75), nn.Linear(4, 4)"),
    _own("Recurrent", "convolution", "snn.LIF(.5, .75), nn.Conv2d(3, 3, 3, padding=1)", (2, 4, 4)),
    _own("Recurrent", "OneToOne", "snn.LIF(.5, .75), snn.OneToOne(torch.tensor([.5, -.5, 1., -1.]))"),
    Row(
        "neurocompile.snn",
        "Readout",
        "result of the network",
        "[nn.Linear(5, 4), snn.LIF(.5), nn.Linear(4, 3), snn.Readout(.75, .5)]",
    ),
    Row(
        "neurocompile.snn",
        "TimedReadout",
        "result of the network",
        "[nn.Linear(5, 4), snn.LIF(.5), nn.Linear(4, 3), snn.TimedReadout(.5)]",
    ),
    Row("neurocompile.snn", "DirectEncoder", "", "[snn.DirectEncoder(2.0), nn.Linear(5, 4), snn.LIF(.5)]"),
    Row("neurocompile.snn", "HybridEncoder", "", "[snn.HybridEncoder(6, -1, 2), nn.Linear(5, 4), snn.LIF(.5)]"),
    Row("neurocompile.snn", "DctEncoder", "", "[snn.DctEncoder(2), nn.Conv2d(2, 3, 3), snn.LIF(.3)]", (2, 4, 6)),
    Row("neurocompile.snn", "PoissonEncoder", "", "[snn.PoissonEncoder(.5, seed=7), nn.Linear(5, 4), snn.LIF(.25)]"),
    Row(
        "neurocompile.snn",
        "TimeConstantDropout",
        "",
        "[nn.Linear(5, 4), snn.LIF(.5), snn.TimeConstantDropout(.5), nn.Linear(4, 4), snn.LIF(.5)]",
    ),
]

ROWS = [*SNNTORCH, *SPIKINGJELLY, *NORSE, *SINABS, *SLAYER, *NETX, *NIR, *OWN]


def table() -> str:
    """The rows as Markdown: settings of a layer in one line, and layers that are refused for one reason."""
    lines = ["| framework | layer | reset, settings | |", "|---|---|---|---|"]
    for framework, rows in groupby(ROWS, key=lambda row: row.framework):
        supported: dict[str, list[str]] = {}
        refused: dict[tuple[str, str], list[str]] = {}
        for row in rows:
            if row.refused:
                refused.setdefault((row.refused, row.setting), []).append(row.layer)
            else:
                supported.setdefault(row.layer, []).append(row.setting)
        alike: dict[str, list[str]] = {}
        for layer, settings in supported.items():
            alike.setdefault("; ".join(filter(None, settings)), []).append(layer)
        named = f"{framework} {VERSIONS.get(framework, '')}".strip()
        lines += [f"| {named} | {', '.join(layers)} | {settings} | yes |" for settings, layers in alike.items()]
        lines += [
            f"| {named} | {', '.join(layers)} | {setting} | refused: {reason} |"
            for (reason, setting), layers in refused.items()
        ]
    return "\n".join(lines) + "\n"
