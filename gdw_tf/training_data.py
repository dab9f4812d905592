"""From what `fit` is given, arrays or `tf.data`, to one stream of (training, meta) batches.

Keras trains on one data set, so both streams are joined here: every element is a pair of a
training batch and a meta batch, each `(inputs, labels, sample_weight)`. One pass over the
training data is one epoch; the meta data are repeated as long as it takes.

Arrays are shuffled by a key made of the model's seed and the number of training steps taken so
far, which is part of a saved model: a model that is saved, loaded and trained on sees the same
batches as one that was never interrupted.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from gdw_tf.data.orders import fold, shuffled_passes, stream_key
from gdw_tf.data.pipeline import gather_batches
from gdw_tf.labels import class_indices, is_one_hot

DEFAULT_BATCH_SIZE = 32


class Arrays(NamedTuple):
    """A data set in memory: inputs (nested arrays), labels, and sample weights or `None`."""

    inputs: Any
    labels: np.ndarray
    sample_weight: np.ndarray | None

    @property
    def size(self) -> int:
        """Number of examples."""
        return len(self.labels)


def read(
    x: Any, y: Any = None, sample_weight: Any = None, *, name: str
) -> Arrays | tf.data.Dataset:
    """Reads data as `fit` takes it.

    Args:
        x: a `tf.data.Dataset` of batches, or inputs: an array or a dict, list or tuple of arrays.
        y: labels where `x` is inputs.
        sample_weight: (N,) or `None`.
        name: how an error calls the data.

    Returns:
        The data set as it is, or the arrays, whose lengths agree.

    Raises:
        TypeError: `x` is neither.
        ValueError: labels are missing, or given beside a data set; lengths differ; no examples.
    """
    if isinstance(x, tf.data.Dataset):
        if y is not None or sample_weight is not None:
            raise ValueError(
                f"{name} is a tf.data.Dataset, which holds labels and sample weights itself. "
                "Received: y or sample_weight beside it"
            )
        if not isinstance(x.element_spec, tuple) or len(x.element_spec) not in (2, 3):
            raise ValueError(
                f"{name} must yield batches (inputs, labels) or (inputs, labels, sample_weight). "
                f"Received: {x.element_spec}"
            )
        if x.cardinality() == 0:
            raise ValueError(f"{name} must hold at least one batch. Received: an empty data set")
        return x
    if isinstance(x, keras.utils.PyDataset) or not _is_arrays(x):
        raise TypeError(f"{name} must be arrays or a tf.data.Dataset. Received: {type(x).__name__}")
    if y is None:
        raise ValueError(f"{name} needs labels. Received: y=None")
    inputs = tf.nest.map_structure(np.asarray, tuple(x) if isinstance(x, list) else x)
    arrays = Arrays(
        inputs, np.asarray(y), None if sample_weight is None else np.asarray(sample_weight)
    )
    lengths = {len(array) for array in tf.nest.flatten(tuple(arrays)) if array is not None}
    if len(lengths) != 1:
        raise ValueError(f"{name}: all arrays must have one length. Received: {sorted(lengths)}")
    if lengths == {0}:
        raise ValueError(f"{name} must hold at least one example. Received: empty arrays")
    return arrays


def read_pair(data: Any, *, name: str) -> Arrays | tf.data.Dataset:
    """Reads a data set, or arrays given as one tuple `(x, y[, sample_weight])`; see `read`."""
    if isinstance(data, tuple):
        if len(data) not in (2, 3):
            raise ValueError(
                f"{name} given as arrays must be (x, y) or (x, y, sample_weight). "
                f"Received: a tuple of {len(data)}"
            )
        return read(*data, name=name)
    return read(data, name=name)


def split_validation(
    arrays: Arrays | tf.data.Dataset, fraction: float
) -> tuple[Arrays, tuple[Any, ...]]:
    """Takes the last `fraction` of arrays for validation, as Keras does.

    Returns:
        The rest, and `(x, y)` or `(x, y, sample_weight)` for `validation_data`.

    Raises:
        ValueError: a data set, a fraction outside (0, 1), or one that leaves a side empty.
    """
    if not isinstance(arrays, Arrays):
        raise ValueError("validation_split needs arrays. Received: a tf.data.Dataset")
    if not 0.0 < fraction < 1.0:
        raise ValueError(f"validation_split must be between 0 and 1. Received: {fraction}")
    boundary = int(arrays.size * (1.0 - fraction))
    if boundary in (0, arrays.size):
        raise ValueError(
            f"validation_split leaves no examples on one side. Received: {fraction} "
            f"of {arrays.size} examples"
        )

    def part(start: int | None, stop: int | None) -> Arrays:
        return Arrays(
            *tf.nest.map_structure(
                lambda array: None if array is None else array[start:stop], tuple(arrays)
            )
        )

    validation = part(boundary, None)
    return part(None, boundary), tuple(item for item in validation if item is not None)


def input_spec(data: Arrays | tf.data.Dataset) -> Any:
    """The `tf.TensorSpec`s of a batch of inputs, nested as the inputs are."""
    if isinstance(data, Arrays):
        return tf.nest.map_structure(
            lambda array: tf.TensorSpec((None, *array.shape[1:]), array.dtype), data.inputs
        )
    return data.element_spec[0]


def first_examples(data: Arrays | tf.data.Dataset) -> Any:
    """The inputs of a few examples."""
    inputs = data.inputs if isinstance(data, Arrays) else next(iter(data))[0]
    return tf.nest.map_structure(lambda array: tf.convert_to_tensor(array[:8]), inputs)


def check_classes(
    training: Arrays | tf.data.Dataset, meta: Arrays | tf.data.Dataset | None, num_classes: int
) -> None:
    """Checks the labels of arrays; those of a `tf.data.Dataset` are checked batch by batch.

    Warns where a class is missing from the meta set: nothing is learned about its gradients.

    Raises:
        TypeError: labels that are neither integers nor one-hot.
        ValueError: labels of a wrong shape or outside [0, num_classes).
    """
    if isinstance(training, Arrays):
        class_indices(training.labels, num_classes, "the training labels")
    if isinstance(meta, Arrays):
        present = np.unique(class_indices(meta.labels, num_classes, "the meta labels"))
        missing = sorted(set(range(num_classes)) - set(present.tolist()))
        if missing:
            warnings.warn(f"No example of class {missing} in the meta set.", stacklevel=4)


def training_batches(
    data: Arrays | tf.data.Dataset,
    *,
    batch_size: int | None,
    shuffle: bool,
    class_weight: Mapping[int, float] | None,
    num_classes: int,
    seed: int,
    steps_taken: Callable[[], int],
) -> tf.data.Dataset:
    """One epoch of training batches `(inputs, labels[, sample_weight])`.

    Args:
        data: what `read` returned.
        batch_size: for arrays, 32 by default; a data set is batched already.
        shuffle: whether arrays are shuffled, anew in every epoch.
        class_weight: factor of each class's examples, 1 for a class that is not named.
        num_classes: C.
        seed: seed of the shuffling.
        steps_taken: tells the number of training steps taken so far, at the start of an epoch.

    Raises:
        ValueError: `batch_size` beside a data set.
    """
    if isinstance(data, Arrays):
        batch_size = batch_size or DEFAULT_BATCH_SIZE
        indices = (
            _order(data, seed, "training", steps_taken).take(data.size)
            if shuffle
            else tf.data.Dataset.range(data.size)
        )
        all_full = data.size % batch_size == 0  # makes the batches' shape static, for XLA
        batches = gather_batches(indices, _without_none(data), batch_size, all_full)
    elif batch_size is not None:
        raise ValueError(
            f"batch_size is for arrays; a tf.data.Dataset holds batches. Received: {batch_size}"
        )
    else:
        batches = data
    return _with_class_weight(batches, class_weight, num_classes) if class_weight else batches


def meta_batches(
    data: Arrays | tf.data.Dataset,
    *,
    batch_size: int,
    seed: int,
    steps_taken: Callable[[], int],
) -> tf.data.Dataset:
    """An endless stream of meta batches `(inputs, labels[, sample_weight])`.

    Arrays are shuffled anew in every pass, the passes joined end to end so that every batch is
    full (and no larger than the meta set); a data set is repeated in its own order.
    """
    if not isinstance(data, Arrays):
        return data.repeat()
    indices = _order(data, seed, "meta", steps_taken)
    batch_size = min(batch_size, data.size)
    return gather_batches(indices, _without_none(data), batch_size, drop_remainder=True)


def _order(data: Arrays, seed: int, stream: str, steps_taken: Callable[[], int]) -> tf.data.Dataset:
    """Endless shuffled indices; the position is read anew whenever an iterator starts."""
    position = tf.data.Dataset.from_generator(
        lambda: iter([steps_taken()]), output_signature=tf.TensorSpec((), tf.int64)
    )
    key = stream_key(seed, stream)
    order = position.flat_map(lambda step: shuffled_passes(data.size, fold(key, step)))
    # Keras reads the length of an epoch off the data set; a `flat_map` hides it.
    return order.apply(tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY))


def _without_none(arrays: Arrays) -> tuple[Any, ...]:
    return tuple(item for item in arrays if item is not None)


def _with_class_weight(
    batches: tf.data.Dataset, class_weight: Mapping[int, float], num_classes: int
) -> tf.data.Dataset:
    factors = tf.constant(
        [class_weight.get(label, 1.0) for label in range(num_classes)], keras.config.floatx()
    )

    def weigh(*batch: Any) -> tuple[Any, tf.Tensor, tf.Tensor]:
        inputs, labels, sample_weight = keras.utils.unpack_x_y_sample_weight(batch)
        sparse = (
            tf.argmax(labels, axis=1)
            if is_one_hot(labels.shape, num_classes)
            else tf.reshape(labels, (-1,))
        )
        weight = tf.gather(factors, sparse)
        if sample_weight is not None:
            weight *= tf.cast(tf.reshape(sample_weight, (-1,)), weight.dtype)
        return inputs, labels, weight

    return batches.map(weigh, num_parallel_calls=tf.data.AUTOTUNE)


def _is_arrays(x: Any) -> bool:
    leaves = tf.nest.flatten(x)
    return bool(leaves) and all(hasattr(leaf, "__array__") for leaf in leaves)
