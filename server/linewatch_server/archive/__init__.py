"""The archive: everything that arrived, exactly as it came, in append-only packs.

reader.py reads it, beside any number of other readers; writer.py is the one writer.
"""
