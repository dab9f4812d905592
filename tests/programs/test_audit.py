"""`python -m gdw_tf.audit` on finished runs, and its page in a real browser."""

from __future__ import annotations

import csv
import json
import re
import shlex

import numpy as np
import PIL.Image
import pytest

from gdw_tf import data
from gdw_tf.audit import Audit
from gdw_tf.audit.page import page
from gdw_tf.workdir import Workdir


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def audited(finished_run, tmp_path_factory):
    from .conftest import run

    out = tmp_path_factory.mktemp("audited") / "audit"
    finished = run("audit", str(finished_run), f"--out={out}", "--shown=40")
    assert finished.code == 0, finished.err
    return out, finished.out


def training_set():
    return data.prepare(
        data.load("digits"), num_meta=20, noise="flip", noise_rate=0.4, train_examples=200
    )


def test_every_example_is_listed_with_its_evidence(audited, finished_run):
    out, _ = audited
    rows, noisy = rows_of(out / "audit.csv"), training_set()
    record = Workdir(finished_run).checkpoints.latest().load().training_record
    assert sorted(int(row["index"]) for row in rows) == list(range(200))
    scores = [float(row["score"]) for row in rows]
    assert scores == sorted(scores, reverse=True)
    for row in rows:
        index = int(row["index"])
        assert int(row["given"]) == noisy.y_train[index]
        assert int(row["true"]) == noisy.y_true[index]
        of_given = record.probabilities[index, noisy.y_train[index]]
        of_other = np.delete(record.probabilities[index], noisy.y_train[index]).max()
        expected = of_other / (of_other + of_given)
        assert float(row["score"]) == pytest.approx(expected, abs=1e-6)
        assert int(row["suggested"]) == record.probabilities[index].argmax()


def test_figures_stand_in_one_line_and_in_the_summary(audited):
    out, said = audited
    line = re.search(
        r"^AUROC (\d\.\d{3})  AP (\d\.\d{3})  precision@errors (\d\.\d{3})$", said, re.M
    )
    summary, rows = json.loads((out / "audit.json").read_text()), rows_of(out / "audit.csv")
    wrong = np.array([row["given"] != row["true"] for row in rows])
    scores = np.array([float(row["score"]) for row in rows])
    pairs = scores[wrong][:, np.newaxis] - scores[~wrong]
    assert float(line[1]) == pytest.approx(np.mean(pairs > 0) + np.mean(pairs == 0) / 2, abs=6e-4)
    assert float(line[3]) == pytest.approx(wrong[: wrong.sum()].mean(), abs=6e-4)
    assert summary["auroc"] == pytest.approx(float(line[1]), abs=5e-4)
    assert np.sum(summary["confusions"]) == 200
    counts = np.array(summary["confusions"])
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    np.testing.assert_allclose(summary["noise_matrix"], shares, atol=1e-6)


def test_the_page_needs_nothing_else_and_the_sheet_is_a_picture(audited):
    out, _ = audited
    page = (out / "audit.html").read_text()
    assert "http://" not in page and "https://" not in page and 'src="' not in page
    assert page.count("data:image/png;base64,") == 40
    assert PIL.Image.open(out / "sheet.png").size[0] > 900


def test_decisions_correct_labels_that_training_takes(finished_run, tmp_path, run_program):
    noisy = training_set()
    decisions = tmp_path / "decisions.csv"
    decisions.write_text(f"index,given,decision,label\n3,{noisy.y_train[3]},other,7\n")
    out = tmp_path / "corrected.npz"
    arguments = (str(finished_run), f"--apply={decisions}", f"--out={out}")
    finished = run_program("audit", *arguments)
    assert finished.code == 0, finished.err
    with np.load(out) as arrays:
        expected = noisy.y_train.copy()
        expected[3] = 7
        np.testing.assert_array_equal(arrays["y"], expected)
        np.testing.assert_array_equal(arrays["x"], noisy.x_train)
    # The command that it prints trains as the run did: what the new data set would have otherwise
    # by default is said.
    command = shlex.split(finished.out.splitlines()[-1])
    assert command[:3] == ["python", "-m", "gdw_tf.train"]
    assert {"--noaugment", "--network=small_cnn", "--epochs=3", "--batch_size=50"} <= {*command}
    assert not any("noise" in flag or "train_examples" in flag for flag in command)
    trained = run_program("train", *command[3:], f"--workdir={tmp_path / 'again'}")
    assert trained.code == 0, trained.err


