from __future__ import annotations

import keras
import numpy as np
import pytest

from gdw_tf import networks

MEAN = (125.3, 123.0, 113.9)
STD = (63.0, 62.1, 66.7)


def raw_images(count: int, side: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, size=(count, side, side, 3), dtype="uint8")


def build(name: str, side: int = 8) -> keras.Model:
    return networks.build(name, num_classes=4, image_shape=(side, side, 3), mean=MEAN, std=STD)


@pytest.fixture
def float64():
    # The policy too: Keras makes it from floatx once, for the first layer of the process.
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    yield
    keras.config.set_floatx("float32")
    keras.config.set_dtype_policy("float32")


def test_names():
    assert networks.names() == (
        "small_cnn",
        "small_cnn_without_dropout",
        "resnet8",
        "resnet14",
        "resnet20",
        "resnet32",
        "resnet44",
        "resnet56",
        "resnet18",
    )


@pytest.mark.parametrize(
    "name, depth", [("small_cnn", 4), ("resnet8", 8), ("resnet44", 44), ("resnet18", 18)]
)
def test_name_gives_the_network(name, depth):
    model = build(name)

    kernels = [w for w in model.weights if w.path.endswith("kernel") and "shortcut" not in w.path]
    assert len(kernels) == depth
    assert model.name == name
    assert model.output_shape == (None, 4)


def test_normalisation_inside_equals_normalisation_outside():
    model = build("resnet8")
    images = raw_images(5, 8)

    normalised = (images - np.array(MEAN)) / np.array(STD)

    np.testing.assert_allclose(
        model(images), model.get_layer("network")(normalised), rtol=1e-4, atol=1e-5
    )


def test_normalises_in_float64_where_keras_computes_in_it(float64):
    model = build("small_cnn")
    images = raw_images(5, 8)

    normalised = np.asarray(model.get_layer("normalization")(images))

    assert normalised.dtype == np.float64
    np.testing.assert_allclose(
        normalised, (images - np.array(MEAN)) / np.array(STD), rtol=1e-13, atol=1e-14
    )
    assert keras.backend.standardize_dtype(model(images).dtype) == "float64"


@pytest.mark.parametrize("name", ["small_cnn", "resnet8", "resnet18"])
def test_saved_and_loaded_it_answers_the_same(name, tmp_path):
    model = build(name, side=9)
    images = raw_images(3, 9)
    model(images, training=True)  # moving statistics of its own

    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")

    np.testing.assert_array_equal(loaded(images), model(images))
    assert loaded.input.dtype == "uint8"


def test_unknown_name():
    allowed = "allowed: small_cnn, small_cnn_without_dropout, resnet8, resnet14"
    with pytest.raises(ValueError, match=f"name='resnet9'; {allowed}"):
        build("resnet9")


@pytest.mark.parametrize(
    "mean, std",
    [((1.0,), STD), (MEAN, (1.0, 1.0)), (MEAN, (63.0, 0.0, 66.7)), (125.0, 63.0)],
)
def test_mean_and_std_must_be_one_a_channel(mean, std):
    with pytest.raises(
        ValueError, match=r"one finite number a channel, std above zero. Received: mean="
    ):
        networks.build("small_cnn", num_classes=4, image_shape=(8, 8, 3), mean=mean, std=std)
