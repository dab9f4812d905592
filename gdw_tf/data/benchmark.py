"""Measures how fast batches are made, and whether training waits for them.

Usage: python -m gdw_tf.data.benchmark [--steps=500] [--train_steps=100] [flags of gdw_tf.train]

Draws pairs of a training and a meta batch, augmented, as training with the same flags would, and
prints the images a second of both together. With --train_steps, trains for this many steps after
that, and prints the share of their time that went by until the next pair was there.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import tensorflow as tf
from absl import flags

from gdw_tf import cli, data, experiment, train_flags
from gdw_tf.methods import Method

STEPS = flags.DEFINE_integer("steps", 500, "Pairs of batches to time.", lower_bound=1)
TRAIN_STEPS = flags.DEFINE_integer(
    "train_steps", 0, "Training steps to time; 0 for none.", lower_bound=0
)
WARM_UP = 50  # pairs that are drawn first: threads start, and tf.data finds its parallelism


def main(argv: list[str]) -> None:
    """Prints the rate and, where it is asked for, the share of waiting."""
    with cli.user_errors():
        cli.check_all_flags(argv)
        settings = train_flags.settings_from_flags()
        if settings.meta == "pseudo":
            raise ValueError(
                "A pseudo-clean meta set is chosen in training. Received: meta=pseudo; allowed: "
                "clean, noisy."
            )
        source = experiment.load_source(settings, **train_flags.locations())
        found = experiment.scan(settings, source)
        source = data.without(source, found.unreadable)
        noisy = experiment.prepare_data(settings, source)
        streams = experiment.batch_streams(settings, source, noisy, initial_epoch=0)
    pairs = tf.data.Dataset.zip(streams)
    rate = images_per_second(pairs, STEPS.value)
    height, width, channels = source.image_shape
    print(
        f"{rate:,.0f} images a second of {height} x {width} x {channels}, training and meta",
        flush=True,
    )
    if TRAIN_STEPS.value:
        model = experiment.build_model(settings, source, noisy)
        step = training_step(model, streams, len(noisy.y_train))
        share = share_of_waiting(pairs.prefetch(tf.data.AUTOTUNE), step, TRAIN_STEPS.value)
        print(f"{share:.2%} of the time of {TRAIN_STEPS.value} training steps waited for data")


def images_per_second(pairs: tf.data.Dataset, steps: int) -> float:
    """Times a stream of pairs of batches, each `(images, labels)`.

    Args:
        pairs: The stream, of `WARM_UP` + `steps` pairs or more.
        steps: Number of pairs to time, at least 1.

    Returns:
        Images a second, of both batches together.
    """
    iterator = iter(pairs)
    for _ in range(WARM_UP):
        next(iterator)
    start, images = time.perf_counter(), 0
    for _ in range(steps):
        images += sum(len(batch[0]) for batch in next(iterator))
    return images / (time.perf_counter() - start)


def share_of_waiting(pairs: tf.data.Dataset, step: Callable[[Any], None], steps: int) -> float:
    """Times training, and of that how long it waits for its batches.

    Args:
        pairs: The stream, of `steps` + 1 pairs or more.
        step: Trains on a pair, and comes back when that is done.
        steps: Number of steps to time, at least 1; one is taken before them.

    Returns:
        The time from asking for a pair to having it, as a share of the whole, 0 to 1.
    """
    iterator = iter(pairs)
    step(next(iterator))  # traces and compiles
    waited, start = 0.0, time.perf_counter()
    for _ in range(steps):
        asked = time.perf_counter()
        pair = next(iterator)
        waited += time.perf_counter() - asked
        step(pair)
    return waited / (time.perf_counter() - start)


def training_step(
    model: Method, streams: tuple[tf.data.Dataset, tf.data.Dataset], num_examples: int
) -> Callable[[Any], None]:
    """Makes the step that `fit` takes, as a function of a pair of batches.

    Args:
        model: The compiled model.
        streams: Endless streams of training and meta batches.
        num_examples: Number of training examples.
    """
    experiment.start(model, streams, num_examples)
    model.make_train_function()

    def step(pair: Any) -> None:
        logs = model.train_function([pair])
        float(logs["loss"])  # is there when the step is done, on a GPU too

    return step


if __name__ == "__main__":
    cli.run(main, doc=__doc__, groups={"Benchmark": [STEPS, TRAIN_STEPS], **train_flags.GROUPS})
