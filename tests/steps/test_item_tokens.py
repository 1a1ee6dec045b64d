"""item_tokens: codes, facets, prior and int8 vector."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
from pyspark.sql import functions as F

from nightrank.steps.item_tokens import build_item_tokens, prior


def built(shop, **changes):
    frames = {
        "items": shop.items,
        "item_embeddings": shop.item_embeddings,
        "item_neighbours": shop.item_neighbours.withColumn("run_date", F.lit(shop.night.run_date)),
        "ranker_runs": shop.ranker_runs,
        "promotions": shop.promotions,
    }
    return build_item_tokens(**{**frames, **changes}, night=shop.night, config=shop.config)


def test_tokens_are_the_codes_of_the_tower_vector_and_the_facets(small_shop):
    rows = {row.item_id: row for row in built(small_shop).collect()}
    assert len(rows) == 6
    # i0 = e0: level 0 takes code 0 and leaves nothing, so level 1 ties and takes its lowest code.
    assert rows["i0"].tokens == ["code:c1:0:0", "code:c1:1:0", "brand:x", "category:t"]
    # i3 = e3: both codes of level 0 are equally far; what is left is nearest to code 1 of level 1.
    assert rows["i3"].tokens[1] == "code:c1:1:1"
    assert rows["i4"].tokens[2:] == ["brand:z", "category:t"]


def test_the_int8_vector_has_127_as_its_largest_number(small_shop):
    rows = {row.item_id: row for row in built(small_shop).collect()}
    assert rows["i0"].vector == [127, 0, 0, 0]
    assert rows["i4"].vector == [127, 127, 127, 127]


def test_the_prior_is_popularity_in_units_of_the_base_score(small_shop):
    rows = {row.item_id: row for row in built(small_shop).collect()}
    # mean u is 0, so (0.5 * log(1 + popularity)) / 2.0; i0 was taken 5 times, i5 never.
    assert rows["i0"].prior == round(0.5 * math.log1p(5.0) / 2.0, 6)
    assert rows["i5"].prior == 0.0


def test_the_prior_of_an_item_is_everybodys_liking_its_popularity_and_the_towers_bias():
    of_category = [4.0, 0.5, 9.0, 0.25]
    ranker = SimpleNamespace(
        a=2.0, mean_shopper=np.array([0.5, 0.0], np.float32), engine_coefficients=np.array([[9.0] * 4, of_category])
    )
    vector = np.array([0.6, 0.8], np.float32)
    assert prior(ranker, vector, math.expm1(3.0), -8.0) == round((2 * 0.5 * 0.6 + 0.5 * 3 - 0.25 * 8) / 4, 6)


def test_without_a_ranker_there_are_no_tokens(small_shop):
    assert built(small_shop, ranker_runs=small_shop.ranker_runs.where("false")).isEmpty()
