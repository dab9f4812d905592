from __future__ import annotations

from collections.abc import Iterator

import keras
import pytest

# What takes longest goes first, so that no process is left alone with it at the end.
LONGEST = [
    f"test_{name}.py"
    for name in (
        "replicas",
        "reproduce",
        "portable",
        "fit",
        "saving",
        "train",
        "failures",
        "non_finite",
        "serving",
        "tables",
        "multi_worker",
        "examples",
        "report",
        "audit",
        "compare",
        "faults",
        "resuming",
    )
]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts the longest files first; the order is otherwise that of the collection."""
    order = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: order.get(item.path.name, len(order)))


@pytest.fixture
def float64() -> Iterator[None]:
    """Variables and layers made within the test are double precision."""
    floatx, policy = keras.config.floatx(), keras.config.dtype_policy()
    keras.config.set_floatx("float64")
    # `set_floatx` alone has no effect on layers once one was made in this process.
    keras.config.set_dtype_policy("float64")
    yield
    keras.config.set_floatx(floatx)
    keras.config.set_dtype_policy(policy)
