"""The value that every source of images gives."""

from __future__ import annotations

import dataclasses

import numpy as np

from gdw_tf.data.images import Images


@dataclasses.dataclass(frozen=True, eq=False)
class Source:
    """An image-classification data set.

    Images are an array, uint8, shape (N, height, width, channels), or files that are decoded when
    a batch needs them (`gdw_tf.data.images.ImageFiles`), which have such a shape too.

    Attributes:
        name: The name that it is loaded by.
        x_train: Training images.
        y_train: Their true classes, int64, shape (N,); their labels as they come if
            `labels_are_true` is false.
        x_test: Test images.
        y_test: Their true classes, int64, shape (N_test,).
        class_names: The name of each class.
        mean: What normalisation takes off each channel, in the unit of the pixels.
        std: What it then divides each channel by, in the unit of the pixels.
        augment: Whether random crops and horizontal flips leave an image in its class.
        y_given: Labels that people gave the training images, some of them wrong, int64, shape
            (N,); `None` if the labels given are `y_train`.
        labels_are_true: Whether `y_train` is known to be true.
        x_meta: Images of a clean set of their own; `None` if the meta set is to be drawn from the
            training images.
        y_meta: Their true classes, int64, or `None`.
        has_names: Whether `class_names` say what the classes are; else they are their numbers.
    """

    name: str
    x_train: Images
    y_train: np.ndarray
    x_test: Images
    y_test: np.ndarray
    class_names: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    augment: bool
    y_given: np.ndarray | None = None
    labels_are_true: bool = True
    x_meta: Images | None = None
    y_meta: np.ndarray | None = None
    has_names: bool = True

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return len(self.class_names)

    @property
    def image_shape(self) -> tuple[int, ...]:
        """Shape of one image: (height, width, channels)."""
        return self.x_train.shape[1:]

    @property
    def parts(self) -> tuple[str, ...]:
        """The parts that it has: "train", "meta" if it comes with a clean set, "test"."""
        return ("train", "test") if self.x_meta is None else ("train", "meta", "test")
