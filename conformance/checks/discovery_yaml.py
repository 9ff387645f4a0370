"""Configurations that use what YAML has beside lists and mappings: merges, tags, anchors, and scalars in every spelling.

Each is made by chance, always the same ones. What counts of a merged job shows in whether it is accepted: its timeout may be no
longer than its interval, and its name no other's.
"""

TAGS = ["", "", "", "!!str ", "!!int ", "!!float ", "!!bool ", "!!null ", "!!binary ", "!!timestamp ", "!shop ", "! ", "!!map ", "!!merge ", "!<tag:yaml.org,2002:int> "]
SCALARS = [
    "", "~", "null", "Null", "NULL", "yes", "No", "ON", "off", "y", "N", "true", "FALSE", "tRue", "0", "1", "-1", "+1", "010", "08", "0o17", "0x1F", "0X1f", "0b11",
    "-0b1", "1_000", "_1", "1__0", "1.5", "-0.5", ".5", "5.", "1e3", "1e+3", "1.e2", ".inf", "-.inf", ".nan", "1:30", "1e30", "-1.5", "18446744073709551615", "18446744073709551616",
    "9223372036854775808", "2001-02-03", "2001-2-3", "2001-02-30", "2001-02-03T04:05:06Z", "2001-02-03 04:05:06.7", "till", "dGlsbA==", "dGls bA==", "d", "/8A=", "1m", "30s",
    "5x", "10MB", "=", "<<", "é",
]  # fmt: skip
KEYS = [
    "job_name", "honor_labels", "honor_timestamps", "sample_limit", "target_limit", "label_limit", "scrape_timeout", "metrics_path", "scheme", "body_size_limit", "proxy_url",
    "follow_redirects",
]  # fmt: skip
PLACES = [
    "scrape_configs: [{{job_name: till, relabel_configs: [{{source_labels: [a], target_label: b, action: hashmod, modulus: {}}}]}}]\n",
    "scrape_configs: [{{job_name: till, relabel_configs: [{{target_label: b, replacement: {}}}]}}]\n",
    "scrape_configs: [{{job_name: till, relabel_configs: [{{target_label: {}}}]}}]\n",
    "scrape_configs: [{{job_name: till, static_configs: [{{targets: [{}], labels: {{a: b}}}}]}}]\n",
    "scrape_configs: [{{job_name: till, static_configs: [{{targets: [], labels: {{a: {}}}}}]}}]\n",
    "scrape_configs: [{{job_name: till, params: {{a: [{}]}}}}]\n",
    "scrape_configs: [{{job_name: till, static_configs: {}}}]\n",
    "scrape_configs: [{{job_name: till, dns_sd_configs: [{{names: [a], type: A, port: {}}}]}}]\n",
    "scrape_configs: [{{job_name: till, tls_config: {{insecure_skip_verify: {}}}}}]\n",
    "global: {{external_labels: {{a: {}}}}}\n",
    "scrape_configs: {}\n",
]  # fmt: skip


def scalars(chance, count):
    """A scalar where some other, or none at all, may be wanted."""
    for _ in range(count):
        text = chance.choice(SCALARS)
        style = chance.random()
        if style < 0.2:
            text = f"'{text}'"
        elif style < 0.35:
            text = f'"{text}"'
        text = chance.choice(TAGS) + text
        if chance.random() < 0.5:
            key = chance.choice(KEYS)
            name = "" if key == "job_name" else "job_name: till, "
            yield f"scrape_configs: [{{{name}{key}: {text} }}]\n"
        else:
            yield chance.choice(PLACES).format(text + " ")


def merges(chance, count):
    """Jobs that are merged of others."""
    for _ in range(count):
        named, jobs = [], []
        for number in range(chance.randint(2, 5)):
            anchor = chance.choice(["", f"&a{number} "])
            jobs.append(f"- {anchor}{{{', '.join(parts(chance, named, 3))}}}\n")
            if anchor:
                named.append(f"*a{number}")
        if chance.random() < 0.1:
            jobs.insert(chance.randrange(len(jobs) + 1), "---\n")
        yield "scrape_configs:\n" + "".join(jobs)


def parts(chance, named, depth):
    """What stands in a mapping of a job's keys, in any order."""
    some = []
    if chance.random() < 0.75:
        some.append(f"job_name: {chance.choice(['till', 'stock', 'door', 'cart', 'pay', 'mail'])}")
    for key, values in (
        ("scrape_interval", ["10s", "30s", "1m", "2m"]),
        ("scrape_timeout", ["5s", "20s", "40s", "90s"]),
        ("honor_labels", ["yes", "off"]),
        ("basic_auth", ["{username: a}", "{password: b}", "{password_file: c}", "~"]),
        ("authorization", ["{credentials: a}", "~"]),
        ("tls_config", ["{cert_file: a}", "{key_file: b}", "{cert_file: a, key_file: b}", "{ca_file: c}"]),
        ("params", ["{a: [b]}", "{<<: {a: [c]}, b: [d]}", "{a: [b], <<: {a: [c]}}"]),
        ("static_configs", ["[{targets: [a]}]", "[{targets: [a], labels: {<<: {b: c}, d: e}}]", "[{<<: {targets: [a], labels: {b: c}}, labels: {b: d}}]"]),
    ):
        if chance.random() < (0.4 if "_" not in key or key.startswith("scrape") else 0.2):
            some.append(f"{key}: {chance.choice(values)}")
    if chance.random() < 0.05 and some:
        some.append(chance.choice(some))
    for _ in range(chance.choice([0, 1, 1, 2])):
        some.append(chance.choice(["<<: ", "<<: ", "<<: ", "!!merge <<: ", "? <<\n  : ", "'<<': ", "! '<<': "] if depth == 3 else ["<<: "]) + merged(chance, named, depth))
    chance.shuffle(some)
    return some


def merged(chance, named, depth):
    one = lambda: chance.choice(named) if named and chance.random() < 0.7 else mapping(chance, named, depth)  # noqa: E731
    kind = chance.random()
    if kind < 0.03:
        return chance.choice(["till", "~", "[till]", "[[]]", "*none", "{}", "[]"])
    if kind < 0.35:
        return "[" + ", ".join(one() for _ in range(chance.randint(1, 3))) + "]"
    return one()


def mapping(chance, named, depth):
    return "{" + ", ".join(parts(chance, named, depth - 1) if depth > 1 else ["scrape_timeout: 5s"]) + "}"


def anchors(chance, count):
    """Lists that aliases repeat, around the bound of what may be repeated; and anchors that are set again, or nowhere."""
    for number in range(count):
        if number % 2:
            items, aliases = chance.choice([(1, 90), (2, 40), (2, 300), (8, 150), (30, 30), (30, 400), (90, 200), (150, 200), (200, 40), (200, 150)])
            values = ", ".join(["x"] * items)
            repeated = "".join(f", p{n}: *a" for n in range(aliases))
            yield f"scrape_configs: [{{job_name: till, params: {{p: &a [{values}]{repeated}}}}}]\n"
            continue
        names = ["*a", "*b", "&a x", "&b y", "&a [z]", "&a", "z", "*c", "&a *b"]
        some = ", ".join(chance.choice(names) for _ in range(chance.randint(1, 5)))
        yield f"scrape_configs: [{{job_name: till, static_configs: [{{targets: [&a v, &b w, {some}]}}]}}]\n"


def made(chance, count):
    """As many of all."""
    yield from merges(chance, count * 2 // 5)
    yield from scalars(chance, count * 2 // 5)
    yield from anchors(chance, count // 5)
