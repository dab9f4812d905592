"""Runs the experiments of the paper, whole or reduced, and writes what came out beside its figures.

Usage: python scripts/reproduce.py --table=cifar_noise --protocol=reduced [--data_dir=DIR]
       python scripts/reproduce.py --table=cifar_noise,cifar_longtail --backend=portable
       python scripts/reproduce.py --table=

Tables: cifar_noise, cifar_longtail, cifar_n, digits. A setting is a flag file of flags/ (a line of
flags for the digits); of each, --methods are run with each seed, and at CIFAR-10 uniform 40 % GDW
without its constraint, the paper's ablation. Protocols: full, the paper's (ResNet-32, 80 epochs,
all images), and reduced, for a processor without an accelerator: ResNet-20, 5,000 training images
without augmentation, 30 epochs; the digits have one protocol. Backends: fit trains with
`gdw_tf.train`, portable with `gdw_tf.portable` on the device that JAX has.

Runs stand in --workdir (by default runs/reproduce), below PROTOCOL/SETTING/; what is complete is
not run again. docs/results.md (--out=FILE) is then written anew from all that stands there and
nothing else. With --table= nothing is run.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from absl import flags

from gdw_tf import cli, files, train_flags
from gdw_tf.checks import check_file
from gdw_tf.child_programs import ChildPrograms
from gdw_tf.compare import JOBS, METHODS, SEEDS
from gdw_tf.comparison import (
    EARLY_STOPPING,
    Comparison,
    Run,
    early_stopping_accuracy,
    markdown_text,
    train_all,
)
from gdw_tf.settings import differences, flag_lines
from gdw_tf.workdir import Workdir

ROOT = Path(__file__).parents[1]
ROWS = ("ce", EARLY_STOPPING, "clean_only", "mw_net", "gdw", "gdw:memory=0.7")
ABLATION = "gdw:zero_mean=false"


class Setting(NamedTuple):
    """One experiment.

    Attributes:
        title: in the tables.
        flags: of the training, `NAME=VALUE`, or a flag file of flags/.
        published: what is known of other people's runs of the full protocol.
        methods: rows beside the common ones.
    """

    title: str
    flags: str | tuple[str, ...]
    published: str = ""
    methods: tuple[str, ...] = ()

    @property
    def folder(self) -> str:
        """Its name in the file system: the flag file's, or one of its flags."""
        if isinstance(self.flags, str):
            return self.flags
        return "_".join(["digits", *(flag.partition("=")[2] for flag in self.flags)])

    def assignments(self) -> tuple[str, ...]:
        """Its flags, `NAME=VALUE` each."""
        if not isinstance(self.flags, str):
            return self.flags
        lines = (ROOT / "flags" / f"{self.flags}.flags").read_text().splitlines()
        return tuple(line.removeprefix("--") for line in lines if line.startswith("--"))


TABLES: dict[str, tuple[Setting, ...]] = {
    "cifar_noise": (
        Setting("CIFAR-10, flip 40 %", "cifar10_flip40"),
        Setting(
            "CIFAR-10, uniform 40 %",
            "cifar10_uniform40",
            "GDW 87.97, MW-Net 86.62 (its authors' logs, one seed); MW-Net 87.83 (an independent "
            "program)",
            (ABLATION,),
        ),
        Setting(
            "CIFAR-10, uniform 60 %",
            "cifar10_uniform60",
            "GDW 2.56 above the best other method (abstract)",
        ),
        Setting("CIFAR-100, uniform 40 %", "cifar100_uniform40"),
    ),
    "cifar_longtail": (Setting("CIFAR-10, long tail 0.01", "cifar10_longtail_0.01"),),
    "cifar_n": (Setting("CIFAR-10N, worst label", "cifar10_n_worst"),),
    "digits": (
        Setting("digits, uniform 40 %", ("noise=uniform", "noise_rate=0.4")),
        Setting("digits, uniform 60 %", ("noise=uniform", "noise_rate=0.6")),
        Setting("digits, uniform 80 %", ("noise=uniform", "noise_rate=0.8")),
        Setting("digits, flip 40 %", ("noise=flip", "noise_rate=0.4")),
    ),
}
PROTOCOLS = {
    "full": (),
    "reduced": ("network=resnet20", "train_examples=5000", "augment=false", "epochs=30"),
}

