"""Corrected labels as files: what is refused before anything is written."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from gdw_tf import data
from gdw_tf.audit.tables import LabelFiles
from gdw_tf.data.verified import Verified
from gdw_tf.settings import resolve

SETTINGS = resolve(dataset="digits", num_meta=20, train_examples=50)


@pytest.fixture
def noisy():
    return data.prepare(data.load("digits"), num_meta=20, train_examples=50)


def test_no_class_may_lose_its_last_training_image(noisy, tmp_path):
    of_class = np.flatnonzero(noisy.y_train == 3)
    files = LabelFiles(tmp_path / "corrected.npz", noisy, SETTINGS)
    with pytest.raises(ValueError, match="labels of which none is 3"):
        files.write(Verified(of_class, np.full(of_class.size, 4)))
    assert not list(tmp_path.iterdir())
    files.write(Verified(of_class[1:], np.full(of_class.size - 1, 4)))
    assert (tmp_path / "corrected.npz").exists()


def test_a_table_must_be_able_to_name_the_images(noisy, tmp_path):
    paths = ["caf\udce9.png", *map(str, range(49))]
    parts = {
        name: data.ImageFiles(tmp_path, paths[: len(getattr(noisy, name))], (8, 8))
        for name in ("x_train", "x_meta", "x_test")
    }
    with pytest.raises(ValueError, match=r"paths in UTF-8 only. Received: b'caf\\xe9.png'"):
        LabelFiles(tmp_path / "corrected.csv", dataclasses.replace(noisy, **parts), SETTINGS)
