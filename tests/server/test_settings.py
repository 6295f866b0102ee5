"""server.toml: what is wrong is said with file, key and what was expected."""

from pathlib import Path

import pytest

from linewatch_server.settings import Layout, SetupError, load_settings, write_private
from tests.support.broker import init_server

SMALLEST = '[public]\nhost = "a"\nendpoints = ["mqtts://a:8883"]\n'


def test_what_init_writes_can_be_read(tmp_path: Path) -> None:
    """The commented file of a new server says what its arguments said."""
    layout = init_server(tmp_path / "s")
    settings = load_settings(layout.directory)
    assert settings.public.host == settings.broker.bind == settings.broker.host == "127.0.0.1"
    assert settings.public.endpoints == (
        f"mqtts://127.0.0.1:{settings.broker.mqtts_port}",
        f"wss://127.0.0.1:{settings.broker.wss_port}",
    )


def test_everything_but_the_public_name_has_a_default(tmp_path: Path) -> None:
    """An operator who deletes the rest keeps the usual ports."""
    Layout(tmp_path).settings.write_text(SMALLEST)
    assert load_settings(tmp_path).broker.mqtts_port == 8883


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (SMALLEST + "[broker]\nmqtts_port = 0\n", "Expected `int` >= 1: at `broker.mqtts_port`"),
        (
            SMALLEST + '[broker]\nwss_port = "x"\n',
            "Expected `int`, got `str`: at `broker.wss_port`",
        ),
        (SMALLEST + "[brokr]\n", "unknown field `brokr`"),
        (SMALLEST + "[broker]\nwss_port = 8883\n", "mqtts_port and wss_port must differ"),
        ("", "missing required field `public`"),
        ("[public\n", "at line 1"),
    ],
)
def test_errors_name_file_and_key(tmp_path: Path, text: str, said: str) -> None:
    """Each mistake is one line that leads to the place."""
    path = Layout(tmp_path).settings
    path.write_text(text)
    with pytest.raises(SetupError) as caught:
        load_settings(tmp_path)
    assert str(caught.value).startswith(f"cannot use {path}: ")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_no_server_there_says_how_to_make_one(tmp_path: Path) -> None:
    """The first thing that a new operator forgets."""
    with pytest.raises(SetupError, match="make the directory with: linewatch-server init"):
        load_settings(tmp_path)


def test_another_user_is_told_whose_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The directory is its owner's alone, and a person mostly is somebody else."""

    def refuse(*_: object) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_text", refuse)
    with pytest.raises(SetupError, match="no right to; run this as the server's user: sudo -u"):
        load_settings(tmp_path)


def test_private_files_are_private_and_replaced_whole(tmp_path: Path) -> None:
    """Secrets are for their owner only, and no half-written file is left."""
    path = tmp_path / "secret"
    path.write_bytes(b"old and longer")
    write_private(path, b"new")
    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]
