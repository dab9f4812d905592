"""A pseudo-clean meta set for those who have no clean one: training examples of small loss.

A network learns what the labels of a class have in common before it learns wrong ones by heart.
Until then the loss of an example tells much about its label:

    l_i  = cross-entropy of example i and the label given, in inference mode
    l_i / max l  is modelled by two Gaussians; judged clean: more likely of the lower one
    count of class c = number judged clean, but 10 to 30 % of the examples with that label
    chosen = the examples of smallest loss of each class, as many as its count

The least share keeps every class in the meta set: a meta set teaches nothing about classes that it
does not have, and classes that are hard, or rare, have larger losses altogether. The largest share
is needed where wrong labels are alike (one class taken for another): the network learns these too,
the losses no longer fall apart into two heaps, and the mixture judges most of them clean. The
smallest losses of a class stay right for long. In all of this only the labels given are used.

One epoch's losses are a poor judge while a network still swings. For the first choice, losses are
averaged over the epochs of a plain training; the model that is trained with the meta set is
steadier, and its losses of one epoch choose the next meta set:

```python
losses = []
plain = gdw_tf.CE(gdw_tf.copies.clone(classifier))
plain.compile()
note = lambda epoch, logs: losses.append(example_losses(plain, x, y))
plain.fit(x, y, epochs=10, callbacks=[keras.callbacks.LambdaCallback(on_epoch_end=note)])

chosen = pseudo_clean(np.mean(losses, axis=0), y, num_classes)
for epoch in range(0, 80, 5):
    model.fit(x, y, meta_data=(x[chosen], y[chosen]), initial_epoch=epoch, epochs=epoch + 5)
    chosen = pseudo_clean(example_losses(model, x, y), y, num_classes)
```

Sources: Arazo et al., "Unsupervised Label Noise Modeling and Loss Correction", ICML 2019, section
3.1 (mixtures fitted to losses); Li, Socher, Hoi, "DivideMix", ICLR 2020, section 3.1 (of two
Gaussians); Huang et al., "O2U-Net", ICCV 2019 (losses averaged over epochs).
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike
from sklearn.mixture import GaussianMixture

from gdw_tf import data
from gdw_tf.checks import check_integer, check_labels
from gdw_tf.labels import class_indices

SMALLEST_SHARE, LARGEST_SHARE = 0.1, 0.3


def example_losses(
    model: keras.Model, x: Any, y: ArrayLike, *, batch_size: int = 500
) -> np.ndarray:
    """The cross-entropy of every example, without augmentation, in inference mode.

    Args:
        model: answers logits, (B, C): a classifier, or a `Method` around one.
        x: inputs: an array, `gdw_tf.data.ImageFiles`, or a nested structure of arrays.
        y: labels: integers (N,) or (N, 1), or one-hot (N, C).
        batch_size: examples a batch; default 500.

    Returns:
        The losses in nats, float64, (N,).

    Raises:
        TypeError: labels that are neither integers nor one-hot.
        ValueError: labels of a wrong shape or of no class; lengths that differ.
    """
    batches = data.evaluation_batches(x, np.asarray(y), batch_size=batch_size)
    logits = model.predict(batches, verbose=0).astype(np.float64)
    labels = class_indices(np.asarray(y), logits.shape[1], "y")
    return tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits).numpy()


def clean_probability(losses: ArrayLike) -> np.ndarray:
    """How likely each label is right: the posterior of the lower of two Gaussians.

    The posterior falls as the loss grows. (That of the mixture itself can rise again far out, where
    the wider of the two Gaussians wins; below the lower mean it is set to 1, above the upper to 0.)

    Args:
        losses: finite, (N,).

    Returns:
        0 to 1, float64, (N,); 1 for all where all losses are equal.

    Raises:
        ValueError: losses that are not finite or no vector, or none.
    """
    losses = _checked(losses)
    low, span = losses.min(), np.ptp(losses)
    if span == 0.0:
        return np.ones_like(losses)
    scaled = (losses - low) / span
    # To convergence: the default stops after a few iterations, close to where it starts.
    mixture = GaussianMixture(2, tol=1e-5, max_iter=1000, random_state=0)
    mixture.fit(scaled[:, np.newaxis])
    means = mixture.means_[:, 0]
    posterior = mixture.predict_proba(scaled[:, np.newaxis])[:, np.argmin(means)]
    return np.select([scaled <= means.min(), scaled >= means.max()], [1.0, 0.0], posterior)


def pseudo_clean(
    losses: ArrayLike, labels: ArrayLike, num_classes: int, *, num_meta: int | None = None
) -> np.ndarray:
    """Chooses a pseudo-clean meta set.

    Args:
        losses: loss of each example on the label given, (N,), see `example_losses`.
        labels: the labels given, integers (N,).
        num_classes: C.
        num_meta: size of the meta set, N / C of each class; default `None`, as many as are judged
            clean, within `SMALLEST_SHARE` and `LARGEST_SHARE` of each class.

    Returns:
        The indices of the examples, int64, ascending. Equal arguments give equal indices.

    Raises:
        TypeError: labels that are not integers.
        ValueError: labels of no class; losses that are not finite; lengths that differ; `num_meta`
            that a class does not allow.
    """
    losses, labels = _checked(losses), check_labels("labels", labels, num_classes)
    if len(losses) != len(labels):
        raise ValueError(
            "losses and labels must be of one length. Received: "
            f"{len(losses)} losses and {len(labels)} labels."
        )
    if num_meta is None:
        sizes = np.bincount(labels, minlength=num_classes)
        judged_clean = labels[clean_probability(losses) >= 0.5]
        counts = np.clip(
            np.bincount(judged_clean, minlength=num_classes),
            np.ceil(SMALLEST_SHARE * sizes).astype(int),
            np.ceil(LARGEST_SHARE * sizes).astype(int),
        )
    else:
        counts = meta_counts(num_meta, labels, num_classes)
    by_class = np.lexsort((losses, labels))  # of equal losses, the first example
    starts = np.searchsorted(labels[by_class], np.arange(num_classes))
    chosen = [by_class[start : start + count] for start, count in zip(starts, counts, strict=True)]
    return np.sort(np.concatenate(chosen))


def meta_counts(num_meta: int, labels: ArrayLike, num_classes: int) -> np.ndarray:
    """Divides the size of a pseudo-clean meta set over the classes.

    Args:
        num_meta: the size, at least C. If C does not divide it, the first classes get one more.
        labels: the labels given, integers (N,).
        num_classes: C.

    Returns:
        Number of examples of each class, int64, (C,).

    Raises:
        TypeError: numbers or labels that are not integers.
        ValueError: a size below C, or a class that has too few examples.
    """
    check_integer("num_meta", num_meta, num_classes)
    available = np.bincount(check_labels("labels", labels, num_classes), minlength=num_classes)
    counts = num_meta // num_classes + (np.arange(num_classes) < num_meta % num_classes)
    short = np.flatnonzero(counts > available)
    if short.size:
        raise ValueError(
            f"num_meta is larger than a class allows. Received: num_meta={num_meta}, which takes "
            f"{counts[short[0]]} examples with label {short[0]}; allowed: {available[short[0]]}."
        )
    return counts


def _checked(losses: ArrayLike) -> np.ndarray:
    losses = np.asarray(losses, np.float64)
    if losses.ndim != 1 or not losses.size or not np.isfinite(losses).all():
        raise ValueError(
            "losses must be one finite number an example. Received: shape "
            f"{losses.shape}, {np.count_nonzero(~np.isfinite(losses))} not finite."
        )
    return losses
