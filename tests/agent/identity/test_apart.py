"""The key's two uses, each in a process of its own."""

import sys

import pytest
from cryptography import x509

from linewatch_agent.identity import apart
from linewatch_agent.identity.identity import EnrolmentError
from linewatch_agent.identity.probe_key import new_key_pem
from linewatch_core.ids import ProbeId

PROBE = ProbeId("abcdefgh23456777")


async def test_a_request_is_of_the_key() -> None:
    """As the server reads it."""
    request = x509.load_pem_x509_csr((await apart.request_pem(new_key_pem())).encode())
    assert request.is_signature_valid


async def test_a_damaged_key_is_told_as_such() -> None:
    """As probe_key tells it."""
    with pytest.raises(ValueError, match="not an ECDSA key"):
        await apart.request_pem(b"nonsense")


async def test_what_is_no_certificate_fits_nothing() -> None:
    """Whatever a server sends."""
    assert not await apart.fits("nonsense", key_pem=new_key_pem(), probe=PROBE)


async def test_a_process_that_cannot_be_had_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    """One line; the enrolment tries again later."""
    monkeypatch.setattr(sys, "executable", "/nonexistent/python")
    with pytest.raises(EnrolmentError, match=r"cannot use .*: .*No such file"):
        await apart.request_pem(new_key_pem())
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(EnrolmentError, match="cannot use this probe's key: Python said nothing"):
        await apart.request_pem(new_key_pem())
