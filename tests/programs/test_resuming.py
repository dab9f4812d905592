from __future__ import annotations

import csv
import os
import shlex
import shutil
import signal
import sys

import numpy as np
import PIL.Image
import pytest

from gdw_tf import callbacks
from gdw_tf.workdir import Workdir

STEPS = ("--batch_size=40",)  # five an epoch


def rows(workdir):
    """The rows of the metrics, without times."""
    with (workdir / "metrics.csv").open(newline="") as file:
        read = list(csv.DictReader(file))
    return [
        {name: float(text) for name, text in row.items() if name != "seconds_per_step"}
        for row in read
    ]


def weights(workdir):
    model = Workdir(workdir).checkpoints.latest().load()
    return [np.asarray(variable) for variable in (*model.weights, *model.optimizer.variables)]


def steps_saved(workdir):
    return sorted(
        int(path.name.removeprefix("step-")) for path in workdir.glob("checkpoints/step-*")
    )


def damage(path):
    path.write_bytes(path.read_bytes()[:-1])


def last_line(finished):
    return finished.err.strip().splitlines()[-1]


@pytest.fixture(scope="module")
def run_with_checkpoints(tmp_path_factory):
    """The directory of a complete run with checkpoints within epochs; to be copied, not changed."""
    from .conftest import SHORT, run

    workdir = tmp_path_factory.mktemp("whole") / "run"
    finished = run(
        "train",
        *SHORT,
        *STEPS,
        f"--workdir={workdir}",
        "--checkpoint_every=3",
        "--keep_checkpoints=3",
    )
    assert finished.code == 0, finished.err
    return workdir


@pytest.fixture
def copied(run_with_checkpoints, tmp_path):
    shutil.copytree(run_with_checkpoints, tmp_path / "run")
    return tmp_path / "run"


