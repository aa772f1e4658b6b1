"""Step records of both services into stories: one per request, its steps in the order in which they happened.

Within a process the steps' numbers are the order. Between processes it is the clock, corrected by cause and effect:
a step comes after the one that asked for it, and what a daemon waited for comes before its next step, whatever the
clocks of two hosts say. Where they contradict that, the story says so.
"""

import collections
import dataclasses
import heapq
from collections.abc import Iterable, Mapping, Sequence

from nova_lite.cli import trace_hops
from nova_lite.cli.trace_steps import BAD, Outcome, Step

Key = tuple[tuple[str, str, str], int]

# Hosts that keep time by NTP differ by so much.
TOLERANCE = 0.005
SERVICES = ("nova-api", "nova-compute", "cinder-api", "cinder-scheduler", "cinder-volume")


# Steps that are asked for by name, so that they are not what a cast without one leads to.
_NAMED = {(hop.service, name) for hop in trace_hops.HOPS.values() for name in hop.steps}


@dataclasses.dataclass(frozen=True)
class Placed:
    """A step in its story: `around` is the step it is a part of, be it by its process or because that step waits for
    it; `cause` is the step of another process that asked for it, over `hop`."""

    step: Step
    depth: int = 0
    around: Key | None = None
    cause: Step | None = None
    hop: trace_hops.Hop | None = None


@dataclasses.dataclass(frozen=True)
class Skew:
    """The clock of `host` is at least `seconds` behind that of `other` (ahead, when negative): `step` shows it."""

    host: str
    other: str
    seconds: float
    step: Step

    def __str__(self) -> str:
        """Return the sentence about it."""
        way = "behind" if self.seconds > 0 else "ahead of"
        why = "before what led to it" if self.seconds > 0 else "after the step that waited for it"
        ends = "begins" if self.seconds > 0 else "ends"
        return (
            f"the clock of {self.host} is at least {abs(self.seconds) * 1e3:.0f} ms {way} that of {self.other}: "
            f"{self.step.name} {ends} {why}"
        )


@dataclasses.dataclass(frozen=True)
class Story:
    """All that was seen of one request."""

    request_id: str
    placed: tuple[Placed, ...]
    skews: tuple[Skew, ...]
    # Casts that were sent off and that nobody has begun to work on.
    unheard: tuple[Step, ...]

    @property
    def steps(self) -> list[Step]:
        """The steps in their order."""
        return [one.step for one in self.placed]

    @property
    def began(self) -> float:
        """Unix time of the first step."""
        return self.placed[0].step.started

    @property
    def seconds(self) -> float:
        """From the begin of the first step to the last end (or begin) that any host's clock told."""
        return max((one.finished or one.started) for one in self.steps) - self.began

    @property
    def operation(self) -> str:
        """What the request was about, such as `attach`; "" when its steps do not tell."""
        return next(filter(None, (trace_hops.operation_of(step.name) for step in self.steps)), "")

    @property
    def ids(self) -> dict[str, str]:
        """The ids of the things that the request was about."""
        found: dict[str, str] = {}
        for step in self.steps:
            for kind, value in step.ids.items():
                found.setdefault(kind, value)
        return found

    @property
    def user(self) -> str:
        """Who asked for it; "" for work that a daemon began by itself."""
        return next((str(step.raw["user_id"]) for step in self.steps if step.raw.get("user_id")), "")

    @property
    def running(self) -> bool:
        """Whether a step of it has not ended."""
        return any(step.outcome is Outcome.RUNNING for step in self.steps)

    @property
    def failure(self) -> Step | None:
        """The step that made the request fail: the innermost of the first failure that nothing made good."""
        first = next((one for one in self.placed if one.step.outcome in BAD and not self._made_good(one)), None)
        if first is None:
            return None
        inner = first
        for one in self.placed:
            if one.around == inner.step.key and one.step.outcome in BAD:
                inner = one
        return inner.step

    @property
    def outcome(self) -> Outcome:
        """Running while a step runs, else by whether something failed for good."""
        if self.running:
            return Outcome.RUNNING
        failed = self.failure
        return Outcome.OK if failed is None else failed.outcome

    def _made_good(self, failed: Placed) -> bool:
        by_key = {one.step.key: one for one in self.placed}
        around = failed.around
        while around is not None:
            outer = by_key[around]
            if outer.step.outcome is Outcome.OK:
                return True
            around = outer.around
        place = self.placed.index(failed)
        return any(_same_work(failed.step, one.step) for one in self.placed[place + 1 :])


