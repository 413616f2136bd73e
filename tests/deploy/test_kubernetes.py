"""The manifests agree with one another, with our settings, and with how we start vLLM ourselves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from sqlalchemy.engine import make_url
from typer.core import TyperGroup
from typer.main import get_command

from cli import stack
from cli.main import app
from cli.stack import StackConfig
from galen.keys import KEYS_VARIABLE
from server.engines.supervisor import launch

Manifest = dict[str, Any]
WORKDIR = Path("/app")
"""Where the Dockerfile's images work; relative paths of the stack file start there."""


@pytest.fixture
def folder(root: Path) -> Path:
    return root / "deploy/kubernetes"


@pytest.fixture
def cluster(folder: Path) -> StackConfig:
    return stack.load(folder / "stack.yaml")


@pytest.fixture
def manifests(folder: Path) -> dict[tuple[str, str], Manifest]:
    """Every object by kind and name."""
    listed = yaml.safe_load((folder / "kustomization.yaml").read_text("utf-8"))["resources"]
    documents = [
        document
        for name in listed
        for document in yaml.safe_load_all((folder / name).read_text("utf-8"))
    ]
    found = {(each["kind"], each["metadata"]["name"]): each for each in documents}
    assert len(found) == len(documents)
    return found


def pod_of(manifest: Manifest) -> Manifest:
    pod: Manifest = manifest["spec"]["template"]["spec"]
    return pod


def container_of(manifest: Manifest) -> Manifest:
    (container,) = pod_of(manifest)["containers"]
    return dict(container)


def workloads(manifests: dict[tuple[str, str], Manifest]) -> dict[str, Manifest]:
    return {
        name: manifest
        for (kind, name), manifest in manifests.items()
        if kind in ("Deployment", "StatefulSet")
    }


def environment_of(container: Manifest) -> dict[str, Any]:
    return {each["name"]: each.get("value") for each in container["env"]}


def flags(words: list[str]) -> dict[str, str | None]:
    """Options with their values, whether written with a space or with `=`; switches have none."""
    found: dict[str, str | None] = {}
    for word in words:
        if word.startswith("--"):
            name, has_value, value = word.partition("=")
            found[name] = value if has_value else None
        else:
            found[list(found)[-1]] = word
    return found


def test_every_file_is_listed(folder: Path) -> None:
    """A manifest that the kustomization forgets would never be applied."""
    customized = yaml.safe_load((folder / "kustomization.yaml").read_text("utf-8"))
    (generated,) = customized["configMapGenerator"]
    listed = {*customized["resources"], *generated["files"], "kustomization.yaml"}
    assert listed == {path.name for path in folder.iterdir()}


def test_engines_are_started_as_we_start_them(
    cluster: StackConfig, manifests: dict[tuple[str, str], Manifest]
) -> None:
    """The same flags, but for the address; the same module."""
    container = container_of(manifests["StatefulSet", "galen-engine"])
    ours = launch.command(cluster.server, Path("socket"), "galen-engine")
    module = ours.index("-m") + 1
    assert container["command"] == ["python3", "-m", ours[module]]
    expected = flags(ours[module + 1 :])
    # The extension is a file of ours, which vLLM's own image lacks and a GPU does not need.
    del expected["--uds"], expected["--worker-extension-cls"]
    expected |= {"--host": "0.0.0.0", "--port": "8000"}
    expected |= {"--model": str(WORKDIR / cluster.server.model)}
    assert flags(container["args"]) == expected


def test_engines_get_the_environment_that_the_gateway_needs(
    cluster: StackConfig, manifests: dict[tuple[str, str], Manifest]
) -> None:
    """Without it they could neither load a version nor be known again."""
    container = container_of(manifests["StatefulSet", "galen-engine"])
    given, ours = environment_of(container), launch.environment(cluster.server)
    assert given.pop("PYTHONPATH") == "/galen"
    assert given == {name: ours[name] for name in given}
    assert {"VLLM_SERVER_DEV_MODE", "VLLM_ALLOW_RUNTIME_LORA_UPDATING"} <= set(given)


def test_engines_get_the_reasoning_parser_that_their_image_lacks(
    manifests: dict[tuple[str, str], Manifest],
) -> None:
    """Our packages are copied to where vLLM then looks for the plugin."""
    engines = manifests["StatefulSet", "galen-engine"]
    (copying,) = pod_of(engines)["initContainers"]
    assert copying["image"] == "galen-server"
    assert copying["command"] == ["cp", "-r", "/app/galen", "/app/server", "/galen"]
    for container in (copying, container_of(engines)):
        mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
        assert mounts["galen"] == "/galen"


def test_every_engine_is_named_by_its_own_address(
    cluster: StackConfig, manifests: dict[tuple[str, str], Manifest]
) -> None:
    """One address for all would have each version told to one of them only."""
    engines, service = (
        manifests["StatefulSet", "galen-engine"],
        manifests["Service", "galen-engine"],
    )
    assert service["spec"]["clusterIP"] == "None"
    assert engines["spec"]["serviceName"] == "galen-engine"
    assert cluster.server.engines == tuple(
        f"http://galen-engine-{i}.galen-engine:8000" for i in range(engines["spec"]["replicas"])
    )


def test_versions_have_one_path_everywhere(
    cluster: StackConfig, manifests: dict[tuple[str, str], Manifest]
) -> None:
    """A version is a path, so trainer, gateway and engines see the same folder there."""
    for name in ("galen-engine", "galen-server"):
        manifest = workloads(manifests)[name]
        mounts = {m["name"]: m["mountPath"] for m in container_of(manifest)["volumeMounts"]}
        assert mounts["runs"] == str(WORKDIR / cluster.server.versions_root)
        (runs,) = [v for v in pod_of(manifest)["volumes"] if v["name"] == "runs"]
        assert runs["persistentVolumeClaim"]["claimName"] == "galen-runs"
    claim = manifests["PersistentVolumeClaim", "galen-runs"]
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]


