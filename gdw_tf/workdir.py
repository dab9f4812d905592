"""The directory of a run: what stands where, and that nothing of an earlier run is lost.

flags.txt           the flags that run it again: --flagfile=flags.txt
metrics.csv         one row an epoch
weight_curve.csv    of a method with a weight net: its weight for each loss, one row an epoch
checkpoints/        the latest ones and the best by test accuracy, see `gdw_tf.checkpoints`
tensorboard/        events
description.txt     the data: images of each class, the noise realised
class_names.json    the name of each class
training_set.txt    a digest of the training images and their labels
evaluation_sets.txt a digest of the meta set, but for a pseudo-clean one, and the test set
unreadable.txt      of image files: those that were left out, each with the reason
pseudo_clean.npz    of --meta=pseudo: the epoch since which the meta set holds, and its indices
summary.json        the results, when the run is complete
export/             the classifier as a SavedModel
lock                held by the process that trains, whose number is in it; empty when none does

What is written there is whole, whenever the run is broken off, but for what grows in place: a row
of a CSV file may be broken off, and so may the events. The CSV files and pseudo_clean.npz are also
in the checkpoints, as they were, and go back to that when the run goes on; the events do not.
"""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import fcntl
import json
import os
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from gdw_tf import files
from gdw_tf.checkpoints import Checkpoint, CheckpointFolder
from gdw_tf.checks import check_directory
from gdw_tf.data import NoisyData
from gdw_tf.flag_files import differences
from gdw_tf.serving import saved_model
from gdw_tf.settings import Settings


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
    def weight_curve(self) -> Path:
        """What the weight net made of losses, after every epoch."""
        return self.root / "weight_curve.csv"

    @property
    def tensorboard(self) -> Path:
        """TensorBoard's events."""
        return self.root / "tensorboard"

    @property
    def description(self) -> Path:
        """What the data are."""
        return self.root / "description.txt"

    @property
    def class_names(self) -> Path:
        """The names of the classes."""
        return self.root / "class_names.json"

    @property
    def training_set(self) -> Path:
        """The digest of the training set."""
        return self.root / "training_set.txt"

    @property
    def evaluation_sets(self) -> Path:
        """The digest of meta set and test set."""
        return self.root / "evaluation_sets.txt"

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

    @property
    def checkpoints(self) -> CheckpointFolder:
        """The checkpoints."""
        return CheckpointFolder(self.root / "checkpoints")

    @property
    def growing(self) -> tuple[Path, ...]:
        """The files that grow with the training, copies of which stand in every checkpoint."""
        return self.metrics, self.weight_curve, self.pseudo_clean

    @property
    def own(self) -> tuple[Path, ...]:
        """All that a run goes on with and is known by."""
        return (
            *(self.flags, self.metrics, self.weight_curve, self.tensorboard, self.description),
            *(self.class_names, self.training_set, self.evaluation_sets, self.unreadable),
            *(self.pseudo_clean, self.summary, self.checkpoints.root, self._lock),
        )

    def check(self, settings: Settings, resume: bool) -> None:
        """Raises an error where a run would harm another; writes nothing.

        Raises:
            PermissionError: the directory cannot be written to.
            ValueError: the directory holds a run of other settings, or one that is not to be
                resumed, or files that are no run; its path is none for a SavedModel.
        """
        check_directory("workdir", self.root)
        saved_model.check_path(self.export)
        if not self.flags.exists():
            # A run that was broken off as it began leaves these.
            ours = {self._lock.name, f"{self.flags.name}{files.ASIDE}"}
            if self.root.exists() and {path.name for path in self.root.iterdir()} - ours:
                raise ValueError(f"workdir holds files that are no run. Received: {self.root}")
            return
        different = differences(self.flags.read_text().splitlines(), settings)
        if different:
            raise ValueError(
                f"workdir {self.root} holds a run of another configuration; choose another. "
                f"Received, here or there: {' '.join(different)}"
            )
        if not resume:
            raise ValueError(
                f"workdir {self.root} holds this run already; --resume goes on with it."
            )

    def check_not_begun(self) -> None:
        """Raises an error where another process has begun a run since the directory was checked.

        Raises:
            ValueError: it has.
        """
        if self.flags.exists():
            raise ValueError(f"Another process has begun a run meanwhile. Received: {self.root}")

    def check_latest(self, checkpoint: Checkpoint | None) -> None:
        """Raises an error where epochs were trained and their checkpoints are gone.

        Args:
            checkpoint: the latest one; `None` where there is none.

        Raises:
            ValueError: they are; the run would begin anew, and its metrics be lost.
        """
        # A run that is killed behind its first epoch may have logged it and not saved it yet.
        if checkpoint is None and (self.summary.exists() or len(self.rows()) > 1):
            raise ValueError(
                f"The checkpoints of the run are gone. Received: {self.root}; choose another "
                "workdir to train anew."
            )

    def check_training_set(self, digest: str) -> None:
        """Raises an error where the training set is not the one that the run began with.

        What a run remembers of every example is kept by the example's place in the training set.

        Args:
            digest: `gdw_tf.data.NoisyData.training_digest` of the data as they are.

        Raises:
            ValueError: it is another one.
        """
        if self.training_set.exists() and self.training_set.read_text().strip() != digest:
            raise ValueError(
                "The training set is no longer the one that the run began with: images or labels "
                f"came, went or changed. Received: {self.root}"
            )

    def check_data(self, noisy: NoisyData) -> None:
        """Raises an error where the data are not those that the run began with.

        Args:
            noisy: the data as they are, before a pseudo-clean meta set is chosen.

        Raises:
            ValueError: training set, meta set or test set are others.
        """
        self.check_training_set(noisy.training_digest())
        path, digest = self.evaluation_sets, noisy.evaluation_digest()
        if path.exists() and path.read_text().strip() != digest:
            raise ValueError(
                "Meta set or test set are no longer those that the run began with: images or "
                f"labels came, went or changed. Received: {self.root}"
            )

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Holds the workdir for this process, until the block or the process ends.

        Where the file system has no locks there is a warning only.

        Raises:
            ValueError: another process holds it.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        with self._lock.open("a+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.seek(0)
                raise ValueError(
                    f"Another process trains in this workdir. Received: {self.root}, held by "
                    f"process {file.read().strip() or 'unknown'}"
                ) from None
            except OSError as error:
                warnings.warn(
                    f"{self.root} cannot be locked ({error}); let one process train in it only",
                    stacklevel=3,
                )
            file.truncate(0)
            file.write(f"{os.getpid()}\n")
            file.flush()
            try:
                yield
            finally:
                file.truncate(0)

    def create(self, lines: list[str], command: str) -> None:
        """Makes the directory, its flag file first, where it is not there yet."""
        self.root.mkdir(parents=True, exist_ok=True)
        if not self.flags.exists():
            files.write_text(self.flags, "\n".join([f"# {command}", *lines, ""]))
        self.checkpoints.create()

    def restore(self, checkpoint: Checkpoint | None) -> None:
        """Brings the files that grow with the training back to what they were.

        Args:
            checkpoint: when; `None` for the beginning, before the first epoch.
        """
        for path in (self.metrics, self.weight_curve):
            if checkpoint is None or not checkpoint.restore(path):
                files.remove(path)
        # A choice for the first epoch holds at the beginning, too, and another is made anew.
        if checkpoint is not None:
            checkpoint.restore(self.pseudo_clean)

    @property
    def _lock(self) -> Path:
        return self.root / "lock"

    def write_data(self, noisy: NoisyData, description: str) -> None:
        """Writes what says which data the run is of.

        Args:
            noisy: the data, before a pseudo-clean meta set is chosen.
            description: of them, for people.
        """
        self.write_description(description)
        names = json.dumps(noisy.class_names, ensure_ascii=False)
        files.write_text(self.class_names, f"{names}\n")
        files.write_text(self.training_set, f"{noisy.training_digest()}\n")
        files.write_text(self.evaluation_sets, f"{noisy.evaluation_digest()}\n")

    def read_unreadable(self) -> dict[str, str] | None:
        """The image files that were left out, with the reason; `None` if none were looked at."""
        if not self.unreadable.exists():
            return None
        text = self.unreadable.read_text(encoding="utf-8", errors="surrogateescape")
        return dict(line.split("\t", 1) for line in text.split("\n") if line)

    def write_description(self, text: str) -> None:
        """Writes description.txt."""
        files.write_text(self.description, f"{text}\n")

    def read_class_names(self) -> tuple[str, ...] | None:
        """The name of each class; `None` of a run that is older than the file."""
        if not self.class_names.exists():
            return None
        return tuple(json.loads(self.class_names.read_text(encoding="utf-8")))

    def write_unreadable(self, reasons: dict[str, str]) -> None:
        """Writes unreadable.txt: on every line a path, a tabulator and a reason."""
        text = "".join(f"{path}\t{reason}\n" for path, reason in reasons.items())
        # A file's name need not be UTF-8; it is written as the bytes that it is.
        files.write_text(self.unreadable, text, errors="surrogateescape")

    def read_choice(self) -> Choice | None:
        """The pseudo-clean meta set that was chosen last; `None` if there is none."""
        if not self.pseudo_clean.exists():
            return None
        try:
            with np.load(self.pseudo_clean, allow_pickle=False) as arrays:
                return Choice(int(arrays["epoch"]), arrays["indices"])
        except (EOFError, KeyError, ValueError, zipfile.BadZipFile) as error:
            raise ValueError(
                f"This is no choice of a meta set. Received: {self.pseudo_clean}: {error}"
            ) from error

    def write_choice(self, choice: Choice) -> None:
        """Writes pseudo_clean.npz."""
        with files.written_aside(self.pseudo_clean) as aside, aside.open("wb") as file:
            np.savez(file, **choice._asdict())

    def rows(self) -> list[dict[str, str]]:
        """The rows of metrics.csv; none where there is none."""
        if not self.metrics.exists():
            return []
        with self.metrics.open(newline="") as file:
            return list(csv.DictReader(file))

    def write_summary(self, summary: dict[str, Any]) -> None:
        """Writes summary.json, a row of numbers on one line."""
        files.write_json(self.summary, summary)
