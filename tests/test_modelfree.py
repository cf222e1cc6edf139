"""Whole runs on what the checks state: without a reflection model, and beside one."""

from __future__ import annotations

import json
from functools import partial
from itertools import count

import pytest

from tests.fake_openai import Body
from tests.harness import KEY, PROMPT, Project, Run, edits

LABELS = ("billing", "fault", "sales")
RULE = "Answer with exactly one of `billing`, `fault` and `sales`, spelt as here, and nothing else."
TICKETS = [(f"ticket about {label}, the {n}th", label) for n in range(4) for label in LABELS]
TEST = f"""\
import pytest

from app import route

CASES = {TICKETS}


@pytest.mark.parametrize(("ticket", "queue"), CASES)
def test_queue(ticket, queue):
    assert route("ticket", ticket) == queue
"""


def by_labels(request: Body) -> str:
    """Knows the queue, and how it is spelt only if the prompt says so."""
    system, user = (message["content"] for message in request["messages"])
    label = next(label for label in LABELS if label in user)
    return label if RULE in system else f"The {label} queue"


@pytest.fixture
def labelled(project: Project) -> Project:
    project.write({"test_route.py": TEST, PROMPT: "Say which queue a ticket belongs to.\n"})
    project.world.task = by_labels
    return project


def without_model(project: Project, *args: str) -> Run:
    usual = ("--gepa-optimize", "--gepa-reflection-model=none", "--gepa-concurrency=1")
    return project.pytest(*usual, *args)


def test_without_a_reflection_model_the_labels_that_the_cases_state_are_found(labelled: Project):
    labelled.commit()
    run = without_model(labelled)
    assert run.code == 0, run.everything
    assert run.result["verdict"] == "proven"
    assert run.reflections == []
    assert run.result["spent"]["reflections"] == 0
    run.matches("*no reflection model (rules and examples are taken from the cases)*")
    labelled.shell(f"git apply {run.best_patch}")
    assert labelled.prompt() == f"Say which queue a ticket belongs to.\n{RULE}\n"
    (edit,) = run.result["edits"]
    assert [change["origin"] for change in edit["changes"]] == ["model-free"]
    assert "12 failing cases had something else than one of the 3 labels" in edit["changes"][0]["diagnosis"]
    assert "model-free change for" in run.best_patch.read_text(encoding="utf-8")
    report = (run.directory / "report.md").read_text(encoding="utf-8")
    assert f"Model-free change for `{PROMPT}`" in report
    assert "Stated by the checks of the cases:" in report


@pytest.mark.thorough
def test_it_needs_no_key_and_no_server_for_reflection(labelled: Project):
    labelled.write(
        {"app.py": (labelled.root / "app.py").read_text().replace("os.environ['OPENAI_API_KEY']", repr(KEY))}
    )
    env = {"OPENAI_API_KEY": "", "GEPA_REFLECTION_BASE_URL": "http://127.0.0.1:9/v1"}
    usual = ("--gepa-optimize", "--gepa-reflection-model=none")
    assert labelled.pytest(*usual, env=env).result["verdict"] == "proven"


@pytest.mark.thorough
def test_the_same_seed_gives_the_same_patch_and_a_replay_as_well(labelled: Project):
    first = without_model(labelled, "--gepa-concurrency=4")
    assert without_model(labelled, "--gepa-replay=off").best_patch.read_bytes() == first.best_patch.read_bytes()
    replayed = without_model(labelled, "--gepa-replay=only")
    assert replayed.task_requests == []


def test_where_nothing_is_stated_the_run_ends_by_itself(project: Project):
    run = without_model(project, "--gepa-trials=1")
    assert run.code == 0, run.everything
    assert run.result["verdict"] == "not proven"
    assert run.reflections == []


@pytest.mark.thorough
def test_a_rule_that_the_checks_state_is_tried_before_a_model_is_paid_to_read_it(labelled: Project):
    run = labelled.optimize()
    assert run.result["verdict"] == "proven", run.everything
    assert run.reflections == []
    assert run.result["spent"]["reflections"] == 0


JSON_TEST = f"""\
import json

import pytest

from app import route

CASES = {[(ticket, {"queue": label}) for ticket, label in TICKETS]}


@pytest.mark.parametrize(("ticket", "wanted"), CASES)
def test_queue(ticket, wanted):
    assert json.loads(route("ticket", ticket)) == wanted
"""


