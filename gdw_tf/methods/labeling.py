"""What the methods that put soft labels in the place of the given ones share: u(phi) = p - phi.

phi is a label, (B, C), and u the gradient of the cross-entropy with it. There is no base loss to
choose: the losses of `gdw_tf.losses` read off the given label which margin, weight or slope an
example gets, and a label that is learned gives no such answer.

`LabelNetMethod` adds a label net G, from what a warmed-up classifier sees in an example to a label.
"""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from gdw_tf import classifiers
from gdw_tf.batch import Batch
from gdw_tf.checks import check_number
from gdw_tf.class_gradients import ClassGradients
from gdw_tf.copies import clone
from gdw_tf.lookahead import ForwardPass, in_full_precision
from gdw_tf.methods.meta import MetaMethod


class LabelMethod(MetaMethod):
    """Base class of the methods that learn labels; see `MetaMethod` for the arguments.

    They report `given_label`, what is left of the given label: the mean of phi' on it.
    """

    reported = (*MetaMethod.reported, "given_label")

    def logit_gradient(self, gradients: ClassGradients, outer: tf.Tensor) -> tf.Tensor:
        """The gradient of the cross-entropy with the label phi, (B, C)."""
        return gradients.probabilities - outer

    def step_report(
        self, gradients: ClassGradients, outer: tf.Tensor, updated: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """What phi' has on the given labels, (B,)."""
        return {"given_label": tf.reduce_sum(updated * gradients.labels, axis=1)}


class LabelNetMethod(LabelMethod):
    """Base class of the methods whose labels come from a label net.

    ```
    phi  = G(features, logits, given label)
    phi' = the given label in the warm-up, then G's label after its own step
    ```

    In the warm-up the classifier is trained plainly, while G learns from the virtual steps already.
    (A training that begins behind it, by `initial_epoch`, has the classifier as it is given for a
    warmed-up one.) The features, which the classifier's last layer takes, and the logits are those
    of a copy of the classifier that stays as it was at the end of the warm-up, in inference mode.
    (Features of the classifier as it is would make a circle: labels that are wrong for a while
    spoil the features, on which there are no right labels any more.)

    Attributes:
        warmed_up: the copy; it follows the classifier through the warm-up.
        label_net: G, or the part of it that is learned.

    Args:
        classifier: a functional or sequential Keras model that answers logits, (B, C), nested ones
            included: its features are read off its graph of layers.
        warm_up: share of the training that is warm-up, above 0 to 1; default 0.2. It is counted in
            whole epochs, of which `fit` has one at least.
        **kwargs: the options of `MetaMethod`.

    Raises:
        TypeError: `classifier` is not a Keras model; an option is of another type.
        ValueError: `classifier` ends in softmax or has no features to be read; an option is out of
            its range.
    """

    option_names = (*LabelMethod.option_names, "warm_up")

    def __init__(self, classifier: keras.Model, *, warm_up: float = 0.2, **kwargs: Any) -> None:
        super().__init__(classifier, **kwargs)
        check_number("warm_up", warm_up, 0.0, exclusive=True, maximum=1.0)
        self.warm_up = warm_up
        self.warmed_up = _frozen_copy(classifier)
        see = classifiers.with_features(self.warmed_up)
        # A function: as a part of this model it would be the copy's layers a second time.
        self.features_and_logits = lambda inputs: see(inputs, training=False)
        features, logits = see.output_shape
        self.label_net = self.build_label_net(features[-1], logits[-1])

    def build_label_net(self, num_features: int, num_classes: int) -> keras.Model:
        """Builds G, in Keras's float dtype whatever the policy."""
        raise NotImplementedError(f"{type(self).__name__} must define build_label_net.")

    def soft_labels(self, features: tf.Tensor, logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        """G's labels, (B, C), from features (B, F), logits and given labels, one-hot, (B, C)."""
        raise NotImplementedError(f"{type(self).__name__} must define soft_labels.")

    @property
    def outer_variables(self) -> list[keras.Variable]:
        """The label net's variables."""
        return self.label_net.trainable_variables

    def before_training(self, *data: Any, **arguments: Any) -> None:
        """Makes the copy one of the classifier as it is given, in the first training."""
        super().before_training(*data, **arguments)
        if not int(self.steps_taken.numpy()):
            self.warmed_up.set_weights(self.classifier.get_weights())

    def training_gradient(
        self, forward: ForwardPass, batch: Batch, meta_batch: Batch | None
    ) -> dict[str, tf.Tensor]:
        """Finds u(phi'); `batch.inputs` are from here on the features and logits."""
        tf.cond(self._in_warm_up(), self._follow_classifier, tf.no_op)
        seen = tuple(map(in_full_precision, self.features_and_logits(batch.inputs)))
        return super().training_gradient(forward, batch._replace(inputs=seen), meta_batch)

    def outer_parameters(self, batch: Batch, gradients: ClassGradients) -> tf.Tensor:
        """The label net's labels, (B, C)."""
        return self.soft_labels(*batch.inputs, gradients.labels)

    def updated_outer_parameters(
        self, batch: Batch, gradients: ClassGradients, outer: tf.Tensor, meta_gradient: tf.Tensor
    ) -> tf.Tensor:
        """The labels that the updated label net gives, (B, C); the given ones in the warm-up."""
        updated = self.outer_parameters(batch, gradients)
        return self.carried_outer_parameters(batch, gradients, updated)

    def carried_outer_parameters(
        self, batch: Batch, gradients: ClassGradients, outer: tf.Tensor
    ) -> tf.Tensor:
        """The label net's labels, (B, C); the given ones in the warm-up."""
        return tf.where(self._in_warm_up(), gradients.labels, outer)

    def _in_warm_up(self) -> tf.Tensor:
        return self.progress.value < self.warm_up

    def _follow_classifier(self) -> tf.Operation:
        pairs = zip(self.warmed_up.weights, self.classifier.weights, strict=True)
        return tf.group(*(copy.value.assign(weight.value) for copy, weight in pairs))


def _frozen_copy(classifier: keras.Model) -> keras.Model:
    classifiers.with_features(classifier)  # one error for what can neither be copied nor read
    copy = clone(classifier)
    copy.name = f"{classifier.name}_warmed_up"
    copy.trainable = False
    return copy
