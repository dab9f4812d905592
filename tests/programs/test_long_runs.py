"""A long run takes no more of anything at its end than at its beginning."""

from __future__ import annotations

import csv
import gc
import sys
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
import pytest

from gdw_tf import fitting

EPOCHS, STEPS = 50, 100
WARM_UP = 10  # epochs


class Held(NamedTuple):
    """What this process holds."""

    mebibytes: float
    files: int
    threads: int

    @classmethod
    def now(cls) -> Held:
        gc.collect()
        own = Path("/proc/self")
        pages = int((own / "statm").read_text().split()[1])
        return cls(pages / 256, *(len(list((own / each).iterdir())) for each in ("fd", "task")))


@pytest.mark.nightly
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_nothing_grows_over_five_thousand_steps_with_all_callbacks(train, tmp_path, monkeypatch):
    of_program, held = fitting._callbacks, []
    note = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: held.append(Held.now()))
    monkeypatch.setattr(fitting, "_callbacks", lambda *a: [*of_program(*a), note])
    workdir = tmp_path / "run"
    flags = (f"--epochs={EPOCHS}", f"--steps_per_epoch={STEPS}", "--batch_size=10", "--memory=0.7")
    finished = train(workdir, *flags, "--on_non_finite=rollback")

    assert finished.code == 0, finished.err
    assert len(held) == EPOCHS
    with (workdir / "metrics.csv").open(newline="") as file:
        seconds = [float(row["seconds_per_step"]) for row in csv.DictReader(file)]
    first, last = held[WARM_UP - 1], held[-1]
    early, late = np.array_split(seconds[WARM_UP:], 2)
    print(f"\nafter {WARM_UP * STEPS} steps: {first}; after {EPOCHS * STEPS}: {last}")
    print("MiB every ten epochs:", *(round(each.mebibytes, 1) for each in held[9::10]))
    print(f"median seconds a step: {np.median(early):.5f}, then {np.median(late):.5f}")
    assert abs(last.mebibytes / first.mebibytes - 1) < 0.03
    assert last.files <= first.files
    assert last.threads <= first.threads
    # Within what other work on the machine does to a median of twenty epochs.
    assert np.median(late) < 1.5 * np.median(early)
