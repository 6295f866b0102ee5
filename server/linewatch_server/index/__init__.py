"""The index: SQL projections of the archive, for questions that must be answered fast.

All SQL of the server's records is in this package. database.py opens the file;
writer.py applies entries of the archive (keys.py, segments.py, event_rows.py and
contents.py hold its statements); queries.py answers (reads.py holds its statements,
quarantine.py those of what is not believed).
"""
