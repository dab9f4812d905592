"""Draws what GDW does to the classes of right and of wrong labels, from runs on synthetic noise.

Usage: python scripts/plot_class_weights.py [--methods=gdw,mw_net,ce] [--out=docs/class_weights.png]
       [flags of gdw_tf.train]

Needs matplotlib (`pip install ".[test]"`). Trains each of the methods, which may have flags of
their own as in `--methods=gdw,gdw:memory=0.7`, and follows the second-stage weights of GDW on every
training example. The true labels are used for the drawing only. By default: the digits with 40 %
flip noise, 50 clean images; half a minute for each method on two cores.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from absl import flags

from gdw_tf import GDW, cli, data, experiment, train_flags
from gdw_tf.batch import Batch
from gdw_tf.comparison import WITHOUT_RUNS, Contender
from gdw_tf.data.figures import check_matplotlib
from gdw_tf.schedules import cosine_by_epoch
from gdw_tf.settings import Settings

METHODS = flags.DEFINE_list("methods", ["gdw", "mw_net", "ce"], "Methods to draw.")

RIGHT, WRONG = "its label, right", "its label, wrong"
TRUE, OTHERS = "true class, behind a wrong label", "other classes, behind a wrong label"
# Okabe and Ito's palette, told apart by colour-blind readers too.
COLOURS = {RIGHT: "#0072B2", WRONG: "#D55E00", TRUE: "#009E73", OTHERS: "#999999"}
LINES = ("black", "#CC79A7", "#E69F00", "#56B4E9", "#0072B2", "#D55E00", "#009E73")


def train(settings: Settings) -> dict[str, np.ndarray]:
    """Trains with all settings of `gdw_tf.train`, without what it writes and watches.

    Returns:
        The history of `fit`, a number an epoch; of GDW also of each role in `COLOURS`.
    """
    source = experiment.load_source(settings, **train_flags.locations())
    noisy = experiment.prepare_data(settings, source)
    model = experiment.build_model(settings, source, noisy)
    if isinstance(model, GDW):
        follow(model, noisy.y_true)
    training, meta = experiment.batch_streams(settings, source, noisy, initial_epoch=0)
    rate = cosine_by_epoch(settings.learning_rate, settings.epochs)
    history = model.fit(
        training,
        meta_data=meta if model.needs_meta_set else None,
        num_examples=len(noisy.y_train),
        validation_data=data.evaluation_batches(noisy.x_test, noisy.y_test),
        epochs=settings.epochs,
        steps_per_epoch=experiment.steps_per_epoch(settings, noisy),
        callbacks=[keras.callbacks.LearningRateScheduler(rate)],
        verbose=0,
    )
    return {name: np.array(values) for name, values in history.history.items()}


def follow(model: GDW, y_true: np.ndarray) -> None:
    """Makes a model log, like a metric, the mean second-stage weight of each role of a class."""
    model.followed = {role: keras.metrics.Mean(name=role) for role in COLOURS}
    training_step = model.training_step

    def followed_step(pair: tuple[Any, Any]) -> dict[str, tf.Tensor]:
        step = training_step(pair)
        weights = step["updated_outer"]
        batch = Batch(*pair[0])
        given = tf.one_hot(batch.labels, weights.shape[-1])
        true = tf.one_hot(tf.gather(y_true, batch.index), weights.shape[-1])
        right = tf.reduce_sum(given * true, axis=1, keepdims=True)
        of_role = {
            RIGHT: right * given,
            WRONG: (1 - right) * given,
            TRUE: (1 - right) * true,
            OTHERS: (1 - right) * (1 - given - true),
        }
        for role, share in of_role.items():
            model.followed[role].update_state(weights, sample_weight=share)
        return step

    model.training_step = followed_step


def main(argv: list[str]) -> None:
    """Trains, draws the picture and prints its last points."""
    with cli.user_errors():
        cli.check_all_flags(argv)
        if set(METHODS.value) & set(WITHOUT_RUNS) or not 0 < len(METHODS.value) <= len(LINES):
            raise ValueError(
                f"methods must be one to {len(LINES)} training methods. Received: "
                f"{','.join(METHODS.value)}"
            )
        if flags.FLAGS.meta == "pseudo" or flags.FLAGS.mixup:
            raise ValueError(
                "What is drawn needs a meta set from the start, and labels that are classes. "
                f"Received: meta={flags.FLAGS.meta}, mixup={flags.FLAGS.mixup}; allowed: clean or "
                "noisy, and 0."
            )
        check_matplotlib()
        contenders = [Contender.parse(name) for name in METHODS.value]
        seed = str(flags.FLAGS.seed)
        settings = {contender.name: contender.settings(seed) for contender in contenders}
    histories = {name: train(of_method) for name, of_method in settings.items()}
    draw(histories, cli.OUT.value or "docs/class_weights.png")
    for name, history in histories.items():
        said = [f"{role} {history[role][-1]:.2f}" for role in COLOURS if role in history]
        accuracy = 100 * np.mean(history["val_accuracy"][-5:])
        print(f"{name}: test accuracy {accuracy:.1f} % in the last five epochs; {', '.join(said)}")


def draw(histories: dict[str, dict[str, np.ndarray]], path: str) -> None:
    """Draws the weights of each GDW run, and all accuracies."""
    from matplotlib.figure import Figure

    followed = [name for name, history in histories.items() if RIGHT in history]
    figure = Figure(figsize=(5 * len(followed) + 5, 3.8), layout="constrained")
    *panels, last = figure.subplots(1, len(followed) + 1, squeeze=False)[0]
    for axes, name in zip(panels, followed, strict=True):
        for role, colour in COLOURS.items():
            values = histories[name][role]
            axes.plot(np.arange(1, len(values) + 1), values, color=colour, label=role)
        axes.set(ylabel="how much a class-level gradient counts", ylim=(0, None))
        axes.set_title(name)
        axes.legend(frameon=False)
    for colour, (name, history) in zip(LINES, histories.items(), strict=False):
        accuracies = 100 * history["val_accuracy"]
        last.plot(np.arange(1, len(accuracies) + 1), accuracies, color=colour, label=name)
    last.set(ylabel="test accuracy, %", ylim=(0, 100))
    last.legend(frameon=False, loc="lower right")
    for axes in (*panels, last):
        axes.set_xlabel("epoch")
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.3)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    cli.run(main, doc=__doc__, groups={"Picture": [METHODS, cli.OUT], **train_flags.GROUPS})
