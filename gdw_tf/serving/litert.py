"""LiteRT, once TensorFlow Lite, for phones and small machines; in float32 or in int8.

The names are a file within the file, `labels.txt`, as LiteRT's metadata has it: a ZIP archive
behind the model, which its interpreter does not look at and any reader of archives opens.
"""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from gdw_tf.serving import saved_model
from gdw_tf.serving.plain import plain_model
from gdw_tf.serving.signature import LABELS, Served, labels_text, names_of_labels_text

SUFFIX = ".tflite"


def write(
    classifier: keras.Model,
    path: Path,
    class_names: tuple[str, ...],
    calibration: Iterable[Any] | None = None,
) -> None:
    """Writes the file, see `gdw_tf.serving.write`.

    Args:
        classifier: as there.
        path: as there.
        class_names: as there.
        calibration: batches of images, uint8, (B, height, width, channels). With them weights and
            activations between the pixels and the logits become int8, in the ranges that these
            images take; inputs and answers stay what they are. By default all is float32.
    """
    with tempfile.TemporaryDirectory() as directory:
        saved_model.write(plain_model(classifier), Path(directory), class_names)
        converter = tf.lite.TFLiteConverter.from_saved_model(
            directory, signature_keys=["serving_default"]
        )
        if calibration is not None:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.representative_dataset = lambda: ([np.asarray(one)] for one in calibration)
        path.write_bytes(converter.convert())
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(zipfile.ZipInfo(LABELS), labels_text(class_names))


def load(path: Path) -> Served:
    """Loads the file, see `gdw_tf.serving.load`."""
    with zipfile.ZipFile(path) as archive:
        class_names = names_of_labels_text(archive.read(LABELS).decode())
    runner = _interpreter()(model_path=str(path)).get_signature_runner("serving_default")
    ((name, images),) = runner.get_input_details().items()
    shape = tuple(int(side) for side in images["shape_signature"][1:])  # -1 where any will do
    dtype = np.dtype(images["dtype"]).name
    return Served(shape, dtype, class_names, lambda batch: runner(**{name: batch}))


def _interpreter() -> Any:
    """LiteRT's interpreter; the one within TensorFlow where LiteRT is not installed."""
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:
        from tensorflow.lite import Interpreter
    return Interpreter
