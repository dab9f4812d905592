"""What normalisation takes off and divides by, where no one has published it for a data set."""

from __future__ import annotations

import numpy as np

SAMPLE = 10_000
"""Images that the statistics are computed on, at most."""

IMAGENET_MEAN = (123.675, 116.28, 103.53)
"""Mean of each channel, red, green, blue, of ImageNet's photographs, on the scale 0 to 255."""
IMAGENET_STD = (58.395, 57.12, 57.375)
"""Standard deviation of each channel of ImageNet's photographs, on the scale 0 to 255."""


def channel_statistics(images: np.ndarray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Computes mean and standard deviation of each channel, over at most `SAMPLE` images.

    The sample is every k-th image, so it is the same in every run.

    Args:
        images: uint8, shape (N, height, width, channels).

    Returns:
        `(mean, std)`, a number for each channel, in the unit of the pixels; the standard deviation
        at least 1, so that a channel which is constant can be divided by it.
    """
    sample = images[:: -(-len(images) // SAMPLE)]
    mean = sample.mean(axis=(0, 1, 2), dtype=np.float64)
    std = np.maximum(sample.std(axis=(0, 1, 2), dtype=np.float64), 1.0)
    return tuple(mean.tolist()), tuple(std.tolist())
