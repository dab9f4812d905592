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
        rows.sort(key=lambda row: (-float(row["meta_accuracy"]), float(row["meta_loss"])))
        best.append(float(rows[0]["val_accuracy"]))
    assert cells_of(reproduced, "ce_early_stopping")[0].startswith(f"{50 * sum(best):.1f} ±")
    text = (reproduced / "results.md").read_text()
    assert "| digits, flip 40 %, seeds 0, 1 |" in text
    assert "- epochs: 2\n- made by: " in text
    assert summaries[0]["made_by"].rstrip(".") in text
    flags = "--batch_size=50 --epochs=2 --num_meta=20 --train_examples=100"
    assert f"## digits, full protocol, with `{flags}`" in text


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


def test_runs_of_other_settings_have_a_table_of_their_own(reproduced, tmp_path):
    shutil.copytree(reproduced / "runs", tmp_path / "runs")
    other = tmp_path / "runs/full/digits_flip_0.4/gdw-seed1/flags.txt"
    other.write_text(other.read_text().replace("--momentum=0.9", "--momentum=0.5"))
    shutil.copytree(other.parent, other.parents[1] / "ce-old-seed0")  # somebody has named it
    assert reproduce(tmp_path, "--table=").returncode == 0
    tables = (tmp_path / "results.md").read_text().split("\n## ")[1:]
    assert len(tables) == 2
    usual, with_momentum = sorted(tables, key=lambda one: "--momentum=0.5" in one)
    assert "| gdw |" in usual and "(seeds 0)" in usual and "momentum" not in usual
    assert "seed 1 |" in with_momentum and "| ce |" not in with_momentum


def keep(runs, out):
    return subprocess.run(
        [sys.executable, ROOT / "scripts/keep_runs.py", f"--workdir={runs}", f"--out={out}"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_kept_runs_give_the_results_of_the_runs(reproduced, tmp_path):
    finished = keep(reproduced / "runs", tmp_path / "runs")
    assert finished.returncode == 0, finished.stderr
    kept = {path.name for path in (tmp_path / "runs").rglob("*") if path.is_file()}
    assert kept == {
        *("flags.txt", "metrics.csv", "weight_curve.csv", "summary.json"),
        *("training_set.txt", "evaluation_sets.txt"),
    }
    for path in (tmp_path / "runs").rglob("flags.txt"):
        assert not any("download" in line or "/" in line for line in path.read_text().splitlines())
    assert reproduce(tmp_path, *SHORT, "--seeds=0,1").returncode == 0  # none is trained again
    assert (tmp_path / "results.md").read_text() == (reproduced / "results.md").read_text()
    assert not list((tmp_path / "runs").rglob("checkpoints"))


def test_runs_are_not_kept_on_top_of_themselves(reproduced, tmp_path):
    shutil.copytree(reproduced / "runs", tmp_path / "runs")
    before = {path: path.read_bytes() for path in tmp_path.rglob("flags.txt")}
    finished = keep(tmp_path / "runs", tmp_path / "runs")
    assert finished.returncode == 2 and "out must not lie in workdir" in finished.stderr
    assert {path: path.read_bytes() for path in tmp_path.rglob("flags.txt")} == before


def planned(*arguments):
    """The settings of the runs that `--table=...` would make, by directory, without making any."""
    code = (
        "import json, sys, dataclasses, pathlib; sys.path.insert(0, 'scripts')\n"
        "import reproduce; from gdw_tf import cli\n"
        "def main(argv):\n"
        "    runs = reproduce.planned(pathlib.Path('/nowhere'))\n"
        "    print(json.dumps({str(run.workdir.root): dataclasses.asdict(run.settings) for run in "
        "runs}))\n"
        "cli.run(main, doc='', groups={})"
    )
    finished = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    return json.loads(finished.stdout)


@pytest.fixture(scope="module")
def of_the_paper():
    return planned("--table=cifar_noise,cifar_longtail,cifar_n", "--seeds=0")


@pytest.mark.parametrize(
    ("folder", "dataset", "noise", "rate", "imbalance"),
    [
        ("cifar10_flip40", "cifar10", "flip", 0.4, 1.0),
        ("cifar10_uniform40", "cifar10", "uniform", 0.4, 1.0),
        ("cifar10_uniform60", "cifar10", "uniform", 0.6, 1.0),
        ("cifar100_uniform40", "cifar100", "uniform", 0.4, 1.0),
        ("cifar10_longtail_0.01", "cifar10", "none", 0.0, 0.01),
    ],
)
def test_the_full_protocol_is_the_papers(folder, dataset, noise, rate, imbalance, of_the_paper):
    settings = of_the_paper[f"/nowhere/full/{folder}/gdw-seed0"]
    assert (settings["dataset"], settings["imbalance_factor"]) == (dataset, imbalance)
    assert settings["noise_rate"] == rate and (settings["noise"] == noise or not rate)
    assert (settings["network"], settings["epochs"], settings["train_examples"]) == (
        *("resnet32", 80),
        None,
    )
    assert (settings["num_meta"], settings["batch_size"], settings["meta_batch_size"]) == (
        *(1000, 100),
        100,
    )
    assert (settings["momentum"], settings["weight_decay"], settings["learning_rate"]) == (
        *(0.9, 5e-4),
        0.1,
    )
    assert settings["outer_lr"] == "auto"  # 0.1 a class-level weight, the paper's 100 and 1000
    assert (settings["clip"], settings["zero_mean"], settings["memory"]) == (0.2, True, 0.0)


def test_the_ablation_is_run_where_the_paper_has_it(of_the_paper):
    ablations = [path for path, one in of_the_paper.items() if not one["zero_mean"]]
    assert ablations == ["/nowhere/full/cifar10_uniform40/gdw-zero_mean=false-seed0"]


def test_the_reduced_protocol_is_the_full_one_with_less(of_the_paper):
    reduced = planned(
        *("--table=cifar_noise,cifar_longtail,cifar_n", "--seeds=0", "--protocol=reduced")
    )
    assert len(reduced) == len(of_the_paper)
    for path, settings in of_the_paper.items():
        less = {"network": "resnet20", "train_examples": 5000, "augment": False, "epochs": 30}
        assert reduced[path.replace("/full/", "/reduced/")] == settings | less


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
        (["--table=digits", "--dataset=cifar10"], "these settings itself. Received: dataset"),
        (["--table=digits", "--methods=ce,svc"], "training methods here. Received: svc"),
        (["--table="], "There is no complete run of a table below workdir"),
        (
            ["--table=digits", "--backend=portable", "--methods=gdw,glc"],
            "glc begins with a training of its own",
        ),
        (["--table=digits", "--backend=portable", "--deterministic"], "Received: deterministic"),
        ([], "table"),
    ],
)
def test_a_mistake_is_told_in_one_line(arguments, message, tmp_path):
    finished = reproduce(tmp_path, *arguments)
    assert finished.returncode == 2
    assert message in finished.stderr.splitlines()[-1]
    assert not (tmp_path / "results.md").exists()
