"""From what `fit` is given, arrays or `tf.data`, to one stream of (training, meta) batches.

Where several workers train together, each may make its own parts of the batches: then `fit` is
given functions of a `tf.distribute.InputContext` that return the worker's stream, such as
`gdw_tf.data.training_batches` with all but its `context`.

Keras trains on one data set, so both streams are joined: every element is a pair of a training
batch and a meta batch, each `(inputs, labels[, sample_weight])`. The meta data are repeated as
long as it takes. For a method that remembers something of every example, a training batch has
four parts, the last the number of each example in the training set (`gdw_tf.batch`).

The order of arrays is a function of the model's seed and of the number of training steps that it
has taken, which is saved with it: a model that is saved, loaded and trained on sees the same
batches as one that was never interrupted. The order of a `tf.data.Dataset` is its own.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Generator, Mapping
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from gdw_tf.batch import Batch
from gdw_tf.checks import check_integer, check_number, one_line
from gdw_tf.data.digests import row_digests
from gdw_tf.data.orders import fold, shuffled_pass, stream_key
from gdw_tf.data.pipeline import gather_batches
from gdw_tf.labels import check_form, checked_in_range, class_indices, one_hot_labels

DEFAULT_BATCH_SIZE = 32
EVALUATION_BATCH_SIZE = 500
_CHECKED_AT_A_TIME = 2**20  # numbers, which stay in the processor's cache


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
        if not isinstance(x.element_spec, tuple) or len(x.element_spec) not in (2, 3, 4):
            raise ValueError(
                f"{name} must yield batches (inputs, labels), (inputs, labels, sample_weight) or "
                f"(inputs, labels, sample_weight or None, index). Received: {x.element_spec}"
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
    for array in tf.nest.flatten(tuple(arrays)):
        if array is not None and not array.ndim:
            raise ValueError(
                f"{name}: arrays must have the examples along their first axis. Received: "
                f"{one_line(repr(array))}; allowed: (N, ...)."
            )
    for array in tf.nest.flatten(inputs):
        _check_input(array, name)
    lengths = {len(array) for array in tf.nest.flatten(tuple(arrays)) if array is not None}
    if len(lengths) != 1:
        raise ValueError(f"{name}: all arrays must have one length. Received: {sorted(lengths)}")
    if lengths == {0}:
        raise ValueError(f"{name} must hold at least one example. Received: empty arrays")
    if arrays.sample_weight is not None:
        _check_sample_weight(arrays.sample_weight, name)
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
    """Reads a data set, or arrays given as one tuple `(x, y[, sample_weight])`; see `read`."""
    if isinstance(data, tuple):
        if len(data) not in (2, 3):
            raise ValueError(
                f"{name} given as arrays must be (x, y) or (x, y, sample_weight). "
                f"Received: a tuple of {len(data)}"
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
        ValueError: as `read`; a data set without an end and without `steps`.
    """
    name = "validation_data"
    if data is None or callable(data) or isinstance(data, keras.utils.PyDataset | Generator):
        return None
    data = read_pair(tuple(data) if isinstance(data, list) else data, name=name)
    is_endless = (
        isinstance(data, tf.data.Dataset) and data.cardinality() == tf.data.INFINITE_CARDINALITY
    )
    if is_endless and steps is None:
        raise ValueError(
            f"{name} must have an end, or fit needs validation_steps. Received: an endless "
            "tf.data.Dataset and validation_steps=None"
        )
    return data


def split_validation(arrays: Data, fraction: float) -> tuple[Arrays, tuple[Any, ...]]:
    """Takes the last `fraction` of arrays for validation, as Keras does.

    Returns:
        The rest, and `(x, y)` or `(x, y, sample_weight)` for `validation_data`.

    Raises:
        ValueError: a data set, a fraction outside (0, 1), or one that leaves a side empty.
    """
    if not isinstance(arrays, Arrays):
        raise ValueError("validation_split needs arrays. Received: a tf.data.Dataset")
    check_number("validation_split", fraction, 0.0)
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


def input_spec(data: Data) -> Any:
    """The `tf.TensorSpec`s of a batch of inputs, nested as the inputs are."""
    if isinstance(data, Arrays):
        return tf.nest.map_structure(
            lambda array: tf.TensorSpec((None, *array.shape[1:]), array.dtype), data.inputs
        )
    return data.element_spec[0]


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
            "This method remembers every training example: the training data must yield (inputs, "
            "labels, sample_weight or None, index), index the integer number of each example. "
            f"Received: {data.element_spec}"
        )
    if given is None:
        raise ValueError(
            "This method remembers every training example: fit needs num_examples beside a "
            "tf.data.Dataset. Received: num_examples=None"
        )
    return check_integer("num_examples", given, 1)


