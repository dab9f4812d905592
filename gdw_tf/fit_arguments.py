"""Checks of the arguments of `fit` that are no data."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import keras

from gdw_tf.checks import check_boolean, check_integer, check_number

_LARGEST = 2**31 - 1
_LEAST = {
    "batch_size": 1,
    "meta_batch_size": 1,
    "validation_batch_size": 1,
    "steps_per_epoch": 1,
    "num_examples": 1,
    "epochs": 0,
    "initial_epoch": 0,
    "validation_steps": 1,
    "validation_freq": 1,
}
"""The least that each of these arguments of `fit` may be."""


def check_fit_arguments(*, shuffle: Any, callbacks: list[Any], **arguments: Any) -> None:
    """Checks the arguments of `fit` that are no data, but for the class weights.

    Args:
        shuffle: as `fit` was given it.
        callbacks: a list.
        **arguments: others by name; what is not checked here is Keras's to check.

    Raises:
        TypeError: an argument is of another type.
        ValueError: a number is out of its range.
    """
    check_boolean("shuffle", shuffle)
    for callback in callbacks:
        if not isinstance(callback, keras.callbacks.Callback | keras.callbacks.CallbackList):
            raise TypeError(
                f"callbacks must be Keras callbacks. Received: {callback!r}; allowed: instances of "
                "keras.callbacks.Callback."
            )
    for name, minimum in _LEAST.items():
        value = arguments.get(name)
        if name == "validation_freq" and isinstance(value, Collection) and value:
            for epoch in value:
                check_integer(name, epoch, 1)
        elif value is not None or name in arguments and name in ("epochs", "initial_epoch"):
            check_integer(name, value, minimum, _LARGEST)


def check_class_weight(class_weight: Any, num_classes: int) -> None:
    """Checks the factors of classes.

    Args:
        class_weight: as `fit` was given it; `None` for none.
        num_classes: C.

    Raises:
        TypeError: it is no dict, or holds what is no number.
        ValueError: a class that there is not; a factor below 0, or not finite.
    """
    if class_weight is None:
        return
    if not isinstance(class_weight, Mapping):
        raise TypeError(
            "class_weight must be a dict of a factor for each class. Received: class_weight="
            f"{class_weight!r}; allowed: such as {{0: 1.0, 1: 2.5}}."
        )
    unknown = [label for label in class_weight if label not in range(num_classes)]
    if unknown:
        raise ValueError(
            f"class_weight names a class that there is not. Received: {unknown}; "
            f"allowed: 0 to {num_classes - 1}."
        )
    for label, factor in class_weight.items():
        check_number(f"class_weight[{label}]", factor, 0.0)
