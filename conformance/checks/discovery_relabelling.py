"""Discovered labels become the same targets with promtool and with Sigyn: rules, templates, addresses, defaults.

Jobs with rules and targets are made, always the same ones, and both programs are asked by `check service-discovery` what
becomes of each target. What Prometheus 2.42 does and 3.14 does not is done here to what Sigyn says (`as_2_42`), or not made:
names of labels beyond ASCII, line breaks in values, `__param_*` of a target of whose name the job has one, and `labelmap`
where it gives one name to two labels, which is defined nowhere.
"""

import concurrent.futures
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile

import prometheus
import server

SEED = 71
FILES = 4
JOBS_A_FILE = 20
TARGETS_A_JOB = 12
CALL_SECONDS = 20

# --- what cases are made of ---

ADDRESSES = [
    "127.0.0.1:9090", "127.0.0.2:80", "127.0.0.3:443", "127.0.0.4", "localhost", "shop.test:1", "shop.test", "[::1]:9090", "[::1]", "::1",
    "[::ffff:127.0.0.1]:80", "[::1", "a:b:c", ":9090", "127.0.0.5:", "127.0.0.6:port", "", "http://127.0.0.1", "127.0.0.1/x", "ünï.test:1",
    "a b:1", "測試:80", "-", "127.0.0.7:65536", "user@127.0.0.8:1", "127.0.0.9:1?x=y", "[a]b:1",
]  # fmt: skip
TEXTS = [
    "", "a", "b", "prod", "PROD", "a;b", "x-y", "éÀß", "測試", "127.0.0.9", "a=b", "$1", "${x}", " b ", "İıſ", "ﬁ", "😀", '"', "'", "\\", "a,b,c",
    "__x", "0", "12", "a.b", "ΑΣς", "ǅ", "\t", "https", "/x", "aaa", "ab", "ba", "1s", "K", "\u00a0",
]  # fmt: skip
WORDS = ["", "a", "b_c", "XY", "_", "prod", "__tmp_w", "zone"]
NAMES = ["a", "b", "c", "text", "word", "__meta_shop_kind", "__meta_shop_zone", "__tmp_x", "job", "instance", "none", "__address__", "__scheme__"]
NAMES += ["__metrics_path__", "__param_q", "__scrape_interval__", "tier", "__meta_shop_text"]
SEPARATORS = ["", ";", ",", "--", "é", " ", "$", "\t"]
PATTERNS = [
    "", "a", "b|c", "(a)|(b)", ".*", "(.*)", ".+", "(.+)", "(.)(.*)", "([^;]*);(.*)", "([^:]+)(?::\\d+)?;(\\d+)", "[a-z]+", "(?i)prod", "(?i:A)(.*)",
    "\\d+", "\\w*", "\\W", "(\\pL+)", "\\p{Greek}+", "[^a]", "x-(y|z)", "(?P<first>.)(?P<rest>.*)", "(a*)(a*)", "(a*?)(a*)", "(?U)(a*)(a*)",
    "[[:alpha:]]+", "prod;.*", "(?:prod|a);(?P<first>.*)", ".{2}", "\\$1", "()", "a?b?", "(|a)+", "[\\w.-]+", "\\Qa.b\\E", "(.*?)(;.*)?", ".*:(\\d+)",
    "\\[(.*)\\]:(.*)", "(é|測)(.*)", "\\S+", "(a|ab)(b|)", "^a$", "\\ba\\b", "(?s).*", "\\x{1F600}", "[[:^ascii:]]+", "__(.*)__", "https?",
]  # fmt: skip
REPLACEMENTS = [
    "$1", "${1}", "$2", "$0", "$1$2", "${2}-${1}", "${1}x", "$1x", "$$1", "$$", "${}", "${a", "$", "fixed", "", "${first}", "$first", "$first-$rest",
    "${01}", "$é", "${a-b}", "a$", "é$1", "$1:9090", "https", "$9", "${ 1}", "\\1", "$1;$1",
]  # fmt: skip
DURATIONS = ["1s", "5s", "10s", "1m", "1h", "90s", "1m30s", "100ms", "2w", "0s", "0", "", "x", "1", "1h1d", "90d"]


