"""Instance-dependent noise: what an image looks like decides which label it is given.

After Xia et al., "Part-dependent Label Noise: Towards Instance-dependent Label Noise", NeurIPS
2020 (arXiv:2006.07836), as its authors' program draws it. For an image x of class y,
its pixels in a row:

    q ~ N(r, 0.1 ** 2), kept between 0 and 1     the image's own flip rate
    W_y ~ N(0, 1), shape (pixels, C)             one projection a class, the same for all its images
    a = x W_y, a_y = -inf
    p = q softmax(a),  p_y = 1 - q               the distribution of its label

The pixels go in as they are. With raw pixels the scores `a` of an image lie thousands apart, so
almost all of q goes to a single class; and images of a class that share their brightness and
colours share that class.
"""

from __future__ import annotations

import statistics

import numpy as np
from numpy.typing import ArrayLike

from gdw_tf.checks import check_integer, check_labels, check_rate
from gdw_tf.data.images import Images, as_array

STANDARD_DEVIATION = 0.1
"""Standard deviation of the flip rates before they are kept between 0 and 1."""

_CHUNK = 2**22  # pixels of float64 at a time: 32 MiB


def corrupt_by_instance(
    labels: ArrayLike,
    images: Images,
    num_classes: int,
    rate: float,
    random_state: np.random.RandomState,
) -> tuple[np.ndarray, np.ndarray]:
    """Draws instance-dependent noise.

    No more memory is needed than for one class's projection, a chunk of images and the labels.

    Args:
        labels: True class indices, any integer dtype, shape (N,).
        images: Their images, any numbers, shape (N, ...), or in files.
        num_classes: Number of classes C, at least 2.
        rate: Mean r of the flip rates before they are kept between 0 and 1. Within 0.2 of either
            end, the realised rate lies further inside: at 0.1, it is 0.129. At 0, nothing is
            changed.
        random_state: The generator, see `gdw_tf.data.random`. With the same one, a higher rate
            gives every image a higher flip rate.

    Returns:
        `(given, matrix)`: the labels given, int64, shape (N,), and the mean distribution of the
        label over the images of each true class, float64, shape (C, C): the transition matrix
        that class-conditional noise of the same strength would have. A class without images has
        a row of the identity.

    Raises:
        TypeError: If the labels or `num_classes` are not integers or the images not numbers.
        ValueError: If an argument is out of range, or there are not as many images as labels.
    """
    check_integer("num_classes", num_classes, 2)
    check_rate("rate", rate)
    labels = check_labels("labels", labels, num_classes)
    if len(images) != len(labels):
        raise ValueError(
            f"There must be as many images as labels. Received: {len(images)} images and "
            f"{len(labels)} labels."
        )
    if not np.issubdtype(images.dtype, np.number):
        raise TypeError(f"images must be numbers. Received: dtype {images.dtype}.")
    matrix = np.eye(num_classes)
    if rate == 0:
        return labels, matrix

    flip_rates = _truncated_normal(rate, random_state.random_sample(len(labels)))
    uniform = random_state.random_sample(len(labels))
    given = np.empty_like(labels)
    num_pixels = int(np.prod(images.shape[1:]))
    images_a_chunk = max(1, _CHUNK // num_pixels)
    for label in range(num_classes):
        # Drawn also where a class has no image: another class's does not depend on that.
        projection = random_state.standard_normal((num_pixels, num_classes))
        members = np.flatnonzero(labels == label)
        if not members.size:
            continue
        matrix[label] = 0
        for start in range(0, len(members), images_a_chunk):
            chunk = members[start : start + images_a_chunk]
            pixels = as_array(images[chunk]).reshape(len(chunk), num_pixels)
            scores = pixels.astype(np.float64) @ projection
            distributions = _label_distributions(scores, label, flip_rates[chunk])
            matrix[label] += distributions.sum(axis=0) / len(members)
            given[chunk] = _draw(distributions, uniform[chunk])
    return given, matrix


def _label_distributions(scores: np.ndarray, label: int, flip_rates: np.ndarray) -> np.ndarray:
    """Gives each image's distribution of its label, (n, C), from its scores and its flip rate."""
    scores[:, label] = -np.inf
    softmax = np.exp(scores - scores.max(axis=1, keepdims=True))
    softmax /= softmax.sum(axis=1, keepdims=True)
    distributions = flip_rates[:, np.newaxis] * softmax
    distributions[:, label] = 1 - flip_rates
    return distributions


def _draw(distributions: np.ndarray, uniform: np.ndarray) -> np.ndarray:
    """Draws from each row by the inverse of its cumulative distribution at a uniform number."""
    cumulative = distributions.cumsum(axis=1)
    cumulative /= cumulative[:, -1:]
    return (cumulative <= uniform[:, np.newaxis]).sum(axis=1)


def _truncated_normal(mean: float, uniform: np.ndarray) -> np.ndarray:
    """Turns uniform numbers into normal ones between 0 and 1, by the inverse distribution."""
    normal = statistics.NormalDist(mean, STANDARD_DEVIATION)
    low, high = normal.cdf(0), normal.cdf(1)
    # The inverse is defined inside the unit interval, whose ends rounding can reach.
    quantiles = np.clip(low + uniform * (high - low), np.nextafter(0, 1), np.nextafter(1, 0))
    return np.clip([normal.inv_cdf(quantile) for quantile in quantiles.tolist()], 0, 1)
