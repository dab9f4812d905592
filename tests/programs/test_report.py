"""The report of runs: what stands in it, and that it is what the runs' files say."""

from __future__ import annotations

import csv
import html.parser
import json
import re
import shutil
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from gdw_tf.data import load, prepare
from gdw_tf.flag_files import flag_lines
from gdw_tf.settings import resolve
from gdw_tf.workdir import Workdir

from .conftest import SHORT, run

NOISE = ("--noise=flip", "--noise_rate=0.4", "--imbalance_factor=0.3")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A directory of four runs: two of a method, of which one has no record; to be read only."""
    root = tmp_path_factory.mktemp("runs")
    for name, *own in (
        ("gdw-seed0",),
        ("gdw-seed1", "--seed=1", "--norecord_examples"),
        ("mw_net-seed0", "--method=mw_net"),
        ("ce-seed0", "--method=ce"),
    ):
        finished = run("train", *SHORT, *NOISE, *own, f"--workdir={root / name}")
        assert finished.code == 0, finished.err
    return root


@pytest.fixture(scope="module")
def reported(runs, tmp_path_factory):
    """The page about them, and the directory of its pictures."""
    out = tmp_path_factory.mktemp("report")
    finished = run("report", runs, f"--out={out / 'page.html'}", f"--png={out / 'png'}")
    assert finished.code == 0, finished.err
    assert "4 runs in 3 groups" in finished.out
    return (out / "page.html").read_text(), out / "png"


class Tables(html.parser.HTMLParser):
    """The rows of a page's tables, by the names of their regions; and what tags are left open."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.rows: dict[str, list[list[str]]] = {}
        self.open: list[str] = []
        self._cells: list[str] | None = None
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        if tag not in ("meta", "link", "wbr"):
            self.open.append(tag)
        if dict(attrs).get("role") == "region":
            self._table = self.rows.setdefault(dict(attrs)["aria-label"], [])
        if tag == "tr":
            self._cells = []
        if tag in ("td", "th"):
            self._cells.append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag
        if tag == "tr":
            self._table.append(self._cells)
            self._cells = None

    def handle_data(self, data):
        if self._cells:
            self._cells[-1] += data


def drawings(page: str) -> dict[str, ElementTree.Element]:
    """The page's drawings by their titles."""
    found = [ElementTree.fromstring(one) for one in re.findall(r"<svg.*?</svg>", page, re.DOTALL)]
    titled = [one for one in found if one.get("aria-hidden") is None]
    by_title = {one.find("title").text: one for one in titled}
    assert len(by_title) == len(titled)
    return by_title


def texts(drawing: ElementTree.Element, classes: str) -> list[str]:
    """The words in a drawing whose style begins with these classes."""
    return [
        one.text for one in drawing.iter("text") if one.get("class").split()[:1] == classes.split()
    ]


def column(workdir, name: str) -> np.ndarray:
    with (workdir / "metrics.csv").open(newline="") as file:
        return np.array([float(row[name]) for row in csv.DictReader(file)])


def noisy_data(seed: int = 0):
    return prepare(
        load("digits"),
        num_meta=20,
        noise="flip",
        noise_rate=0.4,
        imbalance_factor=0.3,
        train_examples=200,
        seed=seed,
    )


def test_the_table_has_the_means_and_deviations_of_the_metrics(runs, reported):
    rows = {row[0]: row for row in Tables(reported[0]).rows["Comparison"]}
    of_gdw = [100 * column(runs / f"gdw-seed{seed}", "val_accuracy")[-5:].mean() for seed in (0, 1)]
    assert rows["gdw"][1:3] == ["0, 1", f"{np.mean(of_gdw):.1f} ± {np.std(of_gdw, ddof=1):.1f}"]
    of_ce = 100 * column(runs / "ce-seed0", "val_accuracy")[-5:].mean()
    assert rows["ce"][1:3] == ["0", f"{of_ce:.1f}"]
    seconds = json.loads((runs / "ce-seed0" / "summary.json").read_text())["seconds_per_step"]
    assert rows["ce"][3] == f"{seconds:.4f}"


