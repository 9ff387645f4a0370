"""VictoriaMetrics and Sigyn watch the same clusters and the same Consul, and find the same targets, before and after changes.

Clusters and catalogs are made, always the same ones; each has jobs of its own, for a cluster one of each role. Compared are the
labels that targets were discovered with, those that rules make of them, and what is dropped. Every difference that there may
be is explained in `discovery/victoria.toml`, and nothing in vain.
"""

import json
import os
import random
import re
import shutil
import sys
import tempfile
import time
import tomllib
import urllib.parse

import discovery_objects as objects
import own_server
import server
import victoria
from discovery_programs import Program
from discovery_watched import Catalog, Cluster, Watched

SEED = 1795
CLUSTERS = 66
CATALOGS = 24
ALIKE_SECONDS = 90
NUDGE_SECONDS = 10
ROLES = ["node", "pod", "service", "endpoints", "endpointslice", "ingress"]
SELECTED = {"pod": ["pod"], "endpoints": ["pod", "service", "endpoints"], "endpointslice": ["pod", "service", "endpointslice"]}

PREFIX = re.compile("__meta_(kubernetes|consul)_")
# Whoever compares labels that rules make compares all that was discovered. Nobody is asked for the address of a name: where it
# is one, the target is at an address where nobody listens. One without a port gets one, for VictoriaMetrics would add another.
RULES = """  relabel_configs:
  - {action: labelmap, regex: '__meta_(?:kubernetes|consul)_(.+)'}
  - {source_labels: [__address__], target_label: at}
  - {source_labels: [__address__], regex: '(?:127[.].*|\\[::1\\].*|::1)', target_label: is_number, replacement: 'yes'}
  - {source_labels: [is_number], regex: '', target_label: __address__, replacement: '127.0.0.9:19999'}
  - {source_labels: [__address__], regex: '([0-9.]+)', target_label: __address__, replacement: '$1:19998'}
"""


# --- jobs ---


def cluster_job(chance, name, role, address):
    drops = dropping(chance, role)
    section = [f"role: {role}", f"api_server: 'http://{address}/{name}'"]
    if role != "node" and chance.random() < 0.3:
        section.append(f"namespaces: {{names: {json.dumps(chance.sample(objects.NAMESPACES, chance.randint(1, 2)))}}}")
    if chance.random() < 0.4:
        section.append(f"selectors: [{', '.join(selector(chance, kind) for kind in selected_kinds(chance, role))}]")
    if role in ("pod", "endpoints", "endpointslice") and chance.random() < 0.3:
        section.append("attach_metadata: {node: true}")
        role += "-with-nodes"
    return f"- job_name: {name}-{role}\n  metrics_path: /m\n  kubernetes_sd_configs:\n  - {{{', '.join(section)}}}\n{RULES}{drops}"


def selected_kinds(chance, role):
    kinds = SELECTED.get(role, [role])
    return chance.sample(kinds, chance.randint(1, len(kinds)))


def selector(chance, kind):
    labels = ["app=cart", "app!=cart", "tier", "!tier", "app in (cart, true)", "UPPER notin (0)", "tier,app"]
    fields = {"pod": ["status.phase=Running", "spec.nodeName!=n1"], "node": ["metadata.name=n1"]}.get(kind, ["metadata.name!=svc-1"])
    written = [f"role: {kind}"]
    if chance.random() < 0.7:
        written.append(f"label: {json.dumps(chance.choice(labels))}")
    if chance.random() < 0.5:
        written.append(f"field: {json.dumps(chance.choice(fields))}")
    return f"{{{', '.join(written)}}}"


def dropping(chance, role):
    """A rule that drops some targets, in some jobs."""
    choices = {
        "pod": ["{action: keep, source_labels: [__meta_kubernetes_pod_ready], regex: 'true'}"],
        "endpoints": ["{action: drop, source_labels: [__meta_kubernetes_endpoint_ready], regex: 'false'}"],
        "service": ["{action: drop, source_labels: [__meta_kubernetes_service_port_protocol], regex: UDP}"],
        "ingress": ["{action: keep, source_labels: [__meta_kubernetes_ingress_scheme], regex: https}"],
        "consul": ["{action: drop, source_labels: [__meta_consul_tags], regex: '.*,v1,.*'}"],
    }.get(role, ["{action: drop, source_labels: [__address__], regex: '.*[02468]'}"])
    return f"  - {chance.choice(choices)}\n" if chance.random() < 0.4 else ""


