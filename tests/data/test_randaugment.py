from __future__ import annotations

import numpy as np
import PIL.Image
import PIL.ImageOps
import pytest
import tensorflow as tf

from gdw_tf.data import randaugment
from gdw_tf.data.randaugment import operations, rand_augment

KEY = tf.constant([1, 2], tf.int64)
MOVES = ("rotate", "shear_x", "shear_y", "translate_x", "translate_y")


def random_images(count: int, side: int = 32, channels: int = 3) -> np.ndarray:
    shape = (count, side, side, channels)
    return np.random.RandomState(0).randint(20, 230, size=shape).astype(np.uint8)


def apply(name: str, images: np.ndarray, magnitude: float) -> np.ndarray:
    operation = operations(magnitude, images.shape[-1])[name]
    return operation(tf.constant(images, tf.float32), KEY).numpy()


# The operations


def test_there_are_the_operations_of_the_paper():
    assert set(operations(5.0, 3)) == {
        *("identity", "auto_contrast", "equalize", "rotate", "solarize", "color", "posterize"),
        *("contrast", "brightness", "sharpness"),
        *("shear_x", "shear_y", "translate_x", "translate_y"),
    }
    assert set(operations(5.0, 3)) - set(operations(5.0, 1)) == {"color"}


@pytest.mark.parametrize("magnitude", [2.5, 10.0])
@pytest.mark.parametrize(
    "name, of_pil, tolerance",
    [
        ("identity", lambda image, share: image, 0),
        ("auto_contrast", lambda image, share: PIL.ImageOps.autocontrast(image), 1),
        ("posterize", lambda image, share: PIL.ImageOps.posterize(image, 8 - round(4 * share)), 0),
        ("solarize", lambda image, share: PIL.ImageOps.solarize(image, 256 * (1 - share)), 0),
    ],
)
def test_an_operation_does_what_pil_does(name, of_pil, tolerance, magnitude):
    images = random_images(4)
    expected = [np.asarray(of_pil(PIL.Image.fromarray(image), magnitude / 10)) for image in images]
    np.testing.assert_allclose(apply(name, images, magnitude), expected, atol=tolerance)


