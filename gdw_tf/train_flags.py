"""The flags of training, in groups as `--help` shows them; other programs read them too."""

from __future__ import annotations

import contextlib
import dataclasses
from pathlib import Path

from absl import flags

from gdw_tf import data, networks
from gdw_tf.data.noise import KINDS
from gdw_tf.methods import METHODS
from gdw_tf.settings import DEFAULTS, Settings, flag_line, resolve


def _by_dataset(name: str) -> str:
    defaults = ", ".join(f"{dataset} {values[name]}" for dataset, values in DEFAULTS.items())
    return f"by default {defaults}"


DATASET = flags.DEFINE_string("dataset", "digits", f"Data set: {', '.join(data.names())}.")
DATA_DIR = flags.DEFINE_string(
    "data_dir", None, "Directory of TensorFlow Datasets, for cifar10 and cifar100."
)
DOWNLOAD = flags.DEFINE_bool("download", True, "Download the data set where it is missing.")
WORKDIR = flags.DEFINE_string(
    "workdir", None, "Directory of the run; by default a new one under runs/."
)
RESUME = flags.DEFINE_bool("resume", False, "Go on from the workdir's latest checkpoint.")

GROUPS = {
    "Data": [
        DATASET,
        DATA_DIR,
        DOWNLOAD,
        flags.DEFINE_string(
            "noise", None, f"Label noise: {', '.join(KINDS)}; {_by_dataset('noise')}."
        ),
        flags.DEFINE_float(
            "noise_rate", None, f"Rate of the noise, 0 to 1; {_by_dataset('noise_rate')}."
        ),
        flags.DEFINE_float(
            "imbalance_factor",
            None,
            "Size of the last class relative to the first, above 0 up to 1; below 1 the labels "
            "are clean unless noise is asked for.",
        ),
        flags.DEFINE_integer(
            "num_meta",
            None,
            f"Clean, class-balanced meta examples in total; {_by_dataset('num_meta')}.",
        ),
        flags.DEFINE_integer(
            "train_examples", None, "Train on a class-balanced subset of this size."
        ),
    ],
    "Method": [
        flags.DEFINE_string("method", "gdw", f"Training method: {', '.join(METHODS)}."),
        flags.DEFINE_string(
            "outer_lr", "auto", "Size of the class-level step; auto is 0.1 * batch * classes."
        ),
        flags.DEFINE_float("clip", 0.2, "Largest change of a class-level weight in a step."),
        flags.DEFINE_bool("zero_mean", True, "Keep the zero-mean constraint (off: ablation)."),
        flags.DEFINE_float(
            "virtual_lr", None, "Rate of the virtual step; by default the current learning rate."
        ),
        flags.DEFINE_integer("hidden_units", 100, "Width of the weight net."),
        flags.DEFINE_float("weight_net_learning_rate", 1e-3, "Adam's rate for the weight net."),
        flags.DEFINE_float("weight_net_weight_decay", 1e-4, "Its coupled weight decay."),
    ],
    "Training": [
        flags.DEFINE_string(
            "network", None, f"Network: {', '.join(networks.names())}; {_by_dataset('network')}."
        ),
        flags.DEFINE_integer("epochs", None, f"Number of epochs; {_by_dataset('epochs')}."),
        flags.DEFINE_integer(
            "steps_per_epoch", None, "Steps an epoch; by default one pass over the training set."
        ),
        flags.DEFINE_integer("batch_size", 100, "Training examples a step."),
        flags.DEFINE_integer("meta_batch_size", 100, "Meta examples a step."),
        flags.DEFINE_float(
            "learning_rate", 0.1, "Rate of the first epoch; falls along a cosine, once an epoch."
        ),
        flags.DEFINE_float("momentum", 0.9, "Momentum of SGD."),
        flags.DEFINE_float("weight_decay", 5e-4, "Coupled weight decay of SGD."),
        flags.DEFINE_integer("seed", 0, "Seed of every random choice."),
    ],
    "Run": [WORKDIR, RESUME],
}


def settings_from_flags() -> Settings:
    """Reads the settings off the parsed flags.

    Raises:
        ValueError: as `gdw_tf.settings.Settings`.
    """
    given = {field.name: flags.FLAGS[field.name].value for field in dataclasses.fields(Settings)}
    if given["outer_lr"] != "auto":
        with contextlib.suppress(ValueError):  # a word is named by the settings' own check
            given["outer_lr"] = float(given["outer_lr"])
    return resolve(**given)


def location_lines() -> list[str]:
    """Where this machine has the data, as lines of a flag file: no part of the settings."""
    lines = [flag_line("download", DOWNLOAD.value)]
    if DATA_DIR.value:
        lines.append(flag_line("data_dir", Path(DATA_DIR.value).expanduser().resolve()))
    return lines
