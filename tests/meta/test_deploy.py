"""docker-compose.yml and the Dockerfile: what can be known of them without an engine."""

import re
import tomllib

import pytest
import yaml
from typer.main import get_command

from producers.cli import app as producers_app
from stream_worker.api.security import names_for
from stream_worker.cli.app import app
from stream_worker.settings.loader import load
from stream_worker.settings.schema import Settings
from tests.checkout import CHECKOUT

COMPOSE = yaml.safe_load((CHECKOUT / "docker-compose.yml").read_text())
SERVICES = COMPOSE["services"]
OURS = [name for name, service in SERVICES.items() if "build" in service]


@pytest.mark.parametrize("name", SERVICES)
def test_every_port_is_on_loopback_and_every_image_is_pinned(name):
    assert all(port.startswith("127.0.0.1:") for port in SERVICES[name].get("ports", []))
    assert re.fullmatch(r".+:(v?\d.*|local)", SERVICES[name]["image"])


@pytest.mark.parametrize("name", OURS)
def test_programs_run_without_rights_and_are_asked_whether_they_are_ready(name):
    service = SERVICES[name]
    assert service["cap_drop"] == ["ALL"]
    assert service["read_only"] is True
    assert name == "producer" or "healthcheck" in service


@pytest.mark.parametrize("name", OURS)
def test_the_commands_are_commands_of_ours(name):
    service = SERVICES[name]
    root = producers_app if service.get("entrypoint") == ["produce-mentions"] else app
    command, *arguments = service["command"]
    found = get_command(root).commands[command]
    options = {option for parameter in found.params for option in parameter.opts}
    assert {word for word in arguments if word.startswith("--")} <= options


@pytest.mark.parametrize("name", [name for name in OURS if name != "producer"])
def test_the_settings_can_be_used(name, monkeypatch, tmp_path):
    # Given the environment of the service, with its secrets where they lie in the checkout
    service = SERVICES[name]
    for key, value in service["environment"].items():
        secret = value.removeprefix("/run/secrets/")
        if secret == value:
            monkeypatch.setenv(key, value)
        else:
            assert secret in service["secrets"]
            monkeypatch.setenv(key, str(CHECKOUT / COMPOSE["secrets"][secret]["file"]))
    monkeypatch.chdir(tmp_path)

    settings = load(None).settings

    known = (CHECKOUT / "deploy/local/s3.json").read_text()
    assert settings.archive.secret_access_key.get_secret_value() in known
    assert settings.http.host == "0.0.0.0"


def test_prometheus_asks_each_program_where_its_metrics_are():
    (job,) = yaml.safe_load((CHECKOUT / "deploy/prometheus.yml").read_text())["scrape_configs"]
    (replicas,), (one,) = job["dns_sd_configs"], job["static_configs"]
    asked = dict.fromkeys(replicas["names"], replicas["port"])
    asked |= {name: int(port) for name, _, port in (target.partition(":") for target in one["targets"])}

    settings = Settings()

    assert asked == dict.fromkeys(("worker", "notifier"), settings.http.port) | {"api": settings.api.port}
    assert names_for("0.0.0.0", SERVICES["api"]["environment"]["STREAM_WORKER_API__HOSTS"]) > {
        "api",
        "127.0.0.1",
    }


def test_what_the_image_is_made_of_is_there_and_nothing_else_is_sent_to_the_engine():
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", (CHECKOUT / "Dockerfile").read_text(), re.MULTILINE)
    sources = {source for line in copied for source in line.split()}
    allowed = {
        line[1:] for line in (CHECKOUT / ".dockerignore").read_text().splitlines() if line.startswith("!")
    }
    assert sources == allowed
    assert all((CHECKOUT / source).exists() for source in sources)
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())
    assert set(project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]) < sources
