"""What the report draws and says, from runs that are made up."""

from __future__ import annotations

import itertools
import re
import types
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from gdw_tf.report import charts, palette, svg
from gdw_tf.report.figures import Bars, Lines, Matrix, Series, ticks
from gdw_tf.report.groups import Group, group
from gdw_tf.report.runs import RECORD, TEST, Weights, read_metrics
from gdw_tf.settings import resolve

GENERATOR = np.random.default_rng(0)


def made_up_run(method="gdw", seed=0, accuracies=(0.5, 0.6), complete=True, **parts):
    settings = resolve(method=method, seed=seed, **parts.pop("settings", {}))
    values = {"val_accuracy": np.array(accuracies), "epoch": np.arange(len(accuracies))}
    defaults = {"weights": None, "confusion": None, "curve": None, "gives_labels": False}
    defaults["files"] = ()
    return types.SimpleNamespace(
        settings=settings,
        metrics=values,
        epochs=len(accuracies),
        summary={} if complete else None,
        workdir=types.SimpleNamespace(root=f"{method}-{seed}"),
        missing={RECORD: "none was kept", TEST: "none was saved"},
        **{**defaults, "class_names": ("a", "b"), "class_counts": (5, 5), **parts},
    )


# Runs and groups.


def test_a_row_that_was_broken_off_is_left_out(tmp_path):
    path = tmp_path / "metrics.csv"
    path.write_text("epoch,loss\n0,1.5\n1,0.5\n2,0.2")
    columns = read_metrics(path)
    assert {name: values.tolist() for name, values in columns.items()} == {
        "epoch": [0.0, 1.0],
        "loss": [1.5, 0.5],
    }
    path.write_text("epoch,loss\n0,\n1\n")
    assert np.isnan(read_metrics(path)["loss"]).all()
    path.write_text("epoch,lo")
    assert read_metrics(path) == {} == read_metrics(tmp_path / "none.csv")


def test_runs_on_other_files_are_no_other_seeds():
    runs = [
        made_up_run(seed=seed, files=(f"data_file={name}",)) for seed, name in ((0, "a"), (1, "b"))
    ]
    assert [len(one.runs) for one in group(runs)] == [1, 1]
    assert [one.name for one in group(runs)] == ["gdw in gdw-0", "gdw in gdw-1"]
    for run, root in zip(runs, ("first/run", "second/run"), strict=True):
        run.workdir.root = root
    assert [one.name for one in group(runs)] == ["gdw in first/run", "gdw in second/run"]


def test_a_metric_that_no_complete_run_has_is_drawn_of_the_others():
    complete, under_way = made_up_run(seed=0), made_up_run(seed=1, complete=False)
    del complete.metrics["val_accuracy"]
    together = Group("gdw", (complete, under_way), 0)
    assert together.last_mean("val_accuracy") == (1.0, 2.0, pytest.approx(0.55))
    assert charts.accuracy_curves([together]).panels
    under_way.metrics["val_accuracy"] = np.full(2, np.nan)
    assert together.curve("val_accuracy") is None


def test_a_curve_is_the_mean_of_the_runs_that_got_as_far():
    runs = [made_up_run(seed=seed, accuracies=of) for seed, of in enumerate([(0.1, 0.2), (0.3,)])]
    epochs, mean, std = Group("gdw", tuple(runs), 0).curve("val_accuracy")
    np.testing.assert_array_equal(epochs, [1, 2])
    np.testing.assert_allclose(mean, [0.2, 0.2])
    np.testing.assert_allclose(std, [np.std([0.1, 0.3], ddof=1), 0.0])
    assert Group("gdw", tuple(runs), 0).curve("meta_accuracy") is None


def test_the_last_mean_is_that_of_complete_runs():
    long, short = made_up_run(accuracies=np.arange(8) / 10), made_up_run(seed=1, complete=False)
    begin, end, mean = Group("gdw", (long, short), 0).last_mean("val_accuracy")
    assert (begin, end, mean) == (4.0, 8.0, pytest.approx(0.5))
    assert Group("gdw", (short,), 0).last_mean("val_accuracy") == (1.0, 2.0, pytest.approx(0.55))


def test_groups_are_named_by_what_differs():
    runs = [
        made_up_run(),
        made_up_run(settings={"memory": 0.7}),
        made_up_run("ce"),
        made_up_run("ce", settings={"epochs": 7}),
    ]
    names = [one.name for one in group(runs)]
    assert names == ["gdw", "gdw:memory=0.7", "ce", "ce:epochs=7"]


# Charts.


def of_weights(of_classes, given, true, **parts):
    weights = Weights(np.array(of_classes, float), np.array(given), true)
    return Group("gdw", (made_up_run(weights=weights, **parts),), 0)


def test_without_the_truth_there_is_one_distribution():
    weights = GENERATOR.uniform(size=(50, 2))
    figure = charts.weight_distributions([of_weights(weights, np.arange(50) % 2, None)])
    assert {one.name for panel in figure.panels for one in panel.series} == {charts.ALL}
    on_given = figure.panels[1]
    assert on_given.series[0].y.sum() == pytest.approx(100)
    mean = weights[np.arange(50), np.arange(50) % 2].mean()
    assert on_given.note == f"mean: all labels {mean:.3f}"


