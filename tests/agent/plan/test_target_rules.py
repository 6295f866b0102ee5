"""Which targets make sense, and which of them a configuration measures."""

from typing import Any

import pytest

from linewatch_agent.plan.config import Config, ConfigError, load_config
from linewatch_agent.plan.target_choice import LOCAL_TARGETS, resolve_targets
from linewatch_agent.plan.target_rules import parse_target_set, target_faults
from linewatch_core.records import Check, Role
from linewatch_core.targets import Expected, Resolver, Target, TargetSet


def target(**fields: Any) -> Target:
    given = {"id": "a", "role": Role.NEUTRAL, "host": "a.example", "checks": (Check.ICMP,)}
    return Target(**{**given, **fields})


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"host": "192.0.2.1"},
        {"host": "2001:db8::1", "families": (6,)},
        {"host": "a.example", "checks": (Check.DNS,)},
        {"host": "192.0.2.1", "checks": (Check.DNS,), "query": "b.example"},
        {"role": Role.RESOLVER, "host": "192.0.2.1", "checks": (Check.DNS,), "query": "b.example"},
        {"role": Role.GATEWAY, "host": "@gateway"},
        {"checks": (Check.HTTP,)},
        {"checks": (Check.HTTP,), "url": "http://A.example:8080/x?y=z"},
        {"host": "2001:db8::1", "checks": (Check.HTTP,), "url": "https://[2001:db8:0::1]/"},
        {"host": "xn--e1afmkfd.example"},
        {"host": "localhost"},
        {"checks": (Check.SNI, Check.HOST), "neutral": "n.example", "pairs": 5},
        {"checks": (Check.SNI,), "neutral": "n.example", "url": "https://A.example:8443/x"},
        {
            "host": "192.0.2.1",
            "checks": (Check.HOST,),
            "neutral": "n.example",
            "url": "http://banned.example/",
        },
        {"checks": (Check.NEIGHBOUR, Check.TRACE)},
        {"host": "192.0.2.1", "checks": (Check.NEIGHBOUR,), "neighbour": "192.0.2.9"},
        {"checks": (Check.CONTRAST,), "resolver": Resolver(address="192.0.2.53", name="d.example")},
        {"checks": (Check.RANDOM_NAME,), "host": "invalid"},
        {
            "checks": (Check.RANDOM_NAME,),
            "role": Role.RESOLVER,
            "host": "@resolver",
            "query": "invalid",
        },
        {"checks": (Check.THROUGHPUT,), "url": "https://a.example/big", "bytes_max": 100_000},
        {
            "checks": (Check.PORTAL,),
            "url": "http://a.example/ok.txt",
            "expected": Expected(status=200, body="ok"),
        },
    ],
)
def test_a_target_that_makes_sense_has_no_fault(fields: dict[str, Any]) -> None:
    """Names, addresses, the line's own hosts and each check are allowed."""
    assert not list(target_faults(target(**fields)))


