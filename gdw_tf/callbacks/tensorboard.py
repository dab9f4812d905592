"""`TensorBoard`: Keras's events of epochs, and what the epoch made of the training examples.

Of a method that gives its examples weights or labels, and records them, every epoch also has

    weights/of_examples               histogram: an example's weight, the mean over its classes
    weights/on_given_labels           histogram: the weight of its given label
    weights/by_given_label_and_class  image: the mean weight; a row a label, a column a class
    examples/smallest_weights         images: examples whose given labels have the least weight
    examples/largest_weights          images: those whose given labels have the most

all of them means over the epoch's visits: the sums of the training record, less what they were when
the epoch began. (Of an epoch that was broken off, of the visits since.)
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from gdw_tf.data import NoisyData
from gdw_tf.data.images import ImageFiles, Images

MOST_NUMBERS = 2_000_000
"""Of larger training sets this many weights are looked at, of evenly spaced examples."""
EXAMPLES = 8
_CELL = 8  # pixels of a pair of classes, where there is room
_LARGEST_IMAGE = 1024


class TensorBoard(keras.callbacks.TensorBoard):
    """Keras's callback of epochs, whose events are in their files when an epoch has ended.

    Args:
        log_dir: the directory of the events.
        noisy: the training set, to log what it was given; default `None`, not to.
        write_graph: whether the graph of the first step is written (of Keras's callback, which
            looks for it where Keras 3 no longer has it, nothing would be); with a profile, Keras
            writes that of its first step. Default `False`.
        **kwargs: Keras's.
    """

    def __init__(
        self,
        log_dir: str,
        noisy: NoisyData | None = None,
        *,
        write_graph: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(log_dir, write_graph=False, **kwargs)
        self.noisy = noisy
        self._graph_is_due = write_graph and not self._should_trace
        self._sums: np.ndarray | None = None

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Begins to collect graphs, in the first step."""
        super().on_train_batch_begin(batch, logs)
        if self._graph_is_due:
            tf.summary.trace_on(graph=True, profiler=False)

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Logs no numbers: what Keras makes of a step has no writer, and takes 4 kB for good."""
        super().on_train_batch_end(batch)
        if self._graph_is_due:
            self._graph_is_due = False
            with self._train_writer.as_default():
                tf.summary.trace_export("training_step", step=0)

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Remembers what the examples were given before."""
        super().on_epoch_begin(epoch, logs)
        self._sums = self._recorded_sums()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Logs the epoch."""
        super().on_epoch_end(epoch, logs)
        if self._sums is not None:
            with self._train_writer.as_default():
                self._log_examples(epoch)
        for writer in self._writers.values():  # Keras's; it flushes at the end of training only
            writer.flush()

    @property
    def _looked_at(self) -> np.ndarray:
        """The indices of the examples that are looked at, (n,)."""
        count = len(self.noisy.y_train)
        most = max(1, MOST_NUMBERS // (1 + self.noisy.num_classes))
        return np.arange(count) if count <= most else np.arange(most) * count // most

    def _recorded_sums(self) -> np.ndarray | None:
        """Visits and summed weights of these, (n, 1 + C); `None` where there are none."""
        record = getattr(self.model, "example_record", None)
        if self.noisy is None or record is None or not self.model.has_class_weights:
            return None
        classes = self.noisy.num_classes
        rows = np.asarray(tf.gather(record.value, self._looked_at))
        return np.concatenate([rows[:, :1], rows[:, 1 + classes :]], axis=1)

    def _log_examples(self, epoch: int) -> None:
        sums = self._recorded_sums() - self._sums
        visited = sums[:, 0] > 0
        if not visited.any():
            return
        index = self._looked_at[visited]
        weights = sums[visited, 1:] / sums[visited, :1]
        labels = self.noisy.y_train[index]
        on_given = weights[np.arange(len(labels)), labels]
        tf.summary.histogram("weights/of_examples", weights.mean(axis=1), step=epoch)
        tf.summary.histogram("weights/on_given_labels", on_given, step=epoch)
        picture = _picture(weights, labels)
        tf.summary.image("weights/by_given_label_and_class", picture[np.newaxis], step=epoch)
        order = index[np.argsort(on_given, kind="stable")]
        for name, chosen in (("smallest", order[:EXAMPLES]), ("largest", order[-EXAMPLES:][::-1])):
            images, said = self._images(chosen)
            tf.summary.image(
                f"examples/{name}_weights", images, epoch, max_outputs=EXAMPLES, description=said
            )

    def _images(self, chosen: np.ndarray) -> tuple[np.ndarray, str]:
        """Examples as images on the scale of pixels, and what their labels are."""
        images = _read(self.noisy.x_train[chosen])
        names, given = self.noisy.class_names, self.noisy.y_train[chosen]
        said = [names[label] for label in given]
        if self.noisy.y_true is not None:
            true = self.noisy.y_true[chosen]
            said = [
                label if label == names[one] else f"{label} (is {names[one]})"
                for label, one in zip(said, true, strict=True)
            ]
        images = images[..., :3] if images.shape[-1] >= 3 else images[..., :1]
        # Some data sets, such as the digits, do not use the whole range of a byte.
        return images / max(1.0, float(images.max())), f"labels given: {', '.join(said)}"


def _read(images: Images) -> np.ndarray:
    """A few images as float32; files one by one, as a data set would leave a function behind."""
    if isinstance(images, ImageFiles):
        images = np.stack([images.load(number).numpy() for number in range(len(images))])
    return images.astype(np.float32)


def _picture(weights: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Mean weights by label given and class as shades of grey, 0 to the largest, (S, S, 1)."""
    classes = weights.shape[1]
    sums, counts = np.zeros((classes, classes)), np.bincount(labels, minlength=classes)
    np.add.at(sums, labels, weights)
    means = np.maximum(sums / np.maximum(counts, 1)[:, np.newaxis], 0.0)
    shades = means / (means.max() or 1.0)
    cell = max(1, min(_CELL, _LARGEST_IMAGE // classes))
    return np.kron(shades, np.ones((cell, cell)))[..., np.newaxis].astype(np.float32)
