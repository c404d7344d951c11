"""What a played day has shown of each promise: `holds`, `fails`, or `not shown` where it was too short."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

HOLDS, FAILS, NOT_SHOWN = "holds", "fails", "not shown"
MOST_MIB_PER_HOUR = 1.0
MOST_MORE = 2.0  # threads, tasks, files, processes: of the last quarter over the second
LONG_MINUTES = 10.0  # in a shorter play, what a mishap leaves open for a while is a large part of a quarter
COUNTED = ("threads", "tasks", "files", "children")
NAMES = {"threads": "threads", "tasks": "tasks", "files": "open files", "children": "child processes"}


@dataclass(frozen=True, slots=True)
class Claim:
    """One promise, whether it held, and by which figures."""

    promise: str
    verdict: str
    figures: str


def verdict(holds: bool) -> str:
    """Without a middle."""
    return HOLDS if holds else FAILS


def claims_of(figures: dict[str, Any]) -> list[Claim]:
    """All promises of a day, from what the day rig prints."""
    return [*_of_questions(figures), *_of_the_outbox(figures), *_of_the_process(figures), _of_mishaps(figures)]


def _of_questions(figures: dict[str, Any]) -> list[Claim]:
    asked, answered = figures["questions"], figures["answered"]
    refused = dict(figures["refused"])
    busy, with_reason = refused.pop("busy"), sum(refused.values())
    total = sum(answered.values())
    ended = figures["unended"] == 0 and figures["ended_twice"] == 0 and total + busy + with_reason == asked
    late, excused = figures["past_deadline_by_50_ms"], figures["of_those_while_the_machine_stood_still"]
    past, stood_s = figures["past_deadline_ms"], figures["machine_stood_still_s"]
    return [
        Claim(
            "every question ends once, by an answer or a typed refusal",
            verdict(ended),
            f"{asked} questions: {total} answered ({answered['cloud']} by the cloud), {busy} refused at once as too "
            f"many waited, {with_reason} refused with another reason; {figures['unended']} without an end, "
            f"{figures['ended_twice']} ended twice",
        ),
        Claim(
            "by its deadline (50 ms are tolerated)",
            verdict(late == excused),
            f"{late} later, {excused} of them because the machine stood still ({stood_s:g} s at the longest, by a "
            f"process that does nothing else); 99 % by {past['p99']:g} ms past it, the worst by {past['most']:g} ms",
        ),
        Claim("at least half are answers", verdict(2 * total >= asked), f"{100 * total / max(1, asked):.0f} %"),
    ]


def _of_the_outbox(figures: dict[str, Any]) -> list[Claim]:
    kept, lost, waiting = figures["acknowledged"], figures["acknowledged_lost"], figures["outbox"]["waiting"]
    among, late = figures["late_among_others"], figures["answered_late"]
    return [
        Claim(
            "nothing that was acknowledged is lost",
            verdict(lost == 0) if kept else NOT_SHOWN,
            f"{kept} acknowledged: {late} answered late, {figures['answered_late_twice']} of them twice, {lost} lost",
        ),
        Claim(
            "the outbox drains, also while people ask",
            (verdict(among > 0 and waiting == 0) if kept else NOT_SHOWN),
            f"{among} answered while people asked, {late - among} afterwards; {waiting} waiting when the run ended",
        ),
    ]


def _of_the_process(figures: dict[str, Any]) -> list[Claim]:
    made = [_of_memory(figures)]
    for name in COUNTED:
        quarters = figures[name]["median_of_quarters"]
        more = quarters[3] - quarters[1]
        words = (
            f"medians of the quarters: {', '.join(f'{one:g}' for one in quarters)}; {figures[name]['last']} at the end"
        )
        held = HOLDS if more <= MOST_MORE else FAILS if figures["minutes"] >= LONG_MINUTES else NOT_SHOWN
        made.append(Claim(f"{NAMES[name]} stay as many", held, words))
    return made


def _of_memory(figures: dict[str, Any]) -> Claim:
    slope, heap, rss = figures["rss_mib_per_hour"], figures["heap_in_use_mib_per_hour"], figures["rss_mib"]
    held = FAILS if slope["low"] > MOST_MIB_PER_HOUR else HOLDS if slope["high"] < MOST_MIB_PER_HOUR else NOT_SHOWN
    return Claim(
        f"memory grows by less than {MOST_MIB_PER_HOUR:g} MiB an hour",
        held,
        f"resident {slope['slope']:+g} MiB an hour in the second half (95 %: {slope['low']:+g} to {slope['high']:+g}); "
        f"in use of the heap {heap['slope']:+g} ({heap['low']:+g} to {heap['high']:+g}); resident {rss['first']:g} MiB "
        f"at first, {rss['half']:g} at half, {rss['last']:g} at the end",
    )


def _of_mishaps(figures: dict[str, Any]) -> Claim:
    mishaps = figures["mishaps"]
    kinds = ("link cut", "link hole", "link slow", "microphone pulled out", "cloud killed", "clock set", "board hot")
    missing = [kind for kind in (*kinds, "disk full") if not mishaps.get(kind)]
    words = ", ".join(f"{name} {times} times" for name, times in mishaps.items())
    wanted = figures["camera_losses_wanted"]
    points = (
        f"; the camera was to be lost {wanted} times, and was at {figures['camera_points']} different points of a read"
    )
    enough = not missing and mishaps.get("camera rig lost", 0) >= wanted
    return Claim("everything went wrong that was to", HOLDS if enough else NOT_SHOWN, words + points)


def page_of(figures: dict[str, Any], command: str) -> str:
    """The table of the documentation."""
    head = (
        f"`{command}`, version {figures['version']}, {figures['machine']}, of which the rig got "
        f"{figures['processor_share']:.0%} of one: model `{figures['model']}`, policy `{figures['policy']}`, "
        f"deadline {figures['deadline_s']:g} s, longest stall of the event loop {figures['longest_stall_s']:g} s."
    )
    rows = [f"| {one.promise} | {one.verdict} | {one.figures} |" for one in claims_of(figures)]
    return "\n".join([head, "", "| promise | | figures |", "|---|---|---|", *rows])
