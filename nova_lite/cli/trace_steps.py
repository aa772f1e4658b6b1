"""One step of one daemon, as the APIs of both services tell it (`GET /os-steps`)."""

import dataclasses
import datetime
import enum
import typing

Record = dict[str, typing.Any]


class Outcome(enum.Enum):
    """How a step ended; `DIED` is one whose daemon was gone before the end."""

    OK = "ok"
    ERROR = "error"
    RUNNING = "running"
    DIED = "died"


BAD = (Outcome.ERROR, Outcome.DIED)


@dataclasses.dataclass(frozen=True)
class Step:
    """A step record; times are unix seconds, `process` is unique over all hosts, `raw` is what the API sent."""

    request_id: str
    service: str
    host: str
    process: tuple[str, str, str]
    number: int
    parent: int | None
    name: str
    ids: dict[str, str]
    started: float
    finished: float | None
    outcome: Outcome
    error: str
    error_type: str
    raw: Record = dataclasses.field(repr=False, compare=False)

    @property
    def key(self) -> tuple[tuple[str, str, str], int]:
        """What no other step has."""
        return self.process, self.number

    @property
    def machine(self) -> str:
        """The host whose clock told the times; a backend of a host (`host@backend`) has the host's."""
        return self.host.partition("@")[0]

    @property
    def seconds(self) -> float | None:
        """How long it took, or None for a step that has not ended."""
        return None if self.finished is None else self.finished - self.started

    @property
    def reason(self) -> str:
        """Why it failed, in one line; "" when it did not."""
        if self.outcome is Outcome.DIED:
            why = f" ({self.error})" if self.error else ""
            return f"{self.service} died here{why}; once it runs again, it finishes this or undoes it"
        if self.outcome is Outcome.ERROR:
            return self.error or self.error_type or "no reason is recorded"
        return ""


def read(record: Record) -> Step:
    """Return the step of a record; raises KeyError, TypeError or ValueError for what is no step record."""
    # The daemons' programs have a `lite` in their names, and may have it in what they call themselves.
    service = str(record["service"]).replace("-lite", "")
    host = str(record.get("host") or "")
    finished = record.get("finished_at")
    return Step(
        request_id=str(record.get("request_id") or ""),
        service=service,
        host=host,
        process=(service, host.partition("@")[0], str(record.get("process") or "")),
        number=int(record["number"]),
        parent=None if record.get("parent") is None else int(record["parent"]),
        name=str(record["step"]),
        ids={str(kind): str(value) for kind, value in (record.get("ids") or {}).items()},
        started=moment(record["started_at"]),
        finished=None if finished is None else moment(finished),
        outcome=Outcome(record["outcome"]),
        error=line(record.get("error")),
        error_type=line(record.get("error_type")),
        raw=record,
    )


def moment(text: str) -> float:
    """Return the unix time that ISO 8601 text says; without a zone it is UTC. Raises ValueError, TypeError."""
    told = datetime.datetime.fromisoformat(text)
    return (told if told.tzinfo else told.replace(tzinfo=datetime.UTC)).timestamp()


def line(text: typing.Any) -> str:
    """Return the text as one line without anything that would move a terminal's cursor."""
    words = " ".join(str(text or "").split())
    return "".join(letter if letter.isprintable() else "?" for letter in words)
