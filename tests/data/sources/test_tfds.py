from __future__ import annotations

import types

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from gdw_tf import data

IMAGES = np.random.RandomState(0).randint(256, size=(40, 5, 7, 3)).astype(np.uint8)
IMAGE = tfds.features.Image(shape=(5, 7, 3))
LABEL = tfds.features.ClassLabel(num_classes=3)


class TinyBuilder:
    """A builder of IMAGES, divided over splits, with the true class their number modulo 3."""

    def __init__(self, splits, shape=(5, 7, 3), features=None, keys=("image", "label")):
        self.parts, start = {}, 0
        for split, size in splits.items():
            self.parts[split] = np.arange(start, start + abs(size)), size < 0
            start += abs(size)
        self.downloaded = False
        self.info = types.SimpleNamespace(
            features=features
            or {
                "image": tfds.features.Image(shape=shape),
                "label": tfds.features.ClassLabel(names=["a", "b", "c"]),
            },
            supervised_keys=keys,
            splits={
                split: types.SimpleNamespace(num_examples=len(numbers))
                for split, (numbers, _) in self.parts.items()
            },
        )

    def is_prepared(self):
        return False

    def download_and_prepare(self):
        self.downloaded = True

    def as_dataset(self, *, split, shuffle_files):
        assert not shuffle_files
        numbers, unlabelled = self.parts[split]
        labels = np.full(len(numbers), -1) if unlabelled else numbers % 3
        image, label = self.info.supervised_keys or ("image", "label")
        return tf.data.Dataset.from_tensor_slices({image: IMAGES[numbers], label: labels})


@pytest.fixture
def load(monkeypatch):
    def load_builder(builder, **options):
        monkeypatch.setattr(tfds, "builder", lambda name, data_dir: builder)
        return data.load("tfds:tiny/odd", **options)

    return load_builder


def test_a_data_set_comes_whole_and_in_order(load):
    builder = TinyBuilder({"train": 12, "test": 6, "validation": 3})
    source = load(builder)
    assert builder.downloaded
    assert source.name == "tfds:tiny/odd"
    assert source.class_names == ("a", "b", "c")
    assert source.labels_are_true
    np.testing.assert_array_equal(source.x_train, IMAGES[:12])
    np.testing.assert_array_equal(source.x_test, IMAGES[12:18])
    np.testing.assert_array_equal(source.y_test, np.arange(12, 18) % 3)
    np.testing.assert_allclose(source.mean, IMAGES[:12].reshape(-1, 3).mean(axis=0))


def test_image_and_class_are_found_by_the_keys_or_by_their_names(load):
    features = {"picture": IMAGE, "kind": LABEL, "label": LABEL}
    keyed = TinyBuilder({"train": 12, "test": 6}, features=features, keys=("picture", "kind"))
    named = TinyBuilder({"train": 12, "test": 6}, keys=None)
    for builder in (keyed, named):
        source = load(builder)
        np.testing.assert_array_equal(source.x_train, IMAGES[:12])
        np.testing.assert_array_equal(source.y_train, np.arange(12) % 3)


def test_a_test_split_without_labels_gives_way_to_validation(load):
    source = load(TinyBuilder({"train": 12, "test": -6, "validation": 3}))
    np.testing.assert_array_equal(source.x_test, IMAGES[18:21])


def test_without_a_test_split_a_fifth_of_each_class_is_held_out(load):
    source, again = (load(TinyBuilder({"train": 33})) for _ in range(2))
    assert np.bincount(source.y_test).tolist() == [2, 2, 2]
    assert np.bincount(source.y_train).tolist() == [9, 9, 9]
    np.testing.assert_array_equal(source.x_test, again.x_test)
    together = np.concatenate([source.x_train, source.x_test])
    assert {image.tobytes() for image in together} == {image.tobytes() for image in IMAGES[:33]}


def test_images_of_different_sizes_are_resized(load):
    builder = TinyBuilder({"train": 12, "test": 6}, shape=(None, None, 3))
    assert load(builder, image_size=(5, 7)).x_train.tolist() == IMAGES[:12].tolist()
    assert load(builder, image_size=(2, 3)).image_shape == (2, 3, 3)
    with pytest.raises(ValueError, match="different sizes. Received: image_size=None"):
        load(builder)


@pytest.mark.parametrize(
    ("builder", "message"),
    [
        (
            TinyBuilder({"train": 3}, features={"image": IMAGE, "text": LABEL}, keys=None),
            "no image-classification data set",
        ),
        (
            TinyBuilder(
                {"train": 3}, features={"a": IMAGE, "b": LABEL, "c": LABEL}, keys=("a", ("b", "c"))
            ),
            "no image-classification data set",
        ),
        (
            TinyBuilder({"train": 3}, features={"image": LABEL, "label": LABEL}),
            r"Received: tfds:tiny/odd with image \(ClassLabel\), label \(ClassLabel\)",
        ),
        (
            TinyBuilder(
                {"train": 3},
                features={
                    "image": tfds.features.Image(shape=(5, 7, 1), dtype=np.uint16),
                    "label": LABEL,
                },
            ),
            "must have 8 bits. Received: tfds:tiny/odd of .*uint16",
        ),
    ],
)
def test_what_is_no_image_classification_is_an_error_before_any_download(builder, message, load):
    with pytest.raises(ValueError, match=message):
        load(builder)
    assert not builder.downloaded


def test_images_that_do_not_fit_into_memory_are_an_error(load):
    with pytest.raises(ValueError, match="do not fit into memory"):
        load(TinyBuilder({"train": 40}), image_size=(10**6, 10**6))
    with pytest.raises(ValueError, match="no training images"):
        load(TinyBuilder({"test": 40}))


def test_a_name_that_is_not_in_the_catalogue_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="no such data set. Received: no_such_set"):
        data.load("tfds:no_such_set", data_dir=str(tmp_path), download=False)


def test_a_version_that_there_is_not_and_a_damaged_description_are_errors(tmp_path):
    with pytest.raises(ValueError, match="cannot be loaded at version 9.9.9"):
        data.load("tfds:mnist:9.9.9", data_dir=str(tmp_path), download=False)
    (tmp_path / "mnist/3.0.1").mkdir(parents=True)
    (tmp_path / "mnist/3.0.1/dataset_info.json").write_text("{")
    with pytest.raises(ValueError, match="Failed to load JSON"):
        data.load("tfds:mnist", data_dir=str(tmp_path), download=False)


def test_data_that_cannot_be_read_are_an_error(load, tmp_path):
    builder = TinyBuilder({"train": 12})
    lost = tf.data.TFRecordDataset(str(tmp_path / "lost.tfrecord"))
    builder.as_dataset = lambda **_: lost.map(lambda _: {"image": IMAGES[0], "label": 0})
    with pytest.raises(OSError, match="data of tfds:tiny/odd cannot be read: /.*lost.tfrecord; No"):
        load(builder)


def test_what_must_be_downloaded_by_hand_is_one_line(load):
    builder = TinyBuilder({"train": 3})

    def by_hand():
        raise AssertionError("put the archive there")

    builder.download_and_prepare = by_hand
    with pytest.raises(FileNotFoundError, match="cannot be downloaded: put the archive there"):
        load(builder)
    with pytest.raises(FileNotFoundError, match="no prepared data"):
        load(builder, download=False)
