"""The streams that `fit` trains on, made of the data that `gdw_tf.fit_data` read.

Keras trains on one data set, so both streams are joined: every element is a pair of a training
batch and a meta batch, each `(inputs, labels[, sample_weight])`. The meta data are repeated as
long as it takes. For a method that remembers something of every example, a training batch has
four parts, the last the number of each example in the training set (`gdw_tf.batch`).

The order of arrays is a function of the model's seed and of the number of training steps that it
has taken, which is saved with it: a model that is saved after an epoch, loaded and trained on sees
the same batches as one that was never interrupted. (An epoch of one pass begins with its first
batch, wherever the model was saved.) The order of a `tf.data.Dataset` is its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from gdw_tf.batch import Batch
from gdw_tf.data.orders import fold, shuffled_pass, stream_key
from gdw_tf.data.pipeline import gather_batches
from gdw_tf.fit_data import Arrays, Data, check_has_end, is_endless
from gdw_tf.labels import checked_in_range, checked_index, one_hot_labels

DEFAULT_BATCH_SIZE = 32
EVALUATION_BATCH_SIZE = 500


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
    check_has_end(data, name, "steps_per_epoch", steps_per_epoch)
    return data.take(steps_per_epoch) if is_endless(data) else data


class Options(NamedTuple):
    """What streams are made by, beside the data.

    Attributes:
        num_classes: C.
        seed: seed of the order of arrays.
        steps_taken: tells the number of training steps taken so far, when an iterator starts.
        batch_size: of training arrays, 32 by default; a data set is batched already.
        meta_batch_size: of a meta set in arrays; default `batch_size`.
        shuffle: whether training arrays are shuffled, anew in every pass.
        class_weight: factor of each class's training examples, 1 for a class that is not named.
        meta_class_weight: the same of meta examples.
        steps_per_epoch: `None` for an epoch of one pass.
        num_examples: where training batches must have all four parts of `Batch`, N: those of
            arrays then have, and the index of a data set is checked.
    """

    num_classes: int
    seed: int
    steps_taken: Callable[[], int]
    batch_size: int | None = None
    meta_batch_size: int | None = None
    shuffle: bool = True
    class_weight: Mapping[int, float] | None = None
    meta_class_weight: Mapping[int, float] | None = None
    steps_per_epoch: int | None = None
    num_examples: int | None = None


def training_batches(data: Data, options: Options) -> tf.data.Dataset:
    """Training batches `(inputs, labels[, sample_weight])`, or all four parts of `Batch`.

    Args:
        data: what `read` returned.
        options: see there.

    Returns:
        The data set; or passes over the arrays from the step on that is reached, without end, where
        `steps_per_epoch` is given; else the whole pass in which that step lies.
    """
    if isinstance(data, Arrays):
        batch_size = options.batch_size or DEFAULT_BATCH_SIZE
        with_index = options.num_examples is not None
        steps = -(-data.size // batch_size)
        batches_of_pass = _passes_over_arrays(
            data, batch_size, options.shuffle, options.seed, with_index
        )

        def from_step(step: tf.Tensor) -> tf.data.Dataset:
            passes = _count_from(step // steps).flat_map(batches_of_pass)
            return passes if options.steps_per_epoch is None else passes.skip(step % steps)

        batches = _from_position(options.steps_taken, from_step)
        if options.steps_per_epoch is None:
            batches = batches.take(steps)
    else:
        batches = with_checked_labels(data, options.num_classes)
        if options.num_examples is not None:
            batches = _with_checked_index(batches, options.num_examples)
    return _with_class_weight(batches, options.class_weight, options.num_classes)


def meta_batches(data: Data, options: Options) -> tf.data.Dataset:
    """An endless stream of meta batches `(inputs, labels[, sample_weight])`, as those of training.

    Arrays are shuffled anew in every pass, the passes joined end to end so that every batch is
    full (and no larger than the meta set). A data set is repeated in its own order and starts
    anew with every epoch: after `steps_per_epoch` batches or, where that is `None`, whenever
    Keras starts an iterator; one that is endless by itself is left alone.

    Raises:
        ValueError: a data set without a batch.
    """
    if not isinstance(data, Arrays):
        checked = with_checked_labels(data, options.num_classes)
        repeated = _with_class_weight(
            checked, options.meta_class_weight, options.num_classes
        ).repeat()
        if is_endless(data) or options.steps_per_epoch is None:
            return repeated
        is_known = data.cardinality() != tf.data.UNKNOWN_CARDINALITY
        if not is_known and next(iter(data.take(1)), None) is None:
            # Every epoch would wait for a first batch without end.
            raise ValueError("meta_data are empty: not one batch came.")
        return tf.data.Dataset.counter().flat_map(lambda _: repeated.take(options.steps_per_epoch))
    batch_size = options.meta_batch_size or options.batch_size or DEFAULT_BATCH_SIZE
    batch_size = min(batch_size, data.size)
    examples, key = _tensors(data), stream_key(options.seed, "meta")

    def from_step(step: tf.Tensor) -> tf.data.Dataset:
        number, seen = step * batch_size // data.size, step * batch_size % data.size
        indices = _count_from(number).flat_map(lambda n: shuffled_pass(data.size, fold(key, n)))
        return gather_batches(indices.skip(seen), examples, batch_size, drop_remainder=True)

    batches = _from_position(options.steps_taken, from_step)
    return _with_class_weight(batches, options.meta_class_weight, options.num_classes)


def pairs(training: Data, meta: Data | None, options: Options) -> tf.data.Dataset:
    """The stream that `fit` trains on, of (training batch, meta batch).

    Under a strategy every replica takes a part of both. Parts that are `None` are `()` here, which
    a strategy can split; so is the meta batch where there is none.
    """

    def without_none(batch: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(() if part is None else part for part in batch)

    batches = training_batches(training, options)
    if meta is None:
        joined = batches.map(lambda *batch: (without_none(batch), ()))
    else:
        joined = tf.data.Dataset.zip(batches, meta_batches(meta, options)).map(
            lambda batch, meta_batch: (without_none(batch), without_none(meta_batch))
        )
    distribution = tf.data.Options()
    distribution.experimental_distribute.auto_shard_policy = (
        tf.data.experimental.AutoShardPolicy.DATA
    )
    return joined.with_options(distribution).prefetch(tf.data.AUTOTUNE)


def _passes_over_arrays(
    data: Arrays, batch_size: int, shuffle: bool, seed: int, with_index: bool
) -> Callable[[tf.Tensor], tf.data.Dataset]:
    """A function of the number of a pass that answers its batches."""
    all_full = data.size % batch_size == 0  # makes the batches' shape static, for XLA
    examples, key = _tensors(data), stream_key(seed, "training")
    if with_index:
        examples = (*examples, tf.range(data.size, dtype=tf.int64))

    def batches_of_pass(number: tf.Tensor) -> tf.data.Dataset:
        indices = (
            shuffled_pass(data.size, fold(key, number))
            if shuffle
            else tf.data.Dataset.range(data.size)
        )
        batches = gather_batches(indices, examples, batch_size, drop_remainder=all_full)
        if with_index and data.sample_weight is None:
            batches = batches.map(lambda inputs, labels, index: (inputs, labels, None, index))
        return batches

    return batches_of_pass


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


def with_checked_labels(data: Any, num_classes: int) -> Any:
    """Checks the labels of a `tf.data.Dataset` on their way; other data are handed on.

    Under XLA, which drops assertions, they are not checked anywhere else.
    """
    if not isinstance(data, tf.data.Dataset):
        return data
    return data.map(
        lambda inputs, labels, *rest: (inputs, checked_in_range(labels, num_classes), *rest),
        num_parallel_calls=tf.data.AUTOTUNE,
    )


def _with_checked_index(batches: tf.data.Dataset, num_examples: int) -> tf.data.Dataset:
    """Checks the numbers of examples on their way: beyond the end, a GPU would read zeros."""
    return batches.map(
        lambda inputs, labels, weight, index: (
            *(inputs, labels, weight),
            tf.cast(checked_index(index, num_examples), tf.int64),  # few dtypes address rows
        ),
        num_parallel_calls=tf.data.AUTOTUNE,
    )


def _with_class_weight(
    batches: tf.data.Dataset, class_weight: Mapping[int, float] | None, num_classes: int
) -> tf.data.Dataset:
    if not class_weight:
        return batches
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
