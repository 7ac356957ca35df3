"""The benchmarks do what they say: both sides train alike, and a ratio is a ratio."""

import dataclasses
import xml.etree.ElementTree

import jax
import numpy as np
import pytest

from benchmarks import __main__ as cases
from benchmarks import (
    agreement,
    convolution,
    gpt,
    gpu,
    host_overhead,
    libraries,
    modules,
    peers,
    picture,
    report,
    resnet,
    second_start,
    trainer,
    work,
)
from benchmarks.harness import OURS, PEER, Row, in_turns, repeated, row
from benchmarks.sides import SIDES
from benchmarks.works import hessian, llama, lstm, mlp, ode, per_example, ppo, vit, wgan
from jaxcore import nn, random, train

pytestmark = pytest.mark.rank_promotion  # the GPT adds its biases as a first draft would
TINY = gpt.Config(layers=2, width=8, heads=2, vocabulary=11, batch=2, length=5)


WORKS = {
    "gpt": lambda: gpt.work(TINY),
    "gpt, blocks under jit": lambda: gpt.work(TINY, gpt.nested_jit),
    "mlp": lambda: mlp.work(8, 4, batch=3),
    "lstm": lambda: lstm.work(4, 3, batch=2, length=3),
    "llama": lambda: llama.work(16, 4, 2, batch=2, length=5),
    "vit": lambda: vit.work(8, 2, layers=2, batch=2, size=32),
    "wgan": lambda: wgan.work(2, batch=3, size=8),
    "hessian": lambda: hessian.work(3, 2, batch=5),
    "ode": lambda: ode.work(4, batch=3),
    "per_example": lambda: per_example.work(2, batch=3, size=8),
    "libraries, mlp": lambda: libraries.work("mlp", 8),
    "libraries, lstm": lambda: libraries.work("lstm", 4),
}


@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")
@pytest.mark.parametrize("name", WORKS)
def test_all_compute_the_same(name, monkeypatch):
    work_ = WORKS[name]()
    monkeypatch.setattr(ode, "STEPS", 3)
    sides = {side.name: work.stepping(work_.jitted(side), work_) for side in SIDES}
    peers_ = {name: begin() for name, begin in work_.others.items() if name != "torch.compile"}
    work.check(sides | peers_)
    if name.startswith("libraries"):
        assert {"NNX", "Equinox"} <= set(peers_)
    before, after = (float(sides[OURS]()) for _ in range(2))
    assert np.isfinite([before, after]).all() and before != after  # it learns


def test_what_does_not_agree_is_no_measurement():
    with pytest.raises(AssertionError, match="peer and jax do not compute the same"):
        work.check({PEER: lambda: 1.0, "peer": lambda: 1.1})


def test_every_figure_of_a_work_is_taken(monkeypatch):
    monkeypatch.setattr(work, "WITHOUT", {"torch.compile"})
    rows = work.measure(
        "MLP", lambda k: mlp.work(8 + k, 4, batch=3), traces=2, compiles=1, step=2.0
    )
    figures = ["trace + lower", "compile", "first step", "temporaries", "step"]
    assert [row.name for row in rows] == [f"MLP: {figure}" for figure in figures]
    assert all(row.ours > 0 and row.peer > 0 for row in rows)
    assert [row.target for row in rows] == [None] * 4 + [2.0] and rows[3].unit == "B"


def test_ppo_plays_the_same_on_both_sides(monkeypatch):
    monkeypatch.setattr(ppo, "STEPS", 3)
    ours, peer = map(ppo.iteration, SIDES)
    for _ in range(2):
        np.testing.assert_allclose(ours(), peer(), rtol=1e-4)


def test_the_gpu_section_measures_each_form(monkeypatch):
    monkeypatch.setattr(gpu, "FORMS", ("rolled",))
    tiny = dataclasses.replace(gpt.work(dataclasses.replace(TINY, dtype="bfloat16")), others={})
    rows = gpu.measure("GPT", tiny, items=10, unit="tokens", rounds=3)
    assert [row.name.partition(" (")[0] for row in rows] == [
        "GPT, rolled: first step",
        "GPT, rolled: step",
    ]
    assert "tokens/s" in rows[1].name and all(row.ratio > 0 for row in rows)
    assert gpu.run() == [] or jax.default_backend() == "gpu"


def test_every_case_says_what_it_is():
    assert all(len(line.split()) > 4 for line in cases.described().splitlines())


def test_peers_that_are_missing_are_named(monkeypatch):
    monkeypatch.setattr(peers, "LIBRARIES", ("jax", "no_such_library"))
    monkeypatch.setattr(peers, "installed", lambda name: name == "jax")
    assert peers.left_out() == "left out, not installed: no_such_library"
    assert peers.torch_training(None, {}, ()) == {}


def test_the_step_on_the_host_is_the_same_on_both_sides(monkeypatch):
    monkeypatch.setattr(host_overhead, "LAYERS", 2)
    ours, peer = host_overhead.stepping(), host_overhead.plain()
    for _ in range(3):
        np.testing.assert_allclose(ours() / host_overhead.ROWS, peer(), rtol=1e-5)
    monkeypatch.setattr(host_overhead, "STEPS", 3)
    monkeypatch.setattr(host_overhead, "ROUNDS", 2)
    samples = host_overhead.training()
    assert [len(times) for times in samples.values()] == [2, 2]


