"""A PostgreSQL server of Debian's package, for the time of the tests."""

import os
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path


def programs():
    """Folder of ``initdb`` and ``pg_ctl``, or None."""
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    found = shutil.which("pg_ctl")
    return installed[-1] if installed else found and Path(found).resolve().parent


@contextmanager
def server():
    """URL of the server's database; it listens to a socket in its own folder."""
    bin_, folder = programs(), Path(tempfile.mkdtemp(prefix="pg"))
    # The server refuses to run as root.
    user = {"user": "postgres", "group": "postgres", "extra_groups": []} if os.getuid() == 0 else {}
    if user:
        shutil.chown(folder, "postgres", "postgres")

    def run(program, *arguments):
        subprocess.run(
            [bin_ / program, "-D", folder / "data", *arguments],
            check=True,
            stdout=subprocess.DEVNULL,
            cwd=folder,
            **user,
        )

    try:
        run("initdb", "--username=postgres", "--auth=trust", "--no-sync", "--encoding=UTF8", "--no-locale")
        run(
            "pg_ctl",
            "start",
            "-w",
            "-l",
            folder / "log",
            "-o",
            f"-c listen_addresses= -c fsync=off -c max_connections=300 -k {folder}",
        )
        try:
            yield f"postgresql+pg8000://postgres@/postgres?unix_sock={folder}/.s.PGSQL.5432"
        finally:
            run("pg_ctl", "stop", "-w", "-m", "immediate")
    finally:
        shutil.rmtree(folder)
