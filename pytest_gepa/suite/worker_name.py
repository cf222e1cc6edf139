"""What a process of cases is called, by which fixtures keep what is its own: a database, a port, a directory."""

from __future__ import annotations

import os
import sys

import pytest

from pytest_gepa.suite.job import Job

NAME, COUNT = "PYTEST_XDIST_WORKER", "PYTEST_XDIST_WORKER_COUNT"


def name_of(job: Job, place: int) -> dict[str, str]:
    """The variables that name a process as pytest-xdist would name its worker; none where it is the only one."""
    return {NAME: f"gw{place}", COUNT: str(job.processes)} if job.processes > 1 else {}


class WorkerName:
    """A plugin with the fixture `worker_id` of pytest-xdist, in place of that one's, and the one by which pytest-django
    names the databases of a worker.

    It is all that is taken over. Plugins tell a worker of xdist by `config.workerinput`, and then read from it what
    xdist and their own other half have put there: they would fail without.
    """

    @pytest.fixture(scope="session")
    def worker_id(self) -> str:
        """The name of this process, "master" where it is the only one."""
        return os.environ.get(NAME, "master")

    @pytest.fixture(scope="session")
    def django_db_modify_db_settings_xdist_suffix(self) -> None:
        """Give the test databases of this process a name of their own: `test_orders_gw1`."""
        django = sys.modules.get("pytest_django.fixtures")
        give = getattr(django, "_set_suffix_to_test_databases", None)
        if NAME in os.environ and give is not None:
            give(suffix=os.environ[NAME])
