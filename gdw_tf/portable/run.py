"""Trains with an exported step, on any device that JAX has; needs NumPy and JAX, no TensorFlow.

Usage: python run.py [DIR] [--out=DIR] [--images=FILE] [--until=EPOCH]

DIR is what `python -m gdw_tf.portable export` wrote, by default where this file lies: a copy of it
is part of every export. The data are on the device as uint8, each epoch is one call (`lax.scan`
over its steps, with shuffled orders and augmentation in it), and after each one these files are
written to --out, by default DIR:

    metrics.csv    one row an epoch, with the columns of gdw_tf.train
    latest.npz     the state after the last epoch: weights and all else
    best.npz       the state after the epoch with the best test accuracy
    device.json    what it ran on, in all its parts, and what of
    lock           held by the process that trains

Run again, it goes on after the last epoch, and ends as it would have without the break. Orders and
augmentation are functions of the seed and the position (epoch, step), and those of `fit` in kind;
they are drawn by other generators, so that the batches are not the same ones.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import dataclasses
import functools
import json
import math
import os
import sys
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.export
import jax.numpy as jnp
import numpy as np

try:
    import fcntl
except ImportError:  # not a POSIX system
    fcntl = None

# Steps are counted in 64 bits. Nothing else is wider for it: dtypes are named wherever one is made.
# (Whoever imports this file has 64 bits switched on, too.)
jax.config.update("jax_enable_x64", True)

IDENTITY = ("flags", "training_set", "evaluation_sets")
"""What is said of an export that results are only good for."""

State = dict[str, jax.Array]
Step = Callable[[State, Mapping[str, jax.Array]], tuple[State, dict[str, jax.Array]]]


class Package(NamedTuple):
    """What was exported.

    Attributes:
        description: description.json, which says what all of it is.
        steps: training and evaluation step, by name and batch size.
        initial_state: the state before training, as arrays by name.
        data: arrays by name: `images`, uint8, (N, height, width, channels), and of `train`, `meta`
            and `test` each `PART_index` and `PART_labels`, int32, the places of its images among
            these and their labels.
    """

    description: dict[str, Any]
    steps: dict[tuple[str, int], Step]
    initial_state: dict[str, np.ndarray]
    data: dict[str, np.ndarray]


def load(directory: Path, images: Path | None = None) -> Package:
    """Reads what was exported.

    Args:
        directory: where it is.
        images: the file of images, where it is not the one in the directory.

    Raises:
        OSError: a file is missing.
        ValueError: there is no export, a file is damaged, or the images are not those that were
            exported.
    """
    if not (directory / "description.json").exists():
        raise ValueError(f"There is no export in this directory. Received: {directory}")
    description = json.loads((directory / "description.json").read_text())
    steps = {
        (program["step"], program["batch_size"]): imported(
            program, (directory / program["file"]).read_bytes()
        )
        for program in description["programs"]
    }
    file_of_images = images or directory / "images.npz"
    data = {**_arrays(directory / "data.npz"), **_arrays(file_of_images)}
    there = data.get("images")
    checksum = None if there is None else zlib.crc32(np.ascontiguousarray(there))
    if checksum != description["images_crc32"]:
        raise ValueError(
            f"{file_of_images} is not the file of the export. Received: images of checksum "
            f"{checksum}; allowed: {description['images_crc32']}."
        )
    return Package(description, steps, _arrays(directory / "initial.npz"), data)


def imported(program: Mapping[str, Any], stablehlo: bytes) -> Step:
    """Makes a function of JAX of an exported step.

    Args:
        program: its description.
        stablehlo: its bytes.

    Returns:
        A function from state and batch to state and logs, all by name, for use under `jax.jit`; it
        takes from state and batch what it needs. Shapes and dtypes are those of the description.

    Raises:
        KeyError: the description lacks a part; from the function, state or batch do.
    """
    tensors = {
        side: [jax.ShapeDtypeStruct(one["shape"], one["dtype"]) for one in program[side]]
        for side in ("inputs", "outputs")
    }
    # JAX calls what it exported itself: here a function of the same inputs and outputs, whose
    # bytes are then replaced.
    outline = jax.export.export(
        jax.jit(
            lambda *_: [jnp.zeros(one.shape, one.dtype) for one in tensors["outputs"]],
            keep_unused=True,
        )
    )(*tensors["inputs"])
    function = dataclasses.replace(outline, mlir_module_serialized=stablehlo)

    def step(state: State, batch: Mapping[str, jax.Array]) -> tuple[State, dict[str, jax.Array]]:
        values = {"batch": batch, "state": state, "ignored": state}
        answers = function.call(*(values[one["role"]][one["name"]] for one in program["inputs"]))
        named: dict[str, dict[str, jax.Array]] = {"logs": {}, "state": {}, "ignored": {}}
        for one, answer in zip(program["outputs"], answers, strict=True):
            named[one["role"]][one["name"]] = answer
        return named["state"], named["logs"]

    return step


def crop_and_flip(images: jax.Array, key: jax.Array, padding: int) -> jax.Array:
    """Pads images by reflection, crops at random back to size and flips at random.

    Args:
        images: (B, height, width, channels), any dtype.
        key: of the random numbers.
        padding: pixels on each side.

    Returns:
        Images of the same shape and dtype.
    """
    count, height, width, _ = images.shape
    shift_key, flip_key = jax.random.split(key)
    shifts = jax.random.randint(shift_key, (count, 2), -padding, padding + 1, jnp.int32)
    flips = jax.random.bernoulli(flip_key, 0.5, (count, 1))
    # The padded image is never made: a pixel outside the image is read where it is mirrored.
    rows = _reflect(jnp.arange(height, dtype=jnp.int32) + shifts[:, :1], height)
    columns = _reflect(jnp.arange(width, dtype=jnp.int32) + shifts[:, 1:], width)
    columns = jnp.where(flips, columns[:, ::-1], columns)
    each = jnp.arange(count, dtype=jnp.int32)
    return images[each[:, None, None], rows[:, :, None], columns[:, None, :]]


def _reflect(positions: jax.Array, size: int) -> jax.Array:
    """Mirrors positions outside 0 to size - 1 at the outermost pixel, which is not repeated."""
    last = size - 1
    return last - jnp.abs(last - jnp.abs(positions))


def passes(key: tuple[int, ...], seed: int, count: int, start: int, stop: int) -> np.ndarray:
    """The indices from position `start` to `stop` of shuffled passes joined end to end.

    Args:
        key: names the stream of random numbers; each pass has one of its own in it.
        seed: the seed of the run.
        count: number of examples.
        start: the first position.
        stop: the position after the last.

    Returns:
        int32, (stop - start,).
    """
    first, last = start // count, -(-stop // count)
    seeds = (np.random.SeedSequence(seed, spawn_key=(*key, one)) for one in range(first, last))
    orders = np.concatenate([np.random.default_rng(one).permutation(count) for one in seeds])
    return orders[start - first * count : stop - first * count].astype(np.int32)


def epoch_order(description: Mapping[str, Any], epoch: int) -> tuple[np.ndarray, np.ndarray]:
    """In which order an epoch goes through training set and meta set.

    The training set's passes go on from epoch to epoch, the meta set's start anew, as in `fit`.

    Args:
        description: of the export.
        epoch: counted from 0.

    Returns:
        Numbers of training examples, (E,), E those of an epoch, and of meta examples, (steps an
        epoch, B_meta), both int32; B_meta is 0 where the method does not train on a meta set.
    """
    seed, per_epoch = description["seed"], description["examples_per_epoch"]
    start = epoch * per_epoch
    training = passes((0,), seed, description["count"]["train"], start, start + per_epoch)
    steps, size = -(-per_epoch // description["batch_size"]), description["meta_batch_size"]
    meta = np.zeros(0)
    if size:
        meta = passes((1, epoch), seed, description["count"]["meta"], 0, steps * size)
    return training, meta.reshape(steps, size).astype(np.int32)


def in_batches(order: np.ndarray, size: int) -> list[np.ndarray]:
    """Cuts an order, (E,), into batches: (steps, size), and (1, rest) where a short one is left."""
    full = len(order) // size * size
    parts = [order[:full].reshape(-1, size), order[full:].reshape(1, -1)]
    return [part for part in parts if part.size]


class Training:
    """A training under way.

    Args:
        package: what was exported.
        state: the state to go on from; default the initial one.

    Attributes:
        state: the state, on the device.
        compile_seconds: seconds that compiling took so far.
    """

    def __init__(self, package: Package, state: Mapping[str, np.ndarray] | None = None) -> None:
        self._package = package
        self._description = package.description
        self._data = jax.device_put(package.data)
        self._compiled: dict[tuple[Any, ...], Any] = {}
        self.state: State = jax.device_put(dict(state or package.initial_state))
        self.compile_seconds = 0.0

    def train(self, epoch: int) -> tuple[dict[str, float], float]:
        """Trains for an epoch, counted from 0, and leaves `state` at its end.

        Returns:
            What `fit` logs of it, by name, and the seconds that its steps took, without those of
            compiling.
        """
        state = self._without_sums() | {
            name: jnp.asarray(values[epoch], self.state[name].dtype)
            for name, values in self._description["set_every_epoch"].items()
        }
        key = jax.random.fold_in(jax.random.key(self._description["seed"]), epoch)
        order, meta_order = epoch_order(self._description, epoch)
        done, seconds = 0, 0.0
        for part in in_batches(order, self._description["batch_size"]):
            numbers = np.arange(done, done + len(part), dtype=np.int32)
            scanned = jax.device_put((part, meta_order[numbers], numbers))
            run = self._in_scan("train", self._training_batch, state, self._data, key, scanned)
            start = time.perf_counter()
            state, logs = jax.block_until_ready(run(state, self._data, key, scanned))
            seconds += time.perf_counter() - start
            done += len(part)
        self.state = state
        return _numbers(logs), seconds

    def evaluate(self, part: str) -> dict[str, float]:
        """Evaluates the set `"test"` or `"meta"`, and leaves the state as it is.

        Returns:
            What `evaluate` logs, by name: `accuracy`, 0 to 1, and `loss` in nats.
        """
        state = jax.tree.map(jnp.copy, self._without_sums())
        everything = np.arange(self._description["count"][part], dtype=np.int32)
        for batches in in_batches(everything, self._description["evaluation_batch_size"]):
            chosen = jax.device_put(self._package.data[f"{part}_index"][batches])
            labels = jax.device_put(self._package.data[f"{part}_labels"][batches])
            arguments = (state, self._data, jax.random.key(0), (chosen, labels))
            run = self._in_scan("evaluate", _evaluation_batch, *arguments)
            state, logs = run(*arguments)
        return _numbers(logs)

    def _without_sums(self) -> State:
        """The state with the sums behind the metrics at zero."""
        sums = self._description["zero_every_epoch"]
        return self.state | {name: jnp.zeros_like(self.state[name]) for name in sums}

    def _in_scan(self, step: str, batch_of: Callable[..., Any], *arguments: Any) -> Any:
        """Compiles the steps on batches of one size as one function of these arguments."""
        steps, size = arguments[-1][0].shape
        if (step, steps, size) not in self._compiled:
            start = time.perf_counter()
            function = functools.partial(_steps, self._package.steps[step, size], batch_of)
            self._compiled[step, steps, size] = (
                jax.jit(function, donate_argnums=0).lower(*arguments).compile()
            )
            self.compile_seconds += time.perf_counter() - start
        return self._compiled[step, steps, size]

    def _training_batch(
        self, data: Mapping[str, jax.Array], key: jax.Array, scanned: tuple[jax.Array, ...]
    ) -> dict[str, jax.Array]:
        """The batches of a step: gathered and augmented on the device."""
        order, meta_order, number = scanned
        keys = jax.random.split(jax.random.fold_in(key, number))
        padding = self._description["padding"]

        def images(chosen: jax.Array, key: jax.Array) -> jax.Array:
            gathered = data["images"][chosen]
            return crop_and_flip(gathered, key, padding) if padding else gathered

        batch = {
            "images": images(data["train_index"][order], keys[0]),
            "labels": data["train_labels"][order],
            "index": order,
        }
        if self._description["meta_batch_size"]:
            batch["meta_images"] = images(data["meta_index"][meta_order], keys[1])
            batch["meta_labels"] = data["meta_labels"][meta_order]
        return batch


def _evaluation_batch(
    data: Mapping[str, jax.Array], key: jax.Array, scanned: tuple[jax.Array, ...]
) -> dict[str, jax.Array]:
    chosen, labels = scanned
    return {"images": data["images"][chosen], "labels": labels}


def _steps(
    step: Step,
    batch_of: Callable[..., dict[str, jax.Array]],
    state: State,
    data: Mapping[str, jax.Array],
    key: jax.Array,
    scanned: tuple[jax.Array, ...],
) -> tuple[State, dict[str, jax.Array]]:
    """Takes a step for each row of `scanned`; answers the state and the last step's logs."""
    state, logs = jax.lax.scan(
        lambda state, row: step(state, batch_of(data, key, row)), state, scanned
    )
    return state, {name: log[-1] for name, log in logs.items()}


