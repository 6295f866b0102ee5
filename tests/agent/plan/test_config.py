"""What a configuration file may say, and the one line that a wrong one gives."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linewatch_agent.plan.config import Config, ConfigError, config_sha256, load_config
from linewatch_agent.plan.settings import LineConfig
from linewatch_core.records import Check, LineKind, Role
from linewatch_core.targets import Target


def error_of(text: str | bytes) -> str:
    with pytest.raises(ConfigError) as caught:
        load_config(text, name="f.toml")
    return str(caught.value)


def test_an_empty_file_means_the_defaults() -> None:
    """Every key has a default, so that a probe runs without a file."""
    assert load_config("", name="f.toml") == Config()


def test_every_section_is_read() -> None:
    """Values of all sections arrive where they belong."""
    config = load_config(
        """
        [schedule]
        period_s = 10
        timeout_s = 2.5
        [[line]]
        id = "home"
        device = "eth0"
        kind = "fixed"
        resolvers = ["192.0.2.53", "2001:db8::53"]
        gateway4 = "192.0.2.1"
        [lines]
        ignore = ["tun*"]
        [targets]
        sets = ["kz", "./own.toml"]
        local = false
        [[target]]
        id = "x"
        role = "domestic"
        host = "example.org"
        checks = ["tcp", "icmp"]
        [store]
        max_bytes = 33554432
        [budget]
        month_mb = 60
        lines = "mobile"
        [[event]]
        name = "vote"
        begins = 2026-11-01T05:00:00+05:00
        ends = 2026-11-03T00:00:00Z
        period_s = 8
        [uplink]
        bind = "any"
        endpoints = ["mqtts://broker.example:8883", "wss://[2001:db8::1]:443/mqtt"]
        """,
        name="f.toml",
    )
    assert (config.schedule.period_s, config.schedule.timeout_s) == (10.0, 2.5)
    assert config.line == (
        LineConfig(
            id="home",
            device="eth0",
            kind=LineKind.FIXED,
            resolvers=("192.0.2.53", "2001:db8::53"),
            gateway4="192.0.2.1",
        ),
    )
    assert config.lines.ignore == ("tun*",)
    assert (config.targets.sets, config.targets.local) == (("kz", "./own.toml"), False)
    assert config.target[0].checks == (Check.TCP, Check.ICMP)
    assert config.store.max_bytes == 32 * 1024 * 1024
    assert config.uplink.bind == "any"
    assert (config.budget.month_mb, config.budget.lines) == (60, "mobile")
    assert config.event[0].begins == datetime(2026, 11, 1, tzinfo=UTC)
    assert (config.event[0].period_s, config.event[0].refuse_updates) == (8.0, True)


def test_a_file_from_another_system_is_read() -> None:
    """A byte order mark and CR LF, which Windows editors write, do no harm."""
    config = load_config(b"\xef\xbb\xbf[schedule]\r\nperiod_s = 60\r\n", name="f.toml")
    assert config.schedule.period_s == 60


LINE = "[[line]]\nid = 'a'\ndevice = 'eth0'\n"
EVENT = "[[event]]\nname = 'a'\nbegins = 2026-11-01T00:00:00Z\nends = 2026-11-02T00:00:00Z\n"
TARGET = "[[target]]\nid = 'a'\nrole = 'neutral'\nhost = 'a.example'\nchecks = ['icmp']\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "[schedule]\n# often\nperiod_s = 0.2",
            "cannot use f.toml, line 3: schedule.period_s: "
            "expected a number from 1 to 3600, found 0.2",
        ),
        (
            "[schedule]\nperiod_s = nan",
            "line 2: schedule.period_s: expected a number from 1 to 3600, found nan",
        ),
        (
            "[schedule]\nperiod_s = '30'",
            'line 2: schedule.period_s: expected a number from 1 to 3600, found "30"',
        ),
        ("schedule = 3", "line 1: schedule: expected a table, found 3"),
        (
            "[schedule]\nperod_s = 3",
            "line 2: schedule.perod_s: there is no such key; did you mean period_s?",
        ),
        (
            "\n[zebra]\nx = 1",
            "line 2: zebra: there is no such key; expected one of schedule, line, lines, "
            "targets, target, store, uplink, budget, modems, led, status, update, event, verdict, "
            "truth",
        ),
        (
            '"a\\nb" = 1',
            'line 1: "a\\nb": there is no such key',
        ),
        (
            "[schedule]\nperiod_s = 4\ntimeout_s = 4\njitter_s = 1",
            "line 3: schedule.timeout_s: expected less than period_s (4), found 4",
        ),
        (
            "[schedule]\njitter_s = 15",
            "line 2: schedule.jitter_s: expected less than half of period_s (15), found 15",
        ),
        (
            "[store]\ncommit_s = 61",
            "line 2: store.commit_s: expected a number from 0.1 to 60, found 61",
        ),
        (
            "[store]\nblock_s = 30",
            "store.live_close_s: expected at most block_s (30), found 60",
        ),
        (
            "[store]\nmax_bytes = " + "9" * 30,
            "line 2: store.max_bytes: expected a whole number from 16777216 to 1099511627776",
        ),
        (
            "[uplink]\nbind = 'lan'",
            'line 2: uplink.bind: expected "any" or "lines", found "lan"',
        ),
        (
            "[uplink]\nendpoints = [\n 'wss://a:1/x',\n 'http://b:1',\n]",
            "line 2: uplink.endpoints[1]: expected mqtts://host:port or wss://host:port/path, "
            'found "http://b:1"',
        ),
        (
            LINE + LINE.replace("eth0", "eth1"),
            'line 5: line[1].id: expected each id once, found "a"',
        ),
        (
            LINE + LINE.replace("'a'", "'b'"),
            'line 6: line[1].device: expected each device once, found "eth0"',
        ),
        (LINE + "kind = 'dsl'", 'line 4: line[0].kind: expected "fixed" or "mobile", found "dsl"'),
        (LINE + "gateway4 = '::1'", "line 4: line[0].gateway4: expected an IPv4 address"),
        (LINE + "gateway6 = 'fe80::1%eth0'", "line 4: line[0].gateway6: expected an IPv6 address"),
        (LINE + "operator = 'A b'", "line 4: line[0].operator: expected 1 to 48 of a-z 0-9 . _ -"),
        (LINE + "resolvers = ['dns.example']", "line 4: line[0].resolvers[0]: expected an address"),
        (LINE.replace("eth0", "e/0"), "line 3: line[0].device: expected a network device"),
        (LINE.replace("'a'", "'A'"), "line 2: line[0].id: expected 1 to 48 of a-z 0-9 . _ -"),
        (
            "[[line]]\nid = 'a'",
            "line 1: line[0]: device is missing: expected text in quotes",
        ),
        (TARGET + TARGET, 'line 7: target[1].id: expected each id once, found "a"'),
        (
            TARGET + "families = [4, 5]",
            "line 6: target[0].families: expected 4, 6 or both, once each, found [4, 5]",
        ),
        (
            "[targets]\nsets = ['kz', 'kz']",
            'line 2: targets.sets[1]: expected each set once, found "kz"',
        ),
        (EVENT.replace("'a'", "'A b'"), "line 2: event[0].name: expected 1 to 48 of a-z 0-9"),
        (EVENT + EVENT, 'line 6: event[1].name: expected each name once, found "a"'),
        (
            EVENT.replace("2026-11-02", "2026-11-01"),
            "line 4: event[0].ends: expected a time after begins (2026-11-01T00:00:00+00:00)",
        ),
        (
            EVENT.replace("2026-11-02", "2027-11-02"),
            "line 4: event[0].ends: expected a time at most 92 days after begins",
        ),
        (
            EVENT.replace("01T00:00:00Z", "01T00:00:00"),
            "line 3: event[0].begins: expected a date and time in UTC such as "
            "2026-11-01T06:00:00Z, found 2026-11-01 00:00:00",
        ),
        (EVENT.replace("01T00:00:00Z", "01"), "line 3: event[0].begins: expected a date and time"),
        (EVENT + "period_s = 31", "line 5: event[0].period_s: expected at most schedule.period_s"),
        (
            EVENT + "period_s = 5",
            "line 5: event[0].period_s: expected more than timeout_s and twice jitter_s (5)",
        ),
        (
            "[budget]\nmonth_mb = 9",
            "line 2: budget.month_mb: expected a whole number from 10 to 1000000, found 9",
        ),
        (
            "[budget]\nprofile = 'poor'",
            'line 2: budget.profile: expected "frugal" or "normal", found "poor"',
        ),
        (
            TARGET + "every = 0",
            "line 6: target[0].every: expected a whole number from 1 to 2880, found 0",
        ),
        (
            "[verdict]\ntight_s = 60\ntight_again_s = 30",
            "line 3: verdict.tight_again_s: expected at least tight_s (60), found 30",
        ),
        (
            "[verdict]\nraise_rounds = 0",
            "line 2: verdict.raise_rounds: expected a whole number from 1 to 1000, found 0",
        ),
        (
            "[verdict.hold.darkness]\nraise_rounds = 2",
            "line 1: verdict.hold.darkness: there is no such key; did you mean dark?",
        ),
        (
            "[verdict.hold.'local.link']\nclear_rounds = 2\nraise_s = 'long'",
            'line 3: verdict.hold."local.link".raise_s: '
            'expected a number from 0 to 604800, found "long"',
        ),
        ("[verdict.hold]\ndark = 3", "line 2: verdict.hold.dark: expected a table, found 3"),
        ("[status]\npage = '0.0.0.0:8080'", "line 2: status.page: expected a private address and"),
        ("[status]\npage = '192.0.1.5:8080'", "line 2: status.page: expected a private address"),
        ("[status]\npage = '192.168.1.5:80'", "line 2: status.page: expected a private address"),
        ("[status]\npage = '192.168.1.5:08080'", "line 2: status.page: expected a private"),
        ("[status]\npage = 'fd00::5:8080'", "line 2: status.page: expected a private address"),
        ("[status]\npage = 'probe.local:8080'", "line 2: status.page: expected a private address"),
        ("[led]\nname = '../brightness'", "line 2: led.name: expected a name as in /sys/class"),
        (
            "[truth]\nblock_addresses = ['192.0.2.1', 'page.example']",
            "line 2: truth.block_addresses[1]: expected an address such as 192.0.2.53, "
            'found "page.example"',
        ),
        (
            "[truth]\nblock_pages = ['ABCDEF0123456789']",
            "line 2: truth.block_pages[0]: expected the first 16 digits of a page's SHA-256",
        ),
        (
            f"[truth]\nsilent_resolvers = {['a'] * 257}",
            "line 2: truth.silent_resolvers: expected at most 256 entries, found 257",
        ),
        (TARGET + "category = ''", "line 6: target[0].category: expected 1 to 48 characters"),
        ("[schedule\n", "line 1: not TOML: Expected ']' at the end of a table declaration"),
        ("a = [\n1,\n2", "line 3: not TOML: Unclosed array"),
        ("x = " + "[" * 5000, "expected a flat file, found lists nested too deep"),
        ("x = " + "9" * 5000, "not TOML: Exceeds the limit"),
        (b"[schedule]\nx = '\xff'", "line 2: expected UTF-8 text, found other bytes"),
        (b"#" * 300_000, "expected at most 262144 bytes, found 300000"),
    ],
)
def test_a_wrong_file_gives_one_line(text: str | bytes, message: str) -> None:
    """Each error names the line and the key, what is expected and what was found."""
    told = error_of(text)
    assert message in told
    assert "\n" not in told


def test_the_error_carries_its_parts() -> None:
    """A page or a command can use file, line, key and reason one by one."""
    with pytest.raises(ConfigError) as caught:
        load_config("[schedule]\nspread = 2", name="f.toml")
    error = caught.value
    assert (error.file, error.line, error.key) == ("f.toml", 2, "schedule.spread")
    assert error.reason == "expected a number from 0 to 1, found 2"


@pytest.mark.parametrize(
    "endpoint",
    [
        "mqtts://host",
        "mqtts://host:0",
        "mqtts://host:99999",
        "mqtts://host:1/path",
        "mqtts://user@host:1",
        "wss://:443/x",
        "wss://host:443/x?y",
        "wss://ho st:443/x",
        "host:8883",
        "",
    ],
)
def test_an_endpoint_that_cannot_be_used_is_refused(endpoint: str) -> None:
    """Scheme, host and port are required; nothing that would be left out silently is taken."""
    assert "uplink.endpoints[0]" in error_of(f"[uplink]\nendpoints = ['{endpoint}']")


def test_the_hash_follows_what_is_measured_only() -> None:
    """What decides measuring and verdicts changes it; comments, devices and endpoints don't."""
    targets = (Target(id="a", role=Role.NEUTRAL, host="a.example", checks=(Check.ICMP,)),)
    plain = config_sha256(Config(), targets)
    local = LINE + "[uplink]\nendpoints=['mqtts://a:1']\n# said"
    assert config_sha256(load_config(local, name="f"), targets) == plain
    assert config_sha256(load_config("[schedule]\nspread=0.5", name="f"), targets) != plain
    assert config_sha256(Config(), ()) != plain
    assert config_sha256(load_config("[budget]\nmonth_mb=50", name="f"), targets) != plain
    assert config_sha256(load_config(EVENT, name="f"), targets) != plain
    assert config_sha256(load_config("[verdict]\nraise_rounds=2", name="f"), targets) != plain
    assert len(plain) == 64


