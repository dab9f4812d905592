"""Co-teaching: two networks, each choosing for the other the examples that look clean.

Networks fit clean examples before wrong labels, so a small loss is a sign of a right label. One
network that trusts its own losses strengthens its own mistakes; two that began differently do not
make the same ones. On each batch, with l1 and l2 (B,) the cross-entropies of the two networks,

    R  = 1 - tau min(progress / f, 1)         share to keep
    K  = round(R B)                           examples to keep, at least one
    S1 = the K examples of least l1           S2 = those of least l2
    theta1 <- optimizer(theta1, mean gradient of l1 over S2)
    theta2 <- optimizer(theta2, mean gradient of l2 over S1)

tau is the forget rate; the share to drop grows from nothing to tau in the first share f of the
training (`gradual_share`). The meta set plays no part in training.

f is a matter of how much the networks know by then. Too early, small losses only tell what a
network happened to answer at the start, and whole classes are dropped for good; too late, wrong
labels are learned by heart. The paper's ten of 200 epochs, f = 0.05, are 4000 steps. On the digits,
with 13 steps an epoch, test accuracy in % after 60 epochs, one seed (a class lost costs ten):

    f                       0.05    0.15    0.25    0.33
    60 % uniform noise      48.0    88.2    97.8    97.0
    40 % flip noise         96.8    87.2    96.9    86.6

Source: Han et al., "Co-teaching: Robust training of deep neural networks with extremely noisy
labels", NeurIPS 2018 (arXiv 1804.06872), algorithm 1. The paper takes the noise rate for tau. Both
networks see the whole batch and the gradients of examples left out are masked, as in the authors'
program: with batch normalisation the statistics are those of the whole batch. What differs from
that program: it trains with Adam, rounds K down, and divides the mean over the kept examples by K
once more, which Adam does not feel.

Two networks take twice the time. The paper reports both, which end close to each other; here the
answer, its metrics and the export are those of the first.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from gdw_tf import classifiers, replicas
from gdw_tf.batch import Batch
from gdw_tf.checks import check_number
from gdw_tf.copies import clone
from gdw_tf.lookahead import ForwardPass
from gdw_tf.methods.base import Method


@keras.saving.register_keras_serializable("gdw_tf")
class CoTeaching(Method):
    """Trains a classifier and a peer that choose each other's examples.

    One optimizer trains both networks, each variable on its own, so that both have the same rate
    and schedule; only `global_clipnorm` would look at the gradients of both.

    Logged beside the loss: `kept_share`, R.

    Attributes:
        peer: the second network, saved with the model.

    Args:
        classifier: any Keras model that answers logits, (B, C).
        forget_rate: tau, the share of a batch that is left out in the end, 0 to below 1; default
            0.2. The share of wrong labels, or an estimate of it, is the paper's choice.
        gradual_share: f, the share of the training in which the share to drop grows, above 0 to 1;
            default 0.25.
        peer: the second network, another Keras model of the same inputs and classes; by default a
            clone of the classifier with weights drawn anew. Give one where the classifier
            comes trained, where its initializers have seeds of their own, or where it is a
            subclassed model without `get_config`.
        **kwargs: `seed`, `name` of `Method`.

    Raises:
        TypeError: a network is not a Keras model; an option is not a number.
        ValueError: a network ends in softmax; the classifier cannot be cloned; an option is out of
            its range.
    """

    option_names = (*Method.option_names, "forget_rate", "gradual_share")
    reported = ("kept_share",)

    def __init__(
        self,
        classifier: keras.Model,
        *,
        forget_rate: float = 0.2,
        gradual_share: float = 0.25,
        peer: keras.Model | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(classifier, **kwargs)
        check_number("forget_rate", forget_rate, 0.0, below=1.0)
        check_number("gradual_share", gradual_share, 0.0, exclusive=True, maximum=1.0)
        self.forget_rate = forget_rate
        self.gradual_share = gradual_share
        self.peer = _clone(classifier) if peer is None else peer
        classifiers.check_ends_in_logits(self.peer, "peer")

    @property
    def networks(self) -> list[keras.Model]:
        """The classifier and its peer."""
        return [self.classifier, self.peer]

    def kept_share(self) -> tf.Tensor:
        """R, the share of a batch that is trained on at the current progress, a scalar."""
        grown = tf.minimum(self.progress.value / self.gradual_share, 1.0)
        return 1.0 - self.forget_rate * grown

    def training_gradient(
        self, forward: ForwardPass, batch: Batch, meta_batch: Batch | None
    ) -> dict[str, Any]:
        """Of each network the gradient on the examples that the other one chose."""
        peer = ForwardPass(self.peer, batch.inputs)
        size = replicas.total(tf.cast(tf.shape(batch.labels)[0], forward.logits.dtype))
        kept_share = tf.cast(self.kept_share(), size.dtype)
        kept = tf.maximum(tf.round(kept_share * size), 1.0)
        losses, gradients = zip(
            *(_cross_entropy(one.logits, batch.labels) for one in (forward, peer)), strict=True
        )
        chosen, chosen_by_peer = (
            replicas.own_part(least(replicas.joined(one), kept), one)[:, tf.newaxis]
            for one in losses
        )
        to_mean_of_kept = size / kept  # as the mean over the batch is still to come
        return {
            "kept_share": kept_share,
            "chosen": chosen,
            "chosen_by_peer": chosen_by_peer,
            "logit_gradient": to_mean_of_kept * chosen_by_peer * gradients[0],
            "peer_logit_gradient": to_mean_of_kept * chosen * gradients[1],
            "peer_forward": peer,
        }

    def weight_gradients(
        self, forward: ForwardPass, batch: Batch, meta_batch: Batch | None, step: dict[str, Any]
    ) -> tuple[list[tf.Tensor], list[keras.Variable]]:
        """The gradients of both networks."""
        own = super().weight_gradients(forward, batch, meta_batch, step)
        of_peer = self.pulled_back(step["peer_forward"], step["peer_logit_gradient"], batch)
        return tuple(first + second for first, second in zip(own, of_peer, strict=True))

    def before_training(self, *args: Any, **arguments: Any) -> None:
        """Makes sure that the networks do not begin alike.

        Raises:
            ValueError: all weights are equal.
        """
        weights, of_peer = (network.get_weights() for network in self.networks)
        if len(weights) == len(of_peer) and all(map(np.array_equal, weights, of_peer)):
            raise ValueError(
                "The two networks must begin differently; give another one as peer. Received: a "
                f"peer of {self.classifier.name!r} with the same weights"
            )

    def get_config(self) -> dict[str, Any]:
        """Configuration with the peer."""
        return {**super().get_config(), "peer": keras.saving.serialize_keras_object(self.peer)}


def least(losses: tf.Tensor, kept: tf.Tensor) -> tf.Tensor:
    """Marks the smallest losses of a batch.

    Args:
        losses: (B,).
        kept: how many, a scalar of the same dtype.

    Returns:
        1 for each of the `kept` smallest, of equal ones the earlier ones, and 0 for the rest, (B,).
    """
    # Ranks and a mask have the shape of the batch, whatever the number: XLA asks for that.
    ranks = tf.argsort(tf.argsort(losses, stable=True), stable=True)
    return tf.cast(tf.cast(ranks, losses.dtype) < kept, losses.dtype)


def _cross_entropy(logits: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The cross-entropies (B,) and their gradients on the logits (B, C)."""
    losses = tf.nn.softmax_cross_entropy_with_logits(labels=labels, logits=logits)
    return losses, tf.nn.softmax(logits) - labels


def _clone(classifier: keras.Model) -> keras.Model:
    """A network of the same layers with weights drawn anew."""
    try:
        return clone(classifier)
    except (NotImplementedError, TypeError, ValueError) as error:
        raise ValueError(
            f"The classifier cannot be cloned; give a second network as peer. Received: "
            f"{classifier.name!r} ({' '.join(str(error).split())[:200]})"
        ) from error
