"""Trains a small Transformer on sentences with wrong labels, plainly and by GDW with Adam.

Usage: python scripts/examples/text.py [--noise_rate=0.4] [--num_meta=80] [--epochs=8]

The sentences are the paragraphs of the docstrings in eight packages of Python's own standard
library, read from its files; the class to tell is the package. A share `noise_rate` of the
training labels is replaced by the label of the next package. The model takes raw text: the table of
words is its first layer, and so goes with it when it is saved.

Adam's rate is not that of a step of gradient descent, so `virtual_lr` says how far GDW's virtual
step goes. With `meta_weight` GDW trains on the clean sentences, too; with `pair_memory` it
remembers which labels are mistaken for which.
"""

from __future__ import annotations

import ast
import sysconfig
import warnings
from pathlib import Path

import keras
import numpy as np
from absl import flags
from keras import layers

import gdw_tf
from gdw_tf import cli
from gdw_tf.data.meta_split import split_meta
from gdw_tf.data.noise import corrupt, pair_matrix
from gdw_tf.data.random import generator

NOISE_RATE = flags.DEFINE_float("noise_rate", 0.4, "Share of wrong training labels.")
NUM_META = flags.DEFINE_integer("num_meta", 80, "Paragraphs with right labels, in equal parts.")
EPOCHS = flags.DEFINE_integer("epochs", 8, "Epochs of each training.", lower_bound=1)
STEPS = flags.DEFINE_integer(
    "steps_per_epoch", None, "Steps of an epoch, for a quick look.", lower_bound=1
)
SEED = flags.DEFINE_integer("seed", 0, "Seed of everything that is drawn.", lower_bound=0)
FLAGS = [NOISE_RATE, NUM_META, EPOCHS, STEPS, SEED]

PACKAGES = ("asyncio", "email", "http", "importlib", "logging", "unittest", "xml", "_pydecimal.py")
NUM_TEST = 400
WORDS, LENGTH, WIDTH = 4000, 40, 64
OPTIONS = {"virtual_lr": 0.1, "meta_weight": 0.1, "pair_memory": 0.99}


def paragraphs(package: Path) -> list[str]:
    """The paragraphs of five words and more in a package's docstrings, each once."""
    found = set()
    for file in sorted(package.rglob("*.py")) if package.is_dir() else [package]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of old code in the library itself
            tree = ast.parse(file.read_bytes())
        for node in ast.walk(tree):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                found.update((ast.get_docstring(node) or "").split("\n\n"))
    return sorted(text for text in found if len(text.split()) >= 5)


def transformer(texts: np.ndarray) -> keras.Model:
    """One block of attention over the words, their mean, and a head that answers logits."""
    words = layers.TextVectorization(WORDS, output_sequence_length=LENGTH)
    words.adapt(texts)
    raw = keras.Input((), dtype="string")
    indices = words(raw)
    x = layers.Embedding(WORDS, WIDTH)(indices)
    places = keras.ops.cumsum(keras.ops.ones_like(indices), axis=1) - 1
    x += layers.Embedding(LENGTH, WIDTH)(places)
    x = layers.LayerNormalization()(x + layers.MultiHeadAttention(4, WIDTH // 4)(x, x))
    x = layers.LayerNormalization()(x + layers.Dense(WIDTH)(layers.Dense(WIDTH, "relu")(x)))
    x = layers.Dropout(0.2)(layers.GlobalMaxPooling1D()(x))
    return keras.Model(raw, layers.Dense(len(PACKAGES))(x))


def main(argv: list[str]) -> None:
    """Reads the text, trains twice, prints both accuracies."""
    with cli.user_errors():
        matrix = pair_matrix(len(PACKAGES), NOISE_RATE.value)
        library = Path(sysconfig.get_paths()["stdlib"])
        texts = [paragraphs(library / name) for name in PACKAGES]
        x = np.concatenate(texts).astype(object)
        y = np.repeat(np.arange(len(texts)), [len(of_class) for of_class in texts])
        rest, test = split_meta(y, len(texts), NUM_TEST, generator(SEED.value, "test"))
        train, meta = split_meta(y[rest], len(texts), NUM_META.value, generator(SEED.value, "meta"))
        train, meta = rest[train], rest[meta]
    given = corrupt(y[train], matrix, generator(SEED.value, "noise"))
    print(
        f"{len(train)} training paragraphs, {100 * np.mean(given != y[train]):.0f} % of them with "
        f"a wrong label; {len(meta)} meta paragraphs, {len(test)} test paragraphs"
    )

    for name, method in (("CE", gdw_tf.CE), ("GDW", gdw_tf.GDW)):
        keras.utils.set_random_seed(SEED.value)
        options = OPTIONS if name == "GDW" else {}
        model = method(transformer(x[train]), **options)
        model.compile(optimizer=keras.optimizers.Adam(1e-3), metrics=["accuracy"])
        model.fit(
            x[train],
            given,
            meta_data=(x[meta], y[meta]) if model.needs_meta_set else None,
            batch_size=50,
            epochs=EPOCHS.value,
            steps_per_epoch=STEPS.value,
            verbose=0,
        )
        accuracy = model.evaluate(x[test], y[test], verbose=0, return_dict=True)["accuracy"]
        print(f"{name}: test accuracy {100 * accuracy:.1f} %")


if __name__ == "__main__":
    cli.run(main, doc=__doc__, groups={"Options": FLAGS})
