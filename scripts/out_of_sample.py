"""Out-of-sample probabilities of a training set by cross-validation, after every epoch.

What cleanlab asks of its user: a classifier that has not seen an example's label says how probable
each class is. K classifiers are trained plainly, each on all folds but one, with the network,
schedule and augmentation of a run of `gdw_tf.train`, and asked about the fold left out.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from sklearn.model_selection import StratifiedKFold

from gdw_tf import callbacks, data, experiment, files
from gdw_tf.flag_files import differences, flag_lines
from gdw_tf.schedules import cosine_by_epoch
from gdw_tf.settings import Settings

FOLDS = 5


class Answers(keras.callbacks.Callback):
    """Keeps the probabilities of images after every epoch.

    Attributes:
        of_epochs: float16, (M, C), of each epoch.
    """

    def __init__(self, images: np.ndarray) -> None:
        super().__init__()
        self.batches = tf.data.Dataset.from_tensor_slices(images).batch(500)
        self.of_epochs: list[np.ndarray] = []

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Asks the classifier."""
        logits = self.model.predict(self.batches, verbose=0)
        self.of_epochs.append(tf.nn.softmax(logits).numpy().astype(np.float16))


def out_of_sample(
    settings: Settings, source: data.Source, noisy: data.NoisyData, folder: Path
) -> np.ndarray:
    """Cross-validates plain training; folds that the folder has of it are not trained again.

    Args:
        settings: of a run; its method is `ce`, its data are `noisy`.
        source: where the data are from.
        noisy: the training set of N examples and C classes.
        folder: where the folds' probabilities are kept.

    Returns:
        Probabilities of every example, after every epoch, of the classifier that had not seen it,
        float16, (E, N, C).

    Raises:
        ValueError: the folder holds the folds of other settings.
    """
    _check_settings(settings, folder)
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=settings.seed)
    answers = None
    for number, (kept, left_out) in enumerate(folds.split(noisy.y_train, noisy.y_train)):
        path = folder / f"fold{number}.npy"
        if not path.exists():
            part = dataclasses.replace(
                noisy, x_train=noisy.x_train[kept], y_train=noisy.y_train[kept], y_true=None
            )
            of_fold = _train(settings, source, part, noisy.x_train[left_out])
            with files.written_aside(path) as aside, aside.open("wb") as file:
                np.save(file, of_fold)
            print(f"{path}: done", flush=True)
        of_fold = np.load(path)
        if answers is None:
            shape = (len(of_fold), len(noisy.y_train), noisy.num_classes)
            answers = np.empty(shape, np.float16)
        answers[:, left_out] = of_fold
    return answers


def _check_settings(settings: Settings, folder: Path) -> None:
    """Writes down of what settings the folds are, or checks it."""
    path = folder / "flags.txt"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        files.write_text(path, "\n".join([*flag_lines(settings), ""]))
    elif different := differences(path.read_text().splitlines(), settings):
        raise ValueError(
            f"These are the folds of another training. Received, here or there: {folder}: "
            f"{' '.join(different)}"
        )


def _train(
    settings: Settings, source: data.Source, part: data.NoisyData, images: np.ndarray
) -> np.ndarray:
    model = experiment.build_model(settings, source, part)
    answers = Answers(images)
    model.fit(
        experiment.training_stream(settings, source, part),
        epochs=settings.epochs,
        steps_per_epoch=experiment.steps_per_epoch(settings, part),
        callbacks=[
            callbacks.ReportProgress(model.progress),
            keras.callbacks.LearningRateScheduler(
                cosine_by_epoch(settings.learning_rate, settings.epochs)
            ),
            answers,
        ],
        verbose=0,
    )
    keras.backend.clear_session()
    return np.stack(answers.of_epochs)
