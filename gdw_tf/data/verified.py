"""Labels of training images that a person has looked at, read from a table.

A table has a header and the columns `index` and `label`: the number of a training image, from 0 in
the order of the training set, and the name of its true class. With a column `image`, the path of an
image file or a digest of the pixels (`image_name`), an image is found again where it has another
number by now, because files came or went. With a column `given` the labels given must be those of
the training set, or the table is one of another. Other columns are not looked at. The page of
`gdw_tf.audit` writes such tables, with all of these columns.

Verified images go into the meta set and, with all copies of them, out of the training set. The
others keep their numbers
(`NoisyData.numbers`), so that a table of the next round counts as the first one did.
"""

from __future__ import annotations

import csv
import dataclasses
import functools
import os
from collections.abc import Container
from typing import NamedTuple

import numpy as np

from gdw_tf.checks import is_printable
from gdw_tf.data.digests import digest, row_digests
from gdw_tf.data.images import ImageFiles, Images
from gdw_tf.data.prepare import NoisyData
from gdw_tf.data.sources.files import open_text

_DIGITS = 16  # hexadecimal, of a digest


def image_name(images: Images, position: int) -> str:
    """What tells an image from others: its path, or a digest of its pixels.

    Of a path that is no UTF-8, which neither a table nor a page can name, it is a digest, too.
    """
    if not isinstance(images, ImageFiles):
        return next(row_digests([images[position : position + 1]]))[:_DIGITS].decode()
    name = images.name(position)
    return name if is_printable(name) else digest(os.fsencode(name))[:_DIGITS].decode()


class Verified(NamedTuple):
    """Labels that are known to be right.

    Attributes:
        positions: of the images in the training set as it is, int64, (M,).
        labels: their classes, int64, (M,).
    """

    positions: np.ndarray
    labels: np.ndarray


def read_verified(path: str, noisy: NoisyData) -> Verified:
    """Reads a table of verified labels.

    Args:
        path: the table, CSV in UTF-8.
        noisy: the training set that it is about.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no such table, or is about another training set; an image is named twice.
    """
    numbers = {name: number for number, name in enumerate(noisy.class_names)}
    positions = {int(number): position for position, number in enumerate(noisy.numbers)}
    named = _ImagesByName(noisy.x_train)
    found: dict[int, int] = {}
    try:
        with open_text(path) as file:
            rows = csv.DictReader(file)
            columns = rows.fieldnames or ()
            if not {"index", "label"} <= set(columns) or len(set(columns)) < len(columns):
                raise ValueError(
                    "A table of verified labels must have the columns index and label, each once. "
                    f"Received: {path} with {', '.join(columns) or 'no header'}."
                )
            for row in rows:
                where = f"line {rows.line_num} of {path}"
                if rows.restkey in row:
                    raise ValueError(
                        f"A row has more fields than the header. Received: {where}; a name with a "
                        "comma must stand in quotes."
                    )
                index, label = row["index"] or "", row["label"] or ""
                position = positions.get(int(index)) if index.isdecimal() else None
                name = row.get("image")
                if name and (position is None or image_name(noisy.x_train, position) != name):
                    position = _of_several(named.get(name), row.get("given"), found, noisy)
                    if position is None:
                        raise ValueError(
                            f"An image must be one of the training set. Received: {name!r} in "
                            f"{where}; allowed: images of this one, not in the meta set already."
                        )
                if position is None:
                    raise ValueError(
                        f"An index must be that of a training image. Received: {index!r} in "
                        f"{where}; allowed: 0 to {max(positions)}, not in the meta set already."
                    )
                if position in found:
                    raise ValueError(
                        f"An image is named twice. Received: index {index} again in {where}."
                    )
                if label not in numbers:
                    raise ValueError(
                        f"A label must be a class. Received: {label!r} in {where}; allowed: "
                        f"{', '.join(noisy.class_names)}."
                    )
                given = noisy.class_names[noisy.y_train[position]]
                if row.get("given", given) != given:
                    raise ValueError(
                        "The table is of another training set. Received: given label "
                        f"{row['given']!r} in {where}, where this one has {given!r}."
                    )
                found[position] = numbers[label]
    except csv.Error as error:
        raise ValueError(f"This is no table. Received: {path}: {error}.") from error
    return Verified(np.array([*found], np.int64), np.array([*found.values()], np.int64))


class _ImagesByName:
    """Finds images by their names, which are all made when the first one is looked for."""

    def __init__(self, images: Images) -> None:
        self._images = images

    @functools.cached_property
    def _positions(self) -> dict[str, list[int]]:
        positions: dict[str, list[int]] = {}
        for one in range(len(self._images)):
            positions.setdefault(image_name(self._images, one), []).append(one)
        return positions

    def get(self, name: str) -> list[int]:
        """The positions of the images of this name, of which several may be."""
        return self._positions.get(name, [])


def _of_several(
    positions: list[int], given: str | None, found: Container[int], noisy: NoisyData
) -> int | None:
    """Of images of one name, one with this label, if there is, that no row was about yet."""
    if not positions:
        return None
    is_given = {one: noisy.class_names[noisy.y_train[one]] == given for one in positions}
    return min(positions, key=lambda one: (not is_given[one], one in found, one))


def with_verified(noisy: NoisyData, verified: Verified) -> NoisyData:
    """Moves verified images from the training set to the meta set, and drops copies of them.

    A copy would be trained on with a label that is known to be wrong, or be judged by itself.

    Raises:
        ValueError: none is left to train on.
    """
    named = _ImagesByName(noisy.x_train)
    names = {image_name(noisy.x_train, position) for position in verified.positions}
    gone = [position for name in names for position in named.get(name)]
    left = np.setdiff1d(np.arange(len(noisy.y_train)), np.array(gone, np.int64))
    if not left.size:
        raise ValueError(
            f"Verified images leave none to train on. Received: {len(noisy.y_train)} of "
            f"{len(noisy.y_train)}."
        )
    truth = noisy.y_true
    return dataclasses.replace(
        noisy,
        x_train=noisy.x_train[left],
        y_train=noisy.y_train[left],
        y_true=None if truth is None else truth[left],
        train_numbers=noisy.numbers[left],
        x_meta=joined(noisy.x_meta, noisy.x_train[verified.positions]),
        y_meta=np.concatenate([noisy.y_meta, verified.labels]),
        y_meta_true=None
        if noisy.y_meta_true is None
        else np.concatenate(
            [
                noisy.y_meta_true,
                verified.labels if truth is None else truth[verified.positions],
            ]
        ),
    )


def joined(one: Images, other: Images) -> Images:
    """Images after others of the same kind and shape; files of the same root."""
    if isinstance(one, np.ndarray):
        return np.concatenate([one, other])
    return ImageFiles(one.root, np.concatenate([one.paths, other.paths]), one.image_size)