def by_form_and_labels(request: Body, known: str = "") -> str:
    """Answers with JSON if the prompt says so, and with the labels as they are spelt only if it says that too, but for
    the one that is known anyhow.
    """
    system, user = (message["content"] for message in request["messages"][:: len(request["messages"]) - 1])
    label = next(label for label in LABELS if label in user)
    is_spelt = label == known or "The value of `queue` is exactly one of" in system
    queue = label if is_spelt else f"The {label} queue"
    return json.dumps({"queue": queue}) if "Answer with one JSON object" in system else queue


@pytest.mark.thorough
def test_as_long_as_such_rules_help_the_next_one_is_tried_before_the_model_is_asked(labelled: Project):
    labelled.write({"test_route.py": JSON_TEST})
    labelled.world.task = partial(by_form_and_labels, known="sales")  # so that the form alone is a gain
    run = labelled.optimize("--gepa-trials=1")
    assert run.result["verdict"] == "proven", run.everything
    assert run.result["winner"]["passed"] == 12
    assert run.reflections == []
    patch = run.best_patch.read_text(encoding="utf-8").partition("diff --git")[2]
    assert "+Answer with one JSON object and nothing else" in patch
    assert "+The value of `queue` is exactly one of `billing`, `fault` and `sales`, spelt as here." in patch


def test_where_such_a_rule_alone_only_gets_the_tests_further_the_next_is_tried_before_the_model_is_asked(
    labelled: Project,
):
    labelled.write({"test_route.py": JSON_TEST})
    labelled.world.task = by_form_and_labels
    run = labelled.optimize("--gepa-trials=1")
    assert run.result["verdict"] == "proven", run.everything
    assert run.result["winner"]["passed"] == 12
    assert run.reflections == []
    assert [one["kind"] for one in run.records("decision")][1:3] == ["step", "accepted"]
    alone, together = (proposal["text"] for proposal in run.records("proposal"))
    assert together.startswith(alone)
    patch = run.best_patch.read_text(encoding="utf-8").partition("diff --git")[2]
    assert "+Answer with one JSON object and nothing else" in patch
    assert "+The value of `queue` is exactly one of `billing`, `fault` and `sales`, spelt as here." in patch


READ_OR_NOT = """\
    found = route("ticket", ticket)
    try:
        found = json.loads(found)
    except ValueError:
        pass
    assert found == wanted
"""


@pytest.mark.thorough
def test_where_such_a_rule_alone_is_no_gain_all_that_is_stated_is_tried_before_the_model_is_asked(
    labelled: Project,
):
    # A text differs from an object of one field in as much as another such object does.
    labelled.write({"test_route.py": JSON_TEST.partition("    assert")[0] + READ_OR_NOT})
    labelled.world.task = by_form_and_labels
    run = labelled.optimize("--gepa-trials=1")
    assert run.result["verdict"] == "proven", run.everything
    assert run.result["winner"]["passed"] == 11  # and one case is the example
    assert run.reflections == []
    patch = run.best_patch.read_text(encoding="utf-8").partition("diff --git")[2]
    assert "+Answer with one JSON object and nothing else" in patch
    assert "+Example input: " in patch
    assert "+The value of `queue` is exactly one of `billing`, `fault` and `sales`, spelt as here." in patch


@pytest.mark.thorough
def test_where_that_rule_helps_a_model_that_fails_at_its_first_request_is_told_and_the_verdict_stands(
    labelled: Project,
):
    # "sales" needs another rule, which nobody makes.
    heeds = labelled.world.task
    labelled.world.task = lambda request: "?" if "about sales" in json.dumps(request) else heeds(request)
    labelled.world.reflect = lambda request: (401, {"error": {"message": f"Incorrect API key: {KEY}"}})
    run = labelled.optimize()
    assert run.code == 0, run.everything
    assert run.result["verdict"] == "proven"
    assert len(run.reflections) == 1
    (warning,) = run.result["warnings"]
    assert warning.startswith("the reflection model failed, so that no more edits were asked for: ")
    assert "check OPENAI_API_KEY (status 401" in warning
    run.matches("warning * the reflection model failed, *check OPENAI_API_KEY*", "*git apply *best.patch")
    assert "ERROR" not in run.everything
    assert KEY not in run.everything
    assert "**Warning:** the reflection model failed" in (run.directory / "report.md").read_text("utf-8")


