"""Clothing1M: a million photographs of clothes from shops, labelled by the words around them.

By Xiao et al., "Learning from Massive Noisy Labeled Data for Image Classification", CVPR 2015.
About 38 % of the labels are wrong. Below `--data_dir` stand the files as they are published:

    images/...                                         the photographs
    noisy_train_key_list.txt                           paths of the training images
    clean_{train,val,test}_key_list.txt                paths of the images that people labelled
    noisy_label_kv.txt, clean_label_kv.txt             lines of a path and a class, 0 to 13

(the lists may also stand in annotations/). Training uses the million noisy labels. The meta set is
the 47,570 clean training images, or as many of them, class-balanced, as `--num_meta` says. The
14,313 clean validation images stay unused. Test images are the 10,526 clean ones.
"""

from __future__ import annotations

import os

from gdw_tf.data.sources.files import Listing, check_root, open_text, source_of_files
from gdw_tf.data.sources.source import Source

CLASS_NAMES = (
    "T-Shirt",
    "Shirt",
    "Knitwear",
    "Chiffon",
    "Sweater",
    "Hoodie",
    "Windbreaker",
    "Jacket",
    "Downcoat",
    "Suit",
    "Shawl",
    "Dress",
    "Vest",
    "Underwear",
)
PARTS = {
    "train": ("noisy_train_key_list.txt", "noisy_label_kv.txt"),
    "meta": ("clean_train_key_list.txt", "clean_label_kv.txt"),
    "test": ("clean_test_key_list.txt", "clean_label_kv.txt"),
}
"""Which list and which labels make up a part."""


def load_clothing1m(*, data_dir: str | None, image_size: tuple[int, int] | None = None) -> Source:
    """Lists the images of Clothing1M.

    Args:
        data_dir: The folder of the data set.
        image_size: (height, width) that images are resized to; `None` for 224 x 224.

    Returns:
        The data set, its files in the order of the lists; mean and standard deviation are
        ImageNet's.

    Raises:
        OSError: If a list or an image is missing or cannot be read.
        ValueError: If no folder is named, a line is not as it should be, an image has no label or
            two, or a class has no training image.
    """
    root = check_root("clothing1m", data_dir)
    labels = {
        table: _labels(root, table) for table in dict.fromkeys(kv for _, kv in PARTS.values())
    }
    listings = {
        part: _listing(root, keys, labels[table], table) for part, (keys, table) in PARTS.items()
    }
    return source_of_files("clothing1m", root, listings, CLASS_NAMES, image_size)


def _listing(root: str, keys: str, label_of: dict[str, str], table: str) -> Listing:
    paths = _lines(root, keys)
    if unlabelled := [path for path in paths if path not in label_of]:
        raise ValueError(
            f"Images of {keys} have no label in {table}. Received: {len(unlabelled)} of them, "
            f"first {unlabelled[0]}."
        )
    return Listing(paths, [label_of[path] for path in paths])


def _labels(root: str, table: str) -> dict[str, str]:
    """The name of the class of every path of a table."""
    names = {str(number): name for number, name in enumerate(CLASS_NAMES)}
    label_of: dict[str, str] = {}
    for line in _lines(root, table):
        path, _, number = line.rpartition(" ")
        if not path or number not in names:
            raise ValueError(
                f"A line of {table} is no path and class. Received: {line}; allowed: a path, a "
                f"blank and a number from 0 to {len(CLASS_NAMES) - 1}."
            )
        if label_of.setdefault(path, names[number]) != names[number]:
            raise ValueError(f"An image has two classes in {table}. Received: {path}.")
    return label_of


def _lines(root: str, name: str) -> list[str]:
    for folder in (root, os.path.join(root, "annotations")):
        path = os.path.join(folder, name)
        if os.path.isfile(path):
            with open_text(path) as file:
                return [line.strip() for line in file if line.strip()]
    raise FileNotFoundError(f"A list of Clothing1M is missing. Received: no {name} in {root}.")


LOADERS = {"clothing1m": load_clothing1m}
