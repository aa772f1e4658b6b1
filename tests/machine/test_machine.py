"""Users, crashes, lost and doubled messages in any order: nothing is ever shared, and nothing stays stuck.

Each example is a sequence of requests, kills, deliveries and pauses that hypothesis chooses, thousands of points at
which a thread may be left or its daemon killed. A failure prints the shortest sequence found and the seed.
"""

from __future__ import annotations

import collections
from collections.abc import Callable
from typing import Any, ClassVar

import hypothesis
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from tests.machine import checks, cluster

# The scheduler has no part in most of it.
DAEMONS = st.sampled_from([name for name in cluster.DAEMONS for _ in range(1 if "scheduler" in name else 3)])
# Which of several things; 0, the first, is what hypothesis prefers when it makes an example smaller.
WHICH = st.integers(0, 9)
POINTS = st.sampled_from((1, 2, 3, 5, 8, 13, 25, 60, 1_000_000))
STEPS = st.lists(st.tuples(WHICH, POINTS), min_size=1, max_size=8)
RARELY = st.sampled_from((False, False, False, True))
FUSES = st.integers(1, 25)
# Attach and detach as often as all others together.
REQUESTS = st.sampled_from(
    (
        *("attach", "detach") * 4,
        *("create_volume", "delete_volume", "delete_server", "create_server"),
        *("extend", "snapshot", "delete_snapshot", "power"),
    )
)
SPOILS = st.sampled_from(("lose", "double", "lose_answer", "lose_reply"))
PAUSES = st.sampled_from((2.0, 16.0, 31.0, 61.0, 121.0))
MOST_SERVERS, MOST_VOLUMES = 3, 4


