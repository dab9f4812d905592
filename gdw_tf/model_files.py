"""Loading models without running anything that a file brings along.

A `.keras` file is a ZIP archive of a configuration in JSON and weights in HDF5: nothing in it is
pickled. Layers and functions are named there and looked up among those of Keras and the registered
ones; only a `Lambda` layer would bring code, which Keras's safe mode refuses.
"""

from __future__ import annotations

import os
import warnings

import keras

from gdw_tf.checks import one_line
from gdw_tf.methods import Method


def load_method(path: str | os.PathLike[str]) -> Method:
    """Loads a model that `Method.save` wrote, a checkpoint of a run.

    Args:
        path: A file ending in `.keras`.

    Raises:
        OSError: The file cannot be read.
        ValueError: It holds no whole model, a model of another kind, or code, or the state of an
            optimizer does not fit.
    """
    with open(path, "rb"):  # a file that is not there is no ValueError
        pass
    try:
        with warnings.catch_warnings():
            # Of an optimizer's state that does not fit, Keras says no more and leaves it out.
            warnings.filterwarnings("error", message="Skipping variable loading")
            model = keras.models.load_model(path, safe_mode=True)
    except Exception as error:  # a damaged or hostile file gets anything at all out of Keras
        raise ValueError(
            f"This model cannot be loaded. Received: {path}: {one_line(error)}; allowed: a file "
            "that a training saved, without code in it."
        ) from error
    if not isinstance(model, Method):
        raise ValueError(
            f"This is no model of a training. Received: {path}, a {type(model).__name__}; allowed: "
            "one of gdw_tf's methods."
        )
    return model
