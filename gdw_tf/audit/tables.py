"""The audit as tables: examples as CSV, the whole as JSON, and labels corrected by decisions."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gdw_tf import files
from gdw_tf.audit.ranking import Audit
from gdw_tf.checks import check_file
from gdw_tf.data import ImageFiles, NoisyData
from gdw_tf.data.images import Images
from gdw_tf.data.sources.npz import PART_SUFFIXES
from gdw_tf.data.verified import Verified, image_name, joined
from gdw_tf.flag_files import flag_line, lines_beside_defaults
from gdw_tf.settings import Settings, on_other_data


def examples_csv(audit: Audit, noisy: NoisyData, chosen: Sequence[int]) -> str:
    """One row an example: its number, labels and evidence.

    Args:
        audit: the evidence about the training set.
        noisy: the training set, images and class names.
        chosen: positions in it of the examples, in the order of the rows.
    """
    columns = ["index", "image", "given", "suggested", "score"]
    columns += ["probability_suggested", *["weight_given"] * (audit.class_weights is not None)]
    columns += ["visits", *["true"] * (noisy.y_true is not None)]
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    names = noisy.class_names
    for position in map(int, chosen):
        given, suggested = audit.given[position], audit.suggested[position]
        row = {
            "index": noisy.numbers[position],
            "image": image_name(noisy.x_train, position),
            "given": names[given],
            "suggested": names[suggested],
            "score": f"{audit.score[position]:.6f}",
            "probability_suggested": f"{audit.probabilities[position, suggested]:.6f}",
            "visits": f"{audit.visits[position]:.0f}",
        }
        if audit.class_weights is not None:
            row["weight_given"] = f"{audit.class_weights[position, given]:.6f}"
        if noisy.y_true is not None:
            row["true"] = names[noisy.y_true[position]]
        writer.writerow(row)
    return text.getvalue()


def summary(audit: Audit, noisy: NoisyData) -> dict[str, Any]:
    """What the audit found, for JSON.

    Args:
        audit: the evidence about the training set.
        noisy: the training set.

    Returns:
        `examples`, `suspicious` (how many have another class suggested), `class_names`,
        `confusions` and `noise_matrix` (rows suggested classes, columns labels given), and where
        the truth is known what `Audit.figures` returns.
    """
    known = {} if noisy.y_true is None else audit.figures(noisy.y_true)
    return {
        "examples": len(audit.given),
        "suspicious": int(audit.is_suspicious.sum()),
        "class_names": list(noisy.class_names),
        "confusions": audit.confusions.tolist(),
        "noise_matrix": audit.noise_matrix.round(6).tolist(),
        **{name: None if np.isnan(value) else value for name, value in known.items()},
    }


class LabelFiles:
    """The files that corrected labels of a run are written to.

    Of images in memory it is one, an archive for `--dataset=npz`. Of image files they are tables
    for `--dataset=csv`: NAME.csv of the training images, NAME_meta.csv and NAME_test.csv.

    Args:
        path: the archive, or the table of the training images.
        noisy: the data of the run.
        settings: of the run.

    Raises:
        OSError: it cannot be written.
        ValueError: it is not of the kind that these data are written to.
    """

    def __init__(self, path: Path, noisy: NoisyData, settings: Settings) -> None:
        self._path, self._noisy, self._settings = path, noisy, settings
        self._in_files = isinstance(noisy.x_train, ImageFiles)
        allowed = ".csv" if self._in_files else ".npz"
        if path.suffix != allowed:
            kind = "image files" if self._in_files else "images in memory"
            raise ValueError(
                f"Corrected labels of {kind} are written to one kind of file. Received: "
                f"out={path}; allowed: *{allowed}."
            )
        if self._in_files:
            _check_names(noisy)
        for file in self.paths.values():
            check_file("out", file)

    @property
    def paths(self) -> dict[str, Path]:
        """The files, by the part of the data: `train`, and of image files `test` and `meta`."""
        if not self._in_files:
            return {"train": self._path}
        return {
            part: self._path.with_name(f"{self._path.stem}{PART_SUFFIXES[part]}{self._path.suffix}")
            for part in self._parts(self._noisy.y_train)
        }

    def write(self, verified: Verified) -> list[str]:
        """Writes the training set with the verified labels in the place of the given ones.

        A meta set that was taken out of the training set with the labels given is a part of it
        again; one that was chosen of the training images is still.

        Returns:
            The flags of `gdw_tf.train` that take what was written, and train as the run did.

        Raises:
            ValueError: a class would be left without a training image; nothing is written.
        """
        labels = self._noisy.y_train.copy()
        labels[verified.positions] = verified.labels
        parts = self._parts(labels)
        kept = np.bincount(parts["train"][1], minlength=self._noisy.num_classes)
        if not kept.all():
            raise ValueError(
                "Every class needs a training image. Received: labels of which none is "
                f"{self._noisy.class_names[kept.argmin()]}."
            )
        self._path.parent.mkdir(parents=True, exist_ok=True)
        flags = self._write_tables(parts) if self._in_files else self._write_archive(parts)
        settings = on_other_data(self._settings, "csv" if self._in_files else "npz")
        return [*lines_beside_defaults(settings), *flags]

    def _parts(self, labels: np.ndarray) -> dict[str, tuple[Images, np.ndarray]]:
        noisy, meta = self._noisy, self._settings.meta
        training = noisy.x_train, labels
        if meta == "noisy":
            training = joined(noisy.x_train, noisy.x_meta), np.concatenate([labels, noisy.y_meta])
        parts = {"train": training, "test": (noisy.x_test, noisy.y_test)}
        if meta == "clean" and len(noisy.y_meta):
            parts["meta"] = noisy.x_meta, noisy.y_meta
        return parts

    def _write_archive(self, parts: dict[str, tuple[Images, np.ndarray]]) -> list[str]:
        arrays = {
            f"{key}{PART_SUFFIXES[part]}": pair[place]
            for part, pair in parts.items()
            for place, key in enumerate("xy")
        }
        names = np.array(self._noisy.class_names)
        with files.written_aside(self._path) as aside, aside.open("wb") as file:
            np.savez(file, **arrays, class_names=names)
        return [f"--data_file={self._path}"]

    def _write_tables(self, parts: dict[str, tuple[Images, np.ndarray]]) -> list[str]:
        noisy = self._noisy
        size = flag_line("image_size", noisy.x_train.image_size)
        flags = [f"--data_dir={noisy.x_train.root}", size]
        for part, (images, classes) in parts.items():
            text = io.StringIO()
            writer = csv.writer(text, lineterminator="\n")
            writer.writerow(["path", "label"])
            for position, label in enumerate(classes):
                writer.writerow([images.name(position), noisy.class_names[label]])
            files.write_text(self.paths[part], text.getvalue())
            flags.append(f"--{part}_csv={self.paths[part]}")
        return flags


def _check_names(noisy: NoisyData) -> None:
    """Checks that a table in UTF-8 can name all images."""
    for images in (noisy.x_train, noisy.x_meta, noisy.x_test):
        for path in images.paths.tolist():
            try:
                path.decode()
            except UnicodeDecodeError as error:
                raise ValueError(
                    f"A table can name images by paths in UTF-8 only. Received: {path!r}."
                ) from error
