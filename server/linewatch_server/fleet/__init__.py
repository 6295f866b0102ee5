"""Who belongs to the fleet: the registry of probes, tokens, certificates, keys."""
