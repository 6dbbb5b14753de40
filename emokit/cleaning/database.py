"""Connections to a project's database: one writer at a time, and what it wrote is on disk when it is done."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError

WAIT = 60.0  # seconds that a writer waits for the others
_LOCK = 0x656D6F6B6974  # PostgreSQL's lock of the writer


class Database:
    """An SQLite file or a PostgreSQL database.

    Parameters
    ----------
    where : path or str
        Of the file, or an SQLAlchemy URL.

    Raises
    ------
    FileNotFoundError
        The file's folder does not exist.
    ValueError
        Neither SQLite nor PostgreSQL.
    """

    def __init__(self, where: str | Path) -> None:
        url = _url(where)
        self.name = url.database if url.drivername.startswith("sqlite") else url.render_as_string(hide_password=True)
        self.folder = Path(url.database).absolute().parent if url.drivername.startswith("sqlite") else None
        options: dict[str, Any] = {"connect_args": {"timeout": WAIT}} if self.folder else {"pool_pre_ping": True}
        try:
            self._engine = create_engine(url, **options)
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError(f"{self.name} needs {error.name}: pip install 'emokit[team]'") from error
        _prepare(self._engine)

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that no other writer runs beside; on disk once it ends."""
        with self._errors(), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that waits for nobody."""
        with self._errors(), self._engine.connect() as connection:
            yield connection.execution_options(reading=True)

    def close(self) -> None:
        self._engine.dispose()

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """What the user can mend, in words."""
        try:
            yield
        except DBAPIError as error:
            text = str(error.orig)
            if "readonly" in text or "unable to open" in text or "read-only" in text:
                raise PermissionError(
                    f"{self.name} cannot be written ({text}); give yourself the right to write the file and its "
                    "folder, or copy the project to a folder of your own"
                ) from error
            if "locked" in text:
                raise TimeoutError(
                    f"{self.name} was in the hands of another process for {WAIT:.0f} s; nothing was saved. "
                    "End that process, or decide again"
                ) from error
            if "full" in text:
                raise OSError(
                    f"the disk of {self.name} is full; nothing was saved. Free space, then decide again"
                ) from error
            if "not a database" in text:
                raise ValueError(f"{self.name} is no review project ({text}); choose another path") from error
            raise


def _url(where: str | Path) -> URL:
    if "://" not in str(where):
        path = Path(where).expanduser().absolute()
        if path.is_dir():
            raise ValueError(f"{path} is a folder; name a file in it, such as {path / 'review.db'}")
        url = URL.create("sqlite", database=str(path))
    else:
        try:
            url = make_url(str(where))
        except ArgumentError as error:
            raise ValueError(f"{where} is no database URL ({error})") from error
    if url.get_backend_name() not in ("sqlite", "postgresql"):
        raise ValueError(f"{where}: projects live in SQLite or PostgreSQL, not in {url.get_backend_name()}")
    if url.get_backend_name() == "sqlite":
        if not url.database or url.database == ":memory:":
            raise ValueError("a project in memory is lost with the kernel; give the path of a file")
        folder = Path(url.database.removeprefix("file:")).absolute().parent
        if not folder.is_dir():
            raise FileNotFoundError(f"{folder} does not exist; create the folder, then open {url.database}")
    return url


def _prepare(engine: Engine) -> None:
    if engine.dialect.name == "sqlite":

        @event.listens_for(engine, "connect")
        def _connect(connection: sqlite3.Connection, _: Any) -> None:
            connection.isolation_level = None  # transactions begin below, not behind the scenes
            connection.execute("PRAGMA journal_mode=WAL")
            # The log of a transaction is on disk, not only in the system's memory, when it commits.
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute("PRAGMA fullfsync=ON")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        reading = connection.get_execution_options().get("reading", False)
        if engine.dialect.name == "sqlite":
            # A writer takes its lock at once: one that has read first could not wait for it any more.
            connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")
        elif not reading:
            connection.exec_driver_sql("SET LOCAL synchronous_commit TO on")
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK})")
