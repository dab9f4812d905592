from __future__ import annotations

import json

import numpy as np
import pytest

import gdw_tf
from gdw_tf import losses
from gdw_tf.settings import resolve
from gdw_tf.workdir import Workdir


def trained(train, workdir, *arguments):
    """The model that a long-tailed run of one epoch leaves."""
    finished = train(
        workdir, "--epochs=1", "--train_examples=400", "--imbalance_factor=0.2", *arguments
    )
    assert finished.code == 0, finished.err
    return Workdir(workdir).checkpoints.latest().load()


KINDS = {
    "gce": losses.GeneralizedCrossEntropy,
    "sce": losses.SymmetricCrossEntropy,
    "focal": losses.Focal,
    "class_balanced": losses.ClassBalanced,
    "ldam": losses.LDAM,
    "balanced_softmax": losses.BalancedSoftmax,
    "logit_adjustment": losses.LogitAdjustment,
}


@pytest.mark.parametrize("name", [name for name in losses.names() if name != "cross_entropy"])
def test_the_name_of_a_loss_is_plain_training_with_it(name, train, tmp_path):
    model = trained(train, tmp_path / "run", f"--method={name}")

    assert type(model) is gdw_tf.CE
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["method"] == name
    expected = losses.build(name, summary["class_counts"])
    assert type(model.base_loss) is KINDS[name]
    without_name = {"name": None}
    assert model.base_loss.get_config() | without_name == expected.get_config() | without_name


def test_the_weighted_loss_is_that_of_the_flag(train, tmp_path):
    model = trained(train, tmp_path / "run", "--method=gdw", "--base_loss=balanced_softmax")
    assert type(model) is gdw_tf.GDW
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert model.base_loss.class_counts == summary["class_counts"]


def test_elr_remembers_every_training_image_when_it_goes_on(train, tmp_path):
    arguments = ("--method=elr", "--elr_beta=0.5")
    assert train(tmp_path / "run", *arguments).code == 0
    model = Workdir(tmp_path / "run").checkpoints.latest().load()
    assert (model.elr_lambda, model.elr_beta) == (3.0, 0.5)
    # Two visits of each of the 200 images.
    assert model.example_memory.shape == (200, 10)
    np.testing.assert_allclose(np.sum(model.example_memory, axis=1), 0.75, rtol=1e-5)
    assert train(tmp_path / "run", *arguments, "--resume").code == 0


def test_elr_has_the_papers_options_for_each_data_set():
    assert (resolve().elr_lambda, resolve().elr_beta) == (3.0, 0.7)
    hundred = resolve(dataset="cifar100", elr_beta=0.8)
    assert (hundred.elr_lambda, hundred.elr_beta) == (7.0, 0.8)


@pytest.mark.parametrize("method", ["gce", "ldam", "elr"])
def test_a_base_loss_beside_a_method_that_has_its_own_is_one_clear_error(method, train, tmp_path):
    finished = train(tmp_path / "run", f"--method={method}", "--base_loss=focal")
    assert finished.code == 2
    (error,) = [line for line in finished.err.splitlines() if line.startswith("error: ")]
    assert f"Received: method={method}, base_loss=focal; allowed: cross_entropy, or" in error
    assert not (tmp_path / "run").exists()
