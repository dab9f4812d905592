from __future__ import annotations

import json

import numpy as np
import pytest

import gdw_tf
from gdw_tf import methods
from gdw_tf.workdir import Workdir


def trained(train, workdir, *arguments):
    """The model that a run leaves."""
    finished = train(workdir, *arguments)
    assert finished.code == 0, finished.err
    summary = json.loads((workdir / "summary.json").read_text())
    assert summary["epochs"] == 2 and summary["seconds"] > 0
    assert (workdir / "export" / "saved_model.pb").exists()
    return Workdir(workdir).checkpoints.latest().load()


@pytest.mark.parametrize("method", ["clean_only", "fine_tune"])
def test_training_on_the_clean_images(method, train, tmp_path):
    model = trained(train, tmp_path / "run", f"--method={method}", "--base_loss=gce")
    assert type(model) is methods.by_name(method)
    assert type(model.base_loss) is gdw_tf.losses.GeneralizedCrossEntropy


@pytest.mark.parametrize(("flags", "rate"), [([], 0.4), (["--forget_rate=0.1"], 0.1)], ids=str)
def test_co_teaching_forgets_as_many_labels_as_are_wrong(flags, rate, train, tmp_path):
    flags = ["--method=co_teaching", "--gradual_share=0.5", *flags]
    model = trained(train, tmp_path / "run", *flags)
    assert (model.forget_rate, model.gradual_share) == (rate, 0.5)


@pytest.mark.parametrize(
    ("flags", "share"), [([], 20 / 220), (["--clean_share=0.4"], 0.4)], ids=str
)
def test_gold_loss_correction_weighs_the_clean_images_by_their_number(
    flags, share, train, tmp_path
):
    model = trained(train, tmp_path / "run", "--method=glc", *flags)
    assert model.clean_share == pytest.approx(share)
    np.testing.assert_allclose(np.sum(model.transitions, axis=1), 1, rtol=1e-5)


def test_forward_correction(train, tmp_path):
    model = trained(train, tmp_path / "run", "--method=forward")
    np.testing.assert_allclose(np.sum(model.transitions, axis=1), 1, rtol=1e-5)


def test_training_on_pseudo_clean_images(train, tmp_path):
    flags = ["--meta=pseudo", "--pseudo_warmup=1", "--pseudo_every=1", "--num_meta=20"]
    trained(train, tmp_path / "run", "--method=fine_tune", "--fine_tune_share=0.5", *flags)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--fine_tune_share=1.1"], "fine_tune_share=1.1; allowed: 0 to 1"),
        (["--forget_rate=1"], "forget_rate=1.0; allowed: 0 to below 1"),
        (["--gradual_share=0"], "gradual_share=0.0; allowed: above 0, up to 1"),
        (["--clean_share=-1"], "clean_share=-1.0; allowed: 0 to 1"),
        (["--method=co_teaching", "--noise=none"], "noise=none, forget_rate=None; allowed: 0 to"),
        (["--method=glc", "--meta=pseudo"], "meta=pseudo; allowed: clean, noisy"),
    ],
    ids=str,
)
def test_a_mistake_is_told_before_any_work(flags, message, train, tmp_path):
    finished = train(tmp_path / "run", *flags)
    assert finished.code == 2
    (error,) = [line for line in finished.err.splitlines() if line.startswith("error: ")]
    assert message in error
    assert not (tmp_path / "run").exists()
