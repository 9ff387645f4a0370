"""A real Prometheus and Sigyn read one file, and find and show the same targets, before and after what they ask has changed.

Targets come of the file itself, of files, and of servers over HTTP, Docker, Eureka and, where this check may have a name server
of its own (root, and a namespace of mounts), DNS. Compared are `labels`, URLs but for the path, intervals, and what is dropped;
discovered labels only in jobs whose rules change no label: 2.42 shows of others what its rules have left.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.parse

import discovery_fakes as fakes
import own_server
import prometheus
import server
from discovery_programs import Program

ALIKE_SECONDS = 40
NAME_SERVER = "127.0.0.153"

# Every target has a port of its own, for 2.42 would add one; nobody listens there.
CONFIG = """
global:
  scrape_interval: 30s
  scrape_timeout: 5s
  external_labels: {{site: north}}
scrape_configs:
- job_name: till
  metrics_path: /m
  static_configs:
  - targets: ['127.0.0.1:19001', '127.0.0.2:19001', '[::1]:19001']
    labels: {{tier: front, zone: a}}
  - targets: ['127.0.0.1:19001']
- job_name: stock
  scheme: https
  scrape_interval: 1m30s
  params: {{module: [one, two], q: ['a b&c']}}
  static_configs:
  - {{targets: ['127.0.0.3:19002', '127.0.0.4:19002', '127.0.0.5:19002'], labels: {{kind: '測試', __param_own: x, __meta_rack: r7}}}}
  - {{targets: ['127.0.0.6:19002'], labels: {{__scrape_interval__: 20s, __scrape_timeout__: 1s, __scheme__: http, job: own, instance: me}}}}
  relabel_configs:
  - {{source_labels: [__address__], regex: '127\\.0\\.0\\.4:.*', action: drop}}
  - {{source_labels: [__address__], regex: '(.*)\\.(\\d+):.*', target_label: last, replacement: 'x$2'}}
  - {{action: labelmap, regex: __meta_(rack), replacement: in_$1}}
  - {{source_labels: [__address__], modulus: 4, target_label: shard, action: hashmod}}
  - {{source_labels: [kind, last], separator: '', target_label: both, action: uppercase}}
- job_name: files
  file_sd_configs:
  - {{files: ['sd/*.yml', sd/one.json, sd/missing.json], refresh_interval: 5s}}
- job_name: asked
  http_sd_configs:
  - {{url: 'http://{fake}/targets?x=1', refresh_interval: 1s}}
- job_name: docker
  docker_sd_configs:
  - {{host: 'tcp://{fake}', refresh_interval: 1s, port: 19080, host_networking_host: 127.0.0.9}}
- job_name: eureka
  eureka_sd_configs:
  - {{server: 'http://{fake}/eureka', refresh_interval: 1s}}
- job_name: all
  http_sd_configs:
  - {{url: 'http://{fake}/targets?x=1', refresh_interval: 1s}}
  file_sd_configs:
  - {{files: ['sd/*.yml'], refresh_interval: 5s}}
  static_configs: [{{targets: ['127.0.0.1:19009']}}]
  relabel_configs:
  - {{source_labels: [__meta_url, __meta_filepath], regex: ';', target_label: found, replacement: here}}
  - {{source_labels: [__meta_filepath], regex: '.*/(.*)', target_label: found}}
  - {{action: keep, source_labels: [__address__], regex: '.*[13579]'}}
"""
DNS_CONFIG = """
- job_name: names
  dns_sd_configs:
  - {names: [_till._tcp.shop.test], refresh_interval: 1s}
  - {names: [till.shop.test, nobody.shop.test], type: A, port: 19100, refresh_interval: 1s}
  - {names: [till.shop.test], type: AAAA, port: 19100, refresh_interval: 1s}
  - {names: [shop.test], type: MX, port: 19100, refresh_interval: 1s}
