"""Configurations as they are told by `/api/v1/status/config`: byte for byte what Prometheus 3.14 tells of the same file, but for the
sections that Sigyn has no use for.

The judge is Prometheus' own package, which reads the file and writes it. Whoever Sigyn would ask stands on 127.0.0.0/8, so the
mechanisms that ask a provider somewhere else are not among these; unit tests have them.
"""

import difflib
import json
import os
import random
import re
import subprocess
import sys
import tempfile

import own_server
import server

JUDGE = os.path.join(server.SCRATCH, "prometheus_config", "senders")
COUNT = 300
# What stands there whether written or not, and what it is for is not what Sigyn does.
NOT_OURS = ("alerting", "otlp", "runtime", "storage", "tracing")
TEXTS = [
    "a", "b c", "a:80", "yes", "12", "0x1f", "1:30", "it's", "a, b", "{x}", "#x", "x #y", "- x", "2001-12-14", "2001-12-140", "~x", "one\ntwo", "tail\n", "two\n\n", " lead", "trail ", "\ttab",
    "ünï", "😀", "a" * 30 + " " + "b" * 60 + " c " + "d" * 40, "'q'", '"dq"', "*", "%a", "x: y", "x:", "null", "a\\b", "$1:$2", "--- a", "?", "? a", "!x", "|", "<<", "=", "1e3", ".5", "1_000", "a\n  b\nc",
    "\nx", "x  \ny", "a\rb", "\u00a0",
]  # fmt: skip
DURATIONS = ["90s", "1m", "1h30m", "1d", "36h", "500ms", "5m", "2w", "60s", "1m30s"]
URLS = ["http://127.0.0.1:9/x", "http://127.0.0.1:9/a?b=c", "http://me@127.0.0.1:9"]
MECHANISMS = ["static", "file", "http", "kubernetes", "consul", "nomad", "eureka", "docker", "dockerswarm"]
LOGINS = ("authorization", "basic_auth", "bearer_token", "bearer_token_file", "oauth2")