@pytest.mark.parametrize(
    ("title", "name", "scale", "digits"),
    [
        ("Test accuracy in %", "val_accuracy", 100, 1),
        ("Meta accuracy in %", "meta_accuracy", 100, 1),
        ("Training loss, on the labels given", "loss", 1, 3),
    ],
)
def test_curves_end_in_the_mean_of_the_last_epochs(title, name, scale, digits, runs, reported):
    drawing = drawings(reported[0])[title]
    expected = set()
    for method, seeds in {"gdw": (0, 1), "mw_net": (0,), "ce": (0,)}.items():
        of_seeds = [column(runs / f"{method}-seed{seed}", name)[-5:].mean() for seed in seeds]
        expected.add(f"{method} {scale * np.mean(of_seeds):.{digits}f}")
    assert set(texts(drawing, "label")) == expected
    assert all(one in drawing.find("desc").text for one in expected)


def test_distributions_are_those_of_the_record(runs, reported):
    record = Workdir(runs / "gdw-seed0").checkpoints.latest().load().training_record
    noisy = noisy_data()
    on_given = np.take_along_axis(record.class_weights, noisy.y_train[:, np.newaxis], axis=1)[:, 0]
    right = noisy.y_train == noisy.y_true
    assert 0 < right.sum() < len(right)
    means = (on_given[right].mean(), on_given[~right].mean())
    assert "mean: right labels {:.3f}; wrong labels {:.3f}".format(*means) in reported[0]
    behind = record.class_weights[np.flatnonzero(~right), noisy.y_true[~right]].mean()
    assert f"mean: true class behind a wrong label {behind:.3f}; other classes" in reported[0]


def test_the_class_weights_are_means_by_label_given_and_class(runs, reported):
    record = Workdir(runs / "gdw-seed0").checkpoints.latest().load().training_record
    labels = noisy_data().y_train
    expected = [record.class_weights[labels == label].mean(axis=0) for label in range(10)]
    drawing = drawings(reported[0])["gdw: mean weight of a class"]
    assert texts(drawing, "cell") == [f"{value:.2f}" for row in expected for value in row]


def test_the_confusion_matrix_is_that_of_the_latest_checkpoints(runs, reported):
    counts = np.zeros((10, 10))
    for seed in (0, 1):
        noisy = noisy_data(seed)
        model = Workdir(runs / f"gdw-seed{seed}").checkpoints.latest().load()
        taken = model.classifier.predict(noisy.x_test, verbose=0).argmax(axis=1)
        for true, one in zip(noisy.y_test, taken, strict=True):
            counts[true, one] += 1
    shares = 100 * counts / counts.sum(axis=1, keepdims=True)
    drawing = drawings(reported[0])["gdw: test images in %"]
    assert texts(drawing, "cell") == [f"{share:.0f}" for share in shares.ravel()]
    rows = Tables(reported[0]).rows["Accuracy of each class"]
    assert [row[0] for row in rows[1:]] == [str(digit) for digit in range(10)]
    place = rows[0].index("gdw")
    # The mean over the seeds, whose test images are the same.
    assert [row[place] for row in rows[1:]] == [f"{share:.1f}" for share in np.diag(shares)]


