"""Compares `gdw_tf.audit` with cleanlab: who ranks wrong labels first, on data with known truth.

Usage: python scripts/audit_table.py [--settings=1,2,3] [--data_dir=DIR] [--out=docs/audit]

Five settings: digits with 20 and 40 % uniform and 40 % flip noise, and 10,000 images of CIFAR-10
with the human labels of CIFAR-10N, aggregate and worst. The audit reads the record of one training
of each of --methods (by default gdw, gdw:pair_memory=0.99:meta_weight=0.1 and ce). cleanlab gets
the probabilities of the same network by 5-fold cross-validation of plain training: on the training
set alone, at the last epoch by its default score, and at its best, the number of epochs and the one
of its three scores that rank best, which only who knows the truth can choose; and with the clean
examples among the folds, at the number of epochs that classifies these best and by the score that
then ranks best, by the truth again.

Everything is kept under --workdir (by default runs/audit_table), and what is there is not made
again. --out gets table.md and table.csv, anew after every setting.
"""

from __future__ import annotations

import csv
import dataclasses
import functools
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from cleanlab.filter import find_label_issues
from cleanlab.rank import get_label_quality_scores
from numbered_settings import ONLY, chosen
from out_of_sample import out_of_sample
from sklearn.metrics import average_precision_score, roc_auc_score

from gdw_tf import cli, data, experiment, train_flags
from gdw_tf.audit.ranking import of_record, rank
from gdw_tf.comparison import WITHOUT_RUNS, Comparison, Run, train_all_or_fail
from gdw_tf.comparison_flags import JOBS, METHODS, SEEDS, methods_or
from gdw_tf.provenance import command, made_by
from gdw_tf.results import markdown_table, markdown_text, runs_made_by
from gdw_tf.settings import Settings

AUDITED = ("gdw", "gdw:pair_memory=0.99:meta_weight=0.1", "ce")

_CIFAR = ("dataset=cifar10_n", "train_examples=10000", "network=resnet20", "epochs=15")
SETTINGS: dict[str, tuple[str, ...]] = {
    "digits, uniform 20 %": ("noise=uniform", "noise_rate=0.2"),
    "digits, uniform 40 %": ("noise=uniform", "noise_rate=0.4"),
    "digits, flip 40 %": ("noise=flip", "noise_rate=0.4"),
    "CIFAR-10N, aggregate": (*_CIFAR, "human_labels=aggregate"),
    "CIFAR-10N, worst": (*_CIFAR, "human_labels=worst"),
}
SCORES = ("self_confidence", "normalized_margin", "confidence_weighted_entropy")
"""cleanlab's, its default first."""


class Suspicions(NamedTuple):
    """What one way of ranking makes of the labels.

    Attributes:
        ranking: its name.
        scores: of each training example, (N,); the larger, the likelier its label is wrong.
        found: bool, (N,), the labels that it says are wrong.
    """

    ranking: str
    scores: np.ndarray
    found: np.ndarray


class Row(NamedTuple):
    """How well one way of ranking does in one setting, with one seed."""

    setting: str
    seed: int
    ranking: str
    auroc: float
    average_precision: float
    precision_at_errors: float
    found_precision: float
    found_recall: float


def main(argv: list[str]) -> None:
    """Runs what is missing and writes the table."""
    with cli.user_errors():
        cli.check_all_flags(argv)
        names = methods_or(AUDITED)
        root = Path(train_flags.WORKDIR.value or "runs/audit_table")
        plans = {
            title: Comparison.plan(
                names, SEEDS.value, root / number, *setting, refused=WITHOUT_RUNS
            )
            for title, (number, setting) in chosen(SETTINGS).items()
        }
    rows: list[Row] = []
    trainings: list[Run] = []
    for name, plan in plans.items():
        train_all_or_fail(plan.trainings, JOBS.value)
        trainings += plan.trainings
        for run in next(iter(plan.runs.values())):
            folder = run.workdir.root.parent / f"folds-seed{run.settings.seed}"
            rows += measured(name, run.settings, by_cleanlab(run.settings, folder))
        for contender, runs in plan.runs.items():
            for run in runs:
                rows += measured(name, run.settings, by_audit(contender.name, run))
        write(rows, trainings, Path(cli.OUT.value or "docs/audit"))


@functools.lru_cache(maxsize=1)
def noisy_data(settings: Settings) -> tuple[data.Source, data.NoisyData]:
    """The data of a run."""
    source = experiment.load_source(settings, **train_flags.locations())
    return source, experiment.prepare_data(settings, source)


def measured(setting: str, settings: Settings, ranked: Iterable[Suspicions]) -> Iterator[Row]:
    """Measures rankings by the true labels."""
    _, noisy = noisy_data(settings)
    wrong = noisy.y_train != noisy.y_true
    for one in ranked:
        first = wrong[np.argsort(-one.scores, kind="stable")[: wrong.sum()]]
        yield Row(
            setting,
            settings.seed,
            one.ranking,
            float(roc_auc_score(wrong, one.scores)),
            float(average_precision_score(wrong, one.scores)),
            float(first.mean()),
            float(wrong[one.found].mean()) if one.found.any() else 0.0,
            float(one.found[wrong].mean()),
        )


