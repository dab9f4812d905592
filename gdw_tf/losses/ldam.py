"""LDAM: label-distribution-aware margins, and late re-weighting of the classes.

A label's logit must be ahead of the others by a margin, which is the larger, the rarer the class:

    loss = w_y c,   shift_y = -s Delta_y,   Delta_c = Delta n_c^(-1/4) / max_j n_j^(-1/4)

so that the rarest class has the margin Delta = 0.5. The exponent comes from the best trade-off
between the generalization bounds of a frequent and a rare class.

The paper's classifier answers z = s cos(features, w_c), features and class vectors at unit length,
and its margins are cosines. `gdw_tf.networks.with_cosine_head` makes such a head; the scale s of
the margins must be the head's. Behind a plain dense layer, whose logits have no largest size, use
s = 1, margins up to half a logit; with s = 30 they are up to 15 logits, and do harm.

Deferred re-weighting (DRW): w_y is 1 until a share of the training is done, and then the weight of
`ClassBalanced`; the features are learned before, without it. How much is done the loss reads from
its variable `progress`, which a method sets. Beside `keras.Model.fit`, a callback does:

```python
loss = gdw_tf.losses.LDAM(class_counts)
model.compile("sgd", loss)
model.fit(x, y, epochs=200, callbacks=[gdw_tf.callbacks.ReportProgress(loss.progress)])
```

Under GDW and MW-Net the meta loss knows no margin, as the classifier in use. The slope w_y cancels
in the zero-mean constraint.

Source: Cao et al., "Learning Imbalanced Datasets with Label-Distribution-Aware Margin Loss",
NeurIPS 2019, sections 3.2 (the margins; the loss for softmax) and 3.3 (DRW). Its published program
has s = 30.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from gdw_tf.checks import check_number, check_rate
from gdw_tf.losses.class_balanced import effective_number_weights, example_weights
from gdw_tf.losses.class_counts import ClassCountLoss

# s of the heads that the command line trains LDAM with.
COSINE_SCALE = 10.0


@keras.saving.register_keras_serializable("gdw_tf")
class LDAM(ClassCountLoss):
    """LDAM-DRW, for imbalanced classes.

    Attributes:
        progress: see `SoftmaxLoss`; at 0, where nobody sets it, classes are not re-weighted.

    Args:
        class_counts: n_c, training examples of each class; see `ClassCountLoss`.
        max_margin: Delta, the margin of the rarest class; default 0.5, the paper's.
        scale: s, the unit of the margins on the logits: for a cosine head its scale; default 1, for
            a dense one.
        reweight_from: share of the training after which classes are re-weighted, 0 to 1; default
            0.8, the paper's 160 of 200 epochs. 1 leaves re-weighting out.
        beta: of the class weights, see `ClassBalanced`; default 0.9999, the paper's.
        **kwargs: `reduction`, `name`, `dtype` of `keras.losses.Loss`.

    Raises:
        TypeError: an argument is of another type.
        ValueError: an argument is out of its range.
    """

    def __init__(
        self,
        class_counts: Sequence[float],
        max_margin: float = 0.5,
        scale: float = 1.0,
        reweight_from: float = 0.8,
        beta: float = 0.9999,
        **kwargs: Any,
    ) -> None:
        super().__init__(class_counts, **kwargs)
        check_number("max_margin", max_margin, 0.0)
        check_number("scale", scale, 0.0, exclusive=True)
        check_rate("reweight_from", reweight_from)
        self.max_margin = max_margin
        self.scale = scale
        self.reweight_from = reweight_from
        self.beta = beta
        self.margins = max_margin * (self.counts / self.counts.min()) ** -0.25
        self.weights = effective_number_weights(self.counts, beta)
        self.progress = keras.Variable(0.0, trainable=False, name="progress")

    def adjusted_logits(self, logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        """The label's logit less its margin, z_y - s Delta_y."""
        return logits - self.by_class(self.scale * self.margins, labels) * labels

    def of_cross_entropy(self, cross_entropy: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        """h(c) = w_y c, with w_y = 1 at first."""
        is_late = self.progress.value >= self.reweight_from
        weights = tf.where(is_late, self.by_class(self.weights, labels), 1.0)
        return example_weights(weights, labels) * cross_entropy

    def get_config(self) -> dict[str, Any]:
        """Configuration with all arguments."""
        return {
            **super().get_config(),
            "max_margin": self.max_margin,
            "scale": self.scale,
            "reweight_from": self.reweight_from,
            "beta": self.beta,
        }