def test_the_weight_net_is_drawn_from_its_curve(runs, reported):
    drawing = drawings(reported[0])["mw_net: weight of a loss"]
    with (runs / "mw_net-seed0" / "weight_curve.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    first, last = (float(rows[1][place]) for place in (1, -1))
    said = f"In epoch 1 the weight goes from {first:.2f} at loss 0 to {last:.2f} at loss 10"
    assert said in drawing.find("desc").text
    assert texts(drawing, "") == ["epoch 1", "epoch 2"]


def test_what_is_missing_is_said_with_the_reason(reported):
    page = reported[0]
    for sentence in (
        "ce: the method has no weight net.",
        "ce: the method gives its examples no weights.",
        "gdw (seed 1): it kept no record: it is an old run, or one with --norecord_examples.",
        "mw_net: an example has one weight, the same for each class.",
    ):
        assert sentence in page
    assert "unfinished" not in page
    sizes = noisy_data().class_counts
    assert max(sizes) > 2 * min(sizes)
    assert "Test accuracy of a class in %" in drawings(page)


def test_flags_versions_and_provenance_are_there(runs, reported):
    page = reported[0]
    assert "--imbalance_factor=0.3" in page and "version of tensorflow" in page
    assert re.search(r"Page made on: .* CPU, gdw_tf .*, commit ", page)
    assert "python -m gdw_tf.report" in page


def test_the_page_needs_nothing_else(reported):
    page = reported[0]
    assert len(page.encode()) < 500_000
    for outside in ("http:", "https:", "//www", "src=", "url(", "@import", "<script"):
        assert outside not in page
    assert set(re.findall(r'href="(.)', page)) == {"#", "d"}  # d of data:
    links = re.findall(r'href="#([^"]*)"', page)
    assert links and all(page.count(f'id="{link}"') == 1 for link in links)


def test_the_page_is_whole_and_every_figure_is_told_in_words(reported):
    page = reported[0]
    assert Tables(page).open == []
    for drawing in drawings(page).values():
        assert drawing.get("role") == "img"
        assert len(drawing.find("desc").text) > 10
    assert page.count("<figure>") == page.count("<figcaption>") >= 6
    identifiers = re.findall(r' id="([^"]*)"', page)
    assert len(identifiers) == len(set(identifiers))
    assert "nan" not in re.sub(r"<pre.*?</pre>", "", page, flags=re.DOTALL).lower()


def test_the_figures_are_pictures_too(reported):
    written = {path.name for path in reported[1].iterdir()}
    keys = ("accuracy", "loss", "weight_net", "weights", "class_weights", "confusion", "classes")
    assert written == {f"{key}.png" for key in (*keys, "time")}
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in reported[1].iterdir())


