from __future__ import annotations

import hashlib

import numpy as np
import pytest

from gdw_tf.data.noise import asymmetric_matrix, asymmetric_targets, corrupt
from gdw_tf.data.noise.mistakes import CIFAR100_SUPERCLASSES
from gdw_tf.data.random import generator

CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

# The coarse label of each fine label in CIFAR-100's own files, in which both are numbered in
# alphabetical order.
COARSE_LABELS = [
    *(4, 1, 14, 8, 0, 6, 7, 7, 18, 3, 3, 14, 9, 18, 7, 11, 3, 9, 7, 11),
    *(6, 11, 5, 10, 7, 6, 13, 15, 3, 15, 0, 11, 1, 10, 12, 14, 16, 9, 11, 5),
    *(5, 19, 8, 8, 15, 13, 14, 17, 18, 10, 16, 4, 17, 4, 2, 0, 17, 4, 18, 17),
    *(10, 3, 2, 12, 12, 16, 12, 1, 9, 19, 2, 10, 0, 1, 16, 12, 9, 13, 15, 13),
    *(16, 19, 2, 4, 6, 19, 5, 5, 8, 19, 18, 1, 2, 15, 6, 0, 17, 8, 14, 13),
]


def cifar100_names() -> list[str]:
    return sorted(name for group in CIFAR100_SUPERCLASSES.values() for name in group)


def test_cifar10_mistakes_are_those_of_the_literature():
    # truck -> automobile, bird -> airplane, deer -> horse, cat <-> dog
    assert asymmetric_targets(CIFAR10).tolist() == [0, 1, 0, 5, 7, 3, 6, 7, 8, 1]


def test_digit_mistakes_are_those_of_the_literature():
    # 2 -> 7, 3 -> 8, 5 <-> 6, 7 -> 1
    assert asymmetric_targets(tuple("0123456789")).tolist() == [0, 1, 7, 8, 4, 6, 5, 1, 8, 9]


def test_the_superclasses_of_cifar100_are_those_of_its_files():
    names = cifar100_names()
    assert len(set(names)) == 100
    for number, (superclass, group) in enumerate(sorted(CIFAR100_SUPERCLASSES.items())):
        members = [names[fine] for fine in np.flatnonzero(np.equal(COARSE_LABELS, number))]
        assert list(group) == members, superclass


def test_cifar100_classes_go_round_in_their_superclass():
    targets = asymmetric_targets(cifar100_names())
    for number in range(20):
        members = np.flatnonzero(np.equal(COARSE_LABELS, number))
        np.testing.assert_array_equal(targets[members], np.roll(members, -1))


def test_the_numbers_follow_the_order_of_the_names():
    order = np.array([3, 9, 0, 1, 7, 2, 8, 4, 6, 5])
    names = [CIFAR10[label] for label in order]
    targets = asymmetric_targets(names)
    assert [names[target] for target in targets] == [
        CIFAR10[target] for target in asymmetric_targets(CIFAR10)[order]
    ]


def test_only_classes_that_can_be_mistaken_are():
    matrix = asymmetric_matrix(CIFAR10, 0.4)
    expected = np.eye(10)
    for label, target in [(9, 1), (2, 0), (4, 7), (3, 5), (5, 3)]:
        expected[label, [label, target]] = 0.6, 0.4
    np.testing.assert_allclose(matrix, expected, rtol=1e-15)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("cat", "dog"), r"2 classes \(cat, dog\); allowed: the classes of cifar10, cifar100, di"),
        (CIFAR10 + ("cat",), r"11 classes \(airplane, automobile, bird, \.\.\.\)"),
        ((), "0 classes"),
    ],
)
def test_other_classes_are_an_error_that_says_which_have_mistakes(names, message):
    with pytest.raises(ValueError, match=message):
        asymmetric_targets(names)


@pytest.mark.parametrize("rate", [-0.1, 1.5])
def test_a_rate_out_of_range_is_an_error(rate):
    with pytest.raises(ValueError, match=f"Received: rate={rate}; allowed: 0 to 1"):
        asymmetric_matrix(CIFAR10, rate)


def test_corrupted_labels_are_the_same_on_every_machine():
    matrix = asymmetric_matrix(cifar100_names(), 0.4)
    given = corrupt(np.tile(np.arange(100), 50), matrix, generator(1, "noise"))
    assert (
        hashlib.sha256(given.astype("<i8").tobytes()).hexdigest()
        == "3dd2c90fa8ce7078bb7ab3dcfad9c4aeb728d6577e401ae93dda275d733eef1a"
    )