def stories(steps: Iterable[Step]) -> list[Story]:
    """Return a story per request, the earliest first. A step that is told twice counts once, in its last state."""
    latest: dict[Key, Step] = {}
    for step in steps:
        known = latest.get(step.key)
        if known is None or known.finished is None:
            latest[step.key] = step
    by_request: dict[str, list[Step]] = collections.defaultdict(list)
    for step in latest.values():
        by_request[step.request_id].append(step)
    told = [_story(request_id, group) for request_id, group in by_request.items()]
    return sorted(told, key=lambda one: (one.began, one.request_id))


def _story(request_id: str, steps: list[Step]) -> Story:
    by_key = {step.key: step for step in steps}
    causes = _causes(steps, by_key)
    around = {step.key: _around(step, by_key, causes) for step in steps}
    placed = []
    for step in _ordered(steps, causes, around):
        cause, hop = causes.get(step.key, (None, None))
        depth = len(_chain(step.key, around))
        placed.append(Placed(step, depth, around[step.key], cause, hop))
    heard = {cause.key for cause, _ in causes.values()}
    unheard = tuple(one.step for one in placed if _is_cast(one.step) and one.step.key not in heard)
    return Story(request_id, tuple(placed), tuple(_skews(placed)), unheard)


def _is_cast(step: Step) -> bool:
    hop = trace_hops.HOPS.get((step.service, step.name))
    return hop is not None and not hop.kind.waits and step.outcome is Outcome.OK


def _same_work(failed: Step, later: Step) -> bool:
    return (failed.service, failed.name) == (later.service, later.name) and later.outcome is Outcome.OK


def _causes(steps: Sequence[Step], by_key: Mapping[Key, Step]) -> dict[Key, tuple[Step, trace_hops.Hop]]:
    """Return who in another process asked for a step, of the steps that somebody asked for."""
    roots = [step for step in steps if step.parent is None or (step.process, step.parent) not in by_key]
    first: dict[tuple[str, str, str], int] = {}
    for step in steps:
        if (step.service, step.name) not in _NAMED:
            first[step.process] = min(step.number, first.get(step.process, step.number))
    found: dict[Key, tuple[Step, trace_hops.Hop]] = {}
    for step in roots:
        asking = []
        for other in steps:
            hop = trace_hops.HOPS.get((other.service, other.name))
            if hop is None or other.process == step.process or not _leads(other, hop, step, first):
                continue
            asking.append((other, hop))
        if asking:
            before = [one for one in asking if one[0].started <= step.started]
            found[step.key] = (
                max(before, key=lambda one: one[0].started) if before else min(asking, key=lambda one: one[0].started)
            )
    return found


def _leads(asking: Step, hop: trace_hops.Hop, step: Step, first: Mapping[tuple[str, str, str], int]) -> bool:
    if hop.service != step.service:
        return False
    if hop.steps and step.name not in hop.steps:
        return False
    if not hop.steps and first.get(step.process) != step.number:
        return False
    if any(step.ids.get(kind, value) != value for kind, value in asking.ids.items()):
        return False
    # One clock told both times, so what began earlier was not asked for.
    return asking.machine != step.machine or asking.started <= step.started


def _around(step: Step, by_key: Mapping[Key, Step], causes: Mapping[Key, tuple[Step, trace_hops.Hop]]) -> Key | None:
    if step.parent is not None and (step.process, step.parent) in by_key and step.parent < step.number:
        return step.process, step.parent
    cause, hop = causes.get(step.key, (None, None))
    return cause.key if cause is not None and hop is not None and hop.kind.waits else None


