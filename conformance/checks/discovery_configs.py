"""Configurations are accepted or refused alike by promtool and by Sigyn.

The cases of `../discovery/configs/` say what Prometheus 3.14 does, in files of this form:

    === accepted: a name                 one configuration, up to the next such line
    === file till.yml                    a file beside the one before; the configuration is then checked with what it names
    === refused each job: a name         each line is a case of its own: keys of a job; `rule`, `global`, or nothing for whole files

Others are made of them: jobs of several such lines, and files with a mistake in them, always the same; and some of
YAML's rarer ways (`discovery_yaml.py`). There the two programs are only compared. Where one of them differs,
`../discovery/explained.toml` has to say why; what it explains in vain is a failure.
"""

import glob
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib

import discovery_yaml
import prometheus
import server

FOLDER = os.path.join(server.FOLDER, "discovery")
USUAL_SEED = 20242
SEED = int(os.environ.get("SIGYN_CONFIGS_SEED", str(USUAL_SEED)))
MADE = 250
BENT = 350
YAML = 1000
CHECK_SECONDS = 50

SHAPES = {
    "": "{line}\n",
    "job": "scrape_configs: [{{job_name: till, {line}}}]\n",
    "rule": "scrape_configs: [{{job_name: till, relabel_configs: [{line}]}}]\n",
    "global": "global: {{{line}}}\n",
}
HEADER = re.compile(r"=== (accepted|refused)( each)?(?: (job|rule|global))?: (.+)")


class Case:
    def __init__(self, name, text, verdict=None):
        self.name, self.text, self.verdict, self.files = name, text, verdict, {}
        # Of whoever has checked it: None if accepted, else what was said.
        self.refusals = {}

    def verdict_of(self, who):
        return "accepted" if self.refusals[who] is None else "refused"


# --- cases ---


def read(path):
    """The cases of a file, and its single lines by their shape."""
    cases, lines = [], {shape: [] for shape in SHAPES}
    header = where = None
    with open(path, encoding="utf-8", newline="") as file:
        for line in file:
            if line.startswith("=== file "):
                where = line.removeprefix("=== file ").strip()
                cases[-1].files[where] = ""
            elif line.startswith("==="):
                header, where = HEADER.fullmatch(line.rstrip("\n")), None
                if not header:
                    server.fail(f"{path}: {line}")
                verdict, each, shape, name = header.groups()
                if not each:
                    cases.append(Case(name, "", verdict))
            elif where:
                cases[-1].files[where] += line
            elif header and header[2]:
                shape = header[3] or ""
                if line.strip():
                    line = line.rstrip("\n")
                    lines[shape].append(line)
                    cases.append(Case(f"{header[4]}: {line}", SHAPES[shape].format(line=line), header[1]))
            elif header:
                cases[-1].text += line
    return cases, lines


def odd():
    """What cannot stand in a file of cases."""
    jobs = "scrape_configs:\n- job_name: till\n  scheme: http\n"
    yield "accepted", "line ends of Windows", jobs.replace("\n", "\r\n").encode()
    yield "accepted", "line ends of old", jobs.replace("\n", "\r").encode()
    yield "accepted", "a mark before the text", b"\xef\xbb\xbf" + jobs.encode()
    yield "accepted", "UTF-16", jobs.encode("utf-16")
    yield "accepted", "UTF-16, the other way", b"\xfe\xff" + jobs.encode("utf-16-be")
    yield "accepted", "no line end at the end", jobs.rstrip().encode()
    yield "accepted", "a line separator in a text", "scrape_configs: [{job_name: a\u2028b}]".encode()
    yield "refused", "a NUL", b"# \0\n" + jobs.encode()
    yield "refused", "a DEL", b"# \x7f\n" + jobs.encode()
    yield "refused", "a bell", b"scrape_configs: [{job_name: \x07}]"
    yield "refused", "bytes that are no text", b"scrape_configs: [{job_name: \xff\xfe}]"
    yield "refused", "half a character", b"scrape_configs: [{job_name: \xe6}]"
    yield "refused", "many brackets", b"[" * 500


