"""Your own images in one NumPy archive.

`--data_file=FILE.npz` holds the arrays

    x, y              training images and their labels, as they are, noise and all
    x_meta, y_meta    a small clean set, if there is one
    x_test, y_test    test images and their true labels
    class_names       the name of each class, strings, if they have names

Images are uint8, shape (N, height, width, channels) or (N, height, width); labels are class
indices, shape (N,). `numpy.savez` writes such a file. Mean and standard deviation are those of the
training images' channels.
"""

from __future__ import annotations

import lzma
import os
import zipfile
import zlib

import numpy as np

from gdw_tf.checks import check_labels, is_printable
from gdw_tf.data.images import resize
from gdw_tf.data.sources.files import check_every_class
from gdw_tf.data.sources.source import Source
from gdw_tf.data.statistics import channel_statistics
from gdw_tf.memory import physical_memory

# What NumPy and zipfile may answer to a file that is damaged, encrypted, or made to do harm.
_DAMAGED = (
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, ValueError, EOFError, MemoryError),
    *(NotImplementedError, RuntimeError, OverflowError),
)
PART_SUFFIXES = {"train": "", "meta": "_meta", "test": "_test"}
"""Of the names of the arrays, by the part of the data."""


def load_npz(*, data_file: str | None = None, image_size: tuple[int, int] | None = None) -> Source:
    """Loads an archive.

    Args:
        data_file: The archive. Nothing in it is unpickled.
        image_size: (height, width) to resize all images to; `None` for the size they have.

    Returns:
        The data set. Its classes are 0 to the highest label of the training images, and their names
        these numbers where it has no others; the labels are not known to be true; the clean set, if
        any, is the meta set.

    Raises:
        OSError: If the file cannot be read.
        TypeError: If labels are not integers.
        ValueError: If no file is named, an array is missing, not as it should be or too large, a
            class has no training image, or names are not one for each class.
    """
    if data_file is None:
        raise ValueError("The data set npz needs a file. Received: data_file=None.")
    arrays = _read(os.path.expanduser(data_file))
    parts = {
        part: (_images(f"x{suffix}", arrays, image_size), arrays[f"y{suffix}"])
        for part, suffix in PART_SUFFIXES.items()
        if f"x{suffix}" in arrays
    }
    shapes = {images.shape[1:] for images, _ in parts.values()}
    if len(shapes) > 1:
        raise ValueError(
            f"All images must be of one shape. Received: {', '.join(map(str, sorted(shapes)))}."
        )
    # As every class has a training image, there are no more classes than these.
    y_train = check_labels("y", parts["train"][1], max(2, parts["train"][1].size))
    class_names = _class_names(arrays.get("class_names"), max(2, int(1 + y_train.max())))
    check_every_class(y_train, class_names)
    labels = {
        part: check_labels(f"y{PART_SUFFIXES[part]}", y, len(class_names))
        for part, (_, y) in parts.items()
    }
    mean, std = channel_statistics(parts["train"][0])
    return Source(
        name="npz",
        x_train=parts["train"][0],
        y_train=labels["train"],
        x_test=parts["test"][0],
        y_test=labels["test"],
        class_names=class_names,
        mean=mean,
        std=std,
        augment=True,
        labels_are_true=False,
        x_meta=parts["meta"][0] if "meta" in parts else None,
        y_meta=labels.get("meta"),
        has_names="class_names" in arrays,
    )


def _read(data_file: str) -> dict[str, np.ndarray]:
    names = [f"{axis}{suffix}" for axis in "xy" for suffix in PART_SUFFIXES.values()]
    with open(data_file, "rb") as file:
        if not zipfile.is_zipfile(file):
            raise ValueError(f"This is no archive of numpy.savez. Received: {data_file}.")
    try:
        _check_size(data_file, {f"{name}.npy" for name in (*names, "class_names")})
        with np.load(data_file, allow_pickle=False) as archive:
            arrays = {
                name: np.asarray(archive[name])
                for name in (*names, "class_names")
                if name in archive
            }
            found = ", ".join(archive)
    except _DAMAGED as error:
        raise ValueError(
            f"An array of this archive cannot be read. Received: {data_file}: {error}."
        ) from error
    if not {"x_meta", "y_meta"} & arrays.keys():  # there is no clean set
        names = [name for name in names if not name.endswith("_meta")]
    if missing := [name for name in names if name not in arrays]:
        raise ValueError(
            f"Arrays are missing from {data_file}. Received: {found}; missing: "
            f"{', '.join(missing)}."
        )
    return arrays


def _class_names(names: np.ndarray | None, count: int) -> tuple[str, ...]:
    """The names of the classes; their numbers where there are none."""
    if names is None:
        return tuple(map(str, range(count)))
    found = tuple(names.tolist()) if names.ndim == 1 and names.dtype.kind == "U" else ()
    if len(set(found)) != count or len(found) != count or not all(map(is_printable, found)):
        raise ValueError(
            f"class_names must be different lines of text, one for each class. Received: "
            f"{names.dtype} of shape {names.shape}; allowed: {count} strings."
        )
    return found


def _check_size(data_file: str, members: set[str]) -> None:
    """Checks that arrays fit into memory, in which batches have a copy: few bytes can hold many."""
    with zipfile.ZipFile(data_file) as archive:
        size = sum(one.file_size for one in archive.infolist() if one.filename in members)
    allowed = physical_memory() // 2
    if size > allowed:
        raise ValueError(f"{size / 2**30:.1f} GiB of arrays; allowed: {allowed / 2**30:.1f} GiB")


def _images(
    name: str, arrays: dict[str, np.ndarray], image_size: tuple[int, int] | None
) -> np.ndarray:
    images = arrays[name]
    if images.dtype != np.uint8 or images.ndim not in (3, 4) or not images.size:
        raise ValueError(
            f"{name} must be images. Received: {images.dtype} of shape {images.shape}; allowed: "
            "uint8 of shape (N, height, width, channels) or (N, height, width)."
        )
    images = images if images.ndim == 4 else images[..., np.newaxis]
    if image_size is None or images.shape[1:3] == tuple(image_size):
        return images
    # In slices: a resized image is floating point at first.
    slices = (images[start : start + 1000] for start in range(0, len(images), 1000))
    return np.concatenate([resize(part, image_size).numpy() for part in slices])


LOADERS = {"npz": load_npz}
