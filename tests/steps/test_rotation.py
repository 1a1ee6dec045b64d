"""While a key is rotated, what an id was and said under the old key is what its new pseudonym is and has said."""

from __future__ import annotations

import hmac
from pathlib import Path

import pytest
from pydantic import ValidationError
from pyspark.sql import SparkSession
from pyspark.testing import assertDataFrameEqual
from test_people import at, jan

from nightrank.config import Config
from nightrank.nights import ordinary_night
from nightrank.steps.people import build_people
from nightrank.tables import PEOPLE, RAW_EVENTS, RAW_PEOPLE, RAW_SEARCHES, USER_PROFILES

OLD, NEW = b"old key", b"new key"


def under(key: bytes, user_id: str) -> str:
    return hmac.new(key, user_id.encode(), "sha256").hexdigest()


def row(user: str, person: str, **values) -> tuple:
    """A row of the night of the 2nd."""
    known = {
        "run_date": jan(2),
        "user_id": user,
        "person_id": person,
        "opted_out": False,
        "reasons": [],
        "accepted": True,
    }
    return tuple({**known, **values}.get(name) for name in PEOPLE.schema.names)


def test_an_id_seen_tonight_takes_profile_links_and_opt_out_along(spark: SparkSession, tmp_path: Path) -> None:
    (tmp_path / "old").write_bytes(OLD)
    (tmp_path / "new").write_bytes(NEW)
    keys = {"pseudonym_key_file": str(tmp_path / "new"), "previous_key_file": str(tmp_path / "old")}
    config = Config.model_validate({"source": keys, "people": {"longest_chain": 2}})
    old, new = ({name: under(key, name) for name in ("buyer", "cookie", "login", "out")} for key in (OLD, NEW))
    held = [
        row(old["cookie"], old["login"], linked_to=old["login"], linked_ts=at(1)),
        row(old["out"], old["out"], opted_out=True, forgotten_until=jan(2), refuses=True, refused_ts=at(1)),
    ]
    # buyer has a profile; the stranger is nobody whom the old key has seen; login is not seen tonight.
    profile = dict.fromkeys(USER_PROFILES.schema.names) | {"run_date": jan(2), "user_id": old["buyer"]}
    seen = [{"user_id": name} for name in ("buyer", "cookie", "stranger", "anonymous")]

    def raw(rows, schema):
        return spark.createDataFrame([tuple(one.get(name) for name in schema.names) for one in rows], schema)

    def tonight(people, night):
        frame = build_people(
            raw_people=raw([], RAW_PEOPLE),
            raw_events=raw(seen, RAW_EVENTS),
            raw_searches=raw([{"user_id": "out"}], RAW_SEARCHES),
            user_profiles=spark.createDataFrame([tuple(profile.values())], USER_PROFILES.schema),
            people=people,
            night=night,
            config=config,
        )
        return PEOPLE.conform(frame, with_run_date=True)

    def renamed(day, name, person, **values):
        link = {"linked_to": new[name], "linked_ts": at(1).replace(year=1970, hour=0)}
        return row(old[name], person, **{"run_date": jan(day), **link, **values})

    def expected(day):
        out = {"opted_out": True, "forgotten_until": jan(day)}
        said = {"linked_to": old["login"], "linked_ts": at(1)}
        rows = [
            renamed(day, "buyer", new["buyer"]),
            renamed(day, "cookie", old["login"]),
            row(new["cookie"], old["login"], run_date=jan(day), **said),
            renamed(day, "out", new["out"], **out),
            row(new["out"], new["out"], run_date=jan(day), refuses=True, refused_ts=at(1), **out),
        ]
        return spark.createDataFrame(rows, PEOPLE.schema)

    found = tonight(spark.createDataFrame(held, PEOPLE.schema), ordinary_night(jan(3), (jan(2),))).localCheckpoint()
    assertDataFrameEqual(found, expected(3))
    # Another night of it changes nothing but the dates.
    assertDataFrameEqual(tonight(found, ordinary_night(jan(4), (jan(3),))), expected(4))


def test_an_old_key_without_a_new_one_is_refused() -> None:
    with pytest.raises(ValidationError, match="previous_key_file needs pseudonym_key_file"):
        Config.model_validate({"source": {"previous_key_file": "old"}})
    with pytest.raises(ValidationError, match="previous_key_file needs pseudonym_key_file"):
        Config.model_validate({"source": {"previous_key_file": "old", "pseudonym_key_file": "old"}})
