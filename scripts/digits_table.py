"""Compares GDW with the simple alternatives on scikit-learn's digits and prints a table.

Usage: python scripts/digits_table.py [--runs=runs/digits_table] [--seeds=0,1,2] [--out=FILE.md]

Each cell comes from runs of `python -m gdw_tf.train`, one directory each under --runs; runs that
are complete are not run again. About ten minutes on two cores.
"""

from __future__ import annotations

import csv
import json
import platform
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from absl import app, flags
from sklearn.svm import SVC

import gdw_tf
from gdw_tf import data
from gdw_tf.experiment import prepare_data
from gdw_tf.settings import resolve

RUNS = flags.DEFINE_string("runs", "runs/digits_table", "Directory of the runs.")
SEEDS = flags.DEFINE_list("seeds", ["0", "1", "2"], "Seeds.")
OUT = flags.DEFINE_string("out", None, "Also write the table to this file.")

NOISES = {"uniform 60 %": ("uniform", 0.6), "flip 40 %": ("flip", 0.4)}


def trained(method: str, noise: str, rate: float, seed: int) -> Path:
    """Runs one training where it has not been run; returns its directory."""
    workdir = Path(RUNS.value) / f"{noise}{round(100 * rate)}-{method}-seed{seed}"
    if not (workdir / "summary.json").exists():
        command = [sys.executable, "-m", "gdw_tf.train", "--resume", "--dataset=digits"]
        options = {"method": method, "noise": noise, "noise_rate": rate, "seed": seed}
        options["workdir"] = str(workdir)
        command += [f"--{name}={value}" for name, value in options.items()]
        print(" ".join(command[1:]), file=sys.stderr, flush=True)
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return workdir


def last_epochs(method: str) -> Callable[[str, float, int], float]:
    """Test accuracy of a method: the mean of the last five epochs."""

    def accuracy(noise: str, rate: float, seed: int) -> float:
        summary = (trained(method, noise, rate, seed) / "summary.json").read_text()
        return json.loads(summary)["final_accuracy"]

    return accuracy


def stopped_on_the_meta_set(noise: str, rate: float, seed: int) -> float:
    """Test accuracy of plain training in the epoch that is best on the meta set."""
    with (trained("ce", noise, rate, seed) / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    best = max(rows, key=lambda row: (float(row["meta_accuracy"]), -float(row["meta_loss"])))
    return float(best["val_accuracy"])


def support_vector_machine(part: str) -> Callable[[str, float, int], float]:
    """Test accuracy of scikit-learn's SVC with its defaults, on one part of the data."""

    def accuracy(noise: str, rate: float, seed: int) -> float:
        settings = resolve(dataset="digits", noise=noise, noise_rate=rate, seed=seed)
        noisy = prepare_data(settings, data.load("digits"))

        def pixels(images: np.ndarray) -> np.ndarray:
            return images.reshape(len(images), -1) / 16.0

        x, y = getattr(noisy, f"x_{part}"), getattr(noisy, f"y_{part}")
        return SVC().fit(pixels(x), y).score(pixels(noisy.x_test), noisy.y_test)

    return accuracy


ROWS: dict[str, Callable[[str, float, int], float]] = {
    "GDW": last_epochs("gdw"),
    "MW-Net": last_epochs("mw_net"),
    "plain training": last_epochs("ce"),
    "plain training, epoch best on the meta set": stopped_on_the_meta_set,
    "support vector machine on the noisy images": support_vector_machine("train"),
    "support vector machine on the 50 clean images": support_vector_machine("meta"),
}


def table(seeds: list[int]) -> str:
    """The table as Markdown, with what it was made by."""
    lines = [f"| digits, test accuracy in % | {' | '.join(NOISES)} |", "| --- |" + " --- |" * 2]
    for name, accuracy in ROWS.items():
        cells = []
        for noise, rate in NOISES.values():
            values = [100.0 * accuracy(noise, rate, seed) for seed in seeds]
            spread = f" ± {np.std(values, ddof=1):.1f}" if len(values) > 1 else ""
            cells.append(f"{np.mean(values):.1f}{spread}")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False
    ).stdout.strip()
    lines += [
        "",
        f"Mean ± standard deviation over seeds {', '.join(map(str, seeds))}; networks: mean of the "
        "last 5 of 60 epochs unless said otherwise; 50 clean images, 500 test images. "
        f"`python scripts/digits_table.py`, {platform.machine()} CPU, gdw_tf {gdw_tf.__version__}, "
        f"commit {commit or 'unknown'}.",
    ]
    return "\n".join(lines)


def main(argv: list[str]) -> None:
    """Prints the table."""
    text = table([int(seed) for seed in SEEDS.value])
    print(text)
    if OUT.value:
        Path(OUT.value).write_text(text + "\n")


if __name__ == "__main__":
    app.run(main)