@pytest.mark.parametrize(
    ("fields", "key", "words"),
    [
        ({"id": "Big One"}, "id", "1 to 48 of a-z"),
        ({"id": "modem"}, "id", "another id"),
        ({"checks": (Check.ICMP, Check.MODEM)}, "checks", "one or more of icmp, tcp"),
        ({"host": "two words"}, "host", "a host name, an address, @gateway or @resolver"),
        ({"host": "1.2.3"}, "host", "a host name"),
        ({"host": "a.example."}, "host", "a host name"),
        ({"host": "-a.example"}, "host", "a host name"),
        ({"host": "https://a.example"}, "host", "a host name"),
        ({"host": "fe80::1%eth0"}, "host", "a host name"),
        ({"host": "@router"}, "host", "@gateway or @resolver"),
        ({"host": "пример.example"}, "host", "a host name"),
        ({"host": "@gateway"}, "role", "gateway with host @gateway"),
        ({"role": Role.GATEWAY}, "role", "gateway with host @gateway"),
        ({"families": ()}, "families", "4, 6 or both"),
        ({"families": (4, 4)}, "families", "once each"),
        ({"host": "192.0.2.1", "families": (6,)}, "families", "4, the family of host"),
        ({"checks": ()}, "checks", "one or more of icmp, tcp, dns, http"),
        ({"checks": (Check.TCP, Check.TCP)}, "checks", "once each"),
        ({"url": "http://a.example/"}, "url", 'only with the check "http"'),
        ({"query": "b.example"}, "query", 'only with the check "dns"'),
        ({"checks": (Check.DNS,), "query": "b example"}, "query", "a host name"),
        ({"role": Role.RESOLVER}, "host", "an address or @resolver"),
        ({"host": "192.0.2.1", "checks": (Check.DNS,)}, None, "query is missing"),
        (
            {"role": Role.RESOLVER, "host": "192.0.2.1", "checks": (Check.DNS,)},
            None,
            "query is missing",
        ),
        ({"host": "@resolver", "checks": (Check.HTTP,)}, "checks", "no http with host"),
        ({"checks": (Check.HTTP,), "url": "ftp://a.example/"}, "url", "http:// or https://"),
        ({"checks": (Check.HTTP,), "url": "http://b.example/"}, "url", "the host a.example"),
        ({"checks": (Check.HTTP,), "url": "http://u@a.example/"}, "url", "http:// or https://"),
        ({"checks": (Check.HTTP,), "url": "http://a.example:x/"}, "url", "http:// or https://"),
        ({"checks": (Check.HTTP,), "url": "http://a.example/a b"}, "url", "http:// or https://"),
        ({"checks": (Check.HTTP,), "url": "http://[a.example"}, "url", "http:// or https://"),
        ({"checks": (Check.SNI,)}, "neutral", 'to hold against in the check "sni"'),
        ({"checks": (Check.HOST,), "neutral": "a b"}, "neutral", "a host name"),
        ({"neutral": "n.example"}, "neutral", 'only with the check "sni" or "host"'),
        ({"bytes_max": 2048}, "bytes_max", 'check "throughput" or "sni" or "host"'),
        ({"neighbour": "192.0.2.1"}, "neighbour", 'only with the check "neighbour"'),
        ({"resolver": Resolver(address="192.0.2.1")}, "resolver", 'only with the check "contrast"'),
        ({"expected": Expected(body="x")}, "expected", 'only with the check "portal"'),
        (
            {"checks": (Check.SNI,), "neutral": "n.example", "url": "http://a.example/"},
            "url",
            'https:// for the check "sni"',
        ),
        (
            {"checks": (Check.SNI,), "neutral": "n.example", "url": "https://b.example/"},
            "url",
            "the sensitive name",
        ),
        (
            {"checks": (Check.SNI,), "neutral": "n.example", "host": "192.0.2.1"},
            None,
            "url is missing",
        ),
        (
            {
                "checks": (Check.SNI,),
                "neutral": "n.a",
                "host": "192.0.2.1",
                "url": "https://[::1]/",
            },
            "url",
            "the sensitive name",
        ),
        ({"checks": (Check.NEIGHBOUR,), "neighbour": "a.example"}, "neighbour", "an address"),
        (
            {"checks": (Check.NEIGHBOUR,), "host": "192.0.2.1", "neighbour": "2001:db8::1"},
            "neighbour",
            "an address of the family of host",
        ),
        ({"host": "@resolver", "checks": (Check.TRACE,)}, "checks", "no trace with host @resolver"),
        ({"checks": (Check.CONTRAST,)}, None, "resolver is missing"),
        ({"checks": (Check.RANDOM_NAME,), "host": "192.0.2.1"}, None, "query is missing"),
        (
            {"checks": (Check.PORTAL,), "url": "http://b.example/"},
            "url",
            "the host a.example",
        ),
    ],
)
def test_a_target_that_makes_no_sense_is_told(
    fields: dict[str, Any], key: str | None, words: str
) -> None:
    """Each rule names the key and what it expects."""
    faults = list(target_faults(target(**fields)))
    assert any(f.path == (() if key is None else (key,)) and words in f.reason for f in faults)


@pytest.mark.parametrize(
    ("fields", "key"),
    [
        ({"address": "dns.example"}, "address"),
        ({"address": "192.0.2.53", "name": "two words"}, "name"),
        ({"address": "192.0.2.53", "path": "dns-query"}, "path"),
        ({"address": "192.0.2.53", "path": "/dns-query{?dns}"}, "path"),
    ],
)
def test_a_resolver_that_makes_no_sense_is_told(fields: dict[str, Any], key: str) -> None:
    """The table's own keys are named."""
    faults = target_faults(target(checks=(Check.CONTRAST,), resolver=Resolver(**fields)))
    assert [fault.path for fault in faults] == [("resolver", key)]


