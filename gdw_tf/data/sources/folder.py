"""Your own images, sorted into folders.

Below `--data_dir` stand

    train/CLASS/*     training images, sorted by their labels as they are, noise and all
    meta/CLASS/*      a small clean set, if there is one
    test/CLASS/*      test images, sorted truly

The files are JPEG, PNG, WebP or BMP, of any size; other files are not looked at. The classes are
the folders of train/, in alphabetical order.
"""

from __future__ import annotations

import os

from gdw_tf.data.sources.files import Listing, check_root, sorted_classes, source_of_files
from gdw_tf.data.sources.source import Source

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")


def load_folder(*, data_dir: str | None, image_size: tuple[int, int] | None = None) -> Source:
    """Lists the images of a folder.

    Args:
        data_dir: The folder with train/, test/ and, if there is a clean set, meta/ in it.
        image_size: (height, width) that images are resized to; `None` for 224 x 224.

    Returns:
        The data set, its files in alphabetical order. Its labels are not known to be true; the
        clean set, if any, is the meta set; mean and standard deviation are ImageNet's.

    Raises:
        OSError: If a folder is missing or cannot be read.
        ValueError: If no folder is named, a class has no training image or no folder in train/, a
            part has no images, or a link leads out of the folder.
    """
    root = check_root("folder", data_dir)
    has_clean_set = os.path.isdir(os.path.join(root, "meta"))
    parts = ("train", "meta", "test") if has_clean_set else ("train", "test")
    listings = {part: _list(root, part) for part in parts}
    return source_of_files("folder", root, listings, _folders(root, "train"), image_size)


def _list(root: str, part: str) -> Listing:
    paths, labels = [], []
    for label in _folders(root, part):
        for file_name in sorted(os.listdir(os.path.join(root, part, label))):
            if file_name.lower().endswith(SUFFIXES) and not file_name.startswith("."):
                paths.append(os.path.join(part, label, file_name))
                labels.append(label)
    return Listing(paths, labels)


def _folders(root: str, part: str) -> list[str]:
    folder = os.path.join(root, part)
    if not os.path.isdir(folder):
        raise NotADirectoryError(
            f"There is no folder {part} in the data. Received: data_dir={root}; allowed: a folder "
            "with train and test in it, and meta if there is a clean set."
        )
    return sorted_classes(
        entry.name
        for entry in os.scandir(folder)
        if entry.is_dir() and not entry.name.startswith(".")
    )


LOADERS = {"folder": load_folder}
