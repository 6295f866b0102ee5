"""Which targets a configuration measures: the line's own, those of sets, and its own.

Pure; the sets are already loaded (targets/). Invariant: ids are unique, and a
target's families are those that its host can have.
"""

from collections.abc import Sequence

import msgspec

from linewatch_agent.plan.settings import Config
from linewatch_agent.plan.target_words import address_version
from linewatch_agent.plan.toml_errors import ConfigError
from linewatch_core.records import Check, Role
from linewatch_core.targets import GATEWAY_HOST, RESOLVER_HOST, Target, TargetSet

LOCAL_QUERY = "a.root-servers.net"
"""What the line's own resolver is asked. It is in every resolver's cache (a TTL of 41 days),
so the answer tells of the resolver, not of what lies behind it."""

LOCAL_TARGETS: tuple[Target, ...] = (
    Target(id="gateway", role=Role.GATEWAY, host=GATEWAY_HOST, checks=(Check.ICMP,)),
    Target(
        id="resolver",
        role=Role.RESOLVER,
        host=RESOLVER_HOST,
        checks=(Check.DNS,),
        query=LOCAL_QUERY,
    ),
)


def resolve_targets(config: Config, sets: Sequence[TargetSet]) -> tuple[Target, ...]:
    """Return everything to measure, in order: the local ones, the sets', the file's own.

    A target whose host is an address gets that address's family only, so that no
    later step need ask.

    Args:
        config: as `load_config` returned it.
        sets: the loaded sets of `config.targets.sets`, in that order.
    Raises:
        ConfigError: two targets share an id, or there is none at all.
    """
    groups = [("targets.local", LOCAL_TARGETS if config.targets.local else ())]
    groups += [
        (f"target set {name}", each.target)
        for name, each in zip(config.targets.sets, sets, strict=True)
    ]
    groups.append(("[[target]]", config.target))
    origin: dict[str, str] = {}
    chosen: list[Target] = []
    for where, targets in groups:
        for target in targets:
            if target.id in origin:
                reason = f"target id {target.id} is in {origin[target.id]} and in {where}"
                raise ConfigError("the targets", f"{reason}: rename one of them")
            origin[target.id] = where
            chosen.append(_with_own_family(target))
    if not chosen:
        raise ConfigError("the targets", "nothing to measure: name a set, or add a [[target]]")
    resolvers = {target.id for target in chosen if target.role is Role.RESOLVER}
    for name in config.truth.silent_resolvers:
        if name not in resolvers:
            reason = f"truth.silent_resolvers: no target of role resolver is called {name!a:.60}"
            raise ConfigError("the targets", f"{reason}: add one, or take it out")
    return tuple(chosen)


def _with_own_family(target: Target) -> Target:
    version = address_version(target.host)
    return target if version is None else msgspec.structs.replace(target, families=(version,))
