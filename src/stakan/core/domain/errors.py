"""Exceptions: for the outside and for bugs. Expected outcomes are values (facts, refusals), never exceptions.

StakanError
├─ ConfigError            the user's configuration cannot work: say which key; exit at start
├─ VenueError
│   ├─ VenueUnavailable   retry with back-off
│   ├─ RateLimited        retry after `retry_after_ns`
│   ├─ RequestRefused     the venue said no: becomes an event
│   └─ OutcomeUnknown     sent, no answer: reconcile, never resend blindly
├─ DataError              corrupt or impossible input: name file and row; stop this feed
├─ StorageError           could not write (no permission, broken disk): nothing half-written stays visible
│   ├─ DiskFull           no space or quota left: open nothing, make room, write again
│   ├─ DatabaseAway       the database does not answer: retry with back-off
│   └─ Conflict           somebody else wrote first: read again, never overwrite
└─ InvariantViolated      our bug: halt trading, keep the journal
"""


class StakanError(Exception):
    """Root of everything that stakan raises on purpose."""


class ConfigError(StakanError):
    """The configuration cannot work; the message names the key and what it should be."""


class VenueError(StakanError):
    """An exchange did not do what was asked."""


class VenueUnavailable(VenueError):
    """No connection or no answer before anything was sent: retry with back-off."""


class RateLimited(VenueError):
    """The exchange asks for a pause of `retry_after_ns` nanoseconds."""

    def __init__(self, message: str, retry_after_ns: int) -> None:
        super().__init__(message)
        self.retry_after_ns = retry_after_ns


class RequestRefused(VenueError):
    """The exchange understood the request and said no."""


class OutcomeUnknown(VenueError):
    """The request was sent and no answer came: look it up, never resend blindly."""


class DataError(StakanError):
    """Input that is corrupt or impossible; the message names the file and the row, key or level."""


class StorageError(StakanError):
    """Writing failed; what was being written is not visible to readers."""


class DiskFull(StorageError):
    """There is no space left, or no quota: what could not be written is written again once there is room."""


class DatabaseAway(StorageError):
    """The database does not answer, or broke off: what was under way is undone there; retry with back-off."""


class Conflict(StorageError):
    """Somebody else changed it since it was read: read it again and decide again, never overwrite."""


class InvariantViolated(StakanError):
    """A bug of ours was caught in the act: halt trading and keep the journal."""
