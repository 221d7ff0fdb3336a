"""Every path from a source to a soma becomes one chain with one weighted operator, and no bias."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurocompile.errors import GraphError
from neurocompile.ir.graph import Graph
from neurocompile.ir.interpret import linear
from neurocompile.ir.nodes import (
    Add,
    AvgPool2d,
    AxonDelay,
    Concat,
    Conv2d,
    DirectEncoder,
    Flatten,
    Input,
    Linear,
    Neuron,
    Node,
    PadChannels,
    PoissonEncoder,
    Readout,
    Recurrent,
    Reshape,
    Scale,
    SumPool2d,
    Threshold,
)
from neurocompile.ir.populations import populations
from neurocompile.ir.verify import verify
from neurocompile.passes.projections import SplitProjections, pooled_convolution
from tests.passes.helpers import Triple, assert_same, lif, net, quarters, samples_of


def split(*nodes: Triple, **choices: Any) -> Graph:
    """The graph after the pass, proved equal to the one before."""
    graph = net(*nodes, **{"stage": "fused"} | choices)
    after = SplitProjections().run(graph)
    verify(after)
    assert after.stage == "spiking"
    assert_same(graph, after, samples_of(graph))
    return after


def chains(graph: Graph) -> dict[str, list[str]]:
    """Per soma its projections, as "source > kinds"."""
    return {
        population.name: [
            " > ".join([projection.source, *(node.kind for node in projection.nodes)])
            for projection in population.projections
        ]
        for population in populations(graph)
    }


POOL = SumPool2d(kernel=(2, 2), stride=(2, 2))


def test_an_empty_path_gets_synapses_of_one() -> None:
    after = split(("lif", lif(0.5), ("direct",)), ("out", lif(), ("lif",)))
    assert list(after)[2:] == ["direct.to.lif", "lif", "lif.to.out", "out"]
    synapses = after.node("lif.to.out")
    assert isinstance(synapses, Scale)
    assert synapses.weight == 1


def test_pools_and_flatten_alone() -> None:
    after = split(
        ("pool", POOL, ("direct",)), ("flat", Flatten(), ("pool",)), ("out", lif(), ("flat",)), shape=(2, 4, 4)
    )
    assert chains(after) == {"out": ["direct > SumPool2d > Flatten > Scale"]}


@pytest.mark.parametrize("weight", [np.array(0.5), quarters(2), quarters(2, 4, 4)])
@pytest.mark.parametrize("flatten", [False, True])
def test_a_scale_goes_on_into_what_follows(weight: np.ndarray, flatten: bool) -> None:
    scale = ("scale", Scale(weight=weight), ("direct",))
    if flatten:
        nodes: tuple[Triple, ...] = (
            scale,
            ("flat", Flatten(), ("scale",)),
            ("fc", Linear(weight=quarters(3, 32)), ("flat",)),
            ("out", lif(), ("fc",)),
        )
        assert chains(split(*nodes, shape=(2, 4, 4))) == {"out": ["direct > Flatten > Linear"]}
    else:
        nodes = (scale, ("again", Scale(weight=quarters(2)), ("scale",)), ("out", lif(), ("again",)))
        assert chains(split(*nodes, shape=(2, 4, 4))) == {"out": ["direct > Scale"]}


@pytest.mark.parametrize("weight", [np.array(0.5), quarters(2)])
def test_a_scale_before_a_pool_and_a_grouped_convolution(weight: np.ndarray) -> None:
    after = split(
        ("scale", Scale(weight=weight), ("direct",)),
        ("pool", POOL, ("scale",)),
        ("conv", Conv2d(weight=quarters(4, 1, 2, 2), bias=quarters(4), padding=(1, 1), groups=2), ("pool",)),
        ("out", lif(), ("conv",)),
        shape=(2, 4, 4),
    )
    assert chains(after) == {"out": ["direct > SumPool2d > Conv2d"]}


def test_a_scale_behind_a_layer_goes_into_it() -> None:
    after = split(
        ("fc", Linear(weight=quarters(3, 2), bias=quarters(3)), ("direct",)),
        ("scale", Scale(weight=quarters(3, seed=7)), ("fc",)),
        ("out", lif(), ("scale",)),
    )
    assert chains(after) == {"out": ["direct > Linear"]}


@st.composite
def convolution_and_pool(draw: st.DrawFn) -> tuple[Conv2d, SumPool2d, tuple[int, int]]:
    pick = lambda *options: draw(st.sampled_from(options))  # noqa: E731
    kernel, groups = pick((1, 1), (2, 3), (3, 1)), pick(1, 2)
    weight = quarters(2, 2 // groups, *kernel, seed=draw(st.integers(0, 99)))
    pool = SumPool2d(kernel=pick((2, 2), (3, 1), (1, 2)), stride=pick((1, 1), (2, 2), (3, 1)))
    conv = Conv2d(
        weight=weight, stride=pick((1, 1), (2, 1), (1, 3)), padding=pick((0, 0), (1, 2)),
        dilation=pick((1, 1), (2, 1), (1, 2)), groups=groups,
    )  # fmt: skip
    return conv, pool, (pick(10, 11, 12, 13), pick(12, 13, 14))


@given(convolution_and_pool())
def test_a_pooled_convolution_is_the_two_in_turn(case: tuple[Conv2d, SumPool2d, tuple[int, int]]) -> None:
    """Overlapping pools, strides, dilation, groups, and rows that a pool leaves over."""
    conv, pool, size = case
    x = quarters(2, 2, *size, seed=3)
    one = pooled_convolution(conv, pool)
    assert one.dilation == (1, 1)
    assert one.output_shape((2, *size)) == pool.output_shape(conv.output_shape((2, *size)))
    assert np.array_equal(linear(one, x), linear(pool, linear(conv, x)))


def test_pooled_single_precision_weights_are_summed_in_double() -> None:
    weight = np.array([1e8, 1, -1e8], np.float32).reshape(1, 1, 1, 3)
    one = pooled_convolution(Conv2d(weight=weight), SumPool2d(kernel=(1, 3), stride=(1, 1)))
    assert one.weight.ravel().tolist() == [1e8, 1e8 + 1, 1, 1 - 1e8, -1e8]


def test_a_convolution_and_two_pools_with_a_bias() -> None:
    after = split(
        ("conv", Conv2d(weight=quarters(2, 1, 2, 2), bias=quarters(2), padding=(1, 1)), ("direct",)),
        ("pool", SumPool2d(kernel=(2, 2), stride=(1, 1)), ("conv",)),
        ("scale", Scale(weight=np.array(0.25)), ("pool",)),
        ("pool2", POOL, ("scale",)),
        ("flat", Flatten(), ("pool2",)),
        ("out", lif(), ("flat",)),
        shape=(1, 6, 6),
    )
    assert chains(after) == {"out": ["direct > Conv2d > Flatten"]}


def test_biases_go_to_the_soma_as_small_as_they_are_uniform() -> None:
    conv = Conv2d(weight=quarters(2, 1, 2, 2), bias=np.array([0.5, -0.25]))
    after = split(("conv", conv, ("direct",)), ("out", lif(bias=np.array(1.0)), ("conv",)), shape=(1, 3, 3))
    node = after.node("out")
    assert isinstance(node, Neuron)
    assert node.bias.tolist() == [1.5, 0.75]
    assert getattr(after.node("conv"), "bias", 0) is None


def test_a_bias_that_a_padded_pool_leaves_uneven_stays_per_neuron() -> None:
    after = split(
        ("conv", Conv2d(weight=quarters(2, 1, 1, 1), bias=np.array([0.5, -0.25])), ("direct",)),
        ("pool", SumPool2d(kernel=(1, 3), stride=(1, 1)), ("conv",)),
        ("deep", lif(), ("pool",)),
        ("out", Readout(bias=quarters(2, 3, 1, seed=8)), ("deep",)),
        ("skip", lif(bias=quarters(2, 3, 3)), ("conv",)),
        ("more", Readout(bias=quarters(2, 3, 3)), ("skip",)),
        shape=(1, 3, 3),
        outputs=("out", "more"),
    )
    node = after.node("skip")
    assert isinstance(node, Neuron)
    assert node.bias.shape == (2, 3, 3)


@pytest.mark.parametrize("bias", [np.array(0.0), np.array(0.5), quarters(2, seed=6), quarters(2, 2, 2, seed=6)])
@pytest.mark.parametrize("threshold", [np.array(0.5), quarters(2), quarters(2, 2, 2)])
@pytest.mark.parametrize("spikes", ["binary", "signed"])
def test_the_bias_of_a_stateless_neuron(bias: np.ndarray, threshold: np.ndarray, spikes: Any) -> None:
    if spikes == "binary":
        node = Threshold(threshold=threshold, bias=bias, flip=np.array([False, True]), compare="at_or_above")
    else:
        node = Threshold(threshold=threshold**2 + 0.25, bias=bias, spikes="signed")
    conv = Conv2d(weight=quarters(2, 1, 2, 2), bias=quarters(2, seed=9))
    after = split(("conv", conv, ("direct",)), ("out", node, ("conv",)), shape=(1, 3, 3), steps=1)
    moved = after.node("out")
    assert isinstance(moved, Threshold)
    assert moved.bias.any() == (spikes == "signed")


def test_sums_before_and_behind_layers_are_distributed() -> None:
    after = split(
        ("a", lif(0.5), ("direct",)),
        ("b", lif(1.0), ("direct",)),
        ("sum", Add(), ("a", "b", "a")),
        ("fc", Linear(weight=quarters(2, 2), bias=quarters(2)), ("sum",)),
        ("total", Add(), ("fc", "b")),
        ("out", lif(), ("total",)),
    )
    assert chains(after)["out"] == ["a > Linear", "b > Linear", "b > Scale"]  # a's path, taken twice, is one
    assert after.inputs("out.sum") == ("fc", "fc.2", "b.to.out")
    (twice, once) = (after.node(name) for name in ("fc", "fc.2"))
    assert isinstance(twice, Linear)
    assert isinstance(once, Linear)
    assert np.array_equal(twice.weight, 2 * once.weight)
    node = after.node("out")
    assert isinstance(node, Neuron)
    assert node.bias.tolist() == quarters(2).tolist()  # once, not once per path


def test_a_layer_read_by_two_neurons_is_doubled() -> None:
    after = split(
        ("fc", Linear(weight=quarters(2, 2), bias=quarters(2)), ("direct",)), ("out", lif(), ("fc",)),
        ("end", lif(2.0), ("fc",)), outputs=("out", "end"),
    )  # fmt: skip
    assert chains(after) == {"out": ["direct > Linear"], "end": ["direct > Linear"]}
    assert after.inputs("end") == ("fc.2",)


def test_made_names_avoid_those_of_somas_and_encoders() -> None:
    triples: list[Triple] = [
        ("input", Input(shape=(2,)), ()),
        ("a", DirectEncoder(), ("input",)),
        ("fc", Linear(weight=quarters(2, 2)), ("a",)),
        ("x", lif(), ("fc",)),
        ("fc.2", lif(2.0), ("fc",)),
        ("out.sum", DirectEncoder(), ("input",)),
        ("plus", Add(), ("fc.2", "out.sum")),
        ("out", lif(), ("plus",)),
    ]
    graph = Graph("net", "fused", 3, triples, ("out", "x"))
    after = SplitProjections().run(graph)
    verify(after)
    assert_same(graph, after, samples_of(graph))
    assert after.inputs("fc.2") == ("fc.3",)
    assert after.inputs("out") == ("out.sum.2",)


CONV = Conv2d(weight=quarters(2, 2, 2, 2))
REFUSED: list[tuple[tuple[Node, ...], str]] = [
    (
        (CONV, CONV),
        "out: the path from direct goes through the weights of op0 and op1 with no neuron between; "
        "put a neuron there or merge the two layers",
    ),
    ((CONV, Flatten(), Linear(weight=quarters(2, 18))), "weights of op0 and op2"),
    (
        (CONV, SumPool2d(kernel=(2, 2), stride=(1, 1), padding=(1, 0))),
        r"out: the path from direct: op1 pads by \(1, 0\) what op0 gives; use padding=0 there",
    ),
    (
        (Scale(weight=quarters(2, 4, 4)), SumPool2d(kernel=(2, 2), stride=(1, 1))),
        "op1 pools values that op0 scales one by one; swap the two",
    ),
    ((Scale(weight=quarters(2, 4, 4)), CONV), "op1 reads values that are scaled one by one; its kernel cannot hold"),
    ((CONV, Scale(weight=quarters(2, 3, 3))), "weights of op0 and op1"),
    ((CONV, Flatten(), Scale(weight=quarters(18))), "weights of op0 and op2"),
    (
        (SumPool2d(kernel=(2, 2), stride=(2, 2)), Reshape(shape=(2, 1, 4)), Conv2d(weight=quarters(2, 2, 1, 2))),
        "out: the path from direct: op2 reads in another shape what op0 gives; put a neuron between",
    ),
    (
        (Flatten(), Linear(weight=quarters(8, 32)), Reshape(shape=(2, 2, 2)), SumPool2d(kernel=(2, 2), stride=(1, 1))),
        "op3 reads in another shape what op1 gives",
    ),
]


@pytest.mark.parametrize(("operators", "message"), REFUSED)
def test_refusals(operators: tuple[Node, ...], message: str) -> None:
    nodes: list[Triple] = []
    source = "direct"
    for number, operator in enumerate(operators):
        nodes.append((f"op{number}", operator, (source,)))
        source = f"op{number}"
    with pytest.raises(GraphError, match=message):
        SplitProjections().run(net(*nodes, ("out", lif(), (source,)), shape=(2, 4, 4), stage="fused"))


def test_a_path_that_is_taken_often_is_one_chain() -> None:
    """y = y + y, 40 times over: 2^40 paths, all of them one."""
    nodes: list[Triple] = [("x", lif(), ("direct",)), ("fc", Linear(weight=np.eye(2)), ("x",))]
    last = "fc"
    for number in range(40):
        nodes.append((f"sum{number}", Add(), (last, last)))
        last = f"sum{number}"
    after = SplitProjections().run(net(*nodes, ("out", lif(), (last,))))
    layer = after.node("fc")
    assert isinstance(layer, Linear)
    assert np.array_equal(layer.weight, np.eye(2) * 2.0**40)
    assert not after.of_kind(Add)


def test_too_many_paths_are_refused() -> None:
    """Each sum takes the last one plain and scaled by a layer's pool: twice as many different paths every time."""
    nodes: list[Triple] = [("x", lif(), ("direct",))]
    last = "x"
    for number in range(12):
        nodes.append((f"pool{number}", AvgPool2d(kernel=(1, 1), stride=(1, 1)), (last,)))
        nodes.append((f"sum{number}", Add(), (last, f"pool{number}")))
        last = f"sum{number}"
    with pytest.raises(GraphError, match="2,048 different paths of sums lead here, limit 1,024; put neurons"):
        SplitProjections().run(net(*nodes, ("out", lif(), (last,)), shape=(1, 2, 2)))


