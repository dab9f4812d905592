"""Reads what a run left: its flags, metrics and weight curve, its latest checkpoint, its data.

Nothing of it need be there. What a figure would need and a run does not have stands in
`ReportedRun.missing`, in words.
"""

from __future__ import annotations

import csv
import dataclasses
import json
import math
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from gdw_tf import data, experiment, run_loading, train_flags
from gdw_tf.checks import one_line
from gdw_tf.data import NoisyData, Source
from gdw_tf.defaults import OWN_FILES
from gdw_tf.methods import Method, by_name
from gdw_tf.methods.labeling import LabelMethod
from gdw_tf.methods.recorded import RecordedModel
from gdw_tf.methods.weighting import WeightNetMethod
from gdw_tf.settings import Settings
from gdw_tf.workdir import Workdir

CURVES, RECORD, TEST = "weight curve", "record", "test"
"""What may be missing."""


class Weights(NamedTuple):
    """What a training gave its examples, in the mean over their visits.

    Attributes:
        of_classes: class-level weights, or labels, float, (N, C), of examples that were visited.
        given: their labels, integers, (N,).
        true: their true classes, integers, (N,); `None` where these are not known.
    """

    of_classes: np.ndarray
    given: np.ndarray
    true: np.ndarray | None


@dataclasses.dataclass(frozen=True, eq=False)
class ReportedRun:
    """A run, as far as it is there.

    Attributes:
        workdir: its directory.
        settings: its settings.
        metrics: the columns of its metrics, numbers of complete epochs; none of one just begun.
        summary: its results; `None` as long as it is not complete.
        curve: losses, epochs counted from 1, and the weight net's weights, (L,), (E,), (E, L).
        weights: what it gave its examples.
        confusion: test images of each class (row) by the class they were taken for, (C, C).
        class_names: names of the classes; none where the data are not there.
        class_counts: training images of each class.
        missing: of `CURVES`, `RECORD` and `TEST`, why it is not there.
        files: what it was trained on, where its data set's name does not say it.
    """

    workdir: Workdir
    settings: Settings
    metrics: dict[str, np.ndarray]
    summary: dict[str, Any] | None
    curve: tuple[np.ndarray, np.ndarray, np.ndarray] | None
    weights: Weights | None
    confusion: np.ndarray | None
    class_names: tuple[str, ...]
    class_counts: tuple[int, ...]
    missing: dict[str, str]
    files: tuple[str, ...] = ()

    @property
    def epochs(self) -> int:
        """Complete epochs."""
        return len(self.metrics.get("epoch", ()))

    @property
    def gives_labels(self) -> bool:
        """Whether its method gives examples labels, not weights."""
        return issubclass(by_name(self.settings.method), LabelMethod)


class Reader:
    """Reads runs one after another; of runs on the same data in a row, these are read once."""

    def __init__(self) -> None:
        self._read: tuple[Any, Source] | None = None

    def read(self, workdir: Workdir) -> ReportedRun:
        """Reads a run.

        Raises:
            ValueError: its flags are not those of a run, or its summary is broken.
            flags.Error: one of its flags has a value that there is not.
        """
        missing: dict[str, str] = {}
        with run_loading.flags_of(workdir):
            settings = train_flags.settings_from_flags()
            locations = train_flags.locations() | {"download": False}
        noisy = self._data(workdir, settings, locations, missing)
        model = _model(workdir, missing)
        return ReportedRun(
            workdir=workdir,
            settings=settings,
            metrics=read_metrics(workdir.metrics),
            summary=_summary(workdir),
            curve=_curve(workdir, settings, missing),
            weights=_weights(model, noisy, settings, missing),
            confusion=_confusion(model, noisy, missing),
            class_names=() if noisy is None else noisy.class_names,
            class_counts=() if noisy is None else tuple(noisy.class_counts),
            missing=missing,
            files=_files(settings, locations),
        )

    def _data(
        self,
        workdir: Workdir,
        settings: Settings,
        locations: dict[str, Any],
        missing: dict[str, str],
    ) -> NoisyData | None:
        key = (settings.dataset, settings.human_labels, settings.image_size, locations)
        try:
            if self._read is None or self._read[0] != key:
                self._read = key, experiment.load_source(settings, **locations)
            noisy = run_loading.data_from(self._read[1], workdir, settings)
            workdir.check_training_set(noisy.training_digest())
            return noisy
        except (OSError, TypeError, ValueError, tf.errors.OpError) as error:
            missing[TEST] = missing[RECORD] = f"its data cannot be read ({one_line(error)})"
            return None


