"""`Settings`: everything that decides what a run computes.

A field here is all that there is to declare of a setting: its default, what is allowed, what it is.
The flag of the same name (`gdw_tf.train_flags`) and the check of its value follow from it. What a
user leaves out takes the value that `gdw_tf.defaults` has for the data set, where it has one.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

from gdw_tf import data, losses, methods, networks
from gdw_tf.allowed import (
    ABOVE_0,
    BOOLEAN,
    COUNT,
    FROM_0,
    NOT_ALL,
    NOT_NONE,
    SEED,
    SHARE,
    TEXT,
    Allowed,
    one_of,
    values_where,
)
from gdw_tf.data import imbalance
from gdw_tf.data.meta_split import KINDS as META_KINDS
from gdw_tf.data.noise import KINDS, KINDS_WITHOUT_RATE
from gdw_tf.defaults import DEFAULTS
from gdw_tf.meta_losses import META_LOSSES
from gdw_tf.virtual_scope import SCOPES, check_scope

_OF_DATA = {
    *("dataset", "human_labels", "image_size", "train_examples", "meta_add"),
    *("noise", "noise_rate", "noise_file", "imbalance", "imbalance_factor"),
}
"""Settings that say which images there are and what their labels and sizes are."""

PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")
"""Dtype policies of Keras that a classifier is trained under."""

MIN_SIDE = 8
"""Pixels of the shortest side: networks halve images, and random crops mirror their edges."""
MAX_SIDE = 4096
"""Pixels of the longest side that images can be resized to."""


def _is_dataset(name: Any) -> bool:
    try:
        data.registered_name(name)
    except (ValueError, AttributeError):  # no name, or no string
        return False
    return True


def _is_size(size: Any) -> bool:
    return (
        isinstance(size, tuple)
        and len(size) == 2
        and all(isinstance(side, int) and MIN_SIDE <= side <= MAX_SIDE for side in size)
    )


_DATASET = values_where("string", _is_dataset, ", ".join(data.names()))
_IMAGE_SIZE = values_where(
    "list", _is_size, f"height and width of {MIN_SIDE} to {MAX_SIDE}, as in 224,224"
)
_TABLES = values_where(
    "list",
    lambda paths: isinstance(paths, tuple) and bool(paths) and all(paths),
    "paths of tables, separated by commas",
)
_RATE_OR_AUTO = values_where(
    "string",
    lambda rate: rate == "auto" if isinstance(rate, str) else FROM_0.mistake("", rate) is None,
    "auto, or at least 0, and finite",
)


def _augmentation(name: str, value: Any) -> None:
    data.Augmentation(**{name: value})


def _setting(group: str, default: Any, allowed: Allowed, description: str) -> Any:
    """Declares a setting.

    Args:
        group: the heading of `--help` that it stands under.
        default: its default; of one that every data set has a default of its own for,
            `dataclasses.MISSING`.
        allowed: what it may be.
        description: what it is, as `--help` says it.
    """
    metadata = {"group": group, "allowed": allowed, "description": description}
    return dataclasses.field(default=default, metadata=metadata)


_data, _method, _training = (
    functools.partial(_setting, group) for group in ("Data", "Method", "Training")
)
_BY_DATA_SET = dataclasses.MISSING


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings of a run; `resolve` fills in what depends on the data set.

    Raises:
        ValueError: values out of their range, all of them named with what is allowed.
    """

    dataset: str = _data("digits", _DATASET, f"Data set: {', '.join(data.names())}.")
    human_labels: str | None = _data(
        None,
        TEXT.or_none,
        "cifar10_n: which of the people's labels: aggregate, random1, random2, random3, worst (by "
        "default worst).",
    )
    image_size: tuple[int, int] | None = _data(
        None,
        _IMAGE_SIZE.or_none,
        "H,W that images are resized to; by default 224,224 (folder, csv, clothing1m), or as they "
        "are (npz, tfds:NAME).",
    )
    augment: bool | None = _data(
        None,
        BOOLEAN.or_none,
        "Crop by up to 4 pixels and flip at random; by default all but the digits.",
    )
    randaugment: float = _data(
        0.0,
        Allowed("float", _augmentation),
        "Magnitude of RandAugment on training images, 0 to 10; 0 for none.",
    )
    cutout: float = _data(
        0.0,
        Allowed("float", _augmentation),
        "Side of the square cut out of each training image, as a share of the image's, 0 to 1; 0 "
        "for none.",
    )
    mixup: float = _data(
        0.0,
        Allowed("float", _augmentation),
        "Alpha of mixup of training images and their labels; 0 for none.",
    )
    max_unreadable: float = _data(
        0.05, SHARE, "Largest share of unreadable files with which there is training."
    )
    allow_leak: bool = _data(
        False, BOOLEAN, "Train although images of the clean set are training images too."
    )
    noise: str = _data(_BY_DATA_SET, one_of(KINDS), f"Label noise: {', '.join(KINDS)}.")
    noise_rate: float | None = _data(_BY_DATA_SET, SHARE.or_none, "Rate of the noise, 0 to 1.")
    noise_file: str | None = _data(
        None,
        TEXT.or_none,
        "Transition matrix of --noise=matrix, rows of probabilities by true class: .npy, .csv or "
        ".txt.",
    )
    imbalance: str = _data(
        "exponential",
        one_of(imbalance.KINDS),
        "How --imbalance_factor cuts classes: exponential (a long tail) or step (the last half of "
        "the classes).",
    )
    imbalance_factor: float = _data(
        1.0,
        NOT_NONE,
        "Size of the last class relative to the first, above 0 up to 1; below 1 the labels are "
        "clean unless noise is asked for.",
    )
    meta: str = _data(
        "clean",
        one_of(META_KINDS),
        f"Meta set: {', '.join(META_KINDS)}; without a clean set, noisy (taken out of the training "
        "set, with the labels given) or pseudo (training examples of small loss, chosen anew "
        "during the training).",
    )
    num_meta: int | None = _data(
        _BY_DATA_SET,
        COUNT.or_none,
        "Class-balanced meta examples in total (with --meta=pseudo as many as are judged clean).",
    )
    pseudo_warmup: int = _data(
        10, COUNT, "Epochs of the plain training that the first pseudo-clean meta set comes from."
    )
    pseudo_every: int = _data(
        5, COUNT, "Epochs after which the pseudo-clean meta set is chosen anew."
    )
    meta_balanced: bool = _data(
        False, BOOLEAN, "As many meta examples of each class in every meta batch."
    )
    meta_add: tuple[str, ...] | None = _data(
        None,
        _TABLES.or_none,
        "Tables of verified labels, as the page of gdw_tf.audit writes them: these training images "
        "go into the meta set.",
    )
    train_examples: int | None = _data(
        None, COUNT.or_none, "Train on a class-balanced subset of this size."
    )

    method: str = _method(
        "gdw", one_of(methods.names()), f"Training method: {', '.join(methods.names())}."
    )
    base_loss: str = _method(
        "cross_entropy",
        one_of(losses.names()),
        f"Loss whose gradient is weighted: {', '.join(losses.names())}. (Plain training with one "
        "has its name as method.)",
    )
    outer_lr: float | str = _method(
        "auto",
        _RATE_OR_AUTO,
        "Size of the step on class-level weights (gdw), weights (insw) or labels (soft_label); "
        "auto is a mean change of 0.1: for gdw 0.1 * batch * classes.",
    )
    clip: float = _method(0.2, FROM_0, "Largest change of such a weight or label in a step.")
    zero_mean: bool = _method(True, BOOLEAN, "Keep the zero-mean constraint (off: ablation).")
    memory: float = _method(
        0.0,
        NOT_ALL,
        "How much of its class-level steps a training example keeps until its next visit, 0 to "
        "below 1; 0 is the paper's.",
    )
    pair_memory: float = _method(
        0.0,
        NOT_ALL,
        "How much of its class-level steps a pair of given label and class keeps until the next "
        "step, 0 to below 1 (0.99 for labels mistaken for particular others); 0 is the paper's.",
    )
    elr_lambda: float = _method(3.0, FROM_0, "ELR: factor of the regularisation.")
    elr_beta: float = _method(0.7, NOT_ALL, "ELR: how much of a target stays in a visit.")
    warm_up: float = _method(
        0.2,
        NOT_NONE,
        "Share of the training in which the classifier is trained plainly (gen_label, mlc).",
    )
    virtual_scope: str = _method(
        "all",
        Allowed("string", lambda _, scope: check_scope(scope)),
        f"Weights that move in the virtual step: {', '.join(SCOPES)}, or a regular expression of "
        "their paths.",
    )
    meta_every: int = _method(1, COUNT, "Take a meta gradient in every k-th step only.")
    meta_loss: str = _method(
        "cross_entropy",
        one_of(tuple(META_LOSSES)),
        f"Loss on the meta set: {', '.join(META_LOSSES)} (for --meta=noisy).",
    )
    meta_weight: float = _method(
        0.0,
        FROM_0,
        "Factor by which the gradient of the meta loss trains the classifier, too (such as 0.1), "
        "with a method that learns from it; 0 is the papers'.",
    )
    virtual_lr: float | None = _method(
        None,
        ABOVE_0.or_none,
        "Rate of the virtual step; by default the current learning rate.",
    )
    hidden_units: int = _method(100, COUNT, "Width of the weight net.")
    fine_tune_share: float = _method(
        0.2, SHARE, "fine_tune: share of the epochs that train on the meta set."
    )
    forget_rate: float | None = _method(
        None,
        NOT_ALL.or_none,
        "co_teaching: share of a batch that is left out in the end; by default --noise_rate.",
    )
    gradual_share: float = _method(
        0.25, NOT_NONE, "co_teaching: share of the training in which the share left out grows."
    )
    clean_share: float | None = _method(
        None,
        SHARE.or_none,
        "glc: weight of the meta batch in a step; by default the clean share of all examples.",
    )
    weight_net_learning_rate: float = _method(
        1e-3, ABOVE_0, "Adam's rate for the weight net or label net."
    )
    weight_net_weight_decay: float = _method(1e-4, FROM_0, "Its coupled weight decay.")

    network: str = _training(
        _BY_DATA_SET, one_of(networks.names()), f"Network: {', '.join(networks.names())}."
    )
    synchronized_batch_norm: bool = _training(
        False,
        BOOLEAN,
        "With several replicas: batch normalisation takes its statistics over all of them.",
    )
    precision: str = _training(
        "float32",
        one_of(PRECISIONS),
        f"What the network computes in: {', '.join(PRECISIONS)}; weights, and what weighs "
        "examples, stay in float32.",
    )
    epochs: int = _training(_BY_DATA_SET, COUNT, "Number of epochs.")
    steps_per_epoch: int | None = _training(
        None, COUNT.or_none, "Steps an epoch; by default one pass over the training set."
    )
    batch_size: int = _training(100, COUNT, "Training examples a step.")
    meta_batch_size: int = _training(100, COUNT, "Meta examples a step.")
    learning_rate: float = _training(
        0.1, ABOVE_0, "Rate of the first epoch; falls along a cosine, once an epoch."
    )
    momentum: float = _training(0.9, SHARE, "Momentum of SGD.")
    weight_decay: float = _training(5e-4, FROM_0, "Coupled weight decay of SGD.")
    seed: int = _training(0, SEED, "Seed of every random choice.")

    def __post_init__(self) -> None:
        """Checks every value, and tells all that is wrong at once."""
        wrong = {
            field.name: mistake
            for field in dataclasses.fields(self)
            if (mistake := field.metadata["allowed"].mistake(field.name, getattr(self, field.name)))
        }
        mistakes = [*wrong.values(), *_wrong_combinations(self, set(wrong))]
        if mistakes:
            raise ValueError(" ".join(mistakes))

    def augmentation(self, by_default: bool) -> data.Augmentation:
        """The augmentation of the training set.

        Args:
            by_default: whether images of the data set are cropped and flipped unless the user
                says otherwise.
        """
        return data.Augmentation(
            crop_and_flip=by_default if self.augment is None else self.augment,
            randaugment=self.randaugment,
            cutout=self.cutout,
            mixup=self.mixup,
        )

    @property
    def loss(self) -> str:
        """The name of the base loss, which the method is named after or which stands beside it."""
        return self.method if self.method in methods.LOSS_METHODS else self.base_loss


