"""Trains a classifier on noisy or imbalanced labels with the help of a small clean set.

Usage: python -m gdw_tf.train [--dataset=cifar10] [--method=gdw] [--noise=flip --noise_rate=0.4] ...

Without any flag: GDW on scikit-learn's handwritten digits with 40 % flip noise.

The working directory gets the flags, the metrics of every epoch, TensorBoard events, checkpoints,
a summary and the classifier as a SavedModel.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import platform
import re
import resource
import shlex
import signal
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

import gdw_tf
from gdw_tf import (
    callbacks,
    cli,
    data,
    experiment,
    failures,
    files,
    provenance,
    strategies,
    train_flags,
)
from gdw_tf.data import describe
from gdw_tf.data.noise import TABLE_CLASSES, matrix_text
from gdw_tf.interruption import Interrupted, Interruption
from gdw_tf.methods import Method
from gdw_tf.methods.weighting import WeightNetMethod
from gdw_tf.rounds import Round, rounds
from gdw_tf.schedules import cosine_by_epoch
from gdw_tf.settings import Settings, flag_line, flag_lines
from gdw_tf.workdir import Workdir

_MEMORY_UNIT = 1 if sys.platform == "darwin" else 1024  # bytes, of what the system says
_LARGEST_RECORD = 2**30
LAST_EPOCHS = 5  # the paper reports the mean test accuracy of the last five epochs


def main(argv: list[str]) -> None:
    """Runs one training, from flags to summary and export."""
    start = time.monotonic()
    with cli.user_errors():
        settings, strategy, workdir = _read_flags(argv)
    is_chief = strategies.is_chief(strategy)
    with _interruptible(workdir) as interruption, contextlib.ExitStack() as to_the_end:
        with cli.user_errors():
            if is_chief:
                workdir.check(settings, train_flags.RESUME.value)
            is_new = not workdir.flags.exists()
            if is_chief and not is_new:
                to_the_end.enter_context(workdir.locked())
            source = experiment.load_source(settings, **train_flags.locations())
            if isinstance(source.x_train, data.ImageFiles) and settings.noise != "instance":
                experiment.prepare_data(settings, source)  # its errors come before files are read
            unreadable = _unreadable(settings, source, workdir)
            source = data.without(source, unreadable or ())
            noisy = experiment.prepare_data(settings, source)
            training_digest = noisy.training_digest() if is_chief else ""
            if is_chief:
                workdir.check_training_set(training_digest)
            checkpoint = workdir.checkpoints.latest()
            with strategy.scope():
                model = (
                    experiment.build_model(settings, source, noisy)
                    if checkpoint is None
                    else checkpoint.load()
                )
            model.check_replicas()
            initial_step = int(model.steps_taken.numpy())
            with _lost_worker_named(workdir):
                strategies.check_agreement(strategy, initial_step)
            experiment.set_jit(model, train_flags.JIT.value)
            model.on_non_finite = "skip" if train_flags.ON_NON_FINITE.value == "skip" else "stop"
            model.record_examples = _records(settings, noisy)
            if is_chief and is_new:
                to_the_end.enter_context(workdir.locked())
                workdir.check_not_begun()
            if is_chief:
                workdir.create(
                    [
                        *flag_lines(settings),
                        *train_flags.location_lines(),
                        flag_line("deterministic", train_flags.DETERMINISTIC.value),
                        flag_line("record_examples", model.record_examples),
                    ],
                    command=f"python -m gdw_tf.train {shlex.join(sys.argv[1:])}".strip(),
                )

        epoch, step = divmod(initial_step, experiment.steps_per_epoch(settings, noisy))
        with cli.machine_failures(
            lambda error: _reason(error, source), lambda: f"Training stopped; {_kept(workdir)}."
        ):
            if is_chief:
                if unreadable is not None:
                    workdir.write_unreadable(unreadable)
                workdir.write_description(describe.full_description(settings, noisy))
                workdir.write_class_names(source.class_names)
                workdir.write_training_set(training_digest)
                workdir.restore(checkpoint)
                _warn_of_damaged_best(workdir)
                _announce(settings, noisy, workdir, epoch, step)
                compiles = "compiles" if model.jit_compile else "leaves"
                print(f"{_devices(strategy)}; XLA {compiles} the step")
            metrics = checkpoint.metrics() if checkpoint else []
            with _lost_worker_named(workdir):
                for part in rounds(settings, source, noisy, model, workdir, epoch, step):
                    called = _callbacks(model, settings, workdir, part, is_chief, interruption)
                    if part.first_step:
                        called.insert(0, callbacks.RestoreMetrics(metrics, noisy.num_classes))
                    _train(model, settings, source, part, called, is_chief)
            if is_chief:
                with files.written_aside(workdir.export) as aside:
                    model.export(str(aside), verbose=False, class_names=source.class_names)
                once = {  # what is known of the training alone
                    "made_by": provenance.made_by(),
                    "seconds": time.monotonic() - start,
                    "peak_memory_bytes": _MEMORY_UNIT
                    * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
                }
                if epoch == settings.epochs and workdir.summary.exists():  # nothing was trained
                    once = json.loads(workdir.summary.read_text())
                _summarize(model, settings, noisy, workdir, once)


def _read_flags(argv: list[str]) -> tuple[Settings, tf.distribute.Strategy, Workdir]:
    """What the command line asks for.

    Raises:
        ValueError: flags that cannot be, or do not go together.
    """
    if argv[1:]:
        raise ValueError(f"All arguments are flags. Received: {' '.join(argv[1:])}")
    settings = train_flags.settings_from_flags()
    if train_flags.WORKDIR.value == "":
        raise ValueError("workdir must be a directory. Received: workdir=; allowed: a path.")
    train_flags.profiled_steps()
    name = train_flags.STRATEGY.value
    strategies.check(
        settings, name, train_flags.CHECKPOINT_MINUTES.value, train_flags.ON_NON_FINITE.value
    )
    workdir = Workdir(Path(train_flags.WORKDIR.value or _new_workdir(settings)))
    strategy = strategies.make(name)
    if train_flags.DETERMINISTIC.value:
        tf.config.experimental.enable_op_determinism()
        keras.utils.set_random_seed(settings.seed)  # a loaded model draws none of its own
    return settings, strategy, workdir


@contextlib.contextmanager
def _interruptible(workdir: Workdir) -> Iterator[Interruption]:
    """Ends the program with a line on how to go on where it is told to stop, and exit code 128+."""
    try:
        with Interruption(lambda number: _leave(number, workdir)) as interruption:
            yield interruption
    except Interrupted as stop:
        _say_how_to_go_on(stop.signal, workdir)
        sys.exit(128 + stop.signal)


def _leave(number: int, workdir: Workdir) -> None:
    """Ends the program where it is: there is nothing to save, or a second signal insists."""
    _say_how_to_go_on(signal.Signals(number), workdir)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(128 + number)


def _say_how_to_go_on(by: signal.Signals, workdir: Workdir) -> None:
    again = ["python", "-m", "gdw_tf.train", *sys.argv[1:]]
    if train_flags.WORKDIR.value is None:
        again.append(f"--workdir={workdir.root}")
    if not train_flags.RESUME.value:
        again.append("--resume")
    print(
        f"stopped by {by.name}; {_kept(workdir)}; go on with: {shlex.join(again)}",
        file=sys.stderr,
    )


def _summarize(
    model: Method,
    settings: Settings,
    noisy: data.NoisyData,
    workdir: Workdir,
    once: dict[str, Any],
) -> None:
    """Writes and says the results, with what only the end of the training itself knows."""
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


def _unreadable(settings: Settings, source: data.Source, workdir: Workdir) -> dict[str, str] | None:
    """The files to leave out: those that the run left out before, or those that a scan finds.

    `None` if the data set has no files.
    """
    known = workdir.read_unreadable()
    if known is not None:
        return known
    if isinstance(source.x_train, data.ImageFiles):
        print(f"reading {len(source.x_train)} training image files once", flush=True)
    found = data.scan(
        source, max_unreadable=settings.max_unreadable, allow_leak=settings.allow_leak
    )
    if found.unreadable:
        print(
            f"{len(found.unreadable)} of {found.files} image files cannot be read and are left out"
        )
    return found.unreadable if found.files else None


def _warn_of_damaged_best(workdir: Workdir) -> None:
    """A damaged best checkpoint takes no part in the training, which goes on without it."""
    try:
        workdir.checkpoints.best()
    except ValueError as error:
        warnings.warn(f"{error} There is none until a better epoch comes.", stacklevel=2)


def _announce(
    settings: Settings, noisy: data.NoisyData, workdir: Workdir, epoch: int, step: int
) -> None:
    """Says what is about to be trained."""
    meta = f"{len(noisy.y_meta)} meta images"
    if settings.meta != "clean":
        meta = f"{meta}, {_wrong_labels(noisy.meta_noise_rate)}"
    print(
        f"{settings.method} on {settings.dataset}: {len(noisy.y_train)} training images, "
        f"{_wrong_labels(noisy.noise_rate)}, "
        f"{meta if len(noisy.y_meta) else 'no meta images set apart'}, "
        f"{len(noisy.y_test)} test images; "
        f"{min(noisy.class_counts)} to {max(noisy.class_counts)} training images a class\n"
        f"workdir {workdir.root}"
    )
    if len(noisy.class_names) <= TABLE_CLASSES and noisy.noise_counts is not None:
        print(matrix_text(noisy.noise_counts, noisy.class_names))
    if epoch or step:
        print(f"going on after epoch {epoch}{f', step {step} of the next one' if step else ''}")
    sys.stdout.flush()


def _devices(strategy: tf.distribute.Strategy) -> str:
    """Says what the steps are taken on."""
    kind = "CPU" if not tf.config.list_physical_devices("GPU") else "GPU"
    count = strategy.num_replicas_in_sync
    return kind if count == 1 else f"{count} replicas on {kind}s"


def _wrong_labels(rate: float | None) -> str:
    return "labels as they are" if rate is None else f"{100 * rate:.1f} % wrong labels"


@contextlib.contextmanager
def _lost_worker_named(workdir: Workdir) -> Iterator[None]:
    """Ends the program with one line where another worker has ended."""
    try:
        yield
    except strategies.LOST_WORKER as error:
        if train_flags.STRATEGY.value != "multi_worker":
            raise
        reason = next((line for line in error.message.splitlines() if "ollective" in line), "")
        if isinstance(error, tf.errors.InternalError) and not reason:
            raise  # of this worker alone
        cli.fail(
            f"Another worker is lost ({type(error).__name__}: {reason[:200]}). Training stopped; "
            f"{_kept(workdir)}; start all workers again with --resume.",
            code=1,
        )


def _reason(error: Exception, source: data.Source) -> str | None:
    """Says what of the machine, or of the image files, an error in the training comes from."""
    reason = failures.reason(error)
    if reason is None and isinstance(error, tf.errors.OpError):
        unreadable = data.first_unreadable(source)
        if unreadable is not None:
            reason = "An image file can no longer be read: {}: {}.".format(*unreadable)
    return reason


def _kept(workdir: Workdir) -> str:
    """Says what a training that stopped has kept."""
    latest = workdir.checkpoints.last_saved()
    return f"the last good checkpoint is {latest.path}" if latest else "none was saved yet"


def _train(
    model: Method,
    settings: Settings,
    source: data.Source,
    part: Round,
    called: list[keras.callbacks.Callback],
    is_chief: bool,
) -> None:
    """Trains the model for a round."""
    noisy, start = part.noisy, (part.first, part.first_step)
    training, meta_batches = (
        functools.partial(stream, settings, source, noisy, *start)
        for stream in (experiment.training_stream, experiment.meta_stream)
    )
    meta = None
    if len(noisy.y_meta):  # evaluated only, where the method does not need it
        evaluated = functools.partial(_evaluated, noisy.x_meta, noisy.y_meta)
        meta = meta_batches if model.needs_meta_set else evaluated
    if settings.meta == "pseudo" and meta is not None:
        print(
            f"from epoch {part.first + 1} on: {len(noisy.y_meta)} pseudo-clean meta images, "
            f"{_wrong_labels(noisy.meta_noise_rate)}",
            flush=True,
        )
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
        *(callbacks.WeightCurve(workdir.weight_curve),) * isinstance(model, WeightNetMethod),
    ]
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


def _records(settings: Settings, noisy: data.NoisyData) -> bool:
    """Whether the model keeps a record of its examples; see the flag."""
    given = train_flags.RECORD_EXAMPLES.value
    if given and settings.mixup:
        raise ValueError(
            "Mixed images are none of the training set's, of which there is a record. Received: "
            f"record_examples=True, mixup={settings.mixup}; allowed: one of them."
        )
    bytes_of_record = 4 * len(noisy.y_train) * (1 + 2 * noisy.num_classes)
    return not settings.mixup and bytes_of_record <= _LARGEST_RECORD if given is None else given


def _new_workdir(settings: Settings) -> str:
    now = time.strftime("%Y%m%d-%H%M%S")
    dataset = re.sub("[:/]", "_", settings.dataset)
    return f"runs/{dataset}-{settings.method}-seed{settings.seed}-{now}"


def run() -> None:
    """Runs the program, as the console script `gdw-train` does."""
    cli.run(main, doc=__doc__, groups=train_flags.GROUPS)


if __name__ == "__main__":
    run()
