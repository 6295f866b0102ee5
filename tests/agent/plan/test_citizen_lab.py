"""Test lists of the Citizen Lab as targets: what each row becomes, and what is left out."""

import csv
import io
from contextlib import suppress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from linewatch_agent.plan.citizen_lab import BYTES_MAX, Imported, import_test_list
from linewatch_agent.plan.set_text import target_set_text
from linewatch_agent.plan.target_rules import parse_target_set, target_faults
from linewatch_agent.plan.toml_errors import ConfigError
from linewatch_core.records import Check, Role
from linewatch_core.targets import Target, TargetSet

HEADER = "url,category_code,category_description,date_added,source,notes\n"
BOTH = (Check.DNS, Check.TCP)


def imported(rows: str, **options: object) -> Imported:
    """Import rows under the format's header."""
    given = {"name": "l.csv", "country": "kz", **options}
    return import_test_list((HEADER + rows).encode(), **given)  # type: ignore[arg-type]


def row(url: str, code: str = "NEWS") -> str:
    """Return a row."""
    return f'{url},{code},Some words,2014-04-15,citizenlab,"a note, with a comma"\n'


def sensitive(name: str, host: str, *, port: int = 443) -> Target:
    """Return the target that a row of news becomes."""
    return Target(
        id=name,
        role=Role.SENSITIVE,
        host=host,
        checks=BOTH,
        port=port,
        every=20,
        category="NEWS",
    )


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("https://vlast.example/", sensitive("kz-vlast.example", "vlast.example")),
        ("http://www.a.example/", sensitive("kz-a.example", "www.a.example", port=80)),
        ("https://a.example:8443/b?c=d#e", sensitive("kz-a.example", "a.example", port=8443)),
        ("HTTPS://A.Example./", sensitive("kz-a.example", "a.example")),
        ("  https://a.example ", sensitive("kz-a.example", "a.example")),
        ("https://пример.example", sensitive("kz-xn--e1afmkfd.example", "xn--e1afmkfd.example")),
    ],
)
def test_a_row_becomes_a_small_check_of_its_host(url: str, target: Target) -> None:
    """Scheme and port decide the tcp check's port; path, query and fragment are dropped."""
    assert imported(row(url)).targets == (target,)


def test_categories_are_kept_and_control_content_is_neutral() -> None:
    """The list's own word for what nobody blocks is CTRL."""
    found = imported(row("https://a.example", "HUMR") + row("https://b.example", "ctrl")).targets
    assert [(each.role, each.category) for each in found] == [
        (Role.SENSITIVE, "HUMR"),
        (Role.NEUTRAL, "CTRL"),
    ]


def test_an_address_is_only_connected_to() -> None:
    """There is no name to ask for."""
    (found,) = imported(row("http://[2606:4700:4700::1111]/")).targets
    assert (found.host, found.checks, found.id) == (
        "2606:4700:4700::1111",
        (Check.TCP,),
        "kz-2606-4700-4700--1111",
    )


@pytest.mark.parametrize(
    ("url", "code", "reason"),
    [
        ("https://me:secret@a.example/", "NEWS", "whose URL holds a name or password"),
        ("https://me@a.example/", "NEWS", "whose URL holds a name or password"),
        ("ftp://a.example/", "NEWS", "whose URL is wrong"),
        ("a.example", "NEWS", "whose URL is wrong"),
        ("https://", "NEWS", "whose URL is wrong"),
        ("https://[::1/", "NEWS", "whose URL is wrong"),
        ("https://a.example:0/", "NEWS", "whose URL is wrong"),
        ("https://a.example:99999/", "NEWS", "whose URL is wrong"),
        ("https://" + "ü" * 64 + ".example/", "NEWS", "whose URL is wrong"),
        ("https://-a.example/", "NEWS", "whose host is none"),
        ("https://a_*.example/", "NEWS", "whose host is none"),
        ("http://192.168.1.1/", "NEWS", "whose host is of a private network"),
        ("http://[fe80::1]/", "NEWS", "whose host is of a private network"),
        ("http://router/", "NEWS", "whose host is of a private network"),
        ("https://a.example/", "", "without a category"),
        ("https://a.example/", "no code", "without a category"),
        ("https://kept.example/x", "NEWS", "of a host that is there already"),
    ],
)
def test_a_row_that_is_left_out_is_counted(url: str, code: str, reason: str) -> None:
    """Nothing vanishes without being told, and the rest of the list is taken."""
    found = imported(row("https://kept.example") + row(url, code))
    assert [each.host for each in found.targets] == ["kept.example"]
    assert found.left_out == {reason: 1}


