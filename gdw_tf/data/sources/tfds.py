"""Any image-classification data set of TensorFlow Datasets, by its name there: "tfds:mnist".

A name may have a configuration: "tfds:imagenet_resized/32x32". The images are held in memory,
decoded, so this is for data sets of up to a few gigabytes of pixels; larger ones go into folders
(`gdw_tf.data.sources.folder`).

Training images are those of the split "train". Test images are those of "test" or, where that is
missing or has no labels, of "validation"; where there is neither, a fifth of the training images of
each class, the same for every seed. Mean and standard deviation are those of the training images'
channels.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from gdw_tf.data.class_draws import draw_per_class
from gdw_tf.data.images import resize
from gdw_tf.data.random import generator
from gdw_tf.data.sources.source import Source
from gdw_tf.data.statistics import channel_statistics
from gdw_tf.memory import physical_memory

MEMORY_SHARE = 4
"""The decoded images may take 1 / MEMORY_SHARE of the machine's memory: they are copied."""


def prepared_builder(
    name: str,
    *,
    data_dir: str | None,
    download: bool,
    check: Callable[[Any], None] = lambda builder: None,
) -> Any:
    """Finds a builder of TensorFlow Datasets and sees to it that its data are there.

    Args:
        name: As TensorFlow Datasets calls it.
        data_dir: Folder of the prepared data; `None` for the default of TensorFlow Datasets.
        download: Whether to download and prepare the data when they are not there.
        check: Called with the builder before anything is downloaded; may raise an error.

    Returns:
        A `tfds.core.DatasetBuilder`.

    Raises:
        FileNotFoundError: If the data are not there and are not to be or cannot be downloaded.
        ValueError: If TensorFlow Datasets has no such name or version, or the data's description
            is damaged.
    """
    import tensorflow_datasets as tfds
    from google.protobuf import json_format

    try:
        builder = tfds.builder(name, data_dir=data_dir)
    except tfds.core.DatasetNotFoundError as error:
        raise ValueError(
            f"TensorFlow Datasets has no such data set. Received: {name}; allowed: a name of its "
            "catalogue, or of prepared data in data_dir."
        ) from error
    except (AssertionError, json_format.Error) as error:  # no such version; a damaged description
        raise ValueError(str(error)) from error
    check(builder)
    if not download and not builder.is_prepared():
        raise FileNotFoundError(
            f"There are no prepared data of {name}. Received: data_dir={data_dir!r}, "
            f"download=False; allowed: a data_dir with {name} in it, or download=True."
        )
    if download:
        try:
            builder.download_and_prepare()
        except AssertionError as error:  # what must be downloaded by hand
            raise FileNotFoundError(f"{name} cannot be downloaded: {error}") from error
    return builder


def load_tfds(
    *,
    name: str,
    data_dir: str | None,
    download: bool,
    image_size: tuple[int, int] | None = None,
) -> Source:
    """Loads a data set of TensorFlow Datasets.

    Args:
        name: As TensorFlow Datasets calls it.
        data_dir: Folder of the prepared data; `None` for the default of TensorFlow Datasets.
        download: Whether to download and prepare the data when they are not there.
        image_size: (height, width) to resize all images to; `None` if they are of one size, which
            is kept.

    Returns:
        The data set, in the order of the files; its labels are taken for true.

    Raises:
        FileNotFoundError: If the data are not there and are not to be or cannot be downloaded.
        ValueError: If it is no image-classification data set, its images are of different sizes
            and there is no `image_size`, or they do not fit into memory.
    """
    builder = prepared_builder(
        name,
        data_dir=data_dir,
        download=download,
        check=lambda builder: _check_features(name, builder.info, image_size),
    )
    _check_splits(name, builder.info, image_size)
    class_names = tuple(builder.info.features[_keys(builder.info)[1]].names)
    x_train, y_train = _read(builder, "train", image_size)
    for split in ("test", "validation"):
        if split in builder.info.splits:
            x_test, y_test = _read(builder, split, image_size)
            if y_test.size and y_test.min() >= 0:
                break
    else:
        fifth = np.bincount(y_train, minlength=len(class_names)) // 5
        test = draw_per_class(y_train, fifth, generator(0, "tfds", "test"))
        x_test, y_test = x_train[test], y_train[test]
        x_train, y_train = np.delete(x_train, test, axis=0), np.delete(y_train, test)
    mean, std = channel_statistics(x_train)
    return Source(
        name=f"tfds:{name}",
        x_train=x_train,
        y_train=y_train,
        x_test=x_test,
        y_test=y_test,
        class_names=class_names,
        mean=mean,
        std=std,
        augment=True,
    )


def _keys(info: Any) -> tuple[str, str]:
    """The features that hold image and class; those of usual names where the data set says none."""
    return info.supervised_keys or ("image", "label")


def _check_features(name: str, info: Any, image_size: tuple[int, int] | None) -> None:
    """Checks that examples are 8-bit images with one class each."""
    import tensorflow_datasets as tfds

    simple = [key for key in _keys(info) if isinstance(key, str) and key in info.features]
    image, label = (info.features[key] for key in simple) if len(simple) == 2 else (None, None)
    if not isinstance(image, tfds.features.Image) or type(label) is not tfds.features.ClassLabel:
        features = (f"{key} ({type(value).__name__})" for key, value in info.features.items())
        raise ValueError(
            f"This is no image-classification data set. Received: tfds:{name} with "
            f"{', '.join(features)}; allowed: an Image and a ClassLabel, which are its supervised "
            "keys or named image and label."
        )
    if image.np_dtype != np.uint8:
        raise ValueError(
            f"Images must have 8 bits. Received: tfds:{name} of {image.np_dtype}; allowed: uint8."
        )
    if None in image.shape and image_size is None:
        raise ValueError(
            f"The images of tfds:{name} are of different sizes. Received: image_size=None; "
            "allowed: a height and a width, image_size=H,W."
        )


def _check_splits(name: str, info: Any, image_size: tuple[int, int] | None) -> None:
    """Checks that there are training images and that all images fit into memory."""
    if "train" not in info.splits:
        raise ValueError(
            f"There are no training images. Received: tfds:{name} with splits "
            f"{', '.join(info.splits)}; allowed: one named train."
        )
    height, width, channels = info.features[_keys(info)[0]].shape
    height, width = image_size or (height, width)
    images = sum(split.num_examples for split in info.splits.values())
    gigabytes = images * height * width * channels / 2**30
    memory = physical_memory() / 2**30
    if gigabytes > memory / MEMORY_SHARE:
        raise ValueError(
            f"The images of tfds:{name} do not fit into memory. Received: {gigabytes:.1f} GiB of "
            f"pixels; allowed: {memory / MEMORY_SHARE:.1f} GiB. Try a smaller image_size, or "
            "image files and the data set folder."
        )


def _read(
    builder: Any, split: str, image_size: tuple[int, int] | None
) -> tuple[np.ndarray, np.ndarray]:
    """Reads a split whole, in the order of its files."""
    image_key, label_key = _keys(builder.info)

    def image_and_label(example: dict[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        image = example[image_key]
        return image if image_size is None else resize(image, image_size), example[label_key]

    examples = builder.as_dataset(split=split, shuffle_files=False).map(
        image_and_label, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True
    )
    whole = examples.batch(builder.info.splits[split].num_examples)
    images, labels = whole.get_single_element()
    return images.numpy(), labels.numpy().astype(np.int64)


LOADERS = {"tfds:NAME": load_tfds}
