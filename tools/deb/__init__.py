"""Builds the agent's Debian package and the archives of a release: `make deb`."""
