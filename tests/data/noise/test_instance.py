from __future__ import annotations

import hashlib

import numpy as np
import pytest
import scipy.special
import scipy.stats
from PIL import Image

from gdw_tf.data.images import ImageFiles
from gdw_tf.data.noise import corrupt_by_instance, instance, label_counts, row_shares
from gdw_tf.data.random import generator

NUM_CLASSES = 4


def example_data(count=200, high=256):
    random_state = np.random.RandomState(0)
    images = random_state.randint(high, size=(count, 3, 2, 1)).astype(np.uint8)
    return random_state.randint(NUM_CLASSES, size=count), images


def distributions(labels, images, rate, random_state):
    """The whole recipe at once, with SciPy: uniform numbers and distributions of the labels."""
    rates_at, uniform = random_state.random_sample((2, len(labels)))
    rates = scipy.stats.truncnorm(-rate / 0.1, (1 - rate) / 0.1, loc=rate, scale=0.1).ppf(rates_at)
    flat = images.reshape(len(labels), -1).astype(float)
    w = random_state.randn(NUM_CLASSES, flat.shape[1], NUM_CLASSES)
    scores = np.einsum("np,npc->nc", flat, w[labels])
    own = np.eye(NUM_CLASSES, dtype=bool)[labels]
    softmax = scipy.special.softmax(np.where(own, -np.inf, scores), axis=1)
    return uniform, np.where(own, 1 - rates[:, None], rates[:, None] * softmax)


@pytest.mark.parametrize("chunk", [1, 50, 2**22])
@pytest.mark.parametrize("high", [2, 256])
@pytest.mark.parametrize("rate", [0.03, 0.4, 1.0])
def test_labels_and_matrix_are_those_of_the_recipe(rate, high, chunk, monkeypatch):
    monkeypatch.setattr(instance, "_CHUNK", chunk)
    labels, images = example_data(high=high)
    given, matrix = corrupt_by_instance(labels, images, NUM_CLASSES, rate, generator(3))
    uniform, expected = distributions(labels, images, rate, generator(3))

    cumulative = expected.cumsum(axis=1)
    assert given.tolist() == [
        int(np.searchsorted(row, u, side="right"))
        for row, u in zip(cumulative, uniform, strict=True)
    ]
    assert given.dtype == np.int64
    for label in range(NUM_CLASSES):
        np.testing.assert_allclose(
            matrix[label], expected[labels == label].mean(axis=0), atol=1e-12
        )


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_the_realised_rate_is_the_mean_of_the_truncated_normal(rate):
    labels, images = example_data(20_000)
    given, matrix = corrupt_by_instance(labels, images, NUM_CLASSES, rate, generator(0))
    low, high = -rate / 0.1, (1 - rate) / 0.1
    normal = scipy.stats.norm
    mass = normal.cdf(high) - normal.cdf(low)
    expected = rate + 0.1 * (normal.pdf(low) - normal.pdf(high)) / mass
    # Four standard deviations of a share of 20,000.
    assert np.mean(given != labels) == pytest.approx(expected, abs=0.015)
    realised = row_shares(label_counts(labels, given, NUM_CLASSES))
    np.testing.assert_allclose(realised, matrix, atol=0.03)
    np.testing.assert_allclose(matrix.sum(axis=1), 1, rtol=1e-12)


def test_equal_images_of_a_class_share_their_wrong_label():
    labels = np.repeat([0, 1], 500)
    images = np.full((1000, 4, 4, 1), 200, np.uint8)
    given, _ = corrupt_by_instance(labels, images, NUM_CLASSES, 0.5, generator(1))
    for label in (0, 1):
        wrong = given[(labels == label) & (given != label)]
        assert len(wrong) > 150
        assert len(set(wrong)) == 1


def test_the_draw_of_a_class_does_not_depend_on_other_classes():
    labels, images = example_data()
    one = corrupt_by_instance(labels, images, NUM_CLASSES, 0.4, generator(5))[0]
    other = corrupt_by_instance(np.where(labels == 0, 1, labels), images, 4, 0.4, generator(5))[0]
    np.testing.assert_array_equal(one[labels > 1], other[labels > 1])


def test_a_class_without_images_has_a_row_of_the_identity():
    labels, images = example_data()
    _, matrix = corrupt_by_instance(np.minimum(labels, 2), images, NUM_CLASSES, 0.4, generator(0))
    np.testing.assert_array_equal(matrix[3], [0, 0, 0, 1])


def test_a_higher_rate_corrupts_more_of_the_same_images():
    labels, images = example_data(2000)
    low, high = (
        corrupt_by_instance(labels, images, NUM_CLASSES, rate, generator(0))[0] != labels
        for rate in (0.2, 0.3)
    )
    assert high.sum() > low.sum() > 0


def test_no_rate_changes_nothing():
    labels, images = example_data()
    given, matrix = corrupt_by_instance(labels, images, NUM_CLASSES, 0.0, generator(0))
    np.testing.assert_array_equal(given, labels)
    np.testing.assert_array_equal(matrix, np.eye(NUM_CLASSES))


def test_images_in_files_get_the_labels_of_images_in_memory(tmp_path):
    labels, _ = example_data(30)
    images = np.random.RandomState(1).randint(256, size=(30, 4, 5, 3)).astype(np.uint8)
    for number, image in enumerate(images):
        Image.fromarray(image).save(tmp_path / f"{number}.png")
    files = ImageFiles(tmp_path, [f"{number}.png" for number in range(30)], (4, 5))
    in_memory, in_files = (
        corrupt_by_instance(labels, source, NUM_CLASSES, 0.5, generator(0))
        for source in (images, files)
    )
    np.testing.assert_array_equal(in_memory[0], in_files[0])
    np.testing.assert_array_equal(in_memory[1], in_files[1])


def test_the_labels_are_the_same_on_every_machine():
    labels, images = example_data(2000)
    given, _ = corrupt_by_instance(labels, images, NUM_CLASSES, 0.4, generator(1, "noise"))
    digest = hashlib.sha256(given.astype("<i8").tobytes()).hexdigest()
    assert digest == "58db221e376adf9303368ab75b4d49038b117d2eebda52b0f3c9136ca9f02c1f"


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"rate": 1.5}, ValueError, "rate=1.5; allowed: 0 to 1"),
        ({"num_classes": 1}, ValueError, "num_classes=1; allowed: 2 or more"),
        ({"labels": [0, 9]}, ValueError, "labels from 0 to 9"),
        ({"labels": [0, 1, 2]}, ValueError, "2 images and 3 labels"),
        ({"images": np.array([["a"], ["b"]])}, TypeError, "dtype <U1"),
    ],
)
def test_bad_arguments_are_errors(change, error, message):
    arguments = {"labels": [0, 1], "images": np.zeros((2, 3)), "num_classes": 4, "rate": 0.1}
    with pytest.raises(error, match=message):
        corrupt_by_instance(**(arguments | change), random_state=generator(0))
