from __future__ import annotations

import json
import re
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest

import gdw_tf
from gdw_tf.model_files import load_method


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Path:
    """A model as a training saves it, for all tests."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((4,))
    model = gdw_tf.GDW(keras.Model(inputs, keras.layers.Dense(3, name="logits")(inputs)), seed=0)
    model.compile()
    x, y = np.ones((6, 4), np.float32), np.arange(6) % 3
    model.fit(x, y, meta_data=(2 * x, y), verbose=0)
    path = tmp_path_factory.mktemp("saved") / "model.keras"
    model.save(path)
    return path


@pytest.fixture
def saved(written, tmp_path) -> Path:
    """A copy of it, to be changed."""
    return Path(shutil.copy(written, tmp_path))


def rewrite(path: Path, change: Callable[[dict[str, bytes]], None]) -> None:
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    change(members)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def refused(path: Path) -> str:
    with pytest.raises(ValueError, match=re.escape(f"Received: {path}")) as caught:
        load_method(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_what_was_saved_comes_back(saved):
    model = load_method(saved)
    assert isinstance(model, gdw_tf.GDW)
    again = keras.models.load_model(saved)
    for one, other in zip(model.weights, again.weights, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("as_logits", [False, True], ids=["a process", "within the model"])
def test_a_class_that_is_no_layer_is_not_looked_up(saved, tmp_path, as_logits):
    touched = tmp_path / "touched"
    config = {"args": ["touch", str(touched)]}
    hostile = {"module": "subprocess", "class_name": "Popen", "config": config}

    def change(members: dict[str, bytes]) -> None:
        whole = json.loads(members["config.json"])
        whole["config"]["classifier"] = hostile
        members["config.json"] = json.dumps(whole if as_logits else hostile).encode()

    rewrite(saved, change)
    refused(saved)
    assert not touched.exists()


def test_a_function_of_another_module_is_not_looked_up(saved):
    hostile = {"module": "os", "class_name": "function", "config": "system"}

    def change(members: dict[str, bytes]) -> None:
        whole = json.loads(members["config.json"])
        dense = whole["config"]["classifier"]["config"]["layers"][1]
        dense["config"]["kernel_initializer"] = hostile
        members["config.json"] = json.dumps(whole).encode()

    rewrite(saved, change)
    refused(saved)


def test_code_in_a_lambda_layer_is_not_run(saved):
    keras.Sequential([keras.Input((4,)), keras.layers.Lambda(lambda x: x)]).save(saved)
    assert "Lambda" in refused(saved)


@pytest.mark.filterwarnings("ignore:Skipping invalid path")
def test_members_with_paths_elsewhere_are_not_written_there(saved, tmp_path):
    elsewhere = tmp_path / "elsewhere"

    def change(members: dict[str, bytes]) -> None:
        members["../../elsewhere"] = members[str(elsewhere)] = b"x"

    rewrite(saved, change)
    load_method(saved)
    assert not elsewhere.exists()
    assert not (tmp_path.parent / "elsewhere").exists()


@pytest.mark.parametrize("member", ["config.json", "model.weights.h5"])
def test_a_file_without_one_of_its_parts_is_refused(saved, member):
    rewrite(saved, lambda members: members.pop(member))
    refused(saved)


def test_a_state_of_another_optimizer_is_not_left_out(saved):
    inputs = keras.Input((4,))
    other = gdw_tf.GDW(keras.Model(inputs, keras.layers.Dense(3, name="logits")(inputs)), seed=0)
    other.compile()
    other.save(saved.with_name("new.keras"))  # without any state yet
    with zipfile.ZipFile(saved.with_name("new.keras")) as archive:
        weights = archive.read("model.weights.h5")
    rewrite(saved, lambda members: members.update({"model.weights.h5": weights}))
    assert "Skipping variable loading for optimizer" in refused(saved)


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04"])
def test_what_is_no_archive_is_refused(saved, content):
    saved.write_bytes(content)
    refused(saved)


def test_a_model_that_is_no_method_is_refused(saved):
    keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)]).save(saved)
    assert "a Sequential" in refused(saved)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere.keras"):
        load_method(tmp_path / "nowhere.keras")
