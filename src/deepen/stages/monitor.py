"""Watch a model in service: what it is given, what it answers, how well and how fast; exit code 3 while an alarm stands."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from deepen.console import digits, duration, say, size
from deepen.errors import DeepenError, Refused, counted, unknown
from deepen.schema import Count, NonNegative, Positive, Share

PAGE = "monitor.html"
ALERTS = "alerts.jsonl"
DAY = 86400.0
LATELY = 3600.0  # seconds of the service's pulse that its figures are taken from
FEWEST = 100  # requests before a share of errors is a share
SILENT = 60.0  # seconds without a pulse after which a server is gone: it writes one every 10, whatever is asked
MEANINGS = {
    "deepen_monitor_alarms": "alarms that stand",
    "deepen_monitor_window": "number of the newest window judged",
    "deepen_monitor_items": "sampled items in the newest window",
    "deepen_drift_p": "chance of such a change where nothing changed, corrected for all tests",
    "deepen_drift_effect": "size of the change: population stability index, or share of the scatter",
    "deepen_live_metric": "figure that decides, on labelled items in service",
}


def monitor(
    live: str,
    window: Count = 200,
    false_alarms: Share = 0.005,
    labels: str | None = None,
    latency: NonNegative = 0.0,
    errors: Share = 0.05,
    webhook: str | None = None,
    prometheus: str | None = None,
    watch: bool = False,
    every: Positive = 30.0,
    **settings: Any,
) -> dict[str, Any]:
    """Judge the items sampled in service by what training was like, and the service by its own record.

    A version that deepen loop put in place is measured by what live items were like then.

    live          a directory that deepen serve works from
    window        sampled items judged at a time; the last three windows are judged together, too
    false_alarms  largest chance of an alarm for a window in which nothing has changed
    labels        true answers of a random share of requests: JSON lines {"id": request id, "label": ...}, with "row"
                  (from 0) where a request had several items; what people answered at the queue of deepen loop counts too
    latency       seconds; the 95th percentile above it is an alarm (0: none)
    errors        share of requests answered with an error that is an alarm
    webhook       an address that alerts are posted to as JSON
    prometheus    a text file for Prometheus' node exporter, written at each look
    watch         go on until stopped
    every         seconds between two looks
    settings      parameters of monitors: ks.least=0.1 (deepen list monitors)
    """
    from deepen.monitoring import alerts
    from deepen.store.live import Live

    if webhook is not None:
        alerts.check_address(webhook)
    place = Live.open(live)
    shares = place.state().route.shares
    if not shares:
        raise DeepenError("monitor.route", live, "no version answers there", "a live directory in service")
    watcher = Watcher(place, window, false_alarms, _settings(settings), labels, latency, errors, webhook, prometheus)
    while True:
        document = watcher.look()
        if not watch:
            break
        time.sleep(every)
    if document["alarms"]:
        first, more = document["alarms"][0], len(document["alarms"]) - 1
        found = first["says"] + (f"; and {more} more" if more else "")
        raise Refused("monitor.alarm", live, found, "a service as it was", f"see {place.path / PAGE}", document)
    return document


def _settings(given: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """`ks.least=0.1` as {"ks": {"least": 0.1}}, checked against the monitors' constructors."""
    from deepen import registry
    from deepen.config import read_value

    found: dict[str, dict[str, Any]] = {}
    for key, value in given.items():
        name, _, parameter = key.partition(".")
        if name not in registry.names("monitors") or not parameter:
            raise unknown("monitor.setting", f"monitor {key}", name, registry.names("monitors"), what="monitor")
        spec = {"name": name, parameter: read_value(value) if isinstance(value, str) else value}
        found.setdefault(name, {}).update(registry.check("monitors", spec, f"monitor.{name}"))
    return {name: {k: v for k, v in spec.items() if k != "name"} for name, spec in found.items()}


