"""Measures a second round: GDW trained again on all labels that its own audit suggests.

Usage: python scripts/second_round_table.py [--seeds=0,1,2] [--jobs=2] [--out=docs/audit]

Digits with 50 clean images, uniform 60 % and flip 40 %, with and without dropout, and --methods (by
default gdw:pair_memory=0.99:meta_weight=0.1): what a user gets from `gdw_tf.audit
--apply=suggested` and the command that it prints. Beside it plain training on right labels, the
most that better labels can give.

Everything is kept under --workdir (by default runs/second_round_table), and what is there is not
made again. --out gets second_round.md.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import NamedTuple

from audited import audited
from digits_settings import DIGITS

from gdw_tf import cli, train_flags
from gdw_tf.audit.tables import LabelFiles
from gdw_tf.comparison import WITHOUT_RUNS, Comparison, Run, accuracy_of, train_all_or_fail
from gdw_tf.comparison_flags import JOBS, METHODS, SEEDS, methods_or
from gdw_tf.provenance import command
from gdw_tf.results import markdown_table, markdown_text, percent, runs_made_by
from gdw_tf.settings import on_other_data
from gdw_tf.workdir import Workdir


class Setting(NamedTuple):
    """Digits, and the network that is trained on them.

    Attributes:
        noise: a title of `DIGITS`.
        network: its name.
    """

    noise: str
    network: str

    @property
    def flags(self) -> tuple[str, ...]:
        """Its flags, `NAME=VALUE` each."""
        return (*DIGITS[self.noise], f"network={self.network}")

    @property
    def folder(self) -> str:
        """The name of its runs' directory."""
        return "_".join(flag.partition("=")[2] for flag in self.flags)


CONTENDERS = ("gdw:pair_memory=0.99:meta_weight=0.1",)
NETWORKS = ("small_cnn", "small_cnn_without_dropout")
SETTINGS = [
    Setting(title, network) for network in NETWORKS for title in ("uniform 60 %", "flip 40 %")
]
RIGHT_LABELS = ("noise=none", "noise_rate=0.0")


def main(argv: list[str]) -> None:
    """Runs what is missing and writes the table."""
    with cli.user_errors():
        cli.check_all_flags(argv)
        names = methods_or(CONTENDERS)
        root = Path(train_flags.WORKDIR.value or "runs/second_round_table")
        first = {
            setting: Comparison.plan(
                names, SEEDS.value, root / setting.folder, *setting.flags, refused=WITHOUT_RUNS
            )
            for setting in SETTINGS
        }
        ceilings = {
            network: Comparison.plan(
                ["ce"], SEEDS.value, root / network, *RIGHT_LABELS, f"network={network}"
            )
            for network in NETWORKS
        }
    trainings = [run for plan in (*first.values(), *ceilings.values()) for run in plan.trainings]
    train_all_or_fail(trainings, JOBS.value)
    second = {run: second_round(run) for plan in first.values() for run in plan.trainings}
    trainings += [again for again, _ in second.values()]
    train_all_or_fail(trainings, JOBS.value)

    head = ["setting", "method", "first round", "labels that are right", "second round"]
    head += ["plain training on right labels"]
    rows = []
    for setting, plan in first.items():
        ceiling = accuracy_of(ceilings[setting.network].trainings)
        for contender, runs in plan.runs.items():
            audits = [second[run][1] for run in runs]
            before, after = (
                percent([figures[name] for figures in audits])
                for name in ("right_given", "right_suggested")
            )
            again = accuracy_of([second[run][0] for run in runs])
            cells = [
                f"{setting.noise}, {setting.network}",
                markdown_text(contender.name),
                accuracy_of(runs),
            ]
            cells += [f"{before}, then {after}", again, ceiling]
            rows.append(cells)
    lines = [
        *markdown_table(head, rows),
        "",
        f"In %; mean ± standard deviation over seeds {', '.join(SEEDS.value)}; accuracies are "
        f"means of the last five epochs. `{command('scripts/second_round_table.py')}`, "
        f"{runs_made_by(run.workdir for run in trainings)}",
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
    again = Run(settings, workdir, (*run.machine_flags, f"--data_file={path}"))
    # An earlier second round may have been one on other labels.
    with cli.user_errors(), train_flags.flags_set([f"data_file={path}"]):
        workdir.check(settings, resume=True)
        again.check_data()
    return again, audit.figures(noisy.y_true)


if __name__ == "__main__":
    cli.run(
        main,
        doc=__doc__,
        groups={"Table": [METHODS, SEEDS, JOBS, cli.OUT], **train_flags.GROUPS},
    )