def test_the_tables_of_a_target_are_read_and_their_errors_name_the_line() -> None:
    """`resolver` and `expected` are inline tables; their types are checked as any key's."""
    text = (
        "[[target]]\nid = 'a'\nrole = 'portal'\nhost = 'a.example'\n"
        "checks = ['portal', 'contrast']\n"
        "expected = { status = 200, body = 'ok' }\nresolver = { address = '192.0.2.53' }\n"
    )
    (found,) = parse_target_set(text, name="s.toml").target
    assert found.expected == Expected(status=200, body="ok")
    assert found.resolver == Resolver(address="192.0.2.53")
    with pytest.raises(ConfigError, match=r"expected.status: expected a whole number from 200"):
        parse_target_set(text.replace("200", "404"), name="s.toml")
    with pytest.raises(ConfigError, match=r"line 7: target\[0\].resolver.address: expected an add"):
        parse_target_set(text.replace("192.0.2.53", "dns.example"), name="s.toml")


def test_a_set_is_read_with_what_people_say_of_it() -> None:
    """Name, purpose and sources travel with a set."""
    text = "name = 'N'\nabout = 'A'\nsource = 'S'\n[[target]]\nid = 'a'\nrole = 'domestic'\n"
    found = parse_target_set(text + "host = 'a.example'\nchecks = ['tcp']", name="s.toml")
    assert (found.name, found.about, found.source) == ("N", "A", "S")
    assert found.target == (target(role=Role.DOMESTIC, checks=(Check.TCP,)),)


def test_a_wrong_set_names_the_line() -> None:
    """A set's errors read like the configuration's, down to a second use of an id."""
    one = "[[target]]\nid = 'a'\nrole = 'domestic'\nhost = 'a.example'\nchecks = ['tcp']\n"
    with pytest.raises(ConfigError, match=r"s.toml, line 7: target\[1\].id: expected each id once"):
        parse_target_set(one + one, name="s.toml")
    with pytest.raises(ConfigError, match=r"line 4: target\[0\].host: expected a host name"):
        parse_target_set(one.replace("a.example", "?"), name="s.toml")
    with pytest.raises(ConfigError, match="target is missing"):
        parse_target_set("name = 'x'", name="s.toml")


def test_targets_come_in_order_and_the_local_ones_first() -> None:
    """Gateway and resolver of the line, then the sets', then the file's own."""
    config = load_config(
        "[targets]\nsets=['x']\n[[target]]\nid='own'\nrole='neutral'\nhost='o.example'\n"
        "checks=['icmp']",
        name="f.toml",
    )
    chosen = resolve_targets(config, [TargetSet(target=(target(id="of-x"),))])
    assert [each.id for each in chosen] == ["gateway", "resolver", "of-x", "own"]


def test_an_address_is_measured_in_its_own_family_only() -> None:
    """So that no later step asks an IPv6 line for an IPv4 address."""
    sets = [TargetSet(target=(target(id="v4", host="192.0.2.1"), target(id="v6", host="::1")))]
    chosen = {each.id: each.families for each in resolve_targets(Config(), sets)}
    assert chosen["v4"] == (4,)
    assert chosen["v6"] == (6,)
    assert chosen["gateway"] == (4, 6)


def test_an_id_used_twice_names_both_places() -> None:
    """Records name targets by id, so two of one id would be one."""
    with pytest.raises(ConfigError, match=r"id gateway is in targets.local and in target set gl"):
        resolve_targets(Config(), [TargetSet(target=(target(id="gateway"),))])


def test_nothing_to_measure_is_an_error() -> None:
    """A probe that measures nothing would look like one that sees nothing."""
    config = load_config("[targets]\nsets = []\nlocal = false", name="f.toml")
    with pytest.raises(ConfigError, match="nothing to measure"):
        resolve_targets(config, [])


def test_the_local_targets_pass_the_rules() -> None:
    """What the agent adds obeys what it asks of others."""
    assert [list(target_faults(each)) for each in LOCAL_TARGETS] == [[], []]


def test_a_silent_resolver_must_be_a_target() -> None:
    """A name that is no resolver's would never be asked, and nobody would notice."""
    text = "[targets]\nsets = ['x']\n[truth]\nsilent_resolvers = ['resolver', 'decoy']"
    config = load_config(text, name="f.toml")
    with pytest.raises(ConfigError, match="no target of role resolver is called 'decoy'"):
        resolve_targets(config, [TargetSet(target=())])
    decoy = target(
        id="decoy", role=Role.RESOLVER, host="192.0.2.7", checks=(Check.DNS,), query="a.example"
    )
    chosen = resolve_targets(config, [TargetSet(target=(decoy,))])
    assert "decoy" in {each.id for each in chosen}
