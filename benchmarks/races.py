"""Peers that take turns, so that what else the machine does falls on all; ratios by round."""

import datetime
import json
import os
import pathlib
import platform
import statistics
from collections.abc import Callable
from typing import Any

from peer_process import Peer

RESULTS = pathlib.Path(__file__).parent / "results"
OURS = "ours"


def spread(values: list[float]) -> dict[str, float]:
    """Median, quartiles and the least."""
    if len(values) < 2:
        return {"median": values[0], "minimum": values[0]}
    low, median, high = statistics.quantiles(values, n=4)
    return {"median": median, "quartile_1": low, "quartile_3": high, "minimum": min(values)}


def start(makers: dict[str, tuple]) -> dict[str, Peer]:
    """Starts peers, each given as a function and its arguments; says which is not installed."""
    found = {}
    for name, (prepare, *arguments) in makers.items():
        try:
            found[name] = Peer(prepare, *arguments)
        except ImportError as error:
            print(f"skipped {name}: {error}", flush=True)
    return found


def race(peers: dict[str, Peer], gauge: Peer, rounds: int, repeats: int, gigaflops: float) -> dict:
    """Times peers, each round in another order, and the peak of products in each round.

    Args:
        peers: `OURS` is among them; each tells seconds for `repeats`.
        gauge: tells the GFLOP/s of a product of matrices.
        rounds: how often each is asked.
        repeats: how much it does at once.
        gigaflops: arithmetic of one.

    Returns:
        `ms` by peer; `ratios`, theirs over ours; `share_of_peak` of ours; `peak_megabytes`.
    """
    first = {name: peer.ask(1) for name, peer in peers.items()}  # with all that is traced
    times: dict[str, list[float]] = {name: [] for name in peers}
    peaks = []
    for number in range(rounds):
        peaks.append(gauge.ask())
        for name, peer in list(peers.items())[:: 1 if number % 2 else -1]:
            times[name].append(peer.ask(repeats))
    shares = [gigaflops / seconds / peak for seconds, peak in zip(times[OURS], peaks, strict=True)]
    return {
        "first_s": first,
        "gigaflops": gigaflops,
        "peak_gigaflops_per_s": spread(peaks),
        "ms": {name: spread([1e3 * x for x in found]) for name, found in times.items()},
        "ratios": {
            name: spread([b / a for a, b in zip(times[OURS], found, strict=True)])
            for name, found in times.items()
            if name != OURS
        },
        "share_of_peak": spread(shares),
        "peak_megabytes": {name: round(peer.peak_megabytes()) for name, peer in peers.items()},
    }


def profile(prepare: Callable[..., Any], *arguments: Any) -> dict[str, Any]:
    """The answer of a peer that is asked once and ended."""
    peer = Peer(prepare, *arguments)
    found: dict[str, Any] = peer.ask()
    peer.end()
    return found


def show(title: str, result: dict) -> None:
    """Prints a race."""
    print(f"{title}: peak {result['peak_gigaflops_per_s']['median']:.0f} GFLOP/s")
    for name, found in result["ms"].items():
        ratio = result["ratios"].get(name)
        theirs = ""
        if ratio:
            low, high = (ratio.get(f"quartile_{n}", ratio["median"]) for n in (1, 3))
            theirs = f", {ratio['median']:.2f} ({low:.2f} to {high:.2f}) of ours"
        print(
            f"    {name:16}{found['median']:9.1f} ms (least {found['minimum']:.1f}){theirs}; "
            f"first {result['first_s'][name]:.1f} s, {result['peak_megabytes'][name]} MB"
        )
    print(f"    {OURS} reaches {result['share_of_peak']['median']:.2f} of the peak", flush=True)


def machine() -> dict[str, Any]:
    """What ran this."""
    return {"cores": os.cpu_count(), "load": os.getloadavg()[0], "cpu": platform.machine()}


def versions(*packages: str) -> dict[str, str]:
    """Of those packages that are installed."""
    from importlib import metadata

    found = {}
    for name in packages:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def write(name: str, report: dict) -> None:
    """Writes `results/<name>-<date>.json`."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}-{datetime.date.today().isoformat()}.json"
    path.write_text(json.dumps(report, indent=2) + "\n", "utf-8")
    print(f"wrote {path.name}")


def now() -> str:
    """The date and the time, with its zone."""
    return datetime.datetime.now().astimezone().isoformat(timespec="seconds")


Makers = dict[str, tuple[Callable[..., Any], ...]]
