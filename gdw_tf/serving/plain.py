"""A classifier made of Keras's own layers alone, so that no reader needs this library.

Two layers of the networks here are not Keras's. `gdw_tf.BatchNormalization` differs in speed alone
and has the weights of Keras's. `SubsamplingShortcut` is a pooling over single pixels, and zeros
around the channels: padding that takes (height, width, channels) for (channels, height, width).
"""

from __future__ import annotations

import keras

from gdw_tf.batch_normalization import BatchNormalization
from gdw_tf.copies import clone
from gdw_tf.networks.resnet import SubsamplingShortcut


def plain_model(classifier: keras.Model) -> keras.Model:
    """Copies a classifier into Keras's own layers, which compute in single precision at least.

    Args:
        classifier: a built model that is a graph of layers, functional or sequential.

    Returns:
        A model of the same inputs, answers and weights.

    Raises:
        ValueError: the classifier is of another kind.
    """
    if not (classifier.built and hasattr(classifier, "inputs")):
        raise ValueError(
            "This format takes a graph of layers, functional or sequential, with weights. Received:"
            f" {classifier.name!r}, a {type(classifier).__name__}; allowed otherwise: saved_model."
        )
    copy = clone(classifier, _plain, recursive=True)
    copy.set_weights(classifier.get_weights())
    return copy


def own_layers(model: keras.Model) -> list[str]:
    """Names of the kinds of layers in a graph of layers that plain Keras has not."""
    found = set()
    for layer in model.layers:
        if not type(layer).__module__.startswith("keras."):
            found.add(type(layer).__name__)
        elif isinstance(layer, keras.Model):
            found.update(own_layers(layer))
    return sorted(found)


def _plain(operation: keras.Operation) -> keras.Operation:
    """Gives a layer, or an operation that is none, as one of Keras's."""
    config = operation.get_config()
    if isinstance(operation, keras.Layer) and operation.compute_dtype in ("float16", "bfloat16"):
        config["dtype"] = operation.variable_dtype
    if type(operation) is BatchNormalization:
        return keras.layers.BatchNormalization.from_config(config)
    if type(operation) is SubsamplingShortcut:
        return _shortcut(operation)
    return type(operation).from_config(config)


def _shortcut(layer: SubsamplingShortcut) -> keras.Sequential:
    added = layer.filters - layer.input.shape[-1]
    zeros = ((0, 0), (added // 2, added - added // 2))
    return keras.Sequential(
        [
            keras.layers.MaxPooling2D(1, layer.strides, dtype=layer.variable_dtype),
            keras.layers.ZeroPadding2D(
                zeros, data_format="channels_first", dtype=layer.variable_dtype
            ),
        ],
        name=layer.name,
    )