def test_fit_is_timed_beside_the_loop_by_hand():
    size = trainer.Size("small", width=4, rows=8, steps=4, rounds=2)
    samples = trainer.fitting(size)
    assert [len(times) for times in samples.values()] == [2, 2]
    hand, data = trainer.by_hand(size), trainer.batches(*trainer.arrays(size), size.rows)
    state = train.init_state(trainer.task(size), random.key(0), next(data))
    step = train.make_step(trainer.task(size))
    for _ in range(3):  # the loop by hand takes the same steps
        state, metrics = step(state, next(data))
        np.testing.assert_allclose(float(metrics["loss"]), hand(), rtol=1e-4)


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
    samples = {OURS: [1.0, 2.0, 30.0], PEER: [2.0, 4.0, 6.0], "torch": [10.0]}
    measured = row("case", samples, target=0.5)
    assert (measured.ours, measured.peer, measured.ratio) == (2.0, 4.0, 0.5)
    assert measured.others == {"torch": 3.0}  # beside the last of ours
    assert measured.met


def test_the_report_shows_and_writes_every_row(tmp_path):
    rows = [Row("quick", 1.5e-6, 3e-6, 0.5, 0.6, others={"torch": 0.3}), Row("slow", 2.0, 1.0, 2)]
    line = "| quick | 1.50 µs | 3.00 µs | 0.50 | ≤ 0.6 | torch 0.30 |"
    assert line in report.markdown_table(rows)
    assert report.terminal_table(rows).row_count == 2
    report.write_json(rows, tmp_path / "deep" / "rows.json")
    assert '"ratio": 2' in (tmp_path / "deep" / "rows.json").read_text()


@pytest.mark.slow
def test_a_second_process_takes_the_step_sooner(tmp_path):
    first, second = (second_start.process(OURS, 1, tmp_path) for _ in range(2))
    assert 0 < second < first


@pytest.mark.parametrize("depth", [18, 50])
def test_the_resnets_have_the_same_variables(depth) -> None:
    images = jax.ShapeDtypeStruct((1, 32, 32, 3), "float32")
    key = jax.random.key(0)
    model = {18: nn.models.resnet18, 50: nn.models.resnet50}[depth](resnet.CLASSES)
    ours, twin = (jax.eval_shape(m.init, key, images) for m in (model, resnet.ResNet(depth)))
    types = lambda tree: jax.tree.map(lambda x: (x.shape, str(x.dtype)), dict(tree))
    assert types(ours) == types(twin)


def test_a_decoder_of_modules_is_the_same_in_both_libraries(monkeypatch):
    monkeypatch.setattr(modules, "LAYERS", 1)
    monkeypatch.setattr(modules, "WIDTH", 8)
    calls = modules.applying()  # compares the logits
    assert calls[OURS]().shape == (8, 32, modules.VOCABULARY)
    for prepare in (modules.shapes, modules.tracing, modules.lowering):
        for _, make, library, key in modules.SIDES:
            assert prepare(make, library, key, 8)() is not None


def test_a_convolution_is_measured_in_each_direction():
    conv = convolution.Convolution(4, 2, 4, 3, stride=2, groups=2)
    rows = convolution.measure("it", conv, 1, rounds=1, seconds=1e-6)
    names = ["forward", "input gradient", "kernel gradient", "compile all three"]
    assert [r.name for r in rows] == [f"it: {name}" for name in (*names, "temporaries at most")]


def test_twins_of_the_examples_have_their_batches_and_rates():
    work_ = agreement.digits_work(epochs=3)
    rates = [work_.rate * agreement._schedule(work_, step) for step in range(work_.steps + 1)]
    np.testing.assert_allclose(
        rates, [float(work_.task.lr(step)) for step in range(work_.steps + 1)], rtol=1e-4, atol=1e-9
    )
    places = [*agreement._batches(work_.data, work_.data.steps_per_epoch + 2)][-2:]
    for ours, theirs in zip(work_.data.batches(1), places, strict=False):
        np.testing.assert_array_equal(ours[0], theirs[0])


def test_a_twin_in_torch_ends_where_the_example_does():
    pytest.importorskip("torch")
    x = np.random.default_rng(0).integers(0, 9, (8, 9)).astype(np.int32)
    model = agreement.char_lm.Transformer(9, width=32, layers=1, length=8)
    data = train.ArrayData(x, batch_size=4)
    work_ = agreement.Work(
        agreement.char_lm.make_task(model, 6, 1e-2), data, data, 6, "loss", ("", max),
        agreement._lm_loss, agreement._lm_score, {"weight_decay": 1e-2, "betas": (0.9, 0.95)},
        rate=1e-2, final=1e-2 / 20, clip=1.0,
    )  # fmt: skip
    np.testing.assert_allclose(agreement.ours(work_, 0), agreement.theirs(work_, 0), rtol=1e-4)
