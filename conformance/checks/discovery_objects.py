"""Clusters and catalogs that are made up, and how they change. The same chance makes the same ones.

Every address is one of 127.0.0.0/8, or ::1.
"""

NAMESPACES = ["shop", "till", "bank"]
NODES = ["n1", "n2"]
PROTOCOLS = ["TCP", "TCP", "UDP", "SCTP"]
KEYS = ["app", "app.kubernetes.io/name", "shop.test/team", "UPPER", "a-b", "a.b_c", "x/y-z.1", "tier"]
VALUES = ["", "cart", "true", "a b", "b;c", "ünï", "測試", "v1.2-rc", "{}", "'\"", "0"]


def pairs(chance, most=3):
    return {chance.choice(KEYS): chance.choice(VALUES) for _ in range(chance.randint(0, most))}


def maybe(chance, likely, name, value):
    """A field that is there, or not."""
    return {name: value} if chance.random() < likely else {}


def address(chance):
    return f"127.0.{chance.randint(0, 9)}.{chance.randint(1, 250)}"


def metadata(chance, name, namespace=None):
    made = {"name": name, "uid": f"{name}-{chance.randint(0, 999)}", "labels": pairs(chance)}
    made |= maybe(chance, 0.6, "annotations", pairs(chance))
    if namespace:
        made["namespace"] = namespace
    return made


def node(chance, name):
    kinds = ["InternalIP", "ExternalIP", "Hostname", "InternalDNS", "ExternalDNS"]
    addresses = [{"type": kind, "address": address(chance)} for kind in chance.sample(kinds, chance.randint(1, 4))]
    if chance.random() < 0.4:
        addresses.append({"type": addresses[0]["type"], "address": address(chance)})
    return {
        "metadata": metadata(chance, name),
        "spec": maybe(chance, 0.5, "providerID", f"cloud:///{name}"),
        "status": {
            "addresses": addresses,
            "conditions": [{"type": "Ready", "status": chance.choice(["True", "False", "Unknown"])}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}},
        },
    }


def namespace(chance, name):
    return {"metadata": metadata(chance, name)}


def container_ports(chance, first, most):
    return [
        {"containerPort": port, "protocol": chance.choice(PROTOCOLS), **maybe(chance, 0.6, "name", chance.choice(["http", "grpc", "dns"]))}
        for port in chance.sample(range(first, first + 10), chance.randint(0, most))
    ]


def containers(chance, names, first_port=19000):
    made = []
    for name in names:
        ports = container_ports(chance, first_port, 2)
        made.append({"name": name, "image": f"shop/{name}:{chance.randint(1, 9)}", "env": [{"name": "A", "value": "b"}], **({"ports": ports} if ports else {})})
    return made


def statuses(chance, names):
    return [{"name": name, "containerID": f"containerd://{name}{chance.randint(0, 9)}"} for name in names if chance.random() < 0.7]


def pod(chance, name, namespace):
    own = ["main", "proxy", "log"][: chance.randint(1, 3)]
    initial = ["setup"] if chance.random() < 0.3 else []
    made = metadata(chance, name, namespace)
    owners = [{"kind": "Other", "name": "other", "uid": "1", "apiVersion": "v1"}] if chance.random() < 0.2 else []
    if chance.random() < 0.6:
        owners.append({"kind": chance.choice(["ReplicaSet", "Job", "StatefulSet"]), "name": "owner", "uid": "2", "apiVersion": "v1", "controller": True})
    if owners:
        made["ownerReferences"] = owners
    conditions = [{"type": "Initialized", "status": "True"}]
    conditions += [{"type": "Ready", "status": chance.choice(["True", "False", "Unknown"])}] if chance.random() < 0.8 else []
    return {
        "metadata": made,
        "spec": {"containers": containers(chance, own), **({"initContainers": containers(chance, initial, 19010)} if initial else {}), **maybe(chance, 0.9, "nodeName", chance.choice(NODES))},
        "status": {
            **maybe(chance, 0.85, "podIP", address(chance)),
            **maybe(chance, 0.8, "hostIP", address(chance)),
            "phase": chance.choice(["Running", "Running", "Pending", "Succeeded", "Failed"]),
            "conditions": conditions,
            "containerStatuses": statuses(chance, own),
            "initContainerStatuses": statuses(chance, initial),
        },
    }


def ports(chance, least=1):
    """Ports as services, endpoints and slices have them, each of another name."""
    names = chance.sample(["http", "grpc", "dns", "admin"], chance.randint(least, 3))
    made = [{"name": name, "port": 19000 + chance.randint(0, 14), "protocol": chance.choice(PROTOCOLS)} for name in names]
    if len(made) == 1 and chance.random() < 0.5:
        del made[0]["name"]
    return made