@pytest.mark.thorough
def test_where_that_rule_does_not_help_the_model_makes_the_edits(labelled: Project):
    rule = "Name the queue and nothing else."

    def hears_another(request: Body) -> str:
        told = json.dumps(request)
        return "?" if RULE in told else by_labels(json.loads(told.replace(rule, RULE)))

    labelled.world.task = hears_another
    labelled.world.reflect = lambda request: edits(f"- {rule}")
    run = labelled.optimize()
    assert run.result["verdict"] == "proven", run.everything
    proposals = run.records("proposal")
    # The rule, the rule with an example, and then a model is paid.
    assert [proposal["origin"] for proposal in proposals][:3] == ["model-free", "model-free", "model"]
    assert rule in run.best_patch.read_text(encoding="utf-8")
    assert RULE not in run.best_patch.read_text(encoding="utf-8").partition("diff --git")[2]


@pytest.mark.thorough
def test_beside_a_model_a_reply_without_an_edit_gives_way_to_what_is_stated(labelled: Project):
    # Only when the labels are told twice over does the task's model heed them.
    heeds = labelled.world.task
    labelled.world.task = lambda request: heeds(request) if "Example input" in json.dumps(request) else "?"
    labelled.world.reflect = lambda request: "I would rather not."
    run = labelled.optimize()
    assert run.reflections
    origins = {proposal["origin"] for proposal in run.records("proposal") if proposal["text"] is not None}
    assert origins == {"model-free"}
    assert run.result["spent"]["reflections"] == len(run.reflections)


@pytest.mark.thorough
def test_a_model_whose_replies_are_never_of_use_is_given_up(labelled: Project):
    tickets = [(f"ticket about {label}, the {n}th", label) for n in range(12) for label in LABELS]
    labelled.write({"test_route.py": TEST.replace(str(TICKETS), str(tickets))})
    labelled.world.task = lambda request: "?"
    labelled.world.reflect = lambda request: "{}"
    run = labelled.optimize("--gepa-concurrency=1")
    asked = [one for one in run.records("proposal") if one["replies"]]
    assert len(asked) == 12
    assert len(run.reflections) == 24  # each was asked for once more
    run.matches("warning*12 requests in a row to the reflection model brought no edit*asked no more")
    assert len(run.records("proposal")) > 12


@pytest.mark.thorough
def test_where_rules_do_half_of_it_and_a_weak_model_nothing_a_new_line_begins_with_examples(
    labelled: Project,
):
    words = {"an invoice": "billing", "a broken lamp": "fault", "an offer": "sales"}
    tickets = [(f"about {word}, the {n}th", label) for n in range(4) for word, label in words.items()]
    labelled.write({"test_route.py": TEST.replace(str(TICKETS), str(tickets))})
    replies = count()

    def by_example_rather(request: Body) -> str:
        system, user = (message["content"] for message in request["messages"])
        label = next(label for word, label in words.items() if word in user)
        if RULE in system:
            return "?" if label == "sales" else label
        return label if "Example input" in system else f"The {label} queue"

    labelled.world.task = by_example_rather
    labelled.world.reflect = lambda request: edits(f"- Take care, as in note {next(replies)}.")
    labelled.commit()
    run = labelled.optimize()
    assert run.result["verdict"] == "proven", run.everything
    labelled.shell(f"git apply {run.best_patch}")
    assert RULE not in labelled.prompt(), run.everything
    assert labelled.prompt().count("Example input: ") == len(run.result["excluded"]) > 0


def test_held_out_cases_give_no_label(labelled: Project):
    secret = "zebra-crossing"
    marked = f'CASES.append(pytest.param("a striped ticket", {secret!r}, marks=pytest.mark.gepa(split="holdout")))\n'
    labelled.write({"test_route.py": TEST.replace("\n\n\n@", f"\n{marked}\n\n@", 1)})
    task = labelled.world.task
    labelled.world.task = lambda request: "?" if "striped" in json.dumps(request) else task(request)
    run = without_model(labelled)
    assert run.result["verdict"] == "proven", run.everything
    assert secret not in run.best_patch.read_text(encoding="utf-8")
    assert RULE in run.best_patch.read_text(encoding="utf-8")
