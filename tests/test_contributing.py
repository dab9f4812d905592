"""The worked examples of CONTRIBUTING.md do what is said of them."""

from __future__ import annotations

import re
from pathlib import Path

import keras
import numpy as np
import pytest
from scipy.special import softmax

from gdw_tf import data
from gdw_tf.optimizers import CoupledSGD

TEXT = (Path(__file__).parents[1] / "CONTRIBUTING.md").read_text()


def example(heading: str) -> dict:
    """The names that the first block of code under a heading defines."""
    section = TEXT.partition(f"\n## {heading}\n")[2]
    code = re.search(r"```python\n(.*?)```", section, re.DOTALL)[1]
    names = {"__name__": "example"}
    exec(compile(code, heading, "exec"), names)
    return names


@pytest.fixture(scope="module")
def bootstrapping():
    return example("A method in one file")["Bootstrapping"]


@pytest.fixture
def batch():
    random = np.random.default_rng(0)
    return random.normal(size=(12, 3)).astype("float32"), np.arange(12) % 4


def built(method, **options):
    classifier = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4, name="logits")])
    model = method(classifier, **options)
    model.compile(CoupledSGD(0.5, momentum=0.0, weight_decay=0.0))
    return model


def test_the_method_takes_the_step_of_its_formula(bootstrapping, batch):
    x, y = batch
    model = built(bootstrapping, trust=0.6)
    kernel, bias = (weights.copy() for weights in model.classifier.get_weights())
    model.fit(x, y, batch_size=len(x), epochs=1, verbose=0)

    p = softmax(x @ kernel + bias, axis=1)
    u = p - 0.6 * np.eye(4)[y] - 0.4 * np.eye(4)[p.argmax(axis=1)]
    np.testing.assert_allclose(
        model.classifier.get_weights()[0], kernel - 0.5 * x.T @ u / len(x), atol=1e-6
    )


def test_the_method_checks_and_saves_its_option(bootstrapping, batch, tmp_path):
    with pytest.raises(ValueError, match="trust=1.5"):
        built(bootstrapping, trust=1.5)
    model = built(bootstrapping, trust=0.6)
    model.fit(*batch, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.trust == 0.6
    np.testing.assert_array_equal(
        loaded.predict(batch[0], verbose=0), model.predict(batch[0], verbose=0)
    )


def test_the_data_set_can_be_prepared_and_is_as_described():
    source = example("A data set in one file")["LOADERS"]["stripes"]()
    noisy = data.prepare(source, num_meta=10, noise="uniform", noise_rate=0.4)
    assert len(noisy.x_train) == 390 and len(noisy.x_meta) == 10
    rows = source.x_train[:, ::2].mean(axis=(1, 2, 3)) - source.x_train[:, 1::2].mean(
        axis=(1, 2, 3)
    )
    np.testing.assert_array_equal(rows > 60, source.y_train == 0)
    assert abs(source.x_train.mean() - source.mean[0]) < 2
    assert abs(source.x_train.std() - source.std[0]) < 2
