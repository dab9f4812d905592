from __future__ import annotations

import numpy as np
import pytest

from gdw_tf.data.noise import label_counts, matrix_text, row_shares


def test_counts_are_by_true_class_and_label_given():
    true = np.array([0, 0, 0, 1, 1, 2], dtype=np.uint8)
    given = [0, 2, 2, 1, 0, 2]
    counts = label_counts(true, given, 4)
    assert counts.tolist() == [[1, 0, 2, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]]
    assert counts.dtype == np.int64


def test_many_classes_do_not_overflow_a_small_type():
    true = np.full(5, 200, dtype=np.uint8)
    assert label_counts(true, true, 201)[200, 200] == 5


def test_shares_are_of_the_row_and_a_class_without_images_has_none():
    shares = row_shares([[3, 1], [0, 0]])
    np.testing.assert_array_equal(shares, [[0.75, 0.25], [0, 0]])


def test_the_table_can_be_read():
    lines = matrix_text(np.array([[2, 1], [0, 5]]), ["cat", "dog"]).splitlines()
    assert lines == [
        "true class  images | % given label",
        "                   |     0     1",
        "  0 cat          3 |  66.7  33.3",
        "  1 dog          5 |     . 100.0",
    ]


def test_labels_of_different_lengths_are_an_error():
    with pytest.raises(ValueError, match="2 and 1 labels"):
        label_counts([0, 1], [0], 2)
