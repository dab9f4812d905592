"""From settings to the parts of a run: data, model, streams of batches.

Everything here is public API put together; a script of your own can do the same in as few lines.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from gdw_tf import classifiers, data, losses, methods, networks
from gdw_tf.data.noise import read_matrix
from gdw_tf.data.prepare import warn_of_missing_classes
from gdw_tf.data.scan import Scan
from gdw_tf.data.verified import read_verified, with_verified
from gdw_tf.methods import Method
from gdw_tf.methods.meta import MetaMethod
from gdw_tf.metrics import Accuracy
from gdw_tf.optimizers import CoupledAdam, CoupledSGD
from gdw_tf.pseudo_clean import meta_counts
from gdw_tf.settings import MIN_SIDE, Settings


def load_source(settings: Settings, **locations: Any) -> data.Source:
    """Loads the data set of a run.

    Args:
        settings: Of these, the data set and how it is read.
        **locations: Where it is, as `gdw_tf.data.load` and the source's loader take it.

    Raises:
        OSError: the data are not there.
        ValueError: the data are not as they should be, or are not read that way.
    """
    source = data.load(
        settings.dataset,
        human_labels=settings.human_labels,
        image_size=settings.image_size,
        **locations,
    )
    height, width, _ = source.image_shape
    if min(height, width) < MIN_SIDE:
        raise ValueError(
            f"The images are too small. Received: {height} x {width} pixels; allowed: {MIN_SIDE} x "
            f"{MIN_SIDE} and more."
        )
    return source


def scan(settings: Settings, source: data.Source) -> Scan:
    """Looks at the images of a data set once; see `gdw_tf.data.scan`."""
    return data.scan(source, max_unreadable=settings.max_unreadable, allow_leak=settings.allow_leak)


def prepare_data(settings: Settings, source: data.Source) -> data.NoisyData:
    """Splits off the meta set and corrupts the training labels as the settings say.

    Raises:
        OSError: the file of the transition matrix, or of verified labels, cannot be read.
        ValueError: the settings ask for more than the source has; a file holds no transition
            matrix of its classes, or no verified labels of the training set.
    """
    matrix = settings.noise_file and read_matrix(settings.noise_file, source.num_classes)
    with warnings.catch_warnings():
        if settings.meta_add:  # which may bring what is missing
            warnings.filterwarnings("ignore", "The meta set has no image of")
        noisy = _prepared(settings, source, matrix)
    if settings.meta_add:
        for path in settings.meta_add:
            noisy = with_verified(noisy, read_verified(path, noisy))
        warn_of_missing_classes(noisy)
    if settings.meta == "pseudo" and settings.num_meta is not None:  # now, before any training
        meta_counts(settings.num_meta, noisy.y_train, noisy.num_classes)
    return noisy


def _prepared(settings: Settings, source: data.Source, matrix: np.ndarray | None) -> data.NoisyData:
    return data.prepare(
        source,
        num_meta=settings.num_meta,
        meta=settings.meta,
        noise=settings.noise,
        noise_rate=settings.noise_rate,
        noise_matrix=matrix,
        imbalance=settings.imbalance,
        imbalance_factor=settings.imbalance_factor,
        train_examples=settings.train_examples,
        seed=settings.seed,
    )


def build_model(settings: Settings, source: data.Source, noisy: data.NoisyData) -> Method:
    """Builds and compiles the model of a run; its first weights are a function of the seed.

    Args:
        settings: of the run.
        source: the data as they were loaded: their classes, shapes, means and deviations.
        noisy: what the run makes of them: the labels and the sizes of the sets.

    Raises:
        ValueError: a method, network or loss cannot work with what it is given.
    """
    keras.utils.set_random_seed(settings.seed)
    with _dtype_policy(settings.precision):
        return _compiled(settings, source, noisy)


@contextlib.contextmanager
def _dtype_policy(name: str) -> Iterator[None]:
    """Sets Keras's dtype policy for what is built meanwhile; float32 leaves it as it is."""
    before = keras.config.dtype_policy()
    if name != "float32":  # for a user whose policy is float64
        keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def _compiled(settings: Settings, source: data.Source, noisy: data.NoisyData) -> Method:
    classifier = networks.build(
        settings.network,
        num_classes=source.num_classes,
        image_shape=source.image_shape,
        mean=source.mean,
        std=source.std,
        cosine_scale=losses.COSINE_SCALE if settings.loss == "ldam" else None,
    )
    if settings.synchronized_batch_norm:
        classifiers.synchronize_normalization(classifier)
    method = methods.by_name(settings.method)
    options = {name: getattr(settings, name) for name in method.option_names}
    if options.get("forget_rate", 0.0) is None:
        options["forget_rate"] = settings.noise_rate
    if options.get("clean_share", 0.0) is None:
        options["clean_share"] = len(noisy.y_meta) / (len(noisy.y_train) + len(noisy.y_meta))
    if "base_loss" in options:
        counts = np.bincount(noisy.y_train, minlength=noisy.num_classes)
        options["base_loss"] = losses.build(settings.loss, counts.tolist())
    model = method(classifier, seed=settings.seed, **options)
    optimizers = {
        "optimizer": CoupledSGD(settings.learning_rate, settings.momentum, settings.weight_decay)
    }
    if isinstance(model, MetaMethod):
        optimizers["weight_optimizer"] = CoupledAdam(
            settings.weight_net_learning_rate, weight_decay=settings.weight_net_weight_decay
        )
    model.compile(
        **optimizers,
        metrics=[Accuracy()],
    )
    return model


