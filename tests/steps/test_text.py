"""The normaliser that items and queries share."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from unicodedata import normalize

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from pyspark.sql import SparkSession
from pyspark.sql import functions as F
from pyspark.testing import assertDataFrameEqual

from nightrank.errors import ConfigError
from nightrank.sections import WordsConfig
from nightrank.steps import unicode_forms
from nightrank.steps.text import head_noun, levels, normalise_text, search_text, stop_words, telling_words

ENGLISH, CHINESE, NONE = (WordsConfig(language=language) for language in ("en", "zh", "none"))


def test_words_of_english_titles(spark: SparkSession) -> None:
    titles = [
        ("  Women’s\tRED-Shoes,   size 38!  ",),
        ("women's rock`n`roll 'shoes'",),
        # Typed on an East Asian keyboard, wholly or in part; half-width kana.
        ("ＦＵＬＬ　ｗｉｄｔｈ Size３８　ｶﾞ",),
        # A ligature, a sign, an accent in two parts, two ways to write one word.
        ("ﬁne ℡ cafe\u0301 STRASSE Straße",),
        # What nobody sees: a soft hyphen, a byte order mark, the selector of an emoji's looks.
        ("so\u00adft\ufeff ❤\ufe0f lamp",),
        ("Crème brûlée ÄÖÜ",),
        ("SET OF 3 RED MUGS, mugs IN BLACK",),
        ("???",),
        (None,),
    ]
    broken = spark.range(1).select(F.unhex(F.lit("C3FF4142")).cast("string").alias("title"))
    frame = spark.createDataFrame(titles, "title string").union(broken)
    got = frame.select(
        normalise_text(F.col("title"), ENGLISH).alias("text"),
        telling_words(F.col("title"), ENGLISH, ("red", "set")).alias("words"),
        head_noun(F.col("title"), ENGLISH).alias("head"),
    )
    wanted = [
        ("womens red shoes size 38", ["womens", "shoes", "size"], "size"),
        ("womens rocknroll shoes", ["womens", "rocknroll", "shoes"], "shoes"),
        ("full width size38 ガ", ["full", "width", "size38"], "size38"),
        ("fine tel café strasse strasse", ["fine", "tel", "café", "strasse", "strasse"], "strasse"),
        ("soft lamp", ["soft", "lamp"], "lamp"),
        ("crème brûlée äöü", ["crème", "brûlée", "äöü"], "äöü"),
        ("set of 3 red mugs mugs in black", ["mugs", "mugs", "black"], "mugs"),
        ("", [], None),
        (None, None, None),
        ("ab", [], None),
    ]
    assertDataFrameEqual(got, spark.createDataFrame(wanted, got.schema))


def test_queries_without_stop_words(spark: SparkSession) -> None:
    queries = [
        ("The lamp FOR the garden",),
        ("the who",),
        ("To be, or to be",),
        ("红色的连衣裙",),
        ("ｉＰｈｏｎｅ１５手机壳",),
        ("的",),
        (None,),
    ]
    own = WordsConfig(language="none", more_stop_words=("Ｌａｍｐ",))
    frame = spark.createDataFrame(queries, "title string")
    configs = {"en": ENGLISH, "zh": CHINESE, "none": NONE, "own": own}
    got = frame.select(*[search_text(F.col("title"), config).alias(name) for name, config in configs.items()])
    wanted = [
        ("lamp garden", "lamp garden", "the lamp for the garden", "the for the garden"),
        ("who", "who", "the who", "the who"),
        ("to be or to be", "to be or to be", "to be or to be", "to be or to be"),
        ("红色的连衣裙", "红色 连衣裙", "红色的连衣裙", "红色的连衣裙"),
        ("iphone15手机壳", "iphone15 手机 壳", "iphone15手机壳", "iphone15手机壳"),
        ("的", "的", "的", "的"),
        (None, None, None, None),
    ]
    assertDataFrameEqual(got, spark.createDataFrame(wanted, got.schema))
    assert stop_words(own) == ("lamp",)
    assert {"the", "的"} <= set(stop_words(CHINESE))
    assert "的" not in stop_words(ENGLISH)


def test_words_and_levels_of_chinese(spark: SparkSession) -> None:
    rows = [
        ("2024新款红色的连衣裙，女 夏季", "服装 ＞ 连衣裙>"),
        ("充电宝 power bank", "Electronics > Head-Phones >"),
        (None, None),
    ]
    frame = spark.createDataFrame(rows, "title string, path string")
    got = frame.select(
        normalise_text(F.col("title"), CHINESE).alias("text"),
        telling_words(F.col("title"), CHINESE).alias("words"),
        levels(F.col("path"), CHINESE).alias("levels"),
        levels(F.col("path"), ENGLISH).alias("uncut"),
    )
    wanted = [
        (
            "2024 新款 红色 的 连衣裙 女 夏季",
            ["新款", "红色", "连衣裙", "夏季"],
            ["服装", "连衣裙"],
            ["服装", "连衣裙"],
        ),
        (
            "充电 宝 power bank",
            ["充电", "power", "bank"],
            ["electronics", "head phones"],
            ["electronics", "head phones"],
        ),
        (None, None, None, None),
    ]
    assertDataFrameEqual(got, spark.createDataFrame(wanted, got.schema))


def strange_texts() -> list[str]:
    """Two thousand texts of every part of Unicode, always the same ones."""
    parts = st.one_of(
        st.characters(exclude_categories=["Cs"]),
        st.sampled_from("' ’`-ＡＢ１　ßẞİςΣ\u0301\u0345\u00ad\u200d\u1160가각ﾞｶ红色的连衣裙手机壳充电宝"),
        st.characters(min_codepoint=0x4E00, max_codepoint=0x9FFF),
    )
    found: set[str] = set()

    @settings(max_examples=2000, database=None, derandomize=True, phases=[Phase.generate], deadline=None,
              suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(st.text(parts, max_size=12))
    def collect(text: str) -> None:
        found.add(text)

    collect()
    return sorted(found)


@pytest.mark.parametrize("config", [ENGLISH, CHINESE], ids=["en", "zh"])
def test_twice_is_once_and_forms_do_not_matter(spark: SparkSession, config: WordsConfig) -> None:
    texts = [(text, normalize("NFKD", text), normalize("NFC", text)) for text in strange_texts()]
    assert len(texts) > 1000
    frame = spark.createDataFrame(texts, "title string, decomposed string, composed string")
    once = frame.select(*[search_text(F.col(name), config).alias(name) for name in frame.columns])
    got = once.select("*", search_text(F.col("title"), config).alias("twice")).toPandas()
    assert (got.title == got.twice).all()
    assert (got.title == got.composed).all()
    assert (got.title == got.decomposed).all()
    assert not got.title.str.contains("  ").any()


def test_chinese_without_jieba_is_refused(spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jieba", None)
    with pytest.raises(ConfigError, match=r"pip install 'nightrank\[zh\]'"):
        unicode_forms.with_python(F.col("title"), "zh")


def test_the_segmenter_neither_reads_nor_writes_a_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    unicode_forms._segmenter.cache_clear()
    assert unicode_forms.chinese_words("蓝牙耳机 a保温杯b") == " 蓝牙 耳机  a 保温杯 b"
    assert not list(tmp_path.iterdir())
