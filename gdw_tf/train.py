"""Trains a classifier on noisy or imbalanced labels with the help of a small clean set.

Usage: python -m gdw_tf.train [--dataset=cifar10] [--method=gdw] [--noise=flip --noise_rate=0.4] ...

Without any flag: GDW on scikit-learn's handwritten digits with 40 % flip noise.

The working directory gets the flags, the metrics of every epoch, TensorBoard events, checkpoints,
a summary and the classifier as a SavedModel.
"""

from __future__ import annotations

import contextlib
import json
import re
import shlex
import sys
import time
import warnings
from pathlib import Path
from typing import NamedTuple

import keras
import tensorflow as tf

from gdw_tf import (
    cli,
    data,
    experiment,
    files,
    provenance,
    stopping,
    strategies,
    summary,
    train_flags,
)
from gdw_tf.checkpoints import Checkpoint
from gdw_tf.data import describe
from gdw_tf.data.noise import TABLE_CLASSES, matrix_text
from gdw_tf.fitting import fit_round
from gdw_tf.flag_files import flag_line, flag_lines
from gdw_tf.memory import peak_memory
from gdw_tf.methods import Method
from gdw_tf.rounds import Round, rounds
from gdw_tf.settings import Settings
from gdw_tf.workdir import Workdir

_LARGEST_RECORD = 2**30


class _Opened(NamedTuple):
    """A run that is ready to be trained.

    Attributes:
        source: where its data are from.
        noisy: its data.
        unreadable: the image files that are left out; `None` of data without files.
        checkpoint: the one it goes on from; `None` at its beginning.
        model: the model, as it was then.
        is_chief: whether this process writes and speaks.
    """

    source: data.Source
    noisy: data.NoisyData
    unreadable: dict[str, str] | None
    checkpoint: Checkpoint | None
    model: Method
    is_chief: bool


def main(argv: list[str]) -> None:
    """Runs one training, from flags to summary and export."""
    start = time.monotonic()
    with cli.user_errors():
        settings, strategy, workdir = _read_flags(argv)
    with stopping.interruptible(workdir) as interruption, contextlib.ExitStack() as to_the_end:
        with cli.user_errors():
            run = _open(settings, strategy, workdir, to_the_end)
        with stopping.machine_failures(workdir, run.source):
            begun = divmod(
                int(run.model.steps_taken.numpy()),
                experiment.steps_per_epoch(settings, run.noisy),
            )
            if run.is_chief:
                _begin(settings, strategy, workdir, run, *begun)
            metrics = run.checkpoint.metrics() if run.checkpoint else []
            with stopping.lost_worker_named(workdir):
                for part in rounds(settings, run.source, run.noisy, run.model, workdir, *begun):
                    _announce_round(settings, part)
                    fit_round(
                        run.model,
                        settings,
                        run.source,
                        workdir,
                        part,
                        metrics,
                        interruption,
                        is_chief=run.is_chief,
                    )
            if run.is_chief:
                _finish(settings, workdir, run, time.monotonic() - start, begun[0])


def _open(
    settings: Settings,
    strategy: tf.distribute.Strategy,
    workdir: Workdir,
    to_the_end: contextlib.ExitStack,
) -> _Opened:
    """Reads the data and makes or loads the model; only then is a new directory written to.

    Args:
        settings: of the run.
        strategy: where it is trained.
        workdir: where it is to be.
        to_the_end: where the lock of the directory is held.

    Raises:
        OSError: data or directory cannot be read or written.
        ValueError: they are not as they should be, or do not go with the flags.
    """
    is_chief = strategies.is_chief(strategy)
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
    if is_chief:
        workdir.check_data(noisy)
    checkpoint = workdir.checkpoints.latest()
    if is_chief:
        workdir.check_latest(checkpoint)
    with strategy.scope():
        model = (
            experiment.build_model(settings, source, noisy)
            if checkpoint is None
            else checkpoint.load()
        )
    model.check_replicas()
    with stopping.lost_worker_named(workdir):
        strategies.check_agreement(strategy, int(model.steps_taken.numpy()))
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
    return _Opened(source, noisy, unreadable, checkpoint, model, is_chief)


def _begin(
    settings: Settings,
    strategy: tf.distribute.Strategy,
    workdir: Workdir,
    run: _Opened,
    epoch: int,
    step: int,
) -> None:
    """Writes and says what is about to be trained, from which epoch and step on."""
    if run.unreadable is not None:
        workdir.write_unreadable(run.unreadable)
    workdir.write_data(run.noisy, describe.full_description(settings, run.noisy))
    workdir.restore(run.checkpoint)
    _warn_of_damaged_best(workdir)
    _announce(settings, run.noisy, workdir, epoch, step)
    compiles = "compiles" if run.model.jit_compile else "leaves"
    print(f"{_devices(strategy)}; XLA {compiles} the step")


def _finish(
    settings: Settings, workdir: Workdir, run: _Opened, seconds: float, initial_epoch: int
) -> None:
    """Writes the SavedModel and the results."""
    with files.written_aside(workdir.export) as aside:
        run.model.export(str(aside), verbose=False, class_names=run.noisy.class_names)
    once = {  # what is known of the training alone
        "made_by": provenance.made_by(),
        "seconds": seconds,
        "peak_memory_bytes": peak_memory(),
    }
    if initial_epoch == settings.epochs and workdir.summary.exists():  # nothing was trained
        try:
            once = json.loads(workdir.summary.read_text())
        except ValueError:  # torn, and what it said of the training is lost
            once = {}
    summary.write(run.model, settings, run.noisy, workdir, once)


def _read_flags(argv: list[str]) -> tuple[Settings, tf.distribute.Strategy, Workdir]:
    """What the command line asks for.

    Raises:
        ValueError: flags that cannot be, or do not go together.
    """
    cli.check_all_flags(argv)
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


def _unreadable(settings: Settings, source: data.Source, workdir: Workdir) -> dict[str, str] | None:
    """The files to leave out: those that the run left out before, or those that a scan finds.

    `None` if the data set has no files.
    """
    known = workdir.read_unreadable()
    if known is not None:
        return known
    if isinstance(source.x_train, data.ImageFiles):
        print(f"reading {len(source.x_train)} training image files once", flush=True)
    found = experiment.scan(settings, source)
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


def _announce_round(settings: Settings, part: Round) -> None:
    """Says with which pseudo-clean meta set a round is trained."""
    if settings.meta == "pseudo" and len(part.noisy.y_meta):
        print(
            f"from epoch {part.first + 1} on: {len(part.noisy.y_meta)} pseudo-clean meta images, "
            f"{_wrong_labels(part.noisy.meta_noise_rate)}",
            flush=True,
        )


def _devices(strategy: tf.distribute.Strategy) -> str:
    """Says what the steps are taken on."""
    kind = "CPU" if not tf.config.list_physical_devices("GPU") else "GPU"
    count = strategy.num_replicas_in_sync
    return kind if count == 1 else f"{count} replicas on {kind}s"


def _wrong_labels(rate: float | None) -> str:
    return "labels as they are" if rate is None else f"{100 * rate:.1f} % wrong labels"


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
