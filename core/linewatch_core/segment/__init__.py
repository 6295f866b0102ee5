"""Segments: records as compact blocks, sealed to recipients, signed and chained.

Bottom up: numbers, tables, packing (bits and dictionaries); raw_block, roll_block,
codec (blocks of records); sealing, body, header, signing, segment (one segment);
chain, keychain (segments and keys in order). Source: docs/wire-format.md.
"""
