"""Settings by default, where they depend on the data set.

They are the paper's for its data sets (Chen et al., NeurIPS 2021, section 4.1); the digits, which
the paper does not have, get values of the same kind.
"""

from __future__ import annotations

from typing import Any

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
"""By data set: what differs from the default of the setting, or stands in its place."""

OF_DATA_SETS = frozenset().union(*DEFAULTS.values())
"""The names of the settings whose default depends on the data set."""

OWN_FILES = ("npz", "folder", "csv")
"""Data sets whose name does not say what is in them."""


def in_words(name: str, otherwise: Any) -> str:
    """Says the defaults of a setting; data sets that share one are named together.

    Args:
        name: the setting.
        otherwise: the default where a data set has none of its own.
    """
    datasets: dict[str, list[str]] = {}
    for dataset, values in DEFAULTS.items():
        default = values.get(name, otherwise)
        datasets.setdefault("all" if default is None else str(default), []).append(dataset)
    return "by default " + "; ".join(
        f"{default} ({', '.join(names)})" for default, names in datasets.items()
    )