def resolve(**given: Any) -> Settings:
    """Makes settings of what a user gave; `None` stands for what was left out.

    Noise defaults to the data set's, unless an imbalance factor is given: the paper's long-tailed
    experiments have clean labels. A pseudo-clean meta set is as large as it turns out to be, unless
    its size is given.

    Raises:
        ValueError: as `Settings`.
    """
    given = {name: value for name, value in given.items() if value is not None}
    dataset = given.get("dataset", Settings.dataset)
    registered = data.registered_name(dataset) if _is_dataset(dataset) else "tfds:NAME"
    defaults = dict(DEFAULTS.get(registered, DEFAULTS["tfds:NAME"]))
    long_tailed = given.get("imbalance_factor", 1.0) < 1.0 and "noise_rate" not in given
    noise = given.get("noise", "none" if long_tailed else None)
    if noise in KINDS_WITHOUT_RATE:
        defaults |= {"noise": noise, "noise_rate": 0.0}
    elif noise is not None and not defaults["noise_rate"]:
        defaults["noise_rate"] = None  # to be given
    if given.get("meta") == "pseudo":
        defaults["num_meta"] = None
    return Settings(**{**defaults, **given})


def on_other_data(settings: Settings, dataset: str) -> Settings:
    """The settings with which a training on other data is as this one.

    Args:
        settings: of this training.
        dataset: the other data set's name, that of data as they are; what says which images there
            are and what their labels are is as it is by default there.
    """
    of_data = _OF_DATA | ({"num_meta"} if settings.meta == "clean" else set())
    kept = {
        name: value for name, value in dataclasses.asdict(settings).items() if name not in of_data
    }
    if settings.method == "co_teaching" and settings.forget_rate is None:
        kept["forget_rate"] = settings.noise_rate  # as it was derived
    return resolve(**kept, dataset=dataset)


