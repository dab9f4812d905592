from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
import pytest

import gdw_tf

from . import examples
from .examples import CLASSES, arrays

X, Y = arrays(5)
IMAGES = np.random.default_rng(0).integers(0, 256, (5, 4, 4, 1), dtype=np.uint8)


def of_images() -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((4, 4, 1), dtype="uint8", name="images"),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Flatten(),
            keras.layers.Dense(CLASSES),
        ]
    )


class SubclassedOfADict(keras.Model):
    def __init__(self) -> None:
        super().__init__()
        self.last = keras.layers.Dense(CLASSES)

    def call(self, inputs: dict[str, Any]) -> Any:
        return self.last(keras.ops.concatenate([inputs["left"], inputs["right"]], axis=1))


class Case(NamedTuple):
    method: str
    classifier: Callable[[], keras.Model]
    inputs: Any
    fit_first: bool = False


CASES = {
    "functional": Case("gdw", lambda: examples.functional(dropout=0.3), X),
    "sequential, unbuilt": Case("ce", lambda: examples.sequential(built=False), X, True),
    "batch-normalized": Case("gdw", examples.normalized, X, True),
    "subclassed": Case("gdw", lambda: examples.subclassed(built=True), X),
    "subclassed, unbuilt": Case("ce", examples.subclassed, X, True),
    "call without training": Case(
        "gdw", lambda: examples.subclassed(kind=examples.WithoutTraining), X, True
    ),
    "dict": Case("gdw", examples.of_a_dict, examples.as_dict(X)),
    "subclassed of a dict": Case("ce", SubclassedOfADict, examples.as_dict(X), True),
    "uint8": Case("gdw", of_images, IMAGES, True),
}

# Reads every exported model and answers its inputs, whole and the first example alone.
READER = """
import sys
sys.modules["gdw_tf"] = None  # importing it would raise
import numpy as np, pathlib, tensorflow as tf
for folder in pathlib.Path(sys.argv[1]).iterdir():
    serve = tf.saved_model.load(str(folder / "model")).signatures["serving_default"]
    inputs = dict(np.load(folder / "inputs.npz"))
    _, specs = serve.structured_input_signature
    if len(specs) == 1:
        (name,), (array,) = specs, inputs.values()
        inputs = {name: array}
    for file, size in (("answers", None), ("first", 1)):
        answers = serve(**{name: tf.constant(array[:size]) for name, array in inputs.items()})
        np.savez(folder / file, **answers)
    np.savez(folder / "dtypes", **{name: spec.dtype.name for name, spec in specs.items()})
"""


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder a case, with what a process without this library read from it."""
    parent = tmp_path_factory.mktemp("exported")
    for name, (method, classifier, inputs, fit_first) in CASES.items():
        folder = parent / name
        model = examples.compiled(method, classifier, run_eagerly=True)
        if fit_first:
            model.fit(inputs, Y, meta_data=(inputs, Y), verbose=0)
        model.export(str(folder / "model"), verbose=False)
        np.savez(folder / "predicted", model.predict(inputs, verbose=0))
        np.savez(folder / "inputs", **(inputs if isinstance(inputs, dict) else {"x": inputs}))
    reader = [sys.executable, "-c", READER, parent]
    process = subprocess.run(reader, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    return parent


@pytest.mark.parametrize("name", CASES)
def test_without_this_library_the_export_answers_as_predict_does(exported, name):
    answers = np.load(exported / name / "answers.npz")
    predicted = np.load(exported / name / "predicted.npz")["arr_0"]
    assert set(answers.files) == {"logits", "probabilities", "label"}
    np.testing.assert_array_equal(answers["label"], predicted.argmax(axis=1))
    assert answers["logits"].dtype == answers["probabilities"].dtype == np.float32
    np.testing.assert_allclose(answers["logits"], predicted, atol=1e-6)
    exponentials = np.exp(predicted.astype(np.float64))
    probabilities = exponentials / exponentials.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(answers["probabilities"], probabilities, atol=1e-6)


@pytest.mark.parametrize("name", CASES)
def test_the_batch_size_is_free(exported, name):
    first = np.load(exported / name / "first.npz")["logits"]
    np.testing.assert_allclose(
        first, np.load(exported / name / "answers.npz")["logits"][:1], atol=1e-6
    )


def test_inputs_keep_their_names_and_dtypes(exported):
    def dtypes(name: str) -> dict[str, str]:
        return {key: str(value) for key, value in np.load(exported / name / "dtypes.npz").items()}

    assert dtypes("uint8") == {"images": "uint8"}
    assert dtypes("dict") == {"left": "float32", "right": "float32"}


def test_exporting_is_silent_on_request_only(tmp_path, capfd):
    model = examples.compiled("gdw")
    model.export(str(tmp_path / "silent"), verbose=False)
    assert capfd.readouterr().out == ""
    model.export(str(tmp_path / "loud"))
    assert "loud" in capfd.readouterr().out


def test_exporting_leaves_the_model_as_it_was(tmp_path):
    model = examples.compiled("gdw", run_eagerly=True)
    before = model.get_config()
    model.export(str(tmp_path / "model"), verbose=False)
    assert model.get_config() == before
    model.fit(*arrays(), meta_data=arrays(9, seed=1), verbose=0)


def test_a_classifier_without_weights_is_not_exported(tmp_path):
    model = gdw_tf.GDW(examples.subclassed())
    with pytest.raises(ValueError, match="must have weights before it is exported"):
        model.export(str(tmp_path / "model"))
