"""Data: sources of images, label noise, imbalance, the meta set, and streams of batches."""

from gdw_tf.data.pipeline import (
    augment_batch,
    evaluation_batches,
    gather_batches,
    meta_batches,
    shuffled_pass,
    training_batches,
)
from gdw_tf.data.prepare import NoisyData, prepare
from gdw_tf.data.sources import load, names
from gdw_tf.data.sources.source import Source

__all__ = [
    "NoisyData",
    "Source",
    "augment_batch",
    "evaluation_batches",
    "gather_batches",
    "load",
    "meta_batches",
    "names",
    "prepare",
    "shuffled_pass",
    "training_batches",
]
