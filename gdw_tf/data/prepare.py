"""From a clean data set to an experiment with noisy labels.

The order matters and is this:

1. The meta set, clean and class-balanced, is drawn and taken out of the training images, or from
   the clean set that the source has for it. (A noisy meta set is taken out at the end instead; for
   a pseudo-clean one nothing is taken out.)
2. A class-balanced subset of the rest is kept, if a smaller training set is asked for.
3. Noise is drawn for the labels of all training images, if it is asked for: it is laid on the
   labels given, where people gave labels that differ from the true ones.
4. The imbalance, such as a long tail, is cut, by *true* class, from n_max = (number of training
   images)/C images on.
5. A noisy meta set, balanced by the labels given, is drawn and taken out of the training images.

Every step draws from its own stream of the seed (see `gdw_tf.data.random`): another noise rate
leaves the meta set and the images as they were, another imbalance factor leaves the labels.
"""

from __future__ import annotations

import dataclasses
import warnings

import numpy as np
from numpy.typing import ArrayLike

from gdw_tf.checks import check_integer, check_labels, check_rate
from gdw_tf.data.digests import digest
from gdw_tf.data.images import ImageFiles, Images
from gdw_tf.data.imbalance import check_factor, check_kind, imbalanced_indices
from gdw_tf.data.meta_split import KINDS as META_KINDS
from gdw_tf.data.meta_split import balanced_subset, choose_meta, split_meta
from gdw_tf.data.noise import (
    check_noise,
    corrupt,
    corrupt_by_instance,
    label_counts,
    row_shares,
    transition_matrix,
)
from gdw_tf.data.random import generator
from gdw_tf.data.sources.source import Source


@dataclasses.dataclass(frozen=True, eq=False)
class NoisyData:
    """A noisy training set with a meta set and a clean test set.

    Images are arrays, or files that are decoded when a batch needs them, as in `Source`.

    Attributes:
        x_train: Training images, uint8, shape (N, height, width, channels).
        y_train: The labels given, some of them wrong, int64, shape (N,).
        y_true: The true classes of the training images, int64, shape (N,). Not for training:
            they show how well a method tells right labels from wrong. `None` if they are not
            known: the source does not know them and no noise was drawn.
        x_meta: Meta images, uint8, shape (M, height, width, channels); none as long as a
            pseudo-clean meta set is not chosen (`with_meta`).
        y_meta: Their labels, int64, shape (M,): the true classes, or the labels given if the meta
            set is not a clean one.
        y_meta_true: Their true classes, int64, shape (M,), or `None` if they are not known; not for
            training.
        x_test: Test images, uint8, shape (N_test, height, width, channels).
        y_test: Their true classes, int64, shape (N_test,).
        num_classes: Number of classes C.
        class_names: The name of each class.
        transition_matrix: The matrix that the synthetic noise was drawn from, float64, shape
            (C, C), the identity where there is none; under instance noise, the mean over the images
            of each class, before any imbalance.
        train_numbers: The number of each training image among those that there were before some
            went into the meta set (`gdw_tf.data.verified`), int64, shape (N,); `None` where all are
            left, see `numbers`.
    """

    x_train: Images
    y_train: np.ndarray
    y_true: np.ndarray | None
    x_meta: Images
    y_meta: np.ndarray
    y_meta_true: np.ndarray | None
    x_test: Images
    y_test: np.ndarray
    num_classes: int
    class_names: tuple[str, ...]
    transition_matrix: np.ndarray
    train_numbers: np.ndarray | None = None

    @property
    def numbers(self) -> np.ndarray:
        """The number by which each training image is known to users, int64, shape (N,)."""
        if self.train_numbers is None:
            return np.arange(len(self.y_train))
        return self.train_numbers

    def training_digest(self) -> str:
        """What tells this training set from others: a digest of the images and the labels given.

        Images in files count by their paths, not by what stands in them.
        """
        labels = np.asarray(self.y_train, np.int64).tobytes()
        return digest(_bytes_of(self.x_train), labels).decode()

    def evaluation_digest(self) -> str:
        """The same of the meta set and the test set, which accuracies are measured on."""
        return digest(
            _bytes_of(self.x_meta),
            np.asarray(self.y_meta, np.int64).tobytes(),
            _bytes_of(self.x_test),
            np.asarray(self.y_test, np.int64).tobytes(),
        ).decode()

    @property
    def noise_rate(self) -> float | None:
        """Share of the training labels that are wrong, 0 to 1; `None` if it is not known."""
        return None if self.y_true is None else float(np.mean(self.y_train != self.y_true))

    @property
    def meta_noise_rate(self) -> float | None:
        """Share of the meta labels that are wrong, 0 to 1; `None` without a meta set or truth."""
        if self.y_meta_true is None or not len(self.y_meta):
            return None
        return float(np.mean(self.y_meta != self.y_meta_true))

    @property
    def noise_counts(self) -> np.ndarray | None:
        """Number of training images of each true class (row) with each label given (column).

        int64, shape (C, C); `None` if the true classes are not known.
        """
        if self.y_true is None:
            return None
        return label_counts(self.y_true, self.y_train, self.num_classes)

    @property
    def noise_matrix(self) -> np.ndarray | None:
        """The rows of `noise_counts` as shares: the transition matrix realised, float64."""
        counts = self.noise_counts
        return None if counts is None else row_shares(counts)

    @property
    def class_counts(self) -> list[int]:
        """Number of training images of each true class, or of each label if those are unknown."""
        classes = self.y_train if self.y_true is None else self.y_true
        return np.bincount(classes, minlength=self.num_classes).tolist()

    def with_meta(self, chosen: np.ndarray) -> NoisyData:
        """Takes training images for the meta set, with the labels given; they stay training images.

        Args:
            chosen: Their indices, integers, shape (M,).
        """
        return dataclasses.replace(
            self,
            x_meta=self.x_train[chosen],
            y_meta=self.y_train[chosen],
            y_meta_true=None if self.y_true is None else self.y_true[chosen],
        )


