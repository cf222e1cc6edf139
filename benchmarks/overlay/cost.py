"""What the overlay costs a process: opens, redirected or not, other audit events, the start of a Python child.

python benchmarks/overlay/cost.py
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROUNDS, OPENS, STARTS = 15, 2_000, 15


def microseconds(work: Callable[[], object]) -> float:
    """Median over rounds of the time of one call."""
    times = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        for _ in range(OPENS):
            work()
        times.append((time.perf_counter() - started) / OPENS * 1e6)
    return statistics.median(times)


def milliseconds(environ: dict[str, str]) -> float:
    """Median time of a Python child that does nothing."""
    times = []
    for _ in range(STARTS):
        started = time.perf_counter()
        subprocess.run([sys.executable, "-c", ""], env=environ, check=True)
        times.append((time.perf_counter() - started) * 1e3)
    return statistics.median(times)


def main() -> None:
    from pytest_gepa.suite.job import PromptFile
    from pytest_gepa.suite.overlay import Overlay

    top = Path(tempfile.mkdtemp())
    prompts, other = [top / f"prompt-{number}.md" for number in range(20)], top / "other.txt"
    for path in (*prompts, other):
        path.write_text("text " * 200)
    ways: dict[str, Callable[[], object]] = {
        "open() of another file, closed": lambda: open(other).close(),
        "Path.read_text of another file": lambda: other.read_text(),
        "os.open of another file, closed": lambda: os.close(os.open(other, os.O_RDONLY)),
        "Path.read_text of a prompt": lambda: prompts[7].read_text(),
        "another audit event": lambda: sys.audit("a.name"),
    }
    before = {name: microseconds(way) for name, way in ways.items()}
    plain = dict(os.environ)
    start_before = milliseconds(plain)
    overlay = Overlay(lambda _: None)
    overlay.install(
        [PromptFile.of(str(path), {path.name: "x"}, b"text " * 200) for path in prompts],
        top / "copies",
        str(top),
    )
    print(f"{'':40} {'without':>9} {'with':>9} {'more':>9}")
    for name, way in ways.items():
        after = microseconds(way)
        print(f"{name:40} {before[name]:7.2f}us {after:7.2f}us {after - before[name]:7.2f}us")
    start_after = milliseconds(dict(os.environ))
    print(
        f"{'start of a Python child':40} {start_before:7.1f}ms {start_after:7.1f}ms {start_after - start_before:7.1f}ms"
    )


if __name__ == "__main__":
    main()
