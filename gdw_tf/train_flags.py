"""The flags of training, in groups as `--help` shows them; other programs read them too."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from absl import flags

from gdw_tf import cli, data, finite, losses, methods, networks
from gdw_tf.data.meta_split import KINDS as META_KINDS
from gdw_tf.data.noise import KINDS
from gdw_tf.meta_losses import META_LOSSES
from gdw_tf.settings import DEFAULTS, PRECISIONS, Settings, flag_line, resolve
from gdw_tf.strategies import STRATEGIES
from gdw_tf.virtual_scope import SCOPES


def _by_dataset(name: str) -> str:
    """Says the default of a flag; data sets that share it are named together."""
    datasets: dict[str, list[str]] = {}
    for dataset, values in DEFAULTS.items():
        default = values.get(name, getattr(Settings, name, None))
        datasets.setdefault("all" if default is None else str(default), []).append(dataset)
    if len(datasets) == 1:
        return f"by default {next(iter(datasets))}"
    return "by default " + "; ".join(
        f"{default} ({', '.join(names)})" for default, names in datasets.items()
    )


DATASET = flags.DEFINE_string("dataset", "digits", f"Data set: {', '.join(data.names())}.")
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
    *(STRATEGY, JIT, DETERMINISTIC, ON_NON_FINITE, RECORD_EXAMPLES),
    *(CHECKPOINT_EVERY, CHECKPOINT_MINUTES, KEEP_CHECKPOINTS),
    *(TENSORBOARD_GRAPH, TENSORBOARD_PROFILE),
)
"""How a machine trains."""

GROUPS = {
    "Data": [
        DATASET,
        *LOCATIONS,
        flags.DEFINE_string(
            "human_labels",
            None,
            "cifar10_n: which of the people's labels: aggregate, random1, random2, random3, worst "
            "(by default worst).",
        ),
        flags.DEFINE_list(
            "image_size",
            None,
            "H,W that images are resized to; by default 224,224 (folder, csv, clothing1m), or as "
            "they are (npz, tfds:NAME).",
        ),
        flags.DEFINE_bool(
            "augment",
            None,
            "Crop by up to 4 pixels and flip at random; by default all but the digits.",
        ),
        flags.DEFINE_float(
            "randaugment",
            0.0,
            "Magnitude of RandAugment on training images, 0 to 10; 0 for none.",
        ),
        flags.DEFINE_float(
            "cutout",
            0.0,
            "Side of the square cut out of each training image, as a share of the image's, 0 to 1; "
            "0 for none.",
        ),
        flags.DEFINE_float(
            "mixup", 0.0, "Alpha of mixup of training images and their labels; 0 for none."
        ),
        flags.DEFINE_float(
            "max_unreadable",
            0.05,
            "Largest share of unreadable files with which there is training.",
        ),
        flags.DEFINE_bool(
            "allow_leak", False, "Train although images of the clean set are training images too."
        ),
        flags.DEFINE_string(
            "noise", None, f"Label noise: {', '.join(KINDS)}; {_by_dataset('noise')}."
        ),
        flags.DEFINE_float(
            "noise_rate", None, f"Rate of the noise, 0 to 1; {_by_dataset('noise_rate')}."
        ),
        flags.DEFINE_string(
            "noise_file",
            None,
            "Transition matrix of --noise=matrix, rows of probabilities by true class: .npy, .csv "
            "or .txt.",
        ),
        flags.DEFINE_string(
            "imbalance",
            "exponential",
            "How --imbalance_factor cuts classes: exponential (a long tail) or step (the last half "
            "of the classes).",
        ),
        flags.DEFINE_float(
            "imbalance_factor",
            None,
            "Size of the last class relative to the first, above 0 up to 1; below 1 the labels "
            "are clean unless noise is asked for.",
        ),
        flags.DEFINE_string(
            "meta",
            "clean",
            f"Meta set: {', '.join(META_KINDS)}; without a clean set, noisy (taken out of the "
            "training set, with the labels given) or pseudo (training examples of small loss, "
            "chosen anew during the training).",
        ),
        flags.DEFINE_integer(
            "num_meta",
            None,
            f"Class-balanced meta examples in total; {_by_dataset('num_meta')}; with --meta=pseudo "
            "as many as are judged clean.",
        ),
        flags.DEFINE_integer(
            "pseudo_warmup",
            10,
            "Epochs of the plain training that the first pseudo-clean meta set comes from.",
        ),
        flags.DEFINE_integer(
            "pseudo_every", 5, "Epochs after which the pseudo-clean meta set is chosen anew."
        ),
        flags.DEFINE_bool(
            "meta_balanced", False, "As many meta examples of each class in every meta batch."
        ),
        flags.DEFINE_list(
            "meta_add",
            None,
            "Tables of verified labels, as the page of gdw_tf.audit writes them: these training "
            "images go into the meta set.",
        ),
        flags.DEFINE_integer(
            "train_examples", None, "Train on a class-balanced subset of this size."
        ),
    ],
    "Method": [
        flags.DEFINE_string("method", "gdw", f"Training method: {', '.join(methods.names())}."),
        flags.DEFINE_string(
            "base_loss",
            "cross_entropy",
            f"Loss whose gradient is weighted: {', '.join(losses.names())}. (Plain training with "
            "one has its name as method.)",
        ),
        flags.DEFINE_string(
            "outer_lr",
            "auto",
            "Size of the step on class-level weights (gdw), weights (insw) or labels (soft_label); "
            "auto is a mean change of 0.1: for gdw 0.1 * batch * classes.",
        ),
        flags.DEFINE_float("clip", 0.2, "Largest change of such a weight or label in a step."),
        flags.DEFINE_bool("zero_mean", True, "Keep the zero-mean constraint (off: ablation)."),
        flags.DEFINE_float(
            "memory",
            0.0,
            "How much of its class-level steps a training example keeps until its next visit, 0 to "
            "below 1; 0 is the paper's.",
        ),
        flags.DEFINE_float(
            "pair_memory",
            0.0,
            "How much of its class-level steps a pair of given label and class keeps until the "
            "next step, 0 to below 1 (0.99 for labels mistaken for particular others); 0 is the "
            "paper's.",
        ),
        flags.DEFINE_float(
            "elr_lambda", None, f"ELR: factor of the regularisation; {_by_dataset('elr_lambda')}."
        ),
        flags.DEFINE_float(
            "elr_beta",
            None,
            f"ELR: how much of a target stays in a visit; {_by_dataset('elr_beta')}.",
        ),
        flags.DEFINE_float(
            "warm_up",
            0.2,
            "Share of the training in which the classifier is trained plainly (gen_label, mlc).",
        ),
        flags.DEFINE_string(
            "virtual_scope",
            "all",
            f"Weights that move in the virtual step: {', '.join(SCOPES)}, or a regular expression "
            "of their paths.",
        ),
        flags.DEFINE_integer("meta_every", 1, "Take a meta gradient in every k-th step only."),
        flags.DEFINE_string(
            "meta_loss",
            "cross_entropy",
            f"Loss on the meta set: {', '.join(META_LOSSES)} (for --meta=noisy).",
        ),
        flags.DEFINE_float(
            "meta_weight",
            0.0,
            "Factor by which the gradient of the meta loss trains the classifier, too (such as "
            "0.1), with a method that learns from it; 0 is the papers'.",
        ),
        flags.DEFINE_float(
            "virtual_lr", None, "Rate of the virtual step; by default the current learning rate."
        ),
        flags.DEFINE_integer("hidden_units", 100, "Width of the weight net."),
        flags.DEFINE_float(
            "fine_tune_share", 0.2, "fine_tune: share of the epochs that train on the meta set."
        ),
        flags.DEFINE_float(
            "forget_rate",
            None,
            "co_teaching: share of a batch that is left out in the end; by default --noise_rate.",
        ),
        flags.DEFINE_float(
            "gradual_share",
            0.25,
            "co_teaching: share of the training in which the share left out grows.",
        ),
        flags.DEFINE_float(
            "clean_share",
            None,
            "glc: weight of the meta batch in a step; by default the clean share of all examples.",
        ),
        flags.DEFINE_float(
            "weight_net_learning_rate", 1e-3, "Adam's rate for the weight net or label net."
        ),
        flags.DEFINE_float("weight_net_weight_decay", 1e-4, "Its coupled weight decay."),
    ],
    "Training": [
        flags.DEFINE_string(
            "network", None, f"Network: {', '.join(networks.names())}; {_by_dataset('network')}."
        ),
        flags.DEFINE_bool(
            "synchronized_batch_norm",
            False,
            "With several replicas: batch normalisation takes its statistics over all of them.",
        ),
        flags.DEFINE_enum(
            "precision",
            "float32",
            PRECISIONS,
            "What the network computes in; weights, and what weighs examples, stay in float32.",
        ),
        flags.DEFINE_integer("epochs", None, f"Number of epochs; {_by_dataset('epochs')}."),
        flags.DEFINE_integer(
            "steps_per_epoch", None, "Steps an epoch; by default one pass over the training set."
        ),
        flags.DEFINE_integer(
            "batch_size", None, f"Training examples a step; {_by_dataset('batch_size')}."
        ),
        flags.DEFINE_integer("meta_batch_size", 100, "Meta examples a step."),
        flags.DEFINE_float(
            "learning_rate",
            None,
            "Rate of the first epoch; falls along a cosine, once an epoch; "
            f"{_by_dataset('learning_rate')}.",
        ),
        flags.DEFINE_float("momentum", 0.9, "Momentum of SGD."),
        flags.DEFINE_float(
            "weight_decay", None, f"Coupled weight decay of SGD; {_by_dataset('weight_decay')}."
        ),
        flags.DEFINE_integer("seed", 0, "Seed of every random choice."),
    ],
    "Run": [
        WORKDIR,
        RESUME,
        CHECKPOINT_EVERY,
        CHECKPOINT_MINUTES,
        KEEP_CHECKPOINTS,
        STRATEGY,
        JIT,
        DETERMINISTIC,
        ON_NON_FINITE,
        RECORD_EXAMPLES,
        TENSORBOARD_GRAPH,
        TENSORBOARD_PROFILE,
    ],
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


def assignment_of(line: str) -> str:
    """A line of a flag file, `--NAME=VALUE`, `--NAME` or `--noNAME`, as `NAME=VALUE`."""
    text = line.strip().removeprefix("--")
    if "=" in text:
        return text
    return f"{text}=true" if text in flags.FLAGS else f"{text.removeprefix('no')}=false"


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
