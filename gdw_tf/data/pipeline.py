"""Batches for training, meta learning and evaluation, as `tf.data` streams.

All randomness is stateless: the order of an epoch and the crop of an image are functions of the
seed and of a position in the stream, never of what ran before. A position is folded into a *key*
(see `gdw_tf.data.orders`):

    key(seed, stream) -> epoch -> order   -> pass -> the order of one pass over the examples
                               -> augment -> step -> the augmentation of one batch

So a run that is resumed at any step sees the batches which it would have seen without the break,
and nothing about the data pipeline has to be saved.

Images stay as they are: in memory (uint8 for images of the usual sources) or in their files (see
`gdw_tf.data.images`). Batches are gathered and augmented whole, not image by image, on the CPU and
ahead of the training step.

Where several workers train together, each makes its parts of a batch only (`gdw_tf.data.parts`).
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from gdw_tf.checks import check_integer
from gdw_tf.data.augmentation import Augmentation, augmenter
from gdw_tf.data.images import ImageFiles
from gdw_tf.data.orders import balanced_passes, fold, shuffled_passes, stream_key
from gdw_tf.data.parts import Parts


def gather_batches(
    indices: tf.data.Dataset,
    arrays: Any,
    batch_size: int,
    drop_remainder: bool = False,
    context: tf.distribute.InputContext | None = None,
) -> tf.data.Dataset:
    """Batches indices and gathers the examples of whole batches.

    Args:
        indices: A data set of scalar integer indices.
        arrays: Tensors, arrays or `ImageFiles` in any nested structure, all with the examples along
            their first axis.
        batch_size: Examples a batch B, at least 1.
        drop_remainder: Whether to leave out a last batch of fewer than B. If true, the batches
            have a static shape.
        context: Says which parts of every batch are made, see `gdw_tf.data.Parts`; by default the
            whole.

    Returns:
        A data set of the same structure as `arrays`, with shapes (B, ...); with a context, of one
        part (ceil(B / replicas), ...) for each of the worker's replicas in turn.

    Raises:
        TypeError: If `batch_size` is not an integer.
        ValueError: If `batch_size` is less than 1, or `arrays` are empty or of unequal lengths.
    """
    check_integer("batch_size", batch_size, 1)
    tensors = _tensors(arrays)
    batches = indices.batch(batch_size, drop_remainder=drop_remainder)
    batches = Parts.of(context).cut(batches)
    return batches.map(
        lambda batch: _take(tensors, batch),
        num_parallel_calls=tf.data.AUTOTUNE,
        deterministic=True,
    )


def training_batches(
    x: Any,
    y: Any,
    *,
    batch_size: int,
    seed: int,
    augmentation: Augmentation | None = None,
    num_classes: int | None = None,
    initial_epoch: int = 0,
    initial_step: int = 0,
    context: tf.distribute.InputContext | None = None,
) -> tf.data.Dataset:
    """Streams the training set, epoch after epoch, without end.

    An epoch is one pass over all N examples, that is ceil(N / B) batches, the last of which may be
    short. The order of epoch e is a function of `seed` and e.

    Mixup makes shares of the classes of the labels, float32, shape (B, C), while the labels of
    other streams stay what they are: `gdw_tf.metrics.Accuracy` takes both.

    Args:
        x: Images, an array or `ImageFiles`, any dtype, shape (N, height, width, channels); other
            shapes without augmentation.
        y: Labels, shape (N, ...), or any nested structure of arrays of N examples; with mixup
            class indices (N,) or one-hot (N, C), alone or first in a tuple.
        batch_size: Examples a batch B, at least 1.
        seed: Seed of the orders and of the augmentation, 0 or more.
        augmentation: What is done at random to each batch; `None` for nothing.
        num_classes: Number of classes C; for mixup alone.
        initial_epoch: The epoch to start with, counted from 0. The stream is then the tail of the
            stream from 0.
        initial_step: The batch of that epoch to start with, counted from 0; what is left out is
            neither read nor augmented.
        context: Says which parts of a batch are made, see `gather_batches`; by default all.

    Returns:
        An infinite data set of `(images, labels)`, of the dtypes of `x` and `y`.

    Raises:
        TypeError: If a number is not an integer.
        ValueError: If a number is out of range, the data are empty or of unequal lengths, or the
            images cannot be augmented.
    """
    examples = _tensors((x, y))
    return _stream(
        examples,
        batch_size=batch_size,
        examples_per_epoch=_num_examples(examples),
        passes=functools.partial(shuffled_passes, _num_examples(examples)),
        key=stream_key(seed, "training"),
        augmentation=augmentation,
        num_classes=num_classes,
        initial_epoch=initial_epoch,
        initial_step=initial_step,
        context=context,
    )


def meta_batches(
    x: Any,
    y: Any,
    *,
    batch_size: int,
    seed: int,
    steps_per_epoch: int,
    balanced: bool = False,
    augment: bool = False,
    initial_epoch: int = 0,
    initial_step: int = 0,
    context: tf.distribute.InputContext | None = None,
) -> tf.data.Dataset:
    """Streams the meta set beside the training set, without end.

    Batches are always full: when the meta set runs out within an epoch, a new pass in a new order
    follows at once. Every epoch starts anew, so it is known without the ones before it. The order
    is a function of `seed`, epoch and pass, and differs from that of the training set.

    Meta images are cropped and flipped at most: weights are judged by these images, which are
    therefore kept like those that the classifier is made for.

    Args:
        x: Meta images, an array or `ImageFiles`, any dtype, shape (M, height, width, channels);
            other shapes without `augment`.
        y: Labels, shape (M, ...), or any nested structure of arrays of M examples; with `balanced`
            class indices, shape (M,).
        batch_size: Examples a batch, at least 1; M if the meta set is smaller.
        seed: Seed of the orders and of the augmentation, 0 or more.
        steps_per_epoch: Batches an epoch, at least 1: the number of training steps.
        balanced: Whether every batch has equally many examples of each class, as far as whole
            numbers allow, see `gdw_tf.data.orders.balanced_passes`.
        augment: Whether to crop and flip at random, see `gdw_tf.data.crop_and_flip`.
        initial_epoch: The epoch to start with, counted from 0. The stream is then the tail of the
            stream from 0.
        initial_step: The batch of that epoch to start with, counted from 0; what is left out is
            neither read nor augmented.
        context: Says which parts of a batch are made, see `gather_batches`; by default all.

    Returns:
        An infinite data set of `(images, labels)`, of the dtypes of `x` and `y`, with static
        shapes.

    Raises:
        TypeError: If a number is not an integer.
        ValueError: If a number is out of range, the data are empty or of unequal lengths, or the
            images cannot be augmented.
    """
    examples = _tensors((x, y))
    check_integer("steps_per_epoch", steps_per_epoch, 1)
    num_examples = _num_examples(examples)
    batch_size = min(check_integer("batch_size", batch_size, 1), num_examples)
    if balanced:
        passes = functools.partial(balanced_passes, y)
    else:
        passes = functools.partial(shuffled_passes, num_examples)
    return _stream(
        examples,
        batch_size=batch_size,
        examples_per_epoch=steps_per_epoch * batch_size,
        passes=passes,
        key=stream_key(seed, "meta"),
        augmentation=Augmentation(crop_and_flip=True) if augment else None,
        initial_epoch=initial_epoch,
        initial_step=initial_step,
        context=context,
    )


def evaluation_batches(
    x: Any,
    y: Any,
    *,
    batch_size: int = 500,
    context: tf.distribute.InputContext | None = None,
) -> tf.data.Dataset:
    """Goes through a data set once, in order.

    Args:
        x: Images, an array or `ImageFiles`, shape (N, ...).
        y: Labels, shape (N, ...), or any nested structure of arrays of N examples.
        batch_size: Examples a batch, at least 1; the last batch may be short.
        context: Says which parts of a batch are made, see `gather_batches`; by default all.

    Returns:
        A finite data set of `(images, labels)`, of the dtypes of `x` and `y`.

    Raises:
        TypeError: If `batch_size` is not an integer.
        ValueError: If it is less than 1, or the data are empty or of unequal lengths.
    """
    examples = _tensors((x, y))
    indices = tf.data.Dataset.range(_num_examples(examples))
    batches = gather_batches(indices, examples, batch_size, context=context)
    return batches.prefetch(tf.data.AUTOTUNE)


def _stream(
    examples: tuple[tf.Tensor, Any],
    *,
    batch_size: int,
    examples_per_epoch: int,
    passes: Callable[[tf.Tensor], tf.data.Dataset],
    key: tf.Tensor,
    augmentation: Augmentation | None,
    num_classes: int | None = None,
    initial_epoch: int,
    initial_step: int,
    context: tf.distribute.InputContext | None,
) -> tf.data.Dataset:
    """Streams epochs of `examples_per_epoch`, each made of as many passes as that takes.

    `passes` turns the key of an epoch's order into its endless indices.
    """
    check_integer("batch_size", batch_size, 1)
    check_integer("initial_epoch", initial_epoch, 0)
    steps_per_epoch = -(-examples_per_epoch // batch_size)
    check_integer("initial_step", initial_step, 0, steps_per_epoch - 1)
    augment = augmentation and augmenter(augmentation, examples[0].shape[1:], num_classes)
    all_full = examples_per_epoch % batch_size == 0
    parts = Parts.of(context)

    def epoch_batches(epoch: tf.Tensor) -> tf.data.Dataset:
        order_key, augment_key = (fold(fold(key, epoch), use) for use in (0, 1))
        first_step = tf.where(epoch == initial_epoch, tf.constant(initial_step, tf.int64), 0)
        indices = passes(order_key).take(examples_per_epoch).skip(first_step * batch_size)
        batches = gather_batches(indices, examples, batch_size, all_full, context)
        if augment is None:
            return batches
        return batches.enumerate(first_step * parts.here).map(
            lambda number, batch: augment(*batch, parts.key(augment_key, number)),
            num_parallel_calls=tf.data.AUTOTUNE,
            deterministic=True,
        )

    epochs = tf.data.Dataset.counter(initial_epoch)
    # There is nothing left to repeat, but so `tf.data` knows that the stream has no end.
    # (`tf.distribute` cannot shard a data set that says so by `assert_cardinality`.)
    return epochs.flat_map(epoch_batches).repeat().prefetch(tf.data.AUTOTUNE)


def _tensors(arrays: Any) -> Any:
    """Turns arrays of examples into tensors, once, so that no graph holds a copy of them."""
    # `tf.data` works on the CPU: batches must not be fetched from a GPU.
    with tf.device("CPU:0"):
        tensors = tf.nest.map_structure(
            lambda array: array if isinstance(array, ImageFiles) else tf.convert_to_tensor(array),
            arrays,
        )
    shapes = [tf.TensorShape(tensor.shape) for tensor in tf.nest.flatten(tensors)]
    lengths = {shape[0] if shape.rank else None for shape in shapes}
    if len(lengths) != 1 or not lengths.pop():
        raise ValueError(
            "Arrays of examples must be of one length. Received: shapes "
            f"{', '.join(map(str, shapes))}; allowed: (N, ...) with N of 1 or more."
        )
    return tensors


def _take(tensors: Any, indices: tf.Tensor) -> Any:
    """Gives the examples at these indices (B,)."""
    return tf.nest.map_structure(
        lambda tensor: (
            tensor.load_all(indices)
            if isinstance(tensor, ImageFiles)
            else tf.gather(tensor, indices)
        ),
        tensors,
    )


def _num_examples(tensors: Any) -> int:
    """Gives the common length of tensors that `_tensors` made."""
    return tf.nest.flatten(tensors)[0].shape[0]