def test_labels_that_a_method_gives_are_called_labels():
    labels = [[0.9, 0.1], [0.2, 0.8]]
    given = of_weights(labels, [0, 0], np.array([0, 1]), gives_labels=True)
    titles = [panel.title for panel in charts.weight_distributions([given]).panels]
    assert titles == ["gdw: label on the label given", "gdw: label behind a wrong label"]


def test_the_mean_class_weight_of_a_label_that_no_example_has_is_not_known():
    weights = [[1.0, 2.0, 3.0], [3.0, 4.0, 5.0], [7.0, 8.0, 9.0]]
    members = of_weights(weights, [0, 0, 2], None, class_names=("a", "b", "c"))
    means = charts.mean_class_weights(members.runs)
    np.testing.assert_allclose(means, [[2, 3, 4], [np.nan] * 3, [7, 8, 9]])
    (panel,) = charts.class_weights([members]).panels
    drawn = ElementTree.fromstring(svg.draw(panel, "k"))
    assert sum("cell" in one.get("class") for one in drawn.iter("text")) == 6


def test_a_long_tail_is_drawn_by_the_sizes_of_the_classes():
    confusion = np.array([[9, 1, 0], [2, 8, 0], [5, 3, 2]])
    runs = made_up_run(confusion=confusion, class_counts=(900, 90, 9), class_names=("a", "b", "c"))
    (panel,) = charts.class_accuracies([Group("gdw", (runs,), 0)]).panels
    np.testing.assert_allclose(panel.series[0].x, [900, 90, 9])
    np.testing.assert_allclose(panel.series[0].y, [90, 80, 20])
    assert panel.note == (
        "gdw: 90.0 % in the largest third of the classes, 20.0 % in the smallest."
    )
    even = made_up_run(confusion=confusion, class_counts=(9, 8, 9), class_names=("a", "b", "c"))
    figure = charts.class_accuracies([Group("gdw", (even,), 0)])
    assert not figure.panels and "about the same size (8 to 9" in figure.missing[0]


def test_reasons_that_groups_share_are_told_once():
    groups = [Group(name, (made_up_run(),), 0) for name in ("one", "two")]
    figure = charts.confusion_matrices(groups)
    assert not figure.panels and list(figure.missing) == ["one, two: none was saved."]


# Drawings.


@pytest.mark.parametrize("count", [2, 10, 20, 100])
def test_matrices_of_any_size_are_drawn(count):
    names = [f"class number {one}" for one in range(count)]
    panel = Matrix("m", "given", "class", names, GENERATOR.uniform(size=(count, count)), 2, "alt")
    drawn = svg.draw(panel, "k")
    tree = ElementTree.fromstring(drawn)
    squares = sum(one.get("d").count("z") for one in tree.iter("path"))
    assert squares == count**2 + palette.LEVELS
    assert len(drawn) < 40 * count**2 + 20_000
    width, height = map(float, tree.get("viewBox").split()[2:])
    for one in tree.iter("text"):
        assert 0 <= float(one.get("x")) <= width and 0 <= float(one.get("y")) <= height


def test_equal_values_are_drawn_too():
    flat = Series("flat", np.array([1.0]), np.array([0.0]), spread=np.zeros(1), label="flat 0")
    panels = (
        Lines("l", "epoch", [flat], "alt"),
        Matrix("m", "given", "class", ("a", "b"), np.zeros((2, 2)), 0, "alt"),
        Bars("b", ("one",), [np.zeros(2)], [0], 1, "alt"),
    )
    for panel in panels:
        assert "nan" not in svg.draw(panel, "k") and "inf" not in svg.draw(panel, "k")


def test_labels_at_the_ends_of_lines_do_not_overlap():
    series = [
        Series(str(one), np.arange(3.0), np.full(3, 0.5), one, label=f"line {one}")
        for one in range(8)
    ]
    tree = ElementTree.fromstring(svg.draw(Lines("l", "epoch", series, "alt"), "k"))
    heights = sorted(
        float(one.get("y")) for one in tree.iter("text") if one.get("class") == "label"
    )
    assert len(heights) == 8
    assert min(after - before for before, after in itertools.pairwise(heights)) >= 12


def test_text_of_users_is_escaped():
    panel = Bars('<a> & "b"', ("<c>",), [np.ones(1)], [0], 1, "<d>")
    tree = ElementTree.fromstring(svg.draw(panel, "k"))
    assert tree.find("title").text == '<a> & "b"'
    assert [one.text for one in tree.iter("text")] == ["<c>: 1.0"]


@pytest.mark.parametrize(("low", "high"), [(0, 1), (0.2, 0.21), (-3, 1000), (0, 6e-5), (17, 93)])
def test_ticks_are_few_round_and_within(low, high):
    found = ticks(low, high)
    assert 2 <= len(found) <= 7
    assert (found >= low - 1e-12).all() and (found <= high + 1e-12).all()
    np.testing.assert_allclose(np.diff(found), found[1] - found[0])


# Colours.


def contrast(one: str, other: str) -> float:
    """As the Web Content Accessibility Guidelines define it."""

    def luminance(colour: str) -> float:
        channels = [int(part, 16) / 255 for part in re.findall("..", colour.removeprefix("#"))]
        linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize(("ground", "colour"), [("light", "#ffffff"), ("dark", "#10151b")])
def test_lines_and_text_stand_out_from_the_ground(ground, colour):
    for line in palette.LINES[ground]:
        assert contrast(line, colour) >= 4.5  # their labels are text
    for shade in palette.shades(ground):
        assert contrast(palette.text_on(shade), shade) >= 4.5
