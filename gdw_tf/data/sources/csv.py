"""Your own images, listed in tables.

`--train_csv`, `--meta_csv` and `--test_csv` are tables with a header and the columns `path` and
`label`: the training images with their labels as they are, a small clean set, if there is one, and
test images with their true labels. Paths are relative to `--data_dir`. The classes are the labels
of all tables, in alphabetical order, or in that of their numbers if all are whole numbers.
"""

from __future__ import annotations

import csv
import os

from gdw_tf.data.sources.files import (
    Listing,
    check_root,
    open_text,
    sorted_classes,
    source_of_files,
)
from gdw_tf.data.sources.source import Source

COLUMNS = ("path", "label")


def load_csv(
    *,
    data_dir: str | None,
    train_csv: str | None = None,
    meta_csv: str | None = None,
    test_csv: str | None = None,
    image_size: tuple[int, int] | None = None,
) -> Source:
    """Lists the images of the tables.

    Args:
        data_dir: The folder that their paths are relative to.
        train_csv: Table of the training images.
        meta_csv: Table of the clean set; `None` if there is none.
        test_csv: Table of the test images.
        image_size: (height, width) that images are resized to; `None` for 224 x 224.

    Returns:
        The data set, its files in the order of the tables. Its labels are not known to be true;
        the clean set, if any, is the meta set; mean and standard deviation are ImageNet's.

    Raises:
        OSError: If a table or an image is missing or cannot be read.
        ValueError: If no folder or table is named, a table is not as it should be, a class has no
            training image, or a path leads out of the folder.
    """
    root = check_root("csv", data_dir)
    tables = {"train": train_csv, "meta": meta_csv, "test": test_csv}
    listings = {
        part: _read(part, table)
        for part, table in tables.items()
        if part != "meta" or table is not None
    }
    labels = set().union(*(listing.labels for listing in listings.values()))
    return source_of_files("csv", root, listings, sorted_classes(labels), image_size)


def _read(part: str, table: str | None) -> Listing:
    if table is None:
        raise ValueError(
            f"The data set csv needs the tables train_csv and test_csv. Received: no {part}_csv."
        )
    try:
        with open_text(os.path.expanduser(table)) as file:
            return _listing(table, csv.DictReader(file, skipinitialspace=True))
    except csv.Error as error:
        raise ValueError(f"This is no table. Received: {table}: {error}.") from error


def _listing(table: str, rows: csv.DictReader) -> Listing:
    columns = list(rows.fieldnames or ())
    if any(columns.count(column) != 1 for column in COLUMNS):
        raise ValueError(
            f"A table must have the columns {' and '.join(COLUMNS)}, once. Received: {table} with "
            f"{', '.join(map(repr, columns)) or 'no header'}."
        )
    paths, labels = [], []
    for row in rows:
        if not row["path"] or not row["label"] or rows.restkey in row:
            raise ValueError(
                "A row must have a path and a label, and no more fields than the header. "
                f"Received: line {rows.line_num} of {table}."
            )
        paths.append(row["path"])
        labels.append(row["label"])
    return Listing(paths, labels)


LOADERS = {"csv": load_csv}
