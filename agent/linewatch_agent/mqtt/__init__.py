"""How a client gets to the broker over one line: sockets, TLS, and why it failed."""
