"""Losses for noisy labels and imbalanced classes, one file a loss: ordinary Keras losses.

A `SoftmaxLoss` is also the base loss of a method, `gdw_tf.GDW(classifier, base_loss=...)`; from the
command line by its name, `--base_loss=NAME`.
"""

from __future__ import annotations

from collections.abc import Sequence

from gdw_tf.losses.softmax_loss import CrossEntropy, SoftmaxLoss

__all__ = ["CrossEntropy", "SoftmaxLoss", "build", "names"]

_LOSSES: dict[str, type[SoftmaxLoss]] = {"cross_entropy": CrossEntropy}


def names() -> tuple[str, ...]:
    """The names that `build` knows."""
    return tuple(_LOSSES)


def build(name: str, class_counts: Sequence[int]) -> SoftmaxLoss:
    """Builds a loss with its paper's settings.

    Args:
        name: one of `names()`.
        class_counts: training examples of each class, by the label given; C numbers.

    Raises:
        ValueError: unknown name.
    """
    if name not in _LOSSES:
        raise ValueError(f"Unknown loss. Received: name={name!r}; allowed: {', '.join(_LOSSES)}.")
    return _LOSSES[name]()
