"""Finds the training examples of a run whose labels are likely wrong.

Usage: python -m gdw_tf.audit WORKDIR [--out=DIR]
       python -m gdw_tf.audit WORKDIR --next=50 [--out=DIR]
       python -m gdw_tf.audit WORKDIR --apply=decisions.csv|suggested --out=FILE

DIR, by default WORKDIR/audit, gets audit.csv (every training example, the most suspicious first),
audit.json (what is mistaken for what, and figures where the truth is known), sheet.png (the most
suspicious images) and audit.html: the page in which you decide, without a server, and download
decisions.csv. With --next it gets next.csv and next.html instead: examples to verify as new meta
examples, those that the run is least decided about, class by class; `gdw_tf.train
--meta_add=decisions.csv` takes them. --apply writes the training set with the labels that were
decided, or without a look at them with all that the audit suggests: FILE.npz, as --dataset=npz
takes it, or of image files FILE.csv, the table that --dataset=csv takes, and beside it those of the
meta and test images.
"""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from absl import flags

from gdw_tf import cli, data, experiment, files, run_loading, train_flags
from gdw_tf.audit.next_checks import next_checks
from gdw_tf.audit.page import page
from gdw_tf.audit.ranking import Audit, of_record, rank
from gdw_tf.audit.sheet import contact_sheet
from gdw_tf.audit.tables import LabelFiles, examples_csv, summary
from gdw_tf.checks import check_directory
from gdw_tf.data.sources.files import sorted_classes
from gdw_tf.data.verified import read_verified
from gdw_tf.settings import Settings
from gdw_tf.workdir import Workdir

NEXT = flags.DEFINE_integer(
    "next", None, "How many examples to name for verification.", lower_bound=1
)
APPLY = cli.define_path(
    "apply", None, "Table of decisions to correct labels by; suggested for all suggestions."
)
SUGGESTED = "suggested"
SHOWN = flags.DEFINE_integer(
    "shown", 500, "Most suspicious examples that the page shows.", lower_bound=1
)
SHEET_SIZE = 60
GROUPS = {"Audit": [cli.OUT, NEXT, APPLY, SHOWN], "Options": run_loading.FLAGS_OF_A_RUN}


def main(argv: list[str]) -> None:
    """Runs the audit, or applies what was decided."""
    with cli.user_errors():
        if NEXT.value and APPLY.value is not None:
            raise ValueError(
                f"next and apply are two programs. Received: next={NEXT.value}, "
                f"apply={APPLY.value}; allowed: one of them."
            )
        if APPLY.value is not None and not cli.OUT.value:
            raise ValueError("Name the file to write. Received: no --out")
        workdir, settings = run_loading.open_run(argv)
        source = experiment.load_source(settings, **train_flags.locations())
        noisy = run_loading.data_from(source, workdir, settings)
        if APPLY.value is not None:
            if not settings.augmentation(source.augment).crop_and_flip:
                settings = dataclasses.replace(settings, augment=False)  # said, not by default
            _apply(source, noisy, settings, workdir)
            return
        out = Path(cli.OUT.value or workdir.root / "audit")
        check_directory("out", out)
        if NEXT.value and NEXT.value > len(noisy.y_train):
            raise ValueError(
                f"next is more than there are. Received: next={NEXT.value}; allowed: up to "
                f"{len(noisy.y_train)}."
            )
        audit = _audit(workdir, source, noisy)
        out.mkdir(parents=True, exist_ok=True)
        named = f"{settings.method} on {settings.dataset}, seed {settings.seed}"
        if NEXT.value:
            _write_next(out, audit, noisy, named, settings.meta_add or ())
        else:
            _write_audit(out, audit, noisy, named)


def _audit(workdir: Workdir, source: data.Source, noisy: data.NoisyData) -> Audit:
    workdir.check_training_set(noisy.training_digest())
    model = run_loading.load_checkpoint(workdir)
    record = model.training_record
    if record is None:
        print("the run kept no record of its examples; the model is asked as it is now")
    if record is not None and (record.visits > 0).all():
        return of_record(record, noisy.y_train)  # the images need not be read
    with run_loading.image_failures(source):
        return rank(model, data.evaluation_batches(noisy.x_train, noisy.y_train))