TABLE = flags.DEFINE_list("table", None, f"Tables to run: {', '.join(TABLES)}.", required=True)
PROTOCOL = flags.DEFINE_enum("protocol", "full", list(PROTOCOLS), "How CIFAR is trained on.")
BACKEND = flags.DEFINE_enum("backend", "fit", ["fit", "portable"], "What trains.")
ONLY = flags.DEFINE_list("settings", None, "Of the tables, the settings to run; default all.")


def main(argv: list[str]) -> None:
    """Runs what is missing and writes the results."""
    root = Path(train_flags.WORKDIR.value or "runs/reproduce")
    with cli.user_errors():
        cli.check_all_flags(argv)
        out = Path(cli.OUT.value or ROOT / "docs/results.md")
        check_file("out", out)
        runs = planned(root)
    failures = train_all(runs, JOBS.value)
    out.parent.mkdir(parents=True, exist_ok=True)
    files.write_text(out, results(root))
    if failures:
        cli.fail(f"{len(failures)} runs failed: {'; '.join(failures)}", code=1)


def planned(root: Path) -> list[Run]:
    """The runs that are asked for, setting by setting.

    Raises:
        ValueError: there is no such table, setting, method or seed.
    """
    tables = [name for name in TABLE.value if name]
    if not set(tables) <= TABLES.keys():
        raise ValueError(
            f"There is no such table. Received: table={','.join(tables)}; allowed: "
            f"{', '.join(TABLES)}."
        )
    settings = {setting.folder: (name, setting) for name in tables for setting in TABLES[name]}
    if not set(ONLY.value or ()) <= settings.keys():
        raise ValueError(
            f"There is no such setting. Received: settings={','.join(ONLY.value)}; allowed: "
            f"{', '.join(settings)}."
        )
    runs = []
    for folder in ONLY.value or settings:
        table, setting = settings[folder]
        protocol = "full" if table == "digits" else PROTOCOL.value
        names = METHODS.value if METHODS.present else [*ROWS, *setting.methods]
        assignments = (*setting.assignments(), *PROTOCOLS[protocol])
        fixed = {"method", "seed", *(one.partition("=")[0] for one in assignments)}
        if given := sorted(name for name in fixed if flags.FLAGS[name].present):
            raise ValueError(f"{folder} has these settings itself. Received: {', '.join(given)}")
        plan = Comparison.plan(names, SEEDS.value, root / protocol / folder, *assignments)
        runs += plan.trainings
    if BACKEND.value == "portable" and JOBS.value > 1:
        raise ValueError(
            f"The portable backend has one device. Received: jobs={JOBS.value}; allowed: 1."
        )
    if BACKEND.value == "portable":
        runs = [PortableRun(run.settings, run.workdir, run.machine_flags) for run in runs]
    return runs


class PortableRun(Run):
    """A training by `gdw_tf.portable`: exported, run by JAX, imported."""

    def train(self, programs: ChildPrograms, cores: int) -> str | None:
        """Trains, or goes on after the last whole epoch; what is carried stays beside the run."""
        if self.workdir.flags.exists():
            return "it holds a run that gdw_tf.train began; --backend=fit goes on with it"
        carried = self.workdir.root.parent / "carried" / self.workdir.root.name
        images = self.workdir.root.parents[1] / f"{self.settings.dataset}.images.npz"
        where = train_flags.location_lines()
        program = [sys.executable, "-m", "gdw_tf.portable"]
        export = ["export", f"--out={carried}", f"--images={images}", *where]
        commands = [
            [*program, *export, *flag_lines(self.settings)],
            [*program, "run", str(carried), f"--images={images}"],
            [*program, "import", str(carried), f"--workdir={self.workdir.root}", *where],
        ]
        if not (carried / "run.py").exists():  # which is written last: none, or one broken off
            shutil.rmtree(carried, ignore_errors=True)
        elif different := differences(
            (carried / "flags.txt").read_text().splitlines(), self.settings
        ):
            return f"{carried} holds an export of other settings: {' '.join(different)}"
        for command in commands[1:] if carried.exists() else commands:
            if failure := programs.run(command, cores):
                return failure
        return None


class Result(NamedTuple):
    """What one run left."""

    accuracy: float
    summary: dict[str, Any]


