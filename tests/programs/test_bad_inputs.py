"""Every bad input gets one line that says what was received, and an existing run stays as it is."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from .bad_inputs import CALLS, PROGRAMS, Places, arguments_of, error_of_call, names
from .conftest import run


@pytest.fixture(scope="module")
def places(tmp_path_factory) -> Places:
    return Places.below(tmp_path_factory.mktemp("bad"))


@pytest.fixture(scope="module")
def of_calls():
    return names()


def contents(directory: Path) -> dict[str, str]:
    """Every file below a directory, with its time and a hash of what it holds."""
    return {
        str(path): f"{path.stat().st_mtime_ns} {hashlib.sha256(path.read_bytes()).hexdigest()}"
        for path in sorted(directory.rglob("*"))
        if path.is_file() and not path.is_symlink()
    }


@pytest.mark.parametrize(("text", "message"), PROGRAMS)
def test_a_program_ends_with_one_line_and_exit_code_2(text, message, places, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = contents(places.RUN), contents(places.DIR)
    finished = run(*arguments_of(text, places))

    assert finished.code == 2
    errors = [line for line in finished.err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1 and "Traceback" not in finished.err, finished.err
    assert message in places.taken_out(errors[0])
    assert ("holds a run" in errors[0]) == ("holds a run" in message)
    assert (contents(places.RUN), contents(places.DIR)) == before
    assert not places.NEW.exists()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("text", "message"), CALLS)
def test_a_call_raises_an_error_of_one_line(text, message, of_calls):
    error = error_of_call(text, of_calls)

    assert isinstance(error, ValueError | TypeError), repr(error)
    assert message in str(error)
    assert len(str(error).splitlines()) == 1


def test_mistakes_in_several_flags_are_told_together(places):
    text = "train --epochs=0 --noise=pink --clip=nan --seed=-1 --image_size=8x8"
    finished = run(*arguments_of(text, places))
    for wrong in ("epochs=0", "noise=pink", "clip=nan", "seed=-1", "image_size=8x8"):
        assert wrong in finished.err
    assert finished.err.count("\n") == 1


@pytest.mark.parametrize(
    "text", ["train --clip=inf", "evaluate DIR/lambda_run", "train --dataset=npz --data_file=DIR"]
)
def test_so_it_is_in_a_process_of_its_own(text, places):
    name, *arguments = arguments_of(text, places)
    before = contents(places.RUN)
    finished = subprocess.run(
        [sys.executable, "-m", f"gdw_tf.{name}", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 2
    assert finished.stdout == "" and "Traceback" not in finished.stderr
    assert finished.stderr.splitlines()[-1].startswith("error: ")
    assert contents(places.RUN) == before


def test_a_workdir_that_cannot_be_written_is_told_before_anything_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write anywhere
    finished = run("train", "--dataset=npz", f"--workdir={tmp_path / 'new'}")
    assert finished.code == 2
    assert f"workdir cannot be written. Received: workdir={tmp_path / 'new'}" in finished.err
    assert not (tmp_path / "new").exists()
