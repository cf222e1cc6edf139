"""In which order reflections go out and their replies are taken in, so that nothing hangs on which comes first."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from pytest_gepa.evolve.tasks import Reflect, Reflected
from pytest_gepa.reflect.propose import ProposedEdit


class Turns:
    """Lets at most `places` pieces of work go on at once, and begin in the order in which their turns were drawn.

    Whatever draws a turn must take it, also to do nothing: those behind it wait for that.
    """

    def __init__(self, places: int) -> None:
        self._places = places
        self._drawn = 0
        self._over = 0
        self._changed = threading.Condition()

    def draw(self) -> int:
        """Draw the next turn."""
        with self._changed:
            self._drawn += 1
            return self._drawn

    @contextmanager
    def take(self, turn: int) -> Iterator[None]:
        """Wait until a turn has come; it is over when the block is left."""
        with self._changed:
            self._changed.wait_for(lambda: turn <= self._over + self._places)
        try:
            yield
        finally:
            with self._changed:
                self._over += 1
                self._changed.notify_all()


class RepliesInOrder:
    """Hands on replies in the order in which they were asked for; one that comes before its turn is held back."""

    def __init__(self) -> None:
        self._awaited: deque[str] = deque()
        self._held: dict[str, Reflected] = {}

    def expect(self, proposal: str) -> None:
        """Note that a reply is asked for."""
        self._awaited.append(proposal)

    def take(self, reply: Reflected) -> list[Reflected]:
        """The replies whose turn it is now that this one has come."""
        self._held[reply.proposal] = reply
        ready = []
        while self._awaited and self._awaited[0] in self._held:
            ready.append(self._held.pop(self._awaited.popleft()))
        return ready


def reply_of(
    task: Reflect, proposals: Sequence[ProposedEdit], otherwise: Sequence[str] = (), *, asked: bool = True
) -> Reflected:
    """The reply to a task; `otherwise` are the reasons why there is none, where there is no proposal."""
    rejections = [reason for proposal in proposals for reason in proposal.rejections]
    made = [proposal for proposal in proposals if proposal.text is not None]
    return Reflected(
        task.proposal,
        texts={one.component: one.text for one in made if one.text is not None},
        diagnosis="\n\n".join(f"{one.component}: {one.diagnosis}" for one in made),
        summaries={one.component: one.summary for one in made},
        rejections=tuple(rejections if proposals else otherwise),
        examples=tuple(example for one in proposals for example in one.examples),
        asked=asked,
    )