def one_pass(data: Data, steps_per_epoch: int | None, *, name: str) -> tf.data.Dataset:
    """One pass over data in their order.

    Args:
        data: what `read` returned.
        steps_per_epoch: how many batches stand for a pass over a data set without an end.
        name: how an error calls the data.

    Returns:
        Batches `(inputs, labels, ...)`; the parts of the data's own batches, where they have some.

    Raises:
        ValueError: a data set without an end, and no `steps_per_epoch`.
    """
    if isinstance(data, Arrays):
        return tf.data.Dataset.from_tensor_slices(_tensors(data)).batch(EVALUATION_BATCH_SIZE)
    if data.cardinality() != tf.data.INFINITE_CARDINALITY:
        return data
    if steps_per_epoch is None:
        raise ValueError(
            f"{name} must have an end, or fit needs steps_per_epoch. Received: an endless "
            "tf.data.Dataset and steps_per_epoch=None"
        )
    return data.take(steps_per_epoch)


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
    like_training = [
        array.astype(given.dtype, copy=False)
        for array, given in zip(meta_inputs, inputs, strict=True)
    ]
    digests = list(row_digests(like_training))
    wanted, found = set(digests), {}
    for index, digest in enumerate(row_digests(inputs)):
        if digest in wanted:
            found.setdefault(digest, index)
    shared = [index for index, digest in enumerate(digests) if digest in found]
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
        elif data is not None and data.element_spec[1].shape.rank is not None:
            check_form(data.element_spec[1], num_classes, f"the {name} labels")
    if "meta" in indices:
        missing = sorted(set(range(num_classes)) - set(indices["meta"].tolist()))
        if missing:
            warnings.warn(f"No example of class {missing} in the meta set.", stacklevel=3)


def training_batches(
    data: Data,
    *,
    batch_size: int | None,
    shuffle: bool,
    class_weight: Mapping[int, float] | None,
    steps_per_epoch: int | None,
    num_classes: int,
    seed: int,
    steps_taken: Callable[[], int],
    with_index: bool = False,
) -> tf.data.Dataset:
    """Training batches `(inputs, labels[, sample_weight])`, or all four parts of `Batch`.

    Args:
        data: what `read` returned.
        batch_size: for arrays, 32 by default; a data set is batched already.
        shuffle: whether arrays are shuffled, anew in every pass.
        class_weight: factor of each class's examples, 1 for a class that is not named.
        steps_per_epoch: `None` for an epoch of one pass.
        num_classes: C.
        seed: seed of the shuffling.
        steps_taken: tells the number of training steps taken so far, when an iterator starts.
        with_index: whether batches of arrays have all four parts; those of a data set are its own.

    Returns:
        The data set; or passes over the arrays from that step on, without end where
        `steps_per_epoch` is given, else as many batches as one pass has.

    Raises:
        ValueError: `batch_size` beside a data set; a class weight for no class.
    """
    if isinstance(data, Arrays):
        batch_size = batch_size or DEFAULT_BATCH_SIZE
        batches = _passes_over_arrays(data, batch_size, shuffle, seed, steps_taken, with_index)
        if steps_per_epoch is None:
            batches = batches.take(_steps_per_pass(data, batch_size))
    elif batch_size is not None:
        raise ValueError(
            "batch_size is for arrays; a tf.data.Dataset holds batches. "
            f"Received: batch_size={batch_size}"
        )
    else:
        batches = _with_checked_labels(data, num_classes)
    return _with_class_weight(batches, class_weight, num_classes) if class_weight else batches


def meta_batches(
    data: Data,
    *,
    batch_size: int,
    steps_per_epoch: int | None,
    num_classes: int,
    seed: int,
    steps_taken: Callable[[], int],
) -> tf.data.Dataset:
    """An endless stream of meta batches `(inputs, labels[, sample_weight])`.

    Arrays are shuffled anew in every pass, the passes joined end to end so that every batch is
    full (and no larger than the meta set). A data set is repeated in its own order and starts
    anew with every epoch: after `steps_per_epoch` batches or, where that is `None`, whenever
    Keras starts an iterator; one that is endless by itself is left alone.
    """
    if not isinstance(data, Arrays):
        repeated = _with_checked_labels(data, num_classes).repeat()
        is_a_stream = data.cardinality() == tf.data.INFINITE_CARDINALITY
        if is_a_stream or steps_per_epoch is None:
            return repeated
        return tf.data.Dataset.counter().flat_map(lambda _: repeated.take(steps_per_epoch))
    batch_size = min(batch_size, data.size)
    examples, key = _tensors(data), stream_key(seed, "meta")

    def from_step(step: tf.Tensor) -> tf.data.Dataset:
        number, seen = step * batch_size // data.size, step * batch_size % data.size
        indices = _count_from(number).flat_map(lambda n: shuffled_pass(data.size, fold(key, n)))
        return gather_batches(indices.skip(seen), examples, batch_size, drop_remainder=True)

    return _from_position(steps_taken, from_step)


