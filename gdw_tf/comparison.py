"""Runs of several methods on the same data, side by side.

A *contender* is a method, or a method with flags of its own, as in `gdw:memory=0.7`; with each seed
it is one run of `gdw_tf.train`, in a process and a directory of its own, so that a run's memory is
its own and every figure can be traced to the flags that made it. Three contenders are no methods:

- `ce_early_stopping`: the runs of `ce`, at the epoch that is best on the meta set;
- `svc`, `svc_clean`: scikit-learn's support vector machine with its defaults, on the pixels of the
  training images with the labels given, or of the meta images; for data sets in memory.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import re
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from sklearn.svm import SVC

from gdw_tf import cli, data, experiment, methods, run_loading, train_flags
from gdw_tf.child_programs import ChildPrograms
from gdw_tf.defaults import OWN_FILES
from gdw_tf.flag_files import flag_lines
from gdw_tf.interruption import Interruption
from gdw_tf.results import Row, early_stopping_accuracy, final_accuracies, percent, row_of
from gdw_tf.settings import Settings
from gdw_tf.workdir import Workdir

EARLY_STOPPING = "ce_early_stopping"
SUPPORT_VECTOR_MACHINES = {"svc": "train", "svc_clean": "meta"}
WITHOUT_RUNS = (EARLY_STOPPING, *SUPPORT_VECTOR_MACHINES)


@dataclasses.dataclass(frozen=True)
class Contender:
    """A row of the comparison.

    Attributes:
        name: as it was given, and as it stands in the table.
        method: the training method, or one of `WITHOUT_RUNS`.
        flags: its own flags, as `NAME=VALUE`.
    """

    name: str
    method: str
    flags: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Contender:
        """Reads `METHOD[:FLAG=VALUE...]`.

        Raises:
            ValueError: an unknown method, or flags that are not `NAME=VALUE`.
        """
        method, *flags = text.split(":")
        if method not in methods.names() and method not in WITHOUT_RUNS:
            raise ValueError(
                f"methods names an unknown one. Received: {text}; allowed: "
                f"{', '.join([*methods.names(), *WITHOUT_RUNS])}, and with flags gdw:memory=0.7."
            )
        if any("=" not in flag for flag in flags) or flags and method in WITHOUT_RUNS:
            raise ValueError(
                f"methods names flags that cannot be read. Received: {text}; allowed: a training "
                "method and its flags as NAME=VALUE, as in gdw:memory=0.7:clip=0.1."
            )
        return cls(text, method, tuple(flags))

    def settings(self, seed: str, assignments: Sequence[str] = ()) -> Settings:
        """Its settings, from the flags of training as they are parsed, and its own.

        Args:
            seed: a number.
            assignments: further flags, `NAME=VALUE`.

        Raises:
            ValueError: flags that there are not, or that do not go together.
            flags.Error: a value of a flag cannot be read.
        """
        own = self.flags
        self._check_flags()
        if self.method not in SUPPORT_VECTOR_MACHINES:
            method = "ce" if self.method == EARLY_STOPPING else self.method
            own = (f"method={method}", *own)
        with train_flags.flags_set([*assignments, *own, f"seed={seed}"]):
            return train_flags.settings_from_flags()

    def _check_flags(self) -> None:
        """Checks that every flag of its own makes a difference.

        Raises:
            ValueError: a flag that is no setting, that all rows share, or of another method.
        """
        own = set(getattr(methods.METHODS.get(self.method), "option_names", ()))
        of_others = {name for method in methods.METHODS.values() for name in method.option_names}
        settings = {field.name for field in dataclasses.fields(Settings)}
        allowed = settings - {"method", "seed"} - (of_others - own)
        for flag in self.flags:
            if flag.partition("=")[0] not in allowed:
                raise ValueError(
                    f"methods names a flag that is not {self.method}'s own. Received: {self.name}; "
                    "allowed: settings of a training but method and seed, no other method's."
                )


@dataclasses.dataclass(frozen=True)
class Run:
    """One training: a contender with a seed. For a support vector machine, the data of one.

    Attributes:
        settings: all of its settings.
        workdir: its directory.
        machine_flags: where the data are, and how this machine trains.
    """

    settings: Settings
    workdir: Workdir
    machine_flags: tuple[str, ...]

    @property
    def is_complete(self) -> bool:
        """Whether it has its results."""
        return self.workdir.summary.exists()

    @property
    def log(self) -> Path:
        """The file beside its directory that holds what its programs say."""
        return self.workdir.root.with_name(f"{self.workdir.root.name}.log")

    def train(self, programs: ChildPrograms, cores: int) -> str | None:
        """Trains in a process of its own, or goes on where an earlier one stopped.

        Returns:
            The last line that it said where it failed, else `None`.
        """
        flags = [*flag_lines(self.settings), *self.machine_flags]
        command = [sys.executable, "-m", "gdw_tf.train", *flags, "--resume"]
        return programs.run([*command, f"--workdir={self.workdir.root}"], cores, self.log)

    def check_data(self) -> None:
        """Raises an error where it is complete, and its own files are no longer those it was of.

        What is not complete checks its data when it is trained.

        Raises:
            OSError: the data are not there.
            ValueError: they are others.
        """
        if self.is_complete and self.settings.dataset in OWN_FILES:
            source = experiment.load_source(self.settings, **train_flags.locations())
            noisy = run_loading.prepared_from(source, self.workdir, self.settings)
            self.workdir.check_data(noisy)


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Contenders and their runs.

    Attributes:
        runs: of each contender, a row of the table, a run for each seed.
    """

    runs: Mapping[Contender, Sequence[Run]]

    @classmethod
    def plan(
        cls,
        names: Sequence[str],
        seeds: Sequence[str],
        root: Path,
        *assignments: str,
        refused: Sequence[str] = (),
    ) -> Comparison:
        """Plans the runs, from the flags of training as they are parsed.

        Args:
            names: contenders, as `Contender.parse` reads them.
            seeds: numbers.
            root: the directory of the runs' directories.
            *assignments: further flags, `NAME=VALUE`.
            refused: of `WITHOUT_RUNS`, those that the caller has no use for.

        Raises:
            OSError: the data that complete runs were made of are not there.
            ValueError: methods, seeds or flags that there are not, or contenders that are refused;
                a directory of another run, or of other data; figures that the runs would not give.
            flags.Error: a value of a flag cannot be read.
        """
        if not names or len(set(names)) < len(names):
            raise ValueError(f"methods must be different ones. Received: methods={','.join(names)}")
        if not seeds or not all(seed.isdecimal() for seed in seeds):
            raise ValueError(f"seeds must be numbers. Received: {','.join(seeds)}; allowed: 0,1,2")
        if len(set(map(int, seeds))) < len(seeds):
            raise ValueError(f"seeds must be different ones. Received: {','.join(seeds)}")
        contenders = list(map(Contender.parse, names))
        if useless := [one.name for one in contenders if one.method in refused]:
            raise ValueError(
                f"methods must be training methods here. Received: {', '.join(useless)}"
            )
        plan = cls(
            {
                contender: [_planned(contender, seed, root, assignments) for seed in seeds]
                for contender in contenders
            }
        )
        plan._check_directories()
        for run in plan.trainings:
            run.check_data()
        return plan

    def _check_directories(self) -> None:
        """Checks that no two different trainings have one directory.

        Raises:
            ValueError: two have, whose names differ in what a directory's name cannot hold.
        """
        settings: dict[Workdir, Settings] = {}
        for run in (run for runs in self.runs.values() for run in runs):
            if settings.setdefault(run.workdir, run.settings) != run.settings:
                raise ValueError(
                    "Two methods would be trained in one directory; name their flags in other "
                    f"words. Received: {run.workdir.root}"
                )

    @property
    def trainings(self) -> list[Run]:
        """The runs to train, each once."""
        trained = {
            run.workdir: run
            for contender, runs in self.runs.items()
            if contender.method not in SUPPORT_VECTOR_MACHINES
            for run in runs
        }
        return list(trained.values())

    def fit_support_vector_machines(self) -> None:
        """Computes the rows without trainings, so that their errors come before the trainings."""
        for contender, runs in self.runs.items():
            if contender.method in SUPPORT_VECTOR_MACHINES:
                _row(contender, runs)

    def rows(self) -> list[Row]:
        """The figures of the runs that are complete."""
        return [_row(contender, runs) for contender, runs in self.runs.items()]


