"""SavedModel, TensorFlow's format: a directory that runs with TensorFlow alone.

It has two signatures: `serving_default`, from images to answers, and `class_names`, which takes
nothing and answers the names, strings (C,).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from gdw_tf.serving.signature import Served, numbers, serving_model

SUFFIX = ""
_PATTERN = "[]*?"


def check_path(path: Path) -> None:
    """Checks that what is written to a path can be loaded from it.

    Raises:
        ValueError: it cannot.
    """
    if set(str(path.absolute())) & set(_PATTERN):
        raise ValueError(
            "TensorFlow reads the path of a SavedModel as a pattern. Received: "
            f"{path.absolute()}; allowed: no {' '.join(_PATTERN)} in it."
        )


def write(classifier: keras.Model, path: Path, class_names: tuple[str, ...]) -> None:
    """Writes the SavedModel, see `gdw_tf.serving.write`."""
    check_path(path)
    model = serving_model(classifier)
    archive = keras.export.ExportArchive()
    archive.track_and_add_endpoint("serve", model, [_specs(model)])
    archive.add_endpoint(
        "class_names", lambda: {"class_names": tf.constant(class_names)}, input_signature=[]
    )
    archive.write_out(str(path), verbose=False)


def load(path: Path) -> Served:
    """Loads the SavedModel, see `gdw_tf.serving.load`; one without names has numbers."""
    loaded = tf.saved_model.load(str(path))
    serve = loaded.signatures["serving_default"]
    ((name, images),) = serve.structured_input_signature[1].items()

    def answer(batch: np.ndarray) -> dict[str, np.ndarray]:
        answers = serve(**{name: tf.constant(batch)})
        return {name: tensor.numpy() for name, tensor in answers.items()}

    if "class_names" in loaded.signatures:
        found = loaded.signatures["class_names"]()["class_names"].numpy()
        class_names = tuple(one.decode() for one in found)
    else:  # of an earlier version
        class_names = numbers(serve.structured_outputs["probabilities"].shape[-1])
    return Served(tuple(images.shape[1:]), images.dtype.name, class_names, answer)


def _specs(model: keras.Model) -> Any:
    """The inputs, nested as the model takes them."""
    return keras.tree.map_structure(
        lambda tensor: tf.TensorSpec(tensor.shape, tensor.dtype, name=tensor.name), model.input
    )
