from __future__ import annotations

import dataclasses
import shutil
import struct
import sys
import zlib

import numpy as np
import PIL.Image
import pytest

from gdw_tf import data
from gdw_tf.data import scan, without

# The package has the function by the name of its module.
scanning = sys.modules[scan.__module__]


def load(image_folder):
    return data.load("folder", data_dir=str(image_folder), image_size=(6, 8))


def png_without_pixels(width: int, height: int) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in ((b"IHDR", header), (b"IDAT", b""))
    ]
    return b"".join([b"\x89PNG\r\n\x1a\n", *chunks])


def test_sound_files_are_counted(image_folder):
    found = scan(load(image_folder))
    assert (found.files, found.unreadable) == (16, {})


def test_unreadable_files_are_named_with_the_reason_and_left_out(image_folder):
    source = load(image_folder)
    whole = (image_folder / "train/dog/0.png").read_bytes()
    (image_folder / "train/cat/0.png").write_bytes(b"no image at all")
    (image_folder / "train/dog/0.png").write_bytes(whole[: len(whole) // 2])
    (image_folder / "meta/dog/1.webp").unlink()
    (image_folder / "test/cat/1.webp").write_bytes(png_without_pixels(8000, 8000))
    (image_folder / "test/dog/1.webp").write_bytes(png_without_pixels(30000, 30000))

    found = scan(source, max_unreadable=0.5)

    assert found.files == 16
    assert list(found.unreadable) == [
        "train/cat/0.png",
        "train/dog/0.png",
        "meta/dog/1.webp",
        "test/cat/1.webp",
        "test/dog/1.webp",
    ]
    reasons = list(found.unreadable.values())
    assert reasons[0] == "no image; allowed: JPEG, PNG, WEBP, BMP"
    assert "No such file" in reasons[2]
    assert reasons[3] == "8000 x 8000 pixels; allowed: 50,000,000 in all"
    assert "900000000 pixels" in reasons[4]
    assert all("\n" not in reason for reason in reasons)

    rest = without(source, found.unreadable)
    for part, names, labels in (
        ("train", [f"cat/{n}" for n in ("1.webp", "2.bmp", "3.PNG")], [0] * 3),
        ("meta", ["cat/0.png", "cat/1.webp", "dog/0.png"], [0, 0, 1]),
        ("test", ["cat/0.png", "dog/0.png"], [0, 1]),
    ):
        images, y = getattr(rest, f"x_{part}"), getattr(rest, f"y_{part}")
        found_names = [images.name(index) for index in range(len(names))]
        assert found_names == [f"{part}/{name}" for name in names]
        assert y.tolist()[: len(labels)] == labels
    assert rest.y_train.tolist() == [0] * 3 + [1] * 3
    assert scan(rest).unreadable == {}


def test_a_palette_that_tensorflow_would_not_read_is_refused(image_folder):
    colours = PIL.Image.new("RGB", (8, 8), (200, 30, 40))
    colours.quantize(4).save(image_folder / "train/cat/2.bmp")
    PIL.Image.new("L", (8, 8), 90).save(image_folder / "train/dog/2.bmp")  # of grey there are none
    found = scan(load(image_folder), max_unreadable=0.5)
    assert found.unreadable == {
        "train/cat/2.bmp": "a BMP with a palette; allowed: others, such as the same as PNG"
    }


def test_too_many_unreadable_files_are_an_error(image_folder):
    (image_folder / "train/cat/0.png").write_bytes(b"")
    (image_folder / "train/cat/1.webp").write_bytes(b"")
    source = load(image_folder)
    with pytest.raises(ValueError, match=r"2 of 16 \(train/cat/0.png: no image.*=0.12 of them"):
        scan(source, max_unreadable=0.12)
    assert len(scan(source, max_unreadable=0.125).unreadable) == 2


def test_given_labels_go_with_their_images(image_folder):
    source = dataclasses.replace(load(image_folder), y_given=np.arange(8) % 2)
    rest = without(source, {"train/cat/1.webp"})
    assert rest.y_given.tolist() == [0, 0, 1, 0, 1, 0, 1]


def test_a_class_that_loses_all_its_training_images_is_an_error(image_folder):
    names = {f"train/dog/{name}" for name in ("0.png", "1.webp", "2.bmp", "3.PNG")}
    with pytest.raises(ValueError, match="No readable train image is left of class dog"):
        without(load(image_folder), names)


def test_a_clean_image_among_the_training_images_is_a_leak(image_folder):
    shutil.copy(image_folder / "meta/dog/1.webp", image_folder / "train/cat/copy.webp")
    source = load(image_folder)
    with pytest.raises(ValueError, match="1 of them, first meta/dog/1.webp, which is train/cat/c"):
        scan(source)
    assert scan(source, allow_leak=True).files == 17


def test_two_broken_files_are_no_leak(image_folder):
    for name in ("train/cat/0.png", "meta/cat/0.png"):
        (image_folder / name).write_bytes(b"")
    assert len(scan(load(image_folder), max_unreadable=0.2).unreadable) == 2


def test_images_in_memory_leak_too(image_folder):
    source = data.load("digits")
    assert scan(source).files == 0  # without a clean set nothing is looked at
    meta = source.x_test[:5].copy()
    clean = dataclasses.replace(source, x_meta=meta, y_meta=source.y_test[:5])
    assert scan(clean).files == 0
    meta[3] = source.x_train[40]
    with pytest.raises(ValueError, match=r"first x_meta\[3\], which is x_train\[40\]"):
        scan(clean)


def test_whatever_goes_wrong_in_a_decoder_the_file_is_unreadable(image_folder, monkeypatch):
    source = load(image_folder)

    def fails(contents, *_):
        raise NotImplementedError("codec\nof the future\x1b[0m")

    monkeypatch.setattr(scanning, "decode_image", fails)
    found = scan(source, max_unreadable=1.0)
    assert set(found.unreadable.values()) == {"codec of the future"}


def test_a_file_that_is_too_large_is_not_read_whole(image_folder, monkeypatch):
    source = load(image_folder)
    size = (image_folder / "train/dog/0.png").stat().st_size
    with (image_folder / "train/cat/0.png").open("ab") as file:
        file.truncate(10 * size)  # a hole
    monkeypatch.setattr(scanning, "MAX_BYTES", 5 * size)
    found = scan(source, max_unreadable=0.5)
    assert found.unreadable == {
        "train/cat/0.png": f"too large a file; allowed: {5 * size:,} bytes",
    }
