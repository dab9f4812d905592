from __future__ import annotations

import keras
import numpy as np
import pytest

import gdw_tf
from gdw_tf import networks
from gdw_tf.networks import small_cnn, with_cosine_head

IMAGES = np.random.default_rng(0).normal(size=(12, 8, 8, 1)).astype(np.float32)
LABELS = np.arange(12) % 3


def cosines(network: keras.Model, images: np.ndarray) -> np.ndarray:
    """Of the features before the head, and its class vectors."""
    inner = keras.Model(network.input, network.get_layer("features").output)
    features, vectors = inner(images).numpy(), network.layers[-1].get_weights()[0]
    lengths = np.linalg.norm(features, axis=1)[:, None] * np.linalg.norm(vectors, axis=0)
    return features @ vectors / lengths


def test_logits_are_scaled_cosines_before_training_and_after():
    network = with_cosine_head(small_cnn(3), scale=7.0)
    np.testing.assert_allclose(network(IMAGES), 7 * cosines(network, IMAGES), rtol=1e-4, atol=1e-5)
    before = network.get_weights()[-1]

    model = gdw_tf.GDW(network)
    model.compile(gdw_tf.CoupledSGD(0.1), run_eagerly=True)
    model.fit(IMAGES, LABELS, meta_data=(IMAGES, LABELS), epochs=3, verbose=0)

    assert np.abs(network.get_weights()[-1] - before).max() > 1e-2
    np.testing.assert_allclose(network(IMAGES), 7 * cosines(network, IMAGES), rtol=1e-4, atol=1e-5)


def test_all_but_the_head_is_the_networks():
    network = small_cnn(3)
    with_head = with_cosine_head(network)
    assert with_head.name == network.name and with_head.output_shape == (None, 3)
    assert with_head.layers[: len(network.layers) - 1] == network.layers[:-1]


@pytest.mark.parametrize("name", ["small_cnn", "resnet8", "resnet18"])
def test_every_network_can_have_one(name, tmp_path):
    common = {"num_classes": 5, "image_shape": (32, 32, 1), "mean": [1.0], "std": [2.0]}
    model = networks.build(name, **common, cosine_scale=4.0)
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 1), dtype=np.uint8)
    assert np.abs(model(images)).max() <= 4.0 + 1e-4
    assert model.trainable_variables[-1].shape[1] == 5
    if name == "small_cnn":
        model.save(tmp_path / "model.keras")
        loaded = keras.models.load_model(tmp_path / "model.keras")
        np.testing.assert_array_equal(loaded(images), model(images))


def test_a_network_that_ends_otherwise_is_refused():
    network = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2), keras.layers.ReLU()])
    with pytest.raises(ValueError, match=r"end in a Dense layer. Received: .*ends in ReLU"):
        with_cosine_head(network)
