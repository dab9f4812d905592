"""Checks of the arguments of `fit` that are no data."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import keras

from gdw_tf.checks import check_boolean, check_integer

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
    """Checks the arguments of `fit` that are no data."""
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
