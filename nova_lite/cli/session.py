"""Requests to the three APIs, and the translation of their failures into errors a person can act on.

Every command reaches the APIs through `Cloud`; nothing above this module knows of HTTP libraries. The
microversions are fixed, so no version discovery is needed: compute 2.79 is the last one that lists rows of
both attach flows (from 2.89 a row without a cinder attachment id is left out), volume 3.44 has the whole
attachments API.
"""

import dataclasses
import typing
from collections.abc import Iterator, Mapping
from urllib import parse

from nova_lite.cli import config, errors

if typing.TYPE_CHECKING:
    import requests
    from keystoneauth1 import adapter

HEADERS = {
    "compute": {"OpenStack-API-Version": "compute 2.79"},
    "volume": {"OpenStack-API-Version": "volume 3.44"},
    "image": {},
}
API_NAMES = {"compute": "nova-api", "volume": "cinder-api", "image": "the image API"}
# More pages than any real list has; a server that always says "next" must not hold the command for ever.
MAX_PAGES = 1000


@dataclasses.dataclass(frozen=True)
class Reply:
    """A successful answer: its JSON object (empty when it had none) and the API's request id."""

    body: dict[str, typing.Any]
    request_id: str


class Cloud:
    """The three APIs as nlite uses them."""

    def __init__(self, source: config.Source) -> None:
        self._source = source
        self._adapters: dict[str, adapter.Adapter] = {}

    def call(
        self,
        service: str,
        method: str,
        path: str,
        body: Mapping[str, typing.Any] | None = None,
        params: Mapping[str, typing.Any] | None = None,
        version: str | None = None,
    ) -> Reply:
        """Return the answer to one request; `version` takes the place of the usual microversion.

        Raises ApiError for a 4xx or 5xx code, Unreachable when no answer came, CliError when the answer
        is not from an OpenStack API or the login was refused.
        """
        headers = dict(HEADERS[service])
        if version is not None:
            headers["OpenStack-API-Version"] = f"{service} {version}"
        response = self._send(service, method, path, body, params, headers)
        request_id = response.headers.get("x-openstack-request-id") or response.headers.get("x-compute-request-id", "")
        content = _json(response)
        if response.status_code >= 400:
            message = _fault_message(content, response)
            hint = _hint(service, response.status_code, request_id)
            raise errors.ApiError(message, hint, response.status_code)
        if content is None:
            raise errors.CliError(
                f"{response.url} does not speak the language of an OpenStack API (no JSON object)",
                f"is it really {API_NAMES[service]}? Check --{service}-url",
            )
        return Reply(content, request_id)

    def get(
        self,
        service: str,
        path: str,
        params: Mapping[str, typing.Any] | None = None,
        version: str | None = None,
    ) -> dict[str, typing.Any]:
        """Return the JSON object at `path`; raises as `call` does."""
        return self.call(service, "GET", path, params=params, version=version).body

    def pages(
        self, service: str, path: str, key: str, params: Mapping[str, typing.Any] | None = None
    ) -> Iterator[dict[str, typing.Any]]:
        """Yield the items under `key` of every page of a list; raises as `call` does."""
        query: dict[str, typing.Any] | None = dict(params or {})
        for _ in range(MAX_PAGES):
            content = self.get(service, path, query)
            yield from content.get(key, ())
            query = next_query(content, key)
            if query is None:
                return

    def _send(
        self,
        service: str,
        method: str,
        path: str,
        body: Mapping[str, typing.Any] | None,
        params: Mapping[str, typing.Any] | None,
        headers: dict[str, str],
    ) -> "requests.Response":
        from keystoneauth1 import exceptions

        connected = self._adapter(service)
        try:
            return connected.request(path, method, json=body, params=params, headers=headers, raise_exc=False)
        except exceptions.ConnectionError as error:
            url = str(connected.endpoint_override)
            # A token may have been asked for on the way; keystoneauth names the URL that failed.
            if url not in str(error):
                raise _unsigned(service, error) from error
            raise _unreachable(service, url, error) from error
        except exceptions.ClientException as error:
            raise _unsigned(service, error) from error

    def _adapter(self, service: str) -> "adapter.Adapter":
        from keystoneauth1 import exceptions

        if service not in self._adapters:
            try:
                self._adapters[service] = self._source.adapter(service)
            except exceptions.ClientException as error:
                raise _unsigned(service, error) from error
        return self._adapters[service]


def _unsigned(service: str, error: Exception) -> errors.CliError:
    return errors.CliError(
        f"no login for {API_NAMES[service]}: {' '.join(str(error).split())}",
        "check the user, password and auth_url of --os-cloud or of the OS_* variables",
    )


def _unreachable(service: str, url: str, error: Exception) -> errors.Unreachable:
    text = str(error).lower()
    reason = "no answer"
    for sign, words in (
        ("refused", "connection refused"),
        ("timed out", "timed out"),
        ("name or service not known", "unknown host name"),
        ("name resolution", "unknown host name"),
        ("certificate", "its certificate is not trusted"),
    ):
        if sign in text:
            reason = words
            break
    return errors.Unreachable(
        f"cannot reach {API_NAMES[service]} at {url}: {reason}",
        f"start the stack with ./devstack/stack.sh, or name another with --{service}-url or --os-cloud",
    )


def _json(response: "requests.Response") -> dict[str, typing.Any] | None:
    """Return the object in the answer, {} for an empty answer, None if it is anything else."""
    if not response.content:
        return {}
    try:
        content = response.json()
    except ValueError:
        return None
    return content if isinstance(content, dict) else None


def _fault_message(content: dict[str, typing.Any] | None, response: "requests.Response") -> str:
    """Return the text of `{"<fault>": {"code", "message"}}`, or the bare status line of a foreign error."""
    for fault in (content or {}).values():
        if isinstance(fault, dict) and fault.get("message"):
            return " ".join(str(fault["message"]).split())
    return f"{response.url} answered {response.status_code} {response.reason}"


def _hint(service: str, status: int, request_id: str) -> str:
    if status >= 500:
        where = f"look for {request_id} in the log of" if request_id else "look into the log of"
        return f"{where} {API_NAMES[service]} and of the services in `nlite service-list`"
    return {
        401: "check the credentials: --os-cloud, clouds.yaml or the OS_* variables",
        403: "this user lacks the role for it, or a limit is reached",
        404: "`nlite list` and `nlite volume-list` show what exists",
        406: f"this API has no {HEADERS[service].get('OpenStack-API-Version', 'v2')}, which nlite speaks",
        409: "it is busy or in the wrong state: see `nlite show SERVER`, wait, and try again",
        413: "delete volumes you no longer need, or ask for a larger quota",
        429: "too many requests at once: try again in a moment",
    }.get(status, "")


def next_query(content: Mapping[str, typing.Any], key: str) -> dict[str, typing.Any] | None:
    """Return the query of the next page: nova and cinder link it in `<key>_links`, glance in `next`."""
    links = content.get(f"{key}_links") or ()
    href = next((link["href"] for link in links if link.get("rel") == "next"), content.get("next"))
    if not href:
        return None
    return dict(parse.parse_qsl(parse.urlsplit(href).query))
