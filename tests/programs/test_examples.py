"""The scripts of scripts/examples/ run, each for a few steps."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

EXAMPLES = Path(__file__).parents[2] / "scripts" / "examples"
FEW_STEPS = {
    "tabular": ("--epochs=1",),
    "text": ("--epochs=1", "--steps_per_epoch=2"),
    "fine_tune_backbone": ("--epochs=1", "--steps_per_epoch=2"),
    "search": ("--epochs=1", "--trials=2"),
}
NEEDS = {"search": "optuna"}


def run_example(name, *flags):
    return subprocess.run(
        [sys.executable, EXAMPLES / f"{name}.py", *flags],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("name", FEW_STEPS)
def test_an_example_compares_with_plain_training(name):
    if name in NEEDS:
        pytest.importorskip(NEEDS[name], reason='pip install "gdw_tf[examples]"')
    finished = run_example(name, *FEW_STEPS[name])

    assert finished.returncode == 0, finished.stderr
    accuracies = re.findall(r"^(.+): test accuracy ([\d.]+) %$", finished.stdout, re.MULTILINE)
    names = ["best", "defaults", "plain training"] if name == "search" else ["CE", "GDW"]
    assert [of for of, _ in accuracies] == names
    assert all(0 <= float(accuracy) <= 100 for _, accuracy in accuracies)


def test_there_is_a_test_and_a_description_of_every_example():
    names = {path.stem for path in EXAMPLES.glob("*.py")}
    assert names == FEW_STEPS.keys()
    described = (EXAMPLES / "README.md").read_text()
    for name in names:
        assert f"python scripts/examples/{name}.py" in described
        assert len((EXAMPLES / f"{name}.py").read_text().splitlines()) < 120


@pytest.mark.parametrize(
    ("name", "flags", "message"),
    [
        ("tabular", ["--noise_rate=2"], "noise_rate=2.0"),
        ("text", ["--num_meta=0"], "num_meta=0"),
        ("fine_tune_backbone", ["--weights=nowhere.h5"], "nowhere.h5"),
        ("search", ["--trials=0"], "trials=0"),
    ],
)
def test_a_mistake_gets_one_line_and_exit_code_2(name, flags, message):
    if name in NEEDS:
        pytest.importorskip(NEEDS[name], reason='pip install "gdw_tf[examples]"')
    finished = run_example(name, *flags)
    assert finished.returncode == 2
    error = [line for line in finished.stderr.splitlines() if line.startswith("error: ")]
    assert len(error) == 1 and message in error[0], finished.stderr


def small_backbone() -> keras.Model:
    return keras.applications.MobileNet(
        (32, 32, 3), alpha=0.25, include_top=False, weights=None, pooling="avg"
    )


def test_the_backbone_takes_the_weights_of_a_file(tmp_path):
    given, taken = tmp_path / "given.weights.h5", tmp_path / "taken.weights.h5"
    backbone = small_backbone()
    backbone.save_weights(given)
    program = (
        "from absl import flags; import fine_tune_backbone as example; "
        f"flags.FLAGS(['example', '--weights={given}']); "
        f"example.build_classifier().get_layer({backbone.name!r}).save_weights({str(taken)!r})"
    )
    subprocess.run([sys.executable, "-c", program], cwd=EXAMPLES, check=True)
    again = small_backbone()
    again.load_weights(taken)
    for one, other in zip(backbone.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
