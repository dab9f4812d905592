"""Residual networks: the small ones for CIFAR and ResNet-18 for large images.

Both are a stem, stages of basic blocks and a linear classifier on the averaged pixels. A basic
block adds two convolutions to what it was given:

    y = relu(shortcut(x) + bn(conv3x3(relu(bn(conv3x3(x))))))

The first block of every stage but the first halves the height and width and doubles the
filters, so its shortcut must do so too. The two families differ there: the CIFAR networks take
every second pixel and fill the new channels with zeros (option A of the paper; no parameters),
ResNet-18 uses a 1x1 convolution with batch normalisation (option B). Elsewhere the shortcut is
the identity.

Details on which published results depend: convolutions have no biases and are padded with
zeros equally on every side (Keras's "same" pads only below and to the right where a stride of 2
meets an even side); convolutions and the classifier start from a normal distribution of variance
2 / fan-in, not truncated; batch normalisation uses momentum 0.9 and epsilon 1e-5.

Source: He et al., "Deep Residual Learning for Image Recognition", CVPR 2016; section 3.3 and
table 1 (ResNet-18), section 4.2 (CIFAR). Initialization: He et al., "Delving Deep into
Rectifiers", ICCV 2015, section 2.2.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import layers, ops

from gdw_tf.batch_normalization import BatchNormalization

CIFAR_DEPTHS = (8, 14, 20, 32, 44, 56)

# (tensor, filters, strides, name) -> tensor
_Shortcut = Callable[[keras.KerasTensor, int, int, str], keras.KerasTensor]


def cifar_resnet(
    depth: int,
    num_classes: int,
    image_shape: tuple[int, int, int] = (32, 32, 3),
    *,
    name: str | None = None,
) -> keras.Model:
    """Builds a residual network for small images (He et al. 2016, section 4.2).

    A 3x3 stem of 16 filters, then three stages of (depth - 2) / 6 basic blocks of 16, 32 and 64
    filters. Trainable variables stand in the order of the layers: the stem's kernel, its
    normalisation's scale and offset, the same for both convolutions of block after block, and
    the classifier's kernel and bias.

    Args:
        depth: number of weighted layers, 6 n + 2; those in use are `CIFAR_DEPTHS`.
        num_classes: C, the number of logits.
        image_shape: (height, width, channels), of any height and width; default CIFAR's.
        name: the model's name; default `"resnet"` and the depth.

    Returns:
        A functional model from normalised images (B, height, width, channels), floating point,
        to logits (B, C).

    Raises:
        ValueError: no network has this depth.
    """
    if not isinstance(depth, int) or depth < 8 or (depth - 2) % 6:
        raise ValueError(f"Unknown depth. Received: depth={depth!r}; allowed: 6 n + 2, n from 1.")
    images = keras.Input(image_shape)
    x = _normalized_convolution(images, 16, 3, 1, "stem")
    x = layers.ReLU(name="stem_relu")(x)
    x = _residual_stages(x, (16, 32, 64), (depth - 2) // 6, _option_a)
    return keras.Model(images, _logits(x, num_classes), name=name or f"resnet{depth}")


def resnet18(
    num_classes: int,
    image_shape: tuple[int, int, int] = (224, 224, 3),
    *,
    name: str | None = None,
) -> keras.Model:
    """Builds ResNet-18, for large images (He et al. 2016, table 1).

    A 7x7 stem of 64 filters with stride 2, a 3x3 maximum with stride 2, then four stages of two
    basic blocks of 64, 128, 256 and 512 filters.

    Args:
        num_classes: C, the number of logits.
        image_shape: (height, width, channels), of any height and width; default ImageNet's.
        name: the model's name; default `"resnet18"`.

    Returns:
        A functional model from normalised images (B, height, width, channels), floating point,
        to logits (B, C).
    """
    images = keras.Input(image_shape)
    x = _normalized_convolution(images, 64, 7, 2, "stem")
    x = layers.ReLU(name="stem_relu")(x)
    # Nothing is below zero after the ReLU, so zeros around it never become a maximum.
    x = layers.ZeroPadding2D(1, name="stem_pooling_padding")(x)
    x = layers.MaxPooling2D(3, 2, name="stem_pooling")(x)
    x = _residual_stages(x, (64, 128, 256, 512), 2, _projection)
    return keras.Model(images, _logits(x, num_classes), name=name or "resnet18")


@keras.saving.register_keras_serializable("gdw_tf")
class SubsamplingShortcut(layers.Layer):
    """Shortcut without parameters: fewer pixels, and zeros for the channels that are new.

    ```
    (B, height, width, channels) -> (B, ceil(height / strides), ceil(width / strides), filters)
    ```

    It keeps the first of every `strides` rows and columns and pads the channels with zeros,
    half of them before and half behind (the odd one behind). Source: He et al. 2016, section
    4.1, option A.

    Args:
        filters: number of output channels, at least the number of input channels.
        strides: step between the pixels kept; default 2.
        **kwargs: arguments of `keras.layers.Layer`.

    Raises:
        ValueError: when built, for an input of more than `filters` channels.
    """

    def __init__(self, filters: int, strides: int = 2, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.filters = filters
        self.strides = strides

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Checks that channels are only ever added."""
        if input_shape[-1] > self.filters:
            raise ValueError(
                "The shortcut can add channels, not remove them. Received: "
                f"{input_shape[-1]} channels, filters={self.filters}."
            )

    def call(self, inputs: Any) -> Any:
        """Maps (B, height, width, channels) to fewer pixels and `filters` channels."""
        pixels = inputs[:, :: self.strides, :: self.strides, :]
        added = self.filters - inputs.shape[-1]
        return ops.pad(pixels, [[0, 0], [0, 0], [0, 0], [added // 2, added - added // 2]])

    def get_config(self) -> dict[str, Any]:
        """Configuration with `filters` and `strides`."""
        return {**super().get_config(), "filters": self.filters, "strides": self.strides}


def _residual_stages(
    x: keras.KerasTensor, filters_by_stage: Sequence[int], blocks: int, shortcut: _Shortcut
) -> keras.KerasTensor:
    for stage, filters in enumerate(filters_by_stage, start=1):
        for block in range(1, blocks + 1):
            strides = 2 if stage > 1 and block == 1 else 1
            x = _basic_block(x, filters, strides, shortcut, f"stage{stage}_block{block}")
    return x


def _basic_block(
    x: keras.KerasTensor, filters: int, strides: int, shortcut: _Shortcut, name: str
) -> keras.KerasTensor:
    residual = _normalized_convolution(x, filters, 3, strides, f"{name}_1")
    residual = layers.ReLU(name=f"{name}_1_relu")(residual)
    residual = _normalized_convolution(residual, filters, 3, 1, f"{name}_2")
    if strides > 1 or x.shape[-1] != filters:
        x = shortcut(x, filters, strides, f"{name}_shortcut")
    x = layers.Add(name=f"{name}_add")([x, residual])
    return layers.ReLU(name=f"{name}_relu")(x)


def _option_a(x: keras.KerasTensor, filters: int, strides: int, name: str) -> keras.KerasTensor:
    return SubsamplingShortcut(filters, strides, name=name)(x)


def _projection(x: keras.KerasTensor, filters: int, strides: int, name: str) -> keras.KerasTensor:
    return _normalized_convolution(x, filters, 1, strides, name)


def _normalized_convolution(
    x: keras.KerasTensor, filters: int, kernel_size: int, strides: int, name: str
) -> keras.KerasTensor:
    if strides > 1 and kernel_size > 1:
        x = layers.ZeroPadding2D(kernel_size // 2, name=f"{name}_padding")(x)
    x = layers.Conv2D(
        filters,
        kernel_size,
        strides,
        padding="same" if strides == 1 else "valid",
        use_bias=False,
        kernel_initializer=_he_normal(),
        name=f"{name}_convolution",
    )(x)
    return BatchNormalization(momentum=0.9, epsilon=1e-5, name=f"{name}_normalization")(x)


def _logits(x: keras.KerasTensor, num_classes: int) -> keras.KerasTensor:
    features = layers.GlobalAveragePooling2D(name="features")(x)
    return layers.Dense(num_classes, kernel_initializer=_he_normal(), name="logits")(features)


def _he_normal() -> keras.initializers.Initializer:
    # One for each layer: an initializer without a seed answers the same numbers at every call.
    return keras.initializers.VarianceScaling(2.0, "fan_in", "untruncated_normal")
