"""Where the three APIs are, and how requests to them are signed.

Configuration is what every OpenStack client reads: `clouds.yaml` (`--os-cloud`, `OS_CLOUD`) and `OS_*`
variables; openstacksdk is the authority on both. Importing it costs more than a whole command that lists
servers, so the case of a local stack without authentication (nothing configured at all, endpoint
variables only, or a cloud of `auth_type: none` with plain endpoints) is answered here without it.
"""

import argparse
import dataclasses
import os
import pathlib
import re
import typing
from collections.abc import Mapping
from urllib import parse

from nova_lite.cli import errors

if typing.TYPE_CHECKING:
    from keystoneauth1 import adapter

DEFAULT_URLS = {
    "compute": "http://127.0.0.1:8774/v2.1",
    "volume": "http://127.0.0.1:8776/v3",
    "image": "http://127.0.0.1:8774/image/v2",
}
# What openstack clients call the services in clouds.yaml keys and in OS_* variables.
CONFIG_NAMES = {
    "compute": ("compute",),
    "volume": ("block_storage", "volume"),
    "image": ("image",),
}
VERSION_SUFFIX = {"compute": "v2.1", "volume": "v3", "image": "v2"}
SITE_FOLDER = pathlib.Path("/etc/openstack")
# Longest wait for one answer, in seconds: an attach may hold its POST for the 60 s of an RPC reply.
HTTP_TIMEOUT = 90.0
SELECTORS = frozenset({"OS_CLOUD", "OS_REGION_NAME", "OS_CLIENT_CONFIG_FILE", "OS_CLIENT_SECURE_FILE", "OS_CLOUD_NAME"})
# Variables with these prefixes belong to test runners and log libraries, not to clients.
FOREIGN_PREFIXES = ("OS_TEST", "OS_STD", "OS_LOG")
PLAIN_CLOUD_KEYS = re.compile(r"auth_type|region_name|interface|\w+_endpoint_override|\w+_api_version")


class Source(typing.Protocol):
    """Gives, per service, a keystoneauth adapter whose relative paths start below the API version."""

    def adapter(self, service: str) -> "adapter.Adapter":
        """Return the adapter of `compute`, `volume` or `image`; its endpoint_override is the base URL.

        Raises keystoneauth's ClientException when the login fails.
        """


@dataclasses.dataclass(frozen=True)
class LocalSource:
    """A stack without authentication: three URLs and an optional `user:project` token."""

    urls: Mapping[str, str]
    token: str | None = None

    def adapter(self, service: str) -> "adapter.Adapter":
        """Return an adapter that needs neither discovery nor a token."""
        import requests
        from keystoneauth1 import adapter, session

        http = requests.Session()
        # A proxy from the environment cannot reach this machine's loopback.
        http.trust_env = not _is_loopback(self.urls[service])
        signed = session.Session(auth=_local_auth(self.token), session=http, timeout=HTTP_TIMEOUT, app_name="nlite")
        return adapter.Adapter(session=signed, endpoint_override=self.urls[service])


class SdkSource:
    """A cloud that openstacksdk configures: keystone, certificates, regions, profiles."""

    def __init__(self, cloud: str | None, urls: Mapping[str, str]) -> None:
        """Read the configuration of `cloud` (None: as openstack clients choose); `urls` override endpoints.

        Raises CliError when openstacksdk refuses the configuration.
        """
        import openstack.config
        from keystoneauth1 import exceptions as auth_exceptions
        from openstack import exceptions

        self._given = urls
        try:
            self._region = openstack.config.OpenStackConfig(app_name="nlite").get_one(cloud=cloud)
            self._session = self._region.get_session()
        except (exceptions.ConfigException, auth_exceptions.ClientException) as error:
            raise errors.CliError(
                f"the client configuration cannot be used: {error}",
                "check --os-cloud, clouds.yaml and the OS_* variables (`env | grep OS_`)",
            ) from error
        self._session.timeout = HTTP_TIMEOUT

    def adapter(self, service: str) -> "adapter.Adapter":
        """Return an adapter with the cloud's authentication."""
        from keystoneauth1 import adapter

        return adapter.Adapter(session=self._session, endpoint_override=self._url(service))

    def _url(self, service: str) -> str:
        """Return the base URL: given by option, by configuration, or from the cloud's service catalog."""
        if service in self._given:
            return self._given[service]
        for name in CONFIG_NAMES[service]:
            configured = self._region.get_endpoint(name)
            if configured:
                return with_version(service, configured)
        if self._region.config.get("auth_type") == "none":
            return DEFAULT_URLS[service]
        name = CONFIG_NAMES[service][0].replace("_", "-")
        found = self._session.get_endpoint(
            service_type=name,
            interface=self._region.get_interface(name),
            region_name=self._region.get_region_name(name),
            # The catalog's URL is enough: paths and versions are fixed, so a discovery request is saved.
            skip_discovery=True,
        )
        if not found:
            raise errors.CliError(
                f"the cloud's service catalog has no {name} service", f"name its address with --{service}-url"
            )
        return with_version(service, found)