def test_an_image_is_equalised_by_its_own_histogram():
    images = np.stack([random_images(1)[0] // 4, random_images(1)[0] // 2 + 100])
    for image, equalised in zip(images, apply("equalize", images, 5.0), strict=True):
        for channel in range(3):
            values = image[..., channel]
            counts = np.cumsum(np.bincount(values.ravel(), minlength=256))
            least = counts[values.min()]
            table = np.round((counts - least) * 255 / (values.size - least))
            np.testing.assert_array_equal(equalised[..., channel], table[values])


@pytest.mark.parametrize("magnitude", [2.0, 10.0])
def test_brightness_shifts_each_image_by_its_own_amount(magnitude):
    images = np.full((300, 4, 4, 3), 120, np.uint8)
    shifts = apply("brightness", images, magnitude) - 120.0
    assert (np.ptp(shifts, axis=(1, 2, 3)) < 1e-3).all()
    farthest = 0.45 * magnitude / 10 * 255
    assert -farthest <= shifts.min() < -0.9 * farthest
    assert 0.9 * farthest < shifts.max() <= farthest


@pytest.mark.parametrize("magnitude", [2.0, 10.0])
@pytest.mark.parametrize("name", ["contrast", "sharpness", "color"])
def test_an_image_moves_from_or_to_its_dull_version_by_a_factor_of_its_own(name, magnitude):
    images = (random_images(300, side=6) // 10 + 110).astype(np.float32)  # far from clipping
    if name == "contrast":
        dull = images.mean(axis=(1, 2), keepdims=True)
    elif name == "color":
        dull = (images @ np.array([0.299, 0.587, 0.114]))[..., np.newaxis]
    else:
        neighbours = [
            images[:, 1 + row : 5 + row, 1 + column : 5 + column]
            for row in (-1, 0, 1)
            for column in (-1, 0, 1)
        ]
        images, dull = neighbours[4], (sum(neighbours) + 4 * neighbours[4]) / 13
    augmented = apply(name, random_images(300, side=6) // 10 + 110, magnitude)
    if name == "sharpness":
        augmented = augmented[:, 1:5, 1:5]  # pixels with all their neighbours
    difference = images - dull
    factors = ((augmented - dull) * difference).sum((1, 2, 3)) / (difference**2).sum((1, 2, 3))
    expected = dull + factors[:, np.newaxis, np.newaxis, np.newaxis] * difference
    np.testing.assert_allclose(augmented, expected, atol=0.05)
    farthest = 0.9 * magnitude / 10
    assert 1 - farthest - 1e-3 <= factors.min() < 1 - 0.9 * farthest
    assert 1 + 0.9 * farthest < factors.max() <= 1 + farthest + 1e-3


@pytest.mark.parametrize("magnitude", [2.0, 10.0])
@pytest.mark.parametrize("name", MOVES)
def test_a_move_goes_both_ways_as_far_as_the_magnitude_says(name, magnitude):
    # A bright dot on a grey image, in row 10 and column 30, counted from the corner that a shear
    # leaves where it is.
    images = np.full((300, 41, 41, 1), 128, np.uint8)
    images[:, 9:12, 29:32] = 255
    weights = apply(name, images, magnitude)[..., 0] - 128
    seen = weights.sum((1, 2)) > 0
    assert (weights[~seen] == 0).all()  # grey comes in where nothing is
    weights = weights[seen] / weights[seen].sum((1, 2), keepdims=True)
    x = (weights.sum(1) * (np.arange(41) - 20)).sum(1)
    y = (weights.sum(2) * (np.arange(41) - 20)).sum(1)
    full, slack = {
        "rotate": (30, 4.0),
        "shear_x": (0.3 * 10, 1.0),
        "shear_y": (0.3 * 30, 1.0),
        "translate_x": (0.45 * 41, 1.0),
        "translate_y": (0.45 * 41, 1.0),
    }[name]
    if name == "rotate":
        np.testing.assert_allclose(np.hypot(x, y), np.hypot(10, 10), atol=1)
        moved = np.degrees(np.arctan2(-y, x)) - 45
    else:
        moved, still = (x - 10, y + 10) if name.endswith("x") else (y + 10, x - 10)
        np.testing.assert_allclose(still, 0, atol=0.6)
    farthest = full * magnitude / 10
    assert np.abs(moved).max() <= farthest + slack
    seen_up_to = min(farthest, 10) if name.startswith("translate") else farthest
    assert moved.min() < -0.8 * seen_up_to + slack
    assert moved.max() > 0.8 * seen_up_to - slack


# The policy


def test_every_image_draws_two_operations_of_its_own(monkeypatch):
    def adds(number: float):
        return lambda images, key: images + number

    made = {name: adds(number) for name, number in (("a", 1.0), ("b", 10.0), ("c", 100.0))}
    monkeypatch.setattr(randaugment, "operations", lambda magnitude, num_channels: made)
    augmented = rand_augment(5.0, 1)(tf.zeros((900, 1, 1, 1)), KEY).numpy().ravel()
    values, counts = np.unique(augmented, return_counts=True)
    assert values.tolist() == [2, 11, 20, 101, 110, 200]
    # Of 9 pairs, 100 each; two in another order count together. Five standard deviations.
    expected = np.array([100, 200, 100, 200, 200, 100])
    assert (np.abs(counts - expected) < 5 * np.sqrt(expected)).all()


def test_operations_are_given_the_images_that_drew_them_and_keys_of_their_own(monkeypatch):
    keys = []

    def record(images, key):
        keys.append(tuple(key.numpy().tolist()))
        return images

    monkeypatch.setattr(
        randaugment, "operations", lambda magnitude, num_channels: dict.fromkeys("abc", record)
    )
    images = tf.constant(random_images(9), tf.float32)
    np.testing.assert_array_equal(rand_augment(5.0, 3)(images, KEY), images)
    assert len(set(keys)) == 6


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("count", [0, 1, 40])
def test_batches_of_any_size_are_augmented(count, channels):
    images = random_images(count, 8, channels)
    augmented = rand_augment(9.0, channels)(tf.constant(images, tf.float32), KEY)
    assert augmented.shape == images.shape
    assert np.isfinite(augmented).all()
    if count == 40:
        changed = (np.abs(augmented - images) > 1).any(axis=(1, 2, 3))
        assert changed.sum() > 30


def test_an_image_of_one_colour_stays_finite():
    images = tf.fill((200, 8, 8, 3), 77.0)
    assert np.isfinite(rand_augment(9.0, 3)(images, KEY)).all()
