"""What complete runs reached, as rows of a table and the text of its cells."""

from __future__ import annotations

import csv
import dataclasses
import html
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gdw_tf.provenance import made_by
from gdw_tf.workdir import Workdir


@dataclasses.dataclass(frozen=True)
class Row:
    """What a contender reached.

    Attributes:
        name: its name.
        accuracies: test accuracy of each seed, 0 to 1: the mean of the last five epochs; of early
            stopping, that of the epoch chosen.
        seconds_per_step: of each seed; none where there are no steps.
        seconds: of each seed, from the beginning of its process to the end.
        peak_memory_bytes: of each seed, of its process.
        workdirs: the directory of each seed.
    """

    name: str
    accuracies: Sequence[float]
    seconds_per_step: Sequence[float] = ()
    seconds: Sequence[float] = ()
    peak_memory_bytes: Sequence[float] = ()
    workdirs: Sequence[str] = ()

    @property
    def mean(self) -> float:
        """Mean accuracy over the seeds; not a number where there are none."""
        return float(np.mean(self.accuracies)) if self.accuracies else float("nan")

    @property
    def std(self) -> float:
        """Standard deviation over the seeds, with one degree of freedom less; 0 for one seed."""
        return float(np.std(self.accuracies, ddof=1)) if len(self.accuracies) > 1 else 0.0


def row_of(name: str, workdirs: Sequence[Workdir]) -> Row:
    """What complete runs that differ in the seed reached, from their summaries."""
    summaries = list(map(_summary, workdirs))
    spent = {
        cost: [summary[cost] for summary in summaries if cost in summary]
        for cost in ("seconds_per_step", "seconds", "peak_memory_bytes")
    }
    accuracies = final_accuracies(workdirs)
    return Row(name, accuracies, workdirs=[str(one.root) for one in workdirs], **spent)


def final_accuracies(workdirs: Sequence[Workdir]) -> list[float]:
    """Test accuracies of complete runs, 0 to 1, means of the last five epochs."""
    return [_summary(workdir)["final_accuracy"] for workdir in workdirs]


def runs_made_by(workdirs: Iterable[Workdir]) -> str:
    """Says in a sentence, or in several, by what complete runs were made.

    A table holds runs of today and of earlier calls, which may be of other versions. Where there
    are no runs, as of support vector machines, it is this process that makes the figures.
    """
    said = {_summary(workdir).get("made_by", "Unknown.") for workdir in workdirs}
    return " ".join(sorted(said)) or made_by()


def _summary(workdir: Workdir) -> dict[str, Any]:
    return json.loads(workdir.summary.read_text())


def early_stopping_accuracy(workdir: Workdir) -> float:
    """Test accuracy, 0 to 1, in the epoch with the best meta accuracy; of several, the lowest loss.

    Args:
        workdir: of a run that evaluated a meta set after every epoch.
    """
    best = max(
        workdir.rows(), key=lambda row: (float(row["meta_accuracy"]), -float(row["meta_loss"]))
    )
    return float(best["val_accuracy"])


def write_csv(rows: Sequence[Row], path: Path) -> None:
    """Writes a line a contender, its name first; lists are separated by blanks."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        lists = [field.name for field in dataclasses.fields(Row)[1:]]
        writer.writerow(["method", "mean_accuracy", "std_accuracy", *lists])
        for line in rows:
            values = [" ".join(map(str, getattr(line, name))) for name in lists]
            writer.writerow([line.name, line.mean, line.std, *values])


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """The lines of a table in Markdown.

    Args:
        head: the names of the columns.
        rows: cells in Markdown, as many as columns; other text goes through `markdown_text`.
    """
    return [f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows)]


def markdown_text(text: str) -> str:
    """Escapes what would be the end of a table's cell, or a tag of HTML, in Markdown."""
    return html.escape(text, quote=False).replace("|", r"\|")


def costs(line: Row) -> list[str]:
    """Seconds a step, seconds a run and MiB of memory, medians, as cells of a table."""
    kinds = (
        (line.seconds_per_step, 1, 4),
        (line.seconds, 1, 0),
        (line.peak_memory_bytes, 2**20, 0),
    )
    return [
        f"{np.median(values) / unit:.{digits}f}" if len(values) else ""
        for values, unit, digits in kinds
    ]


def percent(accuracies: Sequence[float], seeds: int | None = None) -> str:
    """Mean and standard deviation in percent, as a cell of a table.

    Args:
        accuracies: of each seed, 0 to 1.
        seeds: how many there should be; the cell says so where there are fewer. Default: as many.

    Returns:
        A dash where there are none, without a deviation where there is one.
    """
    count = len(accuracies)
    if not count:
        return "—"
    spread = f" ± {100 * np.std(accuracies, ddof=1):.1f}" if count > 1 else ""
    few = f" ({count} of {seeds} seeds)" if count < (seeds or count) else ""
    return f"{100 * np.mean(accuracies):.1f}{spread}{few}"
