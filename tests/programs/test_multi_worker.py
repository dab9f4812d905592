"""Several workers, each a process of its own on 127.0.0.1, as on several machines."""

from __future__ import annotations

import csv
import json
import os
import shutil
import socket
import subprocess
import sys
import time

import numpy as np
import pytest

from gdw_tf.workdir import Workdir

# Dropout draws the same masks for both halves of a batch, which one replica does not. With seed 0
# rounding meets a kink of the network in the ninth step: a change of 1e-8 in the first weights, on
# one replica, then makes 1e-5, too.
FLAGS = (
    "--seed=1",
    "--network=small_cnn_without_dropout",
    "--train_examples=200",
    "--num_meta=20",
    "--batch_size=50",
    "--meta_batch_size=20",
)


def free_addresses(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    addresses = [f"127.0.0.1:{one.getsockname()[1]}" for one in sockets]
    for one in sockets:
        one.close()
    return addresses


def start_workers(workdir, *flags):
    workers = free_addresses(2)
    return [
        subprocess.Popen(
            [sys.executable, "-m", "gdw_tf.train", "--strategy=multi_worker", *FLAGS, *flags]
            + [f"--workdir={workdir}"],
            env={
                **os.environ,
                "TF_CONFIG": json.dumps(
                    {"cluster": {"worker": workers}, "task": {"type": "worker", "index": index}}
                ),
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for index in range(2)
    ]


def weights(workdir):
    model = Workdir(workdir).checkpoints.latest().load()
    return [np.asarray(variable) for variable in (*model.weights, *model.optimizer.variables)]


@pytest.fixture
def workers():
    """Starts two workers and lets none of them outlive the test."""
    started = []

    def start(workdir, *flags):
        started.extend(start_workers(workdir, *flags))
        return started

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_two_workers_train_what_one_process_trains(workers, train, tmp_path):
    chief, other = workers(tmp_path / "two", "--epochs=5")
    results = [process.communicate(timeout=300) for process in (chief, other)]
    assert [chief.returncode, other.returncode] == [0, 0], results
    assert results[1][0] == ""  # only the chief speaks
    assert train(tmp_path / "one", *FLAGS, "--epochs=5").code == 0

    with (tmp_path / "two" / "metrics.csv").open(newline="") as file:
        assert [row["epoch"] for row in csv.DictReader(file)] == list("01234")
    summary = json.loads((tmp_path / "two" / "summary.json").read_text())
    assert summary["replicas"] == 2
    assert (tmp_path / "two" / "export").is_dir()
    for of_two, of_one in zip(weights(tmp_path / "two"), weights(tmp_path / "one"), strict=True):
        np.testing.assert_allclose(of_two, of_one, atol=1e-5)


def test_a_method_with_two_stages_is_trained_by_two_workers(workers, tmp_path):
    started = workers(tmp_path / "run", "--epochs=1", "--method=glc")
    results = [process.communicate(timeout=300) for process in started]
    assert [process.returncode for process in started] == [0, 0], results
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["replicas"] == 2


def test_a_killed_worker_ends_the_other_which_says_why(workers, tmp_path):
    chief, other = workers(tmp_path / "run", "--epochs=1000")
    for line in chief.stdout:
        if line.startswith("Epoch 3"):
            break
    other.kill()
    _, errors = chief.communicate(timeout=120)
    last = errors.strip().splitlines()[-1]
    assert chief.returncode == 1
    assert last.startswith("error: Another worker is lost")
    assert str(tmp_path / "run" / "checkpoints" / "step-") in last
    assert "--resume" in last


def test_workers_go_on_within_an_epoch(workers, train, tmp_path):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    flags = ("--epochs=3", "--checkpoint_every=3")  # an epoch has four steps
    assert train(whole, *FLAGS, *flags).code == 0
    chief, other = workers(broken, *flags)
    manifest = broken / "checkpoints" / "manifest.json"
    while chief.poll() is None:
        if manifest.exists() and '"step": 6' in manifest.read_text():
            other.kill()
            break
        time.sleep(0.01)
    chief.communicate(timeout=120)
    for path in broken.glob("checkpoints/step-*"):  # whatever came after the sixth step
        if path.name > "step-00000006":
            shutil.rmtree(path)

    *_, chief, other = workers(broken, *flags, "--resume")
    results = [process.communicate(timeout=300) for process in (chief, other)]
    assert [chief.returncode, other.returncode] == [0, 0], results
    assert "going on after epoch 1, step 2 of the next one" in results[0][0]
    for of_two, of_one in zip(weights(broken), weights(whole), strict=True):
        np.testing.assert_allclose(of_two, of_one, atol=1e-5)
    rows = []
    for workdir in (broken, whole):
        with (workdir / "metrics.csv").open(newline="") as file:
            rows.append(
                [
                    [float(row[name]) for name in ("epoch", "loss", "accuracy", "val_loss")]
                    for row in csv.DictReader(file)
                ]
            )
    np.testing.assert_allclose(*rows, atol=1e-4)


@pytest.mark.parametrize(
    ("config", "arguments", "error"),
    [
        (None, (), "needs TF_CONFIG in the environment"),
        ("workers", (), "Received: TF_CONFIG='workers'"),
        ('{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 1}}', (), "index"),
        (None, ("--meta=pseudo",), "meta=pseudo, strategy=multi_worker"),
    ],
)
def test_what_several_workers_cannot_do_without_is_named(
    train, tmp_path, monkeypatch, config, arguments, error
):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    if config is not None:
        monkeypatch.setenv("TF_CONFIG", config)
    finished = train(tmp_path / "run", "--strategy=multi_worker", *arguments)
    assert finished.code == 2
    assert error in finished.err
    assert not (tmp_path / "run").exists()
