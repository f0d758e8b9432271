"""What a schema does not know: that the pods are as locked up as they can be, and that no file is left out."""

from .files import DEPLOY, expect, manifest

FOLDER = DEPLOY / "kubernetes"


def check():
    listed = set(manifest("kubernetes/kustomization.yaml")["resources"])
    present = {path.name for path in FOLDER.glob("*.yaml")} - {"kustomization.yaml"}
    expect(listed == present, f"kustomization.yaml lists {sorted(listed)}, the folder has {sorted(present)}")
    enforced = manifest("kubernetes/namespace.yaml")["metadata"]["labels"]["pod-security.kubernetes.io/enforce"]
    expect(enforced == "restricted", "the namespace would admit pods that may do more")

    deployment = manifest("kubernetes/deployment.yaml")["spec"]
    expect("replicas" not in deployment, "replicas would undo what the autoscaler did, at each apply")
    rolling = deployment["strategy"]["rollingUpdate"]
    expect(rolling["maxUnavailable"] == 0, "an update would drain pods before there are others")
    pod = deployment["template"]["spec"]
    expect(pod["securityContext"]["runAsNonRoot"] is True, "the pod may run as root")
    expect(pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, "the pod has no seccomp profile")
    expect(pod["automountServiceAccountToken"] is False, "the pod has a token for the cluster, and no use for it")
    expect(not any(pod.get(key) for key in ("hostNetwork", "hostPID", "hostIPC")), "the pod shares the node's namespaces")
    for container in pod["containers"]:
        allowed = container["securityContext"]
        expect(allowed["readOnlyRootFilesystem"] is True, "the root is not read-only")
        expect(allowed["allowPrivilegeEscalation"] is False, "a process may get more rights than its parent")
        expect(allowed["capabilities"] == {"drop": ["ALL"]}, "the container keeps capabilities")
        expect({"cpu", "memory"} <= container["resources"]["requests"].keys(), "requests are missing")
        expect("memory" in container["resources"]["limits"], "memory has no limit")
        expect(all(mount["readOnly"] for mount in container["volumeMounts"]), "a volume may be written to")
    budget = manifest("kubernetes/poddisruptionbudget.yaml")["spec"]
    scaler = manifest("kubernetes/horizontalpodautoscaler.yaml")["spec"]
    expect(budget["maxUnavailable"] < scaler["minReplicas"], "a disruption may take every pod")
