"""CIFAR-10 and CIFAR-100: 60,000 photographs of 32 x 32 pixels, through TensorFlow Datasets.

Both are by Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009. Mean and
standard deviation are the ones that the literature on noisy labels uses for both, from the
training images of CIFAR-10, on the scale 0 to 255.
"""

from __future__ import annotations

import functools

import numpy as np

from gdw_tf.data.sources.source import Source
from gdw_tf.data.sources.tfds import prepared_builder

MEAN = (125.3, 123.0, 113.9)
STD = (63.0, 62.1, 66.7)


def load_cifar(name: str, *, data_dir: str | None, download: bool) -> Source:
    """Loads CIFAR-10 or CIFAR-100 with TensorFlow Datasets.

    Args:
        name: "cifar10" or "cifar100", as TensorFlow Datasets calls them.
        data_dir: Folder of the prepared data; `None` for the default of TensorFlow Datasets.
        download: Whether to download and prepare the data when they are not there.

    Returns:
        50,000 training and 10,000 test images, uint8, shape (N, 32, 32, 3), in the order of the
        files; the classes are the 10 or the 100 fine ones.

    Raises:
        FileNotFoundError: If the data are not there and `download` is false.
    """
    import tensorflow_datasets as tfds

    builder = prepared_builder(name, data_dir=data_dir, download=download)
    (x_train, y_train), (x_test, y_test) = (
        # The whole split as one batch: images are decoded in parallel, in the order of the files.
        tfds.as_numpy(
            builder.as_dataset(split=split, batch_size=-1, shuffle_files=False, as_supervised=True)
        )
        for split in ("train", "test")
    )
    return Source(
        name=name,
        x_train=x_train,
        y_train=y_train.astype(np.int64),
        x_test=x_test,
        y_test=y_test.astype(np.int64),
        class_names=tuple(builder.info.features["label"].names),
        mean=MEAN,
        std=STD,
        augment=True,
    )


LOADERS = {name: functools.partial(load_cifar, name) for name in ("cifar10", "cifar100")}
