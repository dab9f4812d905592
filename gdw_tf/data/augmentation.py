"""What is done at random to a batch of training images.

In this order, and each only where it is asked for:

    crop and flip    pad by reflection, crop back to size, mirror half of the images
    RandAugment      two of 14 operations on each image, see `gdw_tf.data.randaugment`
    cutout           paint over a square (DeVries and Taylor, 2017, arXiv 1708.04552)
    mixup            x <- l x + (1 - l) x_j,  y <- l y + (1 - l) y_j,  l ~ Beta(alpha, alpha),
                     j an image of the same batch (Zhang et al., ICLR 2018, arXiv 1710.09412)

All of it is a function of the batch and of a key (see `gdw_tf.data.orders`). Each step has a key
of its own, so that one step more leaves the draws of the others as they are.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import numbers
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from gdw_tf.checks import check_boolean, check_integer
from gdw_tf.data.keyed_layers import call_with_key
from gdw_tf.data.orders import ALGORITHM, fold
from gdw_tf.data.randaugment import GREY, MAX_MAGNITUDE, rand_augment
from gdw_tf.labels import one_hot_labels

PADDING = 4
"""Pixels by which `crop_and_flip` pads an image on each side before it is cropped."""

MIN_ALPHA = 0.1
"""Of mixup. The less it is, the more often both gamma variates that a coefficient is made of
underflow, and 1/2 comes out where 0 or 1 should."""

Augmenter = Callable[[tf.Tensor, Any, tf.Tensor], tuple[tf.Tensor, Any]]
"""A function of images, labels and a key that gives images and labels."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Augmentation:
    """The augmentation of a stream of batches; by default none.

    Attributes:
        crop_and_flip: Whether images are cropped and mirrored, see `crop_and_flip`.
        randaugment: Magnitude of RandAugment, 0 to 10; 0 for none.
        cutout: Side of the square that is painted over, as a share of the image's side, 0 to 1; 0
            for none. (Of an image that is no square: of its height and of its width.) It lies
            anywhere within the image, and is mid-grey.
        mixup: Alpha of mixup, at least `MIN_ALPHA`; 0 for none. Every image has a coefficient of
            its own.

    Raises:
        TypeError: If one of them is no number, or `crop_and_flip` no boolean.
        ValueError: If a number is out of range.
    """

    crop_and_flip: bool = False
    randaugment: float = 0.0
    cutout: float = 0.0
    mixup: float = 0.0

    def __post_init__(self) -> None:
        """Checks the numbers."""
        check_boolean("crop_and_flip", self.crop_and_flip)
        for name, holds, allowed in (
            ("randaugment", lambda value: 0.0 <= value <= MAX_MAGNITUDE, f"0 to {MAX_MAGNITUDE:g}"),
            ("cutout", lambda value: 0.0 <= value <= 1.0, "0 to 1"),
            (
                "mixup",
                lambda value: value == 0.0 or MIN_ALPHA <= value < math.inf,
                f"0, or numbers from {MIN_ALPHA}",
            ),
        ):
            value = getattr(self, name)
            is_number = isinstance(value, numbers.Real) and not isinstance(value, bool)
            if not is_number or not holds(value):
                raise (ValueError if is_number else TypeError)(
                    f"{name} is out of range. Received: {name}={value!r}; allowed: {allowed}."
                )