class Watcher:
    """Looks at a live directory, again and again."""

    def __init__(
        self, live: Any, window: int, false_alarms: float, settings: dict[str, dict[str, Any]], labels: str | None,
        latency: float, errors: float, webhook: str | None, prometheus: str | None,
    ) -> None:  # fmt: skip
        self.live, self.window, self.false_alarms, self.settings = live, window, false_alarms, settings
        self.labels, self.latency, self.errors = labels, latency, errors
        self.webhook, self.prometheus = webhook, prometheus
        self.watched: dict[str, Any] = {}

    def look(self) -> dict[str, Any]:
        """Judge what is new, tell what changed, write it all down; the document of `--json`."""
        import msgspec

        from deepen.evaluation import live as drawn
        from deepen.monitoring import windows
        from deepen.store import durable

        shares = self.live.state().route.shares
        self.watched = {version: self.watched.get(version) or self._version(version) for version in shares}
        state, new = windows.advance(self.live, windows.load(self.live, self.window), self.watched)
        now = time.time()
        pulse = list(self.live.pulse(now - DAY))
        quality = self._quality()
        looks = [(f"{check.version} ", windows.seen_in(check, len(shares))) for check in new]
        looks.append(("service ", self._service(pulse, now)))
        looks.append(
            ("quality ", {f"quality {v}": found.says for v, found in quality.items() if found and found.worse})
        )
        alarms, changes = list(state.alarms), []
        for about, seen in looks:
            alarms, raised, ended = windows.follow(alarms, about, seen, now)
            changes += [("raised", raised), ("ended", ended)]
        served = {*shares, "service"}
        part = lambda alarm: alarm.name.removeprefix("quality ").partition(" ")[0]
        changes.append(("ended", [alarm for alarm in alarms if part(alarm) not in served]))
        alarms = [alarm for alarm in alarms if part(alarm) in served]
        state = msgspec.structs.replace(state, alarms=tuple(alarms))
        windows.save(self.live, state)  # before anyone is told: what was judged is not judged and told again
        for what, some in changes:
            self._tell(now, what, some)
        durable.replace(self.live.path / PAGE, drawn.page(self.live.name, state, shares, pulse, quality, now))
        if self.prometheus:
            durable.replace(Path(self.prometheus), self._exposition(state, quality))
        self._show(state, shares, pulse, quality)
        return self._document(state, quality)

    def _version(self, version: str) -> Any:
        from deepen.monitoring import windows

        return windows.watched(self.live, version, self.false_alarms, self.settings)

    def _quality(self) -> dict[str, Any]:
        """version -> figures on labelled items."""
        from deepen.evaluation.quality import quality, read_labels
        from deepen.looping.known import known

        labels = read_labels(Path(self.labels)) if self.labels else {}
        found = {}
        for version, watched in self.watched.items():
            asked = known(self.live, version, watched)
            if labels or asked:
                samples = (s for s in self.live.samples() if s.version == version and labels)
                found[version] = quality(watched, samples, labels, self.labels or str(self.live.path), asked)
        return found

    def _service(self, pulse: Sequence[Any], now: float) -> dict[str, str]:
        """What the service's own record raises."""
        seen = {}
        last = pulse[-1] if pulse else self.live.beaten()
        if last is not None and now - last.time > max(SILENT, 3 * last.seconds):
            seen["service silent"] = f"the service has given no sign of life for {duration(now - last.time)}"
        pulse = [p for p in pulse if p.time >= now - LATELY]
        requests = sum(p.requests for p in pulse)
        failed = sum(sum(p.errors.values()) for p in pulse)
        if requests >= FEWEST and failed > self.errors * requests:
            codes = sum((Counter(p.errors) for p in pulse), Counter[str]())
            seen["service errors"] = (
                f"{failed / requests:.1%} of {requests:,} requests in the last hour failed, "
                f"most of them with {codes.most_common(1)[0][0]}"
            )
        slow = [p.latency["p95"] for p in pulse[-3:] if "p95" in p.latency]
        if self.latency and len(slow) == 3 and min(slow) > self.latency:
            seen["service latency"] = (
                f"95 % of the answers take up to {digits(slow[-1])} s, {self.latency:g} s is allowed"
            )
        return seen

    def _tell(self, now: float, what: str, some: Sequence[Any]) -> None:
        """Alarms that were raised or ended: on the screen, in alerts.jsonl, to the address."""
        from deepen.monitoring import alerts
        from deepen.store import durable

        for alarm in some:
            say(f"{'ALARM' if what == 'raised' else what:<8} {alarm.says}")
            alert = {"time": now, "what": what, "alarm": alarm.name, "says": alarm.says, "since": alarm.since}
            durable.append(self.live.path / ALERTS, alert)
            if self.webhook and (problem := alerts.post(self.webhook, {"live": self.live.name, **alert})):
                say(f"note     {self.webhook} was not told: {problem}")

    def _exposition(self, state: Any, quality: dict[str, Any]) -> str:
        from deepen.monitoring import alerts

        samples: list[alerts.Sample] = [("deepen_monitor_alarms", {"live": self.live.name}, len(state.alarms))]
        for version, check in state.newest().items():
            where = {"live": self.live.name, "version": version}
            samples += [("deepen_monitor_window", where, check.number), ("deepen_monitor_items", where, check.items)]
            for judged in check.found:
                labels = {**where, "group": judged.group, "column": judged.finding.column, "monitor": judged.monitor}
                samples += [
                    ("deepen_drift_p", labels, judged.p),
                    ("deepen_drift_effect", labels, judged.finding.effect),
                ]
        for version, found in quality.items():
            if found is not None:
                labels = {"live": self.live.name, "version": version, "metric": found.metric}
                samples.append(("deepen_live_metric", labels, found.now[0]))
        return alerts.exposition(MEANINGS, samples)

    def _show(self, state: Any, shares: dict[str, float], pulse: Sequence[Any], quality: dict[str, Any]) -> None:
        from deepen.monitors import chance

        for version, share in shares.items():
            check = state.newest().get(version)
            if check is None:
                say(f"version  {version} ({share:.0%} of the requests): fewer than {self.window} sampled items so far")
                continue
            say(
                f"version  {version} ({share:.0%} of the requests): window {check.number}, {counted(check.items, 'item')}, {counted(len(check.alarms), 'alarm')}"
            )
            say(f"  {'':<2}{'what':<32} {'test':<7} {'p':>8} {'effect':>7}   change")
            for judged in check.found[:12]:
                finding = judged.finding
                mark = "!" if judged.alarm else ""
                say(
                    f"  {mark:<2}{f'{judged.group} {finding.column}'[:32]:<32} {judged.monitor:<7} {chance(judged.p):>8} {finding.effect:>7.3f}   {finding.says}"
                )
            if (found := quality.get(version)) is not None:
                say(f"  {found.says}")
        if pulse:
            p = pulse[-1]
            delays = ", ".join(f"{name} {digits(value * 1e3)} ms" for name, value in p.latency.items())
            say(
                f"service  {p.requests / max(p.seconds, 1e-9):.1f} requests/s, {sum(p.errors.values())} errors, {delays or 'no answers'}, {p.cpu:.2f} cores, {size(p.memory)}"
            )
        say(f"page     {self.live.path / PAGE}")

    def _document(self, state: Any, quality: dict[str, Any]) -> dict[str, Any]:
        """What `--json` prints."""
        import msgspec

        versions = {}
        for version in self.watched:
            check = state.newest().get(version)
            found = quality.get(version)
            versions[version] = {
                "window": check.number if check else 0,
                "found": [msgspec.to_builtins(judged) for judged in check.found] if check else [],
                "quality": found and found.document(),
            }
        return {
            "live": str(self.live.path),
            "alarms": [msgspec.to_builtins(alarm) for alarm in state.alarms],
            "versions": versions,
            "page": str(self.live.path / PAGE),
        }
