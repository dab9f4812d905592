"""Compares all methods on scikit-learn's digits, under noise and imbalance, and writes a table.

Usage: python scripts/digits_table.py [--methods=...] [--seeds=0,1,2] [--jobs=2] [--out=docs/digits]

Every figure comes from runs of `python -m gdw_tf.train` under --workdir (by default
runs/digits_table), one directory each, by the same rules as `python -m gdw_tf.compare`; runs that
are complete are not run again. By default all methods are compared, GDW and MW-Net with some
options of the library's own, and support vector machines. --out gets table.md and table.csv, anew
after every setting.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from digits_settings import DIGITS
from numbered_settings import ONLY, chosen

from gdw_tf import cli, methods, train_flags
from gdw_tf.comparison import WITHOUT_RUNS, Comparison, train_all
from gdw_tf.comparison_flags import JOBS, METHODS, SEEDS, methods_or
from gdw_tf.provenance import command
from gdw_tf.results import Row, markdown_table, markdown_text, percent, runs_made_by
from gdw_tf.settings import Settings
from gdw_tf.workdir import Workdir

OURS = (
    "gdw:memory=0.7",
    "gdw:pair_memory=0.99",
    "gdw:meta_weight=0.1",
    "gdw:pair_memory=0.99:meta_weight=0.1",
    "mw_net:meta_weight=0.1",
)
"""This library's options of the papers' methods, rows of their own."""


def main(argv: list[str]) -> None:
    """Runs what is missing and writes the table."""
    with cli.user_errors():
        cli.check_all_flags(argv)
        names = methods_or([*methods.names(), *OURS, *WITHOUT_RUNS])
        root = Path(train_flags.WORKDIR.value or "runs/digits_table")
        plans = {
            title: Comparison.plan(names, SEEDS.value, root / number, *setting)
            for title, (number, setting) in chosen(DIGITS).items()
        }
    columns: dict[str, list[Row]] = {}
    failures = []
    for title, plan in plans.items():
        failures += train_all(plan.trainings, JOBS.value)
        columns[title] = plan.rows()
        settings = next(iter(plan.runs.values()))[0].settings
        write(columns, settings, Path(cli.OUT.value or "docs/digits"))
    if failures:
        cli.fail(f"{len(failures)} runs failed: {'; '.join(failures)}", code=1)


def write(columns: dict[str, list[Row]], settings: Settings, out: Path) -> None:
    """Writes the table, a row a method and a column a setting."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "table.md").write_text(markdown(columns, settings))
    with (out / "table.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["method", "setting", "mean_accuracy", "std_accuracy", "accuracies"])
        for setting, rows in columns.items():
            for row in rows:
                accuracies = " ".join(f"{accuracy:.4f}" for accuracy in row.accuracies)
                writer.writerow([row.name, setting, row.mean, row.std, accuracies])


def markdown(columns: dict[str, list[Row]], settings: Settings) -> str:
    """The table as Markdown; the best of a setting that trains the network stands in bold."""
    lines = []
    best = {
        name: max((row.mean for row in rows if row.workdirs), default=np.nan)
        for name, rows in columns.items()
    }
    seeds = len(SEEDS.value)
    for rows in zip(*columns.values(), strict=True):
        cells = [percent(row.accuracies, seeds) for row in rows]
        is_best = (
            row.workdirs and row.mean == best[name] for name, row in zip(columns, rows, strict=True)
        )
        cells = [f"**{cell}**" if bold else cell for cell, bold in zip(cells, is_best, strict=True)]
        cells.append(_median([value for row in rows for value in row.seconds]))
        cells.append(_median([value / 2**20 for row in rows for value in row.peak_memory_bytes]))
        lines.append([markdown_text(rows[0].name), *cells])
    workdirs = [
        Workdir(Path(one)) for rows in columns.values() for row in rows for one in row.workdirs
    ]
    text = [
        *markdown_table(["test accuracy in %", *columns, "seconds a run", "MiB"], lines),
        "",
        f"Mean ± standard deviation over seeds {', '.join(SEEDS.value)}. Networks "
        f"({settings.network}, {settings.epochs} epochs): mean of the last five epochs; "
        f"ce_early_stopping: the epoch best on the meta set. {settings.num_meta} clean images, 500 "
        "test images. Costs: medians over all runs, seconds of a process, of runs that --jobs ran "
        "side by side on a shared processor. "
        f"`{command('scripts/digits_table.py')}`, {runs_made_by(workdirs)}",
    ]
    return "\n".join(text) + "\n"


def _median(values: Sequence[float]) -> str:
    return f"{np.median(values):.0f}" if values else ""


if __name__ == "__main__":
    cli.run(
        main,
        doc=__doc__,
        groups={"Table": [METHODS, SEEDS, JOBS, ONLY, cli.OUT], **train_flags.GROUPS},
    )
