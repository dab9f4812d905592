from __future__ import annotations

import hashlib

import numpy as np
import pytest

from gdw_tf.data.digests import digest, row_digests


def test_a_digest_is_that_of_all_contents_in_a_row():
    expected = hashlib.blake2b(b"onetwo", digest_size=16).hexdigest().encode()
    assert digest(b"one", b"two") == digest(b"onetwo") == expected


@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64", "bool", "<U2", "object"])
@pytest.mark.parametrize("shape", [(6,), (6, 3), (6, 2, 2, 1)])
def test_equal_rows_and_they_alone_have_equal_digests(dtype, shape):
    rows = np.arange(6) % 2  # three of each
    array = np.broadcast_to(rows.reshape(-1, *[1] * (len(shape) - 1)), shape).astype(dtype)
    digests = list(row_digests([array]))
    assert len(set(digests)) == 2
    assert digests[::2] == [digests[0]] * 3 and digests[1::2] == [digests[1]] * 3


def test_an_example_is_all_of_its_arrays():
    one, other = np.array([0, 0, 1]), np.array([0.5, 0.25, 0.5])
    assert len(set(row_digests([one, other]))) == 3
    transposed = np.asfortranarray(np.arange(6.0).reshape(3, 2))
    assert list(row_digests([transposed])) == list(row_digests([np.arange(6.0).reshape(3, 2)]))


@pytest.mark.parametrize("dtype", [str, bytes, object])
def test_equal_texts_have_equal_digests_however_long_others_are(dtype):
    short = np.array(["ab", "c"]).astype(dtype)
    long = np.array(["ab", "longer than all"]).astype(dtype)
    assert next(row_digests([short])) == next(row_digests([long]))
