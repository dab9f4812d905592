"""The evidence that a label is wrong: what the training made of it, in the mean over its steps.

    score      q / (q + mean of p(given label)), q the largest mean of p of another class
    suggested  argmax over the classes of the mean of p

The means are over the visits. The score, 0 for a sure label, up to 1, says how probable the other
class is of these two; above one half, it is the one that is suggested.

p is what the classifier answered in the training step, before it learned from the example's label
once more. A network fits right labels first, and one that is trained by GDW is kept from fitting
wrong ones; the mean over a training remembers both, where the probabilities at its end have
forgotten the first. (`gdw_tf.methods.recorded` keeps the record; `scripts/audit_table.py` sets
the score beside other evidence.)

A model without a record is asked now, once, for the probabilities of every example.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from sklearn.metrics import average_precision_score, roc_auc_score

from gdw_tf import classifiers, fit_data, fit_streams
from gdw_tf.audit.meta_gradient import meta_gradients
from gdw_tf.checks import check_labels
from gdw_tf.data.noise import label_counts, row_shares
from gdw_tf.data.verified import Verified
from gdw_tf.labels import class_indices
from gdw_tf.methods.recorded import TrainingRecord


@dataclasses.dataclass(frozen=True, eq=False)
class Audit:
    """The evidence about N labels of C classes, in the order of the training set.

    Attributes:
        given: the labels given, int64, (N,).
        probabilities: of the classes, float, (N, C): the mean over the steps of the training that
            had the example, in training mode; of an example that none had, the model's answer now.
        class_weights: the class-level weights, weights or soft labels that a meta method gave the
            example, in the mean over the steps, float, (N, C); `None` where there are none, NaN of
            examples that no step had.
        visits: how many steps had the example, float, (N,).
        meta_gradient: what the clean set says now of each class of the example, float, (N, C), see
            `gdw_tf.audit.meta_gradient`; `None` where it was not asked.
    """

    given: np.ndarray
    probabilities: np.ndarray
    class_weights: np.ndarray | None
    visits: np.ndarray
    meta_gradient: np.ndarray | None = None

    @functools.cached_property
    def score(self) -> np.ndarray:
        """How likely the label given is wrong, 0 to 1, (N,): of it and the best other class."""
        is_given = np.arange(self.probabilities.shape[1]) == self.given[:, np.newaxis]
        of_given = self.probabilities[is_given]
        of_other = np.where(is_given, 0.0, self.probabilities).max(axis=1)
        return of_other / (of_other + of_given)

    @functools.cached_property
    def suggested(self) -> np.ndarray:
        """The class of the largest mean probability, int64, (N,); often the label given."""
        return self.probabilities.argmax(axis=1)

    @functools.cached_property
    def order(self) -> np.ndarray:
        """The examples by their score, the most suspicious first, int64, (N,)."""
        return np.argsort(-self.score, kind="stable")

    @property
    def is_suspicious(self) -> np.ndarray:
        """Whether another class than the label given is suggested, bool, (N,)."""
        return self.suggested != self.given

    @property
    def suggestions(self) -> Verified:
        """The suspicious examples with the classes suggested, as if a person had verified them."""
        positions = np.flatnonzero(self.is_suspicious)
        return Verified(positions, self.suggested[positions])

    @property
    def confusions(self) -> np.ndarray:
        """How many examples of each suggested class (row) have each label, int64, (C, C)."""
        return label_counts(self.suggested, self.given, self.probabilities.shape[1])

    @property
    def noise_matrix(self) -> np.ndarray:
        """The estimated noise matrix: the rows of `confusions` as shares, float, (C, C)."""
        return row_shares(self.confusions)

    def figures(self, truth: np.ndarray) -> dict[str, float]:
        """How well the audit tells wrong labels from right ones, where the truth is known.

        Args:
            truth: the true classes, integers, (N,).

        Returns:
            `auroc` and `average_precision` of the score (NaN where all labels are right, or all
            wrong); `precision_at_errors`, the share of wrong labels among as many of the first as
            there are wrong ones; `right_given` and `right_suggested`, the shares of right labels
            before and after all suggestions are taken.

        Raises:
            ValueError: not one class for each example.
        """
        truth = check_labels("truth", truth, self.probabilities.shape[1])
        if truth.shape != self.given.shape:
            raise ValueError(
                f"truth must be one class an example. Received: {truth.size}; allowed: "
                f"{self.given.size}."
            )
        wrong = self.given != truth
        both = 0 < wrong.sum() < wrong.size
        first = wrong[self.order[: wrong.sum()]]
        return {
            "auroc": float(roc_auc_score(wrong, self.score)) if both else np.nan,
            "average_precision": (
                float(average_precision_score(wrong, self.score)) if both else np.nan
            ),
            "precision_at_errors": float(first.mean()) if first.size else np.nan,
            "right_given": float(1.0 - wrong.mean()),
            "right_suggested": float((self.suggested == truth).mean()),
        }


def of_record(record: TrainingRecord, given: np.ndarray) -> Audit:
    """Makes the audit of a record that has every example.

    Args:
        record: of N examples and C classes.
        given: their labels, int64, (N,).

    Raises:
        ValueError: the labels are not those of as many examples, or of other classes.
    """
    _check_record(record, given)
    return Audit(given, record.probabilities, record.class_weights, record.visits)


def rank(model: keras.Model, dataset: Any, *, meta_data: Any = None) -> Audit:
    """Ranks training examples by the evidence that their labels are wrong.

    Args:
        model: a model that answers logits: a method of this library that was trained with
            `compile(record_examples=True)`, or any other, which is asked now.
        dataset: the training data in the order of their index: `(x, y)`, or a `tf.data.Dataset` of
            batches `(inputs, labels, ...)` of one pass.
        meta_data: the clean set in the same form, to add the examples' meta gradients; left out by
            default, as they take another pass over the training data, of a forward and two backward
            passes of the network.

    Returns:
        The evidence, in the order of the data.

    Raises:
        TypeError: data of another kind; labels that are neither integers nor one-hot.
        ValueError: the model ends in softmax, or its answers are not finite; data that do not fit
            together; labels that are no classes of the model; more or fewer examples than the
            model's record has; a data set without an end.
    """
    classifiers.check_ends_in_logits(getattr(model, "classifier", model))
    training = fit_data.read_pair(dataset, name="the training data")
    batches = fit_streams.one_pass(training, None, name="the training data")
    record = getattr(model, "training_record", None)
    is_known = record is not None and bool((record.visits > 0).all())
    labels, answers = [], []
    for inputs, given, *_ in batches:
        labels.append(given.numpy())
        if not is_known:
            answers.append(_probabilities(model, inputs))
    probabilities = record.probabilities if is_known else np.concatenate(answers)
    wrong = np.flatnonzero(~np.isfinite(probabilities).all(axis=1))
    if wrong.size:
        raise ValueError(
            f"The model's answer to an example is not finite. Received: example {wrong[0]}"
        )
    num_classes = probabilities.shape[1]
    given = class_indices(np.concatenate(labels), num_classes, "the training labels")
    if record is not None:
        _check_record(record, given)
    if record is not None and not is_known:
        visited = record.visits[:, np.newaxis] > 0
        probabilities = np.where(visited, record.probabilities, probabilities)
    return Audit(
        given,
        probabilities,
        None if record is None else record.class_weights,
        np.zeros(len(given)) if record is None else record.visits,
        None if meta_data is None else meta_gradients(model, dataset, meta_data),
    )


def _check_record(record: TrainingRecord, given: np.ndarray) -> None:
    if len(record.visits) != len(given):
        raise ValueError(
            f"The model has a record of {len(record.visits)} training examples and can be asked "
            f"about these only. Received: {len(given)} examples"
        )
    check_labels("the training labels", given, record.probabilities.shape[1])


def _probabilities(model: keras.Model, inputs: Any) -> np.ndarray:
    logits = tf.cast(model(inputs, training=False), tf.float32)
    return tf.nn.softmax(logits).numpy()
