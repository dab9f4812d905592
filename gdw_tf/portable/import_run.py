"""Makes a run of gdw_tf of what run.py left: checkpoints, metrics, summary, export.

Usage: python -m gdw_tf.portable import DIR --workdir=WORKDIR [--results=DIR]

DIR is the export, --results what run.py wrote to, where that is another directory. WORKDIR is then
as `gdw_tf.train` would have left it: `gdw_tf.evaluate` and `gdw_tf.export` work on it, and where
not all epochs were run, `gdw_tf.train --resume` goes on.
"""

from __future__ import annotations

import csv
import json
import shlex
import sys
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from gdw_tf import cli, experiment, files, provenance, run_loading, train_flags
from gdw_tf.data import NoisyData, describe
from gdw_tf.flag_files import differences, flag_line, flag_lines
from gdw_tf.methods import Method
from gdw_tf.portable import pure
from gdw_tf.settings import Settings
from gdw_tf.summary import counts, summarize
from gdw_tf.workdir import Workdir

RESULTS = cli.define_path(
    "results", None, "Directory that run.py wrote to; by default that of the export."
)
GROUPS = {"Import": [train_flags.WORKDIR, RESULTS, *train_flags.LOCATIONS]}


class Results(NamedTuple):
    """What run.py left.

    Attributes:
        states: by `best` and `latest`, in this order, arrays by the names of
            `pure.state_variables`, and `epochs_done`.
        metrics: lines of metrics.csv, the header and one for each epoch of the latest state.
        device: on what it ran.
    """

    states: dict[str, dict[str, np.ndarray]]
    metrics: list[str]
    device: dict[str, Any]


def main(argv: list[str]) -> None:
    """Imports, from the files of run.py to those of a workdir, of which all or nothing is made."""
    with cli.user_errors():
        if len(argv) != 2 or not train_flags.WORKDIR.value:
            raise ValueError(
                f"Name one export and --workdir. Received: {argv[1:]}, "
                f"workdir={train_flags.WORKDIR.value}"
            )
        exported = Path(argv[1])
        if not (exported / "description.json").exists():
            raise ValueError(f"There is no export in this directory. Received: {exported}")
        description = json.loads((exported / "description.json").read_text())
        settings = run_loading.settings_of(exported / "flags.txt", argv[0])
        _check_settings(settings, description)
        results = read_results(Path(RESULTS.value or exported), description)
        workdir = Workdir(Path(train_flags.WORKDIR.value).absolute())
        workdir.check(settings, resume=False)
        source = experiment.load_source(settings, **train_flags.locations())
        noisy = experiment.prepare_data(settings, source)
        _check_data(noisy, description)
        model = pure.started_model(settings, source, noisy)
        _check_states(results, model, experiment.steps_per_epoch(settings, noisy))

    done = int(results.states["latest"]["epochs_done"])
    workdir.root.parent.mkdir(parents=True, exist_ok=True)
    with files.written_aside(workdir.root) as aside:
        _write(Workdir(aside), results, model, noisy, settings)
        if done == settings.epochs:
            made_by = description.get("exported_by", provenance.made_by())
            _finish(Workdir(aside), results, model, noisy, settings, made_by)
        with cli.user_errors():  # a run may have begun there meanwhile, which is not to be replaced
            workdir.check(settings, resume=False)
    print(f"imported {done} of {settings.epochs} epochs into {train_flags.WORKDIR.value}")


def _check_settings(settings: Settings, description: dict[str, Any]) -> None:
    """Checks that flags.txt, with what the command line says beside it, is what was exported."""
    different = differences(description.get("flags", flag_lines(settings)), settings)
    if different:
        raise ValueError(
            f"The export was made with other flags. Received, here or there: {' '.join(different)}"
        )


def _check_data(noisy: NoisyData, description: dict[str, Any]) -> None:
    """Checks that the data are those that were exported."""
    digests = {
        "training_set": noisy.training_digest(),
        "evaluation_sets": noisy.evaluation_digest(),
    }
    for name, digest in digests.items():
        if description.get(name, digest) != digest:
            raise ValueError(
                "The data are not those that were exported: images or labels came, went or "
                f"changed. Received: {name} of digest {digest}"
            )


