"""The MQTT broker: its files (access list, certificates, configuration) and its process."""