def by_audit(contender: str, run: Run) -> Iterator[Suspicions]:
    """What `gdw_tf.audit` makes of a run, and what other evidence in the same run would."""
    _, noisy = noisy_data(run.settings)
    model = run.workdir.checkpoints.latest().load()
    audit = of_record(model.training_record, noisy.y_train)
    found = audit.is_suspicious
    yield Suspicions(f"audit by {contender}", audit.score, found)

    is_given = np.eye(noisy.num_classes, dtype=bool)[noisy.y_train]
    of_given = audit.probabilities[is_given]
    yield Suspicions(f"{contender}: 1 - mean probability of the label", -of_given, found)
    margin = np.where(is_given, -np.inf, audit.probabilities).max(axis=1) - of_given
    yield Suspicions(f"{contender}: margin of mean probabilities", margin, found)
    if audit.class_weights is not None:
        weight = audit.class_weights[is_given]
        yield Suspicions(f"{contender}: mean weight on the label", -weight, found)
    training, meta = (noisy.x_train, noisy.y_train), (noisy.x_meta, noisy.y_meta)
    at_end = rank(model.classifier, training, meta_data=meta)
    yield Suspicions(f"{contender}: probability at the end", at_end.score, at_end.is_suspicious)
    against = at_end.meta_gradient.sum(axis=1)
    yield Suspicions(f"{contender}: meta gradient at the end", against, against > 0)


def by_cleanlab(settings: Settings, folder: Path) -> Iterator[Suspicions]:
    """What cleanlab makes of out-of-sample probabilities of the same network.

    Args:
        settings: of a run on the same data.
        folder: where the probabilities are kept.
    """
    source, noisy = noisy_data(settings)
    settings = dataclasses.replace(settings, method="ce")
    alone = out_of_sample(settings, source, noisy, folder / "alone").astype(np.float32)
    ranked = [
        (roc_auc_score(noisy.y_train != noisy.y_true, -scores), epoch, score, scores)
        for epoch, answers in enumerate(alone)
        for score, scores in _all_scores(noisy.y_train, answers)
    ]
    _, epoch, score, scores = max(ranked, key=lambda one: one[0])
    issues = find_label_issues(noisy.y_train, alone[epoch])
    yield Suspicions(f"cleanlab at its best: {score}, epoch {epoch + 1}", -scores, issues)
    issues = find_label_issues(noisy.y_train, alone[-1])
    _, scores = next(_all_scores(noisy.y_train, alone[-1]))
    yield Suspicions(f"cleanlab, last epoch: {SCORES[0]}", -scores, issues)

    clean = len(noisy.y_meta)
    pool = dataclasses.replace(
        noisy,
        x_train=np.concatenate([noisy.x_train, noisy.x_meta]),
        y_train=np.concatenate([noisy.y_train, noisy.y_meta]),
    )
    both = out_of_sample(settings, source, pool, folder / "with_clean").astype(np.float32)
    epoch = int((both[:, -clean:].argmax(axis=2) == noisy.y_meta).mean(axis=1).argmax())
    answers = both[epoch, :-clean]
    issues = find_label_issues(noisy.y_train, answers)
    score, scores = max(
        _all_scores(noisy.y_train, answers),
        key=lambda one: roc_auc_score(noisy.y_train != noisy.y_true, -one[1]),
    )
    yield Suspicions(f"cleanlab with the clean set: {score}, epoch {epoch + 1}", -scores, issues)


def _all_scores(labels: np.ndarray, answers: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """The quality of each label by each of cleanlab's scores."""
    answers = np.clip(answers, 1e-6, None)  # float16 has rounded small ones to 0
    answers /= answers.sum(axis=1, keepdims=True)
    for score in SCORES:
        yield score, get_label_quality_scores(labels, answers, method=score)


def write(rows: list[Row], trainings: list[Run], out: Path) -> None:
    """Writes the table, and what the trainings that were audited and the table were made by."""
    out.mkdir(parents=True, exist_ok=True)
    with (out / "table.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(Row._fields)
        writer.writerows(rows)
    lines = [
        *markdown_table(
            ["setting", "seed", "ranking", "AUROC", "AP", "precision@errors", "found: precision"]
            + ["recall"],
            (
                [row.setting, str(row.seed), markdown_text(row.ranking)]
                + [f"{figure:.4f}" for figure in row[3:]]
                for row in rows
            ),
        ),
        "",
        f"Precision and recall are of what is found, whatever "
        "ranks it: labels that the audit suggests another class for (of the meta gradient, those "
        "that it is against), and those that cleanlab's find_label_issues names. cleanlab's score, "
        "and without the clean set its epoch, is the one that ranks best, by the truth. "
        f"`{command('scripts/audit_table.py')}`, {made_by()} Trainings: "
        f"{runs_made_by(run.workdir for run in trainings)}",
    ]
    (out / "table.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    cli.run(
        main,
        doc=__doc__,
        groups={"Table": [METHODS, SEEDS, ONLY, JOBS, cli.OUT], **train_flags.GROUPS},
    )
