"""What a client of MQTT must not bring into a probe's memory."""

import subprocess
import sys

CODE = """
import sys, linewatch_agent.mqtt.client
assert "paho.mqtt.client" in sys.modules
assert "urllib.request" not in sys.modules, "paho brought it"
assert "http.client" not in sys.modules, "paho brought it"
import urllib.request
urllib.request.getproxies()
"""


def test_paho_brings_no_http_with_it_and_whoever_wants_it_has_it() -> None:
    """In a process of its own, as the agent's."""
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