def test_recurrent_projections_are_chains_of_their_own() -> None:
    """What two read, through sums and twice, becomes a chain for each, led by a Recurrent."""
    back, all_to_all = Recurrent(shape=(2,)), Linear(weight=quarters(2, 2), bias=quarters(2, seed=3))
    after = split(
        ("back", back, ("one",)),
        ("both", Add(), ("back", "back")),
        ("all", all_to_all, ("both",)),
        ("sum", Add(), ("direct", "all")),
        ("one", lif(0.5), ("sum",)),
        ("beside", Add(), ("one", "all")),
        ("out", lif(0.5), ("beside",)),
    )
    assert chains(after) == {
        "one": ["direct > Scale", "one > Recurrent > Linear"],
        "out": ["one > Scale", "one > Recurrent > Linear"],
    }
    one = after.node("one")
    assert isinstance(one, Neuron)
    assert one.bias.tolist() == all_to_all.bias.tolist()


def test_pools_and_flattens_of_what_comes_back() -> None:
    after = split(
        ("lif", lif(0.5), ("direct",)),
        ("back", Recurrent(shape=(2, 4, 4)), ("lif",)),
        ("pool", POOL, ("back",)),
        ("flat", Flatten(), ("pool",)),
        ("fc", Linear(weight=quarters(3, 8)), ("flat",)),
        ("out", lif(0.5), ("fc",)),
        shape=(2, 4, 4),
    )
    assert chains(after)["out"] == ["lif > Recurrent > SumPool2d > Flatten > Linear"]


