"""Measures a second round: GDW trained again on all labels that its own audit suggests.

Usage: python scripts/second_round_table.py [--seeds=0,1,2] [--jobs=2] [--out=docs/audit]

Digits with 50 clean images, uniform 60 % and flip 40 %, with and without dropout: what a user
gets from `gdw_tf.audit --apply=suggested` and the command that it prints. Beside it plain training
on right labels, the most that better labels can give.

Everything is kept under --workdir (by default runs/second_round_table), and what is there is not
made again. --out gets second_round.md.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

from audited import audited

from gdw_tf import cli, train_flags
from gdw_tf.audit.tables import LabelFiles
from gdw_tf.compare import JOBS, METHODS, SEEDS
from gdw_tf.comparison import (
    Comparison,
    Row,
    Run,
    accuracy_of,
    markdown_text,
    percent,
    train_all_or_fail,
)
from gdw_tf.provenance import command, made_by
from gdw_tf.settings import on_other_data
from gdw_tf.workdir import Workdir

CONTENDERS = ("gdw:pair_memory=0.99:meta_weight=0.1",)
SETTINGS = {
    f"{title}, {network}": (*noise, f"network={network}")
    for network in ("small_cnn", "small_cnn_without_dropout")
    for title, noise in {
        "uniform 60 %": ("noise=uniform", "noise_rate=0.6"),
        "flip 40 %": ("noise=flip", "noise_rate=0.4"),
    }.items()
}
RIGHT_LABELS = ("noise=none", "noise_rate=0.0")


def main(argv: list[str]) -> None:
    """Runs what is missing and writes the table."""
    with cli.user_errors():
        cli.check_all_flags(argv)
        names = METHODS.value if METHODS.present else CONTENDERS
        root = Path(train_flags.WORKDIR.value or "runs/second_round_table")
        first = {
            title: Comparison.plan(names, SEEDS.value, root / _folder(assignments), *assignments)
            for title, assignments in SETTINGS.items()
        }
        ceilings = {
            network: Comparison.plan(
                ["ce"], SEEDS.value, root / network, *RIGHT_LABELS, f"network={network}"
            )
            for network in sorted({_network(title) for title in SETTINGS})
        }
    train_all_or_fail(
        [run for plan in (*first.values(), *ceilings.values()) for run in plan.trainings],
        JOBS.value,
    )
    second = {run: second_round(run) for plan in first.values() for run in plan.trainings}
    train_all_or_fail([again for again, _ in second.values()], JOBS.value)

    lines = [
        "| setting | method | first round | labels that are right | second round | plain training "
        "on right labels |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for title, plan in first.items():
        ceiling = accuracy_of(ceilings[_network(title)].trainings)
        for contender, runs in zip(plan.contenders, plan.runs, strict=True):
            audits = [second[run][1] for run in runs]
            before, after = (
                percent(Row("", [figures[name] for figures in audits]))
                for name in ("right_given", "right_suggested")
            )
            again = accuracy_of([second[run][0] for run in runs])
            cells = [title, markdown_text(contender.name), accuracy_of(runs)]
            cells += [f"{before}, then {after}", again, ceiling]
            lines.append(f"| {' | '.join(cells)} |")
    lines += [
        "",
        f"In %; mean ± standard deviation over seeds {', '.join(SEEDS.value)}; accuracies are "
        f"means of the last five epochs. `{command('scripts/second_round_table.py')}`, {made_by()}",
    ]
    out = Path(cli.OUT.value or "docs/audit")
    out.mkdir(parents=True, exist_ok=True)
    (out / "second_round.md").write_text("\n".join(lines) + "\n")


def second_round(run: Run) -> tuple[Run, dict[str, float]]:
    """The training on the labels that the audit of a run suggests, and the audit's figures."""
    noisy, audit = audited(run)
    path = run.workdir.root.with_name(f"{run.workdir.root.name}.npz")
    LabelFiles(path, noisy, run.settings).write(audit.suggestions)
    settings = dataclasses.replace(on_other_data(run.settings, "npz"), augment=False)
    workdir = Workdir(run.workdir.root.parent / f"second-{run.workdir.root.name}")
    workdir.check(settings, resume=True)
    flags = (*run.machine_flags, f"--data_file={path}")
    return Run(settings, workdir, flags), audit.figures(noisy.y_true)


def _folder(assignments: tuple[str, ...]) -> str:
    return "_".join(assignment.partition("=")[2] for assignment in assignments)


def _network(title: str) -> str:
    return title.rpartition(" ")[2]


if __name__ == "__main__":
    cli.run(
        main,
        doc=__doc__,
        groups={"Table": [METHODS, SEEDS, JOBS, cli.OUT], **train_flags.GROUPS},
    )
