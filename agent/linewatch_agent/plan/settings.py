"""What the sections of the configuration hold: keys, types, ranges, defaults.

Every key has a default, so an empty file is a whole configuration. Rules that
join keys are in config_rules.py. Source: docs/configuration.md.
"""

from datetime import datetime
from typing import Annotated, Literal, TypeAlias

import msgspec
from msgspec import Meta, field

from linewatch_core.records import LineKind
from linewatch_core.targets import Target

MIB = 1024 * 1024
Moment: TypeAlias = Annotated[datetime, Meta(tz=True)]
"""A date and a time of day with its distance from UTC."""


LedShows: TypeAlias = Literal["all", "help", "nothing"]


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The base of all sections: immutable, and a misspelt key is an error."""


class ScheduleConfig(Section, frozen=True):
    """[schedule]: when checks run. Durations in seconds; `spread` is a share, 0 to 1."""

    period_s: Annotated[float, Meta(ge=1, le=3600)] = 30.0
    jitter_s: Annotated[float, Meta(ge=0, le=1800)] = 1.0
    timeout_s: Annotated[float, Meta(ge=0.1, le=60)] = 5.0
    spread: Annotated[float, Meta(ge=0, le=1)] = 0.8


class LineConfig(Section, frozen=True):
    """[[line]]: one line named by hand, instead of lines found.

    `kind`, `resolvers`, the gateways and `operator` are found where they are left out.
    """

    id: str
    device: str
    kind: LineKind | None = None
    resolvers: tuple[str, ...] = ()
    gateway4: str | None = None
    gateway6: str | None = None
    operator: str | None = None


class LinesConfig(Section, frozen=True):
    """[lines]: which devices are never taken as lines (shell patterns)."""

    ignore: tuple[str, ...] = ("wg*", "tailscale*", "zt*")


class TargetsConfig(Section, frozen=True):
    """[targets]: names of bundled sets or paths of files; `local` adds gateway and resolver."""

    sets: tuple[str, ...] = ("global",)
    local: bool = True


class StoreConfig(Section, frozen=True):
    """[store]: how much is kept and how often it is written. Seconds, bytes, records.

    Where is no setting: a change of the configuration must never orphan a store.
    """

    max_bytes: Annotated[int, Meta(ge=16 * MIB, le=1024 * 1024 * MIB)] = 512 * MIB
    min_free_bytes: Annotated[int, Meta(ge=MIB, le=1024 * 1024 * MIB)] = 64 * MIB
    commit_s: Annotated[float, Meta(ge=0.1, le=60)] = 30.0
    commit_records: Annotated[int, Meta(ge=1, le=60)] = 60
    block_records: Annotated[int, Meta(ge=1, le=1000)] = 200
    block_bytes: Annotated[int, Meta(ge=1024, le=32 * 1024)] = 16 * 1024
    block_s: Annotated[float, Meta(ge=1, le=3600)] = 600.0
    live_close_s: Annotated[float, Meta(ge=1, le=3600)] = 60.0


class UplinkConfig(Section, frozen=True):
    """[uplink]: how results reach the server. `endpoints` override the identity's."""

    enabled: bool = True
    bind: Literal["lines", "any"] = "lines"
    endpoints: tuple[str, ...] = ()
    presence: bool = True
    keepalive_s: Annotated[int, Meta(ge=10, le=1200)] = 60
    retry_max_s: Annotated[float, Meta(ge=2, le=3600)] = 300.0


class BudgetConfig(Section, frozen=True):
    """[budget]: how much data a line may spend in a month (10**6 bytes, both ways).

    `profile` frugal: at most 30 MB, and results are sent seldom. `lines` mobile: lines of
    that kind only; the others are counted but not held back.
    """

    month_mb: Annotated[int, Meta(ge=10, le=1_000_000)] = 150
    profile: Literal["normal", "frugal"] = "normal"
    lines: Literal["all", "mobile"] = "all"


class UpdateConfig(Section, frozen=True):
    """[update]: where releases of the agent come from. Without `url` there are none.

    `key` is the public half of the key that the fleet's operator signs releases with.
    """

    url: str = ""
    key: str = ""
    check_s: Annotated[float, Meta(ge=600, le=2_592_000)] = 21_600.0
    lines: Literal["all", "fixed"] = "all"


class ModemsConfig(Section, frozen=True):
    """[modems]: what the probe may do to a modem that hangs or failed (plan/modem_ladder.py)."""

    reset: bool = True
    steps_a_day: Annotated[int, Meta(ge=1, le=24)] = 6
    reboot: bool = False


