"""The flags of training, in groups as `--help` shows them; other programs read them too.

Those of settings are made of what `gdw_tf.settings` declares. The others say where things are and
how a machine trains; they are no settings: a run with others computes the same.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from absl import flags

from gdw_tf import cli, defaults, finite
from gdw_tf.flag_files import flag_line
from gdw_tf.settings import Settings, resolve
from gdw_tf.strategies import STRATEGIES

DATA_DIR = cli.define_path(
    "data_dir",
    None,
    "Directory of the data: of TensorFlow Datasets (cifar*, tfds:NAME), or of the images (folder, "
    "csv, clothing1m).",
)
DATA_FILE = cli.define_path(
    "data_file", None, "npz: archive of x, y, x_meta, y_meta, x_test, y_test."
)
TABLES = [
    cli.define_path(f"{part}_csv", None, f"csv: table with columns path and label, {images}.")
    for part, images in (
        ("train", "of the training images"),
        ("meta", "of the clean images"),
        ("test", "of the test images"),
    )
]
DOWNLOAD = flags.DEFINE_bool("download", True, "Download the data set where it is missing.")
LOCATIONS = [DATA_DIR, DOWNLOAD, DATA_FILE, *TABLES]
WORKDIR = cli.define_path(
    "workdir", None, "Directory of the run; by default a new one under runs/."
)
RESUME = flags.DEFINE_bool("resume", False, "Go on from the workdir's latest checkpoint.")
CHECKPOINT_EVERY = flags.DEFINE_integer(
    "checkpoint_every",
    None,
    "Steps after which there is a checkpoint, beside that at the end of every epoch.",
    lower_bound=1,
)
CHECKPOINT_MINUTES = flags.DEFINE_float(
    "checkpoint_minutes",
    None,
    "Minutes after which there is a checkpoint, beside that at the end of every epoch.",
    lower_bound=0.0,
)
KEEP_CHECKPOINTS = flags.DEFINE_integer(
    "keep_checkpoints",
    2,
    "Latest checkpoints to keep, beside the best; with one there is nothing to go back to where it "
    "is damaged.",
    lower_bound=1,
)
STRATEGY = flags.DEFINE_enum(
    "strategy",
    "none",
    STRATEGIES,
    "Replicas that share every batch: none for one, mirrored for the GPUs of this machine, "
    "multi_worker for the machines that TF_CONFIG names.",
)
JIT = flags.DEFINE_enum(
    "jit",
    "auto",
    ["auto", "on", "off"],
    "Whether XLA compiles the step; auto: on an accelerator, where it is faster, not on a CPU.",
)
DETERMINISTIC = flags.DEFINE_bool(
    "deterministic",
    False,
    "Make two runs on the same machine give the same bits, which takes longer.",
)
ON_NON_FINITE = flags.DEFINE_enum(
    "on_non_finite",
    "stop",
    [*finite.POLICIES, "rollback"],
    "A step with a loss, gradient or weight that is not finite: stop ends the run, skip leaves the "
    "step out, rollback goes on from the last checkpoint with half the learning rate, up to three "
    "times.",
)
RECORD_EXAMPLES = flags.DEFINE_bool(
    "record_examples",
    None,
    "Keep in the checkpoints what the training made of every example, for gdw_tf.audit and "
    "gdw_tf.report: 4 (1 + 2 classes) bytes an example. By default up to a gigabyte; not under "
    "--mixup, whose images are none of the training set's.",
)
TENSORBOARD_GRAPH = flags.DEFINE_bool(
    "tensorboard_graph", False, "Write the graph of the training step for TensorBoard."
)
TENSORBOARD_PROFILE = flags.DEFINE_list(
    "tensorboard_profile",
    None,
    "FIRST,LAST: steps to profile for TensorBoard, counted from 1 where this process begins to "
    "train (with --meta=pseudo, in each of its rounds).",
)
MACHINE = (
    *(CHECKPOINT_EVERY, CHECKPOINT_MINUTES, KEEP_CHECKPOINTS),
    *(STRATEGY, JIT, DETERMINISTIC, ON_NON_FINITE, RECORD_EXAMPLES),
    *(TENSORBOARD_GRAPH, TENSORBOARD_PROFILE),
)
"""How a machine trains."""

_DEFINE = {
    "integer": flags.DEFINE_integer,
    "float": flags.DEFINE_float,
    "bool": flags.DEFINE_bool,
    "string": flags.DEFINE_string,
    "list": flags.DEFINE_list,
}


def _define(setting: dataclasses.Field) -> flags.FlagHolder:
    """Makes the flag of a setting; where the data set decides, none is its default."""
    name, default, help_text = setting.name, setting.default, setting.metadata["description"]
    if name in defaults.OF_DATA_SETS:
        otherwise = None if default is dataclasses.MISSING else default
        default = None
        help_text = f"{help_text.removesuffix('.')}; {defaults.in_words(name, otherwise)}."
    return _DEFINE[setting.metadata["allowed"].flag](name, default, help_text)


def _define_settings() -> dict[str, list[flags.FlagHolder]]:
    groups: dict[str, list[flags.FlagHolder]] = {}
    for setting in dataclasses.fields(Settings):
        groups.setdefault(setting.metadata["group"], []).append(_define(setting))
    return groups


_SETTINGS = _define_settings()
_DATASET, *_OTHER_DATA = _SETTINGS["Data"]
GROUPS = {
    "Data": [_DATASET, *LOCATIONS, *_OTHER_DATA],
    "Method": _SETTINGS["Method"],
    "Training": _SETTINGS["Training"],
    "Run": [WORKDIR, RESUME, *MACHINE],
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
    # A run can be run again from any directory.
    if given["noise_file"]:
        given["noise_file"] = _absolute(given["noise_file"])
    if given["meta_add"] is not None:
        given["meta_add"] = tuple(path and _absolute(path) for path in given["meta_add"])
    if given["image_size"] is not None:
        given["image_size"] = tuple(
            int(side) if side.isdecimal() else side for side in given["image_size"]
        )
    return resolve(**given)


def _absolute(path: str) -> str:
    return str(Path(path).expanduser().resolve())


def profiled_steps() -> tuple[int, int] | int:
    """The first and the last step to profile, as Keras's callback takes them; 0 for none.

    Raises:
        ValueError: they are not two numbers in order.
    """
    given = TENSORBOARD_PROFILE.value
    if given is None:
        return 0
    if (
        len(given) != 2
        or not all(map(str.isdecimal, given))
        or not 0 < int(given[0]) <= int(given[1])
    ):
        raise ValueError(
            "tensorboard_profile must be two steps. Received: "
            f"tensorboard_profile={','.join(given)}; allowed: FIRST,LAST with 1 <= FIRST <= LAST."
        )
    return int(given[0]), int(given[1])


@contextlib.contextmanager
def flags_set(assignments: Sequence[str]) -> Iterator[None]:
    """Gives flags other values for a while.

    Args:
        assignments: `NAME=VALUE` each.

    Raises:
        ValueError: there is no such flag.
        flags.Error: a value cannot be read.
    """
    names = [assignment.partition("=")[0] for assignment in assignments]
    for name, assignment in zip(names, assignments, strict=True):
        if name not in flags.FLAGS:
            raise ValueError(f"There is no such flag. Received: {assignment}")
    with _kept(names):
        for name, assignment in zip(names, assignments, strict=True):
            flags.FLAGS[name].parse(assignment.partition("=")[2])
        yield


@contextlib.contextmanager
def settings_by_default() -> Iterator[None]:
    """Gives the flags that are settings their defaults for a while, whatever was given."""
    names = [field.name for field in dataclasses.fields(Settings)]
    with _kept(names):
        for name in names:
            flags.FLAGS[name].unparse()
        yield


@contextlib.contextmanager
def _kept(names: Sequence[str]) -> Iterator[None]:
    """Gives flags back what they are now, when the block ends."""
    before = {name: (flags.FLAGS[name].value, flags.FLAGS[name].present) for name in names}
    try:
        yield
    finally:
        for name, (value, present) in before.items():
            flags.FLAGS[name].value, flags.FLAGS[name].present = value, present


def locations() -> dict[str, Any]:
    """Where the data are, as the flags say: what a source's loader takes beside the settings."""
    return {flag.name: flag.value for flag in LOCATIONS}


def machine_lines() -> list[str]:
    """How this machine trains, as lines of a flag file: no part of the settings either."""
    return [flag_line(flag.name, flag.value) for flag in MACHINE if flag.value is not None]


def location_lines() -> list[str]:
    """Where this machine has the data, as lines of a flag file: no part of the settings."""
    paths = {name: value for name, value in locations().items() if name != "download" and value}
    return [flag_line("download", DOWNLOAD.value)] + [
        # A place in a cloud, as TensorFlow Datasets takes it, is no path.
        flag_line(name, value if "://" in value else Path(value).resolve())
        for name, value in paths.items()
    ]
