"""Tokens of keystone, coming in and going out, against a stand-in for keystone that speaks HTTP."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import webob
from oslo_config import cfg

from lite_common import config, context, errors, rest, service_user
from lite_common.wsgi import auth, expose, keystone, microversion, pipeline, routing
from tests.fixtures import stack as stacks
from tests.fixtures.keystone import FakeKeystone
from tests.unit.lite_common import rules

Ask = Callable[..., webob.Response]


class Mirror:
    """Tells who the caller was taken for."""

    @expose.expose()
    def show(self, request: expose.ApiRequest) -> dict[str, Any]:
        ctx = request.context
        names = ("user_id", "project_id", "is_admin", "is_service", "auth_token")
        return {name: getattr(ctx, name) for name in names} | {"roles": sorted(ctx.roles)}


@pytest.fixture
def fake() -> Iterator[FakeKeystone]:
    with FakeKeystone({"block-storage": "http://127.0.0.1:8776/v3/%(tenant_id)s"}) as running:
        running.add("nova", "service", "service", "admin", "member", "reader")
        running.add("alice", "demo", "member", "reader")
        running.add("root", "admin", "admin", "member", "reader")
        running.add("nowhere", None)
        yield running


@pytest.fixture
def conf(fake: FakeKeystone, tmp_path: Path) -> cfg.ConfigOpts:
    return load(tmp_path, fake.options("nova"))


def load(directory: Path, sections: dict[str, dict[str, Any]]) -> cfg.ConfigOpts:
    file = stacks.write_config(directory / "service.conf", sections)
    return config.load("nova-lite", "nova-lite-api", [], ["--config-file", str(file)], logs=False)


@pytest.fixture
def ask(conf: cfg.ConfigOpts) -> Ask:
    routes, roots = [routing.Route("GET", "/mirror", Mirror().show)], [routing.Route("GET", "/", Mirror().show)]
    app = pipeline.Pipeline(
        microversion.ApiKind("compute", (2, 1), (2, 101)),
        routing.Router(roots, {"/v2.1": routes}),
        auth.strategy(conf),
        rules=rules.for_everybody(routes, public=roots),
        max_body=1000,
        healthy=lambda: None,
    )

    def asked(token: str | None, path: str = "/v2.1/mirror", **headers: str) -> webob.Response:
        sent = {"X-Auth-Token": token} if token is not None else {}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        return webob.Request.blank(path, headers=sent).get_response(app)

    return asked


def test_a_token_tells_user_project_and_roles(fake: FakeKeystone, ask: Ask) -> None:
    token = fake.token("alice")
    assert ask(token).json == {
        "user_id": fake.users["alice"].id,
        "project_id": "demo",
        "is_admin": False,
        "is_service": False,
        "auth_token": token,
        "roles": ["member", "reader"],
    }
    assert ask(fake.token("root")).json["is_admin"] is True


def test_a_validated_token_is_remembered(fake: FakeKeystone, ask: Ask) -> None:
    token = fake.token("alice")
    for _ in range(5):
        assert ask(token).status_int == 200
    assert fake.validations == 1


@pytest.mark.parametrize("token", [None, "", "nonsense", "admin:demo"])
def test_without_a_good_token_the_answer_is_401_and_says_where_to_get_one(
    fake: FakeKeystone, ask: Ask, token: str | None
) -> None:
    answer = ask(token)
    assert answer.status_int == 401
    assert answer.json["error"]["title"] == "Unauthorized"
    assert answer.headers["WWW-Authenticate"] == f'Keystone uri="{fake.url}"'
    assert answer.headers["x-openstack-request-id"].startswith("req-")


def test_identity_headers_of_the_client_are_not_believed(fake: FakeKeystone, ask: Ask) -> None:
    forged = {"X_Roles": "admin", "X_Project_Id": "other", "X_User_Id": "eve", "X_Identity_Status": "Confirmed"}
    assert ask(None, **forged).status_int == 401
    forged |= {"X_Service_Roles": "service", "X_Service_Identity_Status": "Confirmed", "X_Service_User_Id": "nova"}
    told = ask(fake.token("alice"), **forged).json
    assert (told["project_id"], told["roles"], told["is_service"]) == ("demo", ["member", "reader"], False)


def test_an_expired_or_revoked_token_is_refused(fake: FakeKeystone, ask: Ask) -> None:
    assert ask(fake.token("alice", seconds=-1)).status_int == 401
    revoked = fake.token("alice")
    fake.tokens[revoked].revoked = True
    assert ask(revoked).status_int == 401


def test_a_service_token_needs_the_service_role_and_lets_an_expired_user_token_through(
    fake: FakeKeystone, ask: Ask
) -> None:
    service = fake.token("nova")
    assert ask(fake.token("alice"), X_Service_Token=service).json["is_service"] is True
    assert ask(fake.token("alice", seconds=-1), X_Service_Token=service).status_int == 200
    for other in (fake.token("root"), fake.token("alice"), "nonsense", fake.token("nova", seconds=-1)):
        assert ask(fake.token("alice"), X_Service_Token=other).status_int == 401


def test_a_token_for_no_project_is_refused(fake: FakeKeystone, ask: Ask) -> None:
    answer = ask(fake.token("nowhere"))
    assert (answer.status_int, "for no project" in answer.json["forbidden"]["message"]) == (403, True)


def test_the_project_in_the_url_must_be_the_tokens(fake: FakeKeystone, ask: Ask) -> None:
    assert ask(fake.token("alice"), "/v2.1/demo/mirror").status_int == 200
    answer = ask(fake.token("alice"), "/v2.1/other/mirror")
    assert (answer.status_int, "doesn't match" in answer.json["badRequest"]["message"]) == (400, True)


def test_version_documents_need_no_token_and_unknown_paths_do(ask: Ask) -> None:
    assert ask(None, "/").status_int == 200
    assert ask(None, "/v2.1/nothing").status_int == 401
    assert ask(None, "/nothing").status_int == 404


def test_keystone_that_is_down_is_a_503_not_a_401(fake: FakeKeystone, ask: Ask) -> None:
    assert ask(fake.token("alice")).status_int == 200
    fake.down = True
    assert ask(fake.token("alice")).status_int == 503


def test_options_that_are_not_whole_are_refused_at_the_start(fake: FakeKeystone, tmp_path: Path) -> None:
    with pytest.raises(errors.Invalid, match="auth_type"):
        auth.strategy(load(tmp_path, {"api": {"auth_strategy": "keystone"}}))
    weak = fake.options("nova")
    weak["keystone_authtoken"]["service_token_roles_required"] = "false"
    with pytest.raises(errors.Invalid, match="service_token_roles_required"):
        auth.strategy(load(tmp_path, weak))
    with pytest.raises(errors.Invalid, match="service_user"):
        service_user.ServiceUser(load(tmp_path, {"api": {"auth_strategy": "keystone"}}), "compute", None)


def test_the_cache_is_bounded_in_number_and_time(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(keystone, "_now", lambda: now[0])
    cache = keystone.TokenCache(most=2)
    for key in ("a", "b", "c"):
        cache.set(key, key.encode(), time=10)
    assert [cache.get(key) for key in ("a", "b", "c")] == [None, b"b", b"c"]
    now[0] += 10
    assert cache.get("b") is None


def test_a_service_sends_the_users_token_and_its_own(fake: FakeKeystone, conf: cfg.ConfigOpts) -> None:
    identity = service_user.ServiceUser(conf, "block-storage", "http://127.0.0.1:1/v3")
    assert identity.endpoint() == "http://127.0.0.1:1/v3"
    sent = [identity.headers(context.RequestContext(auth_token="alices")) for _ in range(3)]
    assert {one["X-Auth-Token"] for one in sent} == {"alices"}
    assert [fake.tokens[one["X-Service-Token"]].user.name for one in sent] == ["nova"] * 3
    assert fake.logins == 1


def test_what_no_user_asked_for_is_done_in_the_services_name(fake: FakeKeystone, conf: cfg.ConfigOpts) -> None:
    sent = service_user.ServiceUser(conf, "block-storage", None).headers(context.admin_context())
    assert sent["X-Auth-Token"] == sent["X-Service-Token"]
    assert fake.tokens[sent["X-Auth-Token"]].user.name == "nova"


def test_the_other_service_is_found_in_the_catalog(fake: FakeKeystone, conf: cfg.ConfigOpts) -> None:
    assert service_user.ServiceUser(conf, "block-storage", None).endpoint() == "http://127.0.0.1:8776/v3"
    with pytest.raises(errors.Unavailable, match="compute"):
        service_user.ServiceUser(conf, "compute", None).endpoint()


def test_keystone_that_is_down_is_told_as_unavailable(fake: FakeKeystone, conf: cfg.ConfigOpts) -> None:
    fake.down = True
    with pytest.raises(errors.Unavailable):
        service_user.ServiceUser(conf, "block-storage", None).headers(context.admin_context())


def test_a_revoked_service_token_is_replaced(fake: FakeKeystone, conf: cfg.ConfigOpts, ask: Ask) -> None:
    identity = service_user.ServiceUser(conf, "compute", None)
    ctx = context.RequestContext(auth_token=fake.token("alice"))
    before = identity.headers(ctx)["X-Service-Token"]
    fake.tokens[before].revoked = True
    assert ask(**_as_arguments(identity.headers(ctx))).status_int == 401
    assert identity.renew()
    assert ask(**_as_arguments(identity.headers(ctx))).json["is_service"] is True


def test_a_request_that_is_refused_is_repeated_once_with_a_new_token(monkeypatch: pytest.MonkeyPatch) -> None:
    class Stale:
        def __init__(self) -> None:
            self.renewed = 0

        def endpoint(self) -> str:
            return "http://127.0.0.1:1"

        def headers(self, ctx: context.RequestContext) -> dict[str, str]:
            return {"X-Service-Token": f"token{self.renewed}"}

        def renew(self) -> bool:
            self.renewed += 1
            return True

    class Answer:
        status, data, reason = 401, b"", "Unauthorized"

    stale, sent = Stale(), []
    client = rest.RestClient("volume", identity=stale, retries=0)
    monkeypatch.setattr(
        client._pool, "urlopen", lambda *args, headers, **kw: sent.append(headers["X-Service-Token"]) or Answer()
    )
    with pytest.raises(errors.Unauthorized):
        client.request(context.RequestContext(), "POST", "/x", version="3.44")
    assert sent == ["token0", "token1"]


def test_the_users_token_goes_along_over_rpc() -> None:
    ctx = context.RequestContext(auth_token="alices", user_id="alice", project_id="demo", roles=["member"])
    assert context.RequestContext.from_dict(ctx.to_dict()).auth_token == "alices"


def _as_arguments(headers: dict[str, str]) -> dict[str, Any]:
    return {"token": headers["X-Auth-Token"], "X_Service_Token": headers["X-Service-Token"]}
