"""Events as they lie: in time, nothing later in what goes in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from deepen.config import from_target, parse
from deepen.data.prepare import prepare
from deepen.errors import DeepenError, Invalid
from deepen.preprocess.history import History
from deepen.sources.interactions import Interactions

EVENTS = "user,item,time\nu1,a,1\nu2,b,2\nu1,b,3\nu1,a,4\nu2,c,5\nu3,a,6\nu1,c,7\nu2,a,8\nu3,d,9\nu4,b,10\nu1,d,11\n"


def table(text: str, name: str = "events.csv") -> str:
    Path(name).write_text(text)
    return name


def test_an_event_is_told_by_what_came_before_it():
    items = Interactions(table(EVENTS)).read()
    told = list(zip(items.ids, items.inputs["events"], items.target))
    assert told[:3] == [("events.csv:2", [], "a"), ("events.csv:3", [], "b"), ("events.csv:4", ["a"], "b")]
    assert ("events.csv:8", ["a", "b", "a"], "c") in told
    assert ("events.csv:5", ["a", "b"], "a") not in told, "had before: nothing to predict"
    assert "1 event with what the user had before: known, and nothing to predict" in items.notes
    assert items.split == ["train"] * 7 + ["val"] + ["test"] * 2
    assert items.options["items"] == ("a", "b", "c", "d")


def test_the_order_is_that_of_time_whatever_the_file_has():
    head, *lines = EVENTS.strip().split("\n")
    mixed = Interactions(table("\n".join([head, *reversed(lines)]) + "\n", "mixed.csv")).read()
    items = Interactions(table(EVENTS)).read()
    assert mixed.target == items.target
    assert mixed.inputs == items.inputs
    assert any("sorted" in note for note in mixed.notes)
    dated = EVENTS
    for i in range(11, 0, -1):
        dated = dated.replace(f",{i}\n", f",2024-01-{i:02}T10:00\n")
    assert Interactions(table(dated, "dated.csv")).read().target == items.target


def test_times_are_ordered_by_what_they_say_of_utc():
    """The clock is put back between b and c: by what it shows c came first."""
    rows = [("a", "00:30+02:00"), ("b", "02:50+02:00"), ("c", "02:10+01:00"), ("d", "03:00+01:00")]
    lines = [f"{user},{item},2024-10-27T{time}\n" for user in "uv" for item, time in rows]
    items = Interactions(table("user,item,time\n" + "".join(lines))).read()
    before = {item: list(seen) for item, seen in zip(items.target, items.inputs["events"])}
    assert before == {"a": [], "b": ["a"], "c": ["a", "b"], "d": ["a", "b", "c"]}


def test_what_happens_again_may_come_again():
    again = "user,item,time\n" + "".join(f"u,{'ab'[i % 2]},{i}\n" for i in range(20))
    items = Interactions(table(again)).read()
    assert len(items) == 20
    assert items.options["again"]


def test_events_that_are_none_are_set_aside():
    items = Interactions(table(EVENTS + ",a,12\nu1,,13\nu1,a,\nu1,a,soon\nu1,a\n")).read()
    assert [bad.reason for bad in items.bad] == [
        "2 cells where the header has 3", "no user", "no item", "no time", "'soon' is no time"
    ]  # fmt: skip
    with pytest.raises(DeepenError, match="data.user: unknown column 'who'"):
        Interactions(table(EVENTS), user="who").read()
    for text, settings, match in (
        (
            "who,item,n\nu,a,1\n",
            {"user": "who"},
            r"data.time: not said, .* says when: one of n\. Say data.time=n; without times",
        ),
        (
            "who,what,on\nu,a,1\n",
            {"time": "on"},
            r"data.user: not said, .* says who: one of who, what\. Say data.user=COLUMN",
        ),
        (
            "user,item\nu,a\n",
            {},
            r"data.time: not said, .* A table that has one of when; without times .*data.name=table",
        ),
    ):
        with pytest.raises(DeepenError, match=match):
            Interactions(table(text, "bare.csv"), **settings).read()
    with pytest.raises(DeepenError, match="said alone"):
        Interactions(table(EVENTS), least=3.0).read()
    rated = "user,item,time,stars\nu,a,1,5\nu,b,2,1\nv,a,3,4\nv,c,4,none\n"
    items = Interactions(table(rated, "rated.csv"), rating="stars", least=4.0).read()
    assert items.target == ["a", "a"]
    assert "2 events with a stars below 4 do not count" in items.notes


def test_what_is_known_of_users_goes_in_beside(tmp_path):
    users = "user,age,job\nu1,30,cook\nu2,40,smith\nu3,,cook\n"
    items = Interactions(table(EVENTS * 1), users=table(users, "users.csv")).read()
    assert items.raw([0])[0] == {"events": [], "user": {"age": "30", "job": "cook"}}
    assert items.raw([len(items) - 2])[0]["user"] == {"age": None, "job": None}
    config = parse({"data": from_target("events.csv", {"user": "user", "users": "users.csv"}).data})
    assert config.data["name"] == "interactions"
    prepared = prepare(items, config)
    assert [t.name for t in prepared.signature.tensors] == ["events.events", "user.numbers", "user.categories"]


def test_a_history_is_the_latest_first():
    history = History(("a", "b", "c"), 2)
    found = history.encode([["a", "b", "c"], [], ["x", "a"], {"events": ["b"]}, ["b", "x", "a", "x"]])["events"]
    np.testing.assert_array_equal(found, [[3, 2], [0, 0], [1, 0], [2, 0], [1, 2]])
    assert History.fit([], ("7",)).encode([[7]])["events"].tolist() == [[1]]
    for value, reason in (("a", "got a text"), ([1.5], "a number among"), ([None], "null among"), (None, "got null")):
        with pytest.raises(Invalid, match=reason):
            history.parse(value)
    assert history.statistics({"events": found})["latest"].tolist() == ["c", "(none)", "a", "b", "a"]


def test_days_may_stand_before_months():
    days = "".join(f"u{i % 3},{'abcd'[i % 4]},{i:02}/0{1 + i % 2}/2024\n" for i in range(1, 29))
    items = Interactions(table("user,item,time\n" + days, "days.csv")).read()
    assert not items.bad
    assert items.ids[:2] == ["days.csv:3", "days.csv:5"], "2 and 4 January"


def test_a_user_told_twice_is_told(tmp_path):
    table("user,age\nu1,20\nu2,30\nu1,40\nu3,50\nu4,60\n", "users.csv")
    items = Interactions(table(EVENTS), users="users.csv").read()
    assert "1 row of the table of users for one that has a row: the last of each counts" in items.notes
    assert {float(row["age"]) for row, user in zip(items.raw(range(3)), ["u1"] * 3) for row in [row["user"]]} >= {40.0}


THINGS = "item,price,kind,name\na,1,x,first\nb,3,y,second\nc,,x,third\ne,5,y,fifth\n,9,y,none\n"


def test_things_are_told_by_their_own_table_and_new_ones_can_be_proposed():
    items = Interactions(table(EVENTS), items=table(THINGS, "things.csv")).read()
    assert items.options["items"] == ("a", "b", "c", "d", "e")
    about = items.options["about"]
    assert about[3] == (0.0,) * len(about[0]), "d is not in the table"
    assert about[0][0] < about[1][0] < about[4][0]
    assert about[2][0] == 0, "no price: neither dear nor cheap"
    assert about[0][1:] == about[2][1:] != about[1][1:] == about[4][1:]
    assert "1 thing that nobody had yet can be proposed" in items.notes
    assert Interactions(table(EVENTS)).read().options["about"] == ()
    with pytest.raises(DeepenError, match=r"things.csv: data.item: unknown column 'what'"):
        Interactions(table(EVENTS.replace("item", "what")), item="what", items="things.csv").read()


def test_a_table_of_nothing_but_names_tells_nothing():
    items = Interactions(table(EVENTS), items=table("item,name\na,first\nb,second\n", "names.csv")).read()
    assert items.options["about"] == ()
