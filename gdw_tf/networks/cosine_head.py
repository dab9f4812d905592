"""`with_cosine_head`: a classifier whose logits are cosines.

    z_c = s cos(features, w_c)

Features and class vectors count by their directions alone: a frequent class cannot win by the
length of its vector, and a margin between logits is one between angles. The losses with margins, of
which `gdw_tf.losses.LDAM` is one, were made for such a head.

Source: Wang et al., "CosFace: Large Margin Cosine Loss for Deep Face Recognition", CVPR 2018,
section 3.1.
"""

from __future__ import annotations

import keras
from keras import layers


def with_cosine_head(network: keras.Model, scale: float = 10.0) -> keras.Model:
    """Puts cosines in the place of a network's last layer, a dense one.

    Args:
        network: a functional or sequential model that ends in a `Dense` layer of C units. The
            answer shares its other layers.
        scale: s, the largest logit; default 10. The larger it is, the smaller a learning rate the
            head needs: 30, which is usual beside batch normalisation, may diverge without.

    Returns:
        A functional model of the same inputs and name, answering logits (B, C) from -s to s. A
        constraint keeps the class vectors at unit length.

    Raises:
        ValueError: the last layer is not dense.
    """
    last = network.layers[-1]
    if not isinstance(last, layers.Dense):
        raise ValueError(
            "The network must end in a Dense layer. Received: "
            f"{network.name!r}, which ends in {type(last).__name__}"
        )
    directions = layers.UnitNormalization(name="directions")(last.input)
    logits = layers.Dense(
        last.units,
        use_bias=False,
        kernel_initializer="orthogonal",
        kernel_constraint=keras.constraints.UnitNorm(),
        name=last.name,
    )(layers.Rescaling(scale, name="scale")(directions))
    return keras.Model(network.input, logits, name=network.name)