def test_the_gateway_is_alone_and_keeps_its_state(
    cluster: StackConfig, manifests: dict[tuple[str, str], Manifest]
) -> None:
    """Two would serve different versions under one name; without its state it would forget them."""
    server = manifests["Deployment", "galen-server"]
    assert server["spec"]["replicas"] == 1
    assert server["spec"]["strategy"] == {"type": "Recreate"}
    assert manifests["Service", "galen-server"]["spec"]["publishNotReadyAddresses"] is True
    mounts = {m["name"]: m["mountPath"] for m in container_of(server)["volumeMounts"]}
    assert (WORKDIR / cluster.server.state).is_relative_to(mounts["state"])


def test_only_the_gateway_reaches_an_engine(manifests: dict[tuple[str, str], Manifest]) -> None:
    """vLLM's switches are open to whoever does."""
    policy = manifests["NetworkPolicy", "galen-engine"]["spec"]
    labels = workloads(manifests)["galen-engine"]["spec"]["template"]["metadata"]["labels"]
    assert policy["podSelector"] == {"matchLabels": labels}
    assert set(policy["policyTypes"]) == {"Ingress", "Egress"}
    (ingress,) = policy["ingress"]
    assert ingress["from"] == [{"podSelector": {"matchLabels": {"app": "galen-server"}}}]
    assert policy["egress"] == []


@pytest.mark.parametrize("name", ["galen-server", "galen-judge"])
def test_a_services_command_parses_and_reads_the_stack_file(
    manifests: dict[tuple[str, str], Manifest], name: str
) -> None:
    """`args` are words of our own command, and the file that they name is mounted there."""
    manifest = manifests["Deployment", name]
    container = container_of(manifest)
    *words, path = container["args"]
    command: Any = get_command(app)
    for word in words:
        assert isinstance(command, TyperGroup)
        command = command.commands[word]
    assert command.make_context(name, [path])
    (mount,) = [m for m in container["volumeMounts"] if m["name"] == "stack"]
    assert path == f"{mount['mountPath']}/stack.yaml"


def test_ports_probes_and_selectors_agree(
    cluster: StackConfig, manifests: dict[tuple[str, str], Manifest]
) -> None:
    """Each Service finds its pods at the port at which they listen, and so do the probes."""
    ports = {"galen-server": cluster.server.port, "galen-judge": cluster.judge.port,
             "galen-engine": 8000}  # fmt: skip
    for name, manifest in workloads(manifests).items():
        container, service = container_of(manifest), manifests["Service", name]["spec"]
        labels = manifest["spec"]["template"]["metadata"]["labels"]
        assert manifest["spec"]["selector"]["matchLabels"] == service["selector"] == labels
        assert [p["containerPort"] for p in container["ports"]] == [ports[name]]
        assert [p["port"] for p in service["ports"]] == [ports[name]]
        probes = [container[f"{when}Probe"]["httpGet"] for when in ("startup", "readiness")]
        assert {probe["port"] for probe in probes} == {"http"}
    assert (cluster.server.host, cluster.judge.host) == ("0.0.0.0", "0.0.0.0")


@pytest.mark.parametrize("name", ["galen-server", "galen-judge"])
def test_our_services_are_ready_by_readyz_and_alive_by_healthz(
    manifests: dict[tuple[str, str], Manifest], name: str
) -> None:
    """Restarting a gateway because its engine is down would help nobody."""
    container = container_of(manifests["Deployment", name])
    paths = {when: container[f"{when}Probe"]["httpGet"]["path"] for when in
             ("startup", "readiness", "liveness")}  # fmt: skip
    assert paths == {"startup": "/healthz", "readiness": "/readyz", "liveness": "/healthz"}


def test_secrets_come_from_secrets(
    cluster: StackConfig, manifests: dict[tuple[str, str], Manifest]
) -> None:
    """Neither a manifest nor the stack file holds one, and the services that want keys get them."""
    for name in ("galen-server", "galen-judge"):
        container = container_of(manifests["Deployment", name])
        for variable in container["env"]:
            assert "secretKeyRef" in variable["valueFrom"]
        assert KEYS_VARIABLE in environment_of(container)
    url = make_url(cluster.judge.database_url)
    assert (url.get_backend_name(), url.password, url.host) == ("postgresql", None, None)
    judge = environment_of(container_of(manifests["Deployment", "galen-judge"]))
    assert {"PGHOST", "PGUSER", "PGPASSWORD", "PGDATABASE"} <= set(judge)


def test_nobody_gains_rights(manifests: dict[tuple[str, str], Manifest]) -> None:
    """No capability, no escalation, no token of the cluster's."""
    for manifest in workloads(manifests).values():
        context = container_of(manifest)["securityContext"]
        assert context["allowPrivilegeEscalation"] is False
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert pod_of(manifest)["automountServiceAccountToken"] is False
        assert pod_of(manifest)["enableServiceLinks"] is False


def test_disruptions_leave_somebody(manifests: dict[tuple[str, str], Manifest]) -> None:
    """Each budget speaks of a workload that has more than one pod."""
    for (kind, name), manifest in manifests.items():
        if kind == "PodDisruptionBudget":
            workload = workloads(manifests)[name]
            assert manifest["spec"]["selector"] == workload["spec"]["selector"]
            assert workload["spec"]["replicas"] > 1
