"""The main job shown on this machine: a server, its broker and a probe, all real."""
