"""What the library asks of the classifier that it wraps: any Keras model that answers logits."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from gdw_tf.checks import one_line

_WHAT_TO_DO = (
    "The classifier must answer logits: GDW works on the gradient of the logits. "
    "Remove the {activation} from its last layer; export() adds probabilities again. "
)
_OF_PROBABILITIES = {
    keras.activations.softmax: "softmax",
    keras.activations.sigmoid: "sigmoid",
}


class _NotAClassifier(ValueError):
    """What is wrong with a classifier whatever its inputs are."""


def check_ends_in_logits(classifier: keras.Model, name: str = "classifier") -> None:
    """Raises an error for a model whose last layer is seen to be a softmax, or a sigmoid.

    Args:
        classifier: a Keras model; one whose layers cannot be read passes, and `check_answers`
            judges it by its answers.
        name: how an error calls it.

    Raises:
        TypeError: not a Keras model.
        ValueError: the last layer ends in softmax or sigmoid.
    """
    if not isinstance(classifier, keras.Model):
        raise TypeError(f"{name} must be a keras.Model. Received: {type(classifier).__name__}")
    activation = _OF_PROBABILITIES.get(_output_activation(classifier))
    if activation:
        raise ValueError(
            f"{_WHAT_TO_DO.format(activation=activation)}Received: {classifier.name!r}, which ends "
            f"in {activation}"
        )


def answers_are_known(classifier: keras.Model) -> bool:
    """Whether the last layer tells that the model answers logits (a linear last layer)."""
    return _output_activation(classifier) is keras.activations.linear


def check_answers(answers: np.ndarray, classifier_name: str) -> None:
    """Raises an error for answers that are probabilities.

    Args:
        answers: what the classifier says to a few examples, (B, C).
        classifier_name: for the error.

    Raises:
        ValueError: every row is positive and sums to one.
    """
    if np.all(answers >= 0) and np.allclose(answers.sum(axis=1), 1.0, atol=1e-2):
        raise ValueError(
            f"{_WHAT_TO_DO.format(activation='softmax')}Received: {classifier_name!r}, whose "
            f"answers sum to one, the first being {np.round(answers[0], 4).tolist()}"
        )


def number_of_classes(classifier: keras.Model, input_spec: Any) -> int:
    """Builds the classifier where it is not, and reads the number of classes off its answer.

    Args:
        classifier: a Keras model.
        input_spec: `tf.TensorSpec`s of its inputs, nested as they are.

    Returns:
        C, at least 2.

    Raises:
        ValueError: the answer is not one tensor of floats of shape (B, C) with C >= 2; the
            classifier does not take such inputs.
    """
    inputs = tf.nest.map_structure(
        lambda spec: keras.KerasTensor(spec.shape, dtype=spec.dtype.name),
        _for_inputs(classifier, input_spec),
    )
    answer = classifier(inputs)
    shape = getattr(answer, "shape", None)
    if shape is None or len(shape) != 2 or shape[1] is None or shape[1] < 2:
        raise _NotAClassifier(
            "The classifier must answer one tensor of logits of shape (batch, classes) with at "
            f"least two classes. Received: {classifier.name!r} answering {answer}"
        )
    if "float" not in answer.dtype:
        raise _NotAClassifier(
            "The classifier must answer logits, numbers that have a gradient. Received: "
            f"{classifier.name!r} answering {answer.dtype}; allowed: floats."
        )
    return shape[1]


def check_inputs(classifier: keras.Model, input_spec: Any, name: str) -> int:
    """Checks that the classifier takes inputs like these; see `number_of_classes`.

    Args:
        classifier: a Keras model.
        input_spec: `tf.TensorSpec`s of the inputs, nested as they are.
        name: how an error calls the data.

    Returns:
        C.

    Raises:
        ValueError: it does not; strings where its inputs are numbers, or the other way round.
    """
    names = _inputs(classifier) if getattr(classifier, "inputs", None) else None
    are_dicts = isinstance(names, Mapping) and isinstance(input_spec, Mapping)
    if are_dicts and set(names) != set(input_spec):  # which Keras takes in the order of the names
        raise ValueError(
            f"{name}: the inputs do not fit the classifier. Received: "
            f"{', '.join(map(str, input_spec))}; allowed: {', '.join(map(str, names))}."
        )
    specs = tf.nest.flatten(_for_inputs(classifier, input_spec))
    for spec, tensor in zip(specs, getattr(classifier, "inputs", None) or (), strict=False):
        if (spec.dtype == tf.string) != (tensor.dtype == "string"):
            raise ValueError(
                f"{name}: the inputs do not fit the classifier. Received: dtype {spec.dtype.name}; "
                f"allowed: {tensor.dtype}."
            )
    try:
        return number_of_classes(classifier, input_spec)
    except _NotAClassifier:
        raise
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"{name}: the inputs do not fit the classifier. Received: {one_line(error)}"
        ) from error


def with_features(classifier: keras.Model) -> keras.Model:
    """Gives the classifier as a model that answers its features too.

    Args:
        classifier: a model that is a graph of layers, functional or sequential, with known inputs;
            its last part may be such a model itself.

    Returns:
        A model of the same inputs and layers that answers two tensors: the features, which are
        what the last layer with weights takes, flattened, (B, F), and the classifier's answer.

    Raises:
        ValueError: the classifier is of another kind, or its last layer takes more than one
            tensor, or one whose size is not known.
    """
    answer = tensor = _only(getattr(classifier, "outputs", None))
    while tensor is not None:
        # How a tensor came about is recorded by Keras, though not publicly.
        operation, node, _ = tensor._keras_history
        called_with = operation._inbound_nodes[node]
        has_weights = bool(getattr(operation, "weights", None))
        if has_weights and isinstance(operation, keras.Model):
            features, logits = with_features(operation)(called_with.arguments.args[0])
            if tensor is not answer:
                logits = keras.Model(tensor, answer)(logits)
            return keras.Model(_inputs(classifier), [features, logits])
        tensor = _only(called_with.input_tensors)
        if has_weights:
            break
    if tensor is None or None in tensor.shape[1:]:
        raise ValueError(
            "The features of a classifier are what its last layer takes: it must be a functional "
            "or sequential model with known inputs, the last layer taking one tensor of known "
            f"size. Received: {classifier.name!r}, a {type(classifier).__name__}"
        )
    features = tensor if len(tensor.shape) == 2 else keras.layers.Flatten()(tensor)
    return keras.Model(_inputs(classifier), [features, answer])


def synchronize_normalization(classifier: keras.Model) -> None:
    """Makes batch normalisation take its statistics over all replicas of a strategy.

    Args:
        classifier: a model that is a graph of layers; its `keras.layers.BatchNormalization` layers,
            those of nested models too, get `synchronized=True`.
    """
    for layer in layers_in_order(classifier):
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.synchronized = True


def _inputs(classifier: keras.Model) -> Any:
    """The inputs of a graph of layers, nested as the model takes them."""
    return classifier.inputs[0] if isinstance(classifier, keras.Sequential) else classifier.input


def _for_inputs(classifier: keras.Model, input_spec: Any) -> Any:
    """Specs as a graph of layers takes them: those of a dict for the inputs of these names.

    (Keras finds them so among tensors, though not when a model is called symbolically.)
    """
    tensors = getattr(classifier, "inputs", None)
    if not tensors or not isinstance(input_spec, Mapping):
        return input_spec
    inputs = _inputs(classifier)
    if isinstance(inputs, Mapping) or any(tensor.name not in input_spec for tensor in tensors):
        return input_spec
    return keras.tree.map_structure(lambda tensor: input_spec[tensor.name], inputs)


def _only(tensors: list[keras.KerasTensor] | None) -> keras.KerasTensor | None:
    """The tensor of a list of one; `None` for other lists."""
    return tensors[0] if tensors and len(tensors) == 1 else None


def layers_in_order(model: keras.Model) -> Iterator[keras.Layer]:
    """The layers of a graph of layers, those of nested models in their place."""
    for layer in model.layers:
        yield from layers_in_order(layer) if isinstance(layer, keras.Model) else [layer]


def _output_activation(model: keras.Model) -> Callable | None:
    """The activation of the last layer; `None` where it cannot be read."""
    is_a_graph_of_layers = hasattr(model, "outputs")  # functional and sequential models
    if not is_a_graph_of_layers or not model.layers:
        return None
    # A functional model may end in an operation, such as `keras.ops.softmax`, that is no layer.
    last = getattr(model, "operations", model.layers)[-1]
    if isinstance(last, keras.Model):
        return _output_activation(last)
    if isinstance(last, keras.layers.Softmax):
        return keras.activations.softmax
    return getattr(last, "activation", None)
