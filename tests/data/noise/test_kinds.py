from __future__ import annotations

import numpy as np
import pytest

from gdw_tf.data.noise import (
    KINDS,
    asymmetric_matrix,
    flip2_targets,
    flip_matrix,
    flip_targets,
    pair_matrix,
    transition_matrix,
    uniform_matrix,
)

DIGITS = tuple("0123456789")
SHIFT = np.roll(np.eye(10), 1, axis=1)


def test_the_kinds_of_noise():
    assert KINDS == ("none", "uniform", "flip", "flip2", "asymmetric", "pair", "matrix", "instance")


@pytest.mark.parametrize(
    ("kind", "rate", "options", "expected"),
    [
        ("none", 0.0, {}, np.eye(10)),
        ("uniform", 0.2, {}, uniform_matrix(10, 0.2)),
        ("flip", 0.4, {}, flip_matrix(10, 0.4, flip_targets(10))),
        ("flip2", 0.4, {}, flip_matrix(10, 0.4, flip2_targets(10))),
        ("pair", 0.4, {}, pair_matrix(10, 0.4)),
        ("asymmetric", 0.4, {"class_names": DIGITS}, asymmetric_matrix(DIGITS, 0.4)),
        ("matrix", 0.0, {"matrix": SHIFT.tolist()}, SHIFT),
    ],
)
def test_a_kind_by_name_is_its_matrix(kind, rate, options, expected):
    np.testing.assert_array_equal(transition_matrix(kind, 10, rate, **options), expected)


@pytest.mark.parametrize(
    ("kind", "rate", "options", "message"),
    [
        ("pink", 0.1, {}, "kind='pink'; allowed: none, uniform, flip, flip2, asymmetric, pair"),
        ("none", 0.4, {}, "kind='none', rate=0.4"),
        ("matrix", 0.4, {"matrix": SHIFT}, "kind='matrix', rate=0.4"),
        ("matrix", 0.0, {}, "kind='matrix' without a matrix"),
        ("uniform", 0.4, {"matrix": SHIFT}, "kind='uniform' with a matrix"),
        ("matrix", 0.0, {"matrix": np.eye(3)}, r"shape \(3, 3\); allowed: \(10, 10\)"),
        ("asymmetric", 0.4, {}, "0 classes"),
        ("instance", 0.4, {}, "kind='instance'"),
    ],
)
def test_what_does_not_go_together_is_an_error(kind, rate, options, message):
    with pytest.raises(ValueError, match=message):
        transition_matrix(kind, 10, rate, **options)