def test_all_suggestions_can_be_taken(tmp_path, train, run_program):
    workdir, out = tmp_path / "run", tmp_path / "corrected.npz"
    assert train(workdir, "--noise=uniform", "--noise_rate=0.2", "--epochs=25").code == 0
    assert run_program("audit", str(workdir)).code == 0
    applied = run_program("audit", str(workdir), "--apply=suggested", f"--out={out}")
    assert applied.code == 0, applied.err
    rows = {int(row["index"]): row for row in rows_of(workdir / "audit" / "audit.csv")}
    differ = sum(row["given"] != row["suggested"] for row in rows.values())
    assert differ and f"{differ} labels corrected, 0 confirmed" in applied.out
    with np.load(out) as arrays:
        assert arrays["y"].tolist() == [int(rows[index]["suggested"]) for index in range(200)]


def test_suggestions_that_leave_a_class_without_images_are_refused(
    finished_run, tmp_path, run_program
):
    out = tmp_path / "corrected.npz"  # of three epochs, which know little
    refused = run_program("audit", str(finished_run), "--apply=suggested", f"--out={out}")
    assert refused.code == 2 and "Every class needs a training image" in refused.err
    assert not out.exists()


@pytest.mark.parametrize("name", ["decisions.npz", "own.npz"])
def test_nothing_that_labels_come_from_is_written_over(name, tmp_path, run_program):
    noisy = training_set()
    own, decisions = tmp_path / "own.npz", tmp_path / "decisions.npz"  # a table, whatever its name
    np.savez(
        own,
        **{"x": noisy.x_train, "y": noisy.y_train, "x_meta": noisy.x_meta, "y_meta": noisy.y_meta},
        **{"x_test": noisy.x_test[:50], "y_test": noisy.y_test[:50]},
        class_names=[f"digit {number}" for number in range(10)],
    )
    trained = run_program(
        *("train", "--dataset=npz", f"--data_file={own}", "--network=small_cnn", "--epochs=1"),
        f"--workdir={tmp_path / 'run'}",
    )
    assert trained.code == 0, trained.err
    decisions.write_text("index,label\n3,digit 7\n")
    before = [path.read_bytes() for path in (own, decisions)]
    arguments = ("audit", str(tmp_path / "run"), f"--apply={decisions}")
    refused = run_program(*arguments, f"--out={tmp_path / name}")
    assert refused.code == 2 and "must not be written over" in refused.err
    assert [path.read_bytes() for path in (own, decisions)] == before
    assert run_program(*arguments, f"--out={tmp_path / 'new/corrected.npz'}").code == 0
    with np.load(tmp_path / "new/corrected.npz") as arrays:
        assert arrays["class_names"].tolist()[3] == "digit 3"
        assert arrays["y"][3] == 7


def test_a_noisy_meta_set_is_training_data_again(tmp_path, train, run_program):
    assert train(tmp_path / "run", "--meta=noisy", "--epochs=1").code == 0
    trained = Workdir(tmp_path / "run").checkpoints.latest().load()
    decisions = tmp_path / "decisions.csv"
    decisions.write_text("index,label\n3,7\n")
    out = tmp_path / "corrected.npz"
    applied = run_program("audit", str(tmp_path / "run"), f"--apply={decisions}", f"--out={out}")
    assert applied.code == 0 and "--meta=noisy" in applied.out
    with np.load(out) as arrays:
        assert "x_meta" not in arrays
        assert len(arrays["x"]) == len(trained.training_record.visits) + 20


def test_a_run_has_its_own_settings(finished_run, run_program):
    refused = run_program("audit", str(finished_run), "--seed=1")
    assert refused.code == 2
    assert "A run has its own settings. Received: seed=1" in refused.err


def test_verified_examples_join_the_meta_set_of_the_next_run(
    finished_run, tmp_path, train, run_program
):
    out = tmp_path / "next"
    named = run_program("audit", str(finished_run), "--next=20", f"--out={out}")
    assert named.code == 0, named.err
    rows = rows_of(out / "next.csv")
    assert named.out.split()[:20] == [row["index"] for row in rows]
    assert len({row["index"] for row in rows}) == 20
    decisions = tmp_path / "decisions.csv"
    decisions.write_text(
        "index,label\n" + "".join(f"{row['index']},{row['true']}\n" for row in rows)
    )
    again = tmp_path / "again"
    finished = train(again, f"--meta_add={decisions}", "--epochs=1")
    assert finished.code == 0, finished.err
    record = Workdir(again).checkpoints.latest().load().training_record
    assert len(record.visits) == 180
    audit = run_program("audit", str(again), f"--out={tmp_path / 'audit'}")
    assert audit.code == 0, audit.err
    numbers = {row["index"] for row in rows_of(tmp_path / "audit" / "audit.csv")}
    assert numbers == {str(number) for number in range(200)} - {row["index"] for row in rows}


