"""Kills trainings at random moments, lets them go on, and compares them with undisturbed ones.

Usage: python -m scripts.faults [--kills=60] [--seed=0] [--cases=gdw,glc] [--folder=DIR]

Every training is a process of its own on the digits, killed once to three times before it may end.
A line is printed for every kill: the training, the kind of kill, the moment, and whether what the
training left at its end is, to the bit, what it leaves undisturbed: weights, weight net,
optimizers, memories, random states, the metrics of every epoch but for times, the best checkpoint,
the exported weights, the curves of TensorBoard, and the summary but for times. The program ends
with `60 of 60 identical` and exit code 0, or with exit code 1.

The kinds of kills:

    any moment      SIGKILL at a random time from the start to the end
    step            SIGKILL within a training step
    checkpoint      SIGKILL when a model is written in part
    move            SIGKILL right before or after something is moved into place; so between the
                    move of a checkpoint and that of its manifest
    disk            SIGKILL when something is written and is about to be brought to the disk
    row             SIGKILL when a row of the metrics is written in part
    removal         SIGKILL when an old checkpoint is removed in part
    export          SIGKILL within the export
    summary         SIGKILL before, within or after the writing of the summary
    SIGTERM, SIGINT at a random time; the training must end by itself, with 143 or 130
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import csv
import dataclasses
import hashlib
import io
import itertools
import json
import multiprocessing
import os
import random
import signal
import sys
import tempfile
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import Any

import h5py
import numpy as np

# A pass over the training set takes ten steps, an epoch seven.
COMMON = (
    *("--train_examples=200", "--num_meta=20", "--batch_size=20", "--meta_batch_size=20"),
    *("--epochs=4", "--steps_per_epoch=7", "--checkpoint_every=3"),
)
CASES = {  # all with dropout, but for the last
    "gdw": ("--method=gdw", "--memory=0.5", "--augment", "--mixup=0.2"),
    "rounds": ("--meta=pseudo", "--pseudo_warmup=1", "--pseudo_every=2", "--num_meta=20"),
    "glc": ("--method=glc",),
    "co_teaching": ("--method=co_teaching",),
    "mlc": ("--method=mlc", "--warm_up=0.4", "--meta_every=2"),
    "elr": ("--method=elr", "--network=small_cnn_without_dropout"),
}
BY_PARENT = {"any moment": signal.SIGKILL, "SIGTERM": signal.SIGTERM, "SIGINT": signal.SIGINT}
AT_CALLS = ("step", "checkpoint", "move", "disk", "row", "removal", "export", "summary")
KINDS = (*BY_PARENT, *AT_CALLS)
TIMES = ("seconds_per_step", "seconds", "peak_memory_bytes")


@dataclasses.dataclass(frozen=True)
class Kill:
    """When a process is to be killed.

    Attributes:
        kind: one of `KINDS`.
        share: a random number, 0 to 1: of the run's seconds or calls, when; of the bytes or the
            time of what is under way, how far it comes.
        call: which of the calls, counted from 1, for a kind of `AT_CALLS`.
    """

    kind: str
    share: float
    call: int = 0

    def __str__(self) -> str:
        """The kind, and what follows of the random numbers."""
        place = f"call {self.call}, " if self.call else ""
        return f"{self.kind} ({place}{100 * self.share:.0f} %)"


# What happens in the process that trains.


class Strikes:
    """Counts the calls of what a kill may strike, and strikes."""

    def __init__(self, kill: Kill | None) -> None:
        self.kill = kill
        self.calls: collections.Counter[str] = collections.Counter()

    def is_due(self, kind: str) -> bool:
        """Counts a call; whether it is the one to be struck."""
        self.calls[kind] += 1
        return self.kill is not None and (kind, self.calls[kind]) == (
            self.kill.kind,
            self.kill.call,
        )

    def install(self) -> None:
        """Puts itself around what may be struck."""
        import keras

        from gdw_tf import callbacks, files, methods, workdir

        def at_random_time(seconds: float) -> None:
            threading.Timer(seconds * self.kill.share, _die).start()

        def step(call: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
            if self.is_due("step"):
                at_random_time(0.03)
            return call(*arguments, **named)

        def save(call: Callable[..., Any], model: Any, path: Path) -> None:
            call(model, path)
            if self.is_due("checkpoint"):
                os.truncate(path, int(self.kill.share * path.stat().st_size))
                _die()

        def move(call: Callable[..., Any], *arguments: Any) -> None:
            is_due = self.is_due("move")
            if is_due and self.kill.share < 0.5:
                _die()
            call(*arguments)
            if is_due:
                _die()

        def bring_to_disk(call: Callable[..., Any], path: Path) -> None:
            if self.is_due("disk"):
                _die()
            call(path)

        def row(call: Callable[..., Any], logger: Any, epoch: int, logs: Any) -> None:
            if self.is_due("row"):
                written = io.StringIO()
                file, logger.csv_file = logger.csv_file, written
                written.flush = lambda: None
                call(logger, epoch, logs)
                text = written.getvalue()
                file.write(text[: int(self.kill.share * len(text))])
                file.flush()
                _die()
            call(logger, epoch, logs)

        def removal(call: Callable[..., Any], path: Path) -> None:
            if path.is_dir() and self.is_due("removal"):
                next(path.iterdir()).unlink()
                _die()
            call(path)

        def export(call: Callable[..., Any], *arguments: Any, **named: Any) -> None:
            if self.is_due("export"):
                at_random_time(1.0)
            call(*arguments, **named)

        def summary(call: Callable[..., Any], place: Any, content: Any) -> None:
            is_due = self.is_due("summary")
            if is_due and self.kill.share < 0.3:
                _die()
            if is_due and self.kill.share < 0.6:
                aside = place.summary.with_name(f"{place.summary.name}{files.ASIDE}")
                aside.write_text(json.dumps(content)[:40])
                _die()
            call(place, content)
            if is_due:
                _die()

        _wrap(callbacks.StepTimer, "on_train_batch_begin", step)
        _wrap(methods.Method, "save", save)
        _wrap(methods.Method, "export", export)
        _wrap(os, "replace", move)
        _wrap(files, "_bring_to_disk", bring_to_disk)
        _wrap(files, "remove", removal)
        _wrap(keras.callbacks.CSVLogger, "on_epoch_end", row)
        _wrap(workdir.Workdir, "write_summary", summary)


def train(arguments: tuple[str, ...], kill: Kill | None, begun: Any, log: Path) -> None:
    """Runs a training in this process, which it ends, as `python -m gdw_tf.train` does."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.default_int_handler)
    sys.stdout = sys.stderr = log.open("w")
    os.dup2(sys.stdout.fileno(), 1)
    os.dup2(sys.stdout.fileno(), 2)

    import keras
    import tensorflow as tf

    from gdw_tf import cli, train, workdir

    tf.config.experimental.enable_op_determinism()
    keras.utils.set_random_seed(len(log.name))  # no two processes begin alike
    strikes = Strikes(kill)
    strikes.install()

    def check(call: Callable[..., Any], *checked: Any) -> None:
        begun.set()
        call(*checked)

    _wrap(workdir.Workdir, "check", check)
    sys.argv = ["gdw_tf/train.py", *arguments]
    try:
        cli.run(train.main, doc=train.__doc__, groups={})
    finally:
        log.with_suffix(".json").write_text(json.dumps(strikes.calls))
        sys.stdout.flush()


