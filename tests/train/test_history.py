"""What a run logged: as data, as CSV, as a picture."""

import csv
import sys

import pytest

from jaxcore import train

ROWS = [
    {"step": 1, "epoch": 0, "loss": 2.0, "accuracy": 0.1, "gradient_norm": 1.0},
    {"step": 2, "epoch": 1, "loss": 1.0, "accuracy": 0.2, "val/loss": 1.5, "learning_rate": 0.1},
    {"step": 3, "epoch": 1, "loss": 0.5, "accuracy": 0.4},
    {"step": 4, "epoch": 2, "loss": 0.25, "accuracy": 0.5, "val/loss": 1.25, "learning_rate": 0.1},
]


def test_columns_are_the_rows_that_have_them():
    history = train.History(ROWS)
    assert history["val/loss"] == [1.5, 1.25]
    assert history.series("val/loss") == ([2, 4], [1.5, 1.25])
    assert history.last("loss") == 0.25
    assert len(history) == 4
    assert list(history) == ROWS
    assert history.names[-2:] == ["val/loss", "learning_rate"]


def test_an_unknown_column():
    with pytest.raises(train.TrainError, match=r"no column 'acc'[\s\S]*'accuracy'[\s\S]*val=") as e:
        train.History(ROWS)["acc"]
    assert "'val/loss'" in str(e.value)


def test_csv_gives_the_numbers_back(tmp_path):
    train.History(ROWS).to_csv(tmp_path / "a.csv")
    with open(tmp_path / "a.csv", newline="") as file:
        back = [{k: float(v) for k, v in row.items() if v} for row in csv.DictReader(file)]
    assert back == ROWS


def test_the_plot_has_a_panel_per_metric_with_both_curves(tmp_path):
    figure = train.History(ROWS).plot(tmp_path / "new" / "curve.png")
    loss, accuracy = figure.axes
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["loss", "accuracy"]
    assert [line.get_label() for line in loss.lines] == ["training", "validation"]
    assert list(loss.lines[1].get_xdata()) == [2, 4]
    assert list(loss.lines[1].get_ydata()) == [1.5, 1.25]
    assert (loss.get_yscale(), accuracy.get_yscale()) == ("log", "linear")
    assert (tmp_path / "new" / "curve.png").read_bytes().startswith(b"\x89PNG")


def test_the_plot_of_chosen_metrics():
    figure = train.History(ROWS).plot(metrics=["gradient_norm"])
    assert len(figure.axes) == 1
    with pytest.raises(train.TrainError, match="no column 'acc'"):
        train.History(ROWS).plot(metrics=["acc"])


def test_the_plot_without_matplotlib(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(train.TrainError, match="pip install matplotlib"):
        train.History(ROWS).plot()


def test_validations_by_name_share_the_panel_of_their_metric():
    rows = [{"step": s, "loss": 2.0 / s, "val/a/loss": 3.0, "val/b/loss": 4.0} for s in (1, 2)]
    rows[1] |= {"val/bleu": 0.5, "val/a/f1": 0.25}
    figure = train.History(rows).plot()
    labels = {
        axes.get_title(loc="left"): [line.get_label() for line in axes.lines]
        for axes in figure.axes
    }
    assert labels == {
        "loss": ["training", "a", "b"], "bleu": ["validation"], "a/f1": ["validation"],
    }  # fmt: skip


def test_it_says_how_it_ended():
    assert repr(train.History([])) == "History of no rows"
    fit = train.Fit(None, train.History(ROWS), "reached 2 epochs")
    state, history = fit
    assert state is fit.state and history is fit.history
    said = repr(fit)
    assert said.startswith("Fit: reached 2 epochs. History of 4 rows, the last: step 4  epoch 2")