def augmenter(
    augmentation: Augmentation,
    image_shape: tuple[int | None, ...],
    num_classes: int | None = None,
) -> Augmenter:
    """Makes the function that augments a batch.

    Args:
        augmentation: What is done.
        image_shape: Shape of an image, (height, width, channels).
        num_classes: Number of classes C, at least 2; for mixup alone.

    Returns:
        A function of images (B, height, width, channels), labels, and a key, int32 or int64, shape
        (2,). The images keep their dtype; beyond cropping and flipping, their pixels are taken
        for numbers from 0 to 255, and rounded if the dtype is of integers. The labels are handed
        on in whatever structure they have. Mixup alone changes them: class indices (B,) or one-hot
        labels (B, C) become the classes' shares, float32, shape (B, C); of a tuple that is done
        to the first element, and the others stay those of x, whatever its partner is.

    Raises:
        TypeError: If mixup has no integer for `num_classes`.
        ValueError: If images of this shape cannot be augmented; `num_classes` is out of range.
    """
    if augmentation != Augmentation():
        _check_augmentable(tf.TensorShape((None, *image_shape)))
    steps: dict[int, Augmenter] = {}  # by the number that is folded into the key; 0, 1: the crop
    if augmentation.randaugment:
        steps[2] = _of_images(rand_augment(augmentation.randaugment, image_shape[-1]))
    if augmentation.cutout:
        steps[3] = _of_images(_cutout(augmentation.cutout))
    if augmentation.mixup:
        steps[4] = _mixup(augmentation.mixup, check_integer("num_classes", num_classes, 2))

    def augment(images: tf.Tensor, labels: Any, key: tf.Tensor) -> tuple[tf.Tensor, Any]:
        if augmentation.crop_and_flip:
            images = crop_and_flip(images, key)
        if not steps:
            return images, labels
        pixels = tf.cast(images, tf.float32)
        for number, step in steps.items():
            pixels, labels = step(pixels, labels, fold(key, number))
        if images.dtype.is_integer:
            pixels = tf.round(pixels)
        return tf.saturate_cast(pixels, images.dtype), labels

    return augment


def crop_and_flip(images: tf.Tensor, key: tf.Tensor) -> tf.Tensor:
    """Pads by reflection, crops at random back to size and flips at random, image by image.

    The padding is `PADDING` pixels on each side. Every position of the crop is equally likely,
    and half of the images are mirrored left to right.

    Args:
        images: Any dtype, shape (B, height, width, channels), height and width above `PADDING`.
        key: The key of the random numbers, int32 or int64, shape (2,).

    Returns:
        The augmented images, same dtype and shape.

    Raises:
        ValueError: If the images are not a batch of that shape.
    """
    images = tf.convert_to_tensor(images)
    _check_augmentable(images.shape)
    batch_size = tf.shape(images)[0]
    height, width = images.shape[1:3]
    shifts = tf.random.stateless_uniform(
        (batch_size, 2), fold(key, 0), -PADDING, PADDING + 1, tf.int32, alg=ALGORITHM
    )
    flips = tf.random.stateless_uniform(
        (batch_size, 1), fold(key, 1), 0, 2, tf.int32, alg=ALGORITHM
    )
    # The padded image is never made: a pixel outside the image is read where it is mirrored.
    rows = _reflect(tf.range(height) + shifts[:, :1], height)
    columns = _reflect(tf.range(width) + shifts[:, 1:], width)
    columns = tf.where(flips == 1, columns[:, ::-1], columns)
    images = tf.gather(images, rows, axis=1, batch_dims=1)
    return tf.gather(images, columns, axis=2, batch_dims=1)


def _of_images(step: Callable[[tf.Tensor, tf.Tensor], tf.Tensor]) -> Augmenter:
    return lambda images, labels, key: (step(images, key), labels)


def _cutout(side: float) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    # `scale` is squared: the layer takes its square root for each side. `factor` is the
    # probability, which would be drawn from 0 to 1 if it were one number.
    layer = keras.layers.RandomErasing(
        factor=(1.0, 1.0), scale=(side**2, side**2), fill_value=GREY, seed=0, dtype="float32"
    )
    return functools.partial(call_with_key, layer)


def _mixup(alpha: float, num_classes: int) -> Augmenter:
    layer = keras.layers.MixUp(alpha, seed=0, dtype="float32")

    def mix(images: tf.Tensor, labels: Any, key: tf.Tensor) -> tuple[tf.Tensor, Any]:
        given, *others = labels if isinstance(labels, tuple) else (labels,)
        given = one_hot_labels(given, num_classes, tf.float32)
        mixed = call_with_key(layer, {"images": images, "labels": given}, key)
        given = mixed["labels"]
        return mixed["images"], (given, *others) if isinstance(labels, tuple) else given

    return mix


def _check_augmentable(shape: tf.TensorShape) -> None:
    if shape.rank != 4 or not all(size and size > PADDING for size in shape[1:3]):
        raise ValueError(
            f"Images cannot be augmented. Received: shape {shape}; allowed: (B, height, width, "
            f"channels) with height and width above {PADDING}."
        )


def _reflect(positions: tf.Tensor, size: int) -> tf.Tensor:
    """Mirrors positions outside 0 to size - 1 at the outermost pixel, which is not repeated."""
    last = size - 1
    return last - tf.abs(last - tf.abs(positions))
