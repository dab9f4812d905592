"""What machines and numbers do to a training: one line, exit code 1, the last checkpoint intact."""

from __future__ import annotations

import csv
import errno
import json
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

from gdw_tf import callbacks, experiment, failures
from gdw_tf.workdir import Workdir

SHORT = ("--train_examples=200", "--epochs=2", "--batch_size=50", "--num_meta=20")
ON_IMAGES = (
    "--dataset=folder",
    "--image_size=8,8",
    "--network=small_cnn",
    "--epochs=3",
    "--batch_size=4",
    "--num_meta=4",
    "--train_examples=12",
)


@pytest.fixture
def images(tmp_path):
    """A data set of image files, dark and light ones."""
    root, generator = tmp_path / "images", np.random.default_rng(0)
    for part, count in (("train", 6), ("meta", 2), ("test", 2)):
        for label, darkest in (("dark", 0), ("light", 190)):
            (root / part / label).mkdir(parents=True)
            for number in range(count):
                pixels = darkest + generator.integers(0, 60, (8, 8, 3), np.uint8)
                PIL.Image.fromarray(pixels).save(root / part / label / f"{number}.png")
    return root


@pytest.fixture
def after_epoch(monkeypatch):
    """Has something happen when the first checkpoint is written."""
    save = callbacks.Checkpoints.on_epoch_end

    def happens(what):
        def on_epoch_end(self, epoch, logs=None):
            save(self, epoch, logs)
            if epoch == 0:
                what(self.model)

        monkeypatch.setattr(callbacks.Checkpoints, "on_epoch_end", on_epoch_end)

    return happens


@pytest.fixture
def largest_file():
    """Limits the size of the files that this process writes, as a full disk does."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def rows(workdir):
    with (workdir / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def error_of(finished):
    errors = [line for line in finished.err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1 and "Traceback" not in finished.err, finished.err
    return errors[0]


def assert_stopped_after_one_epoch(finished, workdir):
    """The first epoch's checkpoint, and nothing beside it, is there and as it should be."""
    assert finished.code == 1, finished.err
    checkpoint = Workdir(workdir).checkpoints.latest()
    assert f"Training stopped; the last good checkpoint is {checkpoint.path}" in error_of(finished)
    assert not list(workdir.rglob("*.partial"))
    model = checkpoint.load()
    steps = int(model.steps_taken.numpy())
    assert steps == int(model.optimizer.iterations) > 0
    assert all(np.isfinite(value).all() for value in model.get_weights())
    assert not (workdir / "summary.json").exists()


# Machines.


def test_a_checkpoint_that_does_not_fit_leaves_the_one_before(
    train, tmp_path, after_epoch, largest_file
):
    workdir = tmp_path / "run"
    after_epoch(lambda model: largest_file(100_000))
    finished = train(workdir, "--epochs=3")
    largest_file(resource.RLIM_INFINITY)

    assert "File too large" in error_of(finished)
    assert_stopped_after_one_epoch(finished, workdir)
    resumed = train(workdir, "--epochs=3", "--resume")  # there is room again
    assert resumed.code == 0, resumed.err
    assert [row["epoch"] for row in rows(workdir)] == ["0", "1", "2"]


def test_metrics_that_do_not_fit_stop_the_run(train, tmp_path, after_epoch, largest_file):
    workdir = tmp_path / "run"
    after_epoch(lambda model: largest_file((workdir / "metrics.csv").stat().st_size))
    finished = train(workdir)
    largest_file(resource.RLIM_INFINITY)
    assert_stopped_after_one_epoch(finished, workdir)
    assert train(workdir, "--resume").code == 0
    assert [row["epoch"] for row in rows(workdir)] == ["0", "1"]


