"""Compares `gdw_tf.audit` with cleanlab: who ranks wrong labels first, on data with known truth.

Usage: python scripts/audit_table.py [--settings=1,2,3] [--data_dir=DIR] [--out=docs/audit]

Five settings: digits with 20 and 40 % uniform and 40 % flip noise, and 10,000 images of CIFAR-10
with the human labels of CIFAR-10N, aggregate and worst. The audit reads the record of one training
of each of --methods. cleanlab gets the probabilities of the same network by 5-fold cross-validation
of plain training: on the training set alone, at the last epoch by its default score, and at its
best, the number of epochs and the one of its three scores that rank best, which only who knows the
truth can choose; and with the clean examples among the folds, at the number of epochs that
classifies these best and by the score that then ranks best, by the truth again.

Everything is kept under --workdir (by default runs/audit_table), and what is there is not made
again. --out gets table.md and table.csv, anew after every setting.
"""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from absl import flags
from cleanlab.filter import find_label_issues
from cleanlab.rank import get_label_quality_scores
from out_of_sample import out_of_sample
from sklearn.metrics import average_precision_score, roc_auc_score

from gdw_tf import cli, data, experiment, train_flags
from gdw_tf.audit.ranking import of_record, rank
from gdw_tf.compare import JOBS, METHODS, SEEDS
from gdw_tf.comparison import Comparison, Run, markdown_text, train_all_or_fail
from gdw_tf.provenance import command, made_by
from gdw_tf.settings import Settings

AUDITED = ("gdw", "gdw:pair_memory=0.99:meta_weight=0.1", "ce")
ONLY = flags.DEFINE_list("settings", None, "Settings to run, by number from 1; default all.")

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


class Row(NamedTuple):
    """How well one way of ranking does in one setting."""

    setting: str
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
        if ONLY.value and not set(ONLY.value) <= set(map(str, range(1, len(SETTINGS) + 1))):
            raise ValueError(
                f"settings must be numbers from 1 to {len(SETTINGS)}. Received: "
                f"{','.join(ONLY.value)}"
            )
        names = METHODS.value if METHODS.present else AUDITED
        root = Path(train_flags.WORKDIR.value or "runs/audit_table")
        plans = {
            name: (
                root / str(number),
                Comparison.plan(names, SEEDS.value, root / str(number), *assignments),
            )
            for number, (name, assignments) in enumerate(SETTINGS.items(), start=1)
            if not ONLY.value or str(number) in ONLY.value
        }
    rows: list[Row] = []
    for name, (folder, plan) in plans.items():
        train_all_or_fail(plan.trainings, JOBS.value)
        for run in plan.trainings[: len(SEEDS.value)]:
            rows += cleanlab_rows(name, run, folder / f"folds-seed{run.settings.seed}")
        for contender, runs in zip(plan.contenders, plan.runs, strict=True):
            rows += [row for run in runs for row in audit_rows(name, contender.name, run)]
        write(rows, Path(cli.OUT.value or "docs/audit"))


def noisy_data(settings: Settings) -> tuple[data.Source, data.NoisyData]:
    """The data of a run."""
    source = experiment.load_source(settings, **train_flags.locations())
    return source, experiment.prepare_data(settings, source)


def audit_rows(name: str, contender: str, run: Run) -> Iterator[Row]:
    """What `gdw_tf.audit` makes of a run, and what other evidence in the same run would."""
    _, noisy = noisy_data(run.settings)
    model = run.workdir.checkpoints.latest().load()
    audit = of_record(model.training_record, noisy.y_train)
    found = audit.is_suspicious
    yield _row(name, f"audit by {contender}", audit.score, found, noisy)

    is_given = np.eye(noisy.num_classes, dtype=bool)[noisy.y_train]
    of_given = audit.probabilities[is_given]
    yield _row(name, f"{contender}: 1 - mean probability of the label", -of_given, found, noisy)
    margin = np.where(is_given, -np.inf, audit.probabilities).max(axis=1) - of_given
    yield _row(name, f"{contender}: margin of mean probabilities", margin, found, noisy)
    if audit.class_weights is not None:
        weight = audit.class_weights[is_given]
        yield _row(name, f"{contender}: mean weight on the label", -weight, found, noisy)
    training, meta = (noisy.x_train, noisy.y_train), (noisy.x_meta, noisy.y_meta)
    at_end = rank(model.classifier, training, meta_data=meta)
    yield _row(
        name,
        f"{contender}: probability at the end",
        at_end.score,
        at_end.is_suspicious,
        noisy,
    )
    against = at_end.meta_gradient.sum(axis=1)
    yield _row(name, f"{contender}: meta gradient at the end", against, against > 0, noisy)