class Made:
    def __init__(self, seed):
        self.chance = random.Random(seed)

    def one(self, choices):
        return self.chance.choice(choices)

    def text(self):
        return self.one(TEXTS)

    def may(self, into, key, choices, share=0.3):
        if self.chance.random() < share:
            into[key] = self.one(choices)

    def tls(self):
        made = {}
        self.may(made, "ca_file", ["ca.pem", "/abs/ca.pem", "../x/ca"])
        self.may(made, "server_name", TEXTS)
        self.may(made, "insecure_skip_verify", [True, False])
        self.may(made, "min_version", ["TLS12", "TLS13"])
        return made

    def client(self, into):
        login = self.chance.random()
        if login < 0.1:
            into["basic_auth"] = self.one([{"username": "u", "password": "p"}, {}, {"username_file": "uf", "password_file": "pf"}])
        elif login < 0.2:
            into["authorization"] = self.one([{"credentials": "x"}, {}, {"type": "Token", "credentials_file": "f"}, {"type": " Bearer "}])
        elif login < 0.3:
            into["oauth2"] = {"client_id": "c", "token_url": "http://127.0.0.1:9/t", "client_secret": "s"}
            self.may(into["oauth2"], "scopes", [["a", "b c"]])
            self.may(into["oauth2"], "endpoint_params", [{"b": "1", "a10": "x", "a2": "y"}])
            self.may(into["oauth2"], "tls_config", [self.tls()])
        elif login < 0.4:
            into[self.one(["bearer_token", "bearer_token_file"])] = "t"
        self.may(into, "tls_config", [self.tls()])
        self.may(into, "follow_redirects", [True, False])
        self.may(into, "enable_http2", [True, False])
        if self.chance.random() < 0.2:
            into["proxy_url"] = "http://u:p@127.0.0.1:9"
            self.may(into, "no_proxy", ["127.0.0.1"])
            self.may(into, "proxy_connect_header", [{"X": ["a"], "B": ["c", "d"]}])
        self.may(into, "http_headers", [{"X-B": {"values": ["a", "1"]}, "X-A": {"secrets": ["s"], "files": ["f"]}}], 0.15)
        return into

    def rule(self):
        action = self.one(["replace", "keep", "drop", "hashmod", "labelmap", "labeldrop", "lowercase", "keepequal", "Replace", "KEEP"])
        made = {"action": action} if action != "replace" or self.chance.random() < 0.5 else {}
        kind = action.lower()
        if kind == "labeldrop":
            return made | {"regex": self.one(["a.*", "(.*)"])}
        if kind == "labelmap":
            self.may(made, "regex", ["a(.*)", "(.*)", "x y"])
            self.may(made, "replacement", ["$1", "x_$1"])
            return made
        if kind == "keepequal":
            return made | {"source_labels": ["a"], "target_label": "b"}
        made["source_labels"] = self.one([["a"], ["__x", "y"], ["a", "b", "yes"], ["l" * 25] * 6])
        if kind in ("keep", "drop"):
            made["regex"] = self.one(["a", "(.*)", "", "x|y", "a: b", "5"])
        elif kind == "hashmod":
            made |= {"modulus": self.one([1, 8, 16]), "target_label": "h"}
        else:
            made["target_label"] = self.one(["t", "yes"])
        if kind == "replace":
            self.may(made, "regex", ["a", "(.*)", "", "(.+);(.+)"])
            self.may(made, "replacement", TEXTS)
            self.may(made, "separator", [";", "@", " ", ""])
        return made

    def mechanism(self):
        kind = self.one(MECHANISMS)
        made = {}
        if kind not in ("static", "file", "kubernetes"):
            self.client(made)
        if kind not in ("static", "kubernetes"):
            self.may(made, "refresh_interval", DURATIONS)
        if kind == "static":
            made["targets"] = self.one([["127.0.0.1:1"], ["127.0.0.2:80", 8080], []])
            self.may(made, "labels", [{"env": self.text(), "a10": "x", "a2": self.text(), "on": "yes"}], 0.6)
        elif kind == "file":
            made["files"] = self.one([["x/*.yml"], ["/abs/a.json", "b.yaml"]])
        elif kind == "http":
            made["url"] = self.one(URLS)
        elif kind == "kubernetes":
            made["role"] = self.one(["pod", "node", "endpointslice", "service", "ingress", "endpoints"])
            if self.chance.random() < 0.6:
                self.client(made)
                made["api_server"] = "https://127.0.0.1:9"
            else:
                made["kubeconfig_file"] = "kc"
            self.may(made, "namespaces", [{}, {"names": ["a", "b"]}, {"own_namespace": True}, {"own_namespace": False}])
            self.may(made, "selectors", [[{"role": made["role"], "label": "a=b"}]])
            self.may(made, "attach_metadata", [{}, {"node": True}, {"node": False}])
        elif kind == "consul":
            self.may(made, "server", ["127.0.0.1:9"], 1)
            self.may(made, "services", [["a", "yes"]])
            self.may(made, "node_meta", [{"b": "1", "a": "true"}])
            self.may(made, "allow_stale", [False])
            self.may(made, "tag_separator", [",", "", "|"])
            self.may(made, "filter", TEXTS)
            if not any(key in made for key in LOGINS):
                made |= self.one([{}, {"username": "u"}, {"username": "u", "password": "p"}, {"token": "t"}])
        elif kind == "nomad":
            made["server"] = "http://127.0.0.1:9"
            self.may(made, "region", [""])
            self.may(made, "namespace", TEXTS)
        elif kind == "eureka":
            made["server"] = self.one(URLS)
        else:
            made["host"] = self.one(["unix:///nowhere/docker.sock", "tcp://127.0.0.1:9"])
            self.may(made, "filters", [[{"name": "n", "values": ["v"]}], [{"name": "n"}]])
            if kind == "dockerswarm":
                made["role"] = self.one(["nodes", "tasks", "services"])
            else:
                self.may(made, "match_first_network", [False])
        return ("static_configs" if kind == "static" else f"{kind}_sd_configs"), made

    def limits(self, into):
        for key in ("sample_limit", "target_limit", "label_limit", "label_value_length_limit", "keep_dropped_targets"):
            self.may(into, key, [0, 5, 1000], 0.1)
        self.may(into, "body_size_limit", ["5MB", "1KB", "0", "1536B"], 0.15)
        for key in ("scrape_native_histograms", "convert_classic_histograms_to_nhcb", "always_scrape_classic_histograms", "extra_scrape_metrics"):
            self.may(into, key, [True, False], 0.1)
        self.may(into, "scrape_protocols", [["PrometheusText0.0.4"], ["PrometheusProto", "OpenMetricsText1.0.0"]], 0.1)

    def job(self, number):
        made = {"job_name": f"{self.text()}{number}"}
        self.may(made, "honor_labels", [True, False])
        self.may(made, "honor_timestamps", [True, False])
        self.may(made, "params", [{"b": ["1", "x"], "a": [self.text()]}])
        self.may(made, "scrape_interval", ["2m", "45s", "1h"])
        self.may(made, "scrape_timeout", ["7s"], 0.2)
        self.may(made, "metrics_path", ["/m", "/x y"])
        self.may(made, "scheme", ["https"], 0.2)
        self.may(made, "enable_compression", [False], 0.2)
        self.may(made, "native_histogram_min_bucket_factor", [1.1, 2, 0.00001, 0], 0.1)
        self.may(made, "metric_name_validation_scheme", ["utf8", "legacy"], 0.1)
        self.limits(made)
        self.client(made)
        for _ in range(self.chance.randint(0, 3)):
            key, section = self.mechanism()
            made.setdefault(key, []).append(section)
        self.may(made, "relabel_configs", [[self.rule() for _ in range(self.chance.randint(0, 3))]], 0.6)
        self.may(made, "metric_relabel_configs", [[self.rule() for _ in range(self.chance.randint(0, 2))]], 0.4)
        keys = list(made)
        self.chance.shuffle(keys)
        return {key: made[key] for key in keys}

    def file(self):
        made = {}
        if self.chance.random() < 0.7:
            every = made["global"] = {}
            self.may(every, "scrape_interval", ["2m", "90s", "30s"])
            self.may(every, "scrape_timeout", ["5s", "20s"])
            self.may(every, "evaluation_interval", DURATIONS)
            self.may(every, "external_labels", [{"z": self.text(), "a10": "", "a2": self.text(), "A": "x"}])
            self.may(every, "metric_name_validation_scheme", ["utf8", "legacy"], 0.2)
            self.limits(every)
        jobs = [self.job(number) for number in range(self.chance.randint(0, 3))]
        if jobs:
            made["scrape_configs"] = jobs
        if self.chance.random() < 0.3:
            self.put_nulls(made)
        return json.dumps(made, ensure_ascii=False)

    def put_nulls(self, section):
        """A null now and then. One for a `refresh_interval` would have Prometheus ask without a pause, and Sigyn does not."""
        for key, value in section.items():
            if isinstance(value, dict):
                self.put_nulls(value)
            elif isinstance(value, list):
                for item in value:
                    if isinstance(item, dict):
                        self.put_nulls(item)
            elif key != "refresh_interval" and self.chance.random() < 0.15:
                section[key] = None


