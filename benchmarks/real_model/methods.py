"""The libraries beside pytest-gepa on one task: `gepa` and DSPy's MIPROv2, each with its own defaults."""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from openai import OpenAI
from task import IN_FLIGHT, PATIENCE, Case, Prefix, Task, prefix_of, url

MODEL = "local"


@dataclass(slots=True)
class Found:
    """What a method came to.

    `rollouts` are as the library counts them. `curve` holds (rollouts, best score so far in [0, 1]) on the cases by
    which the library itself chooses. `note` says what went wrong.
    """

    prefix: Prefix
    rollouts: int = 0
    reflections: int = 0
    curve: list[tuple[int, float]] = field(default_factory=list)
    note: str = ""


@dataclass(frozen=True, slots=True)
class Limits:
    """`rollouts` is the most to buy; `until` is a reading of `time.monotonic`."""

    rollouts: int
    until: float

    @property
    def late(self) -> bool:
        """Whether the time is up."""
        return time.monotonic() > self.until


def run_gepa(task: Task, reflector: str, seed: int, limits: Limits) -> Found:
    """`gepa.optimize` as it comes: all search cases as training and validation set, the assertion as feedback."""
    import gepa

    desk = _GepaAdapter(task)
    client = OpenAI(base_url=url(reflector), api_key="none", timeout=PATIENCE)
    asked: list[str] = []

    def reflect(prompt: str | list[dict[str, Any]]) -> str:
        messages = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt
        asked.append(str(prompt))
        # No limit on the reply, and the server's own sampling.
        reply = client.chat.completions.create(model=MODEL, messages=messages)  # type: ignore[arg-type]
        return reply.choices[0].message.content or ""

    result = gepa.optimize(
        seed_candidate={"prompt": task.prompt},
        trainset=task.search,
        adapter=desk,
        reflection_lm=reflect,
        max_metric_calls=limits.rollouts,
        stop_callbacks=lambda state: limits.late,
        seed=seed,
        # A prompt that has outgrown the context must not end the run.
        raise_on_exception=False,
    )
    return Found(
        prefix_of(result.best_candidate["prompt"]),
        result.total_metric_calls,
        len(asked),
        _best_so_far(zip(result.discovery_eval_counts, result.val_aggregate_scores, strict=True)),
    )


class _GepaAdapter:
    """What `gepa` asks of a system: see its `GEPAAdapter`."""

    propose_new_texts = None

    def __init__(self, task: Task) -> None:
        self._task = task

    def evaluate(self, batch: list[Case], candidate: dict[str, str], capture_traces: bool = False) -> Any:
        from gepa.core.adapter import EvaluationBatch

        judged = self._task.run(prefix_of(candidate["prompt"]), batch)
        traces = list(zip(batch, judged, strict=True)) if capture_traces else None
        return EvaluationBatch([one.answer for one in judged], [one.score for one in judged], traces)

    def make_reflective_dataset(
        self, candidate: dict[str, str], eval_batch: Any, components_to_update: list[str]
    ) -> dict[str, list[dict[str, str]]]:
        records = [
            {"Inputs": case.text, "Generated Outputs": judged.answer, "Feedback": judged.feedback}
            for case, judged in eval_batch.trajectories
        ]
        return dict.fromkeys(components_to_update, records)


class BudgetUsedUp(Exception):
    """Raised in place of a rollout that the limits do not hold."""


