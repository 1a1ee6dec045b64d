"""What tests share: one Spark session for all of them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pyspark.sql import SparkSession

from nightrank.config import SparkConfig
from nightrank.session import build_session


@pytest.fixture(scope="session")
def spark() -> Iterator[SparkSession]:
    """The one session: two cores, four attempts a task, so that retries are tested too."""
    session = build_session(
        SparkConfig(
            master="local[2,4]",
            local_settings=True,
            shuffle_partitions=2,
            driver_memory="2g",
            settings={"spark.sql.warehouse.dir": "build/warehouse"},
        )
    )
    yield session
    session.stop()
