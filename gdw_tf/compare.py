"""Compares methods on the same data: runs what has not been run, and writes one table.

Usage: python -m gdw_tf.compare [--methods=ce,mw_net,gdw] [--seeds=0,1,2] [flags of gdw_tf.train]

A method may bring flags of its own, as in --methods=gdw,gdw:memory=0.7. Beside the training methods
there are ce_early_stopping (the runs of ce, at the epoch best on the meta set), svc and svc_clean
(scikit-learn's support vector machine on the training or the meta images).

The working directory, by default runs/compare, gets table.md, table.csv and table.png, and the
directory of every run of gdw_tf.train. Called again, the program goes on with what is missing.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from gdw_tf import cli, train_flags
from gdw_tf.checks import check_directory
from gdw_tf.comparison import Comparison, train_all
from gdw_tf.comparison_flags import JOBS, METHODS, SEEDS, methods_or
from gdw_tf.data.figures import check_matplotlib, plain_text
from gdw_tf.results import (
    Row,
    costs,
    markdown_table,
    markdown_text,
    percent,
    runs_made_by,
    write_csv,
)
from gdw_tf.workdir import Workdir

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def main(argv: list[str]) -> None:
    """Runs the comparison."""
    with cli.user_errors():
        cli.check_all_flags(argv)
        if train_flags.STRATEGY.value == "multi_worker":
            raise ValueError(
                "The runs are started on one machine. Received: strategy=multi_worker; allowed: "
                "none, mirrored."
            )
        check_matplotlib()
        root = Path(train_flags.WORKDIR.value or "runs/compare")
        check_directory("workdir", root)
        comparison = Comparison.plan(methods_or(["ce", "mw_net", "gdw"]), SEEDS.value, root)
        comparison.fit_support_vector_machines()
    failures = train_all(comparison.trainings, JOBS.value)
    rows = comparison.rows()
    root.mkdir(parents=True, exist_ok=True)
    write_csv(rows, root / "table.csv")
    (root / "table.md").write_text(markdown(rows))
    picture(rows).savefig(root / "table.png", dpi=100)
    print((root / "table.md").read_text())
    if failures:
        cli.fail(f"{len(failures)} runs failed: {'; '.join(failures)}", code=1)


def markdown(rows: Sequence[Row]) -> str:
    """The table as Markdown, with what it was made by."""
    head = ["method", "test accuracy in %", "seconds a step", "seconds a run", "peak memory in MiB"]
    cells = (
        [markdown_text(row.name), percent(row.accuracies, len(SEEDS.value)), *costs(row)]
        for row in rows
    )
    made = runs_made_by(Workdir(Path(one)) for row in rows for one in row.workdirs)
    lines = [
        *markdown_table(head, cells),
        "",
        f"Accuracy: mean ± standard deviation over seeds {', '.join(SEEDS.value)} of the mean of "
        "the last five epochs (ce_early_stopping: of the epoch best on the meta set). Costs: "
        f"medians; of runs that --jobs ran side by side, on a shared processor. {made} The runs "
        "stand beside this file, each in a directory of its own, with what it said in a .log.",
        "",
        f"    python -m gdw_tf.compare {shlex.join(sys.argv[1:])}",
    ]
    return "\n".join(lines) + "\n"


def picture(rows: Sequence[Row]) -> Figure:
    """Draws accuracies, and beside them what a step costs: bars for means, points for seeds."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 1 + 0.3 * len(rows)), layout="constrained")
    panels = {
        "test accuracy in %": [100 * np.array(row.accuracies) for row in rows],
        "seconds a step": [np.array(row.seconds_per_step) for row in rows],
    }
    shares = {"sharey": True, "width_ratios": [3, 2]}
    for axes, (label, values) in zip(figure.subplots(1, 2, **shares), panels.items(), strict=True):
        for place, of_seeds in enumerate(values):
            if of_seeds.size:
                axes.barh(place, of_seeds.mean(), color="lightsteelblue")
                axes.plot(of_seeds, np.full(of_seeds.size, place), "k.", markersize=4)
        axes.set_yticks(range(len(rows)), [plain_text(row.name) for row in rows])
        axes.set_xlabel(label)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    return figure


def run() -> None:
    """Runs the program, as the console script `gdw-compare` does."""
    cli.run(main, doc=__doc__, groups={"Comparison": [METHODS, SEEDS, JOBS], **train_flags.GROUPS})


if __name__ == "__main__":
    run()