def assert_same_end(workdir, whole):
    for one, other in zip(rows(workdir), rows(whole), strict=True):
        assert one == pytest.approx(other, rel=1e-4, abs=1e-5)
    for one, other in zip(weights(workdir), weights(whole), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def test_checkpoints_are_where_the_flags_say(run_with_checkpoints):
    assert set(steps_saved(run_with_checkpoints)) - {5} == {6, 9, 10}  # 5, if it is the best


def test_a_run_told_to_stop_saves_the_step_and_goes_on_from_it(
    run_with_checkpoints, train, tmp_path, monkeypatch
):
    workdir = tmp_path / "run"

    def told(self, batch, logs=None):
        if batch == 1:
            os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patched:
        patched.setattr(callbacks.StepTimer, "on_train_batch_begin", told)
        stopped = train(workdir, *STEPS)
    assert stopped.code == 143
    assert steps_saved(workdir) == [2]
    said, command = last_line(stopped).split("; go on with: ")
    assert said.startswith("stopped by SIGTERM; the last good checkpoint is ")
    assert said.endswith("step-00000002")
    module, *arguments = shlex.split(command)[2:]
    assert module == "gdw_tf.train" and arguments[-1] == "--resume"
    assert f"--workdir={workdir}" in arguments

    finished = train(workdir, *STEPS, "--resume")
    assert finished.code == 0, finished.err
    assert "going on after epoch 0, step 2 of the next one" in finished.out
    assert_same_end(workdir, run_with_checkpoints)


def test_a_run_told_to_stop_before_its_first_step_ends_at_once(train, tmp_path, monkeypatch):
    def told(self):
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr("gdw_tf.checkpoints.CheckpointFolder.latest", told)
    monkeypatch.setattr(os, "_exit", sys.exit)  # the process of the tests goes on
    stopped = train(tmp_path / "run")
    assert stopped.code == 130
    assert "stopped by SIGINT; none was saved yet; go on with: " in last_line(stopped)
    assert not (tmp_path / "run").exists()


def test_a_damaged_checkpoint_is_told_and_the_one_before_it_used(
    copied, run_with_checkpoints, train
):
    damage(copied / "checkpoints" / "step-00000010" / "model.keras")
    with pytest.warns(UserWarning, match=r"step-00000010 is damaged .* the one before it"):
        finished = train(copied, *STEPS, "--resume")
    assert finished.code == 0, finished.err
    assert "going on after epoch 1, step 4 of the next one" in finished.out
    assert_same_end(copied, run_with_checkpoints)


@pytest.mark.filterwarnings("ignore:checkpoint")
@pytest.mark.parametrize("program", ["train", "evaluate", "export"])
def test_without_a_good_checkpoint_nothing_starts_anew(program, copied, train, run_program):
    for path in copied.glob("checkpoints/step-*/model.keras"):
        damage(path)
    before = {path: path.read_bytes() for path in copied.rglob("*") if path.is_file()}
    finished = (
        train(copied, *STEPS, "--resume") if program == "train" else run_program(program, copied)
    )
    assert finished.code == 2
    assert "No checkpoint of the run can be used" in last_line(finished)
    assert before == {path: path.read_bytes() for path in copied.rglob("*") if path.is_file()}


def test_the_best_checkpoint_that_is_damaged_is_told_and_the_run_goes_on(copied, train):
    best = Workdir(copied).checkpoints.best()
    damage(best.path / "epoch.json")
    with pytest.warns(UserWarning, match="The best checkpoint .* is damaged"):
        finished = train(copied, *STEPS, "--resume")
    assert finished.code == 0, finished.err


def test_a_second_process_is_refused(copied, train):
    before = {path: path.read_bytes() for path in copied.rglob("*") if path.is_file()}
    with Workdir(copied).locked():
        finished = train(copied, *STEPS, "--resume")
    assert finished.code == 2
    assert f"Another process trains in this workdir. Received: {copied}" in last_line(finished)
    assert last_line(finished).endswith(f"held by process {os.getpid()}")
    assert before == {path: path.read_bytes() for path in copied.rglob("*") if path.is_file()}


def test_a_run_that_another_process_begins_meanwhile_is_left_alone(train, tmp_path, monkeypatch):
    workdir = tmp_path / "run"

    def begin(self):
        workdir.mkdir()
        (workdir / "flags.txt").write_text("--epochs=7\n")

    monkeypatch.setattr("gdw_tf.checkpoints.CheckpointFolder.latest", begin)
    finished = train(workdir, "--resume")
    assert finished.code == 2
    assert "Another process has begun a run meanwhile" in last_line(finished)
    assert (workdir / "flags.txt").read_text() == "--epochs=7\n"


def test_a_run_that_was_killed_as_it_began_can_be_begun(train, tmp_path):
    workdir = tmp_path / "run"
    workdir.mkdir()
    (workdir / "lock").write_text("123\n")
    (workdir / "flags.txt.partial").write_text("--epo")
    finished = train(workdir, "--epochs=1")
    assert finished.code == 0, finished.err
    assert not list(workdir.rglob("*.partial"))


def test_clocks_of_several_workers_are_not_asked(train, tmp_path):
    finished = train(tmp_path / "run", "--strategy=multi_worker", "--checkpoint_minutes=5")
    assert finished.code == 2
    assert "checkpoint_minutes=5, strategy=multi_worker" in last_line(finished)


def test_a_run_does_not_go_on_with_another_training_set(tmp_path, run_program):
    root, workdir = tmp_path / "images", tmp_path / "run"
    for part, count in (("train", 6), ("meta", 2), ("test", 2)):
        for name in ("cat", "dog"):
            (root / part / name).mkdir(parents=True)
            for number in range(count):
                pixels = np.random.default_rng(number).integers(0, 256, (8, 8, 3), dtype=np.uint8)
                pixels[0, 0] = len(part), len(list(root.rglob("*.png"))), 0  # none is there twice
                PIL.Image.fromarray(pixels).save(root / part / name / f"{number}.png")
    flags = (
        *("train", "--dataset=folder", f"--data_dir={root}", "--image_size=8,8", "--epochs=1"),
        *("--network=small_cnn", "--batch_size=4", f"--workdir={workdir}"),
    )
    assert run_program(*flags).code == 0
    before = (workdir / "metrics.csv").read_bytes()
    (root / "train/cat/3.png").rename(root / "train/dog/moved.png")
    refused = run_program(*flags, "--resume")
    assert refused.code == 2
    assert "no longer the one that the run began with" in refused.err
    assert (workdir / "metrics.csv").read_bytes() == before
    (root / "train/dog/moved.png").rename(root / "train/cat/3.png")
    for part in ("meta", "test"):
        (root / f"{part}/cat/1.png").rename(root / f"{part}/cat/moved.png")
        refused = run_program(*flags, "--resume")
        assert refused.code == 2
        assert "Meta set or test set are no longer those that the run began with" in refused.err
        (root / f"{part}/cat/moved.png").rename(root / f"{part}/cat/1.png")
    for part in ("train", "meta", "test"):
        (root / part / "dog").rename(root / part / "ant")
    refused = run_program("evaluate", workdir)
    assert refused.code == 2
    assert "no longer those of the run. Received: ant, cat; allowed: cat, dog." in refused.err
    for part in ("train", "meta", "test"):
        (root / part / "ant").rename(root / part / "dog")
    assert run_program(*flags, "--resume").code == 0
