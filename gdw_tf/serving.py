"""The exported model: the classifier alone, answering logits and probabilities by name."""

from __future__ import annotations

from typing import Any

import keras


def serving_model(classifier: keras.Model) -> keras.Model:
    """Adds probabilities to a classifier.

    Args:
        classifier: a built Keras model answering logits, (B, C).

    Returns:
        A Keras model of the same inputs answering `{"logits": ..., "probabilities": ...}`, in
        float32 at least. It shares the classifier's weights. A functional or sequential
        classifier keeps the names and dtypes of its inputs; of a subclassed one Keras records
        shapes alone, and the inputs are floats.

    Raises:
        ValueError: the classifier has no weights yet.
    """
    inputs = _symbolic_inputs(classifier)
    logits = keras.ops.cast(classifier(inputs, training=False), keras.config.floatx())
    answers = {"logits": logits, "probabilities": keras.ops.softmax(logits)}
    return keras.Model(inputs, answers, name=classifier.name)


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
