"""The store on the probe: journal, segments and cursors in one SQLite file, one writer thread."""
