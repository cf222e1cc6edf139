"""What a check of unchanged prompts takes beyond pytest's own collection, in a small repository.

python benchmarks/check/unchanged.py [TIMES]     (default: 9 of each, in turn)
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

FILES = {
    "pytest.ini": "[pytest]\n",
    "prompts/greet.md": "Greet the user.\n",
    "test_greet.py": "def test_greet():\n    pass\n",
}
GIT = ("git", "-c", "user.name=t", "-c", "user.email=t@example.org")


def seconds(directory: str, *options: str) -> float:
    """The time of one session, which must end well."""
    started = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "pytest", *options],
        cwd=directory,
        env={**os.environ, "PYTEST_ADDOPTS": ""},
        capture_output=True,
        check=True,
    )
    return time.perf_counter() - started


def main() -> None:
    """Print both medians."""
    times = int(sys.argv[1]) if len(sys.argv) > 1 else 9
    with tempfile.TemporaryDirectory() as directory:
        for name, text in FILES.items():
            path = Path(directory) / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
        for words in (("init", "-q", "-b", "main"), ("add", "-A"), ("commit", "-q", "-m", "all")):
            subprocess.run([*GIT, *words], cwd=directory, check=True)
        pairs = [(seconds(directory, "--collect-only", "-q"), seconds(directory, "--gepa-check")) for _ in range(times)]
    collected, checked = (statistics.median(side) for side in zip(*pairs, strict=True))
    print(f"pytest --collect-only -q   {collected:.2f} s")
    print(f"pytest --gepa-check        {checked:.2f} s, {checked - collected:.2f} s more")


if __name__ == "__main__":
    main()
