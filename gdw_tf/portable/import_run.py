"""Makes a run of gdw_tf of what run.py left: checkpoints, metrics, summary, export.

Usage: python -m gdw_tf.portable import DIR --workdir=WORKDIR [--results=DIR]

DIR is the export, --results what run.py wrote to, where that is another directory. WORKDIR is then
as `gdw_tf.train` would have left it: `gdw_tf.evaluate` and `gdw_tf.export` work on it, and where
not all epochs were run, `gdw_tf.train --resume` goes on.
"""

from __future__ import annotations

import json
import shlex
import sys
import zipfile
from pathlib import Path

import numpy as np
from absl import flags

from gdw_tf import cli, experiment, files, provenance, run_loading, train, train_flags
from gdw_tf.data import describe
from gdw_tf.portable import pure
from gdw_tf.settings import flag_lines
from gdw_tf.workdir import Workdir

RESULTS = flags.DEFINE_string(
    "results", None, "Directory that run.py wrote to; by default that of the export."
)
GROUPS = {"Import": [train_flags.WORKDIR, RESULTS, *train_flags.LOCATIONS]}


def main(argv: list[str]) -> None:
    """Imports, from the files of run.py to those of a workdir."""
    with cli.user_errors():
        if len(argv) != 2 or not train_flags.WORKDIR.value:
            raise ValueError(
                f"Name one export and --workdir. Received: {argv[1:]}, "
                f"workdir={train_flags.WORKDIR.value}"
            )
        exported = Path(argv[1])
        if not (exported / "description.json").exists():
            raise ValueError(f"There is no export in this directory. Received: {exported}")
        settings = run_loading.settings_of(exported / "flags.txt", argv[0])
        results = Path(RESULTS.value or exported)
        states = {which: _state(results / f"{which}.npz") for which in ("best", "latest")}
        rows = (results / "metrics.csv").read_text().splitlines(keepends=True)
        device = json.loads((results / "device.json").read_text())
        workdir = Workdir(Path(train_flags.WORKDIR.value))
        workdir.check(settings, resume=False)
        source = experiment.load_source(settings, **train_flags.locations())
        noisy = experiment.prepare_data(settings, source)
        model = pure.started_model(settings, source, noisy)
        for state in states.values():
            pure.check_state(model, state)

    with workdir.locked():
        workdir.create(
            [*flag_lines(settings), *train_flags.location_lines()],
            command=f"python -m gdw_tf.portable import {shlex.join(sys.argv[1:])}",
        )
        workdir.write_description(describe.full_description(settings, noisy))
        workdir.write_class_names(source.class_names)
        for which, state in states.items():  # the model is left at the latest
            epochs = int(state["epochs_done"])
            files.write_text(workdir.metrics, "".join(rows[: 1 + epochs]))
            pure.assign_state(model, state)
            workdir.checkpoints.save(
                model,
                step=int(model.steps_taken.numpy()),
                epoch=epochs,
                run_files=workdir.growing,
                is_best=which == "best",
            )
        done = len(workdir.rows())
        if done == settings.epochs:
            with files.written_aside(workdir.export) as aside:
                model.export(str(aside), verbose=False, class_names=source.class_names)
            summary = train.summarize(settings, noisy, workdir.rows()) | train.counts(model)
            workdir.write_summary({"made_by": provenance.made_by()} | summary | {"ran_on": device})
            print(f"test accuracy {100 * summary['final_accuracy']:.2f} %")
    print(f"imported {done} of {settings.epochs} epochs into {workdir.root}")


def _state(path: Path) -> dict[str, np.ndarray]:
    """Reads a state that run.py wrote."""
    try:
        with np.load(path) as file:
            return {name: file[name] for name in file.files}
    except (zipfile.BadZipFile, ValueError, EOFError) as error:
        raise ValueError(f"{path} is no state that run.py wrote: {error}") from error
