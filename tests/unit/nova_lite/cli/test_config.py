"""Where the APIs are: options, variables, clouds.yaml, and who is asked about them."""

import argparse

import pytest

from nova_lite.cli import config, errors
from tests.unit.nova_lite.cli import conftest


def options(**given):
    return argparse.Namespace(
        **{"os_cloud": None, "compute_url": None, "volume_url": None, "image_url": None, "token": None, **given}
    )


def choose(tmp_path, env=None, **given):
    return config.choose(options(**given), {"HOME": str(tmp_path), "XDG_CONFIG_DIRS": str(tmp_path), **(env or {})})


def write(tmp_path, text, name="clouds.yaml"):
    (tmp_path / name).write_text(text)


@pytest.fixture
def sdk_file(tmp_path, monkeypatch):
    """Return a function that writes the file for the real SDK, which fixes its folders at its first import."""
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(tmp_path / "sdk.yaml"))
    return lambda text: write(tmp_path, text, "sdk.yaml")


PLAIN = """
clouds:
  lite:
    auth_type: none
    compute_endpoint_override: http://127.0.0.1:1/v2.1
    block-storage-endpoint-override: http://127.0.0.1:2/v3/
    region_name: here
"""


def test_with_nothing_configured_it_is_the_local_stack(tmp_path):
    assert choose(tmp_path) == config.LocalSource(config.DEFAULT_URLS, None)


def test_each_address_has_an_option_and_a_variable(tmp_path):
    env = {
        "OS_COMPUTE_ENDPOINT_OVERRIDE": "http://a:1",
        "OS_VOLUME_ENDPOINT_OVERRIDE": "http://b:2/v3",
        "OS_IMAGE_ENDPOINT_OVERRIDE": "http://c:3/image",
    }
    source = choose(tmp_path, env, compute_url="http://d:4/compute/")
    assert source.urls == {
        "compute": "http://d:4/compute/v2.1",
        "volume": "http://b:2/v3",
        "image": "http://c:3/image/v2",
    }


@pytest.mark.parametrize("url", ["nonsense", "127.0.0.1:8776", "ftp://x/v3", "http://"])
def test_what_is_no_url_is_refused(tmp_path, url):
    with pytest.raises(errors.CliError, match="is not the address of an API"):
        choose(tmp_path, volume_url=url)


def test_auth_type_none_in_the_environment_is_the_local_stack(tmp_path):
    source = choose(tmp_path, {"OS_AUTH_TYPE": "none", "OS_COMPUTE_ENDPOINT_OVERRIDE": "http://a:1/v2.1"})
    assert source.urls["compute"] == "http://a:1/v2.1"


def test_a_lone_cloud_without_authentication_is_read_without_the_sdk(tmp_path):
    write(tmp_path, PLAIN)
    source = choose(tmp_path)
    assert source.urls == {
        "compute": "http://127.0.0.1:1/v2.1",
        "volume": "http://127.0.0.1:2/v3",
        "image": config.DEFAULT_URLS["image"],
    }


def test_a_cloud_is_chosen_by_option_or_variable(tmp_path):
    write(tmp_path, PLAIN + "  other: {auth_type: none, compute_endpoint_override: 'http://o:9/v2.1'}\n")
    assert choose(tmp_path, os_cloud="other").urls["compute"] == "http://o:9/v2.1"
    assert choose(tmp_path, {"OS_CLOUD": "lite"}).urls["compute"] == "http://127.0.0.1:1/v2.1"
    assert choose(tmp_path).urls == config.DEFAULT_URLS


def test_the_file_can_be_named_by_a_variable(tmp_path):
    (tmp_path / "deep").mkdir()
    write(tmp_path, PLAIN, "deep/my.yaml")
    env = {"OS_CLIENT_CONFIG_FILE": str(tmp_path / "deep" / "my.yaml")}
    assert choose(tmp_path, env).urls["compute"] == "http://127.0.0.1:1/v2.1"