def catalog_job(chance, name, address):
    section = [f"server: '{address}'", "refresh_interval: 1s"]
    if name != "c0":
        section.append(f"datacenter: {name}")
    which = chance.random()
    if which < 0.4:
        section.append(f"services: {json.dumps(chance.sample(['cart', 'till', 'stock', 'mail', 'new'], 2))}")
    elif which < 0.6:
        section.append(f"tags: {json.dumps(chance.sample(objects.TAGS[:3], chance.randint(1, 2)))}")
    if chance.random() < 0.2:
        section.append("node_meta: {rack: r7}")
    if chance.random() < 0.2:
        section.append("tag_separator: ';'")
    if chance.random() < 0.2:
        section.append("allow_stale: false")
    return f"- job_name: {name}-consul\n  metrics_path: /m\n  consul_sd_configs:\n  - {{{', '.join(section)}}}\n{RULES}{dropping(chance, 'consul')}"


# --- what they show ---


def seen(answer):
    """By job, what there is to compare: of each target the labels as discovered, as made of them, and its URL."""
    found = {}
    data = answer["data"]
    for target in data["activeTargets"]:
        job = target["discoveredLabels"]["job"]
        # Spans are at another path than samples.
        url = urllib.parse.urlsplit(target["scrapeUrl"])
        found.setdefault(job, []).append((target["discoveredLabels"], target["labels"], f"{url.scheme}://{url.netloc}?{url.query}"))
    for target in data["droppedTargets"]:
        discovered = target["discoveredLabels"]
        those = found.setdefault(discovered["job"], [])
        # VictoriaMetrics drops of two targets that are the same one; here that is none.
        if not any(discovered == other and url != "dropped" for other, _, url in those):
            those.append((discovered, None, "dropped"))
    return found


class Explained:
    """What may be different, and what has been."""

    def __init__(self):
        with open(os.path.join(server.FOLDER, "discovery", "victoria.toml"), "rb") as file:
            self.rules = tomllib.load(file)["difference"]
        for rule in self.rules:
            rule["used"] = False
            rule["jobs"] = re.compile(rule.get("jobs", ".*"))
            rule["label"] = re.compile(rule.get("label", "no label"))

    def without(self, who, job, discovered, labels):
        """Labels, as discovered or made of that, without those of which it is explained that they are different."""
        kept = {}
        for name, value in labels.items():
            short = PREFIX.sub("", name)
            rule = next((rule for rule in self.rules if rule["label"].fullmatch(short) and explains(rule, who, job, discovered)), None)
            if rule:
                rule["used"] = True
            else:
                kept[name] = value
        return kept

    def is_more(self, who, job, discovered):
        """Whether it is explained that only this one has the target."""
        for rule in self.rules:
            if "address" in rule and explains(rule, who, job, discovered) and re.fullmatch(rule["address"], discovered["__address__"]):
                rule["used"] = True
                return True
        return False

    def in_vain(self):
        return [f"{rule['who']}: {rule['why']}" for rule in self.rules if not rule["used"]]


def explains(rule, who, job, discovered):
    if rule["who"] not in (who, "both") or not rule["jobs"].fullmatch(job):
        return False
    if any(discovered.get(f"__meta_kubernetes_{name}") for name in rule.get("lacks", [])):
        return False
    return all(discovered.get(f"__meta_kubernetes_{name}") == value for name, value in rule.get("has", {}).items())


def comparable(who, explained, found):
    """Targets by job, each as the names and values that it has: as discovered, `=` as made of that, its URL. What is empty is not there."""
    targets = {}
    for job, those in found.items():
        targets[job] = set()
        for discovered, labels, url in those:
            if explained.is_more(who, job, discovered):
                continue
            flat = explained.without(who, job, discovered, discovered)
            flat |= {f"={name}": value for name, value in explained.without(who, job, discovered, labels or {}).items()}
            flat["url"] = url
            targets[job].add(frozenset((name, value) for name, value in flat.items() if value))
    return targets


def differences(programs, explained):
    answers = [program.ask("/api/v1/targets") for program in programs]
    if not all(answers):
        return ["no answer"], 0, 0
    ours, theirs = (comparable(program.name, explained, seen(answer)) for program, answer in zip(programs, answers))
    lines = []
    for job in sorted(ours.keys() | theirs.keys()):
        left = theirs.get(job, set()) - ours.get(job, set())
        for target in sorted(ours.get(job, set()) - theirs.get(job, set()), key=sorted):
            # The one that was meant is the one that is the most alike.
            other = max(left, key=lambda other: len(target & other), default=None)
            if other is None or len(target & other) < len(target) / 2:
                lines.append(f"   {job}: sigyn only: {told(target)}")
                continue
            left.remove(other)
            lines.append(f"   {job}: {dict(target)['__address__']}: sigyn {told(target - other)}, victoria {told(other - target)}")
        lines += [f"   {job}: victoria only: {told(target)}" for target in left]
    return lines, sum(len(targets) for targets in ours.values()), len(ours)