def _write_audit(out: Path, audit: Audit, noisy: data.NoisyData, named: str) -> None:
    found = summary(audit, noisy)
    shown = audit.order[: SHOWN.value]
    lead = (
        f"{found['suspicious']:,} of {found['examples']:,} labels are suspicious: another class "
        f"than theirs is suggested. Shown are the {len(shown):,} most suspicious examples."
    )
    files.write_text(out / "audit.csv", examples_csv(audit, noisy, audit.order))
    files.write_json(out / "audit.json", found)
    files.write_text(
        out / "audit.html", page(audit, noisy, shown, title=f"Label audit: {named}", lead=lead)
    )
    with files.written_aside(out / "sheet.png") as aside:
        contact_sheet(audit, noisy, shown[:SHEET_SIZE]).save(aside, "PNG")
    print(f"{found['suspicious']} of {found['examples']} labels are suspicious; written to {out}")
    if noisy.y_true is not None:
        if not (noisy.y_train != noisy.y_true).any():
            print("no label is wrong")
            return
        figures = audit.figures(noisy.y_true)
        print(
            f"AUROC {figures['auroc']:.3f}  AP {figures['average_precision']:.3f}  "
            f"precision@errors {figures['precision_at_errors']:.3f}"
        )


def _write_next(
    out: Path, audit: Audit, noisy: data.NoisyData, named: str, earlier: Sequence[str]
) -> None:
    chosen = next_checks(audit, NEXT.value)
    tables = ",".join([*earlier, "decisions.csv"])
    lead = (
        f"{len(chosen):,} examples to verify as new meta examples: the least decided, class by "
        f"class. Decide about each, download the decisions, and train with --meta_add={tables}."
    )
    files.write_text(out / "next.csv", examples_csv(audit, noisy, chosen))
    files.write_text(
        out / "next.html", page(audit, noisy, chosen, title=f"To be verified: {named}", lead=lead)
    )
    print(" ".join(str(number) for number in np.asarray(noisy.numbers)[chosen]))
    print(f"{len(chosen)} examples to verify, for --meta_add={tables}; written to {out}")


def _apply(
    source: data.Source, noisy: data.NoisyData, settings: Settings, workdir: Workdir
) -> None:
    out, decisions = Path(cli.OUT.value), Path(APPLY.value)
    label_files = LabelFiles(out, noisy, settings)
    places = [place for place in train_flags.locations().values() if isinstance(place, str)]
    places += [*(settings.meta_add or ()), *filter(None, [settings.noise_file])]
    of_the_run = {path.resolve() for path in (decisions, *map(Path, places), *workdir.growing)}
    for written in label_files.paths.values():
        if written.resolve() in of_the_run:
            raise ValueError(
                f"What the labels come from must not be written over. Received: out={out}, which "
                f"writes {written}; allowed: another name."
            )
    if APPLY.value == SUGGESTED:
        verified = _audit(workdir, source, noisy).suggestions
    else:
        verified = read_verified(str(decisions), noisy)
    changed = int((noisy.y_train[verified.positions] != verified.labels).sum())
    flags_to_train = label_files.write(verified)
    print(f"{changed} labels corrected, {len(verified.labels) - changed} confirmed; wrote {out}")
    print(f"python -m gdw_tf.train {shlex.join(flags_to_train)}")
    in_tables = sorted_classes(noisy.class_names)
    if isinstance(noisy.x_train, data.ImageFiles) and in_tables != list(noisy.class_names):
        print(f"there, classes are numbered in this order: {', '.join(in_tables)}")


def run() -> None:
    """Runs the program, as the console script `gdw-audit` does."""
    cli.run(main, doc=__doc__, groups=GROUPS)


if __name__ == "__main__":
    run()