def _wrap(owner: Any, name: str, around: Callable[..., Any]) -> None:
    """Lets calls of an attribute go through a function, which gets what was there first."""
    call = getattr(owner, name)
    setattr(owner, name, lambda *arguments, **named: around(call, *arguments, **named))


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


# What happens in this process.


@dataclasses.dataclass(frozen=True)
class Reference:
    """An undisturbed training.

    Attributes:
        state: what it leaves.
        seconds: how long it took from its begin.
        calls: how often it called what a kill may strike.
    """

    state: dict[str, str]
    seconds: float
    calls: dict[str, int]


class Trials:
    """Trainings of one kind of another, undisturbed or killed.

    Args:
        context: makes the processes.
        folder: where their directories are made.
    """

    def __init__(self, context: BaseContext, folder: Path) -> None:
        self.context = context
        self.folder = folder
        self.references: dict[str, Reference] = {}
        self._names = map("{:03d}".format, itertools.count())

    def reference(self, case: str) -> Reference:
        """The undisturbed training of a case."""
        if case not in self.references:
            workdir = self.folder / f"{case}-undisturbed"
            log = workdir.with_suffix(".log")
            code, seconds = self._run(case, workdir, None, log)
            if code != 0:
                raise RuntimeError(f"An undisturbed training failed; see {log}.")
            calls = json.loads(log.with_suffix(".json").read_text())
            self.references[case] = Reference(state(workdir), seconds, calls)
        return self.references[case]

    def killed(self, case: str, kinds: list[str], generator: random.Random) -> list[tuple]:
        """Kills a training once for every kind, lets it end, and compares.

        Returns:
            Of each kill that struck: itself, and what was wrong in the end, `""` for nothing.
        """
        reference = self.reference(case)
        workdir = self.folder / f"{next(self._names)}-{case}"
        kills, wrong = [], ""
        for number, kind in enumerate([*kinds, None]):
            kill = kind and self._drawn(kind, reference, generator)
            log = self.folder / f"{workdir.name}-{number}.log"
            code, _ = self._run(case, workdir, kill, log)
            if kill is not None and code != 0:
                kills.append(kill)
            wrong = wrong or self._wrong_end(kill, code, log)
            if code == 0:
                break
        if not wrong:
            found = state(workdir)
            differing = [
                name
                for name in sorted({*found, *reference.state})
                if found.get(name) != reference.state.get(name)
            ]
            wrong = f"differs in {', '.join(differing)}" if differing else ""
        return [(kill, wrong and f"{wrong}; see {workdir}*") for kill in kills]

    def _drawn(self, kind: str, reference: Reference, generator: random.Random) -> Kill:
        share = generator.random()
        if kind in BY_PARENT:
            return Kill(kind, share)
        return Kill(kind, share, generator.randint(1, reference.calls[kind]))

    def _run(self, case: str, workdir: Path, kill: Kill | None, log: Path) -> tuple[int, float]:
        """Runs a process; its exit code, negative for a signal, and its seconds from the begin."""
        begun = self.context.Event()
        arguments = (*COMMON, *CASES[case], f"--workdir={workdir}", "--resume")
        process = self.context.Process(target=train, args=(arguments, kill, begun, log))
        process.start()
        begun.wait(120)
        start = time.monotonic()
        if kill is not None and kill.kind in BY_PARENT:
            process.join(kill.share * self.references[case].seconds)
            if process.is_alive():
                os.kill(process.pid, BY_PARENT[kill.kind])
        process.join()
        return process.exitcode, time.monotonic() - start

    def _wrong_end(self, kill: Kill | None, code: int, log: Path) -> str:
        """What is wrong with the way that a process ended."""
        number = None if kill is None else BY_PARENT.get(kill.kind, signal.SIGKILL)
        if code == 0 or (number == signal.SIGKILL and code == -signal.SIGKILL):
            return ""
        said = log.read_text().strip().splitlines()
        if number is not None and code == 128 + number and "--resume" in said[-1]:
            return ""
        return f"ended with {code}, {said[-1] if said else 'it said nothing'!r}"


