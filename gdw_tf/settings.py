"""`Settings`: everything that decides what a run computes, one field for each flag of training.

What a user leaves out takes the paper's value for the data set (Chen et al., NeurIPS 2021,
section 4.1); the digits, which the paper does not have, get values of the same kind.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

from gdw_tf import data, losses, methods, networks
from gdw_tf.classifiers import check_scope
from gdw_tf.data import imbalance
from gdw_tf.data.meta_split import KINDS as META_KINDS
from gdw_tf.data.noise import KINDS, KINDS_WITHOUT_RATE
from gdw_tf.meta_losses import META_LOSSES

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
        ValueError: a value out of its range, named with what is allowed.
    """

    dataset: str
    noise: str
    noise_rate: float
    noise_file: str | None = None
    imbalance: str = "exponential"
    imbalance_factor: float = 1.0
    meta: str = "clean"
    num_meta: int | None
    pseudo_warmup: int = 10
    pseudo_every: int = 5
    meta_balanced: bool = False
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
        """Checks every value."""
        _check_dataset(self.dataset)
        for name, allowed in {
            "noise": KINDS,
            "imbalance": imbalance.KINDS,
            "meta": META_KINDS,
            "method": methods.names(),
            "base_loss": losses.names(),
            "meta_loss": tuple(META_LOSSES),
            "network": networks.names(),
            "precision": PRECISIONS,
        }.items():
            _check(name, getattr(self, name), getattr(self, name) in allowed, ", ".join(allowed))
        for name in (
            *("epochs", "batch_size", "meta_batch_size", "hidden_units", "meta_every"),
            *("pseudo_warmup", "pseudo_every"),
        ):
            _check(name, getattr(self, name), getattr(self, name) >= 1, "at least 1")
        for name in ("num_meta", "train_examples", "steps_per_epoch"):
            value = getattr(self, name)
            _check(name, value, value is None or value >= 1, "at least 1")
        for name in ("noise_rate", "momentum", "max_unreadable", "fine_tune_share"):
            _check(name, getattr(self, name), 0.0 <= getattr(self, name) <= 1.0, "0 to 1")
        for name in (
            *("weight_decay", "clip", "weight_net_weight_decay", "elr_lambda"),
            "meta_weight",
        ):
            _check(name, getattr(self, name), getattr(self, name) >= 0.0, "at least 0")
        for name in ("learning_rate", "weight_net_learning_rate"):
            _check(name, getattr(self, name), getattr(self, name) > 0.0, "above 0")
        for name in ("imbalance_factor", "gradual_share", "warm_up"):
            _check(name, getattr(self, name), 0.0 < getattr(self, name) <= 1.0, "above 0, up to 1")
        share, rate = self.clean_share, self.forget_rate
        _check("clean_share", share, share is None or 0.0 <= share <= 1.0, "0 to 1")
        _check("forget_rate", rate, rate is None or 0.0 <= rate < 1.0, "0 to below 1")
        if self.method == "co_teaching" and rate is None and self.noise in KINDS_WITHOUT_RATE:
            raise ValueError(
                "forget_rate must be given where noise_rate does not tell it. Received: "
                f"noise={self.noise}, forget_rate=None; allowed: 0 to below 1."
            )
        for name in ("memory", "pair_memory", "elr_beta"):
            _check(name, getattr(self, name), 0.0 <= getattr(self, name) < 1.0, "0 to below 1")
        if self.method == "glc" and self.meta == "pseudo":
            raise ValueError(
                "glc estimates its matrix before the training from one meta set. Received: "
                "meta=pseudo; allowed: clean, noisy."
            )
        check_scope(self.virtual_scope)
        self.augmentation(by_default=False)  # checks its own numbers
        _check(
            "meta_every",
            self.meta_every,
            self.method != "l2rw" or self.meta_every == 1,
            "1 with method=l2rw",
        )
        size = self.image_size
        fits = size is None or (
            len(size) == 2 and all(MIN_SIDE <= side <= MAX_SIDE for side in size)
        )
        _check("image_size", size, fits, f"height and width of {MIN_SIDE} to {MAX_SIDE}")
        rate = self.virtual_lr
        _check("virtual_lr", rate, rate is None or rate > 0.0, "above 0")
        is_rate = not isinstance(self.outer_lr, str) and self.outer_lr >= 0.0
        _check("outer_lr", self.outer_lr, self.outer_lr == "auto" or is_rate, "auto, or at least 0")
        _check("seed", self.seed, self.seed >= 0, "at least 0")
        if self.base_loss != "cross_entropy" and not methods.takes_base_loss(self.method):
            takers = ", ".join(filter(methods.takes_base_loss, methods.names()))
            raise ValueError(
                f"base_loss belongs to a method that can work with any loss. Received: method="
                f"{self.method}, base_loss={self.base_loss}; allowed: cross_entropy, or method "
                f"{takers}."
            )
        if self.noise in KINDS_WITHOUT_RATE and self.noise_rate > 0.0:
            kinds = ", ".join(kind for kind in KINDS if kind not in KINDS_WITHOUT_RATE)
            raise ValueError(
                f"noise_rate needs a kind of noise that has one. Received: noise={self.noise}, "
                f"noise_rate={self.noise_rate}; allowed: 0, or noise {kinds}."
            )
        if (self.noise_file is not None) != (self.noise == "matrix"):
            raise ValueError(
                f"noise_file belongs to noise=matrix. Received: noise={self.noise}, "
                f"noise_file={self.noise_file}; allowed: both or neither."
            )

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
    _check_dataset(dataset)
    defaults = dict(DEFAULTS.get(data.registered_name(dataset), DEFAULTS["tfds:NAME"]))
    long_tailed = given.get("imbalance_factor", 1.0) < 1.0 and "noise_rate" not in given
    noise = given.get("noise", "none" if long_tailed else None)
    if noise in KINDS_WITHOUT_RATE:
        defaults |= {"noise": noise, "noise_rate": 0.0}
    elif noise is not None and not defaults["noise_rate"] and "noise_rate" not in given:
        raise ValueError(
            f"noise_rate must be given: {dataset} has no noise by default. Received: "
            f"noise={noise}, noise_rate=None; allowed: 0 to 1."
        )
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


def settings_of_lines(lines: Iterable[str]) -> list[str]:
    """Of the lines of a run's flag file, the settings."""
    names = {field.name for field in dataclasses.fields(Settings)}

    def is_setting(line: str) -> bool:
        name = line.removeprefix("--").split("=")[0]
        return name in names or name.removeprefix("no") in names

    return [line for line in map(str.strip, lines) if line.startswith("--") and is_setting(line)]


def flag_line(name: str, value: object) -> str:
    """One line of a flag file."""
    if isinstance(value, bool):
        return f"--{name}" if value else f"--no{name}"
    if isinstance(value, tuple):
        value = ",".join(map(str, value))
    return f"--{name}={value}"


def _check_dataset(dataset: str) -> None:
    try:
        data.registered_name(dataset)
    except ValueError:
        _check("dataset", dataset, False, ", ".join(data.names()))


def _check(name: str, value: Any, holds: bool, allowed: str) -> None:
    if not holds:
        raise ValueError(f"{name} is out of range. Received: {name}={value}; allowed: {allowed}.")
