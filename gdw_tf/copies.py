"""Copies of models with what their preprocessing layers were adapted to.

`keras.models.clone_model` makes every layer anew of its configuration. Weights then come by
`set_weights`; but the means of a `Normalization`, of which it computes with constants made when it
was adapted, and the vocabulary of a text layer are neither configuration nor weights.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from typing import Any

import keras


def clone(
    model: keras.Model,
    clone_function: Callable[[keras.Operation], keras.Operation] | None = None,
    *,
    recursive: bool = False,
) -> keras.Model:
    """Makes a model of the same layers with weights drawn anew, and of what these were adapted to.

    Args:
        model: a functional or sequential model.
        clone_function: makes the copy of a layer; by default of its configuration.
        recursive: whether `clone_function` is given the layers within models that are layers, too.

    Raises:
        NotImplementedError, TypeError, ValueError: Keras cannot clone it.
    """
    arguments: dict[str, Any] = {}
    if clone_function is not None:
        arguments = {"clone_function": clone_function, "recursive": recursive}
    copy = keras.models.clone_model(model, **arguments)
    _adapt(copy, model)
    return copy


def _adapt(copy: keras.Model, model: keras.Model) -> None:
    for mine, other in zip(copy.layers, model.layers, strict=True):
        if isinstance(mine, keras.Model) and isinstance(other, keras.Model):
            _adapt(mine, other)
        elif hasattr(other, "adapt"):
            _take_over(mine, other)


def _take_over(copy: keras.Layer, layer: keras.Layer) -> None:
    """Gives a preprocessing layer the state of another, in the way of a file."""
    variables: dict[str, Any] = {}
    layer.save_own_variables(variables)
    copy.load_own_variables(variables)
    if hasattr(layer, "save_assets"):
        with tempfile.TemporaryDirectory() as folder:
            layer.save_assets(folder)
            copy.load_assets(folder)