def cleanlab_rows(name: str, run: Run, folder: Path) -> Iterator[Row]:
    """What cleanlab makes of out-of-sample probabilities of the same network."""
    settings = dataclasses.replace(run.settings, method="ce")
    source, noisy = noisy_data(settings)
    alone = out_of_sample(settings, source, noisy, folder / "alone").astype(np.float32)
    ranked = [
        (roc_auc_score(noisy.y_train != noisy.y_true, -scores), epoch, score, scores)
        for epoch, answers in enumerate(alone)
        for score, scores in _all_scores(noisy.y_train, answers)
    ]
    _, epoch, score, scores = max(ranked, key=lambda one: one[0])
    issues = find_label_issues(noisy.y_train, alone[epoch])
    yield _row(name, f"cleanlab at its best: {score}, epoch {epoch + 1}", -scores, issues, noisy)
    issues = find_label_issues(noisy.y_train, alone[-1])
    _, scores = next(_all_scores(noisy.y_train, alone[-1]))
    yield _row(name, f"cleanlab, last epoch: {SCORES[0]}", -scores, issues, noisy)

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
    best = max(
        _all_scores(noisy.y_train, answers),
        key=lambda one: roc_auc_score(noisy.y_train != noisy.y_true, -one[1]),
    )
    yield _row(
        name, f"cleanlab with the clean set: {best[0]}, epoch {epoch + 1}", -best[1], issues, noisy
    )


def _all_scores(labels: np.ndarray, answers: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """The quality of each label by each of cleanlab's scores."""
    answers = np.clip(answers, 1e-6, None)  # float16 has rounded small ones to 0
    answers /= answers.sum(axis=1, keepdims=True)
    for score in SCORES:
        yield score, get_label_quality_scores(labels, answers, method=score)


def _row(
    name: str, ranking: str, suspicion: np.ndarray, found: np.ndarray, noisy: data.NoisyData
) -> Row:
    wrong = noisy.y_train != noisy.y_true
    first = wrong[np.argsort(-suspicion, kind="stable")[: wrong.sum()]]
    return Row(
        name,
        ranking,
        float(roc_auc_score(wrong, suspicion)),
        float(average_precision_score(wrong, suspicion)),
        float(first.mean()),
        float(wrong[found].mean()) if found.any() else 0.0,
        float(found[wrong].mean()),
    )


def write(rows: list[Row], out: Path) -> None:
    """Writes the table."""
    out.mkdir(parents=True, exist_ok=True)
    with (out / "table.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(Row._fields)
        writer.writerows(rows)
    lines = [
        "| setting | ranking | AUROC | AP | precision@errors | found: precision | recall |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        *(
            f"| {row.setting} | {markdown_text(row.ranking)} | "
            + " | ".join(f"{figure:.4f}" for figure in row[2:])
            + " |"
            for row in rows
        ),
        "",
        f"Seeds {', '.join(SEEDS.value)}. Precision and recall are of what is found, whatever "
        "ranks it: labels that the audit suggests another class for (of the meta gradient, those "
        "that it is against), and those that cleanlab's find_label_issues names. cleanlab's score, "
        "and without the clean set its epoch, is the one that ranks best, by the truth. "
        f"`{command('scripts/audit_table.py')}`, {made_by()}",
    ]
    (out / "table.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    cli.run(
        main,
        doc=__doc__,
        groups={"Table": [METHODS, SEEDS, ONLY, JOBS, cli.OUT], **train_flags.GROUPS},
    )
