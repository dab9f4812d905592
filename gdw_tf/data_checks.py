"""Checks of data that `gdw_tf.fit_data` read, against the classifier and against each other."""

from __future__ import annotations

import warnings

import keras
import numpy as np
import tensorflow as tf

from gdw_tf.data.digests import row_digests
from gdw_tf.fit_data import Arrays, Data
from gdw_tf.labels import check_form, class_indices

_CHECKED_AT_A_TIME = 2**20  # numbers, which stay in the processor's cache


def check_finite(data: Data, classifier: keras.Model, *, name: str) -> None:
    """Checks that a classifier can make something of numbers in arrays that are not finite.

    Raises:
        ValueError: there are some, and its answer is not finite either.
    """
    if not isinstance(data, Arrays):
        return
    places = [_first_not_finite(array) for array in tf.nest.flatten(data.inputs)]
    first = min((place for place in places if place is not None), default=None)
    if first is None:
        return
    example = tf.nest.map_structure(
        lambda array: tf.convert_to_tensor(array[first : first + 1]), data.inputs
    )
    if not np.isfinite(keras.ops.convert_to_numpy(classifier(example, training=False))).all():
        raise ValueError(
            f"{name}: an input is not finite, nor is the classifier's answer to it. Received: "
            f"nan or inf in example {first}; allowed: finite numbers."
        )


def warn_of_overlap(training: Data, meta: Data) -> None:
    """Warns where examples of a meta set are training examples too, both given as arrays.

    What the weights learn on the meta set is to hold for examples that no step has fitted. (A
    pseudo-clean meta set cannot but be of training examples.) Inputs are compared to the bit, by
    their digests: some 6 s for a million images of CIFAR's size.
    """
    if not isinstance(training, Arrays) or not isinstance(meta, Arrays):
        return
    inputs, meta_inputs = (tf.nest.flatten(data.inputs) for data in (training, meta))
    if [array.shape[1:] for array in inputs] != [array.shape[1:] for array in meta_inputs]:
        return
    like_training = []
    can_be_shared = np.ones(meta.size, bool)
    for array, given in zip(meta_inputs, inputs, strict=True):
        if array.dtype != given.dtype and {array.dtype.kind, given.dtype.kind} <= set("biuf"):
            with np.errstate(invalid="ignore", over="ignore"):
                cast = array.astype(given.dtype)
            same = cast == array  # what another dtype cannot hold is no training example
            can_be_shared &= same.reshape(meta.size, -1).all(axis=1)
            array = cast
        like_training.append(array)
    digests = list(row_digests(like_training))
    wanted = {digest for digest, can in zip(digests, can_be_shared, strict=True) if can}
    found: dict[bytes, int] = {}
    for index, digest in enumerate(row_digests(inputs)):
        if digest in wanted:
            found.setdefault(digest, index)
    shared = [
        index for index, digest in enumerate(digests) if can_be_shared[index] and digest in found
    ]
    if shared:
        warnings.warn(
            f"{len(shared)} of {meta.size} meta examples are training examples too (meta example "
            f"{shared[0]} is training example {found[digests[shared[0]]]}): take them out of the "
            "training data, unless they are a pseudo-clean meta set.",
            stacklevel=3,
        )


def check_classes(
    training: Data,
    meta: Data | None,
    validation: Data | None,
    num_classes: int,
) -> None:
    """Checks the labels of arrays; those of a `tf.data.Dataset` are checked batch by batch.

    Warns where a class is missing from the meta set: nothing is learned about its gradients.

    Raises:
        TypeError: labels that are neither integers nor one-hot.
        ValueError: labels of a wrong shape or outside [0, num_classes).
    """
    indices = {}
    for name, data in (("training", training), ("meta", meta), ("validation", validation)):
        if isinstance(data, Arrays):
            indices[name] = class_indices(data.labels, num_classes, f"the {name} labels")
        elif data is not None:
            if data.element_spec[1].shape.rank is None:
                raise ValueError(
                    f"The rank of the {name} labels must be known. Received: a tf.data.Dataset "
                    "with labels of unknown shape; allowed: (B,), (B, 1) or (B, C)."
                )
            check_form(data.element_spec[1], num_classes, f"the {name} labels")
    if "meta" in indices:
        missing = sorted(set(range(num_classes)) - set(indices["meta"].tolist()))
        if missing:
            warnings.warn(f"No example of class {missing} in the meta set.", stacklevel=3)


def _first_not_finite(array: np.ndarray) -> int | None:
    """The first example that holds a number which is not finite; `None` if there is none."""
    if array.dtype.kind != "f":
        return None
    step = max(1, _CHECKED_AT_A_TIME // max(1, array[0].size))
    for start in range(0, len(array), step):
        finite = np.isfinite(array[start : start + step])
        if not finite.all():
            return start + int(np.argmin(finite.reshape(len(finite), -1).all(axis=1)))
    return None
