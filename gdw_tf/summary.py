"""What a run has reached: `summary.json`, and the line that says it."""

from __future__ import annotations

import platform
from typing import Any

import keras
import numpy as np
import tensorflow as tf

import gdw_tf
from gdw_tf import data
from gdw_tf.methods import Method
from gdw_tf.settings import Settings
from gdw_tf.workdir import Workdir

LAST_EPOCHS = 5
"""The paper reports the mean test accuracy of the last five epochs."""


def write(
    model: Method,
    settings: Settings,
    noisy: data.NoisyData,
    workdir: Workdir,
    once: dict[str, Any],
) -> None:
    """Writes and says the results.

    Args:
        model: as the training left it.
        settings: of the run.
        noisy: its data.
        workdir: where they are written.
        once: what only the end of the training itself knows, written beside them.
    """
    choice = workdir.read_choice()
    noisy = noisy if choice is None else noisy.with_meta(choice.indices)
    summary = once | summarize(settings, noisy, workdir.rows()) | counts(model)
    workdir.write_summary(summary)
    print(
        f"test accuracy {100 * summary['final_accuracy']:.2f} % (mean of the last {LAST_EPOCHS} "
        f"epochs), best {100 * summary['best_accuracy']:.2f} %, "
        f"{summary['seconds_per_step']:.4f} s a step"
    )


def counts(model: Method) -> dict[str, int]:
    """What the model has counted in its training, for the summary."""
    return {
        "replicas": model.distribute_strategy.num_replicas_in_sync,
        "non_finite_steps": int(model.non_finite_steps.numpy()),
        "rollbacks": int(model.rollbacks.numpy()),
    }


def summarize(
    settings: Settings, noisy: data.NoisyData, rows: list[dict[str, str]]
) -> dict[str, Any]:
    """The results of a run, from the rows of its metrics."""
    accuracies = [float(row["val_accuracy"]) for row in rows]
    seconds = [float(row["seconds_per_step"]) for row in rows]
    return {
        "method": settings.method,
        "dataset": settings.dataset,
        "seed": settings.seed,
        "epochs": len(rows),
        "final_accuracy": float(np.mean(accuracies[-LAST_EPOCHS:])),
        "best_accuracy": max(accuracies),
        # The first epoch of a process holds the tracing of the step.
        "seconds_per_step": float(np.median(seconds[1:] or seconds)),
        "noise_rate": noisy.noise_rate,
        "meta_images": len(noisy.y_meta),
        "meta_noise_rate": noisy.meta_noise_rate,
        "class_counts": noisy.class_counts,
        "noise_matrix": None if noisy.noise_matrix is None else noisy.noise_matrix.tolist(),
        "transition_matrix": noisy.transition_matrix.tolist(),
        "versions": {
            "gdw_tf": gdw_tf.__version__,
            "tensorflow": tf.__version__,
            "keras": keras.__version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
    }
