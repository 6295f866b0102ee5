"""The volunteer's file: how it is split, and what is said when it is wrong."""

import tomllib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from linewatch_agent.plan.card import OWN_KEYS, TOKEN_KEYS, Sim, read_card, token_in, without_token
from linewatch_agent.plan.config import ConfigError
from linewatch_core.enrolment import decode_token
from linewatch_core.errors import LinewatchError
from tests.support.card import token_text

TOKEN = token_text()
WHOLE = f'''# From the team.
apn = "internet"   # the operator's
token = """
{TOKEN}"""

[budget]
month_mb = 50      # a small plan

[[target]]
id = "paper"
role = "domestic"
host = "paper.example"
checks = ["icmp"]
'''


def _refusal(text: str | bytes) -> str:
    with pytest.raises(ConfigError) as caught:
        read_card(text if isinstance(text, bytes) else text.encode(), name="linewatch.toml")
    return str(caught.value)


def test_a_whole_file_is_split() -> None:
    """Token, SIM card and configuration each go their own way, and none into another's."""
    card = read_card(WHOLE.encode(), name="linewatch.toml")
    assert card.sims == (Sim(apn="internet"),)
    assert card.config.budget.month_mb == 50
    assert "token" not in tomllib.loads(card.config_text)
    assert "PRIVATE KEY" not in card.config_text
    inside = token_in(WHOLE.encode())
    assert inside is not None
    assert decode_token(inside) == decode_token(TOKEN)


def test_lines_keep_their_numbers() -> None:
    """What is wrong is told with the line that the person sees, with or without the token."""
    line = WHOLE.count("\n", 0, WHOLE.index("month_mb")) + 1
    wrong = WHOLE.replace("month_mb = 50", "month_mb = 5")
    assert f"line {line}: budget.month_mb: expected a whole number from 10" in _refusal(wrong)


def test_the_token_leaves_and_the_rest_stays() -> None:
    """Taking the token off keeps comments, keys, and the line ends of Windows."""
    left = without_token(WHOLE.replace("\n", "\r\n").encode()).decode()
    assert "PRIVATE KEY" not in left
    assert left.count("\r\n") == left.count("\n")
    assert tomllib.loads(left) == {k: v for k, v in tomllib.loads(WHOLE).items() if k != "token"}
    assert "# the operator's" in left


def test_a_token_file_under_the_other_name() -> None:
    """A token file that somebody renamed or added a key to is both: token and configuration."""
    data = (TOKEN + 'apn = "internet"\n').encode()
    inside = token_in(data)
    assert inside is not None
    assert decode_token(inside) == decode_token(TOKEN)
    assert read_card(data, name="x").sims == (Sim(apn="internet"),)
    assert tomllib.loads(without_token(data).decode()) == {"apn": "internet"}


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_what_editors_write(encoding: str) -> None:
    """A byte order mark, UTF-16 and the line ends of Windows are all right."""
    card = read_card(WHOLE.replace("\n", "\r\n").encode(encoding), name="linewatch.toml")
    assert card.sims == (Sim(apn="internet"),)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("tokn = 'x'", "there is no such key; did you mean token?"),
        ("apn = 'my operator'", "line 1: apn: expected an access point's name"),
        ("apn = internet", "line 1: not TOML"),
        ("[[sim]]\npin = 1234", "line 2: sim[0].pin: expected text in quotes, found another value"),
        ("pin = '12a4'", "pin: expected 4 to 8 digits in quotes, found another text"),
        ("apn_password = 'пароль'", "apn_password: expected 1 to 64 letters"),
        ("apn = 'a'\n[[sim]]\napn = 'b'", "apn: expected either this or [[sim]] tables"),
        ("[[sim]]\napn = 'a'\n[[sim]]\napn = 'b'", "line 3: sim[1]: expected a table for each"),
        ("[[sim]]\noperator = 'mts'", "sim[0].operator: expected 5 or 6 digits"),
        ("[token]\nx = 1", "token: expected text in quotes, found another value"),
        (b"apn = '\xff'", "line 1: expected UTF-8 text"),
        (b"a" * 70_000, "expected at most 65536 bytes"),
        ("x = [\n" + "1,\n" * 500 + "]\napn = 'a'", "there is no such key"),
        ("[lines]\nignore = [\n" + "'a',\n" * 500 + "]\n[[sim]]\n", "at most 400 lines"),
    ],
)
def test_what_is_wrong_is_told(text: str | bytes, told: str) -> None:
    """Each mistake gets one line that names the place and what is expected."""
    message = _refusal(text)
    assert told in message
    assert "\n" not in message


@pytest.mark.parametrize("secret", ["'31337x'", "31337"])
def test_no_secret_is_told(secret: str) -> None:
    """A wrong PIN or password is not repeated in what people hand on."""
    for key in ("pin", "apn_password", "token"):
        if key == "pin" or "'" not in secret:
            assert "31337" not in _refusal(f"{key} = {secret}")


PIECES = st.sampled_from(
    [
        *WHOLE.splitlines(keepends=True),
        *TOKEN.splitlines(keepends=True),
        "[[sim]]\n",
        "pin = '1234'\n",
        "token = '''\n",
        "'''\n",
        '"""',
        "[token]\n",
        "[",
        "]",
        "\r",
        "\ufeff",
        "sim.apn = 1\n",
        "[a.b]\n",
        "nan = nan\n",
    ]
)


@given(st.one_of(st.lists(PIECES, max_size=25).map(lambda p: "".join(p).encode()), st.binary()))
@example(WHOLE.encode())
@example(TOKEN.encode())
@example(b"\xef\xbb\xbf\xef\xbb\xbf")
def test_any_bytes_give_a_card_or_an_error(data: bytes) -> None:
    """Whatever is in the file: it is split, or one of our errors says why not."""
    try:
        card = read_card(data, name="x")
        inside = token_in(data)
        left = without_token(data)
    except LinewatchError:
        return
    rest = tomllib.loads(card.config_text)
    assert not set(rest) & {*OWN_KEYS, *TOKEN_KEYS}
    assert token_in(left) is None
    assert inside is None or inside.strip() not in left.decode() or not inside.strip()
    assert read_card(left, name="x").config == card.config
