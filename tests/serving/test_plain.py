from __future__ import annotations

import keras
import numpy as np
import pytest

from gdw_tf import networks
from gdw_tf.networks.resnet import SubsamplingShortcut
from gdw_tf.serving.plain import own_layers, plain_model

IMAGES = np.random.default_rng(0).integers(0, 256, (6, 9, 10, 3), dtype=np.uint8)


def built(name: str, **options: object) -> keras.Model:
    keras.utils.set_random_seed(1)
    network = networks.build(
        name,
        num_classes=4,
        image_shape=IMAGES.shape[1:],
        mean=(100.0, 120.0, 140.0),
        std=(50.0, 60.0, 70.0),
        **options,
    )
    generator = np.random.default_rng(2)
    # Untouched statistics and offsets would hide weights in the wrong place.
    network.set_weights(
        [one + generator.uniform(0.1, 0.3, one.shape) for one in network.get_weights()]
    )
    return network


@pytest.mark.parametrize("name", ["small_cnn", "resnet8", "resnet18"])
def test_the_copy_has_layers_of_keras_alone_and_answers_the_same(name):
    network = built(name)
    copy = plain_model(network)
    assert not own_layers(copy)
    assert bool(own_layers(network)) == name.startswith("resnet")
    expected = network.predict(IMAGES, verbose=0)
    np.testing.assert_allclose(
        copy.predict(IMAGES, verbose=0), expected, rtol=0, atol=1e-5 * np.abs(expected).max()
    )


def test_a_cosine_head_is_copied():
    network = built("small_cnn", cosine_scale=10.0)
    np.testing.assert_allclose(
        plain_model(network).predict(IMAGES, verbose=0),
        network.predict(IMAGES, verbose=0),
        atol=1e-5,
    )


@pytest.mark.parametrize("shape, filters, strides", [((8, 8, 4), 8, 2), ((7, 9, 3), 8, 3)])
def test_the_shortcut_is_copied_for_every_size(shape, filters, strides):
    images = keras.Input(shape)
    model = keras.Model(images, SubsamplingShortcut(filters, strides)(images))
    x = np.random.default_rng(3).normal(size=(2, *shape)).astype(np.float32)
    added = filters - shape[-1]
    expected = np.pad(x[:, ::strides, ::strides], [(0, 0)] * 3 + [(added // 2, added - added // 2)])
    np.testing.assert_array_equal(plain_model(model).predict(x, verbose=0), expected)


def test_a_model_of_half_precision_is_copied_into_single_precision():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        network = built("resnet8")
    finally:
        keras.config.set_dtype_policy("float32")
    whole = built("resnet8")
    whole.set_weights(network.get_weights())
    copy = plain_model(network)
    assert copy.output.dtype == "float32"
    np.testing.assert_allclose(
        copy.predict(IMAGES, verbose=0), whole.predict(IMAGES, verbose=0), rtol=1e-4
    )


def test_a_subclassed_model_is_refused():
    class Own(keras.Model):
        def call(self, inputs):
            return inputs

    model = Own()
    model.build((None, 3))
    with pytest.raises(ValueError, match="graph of layers.*a Own; allowed otherwise: saved_model"):
        plain_model(model)
