"""Arrays on the driver under a limit, and the same arrays in the workers."""

from __future__ import annotations

import pickle
from datetime import date

import numpy as np
import pandas
import pytest

from nightrank.errors import ContractError
from nightrank.steps.arrays import collect_arrays, share_arrays

ROWS = [("b", 2, 0.5, [1.0, 2.0], [1], None, date(2026, 1, 2)), ("a", 1, None, [3.0, 4.0], [1, 2], "x", None)]
SCHEMA = "id string, n long, d double, vector array<float>, ragged array<int>, maybe string, day date"


def test_columns_become_arrays_in_the_order_asked_for(spark):
    frame = spark.createDataFrame(ROWS, SCHEMA)
    assert collect_arrays(frame, 2, "rows", order=["day", "id"])["id"].tolist() == ["b", "a"]  # NULL comes last
    with pytest.raises(TypeError, match="Rows of shoes come in no order"):
        collect_arrays(frame, 2, "shoes")
    arrays = collect_arrays(frame, 2, "rows", order=["n"])
    assert arrays["id"].tolist() == ["a", "b"]
    assert arrays["id"].dtype.kind == "U"
    assert arrays["n"].dtype == np.int64
    np.testing.assert_array_equal(arrays["d"], [np.nan, 0.5])
    np.testing.assert_array_equal(arrays["vector"], np.array([[3, 4], [1, 2]], dtype=np.float32))
    assert [row.tolist() for row in arrays["ragged"]] == [[1, 2], [1]]
    assert arrays["maybe"].tolist() == ["x", None]
    assert arrays["day"][1] == np.datetime64("2026-01-02")


def test_more_rows_than_the_limit_are_refused_by_name(spark):
    frame = spark.createDataFrame(ROWS, SCHEMA)
    with pytest.raises(ContractError, match=r"bring item vectors .* at most 1 rows.*Raise ranker_runs.max_items"):
        collect_arrays(frame, 1, "item vectors", "ranker_runs.max_items")
    nothing = collect_arrays(frame.where("n > 5"), 1, "rows")
    assert {name: len(array) for name, array in nothing.items()} == dict.fromkeys(frame.columns, 0)
    assert nothing["id"].dtype.kind == "U"


def test_a_worker_opens_the_shared_arrays(spark):
    frame = spark.range(4).repartition(2)
    arrays = {"names": np.array(["a", "bcd"]), "vectors": np.arange(6.0).reshape(2, 3), "none": np.empty((0, 3))}
    load = share_arrays(frame, arrays)
    share_arrays(frame, arrays)

    def describe(batches):
        for batch in batches:
            there = load()
            row = f"{there['names'].tolist()} {there['vectors'].sum()} {there['none'].shape}"
            again = load()["vectors"] is there["vectors"]
            yield pandas.DataFrame({"row": [f"{row} {again} {there['vectors'].flags.writeable}"] * len(batch)})

    rows = frame.mapInPandas(describe, "row string").collect()
    assert {row.row for row in rows} == {"['a', 'bcd'] 15.0 (0, 3) True False"}
    assert len(pickle.dumps(load)) < 1_000
    np.testing.assert_array_equal(load()["vectors"], arrays["vectors"])


def test_arrays_that_would_need_unpickling_are_refused(spark):
    with pytest.raises(TypeError, match="object array"):
        share_arrays(spark.range(1), {"texts": np.array(["a", None], dtype=object)})
