"""Named random streams: every random choice about the data has one of its own.

A run has one seed. If all choices drew from one generator, a higher noise rate would also change
which images are in the meta set, and two settings could not be compared. Here a choice draws from
`generator(seed, "its name")` instead, so it depends on the seed and its name only.

The generators are `numpy.random.RandomState`, NumPy's legacy class, on purpose: NumPy promises
that its streams never change again, whereas the streams of `numpy.random.Generator` may change
from one version to the next. The same seed gives the same noisy labels on every machine for good.
"""

from __future__ import annotations

import zlib

import numpy as np

from gdw_tf.checks import check_integer


def generator(seed: int, *stream: str) -> np.random.RandomState:
    """Makes the random generator of a named stream.

    Args:
        seed: The seed of the run, 0 or more.
        *stream: The stream's name, in one or more words.

    Returns:
        A new `RandomState` over MT19937. Equal arguments give equal streams; different seeds or
        names give independent ones.

    Raises:
        TypeError: If the seed is not an integer.
        ValueError: If the seed is negative.
    """
    # Python's own hash of a string differs from process to process; CRC-32 does not.
    words = tuple(zlib.crc32(word.encode()) for word in stream)
    sequence = np.random.SeedSequence(check_integer("seed", seed, 0), spawn_key=words)
    return np.random.RandomState(np.random.MT19937(sequence))
