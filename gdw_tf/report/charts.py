"""The figures of the report, a function each: from groups of runs to panels, in numbers and words.

What is missing, and why, stands in the figure, too; a figure without panels is that alone.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from gdw_tf.report.figures import Bars, Figure, Lines, Matrix, Panel, Series
from gdw_tf.report.groups import Group
from gdw_tf.report.runs import CURVES, RECORD, TEST, ReportedRun
from gdw_tf.summary import LAST_EPOCHS

CLEAN, WRONG, ALL = "right labels", "wrong labels", "all labels"
TRUE, OTHERS = "true class behind a wrong label", "other classes"
BINS = 40
LONG_TAIL = 1.5
"""Classes differ in size if the largest is at least this many times the smallest."""
LARGEST_MATRIX = 100
"""Classes of a matrix that can be looked at."""
_CURVES = 5


def all_figures(groups: Sequence[Group]) -> list[Figure]:
    """The figures, in the order of the page."""
    return [
        accuracy_curves(groups),
        loss_curves(groups),
        weight_curves(groups),
        weight_distributions(groups),
        class_weights(groups),
        confusion_matrices(groups),
        class_accuracies(groups),
        step_times(groups),
    ]


def accuracy_curves(groups: Sequence[Group]) -> Figure:
    """Accuracy of every epoch on the three sets."""
    titles = {
        "val_accuracy": "Test accuracy in %",
        "accuracy": "Training accuracy in %, on the labels given",
        "meta_accuracy": "Meta accuracy in %",
    }
    return _epoch_curves(groups, "Accuracy", titles, 100.0, 1, _without_epochs(groups))


def loss_curves(groups: Sequence[Group]) -> Figure:
    """Cross-entropy of every epoch on the three sets."""
    titles = {
        "val_loss": "Test loss",
        "loss": "Training loss, on the labels given",
        "meta_loss": "Meta loss",
    }
    return _epoch_curves(groups, "Loss", titles, 1.0, 3)


def weight_curves(groups: Sequence[Group]) -> Figure:
    """What the weight net makes of a loss, in the course of the training."""
    panels = []
    for group in groups:
        curves = [run.curve for run in group.shown if run.curve is not None]
        if not curves:
            continue
        losses = curves[0][0]
        epochs = functools.reduce(np.intersect1d, [curve[1] for curve in curves])
        if not epochs.size:  # each went on from an older version's checkpoint, at another epoch
            continue
        weights = np.mean([curve[2][np.isin(curve[1], epochs)] for curve in curves], axis=0)
        shown = np.unique(np.linspace(0, len(epochs) - 1, _CURVES).round().astype(int))
        series = [
            Series(
                name="early (light) to late (dark)",
                x=losses,
                y=weights[row],
                style=place,
                shade=place / max(1, len(shown) - 1),
                label=f"epoch {epochs[row]:.0f}",
            )
            for place, row in enumerate(shown)
        ]
        first, last = weights[shown[0]], weights[shown[-1]]
        panels.append(
            Lines(
                f"{group.name}: weight of a loss",
                "loss of the example",
                series,
                f"In epoch {epochs[shown[0]]:.0f} the weight goes from {first[0]:.2f} at loss "
                f"{losses[0]:g} to {first[-1]:.2f} at loss {losses[-1]:g}; in epoch "
                f"{epochs[shown[-1]]:.0f} from {last[0]:.2f} to {last[-1]:.2f}.",
            )
        )
    return Figure(
        "weight_net",
        "Learned weight against loss",
        "The weight that the weight net gives to a loss, from early (light) to late (dark) in the "
        "training, the mean over the seeds.",
        panels,
        _missing(groups, CURVES, lambda run: run.curve is not None),
    )


def weight_distributions(groups: Sequence[Group]) -> Figure:
    """How the learned weights of right and of wrong labels are spread."""
    panels: list[Panel] = []
    for group in groups:
        runs = [run for run in group.shown if run.weights is not None]
        if not runs:
            continue
        one_number = all(_has_one_weight(run) for run in runs)
        what = "label" if runs[0].gives_labels else "weight"
        if not runs[0].gives_labels:
            panels.append(
                _histogram(
                    f"{group.name}: weight of an example"
                    + ("" if one_number else ", mean over its classes"),
                    _by_truth(runs, lambda weights: weights.of_classes.mean(axis=1)),
                )
            )
        if not one_number:
            panels.append(
                _histogram(f"{group.name}: {what} on the label given", _by_truth(runs, _on_given))
            )
            if all(run.weights.true is not None for run in runs):
                behind = _behind_wrong_labels(runs)
                if behind:
                    panels.append(_histogram(f"{group.name}: {what} behind a wrong label", behind))
    return Figure(
        "weights",
        "Learned weights of right and of wrong labels",
        "How what a method gave the training examples, in the mean over all their visits, is "
        "distributed for right and for wrong labels, where the true classes are known.",
        panels,
        _missing(groups, RECORD, lambda run: run.weights is not None),
    )


def class_weights(groups: Sequence[Group]) -> Figure:
    """The mean class-level weight of each pair of given label and class."""
    panels, missing = [], _missing(groups, RECORD, lambda run: run.weights is not None)
    for group in groups:
        runs = [run for run in group.shown if run.weights is not None]
        if runs and all(_has_one_weight(run) for run in runs):
            missing.append(f"{group.name}: an example has one weight, the same for each class.")
        elif runs and len(runs[0].class_names) > LARGEST_MATRIX:
            missing.append(_too_many(group, runs[0].class_names))
        elif runs:
            values = mean_class_weights(runs)
            own = np.diag(values)
            what = "label" if runs[0].gives_labels else "weight"
            panels.append(
                Matrix(
                    f"{group.name}: mean {what} of a class",
                    "label given",
                    "class",
                    runs[0].class_names,
                    values,
                    2,
                    f"From {np.nanmin(values):.2f} to {np.nanmax(values):.2f}; on the label given "
                    f"{np.nanmean(own):.2f} in the mean. {_extremes(values, runs[0].class_names)}",
                )
            )
    return Figure(
        "class_weights",
        "Mean class-level weight by label given and class",
        "Each row is a label given, each column a class, and the shade is the mean weight of that "
        "class in the examples with that label.",
        panels,
        missing,
    )


def confusion_matrices(groups: Sequence[Group]) -> Figure:
    """What test images of each class are taken for by the latest checkpoints."""
    panels, missing = [], _missing(groups, TEST, lambda run: run.confusion is not None)
    for group in groups:
        runs = [run for run in group.shown if run.confusion is not None]
        if runs and len(runs[0].class_names) > LARGEST_MATRIX:
            missing.append(_too_many(group, runs[0].class_names))
        elif runs:
            counts = np.sum([run.confusion for run in runs], axis=0)
            with np.errstate(invalid="ignore"):
                shares = 100 * counts / counts.sum(axis=1, keepdims=True)
            names = runs[0].class_names
            accuracy = 100 * np.trace(counts) / counts.sum()
            panels.append(
                Matrix(
                    f"{group.name}: test images in %",
                    "true class",
                    "taken for",
                    names,
                    shares,
                    0,
                    f"{accuracy:.1f} % of {counts.sum()} test images are taken for what they are. "
                    f"{_mistakes(counts, names)}",
                    note=f"right: {accuracy:.1f} % (latest checkpoint)",
                    highest=100.0,
                )
            )
    return Figure(
        "confusion",
        "Confusion matrix",
        "Each row is a true class, each column what its test images are taken for by the latest "
        "checkpoint, in percent of the row, over all seeds.",
        panels,
        missing,
    )


def _too_many(group: Group, names: Sequence[str]) -> str:
    return (
        f"{group.name}: {len(names)} classes are more than such a picture holds ({LARGEST_MATRIX})."
    )


def class_accuracies(groups: Sequence[Group]) -> Figure:
    """Test accuracy of each class against its number of training images, for long tails."""
    tailed: list[tuple[Group, np.ndarray, np.ndarray]] = []
    even: dict[str, list[str]] = {}
    missing = _missing(groups, TEST, lambda run: run.confusion is not None)
    for group in groups:
        runs = [run for run in group.shown if run.confusion is not None]
        if not runs:
            continue
        sizes = runs[0].class_counts
        if max(sizes) < LONG_TAIL * max(1, min(sizes)):
            even.setdefault(f"{min(sizes)} to {max(sizes)}", []).append(group.name)
        else:
            tailed.append((group, np.maximum(sizes, 1).astype(float), per_class(runs)))
    missing += [
        f"{', '.join(names)}: the classes are of about the same size ({sizes} training images); "
        "the table below has the accuracy of each."
        for sizes, names in even.items()
    ]
    said = []
    for group, sizes, accuracies in tailed:
        by_size = accuracies[np.argsort(sizes, kind="stable")]
        by_size = by_size[np.isfinite(by_size)]  # of classes with test images
        third = max(1, len(by_size) // 3)
        largest, smallest = by_size[-third:].mean(), by_size[:third].mean()
        said.append(
            f"{group.name}: {largest:.1f} % in the largest third of the classes, "
            f"{smallest:.1f} % in the smallest."
        )
    panel = Lines(
        "Test accuracy of a class in %",
        "training images of the class",
        [
            Series(group.name, sizes, accuracies, group.style, drawn="points")
            for group, sizes, accuracies in tailed
        ],
        " ".join(said),
        note=" ".join(said),
        log_x=True,
    )
    return Figure(
        "classes",
        "Accuracy of each class against its size",
        "Each point is a class: its number of training images, and the accuracy of the latest "
        "checkpoint on its test images, the mean over the seeds.",
        [panel] if tailed else [],
        missing,
    )


def step_times(groups: Sequence[Group]) -> Figure:
    """What a step costs."""
    timed = [(group, np.array(group.row.seconds_per_step) * 1e3) for group in groups]
    drawn = [(group, times) for group, times in timed if times.size]
    missing = [f"{group.name}: no run is complete." for group, times in timed if not times.size]
    panels = []
    if drawn:
        panels.append(
            Bars(
                "Milliseconds a step",
                [group.name for group, _ in drawn],
                [times for _, times in drawn],
                [group.style for group, _ in drawn],
                1,
                "; ".join(f"{group.name}: {np.median(times):.1f}" for group, times in drawn) + ".",
            )
        )
    return Figure(
        "time",
        "Time of a step",
        "The bar is the median over the seeds, each point a run's median over its epochs; a run "
        "that shared its machine took longer.",
        panels,
        missing,
    )


def mean_class_weights(runs: Sequence[ReportedRun]) -> np.ndarray:
    """The mean class-level weight by label given (row) and class, over examples and runs, (C, C).

    A row of a label that no example has is not a number.
    """
    num_classes = runs[0].weights.of_classes.shape[1]
    sums, counts = np.zeros((num_classes, num_classes)), np.zeros((num_classes, 1))
    for run in runs:
        np.add.at(sums, run.weights.given, run.weights.of_classes)
        counts += np.bincount(run.weights.given, minlength=num_classes)[:, np.newaxis]
    with np.errstate(invalid="ignore"):
        return sums / counts


def per_class(runs: Sequence[ReportedRun]) -> np.ndarray:
    """Test accuracy of each class in percent, the mean over runs, (C,); NaN without test images."""
    with np.errstate(invalid="ignore"):
        of_runs = [100 * np.diag(run.confusion) / run.confusion.sum(axis=1) for run in runs]
    return np.mean(of_runs, axis=0)


def _epoch_curves(
    groups: Sequence[Group],
    what: str,
    titles: Mapping[str, str],
    scale: float,
    digits: int,
    missing: Sequence[str] = (),
) -> Figure:
    """Curves over the epochs, a panel for each column of the metrics that a run has."""
    panels = [_curves(groups, column, title, scale, digits) for column, title in titles.items()]
    return Figure(
        what.lower(),
        what,
        f"{what} after every epoch, the mean over the seeds with a band of one standard deviation; "
        f"the thick line at the end is the mean of the last {LAST_EPOCHS} epochs.",
        [panel for panel in panels if panel],
        missing,
    )


def _curves(
    groups: Sequence[Group], column: str, title: str, scale: float, digits: int
) -> Lines | None:
    series, said = [], []
    for group in groups:
        curve = group.curve(column)
        if curve is None:
            continue
        epochs, mean, std = curve
        begin, end, last = group.last_mean(column)
        last *= scale
        series.append(
            Series(
                group.name,
                epochs,
                scale * mean,
                group.style,
                spread=scale * std if len(group.runs) > 1 else None,
                label=f"{group.name.partition(':')[0][:8]} {last:.{digits}f}",
                mark=(begin, end, last),
            )
        )
        said.append(f"{group.name} {last:.{digits}f}")
    if not series:
        return None
    alt = f"In the mean of the last {LAST_EPOCHS} epochs: {', '.join(said)}."
    return Lines(title, "epoch", series, alt, whole_x=True)


def _histogram(title: str, values: dict[str, np.ndarray]) -> Lines:
    pooled = np.concatenate(list(values.values()))
    low, high = (float(np.quantile(pooled, share)) for share in (0.001, 0.999))
    if 0.0 < low < 0.5 * high:
        low = 0.0
    edges = np.linspace(low, high if high > low else low + 1.0, BINS + 1)
    styles = {CLEAN: 0, TRUE: 2, OTHERS: 3, WRONG: 1, ALL: 0}
    series = [
        Series(
            name,
            edges,
            100 * np.histogram(np.clip(of, low, edges[-1]), edges)[0] / len(of),
            styles[name],
            drawn="steps",
        )
        for name, of in values.items()
    ]
    said = "; ".join(f"{name} {of.mean():.3f}" for name, of in values.items())
    spread = "; ".join(
        f"{name} {np.quantile(of, 0.25):.2f} to {np.quantile(of, 0.75):.2f}"
        for name, of in values.items()
    )
    return Lines(
        title,
        "value (height: % of the examples)",
        series,
        f"Means: {said}. Middle halves: {spread}.",
        note=f"mean: {said}",
    )


def _by_truth(
    runs: Sequence[ReportedRun], quantity: Callable[..., np.ndarray]
) -> dict[str, np.ndarray]:
    """A number of each example, of right and of wrong labels; together where truth is not known."""
    if any(run.weights.true is None for run in runs):
        return {ALL: np.concatenate([quantity(run.weights) for run in runs])}
    numbers = np.concatenate([quantity(run.weights) for run in runs])
    right = np.concatenate([run.weights.given == run.weights.true for run in runs])
    parts = {CLEAN: numbers[right], WRONG: numbers[~right]}
    return {name: part for name, part in parts.items() if part.size}


def _on_given(weights) -> np.ndarray:
    return weights.of_classes[np.arange(len(weights.given)), weights.given]


def _behind_wrong_labels(runs: Sequence[ReportedRun]) -> dict[str, np.ndarray]:
    """Of wrong labels, the weights of the true class and of those that are neither."""
    true, others = [], []
    for run in runs:
        weights = run.weights
        wrong = np.flatnonzero(weights.given != weights.true)
        of_classes, rows = weights.of_classes[wrong], np.arange(len(wrong))
        true.append(of_classes[rows, weights.true[wrong]])
        is_other = np.ones(of_classes.shape, bool)
        is_other[rows, weights.true[wrong]] = is_other[rows, weights.given[wrong]] = False
        others.append(of_classes[is_other])
    parts = {TRUE: np.concatenate(true), OTHERS: np.concatenate(others)}
    return {name: part for name, part in parts.items() if part.size}


def _has_one_weight(run: ReportedRun) -> bool:
    of_classes = run.weights.of_classes
    return bool((of_classes == of_classes[:, :1]).all())


def _extremes(values: np.ndarray, names: Sequence[str]) -> str:
    row, column = np.unravel_index(np.nanargmin(values), values.shape)
    return f"Smallest: label {names[row]}, class {names[column]}, {values[row, column]:.2f}."


def _mistakes(counts: np.ndarray, names: Sequence[str]) -> str:
    wrong = counts - np.diag(np.diag(counts))
    if not wrong.any():
        return "No mistake."
    row, column = np.unravel_index(wrong.argmax(), wrong.shape)
    return (
        f"Most frequent mistake: {names[row]} taken for {names[column]}, {wrong[row, column]} of "
        f"{counts[row].sum()}."
    )


def _missing(
    groups: Sequence[Group], part: str, is_there: Callable[[ReportedRun], bool]
) -> list[str]:
    """A sentence for each reason, with those that have it."""
    of_reason: dict[str, list[str]] = {}
    for group in groups:
        absent = [run for run in group.shown if not is_there(run)]
        for reason in dict.fromkeys(run.missing[part] for run in absent):
            seeds = [str(run.settings.seed) for run in absent if run.missing[part] == reason]
            whom = group.name
            if len(seeds) < len(group.shown):
                whom += f" (seed {', '.join(seeds)})"
            of_reason.setdefault(reason, []).append(whom)
    return [f"{', '.join(whom)}: {reason}." for reason, whom in of_reason.items()]


def _without_epochs(groups: Sequence[Group]) -> list[str]:
    missing = []
    for group in groups:
        for run in group.runs:
            if run.summary is None:
                done = f"{run.epochs} of {run.settings.epochs} epochs are there"
                missing.append(f"{group.name} (seed {run.settings.seed}): unfinished, {done}.")
    return missing
