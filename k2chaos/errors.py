"""
The errors of k2chaos, sorted by who has to act.

::

    K2ChaosError
      UsageError            you: something you typed or wrote is wrong; nothing was touched
        PipelineFileError   every mistake of a pipeline file, each with its path
        ExperimentError     every mistake of an experiment file, each with its path
        EngineUnreachable   no container engine answers
        NotInLab            a command of the lab outside a clone
      TargetError           whoever runs the pipeline: it is not as the file says
        ContainerNotFound
        AmbiguousTarget
        TargetNotReady      it is not in a state this fault may start from
        Unsupported         this pipeline has no such role or stage
      FaultError            a fault did not do what it says; the run is inconclusive
        FaultNotInjected
        FaultNotHealed
      StageError            a stage of the pipeline gave no measurement
        StageUnavailable    the stage refused, hung or erred: the pipeline's failure
        StageBlind          we could not look (credentials, our own mistake): inconclusive
      RunError              a run cannot be held
        LockedByAnother
        OutsideRun          an action was called without a run to answer for it
        Interrupted
      LabError              the lab did not come up

Every message says what was tried, on what, and what to do next. Exit codes follow the table of
the verdict: a usage error is 2, whatever else ends a command is 4 (the tool's own failure), and
verdicts have their own.
"""

import json
from collections.abc import Sequence
from typing import ClassVar

EXIT_USAGE = 2
EXIT_CRASH = 4


class K2ChaosError(Exception):
    """Root of all errors that this package raises on purpose."""

    exit_code: ClassVar[int] = EXIT_CRASH


class UsageError(K2ChaosError):
    """What was asked cannot be done as it was asked; nothing was touched."""

    exit_code: ClassVar[int] = EXIT_USAGE


class FileMistakes(UsageError):
    """
    All mistakes of one file at once.

    Attributes:
        path: The file.
        mistakes: One line each, ``where: what``.
    """

    noun: ClassVar[str] = "file"

    def __init__(self, path: str, mistakes: Sequence[str]) -> None:
        """Keep the mistakes apart, for those who print or count them."""
        self.path = path
        self.mistakes = tuple(mistakes)
        count = len(self.mistakes)
        head = f"{self.noun} {path} has {count} mistake{'s' if count != 1 else ''}; nothing was run"
        super().__init__("\n".join([head, *(f"  {mistake}" for mistake in self.mistakes)]))


class PipelineFileError(FileMistakes):
    """The pipeline file cannot be used as it stands."""

    noun: ClassVar[str] = "pipeline file"


class ExperimentError(FileMistakes):
    """The experiment file cannot be run as it stands."""

    noun: ClassVar[str] = "experiment"


class EngineUnreachable(UsageError):
    """No container engine answers where one was looked for."""


class NotInLab(UsageError):
    """The lab's commands need a clone of the project, with its ``stack/``."""


class TargetError(K2ChaosError):
    """The pipeline on the engine is not what the pipeline file says it is."""


class ContainerNotFound(TargetError):
    """Nothing on the engine answers to the role."""


class AmbiguousTarget(TargetError):
    """More, or fewer, containers answer than were asked for."""


class TargetNotReady(TargetError):
    """The target is not in the state from which this fault may start."""


class Unsupported(TargetError):
    """A known role or stage that this pipeline does not have."""


class FaultError(K2ChaosError):
    """A fault did not do what it says."""


class FaultNotInjected(FaultError):
    """The witness did not see the fault."""


class FaultNotHealed(FaultError):
    """The witness still sees the fault; the ledger keeps it open."""


class StageError(K2ChaosError):
    """
    A stage of the pipeline gave no measurement.

    Attributes:
        reason: Why, in a word or two that evidence can be grouped by: ``refused``, ``timeout``,
            ``status 503``, ``credentials``.
    """

    def __init__(self, message: str, reason: str = "error") -> None:
        """Keep the short reason beside the message."""
        super().__init__(message)
        self.reason = reason


class StageUnavailable(StageError):
    """The stage refused, hung or erred: a failure of the pipeline."""


class StageBlind(StageError):
    """We could not look: credentials, or a mistake of ours."""


class RunError(K2ChaosError):
    """A run cannot be held."""


class LockedByAnother(RunError):
    """Another run holds this pipeline."""

    exit_code: ClassVar[int] = EXIT_USAGE


class OutsideRun(RunError):
    """An action was called without a run that answers for it."""


class Interrupted(RunError):
    """The run was told to end; nothing further is injected."""


class LabError(K2ChaosError):
    """The lab did not come up, or did not go down."""


def in_words(error: Exception) -> str:
    """What is wrong with something that was read, for people: no names of Python's own errors."""
    match error:
        case KeyError():
            return f"{error} is missing"
        case json.JSONDecodeError():
            return f"it is not JSON ({error})"
        case OSError():
            return error.strerror or str(error)
        case TypeError() | AttributeError() | IndexError() | RecursionError():
            return "it is not of the shape that is expected"
        case _:
            return str(error)
