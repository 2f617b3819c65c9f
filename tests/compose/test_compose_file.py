"""Properties of docker-compose.yml: one port, minimal rights, and every variable explained."""

import ast
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from deploy.local import borrowed
from tests.compose.images import IMAGES, image

from gateway.routes import ROUTES, Kind

Service = dict[str, Any]
OURS = {"writer", "relay", "projector-1", "projector-2", "query", "gateway"}

#: Settings that a program sets, and no operator: `.env.example` must not offer them.
SET_BY_PROGRAMS = {"SUDO_USER": "sudo sets it to its caller, whom the audit of API keys names"}


@pytest.fixture(scope="session")
def services(root: Path) -> dict[str, Service]:
    document = yaml.safe_load((root / "docker-compose.yml").read_text())
    services: dict[str, Service] = document["services"]
    return services


@pytest.fixture(scope="session")
def explained(root: Path) -> set[str]:
    text = (root / ".env.example").read_text()
    return set(re.findall(r"^#?([A-Z][A-Z0-9_]*)=", text, re.MULTILINE))


def once(service: Service) -> bool:
    return bool(service.get("restart") == "no")


def test_every_image_has_an_exact_version_and_the_local_start_takes_the_same() -> None:
    for named in IMAGES:
        # At least two numbers: a tag with one moves to another image.
        assert re.fullmatch(r"[a-z/]+:v?\d+\.\d+(\.\d+)?(-slim)?", named), named
        major_alone = named.startswith("postgres:")
        assert named.count(".") == (1 if major_alone else 2), named
    assert set(borrowed.IMAGES.values()) <= set(IMAGES)


def test_nginx_is_of_a_stable_branch_that_is_maintained() -> None:
    major, minor, _ = map(int, image("nginx").partition(":")[2].split("."))

    assert (major, minor) >= (1, 30)
    assert minor % 2 == 0


def test_only_nginx_publishes_a_port(services: dict[str, Service]) -> None:
    assert [name for name, service in services.items() if "ports" in service] == ["nginx"]
    assert services["nginx"]["ports"] == ["${PORTAL_ADDRESS:-127.0.0.1:8088}:8080"]


def test_only_nginx_is_in_a_network_with_a_way_out(
    root: Path, services: dict[str, Service]
) -> None:
    networks = yaml.safe_load((root / "docker-compose.yml").read_text())["networks"]
    open_ones = {name for name, network in networks.items() if not (network or {}).get("internal")}

    assert open_ones == {"public"}
    assert [name for name, s in services.items() if "public" in s["networks"]] == ["nginx"]


def test_a_store_is_reached_only_by_the_processes_that_use_it(services: dict[str, Service]) -> None:
    def members(network: str) -> set[str]:
        return {name for name, s in services.items() if network in s["networks"]}

    projectors = {"projector-1", "projector-2"}
    assert members("documents") == {"documents", "query"} | projectors
    assert members("limits") == {"limits", "gateway"}
    assert members("bus") == {"kafka", "topic", "relay"} | projectors
    assert not members("data") & {"nginx", "prometheus", "kafka"}


def test_every_container_has_only_what_it_needs(services: dict[str, Service]) -> None:
    for name, service in services.items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert "cap_add" not in service, name
        assert "privileged" not in service, name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["init"] is True, name
        assert service["mem_limit"], name
        ours = service["image"].startswith("rswind/")  # whose Dockerfile names the user
        assert ours or service["user"].split(":")[0] != "0", name


def test_every_long_running_container_is_watched_and_stops_in_peace(
    services: dict[str, Service],
) -> None:
    for name, service in services.items():
        if once(service):
            continue
        assert service["restart"] == "unless-stopped", name
        assert service["stop_grace_period"] == "30s", name
        assert {"test", "start_period", "start_interval"} <= service["healthcheck"].keys(), name


def test_what_is_asked_over_http_stands_twice(services: dict[str, Service]) -> None:
    """One of each pair restarts while the other serves; the projectors are two services by name."""
    twice = {name for name, s in services.items() if s.get("deploy") == {"replicas": 2}}

    assert twice == {"writer", "query", "gateway"}


def test_nothing_waits_for_less_than_health_or_success(services: dict[str, Service]) -> None:
    for name, service in services.items():
        for other, dependency in service.get("depends_on", {}).items():
            wanted = (
                "service_completed_successfully" if once(services[other]) else "service_healthy"
            )
            assert dependency["condition"] == wanted, f"{name} -> {other}"


def test_each_step_done_once_is_waited_for(services: dict[str, Service]) -> None:
    """`up --wait` fails for a container that exits unless another one waits for its success."""
    waited_for = {other for s in services.values() for other in s.get("depends_on", {})}

    assert {name for name, service in services.items() if once(service)} <= waited_for


