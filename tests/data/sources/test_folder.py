from __future__ import annotations

import shutil

import numpy as np
import pytest

from gdw_tf import data

PARTS = ("train", "meta", "test")


def load(folder, **options):
    return data.load("folder", data_dir=str(folder), **options)


def test_a_folder_is_listed_by_class(image_folder):
    (image_folder / "train/cat/notes.txt").write_text("not an image")
    (image_folder / "train/.cache").mkdir()
    source = load(image_folder, image_size=(5, 7))
    assert source.class_names == ("cat", "dog")
    assert source.x_train.name(5) == "train/dog/1.webp"
    np.testing.assert_array_equal(source.y_train, [0] * 4 + [1] * 4)
    np.testing.assert_array_equal(source.y_meta, [0, 0, 1, 1])
    np.testing.assert_array_equal(source.y_test, [0, 0, 1, 1])
    assert source.x_train.shape == (8, 5, 7, 3)
    assert source.image_shape == (5, 7, 3)
    assert not source.labels_are_true
    assert load(image_folder).image_shape == (224, 224, 3)
    np.testing.assert_allclose(source.mean, 255 * np.array([0.485, 0.456, 0.406]))
    np.testing.assert_allclose(source.std, 255 * np.array([0.229, 0.224, 0.225]))


def test_classes_that_are_numbers_have_the_order_of_numbers(image_folder):
    for part in PARTS:
        (image_folder / part / "cat").rename(image_folder / part / "10")
        (image_folder / part / "dog").rename(image_folder / part / "9")
    source = load(image_folder)
    assert source.class_names == ("9", "10")
    assert source.y_train.tolist() == [0] * 4 + [1] * 4
    assert source.x_train.name(0).startswith("train/9/")


def test_a_folder_may_have_no_clean_set(image_folder):
    shutil.rmtree(image_folder / "meta")
    source = load(image_folder)
    assert (source.x_meta, source.y_meta, source.parts) == (None, None, ("train", "test"))


def test_links_may_lead_within_the_folder_but_not_out_of_it(image_folder, write_image):
    inside, outside = image_folder / "train/cat/in.png", image_folder / "train/cat/out.png"
    inside.symlink_to(image_folder / "train/cat/0.png")
    assert len(load(image_folder).x_train) == 9
    write_image(image_folder.parent / "elsewhere.png", 99)
    outside.symlink_to(image_folder.parent / "elsewhere.png")
    with pytest.raises(ValueError, match="leads out of the data. Received: train/cat/out.png"):
        load(image_folder)
    outside.unlink()
    write_image(image_folder.parent / "others/1.png", 98)
    (image_folder / "train/emu").symlink_to(image_folder.parent / "others")
    with pytest.raises(ValueError, match="leads out of the data. Received: train/emu/1.png"):
        load(image_folder)


@pytest.mark.parametrize(
    ("spoil", "error", "message"),
    [
        (lambda tree: (tree / "train/emu").mkdir(), ValueError, "no training image.*class emu"),
        (lambda tree: shutil.rmtree(tree / "test"), OSError, "no folder test"),
        (
            lambda tree: (tree / "meta/dog").rename(tree / "meta/dgo"),
            ValueError,
            "meta images is no class. Received: 'dgo'; allowed: cat, dog",
        ),
        (
            lambda tree: [shutil.rmtree(tree / "test" / name) for name in ("cat", "dog")],
            ValueError,
            "There are no test images",
        ),
        (
            lambda tree: (tree / "train/cat/0.png").rename(tree / "train/cat/0\t.png"),
            ValueError,
            "control character",
        ),
        (
            lambda tree: [(tree / part / "cat").rename(tree / part / "c\nat") for part in PARTS],
            ValueError,
            "name of a class must be readable text",
        ),
        (
            lambda tree: [shutil.rmtree(tree / part / "dog") for part in PARTS],
            ValueError,
            "nothing to tell apart. Received: the class cat",
        ),
        (
            lambda tree: (tree / "train/cat/9.png").mkdir(),
            FileNotFoundError,
            "1 paths without a file, first train/cat/9.png",
        ),
        (
            lambda tree: (tree / "train/cat/lost.png").symlink_to(tree / "nowhere.png"),
            FileNotFoundError,
            "1 paths without a file, first train/cat/lost.png",
        ),
    ],
)
def test_a_folder_that_is_not_as_it_should_be_is_an_error(spoil, error, message, image_folder):
    spoil(image_folder)
    with pytest.raises(error, match=message) as raised:
        load(image_folder)
    assert "\n" not in str(raised.value)


def test_the_folder_must_be_there(tmp_path):
    with pytest.raises(ValueError, match="needs the folder of its images"):
        data.load("folder")
    with pytest.raises(NotADirectoryError, match="no such folder"):
        load(tmp_path / "nowhere")