def _files(settings: Settings, locations: dict[str, Any]) -> tuple[str, ...]:
    if settings.dataset not in OWN_FILES:
        return ()
    return tuple(f"{name}={place}" for name, place in locations.items() if isinstance(place, str))


def read_metrics(path: Path) -> dict[str, np.ndarray]:
    """Reads the columns of a CSV file of numbers, without a row that is not whole.

    Args:
        path: the file; it need not be there.
    """
    if not path.exists():
        return {}
    text = path.read_text()
    rows = list(csv.reader(text[: text.rfind("\n") + 1].splitlines()))
    whole = [row for row in rows if len(row) == len(rows[0])]
    if len(whole) < 2:
        return {}
    values = np.array([[_number(one) for one in row] for row in whole[1:]])
    return dict(zip(whole[0], values.T, strict=True))


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def confusion(model: Method, noisy: NoisyData) -> np.ndarray:
    """Counts test images by class (row) and the class that a model takes them for, (C, C)."""
    counts = np.zeros((noisy.num_classes, noisy.num_classes), np.int64)
    for images, classes in data.evaluation_batches(noisy.x_test, noisy.y_test):
        logits = np.asarray(model(images, training=False))
        np.add.at(counts, (classes.numpy(), logits.argmax(axis=1)), 1)
    return counts


def _confusion(
    model: Method | None, noisy: NoisyData | None, missing: dict[str, str]
) -> np.ndarray | None:
    if model is None or noisy is None:
        return None
    classes = model.classifier.output_shape[-1] if model.classifier.built else noisy.num_classes
    if classes != noisy.num_classes:
        missing[TEST] = f"it was trained for {classes} classes, its data are {noisy.num_classes}"
        return None
    try:
        return confusion(model, noisy)
    except (ValueError, tf.errors.OpError) as error:
        missing[TEST] = f"its test images cannot be read ({one_line(error)})"
        return None


def _summary(workdir: Workdir) -> dict[str, Any] | None:
    if not workdir.summary.exists():
        return None
    try:
        summary = json.loads(workdir.summary.read_text())
        if not isinstance(summary, dict) or "final_accuracy" not in summary:
            raise ValueError("there is no final_accuracy in it")
    except ValueError as error:
        raise ValueError(f"This is no summary. Received: {workdir.summary}: {error}") from error
    return summary


def _model(workdir: Workdir, missing: dict[str, str]) -> Method | None:
    try:
        checkpoint = workdir.checkpoints.latest()
        if checkpoint is None:
            reason = "it has no checkpoint yet"
        else:
            return checkpoint.load()
    except (OSError, ValueError) as error:
        reason = f"its checkpoint cannot be read ({one_line(error)})"
    for part in (RECORD, TEST):
        missing.setdefault(part, reason)
    return None


def _curve(
    workdir: Workdir, settings: Settings, missing: dict[str, str]
) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    if not issubclass(by_name(settings.method), WeightNetMethod):
        missing[CURVES] = "the method has no weight net"
        return None
    columns = read_metrics(workdir.weight_curve)
    if columns and "epoch" not in columns:
        missing[CURVES] = "its weight_curve.csv has no column epoch"
        return None
    if not columns:
        missing[CURVES] = "it has no weight_curve.csv: no epoch is complete, or it is an old run"
        return None
    epochs = columns.pop("epoch") + 1
    return np.array(list(map(float, columns))), epochs, np.stack(list(columns.values()), axis=1)


def _weights(
    model: Method | None,
    noisy: NoisyData | None,
    settings: Settings,
    missing: dict[str, str],
) -> Weights | None:
    if not by_name(settings.method).has_class_weights:
        missing[RECORD] = "the method gives its examples no weights"
        return None
    if model is None or noisy is None:
        return None
    record = model.training_record if isinstance(model, RecordedModel) else None
    if record is None:
        missing[RECORD] = "it kept no record: it is an old run, or one with --norecord_examples"
        return None
    if record.probabilities.shape != (len(noisy.y_train), noisy.num_classes):
        missing[RECORD] = (
            "its record is of {} examples and {} classes, its data are {} and {}".format(
                *record.probabilities.shape, len(noisy.y_train), noisy.num_classes
            )
        )
        return None
    visited = record.visits > 0
    if not visited.any():
        missing[RECORD] = "no step that counts has visited a training example"
        return None
    true = None if noisy.y_true is None else noisy.y_true[visited]
    return Weights(record.class_weights[visited], noisy.y_train[visited], true)
