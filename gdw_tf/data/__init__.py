"""Data: sources of images, label noise, imbalance, the meta set, and streams of batches."""

from gdw_tf.data.augmentation import Augmentation, crop_and_flip
from gdw_tf.data.images import ImageFiles
from gdw_tf.data.orders import shuffled_pass
from gdw_tf.data.parts import Parts
from gdw_tf.data.pipeline import (
    evaluation_batches,
    gather_batches,
    meta_batches,
    training_batches,
)
from gdw_tf.data.prepare import NoisyData, prepare
from gdw_tf.data.scan import Scan, failure_of_images, read_image, scan, without
from gdw_tf.data.sources import load, names, registered_name
from gdw_tf.data.sources.source import Source

__all__ = [
    "Augmentation",
    "ImageFiles",
    "NoisyData",
    "Parts",
    "Scan",
    "Source",
    "crop_and_flip",
    "evaluation_batches",
    "failure_of_images",
    "gather_batches",
    "load",
    "meta_batches",
    "names",
    "prepare",
    "read_image",
    "registered_name",
    "scan",
    "shuffled_pass",
    "training_batches",
    "without",
]
