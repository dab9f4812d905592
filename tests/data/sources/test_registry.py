from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from gdw_tf import data
from gdw_tf.data import sources


def test_the_names_of_the_sources():
    assert data.names() == ("cifar10", "cifar100", "digits")


def test_an_unknown_name_is_an_error_that_says_what_is_known():
    with pytest.raises(ValueError, match="name='mnist'; allowed: cifar10, cifar100, digits"):
        data.load("mnist")


def test_a_new_source_is_a_new_file(tmp_path, monkeypatch):
    (tmp_path / "ramp.py").write_text(
        "import numpy as np\n"
        "from gdw_tf.data.sources.source import Source\n"
        "def load_ramp(*, data_dir, download):\n"
        "    x = np.zeros((3, 5, 7, 2), np.uint8)\n"
        "    y = np.arange(3)\n"
        "    return Source(f'{data_dir} {download}', x, y, x, y, ('a', 'b', 'c'), (), (), False)\n"
        "LOADERS = {'ramp': load_ramp}\n"
    )
    monkeypatch.setattr(sources, "__path__", [*sources.__path__, str(tmp_path)])
    assert "ramp" in data.names()
    source = data.load("ramp", data_dir="there", download=False)
    assert source.name == "there False"
    assert source.num_classes == 3
    assert source.image_shape == (5, 7, 2)
    np.testing.assert_array_equal(source.y_train, [0, 1, 2])
    del sys.modules["gdw_tf.data.sources.ramp"]


def test_importing_the_package_imports_no_data_package():
    program = (
        "import sys, gdw_tf.data; gdw_tf.data.names(); "
        "print([m for m in ('tensorflow_datasets', 'sklearn.datasets') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr
