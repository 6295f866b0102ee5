"""The probe's light: what it says (meaning.py, patterns.py: pure) and how (sysfs.py, keeper.py)."""