@pytest.mark.parametrize("folder", [".config/openstack", "xdg/openstack", "etc/openstack"])
def test_the_file_is_found_where_openstack_clients_look(tmp_path, folder):
    (tmp_path / folder).mkdir(parents=True)
    write(tmp_path, PLAIN, f"{folder}/clouds.yaml")
    env = {"XDG_CONFIG_HOME": str(tmp_path / "xdg")}
    assert choose(tmp_path, env).urls["compute"] == "http://127.0.0.1:1/v2.1"


@pytest.mark.parametrize("text", ["", "clouds:", "- 1", "other: 1"])
def test_a_file_without_clouds_configures_nothing(tmp_path, text):
    write(tmp_path, text)
    assert choose(tmp_path).urls == config.DEFAULT_URLS


def test_a_broken_file_is_named(tmp_path):
    write(tmp_path, "clouds: [")
    with pytest.raises(errors.CliError, match=r"clouds\.yaml cannot be read"):
        choose(tmp_path)


@pytest.mark.parametrize(
    "cloud",
    [
        "{auth_type: none, auth: {endpoint: 'http://e:5'}}",
        "{auth_type: none, profile: somewhere}",
        "{auth_type: none, cacert: /x}",
        "{auth: {auth_url: 'http://k:5000/v3', username: u, password: p}}",
    ],
)
def test_everything_else_is_left_to_the_sdk(tmp_path, cloud, monkeypatch):
    asked = []
    monkeypatch.setattr(config, "SdkSource", lambda name, urls: asked.append((name, urls)))
    write(tmp_path, f"clouds: {{one: {cloud}}}")
    choose(tmp_path, os_cloud="one")
    assert asked == [("one", {})]


def test_credentials_in_the_environment_are_left_to_the_sdk(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(config, "SdkSource", lambda name, urls: asked.append((name, urls)))
    choose(tmp_path, {"OS_AUTH_URL": "http://k:5000/v3", "OS_COMPUTE_ENDPOINT_OVERRIDE": "http://a:1/v2.1"})
    assert asked == [(None, {"compute": "http://a:1/v2.1"})]


def test_the_sdk_serves_one_endpoint_for_all(sdk_file, stack):
    sdk_file(f"clouds: {{one: {{auth_type: none, auth: {{endpoint: '{stack.base}'}}}}}}")
    stack.volume("v1")
    result = conftest.run_nlite("--os-cloud", "one", "volume-list", "-f", "json")
    assert result.code == 0, result.err
    assert result.json()[0]["Name"] == "v1"


def test_the_sdk_serves_a_token_with_an_endpoint_option(sdk_file, stack):
    sdk_file("clouds: {one: {auth_type: admin_token, auth: {endpoint: 'http://x:1', token: 'eve:lab'}}}")
    result = conftest.run_nlite("--os-cloud", "one", "--volume-url", stack.base, "volume-list", "-f", "json")
    assert result.code == 0, result.err
    assert stack.requests[0][3]["X-Auth-Token"] == "eve:lab"


def test_a_cloud_that_does_not_exist(sdk_file):
    sdk_file(PLAIN)
    result = conftest.run_nlite("--os-cloud", "nowhere", "volume-list")
    assert result.code == 1
    assert "nowhere" in result.err
    assert "--os-cloud" in result.err


@pytest.mark.parametrize("options", [[], ["--volume-url", "http://127.0.0.1:2/v3"]])
def test_a_keystone_that_is_down(sdk_file, options):
    auth = "{auth_url: 'http://127.0.0.1:1/v3', username: u, password: p, project_name: x}"
    sdk_file(f"clouds: {{one: {{auth: {auth}}}}}")
    result = conftest.run_nlite("--os-cloud", "one", *options, "volume-list")
    assert result.code == 1
    assert "no login for cinder-api" in result.err
    assert "http://127.0.0.1:1/v3" in result.err
    assert "Traceback" not in result.err