def made(lines, count):
    """Jobs of several lines, right and wrong ones beside each other."""
    chance = random.Random(SEED)
    for number in range(count):
        jobs = []
        for job in range(chance.choice([1, 1, 1, 2, 3])):
            keys = chance.sample(lines["job"], chance.randint(1, 4))
            if chance.random() < 0.4:
                keys.append("relabel_configs: [" + ", ".join(chance.sample(lines["rule"], chance.randint(1, 3))) + "]")
            if chance.random() < 0.9:
                keys.insert(0, f"job_name: {chance.choice(['till', 'stock', 'door'])}{job}")
            jobs.append("- {" + ", ".join(keys) + "}\n")
        head = "global: {" + chance.choice(lines["global"]) + "}\n" if chance.random() < 0.2 else ""
        yield Case(f"made {number}", head + "scrape_configs:\n" + "".join(jobs))


SCALARS = [
    "''", "'5'", "0", "-1", "1.5", "1e3", "0x1F", "1_0", "~", "null", "yes", "'no'", "off", "2020-01-01", "[]", "{}", "[a]", "{a: b}", "*x",
    "&x a", "!!str 5", "!!int '5'", "!!bool yes", "? a", "- a", "|", ">-", "a: b", "a #b", "'a", '"\\x41"', '"\\q"', "%a", "@a", "`a`", "<<", "5s",
    "5", "10MB", "é", "=", "!a b", ",", "a]", "${1}", "(", "(.*)",
]  # fmt: skip


def bent(cases, count):
    """Files that were right once, with one or two mistakes in them."""
    chance = random.Random(SEED + 1)
    whole = [case for case in cases if case.text.count("\n") > 2 and not case.files]
    for number in range(count):
        lines = chance.choice(whole).text.splitlines()
        for _ in range(chance.choice([1, 1, 2])):
            bend(chance, lines)
        yield Case(f"bent {number}", "\n".join(lines) + "\n")


def bend(chance, lines):
    at = chance.randrange(len(lines))
    line = lines[at]
    ways = ["drop", "double", "swap", "in", "out", "value", "key", "letter", "cut"]
    way = chance.choice(ways)
    if way == "drop" and len(lines) > 1:
        del lines[at]
    elif way == "double":
        lines.insert(chance.randrange(len(lines) + 1), line)
    elif way == "swap":
        other = chance.randrange(len(lines))
        lines[at], lines[other] = lines[other], line
    elif way == "in":
        lines[at] = " " * chance.randint(1, 3) + line
    elif way == "out":
        lines[at] = line.removeprefix(" " * chance.randint(1, 2))
    elif way == "value":
        lines[at] = re.sub(r"(: |- )[^ ].*$", lambda found: found[1] + chance.choice(SCALARS), line, count=1)
    elif way == "key":
        lines[at] = re.sub(r"[a-z_]+:", lambda found: chance.choice(["targets:", "regex:", "files:", f"x{found[0]}", f"'{found[0][:-1]}':"]), line, count=1)
    elif way == "letter":
        place = chance.randrange(len(line) + 1)
        lines[at] = line[:place] + chance.choice(list("'\"[]{},:#&*!|>%@`-? \t~")) + line[place:]
    elif way == "cut" and line:
        place = chance.randrange(len(line))
        lines[at] = line[:place] + line[place + 1 :]


# --- verdicts ---


def write(cases, folder):
    for number, case in enumerate(cases):
        where = os.path.join(folder, str(number)) if case.files else folder
        os.makedirs(where, exist_ok=True)
        case.path = os.path.join(where, f"{number}.yml")
        for path, text in {case.path: case.text, **{os.path.join(where, name): text for name, text in case.files.items()}}.items():
            with open(path, "wb") as file:
                file.write(text if isinstance(text, bytes) else text.encode())


def judge(who, command, cases):
    """What a program says of each case."""
    for flags, some in (
        (["--syntax-only"], [case for case in cases if not case.files]),
        ([], [case for case in cases if case.files]),
    ):
        by_path = {case.path: case for case in some}
        paths = list(by_path)
        done = subprocess.run([*command, *flags, *paths], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=CHECK_SECONDS)
        said = done.stdout.decode("utf-8", "replace")
        for part in re.split(r"(?m)^Checking ", said)[1:]:
            path, _, rest = part.partition("\n")
            accepted = re.search(r"(?m)^ SUCCESS: ", rest) is not None
            refusal = rest.partition("FAILED: ")[2].strip()
            if accepted == bool(refusal):
                server.fail(f"{who} says neither yes nor no to {by_path[path].name}: {rest}")
            by_path[path].refusals[who] = None if accepted else refusal
        missing = [case for case in some if who not in case.refusals]
        if missing:
            server.fail(f"{who} says nothing of {len(missing)} files, the first of which is {missing[0].name}:\n{missing[0].text}\n{said[-3000:]}")