def test_a_full_disk_is_named(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = ["mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", str(disk)]
    if sys.platform != "linux" or subprocess.run(mounted, capture_output=True).returncode:
        pytest.skip("a disk of its own needs the right to mount one")
    try:
        program = [sys.executable, "-m", "gdw_tf.train", *SHORT, f"--workdir={disk / 'run'}"]
        finished = subprocess.run(program, capture_output=True, text=True, check=False)
        assert finished.returncode == 1, finished.stderr
        assert "No space left on device. Training stopped; " in error_of(
            type("Finished", (), {"err": finished.stderr})
        )
        assert not list(disk.rglob("*.partial*"))
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_directory_that_cannot_be_written_to_is_refused(train, tmp_path, monkeypatch):
    access = os.access  # root may write wherever the file system lets it
    monkeypatch.setattr(
        os,
        "access",
        lambda path, mode, **rest: Path(path) != tmp_path and access(path, mode, **rest),
    )
    finished = train(tmp_path / "new" / "run")
    assert finished.code == 2
    assert error_of(finished) == (
        "error: workdir cannot be written. Received: workdir="
        f"{tmp_path / 'new' / 'run'}, in {tmp_path}"
    )
    assert not list(tmp_path.iterdir())


def test_a_data_set_that_vanishes_is_named(images, train, tmp_path, after_epoch):
    workdir = tmp_path / "run"
    after_epoch(lambda model: shutil.rmtree(images))
    finished = train(workdir, *ON_IMAGES, f"--data_dir={images}")
    assert f"An image file can no longer be read: {images}/train/dark/0.png" in error_of(finished)
    assert_stopped_after_one_epoch(finished, workdir)


@pytest.mark.parametrize(("name", "kept"), [("train/light/3.png", 60), ("test/light/1.png", 0)])
def test_a_file_that_shrinks_is_named(name, kept, images, train, tmp_path, after_epoch):
    workdir, path = tmp_path / "run", images / name
    after_epoch(lambda model: path.write_bytes(path.read_bytes()[:kept]))
    # So many epochs that not all of their images are read ahead.
    finished = train(workdir, *ON_IMAGES, f"--data_dir={images}", "--epochs=100")
    assert f"An image file can no longer be read: {path}: " in error_of(finished)
    assert_stopped_after_one_epoch(finished, workdir)


def test_an_image_that_can_no_longer_be_read_is_named_by_other_programs(
    images, train, tmp_path, run_program
):
    workdir = tmp_path / "run"
    flags = (*ON_IMAGES, f"--data_dir={images}", "--epochs=1", "--norecord_examples")
    assert train(workdir, *flags).code == 0
    for part, program, *arguments in (
        ("test", "evaluate"),
        ("meta", "export", "--format=litert", "--quantize=int8", f"--out={tmp_path / 'm.tflite'}"),
        ("train", "audit"),
    ):
        path = images / part / "dark" / "0.png"
        whole = path.read_bytes()
        path.write_bytes(whole[:60])
        finished = run_program(program, workdir, *arguments)
        path.write_bytes(whole)
        assert finished.code == 1, finished.err
        assert f"An image file can no longer be read: {path}: " in error_of(finished)
        assert "{{" not in error_of(finished)  # nothing of TensorFlow's graph


def test_epochs_whose_checkpoints_are_gone_are_not_trained_anew(train, tmp_path):
    workdir = tmp_path / "run"
    assert train(workdir, *SHORT).code == 0
    shutil.rmtree(workdir / "checkpoints")
    metrics = (workdir / "metrics.csv").read_text()
    for _ in range(2):
        finished = train(workdir, *SHORT, "--resume")
        assert finished.code == 2
        assert f"checkpoints of the run are gone. Received: {workdir}" in error_of(finished)
        assert (workdir / "metrics.csv").read_text() == metrics
        (workdir / "summary.json").unlink(missing_ok=True)


def test_a_torn_summary_is_written_anew(train, tmp_path):
    workdir = tmp_path / "run"
    assert train(workdir, *SHORT).code == 0
    before = json.loads((workdir / "summary.json").read_text())
    (workdir / "summary.json").write_text("{")
    assert train(workdir, *SHORT, "--resume").code == 0
    after = json.loads((workdir / "summary.json").read_text())
    assert after["final_accuracy"] == before["final_accuracy"]


@pytest.mark.parametrize(
    "error",
    [
        MemoryError("Unable to allocate 30.0 GiB"),
        tf.errors.ResourceExhaustedError(
            None,
            None,
            "Graph execution error:\n\nDetected at node Conv2D\n<stack traces unavailable>\n"
            "{{function_node __inference_1}} OOM when allocating tensor with shape[100,16,32,32]"
            "\n\t [[{{node Conv2D}}]] [Op:__inference_1]",
        ),
    ],
    ids=["of Python", "of TensorFlow"],
)
def test_a_batch_that_does_not_fit_into_memory_stops_the_run(error, train, tmp_path, after_epoch):
    def full(model):
        def step(iterator):
            raise error

        model.train_function = step

    after_epoch(full)
    workdir = tmp_path / "run"
    finished = train(workdir)
    assert "Not enough memory. " in error_of(finished)
    assert "Smaller --batch_size and --meta_batch_size take less" in error_of(finished)
    if not isinstance(error, MemoryError):
        assert "memory. OOM when allocating tensor with shape[100,16,32,32]. S" in finished.err
    assert_stopped_after_one_epoch(finished, workdir)


def test_a_mistake_of_the_program_keeps_its_traceback():
    for error in (ValueError("x"), KeyError("y"), tf.errors.InvalidArgumentError(None, None, "z")):
        assert failures.reason(error) is None


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "m.csv"), "left on device: 'm.csv'."),
        (OSError(errno.EROFS, "Read-only file system", "m.csv"), "Read-only file system: 'm.csv'."),
        (OSError("Can't synchronously write data (errno = 28, 'No space left on device')"), "28"),
        (tf.errors.ResourceExhaustedError(None, None, "a/b; No space left on device"), "a/b; No"),
        (tf.errors.UnknownError(None, None, "a/b; File too large"), "a/b; File too large."),
    ],
)
def test_what_a_disk_does_is_told_from_what_memory_does(error, expected):
    reason = failures.reason(error)
    assert expected in reason
    assert "memory" not in reason