def without_what_is_not_ours(yaml):
    keys = "|".join(NOT_OURS)
    return re.sub(rf"^(?:{keys}):.*\n(?:[ -].*\n)*", "", yaml, flags=re.MULTILINE)


def main():
    folder = tempfile.mkdtemp(dir=server.SCRATCH)
    files = [Made(seed).file() for seed in range(COUNT)]
    judged = subprocess.run([JUDGE, folder], input=json.dumps(files), capture_output=True, text=True, check=True)
    ours = own_server.OwnServer(folder, os.path.join(folder, "data"), [], ["--web.enable-lifecycle"])
    accepted = 0
    try:
        for number, (text, theirs) in enumerate(zip(files, json.loads(judged.stdout), strict=True)):
            with open(os.path.join(folder, "sigyn.yml"), "w", encoding="utf-8") as file:
                file.write(text)
            status, said = ours.ask("POST", "/-/reload")
            if (status == 200) != ("yaml" in theirs):
                server.fail(f"{text}\nhas {theirs.get('error', 'no fault')} for Prometheus, and {status} {said}")
            if status != 200:
                continue
            accepted += 1
            told = ours.get("/api/v1/status/config")["data"]["yaml"]
            wanted = without_what_is_not_ours(theirs["yaml"])
            if told != wanted:
                lines = difflib.unified_diff(wanted.splitlines(), told.splitlines(), "prometheus", "sigyn", lineterm="")
                server.fail(f"configuration {number} is told differently:\n{text}\n" + "\n".join(lines))
    finally:
        ours.stop()
    if accepted < COUNT * 3 // 4:
        server.fail(f"only {accepted} of {COUNT} configurations were accepted")
    print(f"{accepted} configurations are told as Prometheus tells them, and {COUNT - accepted} refused by both")


if __name__ == "__main__":
    sys.exit(main())