def rule(chance):
    """A rule as a mapping, in which only what is written stands."""
    action = chance.choice(ACTIONS)
    made = {"action": action} if action != "replace" or chance.random() < 0.3 else {}
    if chance.random() < 0.1 and made:
        made["action"] = chance.choice([action.upper(), action.title()])
    sources = chance.sample(NAMES, chance.choice([0, 1, 1, 1, 2, 3]))
    if action in ("labelmap", "labeldrop", "labelkeep"):
        made["regex"] = chance.choice(NAME_PATTERNS)
        if action == "labelmap":
            made["replacement"] = chance.choice(["${0}", "new_$0", "${0}_x", "$0"])
        elif action == "labelkeep":
            # What stays has to be a target now and then.
            made["regex"] = f"{made['regex']}|__address__|__scrape_.*|case|__scheme__|job"
        return made
    if sources or chance.random() < 0.5:
        made["source_labels"] = sources
    if chance.random() < 0.3 and action not in ("keepequal", "dropequal"):
        made["separator"] = chance.choice(SEPARATORS)
    if action in ("keep", "drop"):
        made["regex"] = chance.choice(PATTERNS)
        return made
    if action in ("keepequal", "dropequal"):
        made["target_label"] = chance.choice(NAMES)
        return made
    made["target_label"] = chance.choice(TARGETS)
    if action == "hashmod":
        made["modulus"] = chance.choice([1, 2, 8, 1000, 4294967296, 18446744073709551615])
    if action == "replace":
        if chance.random() < 0.7:
            made["regex"] = chance.choice(PATTERNS)
        if chance.random() < 0.7:
            made["replacement"] = chance.choice(REPLACEMENTS)
        if chance.random() < 0.2:
            made |= chance.choice(TEMPLATES)
        if chance.random() < 0.15:
            made |= {"target_label": chance.choice(["__scrape_interval__", "__scrape_timeout__"]), "replacement": chance.choice(DURATIONS)}
    if made["target_label"] == "instance":
        # One that is the address as it is would look like one that nobody wrote.
        made |= {"action": "replace", "replacement": "i-$1"}
        made.pop("modulus", None)
    return made


ACTIONS = ["replace"] * 8 + ["keep", "drop", "keepequal", "dropequal", "hashmod", "labelmap", "labeldrop", "labelkeep", "lowercase", "uppercase"]
TARGETS = ["a", "b", "c", "new", "text", "__address__", "__scheme__", "__metrics_path__", "job", "instance", "__param_q", "__param_r", "__tmp_x", "A9_"]
# Their names come of labels that no rule writes and whose values are words.
TEMPLATES = [
    {"source_labels": ["word"], "regex": "(.*)", "target_label": "${1}", "replacement": "x"},
    {"source_labels": ["word"], "regex": "(.*)", "target_label": "x_$1", "replacement": "$1!"},
    {"source_labels": ["word"], "regex": "(?P<w>.*)", "target_label": "x_${w}_y", "replacement": "${w}"},
    {"source_labels": ["word"], "regex": "(.)(.*)", "target_label": "$2$1", "replacement": "$0"},
    {"source_labels": ["word"], "regex": "(.*)", "target_label": "$3", "replacement": "y"},
]
NAME_PATTERNS = ["a", "a|b", "__meta_shop_(.+)", "t.*", "__tmp_.*", "[a-c]", "", "none", "__param_.*", "(?i)TIER", "instance", "__meta_.*"]


def job(chance, number):
    """A job of the configuration, and how many targets it has."""
    made = {"job_name": f"job{number}"}
    if chance.random() < 0.3:
        made["scheme"] = chance.choice(["https", "http", "ftp", "HTTP"])
    if chance.random() < 0.3:
        made["metrics_path"] = chance.choice(["/spans", "nope", "/a?b", ""])
    if chance.random() < 0.4:
        made["params"] = {"p": ["1", "2"], "P.p": ["é"], "empty": []}
    if chance.random() < 0.3:
        made["scrape_interval"] = chance.choice(["5s", "1m30s", "90d"])
        made["scrape_timeout"] = chance.choice(["1s", "5000ms"])
    groups = []
    for case in range(TARGETS_A_JOB):
        labels = {"case": str(case), "text": chance.choice(TEXTS), "word": chance.choice(WORDS)}
        for name in chance.sample(["a", "b", "c", "__meta_shop_text", "__meta_shop_kind"], 3):
            labels[name] = chance.choice(TEXTS)
        if chance.random() < 0.3:
            labels["__meta_shop_zone"] = chance.choice(WORDS)
        for name, values, share in (
            ("__scheme__", ["https", "http", "ftp", ""], 0.15),
            ("__metrics_path__", ["/m", "", "x"], 0.1),
            ("__scrape_interval__", DURATIONS, 0.1),
            ("__scrape_timeout__", DURATIONS, 0.1),
            ("job", ["own", ""], 0.1),
            ("instance", ["me", ""], 0.1),
            ("__param_q", ["x y", "é", ""], 0.2),
        ):
            if chance.random() < share:
                labels[name] = chance.choice(values)
        address = chance.choice(ADDRESSES) if chance.random() < 0.5 else f"127.0.0.{case + 1}:9{number % 10}90"
        groups.append({"targets": [address], "labels": labels})
    made["static_configs"] = groups
    # With none at all an address that is a URL is refused when the file is read.
    made["relabel_configs"] = [rule(chance) for _ in range(chance.choice([1, 1, 2, 2, 3, 5]))]
    return made


