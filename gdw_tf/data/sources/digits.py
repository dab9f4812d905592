"""Hand-written digits: 1,797 images of 8 x 8 pixels that come with scikit-learn.

They need no download and a small network learns them in seconds, so they serve for first steps and
for tests. The pixels count the set dots of a 4 x 4 block of the original scan, from 0 to 16.
"""

from __future__ import annotations

import numpy as np

from gdw_tf.data.meta_split import balanced_subset
from gdw_tf.data.random import generator
from gdw_tf.data.sources.source import Source

NUM_TEST = 500


def load_digits() -> Source:
    """Loads the digits, which come with scikit-learn.

    Returns:
        1,297 training and 500 test images, 50 of each digit, uint8, shape (N, 8, 8, 1), values 0
        to 16. The split is the same for every seed of a run. Mean 0 and standard deviation 16
        bring the pixels to [0, 1].
    """
    import sklearn.datasets

    digits = sklearn.datasets.load_digits()
    images = digits.images.astype(np.uint8)[..., np.newaxis]
    labels = digits.target.astype(np.int64)
    test = balanced_subset(labels, 10, NUM_TEST, generator(0, "digits", "test"))
    train = np.setdiff1d(np.arange(len(labels)), test)
    return Source(
        name="digits",
        x_train=images[train],
        y_train=labels[train],
        x_test=images[test],
        y_test=labels[test],
        class_names=tuple(str(name) for name in digits.target_names),
        mean=(0.0,),
        std=(16.0,),
        augment=False,
    )


LOADERS = {"digits": load_digits}