def state(workdir: Path) -> dict[str, str]:
    """What a training leaves, by name, each as a hash or a text; without times."""
    manifest = json.loads((workdir / "checkpoints" / "manifest.json").read_text())
    steps = [one["step"] for one in manifest["checkpoints"]]
    left = {"checkpoints": f"{steps}, best {manifest['best']}"}
    for which, step in (("latest", steps[-1]), ("best", manifest["best"])):
        model = workdir / "checkpoints" / f"step-{step:08d}" / "model.keras"
        left |= {f"{which}/{name}": text for name, text in _saved(model)}
    with (workdir / "metrics.csv").open(newline="") as file:
        rows = [_without_times(row) for row in csv.DictReader(file)]
    left["metrics.csv"] = json.dumps(rows)
    if (workdir / "weight_curve.csv").exists():
        left["weight_curve.csv"] = (workdir / "weight_curve.csv").read_text()
    left["summary.json"] = json.dumps(
        _without_times(json.loads((workdir / "summary.json").read_text()))
    )
    left["description.txt"] = (workdir / "description.txt").read_text()
    left |= {f"export/{name}": text for name, text in _exported(workdir / "export")}
    if (workdir / "pseudo_clean.npz").exists():
        with np.load(workdir / "pseudo_clean.npz") as choice:
            left["pseudo_clean.npz"] = str({name: choice[name].tolist() for name in choice})
    left |= {f"tensorboard/{name}": text for name, text in _curves(workdir / "tensorboard")}
    left["leftovers"] = str(sorted(path.name for path in workdir.rglob("*.partial")))
    return left


