"""Whole runs of `pytest --gepa-optimize` in which no edit changes anything: how many say "proven better"?

    python benchmarks/verdict/through_pytest.py --out FILE [--runs 20] [--cases 20] [--flaky 1.0] [--options "..."]

A server on loopback plays both models. As a task model it answers a flaky case right half of the time whatever the
prompt says, half of the others always and the rest never; as a reflection model it adds a remark. Each run is a fresh
project and a line of JSON in FILE, so that a series that was cut off goes on.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from statistics import fmean
from typing import Any

APP = """\
import json
import os
import urllib.request
from pathlib import Path

PROMPT = Path(__file__).parent / "prompts" / "answer.md"


def answer(question):
    messages = [
        {"role": "system", "content": PROMPT.read_text(encoding="utf-8")},
        {"role": "user", "content": question},
    ]
    body = json.dumps({"model": "task", "messages": messages}).encode()
    url = os.environ["OPENAI_BASE_URL"] + "/chat/completions"
    headers = {"Content-Type": "application/json", "Authorization": "Bearer none"}
    with urllib.request.urlopen(urllib.request.Request(url, body, headers)) as reply:
        return json.load(reply)["choices"][0]["message"]["content"]
"""
TESTS = """\
import pytest

from app import answer


@pytest.mark.parametrize("number", range({cases}))
def test_answer(number):
    assert answer(f"question {{number}}") == "right"
"""


class Models:
    """What both models say in one run."""

    def __init__(self, cases: int, flaky: float, seed: int) -> None:
        self._source = random.Random(seed)
        number = max(1, round(flaky * cases))
        rates = [0.5] * number + [float(at % 2) for at in range(cases - number)]
        self._source.shuffle(rates)
        self._rates = rates
        self._lock = threading.Lock()
        self._remarks = 0

    def reply(self, request: dict[str, Any]) -> str:
        with self._lock:
            if request["model"] == "task":
                number = int(request["messages"][-1]["content"].removeprefix("question "))
                return "right" if self._source.random() < self._rates[number] else "wrong"
            self._remarks += 1
            edit = {"kind": "add", "find": "", "text": f"- Remark {self._remarks}."}
            diagnosis = {"case": "1", "problem": "the answer is wrong", "cause": "the prompt lacks a remark"}
            return json.dumps({"diagnoses": [diagnosis], "edits": [edit]})


class Handler(BaseHTTPRequestHandler):
    """One chat completion a request."""

    protocol_version = "HTTP/1.1"
    models: Models

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        message = {"role": "assistant", "content": self.models.reply(request)}
        usage = {"prompt_tokens": 10, "completion_tokens": 1, "total_tokens": 11}
        choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
        body = json.dumps({"id": "x", "model": request["model"], "choices": choices, "usage": usage}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@contextmanager
def serving(models: Models) -> Iterator[str]:
    """The address of a server that plays these models."""
    handler = type("OfOneRun", (Handler,), {"models": models})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()
        server.server_close()


def run(cases: int, flaky: float, seed: int, options: str) -> dict[str, Any]:
    """One optimization in a fresh project."""
    with tempfile.TemporaryDirectory() as directory, serving(Models(cases, flaky, seed)) as address:
        project = Path(directory)
        (project / "prompts").mkdir()
        (project / "prompts" / "answer.md").write_text("Answer the question.\n", encoding="utf-8")
        (project / "app.py").write_text(APP, encoding="utf-8")
        (project / "conftest.py").write_text("", encoding="utf-8")
        (project / "test_it.py").write_text(TESTS.format(cases=cases), encoding="utf-8")
        gepa = ["--gepa-optimize", "--gepa-reflection-model=reflector", f"--gepa-seed={seed}"]
        command = [sys.executable, "-m", "pytest", "-q", *gepa, *options.split()]
        environ = {**os.environ, "OPENAI_BASE_URL": address, "OPENAI_API_KEY": "none"}
        done = subprocess.run(command, cwd=project, env=environ, capture_output=True, text=True)
        found = list(project.glob(".gepa/runs/*/result.json"))
        if not found:
            raise RuntimeError(done.stdout + done.stderr)
        result = json.loads(found[0].read_text(encoding="utf-8"))
    kept = {name: result[name] for name in ("verdict", "effect", "p_value", "trials", "search_ended")}
    searched = result["searched"]["score"] if result["searched"] else None
    settings = {"cases": cases, "flaky": flaky, "seed": seed, "options": options}
    return {
        **settings,
        **kept,
        "searched": searched,
        "baseline": result["baseline"]["score"],
        **result["spent"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--cases", type=int, default=20)
    parser.add_argument("--flaky", type=float, default=1.0)
    parser.add_argument("--options", default="", help="further pytest options, as one string")
    args = parser.parse_args()
    lines = args.out.read_text(encoding="utf-8").splitlines() if args.out.exists() else []
    rows = [json.loads(line) for line in lines if line.endswith("}")]
    for seed in sorted(set(range(args.runs)) - {row["seed"] for row in rows}):
        rows.append(run(args.cases, args.flaky, seed, args.options))
        with args.out.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(rows[-1]) + "\n")
    proven = sum(row["verdict"] == "proven" for row in rows)
    confirmed = sum(row["trials"] > 0 for row in rows)
    print(f"{len(rows)} runs: {confirmed} had a winner to confirm, {proven} said proven better")
    print(f"mean of the confirmed effect, 0 without a winner: {100 * fmean(row['effect'] for row in rows):+.2f} points")
    rollouts, seconds = (fmean(row[name] for row in rows) for name in ("rollouts", "seconds"))
    print(f"mean rollouts {rollouts:.0f}, seconds {seconds:.0f}")


if __name__ == "__main__":
    main()
