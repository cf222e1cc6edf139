from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_gepa.reflect.scrub import scrub, scrub_output
from pytest_gepa.trace.redact import Redactor


@pytest.mark.parametrize(
    ("text", "scrubbed"),
    [
        ("see /tmp/pytest-of-me/pytest-31/test_a0/out.txt", "see <tmp>/test_a0/out.txt"),
        ("PosixPath('/home/me/t/pytest-of-me/pytest-2/x0')", "PosixPath('<tmp>/x0')"),
        (r"C:\Users\me\Temp\pytest-of-me\pytest-7\a0", r"<tmp>\a0"),
        ("/tmp/tmpab12cd_9/report.json", "<tmp>/report.json"),
        ("/tmp/gepa-4711-x/report.json", "<tmp>/report.json"),
        ("<Client object at 0x7f3a5c0b2d90>", "<Client object at 0x...>"),
        ("<Mock name='ask' id='140234567890123'>", "<Mock name='ask' id='...'>"),
        ("request chatcmpl-9aXyZ0123456789abcdef failed", "request chatcmpl-<id> failed"),
        ("call_a1B2c3D4e5F6g7H8i9J0", "call_<id>"),
        ("data:image/png;base64," + "QUJD" * 50, "data:image/png;base64,<data>"),
    ],
)
def test_what_changes_from_run_to_run_is_replaced(text: str, scrubbed: str) -> None:
    assert scrub(text) == scrubbed


MOMENTS = (
    "<Client object at 0x7f{}d90>",
    "<Mock name='ask' id='140{}'>",
    "2026-11-23 22:20:33,{} INFO",
    "2026-11-23T22:20:33.{}Z",
    "22:20:33.{}",
    "pid={}",
    "in 0.{} s",
    ".gepa/runs/2026-11-23-1/x",
)


@pytest.mark.parametrize("text", MOMENTS)
@pytest.mark.parametrize("pattern", [r"\d{6}", r"\d{4}-\d{2}-\d{2}", r"\d{4}"])
def test_it_is_replaced_just_so_where_a_pattern_of_the_users_matches_a_part(text: str, pattern: str) -> None:
    """Else what is asked of a model would hang on the moment."""
    redact = Redactor({}, [pattern]).redact
    shown = {scrub_output(redact(text.format(moment))) for moment in ("123456", "999999", "654321")}

    assert len(shown) == 1


@given(st.from_regex(r"\A[0-9a-f]{12}\Z"), st.sampled_from([r"\d{6}", r"\d+", r"\d{4}", r"[0-9a-f]{4}"]))
def test_an_address_is_replaced_just_so_whether_a_pattern_matches_it_or_not(name: str, pattern: str) -> None:
    redact = Redactor({}, [pattern]).redact

    assert scrub(f"<A at 0x{redact(name)}>") == "<A at 0x...>"


@pytest.mark.parametrize(
    "text",
    [
        "Save the summary as /tmp/report.json.",
        "The register holds 0x7f3a5c0b.",
        "call_the_customer_back and run_the_checks_again_later",
        "Order 4711 of 2024-03-05 took 3 seconds, from 12:30:00 to 12:31:00.",
        "tests/test_route.py:12: AssertionError",
        "GMT-0012 id='A17'",
    ],
)
def test_text_that_a_check_may_depend_on_is_kept(text: str) -> None:
    assert scrub(text) == text


def test_output_loses_times_durations_ports_and_request_lines() -> None:
    logged = (
        "2026-11-23 22:20:33,123 INFO loading\n"
        'INFO httpx:_client.py:1025 HTTP Request: POST http://127.0.0.1:41233/v1 "HTTP/1.1 200 OK"\n'
        "pid=4711 at localhost:8123 answered in 0.35 s\n"
    )
    assert scrub_output(logged) == "<time> INFO loading\npid=<pid> at localhost:<port> answered in <duration>\n"


@given(st.text(alphabet=st.characters(exclude_categories=()), max_size=200))
def test_scrubbed_text_can_be_sent_and_is_not_changed_by_scrubbing_again(text: str) -> None:
    scrubbed = scrub(text)
    assert "\r" not in scrubbed
    assert scrub(scrubbed.encode("utf-8").decode("utf-8")) == scrubbed
