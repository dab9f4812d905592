"""What the methods without a meta step share: the meta set plays no part in training.

Where `fit` is given one, it is evaluated after every epoch and logged as `meta_loss` and
`meta_accuracy`, so that the epoch to keep can be chosen on it.
"""

from __future__ import annotations

from typing import Any

import keras

from gdw_tf.callbacks import MetaEvaluation
from gdw_tf.methods.base import Method


class PlainMethod(Method):
    """Base class of the methods that only evaluate the meta set; see `Method`."""

    def fit(
        self,
        x: Any = None,
        y: Any = None,
        *,
        meta_data: Any = None,
        callbacks: Any = None,
        **kwargs: Any,
    ) -> keras.callbacks.History:
        """Trains as `Method.fit` does; `meta_data` is only evaluated, one pass after every epoch.

        Raises:
            ValueError: as `Method.fit`; `meta_data` without an end.
        """
        if meta_data is not None:
            callbacks = [MetaEvaluation(meta_data), *keras.tree.flatten(callbacks or [])]
        return super().fit(x, y, callbacks=callbacks, **kwargs)
