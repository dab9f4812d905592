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
        float32 at least. It shares the classifier's weights.
    """
    if hasattr(classifier, "inputs"):  # functional and sequential: keeps names and dtypes
        inputs = classifier.input
        return keras.Model(inputs, _answers(classifier(inputs)), name=classifier.name)
    return _Serving(classifier, name=classifier.name)


class _Serving(keras.Model):
    """`serving_model` of a subclassed classifier."""

    def __init__(self, classifier: keras.Model, name: str) -> None:
        super().__init__(name=name)
        self.classifier = classifier

    def call(self, inputs: Any) -> dict[str, Any]:
        return _answers(self.classifier(inputs))


def _answers(logits: Any) -> dict[str, Any]:
    precise = keras.ops.cast(logits, keras.config.floatx())
    return {"logits": precise, "probabilities": keras.ops.softmax(precise)}