def joined(
    *nodes: Triple, shape: tuple[int, ...] = (2, 4, 4), join: tuple[str, ...] = ("a", "b"), **kind: Any
) -> Graph:
    """Two neurons, of which "b" has twice the channels, their spikes side by side, and what reads "join"."""
    wide = Conv2d(weight=quarters(4, 2, 1, 1)) if len(shape) == 3 else Linear(weight=quarters(4, 2))
    return split(
        ("a", lif(0.5), ("direct",)),
        ("wide", wide, ("direct",)),
        ("b", lif(0.5), ("wide",)),
        ("join", Concat(), join),
        *nodes,
        shape=shape,
        **kind,
    )


def test_each_part_of_a_concatenation_takes_its_columns() -> None:
    conv = Conv2d(weight=quarters(3, 6, 2, 2), bias=quarters(3))
    after = joined(("conv", conv, ("join",)), ("out", lif(), ("conv",)))
    assert chains(after)["out"] == ["a > Conv2d", "b > Conv2d"]
    first, second = after.node("conv"), after.node("conv.2")
    assert isinstance(first, Conv2d)
    assert isinstance(second, Conv2d)
    assert np.array_equal(np.concatenate([first.weight, second.weight], axis=1), conv.weight)


def test_pools_and_a_flatten_between_a_concatenation_and_its_weights() -> None:
    after = joined(
        ("pool", POOL, ("join",)),
        ("scale", Scale(weight=quarters(6, seed=2), bias=quarters(6, seed=4)), ("pool",)),
        ("flat", Flatten(), ("scale",)),
        ("fc", Linear(weight=quarters(3, 24)), ("flat",)),
        ("out", lif(), ("fc",)),
    )
    assert chains(after)["out"] == ["a > SumPool2d > Flatten > Linear", "b > SumPool2d > Flatten > Linear"]
    assert getattr(after.node("out"), "bias").any()  # noqa: B009


