"""What a method keeps beyond the weights of its networks, saved with the model.

- *Counters*, such as the number of training steps taken.
- *Late variables*, whose shape is not known before `fit` sees the data or a saved model is loaded.
  The memory of training examples is one: K numbers of each of the N examples, found by the index
  that the batches carry.
- The random state of dropout, which Keras leaves out of its files.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from gdw_tf import replicas
from gdw_tf.batch import Batch
from gdw_tf.keras_distribution import DistributedModel
from gdw_tf.lookahead import random_states


class StatefulModel(DistributedModel):
    """Base class of models with such a state.

    Attributes:
        example_memory: what is remembered of every training example, a variable (N, K), zero at the
            start; `None` before the first `fit` and where K is 0.
    """

    late_variables: tuple[str, ...] = ("example_memory",)
    counters: tuple[str, ...] = ()

    def __init__(self, *, name: str | None = None, dtype: Any = None) -> None:
        super().__init__(name=name, dtype=dtype)
        for counter in self.counters:
            setattr(self, counter, self.add_counter(counter))
        self.example_memory: keras.Variable | None = None

    @property
    def networks(self) -> list[keras.Model]:
        """The networks that are trained."""
        raise NotImplementedError(f"{type(self).__name__} must define networks.")

    def memory_width(self, num_classes: int) -> int:
        """K, the numbers to remember of every training example; default 0."""
        return 0

    def read_memory(self, batch: Batch, dtype: Any = None) -> tf.Tensor:
        """What is remembered of the batch's examples, (B, K).

        Args:
            batch: the batch, with the index of its examples.
            dtype: of the answer; default the variable's, Keras's float dtype.
        """
        return tf.cast(
            tf.gather(self.example_memory.value, batch.index), dtype or self.example_memory.dtype
        )

    def write_memory(self, batch: Batch, values: tf.Tensor) -> None:
        """Remembers (B, K) of the batch's examples from now on, on every replica."""
        values = tf.cast(values, self.example_memory.dtype)
        written = tf.IndexedSlices(replicas.joined(values), replicas.joined(batch.index))
        self.example_memory.value.scatter_update(written)

    def make_late_variable(
        self, name: str, shape: tuple[int, ...], initial: float = 0.0
    ) -> keras.Variable:
        """Gives the attribute `name` its variable, where it has none yet.

        It is one of `late_variables`: those whose shape is not known before `fit` sees the data, or
        a saved model is loaded, and which are saved with the model.
        """
        if getattr(self, name) is None:
            variable = self.add_weight(
                shape=shape,
                initializer=keras.initializers.Constant(initial),
                # In float32 under any mixed-precision policy, as all that is learned of weights.
                dtype=keras.config.floatx(),
                trainable=False,
                name=name,
            )
            setattr(self, name, variable)
        return getattr(self, name)

    def add_counter(self, name: str, shape: tuple[int, ...] = ()) -> keras.Variable:
        """Makes an integer variable, zero at the start; it is saved if it is one of `counters`."""
        return self.add_weight(
            shape=shape, initializer="zeros", dtype="int64", trainable=False, name=name
        )

    def remember(self, num_examples: int, width: int) -> None:
        """Makes the memory of training examples, where there is none yet."""
        memory = self.make_late_variable("example_memory", (num_examples, width))
        if tuple(memory.shape) != (num_examples, width):
            raise ValueError(
                f"The model remembers {memory.shape[0]} training examples and can go on with "
                f"these only. Received: {num_examples} examples"
            )

    def save_own_variables(self, store: Any) -> None:
        """Stores what is remembered, and the random state of dropout, which Keras leaves out."""
        for name in self.counters:
            store[name] = getattr(self, name)
        for name in self.late_variables:
            if getattr(self, name) is not None:
                store[name] = getattr(self, name)
        for name, state in self._random_states().items():
            store[name] = state

    def load_own_variables(self, store: Any) -> None:
        """Restores what `save_own_variables` stored."""
        for name in self.counters:
            if name in store:  # an older file has fewer
                getattr(self, name).assign(store[name])
        for name in self.late_variables:
            if name in store:
                values = np.asarray(store[name])
                self.make_late_variable(name, values.shape).assign(values)
        for name, state in self._random_states().items():
            state.assign(store[name])

    def _random_states(self) -> dict[str, keras.Variable]:
        states = [state for network in self.networks for state in random_states(network)]
        return {f"random_state_{number}": state for number, state in enumerate(states)}
