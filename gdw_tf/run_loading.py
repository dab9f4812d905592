"""What the programs that work on a finished run share: finding it, its settings and its model."""

from __future__ import annotations

import sys
from pathlib import Path

from absl import flags

from gdw_tf import train_flags
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
        ValueError: not one workdir is named, or it holds no run.
    """
    named = [*argv[1:], *([train_flags.WORKDIR.value] if train_flags.WORKDIR.value else [])]
    if len(named) != 1:
        raise ValueError(f"Name one workdir. Received: {named}")
    workdir = Workdir(Path(named[0]))
    if not workdir.flags.exists():
        raise ValueError(f"There is no run in this workdir. Received: {workdir.root}")
    return workdir, settings_of(workdir.flags, argv[0])


def settings_of(flag_file: Path, program: str) -> Settings:
    """Takes over the flags of a run; what the command line says beside them holds.

    Args:
        flag_file: the run's flags.
        program: the program's name.
    """
    flags.FLAGS([program, f"--flagfile={flag_file}", *sys.argv[1:]])
    return train_flags.settings_from_flags()


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
