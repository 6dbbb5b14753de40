"""Connections to a project's database: one writer at a time, and what it wrote is on disk when it is done."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, DisconnectionError, InterfaceError

WAIT = 60  # seconds that a writer waits for the others
_LOCK = 0x656D6F6B6974  # PostgreSQL's name of the writer's lock


class Database:
    """An SQLite file or a PostgreSQL database.

    Parameters
    ----------
    where : path or str
        Of the file, or an SQLAlchemy URL.

    Attributes
    ----------
    name : str
        For messages, without the password.
    folder : Path or None
        The file's.

    Raises
    ------
    FileNotFoundError
        The file's folder does not exist.
    ModuleNotFoundError
        The database's driver is not installed.
    ValueError
        Neither SQLite nor PostgreSQL, a folder, or a database in memory.
    """

    def __init__(self, where: str | Path) -> None:
        url = _url(where)
        self.name, self.folder = url.render_as_string(), None
        options: dict[str, Any] = {}
        if url.get_backend_name() == "sqlite":
            self.name, self.folder = url.database, Path(url.database).absolute().parent
            options = {"connect_args": {"timeout": WAIT}}
            if not self.folder.is_dir():
                raise FileNotFoundError(f"{self.folder} does not exist; create the folder, then open {self.name}")
        try:
            self._engine = create_engine(url, **options)
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError(f"{self.name} needs {error.name}: pip install 'emokit[team]'") from error
        _prepare(self._engine)

    @contextmanager
    def writing(self, wait: bool = True) -> Iterator[Connection]:
        """A transaction that no other writer runs beside.

        It is on disk when it ends; without ``wait``, it is soon, and at the latest with the next one.
        """
        with self._errors(), self._engine.connect() as connection:
            connection = connection.execution_options(wait=wait)
            with connection.begin():
                yield connection

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that waits for nobody."""
        with self._errors(), self._engine.connect() as connection:
            yield connection

    def close(self) -> None:
        self._engine.dispose()

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """What the user can mend, in words."""
        try:
            yield
        except (DBAPIError, sqlite3.Error, ConnectionError) as error:
            text = str(getattr(error, "orig", error))
            for signs, kind, mend in _MENDS:
                if any(sign in text for sign in signs):
                    raise kind(f"{self.name} {mend} ({text})") from error
            # Whether a commit that was cut off is on disk is unknown; entering it again does no harm.
            if isinstance(error, InterfaceError | ConnectionError) or error.connection_invalidated:
                raise ConnectionError(
                    f"{self.name} does not answer; see that the server runs, then enter this again ({text})"
                ) from error
            raise


_MENDS = (
    (
        ("readonly database", "unable to open database", "read-only", "permission denied"),
        PermissionError,
        "cannot be written; nothing was saved. Get the right to write there, of a file in its folder, too, or make the "
        "project elsewhere",
    ),
    (
        ("database is locked", "lock timeout"),
        TimeoutError,
        f"was in the hands of another process for {WAIT} s; nothing was saved. End that process, or try again",
    ),
    (
        ("disk is full", "No space left"),
        OSError,
        "has no room left on its disk; nothing was saved. Free some, then try again",
    ),
    (("not a database",), ValueError, "is a file of another kind; choose another path"),
)


def _url(where: str | Path) -> URL:
    if "://" not in str(where):
        path = Path(where).expanduser().absolute()
        if path.is_dir():
            raise ValueError(f"{path} is a folder; name a file in it, such as {path / 'review.db'}")
        return URL.create("sqlite", database=str(path))
    try:
        url = make_url(str(where))
        kind = url.get_backend_name()
    except ArgumentError as error:
        raise ValueError(f"{where!r} is no database URL ({error})") from error
    if kind not in ("sqlite", "postgresql"):
        raise ValueError(f"a project lives in SQLite or PostgreSQL, not in {kind}; change the URL")
    if url.drivername == "postgresql":  # no driver named: the one that emokit[team] brings
        url = url.set(drivername="postgresql+pg8000")
    if kind == "sqlite" and url.database in (None, "", ":memory:"):
        raise ValueError("a project in memory ends with the kernel; give the path of a file")
    return url


def _prepare(engine: Engine) -> None:
    if engine.dialect.name == "sqlite":

        @event.listens_for(engine, "connect")
        def _connect(connection: sqlite3.Connection, _: Any) -> None:
            connection.isolation_level = None  # transactions begin below, not behind the scenes
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA fullfsync=ON")  # on macOS, beyond the disk's own memory

    else:

        @event.listens_for(engine, "checkout")
        def _checkout(connection: Any, *_: Any) -> None:
            try:
                engine.dialect.do_ping(connection)
            # The driver lets errors of the socket through, which SQLAlchemy's own ping does not expect.
            except Exception as error:
                raise DisconnectionError from error

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        wait = connection.get_execution_options().get("wait")
        if engine.dialect.name == "sqlite":
            if wait is None:
                connection.exec_driver_sql("BEGIN")
                return
            connection.exec_driver_sql(f"PRAGMA synchronous={'FULL' if wait else 'NORMAL'}")
            # A writer takes its lock at once: one that has read before could no longer wait for it.
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        elif wait is not None:
            connection.exec_driver_sql(
                f"SELECT set_config('synchronous_commit', '{'on' if wait else 'off'}', true), "
                f"set_config('lock_timeout', '{WAIT}s', true), pg_advisory_xact_lock({_LOCK})"
            )
