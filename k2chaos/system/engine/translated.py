"""The SDK's exceptions as ours, once."""

import contextlib
from collections.abc import Iterator

from docker.errors import APIError, DockerException, NotFound
from requests.exceptions import RequestException

from k2chaos.errors import ContainerNotFound, EngineUnreachable, FaultError, TargetNotReady


@contextlib.contextmanager
def translated(what: str) -> Iterator[None]:
    """Turn the SDK's exceptions into ours, saying *what* was tried."""
    try:
        yield
    except NotFound as error:
        message = f"tried to {what}: the engine does not know it ({error.explanation})"
        raise ContainerNotFound(message) from error
    except APIError as error:
        message = f"tried to {what}: the engine refused: {error.explanation or error}"
        raise TargetNotReady(message) from error
    except (RequestException, OSError) as error:
        message = f"tried to {what}: the engine did not answer ({type(error).__name__})"
        raise EngineUnreachable(message) from error
    except DockerException as error:
        message = f"tried to {what}: {error}"
        raise FaultError(message) from error
