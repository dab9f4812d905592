"""Fits a model for one round of a training: its streams, its callbacks and their order."""

from __future__ import annotations

import functools
import sys
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from gdw_tf import callbacks, data, experiment, train_flags
from gdw_tf.interruption import Interruption
from gdw_tf.methods import Method
from gdw_tf.methods.weighting import WeightNetMethod
from gdw_tf.rounds import Round
from gdw_tf.schedules import cosine_by_epoch
from gdw_tf.settings import Settings
from gdw_tf.workdir import Workdir


def fit_round(
    model: Method,
    settings: Settings,
    source: data.Source,
    workdir: Workdir,
    part: Round,
    metrics: list[np.ndarray],
    interruption: Interruption,
    *,
    is_chief: bool,
) -> None:
    """Trains a model for a round.

    Args:
        model: the model, at the round's first step.
        settings: of the run.
        source: where the data are from.
        workdir: where the run is.
        part: the round.
        metrics: the state of the metrics at the step, where the round begins within an epoch.
        interruption: where signals to stop come in.
        is_chief: whether this process writes and speaks.
    """
    noisy, start = part.noisy, (part.first, part.first_step)
    training, meta_batches = (
        functools.partial(stream, settings, source, noisy, *start)
        for stream in (experiment.training_stream, experiment.meta_stream)
    )
    meta = None
    if len(noisy.y_meta):  # evaluated only, where the method does not need it
        evaluated = functools.partial(_evaluated, noisy.x_meta, noisy.y_meta)
        meta = meta_batches if model.needs_meta_set else evaluated
    called = _callbacks(model, settings, workdir, part, is_chief, interruption)
    if part.first_step:
        called.insert(0, callbacks.RestoreMetrics(metrics, noisy.num_classes))
    model.fit(
        training,
        meta_data=meta,
        validation_data=functools.partial(_evaluated, noisy.x_test, noisy.y_test),
        epochs=part.end,
        initial_epoch=part.first,
        steps_per_epoch=experiment.steps_per_epoch(settings, noisy) - part.first_step,
        num_examples=len(noisy.y_train),
        callbacks=called,
        verbose=0 if not is_chief else 1 if sys.stdout.isatty() else 2,
    )


def _evaluated(x: Any, y: Any, context: tf.distribute.InputContext) -> tf.data.Dataset:
    """The images and labels that a worker evaluates."""
    return data.evaluation_batches(x, y, context=context)


def _callbacks(
    model: Method,
    settings: Settings,
    workdir: Workdir,
    part: Round,
    is_chief: bool,
    interruption: Interruption,
) -> list[keras.callbacks.Callback]:
    """In this order: a checkpoint is written last, when the epoch's row stands in the metrics."""
    of_every_worker = [
        callbacks.ReportProgress(model.progress, settings.epochs),
        keras.callbacks.LearningRateScheduler(
            cosine_by_epoch(settings.learning_rate, settings.epochs)
        ),
        _watch(model, workdir, part.first_step),
    ]
    of_the_chief = [
        callbacks.StepTimer(),
        callbacks.TensorBoard(
            str(workdir.tensorboard),
            part.noisy,
            write_graph=train_flags.TENSORBOARD_GRAPH.value,
            profile_batch=train_flags.profiled_steps(),
        ),
        callbacks.EpochLog(workdir.metrics),
    ]
    if isinstance(model, WeightNetMethod):
        of_the_chief.append(callbacks.WeightCurve(workdir.weight_curve))
    accuracies = [float(row["val_accuracy"]) for row in workdir.rows()] if is_chief else []
    # Several workers cannot agree on a step after which all stop: a signal ends them at once.
    waits = train_flags.STRATEGY.value != "multi_worker"
    checkpoints = callbacks.Checkpoints(
        workdir.checkpoints if is_chief else None,
        monitor="val_accuracy",
        best_so_far=max(accuracies, default=-np.inf),
        every=train_flags.CHECKPOINT_EVERY.value,
        minutes=train_flags.CHECKPOINT_MINUTES.value,
        keep=train_flags.KEEP_CHECKPOINTS.value,
        run_files=workdir.growing,
        interruption=interruption if waits else None,
        from_start=train_flags.ON_NON_FINITE.value == "rollback",
    )
    return [*of_every_worker, *(of_the_chief if is_chief else ()), checkpoints]


def _watch(model: Method, workdir: Workdir, first_step: int) -> callbacks.NonFiniteWatch:
    """The callback for steps that are not finite."""
    if train_flags.ON_NON_FINITE.value == "rollback":
        return callbacks.RollBack(lambda: _load_latest(model, workdir), first_step=first_step)
    if train_flags.ON_NON_FINITE.value == "skip":
        return callbacks.CountSkippedSteps(first_step)
    return callbacks.StopOnNonFinite(first_step)


def _load_latest(model: Method, workdir: Workdir) -> None:
    """Puts the state of the latest checkpoint into the model."""
    model.load_weights(workdir.checkpoints.latest().model)
