"""The feed through the real petastorm: every row, in order, in every pass; a row that is missing is an error."""

from __future__ import annotations

import pickle
import subprocess
import sys
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest
from pyspark.sql import DataFrame, SparkSession

from nightrank.errors import ContractError
from nightrank.steps.petastorm_compat import as_numpy
from nightrank.steps.petastorm_feed import NUMERIC, petastorm_feed
from nightrank.tables import TRAINING_EXAMPLES

ROWS = 500
ORDER = np.random.default_rng(1).integers(-(2**62), 2**62, size=ROWS)
ORDER[10:14] = ORDER[9]  # equal hashes are ordered by query_id


def examples(spark: SparkSession) -> DataFrame:
    """Rows 0-449 train, the rest valid; two candidates, three recents, two takes."""
    rows = [
        (
            f"q{i:03}", "u", date(2026, 1, 1), "train" if i < 450 else "valid", i % 3, int(ORDER[i]), [i, -1],
            [0.5 * i] * 6, [0.25 * i] * 14, [2.0, 0.0], [1.0, 0.0], [-0.7, 0.0],
            [i, i + 1, -1], [1.0, 0.5, 0.0], [i, -1], [1, 0], [0, 0], 1.0,
        )
        for i in range(ROWS)
    ]  # fmt: skip
    return spark.createDataFrame(rows, TRAINING_EXAMPLES.columns)


def in_order(first: int, last: int) -> list[int]:
    return sorted(range(first, last), key=lambda i: (ORDER[i], f"q{i:03}"))


def test_every_row_comes_in_order_in_every_pass_and_nothing_is_left_behind(spark: SparkSession, tmp_path: Path) -> None:
    folder = tmp_path / "a feed"
    with petastorm_feed(examples(spark).repartition(7), str(folder)) as feed:
        assert feed.rows == {"train": 450, "valid": 50}
        for fold, rows in (("train", in_order(0, 450)), ("valid", in_order(450, 500)), ("train", in_order(0, 450))):
            parts = list(pickle.loads(pickle.dumps(feed.examples))(fold))  # as another process is given it
            read = {name: np.concatenate([part[name] for part in parts]) for name in NUMERIC}
            np.testing.assert_array_equal(read["example_order"], ORDER[rows])
            np.testing.assert_array_equal(read["item_index"], [[i, -1] for i in rows])
            np.testing.assert_array_equal(read["engine_features"], [[0.5 * i] * 6 for i in rows])
            np.testing.assert_array_equal(read["recent_index"], [[i, i + 1, -1] for i in rows])
            np.testing.assert_array_equal(read["inverse_propensity"], np.ones(len(rows)))
            assert {name: read[name].dtype.str for name in ("class_index", "gains")} == {
                "class_index": "<i4",
                "gains": "<f4",
            }
    assert list(folder.iterdir()) == []


def test_missing_rows_and_files_are_errors_and_an_empty_fold_is_not(spark: SparkSession, tmp_path: Path) -> None:
    with petastorm_feed(examples(spark).where("query_id < 'q450'").coalesce(1), str(tmp_path)) as feed:
        assert list(feed.examples("valid")) == []
        assert len(list(feed.examples("train"))) >= 1
        fullest = max(tmp_path.rglob("*.parquet"), key=lambda path: path.stat().st_size)
        table = pyarrow.parquet.read_table(fullest)
        pyarrow.parquet.write_table(table.slice(1), fullest)
        with pytest.raises(ContractError, match=r"expected 450 rows, .* read 449\."):
            list(feed.examples("train"))
        pyarrow.parquet.write_table(table.take(list(range(len(table)))[::-1]), fullest)
        with pytest.raises(ContractError, match="out of order"):
            list(feed.examples("train"))
        fullest.unlink()
        with pytest.raises(ContractError, match=r"expected 450 rows, .* found .*No such file"):
            list(feed.examples("train"))


def test_lists_become_a_matrix_that_is_not_copied_and_what_is_none_is_refused() -> None:
    lists = pyarrow.array([[9.0, 9.0, 9.0], [1.0, 2.0], [3.0, 4.0]]).slice(1)  # offsets that do not begin at 0
    found = as_numpy("gains", pyarrow.chunked_array([lists]))
    np.testing.assert_array_equal(found, [[1.0, 2.0], [3.0, 4.0]])
    assert not found.flags.owndata
    np.testing.assert_array_equal(as_numpy("order", pyarrow.chunked_array([[3, 1]])), [3, 1])
    assert as_numpy("none", pyarrow.chunked_array([[[], []]], pyarrow.list_(pyarrow.int32()))).shape == (2, 0)
    for wrong in ([[1.0], [1.0, 2.0]], [[1.0], None], [[1.0], [None]], [1.0, None]):
        with pytest.raises(ValueError, match="column gains: expected numbers or lists of one length without NULLs"):
            as_numpy("gains", pyarrow.chunked_array([wrong]))


def test_pools_that_lose_rows_and_folders_are_refused(spark: SparkSession, tmp_path: Path) -> None:
    with petastorm_feed(examples(spark), str(tmp_path)):
        from petastorm import make_batch_reader

        file = next(tmp_path.rglob("*.parquet")).as_uri()
        wrong = [
            {"reader_pool_type": "thread"},
            {"reader_pool_type": "process"},
            {"reader_pool_type": "dummy", "num_epochs": 2, "shuffle_row_groups": False},
            {"reader_pool_type": "dummy", "num_epochs": 1},
        ]
        for keywords in wrong:
            with pytest.raises(NotImplementedError):
                make_batch_reader([file], **keywords)
        with pytest.raises(NotImplementedError, match="list of files"):
            make_batch_reader(tmp_path.as_uri(), reader_pool_type="dummy")


def test_pyarrow_and_numpy_are_left_as_they_were() -> None:
    code = (
        "import sys, numpy, pyarrow\n"
        "from nightrank.steps.petastorm_compat import install; install(); install()\n"
        "for owner, names in {pyarrow: ['localfs', 'LocalFileSystem', 'filesystem', 'hdfs'],\n"
        "    pyarrow.parquet: ['ParquetDatasetPiece'], numpy: ['unicode_', 'string_']}.items():\n"
        "    assert not [name for name in names if hasattr(owner, name)], owner\n"
        "assert not {'pyarrow.hdfs', 'pyarrow.filesystem', 'distutils.version'} & set(sys.modules)\n"
        "assert not isinstance(pyarrow.parquet.ParquetDataset, type(install))\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_petastorm_that_was_imported_first_is_an_error() -> None:
    code = (
        "import sys, types; sys.modules['petastorm'] = types.ModuleType('petastorm')\n"
        "from nightrank.steps.petastorm_compat import install; install()"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert done.returncode == 1
    assert "imported before it was mended" in done.stderr
