"""Digests of examples: two examples are the same if, but for chance, their digests are.

Finding the images that two sets share takes one look at each image instead of one at each pair.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

import numpy as np

DIGEST_BYTES = 16


def digest(*contents: bytes | memoryview) -> bytes:
    """Hashes contents: of a file, or of the arrays that make up an example.

    Returns:
        2 * `DIGEST_BYTES` characters, in hexadecimal, because NumPy's strings of bytes drop zeros
        at the end.
    """
    state = hashlib.blake2b(digest_size=DIGEST_BYTES)
    for part in contents:
        state.update(part)
    return state.hexdigest().encode()


def row_digests(arrays: Sequence[np.ndarray]) -> Iterator[bytes]:
    """Hashes examples one by one.

    Args:
        arrays: One or more, all with the N examples along their first axis. Text, and an array of
            objects, counts as what its entries are written as.

    Yields:
        N digests, in order.
    """
    for rows in zip(*arrays, strict=True):
        yield digest(*map(_content, rows))


def _content(row: np.ndarray) -> bytes | memoryview:
    """What is hashed of one array's part of an example."""
    row = np.asarray(row)
    if row.dtype.kind in "OSU":  # padded to the longest of its array, or no bytes at all
        return repr(row.tolist()).encode()
    return np.ascontiguousarray(row).view(np.uint8).data
