"""Runs that differ in the seed only, together: a row of the table, a line of a figure."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from gdw_tf import methods
from gdw_tf.report.runs import ReportedRun
from gdw_tf.results import Row, row_of
from gdw_tf.settings import Settings, resolve
from gdw_tf.summary import LAST_EPOCHS


@dataclasses.dataclass(frozen=True, eq=False)
class Group:
    """Runs of the same settings but for the seed.

    Attributes:
        name: the method, and what else tells the group from the others.
        runs: at least one, of different seeds.
        style: its colour, dash and marker, counted from 0.
    """

    name: str
    runs: tuple[ReportedRun, ...]
    style: int

    @property
    def settings(self) -> Settings:
        """The settings of the first run."""
        return self.runs[0].settings

    @property
    def complete(self) -> list[ReportedRun]:
        """The runs that have their results."""
        return [run for run in self.runs if run.summary is not None]

    @property
    def shown(self) -> Sequence[ReportedRun]:
        """The complete runs, or all where none is: what is put together is of one age."""
        return self.complete or self.runs

    @property
    def row(self) -> Row:
        """What the complete runs reached."""
        return row_of(self.name, [run.workdir for run in self.complete])

    def curve(self, column: str) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
        """Epochs counted from 1, and mean and standard deviation of a metric over the runs.

        An epoch's are those of the runs that got as far. The deviation has one degree of freedom
        less; it is 0 of one run. `None` if no run has the metric.
        """
        columns = [run.metrics[column] for run in self.runs if column in run.metrics]
        if not any(np.isfinite(one).any() for one in columns):
            return None
        values = np.full((len(columns), max(map(len, columns))), np.nan)
        for row, one in zip(values, columns, strict=True):
            row[: len(one)] = one
        counts = np.isfinite(values).sum(axis=0)
        mean = np.nansum(values, axis=0) / np.maximum(counts, 1)
        squares = np.nansum((values - mean) ** 2, axis=0)
        std = np.sqrt(squares / np.maximum(counts - 1, 1))
        known = counts > 0
        return 1.0 + np.flatnonzero(known), mean[known], std[known]

    def last_mean(self, column: str) -> tuple[float, float, float]:
        """The first and the last of the last epochs, and the mean of a metric in them.

        It is the mean over the complete runs, or over all where none that is complete has the
        metric, which one must have.
        """
        runs = [run for run in self.shown if column in run.metrics]
        runs = runs or [run for run in self.runs if column in run.metrics]
        end = max(run.epochs for run in runs)
        means = [run.metrics[column][-LAST_EPOCHS:].mean() for run in runs]
        return float(max(1, end - LAST_EPOCHS + 1)), float(end), float(np.mean(means))


def group(runs: Sequence[ReportedRun]) -> list[Group]:
    """Puts runs together that differ in the seed only; of two with the same seed, each apart.

    Runs on other files of one's own are no runs of the same settings.
    """
    found: dict[tuple[Settings, tuple[str, ...], int], list[ReportedRun]]
    found = collections.defaultdict(list)
    for run in runs:
        settings = dataclasses.replace(run.settings, seed=0)
        times = 0
        while any(
            one.settings.seed == run.settings.seed for one in found[settings, run.files, times]
        ):
            times += 1
        found[settings, run.files, times].append(run)
    names = _names([settings for settings, *_ in found])
    names = _told_apart(names, [Path(members[0].workdir.root) for members in found.values()])
    return [
        Group(name, tuple(members), style)
        for style, (name, members) in enumerate(zip(names, found.values(), strict=True))
    ]


def _told_apart(names: Sequence[str], places: Sequence[Path]) -> list[str]:
    """Adds to names that are taken twice their directories, as whole paths where these are, too."""
    taken = collections.Counter(names)
    here = collections.Counter(zip(names, [place.name for place in places], strict=True))
    return [
        name
        if taken[name] == 1
        else f"{name} in {place.name if here[name, place.name] == 1 else place}"
        for name, place in zip(names, places, strict=True)
    ]


def _names(all_settings: Sequence[Settings]) -> list[str]:
    """The method of each, and what of the settings that differ is not the data set's default.

    Options of other methods are left out; the data set stands in every name where it differs.
    """
    options = {name for method in methods.METHODS.values() for name in method.option_names}
    differing = [
        field
        for field in dataclasses.fields(Settings)
        if field.name != "method"
        and len({getattr(settings, field.name) for settings in all_settings}) > 1
    ]
    names = []
    for settings in all_settings:
        own = methods.by_name(settings.method).option_names
        defaults = dataclasses.asdict(resolve(dataset=settings.dataset)) | {"dataset": None}
        said = [
            f"{field.name}={getattr(settings, field.name)}"
            for field in differing
            if getattr(settings, field.name) != defaults[field.name]
            and (field.name not in options or field.name in own)
        ]
        names.append(":".join([settings.method, *said]))
    return names
