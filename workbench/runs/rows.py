"""Rows of a table that are worked on where they lie: SQL over Parquet parts, or over a frame."""

import itertools
import tempfile
import weakref
from collections.abc import Sequence
from functools import cache
from threading import RLock
from typing import Any, Final, Self

import duckdb
import pandas as pd

from workbench.errors import RunError

__all__ = ["Rows"]

# What groups of 100 million turns take at once is under it; sorts and joins go to disk beyond it.
_MEMORY: Final = "2GiB"

_names: Final = (f"rows_{number}" for number in itertools.count())
_lock: Final = RLock()


class Rows:
    """
    Rows of one table, as many as there may be: they are read while a question is answered.

    A run of ten million turns is a frame of 1 GB, and its percentiles are three numbers. So what
    analysis asks of turns it asks here, in SQL; a frame is taken as well, for tests and by hand.

    Args:
        frame: what to ask of; see ``of_parts`` for files.
    """

    def __init__(self, frame: pd.DataFrame) -> None:
        self._begin(_engine().from_df(frame))

    @classmethod
    def of_parts(cls, parts: Sequence[str], *, start_unix_s: float) -> Self:
        """
        The rows of Parquet files that have the same columns, and ``elapsed_s`` besides.

        Args:
            parts: their paths, one at least.
            start_unix_s: from when ``elapsed_s`` counts.

        Raises:
            RunError: one cannot be read.
        """
        rows = cls.__new__(cls)
        try:
            # By their own names alone: a folder called a=b would be read as a column of the table.
            found = _engine().read_parquet(list(parts), hive_partitioning=False)
        except duckdb.Error as error:
            raise _unreadable(error) from None
        rows._begin(found.project(f"*, unix_s - {start_unix_s!r}::double as elapsed_s"))
        return rows

    def _begin(self, relation: duckdb.DuckDBPyRelation) -> None:
        self._columns = tuple(relation.columns)
        self._name = next(_names)
        self._conditions: tuple[str, ...] = ()
        self._values: dict[str, Any] = {}
        # A view lasts as long as the rows that were made of it.
        self._view = _View(self._name, relation)

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns."""
        return self._columns

    def __contains__(self, column: object) -> bool:
        return column in self._columns

    def __len__(self) -> int:
        return int(self.ask("select count(*) as count from rows")["count"].iloc[0])

    def __repr__(self) -> str:
        return f"<{len(self):,} rows: {', '.join(self._columns)}>"

    def where(self, condition: str, **values: Any) -> Self:
        """
        Those rows of which the condition is true.

        Args:
            condition: in SQL; ``$name`` stands for a value.
            values: by name.
        """
        fewer = object.__new__(type(self))
        fewer.__dict__ |= self.__dict__
        fewer._conditions = (*self._conditions, condition)
        fewer._values = self._values | values
        return fewer

    def ask(self, question: str, **values: Any) -> pd.DataFrame:
        """
        The answer to a question.

        Args:
            question: in SQL, of the table ``rows``; ``$name`` stands for a value.
            values: by name; a frame is a table of that name.

        Raises:
            RunError: a file is damaged.
        """
        engine = _engine()
        frames = {name: value for name, value in values.items() if isinstance(value, pd.DataFrame)}
        given = {name: value for name, value in values.items() if name not in frames}
        conditions = " and ".join(f"({each})" for each in self._conditions) or "true"
        # The texts are the package's own; what comes from outside is a value.
        sql = f"with rows as (select * from {self._name} where {conditions}) {question}"
        with _lock:
            for name, frame in frames.items():
                engine.register(name, frame)
            try:
                return engine.execute(sql, self._values | given).df()
            except (duckdb.IOException, duckdb.InvalidInputException) as error:
                raise _unreadable(error) from None
            finally:
                for name in frames:
                    engine.unregister(name)

    def frame(self, *columns: str) -> pd.DataFrame:
        """All rows at once, with these columns or all, in the order of ``unix_s``."""
        order = "order by unix_s" if "unix_s" in self else ""
        return self.ask(f"select {', '.join(columns or self._columns)} from rows {order}")


class _View:
    """A name for a relation in the engine, taken back with the last rows that need it."""

    def __init__(self, name: str, relation: duckdb.DuckDBPyRelation) -> None:
        self.relation = relation  # which holds the frame that it reads
        with _lock:
            relation.create_view(name)
        weakref.finalize(self, _forget, name)


def _forget(name: str) -> None:
    with _lock:
        _engine().execute(f"drop view if exists {name}")


@cache
def _engine() -> duckdb.DuckDBPyConnection:
    """One for the process: to make one takes 20 ms, and a question 1 ms."""
    return duckdb.connect(
        config={
            "memory_limit": _MEMORY,
            "temp_directory": f"{tempfile.gettempdir()}/workbench-rows",
            # Nothing is fetched, and a question sees no variable of the program.
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "python_enable_replacements": False,
        }
    )


def _unreadable(error: duckdb.Error) -> RunError:
    told = str(error).splitlines()[0]
    return RunError(f"a part of the run cannot be read: {told}; the other parts are intact")
