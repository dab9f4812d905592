"""RandAugment: each image goes through a few operations, drawn at random, of one magnitude.

    repeat 2 times, each image for itself:
        image <- operation(image, magnitude)        one of 14, all equally likely

The magnitude, 0 to 10, says how far an operation may go: at 10 it turns an image by up to 30
degrees, shifts it by up to 45 % of its side, and so on. Each image draws a strength of its own up
to there, in both directions where there are two; posterising and solarising take the magnitude as
it is, and equalising and stretching the contrast know none.

Source: Cubuk et al., "RandAugment: Practical automated data augmentation with a reduced search
space", NeurIPS 2020 (arXiv 1909.13719), section 3.

The operations are layers of Keras. The policy is not `keras.layers.RandAugment`: that one draws
the same operations for all images of a batch, equalises each by the histogram of all, turns and
shifts one way only, and computes every operation on every image, to throw most of them away.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import keras
import tensorflow as tf

from gdw_tf.data.keyed_layers import call_with_key
from gdw_tf.data.orders import ALGORITHM, fold

NUM_OPERATIONS = 2
"""Operations that an image goes through."""

MAX_MAGNITUDE = 10.0

GREY = 128.0
"""What a pixel becomes that shows nothing; once normalised, it is near 0 on natural images."""

ImageOperation = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
"""A function of images, float32, 0 to 255, (B, height, width, channels), and a key."""


def rand_augment(magnitude: float, num_channels: int) -> ImageOperation:
    """Makes RandAugment of a magnitude.

    Args:
        magnitude: 0 to 10.
        num_channels: Channels of the images.

    Returns:
        A function of images, float32, 0 to 255, shape (B, height, width, channels), and a key,
        int32 or int64, shape (2,), that gives the augmented images.
    """
    choices = list(operations(magnitude, num_channels).values())

    def augment(images: tf.Tensor, key: tf.Tensor) -> tf.Tensor:
        # A loop within the graph: the graph is half as large as of two rounds written out.
        return tf.foldl(
            lambda augmented, number: _apply_one_each(choices, augmented, fold(key, number)),
            tf.range(NUM_OPERATIONS),
            initializer=images,
        )

    return augment


def operations(magnitude: float, num_channels: int) -> dict[str, ImageOperation]:
    """Makes the operations of a magnitude, 0 to 10, by the paper's names.

    There are 14 for images of 3 channels; others have no colour to change.
    """
    share = magnitude / MAX_MAGNITUDE
    # Seeds are given so that none is drawn; the keys decide.
    make = {"dtype": "float32", "seed": 0}
    move = {"interpolation": "nearest", "fill_mode": "constant", "fill_value": GREY, **make}
    bits = 8 - round(4 * share)
    layers = {
        "identity": keras.layers.Identity(dtype="float32"),
        "auto_contrast": keras.layers.AutoContrast(dtype="float32"),
        "rotate": keras.layers.RandomRotation(share / 12, **move),  # of a full turn
        "shear_x": keras.layers.RandomShear(x_factor=0.3 * share, **move),
        "shear_y": keras.layers.RandomShear(y_factor=0.3 * share, **move),
        "translate_x": keras.layers.RandomTranslation(0.0, 0.45 * share, **move),
        "translate_y": keras.layers.RandomTranslation(0.45 * share, 0.0, **move),
        "brightness": keras.layers.RandomBrightness(0.45 * share, **make),
        "contrast": keras.layers.RandomContrast((0.9 * share, 0.9 * share), **make),
        "sharpness": keras.layers.RandomSharpness((0.5 - 0.45 * share, 0.5 + 0.45 * share), **make),
        "posterize": keras.layers.RandomPosterization((bits, bits), **make),
    }
    if num_channels == 3:
        layers["color"] = keras.layers.RandomColorDegeneration(0.9 * share, **make)
    return {
        **{name: functools.partial(call_with_key, layer) for name, layer in layers.items()},
        "equalize": _equalize,
        "solarize": functools.partial(_solarize, threshold=256.0 * (1.0 - share)),
    }


def _apply_one_each(choices: list[ImageOperation], images: tf.Tensor, key: tf.Tensor) -> tf.Tensor:
    """Draws an operation for each image, and applies each to the images that drew it."""
    size = tf.shape(images)[0]
    drawn = tf.random.stateless_uniform(
        (size,), fold(key, 0), 0, len(choices), tf.int32, alg=ALGORITHM
    )
    groups = tf.dynamic_partition(images, drawn, len(choices))
    places = tf.dynamic_partition(tf.range(size), drawn, len(choices))
    augmented = [
        _apply_unless_empty(operation, group, fold(key, number))
        for number, (operation, group) in enumerate(zip(choices, groups, strict=True), start=1)
    ]
    return tf.ensure_shape(tf.dynamic_stitch(places, augmented), images.shape)


def _apply_unless_empty(operation: ImageOperation, images: tf.Tensor, key: tf.Tensor) -> tf.Tensor:
    # Not every layer takes a batch of no image, and all of them take their time for it.
    return tf.cond(tf.shape(images)[0] > 0, lambda: operation(images, key), lambda: images)


def _equalize(images: tf.Tensor, key: tf.Tensor) -> tf.Tensor:
    # One by one, for the layer's histogram is that of all images that it is given.
    return tf.map_fn(keras.layers.Equalization(dtype="float32"), images)


def _solarize(images: tf.Tensor, key: tf.Tensor, threshold: float) -> tf.Tensor:
    # keras.layers.Solarization cannot be told the least threshold, only the greatest.
    return tf.where(images < threshold, images, 255.0 - images)
