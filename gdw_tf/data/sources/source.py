"""The value that every source of images gives."""

from __future__ import annotations

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True, eq=False)
class Source:
    """A clean image-classification data set, whole in memory.

    Attributes:
        name: The name that it is loaded by.
        x_train: Training images, uint8, shape (N, height, width, channels).
        y_train: Their classes, int64, shape (N,).
        x_test: Test images, uint8, shape (N_test, height, width, channels).
        y_test: Their classes, int64, shape (N_test,).
        class_names: The name of each class.
        mean: What normalisation takes off each channel, in the unit of the pixels.
        std: What it then divides each channel by, in the unit of the pixels.
        augment: Whether random crops and horizontal flips leave an image in its class.
    """

    name: str
    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    class_names: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    augment: bool

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return len(self.class_names)

    @property
    def image_shape(self) -> tuple[int, ...]:
        """Shape of one image: (height, width, channels)."""
        return self.x_train.shape[1:]
