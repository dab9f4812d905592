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
        arrays: One or more, all with the N examples along their first axis. An array of objects
            counts as what its entries are written as.

    Yields:
        N digests, in order.
    """
    arrays = [array.astype("U") if array.dtype == object else array for array in arrays]
    for rows in zip(*arrays, strict=True):
        yield digest(*(np.ascontiguousarray(row).view(np.uint8).data for row in rows))