def only_config_errors(text: str | bytes) -> None:
    told = "fine"
    try:
        load_config(text, name="f.toml")
    except ConfigError as error:
        told = str(error)
    assert "\n" not in told


@given(st.binary() | st.text())
def test_any_bytes_or_text_give_a_config_or_an_error(text: str | bytes) -> None:
    """Nothing but a ConfigError comes out of garbage."""
    only_config_errors(text)


NAMES = (
    "schedule line lines targets target store uplink budget event verdict hold truth "
    "begins ends name id device kind host role checks url sets"
)
KEYS = st.sampled_from([*NAMES.split(), "period_s", "dir", "endpoints", "query", "x", '"a\\n"'])
VALUES = st.sampled_from(
    [
        *("1", "-1", "30", "1e400", "nan", "-inf", "true", "''", "'a'", "'@gateway'", "'http'"),
        *("[]", "['icmp']", "['icmp', 3]", "{}", "{id = 'a'}", "[{}]", "1979-05-27", "07:32:00"),
        *("'http://[::1'", "'mqtts://a:b'", "'\\u0000'", '"\\u0000"', '"""\na\n"""', "[\n1,\n\n2]"),
        "9" * 400,
    ]
)
STATEMENTS = st.one_of(
    st.builds("[{}]".format, KEYS),
    st.builds("[[{}]]".format, KEYS),
    st.builds("{} = {}".format, KEYS, VALUES),
    st.builds("{}.{} = {}".format, KEYS, KEYS, VALUES),
    st.just("# said"),
)


@given(st.lists(STATEMENTS, max_size=12).map("\n".join))
def test_any_toml_of_our_keys_gives_a_config_or_an_error(text: str) -> None:
    """Well-formed files with wrong values everywhere give a ConfigError, nothing else."""
    only_config_errors(text)
