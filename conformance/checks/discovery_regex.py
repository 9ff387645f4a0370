"""Patterns of relabelling rules mean to Sigyn what they mean to promtool, whose syntax is RE2's.

Made patterns, always the same ones, are first accepted or refused by both; those that both accept become rules, five hundred
in a job, and what they match of a dozen texts, and with which groups, has to be equal.
"""

import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile

import prometheus
import server

SEED = int(os.environ.get("SIGYN_REGEX_SEED", "5"))
BATCHES = int(os.environ.get("SIGYN_REGEX_BATCHES", "4"))
PATTERNS = 500
CALL_SECONDS = 60

# What is not compared: groups' names without a P, which 2.42 does not know, and what looks like null, which no Prometheus takes for
# a pattern even in quotes.
MASKED = re.compile(r"\(\?<[A-Za-z0-9_]|\A(?:~|null)\Z")

TEXTS = [
    "", "a", "ab", "aab", "abc", "ABC", "aXb", "a.b", "a-b", "12", "a1_", "é", "éa", "測試", "αΩ", "ſK", "[a]", "a{2}", "{", "a,b", "\\", "<a>", "^$",
    " a\t", "😀", "&&", "b]", "~", "\u0661", "\u00a0",
]  # fmt: skip
ATOMS = [
    "a", "b", "c", "A", "é", "測", "α", "😀", ".", "1", "_", "-", ",", " ", "&", "~", "<", ">", "=", "#", "]", "}", "{", "{,5}", "a{", "\\d", "\\D", "\\w",
    "\\W", "\\s", "\\S", "\\b", "\\B", "\\A", "\\z", "^", "$", "\\pL", "\\PL", "\\p{Lu}", "\\p{Greek}", "\\P{Greek}", "\\p{^Greek}", "\\P{^Greek}", "\\p{Han}",
    "\\x41", "\\x{61}", "\\x{1F600}", "\\101", "\\0", "\\a", "\\f", "\\n", "\\r", "\\t", "\\v", "\\.", "\\*", "\\[", "\\]", "\\{", "\\}", "\\\\", "\\-", "\\_", "\\<",
    "\\>", "\\/", "\\Qa.b\\E", "\\Q[\\E", "\\Q\\E", "[ab]", "[^a]", "[a-c]", "[a-]", "[-a]", "[]a]", "[^]a]", "[[]", "[[a]b]", "[a&&b]", "[a~~b]", "[+--]",
    "[\\w-z]", "[\\d-a]", "[\\w]", "[^\\W]", "[\\D\\d]", "[^\\d\\D]", "[[:alpha:]]", "[[:^alpha:]]", "[^[:digit:]a]", "[[:word:]-]", "[\\pL]", "[^\\p{Greek}a]",
    "[\\x{61}-c]", "[\\101-C]", "[\\]]", "[\\[\\]]", "[é-ü]", "[^é]", "[.*]", "[\\b]", "[\\a]", "\\ba", "(a)", "(b|c)", "(|a)", "()", "(?:ab)", "(?i:a)", "(?i)a",
    "(?-i)a", "(?s:.)", "(?-s:.)", "(?m:^a$)", "(?U:a*)", "(?i-s:a.)", "(?P<n>a)", "(?P<n>b)", "(?P<1>c)", "(?:)", "(?)", "(?i)", "(?is)",
]  # fmt: skip
REFUSED = [
    "\\1", "\\8", "\\c", "\\e", "\\u0041", "\\Z", "\\G", "\\K", "\\R", "\\X", "\\h", "\\p", "\\p{", "\\p{Klingon}", "\\pZz", "\\p{Any}", "\\x", "\\x4", "\\x{", "\\x{110000}",
    "\\x{}", "\\Q", "\\E", "[", "[a", "[]", "[^]", "[b-a]", "[a-\\d]", "[[:nope:]]", "[[:alpha]", "[:alpha:]", "[a--b]", "(", ")", "(?", "(?P", "(?P<", "(?P<a", "(?P<>a)",
    "(?P<a b>a)", "(?P=n)", "(?=a)", "(?!a)", "(?<=a)", "(?#a)", "(?x)a", "(?i", "(?i-)", "(?-)", "(?ii)a", "(?i-i)a", "(?a)", "(?|a)", "*", "+", "?", "**", "a**", "a+*", "a?+",
    "a*?", "a+?", "a??", "a???", "a{2}{3}", "a{2}*", "a{1001}", "a{1000}", "(a{30}){30}", "(a{40}){40}", "a{2,1}", "a{01}", "a{1,01}", "{2}", "(*)", "(?i)*", "^*", "$+", "\\b*",
    "a|*", "|*", "(|b)*", "\\", "a\\", "\\x{D800}", "[\\x{D800}]", "\\777", "\\18", "\\08",
]  # fmt: skip
REPEATS = ["*", "+", "?", "*?", "+?", "??", "{2}", "{0}", "{1,}", "{0,2}", "{2,3}?", "{1}"]
LETTERS = list("aab1é.*+?|()[]{}^$\\-,:&~<>=#P!dwsbQEpLxi ")


