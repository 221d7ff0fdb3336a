"""What can be brought in from other frameworks, and what is refused and why: the README's table is made of it.

Every row is tried by the tests of its framework: ``code`` is evaluated there, to the parts of a network, with the names
of the framework; samples have ``shape``. A supported row gives every spike of the network itself; a refused one is
refused with its reason, which says what to use instead.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby

Shape = tuple[int, ...]

#: what the rows were tried with
VERSIONS = {"snnTorch": "1.0.0", "SpikingJelly": "2.0.0", "Norse": "1.1.0"}


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

ROWS = [*SNNTORCH, *SPIKINGJELLY, *NORSE]


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
