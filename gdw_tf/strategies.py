"""On how many replicas a training runs: the strategies that `--strategy` names.

- `none`: one replica, on the first GPU or the CPU.
- `mirrored`: a replica on every GPU of this machine.
- `multi_worker`: one process on each of several machines, which `TF_CONFIG` names, with a replica
  on each of its GPUs or on its CPU. All run the same command; the first worker is the chief, which
  alone writes.

The batch size is that of the global batch, which the replicas share (`gdw_tf.replicas`).
"""

from __future__ import annotations

import json
import os

import tensorflow as tf

from gdw_tf import replicas
from gdw_tf.settings import Settings

STRATEGIES = ("none", "mirrored", "multi_worker")

LOST_WORKER = (
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.InternalError,
    tf.errors.UnavailableError,
)
"""What TensorFlow raises, this or that, where the process of another worker has ended."""


def make(name: str) -> tf.distribute.Strategy:
    """Makes a strategy; that of several workers before anything else that TensorFlow does.

    Args:
        name: one of `STRATEGIES`.

    Raises:
        ValueError: `multi_worker`, and `TF_CONFIG` does not say which the workers are.
    """
    if name == "mirrored":
        return tf.distribute.MirroredStrategy()
    if name == "multi_worker":
        _check_cluster(os.environ.get("TF_CONFIG", ""))
        return tf.distribute.MultiWorkerMirroredStrategy()
    return tf.distribute.get_strategy()


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Whether this process is the one that writes."""
    cluster = strategy.cluster_resolver
    if cluster is None or not cluster.task_type:
        return True
    return cluster.task_type == "chief" or (
        "chief" not in cluster.cluster_spec().jobs and cluster.task_id == 0
    )


def check(
    settings: Settings,
    name: str,
    checkpoint_minutes: float | None = None,
    on_non_finite: str = "stop",
) -> None:
    """Checks that a training can run under the strategy of that name.

    Raises:
        ValueError: several workers would have to agree on what one of them decides: a pseudo-clean
            meta set, by its clock when a checkpoint is due, or to which one to go back.
    """
    if name == "multi_worker" and settings.meta == "pseudo":
        raise ValueError(
            "A pseudo-clean meta set is chosen by one process. Received: meta=pseudo, strategy="
            "multi_worker; allowed: meta clean or noisy, or strategy none or mirrored."
        )
    if name == "multi_worker" and checkpoint_minutes is not None:
        raise ValueError(
            "Workers have clocks of their own. Received: checkpoint_minutes="
            f"{checkpoint_minutes:g}, strategy=multi_worker; allowed: checkpoint_every."
        )
    if name == "multi_worker" and on_non_finite == "rollback":
        raise ValueError(
            "Workers may find different checkpoints to go back to. Received: on_non_finite="
            "rollback, strategy=multi_worker; allowed: on_non_finite stop or skip."
        )


def check_agreement(strategy: tf.distribute.Strategy, initial_step: int) -> None:
    """Checks that all workers begin with the same step.

    Raises:
        ValueError: they do not: not all of them see the checkpoint.
    """
    sum_over_replicas = tf.function(lambda: replicas.total(tf.constant(initial_step, tf.int64)))
    total = int(strategy.experimental_local_results(strategy.run(sum_over_replicas))[0])
    if total != initial_step * strategy.num_replicas_in_sync:
        raise ValueError(
            f"All workers must see the same workdir. Received: a checkpoint of {initial_step} steps"
            f" here, of {total / strategy.num_replicas_in_sync:g} in the mean of all replicas"
        )


def _check_cluster(text: str) -> None:
    try:
        config = json.loads(text)
        workers = config["cluster"]["worker"]
        index = config["task"]["index"]
        is_known = config["task"]["type"] == "chief" or 0 <= index < len(workers)
    except (ValueError, TypeError, KeyError):
        is_known = False
    if not is_known:
        raise ValueError(
            "strategy=multi_worker needs TF_CONFIG in the environment, which names the workers and "
            f"this one. Received: TF_CONFIG={text!r}; allowed: JSON such as "
            '{"cluster": {"worker": ["host1:2222", "host2:2222"]}, '
            '"task": {"type": "worker", "index": 0}}'
        )
