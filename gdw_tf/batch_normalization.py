"""Batch normalisation by fused kernels, forward, backward and in Jacobian-vector products.

With mean m, variance v and n the number of pixels that a channel is normalised over,

    z      = (x - m) / sqrt(v + epsilon)
    y      = scale z + offset
    dscale = sum(dy z),  doffset = sum(dy)
    dx     = scale / sqrt(v + epsilon) (dy - doffset / n - z dscale / n)

Keras 3 on TensorFlow makes y of elementary operations, each of which passes over the whole tensor
and leaves another such pass for every derivative. TensorFlow's fused kernels take two passes for y
and two for (dx, dscale, doffset), but where these are differentiated once more, as the meta step of
this library does, TensorFlow falls back to elementary operations. There is no need: the map from
dy to (dx, dscale, doffset) is linear and the part that leads to dx is symmetric, so the
Jacobian-vector product, which sends tangents (t, tscale, toffset) back to dy, is two fused kernels,

    the dx of the formula above with t for dy,  plus  tscale z + toffset.

Source: Ioffe and Szegedy, "Batch Normalization: Accelerating Deep Network Training by Reducing
Internal Covariate Shift", ICML 2015, section 3, whose chain rule is simplified above.
"""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable("gdw_tf")
class BatchNormalization(keras.layers.BatchNormalization):
    """`keras.layers.BatchNormalization`, faster in training, above all under a meta method.

    The arguments, weights and results are Keras's, so that either can load the other's weights. It
    is faster on images, (B, height, width, channels), in single or half precision; anything else
    (double precision, other shapes or axes, masks, renormalisation, synchronised statistics, a
    layer without scale or offset) is left to Keras, and so is inference. Existing functional models
    can be cloned with this layer in the place of Keras's:

    ```python
    def fused(layer):
        if type(layer) is keras.layers.BatchNormalization:
            return gdw_tf.BatchNormalization.from_config(layer.get_config())
        return layer.__class__.from_config(layer.get_config())

    faster = gdw_tf.copies.clone(model, fused)
    faster.set_weights(model.get_weights())
    ```
    """

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> tf.Tensor:
        """Normalises; in training by the statistics of the batch, which move the running ones."""
        if not (training and self.trainable and mask is None and self._can_be_fused(inputs)):
            return super().call(inputs, training=training, mask=mask)
        outputs, mean, variance = batch_normalized(
            tf.convert_to_tensor(inputs),
            tf.convert_to_tensor(self.gamma),
            tf.convert_to_tensor(self.beta),
            self.epsilon,
        )
        for moving, value in ((self.moving_mean, mean), (self.moving_variance, variance)):
            moving.assign(moving * self.momentum + value * (1.0 - self.momentum))
        return tf.cast(outputs, self.compute_dtype)

    def _can_be_fused(self, inputs: Any) -> bool:
        return (
            not isinstance(inputs, keras.KerasTensor)
            and len(inputs.shape) == 4
            and self.axis in (-1, 3)
            and inputs.dtype in (tf.float32, tf.bfloat16, tf.float16)
            and self.gamma is not None
            and self.beta is not None
            and self.gamma.dtype == "float32"
            and not self.renorm
            and not self.synchronized
        )


