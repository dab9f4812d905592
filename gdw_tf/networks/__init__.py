"""Networks by name, each taking raw images.

A network of this package answers logits for normalised images. `build` puts the normalisation
inside the model, so that what is trained, saved and exported takes the pixels as they are stored
and no one who uses the model later needs to know the mean and the deviation:

    model = build("resnet32", num_classes=10, image_shape=(32, 32, 3), mean=..., std=...)
    logits = model(images)                        # uint8 images
    network = model.get_layer("network")          # the part behind the normalisation

Any other Keras model that answers logits will do as well; nothing here is asked of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import keras
import numpy as np

from gdw_tf.checks import check_integer
from gdw_tf.networks.cosine_head import with_cosine_head
from gdw_tf.networks.resnet import CIFAR_DEPTHS, cifar_resnet, resnet18
from gdw_tf.networks.small_cnn import small_cnn

__all__ = ["build", "cifar_resnet", "names", "resnet18", "small_cnn", "with_cosine_head"]

_NETWORKS: dict[str, Callable[..., keras.Model]] = {
    "small_cnn": small_cnn,
    "small_cnn_without_dropout": partial(small_cnn, dropout=0.0),
    **{f"resnet{depth}": partial(cifar_resnet, depth) for depth in CIFAR_DEPTHS},
    "resnet18": resnet18,
}


def names() -> tuple[str, ...]:
    """The names that `build` knows."""
    return tuple(_NETWORKS)


def build(
    name: str,
    *,
    num_classes: int,
    image_shape: tuple[int, int, int],
    mean: Sequence[float],
    std: Sequence[float],
    cosine_scale: float | None = None,
) -> keras.Model:
    """Builds a network that takes raw images and normalises them itself.

    The images become (image - mean) / std, in the compute dtype of Keras's dtype policy.

    Args:
        name: one of `names()`.
        num_classes: C, the number of logits.
        image_shape: (height, width, channels).
        mean: mean of each channel over the training images, in units of the pixels (0 to 255).
        std: standard deviation of each channel, in the same units.
        cosine_scale: scale of a cosine head, see `with_cosine_head`; default `None`, a dense one.

    Returns:
        A Keras model from images (B, height, width, channels), uint8, to logits (B, C). Its
        layers are `"images"`, `"normalization"` and `"network"`.

    Raises:
        TypeError: `num_classes` is not an integer.
        ValueError: unknown name, less than two classes, or `mean` and `std` are not one finite
            number a channel, `std` above zero.
    """
    if name not in _NETWORKS:
        raise ValueError(
            f"Unknown network. Received: name={name!r}; allowed: {', '.join(_NETWORKS)}."
        )
    check_integer("num_classes", num_classes, 2)
    channels = image_shape[-1]
    if (
        np.shape(mean) != (channels,)
        or np.shape(std) != (channels,)
        or (not np.isfinite([mean, std]).all() or np.min(std) <= 0)
    ):
        raise ValueError(
            "mean and std must be one finite number a channel, std above zero. Received: "
            f"mean={mean}, std={std}; channels: {channels}."
        )
    # Arrays of float64, because Keras casts lists by way of float32.
    mean, std = np.asarray(mean, "float64"), np.asarray(std, "float64")
    images = keras.Input(image_shape, dtype="uint8", name="images")
    normalization = keras.layers.Rescaling(1 / std, offset=-mean / std, name="normalization")
    network = _NETWORKS[name](num_classes, image_shape, name="network")
    if cosine_scale is not None:
        network = with_cosine_head(network, cosine_scale)
    return keras.Model(images, network(normalization(images)), name=name)