def choose(options: argparse.Namespace, environ: Mapping[str, str]) -> Source:
    """Return the source that options, environment and clouds.yaml ask for, in this order.

    Raises CliError when the configuration cannot be used.
    """
    given = {name: with_version(name, url) for name in DEFAULT_URLS if (url := getattr(options, f"{name}_url"))}
    from_env = _urls_from(environ, prefix="OS_", upper=True)
    cloud_name = options.os_cloud or environ.get("OS_CLOUD")
    if not cloud_name:
        if _other_variables(environ):
            return SdkSource(None, {**from_env, **given})
        if from_env or len(given) == len(DEFAULT_URLS):
            return LocalSource({**DEFAULT_URLS, **from_env, **given}, options.token)
    path = _clouds_file(environ)
    if path is None:
        if cloud_name:
            return SdkSource(cloud_name, {**from_env, **given})
        return LocalSource({**DEFAULT_URLS, **given}, options.token)
    clouds = _read_clouds(path)
    if not cloud_name and len(clouds) != 1:
        # openstack clients take a lone cloud; of several nothing was chosen, so nothing is configured.
        return LocalSource({**DEFAULT_URLS, **given}, options.token)
    chosen = clouds.get(cloud_name) if cloud_name else next(iter(clouds.values()))
    plain = _plain_urls(chosen, path)
    if plain is None:
        return SdkSource(cloud_name, {**from_env, **given})
    return LocalSource({**DEFAULT_URLS, **plain, **from_env, **given}, options.token)


def with_version(service: str, url: str) -> str:
    """Return the URL with the API version appended when it names none, and without a last slash.

    Raises CliError when it is not an http or https URL with a host.
    """
    bare = url.rstrip("/")
    parts = parse.urlsplit(bare)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        example = DEFAULT_URLS[service]
        raise errors.CliError(f"{url!r} is not the address of an API", f"an address looks like {example}")
    if re.search(r"/v\d+(\.\d+)?(/|$)", parse.urlsplit(bare).path):
        return bare
    return f"{bare}/{VERSION_SUFFIX[service]}"


def _urls_from(values: Mapping[str, typing.Any], prefix: str = "", upper: bool = False) -> dict[str, str]:
    found = {}
    for service, names in CONFIG_NAMES.items():
        for name in names:
            key = f"{prefix}{name}_endpoint_override"
            value = values.get(key.upper() if upper else key)
            if value:
                found[service] = with_version(service, str(value))
                break
    return found


def _other_variables(environ: Mapping[str, str]) -> bool:
    """Tell whether OS_* variables configure more than endpoints without authentication."""
    known = {f"OS_{name}_ENDPOINT_OVERRIDE".upper() for names in CONFIG_NAMES.values() for name in names}
    rest = {name for name in environ if name.startswith("OS_") and not name.startswith(FOREIGN_PREFIXES)}
    rest -= known | SELECTORS
    if environ.get("OS_AUTH_TYPE") == "none":
        rest.discard("OS_AUTH_TYPE")
    return bool(rest)


def _clouds_file(environ: Mapping[str, str]) -> pathlib.Path | None:
    """Return the clouds file that openstacksdk would read, by its order of places."""
    named = environ.get("OS_CLIENT_CONFIG_FILE")
    if named and os.path.exists(named):
        return pathlib.Path(named)
    home = pathlib.Path(environ.get("HOME") or pathlib.Path.home()) / ".config"
    folders = [
        pathlib.Path.cwd(),
        pathlib.Path(environ.get("XDG_CONFIG_HOME") or home) / "openstack",
        home / "openstack",
        *(pathlib.Path(base) / "openstack" for base in environ.get("XDG_CONFIG_DIRS", "/etc/xdg").split(":") if base),
        SITE_FOLDER,
    ]
    for folder in folders:
        for suffix in ("yaml", "yml", "json"):
            candidate = folder / f"clouds.{suffix}"
            if candidate.exists():
                return candidate
    return None


def _read_clouds(path: pathlib.Path) -> dict[str, typing.Any]:
    import yaml

    try:
        with path.open(encoding="utf-8") as stream:
            content = yaml.safe_load(stream)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise errors.CliError(f"{path} cannot be read: {reason}", "correct the file or move it away") from error
    clouds = content.get("clouds") if isinstance(content, dict) else None
    return clouds if isinstance(clouds, dict) else {}


def _plain_urls(cloud: typing.Any, path: pathlib.Path) -> dict[str, str] | None:
    """Return the endpoints of a cloud without authentication; None if only the SDK can tell."""
    if not isinstance(cloud, dict):
        return None
    keys = {str(key).replace("-", "_"): value for key, value in cloud.items()}
    if keys.get("auth_type") != "none" or any((path.parent / f"secure.{s}").exists() for s in ("yaml", "yml", "json")):
        return None
    if not keys.pop("auth", None) and all(PLAIN_CLOUD_KEYS.fullmatch(key) for key in keys):
        return _urls_from(keys)
    return None


def _is_loopback(url: str) -> bool:
    host = parse.urlsplit(url).hostname or ""
    return host in ("localhost", "::1") or host.startswith("127.")


def _local_auth(token: str | None) -> typing.Any:
    from keystoneauth1 import plugin

    class LocalAuth(plugin.BaseAuthPlugin):
        """Signs nothing, or with the `user:project` token that an API without keystone understands."""

        def get_token(self, session: typing.Any) -> str | None:
            return token

        def get_headers(self, session: typing.Any) -> dict[str, str]:
            return {"X-Auth-Token": token} if token else {}

    return LocalAuth()
