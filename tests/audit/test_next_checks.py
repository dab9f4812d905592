"""The examples to verify next."""

from __future__ import annotations

import numpy as np
import pytest

from gdw_tf.audit import Audit, next_checks


@pytest.fixture
def audit():
    probabilities = np.array(
        [[0.9, 0.1, 0.0], [0.5, 0.4, 0.1], [0.6, 0.4, 0.0], [0.3, 0.7, 0.0], [0.0, 0.2, 0.8]]
    )
    return Audit(np.zeros(5, int), probabilities, None, np.ones(5))


def test_the_least_decided_example_of_each_class_comes_first(audit):
    # Margins: 0.8, 0.1, 0.2 of class 0; 0.4 of class 1; 0.6 of class 2.
    assert next_checks(audit, 5).tolist() == [1, 3, 4, 2, 0]
    assert next_checks(audit, 2).tolist() == [1, 3]


@pytest.mark.parametrize("count", [0, 6])
def test_as_many_as_there_are_can_be_named(count, audit):
    with pytest.raises(ValueError, match=f"Received: count={count}; allowed: 1 to 5"):
        next_checks(audit, count)
