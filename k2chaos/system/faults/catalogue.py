"""All kinds of faults, by the name under which the ledger keeps them."""

from collections.abc import Mapping
from typing import Any, Final, cast

from pydantic import ValidationError

from k2chaos.errors import FaultError
from k2chaos.system.faults import Fault, adapter_of
from k2chaos.system.faults.freeze import Freeze
from k2chaos.system.faults.process import Crash, Kill, Pause, Restart, Stop
from k2chaos.system.faults.resources import SqueezeCpu

FAULTS: Final[Mapping[str, type[Any]]] = {
    kind.kind: kind for kind in (Pause, Stop, Kill, Crash, Restart, Freeze, SqueezeCpu)
}
"""A new kind of fault is one class in one of the modules beside this one, and its name here."""


def fault_from_json(value: Mapping[str, Any]) -> Fault:
    """
    The fault that `fault_to_json` wrote down.

    Raises:
        FaultError: A kind of another version, or a value that is not one.
    """
    kind = FAULTS.get(str(value.get("kind")))
    fields = {name: content for name, content in value.items() if name != "kind"}
    try:
        if kind is None:
            message = f"kind {value.get('kind')!r} is not known to this version"
            raise FaultError(message)
        return cast("Fault", adapter_of(kind).validate_python(fields))
    except ValidationError as error:
        message = f"the ledger's {value.get('kind')} cannot be read: {error}"
        raise FaultError(message) from error