def test_a_neuron_that_reads_a_concatenation_gets_synapses_one_to_one() -> None:
    after = joined(("out", lif(), ("join",)))
    assert chains(after)["out"] == ["a > Scale > PadChannels", "b > Scale > PadChannels"]
    pads = [after.node(name) for name in after.of_kind(PadChannels)]
    assert [(pad.before, pad.after) for pad in pads if isinstance(pad, PadChannels)] == [(0, 4), (2, 0)]


def test_sums_side_by_side() -> None:
    """An Inception block: layers with biases, concatenated, pooled and scaled before one neuron."""
    after = split(
        ("one", Conv2d(weight=quarters(2, 2, 3, 3), bias=quarters(2), padding=(1, 1)), ("direct",)),
        ("two", Conv2d(weight=quarters(4, 1, 1, 1, seed=2), bias=quarters(4), groups=2), ("direct",)),
        ("join", Concat(), ("one", "two", "direct")),
        ("scale", Scale(weight=quarters(8, seed=3), bias=quarters(8, seed=5)), ("join",)),
        ("pool", POOL, ("scale",)),
        ("flat", Flatten(), ("pool",)),
        ("out", lif(), ("flat",)),
        shape=(2, 4, 4),
    )
    assert chains(after)["out"] == [
        "direct > Conv2d > Flatten > PadChannels", "direct > Conv2d > Flatten > PadChannels",
        "direct > SumPool2d > Flatten > Scale > PadChannels",
    ]  # fmt: skip


