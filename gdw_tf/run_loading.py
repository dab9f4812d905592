"""What the programs that work on a finished run share: finding it, its settings and its model."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from absl import flags

from gdw_tf import cli, data, experiment, failures, train_flags
from gdw_tf.flag_files import assignments_of
from gdw_tf.methods import Method
from gdw_tf.settings import Settings
from gdw_tf.workdir import Workdir

CHECKPOINT = flags.DEFINE_enum(
    "checkpoint", "latest", ["latest", "best"], "Checkpoint of the run (best: by test accuracy)."
)
FLAGS_OF_A_RUN = [CHECKPOINT, train_flags.WORKDIR, *train_flags.LOCATIONS]


def open_run(argv: list[str]) -> tuple[Workdir, Settings]:
    """Finds the run that the command line names and takes over its flags.

    Args:
        argv: the program's name and its positional arguments: the workdir, unless `--workdir` is
            given.

    Raises:
        ValueError: not one workdir is named, or it holds no run; a flag of the training is given.
    """
    check_flags_of_run([train_flags.WORKDIR])
    named = [*argv[1:], *([train_flags.WORKDIR.value] if train_flags.WORKDIR.value else [])]
    if len(named) != 1:
        raise ValueError(f"Name one workdir. Received: {named}")
    workdir = Workdir(Path(named[0]))
    if not workdir.flags.exists():
        raise ValueError(f"There is no run in this workdir. Received: {workdir.root}")
    return workdir, settings_of(workdir.flags, argv[0])


def check_flags_of_run(allowed: Sequence[flags.FlagHolder] = ()) -> None:
    """Checks that the command line changes no setting of a run, which has its own.

    Args:
        allowed: flags of the training that may be given beside those of location.

    Raises:
        ValueError: another one is given.
    """
    names = [flag.name for flag in (*train_flags.LOCATIONS, *allowed)]
    of_training = [flag for holders in train_flags.GROUPS.values() for flag in holders]
    others = [flag for flag in of_training if flag.present and flag.name not in names]
    if others:
        raise ValueError(
            f"A run has its own settings. Received: {others[0].name}={others[0].value}; allowed: "
            f"where the data are ({', '.join(names)})."
        )


def settings_of(flag_file: Path, program: str) -> Settings:
    """Takes over the flags of a run; what the command line says beside them holds.

    Args:
        flag_file: the run's flags.
        program: the program's name.
    """
    flags.FLAGS([program, f"--flagfile={flag_file}", *sys.argv[1:]])
    return train_flags.settings_from_flags()


def data_of(workdir: Workdir, settings: Settings) -> data.NoisyData:
    """Loads the data of a run as it saw them, with the meta set that it had last.

    Raises:
        OSError: the data are not there.
        ValueError: they are not as they should be.
    """
    return data_from(experiment.load_source(settings, **train_flags.locations()), workdir, settings)


def data_from(source: data.Source, workdir: Workdir, settings: Settings) -> data.NoisyData:
    """Makes the data of a run, as it saw them, of the data set that was read for it.

    Raises:
        ValueError: they are not as they should be.
    """
    noisy = prepared_from(source, workdir, settings)
    choice = workdir.read_choice()
    return noisy if choice is None else noisy.with_meta(choice.indices)


def prepared_from(source: data.Source, workdir: Workdir, settings: Settings) -> data.NoisyData:
    """As `data_from`, before a pseudo-clean meta set is chosen."""
    source = data.without(source, workdir.read_unreadable() or ())
    return experiment.prepare_data(settings, source)


def image_failures(source: data.Source) -> contextlib.AbstractContextManager[None]:
    """Ends a program with one line where the machine, or an image file, fails it."""
    return cli.machine_failures(
        lambda error: failures.reason(error) or data.failure_of_images(error, source)
    )


def check_class_names(workdir: Workdir, class_names: Sequence[str]) -> None:
    """Checks that the classes are those that a run learned, in the same order.

    Raises:
        ValueError: they are others; labels would be other numbers.
    """
    learned = workdir.read_class_names()
    if learned is not None and learned != tuple(class_names):
        raise ValueError(
            f"The classes are no longer those of the run. Received: {', '.join(class_names)}; "
            f"allowed: {', '.join(learned)}."
        )


def find_runs(path: Path) -> list[Workdir]:
    """The run whose directory this is, or those whose directories lie in it, by name.

    Raises:
        ValueError: there is none.
    """
    if Workdir(path).flags.is_file():
        return [Workdir(path)]
    found = [Workdir(one) for one in sorted(path.iterdir())] if path.is_dir() else []
    found = [workdir for workdir in found if workdir.flags.is_file()]
    if not found:
        raise ValueError(
            f"There is no run in this workdir. Received: {path}; allowed: the directory of a run, "
            "or one that holds directories of runs, such as a comparison's."
        )
    return found


def check_not_of_run(out: Path, workdir: Workdir) -> None:
    """Checks that a file to be written is none of a run's own.

    Raises:
        ValueError: it is one.
    """
    if any(out.resolve().is_relative_to(own.resolve()) for own in workdir.own):
        raise ValueError(f"out is a file of the run itself. Received: out={out}")


@contextlib.contextmanager
def flags_of(workdir: Workdir) -> Iterator[None]:
    """Gives the flags the values of a run for a while; where the data are, the command line says.

    Raises:
        ValueError: the run has a flag that there is not.
        flags.Error: a value cannot be read.
    """
    given = {flag.name for flag in train_flags.LOCATIONS if flag.present}
    assignments = assignments_of(workdir.flags.read_text().splitlines())
    with train_flags.flags_set([one for one in assignments if one.partition("=")[0] not in given]):
        yield


def load_checkpoint(workdir: Workdir) -> Method:
    """Loads the checkpoint that `--checkpoint` names.

    Raises:
        ValueError: the run has none yet, or none that is as it was saved.
    """
    which = CHECKPOINT.value
    checkpoint = getattr(workdir.checkpoints, which)()
    if checkpoint is None:
        raise ValueError(
            f"The run has no such checkpoint yet. Received: {which} of {workdir.checkpoints.root}"
        )
    return checkpoint.load()
