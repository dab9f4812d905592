"""Measures how fast batches are made, without any training.

Usage: python -m gdw_tf.data.benchmark [--steps=500] [flags of gdw_tf.train]

Draws pairs of a training and a meta batch, augmented, as training with the same flags would, and
prints the images a second of both together.
"""

from __future__ import annotations

import time

import tensorflow as tf
from absl import flags

from gdw_tf import cli, experiment, train_flags

STEPS = flags.DEFINE_integer("steps", 500, "Pairs of batches to time.", lower_bound=1)
WARM_UP = 50  # pairs that are drawn first: threads start, and tf.data finds its parallelism


def main(argv: list[str]) -> None:
    """Prints the rate."""
    with cli.user_errors():
        if argv[1:]:
            raise ValueError(f"All arguments are flags. Received: {' '.join(argv[1:])}")
        settings = train_flags.settings_from_flags()
        source = experiment.load_source(settings, **train_flags.locations())
        noisy = experiment.prepare_data(settings, source)
        streams = experiment.batch_streams(settings, source, noisy, initial_epoch=0)
    rate = images_per_second(tf.data.Dataset.zip(streams), STEPS.value)
    height, width, channels = source.image_shape
    print(f"{rate:,.0f} images a second of {height} x {width} x {channels}, training and meta")


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
        images += sum(len(labels) for _, labels, *_ in next(iterator))
    return images / (time.perf_counter() - start)


if __name__ == "__main__":
    cli.run(main, doc=__doc__, groups={"Benchmark": [STEPS], **train_flags.GROUPS})
