from __future__ import annotations

import contextlib
import importlib
import io
import shutil
import sys
from typing import NamedTuple
from unittest import mock

import keras
import pytest
from absl import flags
from absl.testing import flagsaver

from gdw_tf import cli

# A training on the digits that takes seconds.
SHORT = ("--train_examples=200", "--epochs=2", "--batch_size=50", "--num_meta=20")


class Finished(NamedTuple):
    code: int
    out: str
    err: str


def run(name: str, *arguments: str) -> Finished:
    """Runs a program of the package in this process, as `python -m gdw_tf.NAME ARGUMENTS` does."""
    module = importlib.import_module(f"gdw_tf.{name}")
    if hasattr(module, "__path__"):  # a package
        module = importlib.import_module(f"gdw_tf.{name}.__main__")
    argv = [f"gdw_tf/{name}.py", *map(str, arguments)]
    out, err = io.StringIO(), io.StringIO()
    with (
        mock.patch.object(sys, "argv", argv),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        flagsaver.flagsaver(),
        _keras_settings_kept(),
        pytest.raises(SystemExit) as exit_,
    ):
        flags.FLAGS.unparse_flags()
        cli.run(module.main, doc=module.__doc__, groups={})
    return Finished(exit_.value.code or 0, out.getvalue(), err.getvalue())


@contextlib.contextmanager
def _keras_settings_kept():
    floatx, policy = keras.config.floatx(), keras.config.dtype_policy()
    yield
    keras.config.set_floatx(floatx)
    keras.config.set_dtype_policy(policy)


@pytest.fixture
def run_program():
    return run


@pytest.fixture
def train():
    """Runs a short training; the last flags win."""
    return lambda workdir, *arguments: run("train", *SHORT, f"--workdir={workdir}", *arguments)


@pytest.fixture(scope="module")
def finished_run(tmp_path_factory):
    """The directory of a complete run; to be read only."""
    workdir = tmp_path_factory.mktemp("finished") / "run"
    assert run("train", *SHORT, f"--workdir={workdir}", "--epochs=3").code == 0
    return workdir


@pytest.fixture
def browser():
    """Chromium without a window; what pages write to its console and ask for is logged."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not chromium or not driver:
        pytest.skip("needs a browser: chromium and chromedriver")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    started = webdriver.Chrome(options, webdriver.ChromeService(driver))
    yield started
    started.quit()
