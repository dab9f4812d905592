"""From a clean data set to an experiment with noisy labels.

The order matters and is this:

1. The meta set, clean and class-balanced, is drawn and taken out of the training images.
2. A class-balanced subset of the rest is kept, if a smaller training set is asked for.
3. Noise is drawn for the labels of all training images.
4. A long tail is cut, by *true* class, from n_max = (number of training images)/C images on.

Every step draws from its own stream of the seed (see `gdw_tf.data.random`): another noise rate
leaves the meta set and the images as they were, another imbalance factor leaves the labels.
"""

from __future__ import annotations

import dataclasses
import warnings

import numpy as np

from gdw_tf.checks import check_integer, check_labels, check_rate
from gdw_tf.data.imbalance import check_factor, long_tail_indices
from gdw_tf.data.meta_split import balanced_subset, split_meta
from gdw_tf.data.noise import corrupt, transition_matrix
from gdw_tf.data.random import generator
from gdw_tf.data.sources.source import Source


@dataclasses.dataclass(frozen=True, eq=False)
class NoisyData:
    """A noisy training set with a clean meta set and test set.

    Attributes:
        x_train: Training images, uint8, shape (N, height, width, channels).
        y_train: The labels given, some of them wrong, int64, shape (N,).
        y_true: The true classes of the training images, int64, shape (N,). Not for training:
            they show how well a method tells right labels from wrong.
        x_meta: Meta images, uint8, shape (M, height, width, channels).
        y_meta: Their true classes, int64, shape (M,).
        x_test: Test images, uint8, shape (N_test, height, width, channels).
        y_test: Their true classes, int64, shape (N_test,).
        num_classes: Number of classes C.
        class_names: The name of each class.
        transition_matrix: The matrix that the labels given were drawn from, float64, shape (C, C).
    """

    x_train: np.ndarray
    y_train: np.ndarray
    y_true: np.ndarray
    x_meta: np.ndarray
    y_meta: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    num_classes: int
    class_names: tuple[str, ...]
    transition_matrix: np.ndarray

    @property
    def noise_rate(self) -> float:
        """Share of the training labels that are wrong, 0 to 1."""
        return float(np.mean(self.y_train != self.y_true))

    @property
    def class_counts(self) -> list[int]:
        """Number of training images of each true class."""
        return np.bincount(self.y_true, minlength=self.num_classes).tolist()


def prepare(
    source: Source,
    *,
    num_meta: int,
    noise: str = "none",
    noise_rate: float = 0.0,
    imbalance_factor: float = 1.0,
    train_examples: int | None = None,
    seed: int = 0,
) -> NoisyData:
    """Makes a noisy and imbalanced training set with a clean meta set.

    Args:
        source: The clean data, with at least 2 classes.
        num_meta: Size of the meta set, at least 1; see `gdw_tf.data.meta_split.split_meta`.
        noise: Kind of label noise: "none", "uniform" or "flip"; see `gdw_tf.data.noise`.
        noise_rate: Noise rate r, 0 to 1; 0 without noise.
        imbalance_factor: Training images of the last class relative to the first, above 0 and up
            to 1; 1 leaves all images, see `gdw_tf.data.imbalance`.
        train_examples: Number of training images to keep, class-balanced, before the long tail is
            cut; `None` for all that the meta set leaves.
        seed: Seed of every random choice, 0 or more.

    Returns:
        The data. Equal arguments give equal data on every machine.

    Raises:
        TypeError: If labels or counts are not integers.
        ValueError: If an argument is out of range, the data are empty or their labels are no
            classes, or a class has too few images.

    Warns:
        UserWarning: If the meta set has no image of a class.
    """
    y_train, y_test = _check_source(source)
    num_classes = source.num_classes
    check_integer("seed", seed, 0)
    check_integer("num_meta", num_meta, 1, len(y_train) - 1)
    if train_examples is not None:
        check_integer("train_examples", train_examples, 1, len(y_train) - num_meta)
    check_rate("noise_rate", noise_rate)
    check_factor("imbalance_factor", imbalance_factor)
    matrix = transition_matrix(noise, num_classes, noise_rate)

    train, meta = split_meta(y_train, num_classes, num_meta, generator(seed, "meta set"))
    if train_examples is not None:
        train = train[
            balanced_subset(
                y_train[train], num_classes, train_examples, generator(seed, "train examples")
            )
        ]
    given = corrupt(y_train[train], matrix, generator(seed, "noise"))
    if imbalance_factor < 1:
        kept = long_tail_indices(
            y_train[train],
            num_classes,
            imbalance_factor,
            generator(seed, "long tail"),
            num_per_class=len(train) / num_classes,
        )
        train, given = train[kept], given[kept]

    missing = np.setdiff1d(np.arange(num_classes), y_train[meta])
    if missing.size:
        warnings.warn(
            f"The meta set has no image of {missing.size} of {num_classes} classes "
            f"(num_meta={num_meta}): what it teaches does not hold for them.",
            stacklevel=2,
        )
    return NoisyData(
        x_train=source.x_train[train],
        y_train=given,
        y_true=y_train[train],
        x_meta=source.x_train[meta],
        y_meta=y_train[meta],
        x_test=source.x_test,
        y_test=y_test,
        num_classes=num_classes,
        class_names=source.class_names,
        transition_matrix=matrix,
    )


def _check_source(source: Source) -> tuple[np.ndarray, np.ndarray]:
    """Checks a source and returns its labels of training and test as int64."""
    labels = []
    for part in ("train", "test"):
        x, y = getattr(source, f"x_{part}"), getattr(source, f"y_{part}")
        labels.append(check_labels(f"y_{part}", y, source.num_classes))
        if len(x) != len(y):
            raise ValueError(
                f"x_{part} and y_{part} must be of one length. Received: {len(x)} images and "
                f"{len(y)} labels."
            )
    return labels[0], labels[1]
