"""The base of all that a probe writes down: how it is encoded, and that it never changes.

Fields are appended, never reordered or reused: the structs are encoded as arrays.
Source: docs/wire-format.md.
"""

import msgspec


class Struct(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=False):
    """The base of all records: immutable, encoded as an array."""
