"""Transition matrices from files: an estimate, a measured confusion, or one written by hand."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import numpy as np

from gdw_tf.data.noise.matrices import check_matrix


def read_matrix(path: str | os.PathLike[str], num_classes: int) -> np.ndarray:
    """Reads a transition matrix.

    Args:
        path: A file ending in `.npy` (an array of numbers; one with pickled objects is refused),
            `.csv` (numbers between commas, one row a line) or `.txt` (between blanks). In text, a
            `#` starts a comment.
        num_classes: Number of classes C that the matrix must have.

    Returns:
        float64, shape (C, C), rows summing to one.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If it does not hold a transition matrix of C classes.
    """
    path = Path(path)
    readers = {".npy": _read_npy, ".csv": _read_csv, ".txt": _read_txt}
    if path.suffix not in readers:
        raise ValueError(
            f"Unknown kind of matrix file. Received: {path}; allowed: {', '.join(readers)}."
        )
    with path.open("rb"):  # A file that is not there is no ValueError.
        pass
    try:
        matrix = readers[path.suffix](path)
        return check_matrix(matrix, num_classes)
    except ValueError as error:
        raise ValueError(f"No transition matrix in {path}: {error}") from error


def _read_npy(path: Path) -> np.ndarray:
    with path.open("rb") as file:
        matrix = np.lib.format.read_array(file, allow_pickle=False)
    if matrix.dtype.kind not in "fiu":
        raise ValueError(
            f"it must hold numbers. Received: dtype {matrix.dtype}; allowed: floats or integers."
        )
    return matrix


def _read_csv(path: Path) -> np.ndarray:
    return _read_text(path, ",")


def _read_txt(path: Path) -> np.ndarray:
    return _read_text(path, None)


def _read_text(path: Path, delimiter: str | None) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # An empty file is an error by its shape.
        return np.loadtxt(path, delimiter=delimiter, ndmin=2)