def _planned(contender: Contender, seed: str, root: Path, assignments: Sequence[str]) -> Run:
    name = "ce" if contender.method == EARLY_STOPPING else contender.name.replace(":", "-")
    settings = contender.settings(seed, assignments)
    if settings.meta == "pseudo" and contender.method in (EARLY_STOPPING, "svc_clean"):
        raise ValueError(
            f"{contender.name} needs a meta set that is there from the start. Received: "
            "meta=pseudo; allowed: clean, noisy."
        )
    name = re.sub(r"[^\w.=,+-]", "_", name)  # a flag's value can be a path
    workdir = Workdir(root / f"{name}-seed{seed}")
    workdir.check(settings, resume=True)
    machine_flags = (*train_flags.location_lines(), *train_flags.machine_lines())
    return Run(settings, workdir, machine_flags)


def train_all(runs: Sequence[Run], jobs: int) -> list[str]:
    """Trains what is not complete, `jobs` at a time.

    A signal to stop (`gdw_tf.interruption`) is passed on to the trainings under way; when they have
    kept what they have, the program ends with exit code 128 and the signal's number.

    Args:
        runs: the runs, in the order in which they are begun.
        jobs: processes at a time, at least 1; they share the processor's cores.

    Returns:
        What went wrong, a line for each run that failed.
    """
    missing = [run for run in runs if not run.is_complete]
    cores = max(1, (os.cpu_count() or 1) // jobs)
    programs = ChildPrograms()

    def train(run: Run) -> str | None:
        start = time.monotonic()
        failure = run.train(programs, cores)
        outcome = failure or f"{time.monotonic() - start:.0f} s"
        print(f"{run.workdir.root}: {outcome}", flush=True)
        return failure and f"{run.workdir.root}: {failure}"

    with Interruption(at_once=programs.stop), ThreadPoolExecutor(jobs) as threads:
        failures = [failure for failure in threads.map(train, missing) if failure]
    if programs.stopped_by is not None:
        cli.fail(
            f"stopped by {signal.Signals(programs.stopped_by).name}; what is complete is not run "
            "again, and what was begun goes on",
            code=128 + programs.stopped_by,
        )
    return failures


def train_all_or_fail(runs: Sequence[Run], jobs: int) -> None:
    """As `train_all`, for a program that has nothing to show without one of them, which it ends."""
    failures = train_all(runs, jobs)
    if failures:
        cli.fail("; ".join(failures), code=1)


def _row(contender: Contender, runs: Sequence[Run]) -> Row:
    part = SUPPORT_VECTOR_MACHINES.get(contender.method)
    if part:
        return Row(contender.name, [svc_accuracy(run.settings, part) for run in runs])
    workdirs = [run.workdir for run in runs if run.is_complete]
    row = row_of(contender.name, workdirs)
    if contender.method != EARLY_STOPPING:
        return row
    return dataclasses.replace(row, accuracies=list(map(early_stopping_accuracy, workdirs)))


def accuracy_of(runs: Sequence[Run]) -> str:
    """What runs that differ in the seed reached, as `percent` writes it."""
    complete = [run.workdir for run in runs if run.is_complete]
    return percent(final_accuracies(complete), len(runs))


@functools.cache
def svc_accuracy(settings: Settings, part: str) -> float:
    """Test accuracy of scikit-learn's support vector machine with its defaults, on the pixels.

    Args:
        settings: of these, the data.
        part: `"train"`, with the labels given, or `"meta"`.

    Raises:
        ValueError: the images are in files.
    """
    source = experiment.load_source(settings, **train_flags.locations())
    noisy = experiment.prepare_data(settings, source)
    x, y = getattr(noisy, f"x_{part}"), getattr(noisy, f"y_{part}")
    if isinstance(x, data.ImageFiles):
        raise ValueError("A support vector machine needs images in memory. Received: image files")

    def pixels(images: np.ndarray) -> np.ndarray:
        return images.reshape(len(images), -1).astype(np.float64)

    return SVC().fit(pixels(x), y).score(pixels(noisy.x_test), noisy.y_test)