def test_a_run_without_a_record_is_asked_as_it_is_now(tmp_path, train, run_program):
    assert train(tmp_path / "run", "--norecord_examples", "--method=ce").code == 0
    finished = run_program("audit", str(tmp_path / "run"))
    assert finished.code == 0, finished.err
    assert "kept no record" in finished.out
    assert {row["visits"] for row in rows_of(tmp_path / "run" / "audit" / "audit.csv")} == {"0"}


def _named(row):
    return f"{row['index']},{row['image']},{row['given']}"


def _kind(row, label):
    if label == row["given"]:
        return "keep"
    return "accept" if label == row["suggested"] else "other"


NAMES = ("</script><b>", 'a "quoted", name', "naïve")


@pytest.fixture
def folder(tmp_path):
    """Images of three classes whose names are a trial for whoever writes them."""
    root, random = tmp_path / "images", np.random.default_rng(0)
    names = [name.replace("/", "") for name in NAMES]
    for part, count in (("train", 12), ("meta", 3), ("test", 3)):
        for label, name in enumerate(names):
            (root / part / name).mkdir(parents=True)
            for number in range(count):
                pixels = random.integers(0, 60, (8, 8, 3), dtype=np.uint8)
                pixels[..., label] += 150
                PIL.Image.fromarray(pixels).save(root / part / name / f"{part} {number}.png")
    return root, names


def test_own_images_from_training_to_corrected_labels(folder, tmp_path, run_program, browser):
    root, names = folder
    workdir = tmp_path / "run"
    trained = run_program(
        *("train", "--dataset=folder", f"--data_dir={root}", "--image_size=8,8"),
        *("--network=small_cnn", "--epochs=1", "--batch_size=12", f"--workdir={workdir}"),
    )
    assert trained.code == 0, trained.err
    audited = run_program("audit", str(workdir))
    assert audited.code == 0, audited.err
    rows = rows_of(workdir / "audit" / "audit.csv")
    assert {row["given"] for row in rows} == set(names)

    browser.get((workdir / "audit" / "audit.html").as_uri())
    assert len(browser.find_elements("class name", "card")) == 36
    browser.find_elements("class name", "card")[0].send_keys("a")
    assert browser.get_log("browser") == []
    decisions = tmp_path / "decisions.csv"
    decisions.write_text(browser.execute_script("return decisionsAsCsv()"), encoding="utf-8")
    (decided,) = rows_of(decisions)
    assert decided["image"] == rows[0]["image"]
    assert decided["label"] == rows[0]["suggested"]

    # The first of the others goes, and all behind it have another number.
    (root / min(row["image"] for row in rows[1:])).unlink()
    out = tmp_path / "corrected.csv"
    applied = run_program("audit", str(workdir), f"--apply={decisions}", f"--out={out}")
    assert applied.code == 0, applied.err
    corrected = {row["path"]: row["label"] for row in rows_of(out)}
    assert corrected[decided["image"]] == decided["label"]
    others = {row["image"]: row["given"] for row in rows if row["image"] in corrected}
    others.pop(decided["image"])
    assert others.items() <= corrected.items()
    again = run_program(
        *("train", "--dataset=csv", f"--data_dir={root}", f"--train_csv={out}", "--epochs=1"),
        f"--meta_csv={tmp_path / 'corrected_meta.csv'}",
        f"--test_csv={tmp_path / 'corrected_test.csv'}",
        *("--image_size=8,8", "--network=small_cnn", f"--workdir={tmp_path / 'again'}"),
    )
    assert again.code == 0, again.err
    # What is gone since the training is told in one line.
    refused = run_program("audit", str(workdir))
    assert refused.code == 2
    assert "no longer the one that the run began with" in refused.err