def pattern(chance):
    kind = chance.random()
    if kind < 0.15:
        return "".join(chance.choice(LETTERS) for _ in range(chance.randint(1, 8)))
    parts = []
    for _ in range(chance.randint(1, 4)):
        part = chance.choice(REFUSED if chance.random() < 0.12 else ATOMS)
        if chance.random() < 0.3:
            part += chance.choice(REPEATS)
        if chance.random() < 0.15:
            part = chance.choice(["({})", "(?:{})", "(?i:{})", "(?P<m>{})"]).replace("{}", part)
            part += chance.choice(["", "*", "?", "+"])
        if chance.random() < 0.12:
            part += "|"
        parts.append(part)
    made = "".join(parts)
    if kind > 0.9 and made:
        at = chance.randrange(len(made))
        made = made[:at] + chance.choice(["", chance.choice(LETTERS)]) + made[at + 1 :]
    return made


def accepted(command, patterns, folder):
    """Which of them may stand in a rule, and what is said of the others."""
    paths = {}
    for number, one in enumerate(patterns):
        path = os.path.join(folder, f"{number}.yml")
        rule = {"source_labels": ["s"], "regex": one, "target_label": "t"}
        write(path, [{"job_name": "j", "relabel_configs": [rule]}])
        paths[path] = one
    command = [*command, "check", "config", "--syntax-only", *paths]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=CALL_SECONDS)
    said = {}
    for part in re.split(r"(?m)^Checking ", done.stdout.decode("utf-8", "replace"))[1:]:
        path, _, rest = part.partition("\n")
        said[paths[path]] = None if "SUCCESS" in rest else rest.strip()
    if len(said) != len(set(patterns)):
        server.fail(f"{command[0]} says nothing of some patterns: {done.stdout.decode('utf-8', 'replace')[-2000:]}")
    return said


def matches(command, patterns, folder):
    """For each pattern and each text what is matched and with which groups, or None."""
    rules = [
        {"source_labels": ["s"], "regex": one, "target_label": f"r{number}", "replacement": "[${0}|${1}|${2}|${3}|${n}|${m}|${1x}]"}
        for number, one in enumerate(patterns)
    ]
    groups = [{"targets": [f"127.0.0.1:{1000 + number}"], "labels": {"s": text}} for number, text in enumerate(TEXTS)]
    path = os.path.join(folder, "all.yml")
    write(path, [{"job_name": "j", "relabel_configs": rules, "static_configs": groups}])
    for timeout in ("500ms", "5s", "20s"):
        done = subprocess.run(
            [*command, "check", "service-discovery", f"--timeout={timeout}", path, "j"], capture_output=True, encoding="utf-8", timeout=CALL_SECONDS
        )
        found = json.loads(done.stdout) if done.returncode == 0 else None
        if found:
            by_text = {one["labels"]["__address__"]: one["labels"] for one in found}
            return [[by_text[group["targets"][0]].get(f"r{number}") for group in groups] for number in range(len(patterns))]
    server.fail(f"{command[0]} finds no targets: {done.stderr}")


def write(path, jobs):
    with open(path, "w", encoding="utf-8") as file:
        file.write(json.dumps({"scrape_configs": jobs}, ensure_ascii=False))


def main():
    programs = {"promtool": [prometheus.program("promtool")], "sigyn": [os.environ["SIGYN_BIN"]]}
    folder = tempfile.mkdtemp(dir=server.SCRATCH)
    chance = random.Random(SEED)
    failures, refused, compared = [], 0, 0
    for _ in range(BATCHES):
        patterns = set()
        while len(patterns) < PATTERNS:
            patterns.add(pattern(chance))
        patterns = sorted(one for one in patterns if not MASKED.search(one))
        said = {who: accepted(command, patterns, folder) for who, command in programs.items()}
        both = []
        for one in patterns:
            theirs, ours = said["promtool"][one], said["sigyn"][one]
            if (theirs is None) != (ours is None):
                failures.append(f"{one!r}: promtool {theirs or 'accepts it'}, sigyn {ours or 'accepts it'}")
            elif theirs is None:
                both.append(one)
            else:
                refused += 1
        found = {who: matches(command, both, folder) for who, command in programs.items()}
        for one, theirs, ours in zip(both, found["promtool"], found["sigyn"]):
            compared += len(TEXTS)
            for text, their, our in zip(TEXTS, theirs, ours):
                if their != our:
                    failures.append(f"{one!r} of {text!r}: promtool {their}, sigyn {our}")
    print(f"{refused} patterns refused by both; {compared} matches of the others compared")
    if failures:
        sys.exit(f"FAILED: {len(failures)} differences\n" + "\n".join(failures[:200]))
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
