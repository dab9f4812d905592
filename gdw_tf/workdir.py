"""The directory of a run: what stands where, and that nothing of an earlier run is lost.

flags.txt           the flags that run it again: --flagfile=flags.txt
metrics.csv         one row an epoch
checkpoints/        latest.keras, and best.keras by test accuracy
tensorboard/        events
description.txt     the data: images of each class, the noise realised
unreadable.txt      of image files: those that were left out, each with the reason
pseudo_clean.npz    of --meta=pseudo: the epoch since which the meta set holds, and its indices
summary.json        the results, when the run is complete
export/             the classifier as a SavedModel
"""

from __future__ import annotations

import csv
import dataclasses
import json
import os
import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from gdw_tf.checks import check_directory
from gdw_tf.settings import Settings, flag_lines, settings_of_lines


class Choice(NamedTuple):
    """A meta set that was chosen of the training images.

    Attributes:
        epoch: the epoch, counted from 0, that it was chosen for, and those after it.
        indices: the indices of the training images, int64, (M,).
    """

    epoch: int
    indices: np.ndarray


@dataclasses.dataclass(frozen=True)
class Workdir:
    """Paths of a run's files."""

    root: Path

    @property
    def flags(self) -> Path:
        """The flag file."""
        return self.root / "flags.txt"

    @property
    def metrics(self) -> Path:
        """The metrics of every epoch."""
        return self.root / "metrics.csv"

    @property
    def tensorboard(self) -> Path:
        """TensorBoard's events."""
        return self.root / "tensorboard"

    @property
    def description(self) -> Path:
        """What the data are."""
        return self.root / "description.txt"

    @property
    def unreadable(self) -> Path:
        """The image files that were left out."""
        return self.root / "unreadable.txt"

    @property
    def pseudo_clean(self) -> Path:
        """The pseudo-clean meta set."""
        return self.root / "pseudo_clean.npz"

    @property
    def summary(self) -> Path:
        """The results."""
        return self.root / "summary.json"

    @property
    def export(self) -> Path:
        """The SavedModel."""
        return self.root / "export"

    def checkpoint(self, which: str) -> Path:
        """A checkpoint: `"latest"` or `"best"`."""
        return self.root / "checkpoints" / f"{which}.keras"

    def check(self, settings: Settings, resume: bool) -> None:
        """Raises an error where a run would harm another; writes nothing.

        Raises:
            PermissionError: the directory cannot be written to.
            ValueError: the directory holds a run of other settings, or one that is not to be
                resumed, or files that are no run.
        """
        check_directory("workdir", self.root)
        if not self.flags.exists():
            if self.root.exists() and any(self.root.iterdir()):
                raise ValueError(f"workdir holds files that are no run. Received: {self.root}")
            return
        there = settings_of_lines(self.flags.read_text().splitlines())
        different = sorted(set(there) ^ set(flag_lines(settings)))
        if different:
            raise ValueError(
                f"workdir {self.root} holds a run of another configuration; choose another. "
                f"Received, here or there: {' '.join(different)}"
            )
        if not resume:
            raise ValueError(
                f"workdir {self.root} holds this run already; --resume goes on with it."
            )

    def create(self, lines: list[str], command: str) -> None:
        """Makes the directory and writes the flag file, where it is not there yet."""
        self.checkpoint("latest").parent.mkdir(parents=True, exist_ok=True)
        if not self.flags.exists():
            self.flags.write_text("\n".join([f"# {command}", *lines, ""]))

    def read_unreadable(self) -> dict[str, str] | None:
        """The image files that were left out, with the reason; `None` if none were looked at."""
        if not self.unreadable.exists():
            return None
        text = self.unreadable.read_text(encoding="utf-8", errors="surrogateescape")
        return dict(line.split("\t", 1) for line in text.split("\n") if line)

    def write_description(self, text: str) -> None:
        """Writes description.txt."""
        self.description.write_text(f"{text}\n", encoding="utf-8")

    def write_unreadable(self, reasons: dict[str, str]) -> None:
        """Writes unreadable.txt: on every line a path, a tabulator and a reason."""
        text = "".join(f"{path}\t{reason}\n" for path, reason in reasons.items())
        # A file's name need not be UTF-8; it is written as the bytes that it is.
        self.unreadable.write_text(text, encoding="utf-8", errors="surrogateescape")

    def read_choice(self) -> Choice | None:
        """The pseudo-clean meta set that was chosen last; `None` if there is none."""
        if not self.pseudo_clean.exists():
            return None
        with np.load(self.pseudo_clean, allow_pickle=False) as arrays:
            return Choice(int(arrays["epoch"]), arrays["indices"])

    def write_choice(self, choice: Choice) -> None:
        """Writes pseudo_clean.npz in one move."""
        aside = self.pseudo_clean.with_suffix(".tmp")
        with aside.open("wb") as file:
            np.savez(file, **choice._asdict())
        os.replace(aside, self.pseudo_clean)

    def rows(self) -> list[dict[str, str]]:
        """The rows of metrics.csv; none where there is none."""
        if not self.metrics.exists():
            return []
        with self.metrics.open(newline="") as file:
            return list(csv.DictReader(file))

    def drop_rows_from(self, epoch: int) -> None:
        """Drops the rows of epochs that are about to be run (again)."""
        rows = self.rows()
        kept = [row for row in rows if int(row["epoch"]) < epoch]
        if len(kept) < len(rows):
            if not kept:
                self.metrics.unlink()
                return
            aside = self.metrics.with_suffix(".tmp")
            with aside.open("w", newline="") as file:
                writer = csv.DictWriter(file, rows[0].keys())
                writer.writeheader()
                writer.writerows(kept)
            os.replace(aside, self.metrics)

    def write_summary(self, summary: dict[str, Any]) -> None:
        """Writes summary.json in one move, a row of numbers on one line."""
        aside = self.summary.with_suffix(".tmp")
        text = json.dumps(summary, indent=2)
        text = re.sub(
            r"\[\s*([-+.\deE,\s]+?)\s*\]", lambda row: f"[{' '.join(row[1].split())}]", text
        )
        aside.write_text(text + "\n")
        os.replace(aside, self.summary)
