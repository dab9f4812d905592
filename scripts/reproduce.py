"""Runs the experiments of the paper, whole or reduced, and writes what came out beside its figures.

Usage: python scripts/reproduce.py --table=cifar_noise --protocol=reduced [--data_dir=DIR]
       python scripts/reproduce.py --table=cifar_noise,cifar_longtail --backend=portable
       python scripts/reproduce.py --table= --workdir=docs/results

Tables: cifar_noise, cifar_longtail, cifar_n, digits. A setting is a flag file of flags/ (a line of
flags for the digits); of each, --methods (by default ce, ce_early_stopping, clean_only, mw_net, gdw
and gdw:memory=0.7) are run with each seed, and at CIFAR-10 uniform 40 % GDW without its constraint,
the paper's ablation. Protocols: full, the paper's (ResNet-32, 80 epochs, all images), and reduced,
for a processor without an accelerator: ResNet-20, 5,000 training images without augmentation, 30
epochs; the digits have one protocol. Backends: fit trains with `gdw_tf.train`, portable with
`gdw_tf.portable` on the device that JAX has.

Runs stand in --workdir (by default runs/reproduce), below PROTOCOL/SETTING/; what is complete is
not run again. docs/results.md (--out=FILE) is then written anew from all that stands there and
nothing else; runs with settings beside those of their protocol have tables of their own. With
--table= nothing is run. docs/results/ holds what `scripts/keep_runs.py` has kept of earlier runs.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from absl import flags
from digits_settings import DIGITS

from gdw_tf import cli, files, train_flags
from gdw_tf.checks import check_file
from gdw_tf.child_programs import ChildPrograms
from gdw_tf.comparison import (
    EARLY_STOPPING,
    SUPPORT_VECTOR_MACHINES,
    Comparison,
    Contender,
    Run,
    train_all,
)
from gdw_tf.comparison_flags import JOBS, METHODS, SEEDS, methods_or
from gdw_tf.flag_files import assignments_of, differences, flag_lines, settings_of_lines
from gdw_tf.portable.export import check_portable
from gdw_tf.results import early_stopping_accuracy, markdown_table, markdown_text, percent
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
        """Its name in the file system: the flag file's, or that of its flags' values."""
        if isinstance(self.flags, str):
            return self.flags
        return "_".join(flag.partition("=")[2] for flag in self.flags)

    def assignments(self) -> tuple[str, ...]:
        """Its flags, `NAME=VALUE` each."""
        if not isinstance(self.flags, str):
            return self.flags
        lines = (ROOT / "flags" / f"{self.flags}.flags").read_text().splitlines()
        return tuple(assignments_of(lines))


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
    "digits": tuple(
        Setting(f"digits, {title}", ("dataset=digits", *DIGITS[title]))
        for title in ("uniform 40 %", "uniform 60 %", "uniform 80 %", "flip 40 %")
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
        if not runs and not results(root):
            raise ValueError(
                f"There is no complete run of a table below workdir. Received: workdir={root}; "
                "allowed: a directory of this program's runs, such as docs/results."
            )
    failures = train_all(runs, JOBS.value)
    if text := results(root):
        out.parent.mkdir(parents=True, exist_ok=True)
        files.write_text(out, text)
    if failures:
        cli.fail(f"{len(failures)} runs failed: {'; '.join(failures)}", code=1)


def planned(root: Path) -> list[Run]:
    """The runs that are asked for, setting by setting.

    Raises:
        ValueError: there is no such table, setting, method or seed, or the backend cannot run it.
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
    for folder in dict.fromkeys(ONLY.value or settings):
        table, setting = settings[folder]
        protocol = "full" if table == "digits" else PROTOCOL.value
        names = methods_or([*ROWS, *setting.methods])
        assignments = (*setting.assignments(), *PROTOCOLS[protocol])
        fixed = {"method", "seed", *(one.partition("=")[0] for one in assignments)}
        if given := sorted(name for name in fixed if flags.FLAGS[name].present):
            raise ValueError(f"{folder} has these settings itself. Received: {', '.join(given)}")
        plan = Comparison.plan(
            *(names, SEEDS.value, root / protocol / folder, *assignments),
            refused=tuple(SUPPORT_VECTOR_MACHINES),
        )
        runs += plan.trainings
    return carried(runs) if BACKEND.value == "portable" else runs


def carried(runs: Sequence[Run]) -> list[Run]:
    """The runs as runs of the portable backend.

    Raises:
        ValueError: it cannot run one of them, or several at a time.
    """
    if JOBS.value > 1:
        raise ValueError(
            f"The portable backend has one device. Received: jobs={JOBS.value}; allowed: 1."
        )
    for run in runs:
        check_portable(run.settings)
    return [PortableRun(run.settings, run.workdir, run.machine_flags) for run in runs]


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
            if failure := programs.run(command, cores, self.log):
                return failure
        return None


class Result(NamedTuple):
    """What one run left.

    Attributes:
        method: as `--methods` names it.
        accuracy: on the test set, 0 to 1.
        summary: of the run.
        otherwise: lines of its flag file that are not those of its setting and protocol.
    """

    method: str
    accuracy: float
    summary: Mapping[str, Any]
    otherwise: tuple[str, ...]

    @property
    def device(self) -> str:
        """On what it ran."""
        made_by = self.summary.get("made_by", "unknown")
        return self.summary.get("ran_on", {}).get("device") or made_by.partition(",")[0]

    @property
    def made_by(self) -> str:
        """Where and by which version of the program it was made."""
        made_by = self.summary.get("made_by", "unknown").rstrip(".")
        return f"{made_by}, run by JAX on {self.device}" if "ran_on" in self.summary else made_by


