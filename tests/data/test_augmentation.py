from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import scipy.stats
import tensorflow as tf

from gdw_tf.data import Augmentation, crop_and_flip, training_batches
from gdw_tf.data.augmentation import augmenter

KEY = tf.constant([1, 2], tf.int64)
OTHER_KEY = tf.constant([1, 3], tf.int64)
GREY = 128

OPTIONS = {
    "crop_and_flip": Augmentation(crop_and_flip=True),
    "randaugment": Augmentation(randaugment=9.0),
    "cutout": Augmentation(cutout=0.5),
    "mixup": Augmentation(mixup=1.0),
    "all": Augmentation(crop_and_flip=True, randaugment=9.0, cutout=0.5, mixup=1.0),
}


def random_images(count: int, height: int = 10, width: int = 10, channels: int = 3) -> np.ndarray:
    shape = (count, height, width, channels)
    return np.random.RandomState(0).randint(256, size=shape).astype(np.uint8)


def augment(augmentation: Augmentation, images: np.ndarray, labels=None, key=KEY, num_classes=None):
    """Augments a batch; by default each image is a class of its own."""
    if labels is None:
        labels, num_classes = tf.range(len(images)), len(images)
    function = augmenter(augmentation, images.shape[1:], num_classes)
    images, labels = function(tf.constant(images), labels, key)
    return images.numpy(), tf.nest.map_structure(np.asarray, labels)


# Crop and flip


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("shape", [(5, 5, 1), (10, 12, 3)])
def test_every_image_becomes_a_window_of_its_own_padded_image(shape, dtype, possible_windows):
    images = random_images(60, *shape).astype(dtype)
    augmented = crop_and_flip(tf.constant(images), KEY)
    assert augmented.dtype == dtype
    assert augmented.shape == images.shape
    for image, result in zip(images, augmented.numpy(), strict=True):
        assert result.tobytes() in possible_windows(image)


def test_every_window_is_equally_likely(possible_windows):
    image = random_images(1)
    augmented = crop_and_flip(tf.constant(np.repeat(image, 8100, axis=0)), KEY)
    windows = possible_windows(image[0])
    assert len(windows) == 2 * 81
    found = [windows[result.tobytes()] for result in augmented.numpy()]
    counts = [found.count(window) for window in windows.values()]
    # Five standard deviations around 50.
    assert min(counts) >= 15
    assert max(counts) <= 85
    # Crop and flip of one image are no guide to those of the next.
    # Independent draws make 6,968 different pairs of windows on average.
    assert len(set(pairwise(found))) > 6800


def test_arrays_are_cropped_too():
    images = random_images(5)
    np.testing.assert_array_equal(
        crop_and_flip(images, KEY), crop_and_flip(tf.constant(images), KEY)
    )


@pytest.mark.parametrize("shape", [(2, 4, 8, 1), (2, 8, 4, 1), (2, 8, 8), (8,)])
def test_what_cannot_be_padded_by_reflection_is_an_error(shape):
    message = "cannot be augmented. Received: shape"
    with pytest.raises(ValueError, match=message):
        crop_and_flip(tf.zeros(shape), KEY)
    for augmentation in OPTIONS.values():
        with pytest.raises(ValueError, match=message):
            augmenter(augmentation, shape[1:], 10)
        with pytest.raises(ValueError, match=message):
            training_batches(
                np.zeros(shape),
                np.zeros(shape[0]),
                batch_size=1,
                seed=0,
                augmentation=augmentation,
                num_classes=10,
            )


# All augmentations


@pytest.mark.parametrize("name", OPTIONS)
def test_a_batch_is_a_function_of_the_key(name):
    images = random_images(20)
    first, again, other = (augment(OPTIONS[name], images, key=key) for key in (KEY, KEY, OTHER_KEY))
    np.testing.assert_array_equal(first[0], again[0])
    np.testing.assert_array_equal(first[1], again[1])
    assert not np.array_equal(first[0], images)
    assert not np.array_equal(first[0], other[0])


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
@pytest.mark.parametrize("name", OPTIONS)
def test_images_keep_shape_dtype_and_range(name, dtype, channels):
    images = random_images(20, 12, 10, channels).astype(dtype)
    augmented, _ = augment(OPTIONS[name], images)
    assert augmented.shape == images.shape
    assert augmented.dtype == dtype
    assert augmented.min() >= 0 and augmented.max() <= 255
    assert (augmented != images).any(axis=(1, 2, 3)).mean() > 0.5


def test_an_augmentation_of_nothing_changes_nothing():
    images, labels = random_images(3, 2, 2), {"a": tf.range(3)}
    augmented, answer = augment(Augmentation(), images, labels)
    np.testing.assert_array_equal(augmented, images)
    np.testing.assert_array_equal(answer["a"], labels["a"])