def read_results(folder: Path, description: dict[str, Any]) -> Results:
    """Reads what run.py wrote.

    Args:
        folder: where to.
        description: of the export.

    Raises:
        OSError: a file is not there or cannot be read.
        ValueError: a file is damaged, or they do not belong together or to the export.
    """
    states = {which: _state(folder / f"{which}.npz") for which in ("best", "latest")}
    device = json.loads((folder / "device.json").read_text())
    for name in ("flags", "training_set", "evaluation_sets"):
        if device.pop(name, None) not in (None, description.get(name)):
            raise ValueError(f"These are the results of another export. Received: {folder}")
    best, latest = (int(states[which]["epochs_done"]) for which in ("best", "latest"))
    metrics = (folder / "metrics.csv").read_text().splitlines(keepends=True)[: 1 + latest]
    accuracies = _accuracies(metrics)
    if not latest or len(accuracies) != latest:
        raise ValueError(
            f"metrics.csv must have a whole row for each of {latest} epochs. Received: "
            f"{folder / 'metrics.csv'} with {len(accuracies)}"
        )
    if best != 1 + accuracies.index(max(accuracies)):
        raise ValueError(
            f"best.npz must be that of the best epoch so far, {1 + np.argmax(accuracies)}. "
            f"Received: {folder}, that of epoch {best}; where run.py was broken off, run it again."
        )
    return Results(states, metrics, device)


def _accuracies(lines: list[str]) -> list[float]:
    """The test accuracy of each epoch from the first, as far as there are whole rows."""
    accuracies: list[float] = []
    for line, row in zip(lines[1:], csv.DictReader(lines), strict=False):
        is_whole = line.endswith("\n") and None not in row and None not in row.values()
        if not is_whole or row.get("epoch") != str(len(accuracies)) or "val_accuracy" not in row:
            break
        accuracies.append(float(row["val_accuracy"]))
    return accuracies


def _state(path: Path) -> dict[str, np.ndarray]:
    """Reads a state that run.py wrote."""
    try:
        with np.load(path, allow_pickle=False) as file:
            state = {name: file[name] for name in file.files}
    except (AttributeError, EOFError, TypeError, ValueError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} is no state that run.py wrote: {error}") from error
    if "epochs_done" not in state:
        raise ValueError(f"{path} is no state that run.py wrote: it does not say of which epoch")
    return state


def _check_states(results: Results, model: Method, steps_per_epoch: int) -> None:
    """Checks that the states are those of the model, after as many steps as their epochs have."""
    names = {id(variable): name for name, variable in pure.state_variables(model).items()}
    for which, state in results.states.items():
        pure.check_state(model, state)
        steps, epochs = int(state[names[id(model.steps_taken)]]), int(state["epochs_done"])
        if steps != epochs * steps_per_epoch:
            raise ValueError(
                f"{which}.npz is of another training. Received: {steps} steps in {epochs} epochs; "
                f"allowed: {epochs * steps_per_epoch}."
            )


def _write(
    workdir: Workdir, results: Results, model: Method, noisy: NoisyData, settings: Settings
) -> None:
    """Writes a run that is not complete; leaves the model at the latest state."""
    workdir.create(
        [
            *flag_lines(settings),
            *train_flags.location_lines(),
            flag_line("record_examples", False),  # of the epochs elsewhere there is no record
        ],
        command=f"python -m gdw_tf.portable import {shlex.join(sys.argv[1:])}",
    )
    workdir.write_data(noisy, describe.full_description(settings, noisy))
    for which, state in results.states.items():
        epochs = int(state["epochs_done"])
        files.write_text(workdir.metrics, "".join(results.metrics[: 1 + epochs]))
        pure.assign_state(model, state)
        workdir.checkpoints.save(
            model,
            step=int(model.steps_taken.numpy()),
            epoch=epochs,
            run_files=workdir.growing,
            is_best=which == "best",
        )


def _finish(
    workdir: Workdir,
    results: Results,
    model: Method,
    noisy: NoisyData,
    settings: Settings,
    made_by: str,
) -> None:
    """Writes what a complete run has beside: the SavedModel and the summary."""
    model.export(str(workdir.export), verbose=False, class_names=noisy.class_names)
    summary = summarize(settings, noisy, workdir.rows()) | counts(model)
    workdir.write_summary({"made_by": made_by} | summary | {"ran_on": results.device})
    print(f"test accuracy {100 * summary['final_accuracy']:.2f} %")
