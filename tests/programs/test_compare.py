from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from sklearn.svm import SVC

from gdw_tf import train_flags
from gdw_tf.comparison import Comparison, Contender
from gdw_tf.data import load, prepare
from gdw_tf.results import Row, early_stopping_accuracy, markdown_text, percent, write_csv
from gdw_tf.workdir import Workdir

from .conftest import SHORT, run


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    """The directory of a comparison, and what was printed; to be read only."""
    root = tmp_path_factory.mktemp("compared")
    methods = "ce,ce_early_stopping,gdw:clip=0.1:memory=0.5,svc,svc_clean"
    arguments = (*SHORT, f"--methods={methods}", "--seeds=3", f"--workdir={root}", "--jobs=2")
    return root, arguments, run("compare", *arguments)


def table(root):
    with (root / "table.csv").open(newline="") as file:
        return {row["method"]: row for row in csv.DictReader(file)}


def test_every_row_has_the_figures_of_its_runs(compared):
    root, _, finished = compared
    assert finished.code == 0, finished.err
    rows = table(root)
    assert list(rows) == ["ce", "ce_early_stopping", "gdw:clip=0.1:memory=0.5", "svc", "svc_clean"]
    for name, directory in (
        ("ce", "ce-seed3"),
        ("gdw:clip=0.1:memory=0.5", "gdw-clip=0.1-memory=0.5-seed3"),
    ):
        summary = json.loads((root / directory / "summary.json").read_text())
        assert float(rows[name]["mean_accuracy"]) == summary["final_accuracy"]
        assert float(rows[name]["seconds_per_step"]) == summary["seconds_per_step"] > 0
        assert float(rows[name]["peak_memory_bytes"]) == summary["peak_memory_bytes"] > 2**27
        assert rows[name]["workdirs"] == str(root / directory)
    flags = (root / "gdw-clip=0.1-memory=0.5-seed3" / "flags.txt").read_text().splitlines()
    assert {"--clip=0.1", "--memory=0.5", "--seed=3", "--epochs=2"} <= set(flags)


def test_early_stopping_shares_the_runs_of_plain_training(compared):
    root, _, _ = compared
    assert table(root)["ce_early_stopping"]["workdirs"] == str(root / "ce-seed3")
    assert {path.name for path in root.iterdir() if path.is_dir()} == {
        "ce-seed3",
        "gdw-clip=0.1-memory=0.5-seed3",
    }


def test_support_vector_machines_see_the_data_of_the_runs(compared):
    rows = table(compared[0])
    noisy = prepare(
        load("digits"), num_meta=20, noise="flip", noise_rate=0.4, train_examples=200, seed=3
    )
    for name, x, y in (
        ("svc", noisy.x_train, noisy.y_train),
        ("svc_clean", noisy.x_meta, noisy.y_meta),
    ):
        machine = SVC().fit(x.reshape(len(x), -1) / 16.0, y)
        expected = machine.score(noisy.x_test.reshape(len(noisy.x_test), -1) / 16.0, noisy.y_test)
        assert float(rows[name]["mean_accuracy"]) == pytest.approx(expected, abs=0.01)


def test_the_table_is_printed_and_drawn(compared):
    root, _, finished = compared
    text = (root / "table.md").read_text()
    assert text in finished.out
    assert "| gdw:clip=0.1:memory=0.5 | " in text
    assert (root / "table.png").read_bytes().startswith(b"\x89PNG")


def test_a_complete_comparison_is_not_run_again(compared):
    root, arguments, _ = compared
    before = {path: path.stat().st_mtime_ns for path in root.rglob("summary.json")}
    assert len(before) == 2
    assert run("compare", *arguments).code == 0
    assert before == {path: path.stat().st_mtime_ns for path in root.rglob("summary.json")}


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--methods=magic"], "magic; allowed: gdw, mw_net, l2rw"),
        (["--methods=gdw:memory"], "Received: gdw:memory; allowed: a training method"),
        (["--methods=svc:clip=1"], "Received: svc:clip=1; allowed: a training method"),
        (["--methods=gdw:no_such_flag=1"], "not gdw's own. Received: gdw:no_such_flag=1"),
        (["--methods=gdw:seed=3"], "not gdw's own. Received: gdw:seed=3"),
        (["--methods=gdw:method=ce"], "not gdw's own. Received: gdw:method=ce"),
        (["--methods=mw_net:memory=0.7"], "not mw_net's own. Received: mw_net:memory=0.7"),
        (["--methods=gdw:workdir=here"], "not gdw's own. Received: gdw:workdir=here"),
        (["--methods=gdw:clip=-1"], "clip=-1"),
        (["--methods=ce,ce"], "methods must be different ones. Received: methods=ce,ce"),
        (["--seeds=one"], "Received: one; allowed: 0,1,2"),
        (["--seeds=0,00"], "seeds must be different ones. Received: 0,00"),
        (["--jobs=0"], "jobs"),
        (["--methods=ce_early_stopping", "--meta=pseudo"], "there from the start. Received: meta"),
        (["--strategy=multi_worker"], "on one machine. Received: strategy=multi_worker"),
        (["digits"], "All arguments are flags. Received: digits"),
    ],
)
def test_a_mistake_gets_one_line_before_any_run(arguments, message, tmp_path):
    root = tmp_path / "compared"
    finished = run("compare", f"--workdir={root}", *arguments)
    assert finished.code == 2
    error = [line for line in finished.err.splitlines() if line.startswith("error: ")]
    assert len(error) == 1 and message in error[0], finished.err
    assert not root.exists()