# Numbers.


def test_a_run_goes_back_to_its_checkpoint_and_counts(train, tmp_path, after_epoch):
    workdir = tmp_path / "run"
    after_epoch(
        lambda model: model.classifier.trainable_variables[0].assign(
            np.inf * tf.ones_like(model.classifier.trainable_variables[0])
        )
    )
    with pytest.warns(UserWarning, match="epoch 2, step 1: .*checkpoint with half the rate"):
        finished = train(workdir, "--epochs=3", "--on_non_finite=rollback")
    assert finished.code == 0, finished.err
    summary = json.loads((workdir / "summary.json").read_text())
    assert (summary["non_finite_steps"], summary["rollbacks"]) == (1, 1)
    assert [row["rollbacks"] for row in rows(workdir)] == ["0", "1", "1"]
    rates = [float(row["learning_rate"]) for row in rows(workdir)]
    np.testing.assert_allclose(rates, [0.1, 0.075 / 2, 0.025 / 2], rtol=1e-5)


def test_a_run_that_goes_wrong_before_its_first_checkpoint_goes_back_to_its_start(train, tmp_path):
    workdir = tmp_path / "run"
    with pytest.warns(UserWarning, match="3 of 3 times"):
        finished = train(workdir, "--learning_rate=1e30", "--method=ce", "--on_non_finite=rollback")
    assert finished.code == 2
    assert "Training went back 3 times already." in error_of(finished)
    model = Workdir(workdir).checkpoints.latest().load()
    assert all(np.isfinite(value).all() for value in model.get_weights())


def test_skipped_steps_are_counted(train, tmp_path, monkeypatch):
    def spoil(inputs, labels, _, index):
        # Every batch whose first image has a certain pixel dark: some of them.
        weight = tf.where(inputs[0, 2, 2, 0] > 12, np.nan, 1.0)
        return inputs, labels, tf.fill(tf.shape(labels), weight), index

    stream = experiment.training_stream
    monkeypatch.setattr(experiment, "training_stream", lambda *a: stream(*a).map(spoil))
    workdir = tmp_path / "run"
    with pytest.warns(UserWarning, match="The step is skipped"):
        finished = train(workdir, "--batch_size=10", "--on_non_finite=skip")
    assert finished.code == 0, finished.err
    summary = json.loads((workdir / "summary.json").read_text())
    assert 0 < summary["non_finite_steps"] < 40
    assert rows(workdir)[-1]["non_finite_steps"] == str(summary["non_finite_steps"])
    assert all(np.isfinite(float(row["loss"])) for row in rows(workdir))


# Determinism.


@pytest.mark.parametrize("method", ["gdw", "co_teaching"])
def test_two_deterministic_runs_are_equal_to_the_bit(method, tmp_path):
    records = []
    for name in ("one", "other"):
        workdir = tmp_path / name
        flags = ["--deterministic", f"--method={method}", "--augment", "--randaugment=3"]
        program = [sys.executable, "-m", "gdw_tf.train", *SHORT, *flags, f"--workdir={workdir}"]
        finished = subprocess.run(program, capture_output=True, text=True, check=False)
        assert finished.returncode == 0, finished.stderr
        model = Workdir(workdir).checkpoints.latest().load()
        state = [*model.variables, *model.optimizer.variables]
        if method == "gdw":
            state += model.weight_optimizer.variables
        metrics = [
            {name: text for name, text in row.items() if name != "seconds_per_step"}
            for row in rows(workdir)
        ]
        records.append((metrics, [variable.numpy().tobytes() for variable in state]))
    assert records[0] == records[1]
