"""What `fit` is given, arrays or `tf.data`: read, and checked before anything is trained.

Where several workers train together, each may make its own parts of the batches: then `fit` is
given functions of a `tf.distribute.InputContext` that return the worker's stream, such as
`gdw_tf.data.training_batches` with all but its `context`.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from gdw_tf.checks import check_integer, check_number, one_line


class Arrays(NamedTuple):
    """A data set in memory: inputs (nested arrays), labels, and sample weights or `None`."""

    inputs: Any
    labels: np.ndarray
    sample_weight: np.ndarray | None

    @property
    def size(self) -> int:
        """Number of examples."""
        return len(self.labels)


Data = Arrays | tf.data.Dataset


class FitData(NamedTuple):
    """All data that `fit` is given, read and checked as far as they can be before the training.

    Attributes:
        training: the training data.
        meta: the meta set, or `None`.
        validation: the validation data; `None` where there are none, or nothing is known of them.
        meta_data: the meta set as Keras evaluates it.
        validation_data: the validation data as Keras evaluates them.
    """

    training: Data
    meta: Data | None
    validation: Data | None
    meta_data: Any
    validation_data: Any


def read_all(
    x: Any,
    y: Any,
    sample_weight: Any,
    meta_data: Any,
    validation_data: Any,
    *,
    is_meta_evaluated: bool,
    batch_size: int | None,
    meta_batch_size: int | None,
    validation_split: float,
    steps_per_epoch: int | None,
    validation_steps: int | None,
) -> FitData:
    """Reads the data of `Method.fit`, whose arguments are explained there.

    With `is_meta_evaluated` the meta set is not trained on: one pass of it is evaluated.

    Raises:
        TypeError: as `read`.
        ValueError: as `read`; data that do not fit together, or the numbers beside them.
    """
    training = read(x, y, sample_weight, name="the training data")
    if validation_split and validation_data is None:
        training, validation_data = split_validation(training, validation_split)
    check_has_end(training, "the training data", "steps_per_epoch", steps_per_epoch)
    check_batch_size(training, "batch_size", batch_size)
    meta = None if meta_data is None else read_pair(meta_data, name="meta_data")
    check_functions(x, training, meta_data, None if is_meta_evaluated else meta)
    if meta is not None:
        check_batch_size(meta, "meta_batch_size", meta_batch_size)
        if is_meta_evaluated:
            check_no_index(meta, "meta_data")
            check_has_end(meta, "meta_data")
    validation = read_validation(validation_data, validation_steps)
    return FitData(
        *(training, meta, validation),
        _for_keras(meta, meta_data),
        _for_keras(validation, validation_data),
    )


def read(x: Any, y: Any = None, sample_weight: Any = None, *, name: str) -> Data:
    """Reads data as `fit` takes it.

    Args:
        x: a `tf.data.Dataset` of batches, or a function that returns one for the context of a
            worker; or inputs: an array or a dict, list or tuple of arrays.
        y: labels where `x` is inputs.
        sample_weight: (N,) or `None`.
        name: how an error calls the data.

    Returns:
        The data set as it is, the one of whole batches where there is a function, or the arrays,
        whose lengths agree.

    Raises:
        TypeError: `x` is neither; arrays of something else than numbers or text; sample weights
            that are not numbers.
        ValueError: labels are missing, or given beside a data set; lengths differ; no examples;
            sample weights that are negative, not finite, or not one an example.
    """
    if callable(x):
        x = x(tf.distribute.InputContext())
    if isinstance(x, tf.data.Dataset):
        if y is not None or sample_weight is not None:
            raise ValueError(
                f"{name} is a tf.data.Dataset, which holds labels and sample weights itself. "
                "Received: y or sample_weight beside it"
            )
        _check_batches(x, name)
        return x
    if isinstance(x, keras.utils.PyDataset) or not _is_arrays(x):
        raise TypeError(f"{name} must be arrays or a tf.data.Dataset. Received: {type(x).__name__}")
    if y is None:
        raise ValueError(f"{name} needs labels. Received: y=None")
    inputs = tf.nest.map_structure(np.asarray, tuple(x) if isinstance(x, list) else x)
    arrays = Arrays(
        inputs, np.asarray(y), None if sample_weight is None else np.asarray(sample_weight)
    )
    _check_arrays(arrays, name)
    return arrays


def check_functions(x: Any, training: Data, meta_data: Any, meta: Data | None) -> None:
    """Checks that functions of a worker's context fit together.

    Args:
        x: the training data as `fit` was given them.
        training: what `read` made of them.
        meta_data: the meta set as `fit` was given it.
        meta: what `read_pair` made of it.

    Raises:
        ValueError: one of them is a function and the other is not; a function's data set has an
            end, at which the parts of the workers would no longer agree.
    """
    if meta is not None and callable(x) != callable(meta_data):
        raise ValueError(
            "The training data and meta_data must both be functions of a worker's context, or "
            f"neither. Received: {type(x).__name__} and {type(meta_data).__name__}"
        )
    for name, given, data in (("the training data", x, training), ("meta_data", meta_data, meta)):
        if data is None or not callable(given):
            continue
        if data.cardinality() != tf.data.INFINITE_CARDINALITY:
            raise ValueError(
                f"{name} given as a function must be an endless tf.data.Dataset. "
                f"Received: one of {int(data.cardinality())} batches"
            )


def read_pair(data: Any, *, name: str) -> Data:
    """Reads a data set, or arrays given as one tuple or list `(x, y[, sample_weight])`.

    See `read`.
    """
    if isinstance(data, tuple | list):
        if len(data) not in (2, 3):
            raise ValueError(
                f"{name} given as arrays must be (x, y) or (x, y, sample_weight). "
                f"Received: a {type(data).__name__} of {len(data)}"
            )
        return read(*data, name=name)
    return read(data, name=name)


def read_validation(data: Any, steps: int | None) -> Data | None:
    """Reads `validation_data` as far as they can be checked before the training.

    Args:
        data: what `fit` was given; of other things that Keras takes nothing is known.
        steps: `validation_steps`.

    Returns:
        What `read` returned; `None` where there is nothing to check.

    Raises:
        TypeError: as `read`.
        ValueError: as `read`; a data set without an end and without `steps`, or with an index.
    """
    name = "validation_data"
    if data is None or callable(data) or isinstance(data, keras.utils.PyDataset | Generator):
        return None
    data = read_pair(data, name=name)
    check_has_end(data, name, "validation_steps", steps)
    check_no_index(data, name)
    return data


def check_has_end(
    data: Data, name: str, argument: str | None = None, steps: int | None = None
) -> None:
    """Checks that data have an end, or a number of steps stands for it.

    Args:
        data: what `read` returned.
        name: how an error calls the data.
        argument: the argument of `fit` that says how many steps are one pass, where there is one.
        steps: its value.

    Raises:
        ValueError: a data set without an end, and no number.
    """
    if steps is None and is_endless(data):
        instead, received = (
            (f", or fit needs {argument}", f" and {argument}=None") if argument else ("", "")
        )
        raise ValueError(
            f"{name} must have an end{instead}. Received: an endless tf.data.Dataset{received}"
        )


def is_endless(data: Data) -> bool:
    """Whether data are known to have no end."""
    return isinstance(data, tf.data.Dataset) and data.cardinality() == tf.data.INFINITE_CARDINALITY


def check_batch_size(data: Data, argument: str, batch_size: int | None) -> None:
    """Checks that a batch size is given for arrays only.

    Args:
        data: what `read` returned.
        argument: the argument of `fit`.
        batch_size: its value.

    Raises:
        ValueError: a batch size beside a data set.
    """
    if batch_size is not None and not isinstance(data, Arrays):
        raise ValueError(
            f"{argument} is for arrays; a tf.data.Dataset holds batches. "
            f"Received: {argument}={batch_size}"
        )


def check_no_index(data: Data, name: str) -> None:
    """Checks that data to be evaluated have no index of their examples, which Keras cannot take.

    Args:
        data: what `read` returned.
        name: how an error calls the data.

    Raises:
        ValueError: a data set with an index.
    """
    if isinstance(data, tf.data.Dataset) and len(data.element_spec) == 4:
        raise ValueError(
            f"{name} must yield batches (inputs, labels) or (inputs, labels, sample_weight): the "
            "index is for training examples. Received: (inputs, labels, sample_weight, index)"
        )


def split_validation(arrays: Data, fraction: float) -> tuple[Arrays, tuple[Any, ...]]:
    """Takes the last `fraction` of arrays for validation, as Keras does.

    Returns:
        The rest, and `(x, y)` or `(x, y, sample_weight)` for `validation_data`.

    Raises:
        ValueError: a data set, a fraction outside (0, 1), or one that leaves a side empty.
    """
    if not isinstance(arrays, Arrays):
        raise ValueError("validation_split needs arrays. Received: a tf.data.Dataset")
    check_number("validation_split", fraction, 0.0, exclusive=True, below=1.0)
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


def input_spec(data: Data) -> Any:
    """The `tf.TensorSpec`s of a batch of inputs, nested as the inputs are."""
    if isinstance(data, Arrays):
        return tf.nest.map_structure(
            lambda array: tf.TensorSpec((None, *array.shape[1:]), array.dtype), data.inputs
        )
    return data.element_spec[0]


def labels_like(data: Data) -> tf.Tensor:
    """A label in the form and dtype of the data's, (1,), (1, 1) or (1, C)."""
    if isinstance(data, Arrays):
        return tf.convert_to_tensor(data.labels[:1])
    spec = data.element_spec[1]
    return tf.zeros([1, *spec.shape[1:]], spec.dtype)


