"""A seeded simulator of faults: nothing that was committed is lost, and no loss is untold.

    python -m tests.chaos --seed 7              one run, told step by step
    python -m tests.chaos --seeds 10000         the slow tier
    python -m tests.chaos --mutant forget_gaps  the product broken on purpose: is it found?

One run is one probe's life of some hours and one server's, in about 0.2 s. Real is all
that decides or stores: the recorder, the store with its SQLite, the signing keys, the
uploader machine, messages and segments; the ingest, the archive and the index.
Simulated is what lies under and between them. The ledger (ledger.py) and the archive's
reader (pack_reader.py) share no code with the store or the archive.

THE FAULT MODEL

Process and power: killed, or without power, at any of its changes of the disk (a write,
truncation, sync, rename or unlink). After a kill every write is there, and the folder in
memory. After a power cut the synced part is, and of the writes since then none, all, a prefix,
or any of them, the last one torn at a sector. A boot's clock starts anew.
Disk: full to the byte, for a while; read-only for a while; a sync that fails; once a run,
rot of the store while it is off: a bit, a page of zeros or noise, a file cut short.
Network: loss, duplicates, delay and so reordering, partition, tarpit (the connection
stands and nothing is answered), connections that break.
Broker: forgets all it knew; says PUBACK and drops the message; refuses while saying
PUBACK; keeps 12 messages for a server that is away and drops the rest.
Server: killed, without power at any change of its disk, full, a sync that fails, away for
minutes, acks withheld, its disk put back to any earlier backup (the index made anew).

What must hold at each step: no ack beyond what a power cut would leave of the archive;
no ack believed that no server said; nothing freed but by an ack or a gap that names it; a
commit is there whole or not at all; every number that was promised is there at each
start; what the copy in memory had is there after a kill; no number given out twice; the
order of classes. At the end of the quiet time: no backlog is left, nor any in a store that
was set aside; every record promised is stored once, as it was committed, or told as lost;
everything measured is stored or lies in a gap; no epoch ended but by rot.

Not in the model: a disk that says it synced and did not; directory entries that come back
in another order; rot of the running agent's page cache, of the signing keys, of the server's
archive, or twice in a run; bytes that an attacker makes (tests/core, tests/server have
those); MQTT's own packets, TLS, and the drivers with their tasks (tests/agent/uplink
and tests/end_to_end have those, with a real broker).
"""