# --- differences ---


class Explanation:
    """A line of the file of explanations: who does what, and why that is right."""

    def __init__(self, fields):
        self.who, self.does, self.why = fields.pop("who"), fields.pop("does"), fields.pop("why")
        self.says = re.compile(fields.pop("says", ""))
        self.text = re.compile(fields.pop("text", ""))
        self.cases = fields.pop("cases", None)
        self.rare = fields.pop("rare", False)
        self.used = 0
        if fields or self.who not in ("sigyn", "promtool") or self.does not in ("accepts", "refuses"):
            server.fail(f"not an explanation: {self.who} {self.does} {fields}")

    def fits(self, case, who, part):
        if self.who != who or self.does != {"accepted": "accepts", "refused": "refuses"}[case.verdict_of(who)]:
            return False
        text = case.text if isinstance(case.text, str) else ""
        return (not self.cases or case.name in self.cases) and self.says.search(part) and self.text.search(text)


def is_explained(explanations, case, who):
    """Whether all that is said where this program differs is explained."""
    other = "promtool" if who == "sigyn" else "sigyn"
    message = case.refusals[who] or case.refusals[other] or ""
    parts = re.findall(r"(?m)^  (line \d+: .*(?:\n(?!  line ).*)*)", message) or [message]
    found = [next((e for e in explanations if e.fits(case, who, part)), None) for part in parts]
    if not all(found):
        return False
    for explanation in found:
        explanation.used += 1
    return True


def main():
    promtool = prometheus.program("promtool")
    with open(os.path.join(FOLDER, "explained.toml"), "rb") as file:
        explanations = [Explanation(fields) for fields in tomllib.load(file)["difference"]]
    cases, lines = [], {shape: [] for shape in SHAPES}
    for path in sorted(glob.glob(os.path.join(FOLDER, "configs", "*.txt"))):
        more, more_lines = read(path)
        cases += more
        for shape, some in more_lines.items():
            lines[shape] += some
    written = len(cases)
    cases += [Case(name, text, verdict) for verdict, name, text in odd()]
    known = len(cases)
    cases += [*made(lines, MADE), *bent(cases[:written], BENT)]
    ways = discovery_yaml.made(random.Random(SEED + 2), YAML)
    cases += [Case(f"YAML {number}", text) for number, text in enumerate(ways)]
    folder = tempfile.mkdtemp(dir=server.SCRATCH)
    write(cases, folder)
    judge("promtool", [promtool, "check", "config"], cases)
    judge("sigyn", [os.environ["SIGYN_BIN"], "check", "config"], cases)

    failures = []
    for case in cases:
        verdicts = {who: case.verdict_of(who) for who in ("promtool", "sigyn")}
        if case.verdict:
            wrong = [who for who, verdict in verdicts.items() if verdict != case.verdict]
            unexplained = [who for who in wrong if not is_explained(explanations, case, who)]
        elif verdicts["promtool"] != verdicts["sigyn"]:
            explained = any(is_explained(explanations, case, who) for who in verdicts)
            unexplained = [] if explained else list(verdicts)
        else:
            unexplained = []
        if unexplained:
            said = "\n".join(f"   {who}: {case.refusals[who] or 'accepted'}" for who in verdicts)
            failures.append(f"{case.name} ({case.verdict or 'made'}; not explained: {', '.join(unexplained)})\n{said}\n   of {case.text!r}")
    if SEED == USUAL_SEED:
        # Other files may happen to need fewer.
        failures += [f"explains nothing (any more): {e.who} {e.does}: {e.why}" for e in explanations if not e.used and not e.rare]
    explained = sum(e.used for e in explanations)
    print(f"{known} configurations written and {len(cases) - known} made of them; {explained} differences, all known: {len(explanations)} kinds")
    if failures:
        sys.exit("FAILED: " + "\n\n".join(failures))
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
