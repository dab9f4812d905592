"""Measures what verified examples are worth: those that `gdw_tf.audit --next` names, or any.

Usage: python scripts/checks_table.py [--seeds=0,1,2] [--checks=50,100,200] [--out=docs/audit]

Digits with 60 % uniform noise and 50 clean images. A run of GDW is audited; a person who knows the
truth verifies some examples (--checks says how many), and GDW is trained anew with `--meta_add`.
Whom to verify:

    next         the smallest margins of the mean probabilities, class by class: what --next names
    suspicious   the surest wrong labels, class by class
    influence    the largest meta gradients at the end of the training, class by class
    random       any, drawn at random

Everything is kept under --workdir (by default runs/checks_table), and what is there is not made
again. --out gets next_checks.md.
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
from absl import flags
from audited import audited
from digits_settings import DIGITS

from gdw_tf import cli, data, train_flags
from gdw_tf.audit import Audit, next_checks
from gdw_tf.audit.next_checks import class_by_class
from gdw_tf.comparison import Comparison, Run, accuracy_of, train_all_or_fail
from gdw_tf.comparison_flags import JOBS, SEEDS
from gdw_tf.provenance import command
from gdw_tf.results import markdown_table, runs_made_by

CHECKS = flags.DEFINE_list("checks", ["50", "100", "200"], "How many examples are verified.")
SETTING = DIGITS["uniform 60 %"]

RULES: dict[str, Callable[[Audit, int, np.random.Generator], np.ndarray]] = {
    "next": lambda audit, count, _: next_checks(audit, count),
    "suspicious": lambda audit, count, _: class_by_class(audit.score, audit.suggested)[:count],
    "influence": lambda audit, count, _: class_by_class(
        np.abs(audit.meta_gradient.sum(axis=1)), audit.suggested
    )[:count],
    "random": lambda audit, count, generator: generator.permutation(len(audit.given))[:count],
}


def main(argv: list[str]) -> None:
    """Runs what is missing and writes the table."""
    with cli.user_errors():
        cli.check_all_flags(argv)
        if not all(number.isdecimal() and int(number) for number in CHECKS.value):
            raise ValueError(f"checks must be numbers from 1. Received: {','.join(CHECKS.value)}")
        root = Path(train_flags.WORKDIR.value or "runs/checks_table")
        before = Comparison.plan(["gdw"], SEEDS.value, root / "before", *SETTING)
    train_all_or_fail(before.trainings, JOBS.value)
    wrong: dict[tuple[str, str], list[float]] = {}
    after: dict[tuple[str, str], list[Run]] = {}
    for run in before.trainings:
        seed = str(run.settings.seed)
        noisy, audit = audited(run, with_meta_gradients=True)
        for rule, choose in RULES.items():
            for count in CHECKS.value:
                chosen = choose(audit, int(count), np.random.default_rng(run.settings.seed))
                folder = root / f"{rule}-{count}"
                table = write_decisions(folder / f"decisions-seed{seed}.csv", noisy, chosen)
                plan = Comparison.plan(["gdw"], [seed], folder, *SETTING, f"meta_add={table}")
                after.setdefault((rule, count), []).extend(plan.trainings)
                is_wrong = noisy.y_train[chosen] != noisy.y_true[chosen]
                wrong.setdefault((rule, count), []).append(float(is_wrong.mean()))
    train_all_or_fail([run for runs in after.values() for run in runs], JOBS.value)
    out = Path(cli.OUT.value or "docs/audit")
    out.mkdir(parents=True, exist_ok=True)
    (out / "next_checks.md").write_text(markdown(before.trainings, after, wrong))


def write_decisions(path: Path, noisy: data.NoisyData, chosen: np.ndarray) -> Path:
    """Writes what a person who knows the truth decides."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["index", "given", "label"])
        for position in chosen:
            given, true = noisy.y_train[position], noisy.y_true[position]
            writer.writerow([position, noisy.class_names[given], noisy.class_names[true]])
    return path.resolve()


def markdown(
    before: list[Run],
    after: dict[tuple[str, str], list[Run]],
    wrong: dict[tuple[str, str], list[float]],
) -> str:
    """The table, a row a rule and a column a number of checks."""
    head = ["test accuracy in %", *(f"{count} checks" for count in CHECKS.value)]
    head += ["wrong among the checked"]
    rows = []
    for rule in RULES:
        cells = [accuracy_of(after[rule, count]) for count in CHECKS.value]
        share = np.mean([wrong[rule, count] for count in CHECKS.value])
        rows.append([rule, *cells, f"{100 * share:.0f} %"])
    trained = [run.workdir for runs in (before, *after.values()) for run in runs]
    lines = [
        *markdown_table(head, rows),
        "",
        f"Before any check: {accuracy_of(before)}. Mean ± standard deviation over seeds "
        f"{', '.join(SEEDS.value)} of the mean of the last five epochs; rules as the script "
        f"explains them. `{command('scripts/checks_table.py')}`, {runs_made_by(trained)}",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    cli.run(
        main,
        doc=__doc__,
        groups={"Table": [SEEDS, CHECKS, JOBS, cli.OUT], **train_flags.GROUPS},
    )
