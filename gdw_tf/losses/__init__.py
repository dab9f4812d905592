"""Losses for noisy labels and imbalanced classes, one file a loss: ordinary Keras losses.

A `SoftmaxLoss` is also the base loss of a method, `gdw_tf.GDW(classifier, base_loss=...)`; from the
command line by its name, `--base_loss=NAME`. Only `EarlyLearning` is none; its method is
`gdw_tf.ELR`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from gdw_tf.losses.balanced_softmax import BalancedSoftmax
from gdw_tf.losses.class_balanced import ClassBalanced
from gdw_tf.losses.class_counts import ClassCountLoss
from gdw_tf.losses.early_learning import EarlyLearning
from gdw_tf.losses.focal import Focal
from gdw_tf.losses.generalized_cross_entropy import GeneralizedCrossEntropy
from gdw_tf.losses.ldam import COSINE_SCALE, LDAM
from gdw_tf.losses.logit_adjustment import LogitAdjustment
from gdw_tf.losses.softmax_loss import CrossEntropy, SoftmaxLoss
from gdw_tf.losses.symmetric_cross_entropy import SymmetricCrossEntropy

__all__ = [
    "COSINE_SCALE",
    "LDAM",
    "BalancedSoftmax",
    "ClassBalanced",
    "ClassCountLoss",
    "CrossEntropy",
    "EarlyLearning",
    "Focal",
    "GeneralizedCrossEntropy",
    "LogitAdjustment",
    "SoftmaxLoss",
    "SymmetricCrossEntropy",
    "build",
    "names",
]

_LOSSES: dict[str, type[SoftmaxLoss]] = {
    "cross_entropy": CrossEntropy,
    "gce": GeneralizedCrossEntropy,
    "sce": SymmetricCrossEntropy,
    "focal": Focal,
}
_LOSSES_OF_COUNTS: dict[str, Callable[..., ClassCountLoss]] = {
    "class_balanced": ClassBalanced,
    "ldam": partial(LDAM, scale=COSINE_SCALE),
    "balanced_softmax": BalancedSoftmax,
    "logit_adjustment": LogitAdjustment,
}


def names() -> tuple[str, ...]:
    """The names that `build` knows."""
    return (*_LOSSES, *_LOSSES_OF_COUNTS)


def build(name: str, class_counts: Sequence[int]) -> SoftmaxLoss:
    """Builds a loss with its defaults: its paper's settings on CIFAR-10, but for LDAM's scale.

    Args:
        name: one of `names()`; that of LDAM is for logits of `COSINE_SCALE` times cosines.
        class_counts: training examples of each class, by the label given; C numbers.

    Raises:
        ValueError: unknown name.
    """
    if name in _LOSSES:
        return _LOSSES[name]()
    if name in _LOSSES_OF_COUNTS:
        return _LOSSES_OF_COUNTS[name](class_counts)
    raise ValueError(f"Unknown loss. Received: name={name!r}; allowed: {', '.join(names())}.")