def _numbers(logs: Mapping[str, jax.Array]) -> dict[str, float]:
    return {name: float(log) for name, log in logs.items()}


def run(package: Package, out: Path, until: int | None = None) -> None:
    """Trains to the end, or to an epoch, from where the files in `out` left off.

    Args:
        package: what was exported.
        out: a directory, where the files are.
        until: the number of epochs to have been trained in all; default all of the export.

    Raises:
        FloatingPointError: a log is not finite; the files are those of the epoch before.
        OSError: a file cannot be read or written.
        ValueError: the files in `out` are those of another export, or damaged, or another process
            writes them.
    """
    with _locked(out):
        _run(package, out, until)


def _run(package: Package, out: Path, until: int | None) -> None:
    description = package.description
    metrics, ran_on = out / "metrics.csv", out / "device.json"
    latest, best = out / "latest.npz", out / "best.npz"
    state = _arrays(latest) if latest.exists() else None
    identity = {name: description.get(name) for name in IDENTITY}
    device = jax.devices()[0].device_kind
    devices = [device]
    if state:
        there = json.loads(ran_on.read_text())
        if {name: there.get(name, identity[name]) for name in identity} != identity:
            raise ValueError(f"These are the results of another export. Received: {out}")
        devices = list(dict.fromkeys([*there["device"].split(" and "), device]))
    first = int(state.pop("epochs_done")) if state else 0
    rows = read_rows(metrics)[:first]
    if [row["epoch"] for row in rows] != list(map(str, range(first))):
        raise ValueError(
            f"{metrics} must have a row for each of {first} epochs that are done. Received: "
            f"{len(rows)}"
        )
    if state and best_epoch(rows) == first:  # broken off, perhaps, before it was written
        write_state(best, state, first)
    end = min(description["epochs"], until or description["epochs"])
    if first >= end:
        print(f"{first} epochs of {description['epochs']} are done")
        return
    training = Training(package, state)
    with _in_one_move(ran_on, "w") as file:
        json.dump({"device": " and ".join(devices), "jax": jax.__version__} | identity, file)
    print(
        f"{description['title']}\n{device}, JAX {jax.__version__}, epochs {first + 1} to {end}",
        flush=True,
    )
    for epoch in range(first, end):
        logs = _epoch(training, description, epoch)
        rows.append({"epoch": epoch, **dict(sorted(logs.items()))})
        write_rows(metrics, rows)
        state = {name: np.asarray(value) for name, value in training.state.items()}
        write_state(latest, state, epoch + 1)
        if best_epoch(rows) == epoch + 1:
            write_state(best, state, epoch + 1)
        print(
            f"epoch {epoch + 1}/{description['epochs']}: "
            + ", ".join(f"{name} {log:.4g}" for name, log in sorted(logs.items())),
            flush=True,
        )
    print(f"{training.compile_seconds:.1f} s of it to compile")