# --- asking ---


def ask(program, path, name):
    """What becomes of a job's targets. promtool waits for all of its time, and may be late on a busy machine."""
    for timeout in ("200ms", "2s", "5s"):
        command = [*program, "check", "service-discovery", f"--timeout={timeout}", path, name]
        done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", timeout=CALL_SECONDS)
        if done.returncode != 0:
            server.fail(f"{' '.join(command)}: {done.stderr}{done.stdout}")
        found = json.loads(done.stdout)
        if found:
            return found
    server.fail(f"{command} finds no targets")


def as_2_42(found):
    """What Prometheus 2.42 would have made of a target of 3.14: it added ports."""
    labels = dict(found["labels"])
    address = labels.get("__address__", "")
    if found.get("error") or not labels or splits(address) or not splits(address + ":1234"):
        return labels, bool(found.get("error"))
    port = {"": ":80", "http": ":80", "https": ":443"}.get(labels.get("__scheme__", ""))
    if port is None:
        return {}, True
    labels["__address__"] = address + port
    if labels["instance"] == address and not instance_is_own(found):
        labels["instance"] = address + port
    return labels, False


def instance_is_own(found):
    """Whether it may have been written by a rule or in the file, and not been taken from the address."""
    return found["discoveredLabels"].get("instance", "") != ""


def splits(address):
    """Go's net.SplitHostPort, as far as whether it succeeds."""
    colon = address.rfind(":")
    if colon < 0:
        return False
    opened = closed = 0
    if address.startswith("["):
        end = address.find("]")
        if end < 0 or end + 1 != colon:
            return False
        opened, closed = 1, end + 1
    elif ":" in address[:colon]:
        return False
    return "[" not in address[opened:] and "]" not in address[closed:]


def outcomes(found, result):
    """Targets by their labels; which cases were dropped; and whether any could be no target: 2.42 does not say which."""
    results = [(one, *result(one)) for one in found]
    targets = {json.dumps(labels, sort_keys=True, ensure_ascii=False) for _, labels, _ in results if labels}
    dropped = sorted(one["discoveredLabels"]["case"] for one, labels, failed in results if not labels and not failed)
    return targets, dropped, any(failed for *_, failed in results)


def compare(promtool, sigyn, path, made, totals):
    theirs = ask([promtool], path, made["job_name"])
    ours = ask([sigyn], path, made["job_name"])
    theirs_found = outcomes(theirs, lambda found: (found["labels"], "error" in found))
    ours_found = outcomes(ours, as_2_42)
    for index, count in enumerate([len(ours_found[0]), len(ours_found[1]), ours_found[2]]):
        totals[index] += count
    if theirs_found == ours_found:
        return None
    lines = [f"   sigyn only:    {target}" for target in sorted(ours_found[0] - theirs_found[0])]
    lines += [f"   promtool only: {target}" for target in sorted(theirs_found[0] - ours_found[0])]
    lines += [f"   dropped, failed: sigyn {ours_found[1:]}, promtool {theirs_found[1:]}"]
    rules = "\n".join("   " + json.dumps(one, ensure_ascii=False) for one in made["relabel_configs"])
    return "\n".join([f"{made['job_name']} of {os.path.basename(path)}", rules, *lines])


def main():
    promtool, sigyn = prometheus.program("promtool"), os.environ["SIGYN_BIN"]
    folder = tempfile.mkdtemp(dir=server.SCRATCH)
    chance = random.Random(SEED)
    work = []
    for number in range(FILES):
        jobs = [job(chance, index) for index in range(JOBS_A_FILE)]
        path = os.path.join(folder, f"{number}.yml")
        with open(path, "w", encoding="utf-8") as file:
            # JSON is YAML, but for halves of characters beyond 16 bits.
            file.write(json.dumps({"scrape_configs": jobs}, ensure_ascii=False, indent=1))
        work += [(path, made) for made in jobs]
    with concurrent.futures.ThreadPoolExecutor(2) as threads:
        totals = [0, 0, 0]
        failures = [failure for failure in threads.map(lambda one: compare(promtool, sigyn, *one, totals), work) if failure]
    rules = sum(len(made["relabel_configs"]) for _, made in work)
    print(f"{len(work)} jobs with {rules} rules: {totals[0]} targets, {totals[1]} dropped; {totals[2]} jobs with some that can be none")
    if min(totals) < len(work) // 4:
        sys.exit("FAILED: what is made shows too little")
    if failures:
        sys.exit(f"FAILED: {len(failures)} jobs, in {folder}\n" + "\n\n".join(failures))
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