def set_jit(model: keras.Model, jit: str) -> None:
    """Says whether XLA compiles a compiled model's steps: `"on"`, `"off"`, or `"auto"` as it is."""
    if jit != "auto":
        model.jit_compile = jit == "on"


def start(
    model: Method, streams: tuple[tf.data.Dataset, tf.data.Dataset], num_examples: int
) -> None:
    """Calls `fit` for no epoch at all, so that single steps can be taken after it.

    Args:
        model: the compiled model; it gets its variables and what it remembers of its examples.
        streams: those of `batch_streams`.
        num_examples: number of training examples.
    """
    training, meta = streams
    needed = {"meta_data": meta} if model.needs_meta_set else {}
    model.fit(training, num_examples=num_examples, steps_per_epoch=1, epochs=0, verbose=0, **needed)


def steps_per_epoch(settings: Settings, noisy: data.NoisyData) -> int:
    """Training steps an epoch: one pass over the training set where nothing else is said."""
    return settings.steps_per_epoch or -(-len(noisy.y_train) // settings.batch_size)


def batch_streams(
    settings: Settings, source: data.Source, noisy: data.NoisyData, initial_epoch: int
) -> tuple[tf.data.Dataset, tf.data.Dataset]:
    """The endless streams of training and meta batches from the start of an epoch on."""
    return (
        training_stream(settings, source, noisy, initial_epoch),
        meta_stream(settings, source, noisy, initial_epoch),
    )


def training_stream(
    settings: Settings,
    source: data.Source,
    noisy: data.NoisyData,
    initial_epoch: int = 0,
    initial_step: int = 0,
    context: tf.distribute.InputContext | None = None,
) -> tf.data.Dataset:
    """The endless stream of training batches from a step of an epoch on.

    A batch has all parts of `gdw_tf.batch.Batch`, the index of its examples among them. With the
    context of one of several workers, the stream is that worker's parts of the batches.
    """
    # An epoch of a given number of steps need not be a whole pass over the training set.
    steps_per_pass = -(-len(noisy.y_train) // settings.batch_size)
    passes, steps_into_pass = divmod(
        initial_epoch * steps_per_epoch(settings, noisy) + initial_step, steps_per_pass
    )
    training = data.training_batches(
        noisy.x_train,
        (noisy.y_train, np.arange(len(noisy.y_train))),
        batch_size=settings.batch_size,
        seed=settings.seed,
        augmentation=settings.augmentation(source.augment),
        num_classes=source.num_classes,
        initial_epoch=passes,
        initial_step=steps_into_pass,
        context=context,
    )
    return training.map(lambda images, rest: (images, rest[0], None, rest[1]))


def meta_stream(
    settings: Settings,
    source: data.Source,
    noisy: data.NoisyData,
    initial_epoch: int = 0,
    initial_step: int = 0,
    context: tf.distribute.InputContext | None = None,
) -> tf.data.Dataset:
    """The endless stream of meta batches from a step of an epoch on.

    Those of a pseudo-clean meta set, whose classes are of different sizes, are balanced. With the
    context of one of several workers, the stream is that worker's parts of the batches.

    Raises:
        ValueError: there is no meta set, as long as a pseudo-clean one is not chosen.
    """
    if not len(noisy.y_meta):
        raise ValueError(f"No meta set is chosen yet. Received: meta={settings.meta}")
    return data.meta_batches(
        noisy.x_meta,
        noisy.y_meta,
        batch_size=settings.meta_batch_size,
        seed=settings.seed,
        steps_per_epoch=steps_per_epoch(settings, noisy),
        balanced=settings.meta_balanced or settings.meta == "pseudo",
        augment=settings.augmentation(source.augment).crop_and_flip,
        initial_epoch=initial_epoch,
        initial_step=initial_step,
        context=context,
    )
