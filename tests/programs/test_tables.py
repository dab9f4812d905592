"""The scripts that make the tables of docs/."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
SHORT = (
    *("--settings=4", "--methods=ce,ce_early_stopping,svc", "--seeds=0,1", "--epochs=1"),
    *("--train_examples=100", "--num_meta=20", "--batch_size=50"),
)


def script(name, *arguments):
    return subprocess.run(
        [sys.executable, ROOT / f"scripts/{name}.py", *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_digits_table_holds_what_the_runs_reached_and_says_by_what_each_was_made(tmp_path):
    arguments = (*SHORT, f"--workdir={tmp_path / 'runs'}", f"--out={tmp_path / 'out'}")
    finished = script("digits_table", *arguments)
    assert finished.returncode == 0, finished.stderr
    summaries = [tmp_path / f"runs/4/ce-seed{seed}/summary.json" for seed in (0, 1)]
    older = json.loads(summaries[0].read_text()) | {"made_by": "abacus, commit 0000000."}
    summaries[0].write_text(json.dumps(older))
    assert script("digits_table", *arguments).returncode == 0

    with (tmp_path / "out/table.csv").open(newline="") as file:
        rows = {row["method"]: row for row in csv.DictReader(file)}
    accuracies = [json.loads(path.read_text())["final_accuracy"] for path in summaries]
    assert float(rows["ce"]["mean_accuracy"]) == pytest.approx(np.mean(accuracies))
    text = (tmp_path / "out/table.md").read_text()
    spread = 100 * abs(accuracies[0] - accuracies[1]) / np.sqrt(2)
    assert f"{100 * np.mean(accuracies):.1f} ± {spread:.1f}" in text
    assert "| svc |" in text and "| ce_early_stopping |" in text
    newer = json.loads(summaries[1].read_text())["made_by"]
    assert "abacus, commit 0000000." in text and newer in text


def test_a_table_of_no_trainings_is_made(tmp_path):
    arguments = (f"--workdir={tmp_path / 'runs'}", f"--out={tmp_path}")
    finished = script("digits_table", *SHORT, "--methods=svc", *arguments)
    assert finished.returncode == 0, finished.stderr
    assert "| svc |" in (tmp_path / "table.md").read_text()


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("digits_table", ["--settings=6"], "numbers from 1 to 5. Received: 6"),
        ("digits_table", ["ce"], "All arguments are flags. Received: ce"),
        ("audit_table", ["--methods=gdw,svc"], "training methods here. Received: svc"),
        ("second_round_table", ["--methods=ce_early_stopping"], "Received: ce_early_stopping"),
        ("checks_table", ["--checks=0"], "numbers from 1. Received: 0"),
        ("folder_memory", ["--images=200,few"], "numbers from 1. Received: images=200,few"),
        ("keep_runs", [], "Name both directories. Received: workdir=None, out=None"),
    ],
)
def test_a_mistake_is_told_in_one_line(name, arguments, message, tmp_path):
    if name == "audit_table":
        pytest.importorskip("cleanlab")
    finished = script(name, *arguments)
    assert finished.returncode == 2
    assert message in finished.stderr.splitlines()[-1]