def pairs(training: tf.data.Dataset, meta: tf.data.Dataset | None) -> tf.data.Dataset:
    """Joins training and meta batches: a stream of (training batch, meta batch).

    Under a strategy every replica takes a part of both. Parts that are `None` are `()` here, which
    a strategy can split; so is the meta batch where there is none.
    """

    def without_none(batch: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(() if part is None else part for part in batch)

    if meta is None:
        joined = training.map(lambda *batch: (without_none(batch), ()))
    else:
        joined = tf.data.Dataset.zip(training, meta).map(
            lambda batch, meta_batch: (without_none(batch), without_none(meta_batch))
        )
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    return joined.with_options(options).prefetch(tf.data.AUTOTUNE)


def _passes_over_arrays(
    data: Arrays,
    batch_size: int,
    shuffle: bool,
    seed: int,
    steps_taken: Callable[[], int],
    with_index: bool,
) -> tf.data.Dataset:
    steps = _steps_per_pass(data, batch_size)
    all_full = data.size % batch_size == 0  # makes the batches' shape static, for XLA
    examples, key = _tensors(data), stream_key(seed, "training")
    if with_index:
        examples = (*examples, tf.range(data.size, dtype=tf.int64))

    def one_pass(number: tf.Tensor) -> tf.data.Dataset:
        indices = (
            shuffled_pass(data.size, fold(key, number))
            if shuffle
            else tf.data.Dataset.range(data.size)
        )
        return gather_batches(indices, examples, batch_size, drop_remainder=all_full)

    batches = _from_position(
        steps_taken, lambda step: _count_from(step // steps).flat_map(one_pass).skip(step % steps)
    )
    if with_index and data.sample_weight is None:
        batches = batches.map(lambda inputs, labels, index: (inputs, labels, None, index))
    return batches


def _steps_per_pass(data: Arrays, batch_size: int) -> int:
    return -(-data.size // batch_size)


def _from_position(
    steps_taken: Callable[[], int], stream: Callable[[tf.Tensor], tf.data.Dataset]
) -> tf.data.Dataset:
    """An endless stream from the step on that has been reached when an iterator starts."""
    position = tf.data.Dataset.from_generator(
        lambda: iter([steps_taken()]), output_signature=tf.TensorSpec((), tf.int64)
    )
    endless = tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY)
    return position.flat_map(stream).apply(endless)


def _count_from(number: tf.Tensor) -> tf.data.Dataset:
    return tf.data.Dataset.range(number, tf.int64.max)


def _tensors(data: Arrays) -> tuple[Any, ...]:
    """The arrays as tensors, made once, so that no graph holds a copy of them."""
    with tf.device("CPU:0"):  # `tf.data` runs there
        return tf.nest.map_structure(
            tf.convert_to_tensor, tuple(item for item in data if item is not None)
        )


def _with_checked_labels(data: tf.data.Dataset, num_classes: int) -> tf.data.Dataset:
    """Checks labels on their way, where XLA, which drops assertions, is not at work yet."""
    return data.map(
        lambda inputs, labels, *rest: (inputs, checked_in_range(labels, num_classes), *rest),
        num_parallel_calls=tf.data.AUTOTUNE,
    )


def _with_class_weight(
    batches: tf.data.Dataset, class_weight: Mapping[int, float], num_classes: int
) -> tf.data.Dataset:
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
    factors = tf.constant(
        [class_weight.get(label, 1.0) for label in range(num_classes)], keras.config.floatx()
    )

    def weigh(*parts: Any) -> tuple[Any, ...]:
        batch = Batch.of(parts)
        weight = tf.linalg.matvec(one_hot_labels(batch.labels, num_classes, factors.dtype), factors)
        if batch.sample_weight is not None:
            weight *= tf.cast(tf.reshape(batch.sample_weight, (-1,)), weight.dtype)
        return batch.inputs, batch.labels, weight, batch.index

    return batches.map(weigh, num_parallel_calls=tf.data.AUTOTUNE)


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


def _is_arrays(x: Any) -> bool:
    leaves = tf.nest.flatten(x)
    return bool(leaves) and all(hasattr(leaf, "__array__") for leaf in leaves)
