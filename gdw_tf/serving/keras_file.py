"""A `.keras` file of Keras's own layers, which plain Keras loads, on any backend.

The names are a member of the file, which is a ZIP archive: `labels.txt`. Keras does not look at it,
and a model that is loaded and saved anew has lost it.
"""

from __future__ import annotations

import tempfile
import zipfile
from pathlib import Path

import keras
import numpy as np

from gdw_tf.serving.plain import own_layers, plain_model
from gdw_tf.serving.signature import (
    LABELS,
    Served,
    labels_text,
    names_of_labels_text,
    serving_model,
)

SUFFIX = ".keras"


def write(classifier: keras.Model, path: Path, class_names: tuple[str, ...]) -> None:
    """Writes the file, see `gdw_tf.serving.write`.

    Raises:
        ValueError: the classifier has layers that plain Keras has not.
    """
    plain = plain_model(classifier)
    if unknown := own_layers(plain):
        raise ValueError(
            f"Plain Keras has no such layers. Received: {classifier.name!r} with "
            f"{', '.join(unknown)}; allowed: those of keras.layers."
        )
    with tempfile.TemporaryDirectory() as directory:
        saved = Path(directory) / f"model{SUFFIX}"
        serving_model(plain).save(saved)
        path.write_bytes(saved.read_bytes())
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(zipfile.ZipInfo(LABELS), labels_text(class_names))


def load(path: Path) -> Served:
    """Loads the file, see `gdw_tf.serving.load`."""
    with zipfile.ZipFile(path) as archive:
        class_names = names_of_labels_text(archive.read(LABELS).decode())
    model = keras.models.load_model(path, safe_mode=True)

    def answer(batch: np.ndarray) -> dict[str, np.ndarray]:
        answers = model(batch, training=False)
        return {name: keras.ops.convert_to_numpy(tensor) for name, tensor in answers.items()}

    return Served(tuple(model.input.shape[1:]), model.input.dtype, class_names, answer)
