from __future__ import annotations

import pytest

from gdw_tf import data

NAMES = "T-Shirt Shirt Knitwear Chiffon Sweater Hoodie Windbreaker Jacket Downcoat Suit Shawl Dress Vest Underwear"  # noqa: E501


@pytest.fixture
def clothing(tmp_path, write_image):
    """A tree of 28 noisy training images, 14 clean ones for training and 14 for the test."""
    keys = {"noisy_train": [], "clean_train": [], "clean_test": [], "clean_val": []}
    noisy, clean = [], []
    for number in range(28 + 14 + 14):
        part = "noisy_train" if number < 28 else "clean_train" if number < 42 else "clean_test"
        key = f"images/{number % 10}/{number},a.png"
        write_image(tmp_path / key, number)
        keys[part].append(key)
        noisy.append(f"{key} {(number + 1) % 14}")
        if number >= 28:
            clean.append(f"{key} {number % 14}")
    for part, lines in keys.items():
        (tmp_path / f"{part}_key_list.txt").write_text("\n".join(reversed(lines)) + "\n")
    (tmp_path / "noisy_label_kv.txt").write_text("\n".join(noisy) + "\n")
    (tmp_path / "clean_label_kv.txt").write_text("\n".join(clean) + "\n")
    return tmp_path


def test_the_parts_are_those_of_the_lists(clothing):
    source = data.load("clothing1m", data_dir=str(clothing))
    assert source.class_names == tuple(NAMES.split())
    assert source.image_shape == (224, 224, 3)
    assert source.x_train.name(0) == "images/7/27,a.png"
    assert source.y_train.tolist() == [(number + 1) % 14 for number in reversed(range(28))]
    assert source.x_meta.name(0) == "images/1/41,a.png"
    assert source.y_meta.tolist() == source.y_test.tolist() == list(reversed(range(14)))
    assert source.x_test.name(13) == "images/2/42,a.png"
    assert not source.labels_are_true


def test_the_lists_may_stand_in_annotations(clothing):
    (clothing / "annotations").mkdir()
    for path in clothing.glob("*.txt"):
        path.rename(clothing / "annotations" / path.name)
    assert len(data.load("clothing1m", data_dir=str(clothing)).x_train) == 28


@pytest.mark.parametrize(
    ("name", "old", "new", "error", "message"),
    [
        (
            "noisy_label_kv",
            "3,a.png 4\n",
            "3,a.png 14\n",
            ValueError,
            "Received: .*3,a.png 14; all",
        ),
        ("noisy_label_kv", "/13,a.png 0\n", "/13,a.png\n", ValueError, "is no path and class"),
        ("noisy_label_kv", "/13,a.png 0\n", "/13,a.png ٣\n", ValueError, "is no path and class"),
        (
            "noisy_label_kv",
            "images/3/13,a.png 0\n",
            "0\n",
            ValueError,
            "no path and .* Received: 0",
        ),
        (
            "noisy_label_kv",
            "images/3/13,a.png 0\n",
            "images/3/13,a.png 0\nimages/3/13,a.png 5\n",
            ValueError,
            "two classes in noisy_label_kv.txt. Received: images/3/13,a.png",
        ),
        ("clean_label_kv", "30,a.png", "x,a.png", ValueError, "1 of them, first images/0/30,a.png"),
        ("clean_test_key_list", "42,a", "1,a", ValueError, "clean_test.* no label in clean_label"),
        ("noisy_label_kv", " 0\n", " 1\n", ValueError, "no training image. Received: class T-Sh"),
    ],
)
def test_lists_that_are_not_as_they_should_be_are_errors(name, old, new, error, message, clothing):
    path = clothing / f"{name}.txt"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(error, match=message) as raised:
        data.load("clothing1m", data_dir=str(clothing))
    assert "\n" not in str(raised.value)


def test_a_list_that_is_no_text_is_an_error(clothing):
    (clothing / "clean_label_kv.txt").write_bytes(b"images/\xff.png 3\n")
    with pytest.raises(ValueError, match="no text in UTF-8. Received: .*clean_label_kv.txt"):
        data.load("clothing1m", data_dir=str(clothing))


def test_missing_lists_and_images_are_named(clothing):
    (clothing / "images/3/3,a.png").unlink()
    with pytest.raises(FileNotFoundError, match="1 paths without a file, first images/3/3,a.png"):
        data.load("clothing1m", data_dir=str(clothing))
    (clothing / "clean_train_key_list.txt").unlink()
    with pytest.raises(FileNotFoundError, match="no clean_train_key_list.txt in"):
        data.load("clothing1m", data_dir=str(clothing))
