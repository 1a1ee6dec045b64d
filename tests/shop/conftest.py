"""One small written shop for the tests of the simulation."""

from __future__ import annotations

from pathlib import Path

import pytest

from nightrank.sections import ShopConfig
from nightrank.shop.ubi_log import write_shop
from nightrank.shop.world import Shop

SMALL = ShopConfig(seed=5, shoppers=300, items=300, days=12)


@pytest.fixture(scope="session")
def written_shop(tmp_path_factory: pytest.TempPathFactory) -> tuple[Shop, Path]:
    """A small shop and the folder with its logs and truth."""
    folder = tmp_path_factory.mktemp("shop")
    return write_shop(SMALL, folder), folder