def service(chance, name, namespace):
    kind = chance.choice(["ClusterIP", "ClusterIP", "NodePort", "LoadBalancer", "ExternalName"])
    spec = {"type": kind, "ports": ports(chance)}
    if kind == "ExternalName":
        spec["externalName"] = f"{name}.shop.test"
    else:
        spec["clusterIP"] = chance.choice(["None", address(chance)])
    if kind == "LoadBalancer":
        spec |= maybe(chance, 0.5, "loadBalancerIP", address(chance))
    return {"metadata": metadata(chance, name, namespace), "spec": spec}


def referred(chance, pods, namespace):
    """What an endpoint's address belongs to: a pod, one that is not there, a node, or nothing."""
    known = [one for one in pods if one["metadata"]["namespace"] == namespace]
    at = address(chance)
    which = chance.random()
    if which < 0.6 and known:
        one = chance.choice(known)
        at = one["status"].get("podIP", at)
        node_name = {name: node for name, node in one["spec"].items() if name == "nodeName"}
        return at, {**node_name, "targetRef": {"kind": "Pod", "namespace": namespace, "name": one["metadata"]["name"]}}
    node_name = maybe(chance, 0.7, "nodeName", chance.choice(NODES))
    if which < 0.7:
        return at, {**node_name, "targetRef": {"kind": "Pod", "namespace": namespace, "name": "gone"}}
    if which < 0.8:
        return at, {**node_name, "targetRef": {"kind": "Node", "name": chance.choice(NODES)}}
    return at, node_name


def endpoint_addresses(chance, pods, namespace, most):
    made = []
    for _ in range(chance.randint(0, most)):
        at, rest = referred(chance, pods, namespace)
        made.append({"ip": at, **rest, **maybe(chance, 0.3, "hostname", "host")})
    return made


def endpoints(chance, name, namespace, pods):
    subsets = []
    for _ in range(chance.randint(0, 2)):
        subset = {"addresses": endpoint_addresses(chance, pods, namespace, 2), "ports": ports(chance)}
        not_ready = endpoint_addresses(chance, pods, namespace, 1)
        if not_ready:
            subset["notReadyAddresses"] = not_ready
        subsets.append(subset)
    return {"metadata": metadata(chance, name, namespace), "subsets": subsets}


def slice(chance, name, namespace, pods, of):
    kind = chance.choice(["IPv4", "IPv4", "IPv6"])
    made = metadata(chance, name, namespace)
    if of:
        made["labels"]["kubernetes.io/service-name"] = of
    listed = []
    for _ in range(chance.randint(0, 3)):
        at, rest = referred(chance, pods, namespace)
        addresses = ["::1"] if kind == "IPv6" else [at] + ([address(chance)] if chance.random() < 0.2 else [])
        conditions = {"ready": chance.random() < 0.5}
        conditions |= maybe(chance, 0.4, "serving", chance.random() < 0.5) | maybe(chance, 0.4, "terminating", chance.random() < 0.5)
        more = maybe(chance, 0.3, "hostname", "host") | maybe(chance, 0.3, "zone", "zone-a")
        listed.append({"addresses": addresses, "conditions": conditions, **rest, **more})
    slice_ports = ports(chance)
    for port in slice_ports:
        port |= maybe(chance, 0.3, "appProtocol", "http")
    return {"metadata": made, "addressType": kind, "endpoints": listed, "ports": slice_ports}


def ingress(chance, name, namespace):
    hosts = ["shop.test", "a.shop.test", "b.a.shop.test", "*.shop.test", "till.test"]
    rules = []
    for host in chance.sample(hosts, chance.randint(1, 3)):
        paths = [{"path": path} for path in chance.sample([chance.choice(["/", ""]), "/a", "/a/b"], chance.randint(1, 3))]
        rules.append({"host": host, **maybe(chance, 0.8, "http", {"paths": paths})})
    spec = {"rules": rules, **maybe(chance, 0.5, "ingressClassName", "nginx")}
    spec |= maybe(chance, 0.6, "tls", [{"hosts": chance.sample(hosts, chance.randint(0, 2))}])
    return {"metadata": metadata(chance, name, namespace), "spec": spec}


def cluster(chance):
    """Objects of all kinds, each with the resource that it belongs to."""
    made = [("nodes", node(chance, name)) for name in NODES]
    made += [("namespaces", namespace(chance, name)) for name in NAMESPACES]
    pods = [pod(chance, f"pod-{number}", chance.choice(NAMESPACES)) for number in range(chance.randint(3, 5))]
    made += [("pods", one) for one in pods]
    for number in range(3):
        of, where = f"svc-{number}", chance.choice(NAMESPACES)
        if chance.random() < 0.8:
            made.append(("services", service(chance, of, where)))
        if chance.random() < 0.8:
            made.append(("endpoints", endpoints(chance, of, where, pods)))
        for part in range(chance.randint(0, 2)):
            made.append(("endpointslices", slice(chance, f"{of}-{part}", where, pods, of if chance.random() < 0.8 else None)))
    made += [("ingresses", ingress(chance, f"ing-{number}", chance.choice(NAMESPACES))) for number in range(2)]
    return made