def prepare(
    source: Source,
    *,
    num_meta: int | None,
    meta: str = "clean",
    noise: str = "none",
    noise_rate: float = 0.0,
    noise_matrix: ArrayLike | None = None,
    imbalance: str = "exponential",
    imbalance_factor: float = 1.0,
    train_examples: int | None = None,
    seed: int = 0,
) -> NoisyData:
    """Makes a noisy and imbalanced training set with a meta set.

    Args:
        source: The data, with at least 2 classes.
        num_meta: Size of the meta set, at least 1; see `gdw_tf.data.meta_split`. `None` for the
            whole clean set of a source that has one. Not used for a pseudo-clean one.
        meta: Kind of meta set: "clean"; "noisy", with the labels given, taken out of the training
            images; or "pseudo", none: it is chosen of the training images later.
        noise: Kind of label noise: "none", "uniform", "flip", "flip2", "asymmetric", "pair",
            "matrix" or "instance"; see `gdw_tf.data.noise`.
        noise_rate: Noise rate r, 0 to 1; 0 if the kind is "none" or "matrix".
        noise_matrix: The transition matrix of the kind "matrix", shape (C, C); for no other kind.
        imbalance: Kind of imbalance: "exponential" (a long tail) or "step".
        imbalance_factor: Training images of the last class relative to the first, above 0 and up
            to 1; 1 leaves all images, see `gdw_tf.data.imbalance`.
        train_examples: Number of training images to keep beside the meta set, class-balanced,
            before the long tail is cut; `None` for all that the meta set leaves.
        seed: Seed of every random choice, 0 or more.

    Returns:
        The data. Equal arguments give equal data on every machine.

    Raises:
        TypeError: If labels or counts are not integers.
        ValueError: If an argument is out of range, the data are empty or their labels are no
            classes, a class has too few images, or the source has no clean set for a clean meta
            set, or one for another kind.

    Warns:
        UserWarning: If the meta set has no image of a class.
    """
    y_train, y_test = (_check_part(source, part) for part in ("train", "test"))
    labels = y_train if source.y_given is None else _check_part(source, "train", "y_given")
    num_classes = source.num_classes
    check_integer("seed", seed, 0)
    _check_meta(source, meta, labels_are_true=source.labels_are_true or noise != "none")
    drawn = 0
    if source.x_meta is None and meta != "pseudo":
        drawn = check_integer("num_meta", num_meta, 1, len(y_train) - 1)
    if train_examples is not None:
        check_integer("train_examples", train_examples, 1, len(y_train) - drawn)
    check_rate("noise_rate", noise_rate)
    check_kind("imbalance", imbalance)
    check_factor("imbalance_factor", imbalance_factor)
    check_noise(noise, noise_rate, noise_matrix is not None)
    if noise != "instance":
        matrix = transition_matrix(
            noise,
            num_classes,
            noise_rate,
            class_names=source.class_names if source.has_names else None,
            matrix=noise_matrix,
        )

    train = np.arange(len(y_train))
    x_meta, y_meta = source.x_train[:0], y_train[:0]
    if meta == "clean":
        train, x_meta, y_meta = _split(source, y_train, num_meta, generator(seed, "meta set"))
    if train_examples is not None:
        size = train_examples + (drawn if meta == "noisy" else 0)
        train = train[
            balanced_subset(y_train[train], num_classes, size, generator(seed, "train examples"))
        ]
    random_state = generator(seed, "noise")
    if noise == "instance":
        given, matrix = corrupt_by_instance(
            labels[train], source.x_train[train], num_classes, noise_rate, random_state
        )
    else:
        given = corrupt(labels[train], matrix, random_state)
    if imbalance_factor < 1:
        kept = imbalanced_indices(
            y_train[train],
            num_classes,
            imbalance_factor,
            generator(seed, "long tail"),
            num_per_class=len(train) / num_classes,
            kind=imbalance,
        )
        train, given = train[kept], given[kept]

    noisy = NoisyData(
        x_train=source.x_train[train],
        y_train=given,
        # Who draws noise on top of labels takes them for true.
        y_true=y_train[train] if source.labels_are_true or noise != "none" else None,
        x_meta=x_meta,
        y_meta=y_meta,
        y_meta_true=y_meta,
        x_test=source.x_test,
        y_test=y_test,
        num_classes=num_classes,
        class_names=source.class_names,
        transition_matrix=matrix,
    )
    if meta == "noisy":
        noisy = _hold_out(noisy, num_meta, generator(seed, "meta set"))
    if meta != "pseudo":
        warn_of_missing_classes(noisy)
    return noisy


