"""A small convolutional network for tiny images, such as the 8x8 digits of scikit-learn.

It learns the digits within seconds on a processor, so that a method, a pipeline or an export can
be tried out before hours go into CIFAR.
"""

from __future__ import annotations

import keras
from keras import layers

_INITIALIZER = "he_normal"


def small_cnn(
    num_classes: int,
    image_shape: tuple[int, int, int] = (8, 8, 1),
    *,
    dropout: float = 0.5,
    name: str = "small_cnn",
) -> keras.Model:
    """Builds two 3x3 convolutions of 32 filters, a 2x2 maximum, dropout and two dense layers.

    Dropout of half the features keeps so small a data set from being learned by heart, wrong labels
    included; without it, plain training does that, as large networks do on CIFAR. There is no batch
    normalisation.

    Args:
        num_classes: C, the number of logits.
        image_shape: (height, width, channels), height and width at least 2; default the digits'.
        dropout: share of the features that are dropped; default 0.5.
        name: the model's name.

    Returns:
        A functional model from normalised images (B, height, width, channels), floating point,
        to logits (B, C).
    """
    images = keras.Input(image_shape)
    x = _convolution("convolution_1")(images)
    x = _convolution("convolution_2")(x)
    x = layers.MaxPooling2D(2, name="pooling")(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dropout(dropout, name="dropout")(x)
    x = layers.Dense(64, activation="relu", kernel_initializer=_INITIALIZER, name="features")(x)
    x = layers.Dense(num_classes, kernel_initializer=_INITIALIZER, name="logits")(x)
    return keras.Model(images, x, name=name)


def _convolution(name: str) -> layers.Conv2D:
    return layers.Conv2D(
        32, 3, padding="same", activation="relu", kernel_initializer=_INITIALIZER, name=name
    )
