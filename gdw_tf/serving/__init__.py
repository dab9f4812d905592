"""Exported classifiers: written here, read by clients that are not this library, and by `predict`.

What goes in and comes out is the same in every format (`gdw_tf.serving.signature`); each format is
a module with `write`, `load` and its `SUFFIX`:

    saved_model   TensorFlow, a directory
    onnx          ONNX Runtime and others
    litert        LiteRT's interpreter
    keras         plain Keras, with layers of its own alone (`gdw_tf.serving.plain`)
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras

from gdw_tf.checks import one_line
from gdw_tf.serving import keras_file, litert, onnx, saved_model
from gdw_tf.serving.signature import Served, checked_names, serving_model

__all__ = ["FORMATS", "Served", "check_installed", "load", "serving_model", "suffix", "write"]

_MODULES = {
    "saved_model": saved_model,
    "onnx": onnx,
    "litert": litert,
    "keras": keras_file,
}
FORMATS = tuple(_MODULES)
"""Names of the formats."""


def suffix(format: str) -> str:
    """What the name of a file of this format ends in; empty for the directory of a SavedModel."""
    return _MODULES[format].SUFFIX


def check_installed(format: str) -> None:
    """Checks that what writes and reads the format is installed.

    Raises:
        ValueError: it is not.
    """
    if format == "onnx":
        onnx.check_installed()


def write(
    classifier: keras.Model,
    path: Path,
    format: str,
    *,
    class_names: Sequence[str] | None = None,
    **options: Any,
) -> None:
    """Exports a classifier.

    Args:
        classifier: a built Keras model answering logits, (B, C); for the formats other than
            SavedModel a graph of layers, functional or sequential.
        path: the directory of a SavedModel; the file of any other format.
        format: one of `FORMATS`.
        class_names: the name of each class; by default their numbers.
        **options: those of the format: `calibration` of LiteRT.

    Raises:
        ValueError: an unknown format, or one whose packages are missing; a classifier that it does
            not take; names that do not fit.
    """
    if format not in FORMATS:
        raise ValueError(
            f"Unknown format. Received: format={format!r}; allowed: {', '.join(FORMATS)}."
        )
    check_installed(format)
    names = checked_names(class_names, serving_model(classifier).output["logits"].shape[-1])
    _MODULES[format].write(classifier, path, names, **options)


def load(path: Path) -> Served:
    """Loads an exported classifier of images, whatever its format.

    Args:
        path: what `write` wrote.

    Raises:
        OSError: there is nothing.
        ValueError: there is something else, or a format whose packages are missing.
    """
    if not path.exists():
        raise FileNotFoundError(f"There is no exported model. Received: {path}.")
    kind = "" if path.is_dir() else path.suffix
    format = next((one for one in FORMATS if suffix(one) == kind), None)
    if format is None:
        raise ValueError(
            f"This is no exported model. Received: {path}; allowed: the directory of a SavedModel, "
            f"or a file ending in {', '.join(filter(None, map(suffix, FORMATS)))}."
        )
    check_installed(format)
    try:
        served = _MODULES[format].load(path)
    except Exception as error:  # a damaged or foreign file gets anything at all out of its reader
        reason = one_line(error) or type(error).__name__
        raise ValueError(
            f"This is no model that gdw_tf exported. Received: {path}: {reason}"
        ) from error
    sides = served.image_shape
    if len(sides) != 3 or not all(isinstance(side, int) and side > 0 for side in sides):
        raise ValueError(
            f"This is no classifier of images of one size. Received: {path}, which takes {sides}; "
            "allowed: (height, width, channels)."
        )
    return served
