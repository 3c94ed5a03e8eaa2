"""Rows answer the same of a frame and of Parquet parts, and keep nothing when they are gone."""

import gc

import numpy as np
import pandas as pd
import pytest

from tests.frames import make_run, operations
from workbench.errors import RunError
from workbench.runs.rows import Rows, _engine


def views():
    gc.collect()
    _ = len(Rows(pd.DataFrame({"a": [1]})))  # names are taken back before the next question
    gc.collect()
    return len(_engine().execute("show tables").fetchall())


def test_rows_of_a_frame_and_of_its_parts_answer_alike(tmp_path):
    """Whether turns lie on disk or in memory is no matter to what looks at them."""
    given = [{"elapsed_s": at, "response_us": 10.0 * at} for at in (3.0, 1.0, 2.0)]
    run = make_run(tmp_path / "run", operations=given)
    question = "select sum(response_us) as total, max(elapsed_s) as last from rows"

    answers = [rows.ask(question).iloc[0].tolist() for rows in (Rows(operations(given)), run.turns)]

    assert answers == [[60.0, 3.0], [60.0, 3.0]]
    assert run.turns.frame("response_us")["response_us"].tolist() == [10.0, 20.0, 30.0]


def test_conditions_add_up_and_leave_the_rows_they_were_asked_of():
    rows = Rows(pd.DataFrame({"a": [1, 2, 3], "b": ["x", "y", "x"]}))

    few = rows.where("a >= $least", least=2).where("b = $name", name="x")

    assert few.frame("a")["a"].tolist() == [3]
    assert (len(few), len(rows)) == (1, 3)


def test_rows_are_asked_together_each_by_its_own_conditions():
    """A question may name other rows, or a frame, as a table."""
    rows = Rows(pd.DataFrame({"a": [1, 2, 3]})).where("a > $least", least=1)
    others = Rows(pd.DataFrame({"b": [2, 3, 4]})).where("b < $most", most=4)

    answer = rows.ask(
        "select a, name from rows join others on a = b join names on a = number order by a",
        others=others,
        names=pd.DataFrame({"number": [2, 3], "name": ["two", "three"]}),
    )

    assert answer["name"].tolist() == ["two", "three"]


def test_answer_that_is_kept_is_rows_itself():
    """It outlives what it was asked of, and goes when nobody needs it."""
    before = views()

    kept = Rows(pd.DataFrame({"a": [1, 2, 3]})).keep(
        "with more as (select a + $by as b from rows) select * from more", by=10
    )
    few = kept.where("b > 11")

    assert (views(), kept.columns) == (before + 1, ("b",))
    assert few.frame()["b"].tolist() == [12, 13]
    del kept, few
    assert views() == before


def test_what_was_asked_before_is_known():
    """By each its own copy; a frame that a question names may have changed since."""
    rows, names = Rows(pd.DataFrame({"a": [1, 2]})), pd.DataFrame({"b": [1]})

    first = rows.ask("select a from rows order by a")
    first["a"] = 0
    before = rows.ask("select count(*) as n from names", names=names)
    names["b"] = [[1, 2]]

    assert rows.ask("select a from rows order by a")["a"].tolist() == [1, 2]
    assert before["n"].tolist() == [1]
    assert rows.ask("select len(b) as n from names", names=names)["n"].tolist() == [2]
    assert rows.keep("select a from rows") is rows.keep("select a from rows")
    assert rows.keep("select a from rows") is not rows.where("a > 1").keep("select a from rows")


def test_what_does_not_fit_on_disk_is_said(tmp_path):
    """With the folder that must have room; then it goes on."""
    rows = Rows(pd.DataFrame({"a": np.arange(3_000_000.0)}))
    engine = _engine()
    limits = {
        name: engine.execute(f"select current_setting('{name}')").fetchone()[0]
        for name in ("memory_limit", "max_temp_directory_size")
    }
    try:
        engine.execute("set memory_limit = '40MB'; set max_temp_directory_size = '1MB'")
        with pytest.raises(RunError, match=r"no room for what is worked on.*TMPDIR"):
            rows.keep("select a, random() as b from rows order by b")
    finally:
        for name, limit in limits.items():
            engine.execute(f"set {name} = '{limit}'")

    assert len(rows) == 3_000_000


def test_what_is_not_known_is_null_and_comes_back_as_nan():
    """A frame has NaN for it: no comparison holds, and no mean counts it."""
    rows = Rows(pd.DataFrame({"a": [1.0, np.nan, 3.0]}))

    answer = rows.ask("select avg(a) as mean, count(a) as known, sum(null) as none from rows")

    assert answer.iloc[0, :2].tolist() == [2.0, 2]
    assert np.isnan(answer["none"].iloc[0])
    assert len(rows.where("a > 0")) == 2


def test_a_run_without_a_turn_has_rows_with_all_columns(tmp_path):
    run = make_run(tmp_path / "run")

    assert len(run.turns) == 0
    assert {"elapsed_s", "response_us", "outcome"} <= set(run.turns.columns)


def test_a_damaged_part_is_named(tmp_path):
    """In its middle, where only reading the rows finds it."""
    run = make_run(tmp_path / "run", operations=[{"elapsed_s": at / 100} for at in range(20_000)])
    (part,) = (run.path / "operations").glob("part-*")
    content = bytearray(part.read_bytes())
    content[40 : len(content) // 2] = bytes(len(content) // 2 - 40)
    part.write_bytes(content)

    with pytest.raises(RunError, match=r"part.*cannot be read"):
        run.turns.frame()


def test_views_go_with_their_rows():
    """A notebook that asks for an hour keeps only what it holds."""
    before = views()

    rows = Rows(pd.DataFrame({"a": [1]}))
    during = views()
    del rows

    assert (during, views()) == (before + 1, before)