def test_a_run_of_other_flags_is_not_touched(compared):
    root, arguments, _ = compared
    finished = run("compare", *arguments, "--epochs=3")
    assert finished.code == 2
    assert "--epochs=2" in finished.err and "--epochs=3" in finished.err


def test_complete_runs_are_those_of_the_data_as_they_are(tmp_path):
    noisy = prepare(load("digits"), num_meta=20, train_examples=200)
    arrays = {
        **{"x": noisy.x_train, "y": noisy.y_train, "x_meta": noisy.x_meta, "y_meta": noisy.y_meta},
        **{"x_test": noisy.x_test, "y_test": noisy.y_test},
    }
    own = tmp_path / "own.npz"
    np.savez(own, **arrays)
    arguments = (
        *("compare", "--dataset=npz", f"--data_file={own}", "--network=small_cnn", "--epochs=1"),
        *("--methods=ce", "--seeds=0", f"--workdir={tmp_path / 'compared'}"),
    )
    assert run(*arguments).code == 0
    assert run(*arguments).code == 0
    np.savez(own, **arrays | {"y": np.roll(noisy.y_train, 1)})
    refused = run(*arguments)
    assert refused.code == 2
    assert "The training set is no longer the one that the run began with" in refused.err
    np.savez(own, **arrays | {"y_test": np.roll(noisy.y_test, 1)})
    refused = run(*arguments)
    assert refused.code == 2
    assert "Meta set or test set are no longer those that the run began with" in refused.err


def test_a_place_in_a_cloud_stays_as_it_is():
    with train_flags.flags_set(["data_dir=gs://bucket/tfds"]):
        assert "--data_dir=gs://bucket/tfds" in train_flags.location_lines()


def test_two_methods_do_not_share_a_directory(tmp_path):
    names = ["gdw:virtual_scope=a/b", "gdw:virtual_scope=a|b"]
    with pytest.raises(ValueError, match="would be trained in one directory"):
        Comparison.plan(names, ["0"], tmp_path)


def test_a_value_that_is_a_path_does_not_lead_out_of_the_directory(tmp_path):
    (name,) = {
        one.workdir.root.name
        for one in Comparison.plan(["gdw:virtual_scope=a/../b"], ["0"], tmp_path).trainings
    }
    assert name == "gdw-virtual_scope=a_.._b-seed0"


def test_a_run_that_fails_is_named_and_the_others_are_kept(tmp_path):
    finished = run(
        "compare",
        *SHORT,
        "--epochs=1",
        "--methods=ce:learning_rate=1e30,ce",
        "--seeds=0",
        f"--workdir={tmp_path}",
    )
    assert finished.code == 1
    assert "1 runs failed" in finished.err and "ce-learning_rate=1e30-seed0: exit 2" in finished.err
    rows = table(tmp_path)
    assert rows["ce:learning_rate=1e30"]["accuracies"] == ""
    assert float(rows["ce"]["mean_accuracy"]) > 0


def test_the_epoch_is_chosen_on_the_meta_set(tmp_path):
    workdir = Workdir(tmp_path)
    workdir.metrics.write_text(
        "epoch,meta_accuracy,meta_loss,val_accuracy\n"
        "0,0.5,0.9,0.1\n1,0.8,0.5,0.2\n2,0.8,0.4,0.3\n3,0.7,0.1,0.9\n"
    )
    assert early_stopping_accuracy(workdir) == 0.3


def test_means_and_deviations_are_those_of_a_sample():
    row = Row("gdw", [0.8, 0.9, 0.7])
    assert row.mean == pytest.approx(0.8)
    assert row.std == pytest.approx(np.sqrt(0.02 / 2))
    assert percent(row.accuracies) == "80.0 ± 10.0"
    assert percent([0.5]) == "50.0"
    assert percent([]) == "—"


def test_a_cell_says_how_many_seeds_are_missing():
    assert percent([0.8, 0.9], 2) == "85.0 ± 7.1"
    assert percent([0.8, 0.9], 3) == "85.0 ± 7.1 (2 of 3 seeds)"
    assert percent([0.5], 3) == "50.0 (1 of 3 seeds)"


def test_the_name_is_the_first_of_a_line(tmp_path):
    write_csv([Row("gdw", [0.5, 0.75], seconds_per_step=[0.1, 0.2])], tmp_path / "table.csv")
    header, line = (tmp_path / "table.csv").read_text().splitlines()
    assert header.startswith("method,mean_accuracy,std_accuracy,accuracies,seconds_per_step,")
    assert line.startswith("gdw,0.625,") and ",0.5 0.75,0.1 0.2," in line


def test_a_contender_is_a_method_and_its_flags():
    assert Contender.parse("gdw:memory=0.7:clip=1") == Contender(
        "gdw:memory=0.7:clip=1", "gdw", ("memory=0.7", "clip=1")
    )


def test_names_are_text_in_a_table():
    assert markdown_text("gdw:virtual_scope=a|<b>&") == r"gdw:virtual_scope=a\|&lt;b&gt;&amp;"
