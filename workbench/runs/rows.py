"""Rows of a table that are worked on where they lie: SQL over Parquet parts, or over a frame."""

import itertools
import os
import re
import tempfile
import weakref
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from threading import RLock
from typing import Any, Final, Self

import duckdb
import pandas as pd

from workbench.errors import PlaceError, RunError

__all__ = ["Rows"]

# What groups of 100 million turns take at once is under it; sorts and joins go to disk beyond it.
_MEMORY: Final = "1GiB"
_ANSWER_ROWS_MAX: Final = 20_000
_FULL: Final = "No space left on device"

_names: Final = (f"rows_{number}" for number in itertools.count())
_lock: Final = RLock()
_free: Final[deque[tuple[str, str]]] = deque()


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
    def of_parts(
        cls, parts: Sequence[str], *, start_unix_s: float, file_system: Any = None
    ) -> Self:
        """
        The rows of Parquet files that have the same columns, and ``elapsed_s`` besides.

        Args:
            parts: their paths or URLs, one at least.
            start_unix_s: from when ``elapsed_s`` counts.
            file_system: of fsspec, that speaks to what the URLs name.

        Raises:
            RunError: one cannot be read.
        """
        rows = cls.__new__(cls)
        with _lock, _telling():
            if file_system is not None:
                _register(file_system)
            # By their own names alone: a folder called a=b would be read as a column of the table.
            found = _engine().read_parquet(list(parts), hive_partitioning=False)
        rows._begin(found.project(f"*, unix_s - {start_unix_s!r}::double as elapsed_s"))
        return rows

    def _begin(self, relation: duckdb.DuckDBPyRelation) -> None:
        self._named = _Named("view")
        with _lock:
            _forget()
            relation.create_view(self._named.name)
        self._source = relation  # which holds the frame that the view reads
        self._columns = tuple(relation.columns)
        self._conditions: tuple[str, ...] = ()
        self._values: dict[str, Any] = {}

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
            values: by name; a frame, or other rows, is a table of that name.

        Raises:
            RunError: a file is damaged, or there is no room on disk for what is worked on.
            PlaceError: what holds the files does not answer.
        """
        sql, given, held = self._asked(question, values)
        again = _again(sql, given, values)
        if again in self._named.answers:
            return self._named.answers[again].copy()
        with _lock, _telling():
            _forget()
            answer = _engine().execute(sql, given).df()
        if again and len(answer) <= _ANSWER_ROWS_MAX:
            self._named.answers[again] = answer.copy()
        del held
        return answer

    def keep(self, question: str, *, parts: int = 1, **values: Any) -> "Rows":
        """
        The answer as rows, for a question that takes long and whose answer is itself asked of.

        What of it does not fit into memory lies on disk.

        Args:
            question: as for ``ask``.
            parts: how many times it is asked, where a join would not fit into memory: each time
                with ``$part``, from 0, and ``$parts``; the answers are put together.
            values: as for ``ask``.

        Raises:
            RunError, PlaceError: as ``ask`` does.
        """
        if parts > 1 or "$parts" in question:
            values |= {"parts": parts, "part": 0}
        sql, given, held = self._asked(question, values)
        again = _again(sql, given, values)
        if again in self._named.kept:
            return self._named.kept[again]
        kept = object.__new__(Rows)
        kept._named = _Named("table")
        with _lock, _telling():
            _engine().execute(f"create temp table {kept._named.name} as {sql}", given)
            for part in range(1, parts):
                more = f"insert into {kept._named.name} {sql}"
                _engine().execute(more, given | {"part": part})
            kept._source = _engine().table(kept._named.name)
        kept._columns = tuple(kept._source.columns)
        kept._conditions, kept._values = (), {}
        if again:
            self._named.kept[again] = kept
        del held
        return kept

    def _asked(
        self, question: str, values: Mapping[str, Any]
    ) -> tuple[str, dict[str, Any], list["Rows"]]:
        """The whole question, its values, and what must not go before it is answered."""
        tables = {"rows": self} | {
            name: value if isinstance(value, Rows) else Rows(value)
            for name, value in values.items()
            if isinstance(value, Rows | pd.DataFrame)
        }
        given = {name: value for name, value in values.items() if name not in tables}
        for table in tables.values():
            given |= table._values
        # The texts are the package's own; what comes from outside is a value. A table that a
        # question names twice is read twice, since the answer in between may be all of it.
        named = ", ".join(
            f"{name} as not materialized (select * from {table._named.name} where "
            f"{' and '.join(f'({each})' for each in table._conditions) or 'true'})"
            for name, table in tables.items()
        )
        question = question.strip()
        more = f", {question[5:]}" if question.startswith("with ") else f" {question}"
        return f"with {named}{more}", given, list(tables.values())

    def frame(self, *columns: str) -> pd.DataFrame:
        """All rows at once, with these columns or all, in the order of ``unix_s``."""
        order = "order by unix_s" if "unix_s" in self else ""
        return self.ask(f"select {', '.join(columns or self._columns)} from rows {order}")


class _Named:
    """A name in the engine, free again with the last rows that need it."""

    def __init__(self, kind: str) -> None:
        self.name = next(_names)
        # Rows never change: what was asked before, by another rule or chart, is known.
        self.answers: dict[str, pd.DataFrame] = {}
        self.kept: dict[str, Rows] = {}
        # It may be collected amid an answer, when the engine takes no other question.
        weakref.finalize(self, _free.append, (kind, self.name))


def _again(sql: str, given: Mapping[str, Any], values: Mapping[str, Any]) -> str:
    """The whole question, to know it again; empty if a frame is in it, which may change."""
    framed = any(isinstance(value, pd.DataFrame) for value in values.values())
    return "" if framed else f"{sql} {given}"


def _forget() -> None:
    """Take back the names that are free; with the lock."""
    while _free:
        kind, name = _free.popleft()
        _engine().execute(f"drop {kind} if exists {name}")


@contextmanager
def _telling() -> Iterator[None]:
    try:
        yield
    except duckdb.OutOfMemoryException as error:
        if "max_temp_directory_size" in str(error):
            raise _no_room(error) from None
        raise RunError(
            f"what is asked of the run does not fit into {_MEMORY} of memory: {_first_line(error)}"
        ) from None
    except (duckdb.IOException, duckdb.InvalidInputException) as error:
        raise (_no_room if _FULL in str(error) else _unreadable)(error) from None
    except duckdb.Error as error:
        # What a file system of Python's raises comes as its traceback, and as no class of its own.
        if type(error) is not duckdb.Error:
            raise
        said = [line for line in str(error).splitlines() if re.match(r"\w[\w.]*: ", line)]
        raise PlaceError(f"the turns of the run cannot be read: {''.join(said[:1])}") from None


def _register(file_system: Any) -> None:
    """Have the engine read URLs of its protocol by it, and no longer by another."""
    protocol = file_system.protocol
    names = {protocol} if isinstance(protocol, str) else set(protocol)
    for name in names & set(_engine().list_filesystems()):
        _engine().unregister_filesystem(name)
    _engine().register_filesystem(file_system)


@cache
def _engine() -> duckdb.DuckDBPyConnection:
    """One for the process: to make one takes 20 ms, and a question 1 ms."""
    engine = duckdb.connect(
        config={
            "memory_limit": _MEMORY,
            "temp_directory": f"{tempfile.gettempdir()}/workbench-rows-{os.getuid()}",
            # Nothing is fetched, and a question sees no variable of the program.
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "python_enable_replacements": False,
            # Each question has its own order; to keep that of the parts takes memory.
            "preserve_insertion_order": False,
        }
    )
    # A run of an hour has 1,440 parts: to open each again takes longer than a question.
    engine.execute("set parquet_metadata_cache = true")
    return engine


def _no_room(error: duckdb.Error) -> RunError:
    return RunError(
        f"there is no room for what is worked on: {_first_line(error)}; what does not fit into "
        f"{_MEMORY} of memory is written to {tempfile.gettempdir()}: make room there, or name "
        "another folder by TMPDIR"
    )


def _unreadable(error: duckdb.Error) -> RunError:
    return RunError(
        f"a part of the run cannot be read: {_first_line(error)}; the other parts are intact"
    )


def _first_line(error: duckdb.Error) -> str:
    return str(error).splitlines()[0]