def _epoch(training: Training, description: Mapping[str, Any], epoch: int) -> dict[str, float]:
    """Trains for an epoch, counted from 0, and evaluates; answers what is logged of both."""
    logs, seconds = training.train(epoch)
    for prefix, part in description["evaluated"].items():
        logs |= {f"{prefix}_{name}": log for name, log in training.evaluate(part).items()}
    for name, log in logs.items():
        if not math.isfinite(log):
            raise FloatingPointError(f"{name} is {log} in epoch {epoch + 1}.")
    return logs | {
        "learning_rate": description["set_every_epoch"][description["learning_rate"]][epoch],
        "seconds_per_step": seconds / description["steps_per_epoch"],
    }


def best_epoch(rows: Sequence[Mapping[str, Any]]) -> int:
    """The first epoch with the best test accuracy, counted from 1.

    Args:
        rows: of the metrics, one an epoch from the first on, at least one.

    Raises:
        KeyError: a row has no test accuracy.
    """
    accuracies = [float(row["val_accuracy"]) for row in rows]
    return 1 + accuracies.index(max(accuracies))


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a table as text by column; none where there is no file."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def write_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    """Writes a table in one move."""
    with _in_one_move(path, "w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)


def write_state(path: Path, state: Mapping[str, np.ndarray], epochs_done: int) -> None:
    """Writes a state in one move.

    Args:
        path: the .npz to write.
        state: arrays by name.
        epochs_done: the number of epochs after which it is the state, a further array.
    """
    with _in_one_move(path, "wb") as file:
        np.savez(file, epochs_done=epochs_done, **state)


@contextlib.contextmanager
def _in_one_move(path: Path, mode: str, **arguments: Any) -> Iterator[Any]:
    """Opens a file that stands in its place once it is whole and on the disk."""
    aside = path.with_name(f"{path.name}.partial")
    with aside.open(mode, **arguments) as file:
        yield file
        file.flush()
        os.fsync(file.fileno())
    os.replace(aside, path)


@contextlib.contextmanager
def _locked(out: Path) -> Iterator[None]:
    """Holds a directory for this process; where there are no locks of files, does nothing."""
    with (out / "lock").open("a") as file:
        try:
            if fcntl is not None:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(f"Another process trains in this directory. Received: {out}") from None
        except OSError:  # a file system without locks
            pass
        yield


def _arrays(path: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (AttributeError, EOFError, TypeError, ValueError, zipfile.BadZipFile) as error:
        raise ValueError(f"This is no archive of arrays. Received: {path}: {error}") from error


def main() -> None:
    """Runs the program; a user's mistake is one line and exit code 2."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    here = Path(__file__).parent
    parser.add_argument("directory", nargs="?", type=Path, default=here, metavar="DIR")
    parser.add_argument("--out", type=Path, help="directory to write; by default DIR")
    parser.add_argument("--images", type=Path, help="file of images; by default DIR/images.npz")
    parser.add_argument("--until", type=int, help="stop after this many epochs in all")
    arguments = parser.parse_args()
    if arguments.until is not None and arguments.until < 1:
        parser.error(
            f"until is out of range. Received: until={arguments.until}; allowed: 1 or more"
        )
    try:
        package = load(arguments.directory, arguments.images)
        out = arguments.out or arguments.directory
        out.mkdir(parents=True, exist_ok=True)
        run(package, out, arguments.until)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile, FloatingPointError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