def run_mipro(task: Task, reflector: str, seed: int, limits: Limits) -> Found:
    """MIPROv2 with the numbers of its `auto="light"`, but for as many trials as the rollouts allow.

    The task model is asked as the application asks it, examples as turns before. As DSPy does by itself, it learns from
    a fifth of the search cases and chooses by the others. A trial that the limits cut short scores what it has.
    """
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # else it looks for one on the network
    import dspy

    dspy.configure_cache(enable_disk_cache=False)
    asked = _counter()
    prompt_model = dspy.LM(
        f"openai/{MODEL}", api_base=url(reflector), api_key="none", timeout=PATIENCE, callbacks=[asked]
    )
    adapter = _plain_adapter(task, limits)
    program = _program(dspy, task.prompt, adapter)
    examples = [dspy.Example(text=case.text, answer=case.label, case=case).with_inputs("text") for case in task.search]
    random.Random(seed).shuffle(examples)
    optimizer = dspy.MIPROv2(
        metric=lambda example, prediction, trace=None: task.judge(example.case, prediction.answer).score == 1,
        prompt_model=prompt_model,
        task_model=prompt_model,  # never asked: the adapter asks in its place
        auto=None,
        num_candidates=6,
        num_threads=IN_FLIGHT,
        max_errors=10**9,
        seed=seed + 1,  # 0 would mean its default
    )
    note, best = "", program
    try:
        best = optimizer.compile(
            program,
            trainset=examples,
            # More than the rollouts hold: a combination that is drawn again costs none.
            num_trials=1 + 2 * limits.rollouts // len(examples),
            minibatch=False,
        )
    except Exception as error:
        note = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
    predictor = best.predictors()[0]
    prefix = adapter.prefix(predictor.signature, predictor.demos)
    trials = getattr(best, "trial_logs", {})
    scored = (
        (trial["total_eval_calls_so_far"], trial["full_eval_score"] / 100)
        for trial in trials.values()
        if "total_eval_calls_so_far" in trial
    )
    return Found(prefix, adapter.rollouts, asked.calls, _best_so_far(scored), note)


def _counter() -> Any:
    from dspy.utils.callback import BaseCallback

    class Calls(BaseCallback):  # type: ignore[misc]
        """Counts the calls of a model and of its copies, which share no history."""

        calls = 0

        def on_lm_start(self, *args: Any, **kwargs: Any) -> None:
            self.calls += 1

    return Calls()


def _program(dspy: Any, prompt: str, adapter: Any) -> Any:
    class Answer(dspy.Module):  # type: ignore[misc, name-defined]
        """Answers a text as the prompt says."""

        def __init__(self) -> None:
            super().__init__()
            self.answer = dspy.Predict(dspy.Signature("text -> answer", prompt))

        def forward(self, text: str) -> Any:
            with dspy.context(adapter=adapter):
                return self.answer(text=text)

    return Answer()


def _plain_adapter(task: Task, limits: Limits) -> Any:
    import dspy

    class Plain(dspy.Adapter):  # type: ignore[misc, name-defined]
        """The instructions as system message, examples as turns, the text as it is. Equal requests are asked once."""

        def __init__(self) -> None:
            super().__init__()
            self.rollouts = 0
            self._lock = threading.Lock()
            self._answers: dict[tuple[str, ...], str] = {}

        def prefix(self, signature: Any, demos: Sequence[Any]) -> Prefix:
            turns = [
                {"role": role, "content": str(demo[name])}
                for demo in demos
                for role, name in (("user", "text"), ("assistant", "answer"))
            ]
            return [{"role": "system", "content": signature.instructions}, *turns]

        def __call__(self, lm: Any, lm_kwargs: Any, signature: Any, demos: Any, inputs: Any) -> Any:
            prefix = self.prefix(signature, demos)
            key = (*(message["content"] for message in prefix), inputs["text"])
            if key not in self._answers:
                with self._lock:
                    if self.rollouts >= limits.rollouts or limits.late:
                        raise BudgetUsedUp
                    self.rollouts += 1
                self._answers[key] = task.answer(prefix, inputs["text"])
            return [{"answer": self._answers[key]}]

    return Plain()


def _best_so_far(scored: Any) -> list[tuple[int, float]]:
    best, curve = -1.0, []
    for rollouts, score in sorted(scored):
        if score > best:
            best = score
            curve.append((int(rollouts), round(float(score), 4)))
    return curve


LIBRARIES: dict[str, Callable[[Task, str, int, Limits], Found]] = {"gepa": run_gepa, "mipro": run_mipro}
