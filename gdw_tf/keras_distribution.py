"""What Keras's `fit` and `evaluate` need to work under every `tf.distribute` strategy.

Everything here works around Keras 3.15 and reaches into names that are private there; a test
(`tests/test_keras_distribution.py`) says when a newer Keras no longer needs it.

- Keras builds metrics from a first batch, which it averages over the replicas. That fails for
  several workers, and for batches that are no `(x, y, sample_weight)`; the first replica's
  part will do.
- At the end of an epoch Keras takes the logs of the last step, means of the replicas' own, where a
  step does not log every metric.
- Of several workers, Keras takes the mean of every log over its axis 0, which a scalar has not
  (tensorflow/tensorflow issue 72388).
"""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf


def has_workers(strategy: tf.distribute.Strategy) -> bool:
    """Whether a strategy is one of workers, each of which may read its own data."""
    return isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)


def of_all_workers(strategy: tf.distribute.Strategy, data: Any) -> Any:
    """Turns data that each worker makes for itself into what Keras's `fit` and `evaluate` take.

    Args:
        strategy: the strategy of the model.
        data: a function that returns the `tf.data.Dataset` of a worker for its
            `tf.distribute.InputContext`: for each step a part of the batch for each of its
            replicas. Other data are returned as they are.
    """
    if not callable(data):
        return data
    if has_workers(strategy):
        return strategy.distribute_datasets_from_function(data)
    return data(tf.distribute.InputContext())


class DistributedModel(keras.Model):
    """Base class of models whose training batches are pairs of batches, under any strategy."""

    def _maybe_symbolic_build(self, iterator: Any = None, data_batch: Any = None) -> None:
        """Builds the metrics in the strategy's scope; called by Keras with its first batch."""
        strategy = self._distribute_strategy
        if strategy is None:
            return
        if iterator is not None:
            _, _, batches = next(iter(iterator))
            data_batch = tf.nest.map_structure(
                lambda part: strategy.experimental_local_results(part)[0], next(batches)
            )
            if isinstance(data_batch[1], tuple):  # a pair of batches; labels are never a tuple
                data_batch = data_batch[0][:2]
        with strategy.scope():
            self._symbolic_build(data_batch=data_batch)

    def _get_metrics_result_or_logs(self, logs: dict[str, Any]) -> dict[str, Any]:
        """What an epoch logs: the metrics over all replicas, in the place of the last step's logs.

        Keras does so only where the step logs every metric that there is.
        """
        results = self.get_metrics_result()
        return {name: results.get(name, value) for name, value in logs.items()}

    def compute_metrics(
        self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None
    ) -> dict[str, tf.Tensor]:
        """Updates the metrics and answers the logs, scalars; of several workers of shape (1,)."""
        super().compute_metrics(x, y, y_pred, sample_weight)
        return self.metrics_as_logs()

    def metrics_as_logs(self) -> dict[str, tf.Tensor]:
        """The metrics as they are now, as `compute_metrics` answers them."""
        logs = self.get_metrics_result()
        if not has_workers(tf.distribute.get_strategy()):
            return logs
        return {name: tf.reshape(value, (1,)) for name, value in logs.items()}
