"""The manifests: valid by their own schemas, and each thing that names another names one that is there."""

import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from cartcast.settings import Settings, load_settings
from tests.deploy.go_programs import run
from tests.deploy.kubernetes_schemas import schema_directory

KUBERNETES = Path(__file__).parents[2] / "deploy" / "kubernetes"
OVERLAYS = ("dev", "production", "gpu")
SECRETS = {"cartcast-web", "cartcast-clickhouse", "cartcast-clickhouse-reader", "cartcast-kafka"}
SECOND = 1
Manifest = dict[str, Any]


def built(directory: Path) -> list[Manifest]:
    result = run("kustomize", "build", directory)
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""  # no deprecated fields
    return list(yaml.safe_load_all(result.stdout))


@pytest.fixture(scope="module")
def retraining_overlay(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Production, with checkpoints of its own that it retrains."""
    copied = tmp_path_factory.mktemp("deploy") / "kubernetes"
    shutil.copytree(KUBERNETES, copied)
    overlay = copied / "overlays" / "production"
    described = (overlay / "kustomization.yaml").read_text()
    added = "".join(f"  - ../../components/{name}\n" for name in ("checkpoint", "retrain"))
    (overlay / "kustomization.yaml").write_text(described.replace("components:\n", f"components:\n{added}"))
    return overlay


@pytest.fixture(scope="module")
def retraining(retraining_overlay: Path) -> list[Manifest]:
    return built(retraining_overlay)


@pytest.fixture(scope="module", params=[*OVERLAYS, "retraining"])
def manifests(request: pytest.FixtureRequest) -> list[Manifest]:
    if request.param == "retraining":
        return list(request.getfixturevalue("retraining"))
    return built(KUBERNETES / "overlays" / request.param)


@pytest.fixture(scope="module")
def gpu() -> list[Manifest]:
    return built(KUBERNETES / "overlays" / "gpu")


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_manifests_are_valid_to_the_letter(overlay):
    assert_valid(run("kustomize", "build", KUBERNETES / "overlays" / overlay).stdout)


def test_manifests_with_a_checkpoint_that_is_retrained_are_valid(retraining_overlay):
    assert_valid(run("kustomize", "build", retraining_overlay).stdout)


def test_the_command_of_the_page_makes_valid_alerts():
    page = (KUBERNETES.parents[1] / "docs" / "deploy-kubernetes.md").read_text()
    (command,) = re.findall(r"awk .*?(?= \| kubectl)", page, re.DOTALL)
    written = subprocess.run(
        ["/bin/sh", "-ec", command], capture_output=True, text=True, check=True, cwd=KUBERNETES.parents[1]
    )
    assert "kind: PrometheusRule" in written.stdout
    assert_valid(written.stdout)


def test_the_overlay_of_the_page_changes_what_it_says(tmp_path):
    """On top of production, as a shop would have it; Helm would find no template in what comes out."""
    page = (KUBERNETES.parents[1] / "docs" / "deploy-kubernetes.md").read_text()
    (overlay,) = re.findall(r"```yaml\n(apiVersion: kustomize.*?)```", page, re.DOTALL)
    shutil.copytree(KUBERNETES, tmp_path / "kubernetes")
    (tmp_path / "shop").mkdir()
    local = re.sub(r"https://\S+overlays/production\S+", "../kubernetes/overlays/production", overlay)
    (tmp_path / "shop" / "kustomization.yaml").write_text(re.sub(r".*ingress\.yaml.*\n", "", local))
    manifests = built(tmp_path / "shop")
    text = yaml.safe_dump_all(manifests)
    assert_valid(text)
    assert "{{" not in text
    (worker,) = _of(manifests, "StatefulSet")
    (container,) = worker["spec"]["template"]["spec"]["containers"]
    assert container["image"] == "registry.shop.example/cartcast-worker:0.1.0"
    assert container["resources"]["limits"] == {"memory": "16Gi"}
    settings = {name: value for each in _of(manifests, "ConfigMap") for name, value in each["data"].items()}
    assert settings["CARTCAST_KAFKA__BOOTSTRAP_SERVERS"] == "kafka.shop.example:9093"
    assert settings["CARTCAST_KAFKA__SECURITY_PROTOCOL"] == "SASL_SSL"
    assert next(each["spec"]["minReplicaCount"] for each in _of(manifests, "ScaledObject")) == 6


def test_a_field_that_does_not_exist_is_found():
    text = run("kustomize", "build", KUBERNETES / "base").stdout
    with pytest.raises(AssertionError, match="maxUnavailble"):
        assert_valid(text.replace("maxUnavailable", "maxUnavailble"))


def assert_valid(text: str) -> None:
    location = f"{schema_directory()}/{{{{.ResourceKind}}}}{{{{.KindSuffix}}}}.json"
    checked = run("kubeconform", "-strict", "-summary", "-schema-location", location, "-", text=text)
    assert checked.returncode == 0, checked.stdout
    assert "Skipped: 0" in checked.stdout


def test_selectors_ports_and_names_lead_to_something(manifests):
    pods = dict(_pods(manifests))
    for service in _of(manifests, "Service"):
        (pod,) = _selected(pods, service["spec"]["selector"])
        names = {port["name"] for port in _container(pods[pod])["ports"]}
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= names
    for kind in ("StatefulSet", "Deployment"):
        for workload in _of(manifests, kind):
            name = workload["metadata"]["name"]
            assert _selected(pods, workload["spec"]["selector"]["matchLabels"]) == [name]
            spread = workload["spec"]["template"]["spec"].get("topologySpreadConstraints", ())
            assert all(_selected(pods, each["labelSelector"]["matchLabels"]) == [name] for each in spread)
    for budget in _of(manifests, "PodDisruptionBudget"):
        assert len(_selected(pods, budget["spec"]["selector"]["matchLabels"])) == 1
    for monitor in _of(manifests, "ServiceMonitor"):
        (service,) = [
            each
            for each in _of(manifests, "Service")
            if monitor["spec"]["selector"]["matchLabels"].items() <= each["metadata"].get("labels", {}).items()
        ]
        ports = {port["name"] for port in service["spec"]["ports"]}
        assert {endpoint["port"] for endpoint in monitor["spec"]["endpoints"]} <= ports
        assert service["metadata"]["labels"][monitor["spec"]["jobLabel"]] in {"cartcast-worker", "cartcast-sink"}


def test_workers_are_stable_members_that_end_gracefully(manifests, monkeypatch, tmp_path):
    (worker,) = _of(manifests, "StatefulSet")
    spec, pod = worker["spec"], worker["spec"]["template"]["spec"]
    assert spec["podManagementPolicy"] == "Parallel"
    (service,) = [each for each in _of(manifests, "Service") if each["metadata"]["name"] == spec["serviceName"]]
    assert service["spec"]["clusterIP"] == "None"
    settings = _settings(manifests, "cartcast-worker", monkeypatch, tmp_path)
    assert settings.worker.instance_id == "cartcast-worker-0"
    assert settings.worker.web_host == f"cartcast-worker-0.{spec['serviceName']}"
    assert pod["terminationGracePeriodSeconds"] > settings.worker.drain_seconds + 10 * SECOND
    assert settings.worker.web_port == _container(worker["spec"]["template"])["ports"][0]["containerPort"]


@pytest.mark.parametrize(
    "name", ["cartcast-worker", "cartcast-sink", "cartcast-dashboard", "cartcast-topics", "cartcast-migrate"]
)
def test_variables_and_secret_files_are_settings(manifests, name, monkeypatch, tmp_path):
    settings = _settings(manifests, name, monkeypatch, tmp_path)
    for exposed, token in (
        (settings.worker.web_bind, settings.worker.web_token),
        (settings.sink.metrics_bind, settings.sink.metrics_token),
    ):
        assert exposed == "127.0.0.1" or token.get_secret_value() == "a secret"
    if settings.kafka.security_protocol.startswith("SASL"):
        assert settings.kafka.sasl_password.get_secret_value() == "a secret"
    if name in {"cartcast-sink", "cartcast-dashboard", "cartcast-migrate"}:
        assert settings.clickhouse.password.get_secret_value() == "a secret"


def test_keda_stops_at_the_number_of_partitions(gpu, monkeypatch, tmp_path):
    (scaled,) = _of(gpu, "ScaledObject")
    settings = _settings(gpu, "cartcast-worker", monkeypatch, tmp_path)
    (worker,) = _of(gpu, "StatefulSet")
    assert scaled["spec"]["scaleTargetRef"]["name"] == worker["metadata"]["name"]
    assert "replicas" not in worker["spec"]  # KEDA counts, and an apply must not count against it
    assert scaled["spec"]["maxReplicaCount"] == settings.kafka.partitions
    assert scaled["spec"]["minReplicaCount"] <= settings.kafka.partitions
    (trigger,) = scaled["spec"]["triggers"]
    asked = trigger["metadata"]
    assert (asked["topic"], asked["consumerGroup"]) == (settings.kafka.topics.events, settings.kafka.topic_prefix)
    variables = _variables(gpu, _template(gpu, "cartcast-worker"))
    assert asked["bootstrapServersFromEnv"] in variables
    assert scaled["spec"]["scaleTargetRef"]["envSourceContainerName"] == "worker"
    (authentication,) = _of(gpu, "TriggerAuthentication")
    assert trigger["authenticationRef"]["name"] == authentication["metadata"]["name"]
    assert asked["sasl"] == settings.kafka.sasl_mechanism.lower().replace("-sha-", "_sha")


def test_keda_in_the_component_knows_the_bases_partitions():
    (base,) = [
        each["data"]
        for each in _of(built(KUBERNETES / "base"), "ConfigMap")
        if "CARTCAST_KAFKA__PARTITIONS" in each["data"]
    ]
    scaled = yaml.safe_load((KUBERNETES / "components" / "keda" / "scaled-object.yaml").read_text())
    assert scaled["spec"]["maxReplicaCount"] == int(base["CARTCAST_KAFKA__PARTITIONS"])


def test_pods_are_restricted_limited_and_probed(manifests):
    for name, template in _pods(manifests):
        pod, container = template["spec"], _container(template)
        assert pod["securityContext"]["runAsNonRoot"], name
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["automountServiceAccountToken"] is False
        assert container["securityContext"]["allowPrivilegeEscalation"] is False
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert {"cpu", "memory"} <= set(container["resources"]["requests"])
        assert "memory" in container["resources"]["limits"]
        if name.startswith("cartcast-"):
            assert container["securityContext"]["readOnlyRootFilesystem"]
            assert re.search(r":\d+\.\d+\.\d+(-cuda)?$", container["image"])
    for workload in (*_of(manifests, "StatefulSet"), *_of(manifests, "Deployment")):
        name, container = workload["metadata"]["name"], _container(workload["spec"]["template"])
        if name in {"cartcast-worker", "cartcast-sink"}:
            paths = [container[f"{probe}Probe"]["httpGet"]["path"] for probe in ("startup", "liveness", "readiness")]
            assert paths == ["/livez", "/livez", "/readyz"]
    (namespace,) = {each["metadata"].get("namespace") for each in manifests if each["kind"] != "Namespace"}
    (own,) = _of(manifests, "Namespace")
    assert own["metadata"]["name"] == namespace
    assert own["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


def test_secrets_are_named_and_not_included(manifests):
    assert _of(manifests, "Secret") == []
    named = set(re.findall(r"'name': '(cartcast-(?:web|clickhouse|kafka))'", str(manifests)))
    assert named <= SECRETS
    page = (KUBERNETES.parents[1] / "docs" / "deploy-kubernetes.md").read_text()
    for secret in SECRETS:
        assert f"create secret generic {secret}" in page
    for name in re.findall(r"'key': '(CARTCAST_\w+)'", str(manifests)):
        assert name in page


def test_networks_are_closed_but_for_what_is_needed(manifests):
    pods = {name: template for name, template in _pods(manifests) if name.startswith("cartcast-")}
    policies = {each["metadata"]["name"]: each["spec"] for each in _of(manifests, "NetworkPolicy")}
    deny = policies.pop("cartcast-deny")
    assert sorted(_selected(pods, deny["podSelector"]["matchLabels"])) == sorted(pods)
    assert deny["policyTypes"] == ["Ingress", "Egress"]
    assert "ingress" not in deny
    assert "egress" not in deny
    for name, policy in policies.items():
        assert _chosen(pods, policy["podSelector"]), name

    def ports(direction: str, pod: str) -> set[int]:
        rules = [rule for each in policies.values() if pod in _chosen(pods, each["podSelector"])
                 for rule in each.get(direction, ())]  # fmt: skip
        return {port["port"] for rule in rules for port in rule["ports"]}

    assert ports("egress", "cartcast-worker") == {53, 9092, 6066}
    assert ports("egress", "cartcast-sink") == {53, 9092, 8123, 8443}
    assert ports("egress", "cartcast-dashboard") == {53, 8123, 8443, 6066}
    assert ports("egress", "cartcast-topics") == {53, 9092}
    assert ports("egress", "cartcast-migrate") == {53, 8123, 8443}
    if _of(manifests, "CronJob"):
        for name in ("cartcast-retrain", "cartcast-level"):
            assert ports("egress", name) == {53, 8123, 8443}
    assert ports("ingress", "cartcast-worker") >= {6066}
    assert ports("ingress", "cartcast-dashboard") == {8501}
    if _of(manifests, "ServiceMonitor"):
        assert ports("ingress", "cartcast-sink") >= {9109}


def test_gpu_workers_ask_for_a_gpu(gpu, monkeypatch, tmp_path):
    template = _template(gpu, "cartcast-worker")
    container = _container(template)
    assert container["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert container["image"].endswith("-cuda")
    assert template["spec"]["nodeSelector"]
    assert template["spec"]["tolerations"]
    assert _settings(gpu, "cartcast-worker", monkeypatch, tmp_path).worker.device == "cuda"


def test_what_is_retrained_is_what_the_workers_read(retraining, tmp_path, monkeypatch):
    names, claims, settings = ("cartcast-worker", "cartcast-retrain", "cartcast-level"), [], []
    for name in names:
        template = _template(retraining, name)
        (volume,) = [each for each in template["spec"]["volumes"] if each["name"] == "checkpoints"]
        (mount,) = [each for each in _container(template)["volumeMounts"] if each["name"] == "checkpoints"]
        claims.append((volume["persistentVolumeClaim"]["claimName"], mount["mountPath"], mount.get("readOnly", False)))
        settings.append(_settings(retraining, name, monkeypatch, tmp_path / name))
    assert claims == [("cartcast-checkpoints", "/checkpoints", name == "cartcast-worker") for name in names]
    assert [each.worker.checkpoint for each in settings] == [Path("/checkpoints/current")] * 3
    for each in settings[1:]:
        assert each.clickhouse.user == "cartcast_reader"
        assert each.clickhouse.password.get_secret_value() == "a secret"
    jobs = {job["metadata"]["name"]: job["spec"] for job in _of(retraining, "CronJob")}
    assert {job["concurrencyPolicy"] for job in jobs.values()} == {"Forbid"}
    commands = [_container(_template(retraining, name))["args"][0] for name in names[1:]]
    assert commands == ["retrain", "level"]
    assert [name for name, job in jobs.items() if job.get("suspend")] == ["cartcast-level"]


def _of(manifests: list[Manifest], kind: str) -> list[Manifest]:
    return [each for each in manifests if each["kind"] == kind]


def _pods(manifests: list[Manifest]) -> Iterator[tuple[str, Manifest]]:
    for kind in ("StatefulSet", "Deployment", "Job"):
        for workload in _of(manifests, kind):
            yield workload["metadata"]["name"], workload["spec"]["template"]
    for workload in _of(manifests, "CronJob"):
        yield workload["metadata"]["name"], workload["spec"]["jobTemplate"]["spec"]["template"]


def _template(manifests: list[Manifest], name: str) -> Manifest:
    return dict(_pods(manifests))[name]


def _container(template: Manifest) -> Manifest:
    (container,) = template["spec"]["containers"]
    found: Manifest = container
    return found


def _selected(pods: Mapping[str, Manifest], labels: Mapping[str, str]) -> list[str]:
    return [name for name, template in pods.items() if labels.items() <= template["metadata"]["labels"].items()]


def _chosen(pods: Mapping[str, Manifest], selector: Manifest) -> list[str]:
    chosen = _selected(pods, selector.get("matchLabels", {}))
    for expression in selector.get("matchExpressions", ()):
        assert expression["operator"] == "In"
        chosen = [
            name for name in chosen if pods[name]["metadata"]["labels"][expression["key"]] in expression["values"]
        ]
    return chosen


def _variables(manifests: list[Manifest], template: Manifest) -> dict[str, str]:
    """Return the container's environment, as Kubernetes would compose it for the first pod of a set."""
    container = _container(template)
    maps = {each["metadata"]["name"]: each["data"] for each in _of(manifests, "ConfigMap")}
    found: dict[str, str] = {}
    for source in container.get("envFrom", ()):
        found |= maps[source["configMapRef"]["name"]]
    for variable in container.get("env", ()):
        if "valueFrom" in variable:
            assert variable["valueFrom"] == {"fieldRef": {"fieldPath": "metadata.name"}}
            found[variable["name"]] = f"{template['metadata']['labels']['app.kubernetes.io/name']}-0"
        else:
            found[variable["name"]] = re.sub(r"\$\((\w+)\)", lambda name: found[name[1]], variable["value"])
    return found


def _settings(manifests: list[Manifest], name: str, monkeypatch: pytest.MonkeyPatch, directory: Path) -> Settings:
    """Load the settings that a pod would, with its secrets mounted as Kubernetes lays them: links through `..data`."""
    template = _template(manifests, name)
    variables = _variables(manifests, template)
    mounted = directory / "secrets"
    (mounted / "..2026_01_05").mkdir(parents=True)
    (mounted / "..data").symlink_to("..2026_01_05")
    (volume,) = [each for each in template["spec"]["volumes"] if each["name"] == "secrets"]
    for source in volume["projected"]["sources"]:
        if source["secret"]["name"] == "cartcast-kafka" and "CARTCAST_KAFKA__SASL_USERNAME" not in variables:
            assert source["secret"]["optional"]
            continue
        for item in source["secret"]["items"]:
            (mounted / "..data" / item["path"]).write_text("a secret\n")
            (mounted / item["path"]).symlink_to(f"..data/{item['path']}")
    mount = [each["mountPath"] for each in _container(template)["volumeMounts"] if each["name"] == "secrets"]
    assert [variables["CARTCAST_SECRETS_DIR"]] == mount
    with monkeypatch.context() as patch:
        for variable, value in (variables | {"CARTCAST_SECRETS_DIR": str(mounted)}).items():
            patch.setenv(variable, value)
        return load_settings()
