"""The checkpoints of a run: whole, listed with their hashes, and checked before they are used.

    checkpoints/
        manifest.json             step, epoch and hashes of every checkpoint, and which is the best
        manifest.previous.json    its copy; while a checkpoint is saved, the manifest before it
        step-00000130/            a checkpoint, named after the training steps taken
            model.keras           weights, what the method learned and remembers, optimizers,
                                  random states
            epoch.json            the metrics of the epoch that is under way
            metrics.csv, ...      those files of the run that grow with it, as they were

A checkpoint is written aside, brought to the disk and moved into place; then the manifest is; only
then older checkpoints are removed. Wherever that is broken off, the manifest names whole ones.

What is loaded is what was saved: a checkpoint whose bytes are not those of the manifest, or a
manifest whose bytes are not those of its own hash, is reported and the one before it is used.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import keras

from gdw_tf import files
from gdw_tf.model_files import load_method

_MODEL, _EPOCH = "model.keras", "epoch.json"


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """A checkpoint, as the manifest lists it.

    Attributes:
        path: its directory.
        step: training steps taken.
        epoch: epochs completed.
        hashes: of each of its files the SHA-256, in hexadecimal digits.
    """

    path: Path
    step: int
    epoch: int
    hashes: dict[str, str]

    @property
    def model(self) -> Path:
        """The model, a file of Keras."""
        return self.path / _MODEL

    def load(self) -> keras.Model:
        """Loads the model, compiled, to be trained on."""
        return load_method(self.model)

    def metrics(self) -> list[Any]:
        """The values of the metrics' variables in the epoch under way; none between epochs."""
        return json.loads((self.path / _EPOCH).read_text())

    def restore(self, path: Path) -> bool:
        """Gives a file of the run the bytes that it had; whether the checkpoint has the file."""
        if path.name not in self.hashes:
            return False
        with files.written_aside(path) as aside:
            shutil.copyfile(self.path / path.name, aside)
        return True

    def problem(self) -> str | None:
        """What is wrong with its files; `None` if they are what was saved."""
        for name, expected in self.hashes.items():
            try:
                found = _hash_of(self.path / name)
            except OSError as error:
                return f"cannot be read ({error})"
            if found != expected:
                return f"is damaged ({name} is not what was saved)"
        return None


