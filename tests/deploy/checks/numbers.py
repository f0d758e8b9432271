"""Numbers and names that stand in two files and have to go together."""

import re

from .files import DEPLOY, ROOT, expect, manifest, seconds, size, toml, unit

# What a session costs that does nothing, over wss: deploy/README.md says where it comes from.
IDLE_SESSION = 14 << 10


def leaving(config):
    """How long a gateway may take to end after SIGTERM."""
    shutdown = config["shutdown"]
    spread, deadline = seconds(shutdown["close_spread"]), seconds(shutdown["drain_timeout"])
    expect(spread < deadline, f"close_spread {spread} s leaves no time for answers before drain_timeout {deadline} s")
    return seconds(shutdown["pre_stop_delay"]) + deadline


def systemd():
    config, service = toml("systemd/framegate.toml"), unit("systemd/framegate.service")
    stop, leave = seconds(service["TimeoutStopSec"][0]), leaving(config)
    expect(stop >= leave + 10, f"TimeoutStopSec {stop} s is not well above pre_stop_delay + drain_timeout, {leave} s")
    sockets = service["Sockets"][0].split()
    passed = {}
    for path in sorted((DEPLOY / "systemd").glob("*.socket")):
        keys = unit(path)
        expect(path.name in sockets, f"{path.name} is not among the service's Sockets=")
        expect(path.name in service["Also"][0].split(), f"{path.name} is not enabled with the service")
        expect(keys["Service"] == ["framegate.service"], f"{path.name} starts another service")
        passed[keys["FileDescriptorName"][0]] = path.name
    expect(len(passed) == len(sockets), "Sockets= names units that are not here, or two pass one name")
    wanted = {listener["bind"] for listener in config["listener"]}
    expect(wanted == {f"systemd:{name}" for name in passed}, f"listeners bind {wanted}, the units pass {passed}")
    runtime = f"unix:/run/{service['RuntimeDirectory'][0]}/"
    expect(config["admin"]["bind"].startswith(runtime), "the admin socket is not in the service's RuntimeDirectory")
    commands = " ".join(service["ExecStartPre"] + service["ExecStart"] + service["ExecReload"])
    files = set(re.findall(r"\S+\.toml", commands))
    expect(len(files) == 1, f"the unit names several configurations: {files}")


def kubernetes():
    config, deployment = toml("kubernetes/framegate.toml"), manifest("kubernetes/deployment.yaml")
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    grace, sleep = pod["terminationGracePeriodSeconds"], container["lifecycle"]["preStop"]["sleep"]["seconds"]
    leave = sleep + leaving(config)
    expect(grace >= leave + 10, f"terminationGracePeriodSeconds {grace} is not well above preStop + drain, {leave} s")
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    binds = {"admin": config["admin"]["bind"], "https": config["listener"][0]["bind"]}
    for name, bind in binds.items():
        expect(bind.endswith(f":{ports[name]}"), f"the configuration binds {bind}, the container's {name} is {ports[name]}")
    expect(min(ports.values()) > 1023, "ports below 1024 take a capability")
    for probe, path in (("readinessProbe", "/readyz"), ("livenessProbe", "/healthz")):
        asked = container[probe]["httpGet"]
        expect((asked["path"], asked["port"]) == (path, "admin"), f"{probe} asks {asked}")
    (lowest, highest) = map(int, pod["securityContext"]["sysctls"][0]["value"].split())
    expect(lowest > max(ports.values()), "a source port may be one that is listened on")
    requests = container["resources"]["requests"]
    expect(str(config["workers"]) == requests["cpu"], f"workers = {config['workers']}, and CPUs requested: {requests['cpu']}")
    autoscaler = manifest("kubernetes/horizontalpodautoscaler.yaml")["spec"]
    (target,) = [one["pods"]["target"] for one in autoscaler["metrics"] if one["type"] == "Pods"]
    sessions = int(target["averageValue"]) * 3 // 2
    expect(sessions * IDLE_SESSION < size(requests["memory"]), f"{sessions} idle sessions do not fit into {requests['memory']}")
    expect(sessions < highest - lowest, f"{sessions} sessions with one server need more source ports")
    mounted_files(config, pod, container)
    same_pods(deployment)


def mounted_files(config, pod, container):
    """Each file that the configuration names is one that the pod has."""
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    expect(not any("subPath" in mount for mount in container["volumeMounts"]), "what is mounted with subPath never changes")
    present = set()
    for volume in pod["volumes"]:
        for source in volume.get("projected", {}).get("sources", []):
            present |= {f"{mounts[volume['name']]}/{item['path']}" for item in source["secret"]["items"]}
    tls = config["listener"][0]["tls"]
    wanted = {config["admin"]["token_file"], tls["cert"], tls["key"], tls["ticket_keys"]}
    expect(wanted == present, f"the configuration names {sorted(wanted)}, the pod has {sorted(present)}")
    expect(container["args"][-1] == f"{mounts['config']}/framegate.toml", "run reads another file than the ConfigMap's")


def same_pods(deployment):
    """Everything that selects pods selects these, by names of ports that they have."""
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    selectors = {
        "deployment.yaml": deployment["spec"]["selector"]["matchLabels"],
        "service.yaml": manifest("kubernetes/service.yaml")["spec"]["selector"],
        "poddisruptionbudget.yaml": manifest("kubernetes/poddisruptionbudget.yaml")["spec"]["selector"]["matchLabels"],
        "networkpolicy.yaml": manifest("kubernetes/networkpolicy.yaml")["spec"]["podSelector"]["matchLabels"],
        "podmonitor.yaml": manifest("kubernetes/monitoring/podmonitor.yaml")["spec"]["selector"]["matchLabels"],
    }
    for file, selector in selectors.items():
        expect(selector.items() <= labels.items(), f"{file} selects {selector}, the pods are {labels}")
    names = {port["name"] for port in deployment["spec"]["template"]["spec"]["containers"][0]["ports"]}
    rules = manifest("kubernetes/networkpolicy.yaml")["spec"]["ingress"]
    used = {port["port"] for rule in rules for port in rule["ports"]}
    used |= {port["targetPort"] for port in manifest("kubernetes/service.yaml")["spec"]["ports"]}
    used |= {one["port"] for one in manifest("kubernetes/monitoring/podmonitor.yaml")["spec"]["podMetricsEndpoints"]}
    expect(used <= names, f"ports {used} are asked for, the pods have {names}")


def image():
    text = (DEPLOY / "Dockerfile").read_text()
    user = int(re.search(r"^USER (\d+):", text, re.M)[1])
    pod = manifest("kubernetes/deployment.yaml")["spec"]["template"]["spec"]
    wanted = pod["securityContext"]
    expect({user} == {wanted["runAsUser"], wanted["runAsGroup"], wanted["fsGroup"]}, "the image's user is not the pod's")
    manifest_of_crate = (ROOT / "Cargo.toml").read_text()
    rust = re.search(r'^rust-version = "([\d.]+)"', manifest_of_crate, re.M)[1]
    used = re.findall(r"rust:([\d.]+)-|RUSTUP_TOOLCHAIN=([\d.]+)", text)
    versions = {one or other for one, other in used}
    expect(len(versions) == 1 and versions.pop().startswith(rust), f"Cargo.toml says Rust {rust}, the Dockerfile {used}")
    version = re.search(r'^version = "([\d.]+)"', manifest_of_crate, re.M)[1]
    tags = [one["newTag"] for one in manifest("kubernetes/kustomization.yaml")["images"]]
    expect(tags == [version], f"the manifests run {tags}, this is {version}")


def check():
    systemd()
    kubernetes()
    image()
