"""The map from the system's addresses to each process's environment, compared with its settings."""

import importlib
import inspect
import re
from urllib.parse import urlsplit

import pytest
from deploy.local import addresses, credentials, ports, processes
from deploy.local.layout import ROOT, Place
from deploy.local.spec import Spec

from service_runtime.settings import ServiceSettings

SERVICES = ("writer", "relay", "projector-1", "projector-2", "query", "gateway")


def resolved(place: Place, environ: dict[str, str]) -> addresses.Addresses:
    return addresses.resolve(environ, ports.USUAL, credentials.every(place.secrets))


def services(place: Place) -> dict[str, Spec]:
    secrets = credentials.every(place.secrets)
    specs = processes.services(resolved(place, {}), ports.USUAL, secrets)
    return {spec.name: spec for spec in specs}


def settings_of(spec: Spec) -> type[ServiceSettings]:
    module = importlib.import_module(spec.argv[-1].removesuffix("main") + "settings")
    classes = [
        kind
        for _, kind in inspect.getmembers(module, inspect.isclass)
        if issubclass(kind, ServiceSettings) and kind.__module__ == module.__name__
    ]
    (found,) = classes
    return found


@pytest.mark.parametrize("name", SERVICES)
def test_a_process_accepts_its_environment(
    place: Place, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = services(place)[name]
    for variable, value in spec.env.items():
        monkeypatch.setenv(variable, value)

    assert settings_of(spec)().ops_port == spec.ops_port


@pytest.mark.parametrize("name", SERVICES)
def test_a_process_is_told_nothing_that_it_does_not_read(place: Place, name: str) -> None:
    spec = services(place)[name]

    assert {variable.lower() for variable in spec.env} <= set(settings_of(spec).model_fields)


def test_every_variable_is_explained_to_operators(place: Place) -> None:
    explained = set(re.findall(r"^#?([A-Z_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))
    used = {variable for spec in services(place).values() for variable in spec.env}

    assert used <= explained


def test_data_flows_in_the_order_of_the_list_and_the_edge_is_stopped_first(place: Place) -> None:
    found = services(place)

    assert tuple(found) == SERVICES
    assert found["gateway"].stage == max(spec.stage for spec in found.values())


def test_only_processes_that_answer_users_get_a_socket_held_for_them(place: Place) -> None:
    held = {spec.name for spec in services(place).values() if spec.listen_port}

    assert held == {"writer", "query", "gateway"}


def test_each_role_has_a_password_of_its_own(place: Place) -> None:
    urls = resolved(place, {}).databases

    assert {urlsplit(url).username for url in urls.values()} == set(credentials.ROLES)
    assert len({urlsplit(url).password for url in urls.values()}) == len(credentials.ROLES)


def test_an_address_in_the_environment_wins_and_nothing_is_started_for_it(place: Place) -> None:
    at = resolved(place, {"KAFKA_BOOTSTRAP_SERVERS": "kafka.example:9092"})

    assert at.kafka == "kafka.example:9092"
    assert not at.local_kafka
    assert at.local_postgres
    assert processes.relay(at)["KAFKA_BOOTSTRAP_SERVERS"] == "kafka.example:9092"


def test_one_database_elsewhere_leaves_the_others_here(place: Place) -> None:
    at = resolved(place, {"WRITER_DATABASE_URL": "postgresql://writer:secret@db.example/rswind"})

    assert at.databases["writer"].startswith("postgresql://writer:secret@db.example")
    assert at.databases["portal"].startswith("postgresql://portal:")
    assert at.local_postgres


def test_all_databases_elsewhere_need_no_server_here(place: Place) -> None:
    elsewhere = {
        variable: f"postgresql://{role}:secret@db.example/rswind"
        for role, variable in addresses.DATABASE_VARIABLES.items()
    }

    assert not resolved(place, elsewhere).local_postgres


def test_only_addresses_are_remembered_from_the_environment() -> None:
    assert addresses.given(
        {"REDIS_URL": "redis://cache", "HOME": "/home/a", "KAFKA_TOPIC": ""}
    ) == {"REDIS_URL": "redis://cache"}
