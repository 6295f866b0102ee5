"""The root helper of the reset ladder: `linewatch-agent modem-helper`, started by the bus.

It believes nobody, so it checks in sysfs what it is to hit: it takes a modem's USB device
from its drivers and gives it back, switches that port's power off and on, and reboots where
root's own configuration says so. Source: docs/decisions/0022.
"""
