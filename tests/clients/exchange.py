"""What every client is asked to do, in its own way."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from .stream import Received, messages

# One exchange takes seconds; a client that needs longer is stuck.
EXCHANGE_SECONDS_MAX = 60


@dataclass(frozen=True)
class Exchange:
    """Send the whole stream and, meanwhile, read it back; then close in order."""

    url: str
    authority: Path
    """The certificate that a client has to trust; matters to a wss:// URL only."""
    offer: str | None
    """The subprotocol that the client offers."""
    stream: bytes
    received: Received

    def messages(self) -> Iterator[memoryview]:
        return messages(self.stream)


# Runs an exchange and returns the subprotocol that the proxy chose.
Client = Callable[[Exchange], str | None]
