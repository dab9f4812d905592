from __future__ import annotations

import numpy as np
import pytest

from gdw_tf.data.random import generator


def test_streams_are_the_same_on_every_machine():
    drawn = generator(0, "noise").randint(1000, size=6, dtype=np.int64)
    assert drawn.tolist() == [639, 549, 929, 326, 715, 64]


def test_the_type_is_the_one_whose_streams_never_change():
    assert isinstance(generator(0), np.random.RandomState)


def test_equal_arguments_give_equal_streams():
    first, second = generator(3, "a", "b"), generator(3, "a", "b")
    assert first is not second
    np.testing.assert_array_equal(first.random_sample(5), second.random_sample(5))


@pytest.mark.parametrize(
    ("seed", "stream"), [(4, ("a", "b")), (3, ("a",)), (3, ("b", "a")), (3, ("ab",)), (3, ())]
)
def test_other_seeds_and_names_give_other_streams(seed, stream):
    assert not np.array_equal(
        generator(3, "a", "b").random_sample(5), generator(seed, *stream).random_sample(5)
    )


def test_a_bad_seed_is_an_error():
    with pytest.raises(ValueError, match="Received: seed=-1; allowed: 0 or more"):
        generator(-1, "noise")
    with pytest.raises(TypeError, match="seed=0.5"):
        generator(0.5, "noise")
