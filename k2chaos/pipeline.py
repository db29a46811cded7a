"""
The pipeline: the system under test, as frozen values.

What stands here is what may stand in a pipeline file, key by key; `pipeline_file` reads one.
Nothing here opens a connection.
"""

from collections.abc import Mapping
from dataclasses import field
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, ConfigDict, Field
from pydantic.dataclasses import dataclass

ROLES: Final = (
    "exchange",
    "source",
    "broker",
    "registry",
    "sink",
    "store",
    "catalog",
    "catalog-db",
    "api",
)
"""What a service can be to a pipeline; experiments name these, never containers."""

STAGES: Final = ("exchange", "topic", "table", "api")
"""Where records can be seen, in the order in which they pass."""

Role = Literal[
    "exchange", "source", "broker", "registry", "sink", "store", "catalog", "catalog-db", "api"
]


def _one_or_several(value: Any) -> Any:
    """A list, where one stands for itself; what is neither is left to the types."""
    return (value,) if isinstance(value, str) else value


Seconds = Annotated[float, Field(gt=0)]
Hertz = Annotated[float, Field(gt=0, le=50)]
Names = Annotated[
    tuple[Annotated[str, Field(min_length=1)], ...],
    BeforeValidator(_one_or_several),
    Field(min_length=1),
]

_STRICT: Final = ConfigDict(extra="forbid")


@dataclass(frozen=True, slots=True, config=_STRICT)
class Compose:
    """The Compose project that the containers belong to."""

    project: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")]


@dataclass(frozen=True, slots=True, config=_STRICT)
class Exchange:
    """The simulated exchange's control API (a base URL)."""

    control: str


@dataclass(frozen=True, slots=True, config=_STRICT)
class Topic:
    """
    The topic, its dead-letter topic, the sink's group and the registries that know its schema.

    Several registries hold the same, and any of them may be asked.
    """

    bootstrap: str
    name: str
    dlq: str
    group: str
    registry: Names
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, config=_STRICT)
class Table:
    """The table and the properties of the catalog (PyIceberg's) in which it is found."""

    name: str
    catalog: Mapping[str, str] = Field(repr=False)


@dataclass(frozen=True, slots=True, config=_STRICT)
class Api:
    """The query API: base URL, key, and the paths for health and for the newest records."""

    url: str
    key: str = Field(repr=False)
    health: str = "/health"
    newest: str = "/v1/trades?limit=200"


@dataclass(frozen=True, slots=True, config=_STRICT)
class Sequence:
    """The field that numbers the records of one key, and what stands before the number."""

    field: str
    prefix: str = ""


@dataclass(frozen=True, slots=True, config=_STRICT)
class Record:
    """
    What identifies a record: its key, its number within the key, and when it happened.

    Attributes:
        content: Further fields, spelt alike at every stage, whose values must arrive unchanged;
            none: what a record says is not compared.
    """

    key: str
    sequence: Sequence
    event_time: str
    content: tuple[str, ...] = ()

    @property
    def fields(self) -> tuple[str, ...]:
        """All fields that are read, each once."""
        named = (self.key, self.sequence.field, self.event_time, *self.content)
        return tuple(dict.fromkeys(named))


@dataclass(frozen=True, slots=True, config=_STRICT)
class Promise:
    """What the pipeline promises; the judge holds it to no more and no less."""

    loss: Literal["none"] = "none"
    duplicates: Literal["none", "allowed"] = "none"
    order: Literal["per-key", "none"] = "per-key"


@dataclass(frozen=True, slots=True, config=_STRICT)
class Sampling:
    """How often each stage is looked at, per second."""

    exchange_hz: Hertz = 5
    api_hz: Hertz = 5
    table_hz: Hertz = 2


@dataclass(frozen=True, slots=True, config=_STRICT)
class Budgets:
    """
    How stale, how slow and how long is still good.

    Attributes:
        serving_seconds: By how much the API may be behind the table.
    """

    freshness_seconds: Seconds = 30
    serving_seconds: Seconds = 10
    throughput_records_per_second: Seconds = 10
    recovery_seconds: Seconds = 60
    minimum_records: Annotated[int, Field(ge=1)] = 200


@dataclass(frozen=True, slots=True, config=_STRICT)
class Limits:
    """How much may be broken, for how long; services that are never touched."""

    faults_at_once: Annotated[int, Field(ge=1)] = 3
    longest_fault_seconds: Seconds = 180
    impaired_services_at_once: Annotated[int, Field(ge=1)] = 3
    never: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, config=_STRICT)
class StopWhen:
    """On what sight a run ends itself."""

    freshness_seconds: Seconds = 150
    disk_used_ratio: Annotated[float, Field(gt=0, le=1)] = 0.95


@dataclass(frozen=True, slots=True, config=_STRICT)
class Notify:
    """Whom to tell about the start and the end of every fault."""

    webhook: str | None = None


@dataclass(frozen=True, slots=True, config=_STRICT)
class Pipeline:
    """
    One pipeline file.

    Attributes:
        services: The Compose services of each role. Only these can ever be touched.
        exchange: ``None`` where the feed is not ours; then ids are judged between the first and
            the last one seen.
    """

    schema: Literal[1]
    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]
    environment: Literal["lab", "staging", "production"]
    compose: Compose
    services: Mapping[Role, Names]
    record: Record
    env_file: str | None = None
    exchange: Exchange | None = None
    topic: Topic | None = None
    table: Table | None = None
    api: Api | None = None
    promise: Promise = field(default_factory=Promise)
    sampling: Sampling = field(default_factory=Sampling)
    budgets: Budgets = field(default_factory=Budgets)
    limits: Limits = field(default_factory=Limits)
    stop_when: StopWhen = field(default_factory=StopWhen)
    notify: Notify = field(default_factory=Notify)

    @property
    def stages(self) -> tuple[str, ...]:
        """The stages at which this pipeline's records can be seen, in their order."""
        return tuple(stage for stage in STAGES if getattr(self, stage) is not None)

    @property
    def all_services(self) -> tuple[str, ...]:
        """Every service that a role names, in the order of the file."""
        return tuple(service for names in self.services.values() for service in names)

    def role_of(self, service: str) -> str:
        """The role that *service* plays; ``KeyError`` where the file does not list it."""
        for role, names in self.services.items():
            if service in names:
                return role
        raise KeyError(service)