def test_one_step_more_leaves_the_draws_of_the_others():
    plain = np.full((20, 10, 10, 3), 200, np.uint8)
    erased, _ = augment(OPTIONS["cutout"], plain)
    images, labels = augment(Augmentation(crop_and_flip=True, cutout=0.5, mixup=1.0), plain)
    np.testing.assert_array_equal(labels, augment(OPTIONS["mixup"], plain)[1])
    own = np.diagonal(labels) > 0.9  # the other image hardly shows
    assert own.any()
    np.testing.assert_array_equal((images < 192)[own], (erased == GREY)[own])


@pytest.mark.parametrize(
    "values, message",
    [
        ({"randaugment": -1.0}, "randaugment=-1.0; allowed: 0 to 10"),
        ({"randaugment": 10.5}, "randaugment=10.5; allowed: 0 to 10"),
        ({"cutout": 1.5}, "cutout=1.5; allowed: 0 to 1"),
        ({"cutout": float("nan")}, "cutout=nan; allowed: 0 to 1"),
        ({"mixup": 0.05}, "mixup=0.05; allowed: 0, or numbers from 0.1"),
        ({"mixup": float("inf")}, "mixup=inf; allowed: 0, or numbers from 0.1"),
    ],
)
def test_a_number_out_of_range_is_an_error(values, message):
    with pytest.raises(ValueError, match=message):
        Augmentation(**values)


# Cutout


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("height, width", [(16, 16), (8, 24)])
def test_cutout_paints_over_a_part_of_each_image_of_the_size_asked_for(height, width, channels):
    images = np.full((200, height, width, channels), 7, np.uint8)
    images[:, :, :, -1] = 9
    erased, _ = augment(Augmentation(cutout=0.25), images)
    is_grey = erased == GREY
    np.testing.assert_array_equal(erased[~is_grey], images[~is_grey])
    assert (is_grey == is_grey[..., :1]).all()
    corners = set()
    for mask in is_grey[..., 0]:
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        assert mask.sum() == (height // 4) * (width // 4)
        assert (len(rows), len(columns)) == (height // 4, width // 4)
        assert np.ptp(rows) == len(rows) - 1 and np.ptp(columns) == len(columns) - 1
        corners.add((rows[0], columns[0]))
    # Every image draws a place of its own, and the places reach from edge to edge.
    assert len(corners) > 50
    for places, side in zip(zip(*corners, strict=True), (height, width), strict=True):
        assert min(places) <= 1 and max(places) >= side - side // 4 - 1


def test_cutout_of_the_whole_side_leaves_nothing():
    erased, _ = augment(Augmentation(cutout=1.0), random_images(5))
    assert (erased == GREY).all()


# Mixup


def coefficients(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The coefficient and the partner of each example, where each is a class of its own."""
    others = labels * (1 - np.eye(len(labels)))
    return np.diagonal(labels), others.argmax(axis=1)


def test_images_and_labels_are_mixed_by_one_coefficient():
    images = random_images(40)
    mixed, labels = augment(OPTIONS["mixup"], images)
    assert labels.dtype == np.float32
    own, partner = coefficients(labels)
    np.testing.assert_allclose(labels.sum(axis=1), 1, rtol=1e-6)
    assert (np.count_nonzero(labels, axis=1) <= 2).all()
    share = own[:, np.newaxis, np.newaxis, np.newaxis].astype(np.float64)
    expected = share * images + (1 - share) * images[partner]
    assert np.abs(mixed - expected).max() <= 0.5 + 1e-3  # rounded
    # All pairs are different: the partners are a permutation.
    assert len(set(partner[own < 1])) == (own < 1).sum() > 30


@pytest.mark.parametrize("alpha", [0.2, 1.0, 4.0])
def test_coefficients_have_the_beta_distribution(alpha):
    images = np.zeros((1000, 5, 5, 1), np.uint8)
    own, _ = coefficients(augment(Augmentation(mixup=alpha), images)[1])
    assert scipy.stats.kstest(own, scipy.stats.beta(alpha, alpha).cdf).pvalue > 1e-3


def test_labels_of_any_form_are_mixed_alike():
    images, labels = random_images(6), np.array([0, 1, 2, 0, 1, 2])
    mixed = [
        augment(OPTIONS["mixup"], images, form, num_classes=3)[1]
        for form in (labels, labels[:, np.newaxis], np.eye(3)[labels], np.eye(3, dtype=int)[labels])
    ]
    assert mixed[0].shape == (6, 3)
    for other in mixed[1:]:
        np.testing.assert_array_equal(mixed[0], other)


def test_what_comes_beside_the_labels_stays_that_of_the_image():
    images, labels, index = random_images(6), tf.range(6), tf.range(10, 16)
    alone, with_index = (
        augment(OPTIONS["mixup"], images, form, num_classes=6) for form in (labels, (labels, index))
    )
    np.testing.assert_array_equal(with_index[1][0], alone[1])
    np.testing.assert_array_equal(with_index[1][1], index)


def test_mixup_needs_the_number_of_classes():
    with pytest.raises(TypeError, match="num_classes=None"):
        augmenter(OPTIONS["mixup"], (8, 8, 3))
    with pytest.raises(ValueError, match="num_classes=1"):
        augmenter(OPTIONS["mixup"], (8, 8, 3), 1)