def _wrong_combinations(settings: Settings, wrong: set[str]) -> list[str]:
    """Sentences about values that do not go together.

    Args:
        settings: the values.
        wrong: the names of those that are wrong by themselves, about which nothing more is said.
    """
    method, noise, rate = settings.method, settings.noise, settings.noise_rate
    mistakes = []

    def check(names: str, is_wrong: bool, message: str, allowed: str) -> None:
        named = names.split()
        if is_wrong and wrong.isdisjoint(named):
            received = ", ".join(f"{name}={getattr(settings, name)}" for name in named)
            mistakes.append(f"{message} Received: {received}; allowed: {allowed}.")

    takers = ", ".join(filter(methods.takes_base_loss, methods.names()))
    kinds = ", ".join(kind for kind in KINDS if kind not in KINDS_WITHOUT_RATE)
    check(
        "noise noise_rate",
        rate is None,
        f"noise_rate must be given: {settings.dataset} has no noise by default.",
        "0 to 1",
    )
    check(
        "noise noise_rate",
        rate is not None and noise in KINDS_WITHOUT_RATE and rate != 0.0,
        "noise_rate needs a kind of noise that has one.",
        f"0, or noise {kinds}",
    )
    check(
        "noise noise_file",
        (settings.noise_file is not None) != (noise == "matrix"),
        "noise_file belongs to noise=matrix.",
        "both or neither",
    )
    check(
        "noise forget_rate",
        method == "co_teaching" and settings.forget_rate is None and noise in KINDS_WITHOUT_RATE,
        "forget_rate must be given where noise_rate does not tell it.",
        "0 to below 1",
    )
    check(
        "method meta",
        method == "glc" and settings.meta == "pseudo",
        "glc estimates its matrix before the training from one meta set.",
        "clean, noisy",
    )
    check(
        "num_meta meta",
        settings.meta == "noisy" and settings.num_meta is None,
        "num_meta must be given: a noisy meta set is taken out of the training set.",
        "at least 1",
    )
    check(
        "meta_add meta",
        settings.meta_add is not None and settings.meta != "clean",
        "Verified labels are added to a clean meta set.",
        "meta=clean, or no meta_add",
    )
    check(
        "method meta_every",
        method == "l2rw" and settings.meta_every != 1,
        "l2rw has no weights in a step without a meta gradient.",
        "1 with method=l2rw",
    )
    check(
        "method base_loss",
        settings.base_loss != "cross_entropy" and not methods.takes_base_loss(method),
        "base_loss belongs to a method that can work with any loss.",
        f"cross_entropy, or method {takers}",
    )
    return mistakes
