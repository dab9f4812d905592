"""What GLC and forward correction share: a loss that knows how labels go wrong, and two stages.

If an example of true class i is given label j with probability C[i, j], a network that answers
p = softmax(z) for the true class answers q = C^T p for the label given. It is q that is compared
with the label g at hand,

    loss = -log q_g = -log sum_i p_i C[i, g],

whose minimiser, where C is right, is the one of the cross-entropy on clean labels (Patrini et al.,
CVPR 2017, theorem 2, "forward correction"). Its gradient on the logits is

    u = p - r,   r_i = p_i C[i, g] / q_g,

r being the network's own belief about the true class after it has seen the label. Where C is the
identity, r is the label and the loss the cross-entropy. (Of a mixture of labels y, as mixup makes
it, the loss is -sum_j y_j log q_j.)

C is seldom known. It is read off a network that was trained plainly on the labels as they are, so
the training has two stages of the same length:

    1. the classifier is trained by `gdw_tf.CE`, from its first weights
    2. C is estimated from its answers; the classifier gets its first weights back
    3. the classifier is trained with the corrected loss
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from gdw_tf import fit_data, fit_streams
from gdw_tf.data.noise.matrices import check_matrix
from gdw_tf.labels import one_hot_labels
from gdw_tf.lookahead import in_full_precision
from gdw_tf.methods.base import Method
from gdw_tf.methods.ce import CE
from gdw_tf.metrics import Accuracy
from gdw_tf.optimizers import fresh_copy

SMALLEST_PROBABILITY = 1e-8
"""Of a label given a class: an estimate of zero must not make a label impossible."""

FIRST_STAGE_CALLBACKS = (
    keras.callbacks.LearningRateScheduler,
    keras.callbacks.ReduceLROnPlateau,
)
"""Those of the callbacks given to `fit` that take part in the first stage, too."""


class CorrectedLoss(NamedTuple):
    """The corrected loss of a batch.

    Attributes:
        value: the loss of each example, (B, 1).
        gradient: its gradient on the logits, (B, C).
    """

    value: tf.Tensor
    gradient: tf.Tensor


def corrected_loss(logits: tf.Tensor, labels: tf.Tensor, transitions: tf.Tensor) -> CorrectedLoss:
    """Computes the losses of a batch, corrected by a transition matrix, and their gradients.

    Args:
        logits: (B, C).
        labels: labels as given, one-hot or mixtures of them, (B, C).
        transitions: C[i, j], the probability of label j where the true class is i, (C, C); entries
            below 1e-8 count as 1e-8.
    """
    transitions = tf.maximum(tf.cast(transitions, logits.dtype), SMALLEST_PROBABILITY)
    probabilities = tf.nn.softmax(logits)
    of_labels = tf.matmul(probabilities, transitions)  # q, at least the smallest transition
    beliefs = probabilities * tf.matmul(labels / of_labels, transitions, transpose_b=True)
    value = -tf.reduce_sum(labels * tf.math.log(of_labels), axis=1, keepdims=True)
    return CorrectedLoss(value, probabilities - beliefs)


class LossCorrection(Method):
    """Base class of the methods that estimate a transition matrix in a first training.

    The first stage is part of `fit`. It has the same data, epochs and steps, a fresh copy of the
    optimizer, and of the callbacks those that set the rate (`LearningRateScheduler`,
    `ReduceLROnPlateau`); logs, checkpoints and the seconds a step are of the
    second stage alone. A model that has its matrix, a loaded one too, goes straight to the second
    stage: a run that is saved and continued takes up its training where it was, and one that
    was broken off in the first stage, in which nothing is saved, begins it again.

    Logged beside the loss: `corrected_loss`, which is what is trained.

    Attributes:
        transitions: C, a variable (C, C), saved with the model; `None` before it is estimated.

    Args:
        classifier: any Keras model that answers logits, (B, C).
        transition_matrix: C, where it is known: numbers (C, C), rows summing to one. There is no
            first stage then. By default it is estimated.
        **kwargs: `seed`, `name` of `Method`.

    Raises:
        TypeError: `classifier` is not a Keras model.
        ValueError: `classifier` ends in softmax; `transition_matrix` is none.
    """

    reported = ("corrected_loss",)
    late_variables = (*Method.late_variables, "transitions")

    def __init__(
        self, classifier: keras.Model, *, transition_matrix: Any = None, **kwargs: Any
    ) -> None:
        super().__init__(classifier, **kwargs)
        self.transition_matrix = (
            None if transition_matrix is None else check_matrix(transition_matrix).tolist()
        )
        self.transitions: keras.Variable | None = None
        if self.transition_matrix is not None:
            self._set_transitions(np.asarray(self.transition_matrix))

    def estimated_transitions(
        self, training: tf.data.Dataset, meta: tf.data.Dataset | None
    ) -> np.ndarray:
        """Estimates C, (C, C), from the plainly trained classifier.

        Args:
            training: batches of one pass over the training data; of data without an end, those of
                an epoch.
            meta: the same of the meta set, where the method needs one.
        """
        raise NotImplementedError(f"{type(self).__name__} must define estimated_transitions.")

    def answers(self, batches: tf.data.Dataset) -> tuple[np.ndarray, np.ndarray]:
        """What the classifier says to N examples in batches `(inputs, labels, ...)`.

        Returns:
            Probabilities (N, C) and one-hot labels (N, C).
        """

        @tf.function(reduce_retracing=True)
        def answer(inputs: Any) -> tf.Tensor:
            return in_full_precision(self.classifier(inputs, training=False))

        probabilities, labels = [], []
        for inputs, given, *_ in batches:
            logits = answer(inputs)
            probabilities.append(tf.nn.softmax(logits).numpy())
            labels.append(one_hot_labels(given, logits.shape[-1], logits.dtype).numpy())
        return np.concatenate(probabilities), np.concatenate(labels)

    def before_training(
        self,
        training: fit_data.Data,
        meta: fit_data.Data | None,
        num_classes: int,
        **arguments: Any,
    ) -> None:
        """Runs the first stage, where there is no matrix yet.

        Raises:
            ValueError: a matrix of another number of classes; a meta set without an end, of which
                `steps_per_epoch` does not say how much to read.
            FloatingPointError: the first stage diverged.
        """
        if self.transitions is not None:
            if self.transitions.shape[0] != num_classes:
                raise ValueError(
                    "The transition matrix must have a row for each class. Received: shape "
                    f"{tuple(self.transitions.shape)}; allowed: ({num_classes}, {num_classes})."
                )
            return
        steps = arguments["steps_per_epoch"]
        passes = [
            None if data is None else fit_streams.one_pass(data, steps, name=name)
            for data, name in ((training, "the training data"), (meta, "meta_data"))
        ]
        with _restored_weights(self.classifier):
            self._train_plainly(training, **arguments)
            transitions = self.estimated_transitions(*passes)
        if not np.isfinite(transitions).all():
            raise FloatingPointError("The first stage ended in weights that are not finite.")
        self._set_transitions(transitions)

    def _train_plainly(
        self,
        training: fit_data.Data,
        *,
        callbacks: list[keras.callbacks.Callback],
        **arguments: Any,
    ) -> None:
        model = CE(self.classifier, seed=self.seed)
        model.compile(
            fresh_copy(self.optimizer),
            metrics=[Accuracy()],
            on_non_finite=self.on_non_finite,
            run_eagerly=self.run_eagerly,
            jit_compile=self.jit_compile,
            steps_per_execution=self.steps_per_execution,
        )
        if arguments.get("verbose", "auto"):
            print("First stage: plain training on the labels as they are.", flush=True)
        data = {"x": training}
        if isinstance(training, fit_data.Arrays):
            data = dict(zip(("x", "y", "sample_weight"), training, strict=True))
        model.fit(
            **data,
            callbacks=[one for one in callbacks if isinstance(one, FIRST_STAGE_CALLBACKS)],
            **{**arguments, "initial_epoch": 0},
        )
        self.non_finite_steps.assign_add(model.non_finite_steps.value)
        if arguments.get("verbose", "auto"):
            print("Second stage: training with the corrected loss.", flush=True)

    def _set_transitions(self, transitions: np.ndarray) -> None:
        self.make_late_variable("transitions", transitions.shape).assign(transitions)

    def get_config(self) -> dict[str, Any]:
        """Configuration with the matrix that was given."""
        return {**super().get_config(), "transition_matrix": self.transition_matrix}


@contextlib.contextmanager
def _restored_weights(classifier: keras.Model) -> Iterator[None]:
    """Gives a network back all that it was before: weights, moving statistics, random states."""
    before = [(variable, variable.numpy()) for variable in classifier.variables]
    try:
        yield
    finally:
        for variable, value in before:
            variable.assign(value)
