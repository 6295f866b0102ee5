"""Is the probe set up: each thing that can be wrong with it, and each that is right."""

import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from linewatch_agent import clock
from linewatch_agent.doctor import setup
from linewatch_agent.doctor.findings import Level
from linewatch_agent.identity.enrol import prepare_from
from linewatch_agent.identity.identity import load_identity
from linewatch_agent.plan_file import read_plan
from linewatch_agent.releases.places import Places
from linewatch_agent.releases.trial import Trial, write_trial
from linewatch_server.fleet import enrolment
from tests.support.broker import init_server, utc_now
from tests.support.doctor_machine import Machine, only

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


@pytest.fixture
def enrolled(machine: Machine, tmp_path: Path) -> Machine:
    """A machine that is a probe, without its certificate yet."""
    layout = init_server(tmp_path / "server")
    token = tmp_path / "token.toml"
    token.write_text(enrolment.enrol(layout.directory, label="x", now=utc_now()))
    prepare_from(token, machine.state)
    return machine


def write_certificate(machine: Machine, ends: datetime) -> None:
    """Give the probe a certificate that ends at a moment."""
    key = Ed25519PrivateKey.generate()
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "x")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(ends - timedelta(days=400))
        .not_valid_after(ends)
        .sign(key, None)
    )
    from cryptography.hazmat.primitives.serialization import Encoding

    path = load_identity(machine.state).certificate_path
    path.write_bytes(certificate.public_bytes(Encoding.PEM))


def found(machine: Machine) -> dict[str, tuple[Level, str]]:
    """Return what is said of the identity, by topic."""
    return {one.topic: (one.level, one.text) for one in setup.identity(machine.host)}


def test_a_machine_that_is_no_probe_says_how_to_become_one(machine: Machine) -> None:
    """One finding; what rests on it is not asked."""
    one = only(list(setup.identity(machine.host)))
    assert one.level is Level.PROBLEM
    assert "not enrolled" in one.text


def test_a_probe_whose_certificate_has_not_come_can_measure(enrolled: Machine) -> None:
    """Worth a note, no more."""
    said = found(enrolled)
    assert said["identity"][0] is Level.OK
    assert said["certificate"] == (
        Level.NOTE,
        "not here yet: it comes by itself once the server can be reached",
    )
    assert said["keys"] == (Level.OK, "there, and closed to other users")


@pytest.mark.parametrize(
    ("days", "now", "told"),
    [
        (300, NOW, (Level.OK, "good until 2027-09-18")),
        (20, NOW, (Level.NOTE, "ends on 2026-12-12")),
        (-1, NOW, (Level.PROBLEM, "ended on 2026-11-21, by this computer's clock")),
        (-1, datetime(1970, 1, 2, tzinfo=UTC), (Level.OK, "good until 2026-11-21")),
    ],
)
def test_a_certificate_by_its_end(
    enrolled: Machine,
    monkeypatch: pytest.MonkeyPatch,
    days: int,
    now: datetime,
    told: tuple[Level, str],
) -> None:
    """A clock that was never set says nothing of it."""
    monkeypatch.setattr(clock, "utc_now", lambda: now)
    write_certificate(enrolled, NOW + timedelta(days=days))
    assert found(enrolled)["certificate"] == told


def test_a_damaged_certificate(enrolled: Machine) -> None:
    """No PEM."""
    load_identity(enrolled.state).certificate_path.write_text("nonsense")
    level, text = found(enrolled)["certificate"]
    assert level is Level.PROBLEM
    assert "damaged" in text


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda state: state.chmod(0o755), "may look into"),
        (lambda state: (state / "identity").chmod(0o750), "may look into"),
        (lambda state: (state / "identity/signing.seed").unlink(), "that sign"),
    ],
)
def test_keys_that_are_open_or_gone(
    enrolled: Machine, spoil: Callable[[Path], None], says: str
) -> None:
    """The store is the last place where anybody may read what was measured."""
    spoil(enrolled.state)
    level, text = found(enrolled)["keys"]
    assert level is Level.PROBLEM
    assert says in text


def test_the_first_boots_problem_is_passed_on(machine: Machine) -> None:
    """In its own words, in one line."""
    assert list(setup.first_boot(machine.host)) == []
    machine.write(setup.PROBLEM_FILE, "The token has expired.\nAsk for a new one.\n")
    one = only(list(setup.first_boot(machine.host)))
    assert (one.level, one.text) == (Level.PROBLEM, "The token has expired. Ask for a new one.")


def test_a_configuration_tells_what_may_not_be_meant(tmp_path: Path) -> None:
    """The defaults are said to be such; advice comes as notes."""
    plan = read_plan(None)
    assert only(list(setup.configuration(plan, None, []))).text == "the defaults: 17 targets"
    path = tmp_path / "f.toml"
    path.write_text("[schedule]\nperiod_s = 7.0\ntimeout_s = 3.0\n[budget]\nmonth_mb = 10")
    from linewatch_agent.plan.line import Line
    from linewatch_core.records import LineKind

    line = Line("mobile-1", LineKind.MOBILE, "wwan0", families=(4,))
    said = list(setup.configuration(read_plan(path), path, [line]))
    assert said[0].level is Level.OK
    assert {each.level for each in said[1:]} == {Level.NOTE}
    assert len(said) > 1


def install(machine: Machine, version: str) -> Places:
    """Install a release."""
    places = Places(machine.folder / "root")
    machine.write(f"/opt/linewatch/releases/{version}/VERSION", f"{version}\n")
    places.current.unlink(missing_ok=True)
    places.current.symlink_to(f"releases/{version}")
    return places


def test_a_checkout_is_no_release(machine: Machine) -> None:
    """Worth knowing, nothing wrong."""
    assert only(list(setup.release(machine.host))).level is Level.NOTE


def test_a_release_that_has_proved_itself(machine: Machine) -> None:
    """Only one of its own proof counts."""
    install(machine, "0.2.0")
    machine.write("/var/lib/linewatch/update/proved", "0.1.0\n")
    assert only(list(setup.release(machine.host))).level is Level.NOTE
    machine.write("/var/lib/linewatch/update/proved", "0.2.0\n")
    one = only(list(setup.release(machine.running().host)))
    assert (one.level, one.text) == (Level.OK, "0.2.0, and it has proved itself")


def test_a_release_on_trial(machine: Machine) -> None:
    """It says what comes back if it fails."""
    places = install(machine, "0.2.0")
    write_trial(places, Trial("0.2.0", "0.1.0", 1_790_000_000, tries=2))
    one = only(list(setup.release(machine.host)))
    assert one.level is Level.NOTE
    assert one.text.startswith("0.2.0 is on trial: started 2 of 3 times; after that 0.1.0 comes")


def test_a_link_that_leads_nowhere_and_an_agent_of_another_release(machine: Machine) -> None:
    """Both are wrong."""
    places = install(machine, "0.1.0")
    one = only(list(setup.release(machine.running().host)))
    assert (one.level, one.text) == (Level.PROBLEM, "0.1.0 is installed, but 0.2.0 runs")
    shutil.rmtree(places.releases)
    one = only(list(setup.release(machine.host)))
    assert one.level is Level.PROBLEM
    assert "no whole release" in one.text
