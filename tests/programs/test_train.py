from __future__ import annotations

import csv
import hashlib
import json
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from gdw_tf import callbacks, data, experiment
from gdw_tf.settings import resolve
from gdw_tf.workdir import Workdir


def contents(workdir):
    """Every file of a directory with a hash of what it holds."""
    return {
        str(path.relative_to(workdir)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(workdir.rglob("*"))
        if path.is_file()
    }


def rows(workdir):
    with (workdir / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def final_weights(workdir):
    model = Workdir(workdir).checkpoints.latest().load()
    return [np.asarray(variable) for variable in (*model.weights, *model.optimizer.variables)]


def test_a_run_leaves_its_whole_record(train, tmp_path):
    workdir = tmp_path / "run"
    finished = train(workdir, "--noise=uniform", "--noise_rate=0.5", "--seed=3")

    assert finished.code == 0, finished.err
    summary = json.loads((workdir / "summary.json").read_text())
    accuracies = [float(row["val_accuracy"]) for row in rows(workdir)]
    assert len(accuracies) == 2
    assert summary["final_accuracy"] == pytest.approx(np.mean(accuracies))
    assert summary["best_accuracy"] == max(accuracies)
    assert summary["seconds_per_step"] > 0
    assert summary["noise_rate"] == pytest.approx(0.45, abs=0.1)
    assert summary["class_counts"] == [20] * 10
    realised = np.array(summary["noise_matrix"])
    assert 1 - np.trace(realised) / 10 == pytest.approx(summary["noise_rate"])
    np.testing.assert_allclose(summary["transition_matrix"], 0.5 * np.eye(10) + 0.05)
    row, shares = (
        part.split()
        for line in finished.out.splitlines()
        if line.startswith("  3 3 ")
        for part in line.split("|")
    )
    assert row == ["3", "3", "20"]
    percent = [0.0 if share == "." else float(share) for share in shares]
    np.testing.assert_allclose(percent, 100 * realised[3], atol=0.05)
    assert (summary["seed"], summary["method"]) == (3, "gdw")
    assert summary["versions"]["tensorflow"] == tf.__version__
    assert list((workdir / "tensorboard").rglob("events*"))
    for which in ("latest", "best"):
        getattr(Workdir(workdir).checkpoints, which)().load()


@pytest.mark.parametrize("method", ["gdw", "ce"])
def test_under_mixup_the_accuracy_is_that_of_the_true_labels(method, train, tmp_path):
    workdir = tmp_path / "run"
    finished = train(
        workdir,
        f"--method={method}",
        "--mixup=0.2",
        "--noise=none",
        "--train_examples=1000",
        "--epochs=3",
    )

    assert finished.code == 0, finished.err
    source = data.load("digits")
    model = Workdir(workdir).checkpoints.latest().load()
    right = model.predict(source.x_test, verbose=0).argmax(axis=1) == source.y_test
    last = rows(workdir)[-1]
    assert float(last["val_accuracy"]) == pytest.approx(right.mean(), abs=1e-6)
    assert right.mean() > 0.3  # by chance: 0.1
    assert 0 < float(last["accuracy"]) < 1
    if method == "ce":  # evaluates the meta set; it takes no part in training
        noisy = experiment.prepare_data(resolve(num_meta=20, train_examples=1000), source)
        right = model.predict(noisy.x_meta, verbose=0).argmax(axis=1) == noisy.y_meta
        assert float(last["meta_accuracy"]) == pytest.approx(right.mean(), abs=1e-6)


def test_labels_are_drawn_from_a_file_and_the_run_can_be_run_again(
    train, run_program, tmp_path, monkeypatch
):
    matrix = np.roll(np.eye(10), 1, axis=1)
    np.savetxt(tmp_path / "matrix.csv", matrix, delimiter=",")
    monkeypatch.chdir(tmp_path)
    arguments = ("--noise=matrix", "--noise_file=matrix.csv", "--epochs=1")
    assert train(tmp_path / "first", *arguments).code == 0
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    flag_file = tmp_path / "first" / "flags.txt"
    again = run_program("train", f"--flagfile={flag_file}", f"--workdir={tmp_path / 'second'}")

    assert again.code == 0, again.err
    for run in ("first", "second"):
        summary = json.loads((tmp_path / run / "summary.json").read_text())
        assert summary["noise_rate"] == 1
        np.testing.assert_array_equal(summary["noise_matrix"], matrix)
        np.testing.assert_array_equal(summary["transition_matrix"], matrix)


def test_the_exported_model_takes_raw_images_without_this_library(train, tmp_path):
    workdir = tmp_path / "run"
    train(workdir)
    program = (
        "import sys; sys.modules['gdw_tf'] = None\n"
        "import tensorflow as tf\n"
        f"model = tf.saved_model.load({str(workdir / 'export')!r})\n"
        "answer = model.signatures['serving_default'](tf.zeros((3, 8, 8, 1), tf.uint8))\n"
        "assert sorted(answer) == ['label', 'logits', 'probabilities'], sorted(answer)\n"
        "difference = tf.nn.softmax(answer['logits']) - answer['probabilities']\n"
        "assert float(tf.reduce_max(tf.abs(difference))) < 1e-6\n"
    )
    finished = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert finished.returncode == 0, finished.stderr


def test_the_flag_file_of_a_run_runs_it_again(train, run_program, tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    train(first, "--noise=flip", "--clip=0.1")
    finished = run_program("train", f"--flagfile={first / 'flags.txt'}", f"--workdir={second}")

    assert finished.code == 0, finished.err
    for one, other in zip(final_weights(first), final_weights(second), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "flags",
    [
        [],
        ["--method=ce"],
        ["--method=glc"],
        ["--augment", "--randaugment=3", "--cutout=0.25", "--mixup=0.2"],
    ],
)
def test_an_interrupted_run_goes_on_as_if_nothing_had_happened(flags, train, tmp_path, monkeypatch):
    # An epoch of five steps, where a pass over the training set takes four.
    arguments = (*flags, "--epochs=4", "--steps_per_epoch=5")
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    train(whole, *arguments)
    save = callbacks.Checkpoints.on_epoch_end

    def stop_in_the_third_epoch(self, epoch, logs=None):
        if epoch == 2:
            raise KeyboardInterrupt
        save(self, epoch, logs)

    monkeypatch.setattr(callbacks.Checkpoints, "on_epoch_end", stop_in_the_third_epoch)
    with pytest.raises(KeyboardInterrupt):
        train(broken, *arguments)
    monkeypatch.setattr(callbacks.Checkpoints, "on_epoch_end", save)
    assert len(rows(broken)) == 3  # the epoch whose checkpoint is missing is run again
    finished = train(broken, *arguments, "--resume")

    assert finished.code == 0, finished.err
    assert [row["epoch"] for row in rows(broken)] == ["0", "1", "2", "3"]
    for one, other in zip(final_weights(whole), final_weights(broken), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def test_resuming_a_complete_run_changes_no_result(train, tmp_path):
    workdir = tmp_path / "run"
    train(workdir)
    before = contents(workdir)
    finished = train(workdir, "--resume")

    assert finished.code == 0, finished.err
    after = contents(workdir)
    for name in ("summary.json", "metrics.csv", "flags.txt", "checkpoints/manifest.json"):
        assert after[name] == before[name], name


def test_resuming_where_there_is_no_run_yet_starts_it(train, tmp_path):
    assert train(tmp_path / "new", "--resume").code == 0
    assert len(rows(tmp_path / "new")) == 2


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--dataset=imagenet"], "dataset=imagenet; allowed: "),
        (["--method=magic"], "method=magic; allowed: gdw, mw_net, l2rw"),
        (["--network=vgg"], "network=vgg; allowed: small_cnn"),
        (["--noise=pink"], "noise=pink; allowed: none, uniform, flip"),
        (["--noise_rate=1.5"], "noise_rate=1.5; allowed: 0 to 1"),
        (["--noise_rate=-0.1"], "noise_rate=-0.1; allowed: 0 to 1"),
        (["--noise_rate=nan"], "noise_rate=nan; allowed: 0 to 1"),
        (["--noise_rate=much"], "much"),
        (["--randaugment=11"], "randaugment=11.0; allowed: 0 to 10"),
        (["--cutout=2"], "cutout=2.0; allowed: 0 to 1"),
        (["--mixup=-1"], "mixup=-1.0; allowed: 0, or numbers from 0.1"),
        (["--noise=none", "--noise_rate=0.4"], "noise_rate needs a kind of noise"),
        (["--noise=matrix", "--noise_rate=0.4"], "noise_rate needs a kind of noise that has one"),
        (["--noise=matrix"], "noise=matrix, noise_file=None; allowed: both or neither"),
        (["--noise_file=some.csv"], "noise_file belongs to noise=matrix"),
        (["--noise=matrix", "--noise_file=nowhere.csv"], "nowhere.csv"),
        (["--imbalance=linear"], "imbalance=linear; allowed: exponential, step"),
        (["--imbalance_factor=0"], "imbalance_factor=0.0; allowed: above 0, up to 1"),
        (["--num_meta=0"], "num_meta=0; allowed: at least 1"),
        (["--train_examples=1", "--num_meta=1290"], "num_meta=1290"),
        (["--train_examples=5000"], "train_examples=5000"),
        (["--epochs=0"], "epochs=0; allowed: at least 1"),
        (["--batch_size=0"], "batch_size=0; allowed: at least 1"),
        (["--learning_rate=0"], "learning_rate=0.0; allowed: above 0"),
        (["--outer_lr=big"], "outer_lr=big; allowed: auto, or at least 0"),
        (["--virtual_lr=-1"], "virtual_lr=-1.0; allowed: above 0"),
        (["--seed=-1"], "seed=-1; allowed: at least 0"),
        (["--on_non_finite=ignore"], "on_non_finite=ignore; allowed: stop, skip, rollback"),
        (["--no_such_flag"], "no_such_flag"),
        (["digits"], "All arguments are flags. Received: digits"),
        (["--flagfile=nowhere.flags"], "nowhere.flags"),
        (["--dataset=cifar10", "--nodownload", "--data_dir=nowhere"], "nowhere"),
    ],
)
def test_a_mistake_gets_one_line_and_exit_code_2(arguments, message, train, tmp_path):
    workdir = tmp_path / "run"
    finished = train(workdir, *arguments)

    assert finished.code == 2
    error = [line for line in finished.err.splitlines() if line.startswith("error: ")]
    assert len(error) == 1 and message in error[0], finished.err
    assert not workdir.exists()


def test_another_configuration_does_not_touch_a_run(train, tmp_path):
    workdir = tmp_path / "run"
    train(workdir)
    before = contents(workdir)

    for arguments in (["--seed=1"], ["--seed=1", "--resume"], []):
        finished = train(workdir, *arguments)
        assert finished.code == 2
        assert str(workdir) in finished.err
        assert contents(workdir) == before
    assert "--seed=1" in train(workdir, "--seed=1").err


def test_a_directory_of_other_files_is_not_written_to(train, tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    finished = train(tmp_path)
    assert finished.code == 2
    assert contents(tmp_path).keys() == {"thesis.txt"}


def test_a_loss_that_is_not_finite_stops_and_keeps_the_last_checkpoint(
    train, tmp_path, monkeypatch
):
    workdir = tmp_path / "run"
    save = callbacks.Checkpoints.on_epoch_end

    def spoil_after_the_first_epoch(self, epoch, logs=None):
        save(self, epoch, logs)
        self.model.classifier.trainable_variables[0].assign_add(
            np.inf * tf.ones_like(self.model.classifier.trainable_variables[0])
        )

    monkeypatch.setattr(callbacks.Checkpoints, "on_epoch_end", spoil_after_the_first_epoch)
    finished = train(workdir, "--epochs=3")

    assert finished.code == 2
    error = [line for line in finished.err.splitlines() if line.startswith("error: ")]
    assert len(error) == 1 and "epoch 2, step 1" in error[0], finished.err
    assert "step 1: virtual gradient." in error[0] and "step-00000004" in error[0]
    assert all(np.isfinite(weights).all() for weights in final_weights(workdir))
    assert len(rows(workdir)) == 1


def test_too_high_a_learning_rate_stops_in_the_first_epoch(train, tmp_path):
    finished = train(tmp_path / "run", "--learning_rate=1e30", "--method=ce")
    assert finished.code == 2
    assert "in epoch 1, step" in finished.err
    assert "none was saved yet" in finished.err


def test_a_model_that_is_spoilt_at_the_end_of_an_epoch_is_not_saved(train, tmp_path):
    workdir = tmp_path / "run"
    arguments = ("--method=ce", "--steps_per_epoch=1", "--learning_rate=1e38")
    finished = train(workdir, *arguments)
    assert finished.code == 2
    assert "in epoch 1, step 1" in finished.err and "none was saved yet" in finished.err
    assert not list(workdir.rglob("*.keras"))


def test_a_class_without_meta_images_is_a_warning(train, tmp_path):
    with pytest.warns(UserWarning, match="no image of 5 of 10 classes"):
        finished = train(tmp_path / "run", "--num_meta=5", "--epochs=1")
    assert finished.code == 0


def test_the_module_runs_as_a_program(tmp_path):
    def run(*arguments):
        return subprocess.run(
            [sys.executable, "-m", "gdw_tf.train", *arguments],
            capture_output=True,
            text=True,
            check=False,
        )

    help_ = run("--help")
    assert help_.returncode == 0
    for heading in ("Data:", "Method:", "Training:", "Run:", "--noise_rate", "--[no]resume"):
        assert heading in help_.stdout
    wrong = run("--dataset=digitz", f"--workdir={tmp_path / 'run'}")
    assert wrong.returncode == 2
    assert "error: dataset is out of range. Received: dataset=digitz" in wrong.stderr


def test_a_run_in_half_precision_goes_on_in_it(train, tmp_path):
    workdir, flags = tmp_path / "run", ("--precision=mixed_bfloat16", "--train_examples=100")
    first = train(workdir, *flags, "--epochs=1", "--jit=off")
    assert first.code == 0, first.err
    assert "CPU; XLA leaves the step" in first.out
    model = Workdir(workdir).checkpoints.latest().load()
    network = model.classifier.get_layer("network")
    assert network.get_layer("features").compute_dtype == "bfloat16"
    assert {variable.dtype for variable in model.trainable_variables} == {"float32"}
    assert keras.config.dtype_policy().name == "float32"


def test_xla_compiles_the_step_where_it_is_told_to(train, tmp_path):
    finished = train(tmp_path / "run", "--train_examples=100", "--epochs=1", "--jit=on")
    assert finished.code == 0, finished.err
    assert "CPU; XLA compiles the step" in finished.out
