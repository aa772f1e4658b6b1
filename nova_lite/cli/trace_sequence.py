"""A story as the events of a sequence diagram: who asks whom, what is done, who answers; drawn by others.

The client takes no steps, and neither does an API that only passes something on; both are drawn from what is known of
the path. Where a side could not be seen, nothing is drawn for it.
"""

import dataclasses
from collections.abc import Collection, Iterator

from nova_lite.cli import trace_hops
from nova_lite.cli.trace_steps import BAD, Outcome, Step
from nova_lite.cli.trace_story import Key, Placed, Story

CLIENT = "client"
# From left to right, so that most arrows are short.
LANES = (CLIENT, "nova-api", "nova-compute", "cinder-api", "cinder-scheduler", "cinder-volume")
APIS = {"nova": "nova-api", "cinder": "cinder-api"}


@dataclasses.dataclass(frozen=True)
class Work:
    """A step is done on its lane; `depth` counts the steps of its own process that it is a part of."""

    placed: Placed
    depth: int

    @property
    def step(self) -> Step:
        """The step itself."""
        return self.placed.step


@dataclasses.dataclass(frozen=True)
class Arrow:
    """One lane asks another, or answers it. `label` is short: REST, call, cast, error, or nothing."""

    origin: str
    target: str
    label: str
    answer: bool = False
    failed: bool = False


Event = Work | Arrow


@dataclasses.dataclass(frozen=True)
class Sequence:
    """The lanes that take part, from left to right, and the events from top to bottom."""

    lanes: tuple[str, ...]
    events: tuple[Event, ...]


def sequence(story: Story, unseen: Collection[str] = ()) -> Sequence:
    """Return the diagram of a story; `unseen` are the sides (nova, cinder) that told nothing."""
    events = tuple(_Teller(story, unseen).events())
    involved = {event.step.service for event in events if isinstance(event, Work)}
    for event in events:
        if isinstance(event, Arrow):
            involved |= {event.origin, event.target}
    lanes = [lane for lane in LANES if lane in involved]
    return Sequence((*lanes, *sorted(involved - set(lanes))), events)


class _Teller:
    """Goes through the steps in order and keeps the questions that are still open."""

    def __init__(self, story: Story, unseen: Collection[str]) -> None:
        self._placed = {one.step.key: one for one in story.placed}
        self._order = story.placed
        self._unheard = {step.key for step in story.unheard}
        self._entries, self._exits = self._client_calls(unseen)
        self._asked = {one.cause.key for one in story.placed if one.cause is not None}
        self._open: list[tuple[Placed, Step]] = []

    def events(self) -> Iterator[Event]:
        """Yield what happens."""
        for one in self._order:
            around = self._around(one)
            while self._open and self._open[-1][0].step.key not in around:
                yield self._answer_last()
            yield from self._question(one)
            own = sum(key[0] == one.step.process for key in around)
            yield Work(one, own)
            yield from self._onward(one)
            if one.step.key in self._exits:
                service = one.step.service
                yield _answer(service, CLIENT, one.step)
        while self._open:
            yield self._answer_last()

    def _client_calls(self, unseen: Collection[str]) -> tuple[set[Key], set[Key]]:
        """Return the first and the last step of each API that nobody but a client can have asked for."""
        first: dict[str, Key] = {}
        last: dict[str, Key] = {}
        for one in self._order:
            step = one.step
            if one.around is not None or one.cause is not None or not step.raw.get("user_id"):
                continue
            called = (step.service, step.name) in _CALLED
            if step.service not in APIS.values() or (called and "nova" in unseen):
                continue
            first.setdefault(step.service, step.key)
            last[step.service] = step.key
        return set(first.values()), set(last.values())

    def _around(self, one: Placed) -> list[Key]:
        found: list[Key] = []
        outer = one.around
        while outer is not None and outer not in found:
            found.append(outer)
            outer = self._placed[outer].around
        return found

    def _question(self, one: Placed) -> Iterator[Event]:
        if one.step.key in self._entries:
            yield Arrow(CLIENT, one.step.service, trace_hops.Kind.REST.value)
        elif one is self._order[0] and one.step.raw.get("user_id") and one.step.service not in APIS.values():
            # The API took no step of its own for this request.
            api = APIS.get(one.step.service.partition("-")[0], "")
            if api:
                yield Arrow(CLIENT, api, trace_hops.Kind.REST.value)
                yield _answer(api, CLIENT, None)
                yield Arrow(api, one.step.service, trace_hops.Kind.CAST.value)
        if one.cause is not None and one.hop is not None and one.hop.kind.waits:
            yield Arrow(one.cause.service, one.step.service, one.hop.kind.value)
            self._open.append((one, one.cause))

    def _onward(self, one: Placed) -> Iterator[Event]:
        """What the step is known to send off."""
        step = one.step
        hop = trace_hops.HOPS.get((step.service, step.name))
        if hop is None:
            return
        if hop.silent and step.key not in self._asked:
            yield Arrow(step.service, hop.service, hop.kind.value)
            yield _answer(hop.service, step.service, step)
        if not hop.kind.waits and (step.key in self._asked or step.key in self._unheard):
            lost = step.key in self._unheard
            origin = hop.via or step.service
            if hop.via:
                yield Arrow(step.service, hop.via, trace_hops.Kind.REST.value)
            yield Arrow(origin, hop.service, f"{hop.kind.value}?" if lost else hop.kind.value, failed=lost)

    def _answer_last(self) -> Arrow:
        one, asking = self._open.pop()
        return _answer(one.step.service, asking.service, one.step)


_CALLED = {(hop.service, name) for hop in trace_hops.HOPS.values() for name in hop.steps}


def _answer(origin: str, target: str, step: Step | None) -> Arrow:
    if step is not None and step.outcome is Outcome.RUNNING:
        return Arrow(origin, target, "waiting", answer=True)
    failed = step is not None and step.outcome in BAD
    return Arrow(origin, target, "error" if failed else "", answer=True, failed=failed)