def test_hosts_that_look_alike_get_ids_of_their_own() -> None:
    """An id names a target in records for ever; no two may share one, however long."""
    long = "x" * 60
    hosts = ["a.example", "www.a.example", f"{long}.example", f"{long}.example.org"]
    found = imported("".join(row(f"https://{host}") for host in hosts)).targets
    ids = [each.id for each in found]
    assert ids[:2] == ["kz-a.example", "kz-a.example-2"]
    assert len(set(ids)) == 4
    assert max(map(len, ids)) <= 48


def test_a_limit_and_categories_narrow_a_list() -> None:
    """A volunteer's line is asked for a few names, not for a thousand."""
    rows = "".join(row(f"https://n{n}.example", "NEWS" if n % 2 else "HUMR") for n in range(10))
    found = imported(rows, categories=["NEWS"], targets_max=2, every=60)
    assert [(each.host, each.every) for each in found.targets] == [
        ("n1.example", 60),
        ("n3.example", 60),
    ]
    assert found.left_out == {"of other categories": 5, "beyond the first 2": 3}


def test_columns_are_found_by_name() -> None:
    """Order, letter case, further columns, short rows and empty lines do no harm."""
    data = b"\xef\xbb\xbfNotes,Category_Code,URL\r\nx,NEWS,https://a.example\r\n\r\nshort\r\n"
    found = import_test_list(data, name="l.csv", country="global")
    assert [each.id for each in found.targets] == ["global-a.example"]
    assert found.left_out == {"whose URL is wrong": 1}


@pytest.mark.parametrize(
    ("data", "options", "message"),
    [
        (b"", {}, "line 1: expected a header with url, category_code, .* url is missing"),
        (b"url,notes\n", {}, "line 1: .*category_code is missing"),
        (HEADER.encode(), {}, "no row of it can be measured"),
        (b"url,category_code\nx,\xff\n", {}, "line 2: expected UTF-8 text, found other bytes"),
        (b"x" * (BYTES_MAX + 1), {}, "expected at most 4194304 bytes"),
        (HEADER.encode() + b'"' + b"x" * 200_000, {}, "not CSV: field larger than field limit"),
        (HEADER.encode(), {"country": "KZ"}, "expected two letters or .global. as country"),
        (
            (HEADER + row("https://a.example")).encode(),
            {"categories": ["FOO"]},
            "there is no category 'FOO'; it has NEWS",
        ),
    ],
)
def test_a_file_that_is_no_list_is_one_line(
    data: bytes, options: dict[str, object], message: str
) -> None:
    """What is expected and what was found, and nothing half done."""
    given = {"name": "l.csv", "country": "kz", **options}
    with pytest.raises(ConfigError, match=message) as caught:
        import_test_list(data, **given)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


def whole_or_refused(data: bytes) -> None:
    """Import bytes; whatever comes of it passes the rules and can be written as a set."""
    with suppress(ConfigError):
        found = import_test_list(data, name="l.csv", country="kz", targets_max=500).targets
        assert found
        assert not any(fault for each in found for fault in target_faults(each))
        text = target_set_text(TargetSet(target=found))
        assert parse_target_set(text, name="l.toml").target == found


@given(st.binary())
@example(b"\x00")
def test_any_bytes_give_targets_or_an_error(data: bytes) -> None:
    """Nothing but a ConfigError comes out of garbage."""
    whole_or_refused(data)
    whole_or_refused(HEADER.encode() + data)


URLS = st.one_of(
    st.text(max_size=40),
    st.builds("http://{}/{}".format, st.text(max_size=30), st.text(max_size=5)),
    st.builds("https://{}.example:{}".format, st.text(max_size=20), st.integers(-1, 70_000)),
)


@given(st.lists(st.tuples(URLS, st.sampled_from(["NEWS", "CTRL", "", "x y"])), max_size=8))
def test_any_urls_give_targets_or_an_error(rows: list[tuple[str, str]]) -> None:
    """Whatever a URL holds, what comes of it is a target that can be checked."""
    out = io.StringIO()
    csv.writer(out).writerows(rows)
    whole_or_refused((HEADER + out.getvalue()).encode(errors="replace"))
