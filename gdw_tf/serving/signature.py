"""What an exported classifier takes and answers, the same in every format.

    images (B, height, width, channels), uint8  ->  probabilities (B, C), float32
                                                    logits (B, C), float32
                                                    label (B,), int32: the likeliest class

B is free. The names of the classes go with the file, each format in a place of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np

from gdw_tf.checks import is_printable

LABELS = "labels.txt"
"""Name of the file with the names of the classes, one a line, where a format holds files."""


class Served(NamedTuple):
    """An exported classifier, ready to be asked.

    Attributes:
        image_shape: (height, width, channels) of the images that it takes.
        image_dtype: what their pixels are, `uint8` unless the classifier was made to take others.
        class_names: the name of each class.
        answer: takes images (B, height, width, channels), uint8, and answers `probabilities`
            (B, C), `logits` (B, C) and `label` (B,), as arrays.
    """

    image_shape: tuple[int, ...]
    image_dtype: str
    class_names: tuple[str, ...]
    answer: Callable[[np.ndarray], dict[str, np.ndarray]]


def serving_model(classifier: keras.Model) -> keras.Model:
    """Adds probabilities and the label to a classifier.

    Args:
        classifier: a built Keras model answering logits, (B, C).

    Returns:
        A Keras model of the same inputs answering `{"logits": ..., "probabilities": ...,
        "label": ...}`, in float32 at least; the label is int32, (B,). It shares the classifier's
        weights. A functional or sequential classifier keeps the names and dtypes of its inputs; of
        a subclassed one Keras records shapes alone, and the inputs are floats.

    Raises:
        ValueError: the classifier has no weights yet.
    """
    inputs = _symbolic_inputs(classifier)
    logits = keras.ops.cast(classifier(inputs, training=False), keras.config.floatx())
    # Not `argmax`, which Keras makes of operations on bits that other formats do not have.
    _, label = keras.ops.top_k(logits, k=1)
    answers = {
        "logits": logits,
        "probabilities": keras.ops.softmax(logits),
        "label": keras.ops.squeeze(label, axis=-1),
    }
    return keras.Model(inputs, answers, name=classifier.name)


def numbers(count: int) -> tuple[str, ...]:
    """The names of classes that have none: "0", "1", and so on."""
    return tuple(map(str, range(count)))


def checked_names(class_names: Sequence[str] | None, num_classes: int) -> tuple[str, ...]:
    """Returns the names of the classes; their numbers where there are no names.

    Raises:
        ValueError: there are more or fewer than classes, or one is not a line of text.
    """
    if class_names is None:
        return numbers(num_classes)
    if len(class_names) != num_classes:
        raise ValueError(
            f"Each class has one name. Received: {len(class_names)} class_names; allowed: "
            f"{num_classes}."
        )
    for name in class_names:
        if not isinstance(name, str) or not is_printable(name):
            raise ValueError(
                f"The name of a class must be a line of text. Received: class_names with {name!r}."
            )
    return tuple(class_names)


def labels_text(class_names: Sequence[str]) -> str:
    """What `LABELS` holds."""
    return "".join(f"{name}\n" for name in class_names)


def names_of_labels_text(text: str) -> tuple[str, ...]:
    """The names that `labels_text` wrote."""
    return tuple(text.removesuffix("\n").split("\n"))


def _symbolic_inputs(classifier: keras.Model) -> Any:
    """Symbolic inputs, nested as the classifier takes them."""
    if not classifier.built:
        raise ValueError(
            "The classifier must have weights before it is exported: fit it, or call it on a batch "
            f"of data. Received: {classifier.name!r}, which is not built"
        )
    if isinstance(classifier, keras.Sequential):
        return classifier.inputs[0]  # its `input` is that of its first call, whatever that was
    if hasattr(classifier, "inputs"):
        return classifier.input
    shapes = classifier.get_build_config()["input_shape"]
    if isinstance(shapes, dict):
        return {name: keras.Input(shape[1:], name=name) for name, shape in shapes.items()}
    return keras.tree.map_shape_structure(lambda shape: keras.Input(shape[1:]), shapes)
