"""What tells of changes while it is asked: API servers of Kubernetes clusters, and Consul. All of them are one server.

It answers on 127.0.0.1 alone. Below `/NAME` is the API of the cluster NAME, below `/v1` Consul, with a catalog for each datacenter.
"""

import asyncio
import json
import re
import threading
import urllib.parse

WATCH_SECONDS = 300
# By what a path ends with: what a list calls itself, and the version that its objects have.
KINDS = {
    "nodes": "Node",
    "namespaces": "Namespace",
    "pods": "Pod",
    "services": "Service",
    "endpoints": "Endpoints",
    "endpointslices": "EndpointSlice",
    "ingresses": "Ingress",
}


class Cluster:
    """Objects, and what has happened to them. Only the server's own thread may touch it once that runs."""

    def __init__(self, objects):
        self.version = 100
        self.objects = {}
        self.events = []
        self.news = asyncio.Condition()
        for resource, object in objects:
            self.put(resource, object)

    def put(self, resource, object):
        self.version += 1
        metadata = {**object["metadata"], "resourceVersion": str(self.version)}
        object = {**object, "metadata": metadata}
        key = (resource, metadata.get("namespace", ""), metadata["name"])
        self.events.append((self.version, resource, self.objects.get(key), object))
        self.objects[key] = object

    def delete(self, resource, namespace, name):
        self.version += 1
        self.events.append((self.version, resource, self.objects.pop((resource, namespace, name)), None))

    def list(self, resource, selects):
        items = [object for (kind, _, _), object in self.objects.items() if kind == resource and selects(object)]
        return {"kind": f"{KINDS[resource]}List", "apiVersion": "v1", "metadata": {"resourceVersion": str(self.version)}, "items": items}

    def lines(self, resource, selects, after):
        """What a watch has to tell of, as the API does: what is not selected any more is deleted."""
        for version, kind, old, new in self.events:
            if kind != resource or version <= after:
                continue
            was, is_now = old is not None and selects(old), new is not None and selects(new)
            if is_now:
                yield {"type": "MODIFIED" if was else "ADDED", "object": new}
            elif was:
                metadata = {**old["metadata"], "resourceVersion": str(version)}
                yield {"type": "DELETED", "object": {**old, "metadata": metadata}}


def selector(namespace, labels, fields):
    """Whether an object is in the namespace, and as the texts say that its labels and fields have to be."""

    def label(object, term):
        known = object["metadata"].get("labels", {})
        if one_of := re.fullmatch(r"(\S+) (not)?in \((.*)\)", term):
            name, is_not, values = one_of.groups()
            is_one = known.get(name) in [value.strip() for value in values.split(",")]
            return is_one != bool(is_not)
        if pair := re.fullmatch(r"([^!=]+)(==?|!=)(.*)", term):
            return (known.get(pair[1]) == pair[3]) == (pair[2] != "!=")
        return (term.removeprefix("!") in known) != term.startswith("!")

    def field(object, term):
        path, comparison, value = re.fullmatch(r"([^!=]+)(==?|!=)(.*)", term).groups()
        known = object
        for part in path.split("."):
            known = known.get(part, {})
        return ((known or "") == value) == (comparison != "!=")

    label_terms = [term.strip() for term in re.split(r",(?![^(]*\))", labels) if term.strip()]
    field_terms = [term for term in fields.split(",") if term]

    def selects(object):
        if namespace and object["metadata"].get("namespace", "") != namespace:
            return False
        return all(label(object, term) for term in label_terms) and all(field(object, term) for term in field_terms)

    return selects


class Catalog:
    """The instances of services in one datacenter, by the names of the services."""

    def __init__(self, services):
        self.index = 10
        self.services = services
        self.news = asyncio.Condition()

    def named(self, node_meta):
        """The services of nodes that are so, with all tags that their instances have."""
        found = {}
        for name, instances in self.services.items():
            for instance in instances:
                if is_so(instance, node_meta):
                    found.setdefault(name, set()).update(instance["Service"]["Tags"] or [])
        return {name: sorted(tags) for name, tags in found.items()}

    def instances(self, name, node_meta, tags):
        instances = self.services.get(name, [])
        return [one for one in instances if is_so(one, node_meta) and set(tags) <= set(one["Service"]["Tags"] or [])]


def is_so(instance, node_meta):
    meta = instance["Node"]["Meta"] or {}
    return all(meta.get(name) == value for name, value in node_meta)


