from __future__ import annotations

import json

import numpy as np
import pytest
import tensorflow as tf

from gdw_tf import data, serving
from gdw_tf.workdir import Workdir


@pytest.mark.parametrize("which", ["latest", "best"])
def test_evaluate_answers_the_test_accuracy_of_a_checkpoint(which, finished_run, run_program):
    finished = run_program("evaluate", finished_run, f"--checkpoint={which}")

    assert finished.code == 0, finished.err
    result = json.loads(finished.out)
    source = data.load("digits")
    model = getattr(Workdir(finished_run).checkpoints, which)().load()
    right = np.argmax(model.predict(source.x_test, verbose=0), axis=1) == source.y_test
    assert result["accuracy"] == pytest.approx(right.mean(), abs=1e-6)
    assert (result["checkpoint"], result["examples"]) == (which, 500)


def test_the_workdir_may_be_given_as_a_flag(finished_run, run_program):
    assert run_program("evaluate", f"--workdir={finished_run}").code == 0


def test_export_writes_the_named_checkpoint(finished_run, run_program, tmp_path):
    out = tmp_path / "served"
    finished = run_program("export", finished_run, "--checkpoint=best", f"--out={out}")

    assert finished.code == 0, finished.err
    images = data.load("digits").x_test[:20]
    best = Workdir(finished_run).checkpoints.best().load()
    served = tf.saved_model.load(str(out)).signatures["serving_default"](tf.constant(images))
    np.testing.assert_allclose(served["logits"], best(images), rtol=1e-5, atol=1e-5)


def test_an_export_that_is_broken_off_leaves_nothing(
    finished_run, run_program, tmp_path, monkeypatch
):
    def broken(classifier, path, *arguments, **named):
        path.mkdir()
        (path / "saved_model.pb").write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(serving, "write", broken)
    with pytest.raises(KeyboardInterrupt):
        run_program("export", finished_run, f"--out={tmp_path / 'served'}")
    assert not list(tmp_path.iterdir())


def test_an_export_removes_nothing_from_a_directory_that_is_there(
    finished_run, run_program, tmp_path
):
    (tmp_path / "notes.txt").write_text("mine")
    assert run_program("export", finished_run, f"--out={tmp_path}").code == 0
    assert (tmp_path / "notes.txt").read_text() == "mine"
    assert (tmp_path / "saved_model.pb").exists()


@pytest.mark.parametrize("program", ["evaluate", "export"])
@pytest.mark.parametrize(
    "arguments, message",
    [
        ([], "Name one workdir. Received: []"),
        (["nowhere"], "There is no run in this workdir. Received: nowhere"),
        (["one", "two"], "Name one workdir. Received: ['one', 'two']"),
        (["nowhere", "--checkpoint=worst"], "worst"),
    ],
)
def test_a_mistake_gets_one_line_and_exit_code_2(program, arguments, message, run_program):
    finished = run_program(program, *arguments)
    assert finished.code == 2
    assert "error: " in finished.err and message in finished.err
