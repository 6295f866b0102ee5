"""Making a server's directory."""

from pathlib import Path

import pytest
from cryptography import x509
from nacl.public import PrivateKey

from linewatch_server.fleet import keys
from linewatch_server.init import init
from linewatch_server.settings import Layout, SetupError


def _names(layout: Layout) -> list[str]:
    pem = layout.certificate("broker").read_bytes()
    extensions = x509.load_pem_x509_certificate(pem).extensions
    names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return [str(name.value) for name in names]


def test_everything_in_it_is_its_owners_only(tmp_path: Path) -> None:
    """No other user of the machine can read a key, a probe or a log."""
    layout = init(tmp_path / "s", host="probes.example.org")
    assert layout.directory.stat().st_mode & 0o777 == 0o700
    private = [layout.pki, layout.keys, layout.broker, layout.settings]
    for path in [p for folder in private for p in (folder, *folder.rglob("*"))]:
        assert path.stat().st_mode & 0o077 == 0, path


def test_the_brokers_certificate_has_its_names_once(tmp_path: Path) -> None:
    """The public name, the address that it listens on, and the machine's own."""
    layout = init(tmp_path / "s", host="Probes.Example.org", bind="192.0.2.7")
    assert _names(layout) == ["probes.example.org", "192.0.2.7", "localhost", "127.0.0.1", "::1"]


def test_an_ipv6_address_makes_an_endpoint_in_brackets(tmp_path: Path) -> None:
    """What tokens carry is a URL."""
    layout = init(tmp_path / "s", host="2001:DB8::7", wss_port=0)
    assert 'endpoints = ["mqtts://[2001:db8::7]:8883"]' in layout.settings.read_text()


def test_the_key_that_opens_records_is_one_file(tmp_path: Path) -> None:
    """Moved away, the public half still serves new probes."""
    layout = init(tmp_path / "s", host="a.example")
    secret = keys.read_recipient_key(layout)
    assert secret is not None
    public = bytes(PrivateKey(secret).public_key)
    layout.recipient_key.rename(tmp_path / "elsewhere")
    assert keys.read_recipient_key(layout) is None
    assert keys.read_recipients(layout) == (public,)


def test_a_damaged_key_is_said(tmp_path: Path) -> None:
    """A truncated key never becomes a shorter one."""
    layout = init(tmp_path / "s", host="a.example")
    layout.ack_seed.write_bytes(b"short")
    with pytest.raises(SetupError, match=r"cannot use .*ack\.seed: expected 32 bytes, found 5"):
        keys.read_ack_public_key(layout)


def test_a_directory_with_content_is_left_alone(tmp_path: Path) -> None:
    """A second init can destroy nothing."""
    (tmp_path / "letter").write_text("mine")
    with pytest.raises(SetupError, match=r"cannot init .*: it exists and is not empty"):
        init(tmp_path, host="a.example")
    assert [p.name for p in tmp_path.iterdir()] == ["letter"]


@pytest.mark.parametrize("host", ["", "a b", "-a", "a..b", "http://a", "a" * 254])
def test_a_host_that_is_no_name_is_refused(tmp_path: Path, host: str) -> None:
    """Refused before anything is made."""
    with pytest.raises(SetupError, match="expected a DNS name or an IP address"):
        init(tmp_path / "s", host=host)
    assert not (tmp_path / "s").exists()


def test_a_bad_port_or_address_leaves_nothing_behind(tmp_path: Path) -> None:
    """The next try finds the directory as if this one had not been."""
    with pytest.raises(SetupError, match=r"broker\.mqtts_port"):
        init(tmp_path / "s", host="a.example", mqtts_port=70_000)
    with pytest.raises(SetupError, match="expected an IP address"):
        init(tmp_path / "s", host="a.example", bind="eth0")
    assert list(tmp_path.iterdir()) == []
