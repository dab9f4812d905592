"""Training with the meta sets of those who have no clean one, by command line."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import gdw_tf

PSEUDO = ("--meta=pseudo", "--pseudo_warmup=2", "--pseudo_every=2")


def summary(workdir):
    return json.loads((workdir / "summary.json").read_text())


def epochs(workdir):
    with (workdir / "metrics.csv").open(newline="") as file:
        return [int(row["epoch"]) for row in csv.DictReader(file)]


def test_a_pseudo_clean_meta_set_is_chosen_in_every_round(train, tmp_path):
    finished = train(
        tmp_path / "run",
        *PSEUDO,
        "--num_meta=30",
        "--epochs=3",
        "--noise=uniform",
        "--method=mw_net",
    )

    assert finished.code == 0, finished.err
    lines = finished.out.splitlines()
    assert any("200 training images, " in line and "no meta images set" in line for line in lines)
    assert "plain training of 2 epochs for the first choice" in lines
    choices = [line for line in lines if line.startswith("from epoch ")]
    assert [line.split(", ")[0] for line in choices] == [
        "from epoch 1 on: 30 pseudo-clean meta images",
        "from epoch 3 on: 30 pseudo-clean meta images",
    ]
    result = summary(tmp_path / "run")
    assert epochs(tmp_path / "run") == [0, 1, 2]
    assert sum(result["class_counts"]) == 200 and result["meta_images"] == 30
    assert choices[1].endswith(f", {100 * result['meta_noise_rate']:.1f} % wrong labels")


def test_the_size_of_a_pseudo_clean_meta_set_need_not_be_given(run_program, tmp_path):
    flags = ("--train_examples=200", "--epochs=1", "--batch_size=50", *PSEUDO)
    finished = run_program("train", *flags, f"--workdir={tmp_path / 'run'}")

    assert finished.code == 0, finished.err
    assert 20 <= summary(tmp_path / "run")["meta_images"] <= 70
    assert "num_meta" not in (tmp_path / "run" / "flags.txt").read_text()


def test_a_noisy_meta_set_has_the_labels_given(train, tmp_path):
    noise = ("--noise=pair", "--noise_rate=1")
    finished = train(tmp_path / "run", "--meta=noisy", "--meta_loss=mae", *noise)

    assert finished.code == 0, finished.err
    assert "200 training images, 100.0 % wrong labels, 20 meta images, 100.0 %" in finished.out
    result = summary(tmp_path / "run")
    assert (result["meta_images"], result["meta_noise_rate"]) == (20, 1.0)


@pytest.mark.parametrize("kind, is_evaluated", [("noisy", True), ("pseudo", False)])
def test_plain_training_evaluates_a_noisy_meta_set_and_needs_none(
    kind, is_evaluated, train, tmp_path
):
    finished = train(tmp_path / "run", "--method=ce", f"--meta={kind}")

    assert finished.code == 0, finished.err
    assert "for the first choice" not in finished.out
    header = (tmp_path / "run" / "metrics.csv").read_text().splitlines()[0].split(",")
    assert ("meta_accuracy" in header) == is_evaluated
    assert summary(tmp_path / "run")["meta_images"] == (20 if is_evaluated else 0)


def test_rounds_are_resumed_bit_for_bit(tmp_path):
    tests, root = Path(__file__).parents[1], Path(gdw_tf.__file__).parents[1]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(tests), str(root)))}
    finished = subprocess.run(
        [sys.executable, "-m", "programs.rounds_resumed", tmp_path],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr


def test_a_complete_run_is_resumed_with_its_last_meta_set(train, tmp_path):
    train(tmp_path / "run", *PSEUDO, "--epochs=1")
    before = summary(tmp_path / "run")
    finished = train(tmp_path / "run", *PSEUDO, "--epochs=1", "--resume")

    assert finished.code == 0, finished.err
    assert "for the first choice" not in finished.out
    names = ("meta_images", "meta_noise_rate", "final_accuracy")
    assert [summary(tmp_path / "run")[name] for name in names] == [before[name] for name in names]


@pytest.fixture
def archive(tmp_path):
    """The archive of the user's own images, with or without a clean set."""

    def write(*, with_clean_set: bool) -> str:
        arrays = {}
        for suffix, count in (("", 40), ("_meta", 4), ("_test", 6)):
            labels = np.arange(count) % 2
            noise = np.random.default_rng(count).integers(60, size=(count, 8, 8, 1))
            images = (noise + 190 * labels[:, np.newaxis, np.newaxis, np.newaxis]).astype(np.uint8)
            if suffix != "_meta" or with_clean_set:
                arrays |= {f"x{suffix}": images, f"y{suffix}": labels}
        np.savez(tmp_path / "own.npz", **arrays)
        return f"--data_file={tmp_path / 'own.npz'}"

    return write


def test_images_without_a_clean_set_are_trained_on(archive, train, tmp_path):
    small = ("--network=small_cnn", "--train_examples=30", "--batch_size=10", "--num_meta=4")
    given = ("--dataset=npz", archive(with_clean_set=False), *small)
    for kind in ("pseudo", "noisy"):
        finished = train(tmp_path / kind, *given, *PSEUDO, f"--meta={kind}")
        assert finished.code == 0, finished.err
        assert "4 meta images, labels as they are" in finished.out or kind == "pseudo"
        assert summary(tmp_path / kind)["meta_noise_rate"] is None


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--meta=foo"], "meta=foo; allowed: clean, noisy, pseudo"),
        (["--meta_loss=foo"], "meta_loss=foo; allowed: cross_entropy, mae"),
        (["--pseudo_every=0"], "pseudo_every=0; allowed: at least 1"),
        (["--pseudo_warmup=0"], "pseudo_warmup=0; allowed: at least 1"),
        (["--meta=pseudo", "--num_meta=9"], "num_meta=9; allowed: 10 or more"),
        (["--meta=pseudo", "--num_meta=400"], "num_meta=400, which takes 40 examples with label"),
        (["--meta=noisy", "--num_meta=1297"], "num_meta=1297; allowed: 1 to 1296"),
        (["--meta=noisy", "--train_examples=1290"], "train_examples=1290; allowed: 1 to 1277"),
        (["--meta=noisy", "--noise_rate=1"], "2 images of class 3; allowed: 0 of its 0"),
    ],
)
def test_a_mistake_gets_one_line_and_exit_code_2(arguments, message, train, tmp_path):
    finished = train(tmp_path / "run", *arguments)
    assert finished.code == 2
    error = [line for line in finished.err.splitlines() if line.startswith("error: ")]
    assert len(error) == 1 and message in error[0], finished.err
    assert not (tmp_path / "run").exists()


def test_a_clean_set_is_asked_for_where_there_is_one_and_only_there(archive, train, tmp_path):
    for with_clean_set, kind, message in (
        (True, "pseudo", "Data set npz has a clean set of its own. Received: meta=pseudo; allowed"),
        (True, "noisy", "Received: meta=noisy; allowed: clean"),
        (False, "clean", "Data set npz comes without a clean set, and its labels"),
    ):
        given = ("--dataset=npz", archive(with_clean_set=with_clean_set), "--train_examples=20")
        finished = train(tmp_path / "run", *given, f"--meta={kind}")
        assert finished.code == 2
        assert finished.err.count("error: ") == 1 and message in finished.err, finished.err
        assert not (tmp_path / "run").exists()
