"""The benchmarks do what they say: both sides train alike, and a ratio is a ratio."""

import xml.etree.ElementTree

import jax
import numpy as np
import pytest

from benchmarks import gpt, gpt_step, host_overhead, picture, report, resnet, second_start
from benchmarks.harness import OURS, PEER, Row, in_turns, repeated, row
from benchmarks.sides import SIDES
from jaxcore import nn

pytestmark = pytest.mark.rank_promotion  # the GPT adds its biases as a first draft would
TINY = gpt.Config(layers=2, width=8, heads=2, vocabulary=11, batch=2, length=5)


@pytest.mark.parametrize("call", [gpt_step.plain, gpt_step.nested_jit], ids=lambda f: f.__name__)
def test_both_sides_take_the_same_step(call):
    results = {}
    for side in SIDES:
        step = gpt.training_step(side, TINY, call(side))
        (params, _), loss = step(gpt.state(TINY), gpt.tokens(TINY))
        results[side.name] = (loss, params["block_1"]["up"], params["embed"])
    for ours, peer in zip(results[OURS], results[PEER], strict=True):
        np.testing.assert_allclose(ours, peer, rtol=1e-4, atol=2e-5)


def test_lowering_is_timed_on_a_program_never_seen():
    for side in SIDES:
        compiled = gpt_step.lowering(side, TINY, gpt_step.plain(side))().compile()
        _, loss = compiled(gpt.state(TINY), gpt.tokens(TINY))
        assert 2 < float(loss) < 3  # log 11 = 2.4


def test_the_step_on_the_host_is_the_same_on_both_sides(monkeypatch):
    monkeypatch.setattr(host_overhead, "LAYERS", 2)
    ours, peer = host_overhead.stepping(), host_overhead.plain()
    for _ in range(3):
        np.testing.assert_allclose(ours() / host_overhead.ROWS, peer(), rtol=1e-5)
    monkeypatch.setattr(host_overhead, "STEPS", 3)
    monkeypatch.setattr(host_overhead, "ROUNDS", 2)
    samples = host_overhead.training()
    assert [len(times) for times in samples.values()] == [2, 2]


def test_sides_take_turns():
    calls = []
    sides = {OURS: lambda: calls.append("o"), PEER: lambda: calls.append("p")}
    samples = in_turns(sides, 3)
    assert "".join(calls) == "oppoop"
    assert [len(times) for times in samples.values()] == [3, 3]


def test_repeated_measures_each_side():
    measured = repeated("sum", {OURS: lambda: sum(range(9)), PEER: lambda: 0}, rounds=3, seconds=0)
    assert measured.ours > 0 and measured.peer > 0 and measured.met is None


def test_the_picture_has_a_bar_for_each_row(tmp_path):
    rows = [Row("step <12>", 0.03, 0.04, 0.75), Row("memory", 2e7, 1e7, 2.0, unit="B")]
    picture.write_picture(rows, "jax 0.12", tmp_path / "rows.svg")
    drawn = xml.etree.ElementTree.parse(tmp_path / "rows.svg").getroot()
    texts = [x.text for x in drawn if x.tag.endswith("text")]
    assert {"step <12>", "0.75", "20.0 MB  /  10.0 MB", "jax 0.12"} <= set(texts)
    widths = [float(x.get("width")) for x in drawn if x.tag.endswith("rect")][1:]
    assert len(widths) == 2 and widths[0] < widths[1]


def test_the_ratio_is_the_median_of_the_rounds():
    measured = row("case", {OURS: [1.0, 2.0, 30.0], PEER: [2.0, 4.0, 6.0]}, target=0.5)
    assert (measured.ours, measured.peer, measured.ratio) == (2.0, 4.0, 0.5)
    assert measured.met


def test_the_report_shows_and_writes_every_row(tmp_path):
    rows = [Row("quick", 1.5e-6, 3e-6, 0.5, 0.6), Row("slow", 2.0, 1.0, 2.0)]
    assert "| quick | 1.50 µs | 3.00 µs | 0.50 | ≤ 0.6 |" in report.markdown_table(rows)
    assert report.terminal_table(rows).row_count == 2
    report.write_json(rows, tmp_path / "deep" / "rows.json")
    assert '"ratio": 2.0' in (tmp_path / "deep" / "rows.json").read_text()


@pytest.mark.slow
def test_a_second_process_takes_the_step_sooner(tmp_path):
    first, second = (second_start.process(OURS, 1, tmp_path) for _ in range(2))
    assert 0 < second < first


def test_the_resnets_have_the_same_variables() -> None:
    images = jax.ShapeDtypeStruct((1, 32, 32, 3), "float32")
    key = jax.random.key(0)
    ours, twin = (
        jax.eval_shape(model.init, key, images)
        for model in (nn.models.resnet18(resnet.CLASSES), resnet.ResNet18())
    )
    types = lambda tree: jax.tree.map(lambda x: (x.shape, str(x.dtype)), dict(tree))
    assert types(ours) == types(twin)
