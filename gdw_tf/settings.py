"""`Settings`: everything that decides what a run computes, one field for each flag of training.

What a user leaves out takes the paper's value for the data set (Chen et al., NeurIPS 2021,
section 4.1); the digits, which the paper does not have, get values of the same kind.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import numbers
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np

from gdw_tf import data, losses, methods, networks
from gdw_tf.checks import check_boolean
from gdw_tf.data import imbalance
from gdw_tf.data.meta_split import KINDS as META_KINDS
from gdw_tf.data.noise import KINDS, KINDS_WITHOUT_RATE
from gdw_tf.meta_losses import META_LOSSES
from gdw_tf.virtual_scope import check_scope

_CIFAR = {
    "noise": "uniform",
    "noise_rate": 0.4,
    "num_meta": 1000,
    "network": "resnet32",
    "epochs": 80,
}
# Of ELR on CIFAR-100 (Liu et al., NeurIPS 2020).
_CIFAR100 = _CIFAR | {"elr_lambda": 7.0, "elr_beta": 0.9}
_NO_NOISE = {"noise": "none", "noise_rate": 0.0}
DEFAULTS: dict[str, dict[str, Any]] = {
    "digits": {
        "noise": "flip",
        "noise_rate": 0.4,
        "num_meta": 50,
        "network": "small_cnn",
        "epochs": 60,
    },
    "cifar10": _CIFAR,
    "cifar100": _CIFAR100,
    "cifar10_n": _CIFAR | _NO_NOISE,
    "cifar100_n": _CIFAR100 | _NO_NOISE,
    "clothing1m": _NO_NOISE
    | {
        "num_meta": None,
        "network": "resnet18",
        "epochs": 5,
        "batch_size": 128,
        "learning_rate": 1e-3,
        "weight_decay": 1e-3,
    },
    "tfds:NAME": _CIFAR | _NO_NOISE,
    "npz": _CIFAR | _NO_NOISE | {"num_meta": None},
    "folder": _CIFAR | _NO_NOISE | {"num_meta": None, "network": "resnet18"},
    "csv": _CIFAR | _NO_NOISE | {"num_meta": None, "network": "resnet18"},
}

OWN_FILES = ("npz", "folder", "csv")
"""Data sets whose name does not say what is in them."""

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


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings of a run; `resolve` fills in what depends on the data set.

    Attributes stand for the flags of the same names; see `python -m gdw_tf.train --help`.

    Raises:
        ValueError: values out of their range, all of them named with what is allowed.
    """

    dataset: str
    noise: str
    noise_rate: float | None
    noise_file: str | None = None
    imbalance: str = "exponential"
    imbalance_factor: float = 1.0
    meta: str = "clean"
    num_meta: int | None
    pseudo_warmup: int = 10
    pseudo_every: int = 5
    meta_balanced: bool = False
    meta_add: tuple[str, ...] | None = None
    train_examples: int | None = None
    human_labels: str | None = None
    image_size: tuple[int, int] | None = None
    augment: bool | None = None
    randaugment: float = 0.0
    cutout: float = 0.0
    mixup: float = 0.0
    max_unreadable: float = 0.05
    allow_leak: bool = False
    method: str = "gdw"
    base_loss: str = "cross_entropy"
    network: str
    synchronized_batch_norm: bool = False
    precision: str = "float32"
    epochs: int
    steps_per_epoch: int | None = None
    batch_size: int = 100
    meta_batch_size: int = 100
    learning_rate: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 5e-4
    outer_lr: float | str = "auto"
    clip: float = 0.2
    zero_mean: bool = True
    memory: float = 0.0
    pair_memory: float = 0.0
    warm_up: float = 0.2
    virtual_lr: float | None = None
    virtual_scope: str = "all"
    meta_every: int = 1
    meta_loss: str = "cross_entropy"
    meta_weight: float = 0.0
    elr_lambda: float = 3.0
    elr_beta: float = 0.7
    hidden_units: int = 100
    fine_tune_share: float = 0.2
    forget_rate: float | None = None
    gradual_share: float = 0.25
    clean_share: float | None = None
    weight_net_learning_rate: float = 1e-3
    weight_net_weight_decay: float = 1e-4
    seed: int = 0

    def __post_init__(self) -> None:
        """Checks every value, and tells all that is wrong at once."""
        mistakes = _wrong_values(self)
        mistakes += _wrong_combinations(self, {name for name, _ in mistakes})
        if mistakes:
            raise ValueError(" ".join(message for _, message in mistakes))

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
    dataset = given.setdefault("dataset", "digits")
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


