"""How a client gets to the broker over one line: sockets, TLS, and why it failed.

paho imports urllib.request, to ask it for proxies where it opens a socket itself; ours are
opened by us. It would bring HTTP and e-mail with it, 1.2 MB of a probe's memory for as long
as it runs, so paho is imported while that name stands for nothing.
"""

import sys
from types import ModuleType

_PROXIES = "urllib.request"

if _PROXIES not in sys.modules:
    sys.modules[_PROXIES] = ModuleType(_PROXIES)
    try:
        import paho.mqtt.client  # noqa: F401
    finally:
        del sys.modules[_PROXIES]
