"""Power and throttling, from files of the kernel alone: no tool that may crash, hang or be missing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

SYS = Path("/sys")
PI_THROTTLED = "devices/platform/soc*/soc*:firmware/get_throttled"
UNDER_VOLTAGE, CAPPED, THROTTLED, SOFT_LIMIT = 1 << 0, 1 << 1, 1 << 2, 1 << 3  # the firmware's bits of this moment
INPUT_RAILS = ("VDD_IN", "POM_5V_IN", "VIN", "SYS5V")  # what all of a Jetson draws, by board
MOST_WATTS = 1000.0


@dataclass(frozen=True, slots=True)
class Throttle:
    """Whether the board runs slower than it could, and whether its supply is too weak; None: not known."""

    slowed: bool | None = None
    undervoltage: bool | None = None


UNKNOWN = Throttle()


def throttle(root: Path = SYS) -> Throttle:
    """A Raspberry Pi's firmware flags, its rpi_volt alarm, and the kernel's own cooling of the processor."""
    flags = next((value for path in _glob(root, PI_THROTTLED) if (value := _number(path, 16)) is not None), None)
    alarms = [_number(path.parent / "in0_lcrit_alarm") for path in _named(root, "rpi_volt")]
    cooling = [
        _number(path.parent / "cur_state")
        for path in _glob(root, "class/thermal/cooling_device*/type")
        if (_text(path) or "").startswith(("cpufreq-", "thermal-cpufreq", "devfreq-"))
    ]
    slowed = [state > 0 for state in cooling if state is not None]
    low = [alarm > 0 for alarm in alarms if alarm is not None]
    if flags is not None:
        slowed.append(bool(flags & (CAPPED | THROTTLED | SOFT_LIMIT)))
        low.append(bool(flags & UNDER_VOLTAGE))
    return Throttle(any(slowed) if slowed else None, any(low) if low else None)


def watts(root: Path = SYS) -> float | None:
    """What the whole board draws, 0..1000: a Jetson's input rail (INA3221), a hwmon sensor of power, or a battery."""
    found = [*_jetson_rails(root), *_jetson_old(root), *_sensors(root), *_batteries(root)]
    return next((value for value in found if 0 <= value < MOST_WATTS), None)


def _jetson_rails(root: Path) -> list[float]:
    """Volts times amperes of the input rail."""
    rails = []
    for name in _named(root, "ina3221"):
        for label in _glob(name.parent, "in*_label"):
            if _text(label) in INPUT_RAILS:
                number = label.name.removeprefix("in").removesuffix("_label")
                volts = _number(name.parent / f"in{number}_input")
                amperes = _number(name.parent / f"curr{number}_input")
                if volts is not None and amperes is not None:
                    rails.append(volts * amperes / 1e6)
    return rails


def _jetson_old(root: Path) -> list[float]:
    """The same on JetPack 4: milliwatts under the driver's own names."""
    rails = []
    for label in _glob(root, "bus/i2c/drivers/ina3221x/*/iio:device*/rail_name_*"):
        if _text(label) in INPUT_RAILS:
            power = _number(label.parent / f"in_power{label.name.removeprefix('rail_name_')}_input")
            rails += [] if power is None else [power / 1e3]
    return rails


def _sensors(root: Path) -> list[float]:
    paths = _glob(root, "class/hwmon/hwmon*/power1_input")
    return [value / 1e6 for path in paths if (value := _number(path)) is not None]


def _batteries(root: Path) -> list[float]:
    return [
        abs(value) / 1e6
        for path in _glob(root, "class/power_supply/*/power_now")
        if (value := _number(path)) is not None
    ]


def _named(root: Path, name: str) -> list[Path]:
    """The `name` files of hwmon devices called so."""
    return [path for path in _glob(root, "class/hwmon/hwmon*/name") if _text(path) == name]


def _glob(root: Path, pattern: str) -> list[Path]:
    try:
        return sorted(root.glob(pattern))
    except OSError:
        return []


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return None


def _number(path: Path, base: int = 10) -> int | None:
    try:
        return int(_text(path) or "", base)
    except ValueError:
        return None