def batch_normalized(
    x: tf.Tensor, scale: tf.Tensor, offset: tf.Tensor, epsilon: float
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Normalises every channel by its mean and variance in the batch.

    Differentiable as often as one likes in x, scale and offset. Mean and variance are answered as
    constants.

    Args:
        x: (B, height, width, C), float32, bfloat16 or float16.
        scale: (C,), float32.
        offset: (C,), float32.
        epsilon: added to the variance.

    Returns:
        y, of the shape and dtype of x; mean and variance (with n, not n - 1) of each channel, (C,),
        float32.
    """

    @tf.custom_gradient
    def normalized(x: tf.Tensor, scale: tf.Tensor, offset: tf.Tensor) -> Any:
        none = tf.zeros((0,), scale.dtype)
        y, mean, variance, *reserve = tf.raw_ops.FusedBatchNormV3(
            x=x, scale=scale, offset=offset, mean=none, variance=none, epsilon=epsilon
        )
        # The kernel answers the variance with n - 1 (and with 1 where n is 1).
        n = tf.cast(tf.size(x) / tf.size(scale), variance.dtype)
        variance *= tf.maximum(n - 1.0, 1.0) / n

        def gradient(dy: tf.Tensor, *of_statistics: tf.Tensor) -> Any:
            return _pulled_back(dy, x, scale, (mean, variance), reserve, epsilon)

        return (y, mean, variance), gradient

    y, mean, variance = normalized(x, scale, offset)
    return y, tf.stop_gradient(mean), tf.stop_gradient(variance)


def _pulled_back(
    dy: tf.Tensor,
    x: tf.Tensor,
    scale: tf.Tensor,
    statistics: tuple[tf.Tensor, tf.Tensor],
    reserve: list[tf.Tensor],
    epsilon: float,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Answers (dx, dscale, doffset), whose own derivatives are made of fused kernels, too."""
    mean, variance = statistics

    def kernel(dy: tf.Tensor, x: tf.Tensor, scale: tf.Tensor) -> list[tf.Tensor]:
        return tf.raw_ops.FusedBatchNormGradV3(
            y_backprop=dy,
            x=x,
            scale=scale,
            reserve_space_1=reserve[0],
            reserve_space_2=reserve[1],
            reserve_space_3=reserve[2],
            epsilon=epsilon,
        )[:3]

    @tf.custom_gradient
    def affine(x: tf.Tensor, tscale: tf.Tensor, toffset: tf.Tensor) -> Any:
        y = tf.raw_ops.FusedBatchNormV3(
            x=x,
            scale=tscale,
            offset=toffset,
            mean=mean,
            variance=variance,
            epsilon=epsilon,
            is_training=False,
        )[0]

        # To the kernel mean and variance are constants, but they come from x, as in y itself.
        def gradient(dy: tf.Tensor) -> Any:
            return _pulled_back(dy, x, tscale, statistics, reserve, epsilon)

        return y, gradient

    @tf.custom_gradient
    def pulled_back(dy: tf.Tensor, x: tf.Tensor, scale: tf.Tensor) -> Any:
        def gradient(t: tf.Tensor, tscale: tf.Tensor, toffset: tf.Tensor) -> Any:
            # Second derivatives of the network. The meta step has no use for them, and a graph
            # leaves them out.
            with tf.GradientTape() as tape:
                tape.watch([x, scale])
                pulled = _elementary(dy, x, scale, epsilon)
            of_x, of_scale = tape.gradient(
                pulled, [x, scale], output_gradients=[t, tscale, toffset]
            )
            return pulled_back(t, x, scale)[0] + affine(x, tscale, toffset), of_x, of_scale

        return tuple(kernel(dy, x, scale)), gradient

    return pulled_back(dy, x, scale)


def _elementary(
    dy: tf.Tensor, x: tf.Tensor, scale: tf.Tensor, epsilon: float
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Answers (dx, dscale, doffset) by the formula, so that it can be differentiated in x."""
    pixels = [0, 1, 2]
    wide_x, wide_dy = tf.cast(x, scale.dtype), tf.cast(dy, scale.dtype)
    mean, variance = tf.nn.moments(wide_x, pixels)
    inverse_deviation = tf.math.rsqrt(variance + epsilon)
    z = (wide_x - mean) * inverse_deviation
    doffset = tf.reduce_sum(wide_dy, pixels)
    dscale = tf.reduce_sum(wide_dy * z, pixels)
    n = tf.cast(tf.size(x) / tf.size(scale), scale.dtype)
    dx = scale * inverse_deviation * (wide_dy - doffset / n - z * dscale / n)
    return tf.cast(dx, x.dtype), dscale, doffset