class Machine(RuleBasedStateMachine):
    """One site of one host, from two servers and two volumes on."""

    site: ClassVar[cluster.Site]
    tally: ClassVar[collections.Counter[str]] = collections.Counter()

    def __init__(self) -> None:
        super().__init__()
        self.site.reset()
        self.cluster = cluster.Cluster(self.site)
        self._running = self.cluster.running()
        self._running.__enter__()
        self.servers: list[str] = []
        self.volumes: list[str] = []
        self.snapshots: list[str] = []
        self.made: list[tuple[list[str], dict[str, Any], str]] = []

    def teardown(self) -> None:
        """The end of an example: everything up, and what must hold then."""
        try:
            if not self._broken():
                checks.heal(self.cluster)
        finally:
            self.tally += self.cluster.hub.tally
            self._running.__exit__(None, None, None)

    @initialize()
    def begin(self) -> None:
        """All five daemons up, with something to work on."""
        self.cluster.start_all()
        for _ in range(2):
            self.create_server()
            self.create_volume()
        self.cluster.settle()
        self._learn()
        assert len(self.servers) == len(self.volumes) == 2

    # What users ask for; an answer may be long in coming

    @rule(asked=REQUESTS, which=WHICH, other=WHICH)
    def ask(self, asked: str, which: int, other: int) -> None:
        """A request, of which nothing is done yet."""
        getattr(self, asked)(which, other)

    @rule(asked=REQUESTS, which=WHICH, other=WHICH)
    def ask_and_settle(self, asked: str, which: int, other: int) -> None:
        """A request, and all that follows from it."""
        getattr(self, asked)(which, other)
        self.settle()

    @rule(asked=REQUESTS, which=WHICH, other=WHICH, name=DAEMONS, points=FUSES, gone=RARELY)
    def ask_and_die(self, asked: str, which: int, other: int, name: str, points: int, gone: bool) -> None:
        """A request, and SIGKILL for a daemon in the middle of what follows from it."""
        self.cluster.daemons[name].fuse = points
        getattr(self, asked)(which, other)
        self.settle()
        if not gone and not self.cluster.daemons[name].alive:
            self.cluster.up(name)

    @rule(asked=REQUESTS, which=WHICH, other=WHICH, steps=STEPS, spoiled=SPOILS, later=st.booleans())
    def ask_and_spoil(
        self, asked: str, which: int, other: int, steps: list[tuple[int, int]], spoiled: str, later: bool
    ) -> None:
        """A request, and something lost or doubled of what follows from it."""
        getattr(self, asked)(which, other)
        self.run(steps)
        getattr(self, spoiled)(0)
        if later:
            self.settle()

    def attach(self, which: int, other: int) -> None:
        body = {"volumeAttachment": {"volumeId": _of(self.volumes, other)}}
        self.cluster.request("compute", "POST", f"/servers/{_of(self.servers, which)}/os-volume_attachments", body)

    def detach(self, which: int, other: int) -> None:
        """Of what is attached; of anything when nothing is."""
        pairs = [(row["instance_uuid"], row["volume_id"]) for row in checks.look(self.cluster).devices]
        server, volume = _of(pairs or [(_of(self.servers, which), _of(self.volumes, other))], which)
        self.cluster.request("compute", "DELETE", f"/servers/{server}/os-volume_attachments/{volume}")

    def create_server(self, which: int = 0, other: int = 0) -> None:
        if len(self.servers) < MOST_SERVERS:
            server = {"name": "s", "flavorRef": "42", "imageRef": cluster.TINY, "networks": "none"}
            told = self.cluster.request("compute", "POST", "/servers", {"server": server})
            self.made.append((self.servers, told, "server"))

    def create_volume(self, which: int = 0, other: int = 0) -> None:
        if len(self.volumes) < MOST_VOLUMES:
            told = self.cluster.request("volume", "POST", "/volumes", {"volume": {"size": 1}})
            self.made.append((self.volumes, told, "volume"))

    def delete_volume(self, which: int, other: int) -> None:
        self.cluster.request("volume", "DELETE", f"/volumes/{_of(self.volumes, which)}")

    def delete_server(self, which: int, other: int) -> None:
        self.cluster.request("compute", "DELETE", f"/servers/{_of(self.servers, which)}")

    def extend(self, which: int, other: int) -> None:
        path = f"/volumes/{_of(self.volumes, which)}/action"
        self.cluster.request("volume", "POST", path, {"os-extend": {"new_size": 2 + other}})

    def snapshot(self, which: int, other: int) -> None:
        body = {"snapshot": {"volume_id": _of(self.volumes, which), "force": True}}
        told = self.cluster.request("volume", "POST", "/snapshots", body)
        self.made.append((self.snapshots, told, "snapshot"))

    def delete_snapshot(self, which: int, other: int) -> None:
        if self.snapshots:
            self.cluster.request("volume", "DELETE", f"/snapshots/{_of(self.snapshots, which)}")

    def power(self, which: int, other: int) -> None:
        action = _of(("os-stop", "os-start", "reboot", "pause", "unpause"), other)
        body = {action: {"type": "HARD"} if action == "reboot" else None}
        self.cluster.request("compute", "POST", f"/servers/{_of(self.servers, which)}/action", body)

    # What happens to them

    @rule(steps=STEPS)
    def run(self, steps: list[tuple[int, int]]) -> None:
        """Some threads go on for a while, some messages arrive."""
        for which, points in steps:
            self.cluster.choose(which, points)
        self._learn()

    @rule()
    def settle(self) -> None:
        """Everything that can go on without waiting goes on."""
        self.cluster.settle()
        self._learn()

    @rule(seconds=PAUSES, settled=st.booleans())
    def wait(self, seconds: float, settled: bool) -> None:
        """Time passes, and with it limits and timers."""
        self.cluster.pass_time(seconds)
        if settled:
            self.settle()

    @rule(name=DAEMONS, gone=RARELY)
    def kill(self, name: str, gone: bool) -> None:
        """SIGKILL, and a new start at once or later; one that is down comes back."""
        was = self.cluster.daemons[name].alive
        if was:
            self.cluster.kill(name)
        if not was or not gone:
            self.cluster.up(name)

    @rule(spoiled=SPOILS, which=WHICH)
    def spoil(self, spoiled: str, which: int) -> None:
        """Something is lost or comes twice."""
        getattr(self, spoiled)(which)

    def double(self, which: int) -> None:
        """A message that was delivered lately comes once more."""
        if self.cluster.broker.last:
            self.cluster.broker.again(self.cluster.broker.last[-1 - which % len(self.cluster.broker.last)])

    def lose(self, which: int) -> None:
        """A message is lost."""
        if self.cluster.broker.waiting:
            found = _of(self.cluster.broker.waiting, which)
            self.cluster.hub.story.append(f"{found!r} is lost")
            self.cluster.broker.waiting.remove(found)

    def lose_answer(self, which: int) -> None:
        """The answer to a request between daemons, or to a user's, will not arrive."""
        if self.cluster.web.asked:
            _of(self.cluster.web.asked[::-1], which).lost = True

    def lose_reply(self, which: int) -> None:
        """The reply to a call will not arrive."""
        replies = [one.reply for one in self.cluster.broker.waiting if one.reply]
        if replies:
            _of(replies, which).lost = True

    @invariant()
    def sound(self) -> None:
        """What must hold at any moment."""
        wrong = self._broken()
        assert not wrong, checks.tell(self.cluster, wrong)

    def _broken(self) -> list[str]:
        return list(checks.always(self.cluster, checks.look(self.cluster)))

    def _learn(self) -> None:
        """Know what was made by now."""
        for kept, told, name in list(self.made):
            if told["status"] is not None:
                self.made.remove((kept, told, name))
                if told["status"] in (200, 202):
                    kept.append(told["body"][name]["id"])


def _of(found: list[Any], which: int) -> Any:
    return found[which % len(found)]


@pytest.mark.parametrize("flow", ["site", "older_site"])
def test_nothing_is_shared_and_nothing_is_stuck(
    request: pytest.FixtureRequest, seed: int, examples: int, record_property: Callable[[str, object], None], flow: str
) -> None:
    Machine.site = request.getfixturevalue(flow)
    Machine.tally.clear()
    # The older flow has less to it that is its own.
    number = examples if flow == "site" else examples // 4
    settings = hypothesis.settings(
        max_examples=number,
        stateful_step_count=40,
        deadline=None,
        database=None,
        print_blob=False,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    run_state_machine_as_test(hypothesis.seed(seed)(Machine), settings=settings)
    told = ", ".join(f"{count} {what}" for what, count in sorted(Machine.tally.items()))
    record_property("machine", told)
    # Sequences that do nothing would prove nothing; a handful may do little.
    if number >= 30:
        assert Machine.tally["requests answered 2xx"] > number
        assert Machine.tally["daemons killed in the middle of their work"] > number / 4
