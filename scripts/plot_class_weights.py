"""Draws what GDW does to the classes of right and of wrong labels, from a run on the digits.

Usage: python scripts/plot_class_weights.py [--out=docs/class_weights.png] [--seed=0]

Needs matplotlib (`pip install ".[test]"`). Trains GDW on the digits with 40 % flip noise, 50 clean
images, with the settings of `python -m gdw_tf.train`, and follows the class-level weights of every
training example. The true labels are used for the drawing only. MW-Net and plain training are run
beside it for their accuracies. About two minutes on two cores.
"""

from __future__ import annotations

from collections import defaultdict

import keras
import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import tensorflow as tf
from absl import app, flags

from gdw_tf import data, experiment
from gdw_tf.schedules import cosine_by_epoch
from gdw_tf.settings import resolve

OUT = flags.DEFINE_string("out", "docs/class_weights.png", "The picture to write.")
SEED = flags.DEFINE_integer("seed", 0, "Seed of the run.")

# Okabe and Ito's palette, told apart by colour-blind readers too.
COLOURS = {
    "its label, right": "#0072B2",
    "its label, wrong": "#D55E00",
    "true class, behind a wrong label": "#009E73",
    "other classes, behind a wrong label": "#999999",
}
OTHER_METHODS = {"MW-Net": ("mw_net", "#CC79A7"), "plain training": ("ce", "#E69F00")}


def follow(seed: int) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Trains, and follows the weights.

    Returns:
        For each role of a class the mean second-stage weight in every epoch, and test accuracies.
    """
    settings = resolve(dataset="digits", seed=seed)
    source = data.load(settings.dataset)
    noisy = experiment.prepare_data(settings, source)
    model = experiment.build_model(settings, source, noisy)
    model.build_optimizers()
    steps = experiment.steps_per_epoch(settings, noisy)
    training = data.training_batches(
        noisy.x_train,
        {"given": noisy.y_train, "true": noisy.y_true},
        batch_size=settings.batch_size,
        seed=seed,
    )
    _, meta = experiment.batch_streams(settings, source, noisy, initial_epoch=0)
    batches = iter(tf.data.Dataset.zip(training, meta))
    step = tf.function(model.training_step, reduce_retracing=True)
    test = data.evaluation_batches(noisy.x_test, noisy.y_test)
    rate = cosine_by_epoch(settings.learning_rate, settings.epochs)

    weights, accuracies = defaultdict(list), []
    for epoch in range(settings.epochs):
        model.optimizer.learning_rate = rate(epoch)
        seen = defaultdict(list)
        for _ in range(steps):
            (images, labels), meta_batch = next(batches)
            quantities = step(((images, labels["given"]), meta_batch))
            given, true = labels["given"].numpy(), labels["true"].numpy()
            right = given == true
            second_stage = quantities["updated_outer"].numpy()
            rows = np.arange(len(given))
            seen["its label, right"].extend(second_stage[rows, given][right])
            seen["its label, wrong"].extend(second_stage[rows, given][~right])
            seen["true class, behind a wrong label"].extend(second_stage[rows, true][~right])
            others = np.ones_like(second_stage, bool)
            others[rows, given] = others[rows, true] = False
            seen["other classes, behind a wrong label"].extend(second_stage[~right][others[~right]])
        for role, values in seen.items():
            weights[role].append(np.mean(values))
        accuracies.append(model.evaluate(test, verbose=0, return_dict=True)["accuracy"])
    return {role: np.array(values) for role, values in weights.items()}, np.array(accuracies)


def accuracies_of(method: str, seed: int) -> np.ndarray:
    """Test accuracy in every epoch of another method."""
    settings = resolve(dataset="digits", method=method, seed=seed)
    source = data.load(settings.dataset)
    noisy = experiment.prepare_data(settings, source)
    model = experiment.build_model(settings, source, noisy)
    training, meta = experiment.batch_streams(settings, source, noisy, initial_epoch=0)
    rate = cosine_by_epoch(settings.learning_rate, settings.epochs)
    history = model.fit(
        training,
        meta_data=None if method == "ce" else meta,
        validation_data=data.evaluation_batches(noisy.x_test, noisy.y_test),
        epochs=settings.epochs,
        steps_per_epoch=experiment.steps_per_epoch(settings, noisy),
        callbacks=[keras.callbacks.LearningRateScheduler(rate)],
        verbose=0,
    )
    return np.array(history.history["val_accuracy"])


def main(argv: list[str]) -> None:
    """Draws the picture."""
    weights, accuracies = follow(SEED.value)
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.8), layout="constrained")
    epochs = np.arange(1, len(accuracies) + 1)
    for role, values in weights.items():
        left.plot(epochs, values, color=COLOURS[role], label=role)
    left.set(xlabel="epoch", ylabel="mean class-level weight", ylim=(0, None))
    left.set_title("GDW: how much a class-level gradient counts")
    left.legend(frameon=False)
    right.plot(epochs, 100 * accuracies, color="black", label="GDW")
    for name, (method, colour) in OTHER_METHODS.items():
        right.plot(epochs, 100 * accuracies_of(method, SEED.value), color=colour, label=name)
    right.legend(frameon=False, loc="lower right")
    right.set(xlabel="epoch", ylabel="test accuracy, %", ylim=(0, 100))
    right.set_title("Digits, 40 % of the labels flipped")
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.3)
    figure.savefig(OUT.value, dpi=110)
    print(f"wrote {OUT.value}; last test accuracy {100 * accuracies[-1]:.1f} %")


if __name__ == "__main__":
    app.run(main)
