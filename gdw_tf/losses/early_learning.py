"""Early-learning regularisation (ELR): hold on to what was predicted early in the training.

A network learns the right labels first and the wrong ones by heart later. ELR keeps a target t_i
for every training example, a running mean of its own predictions p, and rewards agreement with it:

    t_i  <- beta t_i + (1 - beta) p                         (no gradient goes through t_i)
    loss  = -log p_y + lambda log(1 - <t_i, p>)

The gradient of the second term on the logits,

    lambda p * (<t_i, p> - t_i) / (1 - <t_i, p>),

pulls the classes up that the target holds and the others down, the more, the surer both are. For an
example with a wrong label it is opposed to the cross-entropy's p - y, which thus loses its grip. It
sums to zero over the classes but is not a multiple of p - y: no `SoftmaxLoss`, and no base loss of
GDW or MW-Net, whose weights are for one label's gradient.

The targets start at zero. At an example's first visit its target becomes (1 - beta) p: it says what
the network says at the moment, right or not, but weakly, with log(1 - <t_i, p>) no less than log
beta. After k visits the target sums to 1 - beta^k: the regularisation comes up by itself within
about 1 / (1 - beta) epochs, in which the early learning goes on.

Source: Liu et al., "Early-Learning Regularization Prevents Memorization of Noisy Labels", NeurIPS
2020, sections 4.1 and 4.2, equations 6 and 9. lambda and beta are 3 and 0.7 on CIFAR-10, 7 and 0.9
on CIFAR-100.

`EarlyLearning` is a Keras loss, for training without this library; `gdw_tf.ELR` is the method.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from gdw_tf import replicas
from gdw_tf.checks import check_integer, check_number
from gdw_tf.labels import one_hot_labels

# Of a probability that enters a target: <t, p> stays below 1, and log(1 - <t, p>) finite.
LARGEST_PROBABILITY = 1.0 - 1e-4


def moved_targets(targets: tf.Tensor, probabilities: tf.Tensor, beta: float) -> tf.Tensor:
    """The targets after a visit, beta t + (1 - beta) p, (B, C), with p at most 1 - 1e-4.

    Args:
        targets: t before, (B, C).
        probabilities: p, of the same shape and dtype.
        beta: how much of a target stays.
    """
    return beta * targets + (1.0 - beta) * tf.minimum(probabilities, LARGEST_PROBABILITY)


def regularizer(probabilities: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
    """log(1 - <t, p>), (B, 1), from p and t, (B, C)."""
    return tf.math.log1p(-_agreement(probabilities, targets))


def regularizer_gradient(probabilities: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
    """Its gradient on the logits of p, p * (<t, p> - t) / (1 - <t, p>), (B, C)."""
    agreement = _agreement(probabilities, targets)
    return probabilities * (agreement - targets) / (1.0 - agreement)


def check_options(elr_lambda: float, elr_beta: float) -> None:
    """Checks lambda and beta.

    Raises:
        TypeError: one is not a number.
        ValueError: lambda is negative; beta is negative, or not below 1.
    """
    check_number("elr_lambda", elr_lambda, 0.0)
    check_number("elr_beta", elr_beta, 0.0, below=1.0)


@keras.saving.register_keras_serializable("gdw_tf")
class EarlyLearning(keras.losses.Loss):
    """Cross-entropy with early-learning regularisation, as a Keras loss.

    It must know which example it sees, so the labels have two columns, label and number of the
    example in the training set:

    ```python
    model.compile("sgd", gdw_tf.losses.EarlyLearning(len(x), num_classes=10))
    model.fit(x, np.stack([y, np.arange(len(y))], axis=1))
    ```

    An example of number -1, as for validation, has no target: its loss is the cross-entropy. The
    metrics of `compile` get the same two columns. The targets are saved and loaded with the model.

    Attributes:
        targets: t, a variable (N, C).

    Args:
        num_examples: N, the number of training examples; up to 2^24, because Keras hands a loss its
            labels as float32.
        num_classes: C.
        elr_lambda: lambda, factor of the regularisation; default 3, the paper's on CIFAR-10.
        elr_beta: beta, how much of a target stays in each visit; default 0.7, the paper's there.
        **kwargs: `reduction`, `name`, `dtype` of `keras.losses.Loss`.

    Raises:
        TypeError: an argument is of another type.
        ValueError: an argument is out of its range; when called, labels without two columns.
    """

    def __init__(
        self,
        num_examples: int,
        num_classes: int,
        elr_lambda: float = 3.0,
        elr_beta: float = 0.7,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.num_examples = check_integer("num_examples", num_examples, 1, 2**24)
        self.num_classes = check_integer("num_classes", num_classes, 2)
        check_options(elr_lambda, elr_beta)
        self.elr_lambda = elr_lambda
        self.elr_beta = elr_beta
        self.targets = keras.Variable(
            np.zeros((num_examples, num_classes)), dtype=self.dtype, trainable=False, name="targets"
        )

    def call(self, y_true: Any, y_pred: Any) -> tf.Tensor:
        """The loss of each example, (B,), after its target has moved."""
        logits = tf.convert_to_tensor(y_pred)
        if len(y_true.shape) != 2 or y_true.shape[1] != 2:
            raise ValueError(
                "Labels must be two columns, the label and the number of the example. Received: "
                f"shape {tuple(y_true.shape)}; allowed: (B, 2)."
            )
        columns = tf.cast(y_true, tf.int64)
        labels = one_hot_labels(columns[:, 0], self.num_classes, logits.dtype)
        targets = self._visited(columns[:, 1], tf.stop_gradient(tf.nn.softmax(logits)))
        cross_entropy = tf.nn.softmax_cross_entropy_with_logits(labels=labels, logits=logits)
        return cross_entropy + self.elr_lambda * regularizer(tf.nn.softmax(logits), targets)[:, 0]

    def _visited(self, index: tf.Tensor, probabilities: tf.Tensor) -> tf.Tensor:
        """Moves the targets of a batch, but for those of number -1, which are zero."""
        is_remembered = tf.cast(index >= 0, probabilities.dtype)[:, tf.newaxis]
        row = tf.maximum(index, 0)
        before = tf.cast(tf.gather(self.targets.value, row), probabilities.dtype)
        after = moved_targets(before, probabilities, self.elr_beta)
        change = tf.cast(is_remembered * (after - before), self.targets.dtype)
        if isinstance(self.targets.value, tf.distribute.DistributedValues):
            # Made under a strategy: each replica has targets, and moves those of the whole batch.
            change, row = replicas.joined(change), replicas.joined(row)
        self.targets.value.scatter_add(tf.IndexedSlices(change, row))
        return is_remembered * after

    def get_config(self) -> dict[str, Any]:
        """Configuration with all arguments."""
        return {
            **super().get_config(),
            "num_examples": self.num_examples,
            "num_classes": self.num_classes,
            "elr_lambda": self.elr_lambda,
            "elr_beta": self.elr_beta,
        }

    def save_own_variables(self, store: Any) -> None:
        """Stores the targets."""
        store["targets"] = self.targets

    def load_own_variables(self, store: Any) -> None:
        """Restores the targets."""
        self.targets.assign(store["targets"])


def _agreement(probabilities: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
    """<t, p>, (B, 1)."""
    return tf.reduce_sum(targets * probabilities, axis=1, keepdims=True)