def test_each_image_of_ours_is_built_once_and_by_what_the_others_wait_for(
    services: dict[str, Service],
) -> None:
    def needs(name: str) -> set[str]:
        direct = set(services[name].get("depends_on", {}))
        return direct.union(*map(needs, direct))

    for name, service in services.items():
        if not service["image"].startswith("rswind/"):
            continue
        assert service["pull_policy"] == "never", name
        builders = [
            n for n, s in services.items() if "build" in s and s["image"] == service["image"]
        ]
        assert len(builders) == 1, name
        assert builders[0] in needs(name) | {name}, name


def test_no_container_gets_the_url_of_a_role_it_does_not_own(services: dict[str, Service]) -> None:
    roles = {
        name: set(re.findall(r"postgresql://(\w+):", " ".join(map(str, environment.values()))))
        for name in OURS
        if (environment := services[name]["environment"])
    }

    assert roles == {
        "writer": {"writer"},
        "relay": {"writer"},
        "projector-1": {"portal"},
        "projector-2": {"portal"},
        "query": {"query"},
        "gateway": {"gateway"},
    }


def test_a_valkey_wants_a_password_which_no_command_line_shows(
    services: dict[str, Service],
) -> None:
    for name in ("documents", "limits"):
        service = services[name]
        assert "requirepass %s" in service["command"][-1]
        assert "PASSWORD" not in str(service["command"])
        assert f"{name.upper()}_PASSWORD" in service["environment"]["REDISCLI_AUTH"]
    users = {
        name: url
        for name, service in services.items()
        for variable, url in (service.get("environment") or {}).items()
        if variable in {"REDIS_URL", "LIMITS_REDIS_URL"}
    }
    assert users.keys() == {"projector-1", "projector-2", "query", "gateway"}
    assert all(re.match(r"redis://:\$\{\w+_PASSWORD:", url) for url in users.values())


def test_every_variable_of_the_compose_files_is_explained(root: Path, explained: set[str]) -> None:
    files = [root / "docker-compose.yml", *(root / "deploy/compose").glob("*.yml")]
    text = "\n".join(path.read_text() for path in files)

    assert set(re.findall(r"(?<!\$)\$\{([A-Z0-9_]+)", text)) <= explained


def test_every_setting_of_every_process_is_explained(root: Path, explained: set[str]) -> None:
    modules = [
        *root.glob("services/*/src/**/settings.py"),
        root / "shared/src/service_runtime/settings.py",
    ]
    settings = {
        field.target.id.upper()
        for module in modules
        for node in ast.walk(ast.parse(module.read_text()))
        if isinstance(node, ast.ClassDef)
        for field in node.body
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
    }

    settings -= {"MODEL_CONFIG"}
    assert settings - explained == SET_BY_PROGRAMS.keys()


@pytest.mark.parametrize("overlay", [None, "tls.yml", "watch.yml"])
def test_compose_itself_accepts_the_files(
    root: Path, compose: list[str], env_file: Path, overlay: str | None
) -> None:
    files = ["-f", "docker-compose.yml"]
    files += ["-f", f"deploy/compose/{overlay}"] if overlay else []
    tls = {"TLS_CERTIFICATE": "./certificate.pem", "TLS_KEY": "./key.pem"}
    result = subprocess.run(
        [*compose, "--env-file", env_file, *files, "--profile", "*", "config", "--quiet"],
        cwd=root,
        env={"PATH": "/usr/bin:/bin:/usr/local/bin", "HOME": str(Path.home())} | tls,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (result.returncode, result.stderr) == (0, "")


def test_without_secrets_it_says_what_to_run(
    root: Path, compose: list[str], tmp_path: Path
) -> None:
    empty = tmp_path / ".env"
    empty.touch()
    result = subprocess.run(
        [*compose, "--env-file", empty, "config", "--quiet"],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )

    assert result.returncode != 0
    assert "run deploy/compose/secrets first" in result.stderr


def test_nginx_waits_longer_than_the_gateway_works(root: Path) -> None:
    """Otherwise nginx answers first, with less to say; a form is a change and a page."""
    text = (root / "deploy/nginx/nginx.conf").read_text()
    common, export = text.partition("\n  server {")[0], text.partition("/export.csv {")[2]

    def seconds(block: str) -> float:
        found = re.search(r"proxy_read_timeout (\d+)s;", block)
        assert found, block
        return float(found[1])

    forms = [row.seconds for row in ROUTES if row.kind is Kind.FORM]
    assert seconds(common) > 2 * max(forms)
    assert seconds(export) > max(row.seconds for row in ROUTES if row.name == "export")
