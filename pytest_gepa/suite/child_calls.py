"""Calls that Python processes make which a case has started: told to the case, and answered from the same stores.

A fork of the process that runs cases has its capture already; a fresh Python gets one here, through `sitecustomize`,
once it imports an HTTP library.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from pytest_gepa.trace.import_hook import ImportWatch

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pytest_gepa.suite.job import Job
    from pytest_gepa.trace.mailbox import Mailbox
    from pytest_gepa.trace.recorder import Recorder
    from pytest_gepa.trace.redact import Redactor

ABOUT = "about-calls"
"""The file with what children must know, beside the description of the overlay, which every child is given."""

LIBRARIES = ("httpx", "httpx2", "requests", "urllib3", "aiohttp", "http.client")
"""The modules whose import shows that a process may make calls; those that the capture understands."""


def capture_calls(
    recorder: Recorder,
    redactor: Redactor,
    *,
    cache: str,
    recording: str,
    trial: str,
    replay: str,
    costs: str,
    root: int,
    prompts: Mapping[str, str],
    look: Callable[[str], None] | None = None,
) -> None:
    """Record the calls of this process from now on; `root` is the session's process, `prompts` are the texts of the
    components by id, `look` is told the address of each call, the rest is its job's."""
    from pytest_gepa.cost.meter import Meter
    from pytest_gepa.suite.closed_off import close_off
    from pytest_gepa.suite.own_servers import is_own_server
    from pytest_gepa.trace import capture
    from pytest_gepa.trace.admission import Target
    from pytest_gepa.trace.attribution import holds_component
    from pytest_gepa.trace.cache import ResponseCache

    def is_own(url: str) -> bool:
        if look is not None:
            look(url)
        return is_own_server(url, root)

    def not_stored(why: str) -> None:
        recorder.add_problem(f"answers are not stored, and are paid for again: {why}")

    def note_lack(why: str) -> None:
        if kept is not None:
            kept.note_lack(why)

    def not_recorded(why: str) -> None:
        recorder.add_problem(f"answers are not recorded, nor found in the recording: {why}")
        note_lack(why)

    kept = ResponseCache(Path(recording), not_recorded, note_lack) if recording else None

    capture.install(
        Target(
            recorder=recorder,
            cache=ResponseCache(Path(cache), not_stored) if cache else None,
            trial=trial,
            replay=replay,
            recording=kept,
            redact=lambda text: redactor.refreshed().redact_certain(text),
            meter=Meter.found_in(costs),
            is_own=is_own,
            holds_prompt=lambda asked: holds_component(prompts, asked.texts),
            mask=lambda text: redactor.refreshed().redact(text),
        )
    )
    if replay == "only":
        close_off(recorder.add_refusal)


def share_calls(recorder: Recorder, directory: Path, job: Job, redactor: Redactor, root: int) -> None:
    """Have the recorder hear of calls in the children of this process from now on; `directory` is that of the process's
    own overlay, `root` the session's process."""
    recorder.mailbox = _mailbox(directory, os.getpid(), redactor)
    about = {
        "owner": os.getpid(),
        "cache": job.cache,
        "recording": job.recording,
        "trial": job.trial,
        "replay": job.replay,
        "costs": job.costs,
        "redact": list(job.redact),
        "root": root,
        "prompts": job.texts,
    }
    (directory / ABOUT).write_text(json.dumps(about), encoding="utf-8")


def watch(directory: str) -> None:
    """Install the capture in this process, a fresh child, as soon as it has imported an HTTP library."""
    about = Path(directory, ABOUT)
    if not about.exists():
        return

    def imported(module: ModuleType) -> None:
        waiting.stop()
        install(about)

    waiting = ImportWatch(LIBRARIES, imported)
    waiting.start()


def install(description: Path) -> None:
    """Install the capture in this process, a fresh child, as the file says."""
    from pytest_gepa.trace.recorder import Recorder
    from pytest_gepa.trace.redact import Redactor

    about = json.loads(description.read_text(encoding="utf-8"))
    redactor = Redactor(os.environ, about.pop("redact"))
    recorder = Recorder()
    recorder.mailbox = _mailbox(description.parent, about.pop("owner"), redactor)
    try:
        capture_calls(recorder, redactor, **about)
    except Exception as error:
        recorder.add_problem(f"the calls of a child process are not seen: {type(error).__name__}: {error}")


def _mailbox(directory: Path, owner: int, redactor: Redactor) -> Mailbox:
    from pytest_gepa.trace.mailbox import Mailbox

    return Mailbox(directory / "calls", owner, lambda told: redactor.refreshed().redact_trajectory(told))