@dataclasses.dataclass(frozen=True)
class CheckpointFolder:
    """The checkpoints of a run and their manifest.

    Attributes:
        root: the directory.
    """

    root: Path

    def create(self) -> None:
        """Makes the directory and an empty manifest, where there are none yet."""
        self.root.mkdir(exist_ok=True)
        if self._is_new:
            self._write_manifest([], None)

    def latest(self) -> Checkpoint | None:
        """The latest checkpoint that is as it was saved; `None` if none was saved yet.

        Warns of every one that is later and is not.

        Raises:
            ValueError: checkpoints were saved, but none is as it was saved.
        """
        checkpoints, _ = self._read()
        for number, checkpoint in enumerate(reversed(checkpoints)):
            problem = checkpoint.problem()
            if problem is None:
                return checkpoint
            is_last = number == len(checkpoints) - 1
            warnings.warn(
                f"checkpoint {checkpoint.path} {problem}; "
                f"{'there is none before it' if is_last else 'going back to the one before it'}",
                stacklevel=2,
            )
        if checkpoints:
            raise ValueError(
                f"No checkpoint of the run can be used, so it cannot go on; choose another workdir "
                f"to train anew. Received: {len(checkpoints)} damaged ones in {self.root}"
            )
        return None

    def best(self) -> Checkpoint | None:
        """The best checkpoint; `None` if none was saved yet.

        Raises:
            ValueError: it is not as it was saved.
        """
        checkpoints, best = self._read()
        for checkpoint in checkpoints:
            if checkpoint.step == best:
                problem = checkpoint.problem()
                if problem is not None:
                    raise ValueError(f"The best checkpoint {checkpoint.path} {problem}.")
                return checkpoint
        return None

    def last_saved(self) -> Checkpoint | None:
        """The checkpoint that was saved last, unchecked; `None` if there is none to be found."""
        try:
            checkpoints, _ = self._read()
        except ValueError:
            return None
        return checkpoints[-1] if checkpoints else None

    def save(
        self,
        model: keras.Model,
        *,
        step: int,
        epoch: int,
        metrics: Sequence[Any] = (),
        run_files: Iterable[Path] = (),
        is_best: bool = False,
        keep: int = 2,
    ) -> None:
        """Saves a checkpoint, and removes older ones once it is safe.

        What the manifest lists beyond the step is dropped: the run went back before it.

        Args:
            model: the model.
            step: training steps taken.
            epoch: epochs completed.
            metrics: the values of the metrics' variables, lists or numbers, within an epoch.
            run_files: files of the run to keep a copy of, where they exist.
            is_best: whether it is the best so far.
            keep: how many of the latest are kept, at least 1; the best is kept beside them.

        Raises:
            OSError: it cannot be written; what was there is there still.
        """
        path = self.root / f"step-{step:08d}"
        with files.written_aside(path) as aside:
            aside.mkdir()
            model.save(aside / _MODEL)
            (aside / _EPOCH).write_text(json.dumps(list(metrics)))
            for file in run_files:
                if file.exists():
                    shutil.copyfile(file, aside / file.name)
            hashes = {file.name: _hash_of(file) for file in sorted(aside.iterdir())}
        checkpoints, best = self._read()
        best = step if is_best else best
        earlier = [checkpoint for checkpoint in checkpoints if checkpoint.step < step]
        listed = [*earlier, Checkpoint(path, step, epoch, hashes)]
        kept = [one for one in listed if one in listed[-keep:] or one.step == best]
        self._write_manifest(kept, best)
        self._remove_all_but(kept)
        self._copy_manifest(self._manifest.read_bytes())  # the one before names what is gone

    @property
    def _is_new(self) -> bool:
        """Whether nothing was written yet, unless that was broken off."""
        names = [path.name for path in self.root.iterdir()] if self.root.exists() else []
        return all(name.endswith(files.ASIDE) for name in names)

    @property
    def _manifest(self) -> Path:
        return self.root / "manifest.json"

    @property
    def _previous_manifest(self) -> Path:
        return self.root / "manifest.previous.json"

    def _read(self) -> tuple[list[Checkpoint], int | None]:
        """What the manifest lists, by step, and the step of the best."""
        if self._is_new:
            return [], None
        problems = []
        for path in (self._manifest, self._previous_manifest):
            try:
                listed = self._parsed(path.read_bytes())
            except (OSError, ValueError) as error:
                problems.append(f"{path.name} {error}")
                continue
            if problems:
                warnings.warn(
                    f"in {self.root} {problems[0]}; going by the one before it", stacklevel=3
                )
            return listed
        raise ValueError(
            f"There is no telling which checkpoints the run has: {'; '.join(problems)}. Choose "
            f"another workdir to train anew. Received: {self.root}"
        )

    def _parsed(self, text: bytes) -> tuple[list[Checkpoint], int | None]:
        """Reads a manifest.

        Raises:
            ValueError: it is not what was written.
        """
        try:
            content = json.loads(text)
            is_whole = content.pop("sha256") == _hash_of_manifest(content)
        except (ValueError, TypeError, AttributeError, KeyError):
            is_whole = False
        if not is_whole:
            raise ValueError("is damaged")
        checkpoints = [
            Checkpoint(self.root / one["file"], one["step"], one["epoch"], one["sha256"])
            for one in content["checkpoints"]
        ]
        return checkpoints, content["best"]

    def _write_manifest(self, checkpoints: Sequence[Checkpoint], best: int | None) -> None:
        content: dict[str, Any] = {
            "checkpoints": [
                {"file": one.path.name, "step": one.step, "epoch": one.epoch, "sha256": one.hashes}
                for one in checkpoints
            ],
            "best": best if best in [one.step for one in checkpoints] else None,
        }
        content["sha256"] = _hash_of_manifest(content)
        try:
            before = self._manifest.read_bytes()
            self._parsed(before)
        except (OSError, ValueError):
            pass  # not worth keeping
        else:
            self._copy_manifest(before)
        files.write_text(self._manifest, json.dumps(content, indent=2) + "\n")

    def _copy_manifest(self, content: bytes) -> None:
        with files.written_aside(self._previous_manifest) as aside:
            aside.write_bytes(content)

    def _remove_all_but(self, kept: Sequence[Checkpoint]) -> None:
        names = {one.path.name for one in kept}
        for path in self.root.glob("step-*"):  # those that were broken off, too
            if path.name not in names:
                files.remove(path)


def _hash_of(path: Path) -> str:
    state = hashlib.sha256()
    with path.open("rb") as file:
        while part := file.read(2**20):
            state.update(part)
    return state.hexdigest()


def _hash_of_manifest(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
