from __future__ import annotations

import os
import subprocess
import sys

PROGRAM = """
import numpy as np
import tensorflow as tf

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, 2 * [tf.config.LogicalDeviceConfiguration()])

from gdw_tf.data import Augmentation, evaluation_batches, meta_batches, training_batches

images = np.random.RandomState(0).randint(256, size=(22, 10, 10, 3)).astype(np.uint8)
labels = np.arange(22)
training = training_batches(
    images, labels, batch_size=6, seed=0, num_classes=22,
    augmentation=Augmentation(crop_and_flip=True, cutout=0.3, mixup=0.5),
)
meta = meta_batches(images, labels, batch_size=6, seed=0, steps_per_epoch=4, augment=True)
streams = [tf.data.Dataset.zip(training, meta), evaluation_batches(images, labels, batch_size=6)]
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
assert strategy.num_replicas_in_sync == 2

for policy in ("AUTO", "DATA"):
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = getattr(
        tf.data.experimental.AutoShardPolicy, policy
    )
    for stream in streams:
        stream = stream.with_options(options).take(9)
        distributed = iter(strategy.experimental_distribute_dataset(stream))
        batches = 0
        for batch in stream:
            for whole, parts in zip(tf.nest.flatten(batch), tf.nest.flatten(next(distributed))):
                halves = strategy.experimental_local_results(parts)
                assert len(halves) == 2 and min(map(len, halves)) >= 2
                np.testing.assert_array_equal(np.concatenate(halves), whole)
            batches += 1
        assert batches == (4 if stream.cardinality() == 4 else 9)
print("the same batches")
"""


def test_a_distributed_stream_has_the_same_batches_in_the_same_order():
    # Logical devices are made before TensorFlow starts, so in a process of their own.
    finished = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout == "the same batches\n"
    assert "shard" not in finished.stderr
