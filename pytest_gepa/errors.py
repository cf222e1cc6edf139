"""The exceptions of the package. Those that a user can mend are raised as `pytest.UsageError` at the border."""

from __future__ import annotations


class GepaError(Exception):
    """Base of every error that this package raises on purpose."""

    @property
    def brief(self) -> str:
        """What is wrong, in a line."""
        return str(self).partition("\n")[0]


class SettingsError(GepaError):
    """A setting is unknown, malformed or contradicts another; the message names the mend."""


class PromptError(GepaError):
    """A prompt file cannot be read, or cannot hold a text, without changing bytes that are not its own."""


class PatchError(GepaError):
    """A patch could not be made so that it applies and gives exactly the candidate's files."""


class ReflectionError(GepaError):
    """The reflection model cannot be reached or refuses the request; more of the same would not help."""


class OutOfMoney(ReflectionError):
    """The cap on the run's cost has no room for the request; it was not sent."""


class ReflectionOver(ReflectionError):
    """The search has ended, so that the reflection model is asked no more; the request was not sent."""


class ReplayError(GepaError):
    """A recorded run cannot be replayed: answers are missing, or there is no recording at all."""


class RecordingError(GepaError):
    """A run cannot be recorded, as answers could not be stored."""


class ResumeError(GepaError):
    """A run cannot be resumed: there is none, it has ended, or it began with something else."""


class HookError(GepaError):
    """A hook of another plugin raised, or returned what is not valid; the message names hook and plugin."""


class SetupError(GepaError):
    """A run can find nothing out as the project is set up, which its first results have shown."""

    @property
    def brief(self) -> str:
        """What is wrong, without the mend."""
        return str(self).partition(": ")[0]


class RunnerError(GepaError):
    """Cases cannot be run in child sessions at all, as opposed to one case that goes wrong."""