def _bytes_of(images: Images) -> bytes | memoryview:
    """What tells images from others: their pixels; of those in files, their paths."""
    if isinstance(images, ImageFiles):
        return b"\0".join(images.paths.tolist())
    return np.ascontiguousarray(images).reshape(-1).view(np.uint8).data


def warn_of_missing_classes(noisy: NoisyData) -> None:
    """Warns if the meta set has no image of a class."""
    missing = np.setdiff1d(np.arange(noisy.num_classes), noisy.y_meta)
    if missing.size:
        warnings.warn(
            f"The meta set has no image of {missing.size} of {noisy.num_classes} classes "
            f"(num_meta={len(noisy.y_meta)}): what it teaches does not hold for them.",
            stacklevel=3,
        )


def _check_meta(source: Source, meta: str, labels_are_true: bool) -> None:
    """Checks that a source can give this kind of meta set."""
    if meta not in META_KINDS:
        raise ValueError(
            f"Unknown kind of meta set. Received: meta={meta!r}; allowed: {', '.join(META_KINDS)}."
        )
    if meta != "clean" and source.x_meta is not None:
        raise ValueError(
            f"Data set {source.name} has a clean set of its own. Received: meta={meta}; allowed: "
            "clean."
        )
    if meta == "clean" and source.x_meta is None and not labels_are_true:
        raise ValueError(
            f"Data set {source.name} comes without a clean set, and its labels are not known to be "
            "true. Received: meta=clean; allowed: pseudo, noisy."
        )


def _hold_out(noisy: NoisyData, num_meta: int, random_state: np.random.RandomState) -> NoisyData:
    """Takes a noisy meta set, balanced by the labels given, out of the training images."""
    kept, held = split_meta(noisy.y_train, noisy.num_classes, num_meta, random_state)
    return dataclasses.replace(
        noisy.with_meta(held),
        x_train=noisy.x_train[kept],
        y_train=noisy.y_train[kept],
        y_true=None if noisy.y_true is None else noisy.y_true[kept],
    )


def _split(
    source: Source, y_train: np.ndarray, num_meta: int | None, random_state: np.random.RandomState
) -> tuple[np.ndarray, Images, np.ndarray]:
    """Gives the indices of the images left for training, and images and classes of the meta set.

    Without a clean set of its own, the meta set is drawn from the training images.
    """
    if source.x_meta is None:
        train, meta = split_meta(y_train, source.num_classes, num_meta, random_state)
        return train, source.x_train[meta], y_train[meta]
    y_meta, train = _check_part(source, "meta"), np.arange(len(y_train))
    if num_meta is None:
        return train, source.x_meta, y_meta
    meta = choose_meta(y_meta, source.num_classes, num_meta, random_state)
    return train, source.x_meta[meta], y_meta[meta]


def _check_part(source: Source, part: str, labels: str | None = None) -> np.ndarray:
    """Checks a part of a source and returns its labels as int64."""
    labels = labels or f"y_{part}"
    x, y = getattr(source, f"x_{part}"), getattr(source, labels)
    y = check_labels(labels, y, source.num_classes)
    if len(x) != len(y):
        raise ValueError(
            f"x_{part} and {labels} must be of one length. Received: {len(x)} images and "
            f"{len(y)} labels."
        )
    return y
