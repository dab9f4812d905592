from __future__ import annotations

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

from gdw_tf.data import (
    Augmentation,
    ImageFiles,
    evaluation_batches,
    meta_batches,
    training_batches,
)
from gdw_tf.data.images import as_array, decode_image

SUFFIXES = (".png", ".webp", ".bmp")


@pytest.fixture
def files(tmp_path, write_image):
    """Nine files and their pixels, computed beside them."""
    names = [f"{number}{SUFFIXES[number % 3]}" for number in range(9)]
    pixels = [write_image(tmp_path / name, seed) for seed, name in enumerate(names)]
    return ImageFiles(tmp_path, names, (6, 8)), np.stack(pixels)


def test_files_stand_in_for_an_array(files):
    images, pixels = files
    assert len(images) == 9
    assert images.shape == pixels.shape == (9, 6, 8, 3)
    assert images.dtype == pixels.dtype
    assert images.name(1) == "1.webp"
    chosen = images[np.array([4, 0, 4])][1:]
    assert [chosen.name(index) for index in range(len(chosen))] == ["0.png", "4.webp"]
    np.testing.assert_array_equal(as_array(images), pixels)
    assert as_array(pixels) is pixels
    with pytest.raises(TypeError, match="no array. Received: 9 files"):
        np.asarray(images)


def test_names_need_not_be_ascii(tmp_path, write_image):
    pixels = write_image(tmp_path / "größe 猫.png", 3)
    images = ImageFiles(tmp_path, ["größe 猫.png"], (6, 8))
    assert images.name(0) == "größe 猫.png"
    np.testing.assert_array_equal(as_array(images), pixels[np.newaxis])


def test_files_make_the_batches_that_their_pixels_make(files):
    images, pixels = files
    labels = np.arange(9)
    common = {"seed": 3, "batch_size": 4, "initial_epoch": 1}
    augmentation = Augmentation(crop_and_flip=True, cutout=0.5)
    for make in (
        lambda x: training_batches(x, labels, augmentation=augmentation, **common).take(5),
        lambda x: meta_batches(x, labels, augment=True, steps_per_epoch=3, **common).take(5),
        lambda x: evaluation_batches(x, labels, batch_size=4),
    ):
        of_files, of_pixels = make(images), make(pixels)
        assert of_files.element_spec == of_pixels.element_spec
        pairs = list(zip(of_files.as_numpy_iterator(), of_pixels.as_numpy_iterator(), strict=True))
        assert len(pairs) >= 3
        for (x, y), (x_other, y_other) in pairs:
            np.testing.assert_array_equal(x, x_other)
            np.testing.assert_array_equal(y, y_other)


def encoded(image: PIL.Image.Image, tmp_path, suffix: str) -> bytes:
    image.save(tmp_path / f"image{suffix}")
    return (tmp_path / f"image{suffix}").read_bytes()


def test_a_jpeg_comes_close_to_its_pixels(tmp_path):
    ramp = np.tile(np.arange(0, 128, 4, dtype=np.uint8)[:, np.newaxis, np.newaxis], (1, 32, 3))
    decoded = decode_image(encoded(PIL.Image.fromarray(ramp), tmp_path, ".jpg"), (32, 32))
    assert np.abs(decoded.numpy().astype(int) - ramp).max() <= 3


@pytest.mark.parametrize("mode", ["L", "P", "RGBA"])
def test_every_mode_becomes_rgb(mode, tmp_path):
    grey = np.arange(48, dtype=np.uint8).reshape(6, 8)
    image = PIL.Image.fromarray(np.repeat(grey[..., np.newaxis], 3, axis=2)).convert(mode)
    expected = np.asarray(image.convert("RGB"))
    np.testing.assert_array_equal(decode_image(encoded(image, tmp_path, ".png"), (6, 8)), expected)


def test_shrinking_averages_and_changes_the_aspect_ratio(tmp_path):
    # Two halves, each of one colour: far from the edge an average is that colour.
    pixels = np.zeros((40, 60, 3), np.uint8)
    pixels[:, 30:] = 200
    decoded = decode_image(encoded(PIL.Image.fromarray(pixels), tmp_path, ".png"), (4, 4)).numpy()
    assert decoded.shape == (4, 4, 3)
    assert decoded.dtype == np.uint8
    assert (decoded[:, 0] == 0).all() and (decoded[:, 3] == 200).all()
    # A fine checkerboard is grey from afar.
    board = np.indices((64, 64)).sum(axis=0) % 2 * np.uint8(255)
    image = PIL.Image.fromarray(board.astype(np.uint8))
    far = decode_image(encoded(image, tmp_path, ".png"), (4, 4)).numpy()
    assert np.abs(far.astype(int) - 127.5).max() < 3


def test_a_damaged_file_stops_a_stream(files):
    images, _ = files
    with open(images.full_path(4), "wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n and no more")
    with pytest.raises(tf.errors.InvalidArgumentError):
        list(evaluation_batches(images, np.arange(9)))
