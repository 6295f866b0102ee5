"""The image: rpi-image-gen's layer as far as it can be checked here, and Imager's manifest."""

import gzip
import hashlib
import json
import lzma
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.appliance.layers import layer
from tests.appliance.machine import in_layer
from tests.appliance.root import ROOT

FIRMWARE = ROOT / "firmware-config"
LAYER = FIRMWARE / "image-gen/linewatch-probe.yaml"
FIELDS = {"Name", "Desc", "Version", "Category", "Requires", "RequiresProvider", "Provides"}
ATTRIBUTES = {"Desc", "Required", "Valid", "Set"}
RULES = {"string", "string-or-empty", "string-or-unset", "bool", "int", "size", "dir", "file"}
"""rpi-image-gen's fields of layers and variables, and its plain rules for their values (its
site/env_types.py and site/validators.py); it refuses others."""
LAYERS = ("rpizero2w", "image-rpios", "trixie-minbase")
"""Its layers that ours is built on: device/zero2w, image/mbr/simple_dual, layer/suite/debian."""
TAG = {"enum": [f"pi{number}-64bit" for number in (3, 4, 5)]}
TEXT = {"type": "string", "minLength": 1}
SUM = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
ENTRY = {
    "type": "object",
    "required": [
        *("name", "description", "icon", "url", "extract_size", "extract_sha256"),
        *("image_download_size", "release_date", "init_format", "devices"),
    ],
    "properties": {
        **dict.fromkeys(("name", "description", "icon"), TEXT),
        "url": {"type": "string", "pattern": r"^(https|file)://.+\.img(\.xz|\.gz)?$"},
        "extract_size": {"type": "integer", "minimum": 512, "multipleOf": 512},
        "image_download_size": {"type": "integer", "minimum": 1},
        "extract_sha256": SUM,
        "image_download_sha256": SUM,
        "release_date": {"type": "string", "pattern": r"^\d{4}-\d\d-\d\d$"},
        "init_format": {"const": "cloudinit-rpi"},
        "devices": {"type": "array", "items": TAG, "minItems": 1, "uniqueItems": True},
        "capabilities": {"const": []},
    },
    "additionalProperties": False,
}
MANIFEST = {
    "type": "object",
    "required": ["os_list"],
    "properties": {"os_list": {"type": "array", "items": ENTRY, "minItems": 1, "maxItems": 1}},
    "additionalProperties": False,
}
"""What Imager asks of a list and an entry (doc/json-schema and doc/os-sublist-example.json of its
sources), and what our image is."""


def _manifest(image: Path, *more: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, str(FIRMWARE / "imager-manifest"), str(image), *more]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("suffix", ["", ".xz", ".gz"])
def test_a_manifest_fits_its_image(tmp_path: Path, suffix: str) -> None:
    """Size and sum are those of the unpacked image, as Imager checks them."""
    plain = bytes(range(256)) * 4096
    packed = {"": plain, ".xz": lzma.compress(plain), ".gz": gzip.compress(plain)}[suffix]
    image = tmp_path / f"probe.img{suffix}"
    image.write_bytes(packed)
    done = _manifest(image, "--url", f"https://example.org/{image.name}", "--date", "2026-11-22")
    assert done.returncode == 0, done.stderr
    manifest = json.loads((tmp_path / "probe.rpi-imager-manifest").read_text())
    [entry] = manifest["os_list"]
    jsonschema.validate(manifest, MANIFEST)
    assert entry["extract_size"] == len(plain)
    assert entry["extract_sha256"] == hashlib.sha256(plain).hexdigest()
    assert entry["image_download_size"] == len(packed)
    assert entry["url"] == f"https://example.org/{image.name}"


def test_a_local_image_is_named_by_its_file(tmp_path: Path) -> None:
    """Without an address the manifest points at the file on this computer."""
    image = tmp_path / "probe.img"
    image.write_bytes(bytes(1024))
    _manifest(image)
    manifest = json.loads((tmp_path / "probe.rpi-imager-manifest").read_text())
    jsonschema.validate(manifest, MANIFEST)
    assert manifest["os_list"][0]["url"] == image.as_uri()


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.img", b""),
        ("a.img", b"x" * 700),
        ("a.iso", bytes(512)),
        ("a.img.xz", b"\xfd7zXZ\0"),
        ("b", None),
    ],
)
def test_what_is_no_image_is_refused(tmp_path: Path, name: str, data: bytes | None) -> None:
    """A damaged or missing file gives one line and no manifest."""
    if data is not None:
        (tmp_path / name).write_bytes(data)
    done = _manifest(tmp_path / name)
    assert done.returncode == 1
    assert done.stderr.startswith("imager-manifest: cannot use ")
    assert len(done.stderr.splitlines()) == 1
    assert not list(tmp_path.glob("*manifest"))


def _yaml(path: Path) -> Any:
    """Return a YAML file's content, read by the root's own PyYAML."""
    with layer() as root:
        root.copy(path, "/srv/file.yaml")
        program = "import json,yaml; print(json.dumps(yaml.safe_load(open('/srv/file.yaml'))))"
        return json.loads(in_layer(root, "python3", "-c", program))


def test_the_layers_metadata() -> None:
    """Each field is one that rpi-image-gen knows; each variable has all of its attributes."""
    head = LAYER.read_text().partition("# METABEGIN\n")[2].partition("# METAEND")[0]
    fields = dict(re.findall(r"^# X-Env-([\w-]+):(.*)$", head, re.MULTILINE))
    layers = {name.removeprefix("Layer-") for name in fields if name.startswith("Layer-")}
    assert {"Name", "Desc", "Version", "Category"} <= layers <= FIELDS
    names = {name for name in fields if re.fullmatch(r"Var-\w+", name)}
    assert names
    for name in names:
        assert {
            key.rpartition("-")[2] for key in fields if key.startswith(f"{name}-")
        } == ATTRIBUTES
        assert fields[f"{name}-Valid"].strip() in RULES
        assert {fields[f"{name}-{key}"].strip() for key in ("Required", "Set")} <= {"y", "n"}
    assert len(fields) == len(layers) + len(names) * 5 + 1, "a field that belongs to nothing"
    assert fields["VarPrefix"].strip() == "linewatch"


def test_the_layer_does_what_apply_does() -> None:
    """The layer installs the packages of packages.txt and leaves the rest to apply.sh."""
    found = _yaml(LAYER)["mmdebstrap"]
    rows = (FIRMWARE / "packages.txt").read_text().splitlines()
    assert found["packages"] == [row.split("|")[0].strip() for row in rows if row[0] != "#"]
    [hook] = found["customize-hooks"]
    assert "apply.sh" in hook
    checked = subprocess.run(["sh", "-n"], input=hook, text=True, check=False)
    assert checked.returncode == 0
    variables = set(re.findall(r"IGconf_linewatch_(\w+)", hook))
    assert all(f"X-Env-Var-{name}:" in LAYER.read_text() for name in variables)


def test_the_image_uses_the_layer() -> None:
    """The build's own file is YAML and names the layer."""
    found = _yaml(FIRMWARE / "image-gen/linewatch.yaml")
    assert found["layer"]["app"] == "linewatch-probe"
    named = (found["device"]["layer"], found["image"]["layer"], found["layer"]["base"])
    assert named == LAYERS
