"""The rounds of a training: parts between which its meta set may change.

With a pseudo-clean meta set (`gdw_tf.pseudo_clean`) a training is

    plain training of a copy, pseudo_warmup epochs          -> losses -> first choice
    round 1: pseudo_every epochs with the first choice      -> losses -> second choice
    round 2: pseudo_every epochs with the second choice     -> ...

and any other training is one round. A training that goes on within an epoch ends that epoch in a
round of its own. The choice of the round under way is kept in the working
directory: a training that is resumed within a round goes on with the same meta set.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import NamedTuple

import keras
import numpy as np

from gdw_tf import data, experiment
from gdw_tf.methods import Method
from gdw_tf.pseudo_clean import example_losses, pseudo_clean
from gdw_tf.settings import Settings
from gdw_tf.workdir import Choice, Workdir


class Round(NamedTuple):
    """Epochs with one meta set.

    Attributes:
        first: the epoch to begin with, counted from 0.
        end: the epoch before which it ends.
        noisy: the data, the round's meta set among them.
        first_step: the step of the first epoch to begin with, counted from 0; above 0 the round is
            the rest of that epoch.
    """

    first: int
    end: int
    noisy: data.NoisyData
    first_step: int = 0


def rounds(
    settings: Settings,
    source: data.Source,
    noisy: data.NoisyData,
    model: Method,
    workdir: Workdir,
    initial_epoch: int = 0,
    initial_step: int = 0,
) -> Iterator[Round]:
    """Goes through the rounds of a training; train the model in each before asking for the next.

    Args:
        settings: of the run.
        source: where the data are from.
        noisy: the data.
        model: the model that is trained; its losses choose the next pseudo-clean meta set.
        workdir: keeps the choice.
        initial_epoch: the epoch to begin with; it may lie within a round.
        initial_step: the step of that epoch to begin with.

    Yields:
        The rounds. A method that uses no meta set has one round, without a pseudo-clean meta set.

    Raises:
        FloatingPointError: the losses that are to choose a meta set are not finite.
    """
    is_chosen = settings.meta == "pseudo" and model.needs_meta_set
    length = settings.pseudo_every if is_chosen else settings.epochs
    for first in range(0, settings.epochs, length):
        end = min(first + length, settings.epochs)
        if end <= initial_epoch:
            continue
        if is_chosen:
            choice = workdir.read_choice()
            if choice is None or choice.epoch != first:
                choice = Choice(first, _choose(settings, source, noisy, model, first))
                workdir.write_choice(choice)
            noisy = noisy.with_meta(choice.indices)
        begin = max(first, initial_epoch)
        if initial_step and begin == initial_epoch:
            yield Round(begin, begin + 1, noisy, initial_step)
            begin += 1
        if begin < end:
            yield Round(begin, end, noisy)


def _choose(
    settings: Settings, source: data.Source, noisy: data.NoisyData, model: Method, epoch: int
) -> np.ndarray:
    """Chooses the meta set of the round that begins with an epoch."""
    if epoch == 0:
        losses = _plain_losses(settings, source, noisy)
    else:
        losses = example_losses(model, noisy.x_train, noisy.y_train)
    if not np.isfinite(losses).all():
        raise FloatingPointError(
            f"The losses that choose the meta set are not finite before epoch {epoch + 1}."
        )
    return pseudo_clean(losses, noisy.y_train, noisy.num_classes, num_meta=settings.num_meta)


def _plain_losses(settings: Settings, source: data.Source, noisy: data.NoisyData) -> np.ndarray:
    """Losses averaged over the epochs of a plain training, of a network that is thrown away."""
    plain = dataclasses.replace(settings, method="ce", base_loss="cross_entropy")
    model = experiment.build_model(plain, source, noisy)
    losses = []

    def note(epoch: int, logs: dict[str, float]) -> None:
        losses.append(example_losses(model, noisy.x_train, noisy.y_train))

    print(f"plain training of {settings.pseudo_warmup} epochs for the first choice", flush=True)
    model.fit(
        experiment.training_stream(plain, source, noisy),
        epochs=settings.pseudo_warmup,
        steps_per_epoch=experiment.steps_per_epoch(plain, noisy),
        callbacks=[keras.callbacks.LambdaCallback(on_epoch_end=note)],
        verbose=0,
    )
    return np.mean(losses, axis=0)
