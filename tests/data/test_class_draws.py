from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from gdw_tf.data.class_draws import balanced_counts, draw_per_class
from gdw_tf.data.random import generator

LABELS = np.repeat([0, 1, 2], [5, 2, 7])


def test_each_class_gives_its_count_or_all_it_has():
    drawn = draw_per_class(LABELS, np.array([3, 4, 0]), generator(0))
    assert np.bincount(LABELS[drawn], minlength=3).tolist() == [3, 2, 0]
    assert drawn.dtype == np.int64
    assert np.all(np.diff(drawn) > 0)


def test_a_smaller_draw_is_part_of_a_larger_one():
    smaller = draw_per_class(LABELS, np.array([1, 1, 3]), generator(1))
    larger = draw_per_class(LABELS, np.array([4, 1, 5]), generator(1))
    assert set(smaller) < set(larger)


def test_all_examples_of_a_class_are_drawn_sooner_or_later():
    drawn = [draw_per_class(LABELS, np.array([1, 0, 0]), generator(s))[0] for s in range(50)]
    assert set(drawn) == {0, 1, 2, 3, 4}


@settings(derandomize=True, database=None, deadline=None, max_examples=30)
@given(total=st.integers(0, 60), num_classes=st.integers(2, 12), seed=st.integers(0, 99))
def test_a_total_is_divided_evenly(total, num_classes, seed):
    counts = balanced_counts(total, num_classes, generator(seed))
    assert counts.sum() == total
    assert counts.max() - counts.min() <= 1


def test_the_remainder_goes_to_classes_drawn_at_random():
    lucky = {int(balanced_counts(5, 4, generator(seed)).argmax()) for seed in range(50)}
    assert lucky == {0, 1, 2, 3}
