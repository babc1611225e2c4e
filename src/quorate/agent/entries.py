"""The services and checks of an agent: the local state with its files."""

import asyncio
import random
from contextlib import suppress
from pathlib import Path

import msgspec
from structlog.typing import FilteringBoundLogger

from quorate.agent.settings import AgentSettings
from quorate.agent.starting import StartError
from quorate.base.errors import QuorateError, RequestError
from quorate.base.ports import Local
from quorate.gateways.http.context import call_in_loop
from quorate.localstate.agent import LocalAgent
from quorate.localstate.configured import Definitions
from quorate.localstate.entries import StoredService, decode_entry
from quorate.runtime.entrystore import EntryStore, Key
from quorate.runtime.probes.runner import ProbeRunner

END_S = 5.0
"""How long the end of probes is waited for at most."""


class AgentEntries:
    """What an agent registers, and keeps in its data directory unless it is a development node.

    Args:
        local: The node.
        data_dir: Of the node; None: nothing is kept.
        is_new: The data directory was empty before this start: no older version used it.
        settings: Of the agent.
        log: The logger.

    Attributes:
        agent: The local state with its node.

    Raises:
        OSError: The folder of the store cannot be made.
        StorageError: See `runtime.entrystore`.
    """

    def __init__(
        self,
        local: Local,
        data_dir: Path | None,
        settings: AgentSettings,
        log: FilteringBoundLogger,
        *,
        is_new: bool,
    ) -> None:
        loop = asyncio.get_running_loop()
        self._log = log
        self._files = None
        self._adopts = False
        if data_dir is not None:
            self._files = EntryStore(data_dir, loop.call_soon_threadsafe, log)
            self._files.take_over(_key_of)
            self._adopts = not is_new and not self._files.is_adopted
            if is_new:
                self._files.mark_adopted()
        checks = msgspec.structs.replace(settings.checks, keeps_files=data_dir is not None)
        self._probes = ProbeRunner(
            checks.output_bytes_max,
            runs_scripts=settings.runs_scripts,
            runs_local_scripts=settings.runs_local_scripts,
        )
        rng = random.Random()  # noqa: S311 - spreads times
        self.agent = LocalAgent(
            local,
            call_in_loop,
            rng,
            checks,
            files=self._files,
            probes=self._probes,
            report=log.warning,
        )

    def restore(self, definitions: Definitions) -> None:
        """Take what is stored, and what the configuration defines; once, before `start`.

        Raises:
            StartError: A definition cannot be used.
        """
        files = self._files
        services = 0 if files is None else files.read("service", self._take)
        try:
            self.agent.take_definitions(definitions)
        except RequestError as error:
            raise StartError(error.text) from error
        checks = 0 if files is None else files.read("check", self._take)
        if files is not None:
            files.begin()
        self.agent.restored()
        if services or checks:
            self._log.info("services and checks of the data directory", services=services,
                     checks=checks)  # fmt: skip

    def _take(self, data: bytes) -> None:
        stored = decode_entry(data)
        try:
            if isinstance(stored, StoredService):
                self.agent.restore(stored)
            else:
                self.agent.restore_check(stored)
        except QuorateError as error:
            raise ValueError(error.text) from error

    def start(self) -> None:
        """Compare with the catalog, and begin to check; adopt what an older version registered."""
        self.agent.start(self._adopted if self._adopts else None)

    def _adopted(self, count: int) -> None:
        if self._files is not None:
            self._files.mark_adopted()
        if count:
            self._log.info("services and checks of an older version are kept from now on",
                           entries=count)  # fmt: skip

    async def end_probes(self) -> None:
        """Cancel what is probed, and kill the programs of checks."""
        with suppress(TimeoutError):
            async with asyncio.timeout(END_S):
                await self._probes.stop()

    def stop(self) -> None:
        """Stop, and write what waits."""
        self.agent.stop()
        if self._files is not None:
            self._files.stop()


def _key_of(data: bytes) -> Key:
    """The key of an entry in a file of an older version.

    Raises:
        ValueError: There is none in it.
    """
    stored = decode_entry(data)
    if isinstance(stored, StoredService):
        return "service", stored.service.id
    return "check", stored.definition.id