def test_what_is_concatenated_twice_and_with_itself() -> None:
    after = joined(
        ("more", Concat(), ("join", "a", "join")),
        ("conv", Conv2d(weight=quarters(2, 14, 1, 1)), ("more",)),
        ("out", lif(), ("conv",)),
        join=("a", "b", "a")[:2],
    )
    assert chains(after)["out"] == ["a > Conv2d"] + ["b > Conv2d"] + ["a > Conv2d"] * 2 + ["b > Conv2d"]


@pytest.mark.parametrize(
    ("groups", "expected"),
    [
        (1, {"a": 1, "b": 1}),
        (3, {"a": 1, "b": 2}),  # whole groups stay groups
        (6, {"a": 2, "b": 4}),
        (2, {"a": 1, "b": 1}),  # the first group sees two channels of a and one of b
    ],
)
def test_a_grouped_convolution_behind_a_concatenation(groups: int, expected: dict[str, int]) -> None:
    conv = Conv2d(weight=quarters(6, 6 // groups, 2, 2), bias=quarters(6, seed=1), groups=groups)
    after = joined(("conv", conv, ("join",)), ("pool", POOL, ("conv",)), ("out", lif(), ("pool",)))
    (out,) = (each for each in populations(after) if each.name == "out")
    found = {each.source: each.weighted.groups for each in out.projections if isinstance(each.weighted, Conv2d)}
    assert found == expected


def test_a_shape_that_mixes_concatenated_parts_is_refused() -> None:
    good = joined(
        ("line", Reshape(shape=(3, 2)), ("join",)),
        ("map", Reshape(shape=(3, 1, 2)), ("line",)),
        ("conv", Conv2d(weight=quarters(2, 3, 1, 2)), ("map",)),
        ("out", lif(), ("conv",)),
        shape=(2,),
    )
    assert chains(good)["out"] == ["a > Reshape > Conv2d", "b > Reshape > Conv2d"]
    message = r"out: the path from a: line gives the shape \(2, 3\), whose channels mix parts that were concatenated"
    with pytest.raises(GraphError, match=message):
        joined(("line", Reshape(shape=(2, 3)), ("join",)), ("out", lif(), ("line",)), shape=(2,))


def test_moves_that_follow_one_another_are_one_or_none() -> None:
    after = split(
        ("line", Reshape(shape=(2, 16)), ("direct",)),
        ("map", Reshape(shape=(2, 1, 16)), ("line",)),
        ("conv", Conv2d(weight=quarters(3, 2, 1, 3), bias=quarters(3)), ("map",)),
        ("back", Reshape(shape=(3, 14)), ("conv",)),
        ("again", Reshape(shape=(3, 1, 14)), ("back",)),
        ("pool", SumPool2d(kernel=(1, 2), stride=(1, 2)), ("again",)),
        ("flat", Flatten(), ("pool",)),
        ("end", Reshape(shape=(3, 7)), ("flat",)),
        ("scale", Scale(weight=quarters(3, seed=2), bias=quarters(3, seed=3)), ("end",)),
        ("lif", lif(0.5), ("scale",)),
        ("there", Reshape(shape=(7, 3)), ("lif",)),
        ("here", Reshape(shape=(3, 7)), ("there",)),
        ("out", lif(0.5), ("here",)),
        shape=(2, 4, 4),
    )
    assert chains(after) == {"lif": ["direct > Reshape > Conv2d > Reshape"], "out": ["lif > Scale"]}
    assert after.shape("lif") == (3, 7)


def test_a_linear_layer_whose_outputs_become_a_map_with_a_scale_per_channel() -> None:
    after = split(
        ("fc", Linear(weight=quarters(12, 2)), ("direct",)), ("map", Reshape(shape=(3, 2, 2)), ("fc",)),
        ("scale", Scale(weight=quarters(3, seed=2)), ("map",)), ("out", lif(0.5), ("scale",)),
    )  # fmt: skip
    assert chains(after) == {"out": ["direct > Linear > Reshape"]}


LOOP: tuple[Triple, ...] = (
    ("back", Recurrent(shape=(2,)), ("out",)),
    ("all", Linear(weight=quarters(2, 2), bias=quarters(2, seed=3)), ("back",)),
)


def test_in_one_time_step_nothing_comes_back_but_a_bias() -> None:
    after = split(*LOOP, ("sum", Add(), ("direct", "all")), ("out", lif(0.5), ("sum",)), steps=1)
    assert chains(after) == {"out": ["direct > Scale"]}
    out = after.node("out")
    assert isinstance(out, Neuron)
    assert out.bias.tolist() == quarters(2, seed=3).tolist()


def test_what_is_later_than_a_presentation_is_long_never_arrives() -> None:
    def delayed(*delays: int, steps: int) -> Graph:
        past = Recurrent(shape=(2,), steps=min(delays), axon_steps=np.array(delays, np.int8) - min(delays))
        nodes: tuple[Triple, ...] = (
            ("aside", lif(0.5), ("direct",)),
            ("late", past, ("aside",)),
            ("sum", Add(), ("direct", "late")),
            ("out", lif(0.5), ("sum",)),
        )
        return net(*nodes, steps=steps, stage="fused", outputs=("out", "aside"))

    assert chains(SplitProjections().run(delayed(3, 100, steps=3)))["out"] == ["direct > Scale"]
    before = delayed(2, 100, steps=3)
    after = SplitProjections().run(before)
    (past,) = map(after.node, after.of_kind(Recurrent))
    assert isinstance(past, Recurrent)
    assert past.delays.tolist() == [2, 3]  # of no more steps than there are
    assert_same(before, after, samples_of(before))
    long = SplitProjections().run(delayed(2, 100, steps=1000))
    assert long.node("late").delays.tolist() == [2, 100]  # type: ignore[attr-defined]


def test_an_encoder_that_is_read_too_late_is_refused() -> None:
    nodes: tuple[Triple, ...] = (
        ("late", Recurrent(shape=(2,), steps=3), ("direct",)),
        ("other", PoissonEncoder(), ("input",)),
        ("sum", Add(), ("late", "other")),
        ("out", lif(0.5), ("sum",)),
    )
    with pytest.raises(GraphError, match="direct: only delayed connections read it, which bring nothing in 3 time ste"):
        SplitProjections().run(net(*nodes, stage="fused"))


def test_delays_are_lowered_before_paths_are_split() -> None:
    graph = net(("late", AxonDelay(steps=np.array(1)), ("direct",)), ("out", lif(), ("late",)), stage="fused")
    with pytest.raises(GraphError, match="late: a delay stands among the synapses; run lower_delays before split_proj"):
        SplitProjections().run(graph)


def test_what_only_recurrence_feeds_or_reads_has_no_place_in_one_time_step() -> None:
    own: tuple[Triple, ...] = (*LOOP, ("out", lif(0.5), ("all",)), ("seen", lif(0.5), ("direct",)))
    assert chains(split(*own, outputs=("out", "seen")))["out"] == ["out > Recurrent > Linear"]
    with pytest.raises(GraphError, match="out: only delayed connections feed it, which bring nothing in one time ste"):
        SplitProjections().run(net(*own, outputs=("out", "seen"), stage="fused", steps=1))
    beside: tuple[Triple, ...] = (
        ("aside", lif(0.5), ("direct",)),
        ("back", Recurrent(shape=(2,)), ("aside",)),
        ("sum", Add(), ("direct", "back")),
        ("out", lif(0.5), ("sum",)),
    )
    assert chains(split(*beside))["out"] == ["direct > Scale", "aside > Recurrent > Scale"]
    with pytest.raises(GraphError, match="aside: only delayed connections read it, which bring nothing in one time s"):
        SplitProjections().run(net(*beside, stage="fused", steps=1))