class Watched:
    def __init__(self, clusters, catalogs, datacenter):
        self.clusters, self.catalogs, self.datacenter = clusters, catalogs, datacenter
        self.asked = 0
        self.loop = asyncio.new_event_loop()
        started = threading.Event()
        self.thread = threading.Thread(target=self.run, args=(started,), daemon=True)
        self.thread.start()
        started.wait()

    def run(self, started):
        asyncio.set_event_loop(self.loop)
        listening = asyncio.start_server(self.serve, "127.0.0.1", 0, backlog=4096)
        server = self.loop.run_until_complete(listening)
        self.address = "127.0.0.1:%d" % server.sockets[0].getsockname()[1]
        started.set()
        self.loop.run_forever()

    def change(self, changed, change):
        """Lets `change` change a cluster or a catalog, and tells of it those who wait for it."""

        async def told():
            change(changed)
            async with changed.news:
                changed.news.notify_all()

        asyncio.run_coroutine_threadsafe(told(), self.loop).result(timeout=10)

    def stop(self):
        async def ended():
            others = asyncio.all_tasks() - {asyncio.current_task()}
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)
            self.loop.stop()

        asyncio.run_coroutine_threadsafe(ended(), self.loop)
        self.thread.join(timeout=10)

    async def serve(self, reader, writer):
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                self.asked += 1
                url = urllib.parse.urlsplit(head.split(b" ", 2)[1].decode())
                query = urllib.parse.parse_qs(url.query, keep_blank_values=True)
                path = urllib.parse.unquote(url.path).strip("/").split("/")
                if path[0] == "v1":
                    await self.consul(writer, path[1:], query)
                elif cluster := self.clusters.get(path[0]):
                    await self.kubernetes(writer, cluster, path[1:], query)
                else:
                    answer(writer, 404, {})
                await writer.drain()
        except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            pass
        finally:
            writer.close()

    async def kubernetes(self, writer, cluster, path, query):
        resource = path[-1]
        if resource not in KINDS:
            answer(writer, 404, {"kind": "Status", "code": 404})
            return
        first = {name: values[0] for name, values in query.items()}
        namespace = path[path.index("namespaces") + 1] if "namespaces" in path[:-1] else ""
        selects = selector(namespace, first.get("labelSelector", ""), first.get("fieldSelector", ""))
        if "watch" not in first:
            answer(writer, 200, cluster.list(resource, selects))
            return
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
        after = int(first.get("resourceVersion") or 0)
        seconds = min(int(first.get("timeoutSeconds", WATCH_SECONDS)), WATCH_SECONDS)
        deadline = self.loop.time() + seconds
        while self.loop.time() < deadline:
            for line in cluster.lines(resource, selects, after):
                text = json.dumps(line).encode() + b"\n"
                writer.write(b"%x\r\n%s\r\n" % (len(text), text))
            after = cluster.version
            await writer.drain()
            await wait(cluster, lambda: cluster.version > after, deadline - self.loop.time())
        writer.write(b"0\r\n\r\n")

    async def consul(self, writer, path, query):
        if path == ["agent", "self"]:
            answer(writer, 200, {"Config": {"Datacenter": self.datacenter}})
            return
        catalog = self.catalogs.get(query.get("dc", [self.datacenter])[0])
        if catalog is None:
            answer(writer, 500, "No path to datacenter")
            return
        index = int(query.get("index", ["0"])[0])
        if index:
            await wait(catalog, lambda: catalog.index > index, WATCH_SECONDS)
        node_meta = [tuple(pair.split(":", 1)) for pair in query.get("node-meta", [])]
        if path == ["catalog", "services"]:
            value = catalog.named(node_meta)
        else:
            value = catalog.instances(path[-1], node_meta, query.get("tag", []))
        answer(writer, 200, value, {"X-Consul-Index": str(catalog.index)})


async def wait(changed, until, seconds):
    """Until something is so, but no longer than so long."""
    async with changed.news:
        try:
            await asyncio.wait_for(changed.news.wait_for(until), seconds)
        except asyncio.TimeoutError:
            pass


def answer(writer, status, value, headers=None):
    body = json.dumps(value).encode()
    head = f"HTTP/1.1 {status} As Scripted\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    head += "".join(f"{name}: {text}\r\n" for name, text in (headers or {}).items())
    writer.write(head.encode() + b"\r\n" + body)