def flag_lines(settings: Settings) -> list[str]:
    """The settings as the lines of a flag file; what is `None` is left out."""
    return [
        flag_line(name, value)
        for name, value in dataclasses.asdict(settings).items()
        if value is not None
    ]


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


def lines_beside_defaults(settings: Settings) -> list[str]:
    """The settings as lines of a flag file, without those that are the data set's defaults."""
    defaults = dataclasses.asdict(resolve(dataset=settings.dataset)) | {"dataset": None}
    return [
        flag_line(name, value)
        for name, value in dataclasses.asdict(settings).items()
        if value is not None and value != defaults[name]
    ]


def settings_of_lines(lines: Iterable[str]) -> list[str]:
    """Of the lines of a run's flag file, the settings."""
    return [line for line in map(str.strip, lines) if _setting_of(line) is not None]


def differences(lines: Iterable[str], settings: Settings) -> list[str]:
    """What differs between the settings of a run's flag file and others.

    A run that is older than a setting was made with its default.

    Args:
        lines: of the flag file.
        settings: the others.

    Returns:
        Lines of either that the other lacks, sorted.
    """
    there, here = set(settings_of_lines(lines)), set(flag_lines(settings))
    known = {_setting_of(line) for line in there}
    defaults = {flag_line(field.name, field.default) for field in dataclasses.fields(Settings)}
    added_since = {line for line in here & defaults if _setting_of(line) not in known}
    return sorted((there ^ here) - added_since)


def _setting_of(line: str) -> str | None:
    """The setting that a line of a flag file is about; `None` if it is about none."""
    if not line.startswith("--"):
        return None
    name = line.removeprefix("--").split("=")[0]
    names = {field.name for field in dataclasses.fields(Settings)}
    return next((one for one in (name, name.removeprefix("no")) if one in names), None)


def flag_line(name: str, value: object) -> str:
    """One line of a flag file."""
    if isinstance(value, bool):
        return f"--{name}" if value else f"--no{name}"
    if isinstance(value, tuple | list):
        value = ",".join(map(str, value))
    return f"--{name}={value}"


def _is_dataset(name: Any) -> bool:
    try:
        data.registered_name(name)
    except (ValueError, AttributeError):  # no name, or no string
        return False
    return True


class _Range(NamedTuple):
    """What a setting may be: integers, or finite numbers, within a range."""

    allowed: str
    kind: type
    contains: Callable[[Any], bool]
    optional: bool = False

    def holds(self, value: Any) -> bool:
        """Whether the value is of the kind and within the range."""
        if value is None:
            return self.optional
        if isinstance(value, bool | np.bool_) or not isinstance(value, self.kind):
            return False
        return math.isfinite(value) and self.contains(value)


