"""A catalog in memory that checks requirements as a real one does, and can be made to fail."""

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

from pyiceberg.catalog.noop import NoopCatalog
from pyiceberg.exceptions import CommitStateUnknownException, NoSuchTableError
from pyiceberg.io.pyarrow import PyArrowFileIO
from pyiceberg.table import CommitTableResponse, Table
from pyiceberg.table.metadata import TableMetadata, new_table_metadata
from pyiceberg.table.sorting import UNSORTED_SORT_ORDER
from pyiceberg.table.update import update_table_metadata


class Lake(NoopCatalog):
    """One table; ``before`` runs ahead of the next commit, ``commits`` holds delayed requests."""

    def __init__(self, folder: Path) -> None:
        super().__init__("fake")
        self.folder = folder
        self.metadata: TableMetadata | None = None
        self.commits: list[Callable[[], None]] = []
        self.before: list[Callable[[], None]] = []
        self.lose_answer = self.lose_request = self.delay_request = False

    def create_namespace(self, namespace: Any, properties: Any = None) -> None:
        pass

    def create_table(self, identifier: Any, schema: Any, **kwargs: Any) -> Table:
        self.metadata = new_table_metadata(
            schema=schema,
            partition_spec=kwargs["partition_spec"],
            sort_order=kwargs.get("sort_order", UNSORTED_SORT_ORDER),
            location=f"file://{self.folder}/trades",
            properties=kwargs["properties"],
        )
        return self.load_table(identifier)

    def load_table(self, identifier: Any) -> Table:
        if self.metadata is None:
            raise NoSuchTableError(str(identifier))
        name = ("market_data", "trades")
        return Table(name, deepcopy(self.metadata), "memory", PyArrowFileIO(), self)

    def commit_table(self, table: Any, requirements: Any, updates: Any) -> CommitTableResponse:
        for action in self.before:
            self.before = []
            action()
        if self.lose_request:
            self.lose_request = False
            raise ConnectionError
        if self.delay_request:
            self.delay_request = False
            self.commits.append(lambda: self._commit(requirements, updates))
            raise TimeoutError
        self._commit(requirements, updates)
        if self.lose_answer:
            self.lose_answer = False
            raise CommitStateUnknownException
        assert self.metadata is not None
        return CommitTableResponse(metadata=deepcopy(self.metadata), metadata_location="memory")

    def _commit(self, requirements: Any, updates: Any) -> None:
        assert self.metadata is not None
        for requirement in requirements:
            requirement.validate(self.metadata)
        self.metadata = update_table_metadata(self.metadata, updates)
