"""Says when a newer Keras no longer needs `gdw_tf.keras_distribution`."""

from __future__ import annotations

import inspect

from keras.src.backend.tensorflow import trainer


def test_keras_still_reduces_the_scalar_logs_of_several_workers_over_an_axis():
    source = inspect.getsource(trainer.reduce_per_replica)
    assert 'strategy.reduce("MEAN", v, axis=0)' in source, (
        "Keras has changed how it reduces the logs of several workers: see whether "
        "DistributedModel.compute_metrics is still needed."
    )


def test_keras_still_averages_its_first_batch_over_the_replicas():
    source = inspect.getsource(trainer.TensorFlowTrainer._maybe_symbolic_build)
    assert "distribute_strategy.reduce(" in source, (
        "Keras has changed how it builds metrics under a strategy: see whether "
        "DistributedModel._maybe_symbolic_build is still needed."
    )
