"""Plain training, then fine-tuning on the clean set: the simplest use of a few clean examples.

With the share f of the training left for it (`fine_tune_share`), the step is that of plain training
(`gdw_tf.methods.ce`) on

    the training batch     while progress < 1 - f,
    the meta batch         from then on,

in one run: the weights, the optimizer's momentum and the schedule of the rate go on as they are.
Under the cosine of the experiments here the rate is small by then: at f = 0.2 it starts at a tenth
of the first rate, (1 + cos(0.8 pi)) / 2.

Source: common practice, and a row of Meta-Weight-Net's tables (Shu et al., NeurIPS 2019): the
plainly trained network, trained further on the clean set. There that is a training of its own
behind the plain one; here both share the epochs, so that all methods take as many steps.
"""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from gdw_tf.checks import check_rate
from gdw_tf.methods.ce import CE
from gdw_tf.methods.clean_only import on_meta_batch


@keras.saving.register_keras_serializable("gdw_tf")
class FineTune(CE):
    """Plain training of a classifier that ends on the meta set.

    Logs and metrics are of the batches that the steps are taken on.

    Args:
        classifier: any Keras model that answers logits, (B, C).
        fine_tune_share: f, the share of the epochs that train on the meta set, 0 to 1; default 0.2.
        **kwargs: the options of `CE`.

    Raises:
        TypeError: `classifier` is not a Keras model; an option is of another type.
        ValueError: `classifier` ends in softmax; an option is out of its range.
    """

    option_names = (*CE.option_names, "fine_tune_share")
    needs_meta_set = True
    steps_on_meta_batches = True

    def __init__(
        self, classifier: keras.Model, *, fine_tune_share: float = 0.2, **kwargs: Any
    ) -> None:
        super().__init__(classifier, **kwargs)
        check_rate("fine_tune_share", fine_tune_share)
        self.fine_tune_share = fine_tune_share

    @property
    def one_replica_because(self) -> str:
        """The method as it is."""
        return "fine_tune"

    def train_step(self, data: tuple[Any, Any]) -> dict[str, tf.Tensor]:
        """Takes one training step, on the batch whose turn it is."""
        # An epoch's progress may be a rounding below the boundary that it stands for.
        is_tuning = self.progress.value > 1.0 - self.fine_tune_share - 1e-6
        plain_step = super().train_step
        # Whole steps, as XLA asks both sides for answers of one shape: batches may differ in size.
        return tf.cond(
            is_tuning,
            lambda: plain_step(on_meta_batch(data)),
            lambda: plain_step((data[0], ())),
        )
