"""Which training examples to verify next, so that they help most as new meta examples.

    margin_i = largest - second largest mean probability of the classes over the training
    of every suggested class in turn, the example of the smallest margin

The record holds what the meta gradient has made of an example in the course of a training: where
two classes are left with a margin between them that is small, the clean set has not decided it, and
a person's answer tells the next training something. Examples that are most surely mislabelled are
of less use: their true class is known without a person. docs/audit.md compares the rules that were
tried, and as many examples drawn at random.
"""

from __future__ import annotations

import numpy as np

from gdw_tf.audit.ranking import Audit
from gdw_tf.checks import check_integer


def next_checks(audit: Audit, count: int) -> np.ndarray:
    """Names the examples whose verification should help most.

    Args:
        audit: the evidence about N examples.
        count: how many to name, 1 to N.

    Returns:
        Their positions, int64, (count,), in the order of their use; as many of each suggested class
        as there are, as far as the classes have them.

    Raises:
        TypeError: `count` is not an integer.
        ValueError: it is out of range.
    """
    check_integer("count", count, 1, len(audit.given))
    two_largest = np.sort(audit.probabilities, axis=1)[:, -2:]
    by_margin = np.argsort(two_largest[:, 1] - two_largest[:, 0], kind="stable")
    # The place of each example among those of its suggested class.
    place = np.empty(len(by_margin), np.int64)
    for label in np.unique(audit.suggested):
        of_class = by_margin[audit.suggested[by_margin] == label]
        place[of_class] = np.arange(len(of_class))
    return by_margin[np.argsort(place[by_margin], kind="stable")][:count]