def results(root: Path) -> str:
    """Writes down what stands below a directory, a table a protocol and table of settings."""
    text = [
        "# Results",
        "",
        "Written by `scripts/reproduce.py` from the files of the runs. Test accuracy in %, mean of "
        "the last five epochs (ce_early_stopping: the epoch best on the meta set), mean ± standard "
        "deviation over the seeds, which stand in brackets where they are not those of the column.",
    ]
    for protocol in PROTOCOLS:
        for name, settings in TABLES.items():
            found = {one: found_in(root / protocol / one.folder) for one in settings}
            found = {setting: rows for setting, rows in found.items() if rows}
            if found:
                text += ["", f"## {name}, {protocol} protocol", "", *table(found)]
    return "\n".join(text) + "\n"


def found_in(folder: Path) -> dict[str, list[Result]]:
    """The complete runs of a setting, by method."""
    found: dict[str, list[Result]] = {}
    for path in sorted(folder.glob("*-seed*/summary.json")):
        named = re.fullmatch(r"(.+)-seed\d+", path.parent.name)
        if named is None:  # a copy that someone has made
            continue
        workdir, summary = Workdir(path.parent), json.loads(path.read_text())
        method = re.sub(r"-(?=\w+=)", ":", named[1])
        found.setdefault(method, []).append(Result(summary["final_accuracy"], summary))
        if method == "ce" and workdir.rows():
            early = Result(early_stopping_accuracy(workdir), summary)
            found.setdefault(EARLY_STOPPING, []).append(early)
    return found


def table(found: dict[Setting, dict[str, list[Result]]]) -> list[str]:
    """The lines of a table, a column a setting, and what the runs say of how they were made."""
    order = [*ROWS, ABLATION]
    methods = sorted(
        {method for rows in found.values() for method in rows},
        key=lambda method: (order.index(method) if method in order else len(order), method),
    )
    lines = [
        f"| | {' | '.join(map(_title, found, found.values()))} | seconds a step |",
        f"| --- |{' --- |' * (len(found) + 1)}",
    ]
    for method in methods:
        cells = [_cell(rows.get(method, ()), rows) for rows in found.values()]
        seconds = [
            one.summary["seconds_per_step"]
            for rows in found.values()
            for one in rows.get(method, ())
        ]
        cells.append(f"{np.median(seconds):.3f}")
        lines.append(f"| {markdown_text(method)} | {' | '.join(cells)} |")
    if any(setting.published for setting in found):
        cells = [setting.published for setting in found]
        lines.append(f"| *published, full protocol* | {' | '.join(cells)} | |")
    runs = [one for rows in found.values() for ones in rows.values() for one in ones]
    lines += ["", *(f"- {name}: {', '.join(said)}" for name, said in _made_by(runs).items())]
    return lines


def _title(setting: Setting, rows: dict[str, list[Result]]) -> str:
    seeds = _seeds(one for ones in rows.values() for one in ones)
    return f"{setting.title}, seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))}"


def _cell(results: Sequence[Result], rows: dict[str, list[Result]]) -> str:
    if not results:
        return ""
    accuracies = 100 * np.array([one.accuracy for one in results])
    text = f"{accuracies.mean():.1f}"
    if len(results) > 1:
        text += f" ± {accuracies.std(ddof=1):.1f}"
    seeds = _seeds(results)
    is_usual = seeds == _seeds(one for ones in rows.values() for one in ones)
    return text if is_usual else f"{text} (seeds {', '.join(map(str, seeds))})"


def _seeds(results: Iterable[Result]) -> list[int]:
    return sorted({one.summary["seed"] for one in results})


def _made_by(runs: Sequence[Result]) -> dict[str, list[str]]:
    """What the runs of a table say of themselves."""
    said: dict[str, set[str]] = {"epochs": set(), "made by": set()}
    for run in runs:
        said["epochs"].add(str(run.summary["epochs"]))
        device = run.summary.get("ran_on", {}).get("device")
        made_by = run.summary.get("made_by", "unknown").rstrip(".")
        said["made by"].add(f"{made_by}, run by JAX on {device}" if device else made_by)
    return {name: sorted(values) for name, values in said.items()}


if __name__ == "__main__":
    groups = {"Results": [TABLE, PROTOCOL, BACKEND, METHODS, ONLY, SEEDS, JOBS, cli.OUT]}
    cli.run(main, doc=__doc__, groups={**groups, **train_flags.GROUPS})
