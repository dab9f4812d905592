from __future__ import annotations

from collections.abc import Iterator

import keras
import pytest

# What takes longest goes first, so that no process is left alone with it at the end.
LONGEST = (
    *("test_replicas.py", "test_reproduce.py", "test_portable.py", "test_fit.py", "test_saving.py"),
    *(
        "test_train.py",
        "test_failures.py",
        "test_non_finite.py",
        "test_serving.py",
        "test_tables.py",
    ),
    *("test_multi_worker.py", "test_examples.py", "test_report.py", "test_audit.py"),
    *("test_audit.py", "test_compare.py", "test_faults.py", "test_resuming.py"),
)


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