class LedConfig(Section, frozen=True):
    """[led]: which LED tells people how the probe is; `auto`: a Raspberry Pi's green one.

    `shows` help: it is dark until somebody is needed; nothing: it is dark.
    """

    name: str = "auto"
    inverted: bool = False
    shows: LedShows = "all"


class StatusConfig(Section, frozen=True):
    """[status]: where the home's own network may read the status; empty: nowhere."""

    page: str = ""


class EventConfig(Section, frozen=True):
    """[[event]]: a time announced beforehand (an election), from `begins` to before `ends`.

    `period_s` replaces the schedule's for its duration; None: it stays.
    """

    name: str
    begins: Moment
    ends: Moment
    period_s: Annotated[float, Meta(ge=1, le=3600)] | None = None
    refuse_updates: bool = True


Rounds: TypeAlias = Annotated[int, Meta(ge=1, le=1000)]
WEEK_S = 7 * 86_400
Seconds: TypeAlias = Annotated[float, Meta(ge=0.1, le=WEEK_S)]


class HoldConfig(Section, frozen=True):
    """[verdict.hold.<name>]: how long one verdict must hold; None: as [verdict] says."""

    raise_rounds: Rounds | None = None
    clear_rounds: Rounds | None = None
    raise_s: Annotated[float, Meta(ge=0, le=WEEK_S)] | None = None


class HoldsConfig(Section, frozen=True, omit_defaults=True):
    """[verdict.hold]: one table for each verdict that has a hold of its own."""

    ok: HoldConfig | None = None
    power: HoldConfig | None = field(default=None, name="local.power")
    link: HoldConfig | None = field(default=None, name="local.link")
    modem: HoldConfig | None = field(default=None, name="local.modem")
    radio_loss: HoldConfig | None = None
    data_cut: HoldConfig | None = None
    line_dead: HoldConfig | None = None
    intl_cut: HoldConfig | None = None
    allow_list: HoldConfig | None = None
    dark: HoldConfig | None = None
    throttled: HoldConfig | None = None
    portal: HoldConfig | None = None
    unknown: HoldConfig | None = None
    throttled_target: HoldConfig | None = field(default=None, name="throttled.target")
    dns_tampered: HoldConfig | None = None
    dns_suspect: HoldConfig | None = None
    sni_blocked: HoldConfig | None = None
    http_blocked: HoldConfig | None = None
    ip_blocked: HoldConfig | None = None
    tls_intercepted: HoldConfig | None = None
    target_down: HoldConfig | None = None


class VerdictConfig(Section, frozen=True):
    """[verdict]: how long a state must hold before it is told. Seconds, rounds, counts.

    plan/verdict_settings.py turns it into what records carry.
    """

    raise_rounds: Rounds = 3
    clear_rounds: Rounds = 3
    throttled_s: Annotated[float, Meta(ge=0, le=WEEK_S)] = 900.0
    carry_s: Seconds = 2400.0
    stale_s: Seconds = 7200.0
    hole_s: Seconds = 60.0
    tight_s: Annotated[float, Meta(ge=0, le=3600)] = 120.0
    tight_again_s: Seconds = 600.0
    normal_every_s: Seconds = 840.0
    normal_values: Annotated[int, Meta(ge=1, le=1000)] = 3
    hold: HoldsConfig = field(default_factory=HoldsConfig)


class TruthConfig(Section, frozen=True):
    """[truth]: what is known beforehand of block pages, and of addresses that run no DNS."""

    block_addresses: tuple[str, ...] = ()
    block_pages: tuple[str, ...] = ()
    silent_resolvers: tuple[str, ...] = ()


class Config(Section, frozen=True):
    """The whole configuration; `Config()` is what an empty file means."""

    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    line: tuple[LineConfig, ...] = ()
    lines: LinesConfig = field(default_factory=LinesConfig)
    targets: TargetsConfig = field(default_factory=TargetsConfig)
    target: tuple[Target, ...] = ()
    store: StoreConfig = field(default_factory=StoreConfig)
    uplink: UplinkConfig = field(default_factory=UplinkConfig)
    budget: BudgetConfig = field(default_factory=BudgetConfig)
    modems: ModemsConfig = field(default_factory=ModemsConfig)
    led: LedConfig = field(default_factory=LedConfig)
    status: StatusConfig = field(default_factory=StatusConfig)
    update: UpdateConfig = field(default_factory=UpdateConfig)
    event: tuple[EventConfig, ...] = ()
    verdict: VerdictConfig = field(default_factory=VerdictConfig)
    truth: TruthConfig = field(default_factory=TruthConfig)
