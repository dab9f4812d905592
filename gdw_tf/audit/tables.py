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
from gdw_tf.data import ImageFiles, NoisyData
from gdw_tf.data.verified import Verified, image_name


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


def check_label_file(path: Path, noisy: NoisyData) -> None:
    """Checks that corrected labels of these data can be written to a file of that name.

    Raises:
        ValueError: they cannot.
    """
    allowed = ".csv" if isinstance(noisy.x_train, ImageFiles) else ".npz"
    if path.suffix != allowed:
        kind = "image files" if allowed == ".csv" else "images in memory"
        raise ValueError(
            f"Corrected labels of {kind} are written to one kind of file. Received: out={path}; "
            f"allowed: *{allowed}."
        )


def write_labels(path: Path, noisy: NoisyData, verified: Verified, *, with_meta: bool) -> list[str]:
    """Writes the training set with the verified labels in the place of the given ones.

    Args:
        path: of images in memory, an archive for `--dataset=npz`; of image files, the table of the
            training images for `--dataset=csv`, beside which go those of the meta and test images,
            NAME_meta.csv and NAME_test.csv.
        noisy: the data.
        verified: the labels.
        with_meta: whether the meta set is a clean one, and is written too.

    Returns:
        The flags of `gdw_tf.train` that take what was written.
    """
    labels = noisy.y_train.copy()
    labels[verified.positions] = verified.labels
    parts = {"": (noisy.x_train, labels), "_test": (noisy.x_test, noisy.y_test)}
    if with_meta and len(noisy.y_meta):
        parts["_meta"] = (noisy.x_meta, noisy.y_meta)
    if not isinstance(noisy.x_train, ImageFiles):
        arrays = {
            f"{key}{part}": pair[place]
            for part, pair in parts.items()
            for place, key in enumerate("xy")
        }
        with files.written_aside(path) as aside, aside.open("wb") as file:
            np.savez(file, **arrays)
        return ["--dataset=npz", f"--data_file={path}"]
    flags = ["--dataset=csv", f"--data_dir={noisy.x_train.root}"]
    for part, (images, classes) in parts.items():
        table = path.with_name(f"{path.stem}{part}{path.suffix}")
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["path", "label"])
        for position, label in enumerate(classes):
            writer.writerow([images.name(position), noisy.class_names[label]])
        files.write_text(table, text.getvalue(), "surrogateescape")
        flags.append(f"--{part.removeprefix('_') or 'train'}_csv={table}")
    return flags