def _saved(model: Path) -> Iterator[tuple[str, str]]:
    """Every variable that stands in a file of Keras, as a hash, and its configuration."""
    with zipfile.ZipFile(model) as archive:
        yield "config.json", str(_without_ids(json.loads(archive.read("config.json"))))
        weights = io.BytesIO(archive.read("model.weights.h5"))
    with h5py.File(weights) as file:
        found: dict[str, str] = {}

        def note(name: str, item: Any) -> None:
            if isinstance(item, h5py.Dataset):
                found[name] = _hash_of(np.asarray(item))

        file.visititems(note)
    yield from found.items()


def _exported(folder: Path) -> Iterator[tuple[str, str]]:
    """Every variable of a SavedModel that Keras exported, as a hash."""
    import tensorflow as tf

    reader = tf.train.load_checkpoint(str(folder / "variables" / "variables"))
    for name in reader.get_variable_to_shape_map():
        if name.startswith("variables/"):  # those under other names are the same ones
            yield name, _hash_of(reader.get_tensor(name))


def _curves(folder: Path) -> Iterator[tuple[str, str]]:
    """What TensorBoard draws of every epoch; of points that are there twice, the last."""
    import tensorflow as tf

    for path in sorted(folder.rglob("events*"), key=lambda path: path.stat().st_mtime):
        events = tf.compat.v1.train.summary_iterator(str(path))
        with contextlib.suppress(tf.errors.DataLossError):  # the last one was written in part
            for event in events:
                for value in event.summary.value:
                    tag = value.tag.removeprefix("epoch_")
                    if tag != value.tag and tag not in TIMES:
                        number = tf.make_ndarray(value.tensor)
                        yield f"{path.parent.name}/{tag} {event.step}", repr(float(number))


def _hash_of(array: np.ndarray) -> str:
    return f"{array.dtype}{array.shape} {hashlib.sha256(array.tobytes()).hexdigest()}"


def _without_ids(config: Any) -> Any:
    """A configuration of Keras without the addresses of objects in it."""
    if isinstance(config, dict):
        kept = {name: one for name, one in config.items() if name != "shared_object_id"}
        return {name: _without_ids(one) for name, one in kept.items()}
    return [_without_ids(one) for one in config] if isinstance(config, list) else config


def _without_times(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in TIMES}


def main(kills: int, seed: int, cases: list[str], folder: Path) -> int:
    """Kills until there were as many kills; the exit code."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["gdw_tf.train"])  # imported once; nothing runs in it
    folder.mkdir(parents=True, exist_ok=True)
    trials, generator = Trials(context, folder), random.Random(seed)
    outcomes: list[tuple[str, Kill, str]] = []
    waiting: list[str] = []  # so that all kinds have their turn
    start = time.monotonic()
    for case in itertools.cycle(cases):
        if len(outcomes) >= kills:
            break
        count = min(generator.randint(1, 3), kills - len(outcomes))
        while len(waiting) < count:
            waiting += generator.sample(KINDS, len(KINDS))
        kinds, waiting = waiting[:count], waiting[count:]
        for kill, wrong in trials.killed(case, kinds, generator):
            outcomes.append((case, kill, wrong))
            number = f"{len(outcomes)}/{kills}"
            print(f"{number:>6} {case:<12} {kill!s:<28} {wrong or 'identical'}", flush=True)
    identical = collections.Counter(kill.kind for _, kill, wrong in outcomes if not wrong)
    struck = collections.Counter(kill.kind for _, kill, _ in outcomes)
    print("\n| kind | kills | identical |\n| --- | --- | --- |")
    for kind in KINDS:
        print(f"| {kind} | {struck[kind]} | {identical[kind]} |")
    print(f"\n{time.monotonic() - start:.0f} s")
    print(f"{identical.total()} of {struck.total()} identical")
    return 0 if identical.total() == struck.total() else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cases", default=",".join(CASES), help="trainings to kill")
    parser.add_argument("--folder", type=Path, help="where to leave everything; default nowhere")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        sys.exit(
            main(given.kills, given.seed, given.cases.split(","), given.folder or Path(temporary))
        )
