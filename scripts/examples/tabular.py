"""Trains a multilayer perceptron on a table of numbers with wrong labels, plainly and by GDW.

Usage: python scripts/examples/tabular.py [--noise_rate=0.6] [--num_meta=30] [--epochs=60]

The table is scikit-learn's breast cancer set: 569 samples, 30 measurements each, two classes. A
share `noise_rate` of the training labels is drawn at random, so that half of that share is wrong; a
few samples with right labels, the meta set, stand beside them. Plain training is given these
samples too, as training data, so that what GDW gains is not the clean labels alone.
"""

from __future__ import annotations

import keras
import numpy as np
import sklearn.datasets
from absl import flags

import gdw_tf
from gdw_tf import cli
from gdw_tf.checks import check_rate
from gdw_tf.data.meta_split import split_meta
from gdw_tf.data.noise import corrupt, uniform_matrix
from gdw_tf.data.random import generator

NOISE_RATE = flags.DEFINE_float("noise_rate", 0.6, "Share of training labels drawn at random.")
NUM_META = flags.DEFINE_integer("num_meta", 30, "Samples with right labels, in equal parts.")
EPOCHS = flags.DEFINE_integer("epochs", 60, "Epochs of each training.", lower_bound=1)
SEED = flags.DEFINE_integer("seed", 0, "Seed of everything that is drawn.", lower_bound=0)
FLAGS = [NOISE_RATE, NUM_META, EPOCHS, SEED]

NUM_TEST = 200
BATCH_SIZE = 50


def mlp() -> keras.Model:
    """Two hidden layers; no softmax at the end, for GDW works on the logits."""
    return keras.Sequential(
        [
            keras.layers.Dense(64, activation="relu"),
            keras.layers.Dense(64, activation="relu"),
            keras.layers.Dense(2),
        ]
    )


def main(argv: list[str]) -> None:
    """Makes the data, trains twice, prints both accuracies."""
    with cli.user_errors():
        check_rate("noise_rate", NOISE_RATE.value)
        x, y = sklearn.datasets.load_breast_cancer(return_X_y=True)
        rest, test = split_meta(y, 2, NUM_TEST, generator(SEED.value, "test"))
        train, meta = split_meta(y[rest], 2, NUM_META.value, generator(SEED.value, "meta"))
        train, meta = rest[train], rest[meta]

    given = corrupt(y[train], uniform_matrix(2, NOISE_RATE.value), generator(SEED.value, "noise"))
    # Each measurement has its own unit. The scale needs no labels: all training samples give it.
    x = ((x - x[train].mean(axis=0)) / x[train].std(axis=0)).astype("float32")
    print(
        f"{len(train)} training samples, {100 * np.mean(given != y[train]):.0f} % of them with a "
        f"wrong label; {len(meta)} meta samples, {len(test)} test samples"
    )

    for method in (gdw_tf.CE, gdw_tf.GDW):
        keras.utils.set_random_seed(SEED.value)
        model = method(mlp())
        model.compile(optimizer=gdw_tf.CoupledSGD(0.05), metrics=["accuracy"])
        x_train, y_train = x[train], given
        if method is gdw_tf.CE:
            x_train = np.concatenate([x_train, x[meta]])
            y_train = np.concatenate([y_train, y[meta]])
        model.fit(
            x_train,
            y_train,
            meta_data=(x[meta], y[meta]) if model.needs_meta_set else None,
            batch_size=BATCH_SIZE,
            epochs=EPOCHS.value,
            verbose=0,
        )
        accuracy = model.evaluate(x[test], y[test], verbose=0, return_dict=True)["accuracy"]
        print(f"{method.__name__}: test accuracy {100 * accuracy:.1f} %")


if __name__ == "__main__":
    cli.run(main, doc=__doc__, groups={"Options": FLAGS})