"""

CONTAINERS = [
    {
        "Id": "c1",
        "Names": ["/till"],
        "Image": "shop/till:1",
        "ImageID": "sha256:1",
        "Labels": {"com.shop/tier": "front"},
        "State": "running",
        "Ports": [{"IP": "127.0.0.1", "PrivatePort": 19080, "PublicPort": 19180, "Type": "tcp"}, {"PrivatePort": 53, "Type": "udp"}],
        "HostConfig": {"NetworkMode": "shopnet"},
        "NetworkSettings": {"Networks": {"shopnet": {"NetworkID": "n1", "IPAddress": "127.0.0.21"}}},
    },
    {
        "Id": "c2",
        "Names": ["/stock"],
        "Image": "shop/stock:1",
        "Labels": {},
        "State": "running",
        "Ports": [],
        "HostConfig": {"NetworkMode": "shopnet"},
        "NetworkSettings": {"Networks": {"shopnet": {"NetworkID": "n1", "IPAddress": "127.0.0.22"}}},
    },
]
NETWORKS = [{"Name": "shopnet", "Id": "n1", "Scope": "local", "Internal": False, "Ingress": False, "Labels": {"owner": "shop"}}]
INSTANCE = """<instance><instanceId>{host}:till:{port}</instanceId><hostName>{host}</hostName><app>TILL</app><ipAddr>{host}</ipAddr>
<status>UP</status><port enabled="true">{port}</port><securePort enabled="false">443</securePort><countryId>1</countryId>
<dataCenterInfo class="x"><name>MyOwn</name></dataCenterInfo><metadata><zone>b</zone><management.port>1</management.port></metadata>
<homePageUrl>http://{host}/</homePageUrl><statusPageUrl>http://{host}/s</statusPageUrl><healthCheckUrl>http://{host}/h</healthCheckUrl>
<vipAddress>till</vipAddress></instance>"""


def pages(step):
    """What is answered at first, and what later."""
    groups = [
        {"targets": [f"127.0.0.{11 + step}:19003", "127.0.0.12:19004"], "labels": {"tier": "front", "__meta_from": "server"}},
        {"targets": ["127.0.0.13:19005"]},
    ]
    instances = INSTANCE.format(host="127.0.0.31", port=19031) + INSTANCE.format(host="127.0.0.32", port=19032 + step)
    apps = f"<applications><versions__delta>1</versions__delta><application><name>TILL</name>{instances}</application></applications>"
    return {
        "/targets": fakes.json_page(groups[: 2 - step]),
        "/eureka/apps": fakes.xml_page(apps),
        "/_ping": fakes.json_page("OK"),
        r"/v1\.\d+/containers/json": fakes.json_page(CONTAINERS[step:]),
        r"/v1\.\d+/networks": fakes.json_page(NETWORKS),
    }


def names(step):
    return {
        ("_till._tcp.shop.test", fakes.SRV): [(1, 1, 19101, "one.till.shop.test"), (1, 1, 19102 + step, "127.0.0.42")],
        ("till.shop.test", fakes.A): ["127.0.0.43", "127.0.0.44"][step:],
        ("till.shop.test", fakes.AAAA): ["::1"],
        ("shop.test", fakes.MX): [(5, "mail.shop.test")],
    }


def write_files(folder, step):
    files = {
        "a.yml": f"- targets: ['127.0.0.14:19006']\n  labels: {{tier: back, step: '{step}'}}\n- targets: ['127.0.0.15:19007', '127.0.0.15:19008']\n",
        "b.yml": ("[]" if step else "- {targets: ['127.0.0.16:19006']}\n"),
        "one.json": json.dumps([{"targets": [f"127.0.0.17:1900{6 + step}"], "labels": {"a": "é"}}]),
    }
    os.makedirs(os.path.join(folder, "sd"), exist_ok=True)
    for name, text in files.items():
        # As whoever writes such files should: they are whole at any time.
        path = os.path.join(folder, "sd", name)
        with open(path + ".tmp", "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(path + ".tmp", path)


# --- the two servers ---


def with_names_of_ours(folder):
    """What to put before a command so that it asks our name server; None if that cannot be had here."""
    resolv = os.path.join(folder, "resolv.conf")
    with open(resolv, "w", encoding="utf-8") as file:
        file.write(f"nameserver {NAME_SERVER}\n")
    script = 'mount --bind "$0" /etc/resolv.conf && exec "$@"'
    prefix = ["unshare", "--mount", "sh", "-c", script, resolv]
    try:
        done = subprocess.run([*prefix, "true"], capture_output=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return prefix if done.returncode == 0 else None


# --- what they show ---


# What 2.42 does not know of a container.
NEWER = {"__meta_docker_container_image", "__meta_docker_container_image_id"}


def seen(answer, plain):
    """Targets and dropped ones, in what can be compared. `plain` are the jobs without rules."""
    data = answer["data"]
    active = set()
    for target in data["activeTargets"]:
        url = urllib.parse.urlsplit(target["scrapeUrl"])
        discovered = {name: value for name, value in target["discoveredLabels"].items() if name not in NEWER}
        active.add(
            json.dumps(
                [
                    target["scrapePool"],
                    target["labels"],
                    f"{url.scheme}://{url.netloc}?{url.query}",
                    target["scrapeInterval"],
                    target["scrapeTimeout"],
                    discovered if target["scrapePool"] in plain else None,
                ],
                sort_keys=True,
                ensure_ascii=False,
            )
        )
    dropped = sorted(target["discoveredLabels"]["__address__"] for target in data["droppedTargets"])
    return active, dropped


def wait_until_alike(what, programs, plain, counts):
    """Both show the same, and as many targets of each job as there are."""
    deadline = time.monotonic() + ALIKE_SECONDS
    while True:
        answers = [program.ask("/api/v1/targets") for program in programs]
        if all(answers):
            ours, theirs = (seen(answer, plain) for answer in answers)
            found = {}
            for target in ours[0]:
                pool = json.loads(target)[0]
                found[pool] = found.get(pool, 0) + 1
            if ours == theirs and found == counts:
                return
            if time.monotonic() > deadline:
                lines = [f"   sigyn only:      {target}" for target in sorted(ours[0] - theirs[0])]
                lines += [f"   prometheus only: {target}" for target in sorted(theirs[0] - ours[0])]
                lines += [f"   dropped: sigyn {ours[1]}, prometheus {theirs[1]}", f"   expected {counts}, found {found}"]
                server.fail(f"{what}: not alike after {ALIKE_SECONDS} s\n" + "\n".join(lines))
        elif time.monotonic() > deadline:
            server.fail(f"{what}: no answers after {ALIKE_SECONDS} s:\n" + "\n".join(program.said() for program in programs))
        time.sleep(0.2)


def main():
    binary = prometheus.program("prometheus")
    folder = tempfile.mkdtemp(dir=server.SCRATCH)
    fake, prefix, dns = fakes.Http(pages(0)), with_names_of_ours(folder), None
    config = CONFIG.format(fake=fake.address)
    plain = {"till", "files", "asked", "docker", "eureka", "names"}
    counts = [
        {"till": 4, "stock": 3, "files": 5, "asked": 3, "docker": 2, "eureka": 2, "all": 4},
        {"till": 4, "stock": 3, "files": 4, "asked": 2, "docker": 1, "eureka": 2, "all": 3},
    ]
    if prefix:
        try:
            dns = fakes.Dns(NAME_SERVER, names(0))
        except OSError as error:
            prefix = None
            print(f"port 53 of {NAME_SERVER} cannot be had: {error}")
    if dns:
        config += DNS_CONFIG
        counts[0]["names"], counts[1]["names"] = 6, 5
    else:
        print("SKIPPED in part: names are not looked up, for there can be no name server of this check's own (root is needed)")
    path = os.path.join(folder, "prometheus.yml")
    with open(path, "w", encoding="utf-8") as file:
        file.write(config)
    write_files(folder, 0)
    programs = []
    try:
        for name in ("sigyn", "prometheus"):
            port = own_server.free_port()
            command = [*(prefix or [])]
            if name == "sigyn":
                command += [os.environ["SIGYN_BIN"], "serve", f"--storage.path={folder}/sigyn", "--otlp.grpc.listen-address=", "--otlp.http.listen-address="]
            else:
                command += [binary, "--enable-feature=agent", f"--storage.agent.path={folder}/agent"]
            command += [f"--config.file={path}", f"--web.listen-address=127.0.0.1:{port}"]
            programs.append(Program(name, folder, port, command))
        wait_until_alike("at first", programs, plain, counts[0])
        fake.pages = pages(1)
        write_files(folder, 1)
        if dns:
            dns.names = names(1)
        wait_until_alike("after what is asked has changed", programs, plain, counts[1])
    finally:
        for program in programs:
            program.stop()
        fake.stop()
        if dns:
            dns.stop()
    total = sum(sum(count.values()) for count in counts)
    print(f"{len(counts[0])} jobs, {total} targets, twice: alike")
    shutil.rmtree(folder)


if __name__ == "__main__":
    sys.exit(main())