def results(root: Path) -> str:
    """Writes down what stands below a directory, in Markdown; nothing where there is nothing.

    A table holds a protocol's runs in a group of settings, and where they were made with further
    flags, those of the same flags.
    """
    text = []
    for protocol, of_protocol in PROTOCOLS.items():
        for name, settings in TABLES.items():
            found = {one: found_in(root / protocol / one.folder, one, protocol) for one in settings}
            for otherwise in sorted({one.otherwise for ones in found.values() for one in ones}):
                columns = {
                    setting: [one for one in ones if one.otherwise == otherwise]
                    for setting, ones in found.items()
                }
                columns = {setting: ones for setting, ones in columns.items() if ones}
                also = f", with `{' '.join(otherwise)}`" if otherwise else ""
                text += ["", f"## {name}, {protocol} protocol{also}", "", *table(columns)]
                if of_protocol:
                    flags_there = " ".join(f"--{flag}" for flag in of_protocol)
                    text.append(f"- flags: those of flags/, and `{flags_there}`")
    if not text:
        return ""
    head = [
        "# Results",
        "",
        "Written by `scripts/reproduce.py` from the files of the runs. Test accuracy in %, mean of "
        "the last five epochs (ce_early_stopping: the epoch best on the meta set), mean ± standard "
        "deviation over the seeds, which are named in brackets where a row lacks some of its "
        "column's. Seconds a step are medians of a row, of runs that shared the processor with "
        "each other (--jobs) and with other work: what methods cost beside each other is in "
        "docs/scaling.md.",
    ]
    return "\n".join([*head, *text]) + "\n"


def found_in(folder: Path, setting: Setting, protocol: str) -> list[Result]:
    """The complete runs in the directory of a setting, and of `ce` early stopping, too.

    Args:
        folder: the directory.
        setting: that of the runs.
        protocol: theirs, too.
    """
    found = []
    for path in sorted(folder.glob("*-seed*/summary.json")):
        named = re.fullmatch(r"(.+)-seed\d+", path.parent.name)
        if named is None:  # a copy that someone has made
            continue
        workdir, summary = Workdir(path.parent), json.loads(path.read_text())
        method = re.sub(r"-(?=\w+=)", ":", named[1])
        try:
            with train_flags.settings_by_default():
                of_protocol = Contender.parse(method).settings(
                    str(summary["seed"]), (*setting.assignments(), *PROTOCOLS[protocol])
                )
        except (ValueError, flags.Error):  # a directory that somebody has named
            continue
        lines = settings_of_lines(workdir.flags.read_text().splitlines())
        different = set(differences(lines, of_protocol))
        otherwise = tuple(sorted(line for line in lines if line in different))
        found.append(Result(method, summary["final_accuracy"], summary, otherwise))
        if method == "ce" and all("meta_accuracy" in row for row in workdir.rows()):
            accuracy = early_stopping_accuracy(workdir)
            found.append(Result(EARLY_STOPPING, accuracy, summary, otherwise))
    return found


def table(columns: Mapping[Setting, Sequence[Result]]) -> list[str]:
    """The lines of a table, a column a setting, and what the runs say of how they were made."""
    order = [*ROWS, ABLATION]
    runs = [one for ones in columns.values() for one in ones]
    methods = sorted(
        {one.method for one in runs},
        key=lambda method: (order.index(method) if method in order else len(order), method),
    )
    rows = []
    for method in methods:
        seconds = _seconds_per_step([one for one in runs if one.method == method])
        cells = (_cell(method, ones) for ones in columns.values())
        rows.append([markdown_text(method), *cells, seconds])
    if any(setting.published for setting in columns):
        published = (setting.published for setting in columns)
        rows.append(["*published, full protocol*", *published, ""])
    epochs = sorted({one.summary["epochs"] for one in runs})
    return [
        *markdown_table(["", *map(_title, columns, columns.values()), "seconds a step"], rows),
        "",
        f"- epochs: {', '.join(map(str, epochs))}",
        f"- made by: {'; '.join(sorted({one.made_by for one in runs}))}",
    ]


def _title(setting: Setting, results: Sequence[Result]) -> str:
    seeds = _seeds(results)
    return f"{setting.title}, seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))}"


def _cell(method: str, results: Sequence[Result]) -> str:
    """What a method reached, and its seeds where they are not those of all of the column."""
    of_method = [one for one in results if one.method == method]
    if not of_method:
        return ""
    text, seeds = percent([one.accuracy for one in of_method]), _seeds(of_method)
    is_usual = seeds == _seeds(results)
    return text if is_usual else f"{text} (seeds {', '.join(map(str, seeds))})"


def _seconds_per_step(results: Sequence[Result]) -> str:
    """The median, for each device on its own."""
    seconds: dict[str, list[float]] = {}
    for one in results:
        seconds.setdefault(one.device, []).append(one.summary["seconds_per_step"])
    medians = {device: f"{np.median(values):.3f}" for device, values in sorted(seconds.items())}
    if len(medians) == 1:
        return next(iter(medians.values()))
    return ", ".join(f"{median} ({device})" for device, median in medians.items())


def _seeds(results: Iterable[Result]) -> list[int]:
    return sorted({one.summary["seed"] for one in results})


if __name__ == "__main__":
    groups = {"Results": [TABLE, PROTOCOL, BACKEND, METHODS, ONLY, SEEDS, JOBS, cli.OUT]}
    cli.run(main, doc=__doc__, groups={**groups, **train_flags.GROUPS})
