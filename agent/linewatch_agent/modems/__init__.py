"""What the lines' modems say, from ModemManager over D-Bus.

dbus-fast is imported only where a mobile line and a system bus are. Nothing that tells
who or where somebody is (IMSI, ICCID, IMEI, number, cell) is ever asked for: values are
read one by one, never an interface as a whole. Source: docs/architecture.md.
"""
