"""CIFAR-10N and CIFAR-100N: CIFAR with the labels that people gave the training images.

By Wei et al., "Learning with Noisy Labels Revisited: A Study Using Real-World Human Annotations",
ICLR 2022. Each training image of CIFAR-10 was labelled by three people: `random1`, `random2` and
`random3` are one answer each (17 to 18 % wrong), `aggregate` the majority (9 %), `worst` a wrong
answer wherever one was given (40 %). Those of CIFAR-100 were labelled once (40 %). Test images
have their true labels only. The meta set is drawn by true class and keeps its true labels.
"""

from __future__ import annotations

import numpy as np

from gdw_tf.data.sources.cifar import MEAN, STD
from gdw_tf.data.sources.source import Source
from gdw_tf.data.sources.tfds import prepared_builder

HUMAN_LABELS = {
    "aggregate": "aggre_label",
    "random1": "random_label1",
    "random2": "random_label2",
    "random3": "random_label3",
    "worst": "worse_label",
}
"""The sets of human labels of CIFAR-10N and the features that hold them."""


def load_cifar10_n(*, data_dir: str | None, download: bool, human_labels: str = "worst") -> Source:
    """Loads CIFAR-10N with TensorFlow Datasets.

    Args:
        data_dir: Folder of the prepared data; `None` for the default of TensorFlow Datasets.
        download: Whether to prepare the data when they are not there; the archive of human labels
            must be downloaded by hand.
        human_labels: Which of the people's labels: one of `HUMAN_LABELS`.

    Returns:
        50,000 training images with true and given labels and 10,000 test images, uint8, shape
        (N, 32, 32, 3), in the order of the files.

    Raises:
        FileNotFoundError: If the data are not there and cannot be prepared.
        ValueError: If there are no such human labels.
    """
    if human_labels not in HUMAN_LABELS:
        raise ValueError(
            f"Unknown human labels. Received: human_labels={human_labels}; allowed: "
            f"{', '.join(HUMAN_LABELS)}."
        )
    return _load("cifar10_n", HUMAN_LABELS[human_labels], data_dir, download)


def load_cifar100_n(*, data_dir: str | None, download: bool) -> Source:
    """Loads CIFAR-100N with TensorFlow Datasets: the 100 fine classes, one human label an image.

    Args:
        data_dir: As for `load_cifar10_n`.
        download: As for `load_cifar10_n`.

    Returns:
        As `load_cifar10_n`.

    Raises:
        FileNotFoundError: If the data are not there and cannot be prepared.
    """
    return _load("cifar100_n", "noise_label", data_dir, download)


def _load(name: str, given_key: str, data_dir: str | None, download: bool) -> Source:
    import tensorflow_datasets as tfds

    builder = prepared_builder(name, data_dir=data_dir, download=download)

    train, test = (
        # The whole split as one batch: images are decoded in parallel, in the order of the files.
        tfds.as_numpy(builder.as_dataset(split=split, batch_size=-1, shuffle_files=False))
        for split in ("train", "test")
    )
    return Source(
        name=name,
        x_train=train["image"],
        y_train=train["label"].astype(np.int64),
        x_test=test["image"],
        y_test=test["label"].astype(np.int64),
        class_names=tuple(builder.info.features["label"].names),
        mean=MEAN,
        std=STD,
        augment=True,
        y_given=train[given_key].astype(np.int64),
    )


LOADERS = {
    "cifar10_n": load_cifar10_n,
    "cifar100_n": load_cifar100_n,
}