def number_of_examples(data: Data, given: int | None) -> int:
    """Tells how many training examples there are to be remembered, by their index.

    Args:
        data: what `read` returned.
        given: the number that the user says a data set has; arrays need none.

    Raises:
        ValueError: a data set without index or without a number; a number that is not the arrays'.
    """
    if isinstance(data, Arrays):
        if given not in (None, data.size):
            raise ValueError(
                f"num_examples is for a tf.data.Dataset; the arrays hold {data.size} examples. "
                f"Received: num_examples={given}"
            )
        return data.size
    index = data.element_spec[3] if len(data.element_spec) == 4 else None
    if index is None or not index.dtype.is_integer:
        raise ValueError(
            "Every training example is remembered or recorded: the training data must yield "
            "(inputs, labels, sample_weight or None, index), index the integer number of each "
            "example. "
            f"Received: {data.element_spec}"
        )
    if given is None:
        raise ValueError(
            "Every training example is remembered or recorded: fit needs num_examples beside a "
            "tf.data.Dataset. Received: num_examples=None"
        )
    return check_integer("num_examples", given, 1)


def count(data: Data, *, name: str) -> int:
    """Counts the examples of data.

    Raises:
        ValueError: a data set without an end.
    """
    if isinstance(data, Arrays):
        return data.size
    if data.cardinality() == tf.data.INFINITE_CARDINALITY:
        raise ValueError(
            f"The examples of {name} cannot be counted. Received: an endless tf.data.Dataset"
        )
    sizes = data.map(lambda inputs, labels, *rest: tf.shape(labels, tf.int64)[0])
    return int(sizes.reduce(tf.constant(0, tf.int64), tf.add))


