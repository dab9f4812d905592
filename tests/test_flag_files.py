from __future__ import annotations

import math
import re
from pathlib import Path

import pytest
from absl import flags

FOLDER = Path(__file__).parent.parent / "flags"
LONG_TAILS = ("0.1", "0.02", "0.01", "0.005")
SETTINGS = {
    "clean": ("none", 0.0, 1.0),
    "uniform40": ("uniform", 0.4, 1.0),
    "uniform60": ("uniform", 0.6, 1.0),
    "flip20": ("flip", 0.2, 1.0),
    "flip40": ("flip", 0.4, 1.0),
    **{f"longtail_{factor}": ("none", 0.0, float(factor)) for factor in LONG_TAILS},
}
NUM_CLASSES = {"cifar10": 10, "cifar100": 100}
EXPERIMENTS = [(dataset, setting) for dataset in NUM_CLASSES for setting in SETTINGS]


def parse(path: Path) -> dict[str, object]:
    values = flags.FlagValues()
    for name in ("dataset", "noise", "network"):
        flags.DEFINE_string(name, None, "", flag_values=values)
    for name in ("noise_rate", "imbalance_factor", "learning_rate"):
        flags.DEFINE_float(name, None, "", flag_values=values)
    for name in ("num_meta", "epochs", "batch_size", "meta_batch_size"):
        flags.DEFINE_integer(name, None, "", flag_values=values)
    positional = values(["program", f"--flagfile={path}"])
    assert positional == ["program"]
    return values.flag_values_dict()


def header(path: Path) -> str:
    lines = path.read_text().splitlines()
    return "\n".join(line for line in lines if line.startswith("#"))


def test_every_experiment_has_its_file():
    assert {path.name for path in FOLDER.iterdir()} == {
        f"{dataset}_{setting}.flags" for dataset, setting in EXPERIMENTS
    }


@pytest.mark.parametrize("dataset, setting", EXPERIMENTS)
def test_flags_are_what_the_name_says(dataset, setting):
    noise, noise_rate, imbalance_factor = SETTINGS[setting]

    assert parse(FOLDER / f"{dataset}_{setting}.flags") == {
        "dataset": dataset,
        "noise": noise,
        "noise_rate": noise_rate,
        "imbalance_factor": imbalance_factor,
        "num_meta": 1000,
        "network": "resnet32",
        "epochs": 80,
        "batch_size": 100,
        "meta_batch_size": 100,
        "learning_rate": 0.1,
    }


@pytest.mark.parametrize("method", ["gdw", "mw_net"])
@pytest.mark.parametrize("dataset, setting", EXPERIMENTS)
def test_header_holds_the_command(dataset, setting, method):
    name = f"{dataset}_{setting}.flags"

    commands = re.findall(r"^# +(python -m gdw_tf\.train .*)$", header(FOLDER / name), re.M)

    assert [
        command
        for command in commands
        if f"--flagfile=flags/{name} --method={method} --data_dir=" in command
        and command.endswith(" --seed=0")
    ], commands


@pytest.mark.parametrize("dataset, setting", EXPERIMENTS)
def test_header_counts_images_and_steps(dataset, setting):
    _, _, factor = SETTINGS[setting]
    last = NUM_CLASSES[dataset] - 1
    per_class = 49_000 // NUM_CLASSES[dataset]
    images = sum(int(per_class * factor ** (c / last)) for c in range(last + 1))
    steps = math.ceil(images / 100)

    text = header(FOLDER / f"{dataset}_{setting}.flags")

    assert f"{images:,} training images." in text
    assert f"Training steps: {80 * steps:,} (80 epochs of {steps})." in text
