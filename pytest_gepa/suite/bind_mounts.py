"""Strict isolation (Linux): child sessions in mount namespaces, where the candidate's copies lie over the files.

Every reader sees the candidate then, in whatever language it is written. Nothing of it reaches the rest of the system.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from collections.abc import Iterable

from pytest_gepa.errors import RunnerError
from pytest_gepa.suite.runner import new_python, with_package

CLONE_NEWNS, CLONE_NEWUSER = 0x00020000, 0x10000000
MS_BIND, MS_REC, MS_PRIVATE = 0x1000, 0x4000, 0x40000

MEND = (
    "gepa_isolation = strict needs Linux with user namespaces for everybody (see the settings "
    "kernel.unprivileged_userns_clone, kernel.apparmor_restrict_unprivileged_userns and user.max_user_namespaces of "
    "sysctl; containers may forbid them); leave it out, and reads that cannot be redirected are errors"
)


def bind(pairs: Iterable[tuple[str, str]]) -> None:
    """Lay copies over files, as (file, copy), for this process and its children; it must have one thread only.

    Raises `RunnerError` if the system does not allow it.
    """
    if sys.platform != "linux":
        raise RunnerError(MEND)
    user, group = os.geteuid(), os.getegid()
    libc = ctypes.CDLL(None, use_errno=True)
    try:
        _checked(libc.unshare(CLONE_NEWUSER | CLONE_NEWNS))
        # The same user as before: files keep their owner, and programs their rights.
        for name, text in (
            ("setgroups", "deny"),
            ("uid_map", f"{user} {user} 1"),
            ("gid_map", f"{group} {group} 1"),
        ):
            with open(f"/proc/self/{name}", "w", encoding="ascii") as stream:
                stream.write(text)
        _mount(libc, b"none", b"/", MS_REC | MS_PRIVATE)
        for file, copy in pairs:
            _mount(libc, os.fsencode(copy), os.fsencode(os.path.realpath(file)), MS_BIND)
    except OSError as error:
        raise RunnerError(f"{MEND} ({error})") from error


def check() -> None:
    """Try it in a process of its own. Raises `RunnerError` if the system does not allow it."""
    command, environ = new_python("pytest_gepa.suite.bind_mounts"), with_package(os.environ)
    done = subprocess.run(command, env=environ, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode:
        raise RunnerError(done.stderr.strip() or MEND)


def _mount(libc: ctypes.CDLL, source: bytes, target: bytes, flags: int) -> None:
    _checked(libc.mount(source, target, None, ctypes.c_ulong(flags), None))


def _checked(result: int) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


if __name__ == "__main__":
    try:
        bind([(__file__, __file__)])
    except RunnerError as error:
        sys.exit(str(error))