_LARGEST = 2**31 - 1
"""Of counts: no run has more epochs, or more examples a batch."""
_COUNT = _Range(
    f"at least 1, up to {_LARGEST}", numbers.Integral, lambda value: 1 <= value <= _LARGEST
)
_SHARE = _Range("0 to 1", numbers.Real, lambda value: 0.0 <= value <= 1.0)
_NOT_ALL = _Range("0 to below 1", numbers.Real, lambda value: 0.0 <= value < 1.0)
_NOT_NONE = _Range("above 0, up to 1", numbers.Real, lambda value: 0.0 < value <= 1.0)
_FROM_0 = _Range("at least 0, and finite", numbers.Real, lambda value: value >= 0.0)
_ABOVE_0 = _Range("above 0, and finite", numbers.Real, lambda value: value > 0.0)
_RANGES = {
    **dict.fromkeys(("epochs", "batch_size", "meta_batch_size", "hidden_units"), _COUNT),
    **dict.fromkeys(("meta_every", "pseudo_warmup", "pseudo_every"), _COUNT),
    **dict.fromkeys(
        ("num_meta", "train_examples", "steps_per_epoch"), _COUNT._replace(optional=True)
    ),
    **dict.fromkeys(("momentum", "max_unreadable", "fine_tune_share"), _SHARE),
    **dict.fromkeys(("noise_rate", "clean_share"), _SHARE._replace(optional=True)),
    **dict.fromkeys(("memory", "pair_memory", "elr_beta"), _NOT_ALL),
    "forget_rate": _NOT_ALL._replace(optional=True),
    **dict.fromkeys(("imbalance_factor", "gradual_share", "warm_up"), _NOT_NONE),
    **dict.fromkeys(
        ("weight_decay", "clip", "weight_net_weight_decay", "elr_lambda", "meta_weight"), _FROM_0
    ),
    **dict.fromkeys(("learning_rate", "weight_net_learning_rate"), _ABOVE_0),
    "virtual_lr": _ABOVE_0._replace(optional=True),
    # Up to the largest that Keras's own generator takes.
    "seed": _Range("at least 0, below 2**32", numbers.Integral, lambda value: 0 <= value < 2**32),
}
_BOOLEANS = ("meta_balanced", "allow_leak", "synchronized_batch_norm", "zero_mean")
_CHOICES = {
    "noise": KINDS,
    "imbalance": imbalance.KINDS,
    "meta": META_KINDS,
    "method": methods.names(),
    "base_loss": losses.names(),
    "meta_loss": tuple(META_LOSSES),
    "network": networks.names(),
    "precision": PRECISIONS,
}


def _wrong_values(settings: Settings) -> list[tuple[str, str]]:
    """The names of the values that are wrong by themselves, each with a sentence about it."""
    wrong = []

    def check(name: str, holds: Callable[[Any], bool], allowed: str) -> None:
        value = getattr(settings, name)
        if not holds(value):
            shown = value if isinstance(value, str | numbers.Real) else repr(value)
            if isinstance(value, tuple):
                shown = ",".join(map(str, value))
            wrong.append(
                (name, f"{name} is out of range. Received: {name}={shown}; allowed: {allowed}.")
            )

    check("dataset", _is_dataset, ", ".join(data.names()))
    for name, choices in _CHOICES.items():
        check(name, choices.__contains__, ", ".join(choices))
    for name, allowed in _RANGES.items():
        check(name, allowed.holds, allowed.allowed)
    for name in _BOOLEANS:
        check(name, lambda value: isinstance(value, bool), "True, False")
    check(
        "image_size",
        lambda size: size is None or _is_size(size),
        f"height and width of {MIN_SIDE} to {MAX_SIDE}, as in 224,224",
    )
    check(
        "meta_add",
        lambda paths: paths is None or isinstance(paths, tuple) and bool(paths) and all(paths),
        "paths of tables, separated by commas",
    )
    check(
        "outer_lr",
        lambda rate: isinstance(rate, str) and rate == "auto" or _FROM_0.holds(rate),
        f"auto, or {_FROM_0.allowed}",
    )
    for name, check_itself in (
        ("virtual_scope", lambda: check_scope(settings.virtual_scope)),
        ("augment", lambda: settings.augment is None or check_boolean("augment", settings.augment)),
        *(
            (name, functools.partial(data.Augmentation, **{name: getattr(settings, name)}))
            for name in ("randaugment", "cutout", "mixup")
        ),
    ):
        try:
            check_itself()
        except (ValueError, TypeError) as error:
            wrong.append((name, str(error)))
    return wrong


def _is_size(size: Any) -> bool:
    return (
        isinstance(size, tuple)
        and len(size) == 2
        and all(isinstance(side, int) and MIN_SIDE <= side <= MAX_SIDE for side in size)
    )


def _wrong_combinations(settings: Settings, wrong: set[str]) -> list[tuple[str, str]]:
    """The same for values that do not go together, as far as none of them is wrong by itself."""
    method, noise, rate = settings.method, settings.noise, settings.noise_rate
    mistakes = []

    def check(names: str, is_wrong: bool, message: str, allowed: str) -> None:
        named = names.split()
        if is_wrong and wrong.isdisjoint(named):
            received = ", ".join(f"{name}={getattr(settings, name)}" for name in named)
            mistakes.append((named[0], f"{message} Received: {received}; allowed: {allowed}."))

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