def first_examples(data: Data) -> Any:
    """The inputs of a few examples."""
    inputs = data.inputs if isinstance(data, Arrays) else next(iter(data))[0]
    return tf.nest.map_structure(lambda array: tf.convert_to_tensor(array[:8]), inputs)


def _for_keras(data: Data | None, given: Any) -> Any:
    """Data as they were given, but for lists of labels and weights, which Keras does not take."""
    if not isinstance(data, Arrays):
        return given
    inputs, *others = given
    return inputs, *(
        one if one is None or hasattr(one, "__array__") else np.asarray(one) for one in others
    )


def _check_batches(data: tf.data.Dataset, name: str) -> None:
    """Checks that a data set yields batches as `fit` takes them."""
    if not isinstance(data.element_spec, tuple) or len(data.element_spec) not in (2, 3, 4):
        raise ValueError(
            f"{name} must yield batches (inputs, labels), (inputs, labels, sample_weight) or "
            f"(inputs, labels, sample_weight or None, index). Received: {data.element_spec}"
        )
    if not isinstance(data.element_spec[1], tf.TensorSpec):
        raise TypeError(
            f"{name}: the labels of a batch must be one tensor. Received: {data.element_spec[1]}"
        )
    if data.cardinality() == 0:
        raise ValueError(f"{name} must hold at least one batch. Received: an empty data set")


def _check_arrays(arrays: Arrays, name: str) -> None:
    """Checks that arrays are of one length, and hold what a classifier can take."""
    for array in tf.nest.flatten(tuple(arrays)):
        if array is not None and not array.ndim:
            raise ValueError(
                f"{name}: arrays must have the examples along their first axis. Received: "
                f"{one_line(repr(array))}; allowed: (N, ...)."
            )
    for array in tf.nest.flatten(arrays.inputs):
        _check_input(array, name)
    lengths = {len(array) for array in tf.nest.flatten(tuple(arrays)) if array is not None}
    if len(lengths) != 1:
        raise ValueError(f"{name}: all arrays must have one length. Received: {sorted(lengths)}")
    if lengths == {0}:
        raise ValueError(f"{name} must hold at least one example. Received: empty arrays")
    if arrays.sample_weight is not None:
        _check_sample_weight(arrays.sample_weight, name)


def _check_input(array: np.ndarray, name: str) -> None:
    """Checks that an array of inputs holds numbers or text."""
    if array.dtype.kind in "SU" or (
        array.dtype == object and all(isinstance(one, str | bytes) for one in array.flat)
    ):
        return
    try:
        dtype = tf.as_dtype(array.dtype)
    except TypeError:  # dates, objects
        dtype = None
    if dtype is None or not (dtype.is_floating or dtype.is_integer or dtype.is_bool):
        raise TypeError(
            f"{name}: inputs must be numbers. Received: dtype {array.dtype}; allowed: floats, "
            "integers or booleans, or text for a classifier that takes it."
        )


def _check_sample_weight(weights: np.ndarray, name: str) -> None:
    if weights.dtype.kind not in "fiub":
        raise TypeError(
            f"{name}: sample_weight must be numbers. Received: dtype {weights.dtype}; allowed: "
            "floats or integers."
        )
    if weights.shape not in ((len(weights),), (len(weights), 1)):
        raise ValueError(
            f"{name}: sample_weight must be one number an example. Received: shape "
            f"{weights.shape}; allowed: (N,) or (N, 1)."
        )
    wrong = np.flatnonzero(~(np.isfinite(weights) & (weights >= 0)))
    if wrong.size:
        raise ValueError(
            f"{name}: sample_weight is out of range. Received: {weights.reshape(-1)[wrong[0]]} for "
            f"example {wrong[0]}; allowed: finite numbers from 0."
        )


def _is_arrays(x: Any) -> bool:
    leaves = tf.nest.flatten(x)
    return bool(leaves) and all(hasattr(leaf, "__array__") for leaf in leaves)
