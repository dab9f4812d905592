"""What the sources of image files share: from lists of paths and labels to a `Source`."""

from __future__ import annotations

import contextlib
import functools
import os
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, TextIO

import numpy as np

from gdw_tf.checks import is_printable
from gdw_tf.data.images import ImageFiles
from gdw_tf.data.sources.source import Source
from gdw_tf.data.statistics import IMAGENET_MEAN, IMAGENET_STD

IMAGE_SIZE = (224, 224)


class Listing(NamedTuple):
    """Paths of images below the root of the data, relative or not, and the class of each."""

    paths: Sequence[str]
    labels: Sequence[str]


def source_of_files(
    name: str,
    root: str,
    listings: Mapping[str, Listing],
    class_names: Sequence[str],
    image_size: tuple[int, int] | None,
) -> Source:
    """Makes the source of a data set of image files.

    No image is read. The labels are not known to be true; mean and standard deviation are
    ImageNet's.

    Args:
        name: The name that it is loaded by.
        root: The folder that all paths are relative to. Links that lead out of it are refused.
        listings: The images of "train", "test" and, if there is a clean set, "meta".
        class_names: The name of each class, in the order of their numbers.
        image_size: (height, width) of the images to be; `None` for `IMAGE_SIZE`.

    Raises:
        FileNotFoundError: If an image is missing.
        ValueError: If a part has no images, a label is no class, there are less than two classes,
            one has no training image or a name that cannot be printed, or a file is not below the
            root.
    """
    for label in class_names:
        if not is_printable(label):
            raise ValueError(f"The name of a class must be readable text. Received: {label!r}.")
    numbers = {label: number for number, label in enumerate(class_names)}
    x, y = {}, {}
    for part, (paths, labels) in listings.items():
        if not paths:
            raise ValueError(f"There are no {part} images. Received: {root}.")
        paths = _relative(root, paths)
        if unknown := sorted(set(labels) - numbers.keys()):
            raise ValueError(
                f"A label of the {part} images is no class. Received: {unknown[0]!r}; allowed: "
                f"{', '.join(class_names)}."
            )
        _check_paths(root, paths)
        x[part] = ImageFiles(root, paths, image_size or IMAGE_SIZE)
        y[part] = np.array([numbers[label] for label in labels], np.int64)
    check_every_class(y["train"], class_names)
    return Source(
        name=name,
        x_train=x["train"],
        y_train=y["train"],
        x_test=x["test"],
        y_test=y["test"],
        class_names=tuple(class_names),
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
        augment=True,
        labels_are_true=False,
        x_meta=x.get("meta"),
        y_meta=y.get("meta"),
    )


def check_every_class(y_train: np.ndarray, class_names: Sequence[str]) -> None:
    """Checks that there are two classes or more, and that every one has a training image.

    Raises:
        ValueError: If that is not so.
    """
    if len(class_names) < 2:
        raise ValueError(
            f"There is nothing to tell apart. Received: the class {', '.join(class_names)}; "
            "allowed: two classes or more."
        )
    counts = np.bincount(y_train, minlength=len(class_names))
    if not counts.all():
        empty = class_names[int(np.argmin(counts))]
        raise ValueError(
            f"A class has no training image. Received: class {empty}; allowed: 1 or more images of "
            "every class."
        )


def check_root(name: str, data_dir: str | None) -> str:
    """Gives the folder of the data as an absolute path without links.

    Raises:
        NotADirectoryError: If there is no such folder.
        ValueError: If none is named.
    """
    if data_dir is None:
        raise ValueError(
            f"The data set {name} needs the folder of its images. Received: no data_dir."
        )
    root = os.path.realpath(os.path.expanduser(data_dir))
    if not os.path.isdir(root):
        raise NotADirectoryError(f"There is no such folder. Received: data_dir={data_dir}.")
    return root


@contextlib.contextmanager
def open_text(path: str) -> Iterator[TextIO]:
    """Opens a list or a table for reading; it gives the lines with their ends.

    Raises:
        OSError: If it cannot be read.
        ValueError: If what is read is no text in UTF-8.
    """
    with open(path, newline="", encoding="utf-8-sig") as file:
        try:
            yield file
        except UnicodeDecodeError as error:
            raise ValueError(f"This is no text in UTF-8. Received: {path}.") from error


def sorted_classes(class_names: Iterable[str]) -> list[str]:
    """The names of classes in the order of their numbers: by alphabet, of whole numbers by size."""
    names = sorted(set(class_names))
    return sorted(names, key=int) if all(name.isdecimal() for name in names) else names


def _relative(root: str, paths: Sequence[str]) -> list[str]:
    """Paths relative to the root, but for absolute ones that do not lie below it."""
    real_folder = functools.lru_cache(None)(os.path.realpath)
    found = []
    for path in paths:
        if os.path.isabs(path):
            folder, file_name = os.path.split(path)
            below = os.path.relpath(os.path.join(real_folder(folder), file_name), root)
            path = path if below.startswith(os.pardir) else below
        found.append(path)
    return found


def _check_paths(root: str, paths: Iterable[str]) -> None:
    """Checks that every path is a file below the root, wherever links lead."""
    missing = []
    real_folder = functools.lru_cache(None)(os.path.realpath)
    for path in paths:
        # Other separators, and bytes that are no UTF-8, do no harm in a list of files.
        if any(unicodedata.category(character) == "Cc" for character in path):
            raise ValueError(f"A file name has a control character in it. Received: {path!r}.")
        folder, file_name = os.path.split(os.path.join(root, path))
        real = os.path.join(real_folder(folder), file_name)
        if os.path.islink(real) or file_name in ("", ".", ".."):
            real = os.path.realpath(real)
        if not real.startswith(os.path.join(root, "")):
            raise ValueError(f"A path leads out of the data. Received: {path}; allowed: in {root}.")
        if not os.path.isfile(real):
            missing.append(path)
    if missing:
        raise FileNotFoundError(
            f"Image files are missing. Received: {len(missing)} paths without a file, first "
            f"{missing[0]}; allowed: files in {root}."
        )
