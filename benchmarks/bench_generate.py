"""Generation: this package against keras-nlp and Transformers, GPT-2 124M with random weights.

    python benchmarks/bench_generate.py [--rounds 5] [--cases ...] [--peers ...] [--new 128]

Float32, greedy or with beams, no end token, so that every row gets as many tokens as asked for.
Each peer is a process of its own with all cores; they take turns within a round, so that what else
the machine does falls on all. Ratios are theirs over ours, by round: above 1 this package is
faster. The limit is the time to read the weights once for each token, at the bandwidth of memory
that a product with one row reaches, measured in the same round. keras-nlp walks through prompts of
different lengths token by token, for about two minutes: it does so once with each setting of XLA.
At the end of each case this package's own peers are profiled once, operation by operation. Writes
`benchmarks/results/generate-<date>.json`, case by case, unless cases or peers are chosen. About 25
minutes, and 10 GB. What is not installed is skipped; what fails is said in the result.
"""

import argparse
import datetime
import json
import os
import pathlib
import platform
import statistics

from generate_peers import PEERS, WEIGHTS, Case, Peer, versions

RESULTS = pathlib.Path(__file__).parent / "results"
CASES = {
    "batch 1": Case((32,), 128),
    "batch 8": Case((32,) * 8, 128),
    "lengths 512, 300, 130, 40": Case((512, 300, 130, 40), 128),
    "4 beams": Case((32,), 64, num_beams=4),
}
OURS = ("ours", "ours exported")


def spread(values: list[float]) -> dict[str, float]:
    if len(values) < 2:
        return {"median": values[0], "minimum": values[0]}
    low, median, high = statistics.quantiles(values, n=4)
    return {"median": median, "quartile_1": low, "quartile_3": high, "minimum": min(values)}


def walks(name: str, case: Case) -> bool:
    """Whether this takes minutes."""
    return name.startswith("keras-nlp") and len(set(case.prompts)) > 1


def start(names: list[str]) -> dict[str, Peer]:
    found = {}
    for name in names:
        try:
            found[name] = Peer(name)
        except ImportError as error:
            print(f"skipped {name}: {error}", flush=True)
    return found


def first_tokens(peers: dict[str, Peer]) -> dict[str, float]:
    """Seconds to the first token that a process ever gives, with all that has to be traced."""
    return {name: peer.ask(Case((32,), 1)) for name, peer in peers.items()}


def race(case: Case, peers: dict[str, Peer], bandwidth: Peer, rounds: int) -> dict:
    """Times a case, each round in another order."""
    first = case._replace(new_tokens=1)
    times: dict[str, list[float]] = {name: [] for name in peers}
    first_times: dict[str, list[float]] = {name: [] for name in peers}
    gigabytes = []
    failed: dict[str, str] = {}
    for name, peer in peers.items():
        # What is traced and compiled is not counted.
        try:
            if walks(name, case):
                peer.ask(case, True)
            else:
                peer.ask(case), peer.ask(first)
        except Exception as error:
            failed[name] = f"{type(error).__name__}: {error}"
            print(f"    without {name}: {failed[name]}", flush=True)
    peers = {name: peer for name, peer in peers.items() if name not in failed}
    times = {name: times[name] for name in peers}
    for number in range(rounds):
        gigabytes.append(bandwidth.ask())
        for name, peer in list(peers.items())[:: 1 if number % 2 else -1]:
            if not walks(name, case):
                first_times[name].append(peer.ask(first))
                times[name].append(peer.ask(case))
            elif number == 0:
                times[name].append(peer.ask(case))
    return {
        "case": case._asdict(),
        "failed": failed,
        "gigabytes_per_s": spread(gigabytes),
        "ms_per_token": {
            name: spread([1e3 * x / case.new_tokens for x in found])
            for name, found in times.items()
        },
        "first_token_ms": {
            name: spread([1e3 * x for x in found]) for name, found in first_times.items() if found
        },
        "profiles": {our: peers[our].profile(case) for our in OURS if our in peers},
        "ratios": {
            our: {
                name: spread([b / a for a, b in zip(times[our], theirs, strict=False)])
                for name, theirs in times.items()
                if name != our
            }
            | {
                "limit": spread(
                    [
                        4e-9 * WEIGHTS * case.new_tokens / (x * seconds)
                        for x, seconds in zip(gigabytes, times[our], strict=True)
                    ]
                )
            }
            for our in OURS
            if our in times
        },
    }


def show(name: str, result: dict) -> None:
    print(f"{name}: memory {result['gigabytes_per_s']['median']:.1f} GB/s")
    for peer, found in result["ms_per_token"].items():
        first = result["first_token_ms"].get(peer, {}).get("median", float("nan"))
        ratios = "; ".join(
            f"{ratio[peer]['median']:.2f} of {our}"
            for our, ratio in result["ratios"].items()
            if peer in ratio
        )
        print(
            f"    {peer:14}{found['median']:8.1f} ms a token (least {found['minimum']:.1f}), first "
            f"{first:6.0f} ms; {ratios}"
        )
    for our, ratio in result["ratios"].items():
        print(f"    {our} reaches {ratio['limit']['median']:.2f} of the limit", flush=True)
    for our, profile in result["profiles"].items():
        dearest = list(profile.get("operations", {}).items())[:6]
        parts = (f"{kind} {found['ms']:.2f}" for kind, found in dearest)
        print(f"    {our}, ms a token: {profile.get('error') or ', '.join(parts)}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES), metavar="CASE")
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=list(PEERS), metavar="PEER")
    parser.add_argument("--new", type=int, help="new tokens, in place of each case's")
    args = parser.parse_args()
    peers = start(args.peers)
    bandwidth = Peer("bandwidth")
    report = {
        "date": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
        "machine": {"cores": os.cpu_count(), "load": os.getloadavg()[0], "cpu": platform.machine()},
        "versions": versions(),
        "rounds": args.rounds,
        "first_token_ever_s": first_tokens(peers),
        "cases": {},
    }
    print(f"first token ever, seconds: {report['first_token_ever_s']}", flush=True)
    whole = (args.cases, args.peers, args.new) == (list(CASES), list(PEERS), None)
    path = RESULTS / f"generate-{datetime.date.today().isoformat()}.json"
    for name in args.cases:
        case = CASES[name]
        case = case if args.new is None else case._replace(new_tokens=args.new)
        try:
            report["cases"][name] = race(case, peers, bandwidth, args.rounds)
            show(name, report["cases"][name])
        except Exception as error:
            # The cases before it took minutes, and those behind it are worth theirs.
            report["cases"][name] = {"error": f"{type(error).__name__}: {error}"}
            print(f"{name} failed: {error}", flush=True)
        if whole:
            RESULTS.mkdir(exist_ok=True)
            beside = path.with_suffix(".writing")
            beside.write_text(json.dumps(report, indent=2) + "\n", "utf-8")
            beside.rename(path)
            print(f"wrote {path.name}", flush=True)
    for peer in (*peers.values(), bandwidth):
        peer.end()


if __name__ == "__main__":
    main()
