"""Is the computer well: power, heat, memory, watchdog, light?

Source: the Raspberry Pi's documentation of get_throttled (bits 0 to 3 now, 16 to 19 since
the boot), the kernel's Documentation/hwmon and Documentation/watchdog.
"""

import os
from collections.abc import Iterator

from linewatch_agent.doctor.findings import Finding, note, ok, problem
from linewatch_agent.doctor.host import Host
from linewatch_agent.led.sysfs import AUTOMATIC, NONE, find_led
from linewatch_agent.plan.settings import LedConfig

_THROTTLED = "/sys/devices/platform/soc*/soc*:firmware/get_throttled"
_ALARM = "/sys/class/hwmon/hwmon*/in0_lcrit_alarm"
"""The driver raspberrypi-hwmon: 1 once the voltage was too low."""
_UNDERVOLTAGE, _SLOWED, _HOT = 1 << 0, 1 << 1 | 1 << 2, 1 << 3
_SINCE_BOOT = 16

HOT_C, WARM_C = 80.0, 70.0
MEMORY_FEW_MB = 50

SUPPLY = "use the power supply made for this computer, with a short cable; unplug hungry sticks"
COOLER = "give it air: out of the sun, off the router, without a closed box"


def power(host: Host) -> Iterator[Finding]:
    """Say whether the supply is strong enough, and whether heat slows the computer down."""
    bits = _throttled(host)
    if bits is None:
        alarm = _alarm(host)
        if alarm is None:
            yield note("power", "this computer does not tell its voltage")
        elif alarm:
            yield problem("power", "the voltage was too low: records may be lost", SUPPLY)
        else:
            yield ok("power", "the voltage is right")
        return
    now, before = bits, bits >> _SINCE_BOOT
    if (now | before) & _UNDERVOLTAGE:
        when = "is" if now & _UNDERVOLTAGE else "was, since the boot,"
        text = f"the voltage {when} too low: the computer may stop, and modems fail"
        yield problem("power", text, SUPPLY)
    elif now & (_SLOWED | _HOT):
        yield problem("power", "it is slowed down, by heat", COOLER)
    elif before & (_SLOWED | _HOT):
        yield note("power", "it was slowed down by heat since the boot", COOLER)
    else:
        yield ok("power", "the voltage is right, and it is not slowed down")


def _throttled(host: Host) -> int | None:
    path = host.first(_THROTTLED)
    said = host.say("vcgencmd", "get_throttled") if path is None else host.read(path)
    try:
        return int((said or "").rpartition("=")[2], 16)
    except ValueError:
        return None


def _alarm(host: Host) -> bool | None:
    path = host.first(_ALARM)
    if path is None or host.read(f"{path.rpartition('/')[0]}/name") != "rpi_volt":
        return None
    return host.number(path) == 1


def temperature(host: Host) -> Iterator[Finding]:
    """Say how warm the processor is."""
    path = host.first("/sys/class/thermal/thermal_zone*/temp")
    thousandths = None if path is None else host.number(path)
    if thousandths is None:
        yield note("temperature", "this computer does not tell it")
        return
    degrees = thousandths / 1000
    if degrees >= HOT_C:
        yield problem("temperature", f"{degrees:.0f} degrees: too hot", COOLER)
    elif degrees >= WARM_C:
        yield note("temperature", f"{degrees:.0f} degrees: warm", COOLER)
    else:
        yield ok("temperature", f"{degrees:.0f} degrees")


def memory(host: Host) -> Iterator[Finding]:
    """Say whether there is memory left."""
    rows = (line.split() for line in (host.read("/proc/meminfo") or "").splitlines())
    kib = {row[0]: int(row[1]) for row in rows if len(row) >= 2 and row[1].isdecimal()}
    available = kib.get("MemAvailable:")
    if available is None:
        yield note("memory", "the kernel does not tell it")
        return
    free_mb = available * 1024 // 1_000_000
    if free_mb < MEMORY_FEW_MB:
        remedy = "stop what else runs here: ps aux --sort -rss | head"
        yield problem("memory", f"only {free_mb} MB available", remedy)
    else:
        yield ok("memory", f"{free_mb} MB available")


def watchdog(host: Host) -> Iterator[Finding]:
    """Say whether the hardware would restart a computer that hangs."""
    path = host.first("/sys/class/watchdog/watchdog0")
    state = None if path is None else host.read(f"{path}/state")
    if path is None:
        yield note("watchdog", "this computer has none: nothing ends a hang of it")
    elif state == "active":
        yield ok("watchdog", "a computer that hangs is restarted")
    else:
        remedy = "RuntimeWatchdogSec=1m in /etc/systemd/system.conf.d/, then restart the computer"
        yield problem("watchdog", "it is not turned on: a computer that hangs stays so", remedy)


def light(host: Host, config: LedConfig) -> Iterator[Finding]:
    """Say whether the probe can drive its LED."""
    if config.name == NONE:
        yield ok("light", "turned off in the configuration")
        return
    folder = find_led(config.name, host.path("/sys/class/leds"))
    if folder is None:
        which = "of a Raspberry Pi" if config.name == AUTOMATIC else f"called {config.name}"
        yield note("light", f"there is no LED {which}, so no light tells how the probe is")
        return
    told = None if host.status is None else host.status["led"]["problem"]
    allowed = os.access(folder / "trigger", os.W_OK, effective_ids=True)
    if told is not None or not allowed:
        text = f"the LED {folder.name} can't be driven: {told or 'permission denied'}"
        remedy = "sudo udevadm trigger --subsystem-match=leds, and 90-linewatch-led.rules be there"
        yield problem("light", text, remedy)
    else:
        yield ok("light", f"the LED {folder.name}")
