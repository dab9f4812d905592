from __future__ import annotations

import math
import re
from pathlib import Path

import pytest
from absl import flags

from gdw_tf.settings import resolve

FOLDER = Path(__file__).parent.parent / "flags"
NUM_CLASSES = {"cifar10": 10, "cifar100": 100}
CIFAR = {
    "noise": "none",
    "noise_rate": 0.0,
    "imbalance_factor": 1.0,
    "num_meta": 1000,
    "network": "resnet32",
    "epochs": 80,
    "batch_size": 100,
    "meta_batch_size": 100,
    "learning_rate": 0.1,
}
VARIANTS = {
    "clean": {},
    "uniform40": {"noise": "uniform", "noise_rate": 0.4},
    "uniform60": {"noise": "uniform", "noise_rate": 0.6},
    "flip20": {"noise": "flip", "noise_rate": 0.2},
    "flip40": {"noise": "flip", "noise_rate": 0.4},
    **{
        f"longtail_{factor}": {"imbalance_factor": float(factor)}
        for factor in ("0.1", "0.02", "0.01", "0.005")
    },
}
EXPERIMENTS = {
    **{
        f"{dataset}_{variant}": {"dataset": dataset, **CIFAR, **changes}
        for dataset in NUM_CLASSES
        for variant, changes in VARIANTS.items()
    },
    **{
        f"cifar10_n_{labels}": {"dataset": "cifar10_n", "human_labels": labels, **CIFAR}
        for labels in ("aggregate", "random1", "worst")
    },
    "cifar100_n": {"dataset": "cifar100_n", **CIFAR},
    "clothing1m": {
        "dataset": "clothing1m",
        "noise": "none",
        "noise_rate": 0.0,
        "imbalance_factor": 1.0,
        "network": "resnet18",
        "epochs": 5,
        "batch_size": 128,
        "meta_batch_size": 128,
        "learning_rate": 1e-3,
        "momentum": 0.9,
        "weight_decay": 1e-3,
    },
}


def parse(path: Path) -> dict[str, object]:
    values = flags.FlagValues()
    for name in ("dataset", "human_labels", "noise", "network"):
        flags.DEFINE_string(name, None, "", flag_values=values)
    for name in ("noise_rate", "imbalance_factor", "learning_rate", "momentum", "weight_decay"):
        flags.DEFINE_float(name, None, "", flag_values=values)
    for name in ("num_meta", "epochs", "batch_size", "meta_batch_size"):
        flags.DEFINE_integer(name, None, "", flag_values=values)
    positional = values(["program", f"--flagfile={path}"])
    assert positional == ["program"]
    return {name: value for name, value in values.flag_values_dict().items() if value is not None}


def header(name: str) -> str:
    lines = (FOLDER / f"{name}.flags").read_text().splitlines()
    return "\n".join(line for line in lines if line.startswith("#"))


def training_images(dataset: str, imbalance_factor: float) -> int:
    if dataset == "clothing1m":
        return 1_000_000
    classes = NUM_CLASSES[dataset.removesuffix("_n")]
    per_class = 49_000 // classes
    return sum(int(per_class * imbalance_factor ** (c / (classes - 1))) for c in range(classes))


def test_every_experiment_has_its_file():
    assert {path.name for path in FOLDER.iterdir()} == {f"{name}.flags" for name in EXPERIMENTS}


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_flags_are_what_the_name_says(name):
    given = parse(FOLDER / f"{name}.flags")
    assert given == EXPERIMENTS[name]
    resolve(**given)  # raises where flags do not go together


@pytest.mark.parametrize("method", ["gdw", "mw_net"])
@pytest.mark.parametrize("name", EXPERIMENTS)
def test_header_holds_the_command(name, method):
    commands = re.findall(r"^# +(python -m gdw_tf\.train .*)$", header(name), re.M)

    assert [
        command
        for command in commands
        if f"--flagfile=flags/{name}.flags --method={method} --data_dir=" in command
        and command.endswith(" --seed=0")
    ], commands


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_header_counts_images_and_steps(name):
    setting = EXPERIMENTS[name]
    images = training_images(setting["dataset"], setting["imbalance_factor"])
    steps, epochs = math.ceil(images / setting["batch_size"]), setting["epochs"]

    text = header(name)

    assert f"{images:,} training images." in text
    assert f"Training steps: {epochs * steps:,} ({epochs} epochs of {steps:,})." in text