def test_a_page_of_a_thousand_classes_is_drawn(tmp_path, browser):
    generator = np.random.default_rng(0)
    count, classes = 30, 1000
    given = generator.integers(0, classes, count)
    noisy = data.NoisyData(
        x_train=generator.integers(0, 255, (count, 8, 8, 5), dtype=np.uint8),
        y_train=given,
        y_true=None,
        x_meta=np.zeros((0, 8, 8, 5), np.uint8),
        y_meta=np.zeros(0, np.int64),
        y_meta_true=None,
        x_test=np.zeros((0, 8, 8, 5), np.uint8),
        y_test=np.zeros(0, np.int64),
        num_classes=classes,
        class_names=tuple(f"class {number}" for number in range(classes)),
        transition_matrix=np.eye(classes),
    )
    audit = Audit(given, generator.dirichlet(np.ones(classes), count), None, np.ones(count))
    path = tmp_path / "page.html"
    path.write_text(page(audit, noisy, audit.order, title="many", lead=""), encoding="utf-8")
    browser.get(path.as_uri())
    assert browser.get_log("browser") == []
    assert browser.find_element("id", "progress").text == "0 of 30 decided"
    assert len(browser.find_elements("css selector", "#pairs button")) == 30


def test_mixed_images_are_not_recorded(tmp_path, train):
    assert train(tmp_path / "run", "--mixup=0.2", "--epochs=1").code == 0
    assert Workdir(tmp_path / "run").checkpoints.latest().load().training_record is None
    finished = train(tmp_path / "other", "--mixup=0.2", "--record_examples")
    assert finished.code == 2
    assert "record_examples=True, mixup=0.2" in finished.err


def test_a_person_decides_in_the_page(audited, browser, tmp_path):
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys
    from selenium.webdriver.support.ui import Select

    def cards():
        return [one for one in browser.find_elements(By.CLASS_NAME, "card") if one.is_displayed()]

    def progress():
        return browser.find_element(By.ID, "progress").text

    rows = rows_of(audited[0] / "audit.csv")[:40]
    browser.get((audited[0] / "audit.html").as_uri())
    assert len(cards()) == 40
    assert progress() == "0 of 40 decided"
    # By key: accept the first, keep the second, set the third, undo the fourth.
    cards()[0].send_keys("a")
    assert browser.switch_to.active_element.get_attribute("aria-label").startswith(
        f"Example {rows[1]['index']}:"
    )
    browser.switch_to.active_element.send_keys("k")
    browser.switch_to.active_element.send_keys("5")
    browser.switch_to.active_element.send_keys("a")
    browser.switch_to.active_element.send_keys(Keys.ARROW_UP)
    browser.switch_to.active_element.send_keys("u")
    # By click: another label for the fifth.
    others = cards()[4].find_element(By.TAG_NAME, "select")
    others.click()  # it gets its classes when it is opened
    Select(others).select_by_visible_text("2")
    assert progress() == "4 of 40 decided"

    browser.refresh()  # nothing is lost
    assert progress() == "4 of 40 decided"
    text = browser.execute_script("return decisionsAsCsv()")
    assert text.split() == [
        "index,image,given,decision,label",
        f"{_named(rows[0])},accept,{rows[0]['suggested']}",
        f"{_named(rows[1])},keep,{rows[1]['given']}",
        f"{_named(rows[2])},{_kind(rows[2], '5')},5",
        f"{_named(rows[4])},{_kind(rows[4], '2')},2",
    ]

    # What another page about the same training set has decided meanwhile is kept, and comes along.
    browser.execute_script(
        """
        const stored = JSON.parse(localStorage.getItem(key));
        stored["9999"] = { label: 1, given: 0, name: "elsewhere", suggested: 1 };
        localStorage.setItem(key, JSON.stringify(stored));
        """
    )
    cards()[5].send_keys("k")
    assert progress() == "5 of 40 decided, 1 not on this page"
    table = browser.execute_script("return decisionsAsCsv()").split()
    assert table[-2:] == [f"{_named(rows[5])},keep,{rows[5]['given']}", "9999,elsewhere,0,accept,1"]
    browser.execute_script("decisions = {}; store(); data.examples.forEach(paint); count()")
    cards()[5].send_keys("k")

    Select(browser.find_element(By.ID, "state")).select_by_value("open")
    assert len(cards()) == 39
    Select(browser.find_element(By.ID, "state")).select_by_value("all")
    given, suggested = rows[0]["given"], rows[0]["suggested"]
    Select(browser.find_element(By.ID, "given")).select_by_visible_text(given)
    Select(browser.find_element(By.ID, "suggested")).select_by_visible_text(suggested)
    pair = [row for row in rows if (row["given"], row["suggested"]) == (given, suggested)]
    assert len(cards()) == len(pair)
    assert browser.get_log("browser") == []
    requests = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    addresses = [
        message["params"]["request"]["url"]
        for message in requests
        if message["method"] == "Network.requestWillBeSent"
    ]
    assert addresses
    assert all(address.startswith(("file:", "data:")) for address in addresses)