def _chain(key: Key, around: Mapping[Key, Key | None]) -> list[Key]:
    """Return the steps around this one, the innermost first; each once, even if wrong records go round in circles."""
    found: list[Key] = []
    outer = around[key]
    while outer is not None and outer not in found and outer != key:
        found.append(outer)
        outer = around[outer]
    return found


def _ordered(
    steps: Sequence[Step],
    causes: Mapping[Key, tuple[Step, trace_hops.Hop]],
    around: Mapping[Key, Key | None],
) -> list[Step]:
    """Return the steps sorted by time, but never against a process's numbers, and against cause and effect only
    where these contradict each other."""
    by_key = {step.key: step for step in steps}
    lines: dict[tuple[str, str, str], list[Step]] = collections.defaultdict(list)
    for step in sorted(steps, key=lambda one: one.number):
        lines[step.process].append(step)
    after: dict[Key, set[Key]] = {key: {cause.key} for key, (cause, _) in causes.items()}
    for step in steps:
        for outer in _chain(step.key, around):
            follower = _next_after(by_key[outer], lines, around)
            if (
                follower is not None
                and by_key[outer].process != step.process
                and _waited(by_key[outer], step, follower)
            ):
                after.setdefault(follower.key, set()).add(step.key)
    return _sorted(lines, after)


def _next_after(
    step: Step, lines: Mapping[tuple[str, str, str], list[Step]], around: Mapping[Key, Key | None]
) -> Step | None:
    """Return the next step of the process that is no part of this one."""
    for other in lines[step.process]:
        if other.number > step.number and step.key not in _chain(other.key, around):
            return other
    return None


def _waited(asking: Step, step: Step, follower: Step) -> bool:
    """Whether the asking process went on with `follower` only when `step` had begun: not when it gave up waiting."""
    if asking.machine == step.machine:
        return step.started <= follower.started
    return asking.outcome is Outcome.OK


def _sorted(lines: Mapping[tuple[str, str, str], list[Step]], after: Mapping[Key, set[Key]]) -> list[Step]:
    heads = {process: collections.deque(line) for process, line in lines.items()}
    done: set[Key] = set()
    order: list[Step] = []
    while any(heads.values()):
        waiting = [line[0] for line in heads.values() if line]
        free = [step for step in waiting if after.get(step.key, set()) <= done]
        # Without a free one the inferred causes go round in circles; the clock decides then.
        chosen = heapq.nsmallest(1, free or waiting, key=_by_time)[0]
        heads[chosen.process].popleft()
        done.add(chosen.key)
        order.append(chosen)
    return order


def _by_time(step: Step) -> tuple[float, int, tuple[str, str, str], int]:
    rank = SERVICES.index(step.service) if step.service in SERVICES else len(SERVICES)
    return step.started, rank, step.process, step.number


def _skews(placed: Sequence[Placed]) -> list[Skew]:
    """Return the largest contradiction between the clocks of each two hosts."""
    worst: dict[tuple[str, str], Skew] = {}
    for one in placed:
        seconds = _contradiction(one)
        if one.cause is None or not seconds:
            continue
        pair = (one.step.machine, one.cause.machine)
        key = min(pair), max(pair)
        if key not in worst or abs(worst[key].seconds) < abs(seconds):
            worst[key] = Skew(*pair, seconds, one.step)
    return list(worst.values())


def _contradiction(one: Placed) -> float:
    """Return by how many seconds the step began before its cause, or (negative) ended after what waited for it."""
    cause, step = one.cause, one.step
    if cause is None or one.hop is None or cause.machine == step.machine:
        return 0.0
    if cause.started - step.started > TOLERANCE:
        return cause.started - step.started
    # Who gave up waiting ends first on any clock.
    if one.hop.kind.waits and cause.outcome is Outcome.OK and cause.finished and step.finished:
        return min(0.0, cause.finished - step.finished + TOLERANCE) and cause.finished - step.finished
    return 0.0