def test_pictures_need_matplotlib(runs, tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    finished = run("report", runs, f"--out={tmp_path / 'page.html'}", f"--png={tmp_path}")
    assert finished.code == 2 and 'pip install "gdw_tf[report]"' in finished.err
    assert not list(tmp_path.iterdir())


# Runs that are not all there.


def write_run(root, epochs: int = 4, complete: bool = True, **settings) -> None:
    """Writes the files of a run without a checkpoint; its test accuracy is 0.1, 0.2 ..."""
    root.mkdir(parents=True)
    settings = resolve(**{"epochs": 4, **settings})
    (root / "flags.txt").write_text("\n".join(["# a run", *flag_lines(settings), ""]))
    lines = ["epoch,accuracy,loss,val_accuracy,val_loss,seconds_per_step"]
    lines += [f"{one},0.5,1.5,{(one + 1) / 10},1.0,0.25" for one in range(epochs)]
    (root / "metrics.csv").write_text("\n".join([*lines, ""]))
    if complete:
        summary = {"final_accuracy": 0.25, "best_accuracy": 0.4, "seconds_per_step": 0.25}
        (root / "summary.json").write_text(json.dumps(summary))


def report(tmp_path, *arguments) -> str:
    finished = run("report", *arguments, f"--out={tmp_path / 'page.html'}")
    assert finished.code == 0, finished.err
    return (tmp_path / "page.html").read_text()


def test_an_unfinished_run_is_shown_as_far_as_it_is(tmp_path):
    write_run(tmp_path / "run", epochs=3, complete=False)
    with (tmp_path / "run" / "metrics.csv").open("a") as file:
        file.write("3,0.5,1.5,0.9")  # broken off
    page = report(tmp_path, tmp_path / "run")
    assert "gdw (seed 0): unfinished, 3 of 4 epochs are there." in page
    assert texts(drawings(page)["Test accuracy in %"], "label") == ["gdw 20.0"]
    assert "gdw: it has no checkpoint yet." in page
    assert "it has no weight_curve.csv: no epoch is complete, or it is an old run." in page
    assert "gdw: no run is complete." in page
    assert page.count("<figure>") == 2  # no empty ones


def test_files_of_a_run_that_are_no_longer_whole_are_named(tmp_path):
    write_run(tmp_path / "run", method="mw_net")
    (tmp_path / "run" / "weight_curve.csv").write_text("0.0,0.25\n0.5,0.6\n")
    assert "its weight_curve.csv has no column epoch" in report(tmp_path, tmp_path / "run")
    for content in ("{}", "[]", "{"):
        (tmp_path / "run" / "summary.json").write_text(content)
        finished = run("report", tmp_path / "run", f"--out={tmp_path / 'page.html'}")
        assert finished.code == 2
        assert "This is no summary. Received: " in finished.err


def test_a_run_that_has_just_begun_has_no_figures(tmp_path):
    write_run(tmp_path / "run", complete=False)
    (tmp_path / "run" / "metrics.csv").unlink()
    page = report(tmp_path, tmp_path / "run")
    assert "unfinished, 0 of 4 epochs" in page
    assert "<figure>" not in page


def test_data_and_checkpoints_that_are_gone_are_named(runs, tmp_path):
    shutil.copytree(runs / "ce-seed0", tmp_path / "damaged")
    for model in (tmp_path / "damaged").rglob("model.keras"):
        model.write_bytes(b"years of work")
    write_run(tmp_path / "moved", dataset="npz", method="mw_net")
    with (tmp_path / "moved" / "flags.txt").open("a") as file:
        file.write(f"--data_file={tmp_path / 'gone.npz'}\n")
    with pytest.warns(UserWarning, match="is damaged"):
        page = report(tmp_path, tmp_path / "damaged", tmp_path / "moved")
    assert re.search(r"ce:dataset=digits.*: its checkpoint cannot be read \(No checkpoint", page)
    assert re.search(r"mw_net:dataset=npz.*: its data cannot be read \(.*gone.npz", page)


def test_runs_that_differ_in_the_seed_only_are_one(tmp_path):
    for name, settings in {
        "a": {"seed": 0},
        "b": {"seed": 1},
        "c": {"seed": 0, "memory": 0.7},
        "d": {"seed": 0, "method": "ce"},
    }.items():
        write_run(tmp_path / "all" / name, **settings)
    write_run(tmp_path / "again", seed=1)
    (tmp_path / "all" / "notes").mkdir()  # no run
    page = report(tmp_path, tmp_path / "all", tmp_path / "all" / "a", tmp_path / "again")
    rows = Tables(page).rows["Comparison"][1:]
    assert [row[:3] for row in rows] == [
        ["gdw in a", "0, 1", "25.0 ± 0.0"],
        ["gdw:memory=0.7", "0", "25.0"],
        ["ce", "0", "25.0"],
        ["gdw in again", "1", "25.0"],
    ]


def test_text_of_users_is_text(tmp_path):
    write_run(tmp_path / "<b>&run")
    page = report(tmp_path, tmp_path / "<b>&run")
    assert "<b>" not in page and "&lt;b&gt;&amp;run" in page


def test_a_run_with_a_flag_that_there_is_not_is_named(tmp_path):
    write_run(tmp_path / "run")
    with (tmp_path / "run" / "flags.txt").open("a") as file:
        file.write("--speed=11\n")
    finished = run("report", tmp_path / "run", f"--out={tmp_path / 'page.html'}")
    assert finished.code == 2 and "There is no such flag. Received: speed=11" in finished.err
    assert not (tmp_path / "page.html").exists()
