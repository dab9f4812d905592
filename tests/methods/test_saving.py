from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

import gdw_tf

from . import examples, resuming

METHODS = list(gdw_tf.METHODS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the cases left: trained and saved in one process, loaded and resumed in another."""
    folder = tmp_path_factory.mktemp("saving")
    tests, root = Path(__file__).parents[1], Path(gdw_tf.__file__).parents[1]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(tests), str(root)))}
    for act in ("begin", "resume"):
        process = subprocess.run(
            [sys.executable, "-m", "methods.resuming", act, folder],
            env=environment,
            capture_output=True,
            text=True,
        )
        assert process.returncode == 0, process.stderr
    return folder


def assert_equal_states(first: Path, second: Path) -> None:
    with np.load(first) as one, np.load(second) as other:
        assert one.files == other.files
        for name in one.files:
            np.testing.assert_array_equal(one[name], other[name], err_msg=name)


@pytest.mark.parametrize(
    "name", [name for name, case in resuming.CASES.items() if case.saved_after]
)
def test_a_fresh_process_loads_the_whole_state(folder, name):
    assert_equal_states(folder / f"{name} saved.npz", folder / f"{name} loaded.npz")


@pytest.mark.parametrize("name", resuming.CASES)
def test_a_resumed_run_ends_as_an_undisturbed_one_bit_for_bit(folder, name):
    assert_equal_states(folder / f"{name} undisturbed.npz", folder / f"{name} resumed.npz")


@pytest.mark.parametrize("name", resuming.CASES)
def test_the_options_and_the_compilation_survive(folder, name):
    saved, loaded = (
        json.loads((folder / f"{name} {when}.json").read_text()) for when in ("saved", "loaded")
    )
    assert loaded == saved
    expected = resuming.CASES[name].options
    assert {option: loaded["options"][option] for option in expected} == expected


@pytest.mark.parametrize("method", examples.METHODS_OF_ANY_CLASSIFIER)
@pytest.mark.parametrize(
    "classifier",
    [examples.subclassed, lambda: examples.sequential(built=False)],
    ids=["subclassed", "sequential"],
)
@pytest.mark.filterwarnings("ignore:You are saving a model that has not yet been built")
def test_a_model_without_weights_is_saved_and_trained_after_loading(tmp_path, method, classifier):
    x, y = examples.arrays()
    meta = examples.arrays(9, seed=1)
    examples.compiled(method, classifier, run_eagerly=True).save(tmp_path / "model.keras")

    model = keras.models.load_model(tmp_path / "model.keras")
    model.fit(x, y, meta_data=meta, verbose=0)
    model.save(tmp_path / "trained.keras")

    loaded = keras.models.load_model(tmp_path / "trained.keras")
    np.testing.assert_array_equal(loaded(x), model(x))


@pytest.mark.parametrize("method", METHODS)
def test_a_model_that_is_not_compiled_is_saved(tmp_path, method):
    examples.compiled(method).save(tmp_path / "model.keras")
    model = keras.models.load_model(tmp_path / "model.keras", compile=False)
    model.save(tmp_path / "again.keras")
    loaded = keras.models.load_model(tmp_path / "again.keras")
    assert not loaded.compiled
    for one, other in zip(model.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("method", METHODS)
def test_weights_are_saved_and_loaded_with_the_optimizers(tmp_path, method):
    x, y = examples.arrays()
    meta = examples.arrays(9, seed=1)
    trained = examples.compiled(method, run_eagerly=True)
    trained.fit(x, y, meta_data=meta, verbose=0)
    trained.save_weights(tmp_path / "model.weights.h5")

    other = examples.compiled(method, seed=8, run_eagerly=True)
    other.build_optimizers()
    other.load_weights(tmp_path / "model.weights.h5")

    expected, loaded = resuming.state(trained), resuming.state(other)
    assert loaded.keys() == expected.keys()
    for name in expected:
        np.testing.assert_array_equal(loaded[name], expected[name], err_msg=name)


@pytest.mark.parametrize("method", METHODS)
def test_a_configuration_makes_the_model_anew(method):
    model = examples.compiled(method, examples.normalized)
    copy = type(model).from_config(model.get_config())
    assert copy.get_config() == model.get_config()
    assert [layer.name for layer in copy.classifier.layers] == [
        layer.name for layer in model.classifier.layers
    ]
    assert not copy.compiled


def test_the_seed_is_part_of_the_model(tmp_path):
    model = examples.compiled("gdw", seed=3)
    model.save(tmp_path / "model.keras")
    assert keras.models.load_model(tmp_path / "model.keras").seed == 3


def test_keras_set_random_seed_determines_the_seed():
    def drawn() -> int:
        keras.utils.set_random_seed(5)
        return gdw_tf.CE(examples.functional()).seed

    assert drawn() == drawn()


def test_a_dict_of_inputs_is_answered_alike_after_loading(tmp_path):
    x = examples.as_dict(examples.arrays()[0])
    model = examples.compiled("gdw", examples.of_a_dict)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(x), model(x))
