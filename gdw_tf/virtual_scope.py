"""The part of a classifier whose weights move in the virtual step."""

from __future__ import annotations

import re

import keras

from gdw_tf.classifiers import layers_in_order

SCOPES = ("all", "last_stage", "head")
"""Names of parts of a classifier, from the whole of it to its last layer."""


def check_scope(scope: object) -> str:
    """Returns the name of a part of a classifier, or a regular expression for one.

    Raises:
        TypeError: it is not a string.
        ValueError: it is neither a name nor a regular expression, or it is empty.
    """
    allowed = f"{', '.join(SCOPES)}, or one that the paths of variables are searched for"
    if not isinstance(scope, str):
        raise TypeError(
            f"virtual_scope must be a string. Received: virtual_scope={scope!r}; allowed: "
            f"{allowed}."
        )
    try:
        re.compile(scope)
    except re.error as error:
        reason = f" ({error})"
    else:
        reason = ""
    if reason or not scope:
        raise ValueError(
            f"virtual_scope is no regular expression{reason}. Received: virtual_scope={scope}; "
            f"allowed: {allowed}."
        )
    return scope


def variables_in_scope(classifier: keras.Model, scope: str) -> list[keras.Variable]:
    """Gives the trainable variables of a part of a classifier.

    Args:
        classifier: a built Keras model.
        scope: `"all"`; `"head"`, the last layer with weights; `"last_stage"`, the layers whose
            images have the last height and width, and those behind them, for a model that is a
            graph of layers; or a regular expression, searched for in each variable's path,
            such as `"stage3|logits"`.

    Returns:
        The variables, in their order; at least one, unless all are frozen.

    Raises:
        ValueError: the part has none.
    """
    variables = classifier.trainable_variables
    if not variables:
        return []
    if scope == "head":
        owned = _last_owner(classifier, variables[-1]).trainable_variables
        head = variables[-1].path.rpartition("/")[0]  # within an owner made of layers
        chosen = [v for v in owned if v.path.rpartition("/")[0] == head]
    elif scope == "last_stage":
        in_stage = {id(v) for layer in _last_stage(classifier) for v in layer.trainable_variables}
        chosen = [v for v in variables if id(v) in in_stage]
    elif scope == "all":
        chosen = list(variables)
    else:
        chosen = [v for v in variables if re.search(scope, v.path)]
    if not chosen:
        raise ValueError(
            f"virtual_scope leaves no weights to move. Received: virtual_scope={scope}; the "
            f"classifier's weights: {', '.join(v.path for v in variables[:3])}, ..."
        )
    return chosen


def _last_owner(classifier: keras.Model, variable: keras.Variable) -> keras.Layer:
    """The last layer that has a variable; paths do not tell, as nested models can share them."""
    owners = [
        layer
        for layer in layers_in_order(classifier)
        if any(one is variable for one in layer.trainable_variables)
    ]
    return owners[-1] if owners else classifier


def _last_stage(classifier: keras.Model) -> list[keras.Layer]:
    """The layers whose images are as small as the last ones, and those behind all images."""
    layers = list(layers_in_order(classifier))
    sizes = [_output_size(layer) for layer in layers]
    of_images = [number for number, size in enumerate(sizes) if size]
    if not of_images:
        return []
    last = of_images[-1]
    return [
        layer
        for number, layer in enumerate(layers)
        if sizes[number] == sizes[last] or number > last
    ]


def _output_size(layer: keras.Layer) -> tuple[int, int] | None:
    """Height and width of a layer's output; `None` where it is no image."""
    shape = getattr(getattr(layer, "output", None), "shape", ())
    return tuple(shape[1:3]) if len(shape) == 4 else None
