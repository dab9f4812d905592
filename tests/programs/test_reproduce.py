"""`scripts/reproduce.py`: runs what is missing, and writes results of what stands there alone."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
SHORT = (
    *("--table=digits", "--settings=digits_flip_0.4", "--methods=ce,gdw", "--epochs=2"),
    *("--train_examples=100", "--num_meta=20", "--batch_size=50"),
)


def reproduce(folder, *arguments):
    return subprocess.run(
        [sys.executable, ROOT / "scripts/reproduce.py", *arguments, f"--workdir={folder / 'runs'}"]
        + [f"--out={folder / 'results.md'}"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )


def cells_of(folder, method):
    lines = (folder / "results.md").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith(f"| {method} |"))
    return [cell.strip() for cell in line.split("|")[2:-1]]


@pytest.fixture(scope="module")
def reproduced(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reproduced")
    finished = reproduce(folder, *SHORT, "--seeds=0,1")
    assert finished.returncode == 0, finished.stderr
    return folder


def test_results_are_those_of_the_runs(reproduced):
    runs = reproduced / "runs/full/digits_flip_0.4"
    summaries = [json.loads((runs / f"gdw-seed{seed}/summary.json").read_text()) for seed in (0, 1)]
    accuracies = 100 * np.array([summary["final_accuracy"] for summary in summaries])
    expected = f"{accuracies.mean():.1f} ± {abs(accuracies[0] - accuracies[1]) / np.sqrt(2):.1f}"
    assert cells_of(reproduced, "gdw")[0] == expected
    best = []
    for seed in (0, 1):
        with (runs / f"ce-seed{seed}/metrics.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        best.append(float(max(rows, key=lambda row: float(row["meta_accuracy"]))["val_accuracy"]))
    assert cells_of(reproduced, "ce_early_stopping")[0].startswith(f"{50 * sum(best):.1f} ±")
    text = (reproduced / "results.md").read_text()
    assert "| digits, flip 40 %, seeds 0, 1 |" in text
    assert "- epochs: 2\n- made by: " in text
    assert summaries[0]["made_by"].rstrip(".") in text


def test_what_is_complete_is_not_run_again_and_what_is_gone_is_not_told(reproduced, tmp_path):
    shutil.copytree(reproduced / "runs", tmp_path / "runs")
    runs = tmp_path / "runs/full/digits_flip_0.4"
    before = (runs / "gdw-seed0/metrics.csv").stat().st_mtime_ns
    assert reproduce(tmp_path, *SHORT, "--seeds=0").returncode == 0
    assert (runs / "gdw-seed0/metrics.csv").stat().st_mtime_ns == before
    shutil.rmtree(runs / "gdw-seed1")
    assert reproduce(tmp_path, "--table=").returncode == 0
    accuracy = json.loads((runs / "gdw-seed0/summary.json").read_text())["final_accuracy"]
    assert cells_of(tmp_path, "gdw")[0] == f"{100 * accuracy:.1f} (seeds 0)"


def test_kept_runs_give_the_results_of_the_runs(reproduced, tmp_path):
    program = [sys.executable, ROOT / "scripts/keep_runs.py", f"--workdir={reproduced / 'runs'}"]
    finished = subprocess.run(
        [*program, f"--out={tmp_path / 'runs'}"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    kept = {path.name for path in (tmp_path / "runs").rglob("*") if path.is_file()}
    assert kept == {"flags.txt", "metrics.csv", "weight_curve.csv", "summary.json"}
    flag_files = (tmp_path / "runs").rglob("flags.txt")
    assert not any(str(reproduced) in path.read_text() for path in flag_files)
    assert reproduce(tmp_path, *SHORT, "--seeds=0,1").returncode == 0  # none is trained again
    assert (tmp_path / "results.md").read_text() == (reproduced / "results.md").read_text()
    assert not list((tmp_path / "runs").rglob("checkpoints"))


def test_the_portable_backend_makes_the_same_kind_of_run(tmp_path):
    pytest.importorskip("jax", reason="JAX is not installed: pip install .[portable]")
    finished = reproduce(tmp_path, *SHORT, "--methods=gdw", "--seeds=0", "--backend=portable")
    assert finished.returncode == 0, finished.stdout + finished.stderr
    summary = json.loads(
        (tmp_path / "runs/full/digits_flip_0.4/gdw-seed0/summary.json").read_text()
    )
    assert cells_of(tmp_path, "gdw")[0] == f"{100 * summary['final_accuracy']:.1f}"
    assert f"run by JAX on {summary['ran_on']['device']}" in (tmp_path / "results.md").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--table=mnist"], "no such table. Received: table=mnist; allowed: cifar_noise"),
        (["--table=digits", "--settings=flip"], "settings=flip; allowed: digits_uniform_0.4"),
        (["--table=digits", "--protocol=short"], "protocol=short; allowed: full, reduced"),
        (["--table=digits", "--noise_rate=0.1"], "has these settings itself. Received: noise_rate"),
        ([], "table"),
    ],
)
def test_a_mistake_is_told_in_one_line(arguments, message, tmp_path):
    finished = reproduce(tmp_path, *arguments)
    assert finished.returncode == 2
    assert message in finished.stderr.splitlines()[-1]
    assert not (tmp_path / "results.md").exists()