def told(target):
    return ", ".join(f"{name}={value}" for name, value in sorted(target)) or "nothing"


def wait_until_alike(what, programs, explained, nudge=lambda: None):
    deadline = time.monotonic() + ALIKE_SECONDS
    while True:
        nudge()
        # Both look at what there is every second.
        for _ in range(NUDGE_SECONDS):
            lines, targets, jobs = differences(programs, explained)
            if not lines and targets:
                return targets, jobs
            if time.monotonic() > deadline:
                server.fail(f"{what}: not alike after {ALIKE_SECONDS} s, {len(lines)} differences\n" + "\n".join(lines[:80]))
            time.sleep(1)


def start(name, binary, folder, path):
    port = own_server.free_port()
    if name == "sigyn":
        command = [os.environ["SIGYN_BIN"], "serve", f"--config.file={path}", f"--storage.path={folder}/sigyn"]
        command += [f"--web.listen-address=127.0.0.1:{port}", "--otlp.grpc.listen-address=", "--otlp.http.listen-address="]
    else:
        command = [binary, f"-promscrape.config={path}", "-promscrape.config.strictParse=false", f"-httpListenAddr=127.0.0.1:{port}"]
        command += [f"-storageDataPath={folder}/victoria", "-promscrape.maxDroppedTargets=1000000", "-memory.allowedBytes=256MB"]
        command += ["-promscrape.kubernetesSDCheckInterval=1s", "-promscrape.consulSDCheckInterval=1s", "-promscrape.suppressScrapeErrors"]
    return Program(name, folder, port, command)


def main():
    binary = victoria.program()
    explained = Explained()
    chance = random.Random(SEED)
    clusters = {f"k{number}": Cluster(objects.cluster(chance)) for number in range(CLUSTERS)}
    catalogs = {f"c{number}": Catalog(objects.catalog(chance, f"c{number}")) for number in range(CATALOGS)}
    fake = Watched(clusters, catalogs, "c0")
    config = "global: {scrape_interval: 1h, scrape_timeout: 1s}\nscrape_configs:\n"
    config += "".join(cluster_job(chance, name, role, fake.address) for name in clusters for role in ROLES)
    config += "".join(catalog_job(chance, name, fake.address) for name in catalogs)
    folder = tempfile.mkdtemp(dir=server.SCRATCH)
    path = os.path.join(folder, "prometheus.yml")
    with open(path, "w", encoding="utf-8") as file:
        file.write(config)
    sigyn = judge = None
    try:
        sigyn = start("sigyn", binary, folder, path)
        judge = start("victoria", binary, folder, path)
        told = [wait_until_alike("at first", [sigyn, judge], explained)]
        # Sigyn has to follow what changes; the judge is one that reads it anew, for it misses changes of what belongs to others.
        judge.stop()
        for cluster in clusters.values():
            fake.change(cluster, lambda cluster: objects.changed(chance, cluster))
        for name, catalog in catalogs.items():
            fake.change(catalog, lambda catalog, name=name: objects.other_catalog(chance, name, catalog))
        judge = start("victoria", binary, folder, path)
        # Nobody looks at a slice again because of a pod that goes: Kubernetes then says what has become of the slice, later.
        def nudge():
            for cluster in clusters.values():
                fake.change(cluster, objects.touch)

        told.append(wait_until_alike("after changes", [sigyn, judge], explained, nudge))
    finally:
        for program in (sigyn, judge):
            if program:
                program.stop()
        fake.stop()
    in_vain = explained.in_vain()
    if in_vain:
        server.fail("these explanations explain nothing:\n" + "\n".join(f"   {rule}" for rule in in_vain))
    for what, (targets, jobs) in zip(["at first", "after changes"], told):
        print(f"{what}: {targets} targets of {jobs} jobs alike")
    print(f"{CLUSTERS} clusters, {CATALOGS} catalogs, {fake.asked} questions, {len(explained.rules)} explanations")
    shutil.rmtree(folder)


if __name__ == "__main__":
    sys.exit(main())