def changed(chance, cluster):
    """Deletes some objects, describes others anew, and adds some."""
    pods = [one for (resource, _, _), one in cluster.objects.items() if resource == "pods"]
    for resource, where, name in list(cluster.objects):
        what = chance.random()
        if resource in ("nodes", "namespaces"):
            if what < 0.3:
                cluster.put(resource, {"nodes": node, "namespaces": namespace}[resource](chance, name))
        elif what < 0.2:
            cluster.delete(resource, where, name)
        elif what < 0.5:
            cluster.put(resource, anew(chance, resource, where, name, pods))
    for resource in ("pods", "services", "endpoints", "endpointslices", "ingresses"):
        if chance.random() < 0.5:
            cluster.put(resource, anew(chance, resource, chance.choice(NAMESPACES), "new", pods))


def touch(cluster):
    """What Kubernetes does with endpoints after pods have changed: none of a pod that is gone, none at another node than its pod."""
    for (resource, where, name), object in list(cluster.objects.items()):
        if resource not in ("endpoints", "endpointslices"):
            continue
        keep = lambda listed: [one for one in (reconciled(cluster, one) for one in listed) if one]
        if resource == "endpointslices":
            object = {**object, "endpoints": keep(object["endpoints"])}
        else:
            subsets = [{key: value if key == "ports" else keep(value) for key, value in subset.items()} for subset in object["subsets"]]
            object = {**object, "subsets": subsets}
        annotations = {**object["metadata"].get("annotations", {}), "touched": str(cluster.version)}
        cluster.put(resource, {**object, "metadata": {**object["metadata"], "annotations": annotations}})


def reconciled(cluster, endpoint):
    reference = endpoint.get("targetRef", {})
    if reference.get("kind") != "Pod" or reference["name"] == "gone":
        return endpoint
    pod = cluster.objects.get(("pods", reference["namespace"], reference["name"]))
    if pod is None:
        return None
    others = {key: value for key, value in endpoint.items() if key != "nodeName"}
    return {**others, **{key: value for key, value in pod["spec"].items() if key == "nodeName"}}


def anew(chance, resource, where, name, pods):
    if resource == "endpointslices":
        return slice(chance, name, where, pods, name.rsplit("-", 1)[0])
    if resource == "endpoints":
        return endpoints(chance, name, where, pods)
    return {"pods": pod, "services": service, "ingresses": ingress}[resource](chance, name, where)


# --- Consul ---

TAGS = ["v1", "v2", "primary", "a b", "ünï"]


def instance(chance, datacenter, name, number):
    at = address(chance)
    checks = [{"CheckID": f"c{place}", "Status": chance.choice(["passing", "passing", "warning", "critical"])} for place in range(chance.randint(0, 2))]
    if chance.random() < 0.1:
        checks.append({"CheckID": chance.choice(["_node_maintenance", f"_service_maintenance:{name}-{number}"]), "Status": "critical"})
    return {
        "Node": {
            "ID": f"id-{number}",
            "Node": f"node-{chance.randint(1, 3)}",
            "Address": at,
            "Datacenter": datacenter,
            "TaggedAddresses": {"lan": at, **maybe(chance, 0.5, "wan", address(chance)), **maybe(chance, 0.2, "lan_ipv4", at)},
            "Meta": {**maybe(chance, 0.5, "rack", chance.choice(["r7", "r8"])), **maybe(chance, 0.3, "os-type", "linux")},
        },
        "Service": {
            "ID": f"{name}-{number}",
            "Service": name,
            "Tags": chance.sample(TAGS, chance.randint(0, 3)),
            "Address": chance.choice(["", address(chance)]),
            "Port": 19000 + chance.randint(0, 9),
            "Meta": {**maybe(chance, 0.5, "version", "7"), **maybe(chance, 0.3, "a.b-c", "x")},
            **maybe(chance, 0.2, "Namespace", "team"),
        },
        "Checks": checks,
    }


def catalog(chance, datacenter):
    names = ["cart", "till", "stock", "mail"][: chance.randint(1, 4)]
    return {name: [instance(chance, datacenter, name, number) for number in range(chance.randint(1, 4))] for name in names}


def other_catalog(chance, datacenter, catalog):
    """Forgets a service, knows a new one, and others differently."""
    names = list(catalog.services)
    if chance.random() < 0.5:
        del catalog.services[chance.choice(names)]
    for name in list(catalog.services):
        if chance.random() < 0.5:
            catalog.services[name] = [instance(chance, datacenter, name, number) for number in range(chance.randint(1, 4))]
    if chance.random() < 0.5:
        catalog.services["new"] = [instance(chance, datacenter, "new", 1)]
    catalog.index += 1
