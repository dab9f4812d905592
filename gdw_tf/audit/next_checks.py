"""Which training examples to verify next as new meta examples: the least decided ones.

    margin_i = largest - second largest mean probability of the classes over the training
    of every suggested class in turn, the example of the smallest margin

The record holds what the meta gradient has made of an example in the course of a training: where
two classes are left with a margin between them that is small, the clean set has not decided it, and
a person's answer says something that is not known yet; what is most surely mislabelled is known
without a person. So much for the idea. What it is worth, against other rules and against as many
examples drawn at random, `scripts/checks_table.py` measures; docs/audit.md has the figures.
"""

from __future__ import annotations

import numpy as np

from gdw_tf.audit.ranking import Audit
from gdw_tf.checks import check_integer


def next_checks(audit: Audit, count: int) -> np.ndarray:
    """Names the examples to verify next.

    Args:
        audit: the evidence about N examples.
        count: how many to name, 1 to N.

    Returns:
        Their positions, int64, (count,), the first to verify first; as many of each suggested class
        as there are, as far as the classes have them.

    Raises:
        TypeError: `count` is not an integer.
        ValueError: it is out of range.
    """
    check_integer("count", count, 1, len(audit.given))
    two_largest = np.sort(audit.probabilities, axis=1)[:, -2:]
    return class_by_class(two_largest[:, 0] - two_largest[:, 1], audit.suggested)[:count]


def class_by_class(value: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Orders examples so that every class has its turn, with its example of the largest value.

    Args:
        value: of each example, (N,).
        classes: of each example, integers, (N,).

    Returns:
        Their positions, int64, (N,).
    """
    order = np.argsort(-value, kind="stable")
    turn = np.empty(len(order), np.int64)
    for label in np.unique(classes):
        of_class = order[classes[order] == label]
        turn[of_class] = np.arange(len(of_class))
    return order[np.argsort(turn[order], kind="stable")]
