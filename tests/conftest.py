"""What holds for all tests: Hypothesis fails no example for being slow on a busy machine."""

from hypothesis import settings

settings.register_profile("linewatch", deadline=None)
settings.load_profile("linewatch")
