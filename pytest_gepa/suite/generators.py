"""The random generators that a whole process shares: each forked process draws anew, unless somebody has seeded."""

from __future__ import annotations

import hashlib
import random
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

from pytest_gepa.trace.import_hook import ImportWatch

_NUMPY = "numpy.random"
_SHARED = {
    "faker.generator": "random",
    "factory.random": "randgen",
    "model_bakery.random_gen": "baker_random",
    "polyfactory.constants": "DEFAULT_RANDOM",
}
"""Modules that have one `random.Random` for all who use them, and its name."""


class Generators:
    """Those of `random`, of NumPy and of libraries whose users share one, in a process that collects cases and may be
    forked.

    What nobody has seeded is drawn anew in each process: siblings would make the same "random" names. Where a conftest
    or a test's module has seeded when it was imported, chance is meant to be the same in every run. So each case begins
    with a seed that is made of that state and of its own name, whichever cases ran before it in its process.
    """

    def __init__(self) -> None:
        self._all = [_Generator(random.seed, random.random, random.getstate)]
        # Whoever uses one imports it; NumPy costs too much to be imported for nothing.
        names = (_NUMPY, *_SHARED)
        for name in names:
            if name in sys.modules:
                self._adopt(sys.modules[name])
        ImportWatch([name for name in names if name not in sys.modules], self._adopt).start()

    def end_collection(self) -> None:
        """Look what has been seeded by now, as everything has been imported."""
        for generator in self._all:
            generator.look()

    def begin_worker(self) -> None:
        """Draw anew in a process that was forked."""
        for generator in self._all:
            generator.draw_anew()

    def begin_case(self, case: str) -> None:
        """Begin with the case's own seed, where somebody has seeded."""
        for generator in self._all:
            generator.begin(case)

    def _adopt(self, module: ModuleType) -> None:
        name = module.__name__
        if name == _NUMPY:
            self._all.append(_Generator(module.seed, module.random, module.get_state))
        elif isinstance(own := getattr(module, _SHARED[name], None), random.Random):
            self._all.append(_Generator(own.seed, own.random, own.getstate))


class _Generator:
    """A Mersenne Twister: how it is seeded, how a number is drawn, and its state, of which the second part are words.

    `given` is the state that somebody has given it, b"" for nobody.
    """

    def __init__(
        self,
        seed: Callable[..., object],
        draw: Callable[[], object],
        state: Callable[[], Any],
    ) -> None:
        self._seed, self._draw, self._state = seed, draw, state
        self.given = b""
        self.draw_anew()
        self._words = self._words_now()

    def draw_anew(self) -> None:
        """Seed it by the system's own chance, if nobody has seeded it."""
        if not self.given:
            self._seed()
            self._draw()  # the words are made with the first number, and last for some hundred

    def look(self) -> None:
        """See whether somebody has seeded it since it was made: then its words are others."""
        words = self._words_now()
        self.given = words if words != self._words else b""

    def begin(self, case: str) -> None:
        """Seed it for a case, if somebody has seeded it."""
        if self.given:
            digest = hashlib.sha256(self.given + case.encode("utf-8", "surrogatepass")).digest()
            self._seed(int.from_bytes(digest[:4], "big"))  # more is none for NumPy

    def _words_now(self) -> bytes:
        words = self._state()[1]
        return words.tobytes() if hasattr(words, "tobytes") else repr(words[:-1]).encode()
